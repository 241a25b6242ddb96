"""What a study found, as values of the ledger: one key, one text.

Tables and claims take them from here, so a number reads the same wherever it is printed. What is
computed is computed in :mod:`cnnpaper.study.analysis`; here it is rounded and given its sources.
"""

from __future__ import annotations

from functools import cached_property, partialmethod
from typing import Any, NamedTuple

from cnnpaper.log import CONTENDED
from cnnpaper.paper.facts import Facts, slug
from cnnpaper.paper.ledger import ALPHA, COUNT, PERCENT, POINTS, Form, PValue, Source, Value
from cnnpaper.study import analysis
from cnnpaper.study.analysis import shown
from cnnpaper.study.precision import MARGIN, Change
from cnnpaper.study.stats import CALIBRATION_BINS, POWER

SMALL_DIFFERENCE = 0.01
SMALL_P = PValue()
WHOLE_PERCENT = Form(0, 100.0, "fraction")
TENTH_PERCENT = Form(1, 100.0, "fraction")
MS = Form(0, 1000.0, "s")
SECONDS = Form(1, unit="s")
MINUTES = Form(1, 1 / 60, "s")
RATIO = Form(2)
COLUMNS = {"test_acc": PERCENT, "val_acc": PERCENT, "train_s": MINUTES}
"""Columns of the runs that are summarised, and how."""


class Field(NamedTuple):
    """One attribute of a finding: how it is printed, how it was computed, and its column in a table
    of such findings: key of the CSV, entry among the words where it is another one, group."""

    form: Form
    formula: str
    column: str = ""
    head: str = ""
    group: str = ""


_DIFFERENCE = "difference of mean test_acc, network minus baseline"
_CHANGE = "mean val_acc, bfloat16 minus float32"
FIELDS: dict[type, dict[str, Field]] = {
    analysis.Contrast: {
        "difference": Field(POINTS, _DIFFERENCE, "difference_points", "difference"),
        "size": Field(PERCENT, "size of the difference"),
        "interval": Field(PERCENT, f"simultaneous interval, {_DIFFERENCE}",
                          "difference_points_interval", "simultaneous"),
        "p": Field(SMALL_P, "t test over seeds and images", "p"),
        "p_holm": Field(SMALL_P, "Holm over the contrasts", "p_holm"),
        "p_welch": Field(SMALL_P, "Welch's t test over seeds, these images", "p_welch"),
        "detectable": Field(TENTH_PERCENT, "difference detected with the stated power"),
    },
    analysis.StepTime: {
        "step_s": Field(MS, "median over rounds of the median step", "step_ms"),
        "interval": Field(MS, "third and tenth round", "step_ms_interval", "interval"),
        "ratio": Field(Form(3), "median of the paired ratio", "ratio"),
        "ratio_interval": Field(Form(3), "third and tenth round of the paired ratio",
                                "ratio_interval", "interval"),
        "images_per_s": Field(Form(unit="images/s"), "batch size / median step", "images_per_s",
                              "images_s"),
        "gmac_per_s": Field(Form(unit="GMAC/s"), "3 × MACs of the forward pass × images per s",
                            "gmac_per_s", "gmacs"),
        "peak_memory": Field(Form(2, 2.0**-30, "bytes"), "peak memory of the process, in GiB",
                             "memory_gib", "memory"),
        "startup_s": Field(SECONDS, "images read, network built, first step done", "startup_s",
                           "startup"),
        "eval_s": Field(SECONDS, "evaluation of the validation images", "evaluation_s",
                        "evaluation"),
    },
    analysis.Budget: {
        "residual_s": Field(Form(1, unit="s", signed=True), "predicted training time minus budget"),
    },
    analysis.Trial: {"val_acc": Field(TENTH_PERCENT, "val_acc of the trial")},
    Change: {
        "n": Field(COUNT, "seeds, counted", "seeds"),
        "change": Field(POINTS, _CHANGE, "change_points", "change"),
        "interval": Field(PERCENT, _CHANGE, "change_points_interval", "interval"),
    },
    analysis.Calibration: {
        "temperature": Field(RATIO, "fitted on validation images", "temperature"),
        "ece": Field(PERCENT, "top-label error, equal-mass bins", "ece_percent", "before", "ece"),
        "ece_scaled": Field(PERCENT, "the same after scaling", "ece_scaled_percent", "after",
                            "ece"),
        "nll": Field(Form(3, unit="nats"), "mean negative log-likelihood", "nll_nats", "before",
                     "nll"),
        "nll_scaled": Field(Form(3, unit="nats"), "the same after scaling", "nll_scaled_nats",
                            "after", "nll"),
    },
    analysis.Gain: {
        "difference": Field(POINTS, "mean test_acc, second arm minus first"),
        "interval": Field(PERCENT, "mean test_acc, second arm minus first"),
    },
    analysis.Distance: {
        "difference": Field(POINTS, _DIFFERENCE),
        "interval": Field(PERCENT, _DIFFERENCE),
    },
}  # fmt: skip
"""What is printed of each kind of finding."""


