"""A network with its initial weights."""

from __future__ import annotations

import importlib

import torch
from torch import nn


def build(builder: str) -> nn.Module:
    """A network that maps (N, 3, 32, 32) to logits (N, 10), its weights newly drawn.

    The weights come from torch's global generator, which the caller seeds.

    Args:
        builder: name of its file in ``cnnpaper/engine/networks``.

    Raises:
        ModuleNotFoundError: there is no such file.
    """
    module = importlib.import_module(f"cnnpaper.engine.networks.{builder}")
    with torch.device("meta"):  # no memory yet: the weights are drawn once, by initialise
        net: nn.Module = module.build()
    net.to_empty(device="cpu")
    initialise(net)
    return net


def initialise(net: nn.Module) -> None:
    """Draw all weights, in place, by one rule for every network.

    Convolutions N(0, 2 / fan in) (He et al. 2015, equation 10); linear layers uniform on
    ±1 / sqrt(fan in), PyTorch's default; biases 0; batch norm starts as the identity.

    Raises:
        TypeError: a layer holds weights or buffers that the rule does not know.
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise TypeError(f"{name}: no rule to initialise a {type(module).__name__}")
