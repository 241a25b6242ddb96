"""The line of progress: of the run, and of the study that it is a part of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cnnpaper.runs.launch import work_after

pytestmark = pytest.mark.train


def spec(steps: int, batch_size: int = 64) -> Any:
    recipe = SimpleNamespace(batch_size=batch_size)
    return SimpleNamespace(
        run="vgg16-s3", epochs=2, steps=steps, steps_per_epoch=steps // 2, recipe=recipe
    )


def test_work_after_a_run_is_told_in_runs_like_it() -> None:
    here, later = spec(100), [spec(50), spec(200, batch_size=128)]
    assert work_after(here, later, lambda _: None) == 2
    assert work_after(here, later, lambda one: 7.0 * one.steps) == pytest.approx(0.5 + 2)
    assert work_after(here, [], lambda _: 60.0) == 0


def test_line_names_place_values_speed_and_times_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps of 3 s: 88 are left of this run, and four and a half runs of 100 come after it."""
    from cnnpaper.runs import progress

    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setenv(progress.PLACE, "7 42 4.5")
    bar = progress.Progress(spec(100))
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
