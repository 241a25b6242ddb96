"""How long steps take: networks measured in turn, each in a process of its own, on an idle machine.

The real training loop is timed, with its augmentation. A session has rounds; in each round every
network does its steps once, in balanced order, so that a drift of the machine meets all alike and
step times can be compared round by round.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnpaper import fingerprint, timings
from cnnpaper.config import RunSpec
from cnnpaper.engine.training import Counters, Listener, Training
from cnnpaper.files import UserError, append_line
from cnnpaper.runs import machine, miniature, provenance
from cnnpaper.runs.dataset import load_images
from cnnpaper.runs.describe import describe
from cnnpaper.runs.launch import torch_device
from cnnpaper.timings import SECTIONS, TIMING_NAME, Timing

ROUNDS = 12
STEPS = 20
WARMUP = 5
"""Steps before each round that do not count."""


def time_session(
    root: Path, specs: list[RunSpec], *, data_dir: Path, device: str, say: Callable[[str], None]
) -> None:
    """Measure one session and append a line for each network to the study's file."""
    path = root / "results" / "log" / specs[0].study / TIMING_NAME
    session = max(timings.read(path), default=0) + 1
    with contextlib.ExitStack() as stack:
        given = root, data_dir, device, session, ROUNDS
        started = (Worker(timed, spec, *given) for spec in specs)
        workers = [stack.enter_context(worker) for worker in started]
        for number, _ in enumerate(rounds(workers, ROUNDS), start=1):
            say(f"round {number} of {ROUNDS}")
        # all or none: a session lacks no network
        for line in [worker.answer() for worker in workers]:
            append_line(path, line.model_dump_json())
            say(summary(line))


def summary(line: Timing) -> str:
    """One line for people."""
    parts = {name: 1000 * statistics.fmean(each) for name, each in line.sections.items()}
    shared = "; the machine was shared" if line.contended else ""
    return (
        f"{line.model}: {1000 * line.step_s:.1f} ms a step of {line.batch_size} images "
        f"(rounds {1000 * min(line.rounds):.1f} to {1000 * max(line.rounds):.1f}; "
        f"{', '.join(f'{name} {ms:.0f}' for name, ms in parts.items())}), "
        f"{line.batch_size / line.step_s:.0f} images/s, "
        f"peak memory {line.peak_memory / 2**30:.2f} GiB{shared}"
    )


_job: Iterator[Any]
"""Of this process, where it is a worker's."""


class Worker(ProcessPoolExecutor):
    """One process that holds a job ready: a generator, ready at its first ``yield``.

    Its errors are raised where it is asked.
    """

    def __init__(self, job: Callable[..., Iterator[Any]], *arguments: Any) -> None:
        super().__init__(1, multiprocessing.get_context("spawn"))
        self.submit(_hold, job, arguments).result()

    def answer(self) -> Any:
        """What the job yields next."""
        return self.submit(_answer).result()


def _hold(job: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> None:
    global _job
    _job = job(*arguments)
    next(_job)


def _answer() -> Any:
    return next(_job)


def rounds(workers: Sequence[Worker], count: int) -> Iterator[list[list[float]]]:
    """After each round, the seconds of the steps that each worker did in it.

    Every worker comes first, second, ... equally often, in both directions.
    """
    for number in range(count):
        turn = number % len(workers)
        order = [*range(turn, len(workers)), *range(turn)]
        order = order if number // len(workers) % 2 == 0 else order[::-1]
        found = {place: workers[place].answer() for place in order}
        yield [found[place] for place in range(len(workers))]


def timed(
    spec: RunSpec,
    root: Path,
    data_dir: Path,
    device_name: str,
    session: int,
    count: int,
    steps: int = STEPS,
    warmup: int = WARMUP,
) -> Iterator[Any]:
    """The real training loop of one network: the seconds of each round, then its whole line."""
    started = time.monotonic()
    machine.prepare_process()
    device = torch_device(device_name)
    torch.set_num_threads(spec.threads or machine.physical_cores())
    data = load_images(spec.data, data_dir)
    training = Training(spec, data, device)
    _timed(training, 1)
    startup_s, watch = time.monotonic() - started, machine.Stopwatch()
    at = provenance.now_utc()
    each: list[tuple[float, ...]] = []
    yield "ready"
    for _ in range(count):
        _timed(training, warmup)
        watch.start()
        each.append(tuple(_timed(training, steps)["other"]))
        watch.stop()
        yield each[-1]
    seconds = _timed(training, steps, hooks=True)
    start = time.monotonic()
    training.finish_epoch(Listener())
    eval_s, start = time.monotonic() - start, time.monotonic()
    peak = machine.peak_memory(device)
    miniature.miniature(spec, data, device)
    yield Timing(
        session=session,
        study=spec.study,
        model=spec.model,
        started=at,
        commit=provenance.commit(root),
        fingerprint=fingerprint.short(fingerprint.of_spec(root, spec)),
        machine=machine.describe_machine(device),
        packages=provenance.packages(),
        batch_size=spec.recipe.batch_size,
        precision=spec.recipe.precision,
        memory_format=spec.recipe.memory_format,
        warmup=warmup,
        round_s=tuple(each),
        sections={name: (statistics.fmean(seconds[name]),) for name in SECTIONS},
        startup_s=startup_s,
        eval_s=eval_s,
        miniature_s=time.monotonic() - start,
        cpu_s=watch.cpu_s,
        other_cpu_s=watch.other_cpu_s,
        peak_memory=peak,
        macs=describe(training.net).macs or 0,
    )


class _Enough(Exception):
    """Leaves the training loop after the steps that were asked for."""


class _Clock(Listener):
    """Seconds of each section of so many steps; what no hook marks off is ``other``."""

    def __init__(self, device: torch.device, steps: int) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._device, self._left, self._last = device, steps, 0.0

    def before_epoch(self, training: Training) -> None:
        self._counts = False  # the first step waits for the plan of the epoch, no part of a step

    def mark(self, section: str) -> None:
        """A section ends here, and the next begins."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # kernels run on after the call that started them
        now = time.perf_counter()
        if self._counts:
            self.seconds[section].append(now - self._last)
        self._last = now

    def after_step(self, training: Training, loss: Tensor) -> None:
        self.mark("other")
        self._left -= self._counts
        self._counts = True
        if not self._left:
            raise _Enough


def _timed(training: Training, steps: int, *, hooks: bool = False) -> dict[str, list[float]]:
    """Seconds of ``steps`` steps of the real loop, after one that does not count.

    Counters are turned back where an epoch has too few steps. With ``hooks`` each step is divided
    into its sections, which costs a little time.
    """
    if training.steps_of(0) < 2:
        raise UserError("an epoch of one step cannot be timed: use more images, or smaller batches")
    clock, net, optimizer = _Clock(training.device, steps), training.net, training.optimizer
    handles = []
    if hooks:
        handles = [
            net.register_forward_pre_hook(lambda *_: clock.mark("data")),
            net.register_forward_hook(lambda *_: clock.mark("forward")),
            optimizer.register_step_pre_hook(lambda *_: clock.mark("backward")),
            optimizer.register_step_post_hook(lambda *_: clock.mark("optimizer")),
        ]
    with contextlib.suppress(_Enough):
        while True:
            if training.at.step in (0, training.steps_of(0)):
                training.at = Counters(step=1)
            training.train_epoch(clock)
    for handle in handles:
        handle.remove()
    return clock.seconds
