"""The file of measured times: summaries against numpy, and damage of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnpaper import timings
from cnnpaper.records import LogError, Machine
from cnnpaper.timings import Profile, Speed, Timing

ABOUT: dict[str, Any] = {
    "model": "tiny",
    "measured": "2026-11-24T09:00:00Z",
    "commit": None,
    "fingerprint": "0123456789ab",
    "machine": Machine(cpu="A processor", threads=2),
    "packages": {"torch": "2.14.1"},
    "batch_size": 100,
    "resolution": 32,
    "memory_format": "contiguous",
}


def timing(**changes: Any) -> Timing:
    """Three steps of 1.1, 2.2 and 3.3 s."""
    sections = {
        "data": (0.1, 0.2, 0.3),
        "forward": (0.3, 0.6, 0.9),
        "backward": (0.5, 1.0, 1.5),
        "optimizer": (0.125, 0.25, 0.375),
        "other": (0.075, 0.15, 0.225),
    }
    values = {
        **ABOUT,
        "study": "small",
        "warmup": 3,
        "sections": sections,
        "cpu_s": 10.0,
        "other_cpu_s": 0.5,
        "probe_gflops": (150.0, 149.0),
        "peak_memory": 2**30,
        **changes,
    }
    return Timing(**values)


def speed() -> Speed:
    """A network of 50 million MACs: 300 MFLOP an image in training."""
    return Speed(
        **ABOUT,
        warmup=1,
        steps=2,
        macs=50_000_000,
        ours=(110.0, 120.0, 100.0),
        plain=(100.0, 100.0, 125.0),
        sgemm_gflops=(66.0, 65.0, 67.0),
    )


def test_figures_worked_out_by_hand() -> None:
    assert timing().step_s == pytest.approx((1.1, 2.2, 3.3))
    assert speed().ratios == pytest.approx((1.1, 1.2, 0.8))
    assert speed().gflops == pytest.approx(33.0)  # 110 images a second, 0.3 GFLOP each
    assert speed().share_of_sgemm == pytest.approx(0.5)


@pytest.mark.parametrize("other, shared", [(0.5, False), (0.51, True), (None, False)])
def test_more_than_a_twentieth_of_the_cpu_marks(other: float | None, shared: bool) -> None:
    assert timing(other_cpu_s=other).shared is shared


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40))
def test_quartiles_are_numpys(values: list[float]) -> None:
    found = timings.quartiles(values)
    expected = np.quantile(values, [0.25, 0.5, 0.75])
    assert [found.low, found.median, found.high] == pytest.approx(list(expected))


def test_the_last_line_about_a_network_counts(tmp_path: Path) -> None:
    path = tmp_path / "log" / "timing.jsonl"
    assert timings.read(path) == {}
    profile = Profile(**ABOUT, steps=2, seconds={"data": 0.25})
    lines = [timing(), speed(), timing(peak_memory=7), profile, timing(model="other")]
    for line in lines:
        timings.append(path, line)
    assert timings.read(path) == {
        ("timing", "tiny"): (3, lines[2]),
        ("speed", "tiny"): (2, lines[1]),
        ("profile", "tiny"): (4, lines[3]),
        ("timing", "other"): (5, lines[4]),
    }


BAD: dict[str, dict[str, Any]] = {
    "a section lacks a step": {"sections": {**timing().sections, "data": (0.1, 0.2)}},
    "no steps": {"sections": dict.fromkeys(timings.SECTIONS, ())},
    "a section is missing": {"sections": {"data": (0.1,)}},
    "a negative time": {"sections": {**timing().sections, "data": (0.1, 0.2, -0.3)}},
    "a time that is not finite": {"sections": {**timing().sections, "data": (0.1, 1, np.inf)}},
    "a speed of zero": {"probe_gflops": (0.0,)},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
def test_what_is_no_measurement_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        timing(**changes)


def edited(text: str) -> str:
    return text.replace("0.25", "0.24", 1)


def without_first(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[1:])


DAMAGE = {
    "a figure was edited": (edited, 1),
    "a line was removed": (without_first, 1),
    "cut off": (lambda text: text[:-20], 2),
    "not JSON": (lambda text: text + "x\n", 3),
    "a list": (lambda text: text + "[]\n", 3),
    "without the last newline": (lambda text: text[:-1], 2),
}


@pytest.mark.parametrize("damage, number", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named(damage, number: int, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "timing.jsonl"
    timings.append(path, timing())
    timings.append(path, timing(peak_memory=8))
    path.write_text(damage(path.read_text()))
    with pytest.raises(LogError, match=rf"timing\.jsonl:{number}: not as it was written"):
        timings.read(path)


def test_a_well_written_line_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "timing.jsonl"
    timings.append(path, timing())
    fields = json.loads(path.read_text())
    del fields["digest"]
    text, _ = timings.encode({**fields, "warmup": "three"}, timings.GENESIS)
    path.write_text(text + "\n")
    with pytest.raises(LogError, match=r"timing\.jsonl:1: warmup: Input should be a valid integer"):
        timings.read(path)
