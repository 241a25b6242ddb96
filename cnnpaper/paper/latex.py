"""XeLaTeX in one folder, without a shell, and its log in words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cnnpaper.errors import UserError
from cnnpaper.files import sha256_file
from cnnpaper.paper.style import find_face
from cnnpaper.texsetup import check

MAIN = "paper"
"""Name of the main file, without its ending."""

CAUSES = (
    (r"Undefined control sequence", "a command that no package defines: misspelt, or not escaped"),
    (r"File `.*' not found", "a TeX package or a file is missing: run `make report` once more, "
     "which installs packages, or install it by hand"),
    (r"font.*(not found|cannot be found)|Font .* not loadable", "a font is missing: the paper "
     "needs Latin Modern (lmodern) and Nanum (fonts-nanum)"),
    (r"Missing \$ inserted", "mathematics outside of $…$: a '_' or '^' that was not escaped"),
    (r"Misplaced alignment tab|Extra alignment tab", "a '&' too many in a table, or not escaped"),
    (r"Environment .* undefined", "an environment that no package defines"),
    (r"(Runaway argument|Paragraph ended before|File ended while)", "a '}' is missing"),
    (r"Too many }'s|Extra }", "a '}' too many"),
    (r"Unable to load picture or PDF file", "a figure is missing or damaged"),
    (r"No space left", "the disk is full"),
)  # fmt: skip
"""What TeX says, and what it usually means."""

WARNINGS = re.compile(
    r"^(?:LaTeX (?:Font )?Warning|Package \S+ Warning|Class \S+ Warning|Missing character|"
    r"Overfull \\[hv]box|Underfull \\[hv]box \(badness (?:[2-9]\d{3}|10000)\)).*",
    re.MULTILINE,
)
BIBTEX_WARNINGS = re.compile(r"^(?:Warning--.*|I (?:didn't|couldn't) .*|.*error message.*)", re.M)
DRIVER_WARNINGS = re.compile(r"^xdvipdfmx:(?:warning|fatal):.*", re.MULTILINE)
FACES = ("lmroman10-regular.otf", "lmsans10-regular.otf", "NanumMyeongjo.ttf", "NanumGothic.ttf")
TIME_LIMIT_S = 300
AGAIN = re.compile(r"^(?:LaTeX|Package \S+) Warning: .*\bRerun\b", re.MULTILINE)
"""With this in its log TeX asks for another pass."""
MOST_PASSES = 3
"""Times that latexmk is started for one paper."""


@dataclass(frozen=True)
class Typeset:
    """What one run of TeX gave."""

    pdf: Path
    warnings: tuple[str, ...]
    """Overfull boxes, underfull ones of badness 2000 or more, undefined references, missing
    characters, fonts: as TeX says them, in order. Empty for a paper that is in order."""
    uses: tuple[tuple[str, int], ...]
    """(key, page): where which value of the ledger was printed."""


def typeset(folder: Path, epoch: int) -> Typeset:
    """Set ``paper.tex`` in ``folder``, which holds all that it reads.

    TeX runs on relative names, without a shell, cannot read or write outside the folder (but for
    its own installation), and takes the time from ``epoch``: the same folder gives the same bytes.

    Args:
        epoch: seconds since 1970, the date that the PDF bears.

    Raises:
        UserError: TeX is missing or found an error: file, line, likely cause.
    """
    if shutil.which("latexmk") is None:
        check()
    # latexmk looks at times in whole seconds and at sizes: a page number that changed within a
    # second, 8 for 9, escapes it, so it is told to go on where TeX still asks for another pass
    for options in ((), *[("-g",)] * (MOST_PASSES - 1)):
        done = _latexmk(folder, epoch, *options)
        log = _read(folder / f"{MAIN}.log")
        if done.returncode or not AGAIN.search(log):
            break
    pdf = folder / f"{MAIN}.pdf"
    if done.returncode or not pdf.exists():
        raise UserError(explain(log, done.stdout, folder))
    warnings = (
        *WARNINGS.findall(log),
        *BIBTEX_WARNINGS.findall(_read(folder / f"{MAIN}.blg")),
        *DRIVER_WARNINGS.findall(done.stdout),
    )
    return Typeset(pdf, warnings, _uses(folder / f"{MAIN}.uses"))


def versions(done: Typeset) -> dict[str, str]:
    """What set the page: programs and packages of TeX by version, faces by their files' digests.

    The bytes of a PDF are those of another one only where these are the same.
    """
    log = _read(done.pdf.with_suffix(".log"))
    banner = re.search(r"^This is (XeTeX), Version (\S+)", log, re.MULTILINE)
    kernel = re.search(r"^LaTeX2e <([^>]+)>", log, re.MULTILINE)
    driver = subprocess.run(["xdvipdfmx", "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"Version (\S+)", driver.stdout)
    found = {
        "XeTeX": banner and banner[2],
        "LaTeX": kernel and kernel[1],
        "xdvipdfmx": number and number[1],
    }
    styles = re.findall(
        r"^Package: (?!cnnpaper)(\S+) (\d{4}[-/]\d\d[-/]\d\d(?: v?\d[\w.]*)?)", log, re.MULTILINE
    )
    faces = {f"face {name}": sha256_file(find_face(name))[:12] for name in FACES}
    return {**{name: text or "unknown" for name, text in found.items()}, **dict(styles), **faces}


def _latexmk(folder: Path, epoch: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        "latexmk", "-norc", "-xelatex", "-bibtex", "-interaction=nonstopmode", "-halt-on-error",
        "-file-line-error", "-no-shell-escape", *options, f"{MAIN}.tex",
    ]  # fmt: skip
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=tex_environment(epoch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"TeX was stopped after {TIME_LIMIT_S} seconds; it ran in {folder}"
        ) from None


def tex_environment(epoch: int) -> dict[str, str]:
    """Environment in which TeX runs: no user's macros, no shell, no time of its own."""
    keep = ("PATH", "HOME", "TMPDIR", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "XDG_CACHE_HOME")
    return {
        **{name: os.environ[name] for name in keep if name in os.environ},
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(epoch),
        "FORCE_SOURCE_DATE": "1",
        "openin_any": "p",
        "openout_any": "p",
        "shell_escape": "f",
        "max_print_line": "10000",  # or the log breaks its lines at 79 characters
        "error_line": "254",
        "half_error_line": "238",
    }


