"""The logs of a study as two tidy tables, with their predictions: what the paper is made from.

Everything is checked on the way in: a log that was changed, that lies in another run's folder, or
whose metrics are not those of its predictions is refused by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from cnnpaper.config import Experiment, Study, load_experiment, load_study, run_folder, run_name
from cnnpaper.errors import UserError
from cnnpaper.files import sha256_file
from cnnpaper.paper import checks
from cnnpaper.predictions import Predictions, load
from cnnpaper.records import (
    LOG_NAME,
    PREDICTIONS_NAME,
    Layer,
    LogError,
    Run,
    is_shared,
    read_run,
)
from cnnpaper.status import incomplete_message
from cnnpaper.timings import TIMING_NAME, Timing
from cnnpaper.timings import read as read_measured

FULL_RESOLUTION = 32


class PredictionFiles(Mapping[str, Predictions]):
    """The predictions of a study by run, read when asked for: a large study does not fit in memory.

    Args:
        paths: run → ``predictions.npz``, for the runs that have one.
        digests: run → SHA-256 that the run's result line binds.
    """

    def __init__(self, paths: dict[str, Path], digests: dict[str, str]) -> None:
        self._paths = paths
        self._digests = digests
        self._read = lru_cache(maxsize=32)(self._load)

    def __getitem__(self, run: str) -> Predictions:
        if run not in self._paths:
            raise KeyError(run)
        return self._read(run)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def _load(self, run: str) -> Predictions:
        return read_predictions(self._paths[run], self._digests[run])


@dataclass(frozen=True, kw_only=True)
class Frames:
    """One study, read and checked.

    ``runs`` has one row a run: run, model and name (ordered categoricals), variant, seed (Int64),
    status, epochs, best_epoch, best_val_acc, test_acc, test_loss, test_acc_tta, train_s, epoch_s,
    total_s, parameters, macs, shared, started. ``curves`` has one row an epoch of a run: run,
    model, name, seed, epoch (from 0), train_loss, train_acc, val_loss, val_acc, resolution,
    train_s, train_cpu_s, eval_s, other_cpu_s, learning_rate, shared. What is unknown is missing
    (NaN); what diverged is what it was (NaN or infinite).
    """

    study: Study
    experiments: dict[str, Experiment]
    """By network, in the order of the study; networks without a run too."""
    runs: pd.DataFrame
    curves: pd.DataFrame
    predictions: Mapping[str, Predictions]
    """By run; runs without predictions are absent."""
    layers: dict[str, tuple[Layer, ...]]
    """By network; networks without a run, or imported, are absent."""
    logs: dict[str, Run]
    missing: tuple[str, ...]
    """Runs that the study names and that were never begun."""
    timings: dict[str, tuple[int, Timing]] = field(default_factory=dict)
    """By network, what ``make timing`` measured, with its line in the study's file."""


def read_frames(root: Path, study: str) -> Frames:
    """Read a study's logs and predictions, strictly.

    Raises:
        UserError: no such study, no run of it, an incomplete run, or one that cannot be believed.
    """
    plan = load_study(root, study)
    experiments = {model: load_experiment(root, model) for model in plan.networks}
    names = expected_runs(root, plan)
    folder = root / "results" / "log" / study
    # a link that leads nowhere is a log that cannot be read, not one that was never begun
    present = [n for n in names if os.path.lexists(run_folder(root, study, n) / LOG_NAME)]
    if not present:
        raise UserError(
            f"study {study!r} has no run yet: nothing in {folder}\n"
            f"train it: make experiments STUDY={study}"
        )
    _refuse_others(folder, names, study)
    logs = {name: _read_checked(run_folder(root, study, name) / LOG_NAME, plan) for name in present}
    logs = {name: logs[name] for name in sorted(logs, key=lambda name: _order(logs[name], plan))}
    predictions = _open_predictions(logs)
    checks.check_together(logs, predictions, folder)
    runs, curves = _tables(logs, plan, experiments)
    return Frames(
        study=plan,
        experiments=experiments,
        runs=runs,
        curves=curves,
        predictions=predictions,
        layers=_layers(logs),
        logs=logs,
        missing=tuple(name for name in names if name not in logs),
        timings=_timings(timing_path(root, study), plan),
    )


def timing_path(root: Path, study: str) -> Path:
    """Where ``make timing`` writes what it measured of a study."""
    return root / "results" / "log" / study / TIMING_NAME


