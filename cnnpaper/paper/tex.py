"""The face of TeX, XeLaTeX in one folder without a shell, its log in words, and the finished PDF.

What TeX only warns of is an error here, with the name of the table or figure where it happened: an
overfull box, a float that is too large or lost, a missing glyph, an undefined reference.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pikepdf
from markupsafe import Markup

from cnnpaper.advice import advice
from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Value
from cnnpaper.paper.templates import MIME, Face, punctuated

SPECIAL = {char: rf"\{char}" for char in "{}$&#%_"} | {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "\N{NO-BREAK SPACE}": "~", "\N{THIN SPACE}": r"\,", "\N{NARROW NO-BREAK SPACE}": r"\,",
}  # fmt: skip
"""No ligatures stand here: the fonts are loaded without TeX's, so ``--`` and quotes stay."""
_MATH = {
    "≤": r"\leq", "≥": r"\geq", "≈": r"\approx", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma",
    "δ": r"\delta", "ε": r"\varepsilon", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu",
    "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "χ": r"\chi", "ω": r"\omega",
}  # fmt: skip
"""Characters that the text faces lack and the mathematical ones have."""
SPECIAL |= {char: rf"\ensuremath{{{command}}}" for char, command in _MATH.items()}
LONGEST_WORD, BROKEN_EVERY, LONGEST_LINK = 28, 14, 20
"""Characters: a longer word may break after its punctuation, and where so many have none; a longer
value is a link in part only, since a link that is broken over two pages confuses the driver."""


class TexFace(Face):
    """How text, values and citations look in TeX."""

    name, break_here = "tex", Markup(r"\allowbreak{}")
    cited = Markup(r"\hyperlink{{cite.{}}}{{\mbox{{{}}}}}")
    entered = Markup(r"\target{{ledger.{}}}{}")

    def escape(self, text: str) -> Markup:
        r"""What starts like an option, ``[…]`` or ``*``, is kept apart from the command that may
        stand before it, such as the ``\\`` of the table's row above.

        Raises:
            UserError: a control or format character, by its name.
        """
        composed = re.sub(r"[ \t\r\n]+", " ", unicodedata.normalize("NFC", text))
        for char in composed:
            if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn"):
                name = unicodedata.name(char, "unnamed")
                raise UserError(
                    f"the paper cannot print U+{ord(char):04X} ({name}) in {composed[:60]!r}"
                )
        apart = "{}" if composed.lstrip().startswith(("[", "*")) else ""
        return Markup(apart + " ".join(_escape_word(word) for word in composed.split(" ")))

    def value(self, value: Value) -> Markup:
        head, blank, tail = value.text.partition(" ")
        if len(value.text) <= LONGEST_LINK:
            head, blank, tail = value.text, "", ""
        link = rf"\ledger{{{value.key}}}{{{self.escape(head)}}}"
        return Markup(link) + blank + self.escape(tail)  # a plain + would escape it as HTML


def _escape_word(word: str) -> str:
    chars = [SPECIAL.get(char, char) for char in word]
    if len(word) <= LONGEST_WORD:
        return Markup("".join(chars))
    ends = set(itertools.accumulate(map(len, punctuated(word))))
    parts, start = [], 0
    for end in range(1, len(word) + 1):
        if end in ends or end - start == BROKEN_EVERY:
            parts.append(Markup("".join(chars[start:end])))
            start = end
    return TexFace.break_here.join(parts)


def pdf_string(text: str) -> str:
    """A string of PDF, in hexadecimal digits."""
    return f"<FEFF{text.encode('utf-16-be').hex().upper()}>"


TIME_LIMIT_S = 300
MOST_PASSES = 3
"""Times that latexmk is started for one paper."""
AGAIN = re.compile(r"^(?:LaTeX|Package \S+) Warning: .*\bRerun\b", re.MULTILINE)
"""With this in its log TeX asks for another pass."""
MARK = re.compile(r"^cnnpaper: (.*)$", re.MULTILINE)
"""Written by the macros before each float and section, so that a warning finds its place."""
REFUSED = (
    (r"^Overfull \\hbox \(([\d.]+)pt too wide\)", "is {} pt wider than its column"),
    (r"^Overfull \\vbox \(([\d.]+)pt too high\)", "is {} pt too high for the page"),
    (r"^LaTeX Warning: Float too large for page by ([\d.]+)pt", "is {} pt too high for a page"),
    (r"^LaTeX Warning: (Reference `[^']*' .*undefined|Label `[^']*' multiply defined)", "{}"),
    (r"^LaTeX Warning: (Float\(s\) lost|.*[Ll]ost some float.*)", "{}"),
    (r"^(Missing character: .*)", "{}"),
    (r"^Package \S+ Warning: (.*(?:undefined|multiply).*)", "{}"),
)
CAUSES = (
    (r"File `(.*?)' not found", "{} is missing: put it into report/, or install its package"),
    (r"Undefined control sequence", "a command that no package defines: misspelt, or not escaped"),
    (r"Missing character", "no face of the paper has this character: use Latin, Hangul or usual "
     "punctuation"),
    (r"font.*(not found|cannot be found)|Font .* not loadable", "a font is missing: the paper "
     "needs Latin Modern (lmodern) and Nanum (fonts-nanum)"),
    (r"Runaway argument|Paragraph ended before|File ended while", "a '}}' is missing"),
    (r"No space left", "the disk is full"),
)  # fmt: skip
"""What TeX says, and what it usually means."""


