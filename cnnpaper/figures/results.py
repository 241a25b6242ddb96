"""The figures of results: plain frames in, a matplotlib figure out.

Every function takes a :class:`Sheet`: printed names of all entries of the study in its order (an
entry is a network, or a network with its variant: ``resnet18-rate0.05``), the words of the edition,
and the width. Accuracies and differences are fractions; times are seconds or minutes, as the column
says. Nothing is computed here but the means of learning curves. Each figure has a companion
``…_alt``, which describes it for readers who cannot see it. A frame that lacks rows gives a figure
that lacks points, never an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnnpaper.figures import style
from cnnpaper.figures.style import GREY, INK, LINE_HEIGHT, THIN, Entry, Look, styled, text_width
from cnnpaper.figures.words import ENGLISH

Floats: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = Sequence[tuple[str, float]]
"""Labels of rows, and the rows' heights."""

FEW = 8
"""So many lines can be told apart in one panel."""
LABEL_WIDTH = 34.0
"""Most of the width that a name takes beside an axis; a longer one is wrapped."""
BELOW = 10.0
"""Room for tick labels and the label of the axis below a panel."""
CROSS: dict[str, Any] = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1.1, "ls": "none"}
DASHED: dict[str, Any] = {"ls": (0, (3, 2)), "lw": 0.8, "mfc": "white"}
SOLID: dict[str, Any] = {"ls": "-", "lw": 1.1}


@dataclass(frozen=True)
class Sheet:
    """What all figures of an edition share."""

    names: Mapping[str, str]
    """Entry of the study → printed name, all of them in order."""
    words: style.Words = field(default_factory=lambda: ENGLISH)
    width: float = style.TEXT_WIDTH

    @cached_property
    def looks(self) -> dict[str, Look]:
        return style.looks(list(self.names))

    def known(self, frame: pd.DataFrame) -> list[str]:
        """Entries that the frame has rows of, in the study's order."""
        there = set(frame["model"])
        return [entry for entry in self.names if entry in there]

    def listing(self, items: Iterable[str]) -> str:
        """Items of an alternative text in a row; a dash where there is none."""
        return self.words["comma"].join(items) or "–"

    def percent(self, value: float) -> str:
        return self.words["percent"].format(value=style.plain(100 * value, ".1f"))

    def interval(self, row: Any) -> str:
        """A difference in points with its interval, where it has one."""
        parts = [style.plain(100 * v, ".1f") for v in (row.difference, row.low, row.high)]
        if not math.isfinite(row.low + row.high):
            return parts[0]
        return self.words["interval"].format(value=parts[0], low=parts[1], high=parts[2])


# ------------------------------------------------------------------------------- accuracy


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """What :func:`accuracy_at_equal_time` shows."""

    seeds: pd.DataFrame
    """A row a run: arm, model, test_acc, diverged."""
    means: pd.DataFrame
    """A row an arm and entry: arm, model, minutes, mean, low, high (NaN for one seed)."""
    arms: Mapping[str, str]
    """Printed titles, in order."""
    equal_time: Collection[str]
    """Arms whose networks had the same time; the others' markers are hollow."""
    contrasts: pd.DataFrame | None = None
    """model, difference, low, high: fractions, simultaneous intervals."""
    baseline: str = ""
    """Printed name of the network that is subtracted."""

    @property
    def compared(self) -> pd.DataFrame:
        columns = ["model", "difference", "low", "high"]
        return pd.DataFrame(columns=columns) if self.contrasts is None else self.contrasts

    @property
    def percents(self) -> list[float]:
        """Everything that the axis of accuracies must hold."""
        means = (self.means[column] for column in ("mean", "low", "high"))
        values = pd.concat([self.seeds["test_acc"], *means]).astype(float)
        return [100 * value for value in values if math.isfinite(value)]


