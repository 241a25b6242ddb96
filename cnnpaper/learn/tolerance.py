"""How far a network's losses may be apart where the bits are others, as it was measured.

Kernels add the same numbers in another order when the number of threads or the instruction set is
another one; training amplifies that. ``spread.toml``, written by :mod:`cnnpaper.learn.spread`, has
for each network the largest relative difference that this made. Only the first full-size steps are
compared: they have many images and a small learning rate, so their losses stay together, while the
few images of a miniature let accuracies jump.
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


def of(model: str) -> float:
    """Largest relative difference that is allowed for a loss of a first step.

    A network that was not measured gets the largest spread of those that were.
    """
    known = {name: max(LEAST, entry["first_steps"]) for name, entry in _spread().items()}
    return MULTIPLE * known.get(model, max(known.values()))


@cache
def _spread() -> dict[str, dict[str, Any]]:
    networks: dict[str, dict[str, Any]] = read_toml(FILE)["network"]
    return networks
