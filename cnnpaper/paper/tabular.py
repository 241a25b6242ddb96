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
from itertools import groupby
from typing import Any, Literal, TypeAlias

import pandas as pd

from cnnpaper.paper.ledger import Cite, Interval, Sentence, Value
from cnnpaper.paper.words import Words

ABSENT = "–"
"""Printed for what is not known or does not apply."""
LINES, LINE, NARROW = 52, 100, 44
"""Lines of a table that fit on a page below its caption; characters of a line across the page, and
of a table that fits into one of two columns."""
LONGEST_NAMES = {"network": 24, "paper": 34, "source": 34}
"""Columns of names, and the characters that stay on one line there."""
KINDS: dict[str, Literal["text", "wrap"]] = {
    **dict.fromkeys(("network", "paper", "arm", "setting", "stage", "source"), "text"),
    **dict.fromkeys(("commit", "question", "status"), "text"),
    **dict.fromkeys(("reason", "answer", "file"), "wrap"),
}
"""Columns that hold no numbers."""


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
        return [[printed(cell) for cell in row] for row in self.cells]

    @property
    def wraps(self) -> bool:
        return any(column.kind == "wrap" for column in self.columns)

    @property
    def groups(self) -> list[Group]:
        """Neighbouring columns with the same group; empty where no column has any."""
        if not any(column.group for column in self.columns):
            return []
        found = []
        for title, own in groupby(enumerate(self.columns, 1), lambda at: at[1].group or at[0]):
            places = [place for place, _ in own]
            title = title if isinstance(title, str) else ""
            found.append(Group(title, str(places[0]), str(places[-1]), str(len(places))))
        return found

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
        return str(self.frame().to_csv(index=False, lineterminator="\n"))

    def markdown(self) -> str:
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
        return {
            f"{column.key}_{end}": [c and getattr(c, end).number for c in cells]
            for end in ("low", "high")
        }
    plain = [cell.value if isinstance(cell, Marked) else cell for cell in cells]
    data: list[Any] = [cell.number if isinstance(cell, Value) else None for cell in plain]
    if column.kind != "number" or any(c and n is None for c, n in zip(plain, data, strict=True)):
        data = [None if cell is None else str(cell) for cell in plain]
    out = {column.key: data}
    if any(isinstance(cell, Marked) for cell in cells):
        out[f"{column.key}_mark"] = [c.mark if isinstance(c, Marked) else None for c in cells]
    return out


def columns(words: Words, keys: str, group: str = "") -> list[Column]:
    """Columns by their keys, each with its entry among the words after a colon where that has
    another name: ``test_acc_percent:test``."""
    pairs = [key.partition(":") for key in keys.split()]
    return [
        Column(key=key, head=words.text(f"table.{name or key}"), kind=KINDS.get(key, "number"),
               group=group)
        for key, _, name in pairs
    ]  # fmt: skip


def table(name: str, columns: Iterable[Column], rows: Iterable[Row]) -> Table:
    """A table from rows of cells, whose names of networks wrap where they are long."""
    cells = tuple(tuple(row) for row in rows)
    shown = []
    for place, column in enumerate(columns):
        longest = max((len(str(printed(row[place]))) for row in cells), default=0)
        wrap = longest > LONGEST_NAMES.get(column.key, longest)
        shown.append(replace(column, kind="wrap") if wrap else column)
    return Table(name, tuple(shown), cells)
