"""The images from their public mirrors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cnnpaper.files import UserError


def fetch(which: str, data_dir: Path, say: Callable[[str], None]) -> None:
    """Fetch the set ``which`` into ``data_dir``, unless it is there."""
    raise UserError("not written yet")
