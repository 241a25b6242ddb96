"""No number is typed: every numeral on a page is the ledger's, a figure's, or allowed by name.

After TeX has run, the text of each page is read back. What the ledger printed on that page is taken
out, once for each time that it was printed; then what the figures on it show; then section, page,
table and figure numbers as TeX gave them; then :data:`ALLOWED`. A numeral that is left was typed
into a template or a figure, and fails the build.

Number words are words: nothing on a page tells a typed count from a phrase such as "the two sides".
A test reads the templates for them. Roman numerals in letters are words, too.
"""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cnnpaper.errors import UserError
from cnnpaper.paper.ledger import Ledger

ALLOWED = (
    "CIFAR-10",
    "SHA-256",
    "CC BY 4.0",
    "32 × 32",  # the side of an image: the format of CIFAR-10, not a measurement
    "2023",  # the year by which the course report is called
    "s2",  # squares in the formula of the variance
)
"""The reviewed list: numerals that are names, in the text as pdftotext gives it."""
REFERENCE = re.compile(r"\b(?:Tables?|Figures?|Sections?|Appendix)\s+(\d+(?:\.\d+)*|[A-Z]\b)")
RANGE = re.compile(r"\b(?:Tables?|Figures?)\s+(\d+)\s+(?:to|and)\s+(\d+)")
BLANK = "\N{SYMBOL FOR NULL}"
"""Stands where a numeral was accounted for; no page has it."""
BREAK = r"(?:-\n|\s)*"
"""What may stand where a line was broken."""
LONG_TEXT = 12
"""From so many characters on, a value may be broken over lines anywhere."""


@dataclass(frozen=True)
class Stray:
    """A numeral that nobody accounts for."""

    page: int
    line: int
    numeral: str
    context: str

    def __str__(self) -> str:
        return f"page {self.page}, line {self.line}: {self.numeral!r} in “{self.context}”"


def check(
    pdf: Path,
    uses: Sequence[tuple[str, int]],
    ledger: Ledger,
    figures: Mapping[str, Sequence[str]],
    names: Iterable[str],
) -> None:
    """Refuse a PDF that shows a numeral without a source.

    Args:
        pdf: as TeX made it; its ``.aux`` lies beside it.
        uses: (key, page) of every value, and (``figure:FILE``, page) of every figure.
        ledger: of the paper.
        figures: file name of each figure → every text that it shows.
        names: names of networks, runs and layers, which may hold numerals.

    Raises:
        UserError: page, line and context of the first numerals that are not accounted for.
    """
    found = strays(page_texts(pdf), read_aux(pdf.with_suffix(".aux")), uses, ledger, figures, names)
    if found:
        more = f"\nand {len(found) - 3} more" if len(found) > 3 else ""
        raise UserError(
            "numerals in the paper that are neither in the ledger nor allowed:\n"
            + "\n".join(map(str, found[:3]))
            + more
            + "\nprint a value of the ledger there, or review ALLOWED in cnnpaper/paper/numerals.py"
        )


def page_texts(pdf: Path) -> list[str]:
    """The text of each page, in the order in which TeX set it."""
    command = ["pdftotext", "-raw", "-enc", "UTF-8", str(pdf), "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8").split("\f")[:-1]


# ------------------------------------------------------------------------------- TeX's numbers


@dataclass(frozen=True)
class Numbering:
    """The numbers that TeX gave to sections, tables and figures."""

    headings: tuple[tuple[str, str, int], ...]
    """Number, first word of the title, page."""
    labels: frozenset[str]
    """What ``\\ref`` prints."""
    years: frozenset[str]
    """Years of the works that are cited."""


def read_aux(path: Path) -> Numbering:
    """What TeX wrote down while it ran."""
    text = path.read_text("utf-8", errors="replace")
    bbl = path.with_suffix(".bbl")
    cited = bbl.read_text("utf-8", errors="replace") if bbl.is_file() else ""
    headings = re.findall(
        r"\\contentsline \{(?:sub)*section\}\{\\numberline \{([^}]*)\}(\S+).*?\}\{(\d+)\}\{", text
    )
    return Numbering(
        headings=tuple((number, word.rstrip("}"), int(page)) for number, word, page in headings),
        labels=frozenset(re.findall(r"\\newlabel\{[^}]*\}\{\{([^}]*)\}", text)),
        years=frozenset(re.findall(r"\((\d{4})[a-z]?\)", cited)),
    )


# ------------------------------------------------------------------------------- accounting


def strays(
    pages: Sequence[str],
    numbering: Numbering,
    uses: Sequence[tuple[str, int]],
    ledger: Ledger,
    figures: Mapping[str, Sequence[str]],
    names: Iterable[str],
) -> list[Stray]:
    """The numerals that are left when everything with a source has been taken out."""
    texts = dict(enumerate(pages, start=1))
    texts = _without_bibliography(texts, numbering)
    names = _with_numerals(names)
    left: list[Stray] = []
    for number, text in texts.items():
        here = [key for key, page in uses if page == number]
        values = [ledger[key].text for key in here if not key.startswith("figure:")]
        shown = [text for key in here if key.startswith("figure:") for text in figures[key[7:]]]
        text = _without_numbering(text, number, numbering)
        # phrases before single numerals, which could be a part of them
        phrases = [value for value in values if " " in value]
        text = _take_out(_take_out_all(text, names), phrases)
        text = _take_out_all(text, ALLOWED)
        words = [value for value in values if " " not in value]
        text = _take_out(text, [*words, *_numerals_of(shown)])
        left += _numerals_left(text, number, pages[number - 1])
    return left


