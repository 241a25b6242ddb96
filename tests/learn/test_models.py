"""The eight networks: size, stem and head, cost, first weights, and that they can learn."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as torchvision_models

from cnnpaper import status
from cnnpaper.config import Experiment, known_models, load_experiment
from cnnpaper.errors import UserError
from cnnpaper.learn.models import BUILDERS, build, describe, initialise

pytestmark = pytest.mark.train

REPOSITORY = Path(__file__).resolve().parents[2]
NETWORKS = tuple(BUILDERS)


def experiment(model: str) -> Experiment:
    return load_experiment(REPOSITORY, model)


def built(model: str, seed: int = 0) -> nn.Module:
    """The network as its experiment file asks for it."""
    described = experiment(model)
    torch.manual_seed(seed)
    return build(described.builder, described.initialisation, described.initialisation_std)


# ------------------------------------------------------------------------------ experiment files


def test_every_network_has_a_file_and_a_function() -> None:
    assert known_models(REPOSITORY) == sorted(NETWORKS)
    assert all(experiment(model).builder == model for model in NETWORKS)


@pytest.mark.parametrize("model", NETWORKS)
def test_the_paper_can_print_the_texts_of_the_file(model: str) -> None:
    described = experiment(model)
    texts = [described.idea, described.stem, *(entry.why for entry in described.override.values())]
    for text in texts:
        without_names = re.sub(r"ResNet-18|ResNet-50|Inception v3|MobileNetV2", "", text)
        assert not re.search(r"\d", without_names), text
        assert "  " not in text
        assert text == text.strip()
    assert 60 <= len(described.idea.split()) <= 110
    assert "가" <= described.korean[-1] <= "힣"


# ------------------------------------------------------------------------------ shape and size


@pytest.mark.parametrize("model", NETWORKS)
def test_two_images_give_two_rows_of_ten_logits(model: str) -> None:
    net = built(model)
    with torch.no_grad():
        assert net.train()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        assert net.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


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


@pytest.mark.parametrize("model", NETWORKS)
def test_parameters_are_those_counted_by_hand(model: str) -> None:
    network = describe(built(model))
    assert network.parameters == BY_HAND[model]()
    assert sum(layer.parameters for layer in network.layers) == network.parameters


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
        original, ours = torchvision_network(model), BUILDERS[model]()
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


# the layers whose weights have another shape than torchvision's, or which it has not
RESHAPED = {
    "alexnet": {"features.0", "classifier.1", "classifier.6"},
    "vgg16": {"classifier.0", "classifier.3", "classifier.6", "classifier"},
    "googlenet": {"conv1.conv", "fc"},
    "resnet18": {"conv1", "fc"},
    "resnet50": {"conv1", "fc"},
    "inception_v3": {"fc"},
    "mobilenet_v2": {"classifier.1"},
    "densenet121": {"features.conv0", "classifier"},
}


@pytest.mark.parametrize("model", NETWORKS)
def test_weights_of_other_shape_are_those_of_stem_and_head(model: str) -> None:
    with torch.device("meta"):
        original, ours = torchvision_network(model), BUILDERS[model]()
    before = {(name, weight.shape) for name, weight in original.state_dict().items()}
    after = {(name, weight.shape) for name, weight in ours.state_dict().items()}
    assert {name.rpartition(".")[0] for name, _ in before ^ after} == RESHAPED[model]


def test_the_stems_keep_the_size_that_the_rule_gives() -> None:
    sides = {
        model: {layer.name: layer.out[1:] for layer in describe(built(model)).layers}
        for model in NETWORKS
    }
    assert sides["alexnet"]["features.12"] == (3, 3)
    assert sides["vgg16"]["features.43"] == (1, 1)
    assert sides["googlenet"]["maxpool2"] == (16, 16)
    assert sides["googlenet"]["inception5b.branch1.conv"] == (4, 4)
    for model in ("resnet18", "resnet50"):
        assert sides[model]["layer1.0.conv1"] == (32, 32)
        assert sides[model]["layer4.1.conv2"] == (4, 4)
    assert sides["inception_v3"]["Conv2d_4a_3x3.conv"] == (26, 26)
    assert sides["inception_v3"]["Mixed_7c.branch1x1.conv"] == (2, 2)
    assert sides["mobilenet_v2"]["features.2.conv.1.0"] == (32, 32)
    assert sides["mobilenet_v2"]["features.18.0"] == (4, 4)
    assert sides["densenet121"]["features.denseblock1.denselayer1.conv1"] == (32, 32)
    assert sides["densenet121"]["features.norm5"] == (4, 4)


# ------------------------------------------------------------------------------ description


@pytest.mark.parametrize("model", NETWORKS)
def test_macs_are_half_the_flop_that_torch_counts(model: str) -> None:
    net = built(model).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 32, 32))
    assert 2 * describe(net).macs == counter.get_total_flops()


def test_alexnets_layers_in_the_order_of_execution() -> None:
    rows = [
        (layer.name, layer.type, layer.out, layer.kernel, layer.stride, layer.channels_in)
        for layer in describe(built("alexnet")).layers
    ]
    assert rows == [
        ("features.0", "Conv2d", (64, 32, 32), 3, 1, 3),
        ("features.2", "MaxPool2d", (64, 15, 15), 3, 2, 64),
        ("features.3", "Conv2d", (192, 15, 15), 5, 1, 64),
        ("features.5", "MaxPool2d", (192, 7, 7), 3, 2, 192),
        ("features.6", "Conv2d", (384, 7, 7), 3, 1, 192),
        ("features.8", "Conv2d", (256, 7, 7), 3, 1, 384),
        ("features.10", "Conv2d", (256, 7, 7), 3, 1, 256),
        ("features.12", "MaxPool2d", (256, 3, 3), 3, 2, 256),
        ("avgpool", "AdaptiveAvgPool2d", (256, 3, 3), None, None, 256),
        ("classifier.1", "Linear", (4096,), None, None, 2304),
        ("classifier.4", "Linear", (4096,), None, None, 4096),
        ("classifier.6", "Linear", (10,), None, None, 4096),
    ]


def test_order_is_that_of_execution_not_of_declaration() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(5, 10)
            self.first = nn.Conv2d(3, 5, kernel_size=(32, 1), stride=(4, 32))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).mean((2, 3)))

    first, last = describe(Backwards()).layers
    assert (first.name, first.out, first.kernel, first.stride) == ("first", (5, 1, 1), 32, 32)
    assert (first.parameters, first.macs) == (3 * 5 * 32 + 5, 3 * 5 * 32)
    assert (last.name, last.parameters, last.macs) == ("last", 60, 50)


def test_groups_and_batch_norm_in_the_description() -> None:
    layers = {layer.name: layer for layer in describe(built("mobilenet_v2")).layers}
    depthwise = layers["features.2.conv.1.0"]
    assert (depthwise.groups, depthwise.channels_in, depthwise.out) == (96, 96, (96, 32, 32))
    assert (depthwise.parameters, depthwise.macs) == (96 * 9, 96 * 9 * 32 * 32)
    norm = layers["features.2.conv.1.1"]
    assert (norm.type, norm.parameters, norm.macs) == ("BatchNorm2d", 2 * 96, 0)


@pytest.mark.parametrize("training", [True, False])
def test_describing_changes_neither_network_nor_generator(training: bool) -> None:
    net = built("googlenet").train(training)
    net.get_submodule("inception3a").train(not training)
    flags = {name: module.training for name, module in net.named_modules()}
    weights = {name: weight.clone() for name, weight in net.state_dict().items()}
    generator = torch.get_rng_state()
    describe(net)
    assert torch.equal(torch.get_rng_state(), generator)
    assert {name: module.training for name, module in net.named_modules()} == flags
    assert all(torch.equal(weight, weights[name]) for name, weight in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


# ------------------------------------------------------------------------------ first weights

UNIFORM = 1 / math.sqrt(3)  # std of a uniform distribution on ±1


def fans(weight: Tensor) -> tuple[int, int]:
    """Inputs of one output and outputs of one input channel; weight (out, in / groups, h, w)."""
    area = math.prod(weight.shape[2:])
    return weight.shape[1] * area, weight.shape[0] * area


# Network, scheme, std of the truncated normal: torchvision's own, and a second one for AlexNet,
# whose signal torchvision's lets shrink from layer to layer.
FIRST_WEIGHTS = (
    ("alexnet", "pytorch", 1.0),
    ("alexnet", "he_normal_fan_in", 1.0),
    ("vgg16", "he_normal_fan_out", 1.0),
    ("googlenet", "truncated_normal", 0.01),
    ("resnet18", "he_normal_fan_out", 1.0),
    ("resnet50", "he_normal_fan_out", 1.0),
    ("inception_v3", "truncated_normal", 0.1),
    ("mobilenet_v2", "he_normal_fan_out", 1.0),
    ("densenet121", "he_normal_fan_in", 1.0),
)


def expected_std(model: str, scheme: str, std: float, module: nn.Module) -> float:
    """Standard deviation of the first weights, as the docstring of ``initialise`` gives it."""
    fan_in, fan_out = fans(module.weight)
    if scheme == "truncated_normal":
        return std  # both are far below 2, so nothing is cut
    if isinstance(module, nn.Linear) and model in ("vgg16", "mobilenet_v2"):
        return 0.01
    if scheme == "pytorch" or isinstance(module, nn.Linear):
        return UNIFORM / math.sqrt(fan_in)
    return math.sqrt(2 / (fan_in if scheme == "he_normal_fan_in" else fan_out))


@pytest.mark.parametrize("model, scheme, std", FIRST_WEIGHTS)
def test_first_weights_have_the_stated_spread(model: str, scheme: str, std: float) -> None:
    torch.manual_seed(0)
    checked = 0
    for name, module in build(model, scheme, std).named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        weight = module.weight.detach().double()
        expected = expected_std(model, scheme, std, module)
        error = expected / math.sqrt(weight.numel())  # of the mean; that of the std is smaller
        assert abs(weight.mean().item()) < 5.5 * error, name
        assert abs(weight.std().item() - expected) < 5.5 * error, name
        checked += 1
    assert checked >= 8


@pytest.mark.parametrize("model, scheme, std", FIRST_WEIGHTS)
def test_first_biases_and_batch_norm(model: str, scheme: str, std: float) -> None:
    torch.manual_seed(0)
    # ResNet's only biases are those of its linear layer, which is as PyTorch has it
    zero_biases = scheme.startswith("he_normal") and not model.startswith("resnet")
    for name, module in build(model, scheme, std).named_modules():
        if isinstance(module, nn.BatchNorm2d):
            values = (module.weight, module.bias, module.running_mean, module.running_var)
            assert [value.unique().tolist() for value in values] == [[1], [0], [0], [1]], name
            assert module.num_batches_tracked.item() == 0
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            if zero_biases:
                assert not module.bias.any(), name
            else:
                largest = module.bias.abs().max().item()
                assert 0 < largest <= 1 / math.sqrt(fans(module.weight)[0]), name


def test_the_truncated_normal_is_cut_at_two() -> None:
    net = nn.Sequential(nn.Linear(500, 500))
    torch.manual_seed(0)
    initialise(net, "truncated_normal", 2.0)
    weight = net[0].weight.detach()
    assert weight.abs().max().item() <= 2.0
    assert weight.std().item() == pytest.approx(2 * stats.truncnorm.std(-1, 1), rel=0.01)


@pytest.mark.parametrize("model", NETWORKS)
def test_everything_of_the_network_is_set_and_by_the_generator_alone(model: str) -> None:
    described = experiment(model)
    other = BUILDERS[model]()  # with weights of torchvision's own, all of which must be replaced
    with torch.no_grad():
        for value in other.state_dict().values():
            value.fill_(7)
    torch.manual_seed(3)
    initialise(other, described.initialisation, described.initialisation_std)
    first = built(model, seed=3).state_dict()
    assert all(torch.equal(value, first[name]) for name, value in other.state_dict().items())
    second = built(model, seed=4).state_dict()
    drawn = {name for name, value in first.items() if not torch.equal(value, second[name])}
    assert {name for name, value in first.items() if value.dim() >= 2} <= drawn


def test_a_layer_that_no_rule_knows_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"^1: no rule to initialise a LayerNorm$"):
        initialise(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), "pytorch", 0.01)


def test_a_scheme_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="'he_normal'"):
        initialise(nn.Linear(2, 2), "he_normal", 0.01)


def test_an_unknown_builder_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'resnet81'.*did you mean 'resnet18'\?"):
        build("resnet81", "pytorch", 0.01)


# ------------------------------------------------------------------------------ learning

# Small images keep the test short: the smallest side that leaves batch norm something to measure.
SIDE = {"vgg16": 32, "inception_v3": 23}


@pytest.mark.parametrize("model", NETWORKS)
def test_sixteen_images_can_be_learnt(model: str) -> None:
    net = built(model)
    side = SIDE.get(model, 16)
    coarse = 10 * torch.randn(16, 3, 4, 4)  # strong contrast, for AlexNet's sake
    images = nn.functional.interpolate(coarse, size=(side, side))  # (16, 3, side, side)
    labels = torch.arange(16) % 10
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5  # so that the statistics for evaluation follow in few steps
    optimizer: torch.optim.Optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    if model == "alexnet":  # without batch norm Adam's first steps at this rate are too large
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(150):
        loss = nn.functional.cross_entropy(net.train()(images), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            if torch.equal(net.eval()(images).argmax(1), labels):
                return
    pytest.fail("not all of the 16 images were learnt in 150 steps")


# ------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("name", NETWORKS)
def test_what_status_says_of_memory_is_what_a_network_keeps(name: str) -> None:
    """Bytes kept for the backward pass, weights apart; each piece of memory once."""
    net = build(name, "pytorch", 0.01).to(memory_format=torch.channels_last).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(x).sum().backward()
    need = status.NEEDS[name]
    assert sum(kept.values()) / 2 == pytest.approx(need.activations, rel=0.02)
    assert sum(parameter.numel() for parameter in net.parameters()) == need.parameters
