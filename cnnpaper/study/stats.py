"""Statistics of accuracy, time and calibration: plain arrays in, floats and dataclasses out.

Two sources of variation are kept apart. *Seeds*: each network is trained with several; the seeds of
one network have nothing to do with those of another, so seeds are nested in networks. *Images*: the
test images are a sample and the same for all networks. In the words of the literature on
multireader studies, a seed is a reader, an image a case and a network a test.

Accuracies and differences are fractions. ``correct`` is boolean of shape (S, n): does seed s
classify image i correctly? A diverged run enters by :func:`diverged_answers`. A quantity that the
data do not determine (the spread of one seed, say) is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import softmax
from scipy.stats import binom, nct, norm
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

Booleans: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

LEVEL = 0.95
"""Confidence of every interval; one minus it is the family-wise error of every family of tests."""
CALIBRATION_BINS = 15


# ------------------------------------------------------------------------------- one network


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Mean over seeds with Student's interval."""

    mean: float
    n: int
    sd: float | None
    """Standard deviation (n − 1); None for one value, as are the limits."""
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float] | Floats, level: float = LEVEL) -> Mean:
    """Mean of at least one value and its t interval; limits are not clipped to [0, 1]."""
    array = np.asarray(values, dtype=np.float64)
    mean, n = float(array.mean()), len(array)
    if n < 2:
        return Mean(mean=mean, n=n, sd=None, low=None, high=None)
    sd = math.sqrt(_variance(array))
    half = _quantile(level, n - 1) * sd / math.sqrt(n)
    return Mean(mean=mean, n=n, sd=sd, low=mean - half, high=mean + half)


