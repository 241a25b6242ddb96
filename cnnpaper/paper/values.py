"""The figures of networks, arms and contrasts as values of the ledger: one key, one text.

Tables and claims take them from here, so a figure reads the same wherever it is printed. What is
computed is computed in :mod:`cnnpaper.study.analysis`; here it is rounded and given its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnpaper.config import read_toml
from cnnpaper.log import LOG_NAME, PREDICTIONS_NAME
from cnnpaper.paper.ledger import Ledger, Source, Value, fixed
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.tabular import Interval

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

ALPHA = 0.05
SMALL_P = 0.001
PERCENT, MS, MINUTES, GIB = 100.0, 1000.0, 1 / 60, 2.0**-30


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds as printed; interval and deviation are None for one seed."""

    value: Value
    interval: Interval | None = None
    spread: Value | None = None
    n: Value | None = None


class Values:
    """Enters figures into a ledger; entering one twice gives the same value."""

    def __init__(self, data: StudyData, ledger: Ledger, sources: Sources) -> None:
        self.data, self.ledger, self.sources = data, ledger, sources
        self.root: Path = data.root

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

    def rows(self, arm: str, model: str, variant: str = "") -> Any:
        """The runs of one network in one arm, of the seeds that all its networks have."""
        runs = self.data.runs
        seeds = self.data.complete_seeds(arm)
        chosen = (runs["arm"] == arm) & (runs["model"] == model) & (runs["variant"] == variant)
        return runs[chosen & runs["seed"].isin(seeds)]

    def mean(
        self, arm: str, model: str, column: str, decimals: int, *, scale: float = 1.0,
        unit: str | None = None, formula: str = "",
    ) -> Estimate | None:  # fmt: skip
        """Mean over seeds of a column of the runs, with t interval and standard deviation.

        A diverged run counts with the accuracy of chance. None where no run has the column.
        """
        from cnnpaper.study.analysis import summarise

        rows = self.rows(arm, model)
        found = summarise(rows, column)
        if found is None:
            return None
        sources = [self.file(path) for path in rows["path"]]
        key = f"{arm or 'all'}.{model}.{column}"
        name = formula or column
        value = self.number(
            key, found.mean, decimals, f"mean over seeds of {name}", sources, scale=scale, unit=unit
        )
        n = self.number(f"{key}.n", found.n, 0, "seeds, counted", sources, unit="seeds")
        if found.interval is None or found.sd is None:
            return Estimate(value=value, n=n)
        limits = self.interval(
            key, found.interval, decimals, f"Student's interval over seeds of {name}", sources,
            scale=scale, unit=unit,
        )  # fmt: skip
        spread = self.number(
            f"{key}.sd", found.sd, decimals, f"standard deviation over seeds of {name}", sources,
            scale=scale, unit=unit,
        )  # fmt: skip
        return Estimate(value=value, interval=limits, spread=spread, n=n)

    def accuracy(self, arm: str, model: str) -> Estimate | None:
        """Test accuracy in percent."""
        return self.mean(arm, model, "test_acc", 2, scale=PERCENT, unit="fraction")

    def validation(self, arm: str, model: str) -> Estimate | None:
        """Validation accuracy in percent."""
        return self.mean(arm, model, "val_acc", 2, scale=PERCENT, unit="fraction")

    def minutes(self, arm: str, model: str) -> Estimate | None:
        """Training time in minutes."""
        return self.mean(arm, model, "train_s", 1, scale=MINUTES, unit="s", formula="train_s")
