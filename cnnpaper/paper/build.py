"""``make report``: logs in, paper out. The only writer of the paper wing.

:func:`build_report` compares digests of everything that the paper is a function of with those of
the last build, and returns at once where none has changed. Otherwise it builds all of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnpaper.files import lock, sha256_file, write_atomic
from cnnpaper.paper import Edition

if TYPE_CHECKING:
    from cnnpaper.paper.compose import Document

PROGRAMS = ("xelatex", "xdvipdfmx")
CLASSES = ("*.cls", "*.clo", "*.sty")  # in `report/`: a class of somebody else, and what it reads
Say = Callable[[str], None]


def build_report(
    root: Path, study: str, *, edition: Edition = "en", allow_stale: bool = False,
    say: Say = print,
) -> Path:  # fmt: skip
    """Build the paper of ``study`` and return where it lies; ``say`` what was built, and warnings.

    With ``allow_stale`` runs are typeset that are not of today's repository, as the page says.

    Raises:
        UserError: a run is incomplete, stale, damaged or undeclared; a template or TeX has an
            error; another process builds the same paper.
    """
    with locked(root, study):
        state = build_folder(root, study) / f"manifest-{edition}.json"
        inputs, output = manifest(root, allow_stale), output_path(root, study, edition)
        if known := _unchanged(state, inputs, output):
            say(f"nothing has changed: {known}")
            return output
        from cnnpaper.paper.compose import compose

        document = compose(root, study, edition, allow_stale=allow_stale)
        write = _write_html if document.face == "html" else _write_pdf
        pages = write(root, study, document, output, say)
        if study == "reference":
            _write_citation(root, document)
        summary = f"{output.relative_to(root)}{pages}, {document.summary}"
        say(summary)
        made = {"inputs": inputs, "output": sha256_file(output), "summary": summary}
        write_atomic(state, json.dumps(made, indent=1).encode())
    return output


def build_tables(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Every table of a study as CSV and Markdown; returns their folder."""
    from cnnpaper.paper.compose import compose

    with locked(root, study):
        document = compose(root, study, "en", allow_stale=allow_stale, draw=False)
        folder = _emptied(build_folder(root, study) / "tables")
        for name, data in document.attachments.items():
            write_atomic(folder / name, data)
        for table in document.tables.values():
            write_atomic(folder / f"{table.name}.md", table.markdown().encode())
    say(f"{len(document.tables)} tables in {folder.relative_to(root)}")
    return folder


