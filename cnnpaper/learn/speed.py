"""Images per second of the training loop, ours and the plain one in turn; and where time goes.

Both loops run whole: images are chosen, moved, standardised and learnt. They take turns, each in a
process of its own with the same environment, since what ours sets of its process (how memory is
kept, deterministic kernels) is part of it. While one runs the other waits: the plain loop's workers
do not exist while ours runs, and have already started when the plain loop is timed.

``python -m cnnpaper.learn.speed`` is the process of our loop; :class:`OurProcess` talks to it.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, TextIO

import torch
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from cnnpaper import config, fingerprint
from cnnpaper.config import RunSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import data, measure, models, peer, provenance, runner
from cnnpaper.learn.augment import SIDE
from cnnpaper.learn.data import DataSet
from cnnpaper.learn.timing import Sections, at_full_resolution, run_steps
from cnnpaper.learn.train import Listener, Training
from cnnpaper.timings import SECTIONS, Profile, Speed

BATCH = 128
WARMUP = 3
"""Steps before those that are timed."""
SGEMM_SIDE = 4096
PROFILED_STEPS = 3


def compare(
    root: Path, spec: RunSpec, images: DataSet, data_dir: Path, *, pairs: int, steps: int
) -> Speed:
    """Time both loops in ``pairs`` alternating pairs on the CPU; the plain one in this process.

    Args:
        root: of the repository.
        spec: our run; the plain loop has its network, data and threads.
        images: of the study.
        data_dir: where they were read.
        pairs: how often each loop is timed.
        steps: that are timed each time.
    """
    full = at_full_resolution(spec, batch_size=BATCH)
    plain = peer.PlainLoop(
        full.model_copy(update={"recipe": peer.recipe(0.01), "initialisation": "pytorch"}), images
    )
    found: dict[str, list[float]] = defaultdict(list)
    with OurProcess(root, spec, data_dir) as ours:
        for pair in range(pairs):
            found["sgemm"].append(measure.probe_gflops(SGEMM_SIDE))
            found["ours"].append(steps * BATCH / ours.seconds(steps))
            found["plain"].append(steps * BATCH / _plain_s(plain, pair, steps, WARMUP))
    macs = models.describe(plain.net).macs
    assert macs is not None
    return Speed(
        **_about(root, full, spec),
        warmup=WARMUP,
        steps=steps,
        macs=macs,
        ours=tuple(found["ours"]),
        plain=tuple(found["plain"]),
        sgemm_gflops=tuple(found["sgemm"]),
    )


class OurProcess:
    """Our loop in a process of its own, which waits until it is asked."""

    def __init__(self, root: Path, spec: RunSpec, data_dir: Path) -> None:
        arguments = [spec.study, spec.model, str(data_dir.resolve())]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "cnnpaper.learn.speed", *arguments],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> OurProcess:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()  # it ends when nothing more can be asked
        self._child.stdout.close()
        self._child.wait()

    def seconds(self, steps: int) -> float:
        """Of ``steps`` steps, after some that are not timed."""
        return float(self._answer(str(steps)))

    def profile(self) -> Profile:
        """See :func:`profile_step`."""
        return Profile.model_validate_json(self._answer("profile"))

    def _answer(self, question: str) -> str:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(f"{question}\n")
            self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise UserError("the process of our loop ended; its message is above")
        return answer


def serve(study: str, model: str, data_dir: Path, answers: TextIO) -> None:
    """Be the process of our loop: answer the lines of standard input until they end."""
    root = Path()
    plan = config.load_study(root, study)
    spec = config.run_spec(root, plan, model, plan.seeds[0])
    runner.set_environment(spec)
    images = data.load(spec.data, data_dir, root / "build" / "data")
    training = Training(at_full_resolution(spec, batch_size=BATCH), images, torch.device("cpu"))
    for question in sys.stdin:
        if question.strip() == "profile":
            answer = profile_step(root, spec, training).model_dump_json()
        else:
            answer = repr(_ours_s(training, int(question), WARMUP))
        print(answer, file=answers, flush=True)


def most_steps(images: DataSet) -> int:
    """How many full batches of the plain loop can be timed within one epoch."""
    return len(images.train.labels) // BATCH - WARMUP


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


def profile_step(root: Path, spec: RunSpec, training: Training) -> Profile:
    """Where the time of our step goes, by kind of operator, as torch.profiler sees it.

    An operator that another one calls, say the copy inside a convolution, counts as that one.
    """
    run_steps(training, WARMUP, Listener())
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        ranges = _Ranges()
        with Sections(training, ranges.ended) as sections:
            run_steps(training, PROFILED_STEPS, sections)
        ranges.close()
    seconds: dict[str, float] = defaultdict(float)
    for event in profiled.events() or ():
        if (kind := kind_of(event)) is not None:
            seconds[kind] += event.self_cpu_time_total / 1e6
    return Profile(**_about(root, training.spec, spec), steps=PROFILED_STEPS, seconds=dict(seconds))


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


if __name__ == "__main__":
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what is printed elsewhere is no answer
        serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]), answers)
