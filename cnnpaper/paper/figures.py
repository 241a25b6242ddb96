"""The figures of the results: frames and plain arrays in, a matplotlib figure out.

Nothing is written here, and every figure has its printed size. A network has the same colour,
marker and dashes in every figure, by its position in the study
(:func:`cnnpaper.paper.style.look`). Numbers that are annotated come as the text that the ledger
printed; only ticks are formatted here. Each figure has a companion ``…_alt`` that describes it in
a sentence or two, for readers who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from cnnpaper.paper.ledger import listing, percent
from cnnpaper.paper.stats import Accuracy, Calibration
from cnnpaper.paper.style import (
    GREY,
    GRID,
    INK,
    LINE,
    MM,
    NORMAL,
    RULE,
    SEQUENTIAL,
    SMALL,
    TEXT_WIDTH,
    Look,
    add_axes,
    ink_on,
    look,
    new_figure,
    styled,
    text_width,
    wrapped,
)

Floats: TypeAlias = npt.NDArray[np.float64]

LABEL_STEP = 3.1
"""Distance of two lines of small text in millimetres."""
LABEL_WIDTH = 30.0
"""Most millimetres that a network's name takes; a longer one is wrapped."""


def names_of(frame: pd.DataFrame) -> list[str]:
    """Printed names of the study's networks in its order, those without a run too."""
    return [str(name) for name in frame["name"].cat.categories]


def looks_of(names: Sequence[str]) -> dict[str, Look]:
    """The look of each network of the study, given all of them in order."""
    return {name: look(position) for position, name in enumerate(names)}


def _labels(names: Sequence[str]) -> dict[str, str]:
    return {name: wrapped(name, LABEL_WIDTH * MM, SMALL) for name in names}


def _label_size(label: str) -> tuple[float, float]:
    """Width and height of a label of one or more lines, in millimetres."""
    lines = label.split("\n")
    return max(text_width(line, SMALL) for line in lines) / MM, len(lines) * LABEL_STEP


# ------------------------------------------------------------------------------- learning curves


MEASURES = {
    "train_acc": "Training accuracy, %",
    "val_acc": "Validation accuracy, %",
    "train_loss": "Training loss",
    "val_loss": "Validation loss",
}
FEW_EPOCHS = 12
"""Up to so many, every epoch has its marker."""


