"""What a run tells people while it trains."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from tqdm import tqdm

from cnnpaper.config import RunSpec
from cnnpaper.engine.training import EpochMetrics, Training
from cnnpaper.log import Epoch, Result
from cnnpaper.runs.launch import PLACE
from cnnpaper.runs.machine import Stopwatch

LINE_EVERY_S = 30.0
"""Seconds between plain lines where there is no terminal."""
BAR_FORMAT = "{desc} {bar:10} {percentage:.0f} %{postfix}"
"""Of the bar on a terminal; the times left are in its postfix."""


def say(text: str) -> None:
    """A line for people; a reader that has gone away is no reason to stop."""
    with contextlib.suppress(OSError):
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()


class Progress:
    """A bar on a terminal; a plain line now and then elsewhere."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        number, total, after = os.environ.get(PLACE, "1 1 0").split()
        self._after = float(after)
        self._name = f"run {number} of {total}, {spec.run}" if total != "1" else spec.run
        self._done = 0
        self._said = self._began = time.monotonic()
        self._bar: tqdm[Any] | None = None

    def step(self, training: Training, watch: Stopwatch) -> None:
        """A step is done."""
        at, spec = training.at, self._spec
        if self._done == 0:  # set-up and miniature are no measure of what is left
            self._began = time.monotonic()
        self._done += 1
        done, seen = at.epoch * spec.steps_per_epoch + at.step, max(at.seen, 1)
        now = (
            f"epoch {at.epoch + 1}/{spec.epochs}, step {at.step}/{training.steps_of(at.epoch)}, "
            f"loss {at.loss_sum / seen:.3f}, acc {at.correct / seen:.3f}, "
            f"{at.seen / max(watch.wall_s, 1e-9):.0f} images/s, {self._left(spec.steps - done)}"
        )
        if sys.stderr.isatty():
            with contextlib.suppress(OSError):  # the terminal may be gone by now
                if self._bar is None:
                    self._bar = tqdm(
                        total=spec.steps,
                        initial=done - 1,
                        desc=self._name,
                        leave=False,
                        bar_format=BAR_FORMAT,
                    )
                self._bar.set_postfix_str(now, refresh=False)
                self._bar.update()
        elif time.monotonic() - self._said > LINE_EVERY_S:
            self._said = time.monotonic()
            say(f"{self._name}: {now}")

    def _left(self, steps: int) -> str:
        if self._done < 2:
            return "time left not known yet"
        each = (time.monotonic() - self._began) / (self._done - 1)
        run = f"{tqdm.format_interval(steps * each)} left"
        if not self._after:
            return run
        # the machine's measured speed holds for what comes later, too
        study_s = (steps + self._after * self._spec.steps) * each
        return f"{run}, study {tqdm.format_interval(study_s)}"

    def epoch(self, epoch: EpochMetrics, line: Epoch) -> None:
        """An epoch is evaluated."""
        found = (epoch.train_loss, epoch.train_acc, epoch.val_loss, epoch.val_acc)
        train_loss, train_acc, val_loss, val_acc = (
            "–" if value is None else f"{value:.4f}" for value in found
        )
        say(
            f"{self._spec.run}: epoch {epoch.epoch + 1}/{self._spec.epochs} train loss {train_loss}"
            f" acc {train_acc} val loss {val_loss} acc {val_acc} {line.train_s:.0f} s"
        )

    def result(self, result: Result) -> None:
        """The run is over."""
        part, value = "test", result.test_acc
        if value is None:
            part, value = "val", result.val_acc
        found = "" if value is None else f", {part} accuracy {100 * value:.2f}%"
        say(f"{self._spec.run}: {result.status}{found}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()
