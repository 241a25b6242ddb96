r"""Text to TeX: one escape for every string, and templates that print nothing by accident.

In a template ``\VAR{…}`` prints, ``\BLOCK{…}`` and lines that begin with ``%%`` control, ``\#{…}``
is a comment. What ``\VAR`` prints is a string (escaped), a :class:`Value` (its text, a link to the
appendix, and a record of the page), a :class:`Sentence`, or :class:`Tex` (as it is). A bare number
is an error that names template and line, since its source is unknown.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2

from cnnpaper.errors import UserError
from cnnpaper.paper.ledger import Cite, Sentence, Value


class Tex(str):
    """Source text of TeX, which is printed as it is."""

    __slots__ = ()


# ------------------------------------------------------------------------------- escaping

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{THIN SPACE}": r"\,",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
}
"""No ligatures stand here: the fonts are loaded without TeX's, so ``--`` and quotes stay."""

MATH = {
    "≤": r"\leq", "≥": r"\geq", "≈": r"\approx",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon",
    "η": r"\eta", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "π": r"\pi",
    "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "φ": r"\varphi", "χ": r"\chi", "ω": r"\omega",
}  # fmt: skip
"""Characters that the text faces lack and the mathematical ones have. Not ``≠``: it is drawn as two
glyphs, which a reader who copies it gets back as two characters."""

NOT_IN_FACES = frozenset("\N{SOFT HYPHEN}ĲĳĸŉŦŧ")
PUNCTUATION = frozenset("‐‑–—‘’‚“”„†‡•…‰‹›⁄€₩←↑→↓−∗√∞ΓΔΘΛΞΠΣΦΨΩ、。〈〉《》「」『』【】〔〕")


def printable(char: str) -> bool:
    """Do the paper's faces have ``char``?"""
    return (
        " " <= char <= "~"
        or ("\u00a0" <= char <= "\u017f" and char not in NOT_IN_FACES)
        or "\uac00" <= char <= "\ud7a3"  # Hangul syllables
        or ("\u3131" <= char <= "\u318e" and char != "\N{HANGUL FILLER}")  # single Hangul letters
        or char in PUNCTUATION
        or char in MATH
        or char in SPECIAL
    )


LONGEST_WORD, BROKEN_EVERY = 40, 20
"""Characters; a longer word may break after every so many, since no line would hold it."""
LONGEST_TEXT = 10_000
"""Characters; no name, reason or paragraph of the paper is near."""


def escape(text: str) -> Tex:
    r"""Any string as TeX that prints this string and does nothing else.

    Canonically equivalent characters are composed; white space becomes one space. What begins like
    an option, ``[…]`` or ``*``, is kept apart from the command that may stand before it, such as
    the ``\\`` of the table's row above.

    Raises:
        UserError: a character that would not be printed (a control or format character, a combining
            mark, another script), by its name; a text that is too long.
    """
    if len(text) > LONGEST_TEXT:
        raise UserError(
            f"the paper cannot print a text of {len(text):,} characters: {_shorten(text)!r}\n"
            f"write at most {LONGEST_TEXT:,}"
        )
    composed = re.sub(r"[ \t\r\n]+", " ", unicodedata.normalize("NFC", text))
    for char in composed:
        if not printable(char):
            name = unicodedata.name(char, "unnamed control character")
            shown = composed if composed.isprintable() else repr(composed)
            raise UserError(
                f"the paper cannot print U+{ord(char):04X} ({name}) in {_shorten(shown)!r}\n"
                "write it with Latin letters, Hangul or usual punctuation"
            )
    apart = "{}" if composed.lstrip().startswith(("[", "*")) else ""
    return Tex(apart + " ".join(_escape_word(word) for word in composed.split(" ")))


def _escape_word(word: str) -> str:
    step = BROKEN_EVERY if len(word) > LONGEST_WORD else LONGEST_WORD
    parts = [word[start : start + step] for start in range(0, len(word), step)]
    return r"\allowbreak{}".join("".join(map(_escape_char, part)) for part in parts)


def _escape_char(char: str) -> str:
    if char in MATH:
        return rf"\ensuremath{{{MATH[char]}}}"
    return SPECIAL.get(char, char)


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def prose(text: str) -> str:
    """Plain text of an experiment file with typographic quotes and dashes."""
    text = re.sub(r"(?<=\w)'", "’", text.strip())
    text = re.sub(r'(^|[\s(])"', r"\1“", text).replace('"', "”")
    return text.replace(" -- ", " – ")


