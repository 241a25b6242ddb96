"""The figures of results: plain frames in, a matplotlib figure out.

Every function takes ``names``, printed names of all entries of the study in its order (an entry is
a network, or a network with its variant: ``resnet18-rate0.05``), ``words``, everything that the
figure says, and ``width`` in millimetres. Accuracies and differences are fractions, times seconds
or minutes as the column says. Nothing is computed here but the means of learning curves. Each
figure has a companion ``…_alt``, which describes it for readers who cannot see it. A table that
lacks rows gives a figure that lacks points, never an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnnpaper.figures.style import (
    GREY,
    GRID,
    INK,
    LINE_HEIGHT,
    MAX_HEIGHT,
    MM,
    RULE,
    SEQUENTIAL,
    TEXT_WIDTH,
    THIN,
    Entry,
    Look,
    Words,
    add_axes,
    height_of,
    ink_on,
    legend,
    legend_height,
    looks,
    new_figure,
    nice_ticks,
    plain,
    shortened,
    styled,
    text_width,
    wrapped,
    write,
)
from cnnpaper.figures.words import ENGLISH, listing

Floats: TypeAlias = npt.NDArray[np.float64]
Names: TypeAlias = Mapping[str, str]

FEW = 8
"""So many lines can be told apart in one panel."""
LABEL_WIDTH = 34.0
"""Most of the width that a name takes beside an axis; a longer one is wrapped."""
TICKS_BELOW = 10.0
"""Room for tick labels and the label of the axis below a panel."""
CROSS: dict[str, Any] = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1.1}


# ------------------------------------------------------------------------------- accuracy


@styled
def accuracy_at_equal_time(
    seeds: pd.DataFrame,
    means: pd.DataFrame,
    names: Names,
    *,
    arms: Mapping[str, str],
    equal_time: Iterable[str],
    contrasts: pd.DataFrame | None = None,
    baseline: str = "",
    words: Words = ENGLISH,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Test accuracy against training time; beside it the differences from the baseline.

    Networks are dodged along the time axis in the arms of equal time, whose means dashed lines
    join. Beyond :data:`FEW` entries, or where a time is unknown, each arm is a panel of its own
    with one row an entry.

    Args:
        seeds: a row a run: arm, model, test_acc, diverged.
        means: a row an arm and entry: arm, model, minutes, mean, low, high (NaN for one seed).
        arms: printed titles, in order.
        equal_time: those whose networks had the same time; the others' markers are hollow.
        contrasts: model, difference, low, high, with simultaneous intervals.
        baseline: printed name of the network that is subtracted.
    """
    equal = set(equal_time)
    few = len(names) <= FEW and bool(np.isfinite(means["minutes"].astype(float)).all())
    if not few or len(means) == 0 or not equal:
        return _accuracy_rows(seeds, means, names, arms, contrasts, baseline, words, width)
    beside = contrasts is not None and len(contrasts) > 0
    entries = _accuracy_legend(seeds, names, arms, equal, words)
    top = 1 + legend_height(entries, width - 2) + 2
    stacked = beside and width < 120
    label = min(LABEL_WIDTH, max(map(text_width, names.values()))) + 2 if beside else 0.0
    forest_width = (width - label - 2) if stacked else 44.0
    panel = width - 13 - (0 if stacked or not beside else label + forest_width + 3)
    height = 58.0
    rows = [] if contrasts is None else _labelled(contrasts, names, LABEL_WIDTH)
    below = sum(step for _, step in rows) + TICKS_BELOW + 5 if stacked else 0.0
    figure = new_figure(width, top + height + TICKS_BELOW + below)
    legend(figure, entries, 1, 1, width - 2)
    axes = add_axes(figure, 12, top, panel, height)
    _draw_minutes(axes, seeds, means, names, arms, equal, words)
    if beside and contrasts is not None:
        left = label + 1 if stacked else width - forest_width - 1
        place = top + height + TICKS_BELOW + 3 if stacked else top
        tall = sum(step for _, step in rows) if stacked else height
        forest = add_axes(figure, left, place, forest_width, tall)
        title = words["difference_from"].format(name=shortened(baseline, forest_width - 26))
        _draw_forest(forest, contrasts, rows, looks(list(names)), title)
    return figure


def accuracy_at_equal_time_alt(
    means: pd.DataFrame,
    names: Names,
    *,
    arms: Mapping[str, str],
    contrasts: pd.DataFrame | None = None,
    baseline: str = "",
    words: Words = ENGLISH,
) -> str:
    """What :func:`accuracy_at_equal_time` shows."""
    said = []
    for arm, title in arms.items():
        own = means[means["arm"] == arm]
        values = [f"{names[row.model]} {_percent(row.mean, words)}" for row in _rows_of(own, names)]
        if values:
            said.append(words["alt_arm"].format(arm=title, means=listing(values, words)))
    text = words["alt_accuracy"].format(arms=" ".join(said)).strip()
    if contrasts is not None and len(contrasts):
        entries = _interval_entries(contrasts, names, "difference", words)
        text += " " + words["alt_contrasts"].format(name=baseline, entries=entries)
    return text


