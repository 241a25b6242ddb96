"""AlexNet (Krizhevsky et al. 2012) in its single-column variant (Krizhevsky 2014)."""

from __future__ import annotations

from torch import nn
from torchvision import models

from cnnpaper.engine.stem import CLASSES, stem_conv


def build() -> nn.Module:
    """Stride 4 of the first convolution removed; sides 32, 15, 7, 3 after its three pools."""
    net = models.alexnet(weights=None, num_classes=CLASSES)
    net.features[0] = stem_conv(bias=True)
    net.avgpool = nn.AdaptiveAvgPool2d((3, 3))
    net.classifier[1] = nn.Linear(256 * 3 * 3, 4096)
    return net
