"""Statistics of test accuracy and calibration: plain arrays in, frozen dataclasses out.

Two sources of chance are told apart. *Images*: the test images are a sample, the same for all
networks. *Seeds*: every network is trained anew with each seed, so seeds are nested in networks
(the readers-nested-in-test case of multireader multicase analysis: Obuchowski & Rockette 1995;
Hillis 2014). One seed says something of these trained networks, several say something of the
accuracy that is to be expected of another training and other images.

Everywhere ``correct`` is boolean of shape (S, n): is image i answered rightly by seed s?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit
from statsmodels.stats.contingency_tables import mcnemar

from cnnpaper.predictions import cross_entropy

Booleans: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]

ALPHA = 0.05
"""Chance of any false comparing sentence in one paper, at most."""
LEVEL = 0.95
CALIBRATION_BINS = 15
RESAMPLES = 1000
SMALLEST_P = 1e-15
"""p-values are not computed below this one; what is smaller is given as this."""
BOOTSTRAP_SEED = 20260


# ------------------------------------------------------------------------------- one network


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of one network, a fraction, with its interval."""

    mean: float
    low: float
    high: float
    seeds: int
    images: int
    seed_sd: float | None
    """Standard deviation of the seeds' accuracies (n − 1); None for one seed."""


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927).

    Args:
        share: observed proportion.
        n: number of observations; a fraction for an effective number.
    """
    z = -float(ndtri((1 - level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    # exactly 0 and 1 at the ends, where rounding would leave a last bit
    low = 0.0 if share == 0 else max(0.0, centre - half)
    return low, 1.0 if share == 1 else min(1.0, centre + half)


def accuracy(correct: Booleans, level: float = LEVEL) -> Accuracy:
    """Mean accuracy over seeds and its interval.

    One seed: Wilson's interval over images, which is about this trained network. Several: an
    interval for the expected accuracy over seeds and images. Its distance to either side is

        √( (t · s/√S)² + w² ),   t the quantile of Student's distribution with S − 1 degrees,

    s the standard deviation of the seeds' accuracies, w the distance of Wilson's limit over images
    at the mean accuracy. Squared limits, each at its own quantile, are added because that keeps
    the level whatever the ratio of the two variances (Banerjee 1960), which Satterthwaite's degrees
    of freedom do not with two or three seeds. Wilson's n is the effective number of images
    n · p(1−p) / σ², σ² the variance over images of the share of seeds that are right: an image is
    counted fully with one seed, and as more when seeds differ on it.

    Args:
        correct: (S, n).
    """
    seeds, images = correct.shape
    mean = int(correct.sum()) / correct.size
    low, high = wilson(mean, _effective_images(correct, mean), level)
    sd = math.sqrt(_seeds_variance(correct)) if seeds > 1 else None
    half = _student(1 - level, seeds - 1) * sd / math.sqrt(seeds) if sd is not None else 0.0
    return Accuracy(
        mean=mean,
        low=max(0.0, mean - math.hypot(half, mean - low)),
        high=min(1.0, mean + math.hypot(half, high - mean)),
        seeds=seeds,
        images=images,
        seed_sd=sd,
    )


def _effective_images(correct: Booleans, mean: float) -> float:
    """n · p(1−p) / variance over images of the share of seeds that are right; n where that is 0."""
    seeds, images = correct.shape
    variance = float(correct.sum(axis=0).var()) / seeds**2
    return images * mean * (1 - mean) / variance if seeds > 1 and variance > 0 else float(images)


def _student(alpha: float, df: float) -> float:
    """Two-sided quantile of Student's distribution: P(|t| > it) = ``alpha``."""
    return -float(stdtrit(df, alpha / 2))


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Validation accuracy less test accuracy, a fraction, with its interval."""

    difference: float
    low: float
    high: float


def selection_gap(
    validation: Floats, validation_images: int, correct: Booleans, level: float = LEVEL
) -> Gap:
    """How far the accuracy on the images that chose the epoch lies above that on test images.

    One seed: the hybrid score interval for two independent proportions (Newcombe 1998, Stat. Med.
    17:873, method 10), since the two sets share no image. Several: the seeds' part is added as in
    :func:`accuracy`, of the differences by seed.

    Args:
        validation: accuracy on validation images by seed, (S,).
        validation_images: how many there were.
        correct: on the test images, (S, n), the same seeds in the same order.
    """
    seeds, images = correct.shape
    first, second = float(validation.mean()), int(correct.sum()) / correct.size
    low_1, high_1 = wilson(first, validation_images, level)
    low_2, high_2 = wilson(second, _effective_images(correct, second), level)
    by_seed = validation - correct.sum(axis=1) / images  # (S,)
    half = 0.0
    if seeds > 1:
        half = _student(1 - level, seeds - 1) * float(by_seed.std(ddof=1)) / math.sqrt(seeds)
    return Gap(
        difference=first - second,
        low=first - second - math.hypot(half, first - low_1, high_2 - second),
        high=first - second + math.hypot(half, high_1 - first, second - low_2),
    )


# ------------------------------------------------------------------------------- two networks


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pair of networks: the difference of their accuracies, a fraction, and its test."""

    first: str
    second: str
    difference: float
    """First less second."""
    low: float
    high: float
    """Simultaneous interval: Bonferroni over all pairs of the family."""
    p: float
    """Not adjusted."""
    p_holm: float
    """Holm over all pairs of the family."""
    method: Literal["mcnemar", "seeds"]
    first_only: int | None
    """Images that only the first answers rightly; None for several seeds."""
    second_only: int | None
    seeds_variance: float
    """s²_A/S_A + s²_B/S_B; 0 for one seed."""
    images_variance: float
    """s²_d/n."""
    df: float | None
    """Welch–Satterthwaite degrees of freedom of ``seeds_variance``; None where that is 0."""

    @property
    def separated(self) -> bool:
        """The adjusted test rejects and the simultaneous interval leaves out 0."""
        return self.p_holm < ALPHA and (self.low > 0 or self.high < 0)

    @property
    def better(self) -> str | None:
        """The more accurate of the two, where they are separated."""
        return (self.first if self.difference > 0 else self.second) if self.separated else None

    @property
    def worse(self) -> str | None:
        return (self.second if self.difference > 0 else self.first) if self.separated else None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What one pair gives before it is put into its family."""

    difference: float
    p: float
    table: tuple[int, int, int, int] | None
    """Both right, first only, second only, none; for one seed."""
    seeds_variance: float = 0.0
    images_variance: float = 0.0
    df: float | None = None
    images: int = 0


def compare_all(correct: Mapping[str, Booleans]) -> tuple[Comparison, ...]:
    """Compare every pair of networks by one rule.

    One seed each: McNemar's exact test on the same images (McNemar 1947; Dietterich 1998), with
    the square-and-add interval for paired proportions (Newcombe 1998, Stat. Med. 17:2635, method
    10). Two or more: :func:`seeds_p` and :func:`seeds_half`. Holm's adjustment over all pairs; the
    interval is simultaneous (Bonferroni).

    Args:
        correct: by network, (S, n) with the same n for all; S may differ where all are above 1.

    Raises:
        ValueError: some networks have one seed and others several.
    """
    seeds = {len(array) for array in correct.values()}
    if 1 in seeds and len(seeds) > 1:
        raise ValueError("one seed cannot be compared with several: no variance is known of it")
    names = list(combinations(correct, 2))
    if not names:
        return ()
    measure = _pair_of_one_seed if seeds == {1} else _pair_of_seeds
    pairs = [measure(correct[a], correct[b]) for a, b in names]
    adjusted = holm([pair.p for pair in pairs])
    alpha = ALPHA / len(pairs)
    return tuple(
        _comparison(a, b, pair, p_holm, alpha)
        for (a, b), pair, p_holm in zip(names, pairs, adjusted, strict=True)
    )


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted over their family (Holm 1979), in the order given.

    The k-th smallest of m is multiplied by m − k + 1, is at least as large as the one before it
    and at most 1. (statsmodels' function does the same, after a garbage collection a call.)
    """
    adjusted, running = [0.0] * len(p), 0.0
    for rank, position in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        running = max(running, min(1.0, (len(p) - rank) * p[position]))
        adjusted[position] = running
    return adjusted


