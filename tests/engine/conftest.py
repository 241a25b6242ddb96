"""A run to vary: the recipe of the repository, synthetic images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import config
from cnnpaper.config import RunSpec

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """A run of the smoke study with other values: of the recipe, of its data, or its own."""

    def make(**values: Any) -> RunSpec:
        spec = config.run_specs(REPOSITORY, config.load_study(REPOSITORY, "smoke"))[0]
        parts: dict[str, dict[str, Any]] = {"recipe": {}, "data": {}, "": {}}
        for name, value in values.items():
            where = "recipe" if name in config.Recipe.model_fields else ""
            where = "data" if name in config.DataSpec.model_fields else where
            parts[where][name] = value
        return spec.model_copy(
            update={
                "recipe": spec.recipe.model_copy(update=parts["recipe"]),
                "data": spec.data.model_copy(update=parts["data"]),
                **parts[""],
            }
        )

    return make
