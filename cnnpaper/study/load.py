"""The logs of a study as two tidy tables, with their predictions: what the paper is made from.

Everything is checked on the way in. A run that is incomplete, stale, damaged, misplaced, undeclared
or at odds with its own predictions is refused by name, with the remedy; one that is missing is
counted. Accuracies are fractions, times are seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cnnpaper import config, log, timings, tuning
from cnnpaper.advice import advice
from cnnpaper.config import Experiment, Recipe, RunSpec, Study
from cnnpaper.files import UserError
from cnnpaper.fingerprint import freshness
from cnnpaper.log import LOG_NAME, LogError, Run
from cnnpaper.study import checks
from cnnpaper.study.imported import read_study
from cnnpaper.tuning import GUESSING

NAMES = ["path", "arm", "model", "variant", "seed"]
RUNS = [*NAMES, "steps", "status", "val_acc", "test_acc", "train_s", "total_s"]
EPOCHS = [*NAMES, "epoch", "train_loss", "train_acc", "val_loss", "val_acc", "train_s"]


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """One study, read and checked.

    ``runs`` has a row a run that has a log, ``epochs`` a row an epoch, with the columns
    :data:`RUNS` and :data:`EPOCHS`: arm and variant are "" where there is none, model is
    categorical in the study's order, what is unknown is missing. A run that diverged counts with
    the accuracy of guessing.
    """

    root: Path
    study: Study
    recipe: Recipe
    experiments: dict[str, Experiment]
    """By network, in the study's order; imported logs may be of others."""
    specs: list[RunSpec]  # declared runs; none of an imported study
    logs: dict[str, Run]  # path → finished or diverged run, in the order of the declaration
    predictions: dict[str, log.Predictions]  # path → predictions of a finished run
    missing: list[RunSpec]  # declared without a log
    stale: dict[str, list[str]] = field(default_factory=dict)
    """Path → why; only where they were allowed."""
    verified: list[str] = field(default_factory=list)  # fresh because `verified.json` says so
    runs: pd.DataFrame
    epochs: pd.DataFrame
    timing: Mapping[int, timings.Session] = field(default_factory=dict)
    """Sessions of the study that the budget names, else of this one."""
    tuning: StudyData | None = None
    precision: StudyData | None = None

    def complete_seeds(self, arm: str) -> tuple[int, ...]:
        """Seeds that all networks of an arm have, in the declared order; "" where arms have no
        names."""
        own = [spec for spec in self.specs if (spec.arm or "") == arm]
        lacking = {spec.seed for spec in own if spec.path not in self.logs}
        return tuple(dict.fromkeys(spec.seed for spec in own if spec.seed not in lacking))

    @property
    def mixed_processors(self) -> list[tuple[str, int]]:
        """(arm, seed) whose networks were trained on different types of processor or GPU."""
        kinds = defaultdict[tuple[str, int], set[tuple[str | None, str | None]]](set)
        for run in self.logs.values():
            header, machine = run.header, run.header.machine
            kinds[header.arm or "", header.seed or 0].add((machine.processor, machine.gpu))
        return [place for place, found in kinds.items() if len(found) > 1]

    @property
    def timing_path(self) -> Path:
        """Of the file that holds the step times."""
        return timings.path_of(self.root, self.study)


def load(
    root: Path, name: str, *, allow_stale: bool = False, report: str | None = None
) -> StudyData:
    """Read a study and the studies that it names, strictly.

    Args:
        allow_stale: keep stale runs, and say in ``stale`` why they are.
        report: the study whose paper needs this one; by default this one itself.

    Raises:
        UserError: no such study, or a run, an override or a budget that is refused.
    """
    study = config.load_study(root, name)
    known = study.networks if study.origin == "trained" else config.known_models(root)
    experiments = {m: config.load_experiment(root, m) for m in study.networks if m in known}
    searched, compared = (
        None if other is None else load(root, other, allow_stale=allow_stale, report=report or name)
        for other in (study.tuning, study.precision)
    )
    if study.tuning is not None:
        tuning.check_overrides(root, experiments)
    specs = tuning.declared(root, study) if study.origin == "trained" else []
    timings.check_budget(root, study, specs)
    logs = _declared(root, study, specs)
    if study.origin == "imported":
        logs = dict(read_study(root, study))
    stale, verified = _freshness(root, study, specs, logs)
    if stale and not allow_stale:
        first = logs[next(iter(stale))]
        raise UserError(_stale_message(study.name, report or name, first, stale))
    return StudyData(
        root=root, study=study, recipe=config.load_recipe(root), experiments=experiments,
        specs=specs, logs=logs, predictions=checks.read_predictions(logs),
        missing=[spec for spec in specs if spec.path not in logs],
        stale=stale, verified=verified,
        runs=_runs_table(study, logs), epochs=_epochs_table(study, logs),
        timing=timings.read(timings.path_of(root, study)),
        tuning=searched, precision=compared,
    )  # fmt: skip


