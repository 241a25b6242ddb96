"""Does a study agree with itself? What a log says twice, or what can be computed, is compared.

The digests of a log show that it was changed after it was written. These checks show more: they
find a log whose digests were made anew, where it then contradicts itself, its predictions, the
recipe, or the other files of its study. Every refusal names file, line, and both values.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from cnnpaper import schedule
from cnnpaper.config import RunSpec, validated
from cnnpaper.predictions import Predictions, accuracy, cross_entropy
from cnnpaper.records import PREDICTIONS_NAME, Epoch, LogError, Run
from cnnpaper.textlog import planned_epochs

EVALUATIONS_NAME = "test-evaluations.jsonl"
DATA_NAMES = {
    "original": "CIFAR-10",
    "jpeg75": "CIFAR-10, re-encoded",
    "synthetic": "synthetic images",
}
"""What the loader calls the data of a study's ``set``."""
TEST_LABELS = "7f416532c1a04077b0160beabea50e2811c8ddd7"
"""SHA-1 over the 10,000 label bytes of CIFAR-10's test batch, in the official order."""
NOT_IN_FINGERPRINT = ("study", "variant", "threads", "isa_cap")
"""Keys of a run's spec that decide no number, or that only decide last digits."""
CLOSE = 1e-9
"""Relative; for sums that another version may add up in another order."""


class _Data(BaseModel):
    set: str
    train_images: int
    validation_images: int
    test_images: int


class _Recipe(BaseModel):
    batch_size: int


class _Spec(BaseModel):
    """The part of a header's spec that is compared here; a later version may have other keys."""

    study: str
    model: str
    variant: str | None
    seed: int
    epochs: int
    threads: int | None
    isa_cap: str | None
    data: _Data
    recipe: _Recipe


def _spec(run: Run) -> _Spec:
    return validated(_Spec, run.header.spec or {}, f"{run.path}:1: spec")


def _refuse(run: Run, line: str, text: str) -> NoReturn:
    raise LogError(f"{run.path}:{run.line_numbers[line]}: {text}")


# ------------------------------------------------------------------------------- one log


def check_run(run: Run) -> None:
    """A log with a result agrees with itself.

    Raises:
        LogError: it does not.
    """
    if run.header.origin == "trained":
        _check_header(run)
        _check_steps(run)
        for epoch in run.epochs:
            _check_epoch(run, epoch)
    _check_result(run)


