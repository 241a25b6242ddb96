"""Statistics against scipy, statsmodels, published examples and answers by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from cnnpaper.paper import stats


def right(count: int, images: int) -> np.ndarray:
    """The first ``count`` of ``images`` are right, (images,)."""
    return np.arange(images) < count


def paired(both: int, first: int, second: int, none: int) -> dict[str, np.ndarray]:
    """Two networks of one seed with this table of right answers."""
    a = np.repeat([True, True, False, False], [both, first, second, none])
    b = np.repeat([True, False, True, False], [both, first, second, none])
    return {"a": a[None], "b": b[None]}


def drawn(seed: int, seeds: int, images: int = 400, share: float = 0.8) -> np.ndarray:
    """Answers that vary over seeds and images, (seeds, images)."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)
    shift = rng.normal(0, 0.03, (seeds, 1))
    return hard + 0.2 * rng.normal(size=(seeds, images)) + shift < share


# ------------------------------------------------------------------------------- one network


@pytest.mark.parametrize("level", [0.95, 0.999])
@pytest.mark.parametrize("count, n", [(0, 10), (1, 10), (7761, 10_000), (256, 256)])
def test_wilson_is_statsmodels_wilson(count: int, n: int, level: float) -> None:
    expected = proportion_confint(count, n, alpha=1 - level, method="wilson")
    assert stats.wilson(count / n, n, level) == pytest.approx(expected, abs=1e-12)


def test_one_seed_has_wilsons_interval_over_images() -> None:
    found = stats.accuracy(right(83, 100)[None])
    low, high = proportion_confint(83, 100, method="wilson")
    assert (found.mean, found.seeds, found.images, found.seed_sd) == (0.83, 1, 100, None)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_two_seeds_by_hand() -> None:
    # seeds with 80 and 84 of 100 right: 80 images right twice, four once, 16 never
    found = stats.accuracy(np.array([right(80, 100), right(84, 100)]))
    # variance over images: (80 + 4 / 4) / 100 - 0.82² = 0.1376, p(1-p) = 0.1476
    effective = 100 * 0.1476 / 0.1376
    low, high = proportion_confint(0.82 * effective, effective, method="wilson")
    # s = 0.04 / √2, s/√S = 0.02, and t with one degree of freedom is 12.706
    seeds = 12.7062047 * 0.02
    assert found.mean == pytest.approx(0.82, abs=1e-12)
    assert found.seed_sd == pytest.approx(0.04 / math.sqrt(2), abs=1e-12)
    assert found.low == pytest.approx(0.82 - math.hypot(seeds, 0.82 - low), abs=1e-7)
    assert found.high == 1.0  # 0.82 + 0.254 is above it
    assert 0.82 + math.hypot(seeds, high - 0.82) > 1


def test_seeds_that_agree_on_every_image_are_one_seed() -> None:
    once = stats.accuracy(right(61, 90)[None])
    thrice = stats.accuracy(np.tile(right(61, 90), (3, 1)))
    assert (thrice.mean, thrice.low, thrice.high) == (once.mean, once.low, once.high)


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_accuracy_0_and_1_keep_an_interval_that_is_no_point(share: int, seeds: int) -> None:
    found = stats.accuracy(np.full((seeds, 50), bool(share)))
    # Wilson's other limit at the ends is z² / (n + z²) away
    width = 1.959964**2 / (50 + 1.959964**2)
    assert found.mean == share
    assert found.high - found.low == pytest.approx(width, abs=1e-6)
    assert (found.low, found.high)[share] == share


