"""Which images train, validate and test; synthetic images; logits; first weights."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from cnnpaper import metrics
from cnnpaper.engine import evaluate, images
from cnnpaper.engine.initialise import build, initialise

pytestmark = pytest.mark.train
LABELS = (np.arange(60_000) * 7 % 10).astype(np.uint8)


def test_split_is_disjoint_balanced_and_nested(make_spec) -> None:
    full = make_spec(train_images=45_000, validation_images=5_000, test_images=10_000).data
    train, validation, test = images.split(LABELS, full)
    assert sorted([*train, *validation]) == list(range(50_000))
    assert np.bincount(LABELS[validation]).tolist() == [500] * 10
    assert test.tolist() == list(range(50_000, 60_000))
    few = make_spec(train_images=100, validation_images=50, test_images=0).data
    small_train, small_validation, no_test = images.split(LABELS, few)
    assert np.bincount(LABELS[small_train]).tolist() == [10] * 10
    assert set(small_train) <= set(train)
    assert set(small_validation) <= set(validation)
    assert len(no_test) == 0


def test_split_is_the_published_one(make_spec) -> None:
    """A constant decides it; whoever changes it makes every finished run incomparable."""
    full = make_spec(train_images=45_000, validation_images=5_000, test_images=10_000).data
    _, validation, _ = images.split(LABELS, full)

    # rank of each image: SplitMix64 (Steele, Lea and Flood 2014) with integers of Python
    def mixed(value: int) -> int:
        z = (value + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    of_class_3 = [i for i in range(50_000) if LABELS[i] == 3]
    first = sorted(of_class_3, key=lambda i: mixed(i + 0x5EED_C1FA_0000_0001))[:500]
    assert sorted(first) == [i for i in validation.tolist() if LABELS[i] == 3]


def test_synthetic_images_are_the_same_everywhere_and_can_be_told_apart(make_spec) -> None:
    data = images.synthetic(make_spec(train_images=300, validation_images=100).data)
    again = images.synthetic(make_spec(train_images=300, validation_images=100).data)
    assert data.digest == again.digest
    every = [data.train, data.validation, data.test]
    labels = b"".join(part.labels.tobytes() for part in every)
    pixels = b"".join(part.pixels.tobytes() for part in every)
    assert data.digest == hashlib.sha256(labels + pixels).hexdigest()
    assert np.bincount(data.train.labels).tolist() == [30] * 10
    means = np.stack([data.train.pixels[data.train.labels == c].mean(0) for c in range(10)])
    distance = ((data.validation.pixels[:, None] - means[None]) ** 2).sum((2, 3, 4))
    assert (distance.argmin(1) == data.validation.labels).mean() > 0.9


def test_logits_are_of_evaluation_mode_and_leave_training_mode() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(3072, 10)).train()
    pixels = torch.randint(0, 256, (1003, 32, 32, 3), dtype=torch.uint8)
    ticks: list[int] = []
    found = evaluate.logits(net, pixels, "contiguous", lambda: ticks.append(1))
    assert (found.shape, found.dtype, len(ticks), net.training) == ((1003, 10), np.float32, 3, True)
    mean, std = np.array(images.MEAN), np.array(images.STD)
    x = (pixels.numpy() / 255 - mean) / std
    weight = net[2].weight.detach().numpy()
    expected = x.transpose(0, 3, 1, 2).reshape(1003, -1) @ weight.T + net[2].bias.detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert evaluate.logits(net, pixels[:0], "contiguous").shape == (0, 10)


def test_metrics_by_hand() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1 / 3] * 3], dtype=np.float32))
    labels = np.array([0, 1, 1], dtype=np.uint8)
    assert metrics.accuracy(labels, logits) == 1 / 3  # of equal logits the first counts
    by_hand = -(math.log(0.5) + math.log(0.1) + math.log(1 / 3)) / 3
    assert metrics.cross_entropy(labels, logits) == pytest.approx(by_hand, rel=1e-6)
    huge = np.array([[1e4, 0.0]], dtype=np.float32)
    assert metrics.cross_entropy(np.array([1]), huge) == pytest.approx(1e4)


def test_first_weights_have_the_distributions_of_the_rule() -> None:
    torch.manual_seed(1)
    net = build("resnet18")
    conv = net.get_submodule("layer4.1.conv2").weight.detach().flatten().numpy()
    scaled = conv[::97] / math.sqrt(2 / (512 * 9))
    assert stats.kstest(scaled, "norm").pvalue > 0.001
    linear = net.get_submodule("fc")
    bound = 1 / math.sqrt(512)
    uniform = linear.weight.detach().flatten().numpy()
    assert stats.kstest(uniform, "uniform", args=(-bound, 2 * bound)).pvalue > 0.001
    assert not linear.bias.any()
    norm = net.get_submodule("bn1")
    assert (norm.weight == 1).all()
    assert not norm.bias.any()


def test_a_layer_that_the_rule_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="PReLU"):
        initialise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU()))
