"""What a study found: plain numbers, unrounded, with the runs that they are from.

:func:`analyse` computes everything that the paper and its figures say about accuracy, time,
calibration and the two studies that chose rates and precision. Fractions, seconds and bytes. An arm
shows the seeds that all its networks have, and a run that diverged counts with the accuracy of
guessing.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cnnpaper import config, log, metrics, timings, tuning
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
    p_welch: float | None  # of the sensitivity analysis: Welch's test of the seeds, these images
    significant: bool  # by Holm's procedure; the interval, wider, may still hold zero
    detectable: float | None  # difference found with a power of 80 %, at Holm's first level

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
class Lead:
    """How far the chosen rate is ahead of the next best one, in the last stage."""

    model: str
    lead: float  # of validation accuracy, as a fraction
    error: float  # its standard error over the validation images; both runs are scored on the same
    paths: tuple[str, str]


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
    gmac_per_s: float  # forward and backward pass together, by three times the forward pass
    peak_memory: int
    startup_s: float
    eval_s: float
    sections: Mapping[str, float]  # seconds a step, median over rounds
    line: int  # of `timing.jsonl`


class Shift(NamedTuple):
    """A network's step time in a later session over that in the session of the budget, on the same
    type of processor."""

    ratio: float
    line: int


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How far a network's steps miss the budget of an arm."""

    arm: str
    model: str
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
class Estimate:
    """A difference of test accuracies that no test is about."""

    model: str
    difference: float
    interval: Interval | None  # not adjusted, over seeds and images


@dataclass(frozen=True, kw_only=True)
class Gain(Estimate):
    """Test accuracy in one arm minus that in another."""

    arms: tuple[str, str]  # subtracted first


@dataclass(frozen=True, kw_only=True)
class Distance(Estimate):
    """Test accuracy of a network minus that of another."""

    arm: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it; what the study has nothing for is empty or None."""

    summaries: Mapping[tuple[str, str, str], Summary] = field(default_factory=dict)
    """(arm, network with its variant, one of :data:`SUMMARISED`) → mean over the seeds shown."""
    contrasts: tuple[Contrast, ...] = ()
    trials: tuple[Trial, ...] = ()
    winners: Mapping[str, float] = field(default_factory=dict)
    leads: tuple[Lead, ...] = ()
    precision: Precision | None = None
    timing: tuple[StepTime, ...] = ()
    timing_rounds: int = 0
    timing_steps: int = 0
    timing_machine: str = ""
    timing_batch: int = 0
    timing_threads: int = 0
    timing_contended: bool = False
    shifts: tuple[Shift, ...] = ()
    budget_s: Mapping[str, float] = field(default_factory=dict)  # arm of equal time → its time
    budgets: tuple[Budget, ...] = ()
    calibration_arm: str = ""
    calibration: tuple[Calibration, ...] = ()
    distances: tuple[Distance, ...] = ()
    """From the baseline, in arms without the contrast; in its arm, from the network with the
    highest mean of those that are compared with the baseline."""
    gains: tuple[Gain, ...] = ()
    speed: tuple[Gain, ...] = ()  # from equal epochs to equal time
    same: tuple[Gain, ...] = ()  # of networks that have the same steps in both: only seeds differ
    compute_s: float | None = None
    """Of all runs: the study's, its search's and its comparison of precisions'."""


def analyse(data: StudyData) -> Findings:
    """Everything that the study's logs say.

    Raises:
        UserError: the study is in bfloat16, and its comparison of precisions forbids that.
    """
    studies = [one for one in (data, data.tuning, data.precision) if one is not None]
    answers = _answers(data)
    return Findings(
        summaries=_summaries(data),
        contrasts=_contrasts(data.study.contrast, answers),
        **_tuning(data.tuning),
        precision=allowed(data),
        **_timing(data),
        **_calibration(data),
        distances=_distances(data.study.contrast, answers),
        **_gains(data, answers),
        compute_s=float(sum(one.runs["total_s"].sum() for one in studies)) or None,
    )


def entry_of(spec: config.RunSpec) -> str:
    """A run's network and variant, which its seeds share: ``resnet18-rate0.05``."""
    return config.run_name(spec.model, spec.variant, None)


def shown(data: StudyData, arm: str) -> dict[str, list[str]]:
    """Network (with variant) → runs of an arm, of the seeds that all its networks have."""
    seeds, found = data.complete_seeds(arm), defaultdict[str, list[str]](list)
    for spec in data.specs:
        if (spec.arm or "") == arm and spec.seed in seeds:
            found[entry_of(spec)].append(spec.path)
    return dict(found)


def _summaries(data: StudyData) -> dict[tuple[str, str, str], Summary]:
    table = data.runs.set_index("path")[[*SUMMARISED]]
    return {
        (arm or "", entry, str(column)): stats.summary(values.to_list())
        for arm in data.study.arms
        for entry, paths in shown(data, arm or "").items()
        for column, values in table.loc[paths].items()
        if np.isfinite(values).all()  # a study may read no test image
    }


