"""Templates: prose without markup, that prints nothing by accident.

In a template ``[[ … ]]`` prints, ``[% … %]`` and lines that begin with ``%%`` control, ``[# … #]``
is a comment. Its own text is escaped for the face (TeX or HTML) when the template is compiled, and
a digit in it is refused, unless it belongs to a name of :data:`cnnpaper.paper.words.ALLOWED`.
What ``[[ … ]]`` prints is a text, a :class:`Value`, a :class:`Sentence`, a :class:`Cite`, or what
a macro of ``report/layout/macros.FACE.j2`` made; a bare number is refused: its source is unknown.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Cite, Sentence, Value
from cnnpaper.paper.words import without_names

_NUMBER_IN_STRING = r"(?<![\w.:/#-])[\d.,]*\d"
"""A digit of a string in an expression, unless a letter is before it: ``he2016deep`` is a key."""
MIME = {"json": "application/json", "csv": "text/csv", "png": "image/png"}
"""Of files that are attached."""


def punctuated(text: str) -> list[str]:
    """A path or a command in pieces that end with its punctuation."""
    return re.findall(r"[^/_.:=-]*[/_.:=-]|[^/_.:=-]+", text)


class Face(ABC):
    """How one format looks: turns what a template prints into its source, and notes what was
    printed.

    Args:
        citations: gives a citation in pieces, (key, text), for a link; without a key for a text.
        about: puts into the words of the edition how a value was computed.
    """

    name: str  # `tex` or `html`: of its macros, `report/layout/macros.NAME.j2`
    break_here: Markup  # where a line may end
    cited: Markup  # pattern of a key of the bibliography, and the text that links to it
    entered: Markup  # pattern of a key of the ledger, twice, joined to the links of its value

    def __init__(
        self, citations: Callable[[Cite], Iterable[tuple[str, str]]],
        about: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self.citations, self.about = citations, about
        self.printed: dict[str, Value] = {}
        """By key, in the order in which they were first printed."""

    def __call__(self, thing: Any) -> Markup:
        """``thing`` as source.

        Raises:
            TypeError: a number or an object that has no text of its own.
        """
        match thing:
            case Markup():
                return thing
            case jinja2.Undefined():
                return Markup(str(thing))  # raises: it is strict
            case str():
                return self.escape(thing)
            case Value():
                self.printed.setdefault(thing.key, thing)
                return self.value(thing)
            case Sentence():
                return Markup("").join(map(self, thing.parts))
            case Cite():
                return Markup("").join(
                    self.cited.format(key, self.escape(text)) if key else self.escape(text)
                    for key, text in self.citations(thing)
                )
        raise TypeError(
            f"{thing!r} is no value of the ledger and no text, so the paper does not print it"
        )

    @abstractmethod
    def escape(self, text: str) -> Markup:
        """Any string as source that prints this string and does nothing else."""

    @abstractmethod
    def value(self, value: Value) -> Markup:
        """A value's text, linked to its provenance."""

    def target(self, key: str) -> Markup:
        return self.entered.format(key, self.breakable(key))

    def breakable(self, text: str) -> Markup:
        """A path or a command, which may break after its punctuation."""
        return self.break_here.join(map(self.escape, punctuated(text)))

    def paragraphs(self, text: str) -> str:
        """Text whose paragraphs are separated by empty lines."""
        return text


class Prose(Extension):
    """Escapes the text of templates and refuses digits in it; files of ``layout/`` are source."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Lines that begin with ``%%`` as blocks: Jinja's own would swallow empty lines after."""
        return re.sub(r"^[ \t]*%%[ \t]*(.*?)[ \t]*$", r"[% \1 %]", source, flags=re.MULTILINE)

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        face: Face = self.environment.finalize  # type: ignore[assignment]
        if stream.name is None or stream.name.startswith("layout/"):
            yield from stream
            return
        for token in stream:
            if token.type == "data":
                _refuse(token, r"\d", stream)
                token = Token(token.lineno, "data", _escaped(face, token.value))
            elif token.type == "string":
                _refuse(token, _NUMBER_IN_STRING, stream)
            elif token.type == "tilde":
                message = "'~' joins texts before they are escaped: print them one after the other"
                raise jinja2.TemplateSyntaxError(message, token.lineno, stream.name)
            yield token