@styled
def accuracy_at_equal_time(shown: Accuracies, sheet: Sheet) -> Figure:
    """Test accuracy against training time; beside it the differences from the baseline.

    Networks are dodged along the time axis in the arms of equal time, whose means dashed lines
    join. Beyond :data:`FEW` entries, or where a time is unknown, each arm is a panel of its own
    with one row an entry.
    """
    timed = bool(np.isfinite(shown.means["minutes"].astype(float)).all()) and len(shown.means) > 0
    if len(sheet.names) > FEW or not timed or not shown.equal_time:
        return _accuracy_rows(shown, sheet)
    width, height, compared = sheet.width, 58.0, shown.compared
    rows = _row_labels([sheet.names[entry] for entry in sheet.known(compared)], LABEL_WIDTH, 90.0)
    label = max((text_width(text) for text, _ in rows), default=0.0) + 2
    stacked, beside = bool(rows) and width < 120, bool(rows) and width >= 120
    entries = _accuracy_legend(shown, sheet)
    top = 3 + style.legend_height(entries, width - 2)
    low = sum(step for _, step in rows) + BELOW + 5 if stacked else 0.0
    figure = style.new_figure(width, top + height + BELOW + low)
    style.legend(figure, entries, 1, 1, width - 2)
    panel = width - 13 - (label + 47 if beside else 0.0)
    _draw_minutes(style.add_axes(figure, 12, top, panel, height), shown, sheet)
    if rows:
        place = (width - 45, top, 44.0, height)
        if stacked:
            place = (label + 1, top + height + BELOW + 3, width - label - 3, low - BELOW - 5)
        axes = style.add_axes(figure, *place)
        _draw_differences(axes, compared, rows, sheet)
        text = sheet.words["difference_from"]
        room = place[2] + label - 4 - text_width(text.format(name=""))
        axes.set_xlabel(text.format(name=style.shortened(shown.baseline, room)), loc="right")
    return figure


def accuracy_at_equal_time_alt(shown: Accuracies, sheet: Sheet) -> str:
    """What :func:`accuracy_at_equal_time` shows."""
    said = []
    for arm, title in shown.arms.items():
        means = _in_order(shown.means[shown.means["arm"] == arm], sheet)
        values = [f"{sheet.names[row.model]} {sheet.percent(row.mean)}" for row in means]
        if values:
            said.append(sheet.words["alt_arm"].format(arm=title, means=sheet.listing(values)))
    text = sheet.words["alt_accuracy"].format(arms=" ".join(said)).strip()
    rows = _in_order(shown.compared, sheet)
    entries = sheet.listing(f"{sheet.names[row.model]} {sheet.interval(row)}" for row in rows)
    more = sheet.words["alt_contrasts"].format(name=shown.baseline, entries=entries)
    return f"{text} {more}" if rows else text


def _accuracy_legend(shown: Accuracies, sheet: Sheet, *, in_rows: bool = False) -> list[Entry]:
    point = {"color": GREY, "marker": "o", "ls": "none"}
    entries = [
        Entry(sheet.names[entry], {"color": look.colour, "marker": look.marker, "ls": "none"})
        for entry, look in ({} if in_rows else sheet.looks).items()
    ]
    entries.append(Entry(sheet.words["seed"], point | {"ms": 2.0}))
    entries.append(Entry(sheet.words["mean"], point | {"ls": "-", "lw": 0.9}))
    if not in_rows and not set(shown.means["arm"]) <= set(shown.equal_time):
        entries.append(Entry(sheet.words["own_time"], point | {"mfc": "white"}))
    if not in_rows and len(shown.equal_time) > 1:
        entries.append(Entry(sheet.words["separately"], {"color": GREY, **DASHED}))
    return entries + _lost(shown.seeds, sheet)


def _lost(frame: pd.DataFrame, sheet: Sheet) -> list[Entry]:
    """The legend's entry for diverged runs, where there are any."""
    entry = Entry(sheet.words["diverged"], {"color": GREY} | CROSS)
    return [entry] if frame["diverged"].astype(bool).any() else []


def _draw_minutes(axes: Axes, shown: Accuracies, sheet: Sheet) -> None:
    """Accuracy against time, every network with its look."""
    times = shown.means["minutes"].astype(float)
    unit_s, unit = _time_unit(60 * float(times.max()))
    means = shown.means.assign(x=times * 60 / unit_s)
    span, count = axes.get_window_extent().width / style.MM, len(sheet.names)
    # the last of the dodged networks stays within the panel
    end = float(means["x"].max() or 1.0) / (1 - min(0.6, (1.3 * count + 3) / span))
    axes.set_xlim(0, end)
    axes.grid(visible=True, axis="y")
    equal = means["arm"].isin(list(shown.equal_time))
    at = np.sort(means[equal].groupby("arm")["x"].mean().to_numpy(dtype=np.float64))
    gap = float(np.diff(at, prepend=0.0).min(initial=end))
    step = min(2.6 * end / span, gap / (count + 1))
    for place, (entry, look) in enumerate(sheet.looks.items()):
        dodge = (place - (count - 1) / 2) * step
        joined = []
        for row in _each(means[means["model"] == entry].sort_values("x")):
            is_equal = row.arm in shown.equal_time
            x = row.x + (dodge if is_equal else 0.0)
            joined += [(x, 100 * row.mean)] if is_equal else []
            face = look.colour if is_equal else "white"
            _draw_mean(axes, x, shown.seeds, row, look, face=face, beside=0.36 * step)
        if len(joined) > 1:
            x, y = zip(*joined, strict=True)
            axes.plot(x, y, color=look.colour, lw=THIN, ls=DASHED["ls"], zorder=1.5)
    _accuracy_axis(axes, "y", sheet.words["test_accuracy"], shown.percents, sheet)
    _ticks(axes, "x", 0, end, 7)
    axes.set_xlabel(sheet.words[unit])