Answers = Mapping[str, Mapping[str, stats.Booleans]]
"""Arm → network → which test images each of its runs classifies correctly, (S, n)."""


def _answers(data: StudyData) -> Answers:
    """Of the runs shown; empty where no test image was read, or no run finished.

    A run that diverged answers class 0 always, and so has 10 % of CIFAR-10's test images.
    """
    if not data.study.data.test_images or not data.predictions:
        return {}
    labels = next(iter(data.predictions.values())).test_labels

    def correct(path: str) -> stats.Booleans:
        found = data.predictions.get(path)
        return labels == 0 if found is None else metrics.correct(labels, found.test_logits)

    return {
        arm or "": {
            entry: np.array([correct(path) for path in paths])
            for entry, paths in shown(data, arm or "").items()
        }
        for arm in data.study.arms
    }


def _contrasts(plan: config.Contrast | None, answers: Answers) -> tuple[Contrast, ...]:
    """Each network against the baseline; none where there are less than two complete seeds."""
    others = dict(answers.get(plan.arm, {})) if plan else {}
    if plan is None or plan.baseline not in others or len(others) < 2:
        return ()
    base = others.pop(plan.baseline)
    family = {model: stats.contrast(own, base) for model, own in others.items()}
    adjusted = stats.holm([test.p for test in family.values()])
    level = stats.simultaneous_level(len(family))
    return tuple(
        Contrast(
            model=model, difference=test.difference, interval=interval, p=test.p, p_holm=p_holm,
            p_welch=stats.welch(others[model].mean(axis=1), base.mean(axis=1)),
            significant=p_holm < 1 - stats.LEVEL, detectable=test.detectable(alpha=1 - level),
        )
        for (model, test), p_holm in zip(family.items(), adjusted, strict=True)
        # None: one seed, or one test image
        if test.p is not None and p_holm is not None and (interval := test.interval(level))
    )  # fmt: skip


def _estimate(one: stats.Booleans, other: stats.Booleans) -> dict[str, Any]:
    test = stats.contrast(one, other)
    return {"difference": test.difference, "interval": test.interval()}


def _distances(plan: config.Contrast | None, answers: Answers) -> tuple[Distance, ...]:
    """Estimates of differences that the contrast does not test; see :class:`Findings`."""
    found: list[Distance] = []
    for arm, each in answers.items():
        if plan is None or plan.baseline not in each or len(each) < 2:
            continue
        others, base = dict(each), plan.baseline
        if arm == plan.arm:
            del others[base]
            base = max(others, key=lambda model: others[model].mean())
        found += [
            Distance(arm=arm, model=model, other=base, **_estimate(own, others[base]))
            for model, own in others.items()
            if model != base
        ]
    return tuple(found)


def _gains(data: StudyData, answers: Answers) -> dict[str, Any]:
    """What steps gain each network: from the shortest arm to the longest (of equal time, where
    there is a budget), and from an arm of equal epochs to the contrast's arm of equal time."""
    study = data.study
    each = {(spec.arm or "", entry_of(spec)): spec.steps for spec in data.specs}
    steps = dict(study.budget.steps) if study.budget else {}
    if not steps:
        for (arm, _), count in each.items():
            steps.setdefault(arm, count)
    arms = [arm for arm in sorted(steps, key=lambda arm: steps[arm]) if answers.get(arm)]

    def gained(shorter: str, longer: str, *, same: bool = False) -> tuple[Gain, ...]:
        """Of networks whose steps differ between the arms, or are the same."""
        before, after = answers[shorter], answers[longer]
        return tuple(
            Gain(arms=(shorter, longer), model=model, **_estimate(after[model], own))
            for model, own in before.items()
            if (each[shorter, model] == each[longer, model]) == same
        )

    found = {}
    if arms and steps[arms[0]] < steps[arms[-1]]:
        found["gains"] = gained(arms[0], arms[-1])
    equal = study.equal_epochs
    if equal and answers.get(equal) and study.contrast and study.contrast.arm in arms:
        found["speed"] = gained(equal, study.contrast.arm)
        found["same"] = gained(equal, study.contrast.arm, same=True)
    return found


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
        if known:
            means = np.mean([_calibration_of(data.predictions[path]) for path in known], axis=0)
            names = ("temperature", "ece", "ece_scaled", "nll", "nll_scaled")
            values = dict(zip(names, map(float, means), strict=True))
            found.append(Calibration(model=model, paths=tuple(known), **values))
    return {"calibration_arm": arm, "calibration": tuple(found)}


def _calibration_of(one: log.Predictions) -> list[float]:
    divisor = metrics.temperature(one.val_labels, one.val_logits)
    test = one.test_labels, one.test_logits
    error, nll = stats.expected_calibration_error, metrics.cross_entropy
    return [divisor, error(*test), error(*test, divisor), nll(*test), nll(*test, divisor)]