def _declared(root: Path, study: Study, specs: list[RunSpec]) -> dict[str, Run]:
    """The logs of declared runs; no other log lies in the study's folder."""
    places = {spec.folder(root) / LOG_NAME: spec for spec in specs}
    folder = root / "results" / "log" / study.name
    # results are not chosen by leaving some out of the study file
    for path in config.visible(folder, f"**/{LOG_NAME}"):
        if path not in places:
            raise LogError(
                f"{path}: study {study.name!r} does not declare this run\n"
                f"declare it in experiments/study/{study.name}.toml, or move its folder out of "
                f"{folder}"
            )
    # a link that leads nowhere is a log that cannot be read, not one that is missing
    there = {path: spec for path, spec in places.items() if path.exists() or path.is_symlink()}
    return {spec.path: checks.read_trained(path, spec) for path, spec in there.items()}


def _freshness(
    root: Path, study: Study, specs: list[RunSpec], logs: Mapping[str, Run]
) -> tuple[dict[str, list[str]], list[str]]:
    """Stale runs with the reasons, and the verified ones."""
    stale: dict[str, list[str]] = {}
    verified: list[str] = []
    for spec in specs:
        if (run := logs.get(spec.path)) is None:
            continue
        found = freshness(root, run, spec)
        why = [*(found.why if found.state == "stale" else ()), *checks.other_conditions(run, spec)]
        if why:
            stale[spec.path] = why
        elif found.state == "verified":
            verified.append(spec.path)
    return stale, verified


def _stale_message(study: str, report: str, first: Run, stale: Mapping[str, list[str]]) -> str:
    """Which runs are stale, why, and the remedies: ``report`` is the study whose paper is built."""
    reasons = list(dict.fromkeys(why for each in stale.values() for why in each))

    def few(items: list[str], most: int, sign: str) -> str:
        return sign.join(items[:most]) + f" and {len(items) - most} more" * (len(items) > most)

    lines = [
        f"{len(stale)} stale run{'s' * (len(stale) > 1)} in study {study!r}: "
        f"{few(list(stale), 5, ', ')}",
        f"changed: {few(reasons, 3, '; ')}",
        f"train again{', one by one' * (len(stale) > 1)}: {log.again(first.header, FORCE=1)}",
        f"show them as stale: {advice('report', STUDY=report, ALLOW_STALE=1)}",
    ]
    if all(why.startswith(("engine/", "metrics.py")) for why in reasons):
        lines.insert(2, f"where no bit has changed: {advice('verify', STUDY=study)}")
    return "\n".join(lines)


def _runs_table(study: Study, logs: Mapping[str, Run]) -> pd.DataFrame:
    rows = []
    for path, run in logs.items():
        steps = sum(epoch.steps or 0 for epoch in run.epochs)
        rows.append({**vars(run.header), **vars(run.result), "path": path, "steps": steps})
    table = _frame(rows, RUNS, study)
    lost = table["status"] == "diverged"
    table.loc[lost, "val_acc"] = GUESSING
    if study.data.test_images:
        table.loc[lost, "test_acc"] = GUESSING
    return table


def _epochs_table(study: Study, logs: Mapping[str, Run]) -> pd.DataFrame:
    rows = []
    for path, run in logs.items():
        for epoch in run.epochs:
            losses = {key: epoch.exact(key) for key in ("train_loss", "val_loss")}
            rows.append({**vars(run.header), **vars(epoch), **losses, "path": path})
    return _frame(rows, EPOCHS, study)


def _frame(rows: list[dict[str, Any]], columns: list[str], study: Study) -> pd.DataFrame:
    """Rows as a table whose networks are in the study's order."""
    table = pd.DataFrame(rows, columns=columns)
    table["model"] = pd.Categorical(table["model"], categories=study.networks, ordered=True)
    table[["arm", "variant"]] = table[["arm", "variant"]].fillna("")
    measured = [key for key in columns if key.endswith(("_acc", "_loss", "_s"))]
    return table.astype(dict.fromkeys(measured, "float64"))