def test_one_image_that_every_second_seed_gets_right_has_no_effective_number() -> None:
    found = stats.accuracy(np.array([[True, True], [False, False]]))
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_gap_of_one_seed_is_newcombes_interval_for_independent_proportions() -> None:
    found = stats.selection_gap(np.array([0.79]), 5000, right(7761, 10_000)[None])
    low, high = confint_proportions_2indep(3950, 5000, 7761, 10_000, method="newcomb")
    assert found.difference == pytest.approx(0.0139, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_gap_of_several_seeds_adds_the_spread_of_their_gaps() -> None:
    correct = np.tile(right(80, 100), (3, 1))
    same = stats.selection_gap(np.array([0.84, 0.84, 0.84]), 100, correct)
    spread = stats.selection_gap(np.array([0.82, 0.84, 0.86]), 100, correct)
    # gaps 0.02, 0.04, 0.06: s = 0.02, and t with two degrees of freedom is 4.302653
    seeds = 4.302653 * 0.02 / math.sqrt(3)
    assert spread.difference == pytest.approx(0.04, abs=1e-12)
    assert spread.low == pytest.approx(0.04 - math.hypot(seeds, 0.04 - same.low), abs=1e-7)
    assert spread.high == pytest.approx(0.04 + math.hypot(seeds, same.high - 0.04), abs=1e-7)


# ------------------------------------------------------------------------------- one seed


@pytest.mark.parametrize(
    "table, low, high",
    [
        # Altman et al., Statistics with Confidence (2000), table 6.2, by Newcombe's method
        ((14, 5, 0, 22), 0.011, 0.226),
        # airway hyper-responsiveness: Fagerland, Lydersen & Laake, Stat. Med. 33:2850 (2014)
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_newcombes_interval_gives_published_limits(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    assert stats.newcombe_paired(*table) == pytest.approx((low, high), abs=5e-4)


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda table: sum(table) > 1))
def test_newcombes_interval_turns_with_the_order_and_holds_the_estimate(
    table: tuple[int, int, int, int],
) -> None:
    both, first, second, none = table
    low, high = stats.newcombe_paired(*table)
    assert -1 - 1e-12 <= low <= (first - second) / sum(table) <= high <= 1 + 1e-12
    turned = stats.newcombe_paired(both, second, first, none)
    assert (low, high) == pytest.approx((-turned[1], -turned[0]), abs=1e-12)


@pytest.mark.parametrize("first, second", [(5, 0), (1, 7), (30, 30), (0, 0), (310, 255)])
def test_one_seed_is_mcnemars_exact_test(first: int, second: int) -> None:
    (found,) = stats.compare_all(paired(200, first, second, 50))
    p = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert found.method == "mcnemar"
    assert (found.first_only, found.second_only) == (first, second)
    assert found.p == pytest.approx(p, rel=1e-9)
    assert found.difference == pytest.approx((first - second) / (250 + first + second), abs=1e-15)


def test_where_test_and_interval_disagree_the_pair_is_not_separated() -> None:
    # p = 2 · (1/2)^5 = 0.0625, though the interval, 0.011 to 0.226, leaves out 0
    (found,) = stats.compare_all(paired(14, 5, 0, 22))
    assert found.p_holm == pytest.approx(0.0625, abs=1e-12)
    assert found.low > 0
    assert not found.separated
    assert found.better is None
    assert found.worse is None


def test_interval_is_simultaneous_over_all_pairs() -> None:
    two = paired(60, 25, 5, 10)
    three = {**two, "c": two["a"]}
    pairs = {(pair.first, pair.second): pair for pair in stats.compare_all(three)}
    # three pairs: each interval is at 1 - 0.05 / 3
    expected = stats.newcombe_paired(60, 25, 5, 10, level=1 - 0.05 / 3)
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (pairs["a", "b"].low, pairs["a", "b"].high) == pytest.approx(expected, abs=1e-12)
    assert pairs["a", "c"].p_holm == 1.0
    assert pairs["b", "c"].better == "c"
    assert pairs["b", "c"].worse == "b"


# ------------------------------------------------------------------------------- several seeds


@settings(deadline=None, max_examples=15)  # statsmodels collects garbage each time
@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=28))
def test_holm_is_statsmodels_holm(p: list[float]) -> None:
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-15)


def test_holm_by_hand() -> None:
    # 0.01 · 3, 0.02 · 2, and 0.03 · 1 raised to the one before it
    assert stats.holm([0.02, 0.03, 0.01]) == pytest.approx([0.04, 0.04, 0.03], abs=1e-15)


