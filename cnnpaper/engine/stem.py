"""One rule for networks that were designed for images of 224 x 224 pixels.

Take torchvision's network without weights, remove exactly the first fourfold downsampling of its
stem, give the head ten outputs, and change nothing else. VGG-16 is the one exception: its stem does
not downsample, and its classifier becomes one linear layer, as the CIFAR collections have it.
"""

from __future__ import annotations

from torch import nn

CLASSES = 10
IMAGE = (3, 32, 32)
"""Channels, height and width of one image."""


def stem_conv(*, bias: bool = False) -> nn.Conv2d:
    """3 x 3 convolution that keeps height and width, in place of a 7 x 7 or 11 x 11 one."""
    return nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=bias)  # (N, 3, H, W) → (N, 64, H, W)
