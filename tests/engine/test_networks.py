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


def unweighted(model: str) -> nn.Module:
    """The network without memory for its weights."""
    module = importlib.import_module(f"cnnpaper.engine.networks.{model}")
    with torch.device("meta"):
        net: nn.Module = module.build()
    return net


# ------------------------------------------------------------------------------ by hand


def conv_bn(inputs: int, outputs: int, area: int) -> int:
    """Weights of a convolution without biases, and scale and shift of its batch norm."""
    return inputs * outputs * area + 2 * outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def alexnet_parameters() -> int:
    convolutions = (
        (3 * 9 * 64 + 64)
        + (64 * 25 * 192 + 192)
        + (192 * 9 * 384 + 384)
        + (384 * 9 * 256 + 256)
        + (256 * 9 * 256 + 256)
    )
    return convolutions + linear(256 * 3 * 3, 4096) + linear(4096, 4096) + linear(4096, 10)


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


def resnet50_parameters() -> int:
    total = conv_bn(3, 64, 9)
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        total += conv_bn(inputs, 4 * width, 1)  # projection of the first block
        for _ in range(blocks):
            total += conv_bn(inputs, width, 1) + conv_bn(width, width, 9)
            total += conv_bn(width, 4 * width, 1)
            inputs = 4 * width
    return total + linear(2048, 10)


def inception_v3_parameters() -> int:
    """Stem, then modules with 3 x 3, with 1 x 7 and 7 x 1, with 1 x 3 and 3 x 1 windows."""
    total = conv_bn(3, 32, 9) + conv_bn(32, 32, 9) + conv_bn(32, 64, 9)
    total += conv_bn(64, 80, 1) + conv_bn(80, 192, 9)
    for inputs, pool in ((192, 32), (256, 64), (288, 64)):
        total += conv_bn(inputs, 64, 1) + conv_bn(inputs, 48, 1) + conv_bn(48, 64, 25)
        total += conv_bn(inputs, 64, 1) + conv_bn(64, 96, 9) + conv_bn(96, 96, 9)
        total += conv_bn(inputs, pool, 1)
    total += conv_bn(288, 384, 9)
    total += conv_bn(288, 64, 1) + conv_bn(64, 96, 9) + conv_bn(96, 96, 9)
    for width in (128, 160, 160, 192):
        total += 2 * conv_bn(768, 192, 1)  # the branch of one pixel and the one of the pool
        total += conv_bn(768, width, 1) + conv_bn(width, width, 7) + conv_bn(width, 192, 7)
        total += conv_bn(768, width, 1) + 3 * conv_bn(width, width, 7) + conv_bn(width, 192, 7)
    total += conv_bn(768, 192, 1) + conv_bn(192, 320, 9)
    total += conv_bn(768, 192, 1) + 2 * conv_bn(192, 192, 7) + conv_bn(192, 192, 9)
    for inputs in (1280, 2048):
        total += conv_bn(inputs, 320, 1) + conv_bn(inputs, 192, 1)
        total += conv_bn(inputs, 384, 1) + 2 * conv_bn(384, 384, 3)
        total += conv_bn(inputs, 448, 1) + conv_bn(448, 384, 9) + 2 * conv_bn(384, 384, 3)
    return total + linear(2048, 10)


def mobilenet_v2_parameters() -> int:
    """Table 2 of the paper: expansion, channels and repetitions of each stage."""
    total = conv_bn(3, 32, 9)
    inputs = 32
    for expansion, outputs, repetitions in (
        (1, 16, 1),
        (6, 24, 2),
        (6, 32, 3),
        (6, 64, 4),
        (6, 96, 3),
        (6, 160, 3),
        (6, 320, 1),
    ):
        for _ in range(repetitions):
            hidden = expansion * inputs
            total += conv_bn(inputs, hidden, 1) if expansion > 1 else 0
            total += conv_bn(1, hidden, 9)  # depthwise: one input channel each
            total += conv_bn(hidden, outputs, 1)
            inputs = outputs
    return total + conv_bn(320, 1280, 1) + linear(1280, 10)


def densenet121_parameters() -> int:
    """Growth rate 32; a layer normalises, squeezes to 128 channels, normalises, adds 32."""
    total = conv_bn(3, 64, 9)
    channels = 64
    for layers in (6, 12, 24, 16):
        for _ in range(layers):
            total += 2 * channels + channels * 128 + 2 * 128 + 128 * 9 * 32
            channels += 32
        if layers != 16:  # transition
            total += 2 * channels + channels * channels // 2
            channels //= 2
    return total + 2 * channels + linear(channels, 10)


BY_HAND: dict[str, Callable[[], int]] = {
    "alexnet": alexnet_parameters,
    "vgg16": vgg16_parameters,
    "googlenet": googlenet_parameters,
    "resnet18": resnet18_parameters,
    "resnet50": resnet50_parameters,
    "inception_v3": inception_v3_parameters,
    "mobilenet_v2": mobilenet_v2_parameters,
    "densenet121": densenet121_parameters,
}
NETWORKS = tuple(BY_HAND)


