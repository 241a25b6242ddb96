"""The figures of networks, arms and contrasts as values of the ledger: one key, one text.

Tables and claims take them from here, so a figure reads the same wherever it is printed. What is
computed is computed in :mod:`cnnpaper.study.analysis`; here it is rounded and given its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnpaper.config import read_toml
from cnnpaper.log import LOG_NAME, PREDICTIONS_NAME, Run
from cnnpaper.paper.facts import slug
from cnnpaper.paper.ledger import Ledger, Source, Value, fixed
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.tabular import Interval
from cnnpaper.study import analysis
from cnnpaper.study.analysis import Findings, shown

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

ALPHA = 0.05
SMALL_P = 0.001
PERCENT, MS, MINUTES, GIB = 100.0, 1000.0, 1 / 60, 2.0**-30


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds as printed; interval and deviation are None for one seed, and all is where
    no run has the number."""

    value: Value | None = None
    interval: Interval | None = None
    spread: Value | None = None
    n: Value | None = None

    def __bool__(self) -> bool:
        return self.value is not None


class Values:
    """Enters figures into a ledger; entering one twice gives the same value."""

    def __init__(self, data: StudyData, found: Findings, ledger: Ledger, sources: Sources) -> None:
        self.data, self.found = data, found
        self.ledger, self.sources = ledger, sources
        self.root: Path = data.root
        self._shown = cache(lambda arm: shown(data, arm))

    # ------------------------------------------------------------------------- sources

    def file(self, path: str, what: str | None = "result") -> Source:
        """A line of the log of run ``path``, or with None its predictions."""
        folder = self.root / "results" / "log" / path
        run = self.data.logs.get(path)
        if what is None:
            return self.sources.file(folder / PREDICTIONS_NAME)
        line = run.line_numbers.get(what) if run is not None else None
        return self.sources.file(folder / LOG_NAME, line)

    # ------------------------------------------------------------------------- numbers

    def percent(
        self, key: str, exact: float, formula: str, sources: Iterable[Source],
        *, decimals: int = 2, signed: bool = False,
    ) -> Value:  # fmt: skip
        """A fraction in percent or points, two decimals: exact for 10,000 images."""
        return self.ledger.number(
            key, exact, decimals, scale=PERCENT, unit="fraction", formula=formula,
            sources=sources, signed=signed,
        )  # fmt: skip

    def number(
        self, key: str, exact: float, decimals: int, formula: str, sources: Iterable[Source],
        *, scale: float = 1.0, unit: str | None = None, signed: bool = False,
    ) -> Value:  # fmt: skip
        return self.ledger.number(
            key, exact, decimals, scale=scale, unit=unit, formula=formula, sources=sources,
            signed=signed,
        )  # fmt: skip

    def interval(
        self, key: str, limits: tuple[float, float] | None, decimals: int, formula: str,
        sources: Sequence[Source], *, scale: float = 1.0, unit: str | None = None,
    ) -> Interval | None:  # fmt: skip
        """``[low, high]``; None where there is none."""
        if limits is None:
            return None
        low, high = (
            self.number(f"{key}.{end}", limit, decimals, f"{end} limit of {formula}", sources,
                        scale=scale, unit=unit)
            for end, limit in zip(("low", "high"), limits, strict=True)
        )  # fmt: skip
        return Interval(low, high)

    def p(self, key: str, exact: float, formula: str, sources: Iterable[Source]) -> Value:
        """Three decimals; below 0.001 with its sign, ``< 0.001``."""
        text = f"< {fixed(SMALL_P, 3)}" if exact < SMALL_P else fixed(exact, 3)
        if text == fixed(ALPHA, 3) and exact < ALPHA:
            text = fixed(exact, 4)
        return self.ledger.add(key, exact, text=text, formula=formula, sources=sources)

    # ------------------------------------------------------------------------- constants

    def alpha_percent(self) -> Value:
        """The family-wise error in percent."""
        return self.percent("test.alpha", ALPHA, "chosen for all tests", [], decimals=0)

    def level(self) -> Value:
        """The level of intervals in percent."""
        return self.percent("interval.level", 1 - ALPHA, "chosen for intervals", [], decimals=0)

    @cached_property
    def known(self) -> dict[str, Any]:
        return read_toml(self.root / "report" / "known.toml")

    def duplicates(self) -> Value:
        """Share of test images with a near-duplicate among the training images, as published."""
        path = self.root / "report" / "known.toml"
        source = self.sources.toml(path, "duplicates.share")
        share = self.known["duplicates"]["share"]
        return self.percent("known.duplicates", share, "as published", [source], decimals=1)

    # ------------------------------------------------------------------------- runs of an arm

    def paths(self, arm: str, entry: str) -> list[str]:
        """The runs of one network (and variant) in one arm, of the seeds that all networks have."""
        return self._shown(arm).get(entry, [])

    def mean(
        self, arm: str, model: str, column: str, decimals: int, *, scale: float = 1.0,
        unit: str | None = None,
    ) -> Estimate:  # fmt: skip
        """Mean over seeds of a column of the runs, with t interval and standard deviation.

        A diverged run counts with the accuracy of chance.
        """
        found = self.found.summaries.get((arm, model, column))
        if found is None:
            return Estimate()
        sources = [self.file(path) for path in self.paths(arm, model)]
        key = f"{arm or 'all'}.{slug(model)}.{column}"
        how: dict[str, Any] = {"scale": scale, "unit": unit}
        formula = f"mean over seeds of {column}"
        value = self.number(key, found.mean, decimals, formula, sources, **how)
        n = self.number(f"{key}.n", found.n, 0, "seeds, counted", sources, unit="seeds")
        if found.interval is None or found.sd is None:
            return Estimate(value=value, n=n)
        formula = f"Student's interval over seeds of {column}"
        limits = self.interval(key, found.interval, decimals, formula, sources, **how)
        formula = f"standard deviation over seeds of {column}"
        spread = self.number(f"{key}.sd", found.sd, decimals, formula, sources, **how)
        return Estimate(value=value, interval=limits, spread=spread, n=n)

    def accuracy(self, arm: str, model: str) -> Estimate:
        """Test accuracy in percent."""
        return self.mean(arm, model, "test_acc", 2, scale=PERCENT, unit="fraction")

    def validation(self, arm: str, model: str) -> Estimate:
        """Validation accuracy in percent."""
        return self.mean(arm, model, "val_acc", 2, scale=PERCENT, unit="fraction")

    def minutes(self, arm: str, model: str) -> Estimate:
        """Training time in minutes."""
        return self.mean(arm, model, "train_s", 1, scale=MINUTES, unit="s")

    def diverged(self, arm: str, model: str) -> Value:
        """How many of the shown runs diverged."""
        paths = self.paths(arm, model)
        count = sum(_diverged(self.data.logs[path]) for path in paths)
        key = f"{arm or 'all'}.{slug(model)}.diverged"
        return self.number(key, count, 0, "runs that diverged", map(self.file, paths), unit="runs")

    # ------------------------------------------------------------------------- contrast

    def contrast(self, row: analysis.Contrast) -> dict[str, Any]:
        """One row of the primary contrast: points and p-values."""
        plan = self.data.study.contrast
        assert plan is not None
        key = f"contrast.{row.model}.{plan.baseline}"
        paths = [*self.paths(plan.arm, row.model), *self.paths(plan.arm, plan.baseline)]
        sources = [*map(self.file, paths), *(self.file(path, None) for path in paths)]
        formula = "difference of mean test_acc, network minus baseline"
        found: dict[str, Any] = {
            "difference": self.percent(f"{key}.difference", row.difference, formula, sources,
                                       signed=True),
            "size": self.percent(f"{key}.size", abs(row.difference), f"size of the {formula}",
                                 sources),
            "interval": self.interval(key, row.interval, 2, f"simultaneous interval, {formula}",
                                      sources, scale=PERCENT, unit="fraction"),
            "p": self.p(f"{key}.p", row.p, "t test over seeds and images", sources),
            "p_holm": self.p(f"{key}.p_holm", row.p_holm, "Holm over the contrasts", sources),
            "p_welch": None, "detectable": None,
        }  # fmt: skip
        if row.p_welch is not None:
            test = "Welch's t test over seeds, these images"
            found["p_welch"] = self.p(f"{key}.p_welch", row.p_welch, test, sources)
        if row.detectable is not None:
            formula = "difference detected with a power of 80 %"
            found["detectable"] = self.percent(f"{key}.detectable", row.detectable, formula,
                                               sources, decimals=1)  # fmt: skip
        return found

    # ------------------------------------------------------------------------- time

    def time(self, row: analysis.StepTime) -> dict[str, Any]:
        """One network's measurement of step times."""
        sources = [self.sources.file(self.data.timing_path, row.line)]
        key = f"timing.{row.model}"

        def add(
            name: str, exact: float | None, decimals: int, formula: str, scale: float = 1.0,
            unit: str | None = "s",
        ) -> Value | None:  # fmt: skip
            if exact is None:
                return None
            return self.number(f"{key}.{name}", exact, decimals, formula, sources, scale=scale,
                               unit=unit)  # fmt: skip

        return {
            "step": add("step", row.step_s, 0, "median over rounds of the median step", MS),
            "interval": self.interval(f"{key}.step", row.interval, 0, "third and tenth round",
                                      sources, scale=MS, unit="s"),
            "ratio": add("ratio", row.ratio, 2, "median of the paired ratio", unit=None),
            "ratio_interval": self.interval(f"{key}.ratio", row.ratio_interval, 2,
                                            "third and tenth round of the paired ratio", sources),
            "images": add("images", row.images_per_s, 0, "batch size / median step",
                          unit="images/s"),
            "gmacs": add("gmacs", row.gmac_per_s, 0, "3 × MACs of the forward pass × images per s",
                         unit="GMAC/s"),
            "memory": add("memory", row.peak_memory, 2, "peak memory of the process, in GiB", GIB,
                          "bytes"),
            "startup": add("startup", row.startup_s, 1, "start of the process to the first step"),
            "evaluation": add("evaluation", row.eval_s, 1, "evaluation of the validation images"),
            **{
                f"section.{name}": add(f"section.{name}", seconds, 0,
                                       f"median over rounds of {name}", MS)
                for name, seconds in row.sections.items()
            },
        }  # fmt: skip


def _diverged(run: Run) -> bool:
    return run.result is not None and run.result.status == "diverged"
