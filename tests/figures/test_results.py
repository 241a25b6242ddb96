"""The values that are drawn are the values that are given, and any size stays legible."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnpaper.figures import results, style
from cnnpaper.figures.results import Accuracies, Sheet
from cnnpaper.paper.compose import Document
from cnnpaper.paper.drawings import Drawing
from tests import fabricate
from tests.figures.layout import ENGLISH, check_layout, points, texts
from tests.paper import invent
from tests.paper.conftest import ARMS

TWO = Sheet({"alexnet": "AlexNet", "vgg16": "VGG-16"}, ENGLISH)
LONG = "{:d} Some_Network <with> a $long$ name, é, {{x}} & no mercy {:d}"


def drawings(root: Path, edition: Any = "en", **shape: Any) -> dict[str, Drawing]:
    """Every figure of an invented study."""
    data, found = invent.study(root, invent.Shape(**{"arms": ARMS, **shape}))
    return Document(data, found, edition).drawings


def named(count: int, *, long: bool = False) -> dict[str, str]:
    text = LONG * 2 if long else "Network {:d}"
    return {f"net{i}": text.format(*[i] * 4)[:60] for i in range(count)}


SHAPES: dict[str, dict[str, Any]] = {
    "the study's four": {"diverged": frozenset({1, 30})},
    "in Korean": {"edition": "ko", "diverged": frozenset({1, 30})},
    "one network, one seed": {"models": named(1), "arms": {"": (3, 1)}},
    "four long names": {"models": named(4, long=True), "diverged": frozenset({1})},
    "eight, no equal time": {"models": named(8), "extras": False},
    "twelve, fifty seeds": {"models": named(12), "arms": {"short": (3, 50)}},
    "twelve long names": {"models": named(12, long=True), "diverged": frozenset({1, 13})},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_is_legible(tmp_path: Path, shape: str) -> None:
    for drawing in drawings(tmp_path, **SHAPES[shape]).values():
        figure = drawing.figure
        check_layout(figure)
        assert drawing.alt.endswith(".")
        label = figure.get_supylabel() or figure.axes[0].get_ylabel()
        if "accuracy" in label:  # an axis that does not start at zero says so
            assert ("truncated" in label) == (figure.axes[0].get_ylim()[0] > 0)


def test_a_whole_study_has_every_figure_in_its_language(tmp_path: Path) -> None:
    made = drawings(tmp_path, "ko")
    assert list(made) == ["architectures", "step_time", "tuning", "accuracy", "learning_curves"]
    for drawing in made.values():
        said = [*texts(drawing.figure), drawing.alt]
        words = re.sub("AlexNet|VGG|GoogLeNet|ResNet|float|max|avg", "", " ".join(said))
        assert not re.search("[A-Za-z]{4,}", words), words
        assert re.search("[가-힣]", drawing.alt)


def test_networks_that_need_more_than_a_page_are_drawn_one_by_one(tmp_path: Path) -> None:
    eight = fabricate.networks()
    made = drawings(tmp_path, models=dict.fromkeys(eight, ""))
    drawn = [name for name in made if name.startswith("architecture")]
    assert drawn == [f"architecture-{model}" for model in eight]
    for name in drawn:
        check_layout(made[name].figure)


# ------------------------------------------------------------------------------- values


def accuracies(*equal_time: str) -> Accuracies:
    """Two networks of two seeds in two arms, by hand; AlexNet's second seed diverged."""
    means = pd.DataFrame(
        [["short", "vgg16", 15.0, 0.8012, 0.79, 0.81], ["short", "alexnet", 15.0, 0.7, 0.69, 0.71],
         ["equal", "vgg16", 8.0, 0.75, 0.74, 0.76], ["equal", "alexnet", 6.0, 0.68, 0.67, 0.69]],
        columns=["arm", "model", "minutes", "mean", "low", "high"],
    )  # fmt: skip
    seeds = pd.concat(
        [means[["arm", "model"]].assign(test_acc=means["mean"] + off, diverged=off > 0)
         for off in (-0.002, 0.002)]
    )  # fmt: skip
    contrasts = pd.DataFrame(
        [["alexnet", -0.1012, -0.11, -0.09]], columns=["model", "difference", "low", "high"]
    )
    return Accuracies(seeds=seeds, means=means, arms={"short": "Short", "equal": "Equal"},
                      equal_time=equal_time, contrasts=contrasts, baseline="VGG-16")  # fmt: skip


@pytest.mark.parametrize("equal_time", [("short",), ()])
def test_accuracy_shows_every_seed_mean_and_interval(equal_time: tuple[str, ...]) -> None:
    """Against time, or, where no arm has equal time, in a row for each network."""
    shown = accuracies(*equal_time)
    *arms, differences = results.accuracy_at_equal_time(shown, TWO).axes
    assert len(arms) == 2
    for model, look in TWO.looks.items():
        drawn = [value for axes in arms for place in points(axes, look) for value in place]
        runs, means = (each[each["model"] == model] for each in (shown.seeds, shown.means))
        for value in [*runs["test_acc"], *means["mean"], *means["low"], *means["high"]]:
            assert np.isclose(drawn, 100 * value).any()
    (row,) = shown.contrasts.itertuples()  # type: ignore[union-attr]
    xs = [x for x, _ in points(differences, TWO.looks[row.model])]
    assert np.allclose(xs, [100 * row.low, 100 * row.high, 100 * row.difference])
    low, high = differences.get_xlim()
    assert low < 0 < high


