"""A small spec and small images, so that a training takes a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from cnnpaper.config import DataSpec, RunSpec, load_recipe  # noqa: E402
from cnnpaper.learn import data, models  # noqa: E402
from tests.learn import tiny  # noqa: E402

SMALL = DataSpec(set="synthetic", train_images=160, validation_images=100, test_images=100)
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def images() -> data.DataSet:
    """160 training, 100 validation and 100 test images, synthetic."""
    return data.synthetic(SMALL)


@pytest.fixture
def make_spec(monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSpec]:
    """Makes the spec of a run of the tiny network; keywords change the recipe."""
    monkeypatch.setitem(models.BUILDERS, "tiny", tiny.build)

    def make(*, epochs: int = 2, seed: int = 0, **recipe: Any) -> RunSpec:
        shared = load_recipe(REPOSITORY)
        return RunSpec(
            study="small",
            model="tiny",
            seed=seed,
            epochs=epochs,
            builder="tiny",
            initialisation="he_normal_fan_out",
            initialisation_std=0.01,
            threads=1,
            isa_cap=None,
            data=SMALL,
            recipe=shared.model_copy(update={"batch_size": 16, **recipe}),
        )

    return make
