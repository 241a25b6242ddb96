"""Where values come from: the lines of logs and experiment files, as the ledger names them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cnnpaper.files import sha256_file
from cnnpaper.log import Run
from cnnpaper.paper.ledger import Source


class Sources:
    """Makes :class:`~cnnpaper.paper.ledger.Source` objects; every file is hashed once.

    Args:
        root: of the repository; files are named relative to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digest, self._lines = cache(sha256_file), cache(lines_of_keys)

    def log(self, run: Run, what: str = "result") -> Source:
        """A line of a log: ``header``, ``epoch 2`` or ``result``."""
        return self.file(run.path, run.line_numbers[what])

    def toml(self, path: Path, *keys: str) -> Source:
        """The line of a TOML file that sets the first of ``keys`` that it has; else the file."""
        lines = self._lines(path) if path.is_file() else {}
        return self.file(path, next((lines[key] for key in keys if key in lines), None))

    def file(self, path: Path, line: int | None = None) -> Source:
        """Any file of the repository, or a line of it."""
        digest = self._digest(path) if path.is_file() else ""
        return Source(file=path.relative_to(self.root).as_posix(), line=line, digest=digest)


def lines_of_keys(path: Path) -> dict[str, int]:
    """Dotted key → line, from 1, on which a TOML file sets it; of a table, where it starts.

    What the lines up to this one set, and those before did not, this line sets: however it is
    written, ``a.b = 1``, ``[a]`` and ``b = 1``, or ``a = {b = 1}``. Tables of an array have numbers
    from 0: ``run.0.seed``.
    """
    text = path.read_bytes().decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.split("\n")
    found: dict[str, int] = {}
    start = 1
    for number in range(1, len(lines) + 1):
        try:
            values = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # within a value of several lines
        for key in _keys(values):
            found.setdefault(key, start)
        start = number + 1
    return found


def _keys(values: Any, prefix: str = "") -> Iterator[str]:
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in items:
        yield f"{prefix}{key}"
        if isinstance(value, dict | list):
            yield from _keys(value, f"{prefix}{key}.")
