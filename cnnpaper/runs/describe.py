"""What a network is: its layers, measured, and how data flows between them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn

from cnnpaper.engine.stem import IMAGE
from cnnpaper.log import Layer, Network

MEASURED = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
"""Layers that :func:`describe` lists."""
JOINS = {operator.add: "add", operator.iadd: "add", torch.add: "add", torch.cat: "cat"}
"""Functions in which branches meet."""


def describe(net: nn.Module) -> Network:
    """Parameters, MACs, layers and edges of ``net`` for one image, in the order of execution.

    One image runs through the network in evaluation mode; the network, its training flags and the
    random generators are as before afterwards. Pooling that a network calls as a function (the
    last one of DenseNet and MobileNetV2, those in Inception's blocks) is not among the layers; it
    has neither weights nor MACs.
    """
    layers: list[Layer] = []

    def measure(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, given, out: layers.append(_layer(name, module, given[0], out))

    hooks = [
        module.register_forward_hook(measure(name))
        for name, module in net.named_modules()
        if isinstance(module, MEASURED)
    ]
    training = {module: module.training for module in net.modules()}
    like = next(net.parameters())
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, *IMAGE, device=like.device, dtype=like.dtype))
        edges = tuple(_edges(net, {layer.name for layer in layers}))
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in training.items():
            module.training = flag
    return Network(
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layers),
        edges=edges,
    )


def _layer(name: str, module: nn.Module, given: Tensor, out: Tensor) -> Layer:
    """What one layer did to one image; ``given`` (1, C, H, W) or (1, features)."""
    kernel = getattr(module, "kernel_size", None)
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    stride = getattr(module, "stride", None)
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
        kernel=None if sides is None else max(sides),
        stride=stride if isinstance(stride, int) or stride is None else max(stride),
        groups=getattr(module, "groups", None),
        channels_in=given.shape[1],
    )


def _edges(net: nn.Module, listed: set[str]) -> Iterator[tuple[str, str]]:
    """Edges between listed layers, joins and the two ends; whatever lies between is passed over.

    A network that torch.fx cannot trace has none.
    """
    try:
        graph = fx.symbolic_trace(net).graph
    except Exception:  # control flow that depends on data: tracing raises what it likes
        return
    names: dict[fx.Node, str] = {}
    joins = 0
    for node in graph.nodes:
        if node.op == "placeholder":
            names[node] = "input"
        elif node.op == "output":
            names[node] = "output"
        elif node.op == "call_module" and node.target in listed:
            names[node] = str(node.target)
        elif node.op == "call_function" and node.target in JOINS:
            joins += 1
            names[node] = f"{JOINS[node.target]} {joins}"
    for node in graph.nodes:
        if node in names:
            for source in dict.fromkeys(_sources(node, names)):
                yield source, names[node]


def _sources(node: fx.Node, names: dict[fx.Node, str]) -> Iterator[str]:
    """Named nodes from which data reaches ``node`` with nothing named between."""
    for before in node.all_input_nodes:
        if before in names:
            yield names[before]
        else:
            yield from _sources(before, names)
