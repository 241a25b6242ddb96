"""One's own part of a paper: what the templates of ``report/extra`` may ask for.

``value("short.resnet18.test_acc")`` is a value of the ledger, ``own_table("name")`` the table of
``report/extra/name.csv``, ``own_figure("name", …)`` the picture beside it. A number that is typed
into a table is refused as one in a template is.
"""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Iterator

from cnnpaper.files import UserError
from cnnpaper.paper.drawings import Drawing
from cnnpaper.paper.ledger import Part, Sentence, Value
from cnnpaper.paper.tabular import Cell, Column, Row, Table, table
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import without_names


class Extras:
    """Enters what templates of one's own ask for among the ``tables`` and ``drawings`` of the
    paper, whose ``face`` is ``tex`` or ``html``."""

    def __init__(
        self, values: Values, face: str, tables: dict[str, Table], drawings: dict[str, Drawing]
    ) -> None:
        self.folder, self.ledger = values.root / "report" / "extra", values.ledger
        self.names = [re.escape(values.name(model)) for model in values.study.networks]
        self.kinds = ("pdf", "png") if face == "tex" else ("svg", "png")
        self.tables, self.drawings = tables, drawings
        self.taken = {*tables, *drawings, "runs", "epochs", "ledger", "figures"}

    def own_figure(self, name: str, *, title: str, alt: str, wide: bool = False) -> Drawing:
        """A picture of ``report/extra``, with what it is called and what it shows."""
        self._free(name)
        found = Drawing(name, None, title, alt, wide, folder=self.folder)
        if not {*self.kinds} & {*found.kinds}:
            files = " nor ".join(f"report/extra/{name}.{kind}" for kind in self.kinds)
            raise UserError(f"own_figure: neither {files} is there")
        self.drawings[name] = found
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
            raise UserError(f"{name!r} is taken by the paper, or is not a name: a-z, 0-9, '_'")

    def _cell(self, text: str) -> Cell:
        parts: list[Part] = []
        for literal, key, _, _ in string.Formatter().parse(text):
            plain = re.sub("|".join(self.names), "", literal)  # a name may have digits
            if re.search(r"\d", without_names(plain)):
                raise UserError(
                    f"a number is typed here: “{literal}”; give a value of the ledger as {{key}}"
                )
            parts += [literal] if literal else []
            parts += [self.ledger[key]] if key is not None else []
        return Sentence(tuple(parts)) if len(parts) > 1 else next(iter(parts), None)


def _columns(rows: list[Row]) -> Iterator[Column]:
    for place, head in enumerate(str(cell or "") for cell in rows[0]):
        number = all(isinstance(row[place], Value | None) for row in rows[1:])
        key = re.sub(r"\W+", "_", head.lower()).strip("_") or f"column_{place + 1}"
        yield Column(key=key, head=head, kind="number" if number else "text")
