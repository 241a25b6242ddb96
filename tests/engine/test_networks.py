"""The networks: size, stem and head, cost; by hand, by torchvision, by torch's own counter."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as torchvision_models

from cnnpaper.config import known_models, load_experiment
from cnnpaper.engine.initialise import build
from cnnpaper.runs.describe import describe

pytestmark = pytest.mark.train

REPOSITORY = Path(__file__).resolve().parents[2]
NETWORKS = known_models(REPOSITORY)


# ------------------------------------------------------------------------------ by hand


def conv_bn(inputs: int, outputs: int, area: int) -> int:
    """Weights of a convolution without biases, and scale and shift of its batch norm."""
    return inputs * outputs * area + 2 * outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def alexnet_parameters() -> int:
    total = linear(256 * 3 * 3, 4096) + linear(4096, 4096) + linear(4096, 10)
    for inputs, outputs, area in (
        (3, 64, 9), (64, 192, 25), (192, 384, 9), (384, 256, 9), (256, 256, 9),
    ):  # fmt: skip
        total += inputs * outputs * area + outputs
    return total


def vgg16_parameters() -> int:
    """Configuration D; convolutions have biases beside batch norm."""
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    return sum(conv_bn(i, o, 9) + o for i, o in pairwise(widths)) + linear(512, 10)


def googlenet_parameters() -> int:
    """Table 1 of the paper, with 3 x 3 in place of 5 x 5 convolutions as torchvision has it."""
    total = conv_bn(3, 64, 9) + conv_bn(64, 64, 1) + conv_bn(64, 192, 9)
    inputs = 192
    for one, three_reduce, three, five_reduce, five, pool in (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ):
        total += conv_bn(inputs, one, 1) + conv_bn(inputs, pool, 1)
        total += conv_bn(inputs, three_reduce, 1) + conv_bn(three_reduce, three, 9)
        total += conv_bn(inputs, five_reduce, 1) + conv_bn(five_reduce, five, 9)
        inputs = one + three + five + pool
    return total + linear(1024, 10)


def resnet18_parameters() -> int:
    """Stem, then four stages of two blocks; the first block of three of them has a projection."""
    total = conv_bn(3, 64, 9) + 4 * conv_bn(64, 64, 9)
    for inputs, outputs in ((64, 128), (128, 256), (256, 512)):
        total += conv_bn(inputs, outputs, 9) + 3 * conv_bn(outputs, outputs, 9)
        total += conv_bn(inputs, outputs, 1)
    return total + linear(512, 10)


BY_HAND: dict[str, Callable[[], int]] = {
    "alexnet": alexnet_parameters,
    "vgg16": vgg16_parameters,
    "googlenet": googlenet_parameters,
    "resnet18": resnet18_parameters,
}


def test_every_network_has_a_file_of_each_kind() -> None:
    folder = REPOSITORY / "cnnpaper" / "engine" / "networks"
    assert {path.stem for path in folder.glob("[a-z]*.py")} == set(NETWORKS) == set(DIFFERENCES)
    assert all(load_experiment(REPOSITORY, model).builder == model for model in NETWORKS)


@pytest.mark.parametrize("model", NETWORKS)
def test_size_and_cost(model: str) -> None:
    """Parameters of the study's four as counted by hand; multiply-accumulates are half of torch's
    FLOP."""
    torch.manual_seed(0)
    net = build(model).eval()
    network = describe(net)
    assert sum(layer.parameters for layer in network.layers) == network.parameters
    if model in BY_HAND:
        assert network.parameters == BY_HAND[model]()
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
