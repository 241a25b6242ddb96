"""Statistics of accuracy, precision, time and calibration: arrays in, plain numbers out.

Two sources of variation are kept apart. *Seeds*: each network is trained with several; the seeds of
one network have nothing to do with those of another, so seeds are nested in networks. *Images*: the
test images are a sample and the same for all networks. In the words of the literature on
multireader studies, a seed is a reader, an image a case and a network a test.

Accuracies and differences are fractions. ``correct`` is boolean of shape (S, n): does seed s
classify image i correctly? A quantity that the data do not determine (the spread of one seed, say)
is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from scipy.stats import binom, ttest_ind_from_stats
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

Booleans: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

LEVEL = 0.95
"""Confidence of every interval; one minus it is the family-wise error of every family of tests."""
POWER = 0.8
CALIBRATION_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A mean over seeds."""

    mean: float
    n: int
    interval: Interval | None  # Student's, not clipped to [0, 1]; None for one seed
    sd: float | None


def summary(values: Sequence[float] | Floats) -> Summary:
    """Mean of at least one value, with its t interval."""
    array = np.asarray(values, dtype=np.float64)
    mean, n = float(array.mean()), len(array)
    if n < 2:
        return Summary(mean=mean, n=n, interval=None, sd=None)
    # exactly 0 where all are equal, which rounding of the mean would hide
    sd = float(array.std(ddof=1)) if np.ptp(array) > 0 else 0.0
    half = _quantile(LEVEL, n - 1) * sd / math.sqrt(n)
    return Summary(mean=mean, n=n, interval=(mean - half, mean + half), sd=sd)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Difference of two mean accuracies, first minus second, with the variance of its error."""

    difference: float
    variance: float | None  # positive; None where the difference cannot be tested
    df: float  # degrees of freedom of Student's distribution

    @property
    def p(self) -> float | None:
        """Two-sided, not adjusted."""
        if self.variance is None:
            return None
        return float(2 * student.sf(abs(self.difference) / math.sqrt(self.variance), self.df))

    def interval(self, level: float = LEVEL) -> Interval | None:
        """The t interval; it excludes 0 exactly where ``p`` < 1 − ``level``."""
        if self.variance is None:
            return None
        half = _quantile(level, self.df) * math.sqrt(self.variance)
        return self.difference - half, self.difference + half

    def detectable(self, power: float = POWER, alpha: float = 1 - LEVEL) -> float | None:
        """The true difference that a two-sided test with this error finds with probability
        ``power``; a rejection on the wrong side does not count."""
        if self.variance is None:
            return None
        # of df + 1 values with deviation 1, whose mean has the error 1/√(df + 1)
        shift = TTestPower().solve_power(
            nobs=self.df + 1, alpha=alpha / 2, power=power, alternative="larger"
        )
        return float(shift) * math.sqrt((self.df + 1) * self.variance)


def contrast(correct_a: Booleans, correct_b: Booleans) -> Difference:
    """The primary test: do the expected accuracies differ, over seeds and images like these?

    Obuchowski and Rockette (1995) for readers nested in tests (Hillis 2014, pages 344 to 346), with
    a variance of its own for each network as in Welch's test. The variance of the difference is
    estimated by

        V = s²_A/S_A + s²_B/S_B + max(0, s²_d/n − r_A/(S_A n) − r_B/(S_B n)),
        df = V² / (Σ (s²/S)² / (S − 1)),

    s² the variance of a network's seed accuracies, s²_d that over images of the difference of the
    two networks' mean answers, r the mean over images of the unbiased variance of the answers
    between seeds. Noise of single answers makes seed accuracies vary by about r/n (Jordan 2024) and
    is in s²_d as well: the terms in r keep it from being counted twice. What is left of the third
    term is OR's Cov₂ of both networks less twice Cov₃.

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
        return Difference(difference=difference, variance=None, df=0)
    part_a, part_b = _seeds_part(correct_a), _seeds_part(correct_b)
    by_image = (counts_a * seeds_b - counts_b * seeds_a) / (seeds_a * seeds_b)  # (n,)
    noise = answer_noise(correct_a) / seeds_a + answer_noise(correct_b) / seeds_b
    of_images = max(0.0, (float(by_image.var(ddof=1)) - noise) / images)
    variance = part_a + part_b + of_images
    if variance == 0:
        variance = float(np.append(by_image, [1.0, -1.0]).var(ddof=1)) / images
    # squares of ratios do not underflow where the variances are tiny
    spread = (part_a / variance) ** 2 / (seeds_a - 1) + (part_b / variance) ** 2 / (seeds_b - 1)
    df = 1 / spread if spread > 0 else images - 1.0
    return Difference(difference=difference, variance=variance, df=df)


