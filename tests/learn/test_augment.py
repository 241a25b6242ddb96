"""What an epoch does to its images, against values worked out by hand and by numpy."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from cnnpaper.learn import augment

pytestmark = pytest.mark.train


@pytest.fixture
def ramp() -> np.ndarray:
    """Two images (2, 3, 32, 32) in which every pixel has another value or plane."""
    flat = np.arange(2 * 3 * 32 * 32, dtype=np.int64) * 7919 % 256
    return flat.reshape(2, 3, 32, 32).astype(np.uint8)


def _plan(order, row, column, mirrored) -> augment.EpochPlan:
    return augment.EpochPlan(
        order=torch.tensor(order),
        row=torch.tensor(row),
        column=torch.tensor(column),
        mirrored=torch.tensor(mirrored),
    )


def test_key_is_the_beginning_of_sha256() -> None:
    expected = int(hashlib.sha256(b"3/1/dropout").hexdigest()[:8], 16)
    assert augment.key(3, 1, "dropout") == expected
    assert expected < 2**32


@pytest.mark.parametrize("mode, numpy_mode", [("reflect", "reflect"), ("zeros", "constant")])
def test_crop_and_mirror_against_numpy(make_spec, ramp, mode, numpy_mode) -> None:
    recipe = make_spec(crop_mode=mode, crop_padding=4).recipe
    images = augment.padded(ramp, recipe)
    assert images.shape == (2, 40, 40, 3)
    plan = _plan([1, 0], [0, 8], [3, 5], [True, False])

    x = augment.batch(images, plan, slice(0, 2), recipe, 32)

    wide = np.pad(ramp, ((0, 0), (0, 0), (4, 4), (4, 4)), mode=numpy_mode)
    cut = np.stack([wide[1, :, 0:32, 3:35][:, :, ::-1], wide[0, :, 8:40, 5:37]])
    mean = np.array([0.4914, 0.4822, 0.4465]).reshape(1, 3, 1, 1)
    std = np.array([0.2470, 0.2435, 0.2616]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(x.numpy(), (cut / 255 - mean) / std, atol=2e-6)


def test_memory_format_is_as_asked(make_spec, ramp) -> None:
    pixels = torch.from_numpy(ramp.transpose(0, 2, 3, 1).copy())
    last = augment.normalise(pixels, "channels_last")
    first = augment.normalise(pixels, "contiguous")
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert first.is_contiguous()
    assert torch.equal(last, first)


def test_low_resolution_is_antialiased_bilinear(make_spec, ramp) -> None:
    recipe = make_spec(crop_padding=0).recipe
    plan = _plan([0, 1], [0, 0], [0, 0], [False, False])
    images = augment.padded(np.full_like(ramp, 255), recipe)
    x = augment.batch(images, plan, slice(0, 2), recipe, 24)
    assert x.shape == (2, 3, 24, 24)
    white = [(1 - m) / s for m, s in zip(augment.MEAN, augment.STD, strict=True)]
    for channel in range(3):  # an average of white pixels is white
        torch.testing.assert_close(x[:, channel], torch.full((2, 24, 24), white[channel]))


def test_every_image_once_and_all_corners_within_bounds(make_spec) -> None:
    recipe = make_spec(crop_padding=2).recipe
    plan = augment.epoch_plan(recipe, 1000, seed=5, epoch=3)
    assert sorted(plan.order.tolist()) == list(range(1000))
    assert set(plan.row.tolist()) == set(range(5))
    assert set(plan.column.tolist()) == set(range(5))


def test_plan_is_a_function_of_seed_and_epoch(make_spec) -> None:
    recipe = make_spec().recipe
    plan, same = (augment.epoch_plan(recipe, 100, seed=1, epoch=2) for _ in range(2))
    other_seed = augment.epoch_plan(recipe, 100, seed=2, epoch=2)
    other_epoch = augment.epoch_plan(recipe, 100, seed=1, epoch=3)
    for name in ("order", "row", "column", "mirrored"):
        assert torch.equal(getattr(plan, name), getattr(same, name))
    assert not torch.equal(plan.order, other_seed.order)
    assert not torch.equal(plan.order, other_epoch.order)


def test_alternating_flip_changes_every_image_every_epoch(make_spec) -> None:
    recipe = make_spec(flip="alternating").recipe

    def side(epoch: int) -> torch.Tensor:
        plan = augment.epoch_plan(recipe, 400, seed=0, epoch=epoch)
        sides = torch.empty(400, dtype=torch.bool)
        sides[plan.order] = plan.mirrored
        return sides

    assert torch.equal(side(0), ~side(1))
    assert torch.equal(side(0), side(2))
    assert 150 < int(side(0).sum()) < 250


def test_flip_none_and_random(make_spec) -> None:
    none = augment.epoch_plan(make_spec(flip="none").recipe, 400, seed=0, epoch=0)
    random = augment.epoch_plan(make_spec(flip="random").recipe, 400, seed=0, epoch=0)
    assert not none.mirrored.any()
    assert 150 < int(random.mirrored.sum()) < 250


@pytest.mark.parametrize(
    "epochs, expected",
    [(1, [32]), (2, [24, 32]), (3, [24, 32, 32]), (5, [24, 24, 32, 32, 32])],
)
def test_resolution_by_epoch(make_spec, epochs, expected) -> None:
    recipe = make_spec(low_resolution=24, low_resolution_share=0.5).recipe
    assert [augment.resolution(recipe, epoch, epochs) for epoch in range(epochs)] == expected