def _comparison(first: str, second: str, pair: _Pair, p_holm: float, alpha: float) -> Comparison:
    if pair.table:
        low, high = newcombe_paired(*pair.table, level=1 - alpha)
    else:
        half = seeds_half(pair.seeds_variance, pair.images_variance, pair.df, pair.images, alpha)
        low, high = pair.difference - half, pair.difference + half
    return Comparison(
        first=first,
        second=second,
        difference=pair.difference,
        low=low,
        high=high,
        p=pair.p,
        p_holm=p_holm,
        method="mcnemar" if pair.table else "seeds",
        first_only=pair.table[1] if pair.table else None,
        second_only=pair.table[2] if pair.table else None,
        seeds_variance=pair.seeds_variance,
        images_variance=pair.images_variance,
        df=pair.df,
    )


def _pair_of_one_seed(first: Booleans, second: Booleans) -> _Pair:
    a, b = first[0], second[0]  # (n,)
    both, first_only = int((a & b).sum()), int((a & ~b).sum())
    second_only, none = int((~a & b).sum()), int((~a & ~b).sum())
    p = float(mcnemar([[both, first_only], [second_only, none]], exact=True).pvalue)
    return _Pair(
        difference=(first_only - second_only) / len(a),
        p=max(SMALLEST_P, p),
        table=(both, first_only, second_only, none),
    )


