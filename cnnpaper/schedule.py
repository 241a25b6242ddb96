"""What a run's plan says about every epoch, whatever is learnt: steps, learning rate, resolution.

Training computes these for itself (:mod:`cnnpaper.learn.train`); here they are computed a second
time, without torch, so that the paper can tell whether a log follows the recipe that it prints. A
test holds the two together.
"""

from __future__ import annotations

from cnnpaper.config import RunSpec

SIDE = 32
"""Of an image of CIFAR-10, in pixels."""


def images_learnt(train_images: int, batch_size: int) -> int:
    """Images that an epoch learns from: a last batch of one image is left out."""
    return train_images - (train_images % batch_size == 1)


def steps(train_images: int, batch_size: int) -> int:
    """Steps of an epoch."""
    return -(-images_learnt(train_images, batch_size) // batch_size)


def learning_rate(spec: RunSpec, epoch: int, step: int) -> float:
    """The rate of one step, both from 0: up to the peak in a line, then down in a line."""
    recipe = spec.recipe
    of_epoch = steps(spec.data.train_images, recipe.batch_size)
    done = (epoch * of_epoch + step + 0.5) / (spec.epochs * of_epoch)
    top = recipe.warmup_share
    if done < top:
        return recipe.peak_learning_rate * done / top
    return recipe.peak_learning_rate * ((1 - done) / (1 - top) if top < 1 else 1.0)


def resolution(spec: RunSpec, epoch: int) -> int:
    """Side of the training images of ``epoch`` (from 0), in pixels."""
    low = int(spec.recipe.low_resolution_share * spec.epochs)
    return spec.recipe.low_resolution if epoch < low else SIDE
