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

DATA_NAMES = {
    "original": "CIFAR-10",
    "jpeg75": "CIFAR-10, re-encoded",
    "synthetic": "synthetic images",
}
"""What the loader calls the data of a study's ``set``."""
CLOSE = 1e-9  # relative; of a mean that another version of numpy may add up in another order


def _bad(run: Run, line: str, text: str) -> LogError:
    """Of a line of a run's log, or of its predictions."""
    path = run.path.with_name(PREDICTIONS_NAME) if line == PREDICTIONS_NAME else run.path
    where = path if path != run.path else f"{path}:{run.line_numbers.get(line, 1)}"
    return log.damaged(path, f"{where}: {text}")


# --------------------------------------------------------------------------------- one run


def own_spec(run: Run) -> RunSpec:
    """What a trained run itself says that it is."""
    try:
        return RunSpec.model_validate_json(json.dumps(run.header.spec))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise _bad(run, "header", f"spec.{key}: {first['msg']}") from None


def check_run(run: Run, spec: RunSpec, result: log.Result) -> None:
    """The log of a trained run agrees with its own header.

    Raises:
        LogError: it does not.
    """
    if result.status not in ("finished", "diverged"):
        raise _bad(run, "result", f"status = {result.status!r} of a run that was trained here")
    finished = result.status == "finished"
    done = sum(epoch.steps or 0 for epoch in run.epochs)
    if finished and done != spec.steps:
        raise _bad(run, "result", f"finished after {done} of {spec.steps} steps")
    expected = [spec.data.test_images] if finished and spec.data.test_images else []
    sizes = [reading.images for reading in run.readings]
    if sizes != expected:
        raise _bad(run, "reading", f"readings of the test images: {sizes}, expected {expected}")
    if finished != (result.predictions_sha256 is not None):
        text = f"{result.status}, predictions_sha256 = {result.predictions_sha256}"
        raise _bad(run, "result", text)
    last = run.epochs[-1].val_acc
    if finished and last != result.val_acc:
        text = f"val_acc = {result.val_acc}, but the last epoch has {last}"
        raise _bad(run, "result", text)


def read_predictions(logs: Mapping[str, Run]) -> dict[str, log.Predictions]:
    """Predictions of the finished runs, which all are about the same images.

    Raises:
        LogError: a file is missing or another one, or it is at odds with its run or with others.
    """
    first = next(iter(logs.values()), None)
    found: dict[str, log.Predictions] = {}
    for path, run in logs.items():
        if first is not None and run.header.data.digest != first.header.data.digest:
            text = f"other images than those of {first.path.parent}; a study is about one set"
            raise _bad(run, "header", f"data.digest: {text}")
        expected = run.result.predictions_sha256 if run.result else None
        if run.result is None or expected is None:
            continue
        file = run.path.with_name(PREDICTIONS_NAME)
        if file.is_file() and sha256_file(file) != expected:
            text = "not the predictions that the run's result line names (other SHA-256)"
            raise _bad(run, PREDICTIONS_NAME, text)
        found[path] = log.read_predictions(file)
        _check_metrics(run, run.result, found[path])
        other, one = next(iter(found.items()))
        for part in ("val_labels", "test_labels"):
            if not np.array_equal(getattr(found[path], part), getattr(one, part)):
                raise _bad(run, PREDICTIONS_NAME, f"{part} are not those of {other}")
    return found


def _check_metrics(run: Run, result: log.Result, found: log.Predictions) -> None:
    """Metrics follow from the predictions, and these are of as many images as the run had."""
    data = own_spec(run).data
    for part, size in {"val": data.validation_images, "test": data.test_images}.items():
        labels, logits = getattr(found, f"{part}_labels"), getattr(found, f"{part}_logits")
        if len(labels) != size:
            text = f"{part}_labels of {len(labels)} images, expected {size}"
            raise _bad(run, PREDICTIONS_NAME, text)
        for name, metric in (("acc", metrics.accuracy), ("loss", metrics.cross_entropy)):
            logged = result.exact(f"{part}_{name}")
            value = metric(labels, logits) if size else None
            close = CLOSE if name == "loss" else 0.0
            if logged is None or value is None:
                same = logged is value
            else:
                same = math.isclose(logged, value, rel_tol=close)
            if not same:
                text = f"{part}_{name} = {logged}, but the predictions give {value}"
                raise _bad(run, "result", text)


# --------------------------------------------------------------------------------- the study


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


def budget_session(root: Path, study: Study) -> tuple[Budget, timings.Session]:
    """A study's budget and the session of step times that it names.

    Raises:
        UserError: it has no budget, or that session is not there or from another processor.
    """
    file, budget = _file(root, study), study.budget
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


def check_budget(root: Path, study: Study, specs: list[RunSpec]) -> None:
    """Refuse arms of equal time that do not follow from the measured step times.

    Raises:
        UserError: their steps are others, or were timed in another precision, or the session is
            not there, although others are.
    """
    path = timing_path(root, study)
    if study.budget is None or not path.exists():
        return
    budget, session = budget_session(root, study)
    expected = {
        (arm, model): steps
        for arm, count in budget.steps.items()
        for model, (steps, _) in timings.budget(session, budget.like, count).items()
    }
    where = f"({path}, session {budget.session})"
    for spec in specs:
        steps, timed = expected.get((str(spec.arm), spec.model)), session[spec.model][1].precision
        if steps is None:
            continue
        if spec.recipe.precision != timed:
            raise UserError(
                f"{_file(root, study)}: budget.session: {spec.path} is in {spec.recipe.precision}, "
                f"but steps were timed in {timed} {where}\n"
                f"measure a session and name it: {advice('timing', STUDY=budget.timing)}"
            )
        if spec.steps != steps:
            raise UserError(
                f"{_file(root, study)}: arm.{spec.arm}.steps: {spec.model} = {spec.steps}, but "
                f"{budget.steps[str(spec.arm)]} steps of {budget.like} take as long as {steps} of "
                f"{spec.model} {where}\n"
                f"write what this prints: {advice('budget', STUDY=study.name)}"
            )


def _file(root: Path, study: Study) -> Path:
    return root / "experiments" / "study" / f"{study.name}.toml"
