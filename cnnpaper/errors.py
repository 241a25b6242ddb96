"""The one exception that a user may see: a mistake in what was given, with the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user gave is wrong, or something that the user can mend is missing.

    The message names the file, the key, the value and the remedy in one to five lines. The command
    line prints it without a traceback and exits with code 2.
    """


class Interrupted(Exception):
    """A run was asked to stop (Ctrl-C or SIGTERM) and has saved its state.

    Args:
        signal: number of the signal; the command line exits with 128 + signal.
        message: how to go on.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'alexnet'?"`` where a known word is near, else an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
