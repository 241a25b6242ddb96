"""The ledger: every number that the paper prints, with the way it was computed and its source.

A number enters the paper as a :class:`Value` alone. Templates, claims and tables print its
``text``; the rest stays with it for ``make explain``, the links and the attached files.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from cnnpaper.files import UserError, sha256_file
from cnnpaper.log import Run

Exact: TypeAlias = float | int | str | None

KEY = re.compile(r"[a-z0-9][a-z0-9_.-]*")
MINUS = "\N{MINUS SIGN}"
ALPHA, SMALLEST_P = 0.05, 0.001


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a value was read."""

    file: str  # relative to the root of the repository, with slashes
    line: int | None  # from 1; None for a file without lines (predictions) or for the whole file
    digest: str  # SHA-256 of the file's bytes

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Sources:
    """Names the lines of files, relative to the root; every file is hashed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digest, self._lines = cache(sha256_file), cache(lines_of_keys)

    def log(self, run: Run, what: str = "result") -> Source:
        """A line of a log: ``header``, ``epoch 2`` or ``result``."""
        return self.file(run.path, run.line_numbers[what])

    def toml(self, path: Path, *keys: str) -> Source:
        """The line of a TOML file that sets the first of ``keys`` that it has; else the file."""
        lines = self._lines(path) if path.is_file() else {}
        return self.file(path, next((lines[key] for key in keys if key in lines), None))

    def file(self, path: Path, line: int | None = None) -> Source:
        digest = self._digest(path) if path.is_file() else ""
        return Source(file=path.relative_to(self.root).as_posix(), line=line, digest=digest)


def lines_of_keys(path: Path) -> dict[str, int]:
    """Dotted key → line, from 1, on which a TOML file sets it; of a table, where it starts.

    What the lines up to this one set, and those before did not, this line sets: however it is
    written, ``a.b = 1``, ``[a]`` and ``b = 1``, or ``a = {b = 1}``. Tables of an array have numbers
    from 0: ``run.0.seed``.
    """
    lines = path.read_text("utf-8-sig").split("\n")
    found: dict[str, int] = {}
    start = 1
    for number in range(1, len(lines) + 1):
        try:
            values = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # within a value of several lines
        for key in _keys(values):
            found.setdefault(key, start)
        start = number + 1
    return found


def _keys(values: Any, prefix: str = "") -> Iterator[str]:
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield f"{prefix}{key}"
        if isinstance(value, dict | list):
            yield from _keys(value, f"{prefix}{key}.")


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number (or date, or version) as the paper prints it; in two forms it has two keys."""

    key: str  # `short.resnet18.test_acc`: lower case, digits, `_`, `.` and `-`
    text: str  # as printed, plain Unicode without markup and without its unit: `77.61`
    exact: Exact  # before rounding; fractions stay fractions: 0.7761
    unit: str | None  # of `exact`: `fraction`, `s`, `bytes`, `images`; None for a pure number
    scale: float  # `exact` times this is the number that `text` rounds: 100 for a percentage
    formula: str  # for people: `mean over seeds of test_acc` or `as recorded`
    sources: tuple[Source, ...]

    @property
    def number(self) -> float | int | None:
        """In the printed unit, twelve significant digits; None for a text."""
        if isinstance(self.exact, str | bool) or self.exact is None:
            return None
        whole = isinstance(self.exact, int) and self.scale == 1
        return self.exact if whole else float(f"{self.exact * self.scale:.12g}")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Cite:
    """A citation; the keys are those of ``report/references.bib``."""

    keys: tuple[str, ...]
    textual: bool = False  # `He et al. (2016)`, else `(He et al., 2016)`

    def __str__(self) -> str:
        return ", ".join(self.keys)


Part: TypeAlias = str | Value | Cite


@dataclass(frozen=True)
class Sentence:
    """Text with values in it."""

    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
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
    scale: float = 1.0  # the exact number times this is what is printed
    unit: str | None = None  # of the exact number
    signed: bool = False  # a plus before a positive number, as differences have it

    def text(self, exact: float) -> str:
        found = fixed(float(exact), self.decimals, scale=self.scale)
        return f"+{found}" if self.signed and exact > 0 and re.search("[1-9]", found) else found


