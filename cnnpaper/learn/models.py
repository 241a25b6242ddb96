"""The networks: torchvision's definitions with a stem for 32 x 32 images and ten classes.

One rule makes all of them: take torchvision's network without weights, remove exactly the first
fourfold downsampling of its stem, which was made for 224 x 224 images, resize the head, and change
nothing else. VGG-16 is the one exception: its stem does not downsample, and its classifier becomes
one linear layer, as the CIFAR collections have it.

To add a network, write a function that returns it, put it into :data:`BUILDERS`, and describe it
in ``experiments/NAME.toml``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.mobilenetv2 import InvertedResidual

from cnnpaper.errors import UserError, nearest
from cnnpaper.records import Layer, Network

CLASSES = 10
IMAGE = (3, 32, 32)
"""Channels, height and width of one image."""


def _stem_conv(bias: bool = False) -> nn.Conv2d:
    """3 x 3 convolution that keeps height and width, in place of a 7 x 7 or 11 x 11 one."""
    return nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=bias)


def alexnet() -> nn.Module:
    """Stride 4 of the first convolution removed; sides 32, 15, 7, 3 after its three pools."""
    net = models.alexnet(weights=None, num_classes=CLASSES)
    net.features[0] = _stem_conv(bias=True)
    net.avgpool = nn.AdaptiveAvgPool2d((3, 3))
    net.classifier[1] = nn.Linear(256 * 3 * 3, 4096)
    return net


def vgg16() -> nn.Module:
    """With batch norm; five pools leave one pixel of 512 channels, so the head is one layer."""
    net = models.vgg16_bn(weights=None, num_classes=CLASSES, init_weights=False)
    net.avgpool = nn.AdaptiveAvgPool2d((1, 1))
    net.classifier = nn.Linear(512, CLASSES)
    return net


def googlenet() -> nn.Module:
    """Stride 2 of the first convolution and the first pool removed; no auxiliary heads."""
    net = models.googlenet(weights=None, num_classes=CLASSES, aux_logits=False, init_weights=False)
    net.conv1.conv = _stem_conv()
    net.maxpool1 = nn.Identity()
    return net


def _resnet(net: models.ResNet) -> nn.Module:
    """Stride 2 of the first convolution and the pool after it removed."""
    net.conv1 = _stem_conv()
    net.maxpool = nn.Identity()
    return net


def resnet18() -> nn.Module:
    """Basic blocks, 2 + 2 + 2 + 2."""
    return _resnet(models.resnet18(weights=None, num_classes=CLASSES))


def resnet50() -> nn.Module:
    """Bottleneck blocks, 3 + 4 + 6 + 3."""
    return _resnet(models.resnet50(weights=None, num_classes=CLASSES))


def inception_v3() -> nn.Module:
    """Stride 2 of the first convolution and the first pool removed; no auxiliary head."""
    net = models.inception_v3(
        weights=None, num_classes=CLASSES, aux_logits=False, init_weights=False
    )
    net.Conv2d_1a_3x3.conv.stride = (1, 1)
    net.maxpool1 = nn.Identity()
    return net


def mobilenet_v2() -> nn.Module:
    """Stride 2 of the first convolution and of the stage with 24 channels removed."""
    net = models.mobilenet_v2(weights=None, num_classes=CLASSES)
    net.features[0][0].stride = (1, 1)
    net.features[2] = InvertedResidual(16, 24, stride=1, expand_ratio=6)
    return net


def densenet121() -> nn.Module:
    """Stride 2 of the first convolution and the first pool removed."""
    net = models.densenet121(weights=None, num_classes=CLASSES)
    net.features.conv0 = _stem_conv()
    net.features.pool0 = nn.Identity()
    return net


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "alexnet": alexnet,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "inception_v3": inception_v3,
    "mobilenet_v2": mobilenet_v2,
    "densenet121": densenet121,
}
"""Function of each network, by the name that ``builder`` has in its experiment file."""


def build(builder: str, initialisation: str, std: float) -> nn.Module:
    """A network that maps (N, 3, 32, 32) to logits (N, 10), its weights newly drawn.

    The weights come from torch's global generator, which the caller seeds.

    Args:
        builder: name in :data:`BUILDERS`.
        initialisation: scheme of :func:`initialise`.
        std: standard deviation where the scheme is ``truncated_normal``.

    Raises:
        UserError: there is no such builder.
    """
    if builder not in BUILDERS:
        raise UserError(
            f"builder = {builder!r}: no function of that name{nearest(builder, BUILDERS)}\n"
            f"known builders: {', '.join(BUILDERS)}; to add one, see cnnpaper/learn/models.py"
        )
    with torch.device("meta"):  # no memory yet: the weights are drawn once, by initialise
        net = BUILDERS[builder]()
    net.to_empty(device="cpu")
    initialise(net, initialisation, std)
    return net


def initialise(net: nn.Module, scheme: str, std: float) -> None:
    """Draw all weights anew, in place, by a scheme that the experiment file chooses.

    Batch norm begins as the identity (scale 1, shift 0, mean 0, variance 1). The rest by scheme;
    in brackets the networks for which torchvision has it:

    - ``pytorch`` (AlexNet): uniform on ±1 / sqrt(fan in), weights and biases.
    - ``he_normal_fan_out`` (VGG, ResNet, MobileNetV2): convolutions N(0, 2 / fan out), biases 0;
      linear layers N(0, 0.01²), biases 0, in VGG and MobileNetV2; as ``pytorch`` in ResNet.
    - ``he_normal_fan_in`` (DenseNet): convolutions N(0, 2 / fan in); linear layers as ``pytorch``,
      but with biases 0.
    - ``truncated_normal`` (GoogLeNet, Inception): convolutions and linear layers N(0, std²), cut
      at ±2; biases as ``pytorch``.

    Raises:
        ValueError: no such scheme.
        TypeError: a layer holds weights or buffers that no scheme knows how to set.
    """
    if scheme not in ("pytorch", "he_normal_fan_out", "he_normal_fan_in", "truncated_normal"):
        raise ValueError(f"no initialisation {scheme!r}")
    small_linear = isinstance(net, models.VGG | models.MobileNetV2)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
            _draw(module, scheme, std, small_linear)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise TypeError(f"{name}: no rule to initialise a {type(module).__name__}")


def _draw(module: nn.Conv2d | nn.Linear, scheme: str, std: float, small_linear: bool) -> None:
    """Replace PyTorch's own draw where ``scheme`` differs from it."""
    if scheme == "truncated_normal":
        nn.init.trunc_normal_(module.weight, std=std, a=-2.0, b=2.0)
        return
    if scheme == "pytorch":
        return
    if isinstance(module, nn.Conv2d):
        mode: Literal["fan_in", "fan_out"] = "fan_in" if scheme.endswith("fan_in") else "fan_out"
        nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
    elif scheme == "he_normal_fan_out":
        if not small_linear:
            return
        nn.init.normal_(module.weight, std=0.01)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


MEASURED = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
"""Layers that :func:`describe` lists."""


def describe(net: nn.Module) -> Network:
    """Parameters, MACs and layers of ``net`` for one image, in the order of execution.

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
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in training.items():
            module.training = flag
    return Network(
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layers),
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
