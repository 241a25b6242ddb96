"""What a study found: plain numbers, unrounded, with the runs that they are from.

:func:`analyse` computes everything that the paper and its figures say about accuracy, time,
calibration and the two studies that chose rates and precision. Fractions, seconds and bytes. An arm
shows the seeds that all its networks have, and a run that diverged counts with the accuracy of
guessing.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cnnpaper import metrics, tuning
from cnnpaper.config import RunSpec, Study, run_name
from cnnpaper.study import stats
from cnnpaper.study.load import Sessions, StudyData
from cnnpaper.timings import Timing

Limits = tuple[float, float]
COLUMNS = "test_acc test_loss val_acc val_loss train_s total_s peak_memory contended suspended_s"
"""Columns of the runs that are summarised."""
CLASSES = 10
MARGIN = -0.01
"""The mean change that bfloat16 must be shown to exceed."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One column of one network's runs in one arm, over the seeds that all networks have."""

    mean: float
    n: int
    interval: Limits | None
    """Student's, over seeds; None for one seed."""
    sd: float | None


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One network against the baseline, in the primary contrast."""

    model: str
    difference: float
    """Network minus baseline, as a fraction."""
    interval: Limits
    """Simultaneous."""
    p: float
    p_holm: float
    p_welch: float | None
    """Of the sensitivity analysis: Welch's test of the seeds, for these images."""
    significant: bool
    """Holm's procedure rejects; the simultaneous interval, wider, may still hold zero."""
    detectable: float | None
    """The difference that this design detects with a power of 80 %, at the level of Holm's first
    step."""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of the learning-rate search."""

    stage: str
    model: str
    rate: float
    val_acc: float
    """A diverged run scores like chance."""
    path: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """What bfloat16 changes for one network: validation accuracy, bfloat16 minus float32."""

    model: str
    change: float
    interval: Limits | None
    n: int
    """Pairs of one seed."""
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The comparison of precisions."""

    changes: tuple[Change, ...]
    mean: float
    bound: float | None
    """One-sided lower 95 % bound of the mean change, deviation pooled within networks."""
    stands: bool
    """No bfloat16 run diverged, and the bound is above :data:`MARGIN`."""


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One network's measurement of step times."""

    model: str
    step_s: float
    interval: Limits
    """Of the median: third to tenth of twelve rounds."""
    ratio: float | None
    """To the network of the budget, paired by rounds; None without a budget."""
    ratio_interval: Limits | None
    images_per_s: float
    gmac_per_s: float | None
    """Forward and backward pass together, by three times the forward pass."""
    peak_memory: int | None
    startup_s: float | None
    eval_s: float | None
    sections: Mapping[str, float]
    """Seconds a step, median over rounds."""
    line: int
    """Of ``timing.jsonl``."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A network's step time in a later session over that in the session of the budget."""

    session: int
    model: str
    ratio: float
    line: int


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How a network's steps fill the budget of an arm."""

    arm: str
    model: str
    steps: int
    residual_s: float
    """Predicted minus budget."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Means over seeds, on the test images; the temperature is fitted on validation images."""

    model: str
    temperature: float
    ece: float
    ece_scaled: float
    nll: float
    nll_scaled: float
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Test accuracy in the longer arm minus that in the shorter."""

    model: str
    difference: float
    interval: Limits | None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it; what the study has nothing for is empty or None."""

    summaries: Mapping[tuple[str, str, str], Summary] = field(default_factory=dict)
    """(arm, network with its variant, column of the runs) → summary."""
    contrasts: tuple[Contrast, ...] = ()
    trials: tuple[Trial, ...] = ()
    winners: Mapping[str, float] = field(default_factory=dict)
    precision: Precision | None = None
    timing: tuple[StepTime, ...] = ()
    timing_session: int = 0
    timing_rounds: int = 0
    timing_steps: int = 0
    timing_machine: str = ""
    timing_batch: int = 0
    timing_contended: bool = False
    shifts: tuple[Shift, ...] = ()
    budget_s: Mapping[str, float] = field(default_factory=dict)
    """Arm of equal time → the time of its steps for the network of the budget."""
    budgets: tuple[Budget, ...] = ()
    calibration_arm: str = ""
    calibration: tuple[Calibration, ...] = ()
    confusions: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """Network → (10, 10), true class by predicted class, test images in a mean run of
    ``calibration_arm``."""
    gain_arms: tuple[str, str] | None = None
    gains: tuple[Gain, ...] = ()
    compute_s: float | None = None
    """Of all runs: the study's, its search's and its comparison of precisions'."""