def test_seeds_that_agree_leave_the_paired_t_test_over_images() -> None:
    first, second = drawn(1, 1), drawn(2, 1)
    (found,) = stats.compare_all({"a": np.repeat(first, 3, 0), "b": np.repeat(second, 4, 0)})
    expected = scipy.stats.ttest_rel(first[0].astype(float), second[0].astype(float))
    low, high = expected.confidence_interval(0.95)
    assert (found.method, found.df, found.seeds_variance) == ("seeds", None, 0.0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_without_a_part_of_images_it_is_welchs_test_over_seeds() -> None:
    a, b = np.array([0.80, 0.82, 0.83, 0.79]), np.array([0.76, 0.79, 0.74])
    expected = scipy.stats.ttest_ind(a, b, equal_var=False)
    parts = a.var(ddof=1) / 4, b.var(ddof=1) / 3
    variance = sum(parts)
    df = float(expected.df)
    p = stats.seeds_p(a.mean() - b.mean(), variance, 0.0, df, 10_000)
    assert p == pytest.approx(expected.pvalue, rel=1e-6)
    half = stats.seeds_half(variance, 0.0, df, 10_000, 0.05)
    low, high = expected.confidence_interval(0.95)
    assert half == pytest.approx((high - low) / 2, rel=1e-9)


def test_parts_of_the_variance_by_hand() -> None:
    # a: 90 and 86 of 100; b: 80, 80 and 83 of 100; nested, so images differ by whole shares
    a = np.array([right(90, 100), right(86, 100)])
    b = np.array([right(80, 100), right(80, 100), right(83, 100)])
    (found,) = stats.compare_all({"a": a, "b": b})
    part_a = 0.0008 / 2  # variance of 0.90 and 0.86
    part_b = 0.0003 / 3  # of 0.80, 0.80 and 0.83
    # seed-averaged differences: 80 times 0, three times 2/3, three times 1, four times 1/2
    total, squares = 2 + 3 + 2, 3 * 4 / 9 + 3 + 4 / 4
    of_images = (squares - total**2 / 100) / 99 / 100
    df = (part_a + part_b) ** 2 / (part_a**2 / 1 + part_b**2 / 2)
    assert found.difference == pytest.approx(0.07, abs=1e-12)
    assert found.seeds_variance == pytest.approx(part_a + part_b, abs=1e-12)
    assert found.images_variance == pytest.approx(of_images, abs=1e-12)
    assert found.df == pytest.approx(df, abs=1e-9)
    half = math.sqrt(
        scipy.stats.t.isf(0.025, df) ** 2 * (part_a + part_b)
        + scipy.stats.t.isf(0.025, 99) ** 2 * of_images
    )
    assert (found.low, found.high) == pytest.approx((0.07 - half, 0.07 + half), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.6, 0.95))
def test_p_and_interval_are_one_rule(seed: int, seeds: int, share: float) -> None:
    arrays = {
        "a": drawn(seed, seeds),
        "b": drawn(seed, seeds + 1, share=share),
        "c": drawn(seed + 1, 2, share=share),
    }
    for pair in stats.compare_all(arrays):
        leaves_out = pair.low > 0 or pair.high < 0
        assert leaves_out == (pair.p < 0.05 / 3)
        assert not leaves_out or pair.separated  # Holm rejects whatever Bonferroni rejects


def test_nothing_varies_and_yet_nothing_is_certain() -> None:
    everything, nothing = np.ones((3, 50), bool), np.zeros((3, 50), bool)
    apart, same, _ = stats.compare_all({"a": everything, "b": nothing, "c": everything})
    # two images added, +1 and -1, to fifty of difference 1
    variance = np.var([1.0] * 50 + [1.0, -1.0], ddof=1) / 50
    assert apart.separated
    assert apart.images_variance == pytest.approx(variance)
    assert 0 < apart.low < 1 < apart.high
    assert (same.difference, same.p) == (0.0, 1.0)
    assert same.low < 0 < same.high


def test_ten_images_and_two_seeds_separate_little() -> None:
    better, worse = np.tile(right(9, 10), (2, 1)), np.tile(right(6, 10), (2, 1))
    (pair,) = stats.compare_all({"a": better, "b": worse})
    assert not pair.separated


