"""No number is typed: every numeral on a page is one of the ledger's, a figure's, or allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnpaper.paper.latex import Typeset
from cnnpaper.paper.ledger import Ledger


def check(
    done: Typeset, ledger: Ledger, figures: Mapping[str, Sequence[str]], names: Sequence[str]
) -> None:
    """To be written."""
