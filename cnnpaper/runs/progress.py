"""What a run tells people while it trains."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

from cnnpaper.config import RunSpec
from cnnpaper.log import Epoch, Result
from cnnpaper.runs.machine import Stopwatch

if TYPE_CHECKING:
    from cnnpaper.engine.training import Training

PLACE = "CNNPAPER_PLACE"
"""The variable that tells a run its number in the study, of how many, and the work after it."""
EVERY_S = {True: 0.5, False: 30.0}
"""Seconds between two lines, on a terminal, where they replace each other, and elsewhere."""


def say(text: str, end: str = "\n") -> None:
    """A line for people; a reader that has gone away is no reason to stop."""
    with contextlib.suppress(OSError):
        start = "\r\x1b[K" if sys.stderr.isatty() else ""  # over the line of progress
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)


class Progress:
    """A line now and then: where the run stands, and how long it and the study still take."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        number, total, after = os.environ.get(PLACE, "1 1 0").split()
        self._after = float(after)
        self._name = f"run {number} of {total}, {spec.run}" if total != "1" else spec.run
        self._done = 0
        self._said = self._began = time.monotonic()

    def step(self, training: Training, watch: Stopwatch) -> None:
        """A step is done."""
        at, spec, now = training.at, self._spec, time.monotonic()
        self._done += 1
        if self._done == 1:  # set-up and miniature are no measure of what is left
            self._began = now
        terminal = sys.stderr.isatty()
        if self._done == 1 or now - self._said <= EVERY_S[terminal]:
            return
        self._said = now
        each_s = (now - self._began) / (self._done - 1)
        steps = spec.steps - at.epoch * spec.steps_per_epoch - at.step
        text = (
            f"{self._name}: epoch {at.epoch + 1}/{spec.epochs}, "
            f"step {at.step}/{training.steps_of(at.epoch)}, "
            f"{tqdm.format_interval(steps * each_s)} left, "
        )
        if self._after:  # the machine's measured speed holds for what comes later, too
            study_s = (steps + self._after * spec.steps) * each_s
            text += f"study {tqdm.format_interval(study_s)}, "
        text += (  # last what a narrow terminal may cut off
            f"loss {at.loss_sum / max(at.seen, 1):.3f}, acc {at.correct / max(at.seen, 1):.3f}, "
            f"{at.seen / max(watch.wall_s, 1e-9):.0f} images/s"
        )
        if terminal:
            say(text[: shutil.get_terminal_size().columns - 1], end="")
        else:
            say(text)

    def epoch(self, line: Epoch) -> None:
        """An epoch is evaluated."""
        text = f"{self._spec.run}: epoch {line.epoch + 1}/{self._spec.epochs}"
        for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
            value = line.exact(name)
            text += f" {name.replace('_', ' ')} {'–' if value is None else f'{value:.4f}'}"
        say(f"{text} {line.train_s:.0f} s")

    def result(self, result: Result) -> None:
        """The run is over."""
        part = "val" if result.test_acc is None else "test"
        value = result.exact(f"{part}_acc")
        found = "" if value is None else f", {part} accuracy {100 * value:.2f}%"
        say(f"{self._spec.run}: {result.status}{found}")
