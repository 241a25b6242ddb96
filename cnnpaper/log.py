"""The log of a run: the only bridge between training and paper.

``results/log/STUDY[/ARM]/RUN/`` holds ``run.jsonl``, one JSON object a line in the order header,
miniature, steps, epochs, reading of the test images, result; ``predictions.npz``; and ``train.log``
for people, in the form of the 2023 program. Floats are written so that reading gives the same bits.
A metric is never repaired: one that is not finite is null, with its name and kind in ``nonfinite``.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cnnpaper.advice import advice
from cnnpaper.config import RunSpec
from cnnpaper.files import UserError, append_line, naming

SCHEMA: Final = 2
LOG_NAME = "run.jsonl"
PREDICTIONS_NAME = "predictions.npz"
TEXT_NAME = "train.log"
WEIGHTS_NAME = "weights.safetensors"
CONTENDED = 0.05
"""Of a measurement's CPU seconds: when others took more than that, the machine was shared."""


class LogError(UserError):
    """An invalid log; the message names file, line and remedy."""


class Part(BaseModel):
    """Base of everything in a log. Unknown fields are kept; known ones are validated strictly."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class Line(Part):
    """Base of the lines."""

    nonfinite: dict[str, Literal["nan", "inf", "-inf"]] = Field(default_factory=dict)
    """Fields that were not finite numbers; their value is null."""

    def exact(self, name: str) -> float | None:
        """Field ``name`` as the float that it was, infinities and NaN included."""
        if name in self.nonfinite:
            return float(self.nonfinite[name])
        value = getattr(self, name)
        return None if value is None else float(value)


class Layer(Part):
    """One convolution, linear, batch norm or pooling layer."""

    name: str  # path in the module tree: `layer1.0.conv1`
    type: str  # class of the module: `Conv2d`
    out: tuple[int, ...]
    """Shape of the output for one image, without the batch: (C, H, W) or (features,)."""
    parameters: int
    macs: int  # multiply-accumulate operations for one image
    kernel: int | None = None  # side of the kernel in pixels (the larger one where they differ)
    stride: int | None = None
    groups: int | None = None
    channels_in: int | None = None


class Network(Part):
    """What the network is, measured from the module that was trained."""

    parameters: int | None
    macs: int | None
    layers: tuple[Layer, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    """(from, to): data flows between nodes of the traced graph, which are layers by their name
    and joins (``add``, ``cat``) with their number; ``input`` and ``output`` are the ends."""


class Fingerprint(Part):
    """What the run depends on; see :mod:`cnnpaper.fingerprint`."""

    code: dict[str, dict[str, str]]  # file below `cnnpaper` → top-level name → digest of its syntax
    config: dict[str, Any]
    data: str | None  # digest of the images
    packages: dict[str, str]  # locked versions of torch and torchvision


class Data(Part):
    """The data as the loader named them after looking at the pixels."""

    name: str | None
    digest: str | None
    address: str | None = None


class Machine(Part):
    """Hardware, without anything that identifies a person or a host."""

    cpu: str | None = None
    processor: str | None = None  # vendor, family and model: `AuthenticAMD 25-17`
    isa: str | None = None  # instruction set that torch's kernels use: `AVX2`, `AVX512`
    native_bfloat16: bool | None = None
    threads: int | None = None
    memory: int | None = None  # bytes
    gpu: str | None = None


class Header(Line):
    kind: Literal["header"] = "header"
    schema_: Literal[2] = Field(alias="schema")
    origin: Literal["trained", "imported"]
    study: str
    arm: str | None = None
    model: str
    variant: str | None = None
    seed: int | None
    spec: dict[str, Any] | None  # the `config.RunSpec`, as JSON
    fingerprint: Fingerprint | None
    data: Data
    machine: Machine
    precision: str | None = None
    packages: dict[str, str]
    commit: str | None  # of the repository; with `+` where files differed from it
    started: str | None  # UTC, ISO 8601, seconds
    network: Network


class Miniature(Line):
    """The run's whole pipeline in small, executed before its first step."""

    kind: Literal["miniature"] = "miniature"
    metrics: dict[str, Any]
    state_digest: str  # over weights and momentum after the last step
    images_sha256: str  # of all images and labels, in order: training, validation, test
    schedule_sha256: str
    """Of the full run: learning rate of every step, order and augmentation of every epoch."""


