"""Images per second of the training loop, ours and the plain one in turn; and where time goes.

Both loops run whole: images are chosen, moved, standardised and learnt. They take turns in one
process, so that threads, instruction set and neighbours are the same; while ours runs, the plain
loop's workers do not exist, and while the plain loop is timed they have already started.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from cnnpaper import fingerprint
from cnnpaper.config import RunSpec
from cnnpaper.learn import measure, models, peer, provenance
from cnnpaper.learn.augment import SIDE
from cnnpaper.learn.data import DataSet
from cnnpaper.learn.timing import Sections, at_full_resolution, run_steps
from cnnpaper.learn.train import Listener, Training, configure_torch
from cnnpaper.timings import SECTIONS, Profile, Speed

BATCH = 128
SGEMM_SIDE = 4096
PROFILED_STEPS = 3


def compare(
    root: Path, spec: RunSpec, images: DataSet, *, pairs: int, steps: int, warmup: int
) -> Speed:
    """Time both loops in ``pairs`` alternating pairs on the CPU.

    Args:
        root: of the repository.
        spec: our run; the plain loop has its network, data and threads.
        images: of the study.
        pairs: how often each loop is timed.
        steps: that are timed each time.
        warmup: steps before them that are not.
    """
    full = at_full_resolution(spec, batch_size=BATCH)
    ours = Training(full, images, torch.device("cpu"))
    plain = peer.PlainLoop(
        full.model_copy(update={"recipe": peer.recipe(0.01), "initialisation": "pytorch"}), images
    )
    found: dict[str, list[float]] = defaultdict(list)
    for pair in range(pairs):
        configure_torch(full, torch.device("cpu"))
        found["sgemm"].append(sgemm_gflops())
        found["ours"].append(steps * BATCH / _ours_s(ours, steps, warmup))
        peer.plain_torch(full)
        found["plain"].append(steps * BATCH / _plain_s(plain, pair, steps, warmup))
    macs = models.describe(ours.net).macs
    assert macs is not None
    return Speed(
        **_about(root, full, spec),
        warmup=warmup,
        steps=steps,
        macs=macs,
        ours=tuple(found["ours"]),
        plain=tuple(found["plain"]),
        sgemm_gflops=tuple(found["sgemm"]),
    )


def most_steps(images: DataSet, warmup: int) -> int:
    """How many full batches of the plain loop can be timed within one epoch."""
    return len(images.train.labels) // BATCH - warmup


def _about(root: Path, full: RunSpec, spec: RunSpec) -> dict[str, Any]:
    """The fields that every measurement has."""
    return {
        "model": spec.model,
        "measured": provenance.now_utc(),
        "commit": provenance.commit(root),
        "fingerprint": fingerprint.short(fingerprint.of_run(root, spec)),
        "machine": measure.machine(torch.device("cpu"), spec.isa_cap),
        "packages": provenance.packages(),
        "batch_size": full.recipe.batch_size,
        "resolution": SIDE,
        "memory_format": full.recipe.memory_format,
    }


def _ours_s(training: Training, steps: int, warmup: int) -> float:
    """Seconds of ``steps`` steps of our loop."""
    run_steps(training, warmup, Listener())
    start = time.perf_counter()
    run_steps(training, steps, Listener())
    return time.perf_counter() - start


def _plain_s(loop: peer.PlainLoop, epoch: int, steps: int, warmup: int) -> float:
    """Seconds of ``steps`` steps of the plain loop; its workers end before this returns."""
    batches = loop.batches(epoch)
    for x, y in itertools.islice(batches, warmup):
        loop.step(x, y)
    start = time.perf_counter()
    for x, y in itertools.islice(batches, steps):
        loop.step(x, y)
    return time.perf_counter() - start


def sgemm_gflops() -> float:
    """Speed of a product of two square float32 matrices, the best of two after a first one."""
    a = torch.full((SGEMM_SIDE, SGEMM_SIDE), 0.5)
    a @ a
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * SGEMM_SIDE**3 / best / 1e9


# ------------------------------------------------------------------------------- the profile

KINDS = (
    ("convolution, backward", ("convolutionbackward",)),
    ("convolution, forward", ("convolution", "conv2d")),
    ("batch norm, forward and backward", ("batchnorm",)),
    ("ReLU, forward and backward", ("relu", "thresholdbackward", "clampmin")),
    ("pooling, forward and backward", ("pool",)),
    ("linear layers, forward and backward", ("addmm", "linear", "aten::mm", "dropout")),
    ("loss", ("crossentropy", "nllloss", "logsoftmax")),
)
"""Kinds of operators and what is in their names, without underscores and in lower case."""
OF_SECTION = {"data": "data", "optimizer": "optimizer"}
"""What else happens in these sections of a step."""
OTHER = "other (additions, sums, Python)"


def profile_step(root: Path, spec: RunSpec, images: DataSet) -> Profile:
    """Where the time of our step goes, by kind of operator, as torch.profiler sees it.

    An operator that another one calls, say the copy inside a convolution, counts as that one.
    """
    full = at_full_resolution(spec, batch_size=BATCH)
    training = Training(full, images, torch.device("cpu"))
    run_steps(training, 2, Listener())
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        ranges = _Ranges()
        with Sections(training, ranges.ended) as sections:
            run_steps(training, PROFILED_STEPS, sections)
        ranges.close()
    seconds: dict[str, float] = defaultdict(float)
    for event in profiled.events() or ():
        if (kind := kind_of(event)) is not None:
            seconds[kind] += event.self_cpu_time_total / 1e6
    return Profile(**_about(root, full, spec), steps=PROFILED_STEPS, seconds=dict(seconds))


class _Ranges:
    """Names the section that runs, in the profiler's own record."""

    def __init__(self) -> None:
        self._open(SECTIONS[0])

    def _open(self, section: str) -> None:
        self._range = record_function(f"section {section}")
        self._range.__enter__()

    def ended(self, section: str) -> None:
        self.close()
        self._open(SECTIONS[(SECTIONS.index(section) + 1) % len(SECTIONS)])

    def close(self) -> None:
        self._range.__exit__(None, None, None)


def kind_of(event: FunctionEvent) -> str | None:
    """The kind of an operator by its own name or that of the nearest caller; None outside steps."""
    section, kind = None, None
    at: FunctionEvent | None = event
    while at is not None:
        if at.name.startswith("section "):
            section = at.name.removeprefix("section ")
            break
        kind = kind or _named(at.name)
        at = at.cpu_parent
    return None if section is None else kind or OF_SECTION.get(section, OTHER)


def _named(name: str) -> str | None:
    plain = name.lower().replace("_", "")
    return next((kind for kind, parts in KINDS if any(part in plain for part in parts)), None)
