"""One's own part of a paper: what the templates of ``report/extra`` may ask for.

``value("short.resnet18.test_acc")`` is a value of the ledger, ``own_table("name")`` the table of
``report/extra/name.csv``, ``own_figure("name", …)`` the picture beside it. A number that is typed
into a table is refused as one in a template is.
"""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cnnpaper.files import UserError
from cnnpaper.paper.drawings import Drawing, Format
from cnnpaper.paper.html import data_uri, inline_svg
from cnnpaper.paper.ledger import Ledger, Part, Sentence, Value
from cnnpaper.paper.tabular import Cell, Column, Row, Table, table
from cnnpaper.paper.words import without_names


@dataclass(frozen=True, kw_only=True)
class OwnFigure(Drawing):
    """A picture in ``report/extra``: PDF or PNG for TeX, SVG or PNG for HTML."""

    folder: Path

    @property
    def kinds(self) -> tuple[Format, ...]:
        return tuple(kind for kind in super().kinds if self._path(kind).is_file())

    def render(self, kind: Format) -> bytes:
        return self._path(kind).read_bytes()

    def svg(self, label: str) -> Markup:
        if "svg" in self.kinds:
            return inline_svg(self.render("svg"), label, self.title, self.alt)
        source = data_uri(self.render("png"), "image/png")
        return Markup('<img alt="{}" src="{}">').format(self.alt, source)

    def _path(self, kind: Format) -> Path:
        return self.folder / f"{self.name}.{kind}"


class Extras:
    """What templates of one's own have asked for.

    Args:
        folder: ``report/extra``.
        face: ``tex`` or ``html``.
        names: that may have digits, of networks.
        taken: names of the paper's tables and figures.
    """

    def __init__(
        self, folder: Path, face: str, ledger: Ledger, names: Iterable[str], taken: Iterable[str]
    ) -> None:
        self.folder, self.ledger = folder, ledger
        self.kinds: tuple[Format, ...] = ("pdf", "png") if face == "tex" else ("svg", "png")
        self.names, self.taken = tuple(names), frozenset(taken)
        self.tables: dict[str, Table] = {}
        self.figures: dict[str, Drawing] = {}

    def own_figure(self, name: str, *, title: str, alt: str, wide: bool = False) -> OwnFigure:
        """A picture of ``report/extra``, with what it is called and what it shows."""
        self._free(name)
        found = OwnFigure(name, lambda: None, title, alt, wide, folder=self.folder)
        if not set(self.kinds) & set(found.kinds):
            files = " nor ".join(f"report/extra/{name}.{kind}" for kind in self.kinds)
            raise UserError(f"own_figure: neither {files} is there")
        self.figures[name] = found
        return found

    def own_table(self, name: str) -> Table:
        """The table of a CSV file: a line of headings; ``{key}`` stands for a value.

        Raises:
            UserError: it is missing, lines have different lengths, or a number is typed there.
        """
        self._free(name)
        path, shown = self.folder / f"{name}.csv", f"report/extra/{name}.csv"
        if not path.is_file():
            raise UserError(f"own_table: {shown} is missing")
        rows: list[Row] = []
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                for cells in reader:
                    rows.append([self._cell(cell.strip()) for cell in cells])
                    if len(cells) != len(rows[0]):
                        raise ValueError(f"{len(cells)} cells under {len(rows[0])} headings")
            except (UserError, ValueError, csv.Error) as error:
                raise UserError(f"{shown}:{reader.line_num}: {error}") from None
        if len(rows) < 2:
            raise UserError(f"{shown}: a line of headings and one of cells are needed")
        self.tables[name] = table(name, _columns(rows), rows[1:])
        return self.tables[name]

    def _free(self, name: str) -> None:
        if name in self.taken or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UserError(f"{name!r} is taken by the paper itself, or is no name: a-z, 0-9, '_'")

    def _cell(self, text: str) -> Cell:
        parts: list[Part] = []
        for literal, key, _, _ in string.Formatter().parse(text):
            plain = literal
            for name in self.names:
                plain = plain.replace(name, "")
            if re.search(r"\d", without_names(plain)):
                raise UserError(
                    f"a number is typed here: “{literal}”; give a value of the ledger as {{key}}"
                )
            parts += [literal] if literal else []
            parts += [self.ledger[key]] if key is not None else []
        return Sentence(tuple(parts)) if len(parts) > 1 else next(iter(parts), None)


def _columns(rows: list[Row]) -> list[Column]:
    found = []
    for place, head in enumerate(rows[0]):
        number = all(isinstance(row[place], Value | None) for row in rows[1:])
        kind: Any = "number" if number else "text"
        key = re.sub(r"\W+", "_", str(head).lower()).strip("_") or f"column_{place + 1}"
        found.append(Column(key=key, head=str(head or ""), kind=kind))
    return found
