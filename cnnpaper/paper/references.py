"""The bibliography: ``report/references.bib``, as citations and entries of any format and language.

Entries are formatted here and not by BibTeX, so that the PDF and the HTML edition have the same and
no second program is needed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cnnpaper.files import UserError, nearest
from cnnpaper.paper.ledger import Cite
from cnnpaper.paper.words import Words

_ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(\w+)\s*=\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\d+))\s*(?:,|$)")
_COMMAND = re.compile(r"\\[A-Za-z\"'`^~]+|\$")


@dataclass(frozen=True)
class Entry:
    """One work."""

    key: str
    kind: str
    """``article``, ``inproceedings``, ``misc``, …"""
    fields: dict[str, str]

    @cached_property
    def authors(self) -> list[str]:
        return [name.strip() for name in re.split(r"\s+and\s+", self.fields["author"])]

    def family(self, name: str) -> str:
        """``Krizhevsky`` of ``Alex Krizhevsky`` or ``Krizhevsky, Alex``; a Korean name whole."""
        if "," in name:
            return name.partition(",")[0].strip()
        words = name.split()
        particles = [w for w in words[:-1] if w.islower()]
        return " ".join([*particles, words[-1]])

    @property
    def year(self) -> str:
        return self.fields["year"]

    def get(self, name: str) -> str:
        return self.fields.get(name, "")


def read_bibliography(path: Path) -> dict[str, Entry]:
    """The entries by key.

    Raises:
        UserError: an entry that is cut off or lacks author, title or year, has a command of TeX, or
            is there twice.
    """
    text = path.read_text("utf-8")
    found: dict[str, Entry] = {}
    for match in _ENTRY.finditer(text):
        kind, key, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        raw = {name.lower(): " ".join((a or b).split()) for name, a, b in _FIELD.findall(body)}
        for name in ("author", "title", "year"):
            if name not in raw:
                raise UserError(f"{path}:{line}: {key} has no {name}, or one that cannot be read")
        for name, value in raw.items():
            raw[name] = _plain(value.replace("\\%", "%").replace("\\&", "&"))
            if command := _COMMAND.search(raw[name]):
                raise UserError(
                    f"{path}:{line}: {key}: {name} has {command[0]!r}: write it in Unicode"
                )
        if key in found:
            raise UserError(f"{path}:{line}: {key} is there twice")
        found[key] = Entry(key, kind.lower(), raw)
    if len(found) != len(re.findall(r"^@", text, re.MULTILINE)):
        raise UserError(f"{path}: an entry does not end with a '}}' at the start of a line")
    return found


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", re.sub(r"[{}]", "", text.replace("--", "–")))


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
        """``Guo et al.``, ``Barz and Denzler``, ``권하연 외``."""
        families = [entry.family(name) for name in entry.authors]
        many = len(families) > 2 or (self._korean(entry) and len(families) > 1)
        if many:
            return families[0] + (" 외" if self._korean(entry) else self.words.text("join.et_al"))
        if len(families) == 2:
            first, second = families
            return str(self.words.say("two_authors", first=first, second=second))
        return families[0]

    @staticmethod
    def _korean(entry: Entry) -> bool:
        return bool(re.search(r"[가-힣]", entry.fields["author"]))

    def label(self, entry: Entry) -> str:
        """The year, with a letter where another cited work has the same names and year."""
        same = [
            e for e in self.known.values()
            if e.year == entry.year and self.names(e) == self.names(entry)
        ]  # fmt: skip
        year = self.words.text("join.no_date") if entry.year == "n.d." else entry.year
        return year + ("abcdefgh"[same.index(entry)] if len(same) > 1 else "")

    def parts(self, cite: Cite) -> Iterator[str | tuple[str, str]]:
        """``(Guo et al., 2017; He et al., 2016)`` or ``He et al. (2016)`` in pieces."""
        entries = [self.entry(key.strip()) for key in cite.keys]
        opening = self.words.text("join.year")
        if not cite.textual:
            yield "("
        for index, entry in enumerate(entries):
            if index:
                yield "; "
            link = (entry.key, self.label(entry))
            yield self.names(entry) + (opening if cite.textual else ", ")
            yield link
            if cite.textual:
                yield ")"
        if not cite.textual:
            yield ")"

    def entries(self) -> list[Entry]:
        """What was cited, by name and year; Korean names last, in a Korean paper first."""

        def order(entry: Entry) -> tuple[bool, str, str, str]:
            plain = unicodedata.normalize("NFKD", self.names(entry)).casefold()
            foreign = self._korean(entry) != (self.words.language == "ko")
            return foreign, plain, entry.year, entry.get("title")

        return sorted(self.cited.values(), key=order)

    def reference(self, entry: Entry) -> list[tuple[str, bool]]:
        """An entry of the list in pieces: text, and whether it is emphasised."""
        authors = entry.authors
        if len(authors) > 6:
            shown = ", ".join(authors[:3]) + self.words.text("join.et_al")
        else:
            shown = (
                str(self.words.listing(authors)) if not self._korean(entry) else ", ".join(authors)
            )
        where = entry.get("booktitle") or entry.get("journal") or entry.get("institution")
        pieces = [(f"{shown.rstrip('.')}. {entry.get('title')}. ", False)]
        if where:
            pieces.append((where, True))
        tail = _volume(entry)
        names = ("series", "note", f"howpublished_{self.words.language}", "howpublished")
        extra = next(filter(None, map(entry.get, names)), "")
        rest = ", ".join(filter(None, [extra, self.label(entry)])).rstrip(".")
        pieces.append((f"{tail}{', ' if where else ''}{rest.removesuffix('.')}.", False))
        return pieces


def _volume(entry: Entry) -> str:
    number = f"({entry.get('number')})" if entry.get("number") else ""
    pages = entry.get("pages")
    volume = f"\N{NO-BREAK SPACE}{entry.get('volume')}{number}" if entry.get("volume") else ""
    return volume + (f"{':' if volume else ', '}{pages}" if pages else "")


def keys(text: str | Iterable[str]) -> tuple[str, ...]:
    """``"a, b"`` or ``["a", "b"]`` as keys."""
    return tuple(part.strip() for part in (text.split(",") if isinstance(text, str) else text))
