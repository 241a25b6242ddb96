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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cnnpaper import log, metrics, timings, tuning
from cnnpaper.config import RunSpec, run_name
from cnnpaper.study import stats
from cnnpaper.study.load import StudyData
from cnnpaper.study.precision import Precision, allowed
from cnnpaper.study.stats import Interval, Summary

SUMMARISED = ("test_acc", "val_acc", "train_s")  # columns of the runs


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One network against the baseline, in the primary contrast."""

    model: str
    difference: float  # network minus baseline, as a fraction
    interval: Interval  # simultaneous
    p: float
    p_holm: float
    p_welch: float | None
    """Of the sensitivity analysis: Welch's test of the seeds, for these images."""
    significant: bool
    """Holm's procedure rejects; the simultaneous interval, wider, may still hold zero."""
    detectable: float | None
    """The difference that this design detects with a power of 80 %, at the level of Holm's first
    step."""

    @property
    def size(self) -> float:
        """Of the difference, without its sign."""
        return abs(self.difference)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of the learning-rate search."""

    stage: str
    model: str
    rate: float
    val_acc: float
    path: str


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One network's measurement of step times."""

    model: str
    step_s: float
    interval: Interval  # of the median: third to tenth of twelve rounds
    ratio: float | None  # to the network of the budget, paired by rounds; None without a budget
    ratio_interval: Interval | None  # None for that network itself
    paired_s: float  # seconds a step by that ratio, as budgets have it; else `step_s`
    images_per_s: float
    gmac_per_s: float | None  # forward and backward pass together, by three times the forward pass
    peak_memory: int | None
    startup_s: float | None
    eval_s: float | None
    sections: Mapping[str, float]  # seconds a step, median over rounds
    line: int  # of `timing.jsonl`


class Shift(NamedTuple):
    """A network's step time in a later session over that in the session of the budget."""

    ratio: float
    line: int


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How a network's steps fill the budget of an arm."""

    arm: str
    model: str
    steps: int
    residual_s: float  # predicted minus budget


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Means over seeds, on the test images; the temperature is fitted on validation images."""

    model: str
    temperature: float
    ece: float
    ece_scaled: float
    nll: float
    nll_scaled: float
    paths: tuple[str, ...]  # runs whose predictions it was computed from


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Test accuracy in one arm minus that in another."""

    arms: tuple[str, str]  # subtracted first
    model: str
    difference: float
    interval: Interval | None  # not adjusted, over seeds and images


@dataclass(frozen=True, kw_only=True)
class Distance:
    """Test accuracy of a network minus that of another, which no test compares."""

    arm: str
    model: str
    other: str
    difference: float
    interval: Interval | None  # not adjusted, over seeds and images


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it; what the study has nothing for is empty or None."""

    summaries: Mapping[tuple[str, str, str], Summary] = field(default_factory=dict)
    """(arm, network with its variant, one of :data:`SUMMARISED`) → mean over the seeds shown."""
    contrasts: tuple[Contrast, ...] = ()
    trials: tuple[Trial, ...] = ()
    winners: Mapping[str, float] = field(default_factory=dict)
    precision: Precision | None = None
    timing: tuple[StepTime, ...] = ()
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
    distances: tuple[Distance, ...] = ()
    """From the baseline, in arms without the contrast; in its arm, from the network with the
    highest mean of those that are compared with the baseline."""
    gains: tuple[Gain, ...] = ()
    speed: tuple[Gain, ...] = ()
    """From equal epochs to equal time; networks with the same steps in both are not among them."""
    same: tuple[Gain, ...] = ()
    """Those networks: seeds are all that differs."""
    compute_s: float | None = None
    """Of all runs: the study's, its search's and its comparison of precisions'."""