def _accuracy_legend(
    seeds: pd.DataFrame, names: Names, arms: Mapping[str, str], equal: set[str], words: Words
) -> list[Entry]:
    entries = [
        Entry(names[entry], {"color": look.colour, "marker": look.marker, "linestyle": "none"})
        for entry, look in looks(list(names)).items()
    ]
    point = {"color": GREY, "marker": "o", "linestyle": "none"}
    entries.append(Entry(words["seed"], point | {"markersize": 2.0}))
    entries.append(Entry(words["mean"], point | {"linestyle": "-", "linewidth": 0.9}))
    if set(arms) - equal and seeds["arm"].isin(set(arms) - equal).any():
        entries.append(Entry(words["own_time"], point | {"markerfacecolor": "white"}))
    if len(equal) > 1:
        dashed = {"color": GREY, "linestyle": (0, (3, 2)), "linewidth": THIN}
        entries.append(Entry(words["separately"], dashed))
    if seeds["diverged"].any():
        entries.append(Entry(words["diverged"], {"color": GREY, "linestyle": "none"} | CROSS))
    return entries


def _draw_minutes(
    axes: Axes,
    seeds: pd.DataFrame,
    means: pd.DataFrame,
    names: Names,
    arms: Mapping[str, str],
    equal: set[str],
    words: Words,
) -> None:
    """Accuracy against time, every network with its look."""
    longest = float(means["minutes"].max()) or 1.0
    scale, unit = _time_unit(60 * longest)
    divide = scale / 60
    span = axes.get_window_extent().width / MM
    # the last of the dodged networks stays within the panel
    end = longest / divide / (1 - min(0.6, (1.3 * len(names) + 3) / span))
    axes.set_xlim(0, end)
    axes.grid(visible=True, axis="y")
    to_data = end / span
    at = sorted(means.loc[means["arm"].isin(equal)].groupby("arm")["minutes"].mean() / divide)
    gaps = [b - a for a, b in zip([0.0, *at], at, strict=False)]
    step = min(2.6 * to_data, min(gaps, default=end) / (len(names) + 1))
    for place, (entry, look) in enumerate(looks(list(names)).items()):
        own = means[means["model"] == entry].set_index("arm")
        joined = []
        for arm in [arm for arm in arms if arm in own.index]:
            dodge = (place - (len(names) - 1) / 2) * step if arm in equal else 0.0
            x = float(own.at[arm, "minutes"]) / divide + dodge
            runs = seeds[(seeds["arm"] == arm) & (seeds["model"] == entry)]
            row = own.loc[arm]
            _draw_mean(axes, x, runs, row, look, hollow=arm not in equal, beside=0.36 * step)
            if arm in equal:
                joined.append((x, 100 * float(row["mean"])))
        joined.sort()
        if len(joined) > 1:
            axes.plot(*zip(*joined, strict=True), color=look.colour, lw=THIN, ls=(0, (3, 2)),
                      zorder=1.5)  # fmt: skip
    _accuracy_axis(axes, "y", words["test_accuracy"], _drawn(seeds, means), words)
    nice_ticks(axes, "x", MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(0, end))
    axes.set_xlabel(words[unit])


def _draw_mean(
    axes: Axes,
    at: float,
    runs: pd.DataFrame,
    mean: pd.Series[Any],
    look: Look,
    *,
    hollow: bool = False,
    beside: float = 0.0,
    flat: bool = False,
) -> None:
    """Seeds as small points, beside them their mean with its interval; ``flat``: along x."""

    def plot(where: float, values: Sequence[float], **more: Any) -> None:
        pair = ([where] * len(values), [100 * value for value in values])
        axes.plot(*(pair[::-1] if flat else pair), color=look.colour, **more)

    good = runs.loc[~runs["diverged"].astype(bool), "test_acc"].dropna()
    lost = runs.loc[runs["diverged"].astype(bool), "test_acc"].dropna()
    plot(at - beside, list(good), marker=look.marker, ms=2.0, alpha=0.7, ls="none", mew=0.4)
    plot(at - beside, list(lost), ls="none", zorder=4, **CROSS)
    limits = [float(mean["low"]), float(mean["high"])]
    if all(map(math.isfinite, limits)):
        plot(at, limits, lw=0.9)
    face = "white" if hollow else look.colour
    plot(at, [float(mean["mean"])], marker=look.marker, ms=4.5, mfc=face, ls="none", zorder=3)


