"""Which figures a study has, and what those that are computed here show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cnnpaper.paper.compose import Composer, Document
from tests.figures.samples import check_layout, network
from tests.paper import invent
from tests.paper.conftest import ARMS

EIGHT = ["alexnet", "vgg16", "googlenet", "resnet18", "densenet121", "inception_v3",
         "mobilenet_v2", "resnet50"]  # fmt: skip


def study(root: Path, models: Sequence[str]) -> Document:
    """An invented study with real layers; its search has no logs."""
    data, found = invent.study(root, invent.Shape(models={m: m for m in models}, arms=ARMS))
    for path, run in data.logs.items():
        drawn = network(run.header.model if run.header.model != "resnet50" else "resnet18")
        data.logs[path] = replace(run, header=run.header.model_copy(update={"network": drawn}))
    return Composer(data, found, "en").document()


def test_a_whole_study_has_every_figure(tmp_path: Path) -> None:
    made = study(tmp_path, EIGHT[:4])
    assert list(made.drawings) == [
        "architectures", "step_time", "accuracy", "learning_curves",
    ]  # fmt: skip
    for drawing in made.drawings.values():
        check_layout(drawing.figure)
        assert drawing.file in made.files["paper.tex"]


def test_networks_that_need_more_than_a_page_are_drawn_one_by_one(tmp_path: Path) -> None:
    made = study(tmp_path, EIGHT)
    drawn = [name for name in made.drawings if name.startswith("architecture")]
    assert drawn == [f"architecture-{model}" for model in EIGHT]