def _refuse(token: Token, pattern: str, stream: TokenStream) -> None:
    text = without_names(token.value)
    if found := re.search(pattern, text):
        shown = " ".join(text[max(0, found.start() - 30) : found.end() + 20].split())
        raise jinja2.TemplateSyntaxError(
            f"a number is typed here: “{shown}”; print a value of the ledger, or, for a name, add "
            "it to ALLOWED in cnnpaper/paper/words.py with the reason",
            token.lineno + text.count("\n", 0, found.start()),
            stream.name,
        )


def _escaped(face: Face, text: str) -> str:
    """Text of a template with its lines kept: an empty one is a new paragraph."""
    lines = text.split("\n")
    ends = {0, len(lines) - 1}  # a blank there stands beside what is printed
    return "\n".join(
        str(face.escape(line)) if line.strip() or place in ends else ""
        for place, line in enumerate(lines)
    )


def environment(folder: Path, face: Face, known: Mapping[str, Any]) -> jinja2.Environment:
    """Templates of ``folder`` (``report/``), printing through ``face``; they and the layout's
    macros may call and read what is ``known``.

    Raises:
        UserError: a mistake in the macros.
    """
    env = jinja2.Environment(
        block_start_string="[%", block_end_string="%]", variable_start_string="[[",
        variable_end_string="]]", comment_start_string="[#", comment_end_string="#]",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=True,
        undefined=jinja2.StrictUndefined, finalize=face,
        loader=jinja2.FileSystemLoader(folder), extensions=[Prose],
    )  # fmt: skip

    def join(things: Iterable[Any], separator: str = ", ") -> Markup:
        return Markup(face(separator)).join(map(face, things))

    env.filters.clear()  # none is needed, and some make a string of a number
    env.filters.update(join=join, id=_id, raw=Markup, trim=lambda text: text.strip())
    env.globals.clear()
    env.globals.update(known)
    name = f"layout/macros.{face.name}.j2"
    with _named(name):
        macros = vars(env.get_template(name).module)
    env.globals.update({key: value for key, value in macros.items() if not key.startswith("_")})
    return env


def _id(text: str) -> Markup:
    """A label or file name, which needs no escaping; ValueError where it does."""
    if not re.fullmatch(r"[\w.:-]+", text, re.ASCII):
        raise ValueError(f"{text!r} cannot be a label")
    return Markup(text)


def render(env: jinja2.Environment, name: str, context: Mapping[str, Any]) -> str:
    """The text of one template.

    Raises:
        UserError: a mistake in the template, or something printed that has no source: template,
            line and reason.
    """
    with _named(name):
        return env.get_template(name).render(context)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """A mistake in a template becomes the user's, by file and line."""
    try:
        yield
    except jinja2.TemplateNotFound as error:
        raise UserError(f"report/{error.name}: the template is missing") from None
    except jinja2.TemplateSyntaxError as error:
        where = f"report/{error.name or name}:{error.lineno}"
        raise UserError(f"{where}: {error.message}") from None
    except (
        *(UserError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
        *(RecursionError, jinja2.UndefinedError),
    ) as error:
        # Jinja rewrites the traceback to name the templates
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename[-3:] == ".j2"]
        prose = [frame for frame in frames if "/layout/" not in frame.filename] or frames
        where = f"report/{name}"
        if prose:
            path = Path(prose[-1].filename)
            where = f"report/{path.parent.name}/{path.name}:{prose[-1].lineno}"
        raise UserError(f"{where}: {error}") from error
