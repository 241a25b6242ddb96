"""How long the paper half takes: logs, frames, statistics, figures, templates, whole report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.paper.analysis import analyse
from cnnpaper.paper.build import build_report
from cnnpaper.paper.frames import read_frames
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.study import StudyPaper
from cnnpaper.paper.style import render
from cnnpaper.records import read_run
from tests import fabricate

Benchmark = Callable[..., Any]
PLAN = fabricate.Plan()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four networks, three epochs, 10,000 test images; its paper was built once."""
    root = fabricate.study(tmp_path_factory.mktemp("bench") / "repository", PLAN, code=True)
    build_report(root, PLAN.name, say=lambda _: None)
    return root


def test_log_reading(root: Path, benchmark: Benchmark) -> None:
    benchmark(read_run, root / "results" / "log" / PLAN.name / "googlenet-s0" / "run.jsonl")


def test_frames(root: Path, benchmark: Benchmark) -> None:
    benchmark(read_frames, root, PLAN.name)


def test_statistics(root: Path, benchmark: Benchmark) -> None:
    frames = read_frames(root, PLAN.name)
    benchmark.pedantic(lambda: analyse(frames, Sources(root)).comparisons, rounds=3)


def test_figures(root: Path, benchmark: Benchmark) -> None:
    drawings = StudyPaper(root, PLAN.name).drawings.values()
    benchmark.pedantic(lambda: [render(d.draw(*d.args), "pdf") for d in drawings], rounds=3)


def test_templates(root: Path, benchmark: Benchmark) -> None:
    def fresh() -> tuple[tuple[StudyPaper], dict[str, Any]]:
        paper = StudyPaper(root, PLAN.name)
        assert paper.drawings
        return (paper,), {}

    benchmark.pedantic(lambda paper: paper.text, setup=fresh, rounds=3)


def test_report_with_nothing_to_do(root: Path, benchmark: Benchmark) -> None:
    benchmark(build_report, root, PLAN.name, say=lambda _: None)
    assert benchmark.stats is None or benchmark.stats["median"] < 1


@pytest.mark.tex
def test_report_after_a_template_changed(root: Path, benchmark: Benchmark) -> None:
    path = root / "report" / "introduction.tex.j2"

    def change() -> None:
        path.write_text(path.read_text("utf-8") + "\nOne more sentence.\n", "utf-8")

    benchmark.pedantic(
        build_report, (root, PLAN.name), {"say": lambda _: None}, setup=change, rounds=3
    )
    assert benchmark.stats is None or benchmark.stats["max"] < 15


@pytest.mark.tex
def test_report_from_nothing(root: Path, benchmark: Benchmark) -> None:
    def forget() -> None:
        shutil.rmtree(root / "build", ignore_errors=True)

    benchmark.pedantic(
        build_report, (root, PLAN.name), {"say": lambda _: None}, setup=forget, rounds=2
    )
    assert benchmark.stats is None or benchmark.stats["max"] < 30


@pytest.mark.tex
@pytest.mark.soak
@pytest.mark.parametrize("runs", [100, 300, 1000])
def test_report_of_many_runs(runs: int, tmp_path: Path, benchmark: Benchmark) -> None:
    plan = fabricate.Plan(seeds=tuple(range(runs // 4)))
    root = fabricate.study(tmp_path, plan, code=True)
    benchmark.pedantic(build_report, (root, plan.name), {"say": lambda _: None}, rounds=1)
    assert benchmark.stats is None or benchmark.stats["max"] < 60