def analyse(data: StudyData) -> Findings:
    """Everything that the study's logs say."""
    arm = _shown_arm(data)
    shorter_longer = _gain_arms(data)
    return Findings(
        summaries=_summaries(data),
        contrasts=_contrasts(data),
        **_tuning(data.tuning),
        precision=_precision(data.precision),
        **_timing(data),
        calibration_arm=arm or "",
        calibration=() if arm is None else _calibration(data, arm),
        confusions={} if arm is None else _confusions(data, arm),
        gain_arms=shorter_longer,
        gains=() if shorter_longer is None else _gains(data, *shorter_longer),
        compute_s=_compute(data),
    )


def entry_of(spec: RunSpec) -> str:
    """A run's network and variant, which its seeds share: ``resnet18-rate0.05``."""
    return run_name(spec.model, spec.variant, None)


def shown(data: StudyData, arm: str) -> dict[str, list[str]]:
    """Network (with variant) → runs of an arm, of the seeds that all its networks have."""
    seeds = set(data.complete_seeds(arm))
    found: dict[str, list[str]] = {}
    for spec in data.specs:
        if (spec.arm or "") == arm and spec.seed in seeds:
            found.setdefault(entry_of(spec), []).append(spec.path)
    return found


# --------------------------------------------------------------------------------- accuracy


def _summaries(data: StudyData) -> dict[tuple[str, str, str], Summary]:
    table = data.runs.set_index("path")
    found = {}
    for arm in data.study.arms:
        for entry, paths in shown(data, arm or "").items():
            for column in COLUMNS.split():
                values = pd.to_numeric(table.loc[paths, column]).to_numpy(np.float64)
                if len(values) and np.isfinite(values).all():  # a diverged run has no loss
                    found[arm or "", entry, column] = _summary(values)
    return found


def _summary(values: Sequence[float] | npt.NDArray[np.float64]) -> Summary:
    mean = stats.mean_interval(values)
    limits = None if mean.low is None or mean.high is None else (mean.low, mean.high)
    return Summary(mean=mean.mean, n=mean.n, interval=limits, sd=mean.sd)


def correct(data: StudyData, paths: Sequence[str]) -> npt.NDArray[np.bool_] | None:
    """Which test images each run classifies correctly, (S, n); None where no run says."""
    known = [data.predictions[path] for path in paths if path in data.predictions]
    first = next(iter(data.predictions), None)
    if first is None:
        return None
    guessed = stats.diverged_answers(data.predictions[first].test_labels)
    rows = [metrics.correct(one.test_labels, one.test_logits) for one in known]
    lost = len(paths) - len(known)
    return np.array([*rows, *[guessed] * lost], dtype=bool)


def _contrasts(data: StudyData) -> tuple[Contrast, ...]:
    """Each network against the baseline; none where there are less than two complete seeds."""
    plan = data.study.contrast
    if plan is None or len(data.complete_seeds(plan.arm)) < 2 or not data.study.data.test_images:
        return ()
    paths = shown(data, plan.arm)
    answers = {entry: correct(data, own) for entry, own in paths.items()}
    base = answers.get(plan.baseline)
    models = [model for model in data.study.networks if model != plan.baseline and model in answers]
    if base is None or not models:
        return ()
    pairs = [answers[model] for model in models]
    family = [stats.contrast(own, base) for own in pairs if own is not None]
    adjusted = stats.holm([one.p for one in family])
    limits = stats.simultaneous_intervals(family)
    found = []
    for model, own, test, p_holm, interval in zip(
        models, pairs, family, adjusted, limits, strict=True
    ):
        if own is None or test.p is None or p_holm is None or interval is None:
            continue  # one test image
        found.append(
            Contrast(
                model=model,
                difference=test.difference,
                interval=interval,
                p=test.p,
                p_holm=p_holm,
                p_welch=stats.welch(own.mean(axis=1), base.mean(axis=1)).p,
                significant=p_holm < 1 - stats.LEVEL,
                detectable=test.detectable(alpha=(1 - stats.LEVEL) / len(family)),
                paths=(*paths[model], *paths[plan.baseline]),
            )
        )
    return tuple(found)


