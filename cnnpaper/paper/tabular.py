"""A table of cells, set for TeX, CSV and Markdown.

Cells are values of the ledger, sentences, strings, or None for what is not known. ``booktabs``
prints texts and links, ``csv`` the exact values behind them.
"""

from __future__ import annotations

import csv as csv_module
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandas as pd
from tabulate import tabulate

from cnnpaper.paper.ledger import Cite, Sentence, Value
from cnnpaper.paper.tex import Printer, Tex

Cell: TypeAlias = Value | Sentence | Cite | Tex | str | None
NAMES = (24, "42mm")
"""Characters of a network's name that fit on one line of most tables, and the width for longer."""
ABSENT = "–"
"""Printed for what is not known or does not apply."""


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    name: str
    """Of its file: ``results.csv``."""
    frame: pd.DataFrame
    """Headings as columns, cells as objects."""
    align: str
    """One letter a column, as LaTeX has it: ``lrrr``; ``p{…}`` columns are given in ``widths``."""
    widths: Mapping[int, str] = field(default_factory=dict)
    """Column → width of a paragraph column: ``60mm``."""

    @property
    def rows(self) -> list[list[Cell]]:
        return [list(row) for row in self.frame.itertuples(index=False, name=None)]


def table(
    name: str,
    align: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    widths: Mapping[int, str] | None = None,
    names: tuple[int, str] = NAMES,
) -> Table:
    """A table from rows of cells; names of networks longer than ``names`` allows are wrapped."""
    rows = [list(row) for row in rows]
    widths = {**_wide_names(columns, rows, *names), **(widths or {})}
    frame = pd.DataFrame([list(row) for row in rows], columns=list(columns), dtype=object)
    return Table(name, frame.astype(object).where(frame.notna(), None), align, widths)


def _wide_names(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], longest: int, width: str
) -> dict[int, str]:
    """A width for the columns of names where a name is so long that it has to be broken."""
    return {
        place: width
        for place, heading in enumerate(columns)
        if heading in ("Network", "First", "Second")
        and any(len(str(row[place])) > longest for row in rows)
    }


# ------------------------------------------------------------------------------- output


def booktabs(item: Table, printer: Printer, *, long: bool = False) -> Tex:
    r"""The tabular of a table: no caption, no float; with ``long`` the body of a longtable.

    Cells are printed through ``printer``: strings escaped, values as links.
    """
    columns = [
        f"L{{{item.widths[place]}}}" if place in item.widths else letter
        for place, letter in enumerate(item.align)
    ]
    head = " & ".join(
        _heading(text, letter, printer)
        for text, letter in zip(item.frame.columns, item.align, strict=True)
    )
    body = "\n".join(" & ".join(_cell(cell, printer) for cell in row) + r" \\" for row in item.rows)
    start = "@{}" + "".join(columns) + "@{}"
    if long:
        return Tex(
            f"\\begin{{longtable}}{{{start}}}\n\\toprule\n{head} \\\\\n\\midrule\n\\endhead\n"
            f"\\bottomrule\n\\endfoot\n{body}\n\\end{{longtable}}"
        )
    return Tex(
        f"\\begin{{tabular}}{{{start}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\n\\bottomrule\n"
        f"\\end{{tabular}}"
    )


def _heading(text: str, letter: str, printer: Printer) -> str:
    r"""A heading over its column; lines are separated by ``|``."""
    lines = r"\\".join(printer(line) for line in text.split("|"))
    side = {"r": "r", "c": "c"}.get(letter, "l")
    return (
        rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{lines}\end{{tabular}}" if "|" in text else lines
    )


def _cell(cell: Cell, printer: Printer) -> str:
    return printer(ABSENT if cell is None else cell)


def csv(item: Table) -> str:
    """The table with exact values, comma-separated, one heading line; unknown cells are empty."""
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerow([heading.replace("|", " ") for heading in item.frame.columns])
    writer.writerows([[_exact(cell) for cell in row] for row in item.rows])
    return out.getvalue()


def _exact(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Value):
        return str(cell.exact)
    if isinstance(cell, Cite):
        return cell.keys
    return str(cell)


def markdown(item: Table) -> str:
    """The table as Markdown, with the printed texts."""
    rows = [[ABSENT if cell is None else _plain(cell) for cell in row] for row in item.rows]
    headings = [heading.replace("|", " ") for heading in item.frame.columns]
    sides = ["right" if letter == "r" else "left" for letter in item.align]
    text: str = tabulate(rows, headings, tablefmt="pipe", colalign=sides, disable_numparse=True)
    return text + "\n"


def _plain(cell: Cell) -> str:
    text = cell.keys if isinstance(cell, Cite) else str(cell)
    return text.replace("|", "\\|")
