"""The lines of a run's log: the only bridge between training and paper.

A log is ``results/log/STUDY/RUN/run.jsonl``: one JSON object a line, in the order header,
miniature, steps, epochs, result. Every line carries ``digest``, the SHA-256 over the digest of the
line before it (64 zeros before the first) and the text of this line without its digest, so an edit
anywhere shows. Floats are written so that reading gives the same bits. A metric is never repaired:
one that is not finite is written as null, with its name and kind in ``nonfinite``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cnnpaper.errors import UserError
from cnnpaper.files import fsync_folder, naming

SCHEMA = 1
LOG_NAME = "run.jsonl"
PREDICTIONS_NAME = "predictions.npz"
GENESIS = "0" * 64
"""The digest before the first line."""
SHARED_PROBE = 0.95
"""An epoch whose probe falls under this share of its run's best is marked as shared."""
SHARED_CPU = 0.05
"""So is one in which others took more than this share of the CPU seconds that the run took."""


class LogError(UserError):
    """A log that cannot be believed; the message names file, line and remedy."""


class Line(BaseModel):
    """Base of the lines. More fields than these may be added; known ones are validated strictly."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    nonfinite: dict[str, Literal["nan", "inf", "-inf"]] = Field(default_factory=dict)
    """Fields that were not finite numbers; their value is null."""

    def exact(self, name: str) -> float | None:
        """Field ``name`` as the float that it was, infinities and NaN included."""
        if name in self.nonfinite:
            return float(self.nonfinite[name])
        value = getattr(self, name)
        return None if value is None else float(value)


class Layer(BaseModel):
    """One convolution or linear layer (or another layer with weights, or a pooling layer)."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str
    """Path in the module tree: ``layer1.0.conv1``."""
    type: str
    """Class of the module: ``Conv2d``."""
    out: tuple[int, ...]
    """Shape of the output for one image, without the batch: (C, H, W) or (features,)."""
    parameters: int
    macs: int
    """Multiply-accumulate operations for one image."""
    kernel: int | None = None
    """Side of the kernel in pixels (the larger one where they differ)."""
    stride: int | None = None
    groups: int | None = None
    channels_in: int | None = None


class Network(BaseModel):
    """What the network is, measured from the module that was trained."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    parameters: int | None
    macs: int | None
    layers: tuple[Layer, ...] = ()


class Fingerprint(BaseModel):
    """What the run depends on; see :mod:`cnnpaper.fingerprint`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    version: int
    code: dict[str, str]
    """``module:Qualified.name`` → digest of its normalised syntax tree."""
    config: dict[str, Any]
    data: str | None
    packages: dict[str, str]


class Data(BaseModel):
    """The data as the loader named them after looking at the pixels."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str | None
    digest: str | None


class Machine(BaseModel):
    """Hardware, without anything that identifies a person or a host."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    cpu: str | None = None
    cpu_family: int | None = None
    cpu_model: int | None = None
    cpu_stepping: int | None = None
    isa: str | None = None
    """Instruction set that torch's kernels use: ``AVX2``, ``AVX512``."""
    isa_cap: str | None = None
    threads: int | None = None
    memory: int | None = None
    """Bytes."""
    gpu: str | None = None


class Header(Line):
    kind: Literal["header"] = "header"
    schema_: int = Field(alias="schema")
    origin: Literal["trained", "imported"]
    study: str
    model: str
    variant: str | None = None
    """Tells apart runs of one network and seed: ``pretrained``, a trial of an ablation."""
    seed: int | None
    spec: dict[str, Any] | None
    """The :class:`~cnnpaper.config.RunSpec`, as JSON."""
    fingerprint: Fingerprint | None
    data: Data
    machine: Machine
    packages: dict[str, str]
    commit: str | None
    started: str | None
    """UTC, ISO 8601, seconds."""
    network: Network


class Miniature(Line):
    kind: Literal["miniature"] = "miniature"
    metrics: dict[str, Any]
    state_digest: str
    functions: tuple[str, ...]
    """``module:Qualified.name`` of every function of ours that was entered."""
    unexecuted: dict[str, tuple[str, ...]] | None = None
    """Function that was entered → digests of its parts that were not executed (see
    :mod:`cnnpaper.codeparts`); functions without such parts are absent."""
    images_sha256: str | None = None
    """Of all images and labels, in order: training, validation, test."""
    schedule_sha256: str | None = None
    """Of the run at full size: learning rate of every step, resolution, order and augmentation of
    every epoch."""


class Step(Line):
    kind: Literal["step"] = "step"
    epoch: int
    step: int
    """Counted from the beginning of the epoch."""
    loss: float | None
    state_digest: str | None = None