def _gain_arms(data: StudyData) -> tuple[str, str] | None:
    """The shortest and the longest arm: of those of equal time, where there is a budget."""
    steps = dict(data.study.budget.steps) if data.study.budget else {}
    if not steps:
        for spec in data.specs:
            steps.setdefault(spec.arm or "", spec.steps)
    arms = [arm for arm in sorted(steps, key=lambda arm: steps[arm]) if data.complete_seeds(arm)]
    if len(arms) < 2 or steps[arms[0]] == steps[arms[-1]] or not data.study.data.test_images:
        return None
    return arms[0], arms[-1]


def _gains(data: StudyData, shorter: str, longer: str) -> tuple[Gain, ...]:
    """What the longer arm gains each network, over seeds and images; arms share no runs."""
    before, after = shown(data, shorter), shown(data, longer)
    found = []
    for model in before:
        long, short = correct(data, after.get(model, ())), correct(data, before[model])
        if long is None or short is None or not len(long):
            continue
        test = stats.contrast(long, short)
        found.append(Gain(model=model, difference=test.difference, interval=test.interval()))
    return tuple(found)


# --------------------------------------------------------------------------------- predictions


def _shown_arm(data: StudyData) -> str | None:
    """The arm whose predictions are looked at closely: the contrast's, else the first shown."""
    first = [data.study.contrast.arm] if data.study.contrast else []
    arms = [*first, *(arm or "" for arm in data.study.arms)]
    return next((arm for arm in arms if data.complete_seeds(arm)), None)


def _calibration(data: StudyData, arm: str) -> tuple[Calibration, ...]:
    """Calibration before and after temperature scaling (Guo et al. 2017); finished runs only."""
    found = []
    for model, paths in shown(data, arm).items():
        known = [path for path in paths if path in data.predictions]
        rows = []
        for one in (
            (data.predictions[path] for path in known) if data.study.data.test_images else ()
        ):
            divisor = metrics.temperature(one.val_labels, one.val_logits)
            test = one.test_labels, one.test_logits
            rows.append(
                (
                    divisor,
                    stats.expected_calibration_error(*test),
                    stats.expected_calibration_error(*test, divisor),
                    metrics.cross_entropy(*test),
                    metrics.cross_entropy(*test, divisor),
                )
            )
        if rows:
            names = ("temperature", "ece", "ece_scaled", "nll", "nll_scaled")
            means = dict(zip(names, map(float, np.mean(rows, axis=0)), strict=True))
            found.append(Calibration(model=model, paths=tuple(known), **means))
    return tuple(found)


def _confusions(data: StudyData, arm: str) -> dict[str, npt.NDArray[np.float64]]:
    found = {}
    for model, paths in shown(data, arm).items():
        known = [data.predictions[path] for path in paths if path in data.predictions]
        if not known or not data.study.data.test_images:
            continue
        counts = np.zeros((CLASSES, CLASSES))
        for one in known:
            np.add.at(counts, (one.test_labels, one.test_logits.argmax(axis=1)), 1)
        found[model] = counts / len(known)
    return found


# --------------------------------------------------------------------------------- other studies


def _tuning(data: StudyData | None) -> dict[str, Any]:
    """Trials and winners of the study that chose the learning rates."""
    if data is None or not data.study.grid:
        return {}
    key = next(iter(data.study.grid))
    scores = data.runs.set_index("path")["val_acc"]
    trials = [
        Trial(
            stage=spec.arm or "",
            model=spec.model,
            rate=float(getattr(spec.recipe, key)),
            val_acc=float(scores[spec.path]),
            path=spec.path,
        )
        for spec in data.specs
        if spec.path in data.logs
    ]
    stages = [arm or "" for arm in data.study.arms]
    order = {model: place for place, model in enumerate(data.study.networks)}
    trials.sort(key=lambda one: (stages.index(one.stage), order[one.model], one.rate))
    winners = {model: tuning.winner(data.root, data.study, model) for model in order}
    return {"trials": tuple(trials), "winners": {m: w for m, w in winners.items() if w is not None}}


