"""Does a study agree with itself? What a log says twice, or what can be computed, is compared.

Every refusal names file, line and both values. Nothing here guards against a forger, who could edit
the repository's history as well; it finds what was damaged, mixed up or edited by mistake.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from cnnpaper import log, metrics, timings
from cnnpaper.advice import advice
from cnnpaper.config import Budget, RunSpec, Study
from cnnpaper.files import UserError, sha256_file
from cnnpaper.log import PREDICTIONS_NAME, LogError, Run
from cnnpaper.timings import Timing

DATA_NAMES = {
    "original": "CIFAR-10",
    "jpeg75": "CIFAR-10, re-encoded",
    "synthetic": "synthetic images",
}
"""What the loader calls the data of a study's ``set``."""
CLOSE = 1e-9
"""Relative; of a mean that another version of numpy may add up in another order."""


def _restore(run: Run) -> str:
    over = log.again(run.header, FORCE=1) if run.header.origin == "trained" else "import it again"
    return f"restore the file from version control, or train the run from scratch: {over}"


def _bad(run: Run, line: str, text: str) -> LogError:
    return LogError(f"{run.path}:{run.line_numbers.get(line, 1)}: {text}\n{_restore(run)}")


def _bad_file(run: Run, text: str) -> LogError:
    return LogError(f"{run.path.with_name(PREDICTIONS_NAME)}: {text}\n{_restore(run)}")


# --------------------------------------------------------------------------------- one run


def own_spec(run: Run) -> RunSpec:
    """What a trained run itself says that it is."""
    try:
        return RunSpec.model_validate_json(json.dumps(run.header.spec))
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _bad(run, "header", f"spec.{key}: {error.errors()[0]['msg']}") from None


def check_run(run: Run, result: log.Result) -> None:
    """The log of a trained run agrees with its own header.

    Raises:
        LogError: it does not.
    """
    spec = own_spec(run)
    if result.status not in ("finished", "diverged"):
        raise _bad(run, "result", f"status = {result.status!r} of a run that was trained here")
    finished = result.status == "finished"
    _check_length(run, spec, finished)
    expected = [spec.data.test_images] if finished and spec.data.test_images else []
    if [reading.images for reading in run.readings] != expected:
        sizes = [reading.images for reading in run.readings]
        raise _bad(run, "reading", f"readings of the test images: {sizes}, expected {expected}")
    if finished != (result.predictions_sha256 is not None):
        raise _bad(run, "result", f"{result.status}, predictions_sha256 = "
                   f"{result.predictions_sha256}")  # fmt: skip
    if not finished and (result.test_acc, result.test_loss) != (None, None):
        raise _bad(run, "result", "metrics of the test images, but the run diverged")


def _check_length(run: Run, spec: RunSpec, finished: bool) -> None:
    """Epochs are whole, the last one may be partial, and their steps add up."""
    done = 0
    for epoch in run.epochs:
        planned = min(spec.steps_per_epoch, spec.steps - done)
        last = epoch is run.epochs[-1]
        if epoch.steps != planned and (finished or not last):
            line = f"epoch {epoch.epoch}"
            raise _bad(run, line, f"steps = {epoch.steps}, where {planned} are expected")
        done += epoch.steps or 0
    if finished and done != spec.steps:
        raise _bad(run, "result", f"finished after {done} of {spec.steps} steps")


def read_predictions(run: Run) -> log.Predictions:
    """The predictions that the result line binds.

    Raises:
        LogError: the file is missing or another one, or holds other arrays.
    """
    path = run.path.with_name(PREDICTIONS_NAME)
    expected = run.result.predictions_sha256 if run.result else None
    if path.is_file() and sha256_file(path) != expected:
        text = "not the predictions that the run's result line names (other SHA-256)"
        raise _bad_file(run, text)
    return log.read_predictions(path)


def check_metrics(run: Run, found: log.Predictions) -> None:
    """Metrics follow from the predictions, and these are of as many images as the run had.

    Raises:
        LogError: they do not.
    """
    spec, result = own_spec(run), run.result
    assert result is not None
    sizes = {"val": spec.data.validation_images, "test": spec.data.test_images}
    for part, size in sizes.items():
        labels, logits = getattr(found, f"{part}_labels"), getattr(found, f"{part}_logits")
        if len(labels) != size:
            raise _bad_file(run, f"{part}_labels of {len(labels)} images, expected {size}")
        acc = metrics.accuracy(labels, logits) if size else None
        loss = metrics.cross_entropy(labels, logits) if size else None
        for name, value in ((f"{part}_acc", acc), (f"{part}_loss", loss)):
            logged = result.exact(name)
            same = logged is not None and value is not None and math.isclose(
                logged, value, rel_tol=CLOSE if name.endswith("loss") else 0.0
            )  # fmt: skip
            if not same and (logged, value) != (None, None):
                raise _bad(run, "result", f"{name} = {logged}, but the predictions give {value}")
    last = run.epochs[-1].val_acc
    if last != result.val_acc:
        raise _bad(run, "result", f"val_acc = {result.val_acc}, but the last epoch has {last}")