def newcombe_paired(
    both: int, first_only: int, second_only: int, none: int, level: float = LEVEL
) -> tuple[float, float]:
    """Interval for the difference of two proportions of the same n objects.

    Square-and-add of Wilson's limits with the correlation φ, whose numerator is shrunk towards 0 by
    n/2 where it is positive (Newcombe 1998, Stat. Med. 17:2635, method 10).
    """
    n = both + first_only + second_only + none
    share_1, share_2 = (both + first_only) / n, (both + second_only) / n
    (low_1, high_1), (low_2, high_2) = wilson(share_1, n, level), wilson(share_2, n, level)
    margins = (
        (both + first_only) * (second_only + none) * (both + second_only) * (first_only + none)
    )
    product = float(both * none - first_only * second_only)
    product = max(product - n / 2, 0.0) if product > 0 else product
    phi = product / math.sqrt(margins) if margins else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    difference = (first_only - second_only) / n
    return (
        difference - distance(share_1 - low_1, high_2 - share_2),
        difference + distance(high_1 - share_1, share_2 - low_2),
    )


def _pair_of_seeds(first: Booleans, second: Booleans) -> _Pair:
    seeds_a, seeds_b, images = len(first), len(second), first.shape[1]
    part_a, part_b = _seeds_variance(first) / seeds_a, _seeds_variance(second) / seeds_b
    # whole numbers until the end, so that no variation is exactly 0
    by_image = first.sum(axis=0) * seeds_b - second.sum(axis=0) * seeds_a  # (n,)
    images_variance = float(by_image.var(ddof=1)) / (seeds_a * seeds_b) ** 2 / images
    if images_variance == 0:
        # every image gives the same difference: two images are added, one for each network alone
        # (Bonett & Price 2012), so that no finite sample is taken for certainty
        added = np.append(by_image / (seeds_a * seeds_b), [1.0, -1.0])
        images_variance = float(added.var(ddof=1)) / images
    seeds_variance = part_a + part_b
    df = None
    if seeds_variance > 0:
        df = seeds_variance**2 / (part_a**2 / (seeds_a - 1) + part_b**2 / (seeds_b - 1))
    difference = int(first.sum()) / first.size - int(second.sum()) / second.size
    return _Pair(
        difference=difference,
        p=seeds_p(difference, seeds_variance, images_variance, df, images),
        table=None,
        seeds_variance=seeds_variance,
        images_variance=images_variance,
        df=df,
        images=images,
    )


def _seeds_variance(correct: Booleans) -> float:
    """Variance (n − 1) of the seeds' accuracies."""
    images = float(correct.shape[1])
    return float(correct.sum(axis=1).var(ddof=1)) / (images * images)