def wilson(correct: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of a proportion (Wilson 1927): one trained network, other images."""
    low, high = proportion_confint(correct, n, alpha=1 - level, method="wilson")
    # exactly 0 and 1 at the ends, where rounding would leave a last bit
    return (
        0.0 if correct == 0 else max(0.0, float(low)),
        1.0 if correct == n else min(1.0, float(high)),
    )


def diverged_answers(labels: npt.NDArray[np.integer]) -> Booleans:
    """Answers that a diverged run counts with: always class 0, so 10 % of CIFAR-10's test images.

    Args:
        labels: (n,).
    """
    answers: Booleans = labels == 0
    return answers


# ------------------------------------------------------------------------------- two networks


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Difference of two mean accuracies, first minus second, with the variance of its error."""

    difference: float
    seeds_variance: float | None
    """s²_A/S_A + s²_B/S_B; None where the difference cannot be tested."""
    images_variance: float | None
    """What the sample of images adds; 0 where the statement is about these images."""
    df: float | None
    """Degrees of freedom of Student's distribution."""

    @property
    def standard_error(self) -> float | None:
        """√V; positive, or None where the difference cannot be tested."""
        if self.seeds_variance is None or self.images_variance is None:
            return None
        return math.sqrt(self.seeds_variance + self.images_variance)

    @property
    def p(self) -> float | None:
        """Two-sided, not adjusted; None where the difference cannot be tested."""
        if self.standard_error is None or self.df is None:
            return None
        return float(2 * student.sf(abs(self.difference) / self.standard_error, self.df))

    def interval(self, level: float = LEVEL) -> Interval | None:
        """The t interval; it excludes 0 exactly where ``p`` < 1 − ``level``."""
        if self.standard_error is None or self.df is None:
            return None
        half = _quantile(level, self.df) * self.standard_error
        return self.difference - half, self.difference + half

    def detectable(self, power: float = 0.8, alpha: float = 1 - LEVEL) -> float | None:
        """The difference that a test with this error and these degrees of freedom detects."""
        if self.standard_error is None or self.df is None:
            return None
        return detectable(self.standard_error, self.df, power=power, alpha=alpha)


def contrast(correct_a: Booleans, correct_b: Booleans) -> Difference:
    """The primary test: do the expected accuracies differ, over seeds and images like these?

    Obuchowski and Rockette (1995) for readers nested in tests (Hillis 2014, pages 344 to 346), with
    a variance of its own for each network as in Welch's test. The variance of the difference is
    estimated by

        V = s²_A/S_A + s²_B/S_B + max(0, s²_d/n − r_A/(S_A n) − r_B/(S_B n)),
        df = V² / (Σ (s²/S)² / (S − 1)),

    s² the variance of a network's seed accuracies, s²_d the variance over images of the difference
    of the two networks' mean answers, r the mean over images of the unbiased variance of the
    answers between seeds. Noise of single answers makes seed accuracies vary by about r/n (Jordan
    2024) and is in s²_d as well: the terms in r keep it from being counted twice. What is left of
    the third term is OR's Cov₂ of both networks less twice Cov₃.

    With one seed, or one image, the difference is not testable. Where all seeds of each network
    have one accuracy the formula's df is infinite, and n − 1 is taken, as in the paired t test over
    images. If V is 0 too, images alone stand in for it with two more, one for each network alone
    (Bonett and Price 2012), so that no finite sample counts as certain; equal means then give
    p = 1.

    Args:
        correct_a: (S_A, n).
        correct_b: (S_B, n), the same images in the same order.

    Raises:
        ValueError: other numbers of images.
    """
    (seeds_a, images), (seeds_b, images_b) = correct_a.shape, correct_b.shape
    if images != images_b:
        raise ValueError(f"the networks were tested on {images} and {images_b} images")
    # whole numbers as far as they go, so that no variation is exactly 0 and ties are exact
    counts_a, counts_b = correct_a.sum(axis=0), correct_b.sum(axis=0)  # (n,)
    total = int(counts_a.sum()) * seeds_b - int(counts_b.sum()) * seeds_a
    difference = total / (seeds_a * seeds_b * images)
    if min(seeds_a, seeds_b, images) < 2:
        return _untestable(difference)
    part_a, part_b = _seeds_part(correct_a), _seeds_part(correct_b)
    by_image = (counts_a * seeds_b - counts_b * seeds_a) / (seeds_a * seeds_b)  # (n,)
    noise = _answer_noise(counts_a, seeds_a) / seeds_a + _answer_noise(counts_b, seeds_b) / seeds_b
    of_images = max(0.0, (float(by_image.var(ddof=1)) - noise) / images)
    variance = part_a + part_b + of_images
    if variance == 0:
        of_images = float(np.append(by_image, [1.0, -1.0]).var(ddof=1)) / images
    return Difference(
        difference=difference,
        seeds_variance=part_a + part_b,
        images_variance=of_images,
        df=_satterthwaite(variance, (part_a, seeds_a), (part_b, seeds_b)) or images - 1.0,
    )


def seed_disagreement(correct: Booleans) -> float | None:
    """Share of images on which exactly one of two seeds is correct, over all pairs: 2r.

    None for one seed.

    Args:
        correct: (S, n).
    """
    seeds = len(correct)
    return 2 * _answer_noise(correct.sum(axis=0), seeds) if seeds > 1 else None


def network_disagreement(correct_a: Booleans, correct_b: Booleans) -> float:
    """Share of images on which exactly one of two networks is correct, over all pairs of seeds.

    Args:
        correct_a: (S_A, n).
        correct_b: (S_B, n), the same images in the same order.
    """
    a, b = correct_a.mean(axis=0), correct_b.mean(axis=0)  # (n,)
    return float((a + b - 2 * a * b).mean())


def welch(values_a: Sequence[float] | Floats, values_b: Sequence[float] | Floats) -> Difference:
    """Welch's t test of seed accuracies: a statement about these very images.

    Not testable with one seed, nor where no seed differs from the others of its network.

    Args:
        values_a: accuracies by seed, (S_A,).
        values_b: (S_B,).
    """
    a, b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    difference = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return _untestable(difference)
    part_a, part_b = _variance(a) / len(a), _variance(b) / len(b)
    df = _satterthwaite(part_a + part_b, (part_a, len(a)), (part_b, len(b)))
    if df is None:
        return _untestable(difference)
    return Difference(
        difference=difference, seeds_variance=part_a + part_b, images_variance=0.0, df=df
    )


def mcnemar_exact(correct_a: Booleans, correct_b: Booleans) -> float:
    """p of McNemar's exact test (McNemar 1947): two trained networks, other images.

    Args:
        correct_a: (n,).
        correct_b: (n,), the same images in the same order.
    """
    (both, only_a), (only_b, none) = _paired_table(correct_a, correct_b)
    return min(1.0, float(mcnemar([[both, only_a], [only_b, none]], exact=True).pvalue))


def newcombe_paired(correct_a: Booleans, correct_b: Booleans, level: float = LEVEL) -> Interval:
    """Interval for the difference of two trained networks' accuracies on the same n images.

    Square-and-add of Wilson's limits with the correlation φ, whose numerator is shrunk towards 0 by
    n/2 where it is positive (Newcombe 1998, Stat. Med. 17:2635, method 10).

    Args:
        correct_a: (n,).
        correct_b: (n,), the same images in the same order.
    """
    (both, only_a), (only_b, none) = _paired_table(correct_a, correct_b)
    n, a, b = both + only_a + only_b + none, both + only_a, both + only_b
    (low_a, high_a), (low_b, high_b) = wilson(a, n, level), wilson(b, n, level)
    product = float(both * none - only_a * only_b)
    product = max(product - n / 2, 0.0) if product > 0 else product
    margins = a * (n - a) * b * (n - b)
    phi = product / math.sqrt(margins) if margins else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    difference = (a - b) / n
    return (
        difference - distance(a / n - low_a, high_b - b / n),
        difference + distance(high_a - a / n, b / n - low_b),
    )


def _paired_table(a: Booleans, b: Booleans) -> tuple[tuple[int, int], tuple[int, int]]:
    """Both correct and first only; second only and none."""
    return (int((a & b).sum()), int((a & ~b).sum())), (int((~a & b).sum()), int((~a & ~b).sum()))


def _untestable(difference: float) -> Difference:
    return Difference(difference=difference, seeds_variance=None, images_variance=None, df=None)


def _variance(values: Floats) -> float:
    """With n − 1; exactly 0 where all are equal, which rounding of the mean would hide."""
    return float(values.var(ddof=1)) if np.ptp(values) > 0 else 0.0


def _seeds_part(correct: Booleans) -> float:
    """s²/S of one network."""
    seeds, images = len(correct), int(correct.shape[1])
    return float(correct.sum(axis=1).var(ddof=1)) / (seeds * images * images)


def _answer_noise(counts: npt.NDArray[np.integer], seeds: int) -> float:
    """k of S seeds correct have the unbiased variance k (S − k) / (S (S − 1)); the mean of it."""
    return float((counts * (seeds - counts)).mean()) / (seeds * (seeds - 1))


def _satterthwaite(variance: float, *parts: tuple[float, int]) -> float | None:
    """V² / Σ (s²/S)²/(S − 1) of (s²/S, S); None where it is infinite."""
    # squares of ratios do not underflow where the variances are tiny
    spread = sum((part / variance) ** 2 / (seeds - 1) for part, seeds in parts if part > 0)
    return 1 / spread if spread > 0 else None


def _quantile(level: float, df: float) -> float:
    """Two-sided quantile of Student's distribution."""
    return float(student.isf((1 - level) / 2, df))


# ------------------------------------------------------------------------------- families, power


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted over their family (Holm 1979), in the order given.

    A test that could not be made (None) stays in the family, so that runs that are missing do not
    make the others' tests easier.
    """
    if not p:
        return []
    adjusted = multipletests([1.0 if one is None else one for one in p], method="holm")[1]
    return [None if one is None else float(new) for one, new in zip(p, adjusted, strict=True)]


def simultaneous_intervals(
    family: Sequence[Difference], level: float = LEVEL
) -> list[Interval | None]:
    """Intervals that hold all together: Bonferroni's (Dunn 1961), each with its own df.

    Where one excludes 0, Holm's test rejects. The reverse may fail for the second and later steps
    of Holm's test, whose own simultaneous intervals would say nothing beyond the sign.
    """
    return [one.interval(1 - (1 - level) / len(family)) for one in family]


def planned(seeds: int, seed_sd: float, images_variance: float) -> Difference:
    """The error that :func:`contrast` should have, for planning: two networks of one ``seed_sd``.

    The difference that it calls detectable with a power of 80 % is found in 79 to 80 % of simulated
    studies of five seeds, but in 73 to 76 % of those of three, whose degrees of freedom vary.

    Args:
        seeds: of each network, at least 2.
        seed_sd: standard deviation of a network's seed accuracies, positive.
        images_variance: the contrast's third term, which estimates (disagreement of the networks
            minus the mean disagreement of their seeds − squared difference) / n.
    """
    part = seed_sd**2 / seeds
    df = _satterthwaite(2 * part + images_variance, (part, seeds), (part, seeds))
    return Difference(
        difference=0.0, seeds_variance=2 * part, images_variance=images_variance, df=df
    )


def detectable(
    standard_error: float, df: float, power: float = 0.8, alpha: float = 1 - LEVEL
) -> float:
    """The true difference that a two-sided t test finds with probability ``power``.

    By the noncentral t distribution, in units of ``standard_error``; a rejection on the wrong side
    does not count.
    """
    critical = _quantile(1 - alpha, df)
    upper = 4 * (critical + float(norm.ppf(power)))  # four times the normal approximation

    def excess(shift: float) -> float:
        return float(nct.sf(critical, df, shift)) - power

    return standard_error * float(brentq(excess, 0.0, upper))


# ------------------------------------------------------------------------------- precision


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Mean change with a one-sided lower bound."""

    mean: float
    low: float | None
    """None where no network has two pairs."""
    sd: float | None
    """Pooled standard deviation of a change within a network."""
    df: int