@styled
def learning_curves(curves: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Accuracy and loss by epoch, on training and on validation images.

    Several seeds: the line is their mean, the band reaches from the smallest to the largest of
    them. A run that diverged is in neither: it is drawn by itself, thin, up to its last finite
    value, which a cross marks. With one epoch there is no curve, but points by network.

    Args:
        curves: ``Frames.curves``, of at least one run.
        runs: ``Frames.runs``; tells which runs diverged.
    """
    diverged = set(runs.loc[runs["status"] == "diverged", "run"])
    if curves["epoch"].max() == 0:
        return _one_epoch(curves, diverged)
    labels = _labels([name for name in names_of(curves) if (curves["name"] == name).any()])
    sizes = [_label_size(label) for label in labels.values()]
    width = (TEXT_WIDTH - 7 - 10 - 6 - max(label[0] for label in sizes)) / 2
    height = max(34.0, sum(label[1] for label in sizes))
    figure = new_figure(TEXT_WIDTH, 2 * height + 28)
    for row, measures in enumerate((("train_acc", "val_acc"), ("train_loss", "val_loss"))):
        top = 7 + row * (height + 12)
        pair = [add_axes(figure, left, top, width, height) for left in (7, 7 + width + 10)]
        ends = _draw_pair(pair, measures, curves, diverged)
        for axes in pair:
            _set_epochs(axes, curves)
            axes.set_xlabel("Epoch" if row == 1 else "")
        _label_ends(pair[1], ends, labels, looks_of(names_of(curves)))
    return figure


def learning_curves_alt(curves: pd.DataFrame, runs: pd.DataFrame) -> str:
    """What :func:`learning_curves` shows."""
    names = [name for name in names_of(curves) if (curves["name"] == name).any()]
    epochs = int(curves["epoch"].max()) + 1
    what = "Line charts by epoch" if epochs > 1 else "Points after one epoch"
    diverged = sorted(runs.loc[runs["status"] == "diverged", "run"])
    last = curves[curves["epoch"] == curves.groupby("run")["epoch"].transform("max")]
    last = last[~last["run"].isin(diverged)]
    ends = [
        f"{name} {percent(float(value), 1)} %"
        for name in names
        if math.isfinite(value := last.loc[last["name"] == name, "val_acc"].mean())
    ]
    reached = f" Validation accuracy at the last epoch: {listing(ends)}." if ends else ""
    lost = f" Diverged: {listing(diverged)}." if diverged else ""
    return (
        f"{what}: accuracy and loss on training and on validation images for {listing(names)}."
        f"{reached}{lost}"
    )


Ends: TypeAlias = dict[str, tuple[float, float]]
"""Where the line of each network ends, by printed name."""


def _draw_pair(
    pair: Sequence[Axes], measures: Sequence[str], curves: pd.DataFrame, diverged: set[str]
) -> Ends:
    """Training and validation on the same vertical axis; returns the ends in the second panel."""
    bad = curves["run"].isin(diverged)
    is_share = measures[0].endswith("acc")
    ends: Ends = {}
    if bad.all():  # nothing else gives the axis its range
        for axes, measure in zip(pair, measures, strict=True):
            ends = _draw_diverged(axes, measure, curves)
    for axes, measure in zip(pair, measures, strict=True):
        axes.set_title(MEASURES[measure], pad=5)
        ends |= _draw_finished(axes, measure, curves[~bad])
    _set_range(pair, "y", is_share=is_share)
    if not bad.all():
        lost = [
            _draw_diverged(axes, measure, curves[bad])
            for axes, measure in zip(pair, measures, strict=True)
        ]
        ends = lost[1] | ends
    return ends


def _draw_finished(axes: Axes, measure: str, curves: pd.DataFrame) -> Ends:
    """Mean and band of each network."""
    ends: Ends = {}
    for name, style in looks_of(names_of(curves)).items():
        epoch, middle, low, high = _over_seeds(curves[curves["name"] == name], measure)
        if not len(epoch):
            continue
        axes.fill_between(epoch, low, high, color=style.colour, alpha=0.16, linewidth=0)
        every = 1 if len(epoch) <= FEW_EPOCHS else max(1, len(epoch) // 6)
        axes.plot(
            epoch,
            middle,
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            markevery=every,
        )
        ends[name] = (float(epoch[-1]), float(middle[-1]))
    return ends


def _draw_diverged(axes: Axes, measure: str, curves: pd.DataFrame) -> Ends:
    """Each diverged run up to its last finite value; its cross stays inside the panel."""
    ends: Ends = {}
    low, high = axes.get_ylim() if axes.has_data() else (-math.inf, math.inf)
    for name, style in looks_of(names_of(curves)).items():
        for _, run in curves[curves["name"] == name].groupby("run"):
            epoch, value = _finite(run, measure)
            if not len(epoch):
                continue
            axes.plot(epoch, value, color=style.colour, linewidth=LINE, linestyle=style.dash)
            end = (float(epoch[-1]), min(max(float(value[-1]), low), high))
            axes.plot(*end, "x", color=style.colour, mew=1.1, ms=4.5, clip_on=False)
            ends[name] = end
    return ends


def _finite(curves: pd.DataFrame, measure: str) -> tuple[Floats, Floats]:
    """Epochs from 1 and values as printed, without those that are missing or infinite."""
    epoch = curves["epoch"].to_numpy(dtype=np.float64) + 1
    value = curves[measure].to_numpy(dtype=np.float64)
    value = value * 100 if measure.endswith("acc") else value
    keep = np.isfinite(value)
    return epoch[keep], value[keep]


def _over_seeds(curves: pd.DataFrame, measure: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Epochs, and mean, smallest and largest value over the runs that have the epoch."""
    epoch, value = _finite(curves, measure)
    by_epoch = pd.Series(value).groupby(epoch).agg(["mean", "min", "max"])
    columns = [by_epoch[key].to_numpy(dtype=np.float64) for key in ("mean", "min", "max")]
    return by_epoch.index.to_numpy(dtype=np.float64), columns[0], columns[1], columns[2]


def _set_epochs(axes: Axes, curves: pd.DataFrame) -> None:
    """First and last epoch, and round ones between them that do not touch these."""
    last = int(curves["epoch"].max()) + 1
    axes.set_xlim(1 - 0.02 * (last - 1), last + 0.02 * (last - 1))
    apart = (last - 1) / 8
    inner = [
        tick
        for tick in MaxNLocator(5, integer=True).tick_values(1, last)
        if 1 + apart <= tick <= last - apart
    ]
    axes.xaxis.set_major_locator(FixedLocator([1, *inner, last]))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))