def _without_bibliography(texts: dict[int, str], numbering: Numbering) -> dict[int, str]:
    """References have numbers of their own: volumes, pages, years, addresses."""
    appendix = tuple(f"{number} {word}" for number, word, _ in numbering.headings if number == "A")
    inside, out = False, {}
    for number, text in texts.items():
        lines = []
        for line in text.split("\n"):
            if inside and appendix and line.startswith(appendix):
                inside = False
            inside = inside or line.strip() == "References"
            lines.append(_blank(line) if inside else line)
        out[number] = "\n".join(lines)
    return out


def _without_numbering(text: str, page: int, numbering: Numbering) -> str:
    """Page, section, table and figure numbers, and the years of citations."""
    lines = text.rstrip("\n").split("\n")
    if lines and lines[-1].strip() == str(page):
        lines[-1] = ""
    for number, word, where in numbering.headings:
        if where != page:
            continue
        for place, line in enumerate(lines):
            if line.startswith(f"{number} {word}"):
                lines[place] = BLANK + line[len(number) :]
                break
    text = "\n".join(lines)
    text = RANGE.sub(lambda m: _known(m, numbering.labels), text)
    text = REFERENCE.sub(lambda m: _known(m, numbering.labels), text)
    years = "|".join(sorted(numbering.years)) or "none"
    return re.sub(rf"(?<=[(,;])(\s?)(?:{years})[a-z]?(?=[),;]|\s)", BLANK, text)


def _known(match: re.Match[str], labels: frozenset[str]) -> str:
    return _blank(match[0]) if set(match.groups()) <= labels else match[0]


def _take_out(text: str, printed: Sequence[str]) -> str:
    """``text`` with one occurrence blanked for each item, long ones first."""
    counts = Counter(item for item in printed if has_numeral(item))
    for item, count in sorted(counts.items(), key=lambda pair: -len(pair[0])):
        text = _pattern(item).sub(lambda match: _blank(match[0]), text, count=count)
    return text


def _take_out_all(text: str, items: Iterable[str]) -> str:
    compact = _compact(text)
    for item in items:
        if has_numeral(item) and _compact(item) in compact:
            text = _pattern(item).sub(lambda match: _blank(match[0]), text)
    return text


def _with_numerals(names: Iterable[str]) -> list[str]:
    """The names that matter here, long ones first, since short ones may be a part of them."""
    return sorted(filter(has_numeral, names), key=len, reverse=True)


def _compact(text: str) -> str:
    """``text`` without what :data:`BREAK` skips: tells quickly that an item is not there."""
    return re.sub(r"[\s-]+", "", unicodedata.normalize("NFC", text))


@cache
def _pattern(item: str) -> re.Pattern[str]:
    """``item`` where it is not part of a longer numeral, white space being free."""
    chars = [char for char in unicodedata.normalize("NFC", item) if not char.isspace()]
    anywhere = len(item) >= LONG_TEXT or any(char.isspace() for char in item)
    parts = [re.escape(c) + (BREAK if anywhere or c in "-/._:" else "") for c in chars]
    before = r"(?<!\d)(?<!\d[.,])" if item[:1].isdigit() else ""
    after = r"(?!\d)(?![.,]\d)" if item[-1:].isdigit() else ""
    return re.compile(before + "".join(parts).removesuffix(BREAK) + after)


def _numerals_of(texts: Iterable[str]) -> list[str]:
    """The numerals of a figure's texts: their words may be wrapped on the page."""
    return [word for text in texts for word in text.split() if has_numeral(word)]


def has_numeral(text: str) -> bool:
    """Does ``text`` have a digit or number of any script, or one that is a fraction or a power?"""
    return any(unicodedata.category(char).startswith("N") for char in text)


def _blank(text: str) -> str:
    return "".join(BLANK if unicodedata.category(c).startswith("N") else c for c in text)


def _numerals_left(text: str, page: int, original: str) -> list[Stray]:
    found = []
    lines = original.split("\n")
    for number, line in enumerate(text.split("\n"), start=1):
        for word in line.split():
            if has_numeral(word):
                context = lines[number - 1].strip()
                found.append(Stray(page, number, word.strip("(),.;:“”"), context[:100]))
    return found


# ------------------------------------------------------------------------------- figures


def check_figures(
    figures: Mapping[str, Mapping[str, Sequence[str]]], ledger: Ledger, names: Iterable[str]
) -> None:
    """Refuse a figure that writes a numeral which no tick, no name and no value accounts for.

    Args:
        figures: name of each figure → its ``texts``, its ``ticks`` among them, and the texts of
            the values that it was given to write: ``printed``.
        ledger: of the paper.
        names: as for :func:`check`.

    Raises:
        UserError: the figure and the text.
    """
    entered = {token for value in ledger for token in _tokens(value.text)}
    names = _with_numerals(names)
    for figure, shown in figures.items():
        given = entered & {token for text in shown["printed"] for token in _tokens(text)}
        for text in (Counter(shown["texts"]) - Counter(shown["ticks"])).elements():
            rest = _take_out_all(text, [*names, *ALLOWED])
            for token in _tokens(rest):
                if token not in given:
                    raise UserError(
                        f"figure {figure}: {token!r} in the text {text!r} is no value of the "
                        "ledger that the figure was given, and no tick\n"
                        "annotate with the text of a value"
                    )


def _tokens(text: str) -> list[str]:
    """The numerals in ``text`` by themselves: ``3``, ``1,792``, ``0.5``, ``½``."""
    other = [char for char in text if unicodedata.category(char) in ("Nl", "No")]
    return re.findall(r"\d+(?:[.,:]\d+)*", text) + other
