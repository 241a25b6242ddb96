"""What an epoch does to its images: order, crop, mirror image, size, all drawn from (seed, epoch).

Everything random of an epoch comes from one generator keyed by (seed, epoch), so a run that is
resumed needs no generator's state, only its counters. Images are cut out and mirrored for a whole
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
from torch.nn import functional

from cnnpaper.config import Recipe

# Channel statistics of CIFAR-10's training images, in units of 255.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
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
        order: the images in the order in which they are learnt, (N,) int64.
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


def normalise(pixels: Tensor, memory_format: str) -> Tensor:
    """Bytes (B, H, W, 3) → standardised float32 (B, 3, H, W) in the memory format asked for."""
    # few bytes, which a GPU takes without anybody waiting for it
    scale = torch.tensor([1 / (255 * s) for s in STD])
    scale = scale.to(pixels.device, non_blocking=True)
    shift = torch.tensor([m / s for m, s in zip(MEAN, STD, strict=True)])
    shift = shift.to(pixels.device, non_blocking=True)
    x = (pixels * scale - shift).permute(0, 3, 1, 2)  # (B, 3, H, W), channels last in memory
    return x if memory_format == "channels_last" else x.contiguous()


def batch(
    images: Tensor, plan: EpochPlan, positions: slice, recipe: Recipe, resolution: int
) -> Tensor:
    """Cut, mirror, standardise and shrink the images of one step.

    Args:
        images: all training images as :func:`padded` gives them, (N, 32 + 2p, 32 + 2p, 3) uint8.
        plan: of the epoch, on the device of the images.
        positions: which positions of the plan's order; B of them.
        resolution: side of the result in pixels.

    Returns:
        (B, 3, resolution, resolution) float32.
    """
    index = plan.order[positions]  # (B,)
    sides = torch.arange(SIDE, device=images.device)  # (32,)
    mirrored = plan.mirrored[positions, None]  # (B, 1)
    rows = plan.row[positions, None] + sides  # (B, 32)
    steps = torch.where(mirrored, SIDE - 1 - sides, sides)  # (B, 32)
    columns = plan.column[positions, None] + steps  # (B, 32)
    cut = images[index[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, 32, 32, 3)
    x = normalise(cut, recipe.memory_format)  # (B, 3, 32, 32)
    if resolution != SIDE:
        x = functional.interpolate(x, size=resolution, mode="bilinear", antialias=True)
    return x


def resolution(recipe: Recipe, epoch: int, epochs: int) -> int:
    """Side in pixels of the training images of ``epoch`` (from 0)."""
    low = int(recipe.low_resolution_share * epochs)  # rounded down: one epoch alone is in full
    return recipe.low_resolution if epoch < low else SIDE
