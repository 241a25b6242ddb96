"""The bibliography: ``report/references.bib``, as citations and entries of any format and language.

Entries are formatted here and not by BibTeX, so that the PDF and the HTML edition have the same and
no second program is needed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnpaper.files import UserError, nearest
from cnnpaper.paper.ledger import Cite
from cnnpaper.paper.words import Words

_ENTRY = re.compile(r"^@\w+\{([^,\s]+),(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(\w+)\s*=\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\d+))\s*(?:,|$)")
_COMMAND = re.compile(r"\\[A-Za-z\"'`^~]+|\$")


@dataclass(frozen=True)
class Entry:
    """One work."""

    key: str
    fields: dict[str, str]

    def get(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def authors(self) -> list[str]:
        return re.split(r"\s+and\s+", self.get("author").strip())

    @property
    def korean(self) -> bool:
        return bool(re.search(r"[가-힣]", self.get("author")))


def family(name: str) -> str:
    """``Krizhevsky`` of ``Alex Krizhevsky`` or ``Krizhevsky, Alex``; a Korean name whole."""
    if "," in name:
        return name.partition(",")[0].strip()
    *given, last = name.split()
    return " ".join([*filter(str.islower, given), last])


def read_bibliography(path: Path) -> dict[str, Entry]:
    """The entries by key.

    Raises:
        UserError: an entry that is cut off or lacks author, title or year, has a command of TeX, or
            is there twice.
    """
    text = path.read_text("utf-8")
    found: dict[str, Entry] = {}
    for match in _ENTRY.finditer(text):
        key, body = match.groups()
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {key}"
        fields = {n.lower(): _plain(a or b) for n, a, b in _FIELD.findall(body)}
        if lacking := [name for name in ("author", "title", "year") if name not in fields]:
            raise UserError(f"{where} has no {lacking[0]}, or one that cannot be read")
        for name, value in fields.items():
            if command := _COMMAND.search(value):
                raise UserError(f"{where}: {name} has {command[0]!r}: write it in Unicode")
        if key in found:
            raise UserError(f"{where} is there twice")
        found[key] = Entry(key, fields)
    if len(found) != len(re.findall(r"^@", text, re.MULTILINE)):
        raise UserError(f"{path}: an entry does not end with a '}}' at the start of a line")
    return found


def _plain(text: str) -> str:
    text = " ".join(text.split()).replace("\\%", "%").replace("\\&", "&").replace("--", "–")
    return unicodedata.normalize("NFC", re.sub(r"[{}]", "", text))


class Bibliography:
    """What the paper cites; citing notes the key, and :meth:`entries` lists what was cited."""

    def __init__(self, path: Path, words: Words) -> None:
        self.path, self.words = path, words
        self.known = read_bibliography(path)
        self.cited: dict[str, Entry] = {}

    def entry(self, key: str) -> Entry:
        """Raises: UserError: there is no such entry."""
        if key not in self.known:
            raise UserError(f"{self.path.name} has no entry {key!r}{nearest(key, self.known)}")
        return self.cited.setdefault(key, self.known[key])

    def names(self, entry: Entry) -> str:
        """``Guo et al.``, ``Barz and Denzler``; in Korean ``권하연 외``."""
        families = [family(name) for name in entry.authors]
        if len(families) > 2 or (entry.korean and len(families) > 1):
            return families[0] + self.words.text("join.et_al")
        if len(families) == 2:
            first, second = families
            return str(self.words.say("two_authors", first=first, second=second))
        return families[0]

    def label(self, entry: Entry) -> str:
        """The year, with a letter where another work has the same names and year."""
        who = entry.get("year"), self.names(entry)
        same = [e for e in self.known.values() if (e.get("year"), self.names(e)) == who]
        year = self.words.text("join.no_date") if who[0] == "n.d." else who[0]
        return year + ("abcdefgh"[same.index(entry)] if len(same) > 1 else "")

    def parts(self, cite: Cite) -> Iterator[tuple[str, str]]:
        """``(Guo et al., 2017; He et al., 2016)`` or ``He et al. (2016)`` in pieces: years have
        the keys that they are to be linked to."""
        opening = self.words.text("join.year") if cite.textual else ", "
        before = "" if cite.textual else "("
        for entry in map(self.entry, cite.keys):
            yield "", before + self.names(entry) + opening
            yield entry.key, self.label(entry)
            before = "; "
        yield "", ")"

    def entries(self) -> list[Entry]:
        """What was cited, by name and year; Korean names last, in a Korean paper first."""

        def order(entry: Entry) -> tuple[bool, str, str, str]:
            plain = unicodedata.normalize("NFKD", self.names(entry)).casefold()
            foreign = entry.korean != (self.words.language == "ko")
            return foreign, plain, entry.get("year"), entry.get("title")

        return sorted(self.cited.values(), key=order)

    def reference(self, entry: Entry) -> tuple[str, str, str]:
        """An entry of the list: what stands before its emphasised part, that part, and the rest."""
        *others, last = entry.authors
        if len(others) > 5:
            shown = ", ".join(others[:3]) + self.words.text("join.et_al")
        elif others:
            joint = ", " if entry.korean else self.words.text("join.and_last")
            shown = f"{', '.join(others)}{joint}{last}"
        else:
            shown = last
        where = entry.get("booktitle") or entry.get("journal") or entry.get("institution")
        names = ("note", f"howpublished_{self.words.language}", "howpublished")
        extra = next(filter(None, map(entry.get, names)), "")
        rest = ", ".join(filter(None, [extra, self.label(entry)])).rstrip(".")
        volume, number, pages = map(entry.get, ("volume", "number", "pages"))
        if volume:
            volume = f"\N{NO-BREAK SPACE}{volume}{f'({number})' if number else ''}"
        if pages:
            volume += f"{':' if volume else ', '}{pages}"
        head = f"{shown.rstrip('.')}. {entry.get('title')}. "
        return head, where, f"{volume}{', ' if where else ''}{rest}."
