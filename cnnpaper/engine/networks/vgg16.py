"""VGG-16 (Simonyan and Zisserman 2015) with batch normalization."""

from __future__ import annotations

from torch import nn
from torchvision import models

from cnnpaper.engine.stem import CLASSES


def build() -> nn.Module:
    """Five pools leave one pixel of 512 channels, so the head is one linear layer."""
    net = models.vgg16_bn(weights=None, num_classes=CLASSES, init_weights=False)
    net.avgpool = nn.AdaptiveAvgPool2d((1, 1))
    net.classifier = nn.Linear(512, CLASSES)
    return net
