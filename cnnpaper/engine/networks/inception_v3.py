"""Inception v3 (Szegedy et al. 2016) without its auxiliary classifier."""

from __future__ import annotations

from torch import nn
from torchvision import models

from cnnpaper.engine.stem import CLASSES


def build() -> nn.Module:
    """Stride 2 of the first convolution and the first pool removed."""
    net = models.inception_v3(
        weights=None, num_classes=CLASSES, aux_logits=False, init_weights=False
    )
    net.Conv2d_1a_3x3.conv.stride = (1, 1)
    net.maxpool1 = nn.Identity()
    return net
