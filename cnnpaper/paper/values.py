"""The figures of networks and pairs as values of the ledger: one key, one text, one rounding.

Tables and claims take them from here, so a figure reads the same wherever it is printed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from cnnpaper.paper import stats
from cnnpaper.paper.analysis import Network
from cnnpaper.paper.facts import counted, counted_korean
from cnnpaper.paper.ledger import Ledger, Source, Value, fixed, p_value, percent, whole

Form: TypeAlias = Literal["digits", "word", "korean"]

POINTS_DECIMALS = 1
MOST_DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its interval, all three with the same number of decimals."""

    value: Value
    low: Value
    high: Value


@dataclass(frozen=True, kw_only=True)
class PairValues:
    """The comparison of two networks, the one of the higher mean accuracy first."""

    first: str
    second: str
    difference: Value
    low: Value
    high: Value
    p: Value
    """With its relation: ``= 0.013``, ``< 0.001``."""


class Values:
    """Enters figures into a ledger; entering one twice gives the same value."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    # --------------------------------------------------------------------------- accuracy

    def accuracy(self, network: Network) -> Estimate:
        """Test accuracy in percent, two decimals.

        Raises:
            ValueError: no run of the network was tested.
        """
        return self._accuracy(network, network.accuracy, "test_acc")

    def accuracy_tta(self, network: Network) -> Estimate:
        """With flip averaging, in percent, two decimals."""
        return self._accuracy(network, network.accuracy_tta, "test_acc_tta")

    def _accuracy(self, network: Network, found: stats.Accuracy | None, name: str) -> Estimate:
        if found is None:
            raise ValueError(f"{network.key}: no run was tested")
        mean = "share of test images" if found.seeds == 1 else "mean over seeds"
        limit = (
            "Wilson's interval over images"
            if found.seeds == 1
            else "interval over seeds and images"
        )
        values = [
            self.ledger.add(
                f"{network.key}.{name}{suffix}",
                exact,
                text=percent(exact),
                unit="fraction",
                formula=formula,
                sources=network.results,
            )
            for suffix, exact, formula in (
                ("", found.mean, f"{mean}: {name}"),
                (".low", found.low, f"lower limit, {limit}"),
                (".high", found.high, f"upper limit, {limit}"),
            )
        ]
        return Estimate(value=values[0], low=values[1], high=values[2])

    def validation(self, network: Network) -> Value:
        """Mean of the best validation accuracies, in percent, two decimals."""
        if network.validation is None:
            raise ValueError(f"{network.key}: no validation accuracy is known")
        return self.ledger.add(
            f"{network.key}.val_acc",
            network.validation,
            text=percent(network.validation),
            unit="fraction",
            formula="mean over runs of best_val_acc",
            sources=network.results,
        )

    def gap(self, network: Network) -> Estimate:
        """Validation less test accuracy, in points, with its interval."""
        if network.gap is None:
            raise ValueError(f"{network.key}: no run was tested")
        gap = network.gap
        return self._points(
            f"{network.key}.gap",
            (gap.difference, gap.low, gap.high),
            "mean over seeds of best_val_acc - test_acc",
            network.results,
            POINTS_DECIMALS,
        )

    def seed_sd(self, network: Network) -> Value | None:
        """Standard deviation of the seeds' test accuracies, in points; None for one seed."""
        if network.accuracy is None or network.accuracy.seed_sd is None:
            return None
        return self.ledger.add(
            f"{network.key}.seed_sd",
            network.accuracy.seed_sd,
            text=percent(network.accuracy.seed_sd),
            unit="fraction",
            formula="standard deviation (n - 1) of test_acc over seeds",
            sources=network.results,
        )

    def _points(
        self,
        key: str,
        exact: tuple[float, float, float],
        formula: str,
        sources: Iterable[Source],
        decimals: int,
    ) -> Estimate:
        sources = tuple(sources)
        values = [
            self.ledger.add(
                f"{key}{suffix}",
                number,
                text=percent(number, decimals),
                unit="fraction",
                formula=text,
                sources=sources,
            )
            for suffix, number, text in (
                (".difference", exact[0], formula),
                (".low", exact[1], f"lower limit of {key}.difference"),
                (".high", exact[2], f"upper limit of {key}.difference"),
            )
        ]
        return Estimate(value=values[0], low=values[1], high=values[2])

    # --------------------------------------------------------------------------- pairs

    def pair(self, pair: stats.Comparison, first: Network, second: Network) -> PairValues:
        """Difference in points, simultaneous interval and Holm-adjusted p of one pair.

        Args:
            pair: the comparison.
            first: the network of ``pair.first``.
            second: the network of ``pair.second``.
        """
        exact = (pair.difference, pair.low, pair.high)
        if pair.difference < 0:
            first, second, exact = second, first, (-exact[0], -exact[2], -exact[1])
        key = f"pair.{first.key}.{second.key}"
        sources = first.results + second.results
        rule = (
            "of the same test images, square-and-add interval"
            if pair.method == "mcnemar"
            else "of seed means, interval over seeds and images"
        )
        points = self._points(
            key, exact, f"difference of test_acc {rule}, Bonferroni", sources, pair_decimals(pair)
        )
        test = "McNemar's exact test" if pair.method == "mcnemar" else "t test, seeds and images"
        p = self.ledger.add(
            f"{key}.p_holm",
            pair.p_holm,
            text=p_text(pair.p_holm, separated=pair.separated),
            formula=f"{test}, Holm over all pairs",
            sources=sources,
        )
        return PairValues(
            first=first.key,
            second=second.key,
            difference=points.value,
            low=points.low,
            high=points.high,
            p=p,
        )

    # --------------------------------------------------------------------------- costs

    def parameters(self, network: Network) -> Value:
        """In millions, one decimal."""
        return self._cost(network, "parameters", network.parameters, 1)

    def macs(self, network: Network) -> Value:
        """Multiply-accumulate operations for one image, in millions."""
        return self._cost(network, "macs", network.macs, 0)

    def _cost(self, network: Network, name: str, exact: int | None, decimals: int) -> Value:
        if exact is None:
            raise ValueError(f"{network.key}: {name} are not known")
        return self.ledger.add(
            f"{network.key}.{name}",
            exact,
            text=fixed(float(Decimal(exact).scaleb(-6)), decimals),
            unit="million",
            formula="measured from the network",
            sources=network.header,
        )

    def epoch_seconds(self, network: Network) -> Value:
        """Seconds per epoch at full resolution, mean over runs: whole, below ten one decimal."""
        times = network.times
        if times is None or times.epoch_s is None:
            raise ValueError(f"{network.key}: no seconds are known")
        return self.ledger.add(
            f"{network.key}.epoch_s",
            times.epoch_s,
            text=seconds_text(times.epoch_s),
            unit="s",
            formula="mean over runs and epochs at full resolution of train_s",
            sources=times.sources,
        )

    # --------------------------------------------------------------------------- counts

    def count(
        self, key: str, number: int, *, what: str, sources: Iterable[Source], form: Form = "digits"
    ) -> Value:
        """A count; as a word up to twelve where ``form`` says so, under a key of its own."""
        suffix, text = {
            "digits": ("", whole(number)),
            "word": ("_word", counted(number)),
            "korean": ("_korean", counted_korean(number)),
        }[form]
        return self.ledger.add(
            f"{key}{suffix}",
            number,
            text=text,
            unit=what,
            formula="counted",
            sources=sources,
        )

    def alpha(self) -> Value:
        """The level of the tests."""
        return self.ledger.add(
            "test.alpha",
            stats.ALPHA,
            text=fixed(stats.ALPHA, 2),
            formula="as chosen for all tests",
            sources=(),
        )

    def level(self) -> Value:
        """The intervals' level in percent."""
        return self.ledger.add(
            "interval.level",
            stats.LEVEL,
            text=percent(stats.LEVEL, 0),
            unit="fraction",
            formula="as chosen for all intervals",
            sources=(),
        )