def test_every_network_has_a_file_of_each_kind() -> None:
    folder = REPOSITORY / "cnnpaper" / "engine" / "networks"
    assert known_models(REPOSITORY) == sorted(NETWORKS)
    assert {path.stem for path in folder.glob("[a-z]*.py")} == set(NETWORKS)
    assert all(load_experiment(REPOSITORY, model).builder == model for model in NETWORKS)


@pytest.mark.parametrize("model", NETWORKS)
def test_size_and_cost(model: str) -> None:
    """Parameters as counted by hand; multiply-accumulates are half of torch's FLOP."""
    torch.manual_seed(0)
    net = build(model).eval()
    network = describe(net)
    assert network.parameters == BY_HAND[model]()
    assert sum(layer.parameters for layer in network.layers) == network.parameters
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert 2 * 2 * (network.macs or 0) == counter.get_total_flops()


# ------------------------------------------------------------------------------ stem and head

CONV_7X7 = "Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)"
CONV_3X3 = "Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"
POOL = "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)"


def head(inputs: int) -> tuple[str, str]:
    return (
        f"Linear(in_features={inputs}, out_features=1000, bias=True)",
        f"Linear(in_features={inputs}, out_features=10, bias=True)",
    )


# torchvision's layer and ours, where they differ; None where there is none of that name
DIFFERENCES: dict[str, dict[str, tuple[str | None, str | None]]] = {
    "alexnet": {
        "features.0": (
            "Conv2d(3, 64, kernel_size=(11, 11), stride=(4, 4), padding=(2, 2))",
            "Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        ),
        "avgpool": (
            "AdaptiveAvgPool2d(output_size=(6, 6))",
            "AdaptiveAvgPool2d(output_size=(3, 3))",
        ),
        "classifier.1": (
            "Linear(in_features=9216, out_features=4096, bias=True)",
            "Linear(in_features=2304, out_features=4096, bias=True)",
        ),
        "classifier.6": head(4096),
    },
    "vgg16": {
        "avgpool": (
            "AdaptiveAvgPool2d(output_size=(7, 7))",
            "AdaptiveAvgPool2d(output_size=(1, 1))",
        ),
        "classifier.0": ("Linear(in_features=25088, out_features=4096, bias=True)", None),
        "classifier.1": ("ReLU(inplace=True)", None),
        "classifier.2": ("Dropout(p=0.5, inplace=False)", None),
        "classifier.3": ("Linear(in_features=4096, out_features=4096, bias=True)", None),
        "classifier.4": ("ReLU(inplace=True)", None),
        "classifier.5": ("Dropout(p=0.5, inplace=False)", None),
        "classifier.6": ("Linear(in_features=4096, out_features=1000, bias=True)", None),
        "classifier": (None, "Linear(in_features=512, out_features=10, bias=True)"),
    },
    "googlenet": {
        "conv1.conv": (CONV_7X7, CONV_3X3),
        "maxpool1": (
            "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=True)",
            "Identity()",
        ),
        "fc": head(1024),
    },
    "resnet18": {
        "conv1": (CONV_7X7, CONV_3X3),
        "maxpool": (POOL, "Identity()"),
        "fc": head(512),
    },
    "resnet50": {
        "conv1": (CONV_7X7, CONV_3X3),
        "maxpool": (POOL, "Identity()"),
        "fc": head(2048),
    },
    "inception_v3": {
        "Conv2d_1a_3x3.conv": (
            "Conv2d(3, 32, kernel_size=(3, 3), stride=(2, 2), bias=False)",
            "Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1), bias=False)",
        ),
        "maxpool1": (
            "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)",
            "Identity()",
        ),
        "fc": head(2048),
    },
    "mobilenet_v2": {
        "features.0.0": (
            "Conv2d(3, 32, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)",
            "Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)",
        ),
        "features.2.conv.1.0": (
            "Conv2d(96, 96, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), groups=96, "
            "bias=False)",
            "Conv2d(96, 96, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=96, "
            "bias=False)",
        ),
        "classifier.1": head(1280),
    },
    "densenet121": {
        "features.conv0": (CONV_7X7, CONV_3X3),
        "features.pool0": (POOL, "Identity()"),
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
    ours = unweighted(model)
    before, after = leaves(original), leaves(ours)
    assert {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    } == DIFFERENCES[model]
    # Blocks are of the same classes, so layers of the same names are connected in the same way.
    assert type(original) is type(ours)
    replaced = ("classifier",) if model == "vgg16" else ()
    for name, module in original.named_modules():
        if name not in before and name not in replaced:
            assert type(module) is type(ours.get_submodule(name)), name
