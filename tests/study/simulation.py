"""Level and power of the primary test on invented studies of two networks.

An answer is correct where a sum of normal variables is positive: the network's offset, the image's
difficulty (shared by the networks), what this network finds hard in it (shared by its seeds), the
seed's quality (shared by its images) and chance. Accuracy, the deviation of seed accuracies and the
disagreement between two seeds and between two networks, all as measured on test images, determine
the model exactly.

``python -m tests.study.simulation`` prints level and power at five and three seeds (some minutes).
With ``--study reference`` accuracy and disagreements are those of the runs of its contrast.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t

from cnnpaper.study import stats

RNG = np.random.Generator
ALPHA = 0.05
TESTS = ("contrast", "welch")


@dataclass(frozen=True)
class Model:
    """Deviations of the parts, chance and images together having variance 1."""

    offset: float
    shared: float
    own: float
    chance: float
    seed: float


def correlation(accuracy: float, disagreement: float) -> float:
    """Of two standard normal variables that exceed a common threshold with P = ``accuracy``, and
    exactly one of them with P = ``disagreement`` (Owen 1956)."""
    threshold = ndtri(accuracy)

    def excess(rho: float) -> float:
        return 4 * owens_t(threshold, math.sqrt((1 - rho) / (1 + rho))) - disagreement

    return float(brentq(excess, 0.0, 1.0))


def model(
    accuracy: float, seed_sd: float, disagreement: float, network_disagreement: float, images: int
) -> Model:
    """The model in which one run has these properties; ``seed_sd`` as measured on ``images``."""
    seeds = correlation(accuracy, disagreement)
    networks = correlation(accuracy, network_disagreement)
    # of the deviation measured, chance answers make a part: r/n, and r is half the disagreement
    of_quality = math.sqrt(max(0.0, seed_sd**2 - disagreement / 2 / images))
    slope = math.exp(-(ndtri(accuracy) ** 2) / 2) / math.sqrt(2 * math.pi)
    seed = of_quality / slope
    return Model(
        # averaging over seeds flattens the curve; the offset makes up for it
        offset=float(ndtri(accuracy)) * math.sqrt(1 + seed**2),
        shared=math.sqrt(networks),
        own=math.sqrt(seeds - networks),
        chance=math.sqrt(1 - seeds),
        seed=seed,
    )


def answers(
    made: Model, shared: npt.NDArray[np.float32], seeds: int, accuracy: float | None, rng: RNG
) -> npt.NDArray[np.bool_]:
    """Answers of one network, (S, n).

    With ``accuracy`` it is what is expected over seeds on these very images, without it over images
    as well.
    """
    own = shared + np.float32(made.own) * rng.standard_normal(len(shared), dtype=np.float32)
    offset = made.offset
    if accuracy is not None:
        scale = math.hypot(made.chance, made.seed)
        for _ in range(3):  # Newton's method from a start that is nearly right
            z = (offset + own) / scale
            slope = float(np.exp(-z * z / 2).mean()) / math.sqrt(2 * math.pi) / scale
            offset -= (float(ndtr(z).mean()) - accuracy) / slope
    quality = offset + made.seed * rng.standard_normal(seeds)  # (S,)
    chance = rng.standard_normal((seeds, len(own)), dtype=np.float32)
    chance *= np.float32(made.chance)
    chance += own
    correct: npt.NDArray[np.bool_] = chance > -quality.astype(np.float32)[:, None]
    return correct


def simulate(
    *,
    seeds: int,
    accuracy: float,
    seed_sd: float,
    disagreement: float,
    difference: float,
    studies: int,
    rng: RNG,
    images: int = 10_000,
    network_disagreement: float | None = None,
    new_images: bool = True,
    alpha: float = ALPHA,
) -> dict[str, float]:
    """How often two networks are found to differ, by test.

    Args:
        seeds: of each network.
        accuracy: expected accuracy of the first network.
        seed_sd: deviation of seed accuracies as measured on the test images, a fraction.
        disagreement: share of images on which exactly one of two seeds is correct.
        difference: of the expected accuracies; with 0 the result is the level, else the power.
        network_disagreement: as ``disagreement``, of two networks; by default a half more.
        new_images: ``difference`` is one over all images; else it is that on the test images.
        alpha: level of one test; a third of it is what Holm's first step asks of three.

    Returns:
        Share of studies with p < ``alpha`` for the contrast and for Welch's test, and the means of
        what a study would measure: ``seed_sd`` (root mean square), ``disagreement``,
        ``difference``.
    """
    between = network_disagreement or 1.5 * disagreement
    expected = (accuracy, accuracy - difference)
    models = [model(one, seed_sd, disagreement, between, images) for one in expected]
    rejected = dict.fromkeys(TESTS, 0)
    variance = disagreed = found = 0.0
    for _ in range(studies):
        image = rng.standard_normal(images, dtype=np.float32)
        a, b = (
            answers(one, np.float32(one.shared) * image, seeds, None if new_images else goal, rng)
            for one, goal in zip(models, expected, strict=True)
        )
        by_seed = a.mean(axis=1), b.mean(axis=1)
        for test, p in zip(TESTS, (stats.contrast(a, b).p, stats.welch(*by_seed)), strict=True):
            rejected[test] += p is not None and p < alpha
        variance += float(by_seed[0].var(ddof=1)) / studies
        disagreed += 2 * stats.answer_noise(a) / studies
        found += float(by_seed[0].mean() - by_seed[1].mean()) / studies
    shares = {test: count / studies for test, count in rejected.items()}
    measured = {"seed_sd": math.sqrt(variance), "disagreement": disagreed, "difference": found}
    return shares | measured


def cells(
    studies: int,
    accuracy: float,
    disagreement: float,
    between: float | None = None,
    alpha: float = ALPHA,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Level for the same and for new images, and power for one point."""
    kinds = (("same", False, 0.0), ("new", True, 0.0), ("power", True, 0.01))
    for number, (seeds, sd, (kind, new_images, difference)) in enumerate(
        itertools.product((5, 3), (0.003, 0.0045, 0.006), kinds)
    ):
        yield (
            f"{seeds} seeds, sd {100 * sd:g}, {kind}",
            simulate(
                seeds=seeds,
                accuracy=accuracy,
                seed_sd=sd,
                disagreement=disagreement,
                network_disagreement=between,
                difference=difference,
                studies=studies,
                new_images=new_images,
                alpha=alpha,
                rng=np.random.default_rng([20260, number]),
            ),
        )


