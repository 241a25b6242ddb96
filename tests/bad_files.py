"""Files made wrong on purpose: each function changes a repository in one way.

They give functions of the repository's root, so a table can name what is wrong before there is one.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnpaper.files import sha256_bytes
from tests import fabricate

Change = Callable[[Path], object]
PLAN = fabricate.Plan(name="tiny", networks=("alexnet",), epochs=1, images=20, data_set="synthetic")
"""The study whose files are changed: one run of one epoch, 20 test images."""
RECIPE, STUDY = "experiments/recipe.toml", "experiments/study/tiny.toml"
FOLDER = "results/log/tiny/alexnet-s0"
LOG, PREDICTIONS = f"{FOLDER}/run.jsonl", f"{FOLDER}/predictions.npz"


# ------------------------------------------------------------------------------- any file


def edit(name: str, old: str, new: str) -> Change:
    """Replace text that the file has once."""

    def change(root: Path) -> None:
        text = (root / name).read_text("utf-8")
        assert text.count(old) == 1, (name, old)
        (root / name).write_text(text.replace(old, new), "utf-8")

    return change


def put(name: str, data: bytes) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return change


def transform(name: str, how: Callable[[bytes], bytes]) -> Change:
    def change(root: Path) -> None:
        (root / name).write_bytes(how((root / name).read_bytes()))

    return change


def append(name: str, data: bytes) -> Change:
    return transform(name, lambda old: old + data)


def remove(name: str) -> Change:
    def change(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def folder_instead(name: str) -> Change:
    def change(root: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            (root / name).unlink()
        (root / name).mkdir(parents=True)

    return change


def link_to_itself(name: str) -> Change:
    def change(root: Path) -> None:
        path = root / name
        if path.exists():
            remove(name)(root)
        path.symlink_to(path.name)

    return change


def several(*changes: Change) -> Change:
    def change(root: Path) -> None:
        for one in changes:
            one(root)

    return change


# ------------------------------------------------------------------------------- logs


def lines_of(root: Path) -> list[dict[str, Any]]:
    """The lines of the log: header, miniature, two steps, one epoch, result."""
    return [json.loads(line) for line in (root / LOG).read_text("utf-8").splitlines()]


def relog(how: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """Change the lines, in place, and make the digests anew."""

    def change(root: Path) -> None:
        lines = lines_of(root)
        how(lines)
        fabricate.chain(root / LOG, lines)

    return change


def set_in_log(number: int, key: str, value: Any) -> Change:
    """One field of one line, counted from 0."""
    return relog(lambda lines: lines[number].__setitem__(key, value))


# ------------------------------------------------------------------------------- predictions


def repredict(data: bytes) -> Change:
    """Other bytes as the predictions, which the log names by their SHA-256."""
    return several(put(PREDICTIONS, data), set_in_log(-1, "predictions_sha256", sha256_bytes(data)))


def arrays(**changes: Any) -> bytes:
    """An archive of predictions on 20 images; None leaves an array out."""
    values: dict[str, Any] = {
        "labels": (np.arange(20) % 10).astype(np.uint8),
        "logits": np.zeros((20, 10), np.float32),
        "logits_tta": np.zeros((20, 10), np.float32),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v for k, v in (values | changes).items() if v is not None})
    return buffer.getvalue()


def with_logits(member: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive whose ``logits.npy`` is ``member``."""
    buffer = io.BytesIO(arrays(logits=None))
    with zipfile.ZipFile(buffer, "a", method) as archive:
        archive.writestr("logits.npy", member)
    return buffer.getvalue()


def header_of(text: str) -> bytes:
    """The beginning of an npy file with any text as its header."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


def not_finite() -> np.ndarray:
    logits = np.zeros((20, 10), np.float32)
    logits[3, 7] = np.nan
    return logits
