"""``make explain KEY=…``: a printed number, traced to the lines that it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cnnpaper import fingerprint
from cnnpaper.files import UserError
from cnnpaper.log import Run, again
from cnnpaper.paper.ledger import MINUS, Ledger, Value
from cnnpaper.study.imported import decoded

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

MOST_VALUES, MOST_SOURCES, MOST_CHARACTERS = 5, 6, 150
"""What is shown where several values are printed alike, have many sources, or long lines."""


def explain(root: Path, study: str, key: str) -> str:
    """Where a value of the paper comes from, as lines for people.

    Args:
        root: of the repository.
        study: name of the study.
        key: of the ledger (``short.resnet18.test_acc``), or a text as printed (``77.61``).

    Raises:
        UserError: no value has that key or text; the message has the nearest keys.
    """
    from cnnpaper.paper.compose import compose_data
    from cnnpaper.study.analysis import analyse
    from cnnpaper.study.load import load

    data = load(root, study, allow_stale=True)
    document = compose_data(data, analyse(data), "en", draw=False)
    return explanation(data, document.ledger, key)


def explanation(data: StudyData, ledger: Ledger, key: str) -> str:
    """The lines about the values that :func:`find_values` gives."""
    found = find_values(ledger, key)
    blocks = ["\n".join(_chain(data, value)) for value in found[:MOST_VALUES]]
    if len(found) > MOST_VALUES:
        others = ", ".join(value.key for value in found[MOST_VALUES:])
        blocks.append(f"also printed as {key}: {others}")
    return "\n\n".join(blocks)


def find_values(ledger: Ledger, key: str) -> list[Value]:
    """The value of ``key``, or those that are printed as ``key``.

    Raises:
        UserError: there is none.
    """
    key = key.strip()
    if key in ledger:
        return [ledger[key]]
    plain = key.removesuffix("%").strip().replace("-", MINUS)
    found = [value for value in ledger if value.text in (key, plain)]
    if not found:
        near = ", ".join(ledger.nearest(key)) or "none"
        raise UserError(
            f"KEY={key}: no value of the paper has this key, and none is printed like this\n"
            f"nearest keys: {near}"
        )
    return found


def _chain(data: StudyData, value: Value) -> Iterator[str]:
    unit = f" ({value.unit})" if value.unit else ""
    yield value.key
    yield f"  printed   {value.text}"
    yield f"  exact     {_exact(value)}{unit}"
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
    files = {source.file for source in value.sources}
    files |= {file.rpartition("/")[0] for file in files}
    behind = [
        (study, run)
        for study in filter(None, (data, data.tuning, data.precision))
        for run in study.logs.values()
        if _place(run).relative_to(data.root).as_posix() in files
    ]
    for study, run in behind[:MOST_SOURCES]:
        yield from _run(study, run)


def _place(run: Run) -> Path:
    """What a run has for itself: its folder, or its text file."""
    return run.path if run.header.fingerprint is None else run.path.parent


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
    verified = "verified" if path in data.verified else "fresh"
    state = "stale" if path in data.stale else verified
    yield f"  run       {path}, fingerprint {fingerprint.short(header.fingerprint)} ({state})"
    yield f"  made by   {again(header)}, at commit {(header.commit or 'unknown')[:12]}"


def _exact(value: Value) -> str:
    """Twelve significant digits: far more than anything prints."""
    return f"{value.exact:.12g}" if isinstance(value.exact, float) else repr(value.exact)
