"""Statistics against answers by hand, published examples, scipy and statsmodels."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnpaper.study import stats


def first(count: int, images: int) -> np.ndarray:
    """The first ``count`` of ``images`` are correct, (images,)."""
    return np.arange(images) < count


def drawn(seed: int, seeds: int, images: int = 400, share: float = 0.8) -> np.ndarray:
    """Answers that vary over seeds and images, (seeds, images)."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)
    shift = rng.normal(0, 0.03, (seeds, 1))
    return hard + 0.2 * rng.normal(size=(seeds, images)) + shift < share


def test_summary_is_scipys() -> None:
    values = [0.80, 0.82, 0.83, 0.79]
    found = stats.summary(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.81)
    assert found.sd == pytest.approx(math.sqrt((1 + 1 + 4 + 4) / 3) / 100)
    assert found.interval == pytest.approx(tuple(expected))
    one, equal = stats.summary([0.7]), stats.summary([0.7, 0.7, 0.7])
    assert (one.mean, one.n, one.sd, one.interval) == (0.7, 1, None, None)
    assert (equal.sd, equal.interval) == (0.0, (equal.mean, equal.mean))


# ------------------------------------------------------------------------------- contrast


def test_unequal_numbers_of_seeds_by_hand() -> None:
    # a: 90 and 86 of 100; b: 80, 80 and 83; nested, so that images differ by whole shares
    a = np.array([first(90, 100), first(86, 100)])
    b = np.array([first(80, 100), first(80, 100), first(83, 100)])
    part_a, part_b = 0.0008 / 2, 0.0003 / 3
    # mean differences: 80 times 0, three times 2/3, three times 1, four times 1/2
    total, squares = 2 + 3 + 2, 3 * 4 / 9 + 3 + 4 / 4
    s2_d = (squares - total**2 / 100) / 99
    # a's seeds differ on 4 images (variance 1/2), b's on 3 (one of three: variance 1/3)
    images = s2_d / 100 - (4 / 2 / 100) / (2 * 100) - (3 / 3 / 100) / (3 * 100)
    found = stats.contrast(a, b)
    assert found.difference == pytest.approx(0.07, abs=1e-15)
    variance = part_a + part_b + images
    assert found.variance == pytest.approx(variance)
    df = variance**2 / (part_a**2 / 1 + part_b**2 / 2)
    assert found.df == pytest.approx(df)
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(0.07 / math.sqrt(variance), df))
    half = scipy.stats.t.isf(0.025, df) * math.sqrt(variance)
    assert found.interval() == pytest.approx((0.07 - half, 0.07 + half))


def test_third_term_is_obuchowski_and_rockettes_covariances() -> None:
    # Hillis 2014, page 344: MS[R(T)]/r + (Cov2 − Cov3), the covariances of two seeds' accuracies
    # over samples of images, which for means are covariances of answers over images, by n
    a, b = drawn(1, 5, images=4000), drawn(2, 4, images=4000)

    def covariance(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([np.cov(x, y)[0, 1] for x, y in pairs])) / 4000

    expected = (
        covariance(list(combinations(a, 2)))
        + covariance(list(combinations(b, 2)))
        - 2 * covariance(list(product(a, b)))
    )
    seeds = sum(np.var(one.mean(axis=1), ddof=1) / len(one) for one in (a, b))
    found = stats.contrast(a, b)
    assert found.variance is not None
    assert found.variance - seeds == pytest.approx(expected, rel=5e-3)


def test_without_a_part_of_images_it_is_welchs_test() -> None:
    # each image misleads one seed of each network: mean answers of 4/5 and 2/3 on all images, so
    # the third term is below 0, and left out
    a = np.repeat(np.arange(5), [50, 60, 55, 70, 65]) != np.arange(5)[:, None]
    b = np.repeat(np.arange(3), [90, 100, 110]) != np.arange(3)[:, None]
    by_seed = a.mean(axis=1), b.mean(axis=1)
    found = stats.contrast(a, b)
    expected = scipy.stats.ttest_ind(*by_seed, equal_var=False)
    assert stats.welch(*by_seed) == pytest.approx(expected.pvalue)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.df == pytest.approx(expected.df)
    assert found.interval(0.9) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert stats.welch([0.5, 0.5], [0.4, 0.4, 0.4]) is None  # nothing varies
    assert stats.welch([0.5], [0.4, 0.3]) is None


def test_seeds_that_agree_leave_the_paired_t_test_over_images() -> None:
    a, b = drawn(1, 1), drawn(2, 1)
    found = stats.contrast(np.repeat(a, 3, axis=0), np.repeat(b, 4, axis=0))
    expected = scipy.stats.ttest_rel(a[0].astype(float), b[0].astype(float))
    assert found.df == 399
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize("seeds", [(1, 1), (1, 5), (3, 1)])
def test_one_seed_is_not_testable(seeds: tuple[int, int]) -> None:
    found = stats.contrast(drawn(1, seeds[0]), drawn(2, seeds[1]))
    assert found.difference == pytest.approx(
        drawn(1, seeds[0]).mean() - drawn(2, seeds[1]).mean(), abs=1e-12
    )
    assert (found.p, found.interval(), found.detectable(), found.variance) == (None,) * 4
    with pytest.raises(ValueError, match="400 and 300"):
        stats.contrast(drawn(0, 2), drawn(0, 2, images=300))


