"""The face of HTML, and what makes one self-contained file of it."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections import Counter

from markupsafe import Markup

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Value
from cnnpaper.paper.templates import MIME, Face

BLOCKS = re.compile(
    r"\s*<(?:h[1-6]|section|figure|div|ul|ol|dl|table|details|pre|p|nav|aside|math display)\b"
)
NUMBER = re.compile(r"<!--n:([\w:.-]+)-->")
"""Where the number of a part stands, which is known when the whole text is."""
WHERE = "in report/en, report/ko or report/extra"
LABELLED = re.compile(r'<(?:h[23]|figure|section)[^>]*\bid="([\w:.-]+)"[^>]*data-number="([\w-]+)"')


class HtmlFace(Face):
    """How text, values and citations look in HTML."""

    name, break_here = "html", Markup("<wbr>")
    cited, entered = Markup('<a href="#cite.{}">{}</a>'), Markup('<a href="#v.{}">{}</a>')

    def escape(self, text: str) -> Markup:
        """Control characters are left out."""
        composed = unicodedata.normalize("NFC", text)
        kept = "".join(c for c in composed if c in "\n\t" or unicodedata.category(c)[0] != "C")
        return Markup(html.escape(kept, quote=True))

    def value(self, value: Value) -> Markup:
        link = Markup('<a class="v" href="#v.{}" title="{}">{}</a>')
        about, text = self.escape(self.about(value.formula)), self.escape(value.text)
        return link.format(value.key, about, text)

    def paragraphs(self, text: str) -> str:
        """Pieces between empty lines as paragraphs, unless they are blocks already."""
        found = filter(None, map(str.strip, re.split(r"\n[ \t]*\n", text)))
        return "\n".join(part if BLOCKS.match(part) else f"<p>{part}</p>" for part in found)


def numbered(text: str) -> str:
    """Sections, figures and tables counted in their order, and their numbers filled in.

    Raises:
        UserError: a reference to something that is not there, or two with one label.
    """
    counts: Counter[str] = Counter()
    numbers: dict[str, str] = {}
    appendix = text.find("<!-- appendix -->")
    for match in LABELLED.finditer(text):
        label, kind = match.groups()
        if label in numbers:
            raise UserError(f"two parts of the paper are labelled {label!r}; rename one {WHERE}")
        if kind == "sec":
            counts["sub"] = 0
            kind = "appendix" if 0 <= appendix < match.start() else kind
        counts[kind] += 1
        number = str(counts[kind])
        special = {"sub": f"{counts['sec']}.{number}", "appendix": chr(ord("@") + counts[kind])}
        numbers[label] = special.get(kind, number)
    if lost := set(NUMBER.findall(text)) - numbers.keys():
        raise UserError(f"the paper refers to {min(lost)!r}, which has no label {WHERE}")
    return NUMBER.sub(lambda match: numbers[match[1]], text)


def inline_svg(data: bytes, label: str, title: str, alt: str) -> Markup:
    """A figure within the page, with its title and description for those who cannot see it."""
    text = data.decode("utf-8")
    text = text[text.index("<svg") :]
    prefix = re.sub(r"\W", "-", label)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(href="|url\()#([^")]+)', rf"\1#{prefix}-\2", text)
    # a title that matplotlib wrote would be read aloud twice
    text = re.sub(r"<(metadata|title)>.*?</\1>\s*", "", text, flags=re.DOTALL)
    head, _, rest = text.partition(">")
    head = re.sub(r'\s(?:width|height|role)="[^"]*"', "", head)
    width = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ', head)
    size = f' style="max-width:{float(width[1]) * 1.25:.0f}px"' if width else ""
    attributes = f' role="img" aria-labelledby="{prefix}-title" aria-describedby="{prefix}-desc"'
    about = (
        f'<title id="{prefix}-title">{html.escape(title)}</title>'
        f'<desc id="{prefix}-desc">{html.escape(alt)}</desc>'
    )
    return Markup(f"{head}{attributes}{size}>{about}{rest}")


HANGUL = "[\uac00-\ud7a3]"
KEPT = rf"(?<={HANGUL})(?=\()|(?<=[)\]’”])(?={HANGUL})|(?<=[A-Za-z]-)(?=\d)"
"""Where a browser would break a Korean line within a word, even under ``word-break: keep-all``."""


def kept_together(text: str) -> str:
    """Word joiners in Korean text, so that its lines break at spaces only."""
    parts = re.split(r"(<[^>]*>)", text)
    for place in range(0, len(parts), 2):
        if re.search(HANGUL, parts[place]):
            after = place and parts[place - 1] == "</math>"
            wanted = rf"{KEPT}|\A(?={HANGUL})" if after else KEPT
            parts[place] = re.sub(wanted, "\N{WORD JOINER}", parts[place])
    return "".join(parts)


def data_uri(name: str, data: bytes) -> Markup:
    """A file within the page."""
    kind = MIME[name.rpartition(".")[2]]
    return Markup(f"data:{kind};charset=utf-8;base64,{base64.b64encode(data).decode()}")