def seeds_half(
    seeds_variance: float, images_variance: float, df: float | None, images: int, alpha: float
) -> float:
    """Half width of the interval for a difference of accuracies, over seeds and images.

    The variance of the difference of seed means is estimated by

        V = s²_A/S_A + s²_B/S_B + s²_d/n,

    s_A and s_B over seeds, s_d over images of the seed-averaged paired difference (readers nested
    in tests: Obuchowski & Rockette 1995; Hillis 2014). The half width is

        √( t_ν² (s²_A/S_A + s²_B/S_B) + t_{n−1}² s²_d/n ),

    each part at its own quantile of Student's distribution (Banerjee 1960), ν the
    Welch–Satterthwaite degrees of freedom of the seeds' part. One t with Satterthwaite's degrees of
    freedom of all of V is too narrow with two or three seeds: where the seeds happen to lie close
    together it takes their spread for known. With four equal networks, a spread of one point and
    two seeds it separates some pair in 12 % of papers, this rule in 1 %
    (``tests/paper/simulation.py``).

    Args:
        seeds_variance: s²_A/S_A + s²_B/S_B.
        images_variance: s²_d/n.
        df: ν; None where ``seeds_variance`` is 0.
        images: n.
        alpha: two-sided.
    """
    seeds = _student(alpha, df) ** 2 * seeds_variance if df is not None else 0.0
    return math.sqrt(seeds + _student(alpha, images - 1) ** 2 * images_variance)