def test_the_smallest_p_is_given_as_it_is() -> None:
    (pair,) = stats.compare_all(
        {"a": np.ones((2, 5000), bool), "b": np.tile(right(10, 5000), (2, 1))}
    )
    assert pair.p == stats.SMALLEST_P


def test_one_seed_and_several_are_not_compared() -> None:
    with pytest.raises(ValueError, match="one seed"):
        stats.compare_all({"a": drawn(0, 1), "b": drawn(0, 3)})


def test_one_network_has_no_pair() -> None:
    assert stats.compare_all({"a": drawn(0, 3)}) == ()
    assert stats.compare_all({}) == ()


# ------------------------------------------------------------------------------- bootstrap


def test_multibootstrap_has_the_spread_of_seeds_and_images() -> None:
    correct = drawn(3, 12, images=1000)
    accuracies = stats.multibootstrap({"a": correct})["a"]
    by_seed, by_image = correct.mean(axis=1), correct.mean(axis=0)
    variance = by_seed.var() / 12 + by_image.var() / 1000
    assert accuracies.shape == (stats.RESAMPLES,)
    assert accuracies.mean() == pytest.approx(correct.mean(), abs=3 * math.sqrt(variance / 1000))
    # both parts hold the chance of a single answer, so theirs is a bound from below
    assert 0.85 < accuracies.std() / math.sqrt(variance) < 1.15


def test_multibootstrap_agrees_with_the_test_and_repeats() -> None:
    arrays = {"a": drawn(3, 10), "b": drawn(4, 10, share=0.6), "c": drawn(5, 10, share=0.8)}
    found = stats.multibootstrap(arrays)
    again = stats.multibootstrap(arrays)
    assert all(np.array_equal(found[name], again[name]) for name in arrays)
    assert stats.multibootstrap_p(found["a"], found["b"]) == pytest.approx(2 / 1001)
    assert stats.multibootstrap_p(found["a"], found["a"]) == 1.0


# ------------------------------------------------------------------------------- calibration


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities).astype(np.float32)


def constant(confidence: float, images: int) -> np.ndarray:
    """Class 0 with ``confidence``, the rest shared by the other nine."""
    row = np.full(10, (1 - confidence) / 9)
    row[0] = confidence
    return logits_of(np.tile(row, (images, 1)))


def test_calibration_by_hand() -> None:
    # confidence 0.9 everywhere, every second answer right: each bin is off by 0.4
    labels = (np.arange(60) % 2).astype(np.uint8)
    found = stats.calibrate(labels, constant(0.9, 60))
    other = 0.1 / 9
    squares = 0.81 + 9 * other**2
    brier = ((squares - 2 * 0.9 + 1) + (squares - 2 * other + 1)) / 2
    assert found.ece == pytest.approx(0.4, abs=1e-6)
    assert found.brier == pytest.approx(brier, abs=1e-6)
    assert found.nll == pytest.approx(-(math.log(0.9) + math.log(other)) / 2, abs=1e-6)
    assert found.confidence == pytest.approx([0.9] * 15, abs=1e-6)
    assert found.accuracy == pytest.approx([0.5] * 15)


def test_bins_have_equal_mass() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1000).astype(np.uint8)
    logits = rng.normal(0, 2, (1000, 10)).astype(np.float32)
    logits[np.arange(1000), labels] += 2
    found = stats.calibrate(labels, logits)
    probabilities = scipy.special.softmax(logits.astype(float), axis=1)
    frame = pd.DataFrame(
        {"confidence": probabilities.max(axis=1), "right": logits.argmax(axis=1) == labels}
    ).sort_values("confidence", ignore_index=True)
    # 1,000 = 10 bins of 67 and 5 of 66
    frame["bin"] = [bin for bin in range(15) for _ in range(67 if bin < 10 else 66)]
    means = frame.groupby("bin").mean()
    sizes = frame.groupby("bin").size()
    ece = (sizes * (means["right"] - means["confidence"]).abs()).sum() / 1000
    assert found.ece == pytest.approx(ece, abs=1e-12)
    assert found.confidence == pytest.approx(means["confidence"].to_numpy(), abs=1e-12)
    one_hot = np.eye(10)[labels]
    assert found.brier == pytest.approx(((probabilities - one_hot) ** 2).sum() / 1000, abs=1e-12)


