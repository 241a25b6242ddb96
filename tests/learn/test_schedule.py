"""The plan of a run as the paper computes it is the one that training follows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnpaper import config, schedule
from cnnpaper.config import RunSpec
from tests.fabricate import REPOSITORY

pytestmark = pytest.mark.train
STUDY = config.load_study(REPOSITORY, "reference")
SPEC = config.run_spec(REPOSITORY, STUDY, "resnet18", 0)

shares = st.one_of(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def specs(draw: st.DrawFn) -> RunSpec:
    recipe = SPEC.recipe.model_copy(
        update={
            "batch_size": draw(st.integers(2, 600)),
            "warmup_share": draw(shares),
            "low_resolution_share": draw(shares),
            "peak_learning_rate": draw(st.floats(1e-4, 10)),
        }
    )
    data = SPEC.data.model_copy(update={"train_images": draw(st.integers(10, 3000))})
    epochs = draw(st.integers(1, 40))
    return SPEC.model_copy(update={"recipe": recipe, "data": data, "epochs": epochs})


@given(specs(), st.data())
def test_training_follows_the_schedule(spec: RunSpec, data: st.DataObject) -> None:
    from cnnpaper.learn import augment
    from cnnpaper.learn.train import Training

    stand_in: Any = SimpleNamespace(
        spec=spec, recipe=spec.recipe, _labels=range(spec.data.train_images)
    )
    steps = cast(Any, Training.steps).fget(stand_in)
    assert schedule.steps(spec.data.train_images, spec.recipe.batch_size) == steps
    stand_in.steps = steps
    epoch = data.draw(st.integers(0, spec.epochs - 1))
    step = data.draw(st.integers(0, steps - 1))
    learnt = Training.learning_rate(stand_in, epoch, step)
    assert schedule.learning_rate(spec, epoch, step) == pytest.approx(learnt, rel=1e-9)
    side = augment.resolution(spec.recipe, epoch, spec.epochs)
    assert schedule.resolution(spec, epoch) == side


def test_images_of_an_epoch() -> None:
    """A last batch of one image is left out."""
    assert schedule.images_learnt(257, 128) == 256
    assert schedule.images_learnt(258, 128) == 258
    assert [schedule.steps(n, 128) for n in (256, 257, 258, 45_000)] == [2, 2, 3, 352]