def _precision(data: StudyData | None) -> Precision | None:
    """bfloat16 against float32, pairs of one network and seed."""
    if data is None or "precision" not in data.study.grid:
        return None
    runs = {(s.model, s.seed, s.recipe.precision): s.path for s in data.specs}
    scores = data.runs.set_index("path")["val_acc"]
    changes, groups = [], []
    for model in data.study.networks:
        pairs = [
            (runs[model, seed, "bfloat16"], runs[model, seed, "float32"])
            for seed in dict.fromkeys(spec.seed for spec in data.specs)
            if all(runs.get((model, seed, p)) in data.logs for p in ("bfloat16", "float32"))
        ]
        if pairs:
            own = [float(scores[one] - scores[other]) for one, other in pairs]
            mean = _summary(own)
            paths = tuple(path for pair in pairs for path in pair)
            changes.append(
                Change(model=model, change=mean.mean, interval=mean.interval, n=mean.n, paths=paths)
            )
            groups.append(own)
    if not groups:
        return None
    bound = stats.lower_bound_pooled(groups)
    lost = data.runs[data.runs["precision"] == "bfloat16"]["status"].eq("diverged").any()
    stands = bound.low is not None and bound.low > MARGIN and not lost
    return Precision(changes=tuple(changes), mean=bound.mean, bound=bound.low, stands=bool(stands))


def _compute(data: StudyData) -> float | None:
    """Seconds of training and evaluation of every run of the study and of those that it names."""
    parts = [one.runs["total_s"].sum() for one in (data, data.tuning, data.precision) if one]
    total = float(sum(parts))
    return total or None


# --------------------------------------------------------------------------------- time


def _timing(data: StudyData) -> dict[str, Any]:
    """Step times in the session of the budget (else in the last one), and the budgets."""
    if not data.timing:
        return {}
    budget = data.study.budget
    number = budget.session if budget else max(data.timing)
    session = data.timing.get(number, {})
    timed = {model: session[model] for model in data.study.networks if model in session}
    if not timed:
        return {}
    like = timed.get(budget.like) if budget else None
    first = next(iter(timed.values()))[1]
    times = tuple(_step_time(model, line, at, like) for model, (at, line) in timed.items())
    filled = budgets(data.study, data.timing)
    return {
        "timing": times,
        "timing_session": number,
        "timing_rounds": len(first.rounds),
        "timing_steps": len(first.round_s[0]),
        "timing_machine": first.machine.gpu or first.machine.cpu or first.machine.processor or "",
        "timing_batch": first.batch_size,
        "timing_contended": any(line.contended for _, line in timed.values()),
        "shifts": tuple(
            Shift(session=later, model=model, ratio=line.step_s / timed[model][1].step_s, line=at)
            for later, other in data.timing.items()
            if later > number
            for model, (at, line) in other.items()
            if model in timed
        ),
        "budget_s": {arm: n * like[1].step_s for arm, n in budget.steps.items()}
        if budget and like
        else {},
        "budgets": tuple(
            Budget(arm=arm, model=model, steps=steps, residual_s=residual)
            for arm, each in filled.items()
            for model, (steps, residual) in each.items()
        ),
    }


def _step_time(model: str, line: Timing, at: int, like: tuple[int, Timing] | None) -> StepTime:
    median = stats.median_interval(line.rounds)
    ratio = None if like is None else stats.paired_ratio(line.rounds, like[1].rounds)
    images = line.batch_size / median.median
    return StepTime(
        model=model,
        step_s=median.median,
        interval=(median.low, median.high),
        ratio=None if ratio is None else ratio.median,
        ratio_interval=None if ratio is None else (ratio.low, ratio.high),
        images_per_s=images,
        gmac_per_s=3 * line.macs * images / 1e9,
        peak_memory=line.peak_memory,
        startup_s=line.startup_s,
        eval_s=line.eval_s,
        sections={name: statistics.median(each) for name, each in line.sections.items()},
        line=at,
    )


def budgets(study: Study, timing: Sessions | None) -> dict[str, dict[str, tuple[int, float]]]:
    """Arm of equal time → network → (steps, predicted minus budgeted seconds).

    Steps are those that the study declares: the nearest number to the budget by the median of the
    paired ratio, which ``make report`` checks. Empty without a budget or its session.
    """
    budget = study.budget
    session = (timing or {}).get(budget.session, {}) if budget else {}
    if budget is None or budget.like not in session:
        return {}
    like = session[budget.like][1]
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for arm, steps in budget.steps.items():
        declared = study.arm[arm].steps
        for model in study.networks:
            if model in session and isinstance(declared, dict):
                ratio = stats.paired_ratio(session[model][1].rounds, like.rounds).median
                residual = (declared[model] * ratio - steps) * like.step_s
                found.setdefault(arm, {})[model] = (declared[model], residual)
    return found