class PValue(Form):
    """Three decimals, below 0.001 with its sign: ``< 0.001``; one that rounds to 0.05 from below
    has four."""

    def text(self, exact: float) -> str:
        if exact < SMALLEST_P:
            return f"< {fixed(SMALLEST_P, 3)}"
        found = fixed(exact, 3)
        return fixed(exact, 4) if exact < ALPHA and found == fixed(ALPHA, 3) else found


COUNT = Form()
PERCENT = Form(2, 100.0, "fraction")
"""Two decimals: exact for 10,000 images."""
POINTS = Form(2, 100.0, "fraction", signed=True)


class Ledger(dict[str, Value]):
    """All values of one paper, by key, in the order in which they were added."""

    def __missing__(self, key: str) -> Value:
        raise UserError(f"the ledger has no value {key}; nearest: {self.nearest(key)}")

    def add(
        self, key: str, exact: Exact, sources: Iterable[Source], *, text: str | None = None,
        formula: str = "as recorded", unit: str | None = None, scale: float = 1.0,
    ) -> Value:  # fmt: skip
        """Enter a value, printed as the setting that it is unless a text is given, once or again.

        Raises:
            ValueError: the key is malformed, the text empty, or the key holds something else.
        """
        if text is None and exact is not None:
            text = setting(exact)
        if not KEY.fullmatch(key) or not text or not text.strip():
            raise ValueError(f"{key!r} is not a key (a-z, 0-9, '_', '.', '-'), or has no text")
        value = Value(
            key=key, text=text, exact=exact, unit=unit, scale=scale, formula=formula,
            sources=tuple(dict.fromkeys(sources)),
        )  # fmt: skip
        known = self.setdefault(key, value)
        if known != value:
            raise ValueError(f"{key} is in the ledger already, as {known.text!r}, now {text!r}")
        return known

    def number(
        self, key: str, exact: float, form: Form, formula: str, sources: Iterable[Source]
    ) -> Value:
        """Enter a number that is printed in this form."""
        text, unit, scale = form.text(exact), form.unit, form.scale
        return self.add(key, exact, sources, text=text, formula=formula, unit=unit, scale=scale)

    def cell(
        self, key: str, exact: float | tuple[float, float] | None, form: Form, formula: str,
        sources: Iterable[Source],
    ) -> Value | Interval | None:  # fmt: skip
        """Enter a number, or the two limits of an interval; None is entered nowhere."""
        if exact is None:
            return None
        if not isinstance(exact, tuple):
            return self.number(key, exact, form, formula, sources)
        sources = tuple(sources)
        low, high = exact
        return Interval(
            self.number(f"{key}.low", low, form, f"lower limit, {formula}", sources),
            self.number(f"{key}.high", high, form, f"upper limit, {formula}", sources),
        )

    def nearest(self, key: str) -> str:
        """Up to three keys that look like ``key``, for messages."""
        return ", ".join(difflib.get_close_matches(key, self, n=3, cutoff=0.4)) or "none"

    def dump(self) -> list[dict[str, Any]]:
        """As JSON takes it; a float that is not finite as its name, others with twelve significant
        digits, which are the same on every processor: the last bits of a matrix product are not.
        """
        found = [asdict(value) for value in self.values()]
        for row in found:
            if isinstance(exact := row["exact"], float):
                row["exact"] = float(f"{exact:.12g}") if math.isfinite(exact) else str(exact)
        return found


def fixed(value: float, decimals: int, *, scale: float = 1.0) -> str:
    """``value * scale`` with that many decimals, ties to even, no negative zero, ``−`` for minus.

    The product is taken in decimal, so that 0.12345 in percent is a tie and not a hair off it.

    >>> fixed(-0.125, 2)
    '−0.12'
    """
    product = Decimal(repr(float(value))) * Decimal(repr(float(scale)))
    return f"{product:z,.{decimals}f}".replace("-", MINUS)


def setting(value: int | float | str) -> str:
    """A value of a configuration as printed: ``0.0005``, ``64``, ``channels_last``."""
    if isinstance(value, float):
        text = f"{value:.10f}".rstrip("0").rstrip(".")
        return f"{value:g}" if text == "0" and value else text
    return f"{value:,}".replace("-", MINUS) if isinstance(value, int) else value