def pair_decimals(pair: stats.Comparison) -> int:
    """Decimals of a pair's points: one, or more where a limit that is not 0 would read as 0.

    Only where the pair is separated: its interval leaves out 0, and must be seen to.
    """
    if not pair.separated:
        return POINTS_DECIMALS
    nearest = min(abs(pair.low), abs(pair.high))
    shown = (d for d in range(POINTS_DECIMALS, MOST_DECIMALS) if float(percent(nearest, d)) > 0)
    return next(shown, MOST_DECIMALS)


def p_text(p: float, *, separated: bool) -> str:
    """A p-value with its relation, never zero, and never at the level that it is below."""
    text = p_value(p)
    if separated and text == f"= {fixed(stats.ALPHA, 3)}":
        text = f"= {fixed(p, MOST_DECIMALS)}"
        if text == f"= {fixed(stats.ALPHA, MOST_DECIMALS)}":
            text = f"< {fixed(stats.ALPHA, 2)}"
    return text


def seconds_text(seconds: float) -> str:
    """Whole seconds, below ten one decimal: ``104``, ``3.2``."""
    one = fixed(seconds, 1)
    return one if Decimal(one.replace(",", "")) < 10 else fixed(seconds, 0)


def rounding_shows(first: str, second: str, difference: str) -> bool:
    """Would a reader who subtracts the printed values get another difference than is printed?

    Differences are rounded once, from unrounded values, so they may differ from the difference of
    rounded ones; the text then says so.

    Args:
        first: as printed, ``77.61``.
        second: as printed.
        difference: as printed.
    """
    a, b, shown = (Decimal(_plain(text)) for text in (first, second, difference))
    exponent = shown.as_tuple().exponent
    assert isinstance(exponent, int)
    # at exactly half a digit a reader may round either way
    return abs(a - b - shown) >= Decimal(1).scaleb(exponent) / 2


def _plain(text: str) -> str:
    return text.replace(",", "").replace("−", "-").replace("+", "")