def _timings(path: Path, study: Study) -> dict[str, tuple[int, Timing]]:
    """The last measurement of each network of the study, in its order.

    Raises:
        LogError: a line was changed, or is of another study.
    """
    lines = read_measured(path)
    for number, line in lines.values():
        if not isinstance(line, Timing) or line.study != study.name:
            raise LogError(f"{path}:{number}: not a time of study {study.name!r}; remove the file")
    found = {line.model: (number, line) for number, line in lines.values()}
    return {
        model: (number, line)
        for model in study.networks
        if model in found
        for number, line in [found[model]]
        if isinstance(line, Timing)
    }


def expected_runs(root: Path, study: Study) -> list[str]:
    """Names of the runs that a study is about; for imported ones, those that lie in its folder."""
    if study.origin == "trained":
        return [run_name(model, None, seed) for model in study.networks for seed in study.seeds]
    folder = root / "results" / "log" / study.name
    return sorted(path.parent.name for path in folder.glob(f"*/{LOG_NAME}"))


# ------------------------------------------------------------------------------- checks


def _refuse_others(folder: Path, names: list[str], study: str) -> None:
    """No run lies beside those that the study names: results are not chosen by leaving some out."""
    for path in sorted(folder.glob(f"*/{LOG_NAME}")):
        if path.parent.name not in names:
            raise LogError(
                f"{path}: study {study!r} does not name this run\n"
                f"name its network and seed in experiments/study/{study}.toml, or move its folder "
                f"out of {folder}"
            )


def _read_checked(path: Path, study: Study) -> Run:
    """One complete run that is what its folder says."""
    run = read_run(path)
    header = run.header
    name = run_name(header.model, header.variant, header.seed)
    if header.study != study.name or name != path.parent.name or header.origin != study.origin:
        raise LogError(
            f"{path}:1: the log of {name} of study {header.study!r} ({header.origin}) lies in the "
            f"folder of {path.parent.name} of study {study.name!r} ({study.origin})"
        )
    if header.model not in study.networks:
        raise LogError(f"{path}:1: network {header.model!r} is not of study {study.name!r}")
    if run.result is None:
        planned = _planned_epochs(run) or study.epochs
        raise UserError(
            incomplete_message(study.name, name, header.model, len(run.epochs), planned)
        )
    checks.check_run(run)
    return run


# ------------------------------------------------------------------------------- predictions


def _open_predictions(logs: dict[str, Run]) -> PredictionFiles:
    paths: dict[str, Path] = {}
    digests: dict[str, str] = {}
    for name, run in logs.items():
        if run.result is not None and run.result.predictions_sha256 is not None:
            paths[name] = run.path.with_name(PREDICTIONS_NAME)
            digests[name] = run.result.predictions_sha256
    return PredictionFiles(paths, digests)


def read_predictions(path: Path, digest: str) -> Predictions:
    """The arrays of ``predictions.npz``.

    Raises:
        UserError: the file is missing, is not the one of SHA-256 ``digest``, or holds other arrays.
    """
    if path.is_file() and sha256_file(path) != digest:
        raise LogError(
            f"{path}: not the predictions that the run's result line names (other SHA-256)\n"
            "restore the file from version control, or run the experiment again"
        )
    return load(path)


# ------------------------------------------------------------------------------- tables


def _planned_epochs(run: Run) -> int | None:
    """Epochs that the run was to have; None where an imported log does not say."""
    said = run.header.spec or run.header.model_extra or {}
    epochs = said.get("epochs")
    return epochs if isinstance(epochs, int) else None


def _order(run: Run, study: Study) -> tuple[int, str, int, str]:
    header = run.header
    seed = -1 if header.seed is None else header.seed
    return (study.networks.index(header.model), _sortable(header.variant or ""), seed, run.name)


def _sortable(text: str) -> str:
    """Numbers in ``text`` padded, so that ``b10`` comes after ``b9``."""
    return re.sub(r"\d+", lambda match: match[0].zfill(9), text)


def _printed_name(run: Run, experiments: dict[str, Experiment]) -> str:
    name = experiments[run.header.model].name
    return f"{name} ({run.header.variant})" if run.header.variant else name


