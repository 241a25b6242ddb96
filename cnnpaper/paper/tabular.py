"""A table as data: cells that are values of the ledger.

The macro ``table`` sets it in TeX and HTML, pandas writes it as CSV and Markdown.

In the CSV a column of numbers holds numbers in the unit of its heading, and nothing else: a mark
stands in a column of its own, an interval in two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import pandas as pd

from cnnpaper.paper.ledger import Cite, Interval, Sentence, Value

ABSENT = "–"
"""Printed for what is not known or does not apply."""
LINES, LINE, NARROW = 52, 100, 44
"""Lines of a table that fit on a page below its caption; characters of a line across the page, and
of a table that fits into one of two columns."""
LONGEST_NAMES = {"network": 24, "paper": 34, "source": 34}
"""Columns of names, and the characters that stay on one line there."""


@dataclass(frozen=True)
class Marked:
    """A value with a mark that a caption explains: ``1,300 †``."""

    value: Value
    mark: str


Cell: TypeAlias = Value | Interval | Marked | Sentence | Cite | str | None
Printed: TypeAlias = Value | Sentence | Cite | str
Row: TypeAlias = Sequence[Cell]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: what its heading is called in the CSV and on the page."""

    key: str  # `test_acc_percent`: of the CSV, with its unit
    head: str = ""  # as printed; `|` separates lines
    kind: Literal["text", "number", "wrap"] = "number"  # `wrap`: a text of several lines
    group: str = ""  # title above several columns

    @property
    def lines(self) -> list[str]:
        return (self.head or self.key).split("|")


@dataclass(frozen=True)
class Group:
    """A title above columns ``first`` to ``last`` (from 1), as texts for TeX."""

    title: str
    first: str
    last: str
    count: str


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    name: str  # of its file: `accuracy_short.csv`
    columns: tuple[Column, ...]
    cells: tuple[tuple[Cell, ...], ...]

    @cached_property
    def rows(self) -> list[list[Printed]]:
        """The cells as printed."""
        return [[printed(cell) for cell in row] for row in self.cells]

    @property
    def wraps(self) -> bool:
        return any(column.kind == "wrap" for column in self.columns)

    @property
    def groups(self) -> list[Group]:
        """Runs of columns with the same group; empty where no column has any."""
        found: list[tuple[str, int, int]] = []
        for place, column in enumerate(self.columns, start=1):
            first = place
            if found and column.group and found[-1][0] == column.group:
                first = found.pop()[1]
            found.append((column.group, first, place))
        if not any(title for title, _, _ in found):
            return []
        return [Group(t, str(a), str(b), str(b - a + 1)) for t, a, b in found]

    def align(self, wrap: str) -> str:
        """One letter a column, as LaTeX has it."""
        letters = {"text": "l", "number": "r", "wrap": wrap}
        gaps = {int(group.first) for group in self.groups} - {1}
        return "".join(
            r"@{\hspace{1.6em}}" * (place in gaps) + letters[column.kind]
            for place, column in enumerate(self.columns, start=1)
        )

    @property
    def _fixed(self) -> int:
        """Characters of a line, without columns that wrap."""
        return sum(
            max(map(len, (*column.lines, *(str(row[i]) for row in self.rows)))) + 2
            for i, column in enumerate(self.columns)
            if column.kind != "wrap"
        )

    @property
    def wide(self) -> bool:
        """Takes both columns where the page has two."""
        return self.wraps or self._fixed > NARROW

    def parts(self) -> list[list[list[Printed]]]:
        """The rows, in pieces that fit on a page each."""
        wraps = [i for i, column in enumerate(self.columns) if column.kind == "wrap"]
        room = max(8, (LINE - self._fixed) // max(1, len(wraps)))
        out: list[list[list[Printed]]] = [[]]
        height = 0
        for row in self.rows:
            lines = max([1, *(math.ceil(len(str(row[i])) / room) for i in wraps)])
            if out[-1] and height + lines > LINES:
                out.append([])
                height = 0
            out[-1].append(row)
            height += lines
        return out

    def frame(self) -> pd.DataFrame:
        """Numbers and texts by the keys of the columns, with columns for limits and marks."""
        columns: dict[str, list[Any]] = {}
        for place, column in enumerate(self.columns):
            columns |= _data_columns(column, [row[place] for row in self.cells])
        return pd.DataFrame(columns)

    def csv(self) -> str:
        """Comma-separated, one heading line; what is not known is empty."""
        return str(self.frame().to_csv(index=False, lineterminator="\n"))

    def markdown(self) -> str:
        """With the printed texts."""
        heads = [" ".join(column.lines) for column in self.columns]
        rows = [[str(cell).replace("|", "\\|") for cell in row] for row in self.rows]
        sides = ["right" if column.kind == "number" else "left" for column in self.columns]
        frame = pd.DataFrame(rows, columns=heads)
        return f"{frame.to_markdown(index=False, colalign=sides, disable_numparse=True)}\n"


def printed(cell: Cell) -> Printed:
    """A cell as it stands on the page."""
    if cell is None:
        return ABSENT
    if isinstance(cell, Interval):
        return Sentence(("[", cell.low, ", ", cell.high, "]"))
    if isinstance(cell, Marked):
        return Sentence((cell.value, f"\N{NO-BREAK SPACE}{cell.mark}"))
    return cell


def _data_columns(column: Column, cells: Sequence[Cell]) -> dict[str, list[Any]]:
    if any(isinstance(cell, Interval) for cell in cells):
        limits = [(c.low, c.high) if isinstance(c, Interval) else (None, None) for c in cells]
        low, high = ([each and each.number for each in end] for end in zip(*limits, strict=True))
        return {f"{column.key}_low": low, f"{column.key}_high": high}
    plain = [cell.value if isinstance(cell, Marked) else cell for cell in cells]
    values = [cell.number if isinstance(cell, Value) else None for cell in plain]
    numbers = column.kind == "number" and all(
        cell is None or value is not None for cell, value in zip(plain, values, strict=True)
    )
    texts = [None if cell is None else str(cell) for cell in plain]
    out: dict[str, list[Any]] = {column.key: values if numbers else texts}
    if any(isinstance(cell, Marked) for cell in cells):
        out[f"{column.key}_mark"] = [c.mark if isinstance(c, Marked) else None for c in cells]
    return out


def table(name: str, columns: Iterable[Column], rows: Iterable[Row]) -> Table:
    """A table from rows of cells, whose names of networks wrap where they are long."""
    cells = tuple(tuple(row) for row in rows)
    shown = []
    for place, column in enumerate(columns):
        longest = max((len(str(printed(row[place]))) for row in cells), default=0)
        wrap = longest > LONGEST_NAMES.get(column.key, longest)
        shown.append(replace(column, kind="wrap") if wrap else column)
    return Table(name, tuple(shown), cells)
