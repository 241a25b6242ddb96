"""How far a network's losses may be apart where the bits are others, as it was measured.

Kernels add the same numbers in another order when the number of threads or the instruction set is
another one, and training amplifies that, up to a hundred times in a step where there is batch norm.
``spread.toml``, written by :mod:`cnnpaper.learn.spread`, has for each network the largest relative
difference that this made. Only the first full-size steps are compared, each within its own
tolerance: the miniature, with few images and the whole cycle of learning rates, was seen to come
out with losses that differ by tens of percent, and no tolerance around that would say anything.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from cnnpaper.config import read_toml

FILE = Path(__file__).with_name("spread.toml")
MULTIPLE = 10
"""Times the measured spread: other processors may be further apart than what was measured."""
LEAST = 2.0**-23
"""Distance of two neighbouring float32 numbers; a spread counts as at least that."""


def of(model: str, step: int) -> float:
    """Largest relative difference that is allowed for the loss of first step ``step``, from 0.

    A network that was not measured gets the largest spread of those that were.
    """
    measured = _spread()
    rows = [measured[model]] if model in measured else measured.values()
    return MULTIPLE * max(LEAST, *(max(row["first_steps"][: step + 1]) for row in rows))


@cache
def _spread() -> dict[str, dict[str, Any]]:
    networks: dict[str, dict[str, Any]] = read_toml(FILE)["network"]
    return networks