class Step(Line):
    """One of the first steps at full size, for ``make verify``."""

    kind: Literal["step"] = "step"
    step: int  # from 0
    loss: float | None
    state_digest: str | None = None


class Epoch(Line):
    kind: Literal["epoch"] = "epoch"
    epoch: int = Field(ge=0)  # from 0
    steps: int | None = Field(ge=1)
    train_loss: float | None
    """Mean cross-entropy in nats, without smoothing, over the epoch's augmented images."""
    train_acc: float | None
    val_loss: float | None
    val_acc: float | None
    learning_rate: float | None  # at the epoch's last step
    train_s: float | None  # wall-clock seconds of training alone, suspension left out
    train_cpu_s: float | None  # CPU seconds of this process meanwhile, all threads
    other_cpu_s: float | None  # CPU seconds that other processes took meanwhile
    eval_s: float | None
    suspended_s: float | None  # seconds in which the process or the machine was stopped
    contended: bool | None
    """Whether other processes took more than :data:`CONTENDED` of its CPU seconds."""


class Reading(Line):
    """The test images are about to be read."""

    kind: Literal["reading"] = "reading"
    at: str  # UTC, ISO 8601, seconds
    images: int


class Result(Line):
    kind: Literal["result"] = "result"
    status: Literal["finished", "diverged", "cut off"]
    val_loss: float | None  # of the last step's weights, as the test metrics are
    val_acc: float | None
    test_loss: float | None
    test_acc: float | None
    train_s: float | None
    total_s: float | None  # wall-clock seconds of training and evaluation
    peak_memory: int | None  # bytes; on a GPU, of its memory
    predictions_sha256: str | None
    weights_sha256: str | None  # of the files `predictions.npz` and `weights.safetensors`


AnyLine: TypeAlias = Annotated[
    Header | Miniature | Step | Epoch | Reading | Result, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)
