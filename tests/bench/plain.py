"""A plain PyTorch training loop, as people write it after kuangliu/pytorch-cifar: the baseline.

Image by image through torchvision's transforms, batches by a DataLoader, SGD with momentum, a
cosine that falls to zero at the last step. Networks, initial weights, images and batch size are
those of this repository. Two lines that anybody can add, autocast to bfloat16 and channels_last,
are cells of the comparison, so that what they give is not called ours.

``python -m tests.bench.plain --help`` compares its speed and its accuracy with ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cnnpaper import metrics
from cnnpaper.config import RunSpec
from cnnpaper.engine import evaluate
from cnnpaper.engine.images import MEAN, STD, DataSet, Images
from cnnpaper.engine.initialise import build
from cnnpaper.runs.dataset import load_images
from cnnpaper.runs.machine import physical_cores


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How the loop is executed; what it learns does not depend on it, but for rounding."""

    precision: str = "float32"
    memory_format: str = "contiguous"
    workers: int = 0
    """Processes of the DataLoader; 0: the training process prepares its own batches."""

    @property
    def name(self) -> str:
        return f"{self.precision} {self.memory_format}"


CELLS = tuple(
    Cell(precision=precision, memory_format=memory_format)
    for precision in ("float32", "bfloat16")
    for memory_format in ("contiguous", "channels_last")
)
LAYOUT = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class TrainingImages(Dataset[tuple[Tensor, int]]):
    """Images as torchvision.datasets.CIFAR10 gives them: PIL, transformed one by one."""

    def __init__(self, images: Images) -> None:
        self.pixels = np.ascontiguousarray(images.pixels.transpose(0, 2, 3, 1))  # (N, 32, 32, 3)
        self.labels = images.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def train(
    net: nn.Module, images: Images, *, rate: float, steps: int, batch_size: int, cell: Cell
) -> Iterator[float]:
    """Train for ``steps`` steps; after each the epoch's mean loss so far is given to the caller."""
    batches = DataLoader(
        TrainingImages(images), batch_size=batch_size, shuffle=True, num_workers=cell.workers,
        # the default on Linux, but not in a process that was spawned itself
        multiprocessing_context="fork" if cell.workers else None,
    )  # fmt: skip
    layout = LAYOUT[cell.memory_format]
    net.to(memory_format=layout).train()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    scheduler = CosineAnnealingLR(optimizer, T_max=steps)
    done = 0
    while True:
        train_loss = correct = total = 0.0
        for batch, (inputs, targets) in enumerate(batches, start=1):
            inputs = inputs.to(memory_format=layout)  # (B, 3, 32, 32)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=cell.precision == "bfloat16"):
                outputs = net(inputs)  # (B, 10)
                loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
            train_loss += loss.item()
            total += targets.size(0)
            correct += outputs.argmax(1).eq(targets).sum().item()
            done += 1
            yield train_loss / batch
            if done == steps:
                return


def new_network(spec: RunSpec, seed: int) -> nn.Module:
    """The network with initial weights by our rule; ``seed`` decides order and crops, too."""
    torch.manual_seed(seed)
    return build(spec.builder)


def validation_accuracy(
    spec: RunSpec, data: DataSet, *, rate: float, steps: int, seed: int, cell: Cell
) -> float | None:
    """Train one network; evaluate its last weights in float32, as ours are. None: it diverged."""
    net = new_network(spec, seed)
    size = spec.recipe.batch_size
    losses = train(net, data.train, rate=rate, steps=steps, batch_size=size, cell=cell)
    if not all(map(math.isfinite, losses)):
        return None
    pixels = torch.from_numpy(np.ascontiguousarray(data.validation.pixels.transpose(0, 2, 3, 1)))
    logits = evaluate.logits(net, pixels, cell.memory_format)  # (N, 10)
    if not np.isfinite(logits).all():
        return None
    return float(metrics.accuracy(data.validation.labels, logits))


def timed(
    spec: RunSpec, data_dir: Path, cell: Cell, steps: int, warmup: int
) -> Iterator[list[float]]:
    """Rounds of one loop, in a process as :func:`cnnpaper.runs.timing.timed` is for ours."""
    torch.set_num_threads(spec.threads or physical_cores())
    data = load_images(spec.data, data_dir)
    rate, size = spec.recipe.peak_learning_rate, spec.recipe.batch_size
    net = new_network(spec, spec.seed)
    losses = train(net, data.train, rate=rate, steps=10**9, batch_size=size, cell=cell)
    next(losses)
    yield []
    while True:
        for _ in islice(losses, warmup):
            pass
        laps = [perf_counter(), *(perf_counter() for _ in islice(losses, steps))]
        yield np.diff(laps).tolist()


if __name__ == "__main__":
    from tests.bench.compare import main

    main()