def planned(seeds: int, seed_sd: float, images_variance: float) -> stats.Difference:
    """The error that the contrast of two networks should have.

    Args:
        seeds: of each network.
        seed_sd: standard deviation of a network's seed accuracies.
        images_variance: the contrast's third term, which estimates (disagreement of the networks
            minus the mean disagreement of their seeds − squared difference) / n.
    """
    part = seed_sd**2 / seeds
    variance = 2 * part + images_variance
    df = variance**2 / (2 * part**2 / (seeds - 1))
    return stats.Difference(difference=0.0, variance=variance, df=df)


def measured(study: str) -> dict[str, float]:
    """Accuracy and disagreements of the runs of a study's contrast, means over its networks."""
    from cnnpaper.study.analysis import correct, shown
    from cnnpaper.study.load import load

    data = load(Path(), study, allow_stale=True)
    plan = data.study.contrast
    paths = shown(data, plan.arm) if plan else {}
    if plan is None or min(map(len, paths.values()), default=0) < 2:
        raise SystemExit(f"study {study} has no contrast of two seeds yet; give --disagreement")
    answers = {model: correct(data, own) for model, own in paths.items()}
    base = answers[plan.baseline].mean(axis=0)
    others = [own.mean(axis=0) for model, own in answers.items() if model != plan.baseline]
    return {
        "accuracy": float(np.mean([own.mean() for own in answers.values()])),
        "disagreement": float(np.mean([2 * stats.answer_noise(own) for own in answers.values()])),
        "between": float(np.mean([own + base - 2 * own * base for own in others])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", help="measure the following three in its logs")
    parser.add_argument("--accuracy", type=float, default=0.8)
    parser.add_argument("--disagreement", type=float, default=0.12, help="between two seeds")
    parser.add_argument("--between", type=float, help="disagreement between two networks")
    parser.add_argument("--studies", type=int, default=4000, help="in each cell")
    parser.add_argument("--alpha", type=float, default=ALPHA)
    chosen = vars(parser.parse_args())
    if study := chosen.pop("study"):
        chosen |= measured(study)
        print(
            study, *(f"{key} {chosen[key]:.4f}" for key in ("accuracy", "disagreement", "between"))
        )
    for name, found in cells(**chosen):
        print(name, *(f"{key} {value:.4f}" for key, value in found.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