def _uses(path: Path) -> tuple[tuple[str, int], ...]:
    lines = (line.split() for line in _read(path).splitlines())
    return tuple((key, int(page)) for key, page in lines)


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""


# ------------------------------------------------------------------------------- errors


def explain(log: str, output: str, folder: Path) -> str:
    """An error of TeX as file, line, what TeX says, the line's text and the likely cause."""
    match = re.search(r"^(?:\./)?([^\s:]+):(\d+): (.*)$", log, re.MULTILINE)
    if match is None:
        return _without_place(log, output, folder)
    file, line, message = match[1], int(match[2]), match[3]
    said = re.search(r"^! (.*)", log, re.MULTILINE)
    if said and "Emergency stop" in message:  # the reason stands above it
        message = said[1]
    lines = _read(folder / file).splitlines()
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    undefined = re.search(rf"^l\.{line} .*?(\\\w+)\s*$", log, re.MULTILINE)
    shown = f" {undefined[1]}" if undefined and "Undefined control" in message else ""
    return "\n".join(
        [
            f"{folder / file}:{line}: TeX says: {message}{shown}",
            *([f"  {text[:160]}"] if text else []),
            f"likely cause: {cause(message)}",
            f"the whole log: {folder / MAIN}.log",
        ]
    )


def _without_place(log: str, output: str, folder: Path) -> str:
    said = re.search(r"^! .*", log, re.MULTILINE) or re.search(
        r"^.*(?:fatal|No space left|not found).*", output, re.MULTILINE
    )
    message = said[0].lstrip("! ") if said else "it stopped without saying why"
    return (
        f"TeX could not set the paper: {message}\n"
        f"likely cause: {cause(message)}\nthe whole log: {folder / MAIN}.log"
    )


def cause(message: str) -> str:
    """What an error of TeX usually means."""
    for pattern, meaning in CAUSES:
        if re.search(pattern, message, re.IGNORECASE):
            return meaning
    return "a mistake in a template of report/ near this line"
