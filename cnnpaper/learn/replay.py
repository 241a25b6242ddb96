"""The run in small: its whole pipeline on few images, recorded before the run's first step.

The miniature has all epochs of the run with two steps each, is stopped in the middle and resumed
from its state, is evaluated, chooses its epoch, and predicts with flip averaging. Executing it
again tells in seconds whether the code still gives the bits that it gave.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

import cnnpaper
from cnnpaper import predictions
from cnnpaper.config import RunSpec
from cnnpaper.learn.data import DataSet, Images
from cnnpaper.learn.train import Listener, Training, fit
from cnnpaper.records import Epoch, Miniature

BATCH = 16
STEPS = 2
"""Of each epoch."""
_PACKAGE = Path(cnnpaper.__file__).parent


class _Stop(Exception):
    """Leaves a miniature in the middle."""


class _Notes(Listener):
    """Keeps an epoch's metrics; stops once, after the first step of the middle epoch."""

    def __init__(self, stop_at: tuple[int, int] | None) -> None:
        self.epochs: list[dict[str, Any]] = []
        self._stop_at = stop_at

    def after_step(self, training: Training, loss: Tensor) -> None:
        if (training.at.epoch, training.at.step) == self._stop_at:
            self._stop_at = None
            raise _Stop

    def after_epoch(self, training: Training, line: Epoch) -> None:
        names = ("train_loss", "train_acc", "val_loss", "val_acc", "nonfinite")
        self.epochs.append({name: getattr(line, name) for name in names})


def miniature(spec: RunSpec, data: DataSet, device: torch.device) -> Miniature:
    """Execute the run of ``spec`` in small and record what came out, bit for bit."""
    batch = min(BATCH, spec.recipe.batch_size)
    small = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"batch_size": batch})})
    few = DataSet(
        name=data.name,
        digest=data.digest,
        address=data.address,
        synthetic=data.synthetic,
        train=_first(data.train, STEPS * batch),
        validation=_first(data.validation, 2 * batch),
        test=_first(data.test, 2 * batch),
    )
    notes = _Notes(stop_at=(spec.epochs // 2, 1))
    with functions_entered() as entered:
        training = Training(small, few, device)
        try:
            predicted = fit(training, notes)
        except _Stop:
            state = training.state()
            training = Training(small, few, device)
            training.restore(state)
            predicted = fit(training, notes)
    metrics: dict[str, Any] = {
        "epochs": notes.epochs,
        "best_epoch": training.at.best_epoch,
        "best_val_acc": training.at.best_val_acc,
        "diverged": training.at.diverged,
    }
    if predicted is not None:
        metrics["test_acc"] = predictions.accuracy(predicted.labels, predicted.logits)
        metrics["test_loss"] = predictions.cross_entropy(predicted.labels, predicted.logits)
        metrics["test_acc_tta"] = predictions.accuracy(predicted.labels, predicted.logits_tta)
        metrics["predictions_sha256"] = hashlib.sha256(predicted.to_bytes()).hexdigest()
    return Miniature(
        metrics=metrics, state_digest=training.digest(), functions=tuple(sorted(entered))
    )


def _first(images: Images, count: int) -> Images:
    return Images(pixels=images.pixels[:count], labels=images.labels[:count])


@contextmanager
def functions_entered() -> Iterator[set[str]]:
    """Collect the functions of this package that are entered: ``module:Qualified.name``."""
    codes: set[CodeType] = set()
    entered: set[str] = set()

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield entered
    finally:
        sys.setprofile(before)
        entered.update(name for code in codes if (name := _unit_name(code)) is not None)


def _unit_name(code: CodeType) -> str | None:
    """``cnnpaper.learn.train:Training.test``; functions inside one count as the outer one."""
    path = Path(code.co_filename)
    if not path.is_relative_to(_PACKAGE):
        return None
    module = ".".join(("cnnpaper", *path.relative_to(_PACKAGE).with_suffix("").parts))
    outer = code.co_qualname.split(".<locals>")[0]
    return None if outer.startswith("<") else f"{module}:{outer}"