ORDER = ("header", "miniature", "step", "epoch", "reading", "result")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A log that was read: validated and in order."""

    path: Path  # of `run.jsonl`
    header: Header
    miniature: Miniature | None = None
    steps: tuple[Step, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    readings: tuple[Reading, ...] = ()
    result: Result | None = None
    line_numbers: dict[str, int] = field(default_factory=dict)
    """Line (from 1) of ``header``, ``miniature``, ``epoch 0``, …, ``reading``, ``result``."""

    @property
    def name(self) -> str:
        """``resnet18-s0``."""
        return self.path.parent.name

    @property
    def spec(self) -> RunSpec | None:
        """What was trained; None for an imported run."""
        values = self.header.spec
        return None if values is None else RunSpec.model_validate_json(json.dumps(values))


# ------------------------------------------------------------------------------------- writing


def encode(line: Line) -> str:
    """One line of a log, without the newline."""
    fields = {"kind": None, **line.model_dump(mode="json", by_alias=True)}
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def finite(**values: float | None) -> dict[str, Any]:
    """Fields of a line: numbers that are not finite become null, with their kind noted."""
    kinds = {
        name: "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        for name, value in values.items()
        if value is not None and not math.isfinite(value)
    }
    kept = {name: None if name in kinds else value for name, value in values.items()}
    return {**kept, "nonfinite": kinds}


def append(path: Path, line: Line) -> None:
    """Add one line to a log; the disk has it before the call returns.

    The caller holds the run's lock.

    Raises:
        OSError: the disk is full, or the log is no longer there; it names the log.
    """
    if not isinstance(line, Header) and not path.exists():
        # a new file would lack the first lines
        raise FileNotFoundError(2, "the log was removed while it was written", str(path))
    append_line(path, encode(line))


def whole_lines(path: Path) -> int:
    """How many complete lines the file has."""
    return path.read_bytes().count(b"\n")


def cut_to(path: Path, lines: int) -> int:
    """Keep the first ``lines`` whole lines of a log, drop the rest, and return the bytes dropped.

    For the trainer alone, which holds the run's lock: a kill may leave half a line, or lines later
    than the checkpoint that training resumes from.
    """
    data = path.read_bytes()
    kept = b"".join(part + b"\n" for part in data.split(b"\n")[:-1][:lines])
    if len(kept) < len(data):
        with naming(path), path.open("r+b") as file:
            file.truncate(len(kept))
            file.flush()
            os.fsync(file.fileno())
    return len(data) - len(kept)


# ------------------------------------------------------------------------------------- reading


def again(run: Header | RunSpec, **more: object) -> str:
    """The command that trains this run, or what is left of it."""
    return advice(
        run.model, STUDY=run.study, ARM=run.arm, SEEDS=run.seed, VARIANT=run.variant, **more
    )


_PLACE = re.compile(
    r"results/log/(?P<STUDY>[^/]+)/(?:(?P<ARM>[^/]+)/)?"
    r"(?P<model>[a-z0-9_]+)(?:-(?P<VARIANT>[^/]+))?-s(?P<SEEDS>[0-9]+)/[^/]+$"
)


def again_at(path: Path, **more: object) -> str:
    """The command that trains the run one of whose files lies at ``path``."""
    found = _PLACE.search(path.absolute().as_posix())
    if found is None:
        return advice("status", **more)  # which names what is missing, with its command
    run = found.groupdict()
    keys = ("STUDY", "ARM", "SEEDS", "VARIANT")
    return advice(run["model"], **{key: run[key] for key in keys}, **more)


def damaged(path: Path, text: str) -> LogError:
    """``text`` about a file of a run, and how to get that right again."""
    over = again_at(path, FORCE=1)
    return LogError(
        f"{text}\nrestore the file from version control, or train the run from scratch: {over}"
    )


def read_run(path: Path) -> Run:
    """Read and validate a log.

    Raises:
        LogError: no such file, not a log, or lines that cannot be; it names file and line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise LogError(f"{path}: cannot be read ({error.strerror})") from None
    if lines.pop():
        text = f"{path}:{len(lines) + 1}: the last line is cut off"
        if not any(path.parent.glob("checkpoint-*.pt")):  # there is nothing to resume from
            raise damaged(path, text)
        raise LogError(f"{text}\ndrop it and resume: {again_at(path)}")
    if not lines:
        raise LogError(f"{path}: empty\ntrain the run: {again_at(path)}")
    parts: dict[str, list[Any]] = {kind: [] for kind in ORDER}
    numbers: dict[str, int] = {}
    last = 0
    for number, raw in enumerate(lines, start=1):
        line = _parsed(raw, path, number)
        kind, rank = line.kind, ORDER.index(line.kind)
        twice = kind in ("header", "miniature", "result") and parts[kind]
        if rank < last or (number == 1) != (kind == "header") or twice:
            raise damaged(path, f"{path}:{number}: a {kind} line where none can be")
        if isinstance(line, Epoch) and line.epoch != len(parts[kind]):
            expected = len(parts[kind])
            raise damaged(path, f"{path}:{number}: epoch {line.epoch}, expected {expected}")
        last = rank
        numbers.setdefault(f"epoch {line.epoch}" if isinstance(line, Epoch) else kind, number)
        parts[kind].append(line)
    return Run(
        path=path,
        header=parts["header"][0],
        miniature=next(iter(parts["miniature"]), None),
        steps=tuple(parts["step"]),
        epochs=tuple(parts["epoch"]),
        readings=tuple(parts["reading"]),
        result=next(iter(parts["result"]), None),
        line_numbers=numbers,
    )


def _parsed(raw: bytes, path: Path, number: int) -> AnyLine:
    try:
        return _ADAPTER.validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"][1:]))
        value = "" if first["type"] == "missing" else f" = {str(first['input'])[:60]}"
        what = f"{key}{value}: " if key else ""
        raise damaged(path, f"{path}:{number}: {what}{first['msg']}") from None


