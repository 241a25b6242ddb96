"""Which changes of the recipe helped: the trials of study ``ablation`` as a table.

A trial against a trial cannot tell half a point apart, so the changes are tried together: each of
the twelve runs of a Plackett-Burman design has about half of them, every effect is a difference of
two means over six runs, and what the additive model leaves over gives the standard error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

from cnnpaper import config, files
from cnnpaper.config import RunSpec, Study
from cnnpaper.errors import UserError
from cnnpaper.records import LOG_NAME, Run, read_run

RUNS = 12
"""Of the screening design."""
SEPARATED = 2.0
"""Standard errors below which an effect is not told apart from none."""
BEGIN, END = "<!-- begin: written by make ablation -->", "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one change did to one network."""

    change: str
    """Key of the recipe."""
    effect: float
    """Mean accuracy with the candidate less mean accuracy without, in points of a percent."""
    error: float
    """Standard error of ``effect``."""
    cpu: float
    """The same difference of the CPU seconds of training, as a share of their mean."""

    @property
    def separated(self) -> bool:
        return abs(self.effect) >= SEPARATED * self.error


def write(root: Path, study_name: str) -> Path:
    """Write the tables into ``experiments/README.md``, between the marks.

    Raises:
        UserError: no trial is finished, or the marks are not there.
    """
    path = root / "experiments" / "README.md"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise UserError(f"{path}: the lines '{BEGIN}' and '{END}' say where the tables belong")
    block = tables(root, config.load_study(root, study_name))
    files.write_atomic(path, f"{before}{BEGIN}\n{block}{END}{after}".encode())
    return path


def tables(root: Path, study: Study) -> str:
    """The tables of single trials and of the screening design, with what they cost, as Markdown."""
    runs = _finished(root, study)
    if not runs:
        raise UserError(f"study {study.name}: no trial is finished; make ablation does them")
    screened = {model: _screened(study, model, runs) for model in study.screen_networks}
    whole = {model: found for model, found in screened.items() if len(found) == RUNS}
    parts = [_single_trials(root, study, runs)]
    if whole:
        parts.append(_screening_table(root, study, whole))
    return "\n".join([*parts, _cost(study, runs)])


def _finished(root: Path, study: Study) -> dict[str, tuple[RunSpec, Run]]:
    """Name of a run → its configuration and its log, for every trial that is finished."""
    found = {}
    for spec in config.run_specs(root, study):
        path = config.run_folder(root, study.name, spec.run) / LOG_NAME
        if path.exists() and (run := read_run(path)).result is not None:
            found[spec.run] = (spec, run)
    return found


def accuracy(run: Run) -> float:
    """What a trial is judged by, in percent: the accuracy after its last epoch, chance where it
    diverged; the best epoch would favour noise."""
    last = run.epochs[-1].val_acc
    return 10.0 if last is None else 100 * last


def cpu_seconds(run: Run) -> float:
    """Of training, all threads; other processes hardly change them, unlike wall-clock seconds."""
    return sum(epoch.train_cpu_s or 0.0 for epoch in run.epochs)


# --------------------------------------------------------------------------------- single trials


def _single_trials(root: Path, study: Study, runs: dict[str, tuple[RunSpec, Run]]) -> str:
    """Trials one by one: values tried, and each network's accuracy; one row a setting."""
    names = {model: config.load_experiment(root, model).name for model in study.networks}
    found: dict[tuple[str, int], dict[str, list[str]]] = {}
    for variant, trial in study.trial.items():
        values = ", ".join(f"`{key} = {_shown(trial.values[key])}`" for key in sorted(trial.values))
        cells = found.setdefault((values, trial.epochs or study.epochs), defaultdict(list))
        for spec, run in runs.values():
            if spec.variant == variant:
                cells[spec.model].append(f"{accuracy(run):.1f}")
    rows = [
        [values, epochs, *(" / ".join(cells[model]) for model in names)]
        for (values, epochs), cells in found.items()
    ]
    table = pd.DataFrame(rows, columns=["values", "epochs", *names.values()])
    return (
        "Single trials: accuracy in percent, n = 1 each, so only large differences mean "
        f"something.\n\n{_markdown(table)}\n"
    )


# ------------------------------------------------------------------------------ screening design


