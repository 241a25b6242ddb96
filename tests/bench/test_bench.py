"""How long reading, drawing, typesetting and training steps take; timed by ``make bench`` alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import config
from cnnpaper.paper import build, tex
from cnnpaper.paper.compose import compose
from cnnpaper.study.load import load
from tests.conftest import REPOSITORY
from tests.paper import invent
from tests.paper.conftest import ARMS

NAME = "reference"


@pytest.fixture(autouse=True)
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("timed by `make bench` alone")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A study as large as the reference one: 44 runs with predictions."""
    invent.study(tmp_path, invent.Shape(arms=ARMS, images=(45_000, 5_000, 10_000)))
    return tmp_path


def test_reading_the_logs(benchmark: Any, place: Path) -> None:
    assert len(benchmark(load, place, NAME).logs) == 44


def test_drawing_the_figures(benchmark: Any, place: Path) -> None:
    from cnnpaper.figures.style import render

    drawings = compose(place, NAME, "en").drawings.values()
    assert len(drawings) >= 2
    benchmark(lambda: [render(drawing.draw(), "pdf") for drawing in drawings])


@pytest.mark.tex
@pytest.mark.skipif(shutil.which("xelatex") is None, reason="no XeLaTeX here")
def test_typesetting(benchmark: Any, place: Path) -> None:
    files = build.tex_files(compose(place, NAME, "en"))
    folder = place / "tex"

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)

    pdf = benchmark.pedantic(lambda: tex.typeset(folder, 0), setup=fresh, rounds=3)
    assert pdf.read_bytes().startswith(b"%PDF")


@pytest.mark.train
@pytest.mark.parametrize("model", ["alexnet", "vgg16", "googlenet", "resnet18"])
def test_eight_training_steps(benchmark: Any, model: str) -> None:
    import torch

    from cnnpaper.engine.images import synthetic
    from cnnpaper.engine.training import Counters, Listener, Training

    study = config.load_study(REPOSITORY, NAME)
    spec = config.run_spec(REPOSITORY, study, model, 0, arm="short")
    images = 8 * spec.recipe.batch_size
    data = config.DataSpec(set="synthetic", train_images=images, validation_images=10)
    spec = spec.model_copy(update={"data": data})
    training = Training(spec, synthetic(data), torch.device("cpu"))

    def epoch() -> None:
        training.at = Counters()
        training.train_epoch(Listener())

    benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)
    assert training.at.step == 8
