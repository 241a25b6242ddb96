"""The values that are drawn are the values that are given, and any size stays legible."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cnnpaper.figures import results, style
from cnnpaper.figures.results import Accuracies, Sheet
from cnnpaper.figures.words import ENGLISH

from . import samples
from .samples import ARMS, EQUAL, STAGES, check_layout, networks, points, texts

KOREAN = tomllib.loads((Path(__file__).parents[2] / "report/ko/words.toml").read_text("utf-8"))[
    "figure"
]
Drawings = Mapping[str, tuple[Callable[[], Figure], Callable[[], str]]]


def accuracies(
    names: dict[str, str], seeds: int = 5, *, diverged: bool = False, **more: Any
) -> Accuracies:
    lost = [("short", next(iter(names)), 1)] if diverged else []
    runs, means, contrasts = samples.accuracy(names, seeds, diverged=lost)
    given = {"arms": ARMS, "equal_time": EQUAL, "baseline": list(names.values())[-1]} | more
    some = contrasts if len(contrasts) else None
    return Accuracies(seeds=runs, means=means, contrasts=some, **given)


def drawings(sheet: Sheet, *, seeds: int = 5, epochs: int = 5, diverged: bool = False) -> Drawings:
    """Every figure and its alternative text, of one made-up study."""
    names = dict(sheet.names)
    shown = accuracies(names, seeds, diverged=diverged)
    trials = samples.trials(names, diverged=diverged)
    winners = dict.fromkeys(names, 0.05)
    curves = samples.epochs(names, min(seeds, 5), epochs, diverged=diverged)
    sections = samples.sections(names)
    r, s = results, sheet
    return {
        "accuracy": (lambda: r.accuracy_at_equal_time(shown, s),
                     lambda: r.accuracy_at_equal_time_alt(shown, s)),
        "rates": (lambda: r.rate_sensitivity(trials, winners, STAGES, s),
                  lambda: r.rate_sensitivity_alt(trials, winners, s)),
        "curves": (lambda: r.learning_curves(curves, s), lambda: r.learning_curves_alt(curves, s)),
        "steps": (lambda: r.step_time(sections, s), lambda: r.step_time_alt(sections, s)),
    }  # fmt: skip


SHAPES = {
    "one network, one seed, one epoch": (networks(1), {"seeds": 1, "epochs": 1}),
    "four networks": (networks(4), {}),
    "four networks, one diverged": (networks(4), {"seeds": 3, "diverged": True}),
    "four long names": (networks(4, long=True), {"seeds": 3, "diverged": True}),
    "eight networks": (networks(8), {"epochs": 25}),
    "twelve networks, fifty seeds": (networks(12), {"seeds": 50, "epochs": 500}),
    "twelve long names": (networks(12, long=True), {"seeds": 2, "diverged": True}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_is_legible(shape: str) -> None:
    names, more = SHAPES[shape]
    for draw, alt in drawings(Sheet(names), **more).values():
        figure = draw()
        check_layout(figure)
        assert alt().endswith(".")
        label = figure.get_supylabel() or figure.axes[0].get_ylabel()
        if "accuracy" in label:  # an axis that does not start at zero says so
            assert ("axis cut" in label) == (figure.axes[0].get_ylim()[0] > 0)


def test_a_study_without_arms_of_equal_time_has_a_row_a_network() -> None:
    names = networks(4)
    shown = accuracies(names, equal_time=())
    *arms, differences = results.accuracy_at_equal_time(shown, Sheet(names)).axes
    assert [axes.get_title("left") for axes in arms] == list(ARMS.values())
    for axes, arm in zip(arms, ARMS, strict=True):
        for place, row in enumerate(shown.means[shown.means["arm"] == arm].itertuples()):
            drawn = points(axes, Sheet(names).looks[row.model])
            assert np.isclose(drawn, (100 * row.mean, place)).all(axis=1).any()
    assert len(differences.get_yticks()) == 4


def test_korean_words_are_complete_and_fit() -> None:
    assert set(KOREAN) >= set(ENGLISH)
    assert not [text for text in ENGLISH.values() if re.search(r"\d", text)]
    for key, text in ENGLISH.items():
        assert set(re.findall(r"{(\w+)}", KOREAN[key])) == set(re.findall(r"{(\w+)}", text)), key
    for draw, alt in drawings(Sheet(networks(4), words=KOREAN), diverged=True).values():
        check_layout(draw())
        assert re.search("[가-힣]", alt())


def test_every_text_comes_from_the_words() -> None:
    marked = {key: "§" + "".join(re.findall(r"{\w+}", text)) for key, text in ENGLISH.items()}
    sheet = Sheet({"a": "§A", "b": "§B"}, words=marked)
    titles = [*ARMS.values(), *STAGES.values()]
    for draw, alt in drawings(sheet, diverged=True).values():
        shown = re.sub("|".join(map(re.escape, titles)), "", " ".join([*texts(draw()), alt()]))
        assert not re.search("[A-Za-z]{2,}", shown), shown


def test_same_bytes_twice() -> None:
    for draw, _ in drawings(Sheet(networks(2)), seeds=2, diverged=True).values():
        figure = draw()
        style.render(figure, "png")  # whatever was rendered before
        assert style.render(figure, "pdf") == style.render(draw(), "pdf")


# ------------------------------------------------------------------------------- values


def test_accuracy_shows_every_seed_mean_and_interval() -> None:
    shown, sheet = accuracies(networks(4)), Sheet(networks(4))
    axes, differences = results.accuracy_at_equal_time(shown, sheet).axes
    for model, look in sheet.looks.items():
        drawn = [y for _, y in points(axes, look)]
        runs = shown.seeds[shown.seeds["model"] == model]
        means = shown.means[shown.means["model"] == model]
        for value in [*runs["test_acc"], *means["mean"], *means["low"], *means["high"]]:
            assert np.isclose(drawn, 100 * value).any()
    hollow = [
        line.get_ydata()[0]
        for line in axes.get_lines()
        if line.get_markerfacecolor() == "white" and line.get_marker() != "None"
    ]
    equal = shown.means[shown.means["arm"] == "equal"]["mean"]
    assert np.allclose(sorted(hollow), sorted(100 * equal))  # of equal epochs, not of equal time
    for row in shown.contrasts.itertuples():
        xs = [x for x, _ in points(differences, sheet.looks[row.model])]
        assert np.allclose(xs, [100 * row.low, 100 * row.high, 100 * row.difference])
    low, high = differences.get_xlim()
    assert low < 0 < high


def test_means_lie_at_their_minutes_and_are_dodged_in_print() -> None:
    sheet, shown = Sheet(networks(4)), accuracies(networks(4))
    axes = results.accuracy_at_equal_time(shown, sheet).axes[0]
    places = []
    for row in shown.means.itertuples():
        marks = [
            line for line in axes.get_lines()
            if line.get_markersize() == 4.5 and list(line.get_ydata()) == [100 * row.mean]
        ]  # fmt: skip
        assert [list(line.get_xdata()) for line in marks] == [[row.minutes]]
        place = marks[0].get_transform().transform((row.minutes, 0))[0]
        off = (place - axes.transData.transform((row.minutes, 0))[0]) / 360 * 25.4
        assert row.arm in EQUAL or off == pytest.approx(0, abs=1e-6)
        places += [off] if row.arm == "short" else []
    assert np.allclose(np.diff(places), 2.0)
    assert np.isclose(sum(places), 0)


def test_rates_on_a_log_axis_with_the_winner_ringed() -> None:
    names = networks(2)
    trials, sheet = samples.trials(names, diverged=True), Sheet(names)
    figure = results.rate_sensitivity(trials, {"alexnet": 0.05, "vgg16": 0.025}, STAGES, sheet)
    panels = figure.axes
    for model, rate, axes in zip(names, (0.05, 0.025), panels, strict=True):
        assert axes.get_xscale() == "log"
        own = trials[trials["model"] == model]
        wanted = [(r.rate, 100 * r.val_acc) for r in own.itertuples()]
        assert sorted(points(axes, sheet.looks[model])) == sorted(wanted)
        ring = next(line for line in axes.get_lines() if line.get_markersize() == 8)
        best = own[(own["stage"] == "stage2") & np.isclose(own["rate"], rate)]["val_acc"].iloc[0]
        assert [*ring.get_xdata(), *ring.get_ydata()] == [rate, 100 * best]
        lost = [list(x.get_xdata()) for x in axes.get_lines() if x.get_marker() == "x"]
        assert [x for x in lost if x] == [[0.2]]


def test_curves_are_means_with_bands_and_diverged_runs_apart() -> None:
    names = {"alexnet": "AlexNet"}
    rows = [
        ["s0", 0, 0.30, 1.0, False], ["s0", 1, 0.50, 0.8, False], ["s1", 0, 0.40, 1.2, False],
        ["s1", 1, 0.70, 0.6, False], ["s2", 0, 0.20, 2.0, True], ["s2", 1, 0.10, np.inf, True],
    ]  # fmt: skip
    columns = ["path", "epoch", "val_acc", "val_loss", "diverged"]
    epochs = pd.DataFrame(rows, columns=columns).assign(model="alexnet")
    epochs["at"] = epochs["epoch"].map({0: 1, 1: 1.6})  # the second epoch is partial
    figure = results.learning_curves(epochs, Sheet(names))
    accuracy, loss = figure.axes
    mean, lost, cross = accuracy.get_lines()
    assert np.allclose(mean.get_ydata(), [35, 60])
    assert list(mean.get_xdata()) == [1, 1.6]
    assert list(lost.get_ydata()) == [20, 10]
    assert [*cross.get_xdata(), *cross.get_ydata()] == [1.6, 10]
    band = accuracy.collections[0].get_paths()[0].vertices
    assert np.allclose([band[:, 1].min(), band[:, 1].max()], [30, 70])
    assert list(loss.get_lines()[2].get_xdata()) == [1]  # the last finite loss


def test_beyond_eight_networks_each_has_a_panel_on_one_scale() -> None:
    names = networks(9)
    panels = results.learning_curves(samples.epochs(names, 2, 4), Sheet(names)).axes
    assert len(panels) == 9
    assert len({(a.get_ylim(), a.get_xlim()) for a in panels}) == 1


def test_bars_are_sections_in_milliseconds() -> None:
    names = networks(2)
    (axes,) = results.step_time(samples.sections(names), Sheet(names)).axes
    widths = sorted(round(patch.get_width(), 6) for patch in axes.patches)
    assert widths == [2, 4, 4, 8, 30, 60, 90, 160, 180, 320]


def test_alternative_texts_say_the_values() -> None:
    sheet = Sheet({"alexnet": "AlexNet", "vgg16": "VGG-16"})
    means = pd.DataFrame(
        [["short", "vgg16", 15.0, 0.8012, 0.79, 0.81], ["short", "alexnet", 15.0, 0.7, 0.69, 0.71]],
        columns=["arm", "model", "minutes", "mean", "low", "high"],
    )
    contrasts = pd.DataFrame(
        [["alexnet", -0.1012, -0.11, -0.09]], columns=["model", "difference", "low", "high"]
    )
    shown = Accuracies(
        seeds=means, means=means, arms={"short": "Short"}, equal_time=["short"],
        contrasts=contrasts, baseline="VGG-16",
    )  # fmt: skip
    assert results.accuracy_at_equal_time_alt(shown, sheet) == (
        "Test accuracy by training time, one point for each seed, and means. "
        "Short: AlexNet 70.0 %, VGG-16 80.1 %. "
        "Differences from VGG-16 with their intervals, in points: AlexNet −10.1 [−11.0, −9.0]."
    )
    trials = pd.DataFrame(
        [["a", "vgg16", 0.05, 0.6, False], ["b", "vgg16", 0.05, 0.7, False],
         ["a", "alexnet", 0.2, 0.1, True]],
        columns=["stage", "model", "rate", "val_acc", "diverged"],
    )  # fmt: skip
    assert results.rate_sensitivity_alt(trials, {"vgg16": 0.05}, sheet) == (
        "Validation accuracy against peak learning rate. Chosen: VGG-16 0.05 (70.0 %). "
        "Diverged runs: AlexNet 0.2."
    )
