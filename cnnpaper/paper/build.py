"""``make report``: logs in, paper out, or nothing where nothing has changed since the last time."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cnnpaper.files import lock, sha256_file, write_atomic
from cnnpaper.paper import Edition

if TYPE_CHECKING:
    from cnnpaper.paper.compose import Document

PROGRAMS = ("xelatex", "xdvipdfmx")
CLASSES = ("*.cls", "*.clo", "*.sty")  # in `report/`: a class of somebody else, and what it reads
INPUTS = (
    "uv.lock", "pyproject.toml", "experiments/*.toml", "experiments/study/*.toml",
    "results/log/**/*.jsonl", "results/log/**/predictions.npz", "results/log/**/verified.json",
    "results/log/*/*.[lL][oO][gG]", "results/log/*/*.[tT][xX][tT]",  # imported logs
    "report/*.toml", "report/*.bib", *(f"report/{files}" for files in CLASSES),
    "report/en/*", "report/ko/*", "report/layout/*", "report/extra/*",
    "cnnpaper/*.py", "cnnpaper/study/*.py", "cnnpaper/figures/*.py", "cnnpaper/paper/*.py",
    "cnnpaper/engine/**/*.py",
)  # fmt: skip
"""Every file that a paper is a function of; a study may name others, so those of all."""
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
    with locked(root, study) as folder:
        state = folder / f"manifest-{edition}.json"
        inputs, output = manifest(root, allow_stale), output_path(root, study, edition)
        if known := _unchanged(state, inputs, output):
            say(f"nothing has changed: {known}")
            return output
        from cnnpaper.paper.compose import compose

        document = compose(root, study, edition, allow_stale=allow_stale)
        summary = f"{output.relative_to(root)}, {document.summary}"
        if document.face.name == "html":
            write_atomic(output, document.files["paper.html"].encode())
        else:
            tex = folder / f"tex-{document.language}"
            write_atomic(output, typeset(document, tex, tex_files(document)))
            pages = _pages(output, document.publication.page_limit, say)
            summary = f"{output.relative_to(root)}: {pages} pages, {document.summary}"
        if study == "reference":
            _write_citation(document)
        say(summary)
        made = {"inputs": inputs, "output": sha256_file(output), "summary": summary}
        write_atomic(state, json.dumps(made, indent=1).encode())
    return output


def build_tables(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Every table of a study as CSV and Markdown; returns their folder."""
    from cnnpaper.paper.compose import compose

    with locked(root, study) as folder:
        document = compose(root, study, "en", allow_stale=allow_stale, draw=False)
        folder = _emptied(folder / "tables")
        for name, data in document.attachments.items():
            write_atomic(folder / name, data)
        for table in document.tables.values():
            write_atomic(folder / f"{table.name}.md", table.markdown().encode())
    say(f"{len(document.tables)} tables in {folder.relative_to(root)}")
    return folder


def build_figures(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Every figure of a study as PDF, PNG and SVG; returns their folder."""
    from cnnpaper.paper.compose import compose

    with locked(root, study) as folder:
        document = compose(root, study, "en", allow_stale=allow_stale)
        folder /= "figures"
        for drawing in document.drawings.values():
            for kind in drawing.kinds:
                write_atomic(folder / f"{drawing.name}.{kind}", drawing.render(kind))
    say(f"{len(document.drawings)} figures in {folder.relative_to(root)}")
    return folder


@contextlib.contextmanager
def locked(root: Path, study: str) -> Iterator[Path]:
    """The folder of everything between logs and paper of one study, for one process at a time; it
    may be deleted whenever none is at work."""
    folder = root / "build" / "report" / study
    with lock(folder / "report.lock", what=f"the paper of study {study}"):
        yield folder


def output_path(root: Path, study: str, edition: Edition = "en") -> Path:
    """Where the paper of a study lies: ``report/CNN_report.ko.html``."""
    name = "CNN_report" if study == "reference" else f"CNN_report-{study}"
    ending = {"en": ".pdf", "ko": ".ko.pdf", "html": ".html", "ko.html": ".ko.html"}[edition]
    return root / "report" / f"{name}{ending}"


def manifest(root: Path, allow_stale: bool) -> str:
    """A digest over all inputs, among them the lock of the packages, programs and options."""
    whole = hashlib.sha256(f"{platform.python_version()} allow_stale {allow_stale}\n".encode())
    for path in itertools.chain.from_iterable(sorted(root.glob(files)) for files in INPUTS):
        if path.is_file() and not path.name.startswith("."):
            whole.update(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode())
    for program in map(shutil.which, PROGRAMS):
        whole.update(f"{program} {Path(program).stat().st_size if program else 0}\n".encode())
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


def tex_files(document: Document) -> dict[str, bytes]:
    """Everything that TeX reads, by name in its folder."""
    files = {name: text.encode() for name, text in document.files.items()}
    files["cnnpaper.sty"] = (document.report / "layout" / "cnnpaper.sty").read_bytes()
    for pattern in CLASSES:
        files |= {path.name: path.read_bytes() for path in document.report.glob(f"[!.]{pattern}")}
    return files | {d.file: d.render(d.kinds[0]) for d in document.drawings.values()}


def typeset(document: Document, folder: Path, files: Mapping[str, bytes]) -> bytes:
    """The paper that TeX sets from ``files`` alone, in an emptied folder, with all attachments."""
    from cnnpaper.paper import tex

    _emptied(folder)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    pdf = tex.typeset(folder, document.epoch or 0)
    drawn = sorted(drawing.file for drawing in document.drawings.values())
    digests = {name: sha256_file(folder / name) for name in drawn}
    figures = {"figures.json": f"{json.dumps(digests, indent=1)}\n".encode()}
    attached = document.attachments | figures
    return tex.finish(pdf.read_bytes(), attached, dated=document.epoch is not None)


def _pages(pdf: Path, limit: int | None, say: Say) -> int:
    import pikepdf

    with pikepdf.open(pdf) as opened:
        pages = len(opened.pages)
    if limit is not None and pages > limit:
        say(f"warning: {pages} pages, more than page_limit = {limit} of report/paper.toml")
    return pages


def _write_citation(document: Document) -> None:
    """Bring ``CITATION.cff`` up to date with the paper; git shows that it changed."""
    from cnnpaper.paper.publication import citation

    root = document.data.root
    year = str(time.gmtime(document.epoch).tm_year) if document.epoch else None
    data, path = citation(root, document.publication, year).encode(), root / "CITATION.cff"
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)
