"""The face of HTML, and one self-contained file from it: no network, no script that it needs."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from markupsafe import Markup

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Value
from cnnpaper.paper.words import Words

BLOCKS = re.compile(
    r"\s*<(?:h[1-6]|section|figure|div|ul|ol|dl|table|details|pre|p|nav|aside|math display)\b"
)
REF = re.compile(r"\ue000([\w:.-]+)\ue001")
"""A reference whose number is known when the whole text is."""
LABELLED = re.compile(r'<(?:h[23]|figure|section)[^>]*\bid="([\w:.-]+)"[^>]*data-number="([\w-]+)"')


class HtmlFace:
    """How text, values and citations look in HTML."""

    name = "html"

    def __init__(self, about: Callable[[str], str] = str, stale: str = "stale") -> None:
        self.about, self.stale = about, stale
        """How a value was computed, in the words of the edition; the mark of stale values."""

    def escape(self, text: str) -> Markup:
        """Any string as HTML that shows this string; control characters are left out."""
        composed = unicodedata.normalize("NFC", text)
        kept = "".join(c for c in composed if c in "\n\t" or unicodedata.category(c)[0] != "C")
        return Markup(html.escape(kept, quote=True))

    def value(self, value: Value, *, stale: bool) -> Markup:
        mark = f"<sup>{self.escape(self.stale)}</sup>" if stale else ""
        about = self.escape(self.about(value.formula))
        start = f'<a class="v" href="#v.{value.key}" title="{about}">'
        return Markup(f"{start}{self.escape(value.text)}</a>{mark}")

    def cite(self, key: str, text: str) -> Markup:
        return Markup(f'<a href="#cite.{key}">{self.escape(text)}</a>')

    def breakable(self, text: str) -> Markup:
        """A path or a command, which may break after its punctuation."""
        pieces = re.findall(r"[^/_.:=-]*[/_.:=-]|[^/_.:=-]+", text)
        return Markup("<wbr>").join(self.escape(piece) for piece in pieces)

    def target(self, key: str) -> Markup:
        """A key of the ledger, as a link to its row."""
        return Markup(f'<a href="#v.{key}">') + self.breakable(key) + Markup("</a>")

    def ref(self, label: str) -> Markup:
        """A reference, whose number :func:`numbered` fills in."""
        return Markup(f'<a href="#{label}">\ue000{label}\ue001</a>')

    def paragraphs(self, text: str) -> str:
        """Pieces between empty lines as paragraphs, unless they are blocks already."""
        pieces = (piece.strip() for piece in re.split(r"\n[ \t]*\n", text))
        return "\n".join(
            piece if BLOCKS.match(piece) else f"<p>{piece}</p>" for piece in pieces if piece
        )


def numbered(text: str) -> str:
    """Sections, figures and tables counted in their order, and the references to them filled in.

    Raises:
        UserError: a reference to something that is not there, or two with one label.
    """
    counts: dict[str, int] = {}
    numbers: dict[str, str] = {}
    appendix = text.find("<!-- appendix -->")
    for match in LABELLED.finditer(text):
        label, kind = match.groups()
        if label in numbers:
            raise UserError(f"two parts of the paper are labelled {label!r}")
        group = "appendix" if kind == "sec" and 0 <= appendix < match.start() else kind
        counts[group] = counts.get(group, 0) + 1
        if group == "sec":
            counts["sub"] = 0
        numbers[label] = _number(group, counts)
    for label in REF.findall(text):
        if label not in numbers:
            raise UserError(f"the paper refers to {label!r}, which is not there")
    text = REF.sub(lambda match: numbers[match[1]], text)
    return re.sub(r"<!--n:([\w:.-]+)-->", lambda match: numbers.get(match[1], ""), text)


def _number(group: str, counts: dict[str, int]) -> str:
    if group == "appendix":
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[counts[group] - 1]
    if group == "sub":
        return f"{counts.get('sec', 0)}.{counts['sub']}"
    return str(counts[group])


def inline_svg(data: bytes, label: str, title: str, alt: str) -> Markup:
    """A figure within the page, with its title and description for those who cannot see it."""
    text = data.decode("utf-8")
    text = text[text.index("<svg") :]
    prefix = re.sub(r"\W", "-", label)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(href="|url\()#([^")]+)', rf"\1#{prefix}-\2", text)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # a title that matplotlib wrote would be read aloud twice
    text = re.sub(r"<title>.*?</title>\s*", "", text, flags=re.DOTALL)
    head, _, rest = text.partition(">")
    head = re.sub(r'\s(?:width|height|role)="[^"]*"', "", head)
    width = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ', head)
    size = f' style="max-width:{float(width[1]) * 1.25:.0f}px"' if width else ""
    about = (
        f'<title id="{prefix}-title">{html.escape(title)}</title>'
        f'<desc id="{prefix}-desc">{html.escape(alt)}</desc>'
    )
    attributes = f' role="img" aria-labelledby="{prefix}-title" aria-describedby="{prefix}-desc"'
    return Markup(f"{head}{attributes}{size}>{about}{rest}")


HANGUL = "[\uac00-\ud7a3]"
KEPT = rf"(?<={HANGUL})(?=\()|(?<=[)\]’”])(?={HANGUL})|(?<=[A-Za-z]-)(?=\d)"
"""Where a browser would break a Korean line within a word, even under ``word-break: keep-all``."""


def kept_together(text: str) -> str:
    """Word joiners in Korean text, so that its lines break at spaces only."""
    pieces = re.split(r"(<[^>]*>)", text)
    for place in range(0, len(pieces), 2):
        if re.search(HANGUL, pieces[place]):
            after = place and pieces[place - 1] == "</math>"
            wanted = rf"{KEPT}|\A(?={HANGUL})" if after else KEPT
            pieces[place] = re.sub(wanted, "\N{WORD JOINER}", pieces[place])
    return "".join(pieces)


def data_uri(data: bytes, kind: str) -> str:
    """A file within the page."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(data).decode()}"


def assemble(
    root: Path, page: str, printed: Iterable[Value], attachments: Mapping[str, bytes], words: Words
) -> str:
    """The page numbered, with all printed values and the attached files at its end."""
    text = kept_together(numbered(page))
    rows = "\n".join(_rows(printed, words))
    files = "\n".join(
        f'<li><a download="{name}" href="{data_uri(data, _kind(name))}">{name}</a></li>'
        for name, data in sorted(attachments.items())
    )
    style = (root / "report" / "layout" / "paper.css").read_text("utf-8")
    return (
        text.replace("<!-- ledger -->", rows)
        .replace("<!-- files -->", files)
        .replace("<!-- style -->", style)
    )


def _kind(name: str) -> str:
    return "application/json" if name.endswith(".json") else "text/csv"


def _rows(printed: Iterable[Value], words: Words) -> Iterator[str]:
    """The ledger's rows of all printed values."""
    for value in sorted(printed, key=lambda v: v.key):
        sources = "<br>".join(html.escape(str(source)) for source in value.sources[:3])
        more = len(value.sources) - 3
        origin = sources or html.escape(words.text("value.code"))
        exact = html.escape(str(value.exact)[:24])
        unit = html.escape(words.label("unit", value.unit) if value.unit else "")
        yield (
            f'<tr id="v.{value.key}"><th scope="row"><code>{value.key}</code></th>'
            f"<td>{html.escape(value.text)}</td><td>{exact} {unit}</td>"
            f"<td>{html.escape(words.formula(value.formula))}</td>"
            f"<td>{origin}{f' (+{more})' if more > 0 else ''}</td></tr>"
        )
