"""The line of progress: of the run, and of the study that it is a part of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cnnpaper.runs import progress

pytestmark = pytest.mark.train


def test_line_names_place_values_speed_and_times_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps of 3 s: 88 are left of this run, and four and a half runs of 100 come after it."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setenv(progress.PLACE, "7 42 4.5")
    spec: Any = SimpleNamespace(run="vgg16-s3", epochs=2, steps=100, steps_per_epoch=50)
    bar = progress.Progress(spec)
    at = SimpleNamespace(epoch=0, step=0, seen=0, loss_sum=0.0, correct=0)
    training: Any = SimpleNamespace(at=at, steps_of=lambda _: 50)
    for step in range(1, 13):
        at.step, at.seen, at.loss_sum, at.correct = step, 64 * step, 32.0 * step, 16 * step
        watch: Any = SimpleNamespace(wall_s=step * 3.2)
        bar.step(training, watch)
        now += 3.0
    line = capsys.readouterr().err.splitlines()
    assert line == [
        "run 7 of 42, vgg16-s3: epoch 1/2, step 12/50, loss 0.500, acc 0.250, 20 images/s, "
        "04:24 left, study 26:54"
    ]
