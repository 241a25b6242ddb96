"""How long steps take: networks measured in turn, each in a process of its own, on an idle machine.

The real training loop is timed, with its augmentation. A session has rounds; in each round every
network does its steps once, in balanced order, so that a drift of the machine meets all alike and
step times can be compared round by round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
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
    root: Path,
    specs: list[RunSpec],
    *,
    data_dir: Path,
    device: str,
    say: Callable[[str], None],
    rounds: int = ROUNDS,
    steps: int = STEPS,
) -> None:
    """Measure one session and append a line for each network to the study's file.

    Raises:
        UserError: some network could not be measured.
    """
    path = root / "results" / "log" / specs[0].study / TIMING_NAME
    session = max(timings.read(path), default=0) + 1
    workers = [_Worker(root, spec, data_dir, device, steps) for spec in specs]
    try:
        for number in range(rounds):
            turn = number % len(workers)
            # every network comes first, second, ... equally often, in both directions
            order = workers[turn:] + workers[:turn]
            for worker in order if number // len(workers) % 2 == 0 else order[::-1]:
                worker.ask("round")
            say(f"round {number + 1} of {rounds}")
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
    low, high = sorted(line.rounds)[0], sorted(line.rounds)[-1]
    return (
        f"{line.model}: {1000 * line.step_s:.1f} ms a step of {line.batch_size} images "
        f"(rounds {1000 * low:.1f} to {1000 * high:.1f}; {parts}), "
        f"{line.batch_size / line.step_s:.0f} images/s, "
        f"peak memory {line.peak_memory / 2**30:.2f} GiB"
        + ("; the machine was shared" if line.contended else "")
    )


class _Worker:
    """A process that holds one network ready and measures when it is asked."""

    def __init__(self, root: Path, spec: RunSpec, data_dir: Path, device: str, steps: int) -> None:
        request = {
            "spec": spec.model_dump(mode="json"),
            "data_dir": str(data_dir.resolve()),
            "device": device,
            "steps": steps,
        }
        self._model = spec.model
        self._child = subprocess.Popen(
            [sys.executable, "-m", "cnnpaper", "timing-worker"],
            cwd=root,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ask(json.dumps(request))

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
            raise UserError(f"{self._model} could not be measured; its message is above")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        self._child.terminate()
        self._child.wait()


def worker(root: Path, read: Callable[[], str], write: Callable[[str], None]) -> None:
    """The loop of a measuring process: a request, then rounds, then the line of what came out."""
    started = time.monotonic()
    request = json.loads(read())
    spec = RunSpec.model_validate_json(json.dumps(request["spec"]))
    machine.prepare_process()
    device = torch_device(request["device"])
    torch.set_num_threads(spec.threads or machine.physical_cores())
    data = load_images(spec.data, Path(request["data_dir"]), root)
    training = Training(spec, data, device)
    _do_steps(training, 1, Listener())
    startup_s, watch = time.monotonic() - started, machine.Stopwatch()
    at = provenance.now_utc()
    rounds: list[list[float]] = []
    write(json.dumps({"ready": True}))
    while (asked := read().strip()) == "round":
        _do_steps(training, WARMUP, Listener())
        laps = _Laps(device)
        watch.start()
        _do_steps(training, request["steps"], laps)
        watch.stop()
        rounds.append(laps.seconds)
        write(json.dumps({"step_s": laps.seconds}))
    if asked != "finish":
        return
    sections = _sections(training, request["steps"])
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
        "sections": sections,
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


class _Laps(Listener):
    """Seconds of each step."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: list[float] = []
        self._device = device

    def before_epoch(self, training: Training) -> None:
        self._last = time.perf_counter()

    def after_step(self, training: Training, loss: Tensor) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # kernels run on after the call that started them
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class _Count(Listener):
    """Passes events on and leaves the loop after so many steps."""

    def __init__(self, steps: int, listener: Listener) -> None:
        self._left, self._listener = steps, listener
        self._first = True

    def before_epoch(self, training: Training) -> None:
        self._first = True

    def after_step(self, training: Training, loss: Tensor) -> None:
        if self._first:  # it held the plan of the epoch, which is no part of a step
            self._first = False
            self._listener.before_epoch(training)
            return
        self._listener.after_step(training, loss)
        self._left -= 1
        if not self._left:
            raise _Enough


def _do_steps(training: Training, steps: int, listener: Listener) -> None:
    """Do ``steps`` steps of the real loop, after one that does not count."""
    if training.steps_of(0) < 2:
        raise UserError("an epoch of one step cannot be timed: use more images, or smaller batches")
    counting = _Count(steps, listener)
    while True:
        if training.at.step in (0, training.steps_of(0)):
            training.at = Counters(step=1)
        try:
            training.train_epoch(counting)
        except _Enough:
            return


def _sections(training: Training, steps: int) -> dict[str, tuple[float, ...]]:
    """Mean seconds a step of each section; hooks tell where one ends and the next begins."""
    seconds: dict[str, list[float]] = {name: [] for name in SECTIONS}
    device = training.device
    last = 0.0

    def ended(section: str) -> None:
        nonlocal last
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        if section:
            seconds[section].append(now - last)
        last = now

    class Ends(Listener):
        def before_epoch(self, training: Training) -> None:
            for values in seconds.values():
                values.clear()
            ended("")

        def after_step(self, training: Training, loss: Tensor) -> None:
            ended("other")

    net, optimizer = training.net, training.optimizer
    hooks = [
        net.register_forward_pre_hook(lambda *_: ended("data")),
        net.register_forward_hook(lambda *_: ended("forward")),
        optimizer.register_step_pre_hook(lambda *_: ended("backward")),
        optimizer.register_step_post_hook(lambda *_: ended("optimizer")),
    ]
    _do_steps(training, steps, Ends())
    for hook in hooks:
        hook.remove()
    return {name: (sum(values) / len(values),) for name, values in seconds.items()}
