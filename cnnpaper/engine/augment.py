"""What an epoch does to its images: order, crop, mirror image, all drawn from (seed, epoch).

Everything random of an epoch comes from one generator keyed by (seed, epoch), so a run that is
resumed needs no generator's state, only its counters. Images are cropped and mirrored for a whole
batch at once by one gather from padded bytes that lie in channels-last order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnnpaper.config import Recipe
from cnnpaper.engine.images import normalise

SIDE = 32


def key(*parts: int | str) -> int:
    """A seed for torch's generators: the first 32 bits of SHA-256 over the parts.

    CPU generators use the low 32 bits of a seed only, so seeds are hashed, not added up.
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """What one epoch does with N images.

    Attributes:
        order: the images in the order in which they are trained on, (N,) int64.
        row, column: upper left corner of each position's crop in the padded image, (N,) int64.
        mirrored: whether each position's image is mirrored, (N,) bool.
    """

    order: Tensor
    row: Tensor
    column: Tensor
    mirrored: Tensor


def epoch_plan(recipe: Recipe, images: int, seed: int, epoch: int) -> EpochPlan:
    """Draw the plan of ``epoch`` (from 0) for ``images`` training images, on the CPU."""
    generator = torch.Generator().manual_seed(key(seed, epoch, "order and augmentation"))
    order = torch.randperm(images, generator=generator)
    corners = torch.randint(0, 2 * recipe.crop_padding + 1, (2, images), generator=generator)
    if recipe.flip == "alternating":
        # each image starts on a side drawn once per run and changes sides every epoch
        first = torch.Generator().manual_seed(key(seed, "mirrored first"))
        mirrored = torch.rand(images, generator=first)[order] < 0.5
        mirrored = mirrored ^ bool(epoch % 2)
    elif recipe.flip == "random":
        mirrored = torch.rand(images, generator=generator) < 0.5
    else:
        mirrored = torch.zeros(images, dtype=torch.bool)
    return EpochPlan(order=order, row=corners[0], column=corners[1], mirrored=mirrored)


def on_device(plan: EpochPlan, device: torch.device) -> EpochPlan:
    """The plan where the images are, so that no step has to wait for a part of it."""
    return EpochPlan(
        order=plan.order.to(device),
        row=plan.row.to(device),
        column=plan.column.to(device),
        mirrored=plan.mirrored.to(device),
    )


def padded(pixels: npt.NDArray[np.uint8], recipe: Recipe) -> Tensor:
    """Pixels (N, 3, 32, 32) uint8 → (N, 32 + 2p, 32 + 2p, 3) uint8, padded once for all epochs."""
    p = recipe.crop_padding
    mode: Literal["reflect", "constant"] = (
        "reflect" if recipe.crop_mode == "reflect" else "constant"
    )
    batches = [
        np.pad(chunk.transpose(0, 2, 3, 1), ((0, 0), (p, p), (p, p), (0, 0)), mode=mode)
        for chunk in np.array_split(pixels, max(1, len(pixels) // 5000))
    ]
    return torch.from_numpy(np.concatenate(batches))


def batch(images: Tensor, plan: EpochPlan, positions: slice, recipe: Recipe) -> Tensor:
    """Crop, mirror and standardise the images of one step.

    Args:
        images: all training images as :func:`padded` gives them, (N, 32 + 2p, 32 + 2p, 3) uint8.
        plan: of the epoch, on the device of the images.
        positions: which positions of the plan's order; B of them.

    Returns:
        (B, 3, 32, 32) float32.
    """
    index = plan.order[positions]  # (B,)
    sides = torch.arange(SIDE, device=images.device)  # (32,)
    mirrored = plan.mirrored[positions, None]  # (B, 1)
    rows = plan.row[positions, None] + sides  # (B, 32)
    steps = torch.where(mirrored, SIDE - 1 - sides, sides)  # (B, 32)
    columns = plan.column[positions, None] + steps  # (B, 32)
    cut = images[index[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, 32, 32, 3)
    return normalise(cut, recipe.memory_format)  # (B, 3, 32, 32)
