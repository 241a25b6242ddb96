"""``make report``: logs in, paper out. The only writer of the paper half.

:func:`build_report` first compares digests of everything that the paper is a function of with those
of the last build, and returns at once where none has changed. Otherwise it reads and checks the
logs, then runs the steps whose own inputs have changed: each figure, the tables, the text, TeX.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnpaper.codeunits import code_units
from cnnpaper.errors import UserError
from cnnpaper.files import lock, sha256_file, write_atomic
from cnnpaper.paper.state import (
    State,
    build_folder,
    code_key,
    digest,
    input_files,
    manifest,
    output_path,
    package_versions,
    tools,
)

if TYPE_CHECKING:
    from cnnpaper.paper.study import StudyPaper

DRAWING = ("matplotlib", "fonttools", "pikepdf")
"""Packages whose versions may change the bytes of the PDF while its content stays."""
STATIC = ("cnnpaper.sty", "references.bib")
Say = Callable[[str], None]


def build_report(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Build the paper of ``study`` and return where it lies.

    Args:
        root: of the repository.
        study: name of the study.
        allow_stale: typeset runs that are not those of today's repository, and say so on the page.
        say: prints a line for people: which steps ran, and at the end what was built.

    Raises:
        UserError: a run is incomplete, stale, damaged or missing altogether; a template or TeX has
            an error; another process builds the same paper.
    """
    with _locked(root, study):
        state = State.load(root, study)
        found = manifest(root, study, allow_stale=allow_stale)
        output = output_path(root, study)
        if state.inputs == found and state.fresh("pdf", state.steps["pdf"]["key"], output):
            say(f"nothing to do, nothing has changed since: {state.summary}")
            return output
        paper = _read(root, study, allow_stale)
        ran = [*_figures(paper, state), *_tables(paper, state), *_text(paper, state)]
        ran += _pdf(paper, state, output)
        state.inputs = found if manifest(root, study, allow_stale=allow_stale) == found else {}
        state.summary = paper.summary(output)
        state.save()
        say(f"steps: {steps_text(ran) or 'none, the changes do not show in the paper'}")
        say(state.summary)
        return output


