"""Logits of a network on images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cnnpaper.engine.images import normalise

BATCH = 500
"""Images per forward pass; fixed, since it decides the last bits."""


@torch.no_grad()
def logits(
    net: nn.Module,
    images: Tensor,
    memory_format: str,
    tick: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.float32]:
    """Evaluate ``net`` in evaluation mode and float32, and put it back into training mode.

    Args:
        net: the network.
        images: (N, 32, 32, 3) uint8 on the network's device.
        memory_format: ``channels_last`` or ``contiguous``.
        tick: called after each batch; may raise to stop.

    Returns:
        (N, 10) float32.
    """
    net.eval()
    parts = [torch.empty(0, 10)]
    try:
        for part in images.split(BATCH):
            x = normalise(part, memory_format)  # (B, 3, 32, 32)
            parts.append(net(x).cpu())  # (B, 10)
            tick()
    finally:
        net.train()
    return torch.cat(parts).numpy()
