"""Papers about networks of equal expected accuracy: how often does one of them say otherwise?

Each document is invented from the top: images of different difficulty, networks that find different
images hard, seeds that shift the accuracy of a whole run, and chance in every answer. All networks
have the same expected accuracy, so every sentence that ranks two of them is false. The sentences
are those of :mod:`cnnpaper.paper.claims`; what is counted is the documents with at least one.

In full (2,000 documents a cell, some minutes on one core): ``python tests/paper/simulation.py``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student

from cnnpaper.paper.analysis import Analysis, Network
from cnnpaper.paper.claims import Claims
from cnnpaper.paper.ledger import Ledger
from cnnpaper.paper.stats import ALPHA, LEVEL, accuracy

EXPECTED = 0.8
IMAGE_SD, NETWORK_IMAGE_SD, CHANCE_SD = 1.0, 0.6, 0.5
"""On the scale on which an answer is right above 0: difficulty of an image, the same for one
network, and chance in one answer. Two seeds of a network then differ on about a tenth of the
images, two networks on a sixth."""
SEEDS = (2, 3, 5, 20)
NETWORKS = 4
SPREADS: tuple[tuple[float, ...], ...] = (
    (0.0, 0.0, 0.0, 0.0),
    (0.3, 0.3, 0.3, 0.3),
    (1.0, 1.0, 1.0, 1.0),
    (0.0, 0.3, 1.0, 3.0),
)
"""Standard deviation over seeds of each network's accuracy, in points; the last row tries networks
that differ in it."""
ALLOWED_SHARE = 122 / 2000


@dataclass
class Cell:
    """What one setting gave."""

    spread: str
    seeds: int
    networks: int
    documents: int = 0
    false: int = 0
    """Documents with a false comparing sentence."""
    covered: int = 0
    """Intervals, of all networks, that hold the expected accuracy."""
    false_t: int = 0
    """Documents in which one t with Satterthwaite's degrees of freedom would have separated."""
    covered_t: int = 0

    @property
    def coverage(self) -> float:
        return self.covered / (self.documents * self.networks)

    @property
    def sound(self) -> bool:
        """Few enough false documents, and coverage not below the level by two errors."""
        error = math.sqrt(LEVEL * (1 - LEVEL) / self.documents)
        share = self.false / self.documents
        slack = 2 * math.sqrt(ALLOWED_SHARE * (1 - ALLOWED_SHARE) / self.documents)
        # in full the bound itself holds; a small run has its own chance on top
        allowed = ALLOWED_SHARE if self.documents >= 2000 else ALLOWED_SHARE + slack
        return share <= allowed and self.coverage >= LEVEL - 2 * error

    def __str__(self) -> str:
        t_share, t_coverage = self.false_t / self.documents, self.covered_t
        compared = (
            f"  one t: {t_share:.3f} {t_coverage / (self.documents * self.networks):.3f}"
            if self.seeds > 1
            else ""
        )
        return (
            f"sd {self.spread:<15} seeds {self.seeds:>2} networks {self.networks}: false "
            f"{self.false:>4} of {self.documents} ({self.false / self.documents:.3f}), coverage "
            f"{self.coverage:.3f}{compared}{'' if self.sound else '  NOT SOUND'}"
        )


def answers(
    rng: np.random.Generator, spread: Sequence[float], seeds: int, images: int
) -> npt.NDArray[np.bool_]:
    """Right or wrong, (networks, seeds, images); every network expects EXPECTED."""
    count = len(spread)
    total = math.sqrt(IMAGE_SD**2 + NETWORK_IMAGE_SD**2 + CHANCE_SD**2)
    slope = norm.pdf(norm.ppf(EXPECTED)) / total  # accuracy per unit of the scale
    seed_sd = np.array(spread) / 100 / slope  # (networks,)
    # averaging over seeds flattens the curve; the offset makes up for it exactly
    offset = norm.ppf(EXPECTED) * np.sqrt(total**2 + seed_sd**2)
    shift = offset[:, None] + seed_sd[:, None] * rng.standard_normal((count, seeds))
    image = IMAGE_SD * rng.standard_normal(images, dtype=np.float32)
    own = image + NETWORK_IMAGE_SD * rng.standard_normal((count, images), dtype=np.float32)
    chance = rng.standard_normal((count, seeds, images), dtype=np.float32)
    chance *= CHANCE_SD
    chance += own[:, None, :]
    return chance > -shift.astype(np.float32)[:, :, None]