# --------------------------------------------------------------------------------- the study


def check_together(logs: Mapping[str, Run], predictions: Mapping[str, log.Predictions]) -> None:
    """All runs are about the same images, and their metrics are those of their predictions.

    Raises:
        LogError: they are not.
    """
    first = next(iter(logs.values()), None)
    for run in logs.values():
        if first is not None and run.header.data.digest != first.header.data.digest:
            raise _bad(run, "header", "data.digest: other images than those of "
                       f"{first.path.parent}; a study is about one set")  # fmt: skip
    labels: log.Predictions | None = None
    for path, found in predictions.items():  # each is read once
        check_metrics(logs[path], found)
        labels = labels or found
        for part in ("val_labels", "test_labels"):
            if not np.array_equal(getattr(found, part), getattr(labels, part)):
                other = next(iter(predictions))
                raise _bad_file(logs[path], f"{part} are not those of {other}")


def other_conditions(run: Run, spec: RunSpec) -> list[str]:
    """What the study demands today and no fingerprint knows: threads and images."""
    found = []
    threads, data = run.header.machine.threads, run.header.data
    if spec.threads not in (None, threads) and run.header.machine.gpu is None:
        found.append(f"threads: {threads} -> {spec.threads}")
    if spec.data.digest is not None and spec.data.digest != data.digest:
        found.append(f"data: {str(data.digest)[:12]}… -> {spec.data.digest[:12]}…")
    elif DATA_NAMES.get(spec.data.set, data.name) != data.name:
        found.append(f"data: {data.name} -> {DATA_NAMES[spec.data.set]}")
    return found


def timing_path(root: Path, study: Study) -> Path:
    """``timing.jsonl`` of the study that the budget names, else of this one."""
    name = study.budget.timing if study.budget else study.name
    return root / "results" / "log" / name / timings.TIMING_NAME


def budget_session(root: Path, study: Study) -> tuple[Budget, Mapping[str, tuple[int, Timing]]]:
    """A study's budget and the session of step times that it names.

    Raises:
        UserError: it has no budget, or that session is not there or from another processor.
    """
    file, budget = root / "experiments" / "study" / f"{study.name}.toml", study.budget
    if budget is None:
        raise UserError(f"{file}: no [budget]: no arm of this study is one of equal time")
    path = timing_path(root, study)
    session = timings.read(path).get(budget.session, {})
    if lacking := [model for model in (*study.networks, budget.like) if model not in session]:
        raise UserError(
            f"{file}: budget.session = {budget.session}: {path} has no time of {lacking[0]} in it\n"
            "name a session that has all networks, or measure one: "
            f"{advice('timing', STUDY=budget.timing)}"
        )
    for number, line in session.values():
        if line.machine.processor != budget.processor:
            raise UserError(
                f"{file}: budget.processor = {budget.processor!r}, but session {budget.session} "
                f"was measured on {line.machine.processor!r} ({path}:{number})\n"
                "name that processor, or another session"
            )
    return budget, session


def check_budget(root: Path, study: Study) -> None:
    """Refuse steps of an arm of equal time that are not those of the measured step times.

    Raises:
        UserError: they differ, or the session is not there, although others are.
    """
    path = timing_path(root, study)
    if study.budget is None or not path.exists():
        return
    budget, session = budget_session(root, study)
    for arm, steps in budget.steps.items():
        expected, declared = timings.budget_steps(session, budget.like, steps), study.arm[arm].steps
        for model in study.networks:
            own = declared.get(model) if isinstance(declared, dict) else declared
            if own != expected[model]:
                raise UserError(
                    f"{root / 'experiments' / 'study' / study.name}.toml: arm.{arm}.steps: {model} "
                    f"= {own}, but {steps} steps of {budget.like} take as long as "
                    f"{expected[model]} of {model} ({path}, session {budget.session})\n"
                    f"write what this prints: {advice('budget', STUDY=study.name)}"
                )
