"""A training's state on disk: whole or absent, checked before it is used, never executed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from cnnpaper.files import write_atomic

MAGIC = b"cnnpaper checkpoint 2 sha256 "


def save(folder: Path, state: dict[str, Any], *, epoch: int, step: int) -> None:
    """Write ``checkpoint-EPOCH-STEP.pt`` atomically, then drop all but the newest two.

    The first line holds the SHA-256 of the rest.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    head = MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    write_atomic(folder / f"checkpoint-{epoch:06d}-{step:07d}.pt", head + payload)
    keep(folder, 2)


def keep(folder: Path, count: int) -> None:
    """Remove all but the newest ``count`` checkpoints, and what killed writers left."""
    for path in [*_newest_first(folder)[count:], *folder.glob(".*.tmp")]:
        path.unlink()


def load_newest(
    folder: Path, device: torch.device, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """The valid states, newest first; a damaged one is named and passed over."""
    for path in _newest_first(folder):
        head, _, payload = path.read_bytes().partition(b"\n")
        try:
            if head != MAGIC + hashlib.sha256(payload).hexdigest().encode():
                raise ValueError("not what was written")
            with zipfile.ZipFile(io.BytesIO(payload)) as archive:
                # torch compresses nothing, but would unpack a bomb
                if sum(part.file_size for part in archive.infolist()) > len(payload):
                    raise ValueError("compressed")
            state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        except Exception:  # the digest may be right and somebody else's: anything may come
            say(f"{path}: damaged, falling back to the checkpoint before it")
        else:
            yield state


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"), reverse=True)