def fixed_networks(rng: np.random.Generator, count: int, images: int) -> npt.NDArray[np.bool_]:
    """Answers of trained networks that do not vary, on images drawn anew: (count, 1, images)."""
    total = math.sqrt(IMAGE_SD**2 + NETWORK_IMAGE_SD**2)
    image = IMAGE_SD * rng.standard_normal(images, dtype=np.float32)
    own = image + NETWORK_IMAGE_SD * rng.standard_normal((count, images), dtype=np.float32)
    return (own > -norm.ppf(EXPECTED) * total)[:, None, :]


def study(correct: npt.NDArray[np.bool_]) -> Analysis:
    """The statistics of an invented study, (networks, seeds, images)."""
    networks = []
    for position, array in enumerate(correct):
        runs = tuple(f"n{position}-s{seed}" for seed in range(len(array)))
        networks.append(
            Network(
                key=f"n{position}",
                name=f"Net {position}",
                reading="망",
                planned=runs,
                finished=runs,
                tested=runs,
                correct=array,
                accuracy=accuracy(array),
            )
        )
    return Analysis(networks=tuple(networks))


def compares(analysis: Analysis) -> bool:
    """Does any sentence of the paper say that one network is more accurate than another?"""
    claims = Claims(analysis, Ledger())
    written = [*claims.pairs(), *claims.most_accurate(), *claims.abstract(), claims.separated()]
    written += [claim for network in analysis.networks for claim in claims.network(network.key)]
    return any(claim.asserts for claim in written)


def count(cell: Cell, correct: npt.NDArray[np.bool_]) -> None:
    """Add one document to a cell."""
    analysis = study(correct)
    cell.documents += 1
    cell.false += compares(analysis)
    found = [network.accuracy for network in analysis.networks if network.accuracy]
    cell.covered += sum(one.low <= EXPECTED <= one.high for one in found)
    if cell.seeds > 1:
        false, covered = one_t(correct)
        cell.false_t += false
        cell.covered_t += covered


def one_t(correct: npt.NDArray[np.bool_]) -> tuple[bool, int]:
    """For comparison: t = Δ/√V with Satterthwaite's degrees of freedom of all of V."""
    count, seeds, images = correct.shape
    by_seed = correct.sum(axis=2) / images  # (networks, seeds)
    by_image = correct.sum(axis=1) / seeds  # (networks, images)
    part = by_seed.var(axis=1, ddof=1) / seeds

    def half(parts: list[float], of_images: float, alpha: float) -> float:
        total = sum(parts) + of_images
        squares = sum(p**2 / (seeds - 1) for p in parts) + of_images**2 / (images - 1)
        return float(student.isf(alpha / 2, total**2 / squares)) * math.sqrt(total)

    pairs = list(combinations(range(count), 2))
    false = any(
        abs(by_seed[a].mean() - by_seed[b].mean())
        > half(
            [part[a], part[b]], (by_image[a] - by_image[b]).var(ddof=1) / images, ALPHA / len(pairs)
        )
        for a, b in pairs
    )
    covered = sum(
        abs(by_seed[m].mean() - EXPECTED)
        <= half([part[m]], by_image[m].var(ddof=1) / images, ALPHA)
        for m in range(count)
    )
    return false, covered


def simulate(documents: int, images: int, seed: int = 0) -> Iterator[Cell]:
    """Every cell in turn; one set of answers serves all numbers of seeds of a document."""
    for row, spread in enumerate(SPREADS):
        label = f"{spread[0]:g}" if len(set(spread)) == 1 else "/".join(f"{s:g}" for s in spread)
        cells = [Cell(spread=label, seeds=seeds, networks=NETWORKS) for seeds in SEEDS]
        rng = np.random.default_rng([seed, row])
        for _ in range(documents):
            correct = answers(rng, spread, max(SEEDS), images)
            for cell in cells:
                count(cell, correct[:, : cell.seeds])
        yield from cells
    for networks in (2, NETWORKS):
        cell = Cell(spread="fixed", seeds=1, networks=networks)
        rng = np.random.default_rng([seed, len(SPREADS), networks])
        for _ in range(documents):
            count(cell, fixed_networks(rng, networks, images))
        yield cell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=2000, help="in each cell")
    parser.add_argument("--images", type=int, default=10_000, help="test images of a document")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    started, sound = time.monotonic(), True
    for cell in simulate(chosen.documents, chosen.images, chosen.seed):
        print(cell, flush=True)
        sound = sound and cell.sound
    print(f"{time.monotonic() - started:.0f} s; {'all cells sound' if sound else 'NOT SOUND'}")
    return 0 if sound else 1


if __name__ == "__main__":
    raise SystemExit(main())