def test_nothing_varies_and_yet_nothing_is_certain() -> None:
    everything, nothing = np.ones((3, 50), bool), np.zeros((3, 50), bool)
    apart, same = stats.contrast(everything, nothing), stats.contrast(nothing, nothing)
    # two images added, +1 and −1, to fifty of difference 1
    assert apart.variance == pytest.approx(np.var([1.0] * 51 + [-1.0], ddof=1) / 50)
    assert 0 < apart.p < 1e-20
    assert (same.difference, same.p) == (0.0, 1.0)
    low, high = same.interval()
    assert low < 0 < high


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_contrast_is_a_number_for_any_answers(data: st.DataObject) -> None:
    images = data.draw(st.integers(1, 6))
    row = st.lists(st.booleans(), min_size=images, max_size=images)
    a, b = (np.array(data.draw(st.lists(row, min_size=1, max_size=4))) for _ in "ab")
    found, turned = stats.contrast(a, b), stats.contrast(b, a)
    if min(len(a), len(b), images) == 1:
        assert found.p is None
        return
    assert found.variance > 0
    assert 0 <= found.p <= 1
    assert turned.p == pytest.approx(found.p)
    # not fewer than of the network with fewer seeds
    assert found.df >= min(len(a), len(b), images) - 1 - 1e-9
    low, high = found.interval()
    assert low < found.difference < high
    if abs(found.p - 0.05) > 1e-9:
        assert (low > 0 or high < 0) == (found.p < 0.05)


def test_holm_by_hand() -> None:
    # 0.01 · 3, 0.02 · 2, and 0.03 · 1 raised to the one before it
    assert stats.holm([0.02, 0.03, 0.01]) == pytest.approx([0.04, 0.04, 0.03])
    # a test that was not made stays in the family
    assert stats.holm([0.02, None, 0.01]) == [pytest.approx(0.04), None, pytest.approx(0.03)]
    assert stats.holm([]) == []


@settings(deadline=None, max_examples=25)  # statsmodels collects garbage each time
@given(st.lists(st.tuples(st.floats(-0.05, 0.05), st.floats(1.5, 9)), min_size=1, max_size=5))
def test_where_a_simultaneous_interval_excludes_0_holm_rejects(
    rows: list[tuple[float, float]],
) -> None:
    family = [stats.Difference(difference=d, variance=1.2e-4, df=df) for d, df in rows]
    level = stats.simultaneous_level(len(family))
    assert level == pytest.approx(1 - 0.05 / len(rows))
    for one, p in zip(family, stats.holm([one.p for one in family]), strict=True):
        low, high = one.interval(level)
        assert p < 0.05 or (low <= 1e-12 and high >= -1e-12)


@pytest.mark.parametrize("df, power, alpha", [(4, 0.8, 0.05), (8, 0.8, 0.05 / 3), (1.7, 0.9, 0.05)])
def test_the_detectable_difference_is_found_with_the_power(
    df: float, power: float, alpha: float
) -> None:
    found = stats.Difference(difference=0.0, variance=4e-6, df=df).detectable(power, alpha)
    critical = scipy.stats.t.isf(alpha / 2, df)
    assert scipy.stats.nct.sf(critical, df, found / 0.002) == pytest.approx(power, abs=1e-5)


def test_lower_bound_by_hand() -> None:
    # means 0, −1, 1, 2; squares within: 2, 2, 8, 0; 12 / 8 = 1.5; t(0.95, 8) = 1.859548
    found = stats.lower_bound_pooled([[-1, 0, 1], [-2, -1, 0], [-1, 1, 3], [2, 2, 2]])
    assert found == pytest.approx(0.5 - 1.859548 * math.sqrt(1.5 / 12), abs=1e-6)
    assert stats.lower_bound_pooled([[0.1], [0.3]]) is None


def test_of_twelve_rounds_the_3rd_and_the_10th() -> None:
    found = stats.median_interval([12, 3, 7, 1, 9, 2, 8, 4, 11, 5, 10, 6])
    assert found == (6.5, (3, 10))
    assert stats.median_interval([3, 1, 2]) == (2, (1, 3))
    for n in (6, 7, 12, 25, 39):
        own = scipy.stats.quantile_test(np.arange(n), q=0, p=0.5).confidence_interval(0.95)
        assert stats.median_interval(np.arange(n))[1] == (own.low, own.high)


# ------------------------------------------------------------------------------- calibration


def logits_of(confidence: np.ndarray) -> np.ndarray:
    """Class 0 with these confidences, the rest shared by the other nine; (n, 10)."""
    rest = np.repeat((1 - confidence[:, None]) / 9, 9, axis=1)
    return np.log(np.hstack([confidence[:, None], rest])).astype(np.float32)


def test_calibration_error_by_hand() -> None:
    # confidence 0.9 everywhere, every second answer correct: each bin is off by 0.4
    found = stats.expected_calibration_error(np.arange(60) % 2, logits_of(np.full(60, 0.9)))
    assert found == pytest.approx(0.4, abs=1e-6)
    # two images of two bins; twice the logits, divided by two
    labels, logits = np.zeros(2, int), 2 * logits_of(np.array([0.5, 0.9]))
    found = stats.expected_calibration_error(labels, logits, 2.0)
    assert found == pytest.approx((0.5 + 0.1) / 2, abs=1e-6)
    # 15 images of confidence 0.6, all correct, and 15 of 0.8, none: off by 0.4 and 0.8
    confidence, labels = np.repeat([0.6, 0.8], 15), np.repeat([0, 1], 15)
    mixed = np.arange(30).reshape(2, 15).T.ravel()
    found = stats.expected_calibration_error(labels[mixed], logits_of(confidence)[mixed])
    # the eighth of fifteen bins holds one of each: |0.4 − 0.8| / 2
    assert found == pytest.approx((14 * 0.4 + 14 * 0.8 + 0.4) / 30, abs=1e-6)
