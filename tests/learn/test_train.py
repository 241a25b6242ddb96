"""Training, against formulas written out anew, and against itself after a stop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from cnnpaper.learn import augment
from cnnpaper.learn.replay import miniature
from cnnpaper.learn.train import Listener, Training, fit

pytestmark = pytest.mark.train
CPU = torch.device("cpu")


class Collector(Listener):
    """Keeps what it is told, and can leave after a given step."""

    def __init__(self, leave_after: tuple[int, int] | None = None) -> None:
        self.lines, self.losses, self.leave_after = [], [], leave_after
        self.tests = 0

    def after_step(self, training, loss) -> None:
        self.losses.append(float(loss))
        if (training.at.epoch, training.at.step) == self.leave_after:
            raise KeyboardInterrupt

    def after_epoch(self, training, line) -> None:
        self.lines.append(line)

    def before_test(self, training) -> None:
        self.tests += 1


def _metrics(lines) -> list[tuple[float | None, ...]]:
    return [(e.train_loss, e.train_acc, e.val_loss, e.val_acc, e.learning_rate) for e in lines]


def test_learning_rate_is_a_triangle(make_spec, images) -> None:
    spec = make_spec(epochs=2, peak_learning_rate=0.4, warmup_share=0.25)
    training = Training(spec, images, CPU)
    assert training.steps == 10  # 160 images, 16 a step
    rates = [training.learning_rate(epoch, step) for epoch in range(2) for step in range(10)]
    # 20 steps, the middle of step k at (k + 0.5) / 20; the peak at a quarter, after step 5
    assert rates[0] == pytest.approx(0.4 * 0.5 / 5)
    assert rates[4] == pytest.approx(0.4 * 4.5 / 5)
    assert rates[5] == pytest.approx(0.4 * 14.5 / 15)
    assert rates[19] == pytest.approx(0.4 * 0.5 / 15)


@pytest.mark.parametrize("share, first, last", [(0.0, 0.975, 0.025), (1.0, 0.025, 0.975)])
def test_learning_rate_without_rise_or_fall(make_spec, images, share, first, last) -> None:
    training = Training(
        make_spec(epochs=2, peak_learning_rate=1.0, warmup_share=share), images, CPU
    )
    assert training.learning_rate(0, 0) == pytest.approx(first)
    assert training.learning_rate(1, 9) == pytest.approx(last)


def test_steps_are_nesterov_sgd_with_decay_on_weights_only(make_spec, images) -> None:
    """Three steps against the update rule of Sutskever et al. (2013) as torch documents it."""
    spec = make_spec(epochs=1, weight_decay=0.01, label_smoothing=0.2, clip_norm=0.5)
    training = Training(spec, images, CPU)
    reference = Training(spec, images, CPU)
    net, recipe = reference.net, spec.recipe
    velocity = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    plan = augment.epoch_plan(recipe, 160, spec.seed, 0)
    for step in range(3):
        x = augment.batch(reference._images, plan, slice(16 * step, 16 * step + 16), recipe, 32)
        y = torch.from_numpy(images.train.labels[plan.order[16 * step : 16 * step + 16]]).long()
        torch.manual_seed(augment.key(spec.seed, 0, step, "dropout"))
        net.zero_grad()
        log_p = functional.log_softmax(net(x), dim=1)
        target = 0.8 * functional.one_hot(y, 10) + 0.02
        (-(target * log_p).sum(1).mean()).backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in net.parameters()))
        rate = reference.learning_rate(0, step)
        with torch.no_grad():
            for name, p in net.named_parameters():
                g = p.grad * min(1.0, 0.5 / norm)
                if p.ndim > 1:
                    g = g + 0.01 * p
                velocity[name] = 0.9 * velocity[name] + g
                p -= rate * (g + 0.9 * velocity[name])
    with pytest.raises(KeyboardInterrupt):
        fit(training, Collector(leave_after=(0, 3)))
    for (name, mine), (_, theirs) in zip(
        training.net.named_parameters(), net.named_parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6, msg=name)


def test_epoch_line_is_the_mean_over_its_images(make_spec, images) -> None:
    notes = Collector()
    training = Training(make_spec(epochs=1), images, CPU)
    predicted = fit(training, notes)
    (line,) = notes.lines
    assert line.train_loss == pytest.approx(np.mean(notes.losses), rel=1e-12)
    assert line.train_acc * 160 == int(line.train_acc * 160)
    labels = torch.from_numpy(images.validation.labels).long()
    training.net.eval()
    with torch.no_grad():
        pixels = torch.from_numpy(images.validation.pixels).permute(0, 2, 3, 1)
        logits = training.net(augment.normalise(pixels, "channels_last"))
    assert line.val_loss == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-5)
    assert line.val_acc == float((logits.argmax(1) == labels).double().mean())
    assert predicted is not None
    assert predicted.logits.shape == predicted.logits_tta.shape == (100, 10)
    assert notes.tests == 1


def test_flip_averaging_is_the_mean_of_both_sides(make_spec, images) -> None:
    training = Training(make_spec(epochs=1), images, CPU)
    predicted = fit(training, Listener())
    net = training.net.eval()
    with torch.no_grad():
        pixels = torch.from_numpy(images.test.pixels).permute(0, 2, 3, 1)
        both = [net(augment.normalise(p, "channels_last")) for p in (pixels, pixels.flip(2))]
    expected = (both[0] + both[1]).numpy() / 2
    np.testing.assert_allclose(predicted.logits_tta, expected, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(predicted.logits, predicted.logits_tta)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("leave_after", [(0, 1), (0, 10), (1, 7), (2, 10)])
def test_a_resumed_training_has_the_same_bits(make_spec, images, leave_after, ema_decay) -> None:
    spec = make_spec(epochs=3, ema_decay=ema_decay)
    whole, notes = Training(spec, images, CPU), Collector()
    expected = fit(whole, notes)

    first, early = Training(spec, images, CPU), Collector(leave_after)
    with pytest.raises(KeyboardInterrupt):
        fit(first, early)
    second, late = Training(spec, images, CPU), Collector()
    second.restore(first.state())
    predicted = fit(second, late)

    assert second.digest() == whole.digest()
    assert predicted.to_bytes() == expected.to_bytes()
    assert _metrics(early.lines + late.lines) == _metrics(notes.lines)
    assert early.losses + late.losses == notes.losses
    assert (second.at.best_epoch, second.at.best_val_acc) == (
        whole.at.best_epoch,
        whole.at.best_val_acc,
    )


def test_another_seed_gives_another_run(make_spec, images) -> None:
    digests = set()
    for seed in (0, 1):
        training = Training(make_spec(epochs=1, seed=seed), images, CPU)
        fit(training, Listener())
        digests.add(training.digest())
    assert len(digests) == 2


def test_average_of_weights_by_hand(make_spec, images) -> None:
    spec = make_spec(epochs=1, ema_decay=0.75)
    training = Training(spec, images, CPU)
    initial = training.net[0].weight.detach().clone()
    with pytest.raises(KeyboardInterrupt):
        fit(training, Collector(leave_after=(0, 1)))
    expected = 0.75 * initial + 0.25 * training.net[0].weight.detach()
    torch.testing.assert_close(training.ema[0].weight.detach(), expected)
    assert torch.equal(training.ema[1].running_mean, training.net[1].running_mean)


def test_best_epoch_is_the_first_of_the_best_and_is_what_is_tested(make_spec, images) -> None:
    spec = make_spec(epochs=3)
    training = Training(spec, images, CPU)
    accuracies = iter([0.5, 0.7, 0.7])
    training._validate = lambda listener: (1.0, next(accuracies))
    kept = {}

    class Keeper(Listener):
        def after_epoch(self, training, line) -> None:
            kept[line.epoch] = {k: v.clone() for k, v in training.net.state_dict().items()}

    fit(training, Keeper())
    assert training.at.best_epoch == 1
    for name, value in training.best.items():
        assert torch.equal(value, kept[1][name])
    assert not torch.equal(training.best["0.weight"], training.net.state_dict()["0.weight"])


def test_a_loss_that_is_not_finite_ends_the_run(make_spec, images) -> None:
    training, notes = Training(make_spec(epochs=3), images, CPU), Collector()
    with torch.no_grad():
        training.net[0].weight.fill_(float("nan"))
    assert fit(training, notes) is None
    (line,) = notes.lines
    assert training.at.diverged
    assert line.train_loss is None
    assert line.nonfinite == {"train_loss": "nan"}
    assert line.val_acc is None
    assert notes.tests == 0
    assert training.at.best_epoch is None


@pytest.mark.parametrize(
    "batch_size, steps",
    [(16, 10), (50, 4), (53, 3), (159, 1), (200, 1)],  # 160 = 3 x 53 + 1 = 159 + 1
)
def test_a_last_batch_of_one_image_is_left_out(make_spec, images, batch_size, steps) -> None:
    training = Training(make_spec(epochs=1, batch_size=batch_size), images, CPU)
    assert training.steps == steps
    fit(training, notes := Collector())
    assert len(notes.losses) == steps


def test_miniature_is_repeatable_and_enters_the_whole_training(make_spec, images) -> None:
    spec = make_spec(epochs=3)
    first, again = (miniature(spec, images, CPU) for _ in range(2))
    assert first == again
    assert [set(epoch) >= {"train_loss", "val_acc"} for epoch in first.metrics["epochs"]] == [
        True
    ] * 3
    for name in ("train:Training.restore", "train:Training.test", "augment:batch", "train:fit"):
        assert f"cnnpaper.learn.{name}" in first.functions
    other = miniature(spec.model_copy(update={"seed": 1}), images, CPU)
    assert other.state_digest != first.state_digest