def lower_bound_pooled(changes: Sequence[Sequence[float] | Floats], level: float = LEVEL) -> Bound:
    """Lower bound for the mean change of these networks, seeds varying.

    The mean of the networks' means, whatever the number of pairs of each; the deviation within
    networks is pooled (analysis of variance with one factor, networks fixed), so four networks of
    three pairs have 8 degrees of freedom.

    Args:
        changes: by network, the changes of its pairs.
    """
    groups = [np.asarray(group, dtype=np.float64) for group in changes]
    mean = float(np.mean([group.mean() for group in groups]))
    df = sum(len(group) - 1 for group in groups)
    if df == 0:
        return Bound(mean=mean, low=None, sd=None, df=0)
    sd = math.sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / df)
    error = sd * math.sqrt(sum(1 / len(group) for group in groups)) / len(groups)
    return Bound(mean=mean, low=mean - float(student.isf(1 - level, df)) * error, sd=sd, df=df)


# ------------------------------------------------------------------------------- time


@dataclass(frozen=True, kw_only=True)
class Median:
    """Median with an interval between two order statistics."""

    median: float
    low: float
    high: float
    ranks: tuple[int, int]
    """Of ``low`` and ``high`` among the sorted values, from 1."""
    coverage: float
    """Exact confidence; below the level asked for where even the extremes do not reach it."""


