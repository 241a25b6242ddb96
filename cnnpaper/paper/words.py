"""The words of one language: ``report/LANGUAGE/words.toml``.

Templates of sentences, table heads, labels of figures: everything that the paper says outside of
the prose templates. A sentence template has places, ``{name}``, for names, values of the ledger and
smaller phrases; in Korean a place may ask for the particle that follows it: ``{first_topic}``.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from cnnpaper.config import read_toml
from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Cite, Part, Sentence

Phrase: TypeAlias = Part | Sentence

ALLOWED = {
    "CIFAR-10": "name of the data set",
    "2023": "year of the report that this artifact grows from",
    "0.1.0": "version whose results are quoted from report/history.toml",
    "CC BY 4.0": "name of the licence",
    "bfloat16": "name of a number format",
    "float32": "name of a number format",
    "SHA-256": "name of a hash function",
    "top-1": "name of a measure",
}
"""What may have a digit in a template or in these words, and why: names, none of them measured."""
_ALLOWED = re.compile(
    "|".join(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])" for name in ALLOWED)
)


def without_names(text: str) -> str:
    """``text`` without the names that may have digits, so that any digit left is a number."""
    return _ALLOWED.sub("", text)


PARTICLES: dict[str, tuple[str, str, str]] = {
    "topic": ("은", "는", "은(는)"),
    "subject": ("이", "가", "이(가)"),
    "object": ("을", "를", "을(를)"),
    "and": ("과", "와", "와(과)"),
    "by": ("으로", "로", "(으)로"),
    "is": ("이다", "다", "이다"),
    "was": ("이었다", "였다", "이었다"),
}
"""After a final consonant, after a vowel, and where the reading does not tell."""

FIRST_SYLLABLE, LAST_SYLLABLE, FINALS, RIEUL = 0xAC00, 0xD7A3, 28, 8
"""Hangul syllables in Unicode: 28 finals each, none first; ``로`` follows ㄹ as it does a vowel."""
SPOKEN = dict(zip("0123456789", "영일이삼사오육칠팔구", strict=True)) | {
    "a": "에이", "b": "비", "c": "시", "d": "디", "e": "이", "f": "에프", "g": "지", "h": "에이치",
    "i": "아이", "j": "제이", "k": "케이", "l": "엘", "m": "엠", "n": "엔", "o": "오", "p": "피",
    "q": "큐", "r": "아르", "s": "에스", "t": "티", "u": "유", "v": "브이", "w": "더블유",
    "x": "엑스", "y": "와이", "z": "제트", "%": "퍼센트",
}  # fmt: skip
"""The last digit is enough: 십, 백, 천, 만 and 억 end in consonants, as 영 does."""
ENDINGS = {"net": "넷", "Net": "넷", "ng": "응", "le": "을", "EPYC": "픽"}
"""Ends of words, which are not spelt out as abbreviations are: 이미지넷, 황, 구글, 에픽."""
UNREAD = re.compile(r"(?:\s*\([^()]*\)|\s*\[[^\[\]]*\]|[\s.,’”'\"\])])+$")
"""A particle follows what stands before brackets and quotation marks."""


def particle(reading: str, kind: str) -> str:
    """The Korean particle after a word of this reading: ``레즈넷 십팔`` takes ``은``.

    Digits and Latin letters are read one by one, but for a few ends of words; what cannot be read
    takes both: ``은(는)``.
    """
    consonant, vowel, unknown = PARTICLES[kind]
    text = UNREAD.sub("", reading)
    word = next((spoken for end, spoken in ENDINGS.items() if text.endswith(end)), "")
    spoken = word or SPOKEN.get(text[-1:].lower(), text[-1:])
    code = ord(spoken[-1]) if spoken else 0
    if not FIRST_SYLLABLE <= code <= LAST_SYLLABLE:
        return unknown
    final = (code - FIRST_SYLLABLE) % FINALS
    return vowel if final == 0 or (kind == "by" and final == RIEUL) else consonant


class Words:
    """The words of one language: of a ``words.toml``, with the readings of names in this language,
    ``ResNet-18`` → ``레즈넷 십팔``.

    Raises:
        UserError: the file is missing or no TOML, or a number is typed in it.
    """

    def __init__(self, path: Path, readings: Mapping[str, str] | None = None) -> None:
        self.path, self.readings = path, readings or {}
        self.values = read_toml(path)
        self.language = self.text("language")
        for table, entries in self.values.items():
            for key, text in entries.items() if isinstance(entries, dict) else ():
                if re.search(r"\d", without_names(str(text))):
                    raise UserError(
                        f"{path}: {table}.{key} = {str(text)[:60]!r}: a number is typed here; put "
                        "a place in braces, which a value of the ledger fills"
                    )

    def text(self, key: str) -> str:
        """The entry ``table.key`` as a string, ``~`` standing for a no-break space.

        Raises:
            UserError: there is none.
        """
        found: Any = self.values
        for part in key.split(".", 1):
            found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, str):
            raise UserError(f"{self.path}: {key} is missing, which the paper prints")
        return found.replace("~", "\N{NO-BREAK SPACE}")

    def table(self, name: str) -> dict[str, str]:
        """All entries of one table, such as ``figure``."""
        return {key: self.text(f"{name}.{key}") for key in self.values.get(name, {})}

    def label(self, kind: str, key: str) -> str:
        """The entry ``kind.key`` where there is one, else the key itself, without underscores."""
        known = key in self.values.get(kind, {})
        return self.text(f"{kind}.{key}") if known else key.replace("_", " ")

    def formula(self, text: str) -> str:
        """How a value was computed, in this language: the ledger has it in English.

        The table ``formula`` has whole texts, and patterns with the place ``{what}``, whose own
        text is looked up in turn; what it lacks stays as it is.
        """
        for english, own in self.table("formula").items():
            pattern = re.escape(english).replace(re.escape("{what}"), "(.*)")
            if found := re.fullmatch(pattern, text):
                return own.replace("{what}", "".join(map(self.formula, found.groups())))
        return text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")

    def say(self, kind: str, **parts: Phrase | None) -> Sentence:
        """The sentence ``sentence.KIND`` with its places filled; none where one stays empty.

        Raises:
            UserError: no such sentence, or it has a place that was not given.
        """
        out = Sentence()
        for literal, place, _, _ in string.Formatter().parse(self.text(f"sentence.{kind}")):
            out += Sentence((literal,) if literal else ())
            if place is None:
                continue
            name, _, suffix = place.rpartition("_")
            if place in parts:
                name, suffix = place, ""
            elif suffix not in PARTICLES or name not in parts:
                raise UserError(f"{self.path}: sentence.{kind}: there is no {{{place}}} to print")
            part = parts[name]
            if not part:
                return Sentence()
            out += self.josa(part, suffix) if suffix else _sentence(part)
        return out

    def josa(self, part: Phrase, kind: str) -> Sentence:
        """A phrase with the particle (조사) that follows it, as templates print it."""
        return _sentence(part) + particle(self.reading(part), kind)

    def reading(self, part: Phrase) -> str:
        """How a phrase is read, as far as its end tells the particle."""
        if isinstance(part, Sentence):
            return "".join(map(self.reading, part.parts))
        return "" if isinstance(part, Cite) else self.readings.get(str(part), str(part))

    def listing(self, items: Iterable[Phrase]) -> Sentence:
        """``a``, ``a and b``, ``a, b and c``: a list as a sentence of this language has it; Korean
        has a particle after the first of two."""
        parts = [_sentence(item) for item in items]
        if len(parts) < 2:
            return sentences(*parts)
        last = self.text("join.and" if len(parts) == 2 else "join.and_last")
        last = last.replace("{and}", particle(self.reading(parts[-2]), "and"))
        return sentences(*parts[:-1], separator=self.text("join.comma")) + last + parts[-1]


def _sentence(part: Phrase) -> Sentence:
    return part if isinstance(part, Sentence) else Sentence((part,))


def sentences(*found: Sentence, separator: str = " ") -> Sentence:
    """Sentences one after the other; empty ones are left out."""
    out = Sentence()
    for part in filter(None, found):
        out = out + separator + part if out else part
    return out
