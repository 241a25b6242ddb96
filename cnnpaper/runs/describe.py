"""What a network is: its layers, measured, and how data flows between them."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn

from cnnpaper.engine.stem import IMAGE
from cnnpaper.log import Layer, Network

MEASURED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
"""Layers that :func:`describe` lists."""
JOINS = {operator.add: "add", operator.iadd: "add", torch.add: "add", torch.cat: "cat"}
"""Functions in which branches meet."""


def describe(net: nn.Module) -> Network:
    """Parameters, MACs, layers and edges of ``net`` for one image, in the order of execution.

    One image runs through a copy in evaluation mode. Pooling that a network calls as a function
    (the last one of DenseNet and MobileNetV2, those in Inception's blocks) is not among the layers;
    it has neither weights nor MACs.
    """
    layers: list[Layer] = []

    def measure(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        layers.append(_layer(names[module], module, given[0], out))

    net = copy.deepcopy(net).eval()
    names = {module: name for name, module in net.named_modules()}
    for module in names:
        if isinstance(module, MEASURED):
            module.register_forward_hook(measure)
    like = next(net.parameters())
    with torch.no_grad():
        net(torch.zeros(1, *IMAGE, device=like.device, dtype=like.dtype))
    return Network(
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layers),
        edges=tuple(_edges(net, {layer.name for layer in layers})),
    )


def _layer(name: str, module: nn.Module, given: Tensor, out: Tensor) -> Layer:
    """What one layer did to one image; ``given`` (1, C, H, W) or (1, features)."""
    macs = 0
    if isinstance(module, nn.Conv2d):
        macs = out.numel() * module.weight[0].numel()  # weight (C_out, C_in / groups, kh, kw)
    elif isinstance(module, nn.Linear):
        macs = out.numel() * module.in_features
    return Layer(
        name=name,
        type=type(module).__name__,
        out=tuple(out.shape[1:]),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        kernel=_larger(getattr(module, "kernel_size", None)),
        stride=_larger(getattr(module, "stride", None)),
        groups=getattr(module, "groups", None),
        channels_in=given.shape[1],
    )


def _larger(size: int | tuple[int, ...] | None) -> int | None:
    return max(size) if isinstance(size, tuple) else size


def _edges(net: nn.Module, listed: set[str]) -> Iterator[tuple[str, str]]:
    """Edges between listed layers, joins and the two ends; whatever lies between is passed over.

    A network that torch.fx cannot trace has none.
    """
    try:
        graph = fx.symbolic_trace(net).graph
    except Exception:  # control flow that depends on data: tracing raises what it likes
        return
    number = itertools.count(1)
    named: dict[fx.Node, list[str]] = {}
    """The named nodes whose data a node hands on: itself, or those that reach it."""
    for node in graph.nodes:  # each after its inputs
        sources = [source for before in node.all_input_nodes for source in named[before]]
        name = {"placeholder": "input", "output": "output"}.get(node.op)
        if node.op == "call_module" and node.target in listed:
            name = str(node.target)
        elif node.op == "call_function" and node.target in JOINS:
            name = f"{JOINS[node.target]} {next(number)}"
        named[node] = [name] if name else sources
        if name:
            yield from ((source, name) for source in dict.fromkeys(sources))