def analyse(data: StudyData) -> Findings:
    """Everything that the study's logs say.

    Raises:
        UserError: the study is in bfloat16, and its comparison of precisions forbids that.
    """
    studies = [one for one in (data, data.tuning, data.precision) if one is not None]
    return Findings(
        summaries=_summaries(data),
        contrasts=_contrasts(data),
        **_tuning(data.tuning),
        precision=allowed(data),
        **_timing(data),
        **_calibration(data),
        distances=_distances(data),
        **_gains(data),
        compute_s=float(sum(one.runs["total_s"].sum() for one in studies)) or None,
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
            for column in SUMMARISED:
                values = pd.to_numeric(table.loc[paths, column]).to_numpy(np.float64)
                if np.isfinite(values).all():  # a study may read no test image
                    found[arm or "", entry, column] = stats.summary(values)
    return found


def correct(data: StudyData, paths: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which test images each run classifies correctly, (S, n).

    A run that diverged answers class 0 always, and so has 10 % of CIFAR-10's test images.
    """
    labels = next(iter(data.predictions.values())).test_labels
    known = [data.predictions.get(path) for path in paths]
    return np.array(
        [labels == 0 if p is None else metrics.correct(labels, p.test_logits) for p in known],
        dtype=bool,
    )


def _answers(data: StudyData, arm: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Network → :func:`correct` of its runs in an arm."""
    return {entry: correct(data, own) for entry, own in shown(data, arm).items()}


def _contrasts(data: StudyData) -> tuple[Contrast, ...]:
    """Each network against the baseline; none where there are less than two complete seeds."""
    plan = data.study.contrast
    if plan is None or not data.study.data.test_images or not data.predictions:
        return ()
    answers = _answers(data, plan.arm)
    base = answers.pop(plan.baseline, None)
    if base is None or not answers:
        return ()
    family = {model: stats.contrast(own, base) for model, own in answers.items()}
    adjusted = stats.holm([test.p for test in family.values()])
    level = stats.simultaneous_level(len(family))
    return tuple(
        Contrast(
            model=model, difference=test.difference, interval=interval, p=test.p, p_holm=p_holm,
            p_welch=stats.welch(answers[model].mean(axis=1), base.mean(axis=1)),
            significant=p_holm < 1 - stats.LEVEL, detectable=test.detectable(alpha=1 - level),
        )
        for (model, test), p_holm in zip(family.items(), adjusted, strict=True)
        # None: one seed, or one test image
        if test.p is not None and p_holm is not None and (interval := test.interval(level))
    )  # fmt: skip


def _distances(data: StudyData) -> tuple[Distance, ...]:
    """Estimates of differences that the contrast does not test; see :class:`Findings`."""
    plan = data.study.contrast
    if plan is None or not data.study.data.test_images or not data.predictions:
        return ()
    found = []
    for arm in data.study.arms:
        answers, other = _answers(data, arm or ""), plan.baseline
        if other not in answers or len(answers) < 2:
            continue
        if arm == plan.arm:
            del answers[other]
            other = max(answers, key=lambda model: answers[model].mean())
        base = answers.pop(other)
        for model, own in answers.items():
            test = stats.contrast(own, base)
            found.append(Distance(arm=arm or "", model=model, other=other,
                                  difference=test.difference,
                                  interval=test.interval()))  # fmt: skip
    return tuple(found)


def _gains(data: StudyData) -> dict[str, Any]:
    """What steps gain each network: from the shortest arm to the longest (of equal time, where
    there is a budget), and from an arm of equal epochs to the contrast's arm of equal time."""
    study = data.study
    steps = dict(study.budget.steps) if study.budget else {}
    if not steps:
        for spec in data.specs:
            steps.setdefault(spec.arm or "", spec.steps)
    arms = [arm for arm in sorted(steps, key=lambda arm: steps[arm]) if data.complete_seeds(arm)]
    found: dict[str, Any] = {}
    if len(arms) > 1 and steps[arms[0]] < steps[arms[-1]]:
        found["gains"] = _gained(data, arms[0], arms[-1])
    equal = study.equal_epochs
    if equal and data.complete_seeds(equal) and study.contrast and study.contrast.arm in arms:
        pair = equal, study.contrast.arm
        found |= {"speed": _gained(data, *pair), "same": _gained(data, *pair, same=True)}
    return found


def _gained(data: StudyData, shorter: str, longer: str, *, same: bool = False) -> tuple[Gain, ...]:
    """Of each network whose steps differ between the arms, or are the same; over seeds and
    images."""
    if not data.predictions or not data.study.data.test_images:
        return ()
    before, after, steps = shown(data, shorter), shown(data, longer), _steps(data)
    tests = {
        model: stats.contrast(correct(data, after[model]), correct(data, before[model]))
        for model in before
        if (steps[shorter, model] == steps[longer, model]) == same
    }
    return tuple(
        Gain(arms=(shorter, longer), model=m, difference=test.difference, interval=test.interval())
        for m, test in tests.items()
    )


def _steps(data: StudyData) -> dict[tuple[str, str], int]:
    return {(spec.arm or "", entry_of(spec)): spec.steps for spec in data.specs}


def _calibration(data: StudyData) -> dict[str, Any]:
    """Calibration before and after temperature scaling (Guo et al. 2017); finished runs only.

    In the arm of the contrast, else in the first one that is shown.
    """
    first = [data.study.contrast.arm] if data.study.contrast else []
    arms = [*first, *(arm or "" for arm in data.study.arms)]
    arm = next((arm for arm in arms if data.complete_seeds(arm)), None)
    if arm is None or not data.study.data.test_images:
        return {}
    found = []
    for model, paths in shown(data, arm).items():
        known = [path for path in paths if path in data.predictions]
        if rows := [_calibration_of(data.predictions[path]) for path in known]:
            means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            found.append(Calibration(model=model, paths=tuple(known), **means))
    return {"calibration_arm": arm, "calibration": tuple(found)}


def _calibration_of(one: log.Predictions) -> dict[str, float]:
    divisor = metrics.temperature(one.val_labels, one.val_logits)
    test = one.test_labels, one.test_logits
    return {
        "temperature": divisor,
        "ece": stats.expected_calibration_error(*test),
        "ece_scaled": stats.expected_calibration_error(*test, divisor),
        "nll": metrics.cross_entropy(*test),
        "nll_scaled": metrics.cross_entropy(*test, divisor),
    }


# --------------------------------------------------------------------------------- the search


def _tuning(data: StudyData | None) -> dict[str, Any]:
    """Trials and winners of the study that chose the learning rates."""
    if data is None or not data.study.grid:
        return {}
    key = next(iter(data.study.grid))
    scores = data.runs.set_index("path")["val_acc"]
    trials = [
        Trial(
            stage=spec.arm or "", model=spec.model, rate=float(getattr(spec.recipe, key)),
            val_acc=float(scores[spec.path]), path=spec.path,
        )
        for spec in data.specs
        if spec.path in data.logs
    ]  # fmt: skip
    stages, models = list(data.study.arms), data.study.networks
    trials.sort(key=lambda t: (stages.index(t.stage or None), models.index(t.model), t.rate))
    winners = {model: tuning.winner(data.root, data.study, model) for model in models}
    return {"trials": tuple(trials), "winners": {m: w for m, w in winners.items() if w is not None}}


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
    like = budget.like if budget and budget.like in session else None
    ratios = timings.ratios(session, like) if like else {}
    first = next(iter(timed.values()))[1]
    steps = budget.steps.items() if budget and like else ()
    filled = {arm: timings.budget(session, str(like), count) for arm, count in steps}
    base_s = session[like][1].step_s if like else None
    return {
        "timing": tuple(
            _step_time(at, line, ratios.get(m), base_s, is_base=m == like)
            for m, (at, line) in timed.items()
        ),
        "timing_rounds": len(first.rounds),
        "timing_steps": len(first.round_s[0]),
        "timing_machine": _machine_name(first.machine),
        "timing_batch": first.batch_size,
        "timing_contended": any(line.contended for _, line in timed.values()),
        "shifts": tuple(
            Shift(ratio=line.step_s / timed[model][1].step_s, line=at)
            for later, other in data.timing.items()
            if later > number
            for model, (at, line) in other.items()
            if model in timed
        ),
        "budget_s": {arm: count * session[str(like)][1].step_s for arm, count in steps},
        "budgets": tuple(
            Budget(arm=arm, model=model, steps=each[model][0], residual_s=each[model][1])
            for arm, each in filled.items()
            for model in timed
        ),
    }


def _machine_name(machine: log.Machine) -> str:
    """``Intel Xeon Processor (GenuineIntel 6-167)``: the name alone may lack the model."""
    if machine.gpu or not machine.cpu or not machine.processor or machine.cpu == machine.processor:
        return machine.gpu or machine.cpu or machine.processor or ""
    more = ", ".join(filter(None, (machine.processor, machine.isa)))
    return f"{machine.cpu.replace('(R)', '')} ({more})"


def _step_time(
    at: int, line: timings.Timing, ratios: Sequence[float] | None, base_s: float | None, *,
    is_base: bool,
) -> StepTime:  # fmt: skip
    step_s, interval = stats.median_interval(line.rounds)
    ratio, ratio_interval = stats.median_interval(ratios) if ratios else (None, None)
    images = line.batch_size / step_s
    return StepTime(
        model=line.model, step_s=step_s, interval=interval, ratio=ratio,
        ratio_interval=None if is_base else ratio_interval,
        paired_s=step_s if ratio is None or base_s is None else ratio * base_s,
        images_per_s=images,
        gmac_per_s=3 * line.macs * images / 1e9, peak_memory=line.peak_memory,
        startup_s=line.startup_s, eval_s=line.eval_s,
        sections={name: statistics.median(each) for name, each in line.sections.items()}, line=at,
    )  # fmt: skip
