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
KEPT = 2


def save(folder: Path, state: dict[str, Any], *, epoch: int, step: int) -> None:
    """Write ``checkpoint-EPOCH-STEP.pt`` atomically, then drop all but the newest two.

    The first line holds the SHA-256 of the rest.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    head = MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    write_atomic(folder / f"checkpoint-{epoch:06d}-{step:07d}.pt", head + payload)
    keep(folder, KEPT)


def keep(folder: Path, count: int) -> None:
    """Remove all but the newest ``count`` checkpoints, and what killed writers left.

    The caller holds the run's lock.
    """
    for path in [*_newest_first(folder)[count:], *folder.glob(".*.tmp")]:
        path.unlink()


def load_newest(
    folder: Path, device: torch.device, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """The valid states, newest first; a damaged one is named and passed over."""
    for path in _newest_first(folder):
        state = _load(path, device)
        if state is None:
            say(f"{path}: damaged, falling back to the checkpoint before it")
        else:
            yield state


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"), reverse=True)


def _load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state, or None where the file is not what was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head, _, payload = data.partition(b"\n")
    if head != MAGIC + hashlib.sha256(payload).hexdigest().encode():
        return None
    try:
        if not _is_stored_as_it_is(payload):
            return None
        state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except Exception:  # the digest is right, but somebody else wrote it: anything may come
        return None
    return state if isinstance(state, dict) else None


def _is_stored_as_it_is(payload: bytes) -> bool:
    """Is nothing in it compressed? torch compresses nothing, but would unpack a bomb."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        parts = archive.infolist()
    plain = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
    return plain and sum(part.file_size for part in parts) <= len(payload)
