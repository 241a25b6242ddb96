"""Executing a run again, in small and in its first steps.

The **miniature** has all epochs of the run with two steps each, is stopped in the middle and
resumed from its state, is evaluated, chooses its epoch, and predicts with flip averaging. A run
records it before its first step, and then its first full-size steps. Executing both again tells in
seconds whether the code still gives the bits that it gave.

As a program (``python -m cnnpaper.learn.replay REQUEST ANSWER``) this executes one run, in a
process whose threads and instructions are those of the run; :mod:`cnnpaper.learn.verify` asks it.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import cnnpaper
from cnnpaper import fingerprint, predictions
from cnnpaper.certificate import Planned, Replay, Request
from cnnpaper.codeparts import Watched, watching
from cnnpaper.config import RunSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import augment, measure, models, provenance, runner, trials
from cnnpaper.learn.data import DataSet, Images
from cnnpaper.learn.train import Listener, Training, fit
from cnnpaper.records import Data, Epoch, Miniature, Step, finite

BATCH = 16
STEPS = 2
"""Of each epoch."""
FIRST_STEPS = 4
"""Full-size steps whose losses are recorded for a replay."""
_ROOT = Path(cnnpaper.__file__).parents[1]


class _Stop(Exception):
    """Leaves a training in the middle."""


# --------------------------------------------------------------------------------- miniature


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


def watched() -> AbstractContextManager[Watched]:
    """Note what the code that decides a run's numbers executes."""
    return watching(_ROOT, "cnnpaper", beside=fingerprint.BESIDE)


def miniature(
    spec: RunSpec, data: DataSet, device: torch.device, loading: Watched | None = None
) -> Miniature:
    """Execute the run of ``spec`` in small and record what came out, bit for bit.

    Args:
        spec: of the run.
        data: all its images.
        device: where it is executed.
        loading: what was executed when the images were loaded, where that was watched.
    """
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
    with watched() as seen:
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
    seen = seen if loading is None else seen | loading
    return Miniature(
        metrics=metrics,
        state_digest=training.digest(),
        functions=tuple(sorted(seen.functions)),
        unexecuted=seen.unexecuted(),
        images_sha256=_images_digest(data),
    )


def _first(images: Images, count: int) -> Images:
    return Images(pixels=images.pixels[:count], labels=images.labels[:count])


def _images_digest(data: DataSet) -> str:
    total = hashlib.sha256()
    for images in (data.train, data.validation, data.test):
        total.update(images.labels.tobytes())
        total.update(images.pixels.data)
    return total.hexdigest()


# -------------------------------------------------------------------------------- at full size


def schedule_digest(training: Training) -> str:
    """SHA-256 over what the whole run is going to do, known without doing it.

    Learning rate of every step; resolution, order, crops and mirrored images of every epoch. So a
    schedule that only a later step would follow is seen before the first one.
    """
    spec, total = training.spec, hashlib.sha256()
    for epoch in range(spec.epochs):
        total.update(str(augment.resolution(spec.recipe, epoch, spec.epochs)).encode())
        rates = [training.learning_rate(epoch, step) for step in range(training.steps)]
        total.update(repr(rates).encode())
        images = len(training.data.train.labels)
        plan = augment.epoch_plan(spec.recipe, images, spec.seed, epoch)
        for drawn in (plan.order, plan.row, plan.column, plan.mirrored):
            total.update(drawn.numpy().tobytes())
    return total.hexdigest()


def step_line(training: Training, loss: Tensor) -> Step | None:
    """The line of the step that ``training`` has done, if it is one of the run's first."""
    at = training.at
    if at.epoch > 0 or at.step > FIRST_STEPS:
        return None
    last = at.step == min(FIRST_STEPS, training.steps)
    digest = training.digest() if last else None
    return Step(epoch=0, step=at.step - 1, state_digest=digest, **finite(loss=float(loss)))


class _FirstSteps(Listener):
    """Keeps the first steps' lines and stops after the last of them."""

    def __init__(self) -> None:
        self.lines: list[Step] = []

    def after_step(self, training: Training, loss: Tensor) -> None:
        line = step_line(training, loss)
        assert line is not None
        self.lines.append(line)
        if line.state_digest is not None:
            raise _Stop


def first_steps(training: Training) -> tuple[Step, ...]:
    """Do the first steps of a new training."""
    notes = _FirstSteps()
    with suppress(_Stop):
        training.train_epoch(notes)
    return tuple(notes.lines)


def planned(training: Training) -> tuple[Planned, ...]:
    """What every epoch's line will say whatever is learnt."""
    spec = training.spec
    return tuple(
        Planned(
            learning_rate=training.learning_rate(epoch, training.steps - 1),
            resolution=augment.resolution(spec.recipe, epoch, spec.epochs),
        )
        for epoch in range(spec.epochs)
    )


# ------------------------------------------------------------------------------------- program


def execute(request: Request, root: Path) -> Replay:
    """Execute what was asked for, with the code of ``root``.

    Raises:
        UserError: no such device or data; or ``root`` is not what is executed.
    """
    if root.resolve() != _ROOT.resolve():
        raise UserError(
            f"{root.resolve()} is not executed here, but {_ROOT}: "
            "use the environment that lies in this repository (make verify)"
        )
    spec = request.spec
    before = fingerprint.of_run(root, spec)
    device = runner.torch_device("0" if request.gpu else "cpu")
    with watched() as loading:
        data = trials.load(spec.data, Path(request.data_dir), root / "build" / "data")
    line = miniature(spec, data, device, loading)
    training = Training(spec, data, device)
    schedule = schedule_digest(training)
    network = models.describe(training.net)
    steps = first_steps(training)
    if fingerprint.of_run(root, spec) != before:
        raise UserError("the code was changed while it was executed; give the command again")
    return Replay(
        fingerprint=before,
        machine=measure.machine(device, spec.isa_cap),
        packages=provenance.packages(),
        data=Data(name=data.name, digest=data.digest),
        network=network,
        miniature=line.model_copy(update={"schedule_sha256": schedule}),
        steps=steps,
        epochs=planned(training),
        test_labels_sha256=hashlib.sha256(data.test.labels.tobytes()).hexdigest(),
    )


def main(request: Path, answer: Path) -> int:
    """Read a request, execute it, write what came out."""
    try:
        found = execute(Request.model_validate_json(request.read_bytes()), Path())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    answer.write_text(found.model_dump_json(by_alias=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