class Epoch(Line):
    kind: Literal["epoch"] = "epoch"
    epoch: int = Field(ge=0)
    """From 0."""
    train_loss: float | None
    """Mean cross-entropy, without smoothing, over the epoch's augmented images, as learnt."""
    train_acc: float | None
    val_loss: float | None
    val_acc: float | None
    weights: Literal["raw", "ema"] | None
    """Which weights were evaluated."""
    resolution: int | None
    """Side of the training images in pixels."""
    train_s: float | None
    """Wall-clock seconds of training alone."""
    train_cpu_s: float | None
    """CPU seconds of this process meanwhile, all threads."""
    eval_s: float | None
    other_cpu_s: float | None
    """CPU seconds that other processes took meanwhile."""
    learning_rate: float | None
    """At the epoch's last step."""
    probe_gflops: float | None = None
    """Speed of a short matrix product just before the epoch; low where the machine was shared."""


class Result(Line):
    kind: Literal["result"] = "result"
    status: Literal["finished", "diverged", "cut off"]
    best_epoch: int | None
    best_val_acc: float | None
    test_acc: float | None
    test_loss: float | None
    test_acc_tta: float | None
    """With flip averaging: mean of the logits of an image and its mirror image."""
    total_s: float | None
    """Wall-clock seconds of training and evaluation in all."""
    predictions_sha256: str | None
    """Of the file ``predictions.npz``."""


AnyLine: TypeAlias = Annotated[
    Header | Miniature | Step | Epoch | Result, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)
KINDS = ("header", "miniature", "step", "epoch", "result")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A log that was read: validated, in order, its digests right."""

    path: Path
    """Of the log."""
    header: Header
    miniature: Miniature | None = None
    steps: tuple[Step, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    result: Result | None = None
    line_numbers: dict[str, int] = field(default_factory=dict)
    """Line (from 1) of ``header``, ``miniature``, ``epoch 0``, …, ``result``."""
    digest: str = GENESIS
    """Of the last line, and so of all."""
    digests: tuple[str, ...] = ()
    """After each line."""

    @property
    def name(self) -> str:
        return self.path.parent.name


# ------------------------------------------------------------------------------------- writing


def encode(fields: dict[str, Any], previous: str) -> tuple[str, str]:
    """One line of a log, without the newline, and its digest.

    Args:
        fields: the line's fields, ``kind`` among them; numbers are finite (see :func:`finite`).
        previous: digest of the line before.
    """
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    digest = _line_digest(previous, text)
    return f'{text[:-1]},"digest":"{digest}"}}', digest


def _line_digest(previous: str, text: str) -> str:
    return hashlib.sha256((previous + text).encode()).hexdigest()


def fields_of(line: Line) -> dict[str, Any]:
    """The fields of ``line`` as they are written."""
    return line.model_dump(mode="json", by_alias=True, exclude_defaults=False)


class LogWriter:
    """Appends lines to one log, each flushed to the disk before the call returns.

    The caller holds the run's lock. Opening an existing log goes on after its last line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = GENESIS
        """Of the last line."""
        self.lines = 0
        """Lines that the log holds."""
        if path.exists():
            raw = _raw_lines(path)
            for number, line in enumerate(raw, start=1):
                self.digest = _checked(line, self.digest, path, number)[1]
            self.lines = len(raw)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, line: Line) -> None:
        """Write one line and wait until the disk has it.

        Raises:
            OSError: the disk is full, or the log is no longer there; it names the log.
        """
        text, digest = encode({"kind": None, **fields_of(line)}, self.digest)
        # "r+b" does not make a log anew that was removed meanwhile: it would lack its first lines
        with naming(self.path), self.path.open("r+b" if self.lines else "ab") as file:
            file.seek(0, os.SEEK_END)
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            if not self.lines:
                fsync_folder(self.path.parent)
        self.digest = digest
        self.lines += 1


def cut_to(path: Path, lines: int) -> int:
    """Keep the first ``lines`` whole lines of a log, drop the rest, and return the bytes dropped.

    For the trainer alone, which holds the run's lock: a kill may leave half a line, or lines later
    than the checkpoint that training goes on from.
    """
    data = path.read_bytes()
    end = 0
    for _ in range(lines):
        position = data.find(b"\n", end)
        if position < 0:
            break
        end = position + 1
    if end < len(data):
        with path.open("r+b") as file:
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())
    return len(data) - end


def digest_after(path: Path, lines: int) -> str:
    """The digest after the first ``lines`` lines of a log, each of them checked."""
    digest = GENESIS
    for number, raw in enumerate(_raw_lines(path)[:lines], start=1):
        digest = _checked(raw, digest, path, number)[1]
    return digest