def seeds_p(
    difference: float, seeds_variance: float, images_variance: float, df: float | None, images: int
) -> float:
    """The smallest ``alpha`` at which the interval of :func:`seeds_half` leaves out 0."""

    def excess(log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        return seeds_half(seeds_variance, images_variance, df, images, alpha) - abs(difference)

    smallest = math.log(SMALLEST_P)
    if difference == 0:
        return 1.0
    if excess(smallest) <= 0:
        return SMALLEST_P
    return math.exp(brentq(excess, smallest, 0.0, xtol=1e-12))


# ------------------------------------------------------------------------------- bootstrap


@lru_cache(maxsize=1)
def _resamples(images: int) -> Floats:
    """How often each image occurs in each resample, (n, RESAMPLES); the same for every network."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    counts = np.empty((images, RESAMPLES))
    for draw in range(RESAMPLES):
        counts[:, draw] = np.bincount(rng.integers(images, size=images), minlength=images)
    counts.flags.writeable = False
    return counts


def multibootstrap(correct: Mapping[str, Booleans]) -> dict[str, Floats]:
    """Accuracies under resampling of seeds and images (Sellam et al. 2022), a check.

    Images are resampled once for all networks, seeds for each network by itself (they share
    nothing but their number).

    Args:
        correct: by network, (S, n) with the same n.

    Returns:
        By network, (RESAMPLES,).
    """
    rng = np.random.default_rng(BOOTSTRAP_SEED + 1)
    out: dict[str, Floats] = {}
    for name, array in correct.items():
        seeds, images = array.shape
        by_seed = array.astype(np.float64) @ _resamples(images) / images  # (S, R)
        drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)  # (R, S)
        out[name] = np.einsum("rs,sr->r", drawn, by_seed) / seeds
    return out


def multibootstrap_p(first: Floats, second: Floats) -> float:
    """Two-sided p of a pair, not adjusted: twice the smaller share of resamples beyond 0.

    Args:
        first: accuracies of :func:`multibootstrap`, (R,).
        second: (R,).
    """
    below, above = int((first <= second).sum()), int((first >= second).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(first) + 1))


# ------------------------------------------------------------------------------- calibration


@dataclass(frozen=True, kw_only=True)
class SeedCalibration:
    """Calibration of one trained network."""

    ece: float
    """Expected calibration error of the top label, a fraction."""
    brier: float
    """Sum over classes of squared errors of the probability, from 0 to 2 (Brier 1950)."""
    nll: float
    """Negative log-likelihood, nats."""
    confidence: Floats
    """Mean confidence by bin, (bins,)."""
    accuracy: Floats
    """Share of right answers by bin, (bins,)."""
    resampled: Floats
    """``ece`` of each resample of the images, (RESAMPLES,)."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far a network's confidence can be believed; means over its seeds."""

    ece: float
    ece_low: float
    ece_high: float
    brier: float
    nll: float
    confidence: Floats
    """By bin, (bins,)."""
    accuracy: Floats
    """By bin, (bins,)."""
    seeds: int


def softmax(logits: npt.NDArray[np.float32]) -> Floats:
    """Probabilities in float64; shapes (n, 10)."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


def calibrate(labels: npt.NDArray[np.uint8], logits: npt.NDArray[np.float32]) -> SeedCalibration:
    """Calibration of one trained network on the test images.

    The error is Σ_b (n_b / n) |accuracy_b − confidence_b| over 15 bins of equal mass by the
    confidence of the top label (Guo et al. 2017; equal mass as in Kumar et al. 2019).

    Args:
        labels: (n,).
        logits: (n, 10).
    """
    n, rows = len(labels), np.arange(len(labels))
    probabilities = softmax(logits)
    confidence = probabilities.max(axis=1)  # (n,)
    right = (logits.argmax(axis=1) == labels).astype(np.float64)  # (n,)
    bins = min(CALIBRATION_BINS, n)
    bin_of = np.empty(n, dtype=np.int64)
    # the first bins take one image more where n is no multiple of their number
    bin_of[np.argsort(confidence, kind="stable")] = np.repeat(
        np.arange(bins), [len(part) for part in np.array_split(rows, bins)]
    )
    gaps = np.zeros((bins, n))
    gaps[bin_of, rows] = right - confidence
    true = probabilities[rows, labels]  # (n,)
    size = np.bincount(bin_of)  # (bins,)
    return SeedCalibration(
        ece=float(np.abs(gaps.sum(axis=1)).sum()) / n,
        brier=float(np.mean((probabilities**2).sum(axis=1) - 2 * true + 1)),
        nll=cross_entropy(labels, logits),
        confidence=np.bincount(bin_of, weights=confidence) / size,
        accuracy=np.bincount(bin_of, weights=right) / size,
        resampled=np.abs(gaps @ _resamples(n)).sum(axis=0) / n,
    )


def calibration(seeds: Sequence[SeedCalibration]) -> Calibration:
    """Means over seeds, with an interval for the error.

    It is the basic bootstrap interval over images, 2·estimate − quantiles, which takes the
    resamples' upward bias out (as Kumar et al. 2019 do), widened to hold the estimate where that
    bias is larger than the spread. It is about these trained networks.
    """
    ece = float(np.mean([seed.ece for seed in seeds]))
    tail = (1 - LEVEL) / 2
    drawn = np.mean([seed.resampled for seed in seeds], axis=0)  # (R,)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Calibration(
        ece=ece,
        ece_low=max(0.0, min(ece, 2 * ece - float(high))),
        ece_high=min(1.0, max(ece, 2 * ece - float(low))),
        brier=float(np.mean([seed.brier for seed in seeds])),
        nll=float(np.mean([seed.nll for seed in seeds])),
        confidence=np.mean([seed.confidence for seed in seeds], axis=0),
        accuracy=np.mean([seed.accuracy for seed in seeds], axis=0),
        seeds=len(seeds),
    )


# ------------------------------------------------------------------------------- confusion


def confusion(
    labels: npt.NDArray[np.uint8], logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """How often class i (row) was taken for class j (column), (10, 10).

    Args:
        labels: (n,).
        logits: (n, 10).
    """
    classes = logits.shape[1]
    cells = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def most_confused(table: npt.NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """The pairs of classes that are most often taken for each other, both ways together.

    Pairs of equal counts keep the order of the classes; a pair that never occurs is left out.

    Args:
        table: of :func:`confusion`, summed over seeds, (10, 10).
        count: at most so many.
    """
    both = table + table.T
    pairs = [pair for pair in combinations(range(len(table)), 2) if both[pair] > 0]
    return sorted(pairs, key=lambda pair: -both[pair])[:count]