def test_fewer_images_than_bins() -> None:
    found = stats.calibrate(np.array([0, 1, 0], dtype=np.uint8), constant(0.7, 3))
    assert len(found.confidence) == 3
    assert found.ece == pytest.approx((0.3 + 0.7 + 0.3) / 3, abs=1e-6)


def test_interval_of_the_error_holds_it_where_confidence_is_off() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        confidence = rng.uniform(0.5, 0.98, 1500)
        wrong = (1 - confidence)[:, None] / 9
        probabilities = np.where(np.arange(10) == 0, confidence[:, None], wrong)
        # right in 15 points fewer cases than it believes
        labels = np.where(rng.random(1500) < confidence - 0.15, 0, 1).astype(np.uint8)
        found = stats.calibration([stats.calibrate(labels, logits_of(probabilities))])
        held += found.ece_low <= 0.15 <= found.ece_high
    # binomial with 100 draws: below 88 would be three standard errors under 0.95
    assert held >= 88


def test_calibration_averages_seeds_and_its_interval_holds_the_estimate() -> None:
    labels = (np.arange(60) % 2).astype(np.uint8)
    seeds = [stats.calibrate(labels, constant(c, 60)) for c in (0.9, 0.7)]
    found = stats.calibration(seeds)
    assert found.seeds == 2
    assert found.ece == pytest.approx((0.4 + 0.2) / 2, abs=1e-6)
    rng = np.random.default_rng(2)
    sure = np.full(3000, 0.8)
    labels = np.where(rng.random(3000) < sure, 0, 1).astype(np.uint8)
    small = stats.calibration([stats.calibrate(labels, constant(0.8, 3000))])
    assert 0 <= small.ece_low <= small.ece <= small.ece_high


def test_interval_of_the_error_is_reflected_and_widened_to_the_estimate() -> None:
    bins = np.full(15, 0.5)
    # resamples from 0.10 to 0.20: quantiles 0.1025 and 0.1975, reflected at 0.10
    found = stats.calibration(
        [
            stats.SeedCalibration(
                ece=0.1, brier=0.5, nll=1.0, confidence=bins, accuracy=bins, resampled=drawn
            )
            for drawn in [np.linspace(0.1, 0.2, stats.RESAMPLES)]
        ]
    )
    assert found.ece_low == pytest.approx(0.2 - 0.1975, abs=1e-12)
    assert found.ece_high == 0.1  # 0.2 - 0.1025 is below it


# ------------------------------------------------------------------------------- confusion


def test_confusion_and_the_pairs_most_confused() -> None:
    labels = np.array([3, 3, 3, 5, 5, 0, 8, 8], dtype=np.uint8)
    said = np.array([3, 5, 5, 3, 5, 8, 0, 8])
    table = stats.confusion(labels, np.eye(10, dtype=np.float32)[said])
    assert table.sum() == 8
    assert (table[3, 5], table[5, 3], table[0, 8], table[8, 0]) == (2, 1, 1, 1)
    # cat and dog three times, aeroplane and ship twice, no other pair
    assert stats.most_confused(table, 5) == [(3, 5), (0, 8)]
    assert stats.most_confused(table, 1) == [(3, 5)]


def test_both_ways_count() -> None:
    table = np.zeros((10, 10), dtype=np.int64)
    table[0, 1], table[2, 3], table[3, 2] = 3, 1, 4
    assert stats.most_confused(table, 2) == [(2, 3), (0, 1)]


def test_equal_counts_keep_the_order_of_the_classes() -> None:
    table = np.zeros((10, 10), dtype=np.int64)
    table[9, 1], table[4, 2], table[3, 0] = 4, 4, 4
    assert stats.most_confused(table, 3) == [(0, 3), (1, 9), (2, 4)]
