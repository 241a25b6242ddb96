"""Trials of the recipe and their tables; expected values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnpaper import ablation, config
from cnnpaper.errors import UserError
from tests.conftest import REPOSITORY, Answer

FACTORS = [f"factor{number}" for number in range(9)]


def test_the_design_is_plackett_and_burman_s() -> None:
    design = np.array(config.screening_design())
    assert design.shape == (12, 11)
    assert (design.T @ design == 12 * np.eye(11)).all()  # balanced, any two columns orthogonal
    assert (design.sum(axis=0) == 0).all()
    assert "".join("+" if level > 0 else "-" for level in design[0]) == "++-+++---+-"
    assert (design[11] == -1).all()


def a_run(percent: float, seconds: float = 100.0) -> Any:
    epoch = SimpleNamespace(val_acc=percent / 100, train_cpu_s=seconds)
    return SimpleNamespace(epochs=(epoch,))


def test_effects_and_their_error() -> None:
    design = np.array(config.screening_design())
    # factor0 is worth 3 points, factor4 minus 2; what a spare column holds is noise of amplitude r:
    # sum of squares 12 r² for one network, none for the other, four spare columns in all, so
    # variance 3 r², and an effect's error is 2 sqrt(3 r² / 12) = r
    noise = 0.5
    first = 50 + 1.5 * design[:, 0] - design[:, 4] + noise * design[:, 10]
    second = 60 + 1.5 * design[:, 0]
    cost = 100 + 10 * design[:, 6]
    runs = {
        "a": [a_run(y, c) for y, c in zip(first, cost, strict=True)],
        "b": [a_run(y) for y in second],
    }
    found = ablation.effects(FACTORS, runs)
    by_name = {effect.change: effect for effect in found["a"]}
    assert by_name["factor0"].effect == pytest.approx(3)
    assert by_name["factor4"].effect == pytest.approx(-2)
    assert by_name["factor1"].effect == pytest.approx(0, abs=1e-9)
    assert by_name["factor0"].error == pytest.approx(noise)
    assert by_name["factor0"].separated
    assert not by_name["factor1"].separated
    assert by_name["factor6"].cpu == pytest.approx(0.2)  # 110 against 90 seconds
    assert found["b"][0].effect == pytest.approx(3)
    assert found["b"][0].error == pytest.approx(noise)  # pooled over the networks


def test_a_trial_that_diverged_counts_as_chance() -> None:
    epoch = SimpleNamespace(val_acc=None, train_cpu_s=1.0)
    assert ablation.accuracy(SimpleNamespace(epochs=(epoch,))) == 10.0  # type: ignore[arg-type]


def test_the_last_epoch_counts_not_the_best() -> None:
    epochs = tuple(SimpleNamespace(val_acc=acc, train_cpu_s=1.0) for acc in (0.5, 0.4))
    assert math.isclose(ablation.accuracy(SimpleNamespace(epochs=epochs)), 40.0)  # type: ignore[arg-type]


def test_trials_become_runs(root: Path) -> None:
    study = config.load_study(root, "ablation")
    specs = {spec.run: spec for spec in config.run_specs(root, study)}
    assert len(specs) == 4 * 5 + 2 * 2 + 2 + 1 + 8 + 2 + 5 + 2 * 12
    assert specs["alexnet-screen07-s0"].recipe.peak_learning_rate == 0.05
    rate = specs["alexnet-rate0.1-s0"]
    # a trial wins over the network's own rate, which is another
    assert (rate.recipe.peak_learning_rate, rate.epochs) == (0.1, 1)
    last = specs["resnet18-screen12-s0"]  # the design's last row has every factor plain
    assert last.epochs == 2
    assert last.initialisation == "he_normal_fan_in"
    assert (last.recipe.crop_mode, last.recipe.flip) == ("zeros", "random")
    first = specs["resnet18-screen01-s0"].recipe  # ++-+++---+-
    assert (first.warmup_share, first.weight_decay_on) == (0.2, "weights")
    assert (first.label_smoothing, first.crop_mode) == (0.0, "reflect")
    assert all(spec.data.test_images == 0 for spec in specs.values())


@pytest.mark.parametrize(
    "line, message",
    [
        ("values = { peak_lerning_rate = 0.05 }", "unknown key 'peak_lerning_rate'"),
        ("values = { peak_learning_rate = -1.0 }", "peak_learning_rate = -1.0"),
        ('values = { initialisation = "none" }', "initialisation = 'none'"),
        ("values = {}", "values"),
    ],
)
def test_a_mistake_in_a_trial(root: Path, line: str, message: str) -> None:
    path = root / "experiments" / "study" / "ablation.toml"
    path.write_text(path.read_text().replace("values = { peak_learning_rate = 0.05 }", line))
    with pytest.raises(UserError, match=message.replace("{", "").split(" = {")[0]):
        config.run_specs(root, config.load_study(root, "ablation"))


def test_an_unknown_trial(root: Path, cnnpaper: Callable[..., Answer]) -> None:
    answer = cnnpaper("train", "--study", "ablation", "--model", "alexnet", "--variant", "rate0.3")
    assert answer.code == 2
    assert "no such trial of alexnet" in answer.err
    assert "rate0.2" in answer.err


def test_no_trial_is_finished(root: Path, cnnpaper: Callable[..., Answer]) -> None:
    answer = cnnpaper("ablation")
    assert answer.code == 2
    assert "no trial is finished; make ablation" in answer.err


def test_trials_of_one_setting_share_a_row(root: Path) -> None:
    """Twice the same values, for two networks, named in another order; what is missing is empty."""
    study = config.load_study(root, "ablation")
    values = (
        {"batch_size": 64, "peak_learning_rate": 0.5},
        {"peak_learning_rate": 0.5, "batch_size": 64},
    )
    trials = {
        "first": config.Trial(networks=("alexnet",), values=values[0]),
        "second": config.Trial(networks=("alexnet", "resnet18"), values=values[1]),
    }
    study = study.model_copy(update={"trial": trials, "screen_networks": (), "screen": {}})
    specs = config.run_specs(root, study)
    assert [spec.run for spec in specs] == [
        "alexnet-first-s0",
        "alexnet-second-s0",
        "resnet18-second-s0",
    ]
    percents = (40.0, 41.26, 50.0)
    runs = {spec.run: (spec, a_run(percent)) for spec, percent in zip(specs, percents, strict=True)}
    text = ablation._single_trials(root, study, runs)
    cells = [cell.strip() for cell in text.splitlines()[4].strip("|").split("|")]
    assert cells == [
        "`batch_size = 64`, `peak_learning_rate = 0.5`",
        "2",
        "40.0 / 41.3",
        "",
        "",
        "50.0",
    ]
    assert len(text.splitlines()) == 5


def test_the_committed_table_is_that_of_the_committed_trials() -> None:
    text = (REPOSITORY / "experiments" / "README.md").read_text("utf-8")
    block = text.partition(ablation.BEGIN + "\n")[2].partition(ablation.END)[0]
    assert block == ablation.tables(REPOSITORY, config.load_study(REPOSITORY, "ablation"))
