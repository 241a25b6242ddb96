"""The ledger: every number that the paper prints, with the way it was computed and its source.

A number enters the paper as a :class:`Value` alone. Templates, claims and tables print its
``text``; the exact value, the formula and the lines it came from stay with it, so that ``make
explain``, the links and the attached files can show them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeAlias

Exact: TypeAlias = float | int | str | None

KEY = re.compile(r"[a-z0-9][a-z0-9_.-]*")
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a value was read."""

    file: str
    """Relative to the root of the repository, with slashes."""
    line: int | None
    """From 1; None for a file without lines (predictions) or for the whole file."""
    digest: str
    """SHA-256 of the file's bytes."""

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number (or date, or version) as the paper prints it.

    A value printed in two forms has two keys, so a key has one text.
    """

    key: str
    """``short.resnet18.test_acc``: lower case, digits, ``_``, ``.`` and ``-``."""
    text: str
    """As printed, plain Unicode without markup and without its unit: ``77.61``."""
    exact: Exact
    """Before rounding; fractions stay fractions: 0.7761."""
    unit: str | None
    """Of ``exact``: ``fraction``, ``s``, ``bytes``, ``images``; None for a pure number."""
    scale: float
    """``exact`` times this is the number that ``text`` rounds: 100 for a percentage."""
    formula: str
    """For people: ``mean over seeds of test_acc`` or ``as recorded``."""
    sources: tuple[Source, ...]

    @property
    def number(self) -> float | int | None:
        """In the printed unit, twelve significant digits; None for a text."""
        if isinstance(self.exact, str | bool) or self.exact is None:
            return None
        if isinstance(self.exact, int) and self.scale == 1:
            return self.exact
        return float(f"{self.exact * self.scale:.12g}")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Cite:
    """A citation; the keys are those of ``report/references.bib``."""

    keys: tuple[str, ...]
    textual: bool = False
    """True: ``He et al. (2016)``; False: ``(He et al., 2016)``."""

    def __str__(self) -> str:
        return f"[{', '.join(self.keys)}]"


Part: TypeAlias = str | Value | Cite


@dataclass(frozen=True)
class Sentence:
    """Text with values in it; the paper prints the parts one after the other."""

    parts: tuple[Part, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        return tuple(part for part in self.parts if isinstance(part, Value))

    def __str__(self) -> str:
        """As plain text, citations as ``[key]``: for tests and for people."""
        return "".join(map(str, self.parts))

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __add__(self, other: Sentence | str) -> Sentence:
        return Sentence(self.parts + (other.parts if isinstance(other, Sentence) else (other,)))


@dataclass(frozen=True)
class Interval:
    """Two limits, printed ``[low, high]``."""

    low: Value
    high: Value


@dataclass(frozen=True)
class Form:
    """How a number is printed."""

    decimals: int = 0
    scale: float = 1.0
    """The exact number times this is what is printed."""
    unit: str | None = None
    """Of the exact number."""
    signed: bool = False
    """A plus before a positive number, as differences have it."""

    def text(self, exact: float) -> str:
        found = fixed(float(exact), self.decimals, scale=self.scale)
        positive = not found.startswith(MINUS) and set(found) & set("123456789")
        return f"+{found}" if self.signed and positive else found


@dataclass(frozen=True)
class PValue(Form):
    """Three decimals, below 0.001 with its sign: ``< 0.001``; one that rounds to ``alpha`` from
    below has four."""

    alpha: float = 0.05

    def text(self, exact: float) -> str:
        if exact < SMALLEST_P:
            return f"< {fixed(SMALLEST_P, 3)}"
        found = fixed(exact, 3)
        return fixed(exact, 4) if exact < self.alpha and found == fixed(self.alpha, 3) else found


SMALLEST_P = 0.001
COUNT = Form()
PERCENT = Form(2, 100.0, "fraction")
"""Two decimals: exact for 10,000 images."""
POINTS = Form(2, 100.0, "fraction", signed=True)


class Ledger:
    """All values of one paper, by key, in the order in which they were added."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}

    def add(
        self,
        key: str,
        exact: Exact,
        *,
        text: str,
        formula: str,
        sources: Iterable[Source],
        unit: str | None = None,
        scale: float = 1.0,
    ) -> Value:
        """Enter a value and return it; the same value may be entered again under its key.

        Raises:
            ValueError: the key is malformed, the text empty, or the key holds something else.
        """
        if not KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key of the ledger: a-z, 0-9, '_', '.', '-'")
        if not text.strip():
            raise ValueError(f"{key}: a value needs a text")
        value = Value(
            key=key,
            text=text,
            exact=exact,
            unit=unit,
            scale=scale,
            formula=formula,
            sources=tuple(dict.fromkeys(sources)),
        )
        known = self._values.setdefault(key, value)
        if known != value:
            raise ValueError(f"{key} is in the ledger already, as {known.text!r}, now {text!r}")
        return known

    def number(
        self, key: str, exact: float, form: Form = COUNT, *, formula: str, sources: Iterable[Source]
    ) -> Value:
        """Enter a number that is printed in this form."""
        return self.add(
            key, exact, text=form.text(exact), unit=form.unit, scale=form.scale, formula=formula,
            sources=sources,
        )  # fmt: skip

    def cell(
        self, key: str, exact: float | tuple[float, float] | None, form: Form, *, formula: str,
        sources: Iterable[Source],
    ) -> Value | Interval | None:  # fmt: skip
        """Enter a number, or the two limits of an interval; None is entered nowhere."""
        if exact is None:
            return None
        if not isinstance(exact, tuple):
            return self.number(key, exact, form, formula=formula, sources=sources)
        sources = tuple(sources)
        low, high = (
            self.number(f"{key}.{end}", limit, form, formula=f"{end} limit, {formula}",
                        sources=sources)
            for end, limit in zip(("low", "high"), exact, strict=True)
        )  # fmt: skip
        return Interval(low, high)

    def __getitem__(self, key: str) -> Value:
        """The value of ``key``.

        Raises:
            KeyError: there is none; the message has the nearest keys.
        """
        if key not in self._values:
            raise KeyError(f"{key}; nearest: {', '.join(self.nearest(key)) or 'none'}")
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[Value]:
        return iter(self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def nearest(self, key: str) -> list[str]:
        """Up to three keys that look like ``key``."""
        return difflib.get_close_matches(key, self._values, n=3, cutoff=0.4)

    def dump(self) -> list[dict[str, Any]]:
        """As JSON takes it; a float that is not finite as its name.

        Floats keep twelve significant digits: far more than anything prints, and the same on every
        processor, where the last bits of a matrix product are not.
        """
        return [{**asdict(value), "exact": _json_safe(value.exact)} for value in self]

    @classmethod
    def load(cls, values: Iterable[Mapping[str, Any]]) -> Ledger:
        """The ledger that :meth:`dump` gave."""
        ledger = cls()
        for value in values:
            sources = (Source(**source) for source in value["sources"])
            ledger.add(**{**value, "sources": sources})
        return ledger


def _json_safe(exact: Exact) -> Exact:
    if isinstance(exact, float):
        return float(f"{exact:.12g}") if math.isfinite(exact) else str(exact)
    return exact


# ----------------------------------------------------------------------------- numbers as text


def fixed(value: float, decimals: int, *, scale: float = 1.0) -> str:
    """``value * scale`` with that many decimals, ties to even, no negative zero, ``−`` for minus.

    The product is taken in decimal, so that 0.12345 in percent is a tie and not a hair off it.

    >>> fixed(-0.125, 2)
    '−0.12'
    """
    quantum = Decimal(1).scaleb(-decimals)
    product = Decimal(repr(float(value))) * Decimal(repr(float(scale)))
    rounded = product.quantize(quantum, rounding=ROUND_HALF_EVEN)
    text = f"{abs(rounded):,f}"
    return MINUS + text if rounded < 0 else text


def setting(value: bool | int | float | str) -> str:
    """A value of a configuration as printed: ``0.0005``, ``64``, ``yes``, ``channels_last``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.10f}".rstrip("0").rstrip(".")
        return f"{value:g}" if text == "0" and value else text
    return f"{value:,}".replace("-", MINUS) if isinstance(value, int) else value