def answer_noise(correct: Booleans) -> float:
    """r: mean over images of the unbiased variance of the answers of at least two seeds.

    k of S seeds correct have the variance k (S − k) / (S (S − 1)).
    """
    seeds, counts = len(correct), correct.sum(axis=0)
    return float((counts * (seeds - counts)).mean()) / (seeds * (seeds - 1))


def _seeds_part(correct: Booleans) -> float:
    """s²/S of one network."""
    seeds, images = len(correct), int(correct.shape[1])
    return float(correct.sum(axis=1).var(ddof=1)) / (seeds * images * images)


def welch(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> float | None:
    """p of Welch's t test of seed accuracies: a statement about these very images.

    None with one seed, or where no seed differs from the others of its network.
    """
    if min(len(a), len(b)) < 2 or np.ptp(a) == np.ptp(b) == 0:
        return None
    (mean_a, sd_a), (mean_b, sd_b) = ((np.mean(x), np.std(x, ddof=1)) for x in (a, b))
    found = ttest_ind_from_stats(mean_a, sd_a, len(a), mean_b, sd_b, len(b), equal_var=False)
    return float(found.pvalue)


def _quantile(level: float, df: float) -> float:
    """Two-sided quantile of Student's distribution."""
    return float(student.isf((1 - level) / 2, df))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted over their family (Holm 1979), in the order given.

    A test that could not be made (None) stays in the family, so that runs that are missing do not
    make the others' tests easier.
    """
    if not p:
        return []
    adjusted = multipletests([1.0 if one is None else one for one in p], method="holm")[1]
    return [None if one is None else float(new) for one, new in zip(p, adjusted, strict=True)]


def simultaneous_level(count: int) -> float:
    """Level of each of ``count`` intervals that hold all together: Bonferroni's (Dunn 1961).

    Where one excludes 0, Holm's test rejects. The reverse may fail for the second and later steps
    of Holm's test, whose own simultaneous intervals would say nothing beyond the sign.
    """
    return 1 - (1 - LEVEL) / count


def lower_bound_pooled(changes: Sequence[Sequence[float]]) -> float | None:
    """One-sided lower bound for the mean change of these networks, seeds varying.

    Of the mean of the networks' means; the deviation within networks is pooled (analysis of
    variance with one factor, networks fixed), so four networks of three pairs have 8 degrees of
    freedom. None where no network has two pairs.

    Args:
        changes: by network, the changes of its pairs.
    """
    groups = [np.asarray(group, dtype=np.float64) for group in changes]
    df = sum(len(group) - 1 for group in groups)
    if df == 0:
        return None
    variance = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / df
    error = math.sqrt(variance * sum(1 / len(group) for group in groups)) / len(groups)
    mean = float(np.mean([group.mean() for group in groups]))
    return mean - float(student.isf(1 - LEVEL, df)) * error


def median_interval(values: Sequence[float]) -> tuple[float, Interval]:
    """Median and its distribution-free interval (Hoefler and Belli 2015), ranks by the binomial.

    The k-th smallest and k-th largest of n hold the median with 1 − 2 P(Bin(n, ½) < k); the largest
    such k is taken: of 12 values the 3rd and the 10th, with 96 %. Fewer than six do not reach the
    level, and give their extremes.
    """
    array = np.sort(np.asarray(values, dtype=np.float64))
    k = max(1, int(binom.ppf((1 - LEVEL) / 2, len(array), 0.5)))
    return float(np.median(array)), (float(array[k - 1]), float(array[-k]))


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