def build_figures(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Every figure of a study as PDF, PNG and SVG; returns their folder."""
    from cnnpaper.paper.compose import compose

    with locked(root, study):
        document = compose(root, study, "en", allow_stale=allow_stale)
        folder = build_folder(root, study) / "figures"
        for drawing in document.drawings.values():
            for kind in drawing.kinds:
                write_atomic(folder / f"{drawing.name}.{kind}", drawing.render(kind))
    say(f"{len(document.drawings)} figures in {folder.relative_to(root)}")
    return folder


def build_folder(root: Path, study: str) -> Path:
    """Everything between logs and paper of one study; may be deleted at any time."""
    return root / "build" / "report" / study


def output_path(root: Path, study: str, edition: Edition = "en") -> Path:
    """Where the paper of a study lies: ``report/CNN_report.ko.html``."""
    name = "CNN_report" if study == "reference" else f"CNN_report-{study}"
    ending = {"en": ".pdf", "ko": ".ko.pdf", "html": ".html", "ko.html": ".ko.html"}[edition]
    return root / "report" / f"{name}{ending}"


def locked(root: Path, study: str) -> AbstractContextManager[Any]:
    """One process at a time builds the papers of a study."""
    return lock(build_folder(root, study) / "report.lock", what=f"the paper of study {study}")


def input_files(root: Path) -> Iterator[Path]:
    """Every file that a paper is a function of; a study may name others, so those of all."""
    for folder, patterns in (
        (root / "experiments", ("*.toml", "study/*.toml")),
        (root / "results" / "log", ("**/*.jsonl", "**/predictions.npz", "**/verified.json",
                                    "*/*.[lL][oO][gG]", "*/*.[tT][xX][tT]")),  # imported logs
        (root / "report", ("*.toml", "*.bib", *CLASSES, "en/*", "ko/*", "layout/*",
                           "extra/*")),
        (root / "cnnpaper", ("*.py", "study/*.py", "figures/*.py", "paper/*.py", "engine/**/*.py")),
        (root, ("uv.lock", "pyproject.toml")),
    ):  # fmt: skip
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                if path.is_file() and not path.name.startswith("."):
                    yield path


def manifest(root: Path, allow_stale: bool) -> str:
    """A digest over all inputs, among them the lock of the packages, programs and options."""
    whole = hashlib.sha256()
    for path in input_files(root):
        whole.update(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode())
    found = [shutil.which(name) for name in PROGRAMS]
    programs = [(path, Path(path).stat().st_size) if path else "missing" for path in found]
    for item in (platform.python_version(), f"allow_stale {allow_stale}", *programs):
        whole.update(f"{item}\n".encode())
    return whole.hexdigest()


def _unchanged(state: Path, inputs: str, output: Path) -> str:
    """The last build's summary, where its inputs and its output are still the same; else empty."""
    try:
        known = json.loads(state.read_text("utf-8"))
        same = known["inputs"] == inputs and known["output"] == sha256_file(output)
        return str(known["summary"]) if same else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def tex_files(root: Path, document: Document) -> dict[str, bytes]:
    """Everything that TeX reads, by name in its folder."""
    report = root / "report"
    files = {name: text.encode() for name, text in document.files.items()}
    files["cnnpaper.sty"] = (report / "layout" / "cnnpaper.sty").read_bytes()
    for pattern in CLASSES:
        files |= {path.name: path.read_bytes() for path in report.glob(f"[!.]{pattern}")}
    return files | {d.file: d.render(d.kinds[0]) for d in document.drawings.values()}


def _write_pdf(root: Path, study: str, document: Document, output: Path, say: Say) -> str:
    """Run TeX, attach tables and ledger; returns the number of pages as text."""
    folder = _emptied(build_folder(root, study) / f"tex-{document.words.language}")
    for name, data in tex_files(root, document).items():
        (folder / name).write_bytes(data)
    write_atomic(output, typeset(folder, document))
    log = (folder / "paper.log").read_text("utf-8", errors="replace")
    match = re.search(r"Output written on .*\((\d+) pages?", log)
    pages = int(match[1]) if match else 0
    limit = document.publication.page_limit
    if limit is not None and pages > limit:
        say(f"warning: {pages} pages, more than page_limit = {limit} of report/paper.toml")
    return f": {pages} pages"


def typeset(folder: Path, document: Document) -> bytes:
    """The paper from the files in ``folder``, which TeX reads, with everything attached."""
    from cnnpaper.paper import tex

    pdf = tex.typeset(folder, document.epoch or 0)
    drawn = sorted(drawing.file for drawing in document.drawings.values())
    digests = {name: sha256_file(folder / name) for name in drawn}
    figures = {"figures.json": f"{json.dumps(digests, indent=1)}\n".encode()}
    attached = document.attachments | figures
    return tex.finish(pdf.read_bytes(), attached, dated=document.epoch is not None)


def _write_citation(root: Path, document: Document) -> None:
    """Bring ``CITATION.cff`` up to date with the paper; git shows that it changed."""
    from cnnpaper.paper.publication import citation

    year = str(time.gmtime(document.epoch).tm_year) if document.epoch else None
    data, path = citation(root, document.publication, year).encode(), root / "CITATION.cff"
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)


def _write_html(root: Path, study: str, document: Document, output: Path, say: Say) -> str:
    from cnnpaper.paper import html

    page = html.assemble(root, document.files["paper.html"], document.attachments)
    write_atomic(output, page.encode())
    return ""