def _screened(study: Study, model: str, runs: dict[str, tuple[RunSpec, Run]]) -> list[Run]:
    """The runs of one network in the design, in its order, as far as they are finished."""
    variants = [f"screen{number:02}" for number in range(1, RUNS + 1)]
    found = {spec.variant: run for spec, run in runs.values() if spec.model == model}
    return [found[variant] for variant in variants if variant in found]


def effects(factors: Sequence[str], runs: dict[str, list[Run]]) -> dict[str, list[Effect]]:
    """Effect of every factor on every network.

    Least squares with one coefficient a factor; the columns that no factor uses estimate the
    error, whose variance is pooled over the networks.

    Args:
        factors: keys of the recipe, in the order of the design's columns.
        runs: network → its twelve runs in the design's order.
    """
    levels = np.array(config.screening_design(), dtype=float)[:, : len(factors)]  # (12, factors)
    design = sm.add_constant(levels)
    fits = {
        model: sm.OLS([accuracy(run) for run in found], design).fit()
        for model, found in runs.items()
    }
    spare = sum(fit.df_resid for fit in fits.values())
    variance = sum(fit.ssr for fit in fits.values()) / spare
    error = 2 * float(np.sqrt(variance / RUNS))  # an effect is twice a coefficient
    costs = {
        model: sm.OLS([cpu_seconds(run) for run in found], design).fit().params
        for model, found in runs.items()
    }
    return {
        model: [
            Effect(
                change=factor,
                effect=2 * float(fit.params[column]),
                error=error,
                cpu=2 * float(costs[model][column] / costs[model][0]),
            )
            for column, factor in enumerate(factors, start=1)
        ]
        for model, fit in fits.items()
    }


def _screening_table(root: Path, study: Study, runs: dict[str, list[Run]]) -> str:
    rows = []
    for model, found in effects(list(study.screen), runs).items():
        experiment = config.load_experiment(root, model)
        for effect in found:
            factor = study.screen[effect.change]
            rows.append(
                [
                    f"`{effect.change}`: {_shown(factor.plain)} → {_shown(factor.candidate)}",
                    experiment.name,
                    f"{effect.effect:+.1f} ± {effect.error:.1f}",
                    "" if effect.separated else "not separated",
                    f"{100 * effect.cpu:+.0f} %",
                    RUNS,
                    _kept(root, model, effect.change, factor),
                ]
            )
    rows.sort(key=lambda row: list(study.screen).index(str(row[0]).split("`")[1]))
    columns = ["change", "network", "effect", "", "CPU seconds", "n", "in the recipe"]
    return (
        f"Screening design: {len(study.screen)} changes at once in {RUNS} runs of each network, "
        f"{study.epochs} epochs. An effect is a difference of mean accuracies in points of a "
        f"percent, ± its standard error; below {SEPARATED:.0f} of those it is not separated from "
        f"none.\n\n{_markdown(pd.DataFrame(rows, columns=columns))}\n"
    )


def _kept(root: Path, model: str, key: str, factor: config.Factor) -> str:
    """Which of the two values the reference study uses for this network."""
    spec = config.run_spec(root, config.load_study(root, "reference"), model, 0)
    value = spec.initialisation if key == "initialisation" else getattr(spec.recipe, key)
    if value == factor.candidate:
        return "yes"
    return "no" if value == factor.plain else f"no: {_shown(value)}"


def _cost(study: Study, runs: dict[str, tuple[RunSpec, Run]]) -> str:
    """What was trained on, and how long it took."""
    seconds = sum(run.result.total_s or 0.0 for _, run in runs.values() if run.result)
    machines = sorted({str(run.header.machine.cpu) for _, run in runs.values()})
    planned = sum(len(t.networks) for t in config.all_trials(study).values()) * len(study.seeds)
    return (
        f"{len(runs)} of {planned} runs, {seconds / 3600:.1f} hours of one thread each on "
        f"{', '.join(machines)}. Each trained on {study.data.train_images:,} training images and "
        f"was scored on {study.data.validation_images:,} others; no validation image and no test "
        "image was touched.\n"
    )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _markdown(table: pd.DataFrame) -> str:
    return str(table.to_markdown(index=False, disable_numparse=True))
