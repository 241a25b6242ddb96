"""Where values come from: the lines of logs and experiment files, as the ledger names them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from cnnpaper.files import sha256_file
from cnnpaper.paper.ledger import Source
from cnnpaper.records import PREDICTIONS_NAME, Run


class Sources:
    """Makes :class:`~cnnpaper.paper.ledger.Source` objects; every file is hashed once.

    Args:
        root: of the repository; files are named relative to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digest = cache(sha256_file)

    def log(self, run: Run, what: str = "result") -> Source:
        """A line of a log: ``header``, ``epoch 2`` or ``result``."""
        return self._source(run.path, run.line_numbers[what])

    def predictions(self, run: Run) -> Source:
        """The predictions of a run, a file without lines."""
        return self._source(run.path.with_name(PREDICTIONS_NAME), None)

    def toml(self, path: Path, key: str) -> Source:
        """The line of an experiment file that sets ``key``; ``override.KEY`` is a table's line.

        Raises:
            KeyError: no line of ``path`` sets it.
        """
        table, _, name = key.rpartition(".")
        inside = ""
        for number, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if head := re.match(r"^\s*\[([^\]]+)\]", text):
                inside = head[1].strip()
                if inside == key:
                    return self._source(path, number)
            elif inside == table and re.match(rf"^\s*{re.escape(name)}\s*=", text):
                return self._source(path, number)
        raise KeyError(f"{path}: no line sets {key!r}")

    def file(self, path: Path, line: int | None = None) -> Source:
        """Any file of the repository, or a line of it."""
        return self._source(path, line)

    def _source(self, path: Path, line: int | None) -> Source:
        name = path.relative_to(self.root).as_posix()
        return Source(file=name, line=line, digest=self._digest(path))
