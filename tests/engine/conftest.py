"""A run to vary: the recipe of the repository, synthetic images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnnpaper import config
from cnnpaper.config import RunSpec
from tests.conftest import REPOSITORY


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """A run of the smoke study with other values: of the recipe or of its data."""
    spec = config.run_specs(REPOSITORY, config.load_study(REPOSITORY, "smoke"))[0]

    def make(**values: Any) -> RunSpec:
        recipe = {k: v for k, v in values.items() if k in config.Recipe.model_fields}
        data = {k: v for k, v in values.items() if k in config.DataSpec.model_fields}
        changed = {
            "recipe": spec.recipe.model_copy(update=recipe),
            "data": spec.data.model_copy(update=data),
        }
        assert len(recipe) + len(data) == len(values)
        return spec.model_copy(update=changed)

    return make