def _accuracy_rows(
    seeds: pd.DataFrame,
    means: pd.DataFrame,
    names: Names,
    arms: Mapping[str, str],
    contrasts: pd.DataFrame | None,
    baseline: str,
    words: Words,
    width: float,
) -> Figure:
    """One row an entry, one panel an arm, at last the differences."""
    rows = _row_labels(list(names.values()), LABEL_WIDTH, room=MAX_HEIGHT - 30)
    left = max(text_width(label) for label, _ in rows) + 3 if rows else 3.0
    known = [arm for arm in arms if (means["arm"] == arm).any()] or list(arms)[:1]
    beside = contrasts is not None and len(contrasts) > 0
    columns = max(1, min(len(known) + beside, 4, int((width - left) // 26)))
    lines = math.ceil((len(known) + beside) / columns)
    panel = (width - left - 1) / columns - 4
    titles = [wrapped(arms[arm], panel) for arm in known]
    if beside:
        titles.append(wrapped(words["difference_from"].format(name=baseline), panel))
    entries = [e for e in _accuracy_legend(seeds, {}, arms, set(arms), words) if e.text in
               (words["seed"], words["mean"], words["diverged"])]  # fmt: skip
    head = max(map(height_of, titles)) + 2
    top = 1 + legend_height(entries, width - 2) + 1
    tall = sum(step for _, step in rows)
    figure = new_figure(width, top + lines * (head + tall + TICKS_BELOW))
    legend(figure, entries, 1, 1, width - 2)
    centres = _centres(rows)
    style = looks(list(names))
    for place, title in enumerate(titles):
        line, column = divmod(place, columns)
        at = left + column * (panel + 4), top + line * (head + tall + TICKS_BELOW)
        axes = add_axes(figure, at[0] + 1, at[1] + head, panel, tall)
        write(figure, at[0] + 1, at[1] + 0.5, title)
        _name_rows(axes, rows, show=column == 0)
        if place == len(known) and contrasts is not None:
            for row in _rows_of(contrasts, names):
                centre = centres[list(names).index(str(row.model))]
                _draw_difference(axes, centre, row.difference, row.low, row.high, style[row.model])
            _difference_axis(axes, contrasts, "difference")
            continue
        own = means[means["arm"] == known[place]].set_index("model")
        for centre, (entry, look) in zip(centres, style.items(), strict=True):
            if entry in own.index:
                runs = seeds[(seeds["arm"] == known[place]) & (seeds["model"] == entry)]
                _draw_mean(axes, centre, runs, own.loc[entry], look, flat=True, beside=0.6)
        label = words["test_accuracy"] if column == 0 else ""
        _accuracy_axis(axes, "x", label, _drawn(seeds, means), words)
    return figure


# ------------------------------------------------------------------------------- differences


@styled
def pairs(
    frame: pd.DataFrame, names: Names, *, words: Words = ENGLISH, width: float = TEXT_WIDTH
) -> Figure:
    """Differences between two networks each, with their intervals, one row a pair.

    Args:
        frame: first, second, difference (first minus second), low, high.
    """
    labels = [_pair(row, names) for row in frame.itertuples()]
    style = looks(list(names))
    row_looks = [style[str(row.first)] for row in frame.itertuples()]
    return _forest(frame, labels, row_looks, "difference", words["difference"], width)


def pairs_alt(frame: pd.DataFrame, names: Names, *, words: Words = ENGLISH) -> str:
    """What :func:`pairs` shows."""
    said = [
        f"{_pair(row, names)} {_interval(row.difference, row.low, row.high, words)}"
        for row in frame.itertuples()
    ]
    return words["alt_forest"].format(entries=listing(said, words))


@styled
def precision_change(
    frame: pd.DataFrame, names: Names, *, words: Words = ENGLISH, width: float = TEXT_WIDTH
) -> Figure:
    """What bfloat16 changes for each network, with its interval.

    Args:
        frame: model, change, low, high (NaN for one pair).
    """
    found = list(_rows_of(frame, names))
    kept = frame.loc[[row.Index for row in found]]
    style = looks(list(names))
    labels, row_looks = [names[row.model] for row in found], [style[row.model] for row in found]
    return _forest(kept, labels, row_looks, "change", words["precision_change"], width)


def precision_change_alt(frame: pd.DataFrame, names: Names, *, words: Words = ENGLISH) -> str:
    """What :func:`precision_change` shows."""
    entries = _interval_entries(frame, names, "change", words)
    return words["alt_forest"].format(entries=entries)


def _pair(row: Any, names: Names) -> str:
    return f"{names[str(row.first)]} \N{MINUS SIGN} {names[str(row.second)]}"


def _forest(
    frame: pd.DataFrame,
    labels: Sequence[str],
    row_looks: Sequence[Look],
    column: str,
    title: str,
    width: float,
) -> Figure:
    rows = _row_labels(labels, 0.45 * width, room=MAX_HEIGHT - TICKS_BELOW - 2)
    left = max((text_width(label) for label, _ in rows), default=0.0) + 3
    tall = sum(step for _, step in rows) or LINE_HEIGHT
    figure = new_figure(width, tall + TICKS_BELOW + 2)
    axes = add_axes(figure, left, 1, width - left - 3, tall)
    _name_rows(axes, rows, show=True)
    for centre, row, look in zip(_centres(rows), frame.itertuples(), row_looks, strict=True):
        _draw_difference(axes, centre, getattr(row, column), row.low, row.high, look)
    _difference_axis(axes, frame, column)
    axes.set_xlabel(title)
    return figure


def _draw_forest(
    axes: Axes,
    frame: pd.DataFrame,
    rows: Sequence[tuple[str, float]],
    style: Mapping[str, Look],
    title: str,
) -> None:
    _name_rows(axes, rows, show=True)
    known = frame[frame["model"].isin(list(style))]
    for centre, row in zip(_centres(rows), known.itertuples(), strict=True):
        look = style[str(row.model)]
        _draw_difference(axes, centre, row.difference, row.low, row.high, look)
    _difference_axis(axes, frame, "difference")
    axes.set_xlabel(title)


def _draw_difference(
    axes: Axes, centre: float, value: Any, low: Any, high: Any, look: Look
) -> None:
    """A difference with its interval, in points."""
    limits = [100 * float(low), 100 * float(high)]
    if all(map(math.isfinite, limits)):
        axes.plot(limits, [centre] * 2, color=look.colour, lw=1.1)
    axes.plot([100 * float(value)], [centre], look.marker, color=look.colour, ms=4.5, zorder=3)


def _difference_axis(axes: Axes, frame: pd.DataFrame, column: str) -> None:
    """The axis in points, with zero always on it."""
    values = 100 * frame[[column, "low", "high"]].to_numpy(dtype=np.float64)
    values = np.append(values[np.isfinite(values)], 0.0)
    pad = 0.08 * (values.max() - values.min()) or 1.0
    low, high = float(values.min() - pad), float(values.max() + pad)
    axes.set_xlim(low, high)
    axes.axvline(0, color=GREY, lw=THIN, zorder=1)
    axes.grid(visible=True, axis="x")
    nice_ticks(axes, "x", MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high))


# ------------------------------------------------------------------------------- learning rates


@styled
def rate_sensitivity(
    trials: pd.DataFrame,
    winners: Mapping[str, float],
    names: Names,
    *,
    stages: Mapping[str, str],
    words: Words = ENGLISH,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Validation accuracy against peak rate, on a logarithmic axis, one panel a network.

    Args:
        trials: stage, model, rate, val_acc, diverged.
        winners: entry → the chosen rate.
        stages: printed titles, in order; the last one's markers are filled.
    """
    drawn = [entry for entry in names if (trials["model"] == entry).any()]
    style = looks(list(names))
    entries = _rate_legend(trials, stages, words)
    labels = [wrapped(names[entry], 28.0) for entry in drawn]
    rates = sorted(set(trials["rate"].astype(float)))
    high = 100 * float(trials["val_acc"].max()) if len(trials) else 100.0

    def draw(axes: Axes, place: int, outer: tuple[bool, bool]) -> None:
        own = trials[trials["model"] == drawn[place]].sort_values("rate")
        axes.set_xscale("log", base=2)
        axes.set(xlim=(rates[0] / 1.35, rates[-1] * 1.35), ylim=(0, min(100, 1.12 * high) or 1))
        axes.grid(visible=True, axis="y")
        _draw_rates(axes, own, winners.get(drawn[place]), list(stages), style[drawn[place]])
        nice_ticks(axes, "x", rates)
        nice_ticks(axes, "y", MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, 1.12 * high))
        axes.set_xlabel(words["peak_rate"] if outer[0] else "")
        axes.set_ylabel(words["validation_accuracy"] if outer[1] else "")

    return _multiples(labels, draw, entries, width, height=36.0)


def rate_sensitivity_alt(
    trials: pd.DataFrame, winners: Mapping[str, float], names: Names, *, words: Words = ENGLISH
) -> str:
    """What :func:`rate_sensitivity` shows."""
    said = []
    for entry, rate in winners.items():
        own = trials[(trials["model"] == entry) & np.isclose(trials["rate"].astype(float), rate)]
        if entry in names and len(own):
            accuracy = _percent(float(own["val_acc"].iloc[-1]), words)
            said.append(
                words["alt_best"].format(name=names[entry], rate=plain(rate), accuracy=accuracy)
            )
    text = words["alt_rates"].format(entries=listing(said, words))
    lost = trials[trials["diverged"].astype(bool)]
    if len(lost):
        entries = [f"{names[row.model]} {plain(row.rate)}" for row in _rows_of(lost, names)]
        text += " " + words["alt_diverged"].format(entries=listing(entries, words))
    return text


def _rate_legend(trials: pd.DataFrame, stages: Mapping[str, str], words: Words) -> list[Entry]:
    entries = [
        Entry(title, {"color": GREY, "marker": "o"} | _stage_line(place, len(stages)))
        for place, title in enumerate(stages.values())
    ]
    ring = {"color": INK, "marker": "o", "markersize": 8.0, "markerfacecolor": "none"}
    entries.append(Entry(words["chosen"], ring | {"linestyle": "none"}))
    if trials["diverged"].any():
        entries.append(Entry(words["diverged"], {"color": GREY, "linestyle": "none"} | CROSS))
    return entries


def _stage_line(place: int, stages: int) -> dict[str, Any]:
    last = place == stages - 1
    return {"linestyle": "-", "linewidth": 1.1} if last else {
        "linestyle": (0, (3, 2)), "linewidth": 0.8, "markerfacecolor": "white",
    }  # fmt: skip


def _draw_rates(
    axes: Axes, trials: pd.DataFrame, winner: float | None, stages: Sequence[str], look: Look
) -> None:
    for place, stage in enumerate(stages):
        own = trials[trials["stage"] == stage]
        x, y = own["rate"].astype(float), 100 * own["val_acc"].astype(float)
        axes.plot(x, y, color=look.colour, marker=look.marker, ms=3.6,
                  **_stage_line(place, len(stages)))  # fmt: skip
        lost = own["diverged"].astype(bool)
        axes.plot(x[lost], y[lost], color=INK, ls="none", zorder=4, **CROSS)
        chosen = np.isclose(x, winner) if winner is not None else np.zeros(len(own), dtype=bool)
        if place == len(stages) - 1 or not trials["stage"].isin(stages[place + 1 :]).any():
            axes.plot(x[chosen], y[chosen], "o", color=INK, ms=8, mfc="none", mew=0.9, zorder=5)


# ------------------------------------------------------------------------------- learning curves

MEASURES = {"val_acc": "validation_accuracy", "val_loss": "validation_loss",
            "train_acc": "train_accuracy", "train_loss": "train_loss"}  # fmt: skip


@styled
def learning_curves(
    epochs: pd.DataFrame,
    names: Names,
    *,
    against: str = "minutes",
    measures: Sequence[str] = ("val_acc", "val_loss"),
    words: Words = ENGLISH,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Metrics against time or epochs; one arm at a time.

    The line is the mean over seeds, the band reaches from the smallest to the largest of them. A
    diverged run is in neither: it is drawn by itself, thin, to its last finite value, a cross.
    Beyond :data:`FEW` entries each has a panel, with all others in grey, for the first measure.

    Args:
        epochs: path, model, epoch (from 0), minutes (since the start), the measures, diverged.
        against: ``minutes`` or ``epoch``.
        measures: columns, each with a panel.
    """
    drawn = [entry for entry in names if (epochs["model"] == entry).any()]
    style = looks(list(names))
    curves = epochs.assign(x=_times(epochs, against)[0])
    label = words[_times(epochs, against)[1]]
    end = float(curves["x"].max()) if len(curves) else 1.0
    many = len(drawn) > FEW
    entries = [] if many else [
        Entry(names[e], {"color": style[e].colour, "linestyle": style[e].dash,
                         "marker": style[e].marker}) for e in drawn]  # fmt: skip
    if epochs["diverged"].any():
        entries.append(Entry(words["diverged"], {"color": GREY, "linestyle": "none"} | CROSS))

    def draw(axes: Axes, place: int, outer: tuple[bool, bool]) -> None:
        measure = measures[0] if many else measures[place]
        values: list[float] = []
        for entry in drawn:
            own = curves[curves["model"] == entry]
            grey = many and entry != drawn[place]
            look = Look(colour=RULE, marker="", dash="-") if grey else style[entry]
            values += _draw_curves(axes, own, measure, look, grey=grey)
        axes.set_xlim(0 if against == "minutes" else min(0.9, 1 - 0.02 * end), 1.03 * end)
        axes.grid(visible=True, axis="y")
        title = words[MEASURES[measure]]
        shown = title if outer[1] else ""
        if measure.endswith("acc"):
            _accuracy_axis(axes, "y", shown, values, words)
        else:
            _loss_axis(axes, values)
            axes.set_ylabel(shown)
        ticks = MaxNLocator(6, integer=against == "epoch", steps=[1, 2, 5, 10])
        first = 0.0 if against == "minutes" else 1.0
        found = [t for t in ticks.tick_values(first, end) if first <= t <= 1.03 * end]
        nice_ticks(axes, "x", found or [first])
        axes.set_xlabel(label if outer[0] else "")

    titles = [wrapped(names[e], 28.0) for e in drawn] if many else [""] * len(measures)
    columns = None if many else (2 if width > 100 else 1)
    height = 30.0 if many else 48.0
    return _multiples(
        titles, draw, entries, width, height=height, columns=columns, all_labels=not many
    )


def learning_curves_alt(epochs: pd.DataFrame, names: Names, *, words: Words = ENGLISH) -> str:
    """What :func:`learning_curves` shows."""
    lost = epochs["diverged"].astype(bool)
    last = epochs[~lost].sort_values("epoch").groupby("path", sort=False).tail(1)
    said = []
    for entry, name in names.items():
        own = last.loc[last["model"] == entry, "val_acc"].astype(float)
        if len(own) and math.isfinite(own.mean()):
            said.append(f"{name} {_percent(float(own.mean()), words)}")
    text = words["alt_curves"].format(entries=listing(said, words))
    if lost.any():
        entries = [names[str(e)] for e in dict.fromkeys(epochs.loc[lost, "model"]) if e in names]
        text += " " + words["alt_diverged"].format(entries=listing(entries, words))
    return text


def _times(epochs: pd.DataFrame, against: str) -> tuple[pd.Series[Any], str]:
    """Where the epochs lie along the axis, and the key of its label."""
    if against == "epoch":
        return epochs["epoch"].astype(float) + 1, "epoch"
    longest = float(epochs["minutes"].max()) if len(epochs) else 0.0
    scale, unit = _time_unit(60 * longest)
    return epochs["minutes"].astype(float) * 60 / scale, unit


def _draw_curves(
    axes: Axes, curves: pd.DataFrame, measure: str, look: Look, *, grey: bool
) -> list[float]:
    """Mean and band of one entry's runs, and its diverged ones; returns what the axis must hold."""
    factor = 100.0 if measure.endswith("acc") else 1.0
    lost = curves["diverged"].astype(bool)
    known = curves[~lost & np.isfinite(curves[measure].astype(float))]
    values: list[float] = []
    if len(known):
        by_epoch = known.groupby("epoch")
        x = by_epoch["x"].mean().to_numpy(dtype=np.float64)
        y = (by_epoch[measure].agg(["mean", "min", "max"]) * factor).to_numpy(dtype=np.float64)
        every = max(1, len(x) // 6) if len(x) > 12 else 1
        more: dict[str, Any] = {"lw": THIN, "zorder": 1} if grey else {
            "marker": look.marker, "markevery": every, "ls": look.dash}  # fmt: skip
        axes.plot(x, y[:, 0], color=look.colour, **more)
        if not grey:
            axes.fill_between(x, y[:, 1], y[:, 2], color=look.colour, alpha=0.16, lw=0)
        values += [float(y.min()), float(y.max())]
    if not grey:
        for _, run in curves[lost].groupby("path"):
            finite = run[np.isfinite(run[measure].astype(float))]
            pair = finite["x"].to_numpy(np.float64), factor * finite[measure].to_numpy(np.float64)
            axes.plot(*pair, color=look.colour, lw=THIN, ls=look.dash)
            axes.plot(pair[0][-1:], pair[1][-1:], color=look.colour, zorder=4, ls="none", **CROSS)
            values += [float(v) for v in pair[1]]
    return values


# ------------------------------------------------------------------------------- confusions


@styled
def confusion(
    counts: Floats,
    classes: Sequence[str],
    *,
    words: Words = ENGLISH,
    width: float = TEXT_WIDTH,
) -> Figure:
    """What each class was predicted as, in images.

    The diagonal is grey; the shade of the others grows with their fraction of the class's images,
    so that confusions can be told apart.

    Args:
        counts: true class by row, predicted by column, (classes, classes); means over seeds.
        classes: their names.
    """
    of_class = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = of_class * (1 - np.eye(len(classes)))
    shade = wrong / (wrong.max() or 1.0)
    labels = [shortened(name, 0.22 * width) for name in classes]
    left = max(map(text_width, labels)) + LINE_HEIGHT + 3
    cell = min(13.0, (width - left - 1) / len(classes))
    turned = max(map(text_width, labels)) > cell - 1  # names that are too wide stand upright
    head = LINE_HEIGHT + 2 + (max(map(text_width, labels)) + 1 if turned else LINE_HEIGHT)
    tall = 5.0 * len(classes)
    figure = new_figure(left + cell * len(classes) + 1, head + tall + 1)
    axes = add_axes(figure, left, head, cell * len(classes), tall)
    colours = SEQUENTIAL(shade)[..., :3]
    colours[np.eye(len(classes), dtype=bool)] = to_rgb(GRID)
    axes.pcolormesh(colours, edgecolors="white", linewidth=0.8)
    for row, column in np.ndindex(counts.shape):
        text = f"{counts[row, column]:.0f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center_baseline",
                  color=ink_on(tuple(colours[row, column])))  # fmt: skip
    middles = np.arange(len(classes)) + 0.5
    axes.set_xticks(middles, labels, rotation=90 if turned else 0)
    axes.set_yticks(middles, labels)
    axes.set_ylim(len(classes), 0)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, pad=2)
    axes.spines[:].set_visible(False)
    write(figure, left + cell * len(classes) / 2, 0.5, words["predicted"], ha="center", color=GREY)
    write(figure, 0.5, head + tall / 2, words["true"], va="center", rotation=90, color=GREY)
    return figure


def confusion_alt(counts: Floats, classes: Sequence[str], *, words: Words = ENGLISH) -> str:
    """What :func:`confusion` shows."""
    said = [f"{name} {counts[i, i]:.0f}" for i, name in enumerate(classes)]
    return words["alt_confusion"].format(entries=listing(said, words))


# ------------------------------------------------------------------------------- calibration


@styled
def calibration(
    bins: pd.DataFrame,
    names: Names,
    *,
    printed: Mapping[str, str] | None = None,
    words: Words = ENGLISH,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Accuracy against confidence before and after temperature scaling, one panel a network.

    Args:
        bins: model, state (``before``, ``after``), confidence, accuracy; a row a bin.
        printed: entry → a line below its name, such as its calibration errors.
    """
    drawn = [entry for entry in names if (bins["model"] == entry).any()]
    style = looks(list(names))
    lines = {
        "before": {"linestyle": (0, (3, 2)), "linewidth": 0.8, "markerfacecolor": "white"},
        "after": {"linestyle": "-", "linewidth": 1.0},
    }
    entries = [
        Entry(words[state], {"color": GREY, "marker": "o", "markersize": 3.0} | line)
        for state, line in lines.items()
        if (bins["state"] == state).any()
    ]
    titles = [wrapped(names[e], 28.0) + (f"\n{printed[e]}" if printed and e in printed else "")
              for e in drawn]  # fmt: skip

    def draw(axes: Axes, place: int, outer: tuple[bool, bool]) -> None:
        look = style[drawn[place]]
        axes.plot([0, 100], [0, 100], color=RULE, lw=THIN)
        for state, line in lines.items():
            own = bins[(bins["model"] == drawn[place]) & (bins["state"] == state)]
            pair = 100 * own[["confidence", "accuracy"]].to_numpy(dtype=np.float64)
            axes.plot(*pair.T, color=look.colour, marker=look.marker, ms=3, **line)
        axes.set(xlim=(-2, 102), ylim=(-2, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))
        axes.set_xlabel(words["confidence"] if outer[0] else "")
        axes.set_ylabel(words["accuracy"] if outer[1] else "")

    return _multiples(titles, draw, entries, width, height=None)


def calibration_alt(
    names: Names, *, printed: Mapping[str, str] | None = None, words: Words = ENGLISH
) -> str:
    """What :func:`calibration` shows; the errors as printed."""
    said = [f"{name} ({printed[e]})" if printed and e in printed else name
            for e, name in names.items()]  # fmt: skip
    return words["alt_calibration"].format(entries=listing(said, words))


# ------------------------------------------------------------------------------- time

SECTIONS = ("data", "forward", "backward", "optimizer", "other")
FILLS = (("#ffffff", "//////"), ("#d3dce6", ""), ("#7d9bb8", ""), ("#27425f", ""), ("#ffffff", ""))
"""Of the sections; told apart in grey print too."""


@styled
def step_time(
    sections: pd.DataFrame, names: Names, *, words: Words = ENGLISH, width: float = TEXT_WIDTH
) -> Figure:
    """Where the time of a training step goes: a bar a network, its sections one after the other.

    Args:
        sections: model, section (:data:`SECTIONS`), seconds.
    """
    table = sections.pivot_table(index="model", columns="section", values="seconds", observed=True)
    drawn = [entry for entry in names if entry in table.index]
    rows = _row_labels([names[e] for e in drawn], LABEL_WIDTH, room=MAX_HEIGHT - 25, pad=2.4)
    left = max((text_width(label) for label, _ in rows), default=0.0) + 3
    tall = sum(step for _, step in rows) or LINE_HEIGHT
    known = [section for section in SECTIONS if section in table.columns]
    entries = [Entry(words[s], _sample(s)) for s in known]
    top = 1 + legend_height(entries, width - 2) + 1
    figure = new_figure(width, top + tall + TICKS_BELOW + 1)
    legend(figure, entries, 1, 1, width - 2)
    axes = add_axes(figure, left, top, width - left - 4, tall)
    _name_rows(axes, rows, show=True)
    ends = np.zeros(len(drawn))
    for section, (fill, hatch) in zip(SECTIONS, FILLS, strict=True):
        if section in known:
            values = 1000 * np.array([float(table.at[e, section]) for e in drawn])
            axes.barh(_centres(rows), values, height=3.4, left=ends, color=fill, hatch=hatch,
                      edgecolor=INK, linewidth=THIN)  # fmt: skip
            ends = ends + np.nan_to_num(values)
    end = 1.04 * float(ends.max(initial=0.0)) or 1.0
    axes.set_xlim(0, end)
    nice_ticks(axes, "x", MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, end))
    axes.set_xlabel(words["step_time"])
    return figure


def step_time_alt(sections: pd.DataFrame, names: Names, *, words: Words = ENGLISH) -> str:
    """What :func:`step_time` shows."""
    said = []
    for entry, name in names.items():
        own = sections[sections["model"] == entry].set_index("section")["seconds"]
        parts = [f"{words[s]} {1000 * own[s]:.0f}" for s in SECTIONS if s in own.index]
        if parts:
            said.append(f"{name} ({listing(parts, words)})")
    return words["alt_steps"].format(entries=words["semicolon"].join(said) or "–")


def _sample(section: str) -> Callable[[Axes], None]:
    fill, hatch = dict(zip(SECTIONS, FILLS, strict=True))[section]

    def draw(axes: Axes) -> None:
        axes.barh([0], [0.9], height=1.4, color=fill, hatch=hatch, ec=INK, lw=THIN)

    return draw


# ------------------------------------------------------------------------------- parts


def _multiples(
    titles: Sequence[str],
    draw: Callable[[Axes, int, tuple[bool, bool]], None],
    entries: Sequence[Entry],
    width: float,
    *,
    height: float | None,
    columns: int | None = None,
    all_labels: bool = False,
) -> Figure:
    """Panels in rows below a legend.

    Args:
        draw: draws a panel; told whether it is the lowest of its column, and the first of its row.
        height: of a panel; None for squares.
        columns: in a row; by default four on a full page, two in a column.
        all_labels: every panel labels its own vertical axis.
    """
    columns = columns or max(1, min(len(titles), 4 if width > 100 else 2))
    rows = max(1, math.ceil(len(titles) / columns))
    gap, left = (13.0, 12.0) if all_labels else (4.0, 12.0)
    panel = (width - left - 2 - gap * (columns - 1)) / columns
    if len(titles) < 4 and not all_labels:
        panel = min(panel, 60.0)
    tall = min(height or min(panel, 34.0), (MAX_HEIGHT - 20) / rows - 12)
    panel = panel if height else tall
    width = min(width, left + 2 + columns * (panel + gap) - gap)
    top = 1 + legend_height(entries, width - 2) + 1
    head = max((height_of(title) if title else 0.0 for title in titles), default=0.0) + 1.5
    step = head + tall + (6.5 if rows > 1 else 0.0)
    figure = new_figure(width, top + rows * step + (TICKS_BELOW if rows == 1 else 4.5))
    legend(figure, entries, 1, 1, width - 2)
    for place, title in enumerate(titles):
        row, column = divmod(place, columns)
        at = left + column * (panel + gap), top + row * step
        axes = add_axes(figure, at[0], at[1] + head, panel, tall)
        write(figure, at[0], at[1] + 0.5, title)
        first = all_labels or column == 0
        draw(axes, place, (place + columns >= len(titles), first))
        axes.tick_params(labelleft=first)
    return figure


def _row_labels(
    labels: Sequence[str], width: float, *, room: float, pad: float = 1.6
) -> list[tuple[str, float]]:
    """Labels of rows with the rows' heights: wrapped, or on one line where room is short."""
    rows = [(text, height_of(text) + pad) for text in (wrapped(label, width) for label in labels)]
    if sum(step for _, step in rows) > room:
        rows = [(shortened(label, width), LINE_HEIGHT + pad) for label in labels]
    if (whole := sum(step for _, step in rows)) > room:
        rows = [(text, max(3.0, step * room / whole)) for text, step in rows]
    return rows


def _labelled(frame: pd.DataFrame, names: Names, width: float) -> list[tuple[str, float]]:
    found = [names[row.model] for row in _rows_of(frame, names)]
    return _row_labels(found, width, room=MAX_HEIGHT / 2)


def _centres(rows: Sequence[tuple[str, float]]) -> list[float]:
    """Middles of rows, from the top."""
    ends = np.cumsum([step for _, step in rows])
    return [float(end - step / 2) for end, (_, step) in zip(ends, rows, strict=True)]


def _name_rows(axes: Axes, rows: Sequence[tuple[str, float]], *, show: bool) -> None:
    """One unit of the vertical axis is a millimetre of the rows, the first row on top."""
    axes.set_ylim(sum(step for _, step in rows) or 1.0, 0)
    axes.set_yticks(_centres(rows), [text if show else "" for text, _ in rows])
    axes.tick_params(axis="y", length=0)


def _drawn(seeds: pd.DataFrame, means: pd.DataFrame) -> list[float]:
    """Everything in percent that the axis of accuracies must hold."""
    values = [*seeds["test_acc"], *means["mean"], *means["low"], *means["high"]]
    return [100 * float(value) for value in values if math.isfinite(float(value))]


def _accuracy_axis(
    axes: Axes, which: Any, label: str, values: Sequence[float], words: Words
) -> None:
    """Percent, within 0 and 100; the label says where the axis does not start at zero."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    pad = 0.06 * (high - low) or 1.0
    low, high = max(0.0, low - pad), min(100.0, high + pad)
    if low < 0.25 * high:
        low = 0.0
    axes.set(**{f"{which}lim": (low, high)})
    if which == "x":
        axes.grid(visible=True, axis="x")
    nice_ticks(axes, which, MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high))
    shown = words["cut"].format(label=label) if low > 0 and label else label
    axes.set(**{f"{which}label": shown})


def _loss_axis(axes: Axes, values: Sequence[float]) -> None:
    """From zero; logarithmic where a diverging loss would flatten all others."""
    high = max(values, default=1.0)
    low = min((value for value in values if value > 0), default=1.0)
    if high > 20 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        nice_ticks(axes, "y", [10.0**power for power in powers])
        return
    axes.set_ylim(0, 1.06 * high or 1.0)
    nice_ticks(axes, "y", MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, 1.06 * high))


def _time_unit(longest_s: float) -> tuple[float, str]:
    """Seconds in the unit of an axis, and the key of its label."""
    if longest_s >= 5 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest_s >= 120 else (1.0, "seconds")


def _rows_of(frame: pd.DataFrame, names: Names) -> list[Any]:
    """Rows of known entries, in the frame's order."""
    return [row for row in frame.itertuples() if row.model in names]


def _percent(value: float, words: Words) -> str:
    return words["percent"].format(value=plain(100 * float(value), ".1f"))


def _interval(value: Any, low: Any, high: Any, words: Words) -> str:
    shown = [plain(100 * float(v), ".1f") for v in (value, low, high)]
    if not all(math.isfinite(float(v)) for v in (low, high)):
        return shown[0]
    return words["interval"].format(value=shown[0], low=shown[1], high=shown[2])


def _interval_entries(frame: pd.DataFrame, names: Names, column: str, words: Words) -> str:
    said = [
        f"{names[row.model]} {_interval(getattr(row, column), row.low, row.high, words)}"
        for row in _rows_of(frame, names)
    ]
    return listing(said, words)