def _check_header(run: Run) -> None:
    """What the header says twice: identity, configuration, processor, packages."""
    header, spec = run.header, _spec(run)
    for name in ("study", "model", "variant", "seed"):
        own, planned = getattr(header, name), getattr(spec, name)
        if own != planned:
            _refuse(run, "header", f"{name} = {own!r}, but spec.{name} = {planned!r}")
    if header.fingerprint is None:
        _refuse(run, "header", "fingerprint = null: nothing says which code made this run")
    identity = {k: v for k, v in (header.spec or {}).items() if k not in NOT_IN_FINGERPRINT}
    if identity != header.fingerprint.config:
        keys = {*identity, *header.fingerprint.config}
        other = [k for k in sorted(keys) if identity.get(k) != header.fingerprint.config.get(k)]
        _refuse(run, "header", f"spec and fingerprint.config differ in {', '.join(other)}")
    if spec.threads not in (None, header.machine.threads) or header.machine.isa_cap != spec.isa_cap:
        _refuse(run, "header", "threads or isa_cap of spec are not those of machine")
    for name, locked in header.fingerprint.packages.items():
        used = header.packages.get(name)
        if used is None or _public(used) not in map(_public, locked.split(", ")):
            _refuse(run, "header", f"packages.{name} = {used!r}, but the lock had {locked!r}")
    expected = DATA_NAMES.get(spec.data.set, header.data.name)
    if header.data.name != expected:
        _refuse(run, "header", f"data.name = {header.data.name!r}, but {spec.data.set!r} data is "
                f"{expected!r}")  # fmt: skip
    _check_network(run)
    if header.started is not None:
        try:
            datetime.datetime.strptime(header.started, "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            _refuse(run, "header", f"started = {header.started!r} is no time in UTC")


def _public(version: str) -> str:
    """Without the local part: ``2.14.1`` of ``2.14.1+cpu``."""
    return version.partition("+")[0]


def _check_network(run: Run) -> None:
    """The network's sums are those of its layers; parameters outside of listed layers may be."""
    network = run.header.network
    macs = sum(layer.macs for layer in network.layers)
    if network.layers and network.macs != macs:
        _refuse(run, "header", f"network.macs = {network.macs}, but its layers have {macs}")
    parameters = sum(layer.parameters for layer in network.layers)
    if (network.parameters or 0) < parameters:
        _refuse(run, "header", f"network.parameters = {network.parameters}, but its layers have "
                f"{parameters}")  # fmt: skip


def _check_steps(run: Run) -> None:
    for number, step in enumerate(run.steps):
        if (step.epoch, step.step) != (0, number):
            _refuse(run, f"step {number}", f"step {step.step} of epoch {step.epoch} where step "
                    f"{number} of epoch 0 is expected")  # fmt: skip


def _check_epoch(run: Run, epoch: Epoch) -> None:
    """Null where it is said to be not finite; shares of whole images; nothing below zero."""
    line, spec = f"epoch {epoch.epoch}", _spec(run)
    _check_nonfinite(run, epoch)
    # other_cpu_s may be: a difference of clocks with coarse ticks
    for name in ("train_loss", "val_loss", "train_s", "train_cpu_s", "eval_s"):
        value = getattr(epoch, name)
        if value is not None and value < 0:
            _refuse(run, line, f"{name} = {value} is below zero")
    learnt = schedule.images_learnt(spec.data.train_images, spec.recipe.batch_size)
    for name, images in (("train_acc", learnt), ("val_acc", spec.data.validation_images)):
        share = getattr(epoch, name)
        if name == "train_acc" and _diverged_in(run, epoch):
            images = 0  # it broke off within the epoch, after how many images is not written
        if share is not None and not _is_share(share, images):
            _refuse(run, line, f"{name} = {share} is no share of {images} images")


def _is_share(share: float, images: int) -> bool:
    if not 0 <= share <= 1:
        return False
    return images == 0 or round(share * images) / images == share


def _check_nonfinite(run: Run, epoch: Epoch) -> None:
    line = f"epoch {epoch.epoch}"
    for name in epoch.nonfinite:
        if getattr(epoch, name, 0) is not None:
            _refuse(run, line, f"nonfinite.{name}, but {name} is a number or no field")
    if epoch.nonfinite and not _diverged_in(run, epoch):
        _refuse(run, line, "a value is not finite, but the run went on or did not diverge")


def _diverged_in(run: Run, epoch: Epoch) -> bool:
    assert run.result is not None
    return run.result.status == "diverged" and epoch.epoch == len(run.epochs) - 1


# ------------------------------------------------------------------------------- the result


def _check_result(run: Run) -> None:
    """The result line is that of these epochs."""
    result, planned = run.result, planned_epochs(run)
    assert result is not None
    if result.status == "finished" and len(run.epochs) != planned:
        _refuse(run, "result", f"finished after {len(run.epochs)} of {planned} epochs")
    best = result.best_epoch
    if best is not None and not 0 <= best < len(run.epochs):
        _refuse(run, "result", f"best_epoch = {best}: there is no such epoch")
    if run.header.origin == "trained":
        _check_best(run)
        _check_status(run)
        seconds = sum((epoch.train_s or 0) + (epoch.eval_s or 0) for epoch in run.epochs)
        if result.total_s is None or not math.isclose(result.total_s, seconds, rel_tol=CLOSE):
            _refuse(run, "result", f"total_s = {result.total_s}, but the epochs took {seconds}")


def _check_best(run: Run) -> None:
    """Of the epochs that stayed finite, the first one of the highest validation accuracy."""
    assert run.result is not None
    known = [e for e in run.epochs if e.val_acc is not None and e.val_loss is not None]
    first = max(known, key=lambda epoch: (epoch.val_acc or 0.0, -epoch.epoch), default=None)
    best = None if first is None else first.epoch
    if run.result.best_epoch != best:
        _refuse(run, "result", f"best_epoch = {run.result.best_epoch}, but epoch {best} has the "
                "highest validation accuracy")  # fmt: skip
    logged = None if first is None else first.val_acc
    if run.result.best_val_acc != logged:
        _refuse(run, "result", f"best_val_acc = {run.result.best_val_acc}, but epoch {best} has "
                f"{logged}")  # fmt: skip


def _check_status(run: Run) -> None:
    """A finished run was tested, unless its study has no test images; a diverged one was not."""
    result = run.result
    assert result is not None
    last = run.epochs[-1] if run.epochs else None
    if result.status == "cut off":
        _refuse(run, "result", "cut off, which is said of imported logs alone")
    finite = last is None or not (last.train_loss is None or last.val_loss is None)
    if result.status == "diverged" and finite:
        _refuse(run, "result", "diverged, but the losses of the last epoch are finite")
    tested = result.predictions_sha256 is not None
    if tested != (result.status == "finished" and _spec(run).data.test_images > 0):
        which = "with" if tested else "without"
        _refuse(run, "result", f"{result.status} {which} predictions of the test images")
    if not tested and any(
        getattr(result, name) is not None for name in ("test_acc", "test_loss", "test_acc_tta")
    ):
        _refuse(run, "result", "metrics of test images without predictions")
    if result.nonfinite:
        _refuse(run, "result", f"{next(iter(result.nonfinite))} is not finite")


# ------------------------------------------------------------------------------- the recipe


def check_schedule(run: Run, spec: RunSpec) -> None:
    """The epochs of a log follow the recipe.

    Args:
        run: trained with today's code.
        spec: of the run, today's.

    Raises:
        LogError: they do not.
    """
    steps = schedule.steps(spec.data.train_images, spec.recipe.batch_size)
    for epoch in run.epochs:
        line = f"epoch {epoch.epoch}"
        side = schedule.resolution(spec, epoch.epoch)
        if epoch.resolution != side:
            _refuse(run, line, f"resolution = {epoch.resolution}, but the recipe gives {side}")
        # a run that diverged stopped within its last epoch
        ends = range(steps) if _diverged_in(run, epoch) else [steps - 1]
        rates = [schedule.learning_rate(spec, epoch.epoch, step) for step in ends]
        if not any(math.isclose(epoch.learning_rate or 0, r, rel_tol=CLOSE) for r in rates):
            _refuse(run, line, f"learning_rate = {epoch.learning_rate}, but the recipe gives "
                    f"{rates[-1]} (cnnpaper/schedule.py)")  # fmt: skip
        weights = "ema" if spec.recipe.ema_decay else "raw"
        if epoch.weights != weights:
            _refuse(run, line, f"weights = {epoch.weights!r}, but the recipe gives {weights!r}")


# ------------------------------------------------------------------------------- the study


def check_together(
    logs: Mapping[str, Run], predictions: Mapping[str, Predictions], folder: Path
) -> None:
    """The runs of a study are about one data set, and its log of test evaluations knows them.

    Args:
        logs: by run.
        predictions: by run, of those that were tested; each is loaded and compared in turn.
        folder: of the study's logs.

    Raises:
        LogError: they are not, or a metric is not that of the predictions.
    """
    runs = list(logs.values())
    networks: dict[tuple[str, str | None], Run] = {}
    for run in runs:
        if run.header.data != runs[0].header.data:
            _refuse(run, "header", f"data: {run.name} and {runs[0].name} were trained on different "
                    "data, or data of different names")  # fmt: skip
        first = networks.setdefault((run.header.model, run.header.variant), run)
        if run.header.network != first.header.network:
            _refuse(run, "header", f"network: not that of {first.name}, which is the same network")
    _check_evaluations([logs[name] for name in predictions], folder / EVALUATIONS_NAME)
    _check_predictions(logs, predictions)


def _check_predictions(logs: Mapping[str, Run], predictions: Mapping[str, Predictions]) -> None:
    """Metrics are those of the arrays; all runs have the same labels, none those of another."""
    labels: np.ndarray | None = None
    seen: dict[str | None, str] = {}
    for name, found in predictions.items():
        run = logs[name]
        assert run.result is not None
        check_metrics(run, found)
        _check_labels(run, found)
        if labels is None:
            labels, first = found.labels, name
        if not np.array_equal(labels, found.labels):
            raise LogError(
                f"{run.path.with_name(PREDICTIONS_NAME)}: labels: {name} and {first} were tested "
                "on different images"
            )
        other = seen.setdefault(run.result.predictions_sha256, name)
        if other != name:
            _refuse(run, "result", f"predictions_sha256: {name} has the predictions of {other}")


def _check_labels(run: Run, found: Predictions) -> None:
    """As many as the study says; of the whole of CIFAR-10's test set, in the official order."""
    data = _spec(run).data
    path = run.path.with_name(PREDICTIONS_NAME)
    if len(found.labels) != data.test_images:
        raise LogError(
            f"{path}: {len(found.labels)} test images, but spec.data.test_images = "
            f"{data.test_images}"
        )
    whole = data.set in ("original", "jpeg75") and data.test_images == 10_000
    digest = hashlib.sha1(found.labels.tobytes(), usedforsecurity=False).hexdigest()
    if whole and digest != TEST_LABELS:
        raise LogError(f"{path}: labels are not those of CIFAR-10's test images")


def check_metrics(run: Run, predictions: Predictions) -> None:
    """The metrics of the result line are those of the predictions.

    Raises:
        LogError: they are not.
    """
    result = run.result
    assert result is not None
    for key, value in metrics_of(predictions).items():
        logged = result.exact(key)
        tolerance = CLOSE if key == "test_loss" else 0.0
        if logged is None or not math.isclose(logged, value, rel_tol=tolerance):
            _refuse(run, "result", f"{key} = {logged}, but {PREDICTIONS_NAME} gives {value}")


def metrics_of(found: Predictions) -> dict[str, float]:
    """test_acc, test_loss and test_acc_tta of these arrays."""
    return {
        "test_acc": accuracy(found.labels, found.logits),
        "test_loss": cross_entropy(found.labels, found.logits),
        "test_acc_tta": accuracy(found.labels, found.logits_tta),
    }


# ------------------------------------------------------------------------------- test evaluations


class _Evaluation(BaseModel):
    """That the test images were about to be evaluated."""

    model_config = ConfigDict(strict=True)

    run: str
    at: str
    log_digest: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    """Of the log's last line at that time, which the result line follows."""


def _check_evaluations(tested: list[Run], path: Path) -> None:
    """Every run with predictions was written down before it was tested, with its log's digest."""
    known = {(entry.run, entry.log_digest) for entry in _evaluations(path)}
    for run in tested:
        before = run.digests[run.line_numbers["result"] - 2]
        if (run.name, before) not in known:
            _refuse(run, "result", f"{path} does not say that {run.name} was tested after the line "
                    f"before this one ({before[:12]}…)\nrestore both files from version control, "
                    "or run the experiment again")  # fmt: skip


def _evaluations(path: Path) -> list[_Evaluation]:
    if not path.is_file():
        return []
    entries = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            entries.append(_Evaluation.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise LogError(f"{path}:{number}: {key or 'line'}: {first['msg']}") from None
    return entries
