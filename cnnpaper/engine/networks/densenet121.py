"""DenseNet-121 (Huang et al. 2017)."""

from __future__ import annotations

from torch import nn
from torchvision import models

from cnnpaper.engine.stem import CLASSES, stem_conv


def build() -> nn.Module:
    """Stride 2 of the first convolution and the first pool removed."""
    net = models.densenet121(weights=None, num_classes=CLASSES)
    net.features.conv0 = stem_conv()
    net.features.pool0 = nn.Identity()
    return net
