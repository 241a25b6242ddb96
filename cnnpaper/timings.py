"""Measured times: the lines of ``timing.jsonl`` and ``speed.jsonl``. No torch here.

``make timing`` writes ``results/log/STUDY/timing.jsonl``, which the paper reads; ``make
bench-peer`` writes ``results/log/peer/speed.jsonl``. What was measured is written, not its summary:
medians and quartiles are computed by those who read. As in a run's log, every line carries a digest
over all lines before it. Of several lines about one network the last one counts.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from cnnpaper.files import write_atomic
from cnnpaper.records import GENESIS, LogError, Machine, encode, took_part

TIMING_NAME = "timing.jsonl"
SPEED_NAME = "speed.jsonl"
SECTIONS = ("data", "forward", "backward", "optimizer", "other")
"""Of a step, in order: cutting out, mirroring and standardising its images; the network; loss,
gradients and their clipping; the update of the weights; running sums."""

Positive = Annotated[float, Field(gt=0)]
Seconds = tuple[Annotated[float, Field(ge=0)], ...]


class Measured(BaseModel):
    """Base of the lines: what every measurement says about itself. More fields may be added."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    model: str
    measured: str
    """UTC, ISO 8601, seconds."""
    commit: str | None
    fingerprint: str
    """Short name of the fingerprint that the network's run has with this code."""
    machine: Machine
    packages: dict[str, str]
    batch_size: int
    resolution: int
    """Side of the images in pixels."""
    memory_format: str


class Timing(Measured):
    """Steps of one network alone, its real training loop at full resolution."""

    kind: Literal["timing"] = "timing"
    study: str
    warmup: int
    """Steps before the first that counts."""
    sections: dict[str, Seconds]
    """Wall-clock seconds of each of :data:`SECTIONS`, step by step."""
    cpu_s: float
    """CPU seconds that this process took for all these steps."""
    other_cpu_s: float | None
    """CPU seconds of all other processes meanwhile."""
    probe_gflops: tuple[Positive, ...]
    """Speed of a short matrix product before and after; empty on a GPU."""
    peak_memory: int
    """Most bytes that the process held, images included; on a GPU, of its memory."""

    @model_validator(mode="after")
    def _whole(self) -> Timing:
        lengths = {len(seconds) for seconds in self.sections.values()}
        if tuple(self.sections) != SECTIONS or len(lengths) > 1 or 0 in lengths:
            raise ValueError(f"sections are {', '.join(SECTIONS)}, with one time for each step")
        return self

    @property
    def step_s(self) -> Seconds:
        """Seconds of each whole step."""
        return tuple(sum(parts) for parts in zip(*self.sections.values(), strict=True))

    @property
    def shared(self) -> bool:
        """Did other processes take part of the machine meanwhile?"""
        return took_part(self.other_cpu_s, self.cpu_s)


class Speed(Measured):
    """The training loop of this package beside a plain one, in pairs, whole loops."""

    kind: Literal["speed"] = "speed"
    warmup: int
    steps: int
    """Timed, of each half of a pair."""
    macs: int
    """Multiply-accumulate operations of one image, forward."""
    ours: tuple[Positive, ...]
    """Images per second of each pair."""
    plain: tuple[Positive, ...]
    sgemm_gflops: tuple[Positive, ...]
    """Speed of a product of two 4096 x 4096 matrices before each pair, in 10^9 FLOP per second."""

    @model_validator(mode="after")
    def _whole(self) -> Speed:
        if not len(self.ours) == len(self.plain) == len(self.sgemm_gflops) >= 1:
            raise ValueError("ours, plain and sgemm_gflops need one figure for each pair")
        return self

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times as fast as the plain loop, pair by pair."""
        return tuple(ours / plain for ours, plain in zip(self.ours, self.plain, strict=True))

    @property
    def gflops(self) -> float:
        """Median arithmetic of training in 10^9 FLOP per second: three times the forward pass."""
        return 3 * 2 * self.macs * statistics.median(self.ours) / 1e9

    @property
    def share_of_sgemm(self) -> float:
        return self.gflops / statistics.median(self.sgemm_gflops)


class Profile(Measured):
    """Where the time of a training step goes, as torch.profiler saw it."""

    kind: Literal["profile"] = "profile"
    steps: int
    seconds: dict[str, Annotated[float, Field(ge=0)]]
    """By kind of operator, of all steps."""


AnyMeasured: TypeAlias = Annotated[Timing | Speed | Profile, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[AnyMeasured] = TypeAdapter(AnyMeasured)


@dataclass(frozen=True)
class Quartiles:
    """Summary of repeated measurements."""

    low: float
    median: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Lower quartile, median, upper quartile; linear between neighbours, as numpy has them."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low, median, high)


# ------------------------------------------------------------------------------------- the file


def append(path: Path, line: AnyMeasured) -> None:
    """Add one line; the file is replaced as a whole, so it never holds half of one."""
    before = path.read_bytes() if path.exists() else b""
    _, digest = _checked(before, path)
    text, _ = encode(line.model_dump(mode="json"), digest)
    write_atomic(path, before + f"{text}\n".encode())


def read(path: Path) -> dict[tuple[str, str], tuple[int, AnyMeasured]]:
    """The last line about each (kind, network), with its number from 1; empty without a file.

    Raises:
        LogError: a line was changed, cut off, or is no such line.
    """
    if not path.exists():
        return {}
    found: dict[tuple[str, str], tuple[int, AnyMeasured]] = {}
    for number, fields in enumerate(_checked(path.read_bytes(), path)[0], start=1):
        try:
            line = _ADAPTER.validate_json(json.dumps(fields))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"][1:])
            raise LogError(f"{path}:{number}: {key}: {first['msg']}") from None
        found[line.kind, line.model] = (number, line)
    return found


def _checked(data: bytes, path: Path) -> tuple[list[dict[str, Any]], str]:
    """The fields of every line, and the digest of the last one.

    Raises:
        LogError: a line is not what was written.
    """
    lines, digest = [], GENESIS
    for number, raw in enumerate(data.splitlines(keepends=True), start=1):
        fields = _fields(raw)
        expected, digest = encode(fields, digest)
        if raw != f"{expected}\n".encode():
            raise LogError(
                f"{path}:{number}: not as it was written, or lines before it were removed\n"
                "restore the file from version control, or remove it and measure again"
            )
        lines.append(fields)
    return lines, digest


def _fields(raw: bytes) -> dict[str, Any]:
    """The fields of a line without its digest; none where it is no JSON object."""
    try:
        values = json.loads(raw, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return {}
    return {k: v for k, v in values.items() if k != "digest"} if isinstance(values, dict) else {}
