"""How long things take: ``make bench``. In the suite each is executed once, untimed.

The study is invented: four networks, three seeds, 25 epochs, 10,000 test images. Each benchmark
names what it repeats; nothing is asserted about seconds, which depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from cnnpaper import config, records
from cnnpaper.paper import build
from cnnpaper.paper.analysis import analyse
from cnnpaper.paper.frames import read_frames
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.state import build_folder
from cnnpaper.paper.study import StudyPaper
from cnnpaper.paper.style import render
from tests import fabricate

PLAN = fabricate.Plan(name="bench", seeds=(0, 1, 2), epochs=25)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the invented study, its paper built once."""
    place = fabricate.study(tmp_path_factory.mktemp("bench") / "repository", PLAN, code=True)
    report(place)
    return place


def report(root: Path) -> list[str]:
    """Build the paper; returns what was said."""
    said: list[str] = []
    build.build_report(root, PLAN.name, allow_stale=True, say=said.append)
    return said


def rounds(benchmark: BenchmarkFixture, work: Callable[[], Any], setup: Any = None) -> Any:
    """Three rounds for what takes seconds."""
    return benchmark.pedantic(work, setup=setup, rounds=3, warmup_rounds=0)


def test_reading_a_log(root: Path, benchmark: BenchmarkFixture) -> None:
    path = config.run_folder(root, PLAN.name, "resnet18-s0") / records.LOG_NAME
    run = benchmark(records.read_run, path)
    assert len(run.epochs) == PLAN.epochs


def test_frames(root: Path, benchmark: BenchmarkFixture) -> None:
    frames = benchmark(read_frames, root, PLAN.name)
    assert len(frames.curves) == 12 * PLAN.epochs


def test_statistics(root: Path, benchmark: BenchmarkFixture) -> None:
    frames = read_frames(root, PLAN.name)
    compared = rounds(benchmark, lambda: analyse(frames, Sources(root)).comparisons)
    assert len(compared) == 6


@pytest.fixture(scope="module")
def paper(root: Path) -> StudyPaper:
    return StudyPaper(root, PLAN.name, allow_stale=True)


def test_figures(paper: StudyPaper, benchmark: BenchmarkFixture) -> None:
    def draw() -> list[bytes]:
        return [render(each.draw(*each.args), "pdf") for each in paper.drawings.values()]

    assert all(pdf.startswith(b"%PDF") for pdf in rounds(benchmark, draw))


def test_templates(root: Path, benchmark: BenchmarkFixture) -> None:
    """Statistics, tables and text, from the logs on."""

    def fill() -> dict[str, str]:
        return StudyPaper(root, PLAN.name, allow_stale=True).text.files

    assert "paper.tex" in rounds(benchmark, fill)


@pytest.mark.tex
def test_the_whole_report(root: Path, benchmark: BenchmarkFixture) -> None:
    def forget() -> None:
        for path in build_folder(root, PLAN.name).rglob("*"):
            if path.is_file() and path.name != "lock":
                path.unlink()

    said = rounds(benchmark, lambda: report(root), setup=forget)
    assert "pdf" in said[0]


@pytest.mark.tex
def test_the_report_after_a_change_of_one_template(root: Path, benchmark: BenchmarkFixture) -> None:
    path = root / "report" / "introduction.tex.j2"

    def change() -> None:
        path.write_text(path.read_text("utf-8") + "\nAnd so it is.\n", "utf-8")

    said = rounds(benchmark, lambda: report(root), setup=change)
    assert "text" in said[0]
    assert "figure" not in said[0]


@pytest.mark.tex
def test_a_report_with_nothing_to_do(root: Path, benchmark: BenchmarkFixture) -> None:
    report(root)
    assert "nothing to do" in benchmark(report, root)[0]


@pytest.mark.tex
@pytest.mark.soak
@pytest.mark.parametrize("runs", [100, 300, 1000])
def test_a_report_of_many_runs(runs: int, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    plan = fabricate.Plan(seeds=tuple(range(runs // 4)))
    root = fabricate.study(tmp_path, plan, code=True)
    said: list[str] = []
    work = lambda: build.build_report(root, plan.name, say=said.append)  # noqa: E731
    benchmark.pedantic(work, rounds=1)
    assert f"from {runs} runs" in said[-1]


@pytest.mark.train
@pytest.mark.parametrize("model", fabricate.FOUR)
def test_one_training_step(root: Path, benchmark: BenchmarkFixture, model: str) -> None:
    """A batch of the smoke study's size, 32 pixels, on the CPU."""
    import torch

    from cnnpaper.learn import augment
    from cnnpaper.learn.data import load
    from cnnpaper.learn.train import Training

    spec = config.run_spec(root, config.load_study(root, "smoke"), model, 0)
    images = load(spec.data, root / "data", root / "build" / "data")
    training = Training(spec, images, torch.device("cpu"))
    training.at.epoch = spec.epochs - 1  # the last epoch has all pixels
    plan = augment.epoch_plan(spec.recipe, len(images.train.labels), 0, training.at.epoch)
    loss = benchmark(training._step, plan)
    assert torch.isfinite(loss)
