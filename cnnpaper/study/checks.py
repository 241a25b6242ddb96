"""Does a log agree with itself? What it says twice, or what can be computed, is compared.

Every refusal names file, line and both values. Nothing here guards against a forger, who could edit
the repository's history as well; it finds what was damaged, mixed up or edited by mistake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from cnnpaper import log, metrics
from cnnpaper.config import RunSpec
from cnnpaper.files import UserError, sha256_file
from cnnpaper.log import PREDICTIONS_NAME, LogError, Run

DATA_NAMES = {
    "original": "CIFAR-10",
    "jpeg75": "CIFAR-10, re-encoded",
    "synthetic": "synthetic images",
}
"""What the loader calls the data of a study's ``set``."""
METRICS = (("acc", metrics.accuracy, 0.0), ("loss", metrics.cross_entropy, 1e-9))
"""Name, function, and how close (relative) a logged one is: another version of numpy may add up a
mean in another order."""


def _bad(run: Run, line: str, text: str) -> LogError:
    """Of a line of a run's log, or of its predictions."""
    if line == PREDICTIONS_NAME:
        path = run.path.with_name(PREDICTIONS_NAME)
        return log.damaged(path, f"{path}: {text}")
    return log.damaged(run.path, f"{run.path}:{run.line_numbers.get(line, 1)}: {text}")


def read_trained(path: Path, spec: RunSpec) -> Run:
    """The log of a run that is complete, agrees with itself and is what its folder says.

    Raises:
        UserError: it is incomplete.
        LogError: it is invalid, of another run, or at odds with itself.
    """
    run = log.read_run(path)
    header = run.header
    for key in ("study", "arm", "model", "variant", "seed"):
        if getattr(header, key) != getattr(spec, key):
            raise LogError(
                f"{path}:1: {key} = {getattr(header, key)!r}, but this is the folder of "
                f"{spec.path}\nmove the log to the folder of its own run"
            )
    try:
        own = run.spec  # the study may declare something else by now
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise _bad(run, "header", f"spec.{key}: {first['msg']}") from None
    if own is None or header.fingerprint is None:
        raise LogError(f"{path}:1: an imported log in a study of trained runs; move it away")
    if run.result is None:
        done = f"{len(run.epochs)} of {own.epochs} epoch{'s' * (own.epochs > 1)}"
        raise UserError(f"{own.path} is incomplete ({done}): {log.again(own)}")
    _check_lines(run, own, run.result)
    return run


def _check_lines(run: Run, own: RunSpec, result: log.Result) -> None:
    finished, digest = result.status == "finished", result.predictions_sha256
    steps = sum(epoch.steps or 0 for epoch in run.epochs)
    score, last = result.val_acc, run.epochs[-1].val_acc if run.epochs else None
    read = [reading.images for reading in run.readings]
    images = [own.data.test_images] if finished and own.data.test_images else []
    for line, wrong, text in (
        ("result", result.status == "cut off", "status = 'cut off' of a run that was trained here"),
        ("result", finished and steps != own.steps, f"finished after {steps} of {own.steps} steps"),
        ("reading", read != images, f"readings of the test images: {read}, expected {images}"),
        ("result", finished == (digest is None), f"{result.status}, predictions_sha256 = {digest}"),
        ("result", finished and score != last, f"val_acc = {score}, but the last epoch has {last}"),
    ):
        if wrong:
            raise _bad(run, line, text)


def read_predictions(logs: Mapping[str, Run]) -> dict[str, log.Predictions]:
    """Predictions of the finished runs, which all are about the same images.

    Raises:
        LogError: a file is missing or another one, or it is at odds with its run or with others.
    """
    found: dict[str, log.Predictions] = {}
    first = next(iter(logs.values()), None)
    for path, run in logs.items():
        if first and run.header.data.digest != first.header.data.digest:
            text = f"other images than those of {first.path.parent}; a study is about one set"
            raise _bad(run, "header", f"data.digest: {text}")
        if run.result is None or run.result.predictions_sha256 is None:
            continue
        file = run.path.with_name(PREDICTIONS_NAME)
        if file.is_file() and sha256_file(file) != run.result.predictions_sha256:
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
    for part in ("val", "test"):
        labels, logits = getattr(found, f"{part}_labels"), getattr(found, f"{part}_logits")
        for name, metric, close in METRICS:
            logged = result.exact(f"{part}_{name}")
            value = metric(labels, logits) if len(labels) else None
            near = math.isclose(logged or 0.0, value or 0.0, rel_tol=close)
            if not near or (logged is None) != (value is None):
                text = f"{part}_{name} = {logged}, but the predictions give {value}"
                raise _bad(run, "result", text)


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