def _set_range(panels: Sequence[Axes], which: str, *, is_share: bool) -> None:
    """Same limits and ticks for these panels on one axis, from all that was drawn on it.

    Accuracies always stand on a linear axis; other values on a logarithmic one where they span far.
    """
    drawn = [getattr(axes.dataLim, f"interval{which}") for axes in panels]  # bands included
    drawn = [(float(low), float(high)) for low, high in drawn if low <= high]
    low = min((low for low, _ in drawn), default=0.0)
    high = max((high for _, high in drawn), default=1.0)
    pad = 0.07 * (high - low) or (2.0 if is_share else 0.1 * abs(high) or 1.0)
    for axes in panels:
        if not is_share and low > 0 and high > 20 * low:
            _log_axis(axes, which, low, high)
            continue
        getattr(axes, f"set_{which}lim")(low - pad, high + pad)
        ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low - pad, high + pad)
        sensible = [tick for tick in ticks if not is_share or 0 <= tick <= 100]
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_major_locator(FixedLocator(sensible))
        axis.set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, _: int | None = None) -> str:
    """A tick's text without exponents, with the true minus sign."""
    text = f"{round(value, 10):,g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """A logarithmic axis whose ticks are 1, 2 and 5 times powers of ten, or powers alone."""
    getattr(axes, f"set_{which}scale")("log")
    pad = (high / low) ** 0.06
    getattr(axes, f"set_{which}lim")(low / pad, high * pad)
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    digits = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    ticks = [digit * 10.0**power for power in range(first, last) for digit in digits]
    ticks = [tick for tick in ticks if low / pad <= tick <= high * pad]
    ticks = ticks[:: max(1, math.ceil(len(ticks) / 7))]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(_plain))


def _label_ends(
    axes: Axes,
    ends: Ends,
    labels: dict[str, str],
    looks: dict[str, Look],
) -> None:
    """The networks' names to the right of a panel, each tied to the end of its line."""
    box = axes.get_window_extent()  # at 72 dpi, so in points
    to_box = axes.transData + axes.transAxes.inverted()
    present = [name for name in labels if name in ends]
    targets = [float(to_box.transform(ends[name])[1]) * box.height for name in present]
    heights = [(labels[name].count("\n") + 1) * LABEL_STEP * MM for name in present]
    for name, y in zip(present, spread(targets, heights, box.height), strict=True):
        axes.annotate(
            labels[name],
            xy=ends[name],
            xytext=(1 + 4 * MM / box.width, y / box.height),
            textcoords="axes fraction",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": looks[name].colour,
                "linewidth": LINE,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def spread(targets: Sequence[float], heights: Sequence[float], room: float) -> list[float]:
    """Centres for labels of these heights: none overlaps, and they move as little as possible.

    The sum of squared moves is smallest (pool adjacent violators: labels that would overlap form a
    block around the mean of their wishes). Within 0 and ``room`` where all fit into it.
    """
    order = sorted(range(len(targets)), key=lambda i: (targets[i], i))
    below = np.cumsum([0.0] + [heights[i] for i in order])  # where each would begin if packed
    wishes = [targets[i] - heights[i] / 2 - below[k] for k, i in enumerate(order)]
    blocks: list[list[float]] = []  # of sum and number of wishes, their means ascending
    for wish in wishes:
        blocks.append([wish, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    slack = max(0.0, room - float(below[-1]))
    starts = [min(max(s / n, 0.0), slack) for s, n in blocks for _ in range(int(n))]
    centres = [0.0] * len(targets)
    for k, i in enumerate(order):
        centres[i] = starts[k] + float(below[k]) + heights[i] / 2
    return centres


def _one_epoch(curves: pd.DataFrame, diverged: set[str]) -> Figure:
    """Accuracy and loss after one epoch by network: seeds as small points, their mean as large."""
    names = names_of(curves)
    labels = _labels(names)
    sizes = [_label_size(label) for label in labels.values()]
    left = 3 + max(label[0] for label in sizes)
    step = max(4.6, 1.4 + max(label[1] for label in sizes))
    width = (TEXT_WIDTH - left - 8 - 2) / 2
    figure = new_figure(TEXT_WIDTH, step * len(names) + 17)
    for column, (measure, title) in enumerate({"acc": "Accuracy, %", "loss": "Loss"}.items()):
        axes = add_axes(figure, left + column * (width + 8), 10, width, step * len(names))
        axes.set_title(title, pad=13)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        for row, name in enumerate(names):
            of_name = curves[curves["name"] == name]
            _one_epoch_row(axes, row, of_name, measure, diverged, look(row))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), labels.values() if column == 0 else [""] * len(names))
        _set_range([axes], "x", is_share=measure == "acc")
    _points_key(figure.axes[0])
    return figure


def _one_epoch_row(
    axes: Axes, row: int, curves: pd.DataFrame, measure: str, diverged: set[str], style: Look
) -> None:
    """One network: training hollow, validation filled, joined by a line."""
    means = []
    for part, fill in (("train", "white"), ("val", style.colour)):
        bad = curves["run"].isin(diverged)
        _, value = _finite(curves[~bad], f"{part}_{measure}")
        _, lost = _finite(curves[bad], f"{part}_{measure}")
        axes.plot(lost, np.full(len(lost), row), "x", color=style.colour, mew=1.1, ms=4.5)
        if not len(value):
            continue
        means.append(value.mean())
        if len(value) > 1:
            axes.plot(value, np.full(len(value), row), "o", color=style.colour, ms=2, alpha=0.5)
        axes.plot(means[-1:], [row], "o", mfc=fill, mec=style.colour, mew=1.0, ms=4.5, zorder=3)
    axes.plot(means, [row] * len(means), color=style.colour, linewidth=LINE)


def _points_key(axes: Axes) -> None:
    """Says above the panel what hollow and filled points are."""
    place = 0.0
    box = axes.get_window_extent()
    for text, fill in (("training", "white"), ("validation", INK)):
        axes.plot(
            [(place + 2) / box.width],
            [1 + 6 / box.height],
            "o",
            mfc=fill,
            mec=INK,
            mew=1.0,
            ms=4.5,
            transform=axes.transAxes,
            clip_on=False,
        )
        where = ((place + 7) / box.width, 1 + 6 / box.height)
        axes.annotate(text, where, xycoords="axes fraction", va="center", color=GREY)
        place += text_width(text, SMALL) + 18


# ------------------------------------------------------------------------------- cost


@styled
def accuracy_and_cost(runs: pd.DataFrame, accuracy: Mapping[str, Accuracy]) -> Figure:
    """Test accuracy against seconds of training and against the MACs of one image.

    A point is the mean over seeds with its 95 % interval; small points are the seeds. A hollow
    point says that another process took part of the machine in one of the runs.

    Args:
        runs: ``Frames.runs``.
        accuracy: by printed name; a network without a finished run is absent.
    """
    figure = new_figure(TEXT_WIDTH, 62)
    width = (TEXT_WIDTH - 8 - 10 - 3) / 2
    drawn = [name for name in names_of(runs) if name in accuracy]
    seconds = runs[runs["name"].isin(drawn)].groupby("name", observed=True)["train_s"].mean()
    scale, unit = _time_unit(float(seconds.max()))
    panels = (
        ("train_s", scale, f"Training time, {unit}"),
        ("macs", 1e6, "Multiply–accumulates of one image, millions"),
    )
    for column, (cost, divisor, title) in enumerate(panels):
        axes = add_axes(figure, 8 + column * (width + 10), 7, width, 45)
        axes.grid(visible=True, axis="both")
        axes.set_xlabel(title)
        points = {}
        for name in drawn:
            of_name = runs[(runs["name"] == name) & (runs["status"] != "diverged")]
            x = of_name[cost].to_numpy(dtype=np.float64, na_value=np.nan) / divisor
            if np.isfinite(x).all() and len(x):
                hollow = cost == "train_s" and bool(of_name["shared"].any())
                style = look(names_of(runs).index(name))
                points[name] = _cost_point(axes, x, of_name, accuracy[name], style, hollow)
        _set_range([axes], "x", is_share=False)
        _set_range([axes], "y", is_share=True)
        _label_points(axes, points)
    figure.axes[0].set_title("Test accuracy, %", pad=5)
    return figure


def accuracy_and_cost_alt(runs: pd.DataFrame, accuracy: Mapping[str, Accuracy]) -> str:
    """What :func:`accuracy_and_cost` shows."""
    reached = [
        f"{name} {percent(accuracy[name].mean, 1)} %" for name in names_of(runs) if name in accuracy
    ]
    return (
        "Two scatter plots, one point a network: test accuracy against training time, and against "
        f"the multiply–accumulates of one image. Test accuracy: {listing(reached)}."
    )


def _time_unit(longest_s: float) -> tuple[float, str]:
    """Seconds in the unit of an axis, and its name."""
    if longest_s >= 3 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest_s >= 300 else (1.0, "seconds")


def _cost_point(
    axes: Axes, x: Floats, runs: pd.DataFrame, accuracy: Accuracy, style: Look, hollow: bool
) -> tuple[float, float]:
    """Draw one network; returns where its large point is."""
    where = float(x.mean()), 100 * accuracy.mean
    if len(x) > 1:
        y = 100 * runs["test_acc"].to_numpy(dtype=np.float64)
        axes.plot(x, y, style.marker, color=style.colour, ms=2, alpha=0.5)
    axes.plot([where[0]] * 2, [100 * accuracy.low, 100 * accuracy.high], color=style.colour, lw=0.9)
    axes.plot(
        *([value] for value in where),
        style.marker,
        mfc="white" if hollow else style.colour,
        mec=style.colour,
        mew=1.0,
        ms=5,
        zorder=3,
    )
    return where


def _label_points(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Each network's name near its point, where it covers least: no other name, no line."""
    panel = axes.get_window_extent()
    taken = [line.get_window_extent().padded(1.5) for line in axes.get_lines()]
    for name, label in _labels(list(points)).items():
        width, height = (side * MM for side in _label_size(label))
        x, y = axes.transData.transform(points[name])
        best: tuple[float, Bbox] | None = None
        for dx, dy in LABEL_PLACES:
            corner = (x + dx - width * (dx < 0), y + dy - height / 2)
            corner = (corner[0] - width / 2 * (dx == 0), corner[1])
            box = Bbox.from_bounds(*corner, width, height)
            cost = _covered(box, taken) + 10 * _outside(box, panel) + 0.4 * math.hypot(dx, dy)
            if best is None or cost < best[0]:
                best = (cost, box)
        assert best is not None
        taken.append(best[1])
        left, middle = axes.transAxes.inverted().transform(
            (best[1].x0, (best[1].y0 + best[1].y1) / 2)
        )
        axes.annotate(
            label,
            (left, middle),
            xycoords="axes fraction",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # hides the grid
            zorder=1.5,
        )


LABEL_PLACES = [
    (dx, dy)
    for distance in (0, 8, 16, 24, 32)
    for dx, dy in (
        (6, distance),
        (6, -distance),
        (-6, distance),
        (-6, -distance),
        (0, 9 + distance),
        (0, -9 - distance),
    )
]
"""Where a name may stand, in points from its point."""


def _covered(box: Bbox, others: Sequence[Bbox]) -> float:
    """Area of ``box`` that others cover, in square points."""
    shared = (Bbox.intersection(box, other) for other in others)
    return sum(part.width * part.height for part in shared if part is not None)


def _outside(box: Bbox, panel: Bbox) -> float:
    """Area of ``box`` that lies outside ``panel``, in square points."""
    return box.width * box.height - _covered(box, [panel])


# ------------------------------------------------------------------------------- heat maps

CELL_WIDTH = 12.6
"""Millimetres: the widest class name of CIFAR-10 fits, so no label has to be turned."""


@styled
def class_accuracy(
    values: Floats, printed: Sequence[Sequence[str]], names: Sequence[str], classes: Sequence[str]
) -> Figure:
    """Heat map of test accuracy by network and class.

    Args:
        values: fractions, (networks, classes); NaN where a network has no finished run.
        printed: text of every cell, the same shape.
        names: of the networks, one a row.
        classes: one a column.
    """
    labels = _labels(names)
    height = max(5.4, 1.4 + max(_label_size(label)[1] for label in labels.values()))
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    shade = (values - low) / (high - low or 1.0)
    return _heat_map(shade, printed, list(labels.values()), classes, row_height=height)


def class_accuracy_alt(
    values: Floats, printed: Sequence[Sequence[str]], names: Sequence[str], classes: Sequence[str]
) -> str:
    """What :func:`class_accuracy` shows."""
    rows = [
        f"{name}: " + ", ".join(f"{c} {text}" for c, text in zip(classes, texts, strict=True))
        for name, texts in zip(names, printed, strict=True)
    ]
    return "Heat map of test accuracy in percent by network and class. " + "; ".join(rows) + "."


@styled
def confusion_matrix(
    table: npt.NDArray[np.int64], printed: Sequence[Sequence[str]], classes: Sequence[str]
) -> Figure:
    """What each class of test images was taken for.

    Right answers, on the diagonal, are grey; the shade of the others grows with their share of the
    class's images, so that confusions can be told apart.

    Args:
        table: counts, true class by row, predicted by column, (classes, classes).
        printed: text of every cell, the same shape.
        classes: their names.
    """
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    wrong = share * (1 - np.eye(len(classes)))
    shade = wrong / (wrong.max() or 1.0)
    np.fill_diagonal(shade, np.nan)
    figure = _heat_map(
        shade, printed, classes, classes, row_height=5.4, row_title="true", title="predicted"
    )
    return figure


def confusion_matrix_alt(
    table: npt.NDArray[np.int64], printed: Sequence[Sequence[str]], classes: Sequence[str]
) -> str:
    """What :func:`confusion_matrix` shows."""
    right = [f"{name} {printed[i][i]}" for i, name in enumerate(classes)]
    return (
        "Matrix of counts: true class by row, predicted class by column. "
        f"Right answers: {listing(right)}."
    )


def _heat_map(
    shade: Floats,
    printed: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_height: float,
    row_title: str = "",
    title: str = "",
) -> Figure:
    """Cells shaded from 0 to 1, grey where ``shade`` is NaN, with their text."""
    left = 3 + max(_label_size(label)[0] for label in rows)
    top = 10.0 if title else 6.0
    width, height = CELL_WIDTH * len(columns), row_height * len(rows)
    figure = new_figure(left + width + 1, top + height + 1)
    axes = add_axes(figure, left, top, width, height)
    colours = np.where(
        np.isfinite(shade)[..., None],
        SEQUENTIAL(np.nan_to_num(shade))[..., :3],
        to_rgb(GRID),
    )
    axes.pcolormesh(colours, edgecolors="white", linewidth=0.8)
    for row, column in np.ndindex(shade.shape):
        axes.annotate(
            printed[row][column],
            (column + 0.5, row + 0.5),
            ha="center",
            va="center",
            color=ink_on(tuple(colours[row, column])),
        )
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_ylim(len(rows), 0)
    axes.grid(visible=False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.annotate(title, (0, 1 + 6 / row_height / len(rows)), xycoords="axes fraction", color=GREY)
    if row_title:
        where = (-2 / width, 1 + 1.3 / height)
        axes.annotate(row_title, where, xycoords="axes fraction", ha="right", color=GREY)
    return figure


# ------------------------------------------------------------------------------- calibration

PANELS_A_ROW = 4


@styled
def reliability(
    calibration: Mapping[str, Calibration], printed: Mapping[str, str], names: Sequence[str]
) -> Figure:
    """Share of right answers against confidence, in bins of equal mass, one panel a network.

    Args:
        calibration: by printed name; a network without a finished run is absent.
        printed: a line of text below each name: its calibration error.
        names: of all networks of the study, in its order.
    """
    drawn = [name for name in names if name in calibration]
    columns = min(PANELS_A_ROW, len(drawn))
    side = (TEXT_WIDTH - 11 - 2 - 5 * (PANELS_A_ROW - 1)) / PANELS_A_ROW
    titles = [wrapped(name, side * MM, NORMAL) for name in drawn]
    head = 6 + 3.6 * max(title.count("\n") + 1 for title in titles)
    rows = math.ceil(len(drawn) / columns)
    width = 13 + columns * side + (columns - 1) * 5
    figure = new_figure(width, rows * (head + side + 6) + 3)
    for place, (name, title) in enumerate(zip(drawn, titles, strict=True)):
        row, column = divmod(place, columns)
        top = head + row * (head + side + 6)
        axes = add_axes(figure, 11 + column * (side + 5), top, side, side)
        axes.set_title(title, pad=12)
        axes.annotate(printed[name], (0, 1 + 4 / side / MM), xycoords="axes fraction", color=GREY)
        axes.set_ylabel("Right answers, %" if column == 0 else "")
        axes.set_xlabel("Confidence, %" if place + columns >= len(drawn) else "")
        axes.tick_params(labelleft=column == 0)
        _draw_reliability(axes, calibration[name], look(names.index(name)))
    return figure


def _draw_reliability(axes: Axes, calibration: Calibration, style: Look) -> None:
    axes.plot([0, 100], [0, 100], color=RULE, linewidth=LINE)
    x, y = 100 * calibration.confidence, 100 * calibration.accuracy
    axes.plot(x, y, color=style.colour, marker=style.marker, ms=3, linewidth=0.9)
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))


def reliability_alt(
    calibration: Mapping[str, Calibration], printed: Mapping[str, str], names: Sequence[str]
) -> str:
    """What :func:`reliability` shows."""
    errors = "; ".join(f"{name}: {printed[name]}" for name in names if name in calibration)
    return (
        "Reliability diagrams, one panel a network: share of right answers against confidence, "
        f"with the diagonal where both are equal. {errors}."
    )


# ------------------------------------------------------------------------------- confusions


@styled
def confused_pairs(
    pairs: Sequence[str], shares: Mapping[str, Sequence[float]], names: Sequence[str]
) -> Figure:
    """How often two classes were taken for each other, one row a pair, one point a network.

    Args:
        pairs: text of each row, such as ``cat – dog``.
        shares: by printed name, of the two classes' images, a fraction for each row.
        names: of all networks of the study, in its order.
    """
    drawn = {name: style for name, style in looks_of(names).items() if name in shares}
    left = 3 + max(text_width(pair, SMALL) for pair in pairs) / MM
    width = TEXT_WIDTH * 0.75
    entries, lines = _key_places(list(drawn), width - left)
    top, step = 2 + lines * 4.2, 4.4
    figure = new_figure(width, top + step * len(pairs) + 9)
    axes = add_axes(figure, left, top, width - left - 2, step * len(pairs))
    axes.grid(visible=True, axis="x")
    rows = np.arange(len(pairs))
    for name, style in drawn.items():
        values = 100 * np.asarray(shares[name], dtype=np.float64)
        axes.plot(values, rows, style.marker, color=style.colour, ms=4.5, alpha=0.9)
        x, y = entries[name]
        box = axes.get_window_extent()
        at = (x * MM / box.width, 1 + (lines - y - 0.5) * 4.2 * MM / box.height)
        axes.plot(*at, style.marker, color=style.colour, transform=axes.transAxes, clip_on=False)
        at = (at[0] + 5 / box.width, at[1])
        axes.annotate(name, at, xycoords="axes fraction", va="center")
    axes.set_yticks(rows, pairs)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    high = 100 * max(max(values) for values in shares.values()) or 1.0
    axes.set_xlim(0, 1.05 * high)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_xlabel("Share of both classes’ images, %")
    return figure


def confused_pairs_alt(
    pairs: Sequence[str], shares: Mapping[str, Sequence[float]], names: Sequence[str]
) -> str:
    """What :func:`confused_pairs` shows."""
    return (
        "Dot plot of the pairs of classes that were most often taken for each other: "
        f"{listing(pairs)}; one point for each of {listing([n for n in names if n in shares])}."
    )


def _key_places(names: Sequence[str], room: float) -> tuple[dict[str, tuple[float, int]], int]:
    """Where each name of a key stands: millimetres from the left and line; and number of lines."""
    places: dict[str, tuple[float, int]] = {}
    x, line = 1.0, 0
    for name in names:
        width = text_width(name, SMALL) / MM + 7
        if x > 1 and x + width > room:
            x, line = 1.0, line + 1
        places[name] = (x, line)
        x += width
    return places, line + 1
