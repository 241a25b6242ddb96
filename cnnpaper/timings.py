"""Measured times: the lines of ``results/log/STUDY/timing.jsonl``. No torch here.

``make timing`` measures in sessions of twelve rounds and writes a line for each network. What was
measured is written, not its summary: medians and intervals are computed by those who read.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from cnnpaper.config import RunSpec, visible
from cnnpaper.log import CONTENDED, LogError, Machine, Part

TIMING_NAME = "timing.jsonl"
SECTIONS = ("data", "forward", "backward", "optimizer", "other")
"""Of a step, in order: cropping, mirroring and standardising its images; the network; loss,
gradients and their clipping; the update of the weights; running sums."""

Seconds = tuple[Annotated[float, Field(gt=0)], ...]


class Timing(Part):
    """Steps of one network in one session, its real training loop."""

    kind: Literal["timing"] = "timing"
    study: str
    session: int
    """From 1; its networks were measured in turn, each in a process of its own."""
    model: str
    started: str
    """UTC, ISO 8601, seconds."""
    commit: str | None
    fingerprint: str
    """Short name of the fingerprint that the network's run has with this code."""
    machine: Machine
    packages: dict[str, str]
    batch_size: int
    precision: str
    memory_format: str
    warmup: int
    """Steps before each round that do not count."""
    round_s: tuple[Seconds, ...]
    """Round by round, wall-clock seconds of each step."""
    sections: dict[str, tuple[float, ...]]
    """Of each of :data:`SECTIONS`, the mean seconds a step in one more round, with hooks."""
    startup_s: float
    """To read the images, build the network and do the first step; imports come before."""
    eval_s: float
    """Evaluation of the validation images."""
    miniature_s: float
    cpu_s: float
    """CPU seconds that this process took for the rounds."""
    other_cpu_s: float | None
    """CPU seconds of all other processes meanwhile."""
    peak_memory: int
    """Most bytes that the process held, images included; on a GPU, of its memory."""
    macs: int
    """Of one image, forward."""

    @property
    def rounds(self) -> tuple[float, ...]:
        """Seconds a step in each round: the median of its steps."""
        return tuple(statistics.median(steps) for steps in self.round_s)

    @property
    def step_s(self) -> float:
        """Seconds a step: the median over rounds."""
        return statistics.median(self.rounds)

    @property
    def contended(self) -> bool:
        """Did other processes take a part of the machine meanwhile?"""
        return (self.other_cpu_s or 0.0) > CONTENDED * self.cpu_s


Session = Mapping[str, tuple[int, Timing]]
"""Network → (line of the file, what was measured)."""
Sessions = Mapping[int, Session]


def read(path: Path) -> Sessions:
    """Session → its networks; empty without a file.

    Raises:
        LogError: a line is cut off or is no such line.
    """
    if not path.exists():
        return {}
    found: dict[int, dict[str, tuple[int, Timing]]] = {}
    for number, raw in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line = Timing.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors()[0]
            raise LogError(
                f"{path}:{number}: {'.'.join(map(str, first['loc']))}: {first['msg']}\n"
                "restore the file from version control, or remove it and measure again"
            ) from None
        found.setdefault(line.session, {})[line.model] = (number, line)
    return found


def ratios(session: Session, like: str) -> dict[str, tuple[float, ...]]:
    """Network → its step time over that of network ``like``, round by round, so that what slows a
    whole round cancels."""
    base = session[like][1].rounds
    return {
        model: tuple(a / b for a, b in zip(line.rounds, base, strict=True))
        for model, (_, line) in session.items()
    }


def budget(session: Session, like: str, steps: int) -> dict[str, tuple[int, float]]:
    """Network → steps that take as long as ``steps`` steps of network ``like``, to the nearest by
    the median of the paired ratio, and the seconds by which they are longer."""
    found = {}
    for model, each in ratios(session, like).items():
        ratio = statistics.median(each)
        own = max(1, round(steps / ratio))
        found[model] = own, (own * ratio - steps) * session[like][1].step_s
    return found


def cpuinfo() -> dict[str, str]:
    """The first processor as Linux describes it; elsewhere its name alone."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {"model name": platform.processor() or platform.machine()}
    pairs = (line.partition(":") for line in path.read_text().split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def this_processor() -> str | None:
    """Vendor, family and model, where it has these, else its name: what timings hold for."""
    info = cpuinfo()
    if info.keys() >= {"vendor_id", "cpu family", "model"}:
        return f"{info['vendor_id']} {info['cpu family']}-{info['model']}"
    return info.get("model name")


def estimate_s(root: Path, spec: RunSpec) -> float | None:
    """Seconds that a run takes, start-up and evaluation included; None where nothing was measured.

    From the newest session of any study that timed this network; a float32 run is taken to need
    twice the time of one in bfloat16.
    """
    found = [
        session[spec.model][1]
        for path in visible(root / "results" / "log", f"*/{TIMING_NAME}")
        for session in read(path).values()
        if spec.model in session
    ]
    if not found:
        return None
    line = max(found, key=lambda one: one.started)
    factor = {("bfloat16", "float32"): 2.0, ("float32", "bfloat16"): 0.5}
    step_s = line.step_s * factor.get((line.precision, spec.recipe.precision), 1.0)
    step_s *= spec.recipe.batch_size / line.batch_size
    evaluation = line.eval_s * (spec.epochs + spec.data.test_images / 5_000)
    return line.startup_s + line.miniature_s + spec.steps * step_s + evaluation
