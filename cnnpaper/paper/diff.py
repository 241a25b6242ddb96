"""``cnnpaper diff OLD.pdf NEW.pdf``: how two papers differ, by what is attached to them.

No log and no repository is read: a PDF carries its ledger, its tables and its figures' digests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pikepdf

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Value, fixed

NUMBER = re.compile(r"(?<![\w.-])\d[\d,.]*\d|(?<![\w.-])\d")
"""A number in a sentence; not that of a name, ``ResNet-18``."""


Claims = dict[tuple[str, str], dict[str, str]]
"""Family of a sentence and what it is about → its words without numbers → the sentence."""


@dataclass(frozen=True)
class Paper:
    """What a PDF carries of itself."""

    study: str
    values: dict[str, Value]
    printed: set[str]  # keys; the other values stand in attached tables only
    claims: Claims
    files: dict[str, bytes | str]  # a table, or the SHA-256 of a figure: `figure accuracy`


def read_paper(path: Path) -> Paper:
    """What is attached to a paper.

    Raises:
        UserError: no PDF, or one without a ledger.
    """
    try:
        with pikepdf.open(path) as pdf:
            files = {n: spec.get_file().read_bytes() for n, spec in pdf.attachments.items()}
    except (pikepdf.PdfError, pikepdf.PasswordError, IsADirectoryError) as error:
        raise UserError(f"{path}: not a PDF that can be read ({error})") from None
    if "ledger.json" not in files:
        raise UserError(f"{path}: no ledger is attached; give a paper that make report has built")
    try:
        found = json.loads(files["ledger.json"])
        printed = {row["key"] for row in found["values"] if row.pop("printed")}
        drawn = json.loads(files.get("figures.json", b"{}"))
        figures = {f"figure {name.rpartition('.')[0]}": digest for name, digest in drawn.items()}
        tables = {f"table {name[:-4]}": d for name, d in files.items() if name.endswith(".csv")}
        return Paper(
            study=found["study"],
            values={row["key"]: Value(**{**row, "sources": ()}) for row in found["values"]},
            printed=printed,
            claims=_by_subject(found["claims"]),
            files=figures | tables,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its ledger.json is of another form ({error!r})") from None


def _by_subject(record: list[tuple[str, str, str]]) -> Claims:
    found: Claims = {}
    for kind, subject, text in record:
        about = kind.partition("_")[0], subject
        found.setdefault(about, {})[NUMBER.sub("…", text)] = text
    return found


def diff(old: Path, new: Path) -> str:
    """The differences of two papers as Markdown; empty where there are none."""
    one, other = read_paper(old), read_paper(new)
    values = {key: row for key, *row in _values(one.values, other.values)}
    printed = one.printed | other.printed
    rows = [(f"`{key}`", *row) for key, row in values.items() if key in printed]
    hidden = len(values) - len(rows)
    sections = {
        "Values": _table(("value", "old", "new", "difference"), rows),
        "": f"Values that only the attached tables have: {hidden} differ." if hidden else "",
        "Claims": _table(("claim", "old", "new"), _claims(one.claims, other.claims)),
        "Tables and figures": _table(("which", "what"), _files(one.files, other.files)),
    }
    found = [f"## {title}\n\n{text}" if title else text for title, text in sections.items() if text]
    if one.study != other.study:
        found.insert(0, f"Study {one.study} is compared with study {other.study}.")
    return "\n\n".join(["# What changed in the paper", *found]) + "\n" if found else ""


def _values(old: dict[str, Value], new: dict[str, Value]) -> Iterator[tuple[str, str, str, str]]:
    """Values by key whose exact number or printed text differs; their sources may differ."""
    for key in {**old, **new}:
        a, b = old.get(key), new.get(key)
        if a is None or b is None or (a.exact, a.text) != (b.exact, b.text):
            yield key, a.text if a else "–", b.text if b else "–", _difference(a, b)


def _difference(a: Value | None, b: Value | None) -> str:
    """In the printed unit with the printed decimals, or two digits where those would show none."""
    if a is None or b is None or a.number is None or b.number is None:
        return ""
    change = float(b.number) - float(a.number)
    text = fixed(change, max(len(v.text.partition(".")[2]) for v in (a, b)))
    if not set(text) & set("123456789"):
        text = f"{change:.2g}".replace("-", "−")
    return text if change < 0 else f"+{text}"


def _claims(old: Claims, new: Claims) -> Iterator[tuple[str, str, str]]:
    """Sentences that compare, by what they are about; one whose numbers alone differ has not
    changed."""
    for about in {**old, **new}:
        was, now = old.get(about, {}), new.get(about, {})
        before = " ".join(text for words, text in was.items() if words not in now)
        after = " ".join(text for words, text in now.items() if words not in was)
        if before or after:
            what = "appeared" if not before else "vanished" if not after else "changed"
            yield what, before or "–", after or "–"


def _files(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, "new" if name not in old else "gone" if name not in new else "differs"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    table = [list(head), ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in table) if lines else ""
