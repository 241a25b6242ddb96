"""Logs as TensorBoard's event files, which W&B, Aim, SwanLab and trackio import too.

A reader of logs, finished or growing; never a part of the training loop. The format: records of
length, masked CRC-32C of the length, data, masked CRC-32C of the data (TFRecord), each a protocol
buffer ``Event`` (tensorflow/core/util/event.proto), of which four fields are needed.
"""

from __future__ import annotations

import datetime
import itertools
import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cnnpaper import log
from cnnpaper.advice import advice
from cnnpaper.files import UserError, write_atomic

Say = Callable[[str], None]
EVENTS_NAME = "events.out.tfevents.0.cnnpaper"
Scalars = tuple[float, int, tuple[tuple[str, float], ...]]
"""Time (seconds since 1970), steps done, (tag, value)s."""


def _table() -> list[int]:
    values = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        values.append(byte)
    return values


_CRC = _table()


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _bytes_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def record(data: bytes) -> bytes:
    """One TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def event(scalars: Scalars) -> bytes:
    """One ``Event`` with a summary of simple values."""
    wall_s, step, values = scalars
    summary = b"".join(
        _bytes_field(1, _bytes_field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
        for tag, value in values
    )
    return b"\x09" + struct.pack("<d", wall_s) + b"\x10" + _varint(step) + _bytes_field(5, summary)


def event_file(scalars: list[Scalars], started_s: float) -> bytes:
    """A whole event file."""
    head = b"\x09" + struct.pack("<d", started_s) + _bytes_field(3, b"brain.Event:2")
    return b"".join(record(data) for data in (head, *map(event, scalars)))


def scalars_of(path: Path) -> tuple[list[Scalars], float]:
    """What a log, which may be growing, holds so far; a last line that is cut off waits.

    Returns:
        the scalars, and the time at which the run was started.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    found: list[Scalars] = []
    now = started = 0.0
    steps = 0
    for number, raw in enumerate(lines, start=1):
        try:
            kind = json.loads(raw)["kind"]
            if kind == "header" and (text := log.Header.model_validate_json(raw).started):
                now = started = datetime.datetime.fromisoformat(text).timestamp()
            elif kind == "epoch":
                epoch = log.Epoch.model_validate_json(raw)
                steps += epoch.steps or 0
                now += (epoch.train_s or 0.0) + (epoch.eval_s or 0.0)
                found.append((now, steps, tuple(_epoch(epoch))))
            elif kind == "result":
                result = log.Result.model_validate_json(raw)
                names = (("loss/test", "test_loss"), ("accuracy/test", "test_acc"))
                found.append((now, steps, tuple(_values(result, names))))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}:{number}: not a line of a log") from None
    return [one for one in found if one[2]], started


def _epoch(epoch: log.Epoch) -> Iterator[tuple[str, float]]:
    names = (
        *(("loss/train", "train_loss"), ("loss/validation", "val_loss")),
        *(("accuracy/train", "train_acc"), ("accuracy/validation", "val_acc")),
        *(("learning_rate", "learning_rate"), ("seconds/train", "train_s")),
    )
    yield from _values(epoch, names)


def _values(line: log.Line, names: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, float]]:
    for tag, name in names:
        value = line.exact(name)
        if value is not None:
            yield tag, value


def export(root: Path, study: str, out: Path | None, follow: float | None, say: Say) -> None:
    """Write the event files of every run of a study, and with ``follow`` keep them up to date.

    Args:
        root: of the repository.
        study: whose logs.
        out: folder; without it ``build/tensorboard``.
        follow: seconds between two looks at the logs; None looks once.
        say: print a line.

    Raises:
        UserError: the study has no log.
    """
    logs = root / "results" / "log"
    out = out or root / "build" / "tensorboard"
    written: dict[Path, list[Scalars]] = {}
    for turn in itertools.count():
        paths = sorted((logs / study).glob(f"**/{log.LOG_NAME}"))
        if not paths and follow is None:
            raise UserError(
                f"study {study!r} has no log\ntrain: {advice('experiments', STUDY=study)}"
            )
        for path in paths:
            _update(path, out / path.parent.relative_to(logs) / EVENTS_NAME, written)
        if turn == 0:
            say(f"{len(paths)} runs; look at them with: tensorboard --logdir {out}")
        if follow is None:
            return
        time.sleep(follow)


def _update(path: Path, target: Path, written: dict[Path, list[Scalars]]) -> None:
    """Append what is new; a log that was started over or cut back is written from scratch."""
    scalars, started = scalars_of(path)
    old = written.get(path)
    if old is not None and scalars[: len(old)] == old and target.exists():
        if scalars[len(old) :]:
            with target.open("ab") as file:  # a reader of growing files keeps its place
                file.write(b"".join(record(event(one)) for one in scalars[len(old) :]))
    else:
        write_atomic(target, event_file(scalars, started))
    written[path] = scalars
