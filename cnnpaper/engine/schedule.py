"""The learning rate of every step."""

from __future__ import annotations

from cnnpaper.config import Recipe


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The triangle: linear from near zero to the peak, then linear to near zero.

    One cycle over the whole run, as in davidcpage/cifar10-fast and KellerJordan/cifar10-airbench.

    Args:
        recipe: peak and warm-up.
        step: from 0.
        steps: of the whole run.
    """
    done = (step + 0.5) / steps
    rise = done / recipe.warmup_fraction if recipe.warmup_fraction else 1.0
    fall = (1 - done) / (1 - recipe.warmup_fraction) if recipe.warmup_fraction < 1 else 1.0
    return recipe.peak_learning_rate * min(rise, fall, 1.0)