# --------------------------------------------------------------------------------- predictions

_MOST_BYTES = 2_000_000  # unpacked: the logits of 15,000 images take 600 kB


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a trained network predicts.

    Attributes:
        val_labels, test_labels: true classes, (N,) uint8; no test image where the study reads none.
        val_logits, test_logits: (N, 10) float32.
    """

    val_labels: npt.NDArray[np.uint8]
    val_logits: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.uint8]
    test_logits: npt.NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """The file ``predictions.npz``; the same arrays give the same bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self))
        return buffer.getvalue()


def read_predictions(path: Path) -> Predictions:
    """Read ``predictions.npz`` strictly; nothing in it can execute.

    Raises:
        LogError: the file is missing, no npz, or an array is absent, of another shape or type, has
            a label above 9 or a logit that is not finite.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            # before anything is unpacked
            if (size := sum(part.file_size for part in archive.zip.infolist())) > _MOST_BYTES:
                raise ValueError(f"{size} bytes, more than the images need")
            arrays = {one.name: archive[one.name] for one in fields(Predictions)}
        for part in ("val", "test"):
            _check(arrays[f"{part}_labels"], arrays[f"{part}_logits"], part)
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        reason = str(error).partition("\n")[0][:160] or type(error).__name__
        if isinstance(error, OSError):
            raise damaged(path, f"{path}: cannot be read ({error.strerror or reason})") from None
        raise damaged(path, f"{path}: not the predictions of a run: {reason}") from None
    return Predictions(**arrays)


def _check(labels: npt.NDArray[Any], logits: npt.NDArray[Any], part: str) -> None:
    """Refuse arrays that no run writes, by ValueError."""
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(f"{part}_labels is {str(labels.dtype)[:40]} of shape {labels.shape}")
    if logits.dtype != np.float32 or logits.shape != (len(labels), 10):
        raise ValueError(f"{part}_logits is {str(logits.dtype)[:40]} of shape {logits.shape}")
    if len(labels) and labels.max() > 9:
        raise ValueError(f"{part}_labels holds {labels.max()}; classes are 0 to 9")
    if not np.isfinite(logits).all():
        raise ValueError(f"{part}_logits holds a value that is not finite")


# ----------------------------------------------------------------------------------- train.log

START = "############학습 시작############"
END = "############학습 끝############"


def text_log(run: Run) -> str:
    """A run, which may be unfinished, in the form of the 2023 program's logs.

    Losses and accuracies have four decimals, the best validation accuracy has six. Epochs are
    counted from 0: ``Epoch 0/24``.
    """
    spec = run.spec
    last = (spec.epochs if spec else len(run.epochs)) - 1
    lines = [START]
    for epoch in run.epochs:
        lines += [f"Epoch {epoch.epoch}/{last}", "----------"]
        for phase in ("train", "val"):
            loss, acc = epoch.exact(f"{phase}_loss"), epoch.exact(f"{phase}_acc")
            lines.append(f"{phase} Loss: {_decimals(loss)} Acc: {_decimals(acc)}")
    if run.result is not None:
        lines += [END, *_summary(run, run.result)]
    return "\n".join(lines) + "\n"


def _summary(run: Run, result: Result) -> list[str]:
    """The lines after the end of training; only what is known."""
    lines = []
    if result.total_s is not None:
        word = "complete" if result.status == "finished" else "diverged"
        minutes, seconds = divmod(round(result.total_s), 60)
        lines.append(f"Training {word} in {minutes}m {seconds}s")
    if accuracies := [epoch.val_acc for epoch in run.epochs if epoch.val_acc is not None]:
        lines.append(f"Best val Acc: {max(accuracies):.6f}")
    if result.test_acc is not None:
        loss = _decimals(result.exact("test_loss"))
        lines.append(f"test Loss: {loss} Acc: {result.test_acc:.4f}")
    return lines


def _decimals(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
