"""What a study found, as the paper reads it: plain numbers with the runs they are from.

Everything is computed in :mod:`cnnpaper.study.analysis`; :func:`find` takes it from there.
Fractions, seconds and bytes, unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    raise NotImplementedError(data)
