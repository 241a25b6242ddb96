"""The images of a trial: training images alone, none of them twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnpaper.config import DataSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import data, trials
from cnnpaper.learn.sources import Identity

LABELS = (np.arange(60_000) % 10).astype(np.uint8)
TRIAL = DataSpec(
    set="any", train_images=15_000, validation_images=5_000, test_images=0, held_out="training"
)


def numbered() -> np.ndarray:
    """(60000, 3073): every image carries its own number in its first pixels."""
    records = np.zeros((60_000, 3073), dtype=np.uint8)
    records[:, 0] = LABELS
    for byte in range(2):
        records[:, 1 + byte] = np.arange(60_000) >> (8 * byte) & 255
    return records


def numbers(images: data.Images) -> np.ndarray:
    pixels = images.pixels.reshape(len(images.labels), -1).astype(int)
    return pixels[:, 0] + 256 * pixels[:, 1]


def test_a_trial_learns_and_is_scored_on_training_images_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = Identity(name="numbered", digest="0" * 64, address=None)
    monkeypatch.setattr(trials, "records_of", lambda *_: (identity, numbered()))
    found = trials.load(TRIAL, tmp_path, tmp_path)
    train, scored = numbers(found.train), numbers(found.validation)
    allowed = data.split(LABELS, DataSpec(set="any"))[0]
    assert (len(train), len(scored)) == (15_000, 5_000)
    assert len({*train, *scored}) == 20_000  # no image twice
    assert {*train, *scored} <= set(allowed)  # neither a validation nor a test image
    assert np.bincount(found.validation.labels).tolist() == [500] * 10
    assert np.array_equal(LABELS[train], found.train.labels)
    # the same third as that of a study that trains on a third
    assert train.tolist() == data.split(LABELS, TRIAL)[0].tolist()
    assert found.test is found.validation  # no test image is in memory


def test_without_held_out_images_it_is_the_study_s_data(tmp_path: Path) -> None:
    small = DataSpec(set="synthetic", train_images=20, validation_images=10, test_images=10)
    assert trials.load(small, tmp_path, tmp_path).digest == data.synthetic(small).digest


def test_synthetic_images_are_not_held_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="synthetic images"):
        trials.load(DataSpec(set="synthetic", held_out="training"), tmp_path, tmp_path)
