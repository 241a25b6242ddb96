"""A run's whole pipeline in small, and its first steps at full size.

The **miniature** has all epochs of the run with two steps each, is stopped in the middle and
resumed from its state, is evaluated, and predicts. A run records it before its first step, and then
its first full-size steps. Executing both again tells in seconds whether code still gives the bits
that it gave (:mod:`cnnpaper.replay`).
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from cnnpaper import metrics
from cnnpaper.config import RunSpec
from cnnpaper.engine import augment
from cnnpaper.engine.images import DataSet, Images
from cnnpaper.engine.schedule import learning_rate
from cnnpaper.engine.training import EpochMetrics, Listener, Training, fit
from cnnpaper.log import Miniature, Predictions, Step, finite

BATCH = 16
STEPS = 2
"""Of each epoch."""
FIRST_STEPS = 4
"""Full-size steps whose losses are recorded."""


class _Stop(Exception):
    """Leaves a training in the middle."""


class _Notes(Listener):
    """Keeps each epoch's metrics; stops after the first step of epoch ``middle``."""

    def __init__(self, middle: int) -> None:
        self.epochs: list[dict[str, Any]] = []
        self._middle = middle

    def after_step(self, training: Training, loss: Tensor) -> None:
        if (training.at.epoch, training.at.step) == (self._middle, 1):
            raise _Stop

    def after_epoch(self, training: Training, epoch: EpochMetrics) -> None:
        values = asdict(epoch)
        losses = {name: values.pop(name) for name in ("train_loss", "val_loss")}
        self.epochs.append(values | finite(**losses))


def small(spec: RunSpec) -> RunSpec:
    """The miniature of ``spec``: as many epochs, each with two steps on few images."""
    batch = min(BATCH, spec.recipe.batch_size)
    counts = {
        "train_images": STEPS * batch,
        "validation_images": 2 * batch,
        "test_images": min(2 * batch, spec.data.test_images),
    }
    recipe = spec.recipe.model_copy(update={"batch_size": batch})
    data = spec.data.model_copy(update=counts)
    return spec.model_copy(update={"steps": STEPS * spec.epochs, "recipe": recipe, "data": data})


def miniature(spec: RunSpec, data: DataSet, device: torch.device) -> Miniature:
    """Execute the miniature of ``spec`` and record what came out; ``data``: all its images."""
    mini, total = small(spec), hashlib.sha256()
    few: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        images, count = getattr(data, part), getattr(mini.data, f"{part}_images")
        few[part] = Images(pixels=images.pixels[:count], labels=images.labels[:count])
        total.update(images.labels.tobytes())
        total.update(images.pixels.data)
    notes = _Notes(middle=spec.epochs // 2)
    training = Training(mini, replace(data, **few), device)
    with suppress(_Stop):
        fit(training, notes)
    state = training.state()
    training = Training(mini, replace(data, **few), device)
    training.restore(state)
    outcome = fit(training, notes)
    found: dict[str, Any] = {"epochs": notes.epochs, "diverged": training.at.diverged}
    if outcome is not None:
        predicted = Predictions(**vars(outcome)).to_bytes()
        found["predictions_sha256"] = hashlib.sha256(predicted).hexdigest()
        if len(outcome.test_labels):
            found["test_acc"] = metrics.accuracy(outcome.test_labels, outcome.test_logits)
            found["test_loss"] = metrics.cross_entropy(outcome.test_labels, outcome.test_logits)
    return Miniature(
        metrics=found,
        state_digest=training.digest(),
        images_sha256=total.hexdigest(),
        schedule_sha256=_schedule_digest(spec),
    )


def _schedule_digest(spec: RunSpec) -> str:
    """SHA-256 over what the whole run is going to do, known without doing it.

    Learning rate of every step; order, crops and mirrored images of every epoch. So a change that
    only a later step would meet is seen before the first one.
    """
    total = hashlib.sha256()
    rates = [learning_rate(spec.recipe, step, spec.steps) for step in range(spec.steps)]
    total.update(repr(rates).encode())
    for epoch in range(spec.epochs):
        plan = augment.epoch_plan(spec.recipe, spec.data.train_images, spec.seed, epoch)
        for drawn in (plan.order, plan.row, plan.column, plan.mirrored):
            total.update(drawn.numpy().tobytes())
    return total.hexdigest()


def step_line(training: Training, loss: Tensor) -> Step | None:
    """The line of the step that ``training`` has just done, if it is one of the run's first."""
    at = training.at
    if at.epoch > 0 or at.step > FIRST_STEPS:
        return None
    last = at.step == min(FIRST_STEPS, training.steps_of(0))
    digest = training.digest() if last else None
    return Step(step=at.step - 1, state_digest=digest, **finite(loss=float(loss)))


def first_steps(spec: RunSpec, data: DataSet, device: torch.device) -> list[Step]:
    """Do the first steps of a new training at full size."""
    lines: list[Step] = []

    class Notes(Listener):
        def after_step(self, training: Training, loss: Tensor) -> None:
            if line := step_line(training, loss):
                lines.append(line)
            if len(lines) == FIRST_STEPS:
                raise _Stop

    with suppress(_Stop):
        Training(spec, data, device).train_epoch(Notes())
    return lines
