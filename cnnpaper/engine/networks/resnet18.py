"""ResNet-18 (He et al. 2016)."""

from __future__ import annotations

from torch import nn
from torchvision import models

from cnnpaper.engine.stem import CLASSES, stem_conv


def build() -> nn.Module:
    """Stride 2 of the first convolution and the pool after it removed."""
    net = models.resnet18(weights=None, num_classes=CLASSES)
    net.conv1 = stem_conv()
    net.maxpool = nn.Identity()
    return net
