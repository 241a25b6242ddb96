"""The networks: stem and head by torchvision, size and cost by torch's own counters."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as torchvision_models

from cnnpaper.config import known_models
from cnnpaper.engine.initialise import build
from cnnpaper.runs.describe import describe
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.train

NETWORKS = known_models(REPOSITORY)


@pytest.mark.parametrize("model", NETWORKS)
def test_size_and_cost(model: str) -> None:
    """Multiply-accumulates are half of torch's FLOP."""
    torch.manual_seed(0)
    net = build(model).eval()
    network = describe(net)
    assert network.parameters == sum(weight.numel() for weight in net.parameters())
    assert sum(layer.parameters for layer in network.layers) == network.parameters
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert 2 * 2 * (network.macs or 0) == counter.get_total_flops()


# ------------------------------------------------------------------------------ stem and head


def conv(outputs: int, more: str = ", bias=False") -> str:
    return f"Conv2d(3, {outputs}, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1){more})"


def head(inputs: int, outputs: int = 10) -> str:
    return f"Linear(in_features={inputs}, out_features={outputs}, bias=True)"


# our layer where it differs from torchvision's; None where there is none of that name
DIFFERENCES: dict[str, dict[str, str | None]] = {
    "alexnet": {
        "features.0": conv(64, ""),
        "avgpool": "AdaptiveAvgPool2d(output_size=(3, 3))",
        "classifier.1": head(2304, 4096),
        "classifier.6": head(4096),
    },
    "vgg16": {
        "avgpool": "AdaptiveAvgPool2d(output_size=(1, 1))",
        **{f"classifier.{place}": None for place in range(7)},
        "classifier": head(512),
    },
    "googlenet": {"conv1.conv": conv(64), "maxpool1": "Identity()", "fc": head(1024)},
    "resnet18": {"conv1": conv(64), "maxpool": "Identity()", "fc": head(512)},
    "resnet50": {"conv1": conv(64), "maxpool": "Identity()", "fc": head(2048)},
    "inception_v3": {
        "Conv2d_1a_3x3.conv": "Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1), bias=False)",
        "maxpool1": "Identity()",
        "fc": head(2048),
    },
    "mobilenet_v2": {
        "features.0.0": conv(32),
        "features.2.conv.1.0": conv(96, ", groups=96, bias=False").replace("(3, 96", "(96, 96"),
        "classifier.1": head(1280),
    },
    "densenet121": {
        "features.conv0": conv(64),
        "features.pool0": "Identity()",
        "classifier": head(1024),
    },
}


def torchvision_network(model: str) -> nn.Module:
    """The network as torchvision has it, without auxiliary heads."""
    without_heads = {"aux_logits": False, "init_weights": False}
    options = without_heads if model in ("googlenet", "inception_v3") else {}
    name = "vgg16_bn" if model == "vgg16" else model
    return torchvision_models.get_model(name, weights=None, **options)


def leaves(net: nn.Module) -> dict[str, str]:
    """Every layer by name, with its sizes, strides and other settings."""
    return {name: repr(module) for name, module in net.named_modules() if not [*module.children()]}


@pytest.mark.parametrize("model", NETWORKS)
def test_exactly_stem_and_head_differ_from_torchvision(model: str) -> None:
    with torch.device("meta"):
        original = torchvision_network(model)
        ours = importlib.import_module(f"cnnpaper.engine.networks.{model}").build()
    before, after = leaves(original), leaves(ours)
    assert {
        name: after.get(name)
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    } == DIFFERENCES[model]
    # Blocks are of the same classes, so layers of the same names are connected in the same way.
    assert type(original) is type(ours)
    replaced = ("classifier",) if model == "vgg16" else ()
    for name, module in original.named_modules():
        if name not in before and name not in replaced:
            assert type(module) is type(ours.get_submodule(name)), name
