"""``make timing``: how long a step takes, section by section, and how much memory a network needs.

It is the real training loop that is timed: hooks of network and optimizer tell where one section
ends and the next begins. Each network is measured in a process of its own, since the most memory
that a process ever held cannot be reset.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from cnnpaper import fingerprint, timings
from cnnpaper.config import RunSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import data, measure, provenance, runner
from cnnpaper.learn.augment import SIDE
from cnnpaper.learn.train import Counters, Listener, Training
from cnnpaper.timings import SECTIONS, Timing, quartiles

WARMUP = 3
"""Steps before the first that counts: kernels are chosen and memory is asked for in them."""


def time_network(
    root: Path, spec: RunSpec, *, data_dir: Path, device: str, repetitions: int
) -> Timing:
    """Measure the steps of one network, append the line to its study's file, and return it.

    Raises:
        UserError: the images are not there, or a device is not.
    """
    runner.set_environment(spec)
    where = runner.torch_device(device)
    with runner.turn(root, runner.slot_of(device, where), f"timing {spec.model}"):
        images = data.load(spec.data, data_dir, root / "build" / "data")
        training = Training(at_full_resolution(spec), images, where)
        line = _timed(training, root, spec, repetitions)
        timings.append(root / "results" / "log" / spec.study / timings.TIMING_NAME, line)
    return line


def at_full_resolution(spec: RunSpec, *, batch_size: int | None = None) -> RunSpec:
    """The run with all its images at full size, and with another batch size if one is given."""
    changed = {"low_resolution_share": 0.0, "batch_size": batch_size or spec.recipe.batch_size}
    return spec.model_copy(update={"recipe": spec.recipe.model_copy(update=changed)})


def summary(line: Timing) -> str:
    """One line for people."""
    parts = ", ".join(
        f"{name} {1000 * quartiles(seconds).median:.0f}" for name, seconds in line.sections.items()
    )
    step = quartiles([1000 * seconds for seconds in line.step_s])
    return (
        f"{line.model}: {step.median:.0f} ms a step of {line.batch_size} images "
        f"(quartiles {step.low:.0f} to {step.high:.0f}; {parts}), "
        f"peak memory {line.peak_memory / 2**30:.2f} GiB"
        + ("; other processes took part of the machine" if line.shared else "")
    )


def _timed(training: Training, root: Path, spec: RunSpec, repetitions: int) -> Timing:
    device, recipe = training.device, training.recipe
    on_cpu = device.type == "cpu"
    before = [measure.probe_gflops()] if on_cpu else []
    run_steps(training, WARMUP, Listener())
    watch = measure.Stopwatch()
    seconds: dict[str, list[float]] = {name: [] for name in SECTIONS}
    with Sections(training, _clock(device, seconds)) as sections:
        watch.start()
        run_steps(training, repetitions, sections)
        watch.stop()
    after = [measure.probe_gflops()] if on_cpu else []
    return Timing(
        study=spec.study,
        model=spec.model,
        measured=provenance.now_utc(),
        commit=provenance.commit(root),
        fingerprint=fingerprint.short(fingerprint.of_run(root, spec)),
        machine=measure.machine(device, spec.isa_cap),
        packages=provenance.packages(),
        batch_size=recipe.batch_size,
        resolution=SIDE,
        memory_format=recipe.memory_format,
        warmup=WARMUP,
        sections={name: tuple(values) for name, values in seconds.items()},
        cpu_s=watch.cpu_s,
        other_cpu_s=watch.other_cpu_s,
        probe_gflops=(*before, *after),
        peak_memory=measure.peak_memory(device),
    )


def _clock(device: torch.device, seconds: dict[str, list[float]]) -> Callable[[str], None]:
    """What notes the seconds since the last call under the name of the section that ends."""
    last = time.perf_counter()

    def ended(section: str) -> None:
        nonlocal last
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # kernels run on after the call that started them
        now = time.perf_counter()
        seconds[section].append(now - last)
        last = now

    return ended


class Sections(Listener):
    """Tells which section of a step just ended, while a training runs.

    Args:
        training: that runs.
        ended: called with each name of :data:`cnnpaper.timings.SECTIONS`, in that order.
    """

    def __init__(self, training: Training, ended: Callable[[str], None]) -> None:
        self._training, self._ended = training, ended

    def __enter__(self) -> Sections:
        net, optimizer, ended = self._training.net, self._training.optimizer, self._ended
        self._updating = False
        self._hooks = [
            net.register_forward_pre_hook(lambda *_: ended("data")),
            net.register_forward_hook(lambda *_: ended("forward")),
            optimizer.register_step_pre_hook(self._before_update),
            optimizer.register_step_post_hook(lambda *_: ended("optimizer")),
        ]
        return self

    def _before_update(self, *_: object) -> None:
        self._updating = True
        self._ended("backward")

    def after_step(self, training: Training, loss: Tensor) -> None:
        if not self._updating:  # gradients overflowed in float16, and the update was left out
            self._ended("backward")
            self._ended("optimizer")
        self._updating = False
        self._ended("other")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()


class _Enough(Exception):
    """Leaves the training loop after the steps that were asked for."""


class _Count(Listener):
    """Passes steps on and stops the loop after so many."""

    def __init__(self, steps: int, listener: Listener) -> None:
        self._left, self._listener = steps, listener

    def after_step(self, training: Training, loss: Tensor) -> None:
        self._listener.after_step(training, loss)
        self._left -= 1
        if not self._left:
            raise _Enough


def run_steps(training: Training, steps: int, listener: Listener) -> None:
    """Do ``steps`` steps of the real loop; where an epoch ends, it is begun anew unevaluated.

    Raises:
        UserError: an epoch has a single step.
    """
    if training.steps < 2:
        raise UserError(
            "an epoch of one step cannot be timed: give it more images, or fewer a step"
        )
    counting = _Count(steps, listener)
    while True:
        if training.at.step in (0, training.steps):
            # from the second step on: the first one's probe of the machine is no part of a step
            training.at = Counters(step=1)
        try:
            training.train_epoch(counting)
        except _Enough:
            return
