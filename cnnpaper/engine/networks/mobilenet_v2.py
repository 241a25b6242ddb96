"""MobileNetV2 (Sandler et al. 2018)."""

from __future__ import annotations

from torch import nn
from torchvision import models
from torchvision.models.mobilenetv2 import InvertedResidual

from cnnpaper.engine.stem import CLASSES


def build() -> nn.Module:
    """Stride 2 of the first convolution and of the stage with 24 channels removed."""
    net = models.mobilenet_v2(weights=None, num_classes=CLASSES)
    net.features[0][0].stride = (1, 1)
    net.features[2] = InvertedResidual(16, 24, stride=1, expand_ratio=6)
    return net