def _draw_mean(
    axes: Axes, at: float, seeds: pd.DataFrame, row: Any, look: Look, *,
    face: str, beside: float, flat: bool = False,
) -> None:  # fmt: skip
    """Seeds as small points, beside them their mean with its interval; ``flat``: along x."""

    def plot(where: float, values: Iterable[float], **more: Any) -> None:
        y = [100 * value for value in values]
        x = [where] * len(y)
        axes.plot(*((y, x) if flat else (x, y)), **{"color": look.colour, "ls": "none"} | more)

    runs = seeds[(seeds["arm"] == row.arm) & (seeds["model"] == row.model)]
    lost = runs["diverged"].astype(bool)
    small = {"marker": look.marker, "ms": 2.0, "mew": 0.4, "alpha": 0.7}
    plot(at - beside, runs.loc[~lost, "test_acc"], **small)
    plot(at - beside, runs.loc[lost, "test_acc"], zorder=4, **CROSS)
    if math.isfinite(row.low + row.high):
        plot(at, [row.low, row.high], ls="-", lw=0.9)
    plot(at, [row.mean], marker=look.marker, ms=4.5, mfc=face, zorder=3)


def _accuracy_rows(shown: Accuracies, sheet: Sheet) -> Figure:
    """One row an entry, one panel an arm, at last the differences."""
    names = list(sheet.names.values())
    rows = _row_labels(names, LABEL_WIDTH, style.MAX_HEIGHT - 32)
    left = max((text_width(label) for label, _ in rows), default=0.0) + 3
    arms = [arm for arm in shown.arms if (shown.means["arm"] == arm).any()]
    titles = [shown.arms[arm] for arm in arms]
    if len(shown.compared):
        titles.append(sheet.words["difference_from"].format(name=shown.baseline))
    columns = max(1, min(len(titles), 4, int((sheet.width - left) // 26)))
    panel = (sheet.width - left - 1) / columns - 4
    titles = [style.wrapped(title, panel) for title in titles]
    entries = _accuracy_legend(shown, sheet, in_rows=True)
    head = max(map(style.height_of, titles), default=0.0) + 2
    top = 2 + style.legend_height(entries, sheet.width - 2)
    tall = sum(step for _, step in rows)
    lines = math.ceil(len(titles) / columns)
    figure = style.new_figure(sheet.width, top + lines * (head + tall + BELOW) + 1)
    style.legend(figure, entries, 1, 1, sheet.width - 2)
    for place, title in enumerate(titles):
        line, column = divmod(place, columns)
        x, y = left + column * (panel + 4) + 1, top + line * (head + tall + BELOW)
        axes = style.add_axes(figure, x, y + head, panel, tall)
        style.write(figure, x, y + 0.5, title)
        if place == len(arms):
            _draw_differences(axes, shown.compared, rows, sheet, show=column == 0)
            continue
        centres = dict(zip(sheet.names, _name_rows(axes, rows, show=column == 0), strict=True))
        for row in _in_order(shown.means[shown.means["arm"] == arms[place]], sheet):
            look, at = sheet.looks[row.model], centres[row.model]
            _draw_mean(axes, at, shown.seeds, row, look, face=look.colour, beside=0.6, flat=True)
        label = sheet.words["test_accuracy"] if column == 0 else ""
        _accuracy_axis(axes, "x", label, shown.percents, sheet)
    return figure


# ------------------------------------------------------------------------------- differences


@styled
def differences(frame: pd.DataFrame, sheet: Sheet, *, title: str = "difference") -> Figure:
    """Differences with their intervals, one row each: pairs of networks, or changes of each.

    Args:
        frame: model, difference, low, high; with a column ``other``, pairs: model minus other.
        title: key of the axis's words: ``difference``, ``precision_change``.
    """
    few = math.inf if len(frame) <= 20 else 0.22 * sheet.width  # of a name: one line has a pair
    labels = [_pair(row, sheet, few) for row in _each(frame)]
    rows = _row_labels(labels, 0.47 * sheet.width, style.MAX_HEIGHT - BELOW - 2)
    left = max((text_width(label) for label, _ in rows), default=0.0) + 3
    tall = sum(step for _, step in rows) or LINE_HEIGHT
    figure = style.new_figure(sheet.width, tall + BELOW + 2)
    axes = style.add_axes(figure, left, 1, sheet.width - left - 3, tall)
    _draw_differences(axes, frame, rows, sheet)
    narrow = text_width(sheet.words[title]) > sheet.width - left - 3
    axes.set_xlabel(sheet.words[title], loc="right" if narrow else "center")
    return figure


def differences_alt(frame: pd.DataFrame, sheet: Sheet) -> str:
    """What :func:`differences` shows."""
    said = [f"{_pair(row, sheet)} {sheet.interval(row)}" for row in _each(frame)]
    return sheet.words["alt_differences"].format(entries=sheet.listing(said))


def _pair(row: Any, sheet: Sheet, most: float = math.inf) -> str:
    """A network, or two with a minus sign; of names wider than ``most`` the middle is left out."""
    entries = [row.model, *([row.other] if hasattr(row, "other") else [])]
    return " \N{MINUS SIGN} ".join(style.shortened(sheet.names[one], most) for one in entries)


def _draw_differences(
    axes: Axes, frame: pd.DataFrame, rows: Rows, sheet: Sheet, *, show: bool = True
) -> None:
    """Differences in points by row: as many rows as the frame has, or one for each entry."""
    centres = _name_rows(axes, rows, show=show)
    found = _each(frame) if "other" in frame else _in_order(frame, sheet)
    if len(rows) > len(found):
        places = list(sheet.names)
        centres = [centres[places.index(str(row.model))] for row in found]
    for centre, row in zip(centres, found, strict=True):
        look, value = sheet.looks[row.model], 100 * row.difference
        if math.isfinite(row.low + row.high):
            axes.plot([100 * row.low, 100 * row.high], [centre] * 2, color=look.colour, lw=1.1)
        axes.plot([value], [centre], look.marker, color=look.colour, ms=4.5, zorder=3)
    values = 100 * frame[["difference", "low", "high"]].to_numpy(dtype=np.float64).ravel()
    values = np.append(values[np.isfinite(values)], 0.0)
    pad = 0.08 * float(values.max() - values.min()) or 1.0
    axes.set_xlim(float(values.min()) - pad, float(values.max()) + pad)
    axes.axvline(0, color=GREY, lw=THIN, zorder=1)
    axes.grid(visible=True, axis="x")
    _ticks(axes, "x", *axes.get_xlim(), 6)


# ------------------------------------------------------------------------------- learning rates


@styled
def rate_sensitivity(
    trials: pd.DataFrame, winners: Mapping[str, float], stages: Mapping[str, str], sheet: Sheet
) -> Figure:
    """Validation accuracy against peak rate, on a logarithmic axis, one panel a network.

    Args:
        trials: stage, model, rate, val_acc, diverged.
        winners: entry → the chosen rate, which a ring marks.
        stages: printed titles, in order; the last one's line is solid.
    """
    drawn = sheet.known(trials)
    rates = sorted(set(trials["rate"].astype(float)))
    high = min(100.0, 112 * float(trials["val_acc"].max())) if len(trials) else 100.0
    lines = {stage: SOLID if stage == list(stages)[-1] else DASHED for stage in stages}
    grey = {"color": GREY, "marker": "o"}
    entries = [Entry(title, grey | lines[stage]) for stage, title in stages.items()]
    ring: dict[str, Any] = {"color": INK, "marker": "o", "ms": 8.0, "mfc": "none", "ls": "none"}
    entries += [Entry(sheet.words["chosen"], ring), *_lost(trials, sheet)]

    def draw(axes: Axes, place: int) -> tuple[str, str]:
        own = trials[trials["model"] == drawn[place]].sort_values("rate")
        look, winner = sheet.looks[drawn[place]], winners.get(drawn[place], math.nan)
        axes.set_xscale("log", base=2)
        axes.set(xlim=(rates[0] / 1.35, rates[-1] * 1.35), ylim=(0, high))
        axes.grid(visible=True, axis="y")
        for stage, line in lines.items():
            runs = own[own["stage"] == stage]
            x, y = runs["rate"].astype(float), 100 * runs["val_acc"].astype(float)
            axes.plot(x, y, color=look.colour, marker=look.marker, ms=3.6, **line)
            lost = runs["diverged"].astype(bool)
            axes.plot(x[lost], y[lost], color=INK, zorder=4, **CROSS)
        last = own[np.isclose(own["rate"].astype(float), winner)].tail(1)
        axes.plot(last["rate"], 100 * last["val_acc"], mew=0.9, zorder=5, **ring)
        style.nice_ticks(axes, "x", rates)
        _ticks(axes, "y", 0, high, 5)
        return sheet.words["peak_rate"], sheet.words["validation_accuracy"]

    trials = trials.sort_values("stage", key=lambda one: one.map(list(stages).index), kind="stable")
    titles = [style.wrapped(sheet.names[entry], 28.0) for entry in drawn]
    return _panels(titles, draw, entries, sheet, height=36.0)


def rate_sensitivity_alt(trials: pd.DataFrame, winners: Mapping[str, float], sheet: Sheet) -> str:
    """What :func:`rate_sensitivity` shows."""
    said = []
    for entry in sheet.known(trials):
        own = trials[trials["model"] == entry]
        own = own[np.isclose(own["rate"].astype(float), winners.get(entry, math.nan))]
        for row in _each(own.tail(1)):
            rate, accuracy = style.plain(row.rate), sheet.percent(row.val_acc)
            name = sheet.names[entry]
            said.append(sheet.words["alt_best"].format(name=name, rate=rate, accuracy=accuracy))
    text = sheet.words["alt_rates"].format(entries=sheet.listing(said))
    lost = _in_order(trials[trials["diverged"].astype(bool)], sheet)
    return text + _lost_alt((f"{sheet.names[r.model]} {style.plain(r.rate)}" for r in lost), sheet)


def _lost_alt(entries: Iterable[str], sheet: Sheet) -> str:
    found = list(entries)
    said = sheet.words["alt_diverged"].format(entries=sheet.listing(found))
    return f" {said}" if found else ""


# ------------------------------------------------------------------------------- learning curves

MEASURES = {
    "val_acc": "validation_accuracy",
    "val_loss": "validation_loss",
    "train_acc": "train_accuracy",
    "train_loss": "train_loss",
}


@styled
def learning_curves(
    epochs: pd.DataFrame,
    sheet: Sheet,
    *,
    against: Literal["minutes", "epoch"] = "minutes",
    measures: Sequence[str] = ("val_acc", "val_loss"),
) -> Figure:
    """Metrics against time or epochs; one arm at a time.

    The line is the mean over seeds, the band reaches from the smallest to the largest of them. A
    diverged run is in neither: it is drawn by itself, thin, to its last finite value, a cross.
    Beyond :data:`FEW` entries each has a panel, with all others in grey, for the first measure.

    Args:
        epochs: path, model, epoch (from 0), minutes (since the start), the measures, diverged.
        measures: columns, each with a panel.
    """
    drawn = sheet.known(epochs)
    many = len(drawn) > FEW
    unit_s, unit = (1.0, "epoch")
    x = epochs["epoch"].astype(float) + 1
    if against == "minutes":
        unit_s, unit = _time_unit(60 * float(epochs["minutes"].max()) if len(epochs) else 0.0)
        x = epochs["minutes"].astype(float) * 60 / unit_s
    curves, first = epochs.assign(x=x), 1.0 if against == "epoch" else 0.0
    end = float(x.max()) if len(x) else 1.0

    def draw(axes: Axes, place: int) -> tuple[str, str]:
        measure = measures[0 if many else place]
        for entry in drawn:
            own, look = curves[curves["model"] == entry], sheet.looks[entry]
            if many and entry != drawn[place]:
                look = Look(colour=style.RULE, marker="", dash="")
            _draw_curves(axes, own, measure, look)
        pad = 0.03 * (end - first) or 0.5
        axes.set_xlim(first - pad if first else 0, end + pad)
        axes.grid(visible=True, axis="y")
        label = sheet.words[MEASURES[measure]]
        finite = curves.loc[np.isfinite(curves[measure].astype(float)), measure].astype(float)
        values = (finite * _factor(measure)).tolist()  # of all panels, which share their axis
        if measure.endswith("acc"):
            _accuracy_axis(axes, "y", label, values, sheet)
        else:
            _loss_axis(axes, values)
            axes.set_ylabel(label)
        _ticks(axes, "x", first, end + (0 if first else pad), 6, integer=against == "epoch")
        return sheet.words[unit], axes.get_ylabel()

    titles = [style.wrapped(sheet.names[entry], 28.0) for entry in drawn]
    lost = _lost(epochs, sheet)
    if many:
        return _panels(titles, draw, lost, sheet, height=30.0)
    lines = [{"color": k.colour, "ls": k.dash, "marker": k.marker} for k in sheet.looks.values()]
    named = dict(zip(sheet.looks, lines, strict=True))
    entries = [Entry(sheet.names[entry], named[entry]) for entry in drawn]
    columns = 2 if sheet.width > 100 else 1
    return _panels([""] * len(measures), draw, entries + lost, sheet, height=48.0, columns=columns)


def learning_curves_alt(epochs: pd.DataFrame, sheet: Sheet) -> str:
    """What :func:`learning_curves` shows."""
    lost = epochs["diverged"].astype(bool)
    last = epochs[~lost].sort_values("epoch").groupby("path", sort=False).tail(1)
    ends = last["val_acc"].astype(float).groupby(last["model"].astype(str)).mean().dropna()
    said = [f"{sheet.names[e]} {sheet.percent(ends[e])}" for e in sheet.names if e in ends.index]
    text = sheet.words["alt_curves"].format(entries=sheet.listing(said))
    return text + _lost_alt((sheet.names[entry] for entry in sheet.known(epochs[lost])), sheet)


def _factor(measure: str) -> float:
    return 100.0 if measure.endswith("acc") else 1.0


def _draw_curves(axes: Axes, curves: pd.DataFrame, measure: str, look: Look) -> None:
    """Mean and band of one entry's runs, and its diverged ones; without a marker, a thin line."""
    factor = _factor(measure)
    finite = curves[np.isfinite(curves[measure].astype(float))]
    lost = finite["diverged"].astype(bool)
    if not lost.all():
        by_epoch = finite[~lost].groupby("epoch")
        x = by_epoch["x"].mean().to_numpy(dtype=np.float64)
        y = (by_epoch[measure].agg(["mean", "min", "max"]) * factor).to_numpy(dtype=np.float64)
        if not look.marker:  # the others, behind
            axes.plot(x, y[:, 0], color=look.colour, lw=THIN, zorder=1)
            return
        every = max(1, len(x) // 6) if len(x) > 12 else 1
        line: dict[str, Any] = {"marker": look.marker, "markevery": every, "ls": look.dash}
        axes.plot(x, y[:, 0], color=look.colour, **line)
        axes.fill_between(x, y[:, 1], y[:, 2], color=look.colour, alpha=0.16, lw=0)
    for _, run in finite[lost].groupby("path") if look.marker else ():
        pair = run["x"].to_numpy(np.float64), factor * run[measure].to_numpy(np.float64)
        axes.plot(*pair, color=look.colour, lw=THIN, ls=look.dash)
        axes.plot(pair[0][-1:], pair[1][-1:], color=look.colour, zorder=4, **CROSS)


# ------------------------------------------------------------------------------- confusions


@styled
def confusion(counts: Floats, classes: Sequence[str], sheet: Sheet) -> Figure:
    """What each class was predicted as, in images.

    The diagonal is grey; the shade of the others grows with their fraction of the class's images,
    so that confusions can be told apart.

    Args:
        counts: true class by row, predicted by column, (classes, classes); means over seeds.
        classes: their names.
    """
    count = len(classes)
    wrong = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * (1 - np.eye(count))
    labels = [style.shortened(name, 0.22 * sheet.width) for name in classes]
    label = max(map(text_width, labels))
    left = label + LINE_HEIGHT + 3
    cell = min(13.0, (sheet.width - left - 1) / count)
    turned = label > cell - 1  # names that are too wide stand upright
    head, tall = 2 * LINE_HEIGHT + 2 + (label - 2 if turned else 0), 5.0 * count
    figure = style.new_figure(left + cell * count + 1, head + tall + 1)
    axes = style.add_axes(figure, left, head, cell * count, tall)
    colours = style.SEQUENTIAL(wrong / (wrong.max() or 1.0))[..., :3]
    colours[np.eye(count, dtype=bool)] = to_rgb(style.GRID)
    axes.pcolormesh(colours, edgecolors="white", linewidth=0.8)
    for row, column in np.ndindex(counts.shape):
        colour, text = style.ink_on(colours[row, column]), f"{counts[row, column]:.0f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center_baseline", color=colour)
    middles = np.arange(count) + 0.5
    axes.set_xticks(middles, labels, rotation=90 if turned else 0)
    axes.set_yticks(middles, labels)
    axes.set_ylim(count, 0)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, pad=2)
    axes.spines[:].set_visible(False)
    middle = left + cell * count / 2
    style.write(figure, middle, 0.5, sheet.words["predicted"], ha="center", color=GREY)
    upright: dict[str, Any] = {"va": "center", "rotation": 90, "color": GREY}
    style.write(figure, 0.5, head + tall / 2, sheet.words["true"], **upright)
    return figure


def confusion_alt(counts: Floats, classes: Sequence[str], sheet: Sheet) -> str:
    """What :func:`confusion` shows."""
    said = [f"{name} {counts[i, i]:.0f}" for i, name in enumerate(classes)]
    return sheet.words["alt_confusion"].format(entries=sheet.listing(said))


# ------------------------------------------------------------------------------- calibration


@styled
def calibration(bins: pd.DataFrame, printed: Mapping[str, str], sheet: Sheet) -> Figure:
    """Accuracy against confidence before and after temperature scaling, one panel a network.

    Args:
        bins: model, state (``before``, ``after``), confidence, accuracy; a row a bin.
        printed: entry → a line below its name, such as its calibration errors.
    """
    drawn = sheet.known(bins)
    lines = {"before": DASHED, "after": SOLID}
    grey = {"color": GREY, "marker": "o", "ms": 3.0}
    there = [state for state in lines if (bins["state"] == state).any()]
    entries = [Entry(sheet.words[state], grey | lines[state]) for state in there]

    def draw(axes: Axes, place: int) -> tuple[str, str]:
        look = sheet.looks[drawn[place]]
        axes.plot([0, 100], [0, 100], color=style.RULE, lw=THIN)
        for state in there:
            own = bins[(bins["model"] == drawn[place]) & (bins["state"] == state)]
            pair = 100 * own[["confidence", "accuracy"]].to_numpy(dtype=np.float64)
            axes.plot(*pair.T, color=look.colour, marker=look.marker, ms=3, **lines[state])
        axes.set(xlim=(-2, 102), ylim=(-2, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))
        return sheet.words["confidence"], sheet.words["accuracy"]

    titles = [style.wrapped(sheet.names[e], 28.0) + f"\n{printed.get(e, '')}" for e in drawn]
    return _panels([title.rstrip() for title in titles], draw, entries, sheet, height=None)


def calibration_alt(printed: Mapping[str, str], sheet: Sheet) -> str:
    """What :func:`calibration` shows: the lines as printed."""
    said = [f"{name} ({printed[e]})" for e, name in sheet.names.items() if e in printed]
    return sheet.words["alt_calibration"].format(entries=sheet.listing(said))


# ------------------------------------------------------------------------------- time

SECTIONS = {
    "data": ("#ffffff", "//////"),
    "forward": ("#d3dce6", ""),
    "backward": ("#7d9bb8", ""),
    "optimizer": ("#27425f", ""),
    "other": ("#ffffff", ""),
}
"""Of a step, with their fill and hatch, which grey print keeps apart."""


@styled
def step_time(sections: pd.DataFrame, sheet: Sheet) -> Figure:
    """Where the time of a training step goes: a bar a network, its sections one after the other.

    Args:
        sections: model, section (:data:`SECTIONS`), seconds.
    """
    drawn = sheet.known(sections)
    names = [sheet.names[entry] for entry in drawn]
    rows = _row_labels(names, LABEL_WIDTH, style.MAX_HEIGHT - 25, pad=2.4)
    left = max((text_width(label) for label, _ in rows), default=0.0) + 3
    tall = sum(step for _, step in rows) or LINE_HEIGHT
    known = [section for section in SECTIONS if (sections["section"] == section).any()]
    entries = [Entry(sheet.words[section], _bar_sample(section)) for section in known]
    top = 2 + style.legend_height(entries, sheet.width - 2)
    figure = style.new_figure(sheet.width, top + tall + BELOW + 1)
    style.legend(figure, entries, 1, 1, sheet.width - 2)
    axes = style.add_axes(figure, left, top, sheet.width - left - 4, tall)
    centres = _name_rows(axes, rows, show=True)
    seconds = sections.set_index([sections["model"].astype(str), "section"])["seconds"]
    ends = np.zeros(len(drawn))
    for section in known:
        values = np.array([1000 * float(seconds.get((entry, section), 0.0)) for entry in drawn])
        axes.barh(centres, values, height=3.4, left=ends, **_bar(section))
        ends += values
    end = 1.04 * float(ends.max(initial=0.0)) or 1.0
    axes.set_xlim(0, end)
    _ticks(axes, "x", 0, end, 8)
    axes.set_xlabel(sheet.words["step_time"])
    return figure


def step_time_alt(sections: pd.DataFrame, sheet: Sheet) -> str:
    """What :func:`step_time` shows."""
    said = []
    for entry in sheet.known(sections):
        own = sections[sections["model"] == entry].set_index("section")["seconds"]
        parts = [f"{sheet.words[s]} {1000 * own[s]:.0f}" for s in SECTIONS if s in own.index]
        said.append(f"{sheet.names[entry]} ({sheet.listing(parts)})")
    return sheet.words["alt_steps"].format(entries=sheet.listing(said))


def _bar(section: str) -> dict[str, Any]:
    fill, hatch = SECTIONS[section]
    return {"color": fill, "hatch": hatch, "edgecolor": INK, "linewidth": THIN}


def _bar_sample(section: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        axes.barh([0], [0.9], height=1.4, **_bar(section))

    return draw


# ------------------------------------------------------------------------------- parts


def _panels(
    titles: Sequence[str],
    draw: Callable[[Axes, int], tuple[str, str]],
    entries: Sequence[Entry],
    sheet: Sheet,
    *,
    height: float | None,
    columns: int | None = None,
) -> Figure:
    """Panels in rows below a legend.

    Args:
        draw: draws a panel by its place and returns the labels of its axes, of which those of the
            lowest and the first are shown; all vertical ones where ``columns`` is given.
        height: of a panel; None for squares.
        columns: in a row; by default four on a full page, two in a column.
    """
    alike, left = columns is None, 12.0
    columns = columns or max(1, min(len(titles), 4 if sheet.width > 100 else 2))
    rows, gap = max(1, math.ceil(len(titles) / columns)), 4.0 if alike else 13.0
    panel = (sheet.width - left - 2 - gap * (columns - 1)) / columns
    panel = min(panel, 60.0) if alike else panel
    tall = min(height or min(panel, 34.0), (style.MAX_HEIGHT - 20) / rows - 12)
    panel = panel if height else tall
    width = min(sheet.width, left + 2 + columns * (panel + gap) - gap)
    top = 2 + style.legend_height(entries, width - 2)
    head = 1.5 + max((style.height_of(title) for title in titles if title), default=0.0)
    step = head + tall + (6.5 if rows > 1 else 0.0)
    figure = style.new_figure(width, top + rows * step + (BELOW if rows == 1 else 4.5))
    style.legend(figure, entries, 1, 1, width - 2)
    for place, title in enumerate(titles):
        row, column = divmod(place, columns)
        x, y = left + column * (panel + gap), top + row * step
        axes = style.add_axes(figure, x, y + head, panel, tall)
        style.write(figure, x, y + 0.5, title)
        labels = draw(axes, place)
        first = column == 0 or not alike
        axes.set_xlabel(labels[0] if place + columns >= len(titles) else "")
        axes.set_ylabel(labels[1] if first else "")
        axes.tick_params(labelleft=first)
    return figure


def _row_labels(labels: Sequence[str], width: float, room: float, pad: float = 1.6) -> Rows:
    """Labels of rows with the rows' heights: wrapped, or on one line where room is short."""
    rows = [(text, style.height_of(text) + pad)
            for text in (style.wrapped(label, width) for label in labels)]  # fmt: skip
    if sum(step for _, step in rows) > room:
        step = min(LINE_HEIGHT + pad, max(2.9, room / len(rows)))
        rows = [(style.shortened(label, width), step) for label in labels]
    return rows


def _name_rows(axes: Axes, rows: Rows, *, show: bool) -> list[float]:
    """Names the rows from the top, a unit being a millimetre, and returns their middles."""
    ends = np.cumsum([step for _, step in rows])
    middles = [float(end) - step / 2 for end, (_, step) in zip(ends, rows, strict=True)]
    axes.set_ylim(float(ends[-1]) if len(ends) else 1.0, 0)
    axes.set_yticks(middles, [text if show else "" for text, _ in rows])
    axes.tick_params(axis="y", length=0)
    return middles


def _accuracy_axis(
    axes: Axes, which: Literal["x", "y"], label: str, values: Iterable[float], sheet: Sheet
) -> None:
    """Percent, within 0 and 100; the label says where the axis does not start at zero."""
    found = list(values) or [0.0, 100.0]
    pad = 0.06 * (max(found) - min(found)) or 1.0
    low, high = max(0.0, min(found) - pad), min(100.0, max(found) + pad)
    low = low if low > 0.25 * high else 0.0
    axes.set(**{f"{which}lim": (low, high)})
    axes.grid(visible=True, axis=which)
    _ticks(axes, which, low, high, 6)
    label = sheet.words["cut"].format(label=label) if low > 0 and label else label
    axes.set(**{f"{which}label": label})


def _loss_axis(axes: Axes, values: Sequence[float]) -> None:
    """From zero; logarithmic where a diverging loss would flatten all others."""
    high = max(values, default=1.0)
    low = min((value for value in values if value > 0), default=1.0)
    if high > 20 * low:
        axes.set(yscale="log", ylim=(low / 1.3, high * 1.3))
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        style.nice_ticks(axes, "y", [10.0**power for power in powers])
    else:
        axes.set_ylim(0, 1.06 * high or 1.0)
        _ticks(axes, "y", 0, 1.06 * high, 6)


def _ticks(
    axes: Axes, which: Literal["x", "y"], low: float, high: float, most: int, **more: Any
) -> None:
    """Round ticks within these limits."""
    found = MaxNLocator(most, steps=[1, 2, 5, 10], **more).tick_values(low, high)
    within = [float(tick) for tick in found if low <= tick <= high]
    style.nice_ticks(axes, which, within or [low])


def _time_unit(longest_s: float) -> tuple[float, str]:
    """Seconds in the unit of an axis, and the key of its label."""
    if longest_s >= 5 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest_s >= 120 else (1.0, "seconds")


def _each(frame: pd.DataFrame) -> list[Any]:
    """Rows as tuples with names."""
    return list(frame.itertuples())


def _in_order(frame: pd.DataFrame, sheet: Sheet) -> list[Any]:
    """Rows of known entries, in the study's order."""
    rows = [row for row in _each(frame) if row.model in sheet.names]
    return sorted(rows, key=lambda row: list(sheet.names).index(row.model))
