"""How long steps take: networks measured in turn, each in a process of its own, on an idle machine.

The real training loop is timed, with its augmentation. A session has rounds; in each round every
network does its steps once, in balanced order, so that a drift of the machine meets all alike and
step times can be compared round by round.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnpaper import fingerprint, timings
from cnnpaper.config import RunSpec
from cnnpaper.engine.training import Counters, Listener, Training
from cnnpaper.files import UserError, clean_environment
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
    """Measure one session and append a line for each network to the study's file.

    Raises:
        UserError: some network could not be measured.
    """
    path = root / "results" / "log" / specs[0].study / TIMING_NAME
    session = max(timings.read(path), default=0) + 1
    workers = [network_worker(root, spec, data_dir, device) for spec in specs]
    try:
        for number in range(ROUNDS):
            turn = number % len(workers)
            # every network comes first, second, ... equally often, in both directions
            order = workers[turn:] + workers[:turn]
            for worker in order if number // len(workers) % 2 == 0 else order[::-1]:
                worker.ask("round")
            say(f"round {number + 1} of {ROUNDS}")
        answers = [worker.ask("finish") | {"session": session} for worker in workers]
        for line in [Timing.model_validate_json(json.dumps(answer)) for answer in answers]:
            timings.append(path, line)  # all or none: a session lacks no network
            say(summary(line))
    finally:
        for worker in workers:
            worker.close()


def summary(line: Timing) -> str:
    """One line for people."""
    parts = ", ".join(
        f"{name} {1000 * sum(values) / len(values):.0f}" for name, values in line.sections.items()
    )
    low, high = min(line.rounds), max(line.rounds)
    return (
        f"{line.model}: {1000 * line.step_s:.1f} ms a step of {line.batch_size} images "
        f"(rounds {1000 * low:.1f} to {1000 * high:.1f}; {parts}), "
        f"{line.batch_size / line.step_s:.0f} images/s, "
        f"peak memory {line.peak_memory / 2**30:.2f} GiB"
        + ("; the machine was shared" if line.contended else "")
    )


class Worker:
    """A process that holds something ready and measures it when it is asked.

    Args:
        name: of what it measures, for messages.
        command: arguments of Python's ``-m``.
        root: the folder that it runs in.
        request: its first line, which says what to hold ready.
    """

    def __init__(self, name: str, command: Sequence[str], root: Path, request: str) -> None:
        self._name = name
        self._child = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=root,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ask(request)

    def ask(self, line: str) -> dict[str, Any]:
        """Send one line and wait for the answer."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()
            answer = self._child.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise UserError(f"{self._name} could not be measured; its message is above")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        with self._child:  # waits, and closes its pipes
            self._child.terminate()


def network_worker(root: Path, spec: RunSpec, data_dir: Path, device: str) -> Worker:
    """The process that measures one network by :func:`worker`."""
    request = {
        "spec": spec.model_dump(mode="json"),
        "data_dir": str(data_dir.resolve()),
        "device": device,
    }
    return Worker(spec.model, ("cnnpaper", "timing-worker"), root, json.dumps(request))


def worker(root: Path, read: Callable[[], str], write: Callable[[str], None]) -> None:
    """The loop of a measuring process: a request, then rounds, then the line of what came out."""
    started = time.monotonic()
    request = json.loads(read())
    spec = RunSpec.model_validate_json(json.dumps(request["spec"]))
    machine.prepare_process()
    device = torch_device(request["device"])
    torch.set_num_threads(spec.threads or machine.physical_cores())
    data = load_images(spec.data, Path(request["data_dir"]))
    training = Training(spec, data, device)
    _timed(training, 1)
    startup_s, watch = time.monotonic() - started, machine.Stopwatch()
    at = provenance.now_utc()
    rounds: list[list[float]] = []
    write(json.dumps({"ready": True}))
    while (asked := read().strip()) == "round":
        _timed(training, WARMUP)
        watch.start()
        rounds.append(_timed(training, STEPS)["other"])
        watch.stop()
        write(json.dumps({"step_s": rounds[-1]}))
    if asked != "finish":
        return
    seconds = _timed(training, STEPS, hooks=True)
    start = time.monotonic()
    training.finish_epoch(Listener())
    eval_s, start = time.monotonic() - start, time.monotonic()
    peak = machine.peak_memory(device)
    miniature.miniature(spec, data, device)
    line = {
        "kind": "timing",
        "study": spec.study,
        "model": spec.model,
        "started": at,
        "commit": provenance.commit(root),
        "fingerprint": fingerprint.short(fingerprint.of_spec(root, spec)),
        "machine": machine.describe_machine(device).model_dump(mode="json"),
        "packages": provenance.packages(),
        "batch_size": spec.recipe.batch_size,
        "precision": spec.recipe.precision,
        "memory_format": spec.recipe.memory_format,
        "warmup": WARMUP,
        "round_s": rounds,
        "sections": {name: [statistics.fmean(seconds[name])] for name in SECTIONS},
        "startup_s": startup_s,
        "eval_s": eval_s,
        "miniature_s": time.monotonic() - start,
        "cpu_s": watch.cpu_s,
        "other_cpu_s": watch.other_cpu_s,
        "peak_memory": peak,
        "macs": describe(training.net).macs,
    }
    write(json.dumps(line))


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

    Args:
        training: whose counters are turned back where an epoch has too few steps.
        steps: how many.
        hooks: divide each step into its sections, which costs a little time.
    """
    if training.steps_of(0) < 2:
        raise UserError("an epoch of one step cannot be timed: use more images, or smaller batches")
    clock, net, optimizer = _Clock(training.device, steps), training.net, training.optimizer
    with contextlib.ExitStack() as stack:
        if hooks:
            for hook in (
                net.register_forward_pre_hook(lambda *_: clock.mark("data")),
                net.register_forward_hook(lambda *_: clock.mark("forward")),
                optimizer.register_step_pre_hook(lambda *_: clock.mark("backward")),
                optimizer.register_step_post_hook(lambda *_: clock.mark("optimizer")),
            ):
                stack.callback(hook.remove)
        with contextlib.suppress(_Enough):
            while True:
                if training.at.step in (0, training.steps_of(0)):
                    training.at = Counters(step=1)
                training.train_epoch(clock)
    return clock.seconds
