"""The ledger: every number that the paper prints, with the way it was computed and its source.

A number enters the paper as a :class:`Value` alone. Templates and claims print its ``text``; the
exact value, the formula and the lines it came from stay with it, so that ``make explain`` and the
appendix can show them, and a check can find any numeral on a page that came by another way.
"""

from __future__ import annotations

import difflib
import math
import re
import string
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
    """``resnet18.test_acc``: lower case, digits, ``_``, ``.`` and ``-``."""
    text: str
    """As printed, plain Unicode without TeX and without its unit: ``77.61``."""
    exact: Exact
    """Before rounding; fractions stay fractions: 0.7761."""
    unit: str | None
    """As in ``exact``: ``fraction``, ``points``, ``s``, ``images``; None for a pure number."""
    formula: str
    """For people: ``mean over seeds of test_acc`` or ``as recorded``."""
    sources: tuple[Source, ...]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Cite:
    """A citation inside a sentence; the keys are those of ``report/references.bib``."""

    keys: str
    """One key or several, with commas between them."""
    textual: bool = False
    """True: ``He et al. (2016)``; False: ``(He et al., 2016)``."""


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
        return "".join(f"[{p.keys}]" if isinstance(p, Cite) else str(p) for p in self.parts)

    def __add__(self, other: Sentence | str) -> Sentence:
        return Sentence(self.parts + (other.parts if isinstance(other, Sentence) else (other,)))


def sentence(template: str, **parts: Part | Sentence) -> Sentence:
    """``template`` with every ``{name}`` replaced by the part of that name.

    >>> str(sentence("{a} before {b}", a="one", b="two"))
    'one before two'

    Raises:
        KeyError: a name that was not given.
    """
    out: list[Part] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        if literal:
            out.append(literal)
        if name is not None:
            part = parts[name]
            out.extend(part.parts if isinstance(part, Sentence) else (part,))
    return Sentence(tuple(out))


def listing(items: Iterable[Part | Sentence], *, conjunction: str = "and") -> Sentence:
    """``a``, ``a and b``, ``a, b and c``: a list as a sentence has it."""
    parts = [item if isinstance(item, Sentence) else Sentence((item,)) for item in items]
    out = Sentence(())
    for index, part in enumerate(parts):
        if index:
            out += f" {conjunction} " if index == len(parts) - 1 else ", "
        out += part
    return out


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
        unit: str | None = None,
        formula: str,
        sources: Iterable[Source],
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
            formula=formula,
            sources=tuple(dict.fromkeys(sources)),
        )
        known = self._values.setdefault(key, value)
        if known != value:
            raise ValueError(f"{key} is in the ledger already, as {known.text!r}, now {text!r}")
        return known

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


def fixed(value: float, decimals: int) -> str:
    """``value`` with that many decimals, ties to even, no negative zero, ``−`` for minus.

    >>> fixed(-0.125, 2)
    '−0.12'
    """
    quantum = Decimal(1).scaleb(-decimals)
    rounded = Decimal(repr(float(value))).quantize(quantum, rounding=ROUND_HALF_EVEN)
    text = f"{abs(rounded):,f}"
    return MINUS + text if rounded < 0 else text


def percent(fraction: float, decimals: int = 2) -> str:
    """A fraction in percent, without the sign: 0.7761 gives ``77.61``."""
    return fixed(float(Decimal(repr(float(fraction))).scaleb(2)), decimals)


def whole(value: int) -> str:
    """A count with commas between thousands: ``45,000``."""
    return f"{abs(value):,}" if value >= 0 else f"{MINUS}{abs(value):,}"


def p_value(p: float) -> str:
    """With its relation, never zero: ``= 0.013``, ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {fixed(p, 3)}"


def duration(seconds: float) -> str:
    """``52 s``, ``3 min 28 s``, ``2 h 04 min``: rounded once, to the last part shown."""
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    if round(seconds) < 3600:
        return f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"
