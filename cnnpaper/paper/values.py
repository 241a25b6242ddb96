"""What a study found, as values of the ledger: one key, one text.

Tables and claims take them from here, so a number reads the same wherever it is printed. What is
computed is computed in :mod:`cnnpaper.study.analysis`; here it is rounded and given its sources.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from cnnpaper.paper.facts import Facts, slug
from cnnpaper.paper.ledger import COUNT, PERCENT, POINTS, Form, PValue, Source, Value
from cnnpaper.study import analysis
from cnnpaper.study.analysis import Findings, shown
from cnnpaper.study.precision import Change

ALPHA = 0.05
SMALL_P = PValue(alpha=ALPHA)
WHOLE_PERCENT = Form(0, 100.0, "fraction")
TENTH_PERCENT = Form(1, 100.0, "fraction")
MS = Form(0, 1000.0, "s")
SECONDS = Form(1, unit="s")
MINUTES = Form(1, 1 / 60, "s")
RATIO = Form(2)
COLUMNS = {"test_acc": PERCENT, "val_acc": PERCENT, "train_s": MINUTES}
"""Columns of the runs that are summarised, and how."""


class Field(NamedTuple):
    """One attribute of a finding: how it is printed, and how it was computed."""

    form: Form
    formula: str


_DIFFERENCE = "difference of mean test_acc, network minus baseline"
_CHANGE = "mean val_acc, bfloat16 minus float32"
FIELDS: dict[type, dict[str, Field]] = {
    analysis.Contrast: {
        "difference": Field(POINTS, _DIFFERENCE),
        "size": Field(PERCENT, "size of the difference"),
        "interval": Field(PERCENT, f"simultaneous interval, {_DIFFERENCE}"),
        "p": Field(SMALL_P, "t test over seeds and images"),
        "p_holm": Field(SMALL_P, "Holm over the contrasts"),
        "p_welch": Field(SMALL_P, "Welch's t test over seeds, these images"),
        "detectable": Field(TENTH_PERCENT, "difference detected with a power of 80 %"),
    },
    analysis.StepTime: {
        "step_s": Field(MS, "median over rounds of the median step"),
        "interval": Field(MS, "third and tenth round"),
        "ratio": Field(RATIO, "median of the paired ratio"),
        "ratio_interval": Field(RATIO, "third and tenth round of the paired ratio"),
        "images_per_s": Field(Form(unit="images/s"), "batch size / median step"),
        "gmac_per_s": Field(Form(unit="GMAC/s"), "3 × MACs of the forward pass × images per s"),
        "peak_memory": Field(Form(2, 2.0**-30, "bytes"), "peak memory of the process, in GiB"),
        "startup_s": Field(SECONDS, "start of the process to the first step"),
        "eval_s": Field(SECONDS, "evaluation of the validation images"),
    },
    analysis.Budget: {
        "steps": Field(Form(unit="steps"), "as declared"),
        "residual_s": Field(Form(1, unit="s", signed=True), "predicted training time minus budget"),
    },
    analysis.Trial: {"val_acc": Field(TENTH_PERCENT, "val_acc of the trial")},
    Change: {
        "n": Field(COUNT, "seeds, counted"),
        "change": Field(POINTS, _CHANGE),
        "interval": Field(PERCENT, _CHANGE),
    },
    analysis.Calibration: {
        "temperature": Field(RATIO, "fitted on validation images"),
        "ece": Field(PERCENT, "top-label error, equal-mass bins"),
        "ece_scaled": Field(PERCENT, "the same after scaling"),
        "nll": Field(Form(3, unit="nats"), "mean negative log-likelihood"),
        "nll_scaled": Field(Form(3, unit="nats"), "the same after scaling"),
    },
    analysis.Gain: {
        "difference": Field(POINTS, "mean test_acc, longer arm minus shorter"),
        "interval": Field(PERCENT, "mean test_acc, longer arm minus shorter"),
    },
}
"""What is printed of each kind of finding."""


class Values:
    """Enters findings into the ledger; entering one twice gives the same value."""

    def __init__(self, facts: Facts, found: Findings) -> None:
        self.facts, self.found, self.data = facts, found, facts.data
        self.ledger = facts.ledger
        self._shown = cache(lambda arm: shown(facts.data, arm))

    def number(
        self, key: str, exact: float, form: Form, formula: str, sources: Iterable[Source]
    ) -> Value:
        return self.ledger.number(key, exact, form, formula=formula, sources=sources)

    # ------------------------------------------------------------------------- findings

    def of(self, row: Any) -> dict[str, Any]:
        """The printed values of a finding by attribute; an interval has two, None stays None."""
        key, sources = self._place(row)
        return {
            name: self.ledger.cell(
                f"{key}.{name}", getattr(row, name), form, formula=formula, sources=sources
            )
            for name, (form, formula) in FIELDS[type(row)].items()
        }

    def _place(self, row: Any) -> tuple[str, list[Source]]:
        """The ledger's key of a finding, and the lines it came from."""
        facts = self.facts
        match row:
            case analysis.StepTime():
                line = facts.sources.file(self.data.timing_path, row.line)
                return f"timing.{row.model}", [line]
            case analysis.Budget():
                lines = facts.of_study(f"arm.{row.arm}.steps", f"arm.{row.arm}")
                return f"budget.{row.arm}.{row.model}", lines
            case analysis.Trial():
                key = f"tuning.{row.stage}.{row.model}.{row.rate:g}"
                return key, [facts.result(row.path)]
            case Change():
                return f"precision.{row.model}", list(map(facts.result, row.paths))
            case analysis.Calibration():
                paths = self.paths(self.found.calibration_arm, row.model)
                return f"calibration.{row.model}", list(map(facts.predictions, paths))
            case analysis.Gain():
                paths = [p for a in self.found.gain_arms or () for p in self.paths(a, row.model)]
                return f"gain.{row.model}", list(map(facts.result, paths))
            case analysis.Contrast():
                plan = self.data.study.contrast
                assert plan is not None
                models = row.model, plan.baseline
                paths = [path for model in models for path in self.paths(plan.arm, model)]
                lines = [*map(facts.result, paths), *map(facts.predictions, paths)]
                return f"contrast.{row.model}.{plan.baseline}", lines
        raise TypeError(type(row))

    # ------------------------------------------------------------------------- runs of an arm

    def paths(self, arm: str, entry: str) -> list[str]:
        """The runs of one network (and variant) in one arm, of the seeds that all networks have."""
        return self._shown(arm).get(entry, [])

    def mean(self, arm: str, entry: str, column: str) -> dict[str, Any]:
        """Mean over seeds of a column of the runs: ``mean``, ``n``, and, with several seeds, the
        limits of Student's ``interval`` and the standard deviation ``sd``; nothing where no run
        has the number. A diverged run counts with the accuracy of chance.
        """
        found = self.found.summaries.get((arm, entry, column))
        if found is None:
            return {}
        sources = list(map(self.facts.result, self.paths(arm, entry)))
        key, form = f"{arm or 'all'}.{slug(entry)}.{column}", COLUMNS[column]
        return {
            "mean": self.number(key, found.mean, form, f"mean over seeds of {column}", sources),
            "n": self.number(f"{key}.n", found.n, Form(unit="seeds"), "seeds, counted", sources),
        } | {
            name: self.ledger.cell(
                f"{key}.{name}", getattr(found, name), form, formula=f"{what} over seeds of "
                f"{column}", sources=sources,
            )
            for name, what in (("interval", "Student's interval"), ("sd", "standard deviation"))
        }  # fmt: skip

    def diverged(self, arm: str, entry: str) -> Value:
        """How many of the shown runs diverged."""
        paths = self.paths(arm, entry)
        results = [self.data.logs[path].result for path in paths]
        count = sum(result is not None and result.status == "diverged" for result in results)
        key = f"{arm or 'all'}.{slug(entry)}.diverged"
        sources = map(self.facts.result, paths)
        return self.number(key, count, Form(unit="runs"), "runs that diverged", sources)

    # ------------------------------------------------------------------------- constants

    def alpha_percent(self) -> Value:
        """The family-wise error in percent."""
        return self.number("test.alpha", ALPHA, WHOLE_PERCENT, "chosen for all tests", [])

    def level(self) -> Value:
        """The level of intervals in percent."""
        return self.number("interval.level", 1 - ALPHA, WHOLE_PERCENT, "chosen for intervals", [])

    def duplicates(self) -> Value:
        """Share of test images with a near-duplicate among the training images, as published."""
        found = self.facts.quoted(
            "known", "known.duplicates", "duplicates", "share", form=TENTH_PERCENT
        )
        assert found is not None
        return found