class Values(Facts):
    """Facts of a study and what it found; entering a value twice gives the same value."""

    @cached_property
    def _shown(self) -> dict[str, dict[str, list[str]]]:
        return {arm or "": shown(self.data, arm or "") for arm in self.study.arms}

    def of(self, row: Any) -> dict[str, Any]:
        """The printed values of a finding by attribute; an interval has two, None stays None."""
        key, sources = self._place(row)
        return {
            name: self.cell(f"{key}.{name}", getattr(row, name), form, formula, sources)
            for name, (form, formula, *_) in FIELDS[type(row)].items()
        }

    def _place(self, row: Any) -> tuple[str, list[Source]]:
        """The ledger's key of a finding, and the lines it came from."""
        match row:
            case analysis.StepTime():
                return f"timing.{row.model}", self.timed(row)
            case analysis.Budget():
                lines = self.of_study(f"arm.{row.arm}.steps", f"arm.{row.arm}")
                return f"budget.{row.arm}.{row.model}", lines
            case analysis.Trial():
                key = f"tuning.{row.stage}.{row.model}.{row.rate:g}"
                return key, [self.result(row.path)]
            case Change():
                return f"precision.{row.model}", [*map(self.result, row.paths)]
            case analysis.Calibration():
                return f"calibration.{row.model}", [*map(self.predictions, row.paths)]
            case analysis.Gain():
                paths = [path for arm in row.arms for path in self.paths(arm, row.model)]
                key = f"gain.{'.'.join(row.arms)}.{row.model}"
                return key, [*map(self.result, paths)]
        plan = self.study.contrast
        assert plan is not None
        arm, other, kind = plan.arm, plan.baseline, "contrast"
        if isinstance(row, analysis.Distance):
            arm, other, kind = row.arm, row.other, f"distance.{row.arm}"
        paths = [path for m in (row.model, other) for path in self.paths(arm, m)]
        lines = [*map(self.result, paths), *map(self.predictions, paths)]
        return f"{kind}.{row.model}.{other}", lines

    def timed(self, row: analysis.StepTime | analysis.Shift) -> list[Source]:
        """The line of a measurement of step times."""
        return [self.sources.file(self.data.timing_path, row.line)]

    def paths(self, arm: str, entry: str) -> list[str]:
        """The runs of one network (and variant) in one arm, of the seeds that all networks have."""
        return self._shown.get(arm, {}).get(entry, [])

    def mean(self, arm: str, entry: str, column: str) -> dict[str, Any]:
        """Mean over seeds of a column of the runs: ``mean``, ``n``, and, with several seeds, the
        limits of Student's ``interval`` and the standard deviation ``sd``; nothing where no run
        has the number. A diverged run counts with the accuracy of chance.
        """
        found = self.found.summaries.get((arm, entry, column))
        if found is None:
            return {}
        sources = [*map(self.result, self.paths(arm, entry))]
        key, form = f"{arm or 'all'}.{slug(entry)}.{column}", COLUMNS[column]
        out: dict[str, Any] = {
            "mean": self.number(key, found.mean, form, f"mean over seeds of {column}", sources),
            "n": self.number(f"{key}.n", found.n, Form(unit="seeds"), "seeds, counted", sources),
        }
        for name, what in (("interval", "Student's interval"), ("sd", "standard deviation")):
            formula, exact = f"{what} over seeds of {column}", getattr(found, name)
            out[name] = self.cell(f"{key}.{name}", exact, form, formula, sources)
        return out

    def minutes(self, arm: str, entry: str) -> Value | None:
        """Training time of a network's steps by its measured step time, the same for every seed;
        where steps were not timed, the runs' own mean."""
        specs = [spec for spec in self.data.specs if spec.path in self.paths(arm, entry)]
        if not specs or not self.found.timing:
            return self.mean(arm, entry, "train_s").get("mean")
        row = next((row for row in self.found.timing if row.model == specs[0].model), None)
        if row is None:
            return None
        key, seconds = f"{arm or 'all'}.{slug(entry)}.timed", row.paired_s * specs[0].steps
        return self.number(key, seconds, MINUTES, "paired step time × steps", self.timed(row))

    def diverged_of(self, arm: str, entry: str) -> Value:
        """How many of the shown runs diverged."""
        paths = self.paths(arm, entry)
        results = [self.data.logs[path].result for path in paths]
        count = sum(result is not None and result.status == "diverged" for result in results)
        key = f"{arm or 'all'}.{slug(entry)}.diverged"
        sources = map(self.result, paths)
        return self.number(key, count, Form(unit="runs"), "runs that diverged", sources)

    def chosen(
        self, key: str, exact: float, form: Form = WHOLE_PERCENT, formula: str = "chosen in advance"
    ) -> Value:
        """A constant of the method."""
        return self.number(key, exact, form, formula, [])

    alpha_percent = partialmethod(chosen, "test.alpha", ALPHA, formula="chosen for all tests")
    level = partialmethod(chosen, "interval.level", 1 - ALPHA, formula="chosen for intervals")
    small = partialmethod(chosen, "test.small", SMALL_DIFFERENCE)
    power = partialmethod(chosen, "test.power", POWER)
    contended = partialmethod(chosen, "timing.contended", CONTENDED)
    bins = partialmethod(chosen, "calibration.bins", CALIBRATION_BINS, COUNT)
    margin = partialmethod(chosen, "precision.margin", MARGIN)
    """What the mean change by bfloat16 must be shown to exceed."""

    def jpeg_quality(self) -> Value | None:
        """Of the re-encoded copy of the images."""
        return self.quoted("known", "known.jpeg_quality", "jpeg75", "quality")

    def duplicates(self) -> Value | None:
        """Share of test images with a near-duplicate among the training images, as published."""
        path = "duplicates", "share"
        return self.quoted("known", "known.duplicates", *path, form=TENTH_PERCENT)
