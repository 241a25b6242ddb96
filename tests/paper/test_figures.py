"""Figures of the results: what they show by hand, and that they hold for any study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from cnnpaper.paper import figures, style
from cnnpaper.paper.stats import Accuracy, Calibration

EIGHT = (
    *("AlexNet", "VGG-16", "GoogLeNet", "ResNet-18"),
    *("ResNet-50", "Inception v3", "MobileNetV2", "DenseNet-121"),
)
ODD = ("a_b & 50 % # $x$", "한글 이름", "ResNet-18 (pretrained)", "A" * 40)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# ------------------------------------------------------------------------------- invented frames


def curves_of(rows: Sequence[tuple[str, int, int, float]], names: Sequence[str]) -> pd.DataFrame:
    """A frame of (name, seed, epoch, validation accuracy); the other measures follow from it."""
    frame = pd.DataFrame(rows, columns=["name", "seed", "epoch", "val_acc"])
    frame["run"] = frame["name"] + "-s" + frame["seed"].astype(str)
    frame["train_acc"] = frame["val_acc"] * 0.9
    frame["val_loss"] = 2.5 - 2 * frame["val_acc"]
    frame["train_loss"] = 2.6 - 2 * frame["val_acc"]
    frame["name"] = pd.Categorical(frame["name"], categories=list(names), ordered=True)
    return frame


def runs_of(curves: pd.DataFrame, diverged: Sequence[str] = ()) -> pd.DataFrame:
    """A row for each run of ``curves``."""
    frame = curves.groupby("run", sort=False).agg(
        name=("name", "first"), seed=("seed", "first"), test_acc=("val_acc", "last")
    )
    frame = frame.reset_index()
    frame["name"] = pd.Categorical(frame["name"], categories=curves["name"].cat.categories)
    place = frame["name"].cat.codes.astype(float)
    frame["status"] = ["diverged" if run in diverged else "finished" for run in frame["run"]]
    frame["train_s"] = 100.0 + 40 * place
    frame["macs"] = (2e8 + 1e8 * place).astype("Int64")
    frame["shared"] = False
    return frame


def study(
    names: Sequence[str],
    *,
    seeds: int = 1,
    epochs: int = 3,
    accuracy: Callable[[int], float] = lambda place: 0.3 + 0.07 * place,
    diverged: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [
        (name, seed, epoch, accuracy(place) * (1 + 0.01 * seed) * (epoch + 1) / epochs)
        for place, name in enumerate(names)
        for seed in range(seeds)
        for epoch in range(epochs)
    ]
    curves = curves_of(rows, names)
    last = curves["epoch"] == epochs - 1
    curves.loc[last & curves["run"].isin(diverged), "train_loss"] = np.inf
    curves.loc[last & curves["run"].isin(diverged), "val_loss"] = np.nan
    return curves, runs_of(curves, diverged)


def accuracies(runs: pd.DataFrame) -> dict[str, Accuracy]:
    """Means of finished runs, with an interval of ± 2 points."""
    found = {}
    for name in figures.names_of(runs):
        values = runs[(runs["name"] == name) & (runs["status"] == "finished")]["test_acc"]
        if len(values):
            mean = float(values.mean())
            low, high = max(0.0, mean - 0.02), min(1.0, mean + 0.02)
            sd = None
            found[name] = Accuracy(
                mean=mean, low=low, high=high, seeds=len(values), images=100, seed_sd=sd
            )
    return found


def calibration_of(accuracy: float) -> Calibration:
    bins = np.linspace(0.1, 1, 15)
    right = np.clip(bins + accuracy - 0.5, 0, 1)
    numbers = {"ece": 0.1, "ece_low": 0.08, "ece_high": 0.12, "brier": 0.5, "nll": 1.0}
    return Calibration(confidence=bins, accuracy=right, seeds=1, **numbers)


def all_figures(curves: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Figure]:
    """Every figure of a study."""
    names = figures.names_of(runs)
    found = {"learning_curves": figures.learning_curves(curves, runs)}
    tested = accuracies(runs)
    if not tested:
        return found
    values = np.array(
        [[tested[name].mean] * 10 if name in tested else [np.nan] * 10 for name in names]
    )
    printed = [["–" if np.isnan(v) else f"{100 * v:.1f}" for v in row] for row in values]
    table = np.full((10, 10), 3, dtype=np.int64) + 70 * np.eye(10, dtype=np.int64)
    counts = [[str(count) for count in row] for row in table]
    calibration = {name: calibration_of(one.mean) for name, one in tested.items()}
    errors = dict.fromkeys(calibration, "ECE 10.0 %")
    pairs = ["cat – dog", "automobile – truck"]
    shares = {name: [one.mean / 5, 0.01] for name, one in tested.items()}
    return found | {
        "accuracy_and_cost": figures.accuracy_and_cost(runs, tested),
        "class_accuracy": figures.class_accuracy(values, printed, names, CLASSES),
        "confusion_matrix": figures.confusion_matrix(table, counts, CLASSES),
        "reliability": figures.reliability(calibration, errors, names),
        "confused_pairs": figures.confused_pairs(pairs, shares, names),
    }


# ------------------------------------------------------------------------------- any study


@style.styled
def faults(figure: Figure) -> list[str]:
    """What a typographer would send back."""
    artists = style.text_artists(figure)
    page = figure.bbox.padded(0.5)
    # of an annotation its text alone: its line may touch others
    boxes = [Text.get_window_extent(artist) for artist in artists]
    found = [
        f"{artist.get_text()!r} is set in {artist.get_fontsize()} pt"
        for artist in artists
        if artist.get_fontsize() < 7
    ]
    for artist, box in zip(artists, boxes, strict=True):
        if not (
            page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        ):
            found.append(f"{artist.get_text()!r} leaves the figure")
    for (one, a), (two, b) in combinations(zip(artists, boxes, strict=True), 2):
        if a.padded(-0.7).overlaps(b.padded(-0.7)):
            found.append(f"{one.get_text()!r} and {two.get_text()!r} overlap")
    width, height = style.size(figure)
    if width > style.TEXT_WIDTH + 0.01 or height > 240:
        found.append(f"{width:.0f} mm × {height:.0f} mm")
    return found


STUDIES = {
    "one network": study(EIGHT[:1]),
    "one network, one epoch": study(EIGHT[:1], epochs=1),
    "four networks": study(EIGHT[:4]),
    "eight networks, three seeds": study(EIGHT, seeds=3),
    "eight networks, one epoch, two seeds": study(EIGHT, epochs=1, seeds=2),
    "eight networks, twenty seeds, 200 epochs": study(EIGHT, seeds=20, epochs=200),
    "one of two seeds diverged": study(EIGHT[:4], seeds=2, diverged=["VGG-16-s1"]),
    "a network diverged": study(EIGHT[:4], diverged=["GoogLeNet-s0"]),
    "all diverged": study(EIGHT[:2], diverged=["AlexNet-s0", "VGG-16-s0"]),
    "diverged in the only epoch": study(EIGHT[:3], epochs=1, diverged=["VGG-16-s0"]),
    "equal accuracy": study(EIGHT[:4], accuracy=lambda _: 0.5),
    "accuracy 0": study(EIGHT[:4], accuracy=lambda _: 0.0),
    "accuracy 0 and 1": study(EIGHT[:2], accuracy=float),
    "accuracy 1": study(EIGHT[:2], accuracy=lambda _: 1.0, epochs=1),
    "odd names": study(ODD),
    "odd names, one epoch": study(ODD, epochs=1),
}


@pytest.mark.parametrize("name", STUDIES)
def test_figures_hold_for_any_study(name: str) -> None:
    """No warning (they are errors here), nothing too small, cut off or written over."""
    for kind, figure in all_figures(*STUDIES[name]).items():
        assert faults(figure) == [], kind
        assert style.render(figure, "pdf").startswith(b"%PDF")


def test_the_check_for_faults_finds_them() -> None:
    figure = figures.learning_curves(*study(EIGHT[:2]))
    figure.text(0.5, 0.5, "small", fontsize=6)
    figure.text(0.5, 0.5, "over it", fontsize=7)
    figure.text(0.99, 0.5, "beyond the edge", fontsize=7)
    found = faults(figure)
    assert "'small' is set in 6.0 pt" in found
    assert "'small' and 'over it' overlap" in found
    assert "'beyond the edge' leaves the figure" in found


def test_a_network_without_a_run_keeps_the_colours_of_the_others() -> None:
    curves, runs = study(EIGHT[:4])
    curves, runs = curves[curves["name"] != "AlexNet"], runs[runs["name"] != "AlexNet"]
    figure = figures.learning_curves(curves, runs)
    assert {to_hex(line.get_color()) for line in lines(figure.axes[1])} == set(style.PALETTE[1:4])
    assert faults(figure) == []
    points = figures.accuracy_and_cost(runs, accuracies(runs)).axes[0]
    assert with_marker(points, "s")[0].get_markeredgecolor() == style.PALETTE[1]


# ------------------------------------------------------------------------------- learning curves

FIVE = [  # two networks, two seeds of the first; accuracies by hand
    ("A", 0, 0, 0.20),
    ("A", 0, 1, 0.40),
    ("A", 1, 0, 0.30),
    ("A", 1, 1, 0.60),
    ("B", 0, 0, 0.10),
    ("B", 0, 1, 0.50),
]


def lines(axes: Axes) -> list[Line2D]:
    return [line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) > 1]


def with_marker(axes: Axes, marker: str) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_marker() == marker]


def test_lines_are_means_and_bands_reach_from_smallest_to_largest() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    axes = figures.learning_curves(curves, runs_of(curves)).axes[1]
    a, b = lines(axes)
    assert np.asarray(a.get_xdata()).tolist() == [1, 2]
    assert np.asarray(a.get_ydata()) == pytest.approx([25, 50])
    assert np.asarray(b.get_ydata()) == pytest.approx([10, 50])
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(x, round(y, 9)) for x, y in corners} == {(1, 20), (1, 30), (2, 40), (2, 60)}


def test_panels_are_training_and_validation_on_one_scale() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    panels = figures.learning_curves(curves, runs_of(curves)).axes
    assert [panel.get_title(loc="left") for panel in panels] == list(figures.MEASURES.values())
    assert panels[0].get_ylim() == panels[1].get_ylim() != panels[2].get_ylim()
    assert panels[2].get_ylim() == panels[3].get_ylim()


def test_no_tick_says_more_than_all_or_less_than_none() -> None:
    curves, runs = STUDIES["accuracy 0"]
    ticks = [axes.get_yticks().tolist() for axes in figures.learning_curves(curves, runs).axes]
    assert ticks[0] == [0, 1, 2]


def test_a_diverged_run_is_apart_and_ends_in_a_cross() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    curves.loc[(curves["run"] == "A-s1") & (curves["epoch"] == 1), "val_acc"] = np.nan
    axes = figures.learning_curves(curves, runs_of(curves, ["A-s1"])).axes[1]
    (cross,) = with_marker(axes, "x")
    assert cross.get_xydata().tolist() == [[1, 30]]
    mean = lines(axes)[0]
    assert np.asarray(mean.get_ydata()) == pytest.approx([20, 40])


def test_a_cross_beyond_the_scale_of_the_others_stands_at_its_edge() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    curves.loc[(curves["run"] == "A-s1") & (curves["epoch"] == 1), "val_loss"] = 1e30
    axes = figures.learning_curves(curves, runs_of(curves, ["A-s1"])).axes[3]
    (cross,) = with_marker(axes, "x")
    assert cross.get_xydata()[0, 1] == axes.get_ylim()[1] < 3


def test_losses_that_span_far_stand_on_a_logarithmic_scale() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    curves["val_loss"] = [9.1, 0.1, 2.0, 0.3, 1.0, 0.2]
    figure = figures.learning_curves(curves, runs_of(curves))
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "log", "log"]
    assert {"0.1", "1", "5"} <= set(style.texts(figure))


def test_one_epoch_is_drawn_as_points() -> None:
    curves = curves_of([("A", 0, 0, 0.2), ("A", 1, 0, 0.4), ("B", 0, 0, 0.5)], ["A", "B"])
    axes = figures.learning_curves(curves, runs_of(curves)).axes[0]
    means = [line for line in with_marker(axes, "o") if line.get_markersize() > 4]
    found = {
        (round(float(x), 9), int(y), str(line.get_markerfacecolor()) == "white")
        for line in means
        for x, y in line.get_xydata()
        if line.get_transform() != axes.transAxes
    }
    # training is 0.9 of validation, and hollow
    assert found >= {(27.0, 0, True), (30.0, 0, False), (45.0, 1, True), (50.0, 1, False)}


def test_alternative_texts_say_what_is_drawn() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    runs = runs_of(curves, ["A-s1"])
    assert figures.learning_curves_alt(curves, runs) == (
        "Line charts by epoch: accuracy and loss on training and on validation images for A and B. "
        "Validation accuracy at the last epoch: A 40.0 % and B 50.0 %. Diverged: A-s1."
    )
    assert figures.accuracy_and_cost_alt(runs, accuracies(runs)) == (
        "Two scatter plots, one point a network: test accuracy against training time, and against "
        "the multiply–accumulates of one image. Test accuracy: A 40.0 % and B 50.0 %."
    )
    values, printed = np.array([[0.5, 0.25]]), [["50.0", "25.0"]]
    assert figures.class_accuracy_alt(values, printed, ["A"], ["cat", "dog"]) == (
        "Heat map of test accuracy in percent by network and class. A: cat 50.0, dog 25.0."
    )
    table = np.array([[8, 2], [1, 9]])
    assert figures.confusion_matrix_alt(table, [["8", "2"], ["1", "9"]], ["cat", "dog"]) == (
        "Matrix of counts: true class by row, predicted class by column. "
        "Right answers: cat 8 and dog 9."
    )
    assert figures.reliability_alt({"A": calibration_of(0.5)}, {"A": "ECE 10.0 %"}, ["A", "B"]) == (
        "Reliability diagrams, one panel a network: share of right answers against confidence, "
        "with the diagonal where both are equal. A: ECE 10.0 %."
    )
    assert figures.confused_pairs_alt(["cat – dog"], {"B": [0.1]}, ["A", "B"]) == (
        "Dot plot of the pairs of classes that were most often taken for each other: cat – dog; "
        "one point for each of B."
    )


# ------------------------------------------------------------------------------- labels


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert figures.spread([10, 30, 60], [8, 8, 8], 100) == pytest.approx([10, 30, 60])


def test_labels_at_one_place_are_stacked_around_it() -> None:
    assert figures.spread([50, 50, 50], [10, 10, 10], 100) == pytest.approx([40, 50, 60])
    assert figures.spread([0, 0], [10, 10], 100) == pytest.approx([5, 15])
    assert figures.spread([100, 99], [10, 20], 100) == pytest.approx([95, 80])


@given(
    st.lists(st.tuples(st.floats(-50, 150), st.floats(1, 10)), min_size=1, max_size=10),
)
def test_labels_never_overlap_nor_leave_their_room(labels: list[tuple[float, float]]) -> None:
    targets, heights = [t for t, _ in labels], [h for _, h in labels]
    centres = figures.spread(targets, heights, 100)
    spans = sorted((c - h / 2, c + h / 2) for c, h in zip(centres, heights, strict=True))
    assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(spans))
    assert spans[0][0] >= -1e-6
    assert spans[-1][1] <= 100 + 1e-6


# ------------------------------------------------------------------------------- other figures


def test_points_of_cost_are_means_with_their_interval() -> None:
    curves = curves_of(FIVE, ["A", "B"])
    runs = runs_of(curves)
    runs["train_s"] = [60.0, 120.0, 240.0]
    runs["shared"] = [False, False, True]
    figure = figures.accuracy_and_cost(runs, accuracies(runs))
    time, macs = figure.axes
    assert time.get_xlabel() == "Training time, seconds"  # none takes five minutes
    (a,) = [line for line in with_marker(time, "o") if line.get_markersize() > 4]
    (b,) = with_marker(time, "s")
    assert a.get_xydata()[0] == pytest.approx([90, 50])
    assert b.get_xydata()[0] == pytest.approx([240, 50])
    assert (a.get_markerfacecolor(), b.get_markerfacecolor()) == (style.PALETTE[0], "white")
    upright = [line for line in lines(time) if line.get_marker() == "None"]
    assert np.asarray(upright[0].get_ydata()) == pytest.approx([48, 52])
    (b,) = with_marker(macs, "s")
    assert b.get_xydata()[0] == pytest.approx([300, 50])
    assert b.get_markerfacecolor() == style.PALETTE[1]


def test_what_is_unknown_is_not_drawn() -> None:
    _, runs = study(EIGHT[:2])
    runs["macs"] = runs["macs"].where(runs["name"] != "VGG-16")
    figure = figures.accuracy_and_cost(runs, accuracies(runs))
    assert len(with_marker(figure.axes[0], "s")) == 1
    assert len(with_marker(figure.axes[1], "s")) == 0


def cell_colours(figure: Figure) -> list[str]:
    shown = figure.axes[0].collections[0].get_array()  # (rows, columns, 3)
    return [to_hex(colour) for colour in np.asarray(shown).reshape(-1, 3)]


def test_heat_map_is_darkest_where_accuracy_is_highest() -> None:
    values = np.array([[0.2, 0.9], [0.5, np.nan]])
    figure = figures.class_accuracy(values, [["20", "90"], ["50", "–"]], ["A", "B"], ["x", "y"])
    light, dark, between, unknown = cell_colours(figure)
    assert light == to_hex(style.SEQUENTIAL(0.0))
    assert dark == to_hex(style.SEQUENTIAL(1.0))
    assert between == to_hex(style.SEQUENTIAL(3 / 7))
    assert unknown == style.GRID
    assert sorted(style.texts(figure)) == ["20", "50", "90", "A", "B", "x", "y", "–"]


def test_confusions_are_shaded_by_their_share_and_right_answers_are_grey() -> None:
    table = np.array([[8, 2, 0], [0, 19, 1], [0, 0, 0]])
    printed = [[str(count) for count in row] for row in table]
    figure = figures.confusion_matrix(table, printed, ["x", "y", "z"])
    colours = cell_colours(figure)
    assert [colours[0], colours[4], colours[8]] == [style.GRID] * 3
    assert colours[1] == to_hex(style.SEQUENTIAL(1.0))  # 2 of 10, the largest share
    assert colours[5] == to_hex(style.SEQUENTIAL(0.25))  # 1 of 20
    assert {"true", "predicted"} <= set(style.texts(figure))


def test_reliability_has_a_panel_for_each_tested_network() -> None:
    calibration = {"B": calibration_of(0.6)}
    figure = figures.reliability(calibration, {"B": "ECE 10.0 %"}, ["A", "B"])
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "B"
    (bins,) = with_marker(axes, "s")  # B's own marker, although A is absent
    assert np.asarray(bins.get_xdata()) == pytest.approx(100 * calibration["B"].confidence)
    assert np.asarray(bins.get_ydata()) == pytest.approx(100 * calibration["B"].accuracy)
    assert "ECE 10.0 %" in style.texts(figure)


def test_pairs_are_drawn_in_percent() -> None:
    figure = figures.confused_pairs(["cat – dog", "x – y"], {"B": [0.125, 0.05]}, ["A", "B"])
    points = [line for line in with_marker(figure.axes[0], "s") if len(line.get_xydata()) == 2]
    assert points[0].get_xydata().tolist() == [[12.5, 0], [5.0, 1]]
