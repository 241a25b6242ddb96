"""Every number is a link, and every link leads to the line that says where it comes from."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pikepdf
import pytest

from cnnpaper.paper.tex import LONGEST_LINK

pytestmark = pytest.mark.tex
PDF = "report/CNN_report-invented.pdf"
USES = "build/report/invented/tex/paper.uses"
POINTS = 72 / 25.4
"""Of a millimetre."""
COLUMNS_MM = (0, 40, 59, 116)
"""Left edges of the provenance table: key, printed, computed, source."""
GAP = 6.0
"""Between two columns, in points."""
LOGS = "results/log/invented/"


@dataclass(frozen=True)
class Word:
    text: str
    left: float
    right: float
    middle: float
    """Of its height, from the top of the page."""


@dataclass(frozen=True)
class Paper:
    """A paper, as its readers have it."""

    ledger: dict[str, dict[str, Any]]
    words: list[list[Word]]
    """By page."""
    links: list[list[tuple[str, tuple[float, float, float, float]]]]
    """By page: key, and the rectangle from the top: left, top, right, bottom."""
    targets: dict[str, tuple[int, float, float]]
    """Key → page (from 0), distance from the left and from the top."""


def words_of(pdf: Path) -> Iterator[list[Word]]:
    command = ["pdftotext", "-bbox", str(pdf), "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
    for page in ElementTree.fromstring(text).iter("{http://www.w3.org/1999/xhtml}page"):
        yield [
            Word(
                word.text or "",
                float(word.attrib["xMin"]),
                float(word.attrib["xMax"]),
                (float(word.attrib["yMin"]) + float(word.attrib["yMax"])) / 2,
            )
            for word in page
        ]


@pytest.fixture(scope="module")
def paper(built: Path) -> Paper:
    with pikepdf.open(built / PDF) as document:
        values = json.loads(document.attachments["ledger.json"].get_file().read_bytes())
        pages = {page.objgen: number for number, page in enumerate(document.pages)}
        height = float(document.pages[0].MediaBox[3])
        links = [
            [
                (str(a.A.D).removeprefix("ledger."), rectangle(a, height))
                for a in page.get("/Annots", [])
                if "/A" in a and str(a.A.get("/D", "")).startswith("ledger.")
            ]
            for page in document.pages
        ]
        targets = {
            str(name).removeprefix("ledger."): (
                pages[place[0].objgen],
                float(place[2]),
                height - float(place[3]),
            )
            for name, place in pikepdf.NameTree(document.Root.Names.Dests).items()
            if str(name).startswith("ledger.")
        }
    return Paper({v["key"]: v for v in values}, list(words_of(built / PDF)), links, targets)


def rectangle(annotation: Any, height: float) -> tuple[float, float, float, float]:
    left, bottom, right, top = map(float, annotation.Rect)
    return left, height - top, right, height - bottom


def row_at(paper: Paper, key: str) -> list[str]:
    """The four cells of the row that a link to ``key`` shows, without blanks."""
    number, margin, top = paper.targets[key]
    below = [y for n, _, y in paper.targets.values() if n == number and y > top + 1]
    end = min(below, default=1e9)
    edges = [margin + mm * POINTS + GAP * place for place, mm in enumerate(COLUMNS_MM)]
    cells = ["", "", "", ""]
    for word in paper.words[number]:
        if top - 1 < word.middle < end - 1:
            column = sum(word.left > edge - GAP / 2 for edge in edges) - 1
            cells[column] += word.text
    return cells


def source_of(value: dict[str, Any]) -> str:
    if not value["sources"]:
        return "the code"
    first, *others = value["sources"]
    line = "" if first["line"] is None else f":{first['line']}"
    more = f"(+{len(others)})" if others else ""
    return f"{first['file'].removeprefix(LOGS)}{line}{more}"


def without_blanks(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_every_link_leads_to_the_row_of_its_number(paper: Paper) -> None:
    """Key, printed text, file and line stand where the link leads."""
    linked = {key for page in paper.links for key, _ in page}
    assert len(linked) > 100
    wrong = {}
    for key in linked:
        value = paper.ledger[key]
        cells = row_at(paper, key)
        expected = [without_blanks(text) for text in (key, value["text"], source_of(value))]
        if [cells[0], cells[1]] != expected[:2] or not cells[3].startswith(expected[2]):
            wrong[key] = cells, expected
    assert wrong == {}


def test_the_text_of_a_link_is_that_of_its_number(paper: Paper) -> None:
    """What is printed inside of a link's rectangle is the value that it links to."""
    wrong = []
    for number, page in enumerate(paper.links):
        for key, (left, top, right, bottom) in page:
            shown = "".join(
                word.text
                for word in paper.words[number]
                if top < word.middle < bottom and left < word.right - 1 and word.left + 1 < right
            )
            if without_blanks(paper.ledger[key]["text"]) not in shown:
                wrong.append((number + 1, key, shown))
    assert wrong == []


def test_every_number_before_the_appendix_is_a_link(paper: Paper, built: Path) -> None:
    """As often as TeX wrote down that it printed a value on a page, the page has a link to it."""
    before = next(n for n, words in enumerate(paper.words) if heads_appendix(words))
    printed: Counter[tuple[int, str]] = Counter()
    for line in (built / USES).read_text("utf-8").splitlines():
        key, page = line.split()
        if not key.startswith("figure:") and int(page) <= before:
            printed[int(page), key] += 1
    linked = Counter((n + 1, key) for n, page in enumerate(paper.links) for key, _ in page)
    short = {x: n for x, n in printed.items() if len(paper.ledger[x[1]]["text"]) <= LONGEST_LINK}
    assert len(short) > 100
    assert {x: (n, linked[x]) for x, n in short.items() if linked[x] != n} == {}


def heads_appendix(words: list[Word]) -> bool:
    texts = [word.text for word in words]
    return any(a == "A" and b == "Departures" for a, b in pairwise(texts))