def _tuning(data: StudyData | None) -> dict[str, Any]:
    """Trials and winners of the study that chose the learning rates."""
    if data is None or not data.study.grid:
        return {}
    key = next(iter(data.study.grid))
    scores = data.runs.set_index("path")["val_acc"]
    trials = [
        Trial(stage=spec.arm or "", model=spec.model, rate=float(getattr(spec.recipe, key)),
              val_acc=float(scores[spec.path]), path=spec.path)
        for spec in data.specs if spec.path in data.logs
    ]  # fmt: skip
    stages, models = list(data.study.arms), data.study.networks
    trials.sort(key=lambda t: (stages.index(t.stage or None), models.index(t.model), t.rate))
    chosen = tuning.winners(tuning.plans(data.root, data.study))
    last = {model: [t for t in trials if (t.stage, t.model) == (stages[-1], model)]
            for model in chosen}  # fmt: skip
    leads = tuple(_lead(data, each) for each in last.values() if len(each) > 1 and data.predictions)
    return {"trials": tuple(trials), "winners": chosen, "leads": leads}


def _lead(data: StudyData, trials: Sequence[Trial]) -> Lead:
    """Of the best of a network's trials; a run that diverged answers class 0 always."""
    best, second = sorted(trials, key=lambda trial: -trial.val_acc)[:2]
    labels = next(iter(data.predictions.values())).val_labels
    correct = [
        metrics.correct(labels, found.val_logits) if found else labels == 0
        for found in map(data.predictions.get, (best.path, second.path))
    ]
    gained = np.subtract(*correct, dtype=float)
    return Lead(model=best.model, lead=float(gained.mean()), paths=(best.path, second.path),
                error=float(gained.std(ddof=1)) / len(gained) ** 0.5)  # fmt: skip


def _timing(data: StudyData) -> dict[str, Any]:
    """Step times in the session of the budget (else in the last one), and the budgets."""
    budget = data.study.budget
    number = budget.session if budget else max(data.timing, default=0)
    session = data.timing.get(number, {})
    timed = {model: session[model] for model in data.study.networks if model in session}
    if not timed:
        return {}
    first = next(iter(timed.values()))
    # that its network is in the session was checked
    base = session[budget.like] if budget else None
    ratios = timings.ratios(session, budget.like) if budget else {}
    found = {
        "timing": tuple(_step_time(one, base, ratios.get(m, ())) for m, one in timed.items()),
        "timing_rounds": len(first.rounds),
        "timing_steps": len(first.round_s[0]),
        "timing_machine": machine_name(first.machine),
        "timing_batch": first.batch_size,
        "timing_threads": first.machine.threads or 0,
        "timing_contended": any(one.contended for one in timed.values()),
        "shifts": tuple(
            Shift(ratio=one.step_s / timed[model].step_s, line=one.line)
            for later, other in data.timing.items()
            if later > number
            for model, one in other.items()
            if model in timed and one.machine.processor == first.machine.processor
        ),
    }
    if budget and base:
        found["budget_s"] = {arm: count * base.step_s for arm, count in budget.steps.items()}
        found["budgets"] = tuple(
            Budget(arm=arm, model=model, residual_s=steps[model][1])
            for arm, count in budget.steps.items()
            for steps in [timings.equal_time(session, budget.like, count)]
            for model in timed
        )
    return found


def _step_time(
    one: timings.Timing, base: timings.Timing | None, ratios: Sequence[float]
) -> StepTime:
    step_s, interval = stats.median_interval(one.rounds)
    ratio, ratio_interval = stats.median_interval(ratios) if base else (None, None)
    images = one.batch_size / step_s
    return StepTime(
        model=one.model, step_s=step_s, interval=interval, ratio=ratio,
        ratio_interval=None if one is base else ratio_interval,
        paired_s=ratio * base.step_s if base and ratio else step_s,
        images_per_s=images, gmac_per_s=3 * one.macs * images / 1e9, peak_memory=one.peak_memory,
        startup_s=one.startup_s, eval_s=one.eval_s, line=one.line,
        sections={name: statistics.median(each) for name, each in one.sections.items()},
    )  # fmt: skip


def machine_name(machine: log.Machine, *, brief: bool = False) -> str:
    """``Intel Xeon Processor (family 6, model 167)``: the name alone may lack the model. Unless
    ``brief``, with the instruction set and whether bfloat16 is native."""
    if machine.gpu or not machine.cpu or not machine.processor or machine.cpu == machine.processor:
        return machine.gpu or machine.cpu or machine.processor or ""
    model = re.sub(r"^\S+ (\d+)-(\d+)$", r"family \1, model \2", machine.processor)
    native = "native bfloat16" if machine.native_bfloat16 else None
    more = [model] if brief else [model, machine.isa, native]
    return f"{machine.cpu.replace('(R)', '')} ({', '.join(filter(None, more))})"