def breakable(text: str, *, plain: bool = False) -> Tex:
    """A path or a digest: it may break after punctuation, between every eight hexadecimal digits,
    and in longer pieces after every twenty characters. In the mono face unless ``plain``."""
    out, since = [], 0
    composed = unicodedata.normalize("NFC", text)
    for piece in re.findall(r"[0-9a-f]{8}|[/_.:-]|[^/_.:-]", composed):
        since += 1
        breaks = len(piece) == 8 or piece in "/_.:-" or since == BROKEN_EVERY
        out.append(escape(piece) + (r"\allowbreak{}" if breaks else ""))
        since = 0 if breaks else since
    return Tex("".join(out) if plain else rf"\code{{{''.join(out)}}}")


LONGEST_LINK = 20
"""Characters."""
LONG = re.compile(r"[0-9a-f]{12}|://")
"""In a value's text: a digest or an address, which need the mono face and places to break."""

# ------------------------------------------------------------------------------- printing


class Printer:
    """Turns what a template prints into TeX, and notes which values were printed."""

    def __init__(self, stale: frozenset[str] = frozenset()) -> None:
        self.stale = stale
        """Files whose values are marked, since they are not today's."""
        self.printed: dict[str, Value] = {}
        """By key, in the order in which they were first printed as links."""
        self.links = True
        """False in the appendix, whose own numbers point nowhere."""

    def __call__(self, thing: Any) -> Tex:
        """``thing`` as TeX.

        Raises:
            TypeError: a number or an object that has no text of its own.
        """
        if isinstance(thing, Tex):
            return thing
        if isinstance(thing, jinja2.Undefined):
            return Tex(str(thing))  # raises: it is strict
        if isinstance(thing, str):
            return escape(thing)
        if isinstance(thing, Value):
            return self._value(thing)
        if isinstance(thing, Sentence):
            return Tex("".join(self(part) for part in thing.parts))
        if isinstance(thing, Cite):
            return Tex(rf"\{'citet' if thing.textual else 'citep'}{{{thing.keys}}}")
        raise TypeError(
            f"{thing!r} is a bare {type(thing).__name__}: the paper prints values of the ledger, "
            "sentences and strings"
        )

    def _value(self, value: Value) -> Tex:
        text = breakable(value.text) if LONG.search(value.text) else escape(value.text)
        if not self.links:
            return Tex(rf"\ledgerplain{{{value.key}}}{{{text}}}")
        self.printed.setdefault(value.key, value)
        mark = r"\stalemark{}" if any(s.file in self.stale for s in value.sources) else ""
        # a link must not be broken over pages, so long texts have none
        macro = "ledger" if len(value.text) <= LONGEST_LINK else "ledgerplain"
        return Tex(rf"\{macro}{{{value.key}}}{{{text}}}{mark}")


# ------------------------------------------------------------------------------- templates


def environment(folder: Path, printer: Printer) -> jinja2.Environment:
    """Templates of ``folder``, printing through ``printer``."""
    env = jinja2.Environment(
        block_start_string=r"\BLOCK{",
        block_end_string="}",
        variable_start_string=r"\VAR{",
        variable_end_string="}",
        comment_start_string=r"\#{",
        comment_end_string="}",
        line_statement_prefix="%%",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        finalize=printer,
        loader=jinja2.FileSystemLoader(folder),
    )
    env.filters.clear()  # none is needed, and some make a string of a number
    env.filters.update(prose=prose, breakable=breakable, join=_join(printer))
    return env


def _join(printer: Printer) -> Callable[[Iterable[Any], str], Tex]:
    def join(things: Iterable[Any], separator: str = ", ") -> Tex:
        """The things printed one after the other, ``separator`` between them."""
        return Tex(escape(separator).join(printer(thing) for thing in things))

    return join


def render(env: jinja2.Environment, name: str, context: dict[str, Any]) -> str:
    """The text of one template.

    Raises:
        UserError: a mistake in the template, or something printed that has no source: template,
            line and reason.
    """
    try:
        return env.get_template(name).render(context)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"report/{error.name}: the template is missing") from None
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"report/{error.name}:{error.lineno}: {error.message}") from None
    except UserError as error:
        raise UserError(f"{_place(error, name)}: {error}") from None
    except (
        *(TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError),
        jinja2.UndefinedError,
    ) as error:
        raise UserError(f"{_place(error, name)}: {error}") from error


def _place(error: BaseException, name: str) -> str:
    """Template and line where ``error`` was raised: Jinja rewrites the traceback to say so."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(".j2")
    ]
    if not frames:
        return f"report/{name}"
    return f"report/{Path(frames[-1].filename).name}:{frames[-1].lineno}"