def build_figures(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Write every figure as PDF, PNG and SVG, for slides; returns their folder."""
    from cnnpaper.paper.style import render

    with _locked(root, study):
        paper = _read(root, study, allow_stale)
        _figures(paper, State.load(root, study))
        folder = paper.folder / "figures"
        for drawing in paper.drawings.values():
            figure = drawing.draw(*drawing.args)
            for kind in ("png", "svg"):
                write_atomic(folder / f"{drawing.name}.{kind}", render(figure, kind))
        say(f"{folder}: {len(paper.drawings)} figures, each as PDF, PNG and SVG")
        return folder


def build_tables(root: Path, study: str, *, allow_stale: bool = False, say: Say = print) -> Path:
    """Write every table as CSV (exact values) and Markdown (as printed); returns their folder."""
    with _locked(root, study):
        paper = _read(root, study, allow_stale)
        _tables(paper, State.load(root, study))
        folder = paper.folder / "tables"
        say(f"{folder}: {len(paper.text.tables)} tables, each as CSV and Markdown")
        return folder


def steps_text(ran: list[str]) -> str:
    """The steps by kind: ``figures: learning_curves; tables: 15; pdf``; many are counted."""
    kinds: dict[str, list[str]] = {}
    for step in ran:
        kind, _, name = step.partition(" ")
        kinds.setdefault(kind, []).extend([name] if name else [])
    shown = {
        kind: ", ".join(names) if len(names) <= 6 else str(len(names))
        for kind, names in kinds.items()
    }
    return "; ".join(f"{kind}: {names}" if names else kind for kind, names in shown.items())


def _locked(root: Path, study: str) -> Any:
    if not re.fullmatch(r"[\w가-힣][\w.가-힣-]{0,79}", study):
        raise UserError(
            f"{study!r} is not the name of a study; their files lie in experiments/study/"
        )
    if not (root / "experiments").is_dir():
        raise UserError(
            f"{root / 'experiments'}: not there; start cnnpaper in the repository's root"
        )
    return lock(build_folder(root, study) / "lock", what=f"the report of study {study!r}")


def _read(root: Path, study: str, allow_stale: bool) -> StudyPaper:
    from cnnpaper.paper.study import StudyPaper  # pandas, scipy and matplotlib come with it

    return StudyPaper(root, study, allow_stale=allow_stale)


# ------------------------------------------------------------------------------- steps


def _figures(paper: StudyPaper, state: State) -> list[str]:
    """Draw the figures whose arguments or code have changed; returns the names of the steps."""
    from cnnpaper.paper.content import content_digest
    from cnnpaper.paper.drawings import tick_texts
    from cnnpaper.paper.style import render, texts

    ran, versions = [], json.dumps(tools())
    for drawing in paper.drawings.values():
        step, file = f"figures {drawing.name}", paper.folder / "figures" / f"{drawing.name}.pdf"
        code = code_key(code_units(paper.root, drawing.entries, beside=drawing.others))
        key = digest(content_digest(drawing.args), code, versions)
        if not state.fresh(step, key, file):
            figure = drawing.draw(*drawing.args)
            write_atomic(file, render(figure, "pdf"))
            state.done(step, key, file, texts=texts(figure), ticks=tick_texts(figure))
            ran.append(step)
    return ran


def _tables(paper: StudyPaper, state: State) -> list[str]:
    """Write the tables that have changed, and the ledger."""
    from cnnpaper.paper.tabular import csv, markdown

    folder, ran = paper.folder / "tables", []
    for item in paper.text.tables.values():
        if _write_changed(folder / f"{item.name}.csv", csv(item)) | _write_changed(
            folder / f"{item.name}.md", markdown(item)
        ):
            ran.append(f"tables {item.name}")
    values = json.dumps(paper.ledger.dump(), ensure_ascii=False, indent=1)
    if _write_changed(paper.folder / "ledger.json", values + "\n"):
        ran.append("ledger")
    state.save()
    return ran


def _text(paper: StudyPaper, state: State) -> list[str]:
    """Write the files of TeX that have changed."""
    folder = paper.folder / "text"
    changed = [
        name for name, text in paper.text.files.items() if _write_changed(folder / name, text)
    ]
    return [f"text {name.removesuffix('.tex')}" for name in changed]


def _write_changed(path: Path, text: str) -> bool:
    """Write ``text`` unless the file holds it; returns whether it was written."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomic(path, data)
    return True


def _pdf(paper: StudyPaper, state: State, output: Path) -> list[str]:
    """Run TeX and finish the PDF, where anything that it reads has changed."""
    from cnnpaper.paper import attach, latex, numerals

    files = _tex_files(paper)
    attached = _attachments(paper)
    entries = ["cnnpaper.paper.latex:typeset", "cnnpaper.paper.attach:finish"]
    key = digest(
        code_key(code_units(paper.root, [*entries, "cnnpaper.paper.numerals:check"])),
        json.dumps(tools()),
        str(paper.epoch),
        *(f"{name} {sha256_file(path)}" for name, path in sorted(files.items())),
        *(part for name, data in sorted(attached.items()) for part in (name, data)),
    )
    if state.fresh("pdf", key, output):
        return []
    folder = _empty_folder(paper.folder / "tex")
    for name, path in files.items():
        shutil.copyfile(path, folder / name)
    done = latex.typeset(folder, paper.epoch or 0)
    shown = {
        d.file: {**state.steps[f"figures {d.name}"], "printed": d.printed}
        for d in paper.drawings.values()
    }
    numerals.check_figures(shown, paper.ledger, paper.text.names)
    texts = {file: step["texts"] for file, step in shown.items()}
    numerals.check(done.pdf, done.uses, paper.ledger, texts, paper.text.names)
    made_with = {**latex.versions(done), **package_versions(DRAWING)}
    attached["tools.json"] = (json.dumps(made_with, indent=1) + "\n").encode()
    data = attach.finish(done.pdf.read_bytes(), attached, dated=paper.epoch is not None)
    write_atomic(output, data)
    state.done("pdf", key, output, warnings=list(done.warnings))
    return ["pdf", *(f"warnings {warning}" for warning in done.warnings)]


def _empty_folder(folder: Path) -> Path:
    """Make ``folder`` anew; returns it.

    The TeX of a build that was killed may still be at work in the old one: that moves aside, and
    TeX with it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.old-"))
    folder.mkdir()
    for old in folder.parent.glob(f"{folder.name}.old-*"):
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _tex_files(paper: StudyPaper) -> dict[str, Path]:
    """Everything that TeX reads: name in its folder → where it lies."""
    return {
        **{name: paper.folder / "text" / name for name in paper.text.files},
        **{name: paper.root / "report" / name for name in STATIC},
        **{
            drawing.file: paper.folder / "figures" / f"{drawing.name}.pdf"
            for drawing in paper.drawings.values()
        },
    }


def _attachments(paper: StudyPaper) -> dict[str, bytes]:
    tables = {f"{name}.csv": paper.folder / "tables" / f"{name}.csv" for name in paper.text.tables}
    paths = {"ledger.json": paper.folder / "ledger.json", **tables}
    return {name: path.read_bytes() for name, path in paths.items()}


__all__ = ["build_figures", "build_report", "build_tables", "input_files"]
