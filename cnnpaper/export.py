"""Logs as TensorBoard's event files, which W&B, Aim, SwanLab and trackio import too.

A reader of logs, finished or growing; never a part of the training loop. The format: TFRecords,
each a protocol buffer ``Event`` (tensorflow/core/util/event.proto) of which we need four fields.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable
from pathlib import Path

from cnnpaper import log
from cnnpaper.advice import advice
from cnnpaper.config import visible
from cnnpaper.files import UserError, write_atomic

EVENTS_NAME = "events.out.tfevents.0.cnnpaper"
TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_acc": "accuracy/train",
    "val_acc": "accuracy/validation",
    "learning_rate": "learning_rate",
    "train_s": "seconds/train",
}
TEST_TAGS = {"test_loss": "loss/test", "test_acc": "accuracy/test"}


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli); bit by bit, since events have a hundred bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """A TFRecord: length, its CRC, data, its CRC; the CRCs are masked as in LevelDB."""
    out = b""
    for part in (struct.pack("<Q", len(data)), data):
        crc = crc32c(part)
        out += part + struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
    return out


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def event(wall_s: float, step: int, line: log.Line, tags: dict[str, str]) -> bytes:
    """The values of one line of a log: time (since 1970), steps done, a summary of scalars."""
    summary = b"".join(
        _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
        for name, tag in tags.items()
        if (value := line.exact(name)) is not None
    )
    return b"\x09" + struct.pack("<d", wall_s) + b"\x10" + _varint(step) + _field(5, summary)


def events(run: log.Run) -> bytes:
    """An event file of what the log holds so far; a log that grows only appends to it."""
    started = run.header.started
    now = datetime.datetime.fromisoformat(started).timestamp() if started else 0.0
    found = [b"\x09" + struct.pack("<d", now) + _field(3, b"brain.Event:2")]
    steps = 0
    for epoch in run.epochs:
        steps += epoch.steps or 0
        now += (epoch.train_s or 0.0) + (epoch.eval_s or 0.0)
        found.append(event(now, steps, epoch, TAGS))
    if run.result is not None:
        found.append(event(now, steps, run.result, TEST_TAGS))
    return b"".join(map(record, found))


def export(root: Path, study: str, out: Path | None, say: Callable[[str], None]) -> None:
    """Write the event files of every run of a study, or bring them up to date.

    Args:
        out: folder; without it ``build/tensorboard``.

    Raises:
        UserError: the study has no log.
    """
    logs = root / "results" / "log"
    out = out or root / "build" / "tensorboard"
    paths = visible(logs / study, f"**/{log.LOG_NAME}")
    if not paths:
        raise UserError(f"study {study!r} has no log\ntrain: {advice('experiments', STUDY=study)}")
    for path in paths:
        update(path, out / path.parent.relative_to(logs) / EVENTS_NAME)
    say(f"{len(paths)} runs; look at them with: tensorboard --logdir {out}")


def update(path: Path, target: Path) -> None:
    """Append what is new; of a log that was started over or cut back, write all."""
    if not path.read_bytes().endswith(b"\n"):
        return  # its last line is being written
    new = events(log.read_run(path))
    old = target.read_bytes() if target.exists() else b""
    if not old or not new.startswith(old):
        write_atomic(target, new)
    elif len(new) > len(old):
        with target.open("ab") as file:  # a reader of growing files keeps its place
            file.write(new[len(old) :])
