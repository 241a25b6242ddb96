"""What an epoch does to its images, and the learning rate of its steps; by hand and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnpaper import config
from cnnpaper.engine import augment
from cnnpaper.engine.schedule import learning_rate
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.train


@pytest.fixture
def ramp() -> np.ndarray:
    """Two images (2, 3, 32, 32) in which neighbours differ."""
    flat = np.arange(2 * 3 * 32 * 32, dtype=np.int64) * 7919 % 256
    return flat.reshape(2, 3, 32, 32).astype(np.uint8)


@pytest.mark.parametrize("mode, numpy_mode", [("reflect", "reflect"), ("zeros", "constant")])
def test_crop_and_mirror_against_numpy(make_spec, ramp, mode, numpy_mode) -> None:
    recipe = make_spec(crop_mode=mode, crop_padding=4).recipe
    padded = augment.padded(ramp, recipe)
    assert padded.shape == (2, 40, 40, 3)
    plan = augment.EpochPlan(
        order=torch.tensor([1, 0]),
        row=torch.tensor([0, 8]),
        column=torch.tensor([3, 5]),
        mirrored=torch.tensor([True, False]),
    )
    x = augment.batch(padded, plan, slice(0, 2), recipe)
    wide = np.pad(ramp, ((0, 0), (0, 0), (4, 4), (4, 4)), mode=numpy_mode)
    cut = np.stack([wide[1, :, 0:32, 3:35][:, :, ::-1], wide[0, :, 8:40, 5:37]])
    mean = np.array([0.4914, 0.4822, 0.4465]).reshape(1, 3, 1, 1)
    std = np.array([0.2470, 0.2435, 0.2616]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(x.numpy(), (cut / 255 - mean) / std, atol=2e-6)


def test_every_image_once_and_all_corners(make_spec) -> None:
    plan = augment.epoch_plan(make_spec(crop_padding=2).recipe, 1000, seed=5, epoch=3)
    assert sorted(plan.order.tolist()) == list(range(1000))
    assert set(plan.row.tolist()) == set(plan.column.tolist()) == set(range(5))


def test_plan_is_a_function_of_seed_and_epoch(make_spec) -> None:
    recipe = make_spec().recipe
    plan = augment.epoch_plan(recipe, 100, seed=1, epoch=2)
    torch.rand(7)  # whatever else is drawn
    same = augment.epoch_plan(recipe, 100, seed=1, epoch=2)
    for name in ("order", "row", "column", "mirrored"):
        assert torch.equal(getattr(plan, name), getattr(same, name))
    for seed, epoch in ((2, 2), (1, 3)):
        other = augment.epoch_plan(recipe, 100, seed=seed, epoch=epoch)
        assert not torch.equal(plan.order, other.order)


def test_alternating_flip_shows_every_image_both_ways_in_two_epochs(make_spec) -> None:
    recipe = make_spec(flip="alternating").recipe

    def side(epoch: int) -> torch.Tensor:
        plan = augment.epoch_plan(recipe, 400, seed=0, epoch=epoch)
        sides = torch.empty(400, dtype=torch.bool)
        sides[plan.order] = plan.mirrored
        return sides

    assert torch.equal(side(0), ~side(1))
    assert torch.equal(side(0), side(2))
    assert 150 < int(side(0).sum()) < 250
    none = augment.epoch_plan(make_spec(flip="none").recipe, 400, seed=0, epoch=0)
    random = augment.epoch_plan(make_spec(flip="random").recipe, 400, seed=0, epoch=0)
    assert not none.mirrored.any()
    assert 150 < int(random.mirrored.sum()) < 250


# ------------------------------------------------------------------------------ learning rate


def test_the_triangle_by_hand(make_spec) -> None:
    """Ten steps, peak 1, warm-up 0.4: middles of steps on the two lines through (0.4, 1)."""
    recipe = make_spec(peak_learning_rate=1.0, warmup_fraction=0.4).recipe
    rates = [learning_rate(recipe, step, 10) for step in range(10)]
    up = [0.05 / 0.4, 0.15 / 0.4, 0.25 / 0.4, 0.35 / 0.4]
    down = [(1 - done) / 0.6 for done in (0.45, 0.55, 0.65, 0.75, 0.85, 0.95)]
    assert rates == pytest.approx(up + down)
    for warmup, expected in ((0.0, [0.75, 0.25]), (1.0, [0.25, 0.75])):
        recipe = make_spec(peak_learning_rate=1.0, warmup_fraction=warmup).recipe
        assert [learning_rate(recipe, step, 2) for step in range(2)] == pytest.approx(expected)


@given(warmup=st.floats(0, 1), steps=st.integers(1, 500), share=st.floats(0, 1, exclude_max=True))
def test_never_above_the_peak_never_zero(warmup: float, steps: int, share: float) -> None:
    recipe = config.load_recipe(REPOSITORY).model_copy(
        update={"peak_learning_rate": 0.3, "warmup_fraction": warmup}
    )
    assert 0 < learning_rate(recipe, int(share * steps), steps) <= 0.3
