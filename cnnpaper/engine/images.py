"""The images of a run: which train, validate and test, and how bytes become numbers.

Everything here is integer arithmetic with constants of its own, the same on every machine and with
every version of numpy; only :func:`normalise` makes floats.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnpaper.config import DataSpec

Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
"""Channel statistics of CIFAR-10's training images, in units of 255."""
TRAINING = 50_000
"""Images of the five training batches; the test batch follows them."""
VALIDATION_PER_CLASS = 500
SPLIT_KEY = 0x5EED_C1FA_0000_0001
"""Decides which images validate. Changing it makes every finished run incomparable."""
SYNTHETIC_KEY = 0x5EED_C1FA_0000_0002


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images and what they show."""

    pixels: Bytes
    """(N, 3, 32, 32), C-contiguous, planes R, G, B."""
    labels: Bytes
    """(N,), 0 to 9."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What one study trains, validates and tests on."""

    name: str
    """What the paper calls the data; the digest decides it."""
    digest: str
    """SHA-256 over the whole set, 64 hexadecimal digits, whatever part of it is used."""
    address: str | None
    """Where the public finds the same bytes, if that is known."""
    train: Images
    validation: Images
    test: Images


def normalise(pixels: Tensor, memory_format: str) -> Tensor:
    """Bytes (B, H, W, 3) → standardised float32 (B, 3, H, W) in the memory format asked for."""
    # few bytes, which a GPU takes without anybody waiting for it
    scale = torch.tensor([1 / (255 * s) for s in STD])
    scale = scale.to(pixels.device, non_blocking=True)
    shift = torch.tensor([m / s for m, s in zip(MEAN, STD, strict=True)])
    shift = shift.to(pixels.device, non_blocking=True)
    x = (pixels * scale - shift).permute(0, 3, 1, 2)  # (B, 3, H, W), channels last in memory
    return x if memory_format == "channels_last" else x.contiguous()


def chosen(pixels: Bytes, labels: Bytes, spec: DataSpec) -> tuple[Images, Images, Images]:
    """Training, validation and test images of a study.

    Args:
        pixels: all 60,000 images in official order, (60000, 3, 32, 32).
        labels: (60000,).
        spec: how many of each.
    """
    train, validation, test = (
        Images(pixels=np.ascontiguousarray(pixels[index]), labels=labels[index])
        for index in split(labels, spec)
    )
    return train, validation, test


def split(labels: Bytes, spec: DataSpec) -> tuple[Indices, Indices, Indices]:
    """Indices of the training, validation and test images, each ascending.

    A function of the labels and a constant alone: 500 images of each class of the training batches
    validate. A smaller set takes the same share of every class, and is part of any larger one.

    Args:
        labels: (60000,) in official order.
    """
    order = _mix(np.arange(len(labels), dtype=np.uint64) + np.uint64(SPLIT_KEY))
    rank = _rank_in_class(labels[:TRAINING], order[:TRAINING])
    validation = np.flatnonzero(rank < VALIDATION_PER_CLASS)
    train = np.flatnonzero(rank >= VALIDATION_PER_CLASS)
    test_rank = _rank_in_class(labels[TRAINING:], order[TRAINING:])
    test = np.arange(TRAINING, len(labels))
    return (
        _first(train, rank[train], labels, spec.train_images),
        _first(validation, rank[validation], labels, spec.validation_images),
        _first(test, test_rank, labels, spec.test_images),
    )


def _rank_in_class(labels: Bytes, order: NDArray[np.uint64]) -> Indices:
    """For each image, how many images of its class come before it in ``order``."""
    ranks = np.empty(len(labels), dtype=np.int64)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        ranks[members[np.argsort(order[members], kind="stable")]] = np.arange(len(members))
    return ranks


def _first(indices: Indices, rank: Indices, labels: Bytes, count: int) -> Indices:
    """``count`` of ``indices``: the lowest ranks first, of every class as many; ascending."""
    chosen = np.lexsort((labels[indices], rank))[:count]
    return np.sort(indices[chosen])


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter integers over 64 bits, the same on every machine and with every version of numpy.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014); numpy's generators promise no
    stream across versions.
    """
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


# --- synthetic images -------------------------------------------------------------------------


def synthetic(spec: DataSpec) -> DataSet:
    """Synthetic images: ten coloured patterns, shifted, mixed and made noisy.

    Integers all through, so the bytes are the same on every machine. Each class is a grid of 4 x 4
    coloured squares; an image shows its own class's pattern, shifted by up to three pixels, with a
    fraction of another class's pattern (up to 48 %) and noise.
    """
    counts = (spec.train_images, spec.validation_images, spec.test_images)
    total = sum(counts)
    labels = (np.arange(total) % 10).astype(np.uint8)
    draws = _draws(0, total * 4).reshape(total, 4)
    other = (labels + 1 + draws[:, 0] % 9) % 10
    share = 1 + draws[:, 1] % 31  # of 64
    patterns = _draws(1, 10 * 3 * 4 * 4).reshape(10, 3, 4, 4) % 256
    patterns = patterns.repeat(8, axis=2).repeat(8, axis=3)  # (10, 3, 32, 32)
    pixels = np.empty((total, 3, 32, 32), dtype=np.uint8)
    for start in range(0, total, 1000):  # bounds the memory of the wide integers
        part = slice(start, min(start + 1000, total))
        weight = share[part, None, None, None]
        mixed = (
            (64 - weight) * _shifted(patterns[labels[part]], draws[part, 2])
            + weight * _shifted(patterns[other[part]], draws[part, 3])
        ) // 64
        noise = _draws(2 + start, mixed.size).reshape(mixed.shape) % 97 - 48
        pixels[part] = np.clip(mixed + noise, 0, 255)
    digest = hashlib.sha256(labels.tobytes() + pixels.tobytes()).hexdigest()
    bounds = np.cumsum((0, *counts))
    train, validation, test = (
        Images(pixels=pixels[a:b], labels=labels[a:b]) for a, b in itertools.pairwise(bounds)
    )
    return DataSet(
        name="synthetic images",
        digest=digest,
        address=None,
        train=train,
        validation=validation,
        test=test,
    )


def _draws(stream: int, count: int) -> Indices:
    """``count`` integers of 32 bits, evenly distributed, from one of many streams."""
    start = (SYNTHETIC_KEY + (stream << 40)) % 2**64
    return (_mix(np.arange(count, dtype=np.uint64) + np.uint64(start)) >> np.uint64(32)).astype(
        np.int64
    )


def _shifted(images: Indices, draws: Indices) -> Indices:
    """(N, 3, 32, 32) rolled, each by -3 to 3 rows and columns that its draw decides."""
    rows = (np.arange(32) - (draws % 7 - 3)[:, None]) % 32  # (N, 32)
    columns = (np.arange(32) - (draws // 7 % 7 - 3)[:, None]) % 32
    index = np.arange(len(images))[:, None, None, None]
    planes = np.arange(3)[None, :, None, None]
    return images[index, planes, rows[:, None, :, None], columns[:, None, None, :]]