def typeset(folder: Path, epoch: int) -> Path:
    """Set ``paper.tex`` in ``folder``, which holds all that it reads; returns the PDF.

    TeX runs on relative names, without a shell, cannot read or write outside the folder (but for
    its own installation), and takes the time from ``epoch``, seconds since 1970: the same folder
    gives the same bytes.

    Raises:
        UserError: TeX is missing, or found something that is an error: file, line, likely cause.
    """
    if shutil.which("latexmk") is None or shutil.which("xelatex") is None:
        raise UserError(f"XeLaTeX or latexmk is missing\ninstall them with: {advice('tex')}")
    # latexmk looks at times in whole seconds and at sizes: a page number that changed within a
    # second, 8 for 9, escapes it, so it is told to go on where TeX still asks for another pass
    for _ in range(MOST_PASSES):
        done = _latexmk(folder, epoch)
        log = _read(folder / "paper.log")
        if done.returncode or not AGAIN.search(log):
            break
    pdf, whole = folder / "paper.pdf", f"the whole log: {folder / 'paper.log'}"
    if done.returncode or not pdf.exists():
        raise UserError(f"{explain(log, done.stdout, folder)}\n{whole}")
    if found := refused(log):
        raise UserError("\n".join([*found[:5], whole]))
    return pdf


def _latexmk(folder: Path, epoch: int) -> subprocess.CompletedProcess[str]:
    command = [
        "latexmk", "-norc", "-g", "-xelatex", "-bibtex-", "-interaction=nonstopmode",
        "-halt-on-error", "-file-line-error", "-no-shell-escape", "paper.tex",
    ]  # fmt: skip
    # no user's macros, no shell, no time of its own
    keep = ("PATH", "HOME", "TMPDIR", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "XDG_CACHE_HOME")
    environment = {name: os.environ[name] for name in keep if name in os.environ} | {
        "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(epoch),
        "FORCE_SOURCE_DATE": "1", "openin_any": "p", "openout_any": "p", "shell_escape": "f",
        "max_print_line": "10000",  # or the log breaks its lines at 79 characters
        "error_line": "254", "half_error_line": "238",
    }  # fmt: skip
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
            timeout=TIME_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        message = f"TeX was stopped after {TIME_LIMIT_S} seconds; it ran in {folder}"
        raise UserError(message) from None


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""


def refused(log: str) -> list[str]:
    """What is an error though TeX goes on: where, and what."""
    found = []
    for pattern, meaning in REFUSED:
        for match in re.finditer(pattern, log, re.MULTILINE):
            place = ["the first page", *MARK.findall(log, 0, match.start())][-1]
            found.append(f"{place}: {meaning.format(match[1])}")
    return list(dict.fromkeys(found))


def explain(log: str, output: str, folder: Path) -> str:
    """An error of TeX as file, line, what TeX says, the line's text and the likely cause."""
    match = re.search(r"^(?:\./)?([^\s:]+):(\d+): (.*)$", log, re.MULTILINE)
    said = re.search(r"^! (.*)", log, re.MULTILINE)
    if match is None:
        said = said or re.search(r"^(.*(?:fatal|No space left|not found).*)", output, re.MULTILINE)
        message = said[1] if said else "it stopped without saying why"
        return f"TeX could not set the paper: {message}\n{_cause(message)}"
    file, line, message = match[1], int(match[2]), match[3]
    if said and "Emergency stop" in message:  # the reason stands above it
        message = said[1]
    undefined = re.search(rf"^l\.{line} .*?(\\\w+)\s*$", log, re.MULTILINE)
    if undefined and "Undefined control" in message:
        message += f" {undefined[1]}"
    text = "\n".join(_read(folder / file).splitlines()[line - 1 : line]).strip()[:160]
    head = f"{folder / file}:{line}: TeX says: {message}"
    return "\n".join(filter(None, [head, text and f"  {text}", _cause(message)]))


def _cause(message: str) -> str:
    for pattern, meaning in CAUSES:
        if match := re.search(pattern, message, re.IGNORECASE):
            return f"likely cause: {meaning.format(*match.groups())}"
    return "likely cause: a mistake in a template of report/ near this line"


def finish(pdf: bytes, attachments: Mapping[str, bytes], *, dated: bool) -> bytes:
    """``pdf`` with files attached; the same input gives the same bytes. Where no log says when the
    runs were made, it is not ``dated`` either."""
    with pikepdf.open(io.BytesIO(pdf)) as document:
        for name, data in sorted(attachments.items()):
            kind = MIME[name.rpartition(".")[2]]
            document.attachments[name] = pikepdf.AttachedFileSpec(
                document, data, filename=name, mime_type=kind, creation_date="", mod_date=""
            )
        document.docinfo["/Producer"] = "cnnpaper"
        for key in () if dated else ("/CreationDate", "/ModDate"):
            if key in document.docinfo:
                del document.docinfo[key]
        out = io.BytesIO()
        packed = pikepdf.ObjectStreamMode.generate
        document.save(out, deterministic_id=True, object_stream_mode=packed, compress_streams=True)
    return out.getvalue()