def _tables(
    logs: dict[str, Run], study: Study, experiments: dict[str, Experiment]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = list(dict.fromkeys(_printed_name(run, experiments) for run in logs.values()))
    printed = [experiments[model].name for model in study.networks]
    # a network without a run keeps its place; one that occurs as variants alone has none
    whole = [name for name in printed if name in names or not _is_variant_only(name, names)]
    categories = sorted(
        dict.fromkeys([*whole, *names]), key=lambda name: _place(name, printed, names)
    )
    run_rows = [_run_row(run, experiments) for run in logs.values()]
    curve_rows = [row for run in logs.values() for row in _curve_rows(run, experiments)]
    return (
        _frame(run_rows, RUN_TYPES, study.networks, categories),
        _frame(curve_rows, CURVE_TYPES, study.networks, categories),
    )


def _is_variant_only(name: str, names: list[str]) -> bool:
    return name not in names and any(other.startswith(f"{name} (") for other in names)


def _place(name: str, printed: list[str], names: list[str]) -> tuple[int, int]:
    base = next(
        index
        for index, candidate in enumerate(printed)
        if name == candidate or name.startswith(f"{candidate} (")
    )
    return base, names.index(name) if name in names else -1


RUN_TYPES = {
    "run": "str",
    "model": "model",
    "name": "name",
    "variant": "object",
    "seed": "Int64",
    "status": "str",
    "epochs": "Int64",
    "best_epoch": "Int64",
    "best_val_acc": "float64",
    "test_acc": "float64",
    "test_loss": "float64",
    "test_acc_tta": "float64",
    "train_s": "float64",
    "epoch_s": "float64",
    "total_s": "float64",
    "parameters": "Int64",
    "macs": "Int64",
    "shared": "bool",
    "started": "object",
}
CURVE_TYPES = {
    "run": "str",
    "model": "model",
    "name": "name",
    "seed": "Int64",
    "epoch": "int64",
    "train_loss": "float64",
    "train_acc": "float64",
    "val_loss": "float64",
    "val_acc": "float64",
    "resolution": "Int64",
    "train_s": "float64",
    "train_cpu_s": "float64",
    "eval_s": "float64",
    "other_cpu_s": "float64",
    "learning_rate": "float64",
    "shared": "bool",
}


def _frame(
    rows: list[dict[str, Any]],
    types: dict[str, str],
    models: tuple[str, ...],
    names: list[str],
) -> pd.DataFrame:
    dtypes: dict[str, Any] = dict(types)
    dtypes["model"] = pd.CategoricalDtype(list(models), ordered=True)
    dtypes["name"] = pd.CategoricalDtype(names, ordered=True)
    # as objects first, or pandas would turn a None among strings into NaN
    return pd.DataFrame(rows, columns=list(types), dtype=object).astype(dtypes)


def _run_row(run: Run, experiments: dict[str, Experiment]) -> dict[str, Any]:
    header, result = run.header, run.result
    assert result is not None
    shared = [is_shared(epoch, run) for epoch in run.epochs]
    metrics = ("best_val_acc", "test_acc", "test_loss", "test_acc_tta", "total_s")
    return {
        "run": run.name,
        "model": header.model,
        "name": _printed_name(run, experiments),
        "variant": header.variant,
        "seed": header.seed,
        "status": result.status,
        "epochs": _planned_epochs(run) or len(run.epochs),
        "best_epoch": result.best_epoch,
        **{metric: result.exact(metric) for metric in metrics},
        "train_s": _sum([epoch.train_s for epoch in run.epochs]),
        "epoch_s": _epoch_seconds(run, shared),
        "parameters": header.network.parameters,
        "macs": header.network.macs,
        "shared": any(shared),
        "started": header.started,
    }


def _curve_rows(run: Run, experiments: dict[str, Experiment]) -> Iterator[dict[str, Any]]:
    metrics = ("train_loss", "train_acc", "val_loss", "val_acc", "learning_rate")
    seconds = ("train_s", "train_cpu_s", "eval_s", "other_cpu_s")
    for epoch in run.epochs:
        yield {
            "run": run.name,
            "model": run.header.model,
            "name": _printed_name(run, experiments),
            "seed": run.header.seed,
            "epoch": epoch.epoch,
            **{name: epoch.exact(name) for name in (*metrics, *seconds)},
            "resolution": epoch.resolution,
            "shared": is_shared(epoch, run),
        }


def _epoch_seconds(run: Run, shared: list[bool]) -> float | None:
    """Mean seconds of the epochs at full resolution that had the machine alone, else of all."""
    full = [
        (epoch.train_s, mark)
        for epoch, mark in zip(run.epochs, shared, strict=True)
        if epoch.resolution == FULL_RESOLUTION and epoch.train_s is not None
    ]
    alone = [seconds for seconds, mark in full if not mark] or [seconds for seconds, _ in full]
    return sum(alone) / len(alone) if alone else None


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _layers(logs: dict[str, Run]) -> dict[str, tuple[Layer, ...]]:
    layers: dict[str, tuple[Layer, ...]] = {}
    for run in logs.values():
        if run.header.network.layers:
            layers.setdefault(run.header.model, run.header.network.layers)
    return layers