def finite(**values: float | None) -> dict[str, Any]:
    """Fields of a line: numbers that are not finite become null, with their kind kept beside."""
    kinds = {
        name: "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        for name, value in values.items()
        if value is not None and not math.isfinite(value)
    }
    kept = {name: None if name in kinds else value for name, value in values.items()}
    return {**kept, "nonfinite": kinds}


def is_shared(epoch: Epoch, run: Run) -> bool:
    """Did other processes slow this epoch down?"""
    probes = [other.probe_gflops for other in run.epochs if other.probe_gflops is not None]
    slow = epoch.probe_gflops is not None and epoch.probe_gflops < SHARED_PROBE * max(probes)
    return slow or took_part(epoch.other_cpu_s, epoch.train_cpu_s)


def took_part(other_cpu_s: float | None, cpu_s: float | None) -> bool:
    """Did other processes take more of the CPU than what is measured can be measured beside?"""
    return bool(cpu_s and (other_cpu_s or 0.0) > SHARED_CPU * cpu_s)


def whole_lines(path: Path) -> int:
    """How many complete lines the file has."""
    return path.read_bytes().count(b"\n")


# ------------------------------------------------------------------------------------- reading


def _raw_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise LogError(f"{path}: empty; remove it, and the run's make target trains it anew")
    if not data.endswith(b"\n"):
        last = data.count(b"\n") + 1
        raise LogError(
            f"{path}:{last}: the last line is cut off; the run's make target drops it and goes on"
        )
    try:
        return data.decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise LogError(f"{path}:{number}: not UTF-8; the file is damaged") from None


def _checked(raw: str, previous: str, path: Path, number: int) -> tuple[AnyLine, str]:
    """One validated line and its digest."""
    where = f"{path}:{number}"
    head, found, tail = raw.rpartition(',"digest":"')
    if not found or not tail.endswith('"}'):
        raise LogError(f"{where}: not a line of a log (no digest at its end)")
    text = head + "}"
    digest = _line_digest(previous, text)
    if tail[:-2] != digest:
        raise LogError(
            f"{where}: this line was changed after it was written, or lines before it were "
            "removed or swapped\nrestore the file from version control, or run the experiment again"
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LogError(f"{where}: not JSON ({error})") from None
    if not isinstance(values, dict) or values.get("kind") not in KINDS:
        kind = values.get("kind") if isinstance(values, dict) else values
        raise LogError(f"{where}: kind = {kind!r}; known kinds: {', '.join(KINDS)}")
    if values["kind"] == "header" and values.get("schema") != SCHEMA:
        raise LogError(
            f"{where}: schema = {values.get('schema')!r}, this version of cnnpaper reads {SCHEMA}; "
            "use the version that wrote the log"
        )
    try:
        return _ADAPTER.validate_json(text), digest
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][1:])
        raise LogError(f"{where}: {key} = {str(first['input'])[:60]}: {first['msg']}") from None


def read_run(path: Path) -> Run:
    """Read one log, strictly; a run without a result is returned as it is.

    Raises:
        LogError: the file is missing, empty, cut, damaged, changed, of another schema or out of
            order; the message names file, line and remedy.
    """
    parts: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    numbers: dict[str, int] = {}
    digest, digests = GENESIS, []
    stage = 0
    for number, raw in enumerate(_raw_lines(path), start=1):
        line, digest = _checked(raw, digest, path, number)
        digests.append(digest)
        position = KINDS.index(line.kind)
        seen = parts[line.kind]
        if position < stage or (number == 1) != (position == 0):
            raise LogError(f"{path}:{number}: the {line.kind} line does not belong here")
        if seen and line.kind not in ("step", "epoch"):
            raise LogError(f"{path}:{number}: a second {line.kind} line")
        if isinstance(line, Epoch) and line.epoch != len(seen):
            raise LogError(
                f"{path}:{number}: epoch {line.epoch} where epoch {len(seen)} is expected"
            )
        numbers[f"{line.kind} {len(seen)}" if line.kind in ("step", "epoch") else line.kind] = (
            number
        )
        stage = position
        seen.append(line)
    return Run(
        path=path,
        header=parts["header"][0],
        miniature=parts["miniature"][0] if parts["miniature"] else None,
        steps=tuple(parts["step"]),
        epochs=tuple(parts["epoch"]),
        result=parts["result"][0] if parts["result"] else None,
        line_numbers=numbers,
        digest=digest,
        digests=tuple(digests),
    )
