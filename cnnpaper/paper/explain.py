"""``make explain KEY=…``: a printed number, followed back to the lines that it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cnnpaper import fingerprint
from cnnpaper.errors import UserError
from cnnpaper.paper.ledger import Ledger, Value
from cnnpaper.paper.study import StudyPaper
from cnnpaper.records import PREDICTIONS_NAME, Run
from cnnpaper.timings import TIMING_NAME

MOST_VALUES = 5
"""So many values are explained where several are printed alike."""
MOST_SOURCES = 6
MOST_CHARACTERS = 150


def explain(root: Path, study: str, key: str) -> str:
    """Where a value of the paper comes from, as lines for people.

    Args:
        root: of the repository.
        study: name of the study.
        key: of the ledger (``resnet18.test_acc``), or a text as printed (``77.61``).

    Raises:
        UserError: no value has that key or text; the message has the nearest keys.
    """
    paper = StudyPaper(root, study, allow_stale=True)
    paper.text  # noqa: B018  composing the text enters its values into the ledger
    found = find(paper.ledger, key)
    blocks = ["\n".join(_chain(paper, value)) for value in found[:MOST_VALUES]]
    if len(found) > MOST_VALUES:
        others = ", ".join(value.key for value in found[MOST_VALUES:])
        blocks.append(f"also printed as {key}: {others}")
    return "\n\n".join(blocks)


def find(ledger: Ledger, key: str) -> list[Value]:
    """The value of ``key``, or those that are printed as ``key``.

    Raises:
        UserError: there is none.
    """
    key = key.strip()
    if key in ledger:
        return [ledger[key]]
    plain = key.removesuffix("%").strip().replace("-", "\N{MINUS SIGN}")
    found = [value for value in ledger if value.text in (key, plain)]
    if not found:
        near = ", ".join(ledger.nearest(key)) or "none"
        raise UserError(
            f"KEY={key}: no value of the paper has this key, and none is printed like this\n"
            f"nearest keys: {near}"
        )
    return found


def _chain(paper: StudyPaper, value: Value) -> Iterator[str]:
    unit = f" ({value.unit})" if value.unit else ""
    yield value.key
    yield f"  printed   {value.text}"
    yield f"  exact     {value.exact!r}{unit}"
    yield f"  computed  {value.formula}"
    for source in value.sources[:MOST_SOURCES]:
        yield f"  from      {source}   (SHA-256 {source.digest[:12]}…)"
        if source.line is not None:
            text = (paper.root / source.file).read_text("utf-8").split("\n")[source.line - 1]
            yield f"              {_relevant(text, value)}"
    if len(value.sources) > MOST_SOURCES:
        yield f"  and {len(value.sources) - MOST_SOURCES} lines more, in the ledger"
    if not value.sources:
        yield "  from      the code: a constant of the method"
    files = {source.file for source in value.sources}
    if any(Path(file).name == TIMING_NAME for file in files):
        yield f"  made by   make timing STUDY={paper.frames.study.name}"
    behind = [run for run in paper.frames.logs.values() if files & _files(paper, run)]
    for run in behind[:MOST_SOURCES]:
        yield from _run(paper, run, value)


def _files(paper: StudyPaper, run: Run) -> set[str]:
    """A run's log and predictions, as the ledger names them."""
    return {
        path.relative_to(paper.root).as_posix()
        for path in (run.path, run.path.with_name(PREDICTIONS_NAME))
    }


def _relevant(line: str, value: Value) -> str:
    """The fields of a log line that the formula names, or its beginning."""
    words = set(re.findall(r"[a-z_]{3,}", f"{value.formula} {value.key}"))
    fields = re.findall(r'"([a-z_]+)":("[^"]*"|[^,\[{}]+)', line) if line.startswith("{") else []
    shown = ", ".join(f"{name} = {text}" for name, text in fields if name in words)
    line = shown or line.strip()
    return line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + "…"


def _run(paper: StudyPaper, run: Run, value: Value) -> Iterator[str]:
    header, row = run.header, paper.frames.runs.set_index("run").loc[run.name]
    words = re.findall(r"[a-z_]+", f"{value.formula} {value.key}")
    columns = [name for name in dict.fromkeys(words) if name in row.index and name != "name"]
    if columns:
        cells = ", ".join(f"{name} = {row[name]}" for name in columns)
        yield f"  row       runs[{run.name}]: {cells}"
    if header.fingerprint is None:
        yield f"  run       {run.name}, imported from a text log"
        return
    stale = paper.stale is not None and run.name in paper.stale.runs
    state = "stale" if stale else "fresh"
    yield f"  run       {run.name}, fingerprint {fingerprint.short(header.fingerprint)} ({state})"
    yield (
        f"  made by   make {header.model} STUDY={header.study} SEEDS={header.seed}, "
        f"at commit {(header.commit or 'unknown')[:12]}"
    )
