"""Which figures a study has, and what those that are computed here show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnpaper.log import Predictions
from cnnpaper.paper.compose import Document, compose_data
from cnnpaper.paper.drawings import reliability
from tests.figures.samples import check_layout, network
from tests.paper import invent
from tests.paper.conftest import ARMS

EIGHT = ["alexnet", "vgg16", "googlenet", "resnet18", "densenet121", "inception_v3",
         "mobilenet_v2", "resnet50"]  # fmt: skip


def study(root: Path, models: Sequence[str]) -> Document:
    """An invented study with real layers and with predictions; its search has no logs."""
    data, found = invent.study(root, invent.Shape(models={m: m for m in models}, arms=ARMS))
    random = np.random.default_rng(0)
    for path, run in data.logs.items():
        drawn = network(run.header.model if run.header.model != "resnet50" else "resnet18")
        data.logs[path] = replace(run, header=run.header.model_copy(update={"network": drawn}))
        labels = random.integers(0, 10, 300).astype(np.uint8)
        logits = (random.normal(0, 1, (300, 10)) + 3 * np.eye(10)[labels]).astype(np.float32)
        data.predictions[path] = Predictions(
            val_labels=labels, val_logits=logits, test_labels=labels, test_logits=logits
        )
    by_model = {m: tuple(p for p, r in data.logs.items() if r.header.model == m) for m in models}
    rows = tuple(replace(row, paths=by_model[row.model]) for row in found.calibration)
    return compose_data(data, replace(found, calibration=rows), "en")


def test_a_whole_study_has_every_figure(tmp_path: Path) -> None:
    made = study(tmp_path, EIGHT[:4])
    assert list(made.drawings) == [
        "architectures", "step_time", "accuracy", "learning_curves", "calibration",
    ]  # fmt: skip
    for drawing in made.drawings.values():
        check_layout(drawing.figure)
        assert drawing.file in made.files["paper.tex"]


def test_networks_that_need_more_than_a_page_are_drawn_one_by_one(tmp_path: Path) -> None:
    made = study(tmp_path, EIGHT)
    drawn = [name for name in made.drawings if name.startswith("architecture")]
    assert drawn == [f"architecture-{model}" for model in EIGHT]


def test_reliability_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnpaper.paper.drawings.CALIBRATION_BINS", 2)
    confidence = np.array([0.6, 0.9, 0.7, 0.8])
    logits = np.log(np.column_stack([confidence, 1 - confidence]))
    found = reliability(np.array([0, 0, 1, 0]), logits)
    assert np.allclose(found, [[0.65, 0.5], [0.85, 1.0]])
