"""``make explain KEY=…``: a printed number, traced to the lines that it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cnnpaper import fingerprint
from cnnpaper.files import UserError
from cnnpaper.log import Run, again
from cnnpaper.paper.compose import Document, compose
from cnnpaper.paper.ledger import MINUS, Value
from cnnpaper.study.imported import decoded
from cnnpaper.study.load import StudyData

MOST_VALUES, MOST_SOURCES, MOST_CHARACTERS = 5, 6, 150
"""What is shown where several values are printed alike, have many sources, or long lines."""


def explain(root: Path, study: str, key: str) -> str:
    """Where the value of a key (``short.resnet18.test_acc``), or each value that is printed like it
    (``77.61``), comes from, as lines for people.

    Raises:
        UserError: no value has that key or text; the message has the nearest keys.
    """
    return explanation(compose(root, study, "en", allow_stale=True, draw=False), key)


def explanation(document: Document, key: str) -> str:
    """The lines about the value of ``key``, or about those that are printed as ``key``."""
    key, ledger = key.strip(), document.ledger
    plain = key.removesuffix("%").strip().replace("-", MINUS)
    alike = [value for value in ledger.values() if value.text in (key, plain)]
    found = [ledger[key]] if key in ledger else alike
    if not found:
        raise UserError(
            f"KEY={key}: no value of the paper has this key, and none is printed like this\n"
            f"nearest keys: {ledger.nearest(key)}"
        )
    blocks = ["\n".join(_chain(document.data, value)) for value in found[:MOST_VALUES]]
    if len(found) > MOST_VALUES:
        others = ", ".join(value.key for value in found[MOST_VALUES:])
        blocks.append(f"also printed as {key}: {others}")
    return "\n\n".join(blocks)


def _chain(data: StudyData, value: Value) -> Iterator[str]:
    # twelve significant digits are far more than anything prints
    exact = f"{value.exact:.12g}" if isinstance(value.exact, float) else repr(value.exact)
    yield value.key
    yield f"  printed   {value.text}"
    yield f"  exact     {exact}{f' ({value.unit})' if value.unit else ''}"
    yield f"  computed  {value.formula}"
    for source in value.sources[:MOST_SOURCES]:
        yield f"  from      {source}   (SHA-256 {source.digest[:12]}…)"
        path = data.root / source.file
        if source.line is not None and path.is_file():
            text = decoded(path.read_bytes()).split("\n")[source.line - 1]
            yield f"              {_relevant(text, value)}"
    if len(value.sources) > MOST_SOURCES:
        yield f"  and {len(value.sources) - MOST_SOURCES} more lines, in the ledger"
    if not value.sources:
        yield "  from      the code: a constant of the method"
    files = {data.root / source.file for source in value.sources}
    files |= {file.parent for file in files if file.suffix in (".jsonl", ".npz")}
    behind = [
        (study, run)
        for study in filter(None, (data, data.tuning, data.precision))
        for run in study.logs.values()
        if {run.path, run.path.parent} & files
    ]
    for study, run in behind[:MOST_SOURCES]:
        yield from _run(study, run)


def _relevant(line: str, value: Value) -> str:
    """The fields of a log line that the formula names, or its beginning."""
    words = set(re.findall(r"[a-z_]{3,}", f"{value.formula} {value.key}"))
    fields = re.findall(r'"([a-z_]+)":("[^"]*"|[^,\[{}]+)', line) if line.startswith("{") else []
    line = ", ".join(f"{name} = {text}" for name, text in fields if name in words) or line.strip()
    return line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + "…"


def _run(data: StudyData, run: Run) -> Iterator[str]:
    header = run.header
    if header.fingerprint is None:
        yield f"  run       {run.name}, imported from a text log"
        return
    path = run.path.parent.relative_to(data.root / "results" / "log").as_posix()
    fresh = "verified" if path in data.verified else "fresh"
    state = "stale" if path in data.stale else fresh
    yield f"  run       {path}, fingerprint {fingerprint.short(header.fingerprint)} ({state})"
    yield f"  made by   {again(header)}, at commit {(header.commit or 'unknown')[:12]}"