def test_means_lie_side_by_side_at_equal_time_else_at_their_minutes() -> None:
    shown = accuracies("short")
    budgets, own, _ = results.accuracy_at_equal_time(shown, TWO).axes
    assert [label.get_text() for label in budgets.get_xticklabels()] == ["Short\n15.0 min"]
    assert own.get_title(loc="left") == "Equal"
    places = {}
    for row in shown.means.itertuples():
        (mark,) = (
            line for line in (budgets if row.arm == "short" else own).get_lines()
            if line.get_markersize() == 4.5 and list(line.get_ydata()) == [100 * row.mean]
        )  # fmt: skip
        (places[row.arm, row.model],) = mark.get_xdata()
    assert (places["equal", "vgg16"], places["equal", "alexnet"]) == (8, 6)
    assert places["short", "alexnet"] == pytest.approx(-0.1)  # in the order of the study
    assert places["short", "vgg16"] == pytest.approx(0.1)


def test_rates_on_a_log_axis_with_the_winner_ringed() -> None:
    trials = pd.DataFrame(
        [["a", "vgg16", 0.05, 0.6, False], ["b", "vgg16", 0.05, 0.7, False],
         ["b", "vgg16", 0.1, 0.65, False], ["a", "alexnet", 0.2, 0.1, True]],
        columns=["stage", "model", "rate", "val_acc", "diverged"],
    )  # fmt: skip
    stages, winners = {"a": "first", "b": "second"}, {"vgg16": 0.05}
    figure = results.rate_sensitivity(trials, winners, stages, TWO)
    for model, axes in zip(TWO.names, figure.axes, strict=True):
        assert axes.get_xscale() == "log"
        own = trials[trials["model"] == model]
        wanted = [(row.rate, 100 * row.val_acc) for row in own.itertuples()]
        assert sorted(points(axes, TWO.looks[model])) == sorted(wanted)
    alexnet, vgg16 = figure.axes
    (ring,) = (line for line in vgg16.get_lines() if line.get_markersize() == 8)
    assert [*ring.get_xdata(), *ring.get_ydata()] == [0.05, 70]
    lost = [[*line.get_xdata()] for line in alexnet.get_lines() if line.get_marker() == "x"]
    assert [0.2] in lost
    assert results.rate_sensitivity_alt(trials, winners, TWO) == (
        "Validation accuracy against peak learning rate. Chosen: VGG-16 0.05 (70.0 %). "
        "Diverged runs: AlexNet 0.2."
    )


def test_curves_are_means_with_bands_and_diverged_runs_apart() -> None:
    rows = [
        ["s0", 0, 0.30, 1.0, False], ["s0", 1, 0.50, 0.8, False], ["s1", 0, 0.40, 1.2, False],
        ["s1", 1, 0.70, 0.6, False], ["s2", 0, 0.20, 2.0, True], ["s2", 1, 0.10, np.inf, True],
    ]  # fmt: skip
    columns = ["path", "epoch", "val_acc", "val_loss", "diverged"]
    epochs = pd.DataFrame(rows, columns=columns).assign(model="alexnet")
    epochs["at"] = epochs["epoch"].map({0: 1, 1: 1.6})  # the second epoch is partial
    figure = results.learning_curves(epochs, TWO)
    accuracy, loss = figure.axes
    mean, lost, cross = accuracy.get_lines()
    assert np.allclose(mean.get_ydata(), [35, 60])
    assert list(mean.get_xdata()) == [1, 1.6]
    assert list(lost.get_ydata()) == [20, 10]
    assert [*cross.get_xdata(), *cross.get_ydata()] == [1.6, 10]
    band = accuracy.collections[0].get_paths()[0].vertices
    assert np.allclose([band[:, 1].min(), band[:, 1].max()], [30, 70])
    assert list(loss.get_lines()[2].get_xdata()) == [1]  # the last finite loss


def test_more_runs_than_panels_have_room_share_those_of_their_networks() -> None:
    names = {f"{model}-{place}": f"{name} word {place}"
             for model, name in (("vgg16", "VGG-16"), ("alexnet", "AlexNet")) for place in range(21)
            }  # fmt: skip
    rows = [[entry, entry, at, 0.5, 1.0, False] for entry in names for at in (0, 1)]
    columns = ["path", "model", "epoch", "val_acc", "val_loss", "diverged"]
    epochs = pd.DataFrame(rows, columns=columns).assign(at=lambda frame: frame["epoch"] + 1)
    panels = results.learning_curves(epochs, Sheet(names, ENGLISH)).axes
    assert [axes.get_title("left") for axes in panels] == ["VGG-16 word", "AlexNet word"]
    for axes in panels:
        grey = [line for line in axes.get_lines() if line.get_color() == style.RULE]
        assert (len(axes.get_lines()), len(grey)) == (42, 21)
    few = epochs[epochs["model"].isin(list(names)[:9])]
    assert len(results.learning_curves(few, Sheet(names, ENGLISH)).axes) == 9


def test_bars_are_sections_in_milliseconds() -> None:
    seconds = {"data": 0.002, "forward": 0.09, "backward": 0.16}
    sections = pd.DataFrame(
        [["alexnet", name, value] for name, value in seconds.items()],
        columns=["model", "section", "seconds"],
    )
    (axes,) = results.step_time(sections, TWO).axes
    assert sorted(round(patch.get_width(), 6) for patch in axes.patches) == [2, 90, 160]


def test_alternative_text_says_the_values() -> None:
    assert results.accuracy_at_equal_time_alt(accuracies("short"), TWO) == (
        "Test accuracy by training time, one point for each seed, and means. "
        "Short: AlexNet 70.0 %, VGG-16 80.1 %. Equal: AlexNet 68.0 %, VGG-16 75.0 %. "
        "Differences from VGG-16 with their intervals, in points: AlexNet −10.1 [−11.0, −9.0]."
    )
