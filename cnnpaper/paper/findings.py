"""What a study found, as the paper reads it: plain numbers with the runs they are from.

Everything is computed in :mod:`cnnpaper.study.analysis`; :func:`find` takes it from there.
Fractions, seconds and bytes, unrounded.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

Limits = tuple[float, float]


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
    significant: bool
    """The adjusted test rejects and the simultaneous interval excludes zero."""
    detectable: float | None
    """The difference that this design detects with a power of 80 %."""


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
    """What bfloat16 changes for one network."""

    model: str
    change: float
    interval: Limits | None
    n: int
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The comparison of precisions."""

    changes: tuple[Change, ...]
    mean: float
    bound: float | None
    """One-sided lower 95 % bound of the mean change."""
    stands: bool


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One network's measurement of step times."""

    model: str
    step_s: float
    interval: Limits
    """Of the median: third to tenth round."""
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
    line: int
    """Of ``timing.jsonl``."""


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
    """Means over seeds, on the test images."""

    model: str
    temperature: float
    ece: float
    ece_scaled: float
    nll: float
    nll_scaled: float


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
    """(arm, model, column of the runs) → summary."""
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
    budget_s: Mapping[str, float] = field(default_factory=dict)
    """Arm of equal time → the time of its steps for the network of the budget."""
    budgets: tuple[Budget, ...] = ()
    calibration_arm: str = ""
    calibration: tuple[Calibration, ...] = ()
    gain_arms: tuple[str, str] | None = None
    gains: tuple[Gain, ...] = ()
    compute_s: float | None = None
    """Of all runs: the study's, its search's and its comparison of precisions'."""


def find(data: StudyData) -> Findings:
    """What was found, from the analysis."""
    return Findings(summaries=_summaries(data), **_timing(data))


def _summaries(data: StudyData) -> dict[tuple[str, str, str], Summary]:
    from cnnpaper.paper.facts import entry_of
    from cnnpaper.study import stats

    rows = data.runs.set_index("path")
    found = {}
    for arm in {spec.arm or "": None for spec in data.specs}:
        seeds = set(data.complete_seeds(arm))
        paths: dict[str, list[str]] = {}
        for spec in data.specs:
            if (spec.arm or "") == arm and spec.seed in seeds:
                paths.setdefault(entry_of(spec), []).append(spec.path)
        for entry, own in paths.items():
            for column in ("test_acc", "val_acc", "train_s"):
                values = rows.loc[own, column].dropna()
                if len(values) < len(own):
                    continue
                mean = stats.mean_interval(values.tolist())
                limits = None if mean.low is None or mean.high is None else (mean.low, mean.high)
                found[arm, entry, column] = Summary(
                    mean=mean.mean, n=mean.n, interval=limits, sd=mean.sd
                )
    return found


def _timing(data: StudyData) -> dict[str, Any]:
    from cnnpaper import timings
    from cnnpaper.study import stats

    budget = data.study.budget
    sessions = data.timing or {}
    session = sessions.get(budget.session if budget else max(sessions, default=0))
    if not session:
        return {}
    like = session[budget.like][1] if budget else None
    rows = []
    for model in data.study.networks:
        if model not in session:
            continue
        number, line = session[model]
        step = stats.median_interval(line.rounds)
        ratio = stats.paired_ratio(line.rounds, like.rounds) if like else None
        images = line.batch_size / line.step_s
        rows.append(
            StepTime(
                model=model, step_s=line.step_s, interval=(step.low, step.high),
                ratio=ratio and ratio.median,
                ratio_interval=ratio and (ratio.low, ratio.high), images_per_s=images,
                gmac_per_s=3 * line.macs * images / 1e9, peak_memory=line.peak_memory,
                startup_s=line.startup_s, eval_s=line.eval_s,
                sections={k: stats.median_interval(v).median for k, v in line.sections.items()},
                line=number,
            )
        )  # fmt: skip
    first = next(iter(session.values()))[1]
    found: dict[str, Any] = {
        "timing": tuple(rows), "timing_rounds": len(first.round_s),
        "timing_steps": len(first.round_s[0]), "timing_batch": first.batch_size,
        "timing_machine": first.machine.gpu or first.machine.cpu or first.machine.processor or "",
        "timing_contended": any(line.contended for _, line in session.values()),
    }  # fmt: skip
    if budget and like:
        seconds = {arm: steps * like.step_s for arm, steps in budget.steps.items()}
        ratios = {m: statistics.median(r) for m, r in timings.ratios(session, budget.like).items()}
        found["budget_s"] = seconds
        found["budgets"] = tuple(
            Budget(arm=spec.arm, model=spec.model, steps=spec.steps,
                   residual_s=spec.steps * ratios[spec.model] * like.step_s - seconds[spec.arm])
            for spec in {(s.arm, s.model): s for s in data.specs}.values()
            if spec.arm is not None and spec.arm in seconds
        )  # fmt: skip
    return found
