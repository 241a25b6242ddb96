"""What a study found, against scipy and answers by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from cnnpaper import log
from cnnpaper.files import UserError
from cnnpaper.study.analysis import Findings, Trial, _lead, analyse
from cnnpaper.study.load import StudyData, load
from cnnpaper.study.precision import Precision, compare
from cnnpaper.study.status import status
from tests import fabricate
from tests.fabricate import FOUR, Plan

SHORT = {"short": {"steps": 15, "seeds": [0, 1, 2]}}
CONTRAST = 'contrast = { arm = "short", baseline = "resnet18" }'


def found(root: Path, name: str = "invented") -> tuple[StudyData, Findings]:
    data = load(root, name)
    return data, analyse(data)


def accuracies(root: Path, model: str, arm: str = "short", seeds: int = 3) -> list[float]:
    """Of the test images, computed here from the predictions."""
    values = []
    for seed in range(seeds):
        path = root / f"results/log/invented/{arm}/{model}-s{seed}/predictions.npz"
        arrays = np.load(path)
        values.append(float((arrays["test_logits"].argmax(1) == arrays["test_labels"]).mean()))
    return values


def test_summaries(root: Path) -> None:
    _, result = found(root)
    own = accuracies(root, "vgg16")
    summary = result.summaries["short", "vgg16", "test_acc"]
    assert summary.mean == pytest.approx(fmean(own))
    assert summary.n == 3
    assert summary.sd == pytest.approx(np.std(own, ddof=1))
    low, high = scipy.stats.t.interval(0.95, 2, fmean(own), scipy.stats.sem(own))
    assert summary.interval == pytest.approx((low, high))
    assert result.summaries["equal", "vgg16", "train_s"].mean == pytest.approx(20 * 0.27)
    steps, evaluations = 3 * 15 + 2 * 20, 3 + 2
    seconds = sum(steps * fabricate.STEP_S[model] + evaluations for model in FOUR)
    assert result.compute_s == pytest.approx(seconds)


def test_the_lead_of_a_rate_is_paired_over_images() -> None:
    """Of four images the best run has three, the second two, one of them alone: the differences 0,
    1, 1 and −1 have the mean 1/4 and the variance 11/12."""
    labels, none = np.array([0, 1, 2, 3], np.uint8), np.zeros((0, 10), np.float32)

    def scored(*answers: int) -> log.Predictions:
        logits = np.eye(10, dtype=np.float32)[[*answers]]
        return log.Predictions(val_labels=labels, val_logits=logits, test_labels=labels[:0],
                               test_logits=none)  # fmt: skip

    data: Any = SimpleNamespace(predictions={"b": scored(0, 1, 2, 9), "s": scored(0, 9, 9, 3)})
    trials = [
        Trial(stage="stage2", model="vgg16", rate=rate, val_acc=accuracy, path=path)
        for rate, accuracy, path in ((0.1, 0.25, "w"), (0.2, 0.5, "s"), (0.4, 0.75, "b"))
    ]
    lead = _lead(data, trials)
    assert (lead.model, lead.lead, lead.paths) == ("vgg16", 0.25, ("b", "s"))
    assert lead.error == pytest.approx((11 / 12 / 4) ** 0.5)
    # "w" diverged: it has no predictions, and answers class 0 always
    assert _lead(data, [trials[2], trials[0]]).lead == 0.5


def test_contrasts(tmp_path: Path) -> None:
    """One network far below the baseline, one like it."""
    accuracy = {"alexnet": 0.60, "vgg16": 0.80, "googlenet": 0.78, "resnet18": 0.80}
    images = (640, 200, 5000)
    plan = Plan(arms=SHORT, more=CONTRAST, accuracy=accuracy, images=images, spread=0.002)
    _, result = found(fabricate.study(tmp_path, plan))
    assert [row.model for row in result.contrasts] == ["alexnet", "vgg16", "googlenet"]
    assert [row.significant for row in result.contrasts[:2]] == [True, False]
    base = accuracies(tmp_path, "resnet18")
    for row in result.contrasts:
        own = accuracies(tmp_path, row.model)
        assert row.difference == pytest.approx(fmean(own) - fmean(base))
        welch = scipy.stats.ttest_ind(own, base, equal_var=False).pvalue
        assert row.p_welch == pytest.approx(welch)
        assert row.interval[0] < row.difference < row.interval[1]
    adjusted = multipletests([row.p for row in result.contrasts], method="holm")[1]
    assert [row.p_holm for row in result.contrasts] == pytest.approx(list(adjusted))


def test_a_diverged_run_enters_the_contrast_as_guessing(tmp_path: Path) -> None:
    plan = Plan(arms=SHORT, more=CONTRAST, diverged=("short/vgg16-s2",))
    _, result = found(fabricate.study(tmp_path, plan))
    good = [*accuracies(tmp_path, "vgg16", seeds=2), 0.1]
    row = next(row for row in result.contrasts if row.model == "vgg16")
    assert row.difference == pytest.approx(fmean(good) - fmean(accuracies(tmp_path, "resnet18")))
    assert result.summaries["short", "vgg16", "test_acc"].mean == pytest.approx(fmean(good))


def test_what_is_missing_or_lost(tmp_path: Path) -> None:
    fabricate.study(tmp_path, Plan(only=0))
    assert found(tmp_path)[1] == Findings()
    fabricate.study(tmp_path, Plan(arms=SHORT, more=CONTRAST, missing=("short/alexnet-s1",)))
    _, result = found(tmp_path)
    own, summary = accuracies(tmp_path, "vgg16"), result.summaries["short", "vgg16", "test_acc"]
    assert (summary.n, summary.mean) == (2, pytest.approx((own[0] + own[2]) / 2))
    assert result.gains == ()  # one arm
    shutil.rmtree(tmp_path / "results/log/invented/short/alexnet-s2")
    assert found(tmp_path)[1].contrasts == ()  # one complete seed
    names = tuple(f"short/{model}-s{seed}" for model in FOUR for seed in range(3))
    fabricate.study(tmp_path / "lost", Plan(arms=SHORT, more=CONTRAST, diverged=names))
    _, result = found(tmp_path / "lost")
    assert result.summaries["short", "vgg16", "test_acc"].mean == pytest.approx(0.1)
    assert (result.contrasts, result.calibration) == ((), ())
    plan = Plan(arms=SHORT, more=CONTRAST, images=(640, 200, 0))  # reads no test image
    _, result = found(fabricate.study(tmp_path / "unread", plan))
    assert (result.contrasts, result.calibration, result.gains) == ((), (), ())
    assert {column for _, _, column in result.summaries} == {"val_acc", "train_s"}


def test_gain_from_the_shortest_to_the_longest_arm(tmp_path: Path) -> None:
    arms = {"long": {"epochs": 3, "seeds": [0, 1]}, **SHORT, "equal": {"epochs": 2, "seeds": [0]}}
    _, result = found(fabricate.study(tmp_path, Plan(arms=arms)))
    row = next(row for row in result.gains if row.model == "vgg16")
    long = fmean(accuracies(tmp_path, "vgg16", "long", 2))
    assert row.difference == pytest.approx(long - fmean(accuracies(tmp_path, "vgg16")))
    assert (row.arms, row.interval is None) == (("short", "long"), False)


def test_equal_epochs_beside_equal_time(tmp_path: Path) -> None:
    """Three epochs are the 30 steps that ResNet-18 has in both arms."""
    equal = {"equal": {"epochs": 3, "seeds": [0, 1]}}
    fabricate.budgeted(tmp_path, Plan(arms=equal, seeds=(0, 1), more=CONTRAST))
    fabricate.timing(tmp_path)
    _, result = found(tmp_path)
    assert [(row.model, row.arms) for row in result.speed] == [
        (model, ("equal", "short")) for model in ("alexnet", "vgg16", "googlenet")
    ]
    longer = fmean(accuracies(tmp_path, "vgg16", "short", 2))
    shorter = fmean(accuracies(tmp_path, "vgg16", "equal", 2))
    assert result.speed[1].difference == pytest.approx(longer - shorter)
    (seeds_only,) = result.same
    means = [fmean(accuracies(tmp_path, "resnet18", arm, 2)) for arm in ("short", "equal")]
    assert (seeds_only.model, seeds_only.arms) == ("resnet18", ("equal", "short"))
    assert seeds_only.difference == pytest.approx(means[0] - means[1])
    rows = {(row.arm, row.model, row.other): row for row in result.distances}
    baseline = [("equal", model, "resnet18") for model in ("alexnet", "vgg16", "googlenet")]
    assert set(rows) == {*baseline, *(("short", m, "googlenet") for m in ("alexnet", "vgg16"))}
    assert rows[baseline[1]].difference == pytest.approx(shorter - means[1])
    assert rows[baseline[1]].interval is not None


def test_calibration_undoes_a_factor(tmp_path: Path) -> None:
    """Logits of uniform classes drawn from the softmax itself are calibrated at temperature 1;
    three times as large, they are overconfident, and 3 is the temperature."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(0, 1.5, (count, 10))
        odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = (odds.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(0, 9)
        return labels.astype(np.uint8), (3 * logits).astype(np.float32)

    plan = Plan(networks=("alexnet",), images=(640, 5000, 5000))
    data = load(fabricate.study(tmp_path, plan), "invented")
    (val_labels, val_logits), (labels, logits) = drawn(5000), drawn(5000)
    made = log.Predictions(
        val_labels=val_labels, val_logits=val_logits, test_labels=labels, test_logits=logits
    )
    object.__setattr__(data, "predictions", {"invented/alexnet-s0": made})
    result = analyse(data)
    row = result.calibration[0]
    assert row.temperature == pytest.approx(3, rel=0.05)
    assert row.ece > 0.1 > 0.03 > row.ece_scaled
    assert row.nll > row.nll_scaled
    assert row.paths == ("invented/alexnet-s0",)


def test_tuning(tmp_path: Path) -> None:
    first: fabricate.Rates = {"alexnet": {0.05: 0.4, 0.1: None}, "vgg16": {0.1: 0.6}}
    fabricate.tuning(tmp_path, stage1=first)
    fabricate.tuning(tmp_path, stage2={"alexnet": {0.025: 0.3, 0.05: 0.5, 0.1: 0.4}})
    more = 'tuning = "tuning"'
    fabricate.study(tmp_path, Plan(networks=("alexnet", "vgg16"), more=more))
    _, result = found(tmp_path)
    assert result.winners == {"alexnet": 0.05}  # of VGG-16 stage 2 is missing
    alexnet = [(t.stage, t.rate, t.val_acc) for t in result.trials if t.model == "alexnet"]
    assert alexnet == [
        ("stage1", 0.025, 0.2), ("stage1", 0.05, 0.4), ("stage1", 0.1, 0.1), ("stage1", 0.2, 0.2),
        ("stage2", 0.025, 0.3), ("stage2", 0.05, 0.5), ("stage2", 0.1, 0.4),
    ]  # fmt: skip
    assert result.trials[1].path == "tuning/stage1/alexnet-rate0.05-s100"


def precision(root: Path, accuracy: dict[str, tuple[float, float]], spread: float) -> Precision:
    fabricate.precision(root, accuracy, spread=spread)
    result = compare(load(root, "precision"))
    assert result is not None
    return result


def changes(root: Path, model: str) -> list[float]:
    """Of validation accuracy, computed here from the predictions."""

    def accuracy(kind: str, seed: int) -> float:
        arrays = np.load(root / f"results/log/precision/{model}-{kind}-s{seed}/predictions.npz")
        return float((arrays["val_logits"].argmax(1) == arrays["val_labels"]).mean())

    return [accuracy("bfloat16", seed) - accuracy("float32", seed) for seed in (100, 101, 102)]


def test_precision(tmp_path: Path) -> None:
    pairs = {"alexnet": (0.6, 0.6), "vgg16": (0.7, 0.698), "resnet18": (0.8, 0.801)}
    result = precision(tmp_path, pairs, 0.002)
    own = {model: changes(tmp_path, model) for model in pairs}
    for row in result.changes:
        mean = fmean(own[row.model])
        assert row.change == pytest.approx(mean)
        assert row.n == 3
        limits = scipy.stats.t.interval(0.95, 2, mean, scipy.stats.sem(own[row.model]))
        assert row.interval == pytest.approx(limits)
        assert len(row.paths) == 6
    # one-sided bound, deviation pooled within networks: 3 x 2 degrees of freedom, 9 pairs
    pooled = np.sqrt(fmean(np.var(each, ddof=1) for each in own.values()))
    mean = fmean(value for each in own.values() for value in each)
    assert result.mean == pytest.approx(mean)
    assert result.bound == pytest.approx(mean - scipy.stats.t.ppf(0.95, 6) * pooled / 3)
    assert result.stands
    shutil.rmtree(tmp_path / "results/log/precision/vgg16-float32-s102")
    waits = compare(load(tmp_path, "precision"))  # for all of its pairs
    assert waits is not None
    assert (waits.bound, waits.stands) == (None, False)
    assert [row.n for row in waits.changes] == [3, 2, 3]


def test_a_network_that_loses_much_gets_three_more_seeds(tmp_path: Path) -> None:
    """They are declared, and make its own estimate better; the rule is about the first three."""
    pairs = {"alexnet": (0.6, 0.57), "vgg16": (0.7, 0.7)}
    before = precision(tmp_path, pairs, 0.001)
    data = load(tmp_path, "precision")
    assert [spec.path for spec in data.missing] == [
        f"precision/alexnet-{kind}-s{seed}"
        for seed in (103, 104, 105) for kind in ("float32", "bfloat16")
    ]  # fmt: skip
    assert "precision: 6 of 18 runs to train" in status(tmp_path, "precision")
    plan = Plan(name="precision", images=(640, 1000, 0), spread=0.0,
                accuracy={"alexnet-float32": 0.6, "alexnet-bfloat16": 0.6})  # fmt: skip
    for spec in data.missing:
        fabricate.write_run(tmp_path, plan, spec)
    after = compare(load(tmp_path, "precision"))
    assert after is not None
    assert (after.mean, after.bound) == (before.mean, before.bound)
    assert [row.n for row in after.changes] == [6, 3]
    assert after.changes[0].change == pytest.approx(fmean(changes(tmp_path, "alexnet")) / 2)


@pytest.mark.parametrize(
    "pairs, stands", [((0.6, 0.605), True), ((0.6, 0.57), False), ((0.6, None), False)]
)
def test_a_study_in_bfloat16_needs_it_to_stand(
    tmp_path: Path, pairs: tuple[float, float | None], stands: bool
) -> None:
    before, after = pairs
    fabricate.precision(tmp_path, {"alexnet": (before, after or before)}, spread=0.001)
    if after is None:
        plan = Plan(name="precision", images=(640, 1000, 0), diverged=("alexnet-bfloat16-s101",))
        specs = load(tmp_path, "precision").specs
        fabricate.write_run(tmp_path, plan, next(s for s in specs if s.run in plan.diverged))
    fabricate.study(tmp_path, Plan(networks=("alexnet",), more='precision = "precision"', only=0))
    if stands:
        assert analyse(load(tmp_path, "invented")).precision == compare(load(tmp_path, "precision"))
        return
    with pytest.raises(UserError, match="bfloat16 does not stand") as caught:
        analyse(load(tmp_path, "invented"))
    line = next(x for x in str(caught.value).splitlines() if x.startswith("add there: "))
    assert "make timing STUDY=invented" in str(caught.value)
    more = f'precision = "precision"\n{line.removeprefix("add there: ")}'
    fabricate.study(tmp_path, Plan(networks=("alexnet",), more=more, only=0))
    data = load(tmp_path, "invented")
    assert data.specs[0].recipe.precision == "float32"
    assert analyse(data).precision is not None


def test_times_and_budgets(tmp_path: Path) -> None:
    fabricate.budgeted(tmp_path)
    fabricate.timing(tmp_path, contended=("vgg16",))
    _, result = found(tmp_path)
    assert [row.model for row in result.timing] == list(FOUR)
    alexnet = result.timing[0]
    # rounds are 0.15 (1 + r/1000), r = 0 ... 11: median 1.0055, third and tenth 1.002 and 1.009
    assert alexnet.step_s == pytest.approx(0.15 * 1.0055)
    assert alexnet.interval == pytest.approx((0.15 * 1.002, 0.15 * 1.009))
    assert alexnet.ratio == pytest.approx(0.15 / 0.32)
    assert alexnet.ratio_interval == pytest.approx((0.15 / 0.32, 0.15 / 0.32))
    assert alexnet.paired_s == pytest.approx(0.15 * 1.0055)  # the ratio times ResNet-18's step
    assert result.timing[3].ratio_interval is None
    assert alexnet.images_per_s == pytest.approx(64 / (0.15 * 1.0055))
    macs = fabricate.networks()["alexnet"].macs or 0
    assert alexnet.gmac_per_s == pytest.approx(3 * macs * alexnet.images_per_s / 1e9)
    assert sum(alexnet.sections.values()) == pytest.approx(0.15)
    assert (result.timing[3].line, result.timing_rounds, result.timing_steps) == (4, 12, 20)
    assert result.timing_contended
    assert result.budget_s == {"short": pytest.approx(30 * 0.32 * 1.0055)}
    # 64 x 0.15 = 9.6 = 30 x 0.32; 36 x 0.27 = 9.72
    residuals = {row.model: row.residual_s for row in result.budgets}
    assert residuals["alexnet"] == pytest.approx(0, abs=1e-9)
    assert residuals["vgg16"] == pytest.approx(0.12 * 1.0055)
    assert residuals["resnet18"] == pytest.approx(0, abs=1e-12)
    # a second session checks the first
    fabricate.timing(tmp_path, step_s={"alexnet": 0.18, "resnet18": 0.32}, session=2)
    shifts = found(tmp_path)[1].shifts
    assert [(row.line, row.ratio) for row in shifts] == [
        (5, pytest.approx(1.2)), (6, pytest.approx(1.0)),
    ]  # fmt: skip
    # one of another processor does not
    fabricate.timing(tmp_path, session=3, processor="Other 1-2")
    assert found(tmp_path)[1].shifts == shifts