def median_interval(values: Sequence[float] | Floats, level: float = LEVEL) -> Median:
    """Median and its distribution-free interval (Hoefler and Belli 2015), ranks by the binomial.

    The k-th smallest and k-th largest of n hold the median with 1 − 2 P(Bin(n, ½) < k); the largest
    such k is taken. Of 12 values these are the 3rd and the 10th, with 96 %.
    """
    array = np.sort(np.asarray(values, dtype=np.float64))
    n = len(array)
    k = max(1, int(binom.ppf((1 - level) / 2, n, 0.5)))
    return Median(
        median=float(np.median(array)),
        low=float(array[k - 1]),
        high=float(array[n - k]),
        ranks=(k, n + 1 - k),
        coverage=max(0.0, 1 - 2 * float(binom.cdf(k - 1, n, 0.5))),
    )


def paired_ratio(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> Median:
    """Median of a/b round by round, so that what slows a whole round cancels.

    Args:
        a: positive times by round, (n,).
        b: those of the same rounds, (n,).
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} rounds cannot be paired with {len(second)}")
    return median_interval(first / second)


# ------------------------------------------------------------------------------- calibration


def expected_calibration_error(
    labels: npt.NDArray[np.integer], logits: npt.NDArray[np.floating], temperature: float = 1.0
) -> float:
    """Σ_b (n_b/n) |accuracy_b − confidence_b| of the top label, over 15 bins of equal mass.

    Guo et al. 2017, with bins of equal mass as in Kumar et al. 2019: those of equal width are
    nearly empty where a network is seldom unsure.

    Args:
        labels: (n,).
        logits: (n, C), divided by ``temperature``.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)  # (n, C)
    confidence = probabilities.max(axis=1)  # (n,)
    gap = (logits.argmax(axis=1) == labels) - confidence  # (n,)
    # the first bins take one image more where n is not a multiple of their number
    bins = np.array_split(gap[np.argsort(confidence, kind="stable")], CALIBRATION_BINS)
    return sum(abs(float(part.sum())) for part in bins) / len(labels)
