"""GoogLeNet (Szegedy et al. 2015) with batch normalization, without auxiliary classifiers."""

from __future__ import annotations

from torch import nn
from torchvision import models

from cnnpaper.engine.stem import CLASSES, stem_conv


def build() -> nn.Module:
    """Stride 2 of the first convolution and the first pool removed."""
    net = models.googlenet(weights=None, num_classes=CLASSES, aux_logits=False, init_weights=False)
    net.conv1.conv = stem_conv()
    net.maxpool1 = nn.Identity()
    return net
