"""The figures of results: plain frames in, a matplotlib figure out.

Every function takes a :class:`Sheet`: printed names of all entries of the study in its order (an
entry is a network, or a network with its variant: ``resnet18-rate0.05``) and the words of the
edition. Accuracies and differences are fractions; times are seconds or minutes, as the column says.
Nothing is computed here but the means of learning curves. Each figure has a companion ``…_alt``,
which describes it for readers who cannot see it.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from cnnpaper.figures import style
from cnnpaper.figures.style import GREY, INK, THIN, Look, finish, settings

FEW = 8  # so many lines can be told apart in one panel
PANELS = 40  # so many have room on a page
NAME = 20  # characters of a name on one line, beside or above a panel
LEADING = 1.4  # of an axis label in two lines; Hangul is taller than Latin letters
CROSS: dict[str, Any] = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1.1, "ls": "none"}
DASHED: dict[str, Any] = {"ls": (0, (3, 2)), "lw": 0.8, "mfc": "white"}
SOLID: dict[str, Any] = {"ls": "-", "lw": 1.1}
RING: dict[str, Any] = {"color": INK, "marker": "o", "ms": 8.0, "mfc": "none", "ls": "none"}


@dataclass(frozen=True)
class Sheet:
    """What all figures of an edition share."""

    names: Mapping[str, str]  # entry of the study → printed name, all of them in order
    words: style.Words

    @cached_property
    def looks(self) -> dict[str, Look]:
        return style.looks(list(self.names))

    def known(self, frame: pd.DataFrame) -> list[str]:
        """Entries that the frame has rows of, in the study's order."""
        there = set(frame["model"])
        return [entry for entry in self.names if entry in there]

    def rows(self, frame: pd.DataFrame) -> list[Any]:
        """Rows of the frame in the study's order."""
        order = list(self.names)
        return sorted(frame.itertuples(), key=lambda row: order.index(str(row.model)))

    def listing(self, items: Iterable[str]) -> str:
        """Items of an alternative text in a row; a dash where there is none."""
        return self.words["comma"].join(items) or "–"

    def percent(self, value: float) -> str:
        return self.words["percent"].format(value=style.plain(100 * value, ".1f"))

    def interval(self, row: Any) -> str:
        """A difference in points with its interval."""
        points = {"value": row.difference, "low": row.low, "high": row.high}
        texts = {name: style.plain(100 * value, ".1f") for name, value in points.items()}
        return self.words["interval"].format(**texts)

    def lost(self, entries: Iterable[str]) -> str:
        """What an alternative text says of diverged runs, where there are any."""
        listed = self.words["comma"].join(entries)
        return " " + self.words["alt_diverged"].format(entries=listed) if listed else ""


# ------------------------------------------------------------------------------- accuracy


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """What :func:`accuracy_at_equal_time` shows."""

    seeds: pd.DataFrame  # a row a run: arm, model, test_acc, diverged
    means: pd.DataFrame
    """A row an arm and entry: arm, model, minutes, mean, low, high (NaN for one seed)."""
    arms: Mapping[str, str]  # printed titles, in order
    equal_time: Collection[str]
    """Arms whose networks had the same time; the others' markers are hollow."""
    contrasts: pd.DataFrame | None = None
    """model, difference, low, high: fractions, simultaneous intervals."""
    baseline: str = ""  # printed name of the network that is subtracted
    tested: str = ""  # printed title of the arm of the contrasts

    def of(self, arms: Collection[str]) -> pd.DataFrame:
        """The means of some arms."""
        return self.means[self.means["arm"].isin(list(arms))]

    def limits(self, arms: Collection[str]) -> tuple[float, float]:
        """Of an axis in percent that holds all seeds and intervals of some arms."""
        seeds, means = self.seeds[self.seeds["arm"].isin(list(arms))], self.of(arms)
        columns = [seeds["test_acc"], *(means[c] for c in ("mean", "low", "high"))]
        values = 100 * pd.concat(columns).astype(float).dropna()
        pad = 0.06 * float(values.max() - values.min()) or 1.0
        return max(0.0, float(values.min()) - pad), float(values.max()) + pad


@settings()
def accuracy_at_equal_time(shown: Accuracies, sheet: Sheet) -> Figure:
    """Test accuracy at equal time, then that of other arms against the time that each network took,
    then the differences from the baseline; each panel has a scale of its own.

    Beyond :data:`FEW` entries, or where a time is unknown, each arm is a panel of its own with one
    row an entry.
    """
    timed = bool(np.isfinite(shown.means["minutes"].astype(float)).all())
    equal = [arm for arm in shown.arms if arm in shown.equal_time and len(shown.of([arm]))]
    if len(sheet.names) > FEW or not timed or not equal:
        return _accuracy_rows(shown, sheet)
    own = [arm for arm in shown.arms if arm not in shown.equal_time and len(shown.of([arm]))]
    figure = style.new_figure(style.TEXT_WIDTH, 56)
    count = 1 + bool(own) + (shown.contrasts is not None)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    _draw_budgets(panels[0], equal, shown, sheet)
    if own:
        _draw_minutes(panels[1], own, shown, sheet)
    if shown.contrasts is not None:
        compared = sheet.known(shown.contrasts)
        _draw_differences(panels[-1], shown.contrasts, compared, sheet)
        _name_rows(panels[-1], compared, sheet)
        text = sheet.words["difference_from"].format(name=shown.baseline)
        few = len(text) <= 56  # on two lines; longer ones need the room of the names beside
        panels[-1].set_xlabel(
            textwrap.fill(text, 28 if few else 40), loc="center" if few else "right"
        )
        panels[-1].set_title(textwrap.fill(shown.tested, NAME))
    handles = [_sample(name, sheet.looks[entry], ls="none") for entry, name in sheet.names.items()]
    handles += _signs(sheet)
    if len(equal) > 1:
        handles.append(_grey(sheet.words["separately"], **DASHED))
    return finish(figure, handles + _lost(shown.seeds, sheet))


def accuracy_at_equal_time_alt(shown: Accuracies, sheet: Sheet) -> str:
    """What :func:`accuracy_at_equal_time` shows."""
    words, said = sheet.words, []
    for arm, title in shown.arms.items():
        means = sheet.rows(shown.means[shown.means["arm"] == arm])
        values = [f"{sheet.names[row.model]} {sheet.percent(row.mean)}" for row in means]
        said += [words["alt_arm"].format(arm=title, means=sheet.listing(values))] if values else []
    text = words["alt_accuracy"].format(arms=" ".join(said)).strip()
    if shown.contrasts is None:
        return text
    rows = sheet.rows(shown.contrasts)
    entries = sheet.listing(f"{sheet.names[row.model]} {sheet.interval(row)}" for row in rows)
    return f"{text} {words['alt_contrasts'].format(name=shown.baseline, entries=entries)}"


def _draw_budgets(axes: Axes, arms: Sequence[str], shown: Accuracies, sheet: Sheet) -> None:
    """The arms of equal time in turn, in each the networks side by side; dashed lines join a
    network's means."""
    step = min(0.2, 0.8 / len(sheet.names))
    means = shown.of(arms)
    for place, (entry, look) in enumerate(sheet.looks.items()):
        own = sheet.rows(means[means["model"] == entry])
        at = [arms.index(row.arm) + step * (place - (len(sheet.names) - 1) / 2) for row in own]
        for x, row in zip(at, own, strict=True):
            _draw_mean(axes, x, row, shown, look, aside=-0.3 * step)
        pairs = sorted(zip(at, (100 * row.mean for row in own), strict=True))
        axes.plot(*zip(*pairs, strict=True), color=look.colour, zorder=1.5, **DASHED)
    minutes = {arm: float(means.loc[means["arm"] == arm, "minutes"].mean()) for arm in arms}
    titles = [
        sheet.words["budget"].format(
            arm=textwrap.fill(shown.arms[arm], NAME), minutes=style.plain(minutes[arm], ".1f")
        )
        for arm in arms
    ]
    axes.set(xlim=(-0.5, len(arms) - 0.5), ylim=shown.limits(arms))
    axes.set_xticks(range(len(arms)), titles)
    axes.tick_params(axis="x", length=0)
    axes.set_title(sheet.words["equal_time"])
    _accuracy_axis(axes, sheet)


def _draw_minutes(axes: Axes, arms: Sequence[str], shown: Accuracies, sheet: Sheet) -> None:
    """Accuracy against time, every network at its own."""
    means = shown.of(arms)
    end = 1.08 * float(means["minutes"].max())
    axes.set(xlim=(0, end), ylim=shown.limits(arms))
    for row in sheet.rows(means):
        _draw_mean(axes, row.minutes, row, shown, sheet.looks[row.model], aside=-0.025 * end)
    axes.set_xlabel(sheet.words["minutes"])
    axes.set_title(textwrap.fill(sheet.words["comma"].join(shown.arms[arm] for arm in arms), 40))
    _accuracy_axis(axes, sheet)


def _accuracy_axis(axes: Axes, sheet: Sheet) -> None:
    axes.set_ylabel(_percent_axis(axes, "y", "test_accuracy", sheet), linespacing=LEADING)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(visible=True, axis="y")


def _draw_mean(
    axes: Axes, at: float, row: Any, shown: Accuracies, look: Look, *,
    aside: float, flat: bool = False,
) -> None:  # fmt: skip
    """Seeds as small points, ``aside`` of their mean with its interval; ``flat``: along x."""

    def plot(values: Iterable[float], at: Any, **more: Any) -> None:
        y = [100 * value for value in values]
        x = np.broadcast_to(at, len(y))
        axes.plot(*((y, x) if flat else (x, y)), **{"color": look.colour, "ls": "none"} | more)

    runs = shown.seeds[(shown.seeds["arm"] == row.arm) & (shown.seeds["model"] == row.model)]
    lost = runs["diverged"].astype(bool)
    places = at + aside * (0.8 + 0.8 * np.linspace(0, 1, int((~lost).sum())))  # each can be seen
    plot(runs.loc[~lost, "test_acc"], places, marker=look.marker, ms=2.0, mew=0.4, alpha=0.7)
    plot(runs.loc[lost, "test_acc"], at + aside, zorder=4, **CROSS)
    if math.isfinite(row.low + row.high):
        plot([row.low, row.high], at, ls="-", lw=0.9)
    plot([row.mean], at, marker=look.marker, ms=4.5, zorder=3)


def _accuracy_rows(shown: Accuracies, sheet: Sheet) -> Figure:
    """One row an entry, one panel an arm, at last the differences."""
    entries = list(sheet.names)
    arms = [arm for arm in shown.arms if (shown.means["arm"] == arm).any()]
    titles = [shown.arms[arm] for arm in arms]
    if shown.contrasts is not None:
        titles.append(sheet.words["difference_from"].format(name=shown.baseline))
    figure, panels = _panels(titles, _row_height(sheet) * len(entries) + 8, sharex=False)
    for arm, axes in zip(arms, panels, strict=False):
        for row in sheet.rows(shown.means[shown.means["arm"] == arm]):
            look = sheet.looks[row.model]
            _draw_mean(axes, entries.index(row.model), row, shown, look, aside=-0.22, flat=True)
        if axes is not panels[0]:
            axes.sharex(panels[0])
    panels[0].set_xlim(shown.limits(arms))
    panels[0].set_xlabel(_percent_axis(panels[0], "x", "test_accuracy", sheet))
    for axes in panels[: len(arms)]:
        axes.grid(visible=True, axis="x")
    _name_rows(panels[0], entries, sheet)
    if shown.contrasts is not None:
        _draw_differences(panels[-1], shown.contrasts, entries, sheet)
    return finish(figure, [*_signs(sheet), *_lost(shown.seeds, sheet)])


def _draw_differences(
    axes: Axes, frame: pd.DataFrame, entries: Sequence[str], sheet: Sheet
) -> None:
    """Differences in points with their intervals, one row an entry."""
    for row in sheet.rows(frame):
        look, at = sheet.looks[row.model], entries.index(row.model)
        axes.plot([100 * row.low, 100 * row.high], [at, at], color=look.colour, lw=1.1)
        axes.plot([100 * row.difference], [at], look.marker, color=look.colour, ms=4.5, zorder=3)
    axes.axvline(0, color=GREY, lw=THIN, zorder=1)
    axes.grid(visible=True, axis="x")


# ------------------------------------------------------------------------------- learning rates


@settings()
def rate_sensitivity(
    trials: pd.DataFrame, winners: Mapping[str, float], stages: Mapping[str, str], sheet: Sheet
) -> Figure:
    """Validation accuracy against peak rate, on a logarithmic axis, one panel a network.

    Args:
        trials: stage, model, rate, val_acc, diverged.
        winners: entry → the chosen rate, which a ring marks.
        stages: printed titles, in order; the last one's line is solid.
    """
    trials = trials.astype({"rate": float, "val_acc": float, "diverged": bool})
    rates = sorted(set(trials["rate"]))
    lines = {stage: SOLID if stage == list(stages)[-1] else DASHED for stage in stages}
    drawn = sheet.known(trials)
    figure, panels = _panels([sheet.names[entry] for entry in drawn], 38)
    for entry, axes in zip(drawn, panels, strict=True):
        look, best = sheet.looks[entry], _chosen(trials, winners, entry)
        mark: dict[str, Any] = {"color": look.colour, "marker": look.marker, "ms": 3.6}
        for stage, line in lines.items():
            own = trials[(trials["model"] == entry) & (trials["stage"] == stage)]
            own = own.sort_values("rate")
            axes.plot(own["rate"], 100 * own["val_acc"], **mark, **line)
            lost = own[own["diverged"]]
            axes.plot(lost["rate"], 100 * lost["val_acc"], color=INK, zorder=4, **CROSS)
        if len(best):
            axes.plot(best["rate"], 100 * best["val_acc"], mew=0.9, zorder=5, clip_on=False, **RING)
        axes.grid(visible=True, axis="y")
    panels[0].set_xscale("log")
    panels[0].set(xlim=(rates[0] / 1.35, rates[-1] * 1.35))
    panels[0].yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    every = math.ceil((len(rates) - 1) / 3)  # three labels have room
    for axes in panels:
        axes.xaxis.set_major_locator(FixedLocator(rates[::-every][:3]))
        axes.xaxis.set_major_formatter(lambda value, _: style.plain(value))
        axes.xaxis.set_minor_locator(NullLocator())
    figure.supxlabel(sheet.words["peak_rate"])
    figure.supylabel(_percent_axis(panels[0], "y", "accuracy", sheet), linespacing=LEADING)
    handles = [_grey(title, marker="o", **lines[stage]) for stage, title in stages.items()]
    if winners:
        handles.append(Line2D([], [], label=sheet.words["chosen"], **RING))
    return finish(figure, handles + _lost(trials, sheet))


def rate_sensitivity_alt(trials: pd.DataFrame, winners: Mapping[str, float], sheet: Sheet) -> str:
    """What :func:`rate_sensitivity` shows."""
    said = [
        sheet.words["alt_best"].format(
            name=sheet.names[entry], rate=style.plain(row.rate),
            accuracy=sheet.percent(row.val_acc),
        )
        for entry in sheet.known(trials)
        for row in sheet.rows(_chosen(trials, winners, entry))
    ]  # fmt: skip
    text = sheet.words["alt_rates"].format(entries=sheet.listing(said))
    lost = sheet.rows(trials[trials["diverged"].astype(bool)])
    return text + sheet.lost(f"{sheet.names[r.model]} {style.plain(r.rate)}" for r in lost)


def _chosen(trials: pd.DataFrame, winners: Mapping[str, float], entry: str) -> pd.DataFrame:
    """The last trial of the rate that was chosen; no row where none was."""
    is_best = np.isclose(trials["rate"].astype(float), winners.get(entry, math.nan))
    return trials[is_best & (trials["model"] == entry)].tail(1)


# ------------------------------------------------------------------------------- learning curves


@settings()
def learning_curves(epochs: pd.DataFrame, sheet: Sheet) -> Figure:
    """Validation accuracy and loss after each epoch, of one arm.

    The line is the mean over seeds, the band reaches from the smallest to the largest of them. A
    diverged run is in neither: it is drawn by itself, thin, to its last finite value, a cross.
    Beyond :data:`FEW` entries each has a panel of its accuracy, with all others in grey; beyond
    :data:`PANELS` each network has one, with a thin line for each of its variants.

    Args:
        epochs: path, model, epoch (from 0), at (its end in epochs, the last may be partial),
            val_acc, val_loss, diverged.
    """
    drawn = sheet.known(epochs)
    many = len(drawn) > FEW
    handles = _lost(epochs, sheet)
    panel_of = {e: e.partition("-")[0] if len(drawn) > PANELS else e for e in drawn}
    shown = list(dict.fromkeys(panel_of.values()))
    thin = len(shown) < len(drawn)
    if many:
        names = [[sheet.names[e] for e in drawn if panel_of[e] == panel] for panel in shown]
        titles = [_shared(each) or panel for each, panel in zip(names, shown, strict=True)]
        figure, panels = _panels(titles, 32)
    else:
        figure = style.new_figure(style.TEXT_WIDTH, 48)
        panels = list(figure.subplots(1, 2))
        handles = [_sample(sheet.names[entry], sheet.looks[entry]) for entry in drawn] + handles
    for place, axes in enumerate(panels):
        measure = "val_loss" if place and not many else "val_acc"
        for entry in drawn:
            look = None if many and panel_of[entry] != shown[place] else sheet.looks[entry]
            _draw_curves(axes, epochs[epochs["model"] == entry], measure, look, thin=thin)
        axes.grid(visible=True, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    label = _percent_axis(panels[0], "y", "validation_accuracy", sheet)
    if many:
        figure.supylabel(label.replace("\n", " "))  # there is room along, none across
    else:
        panels[0].set_ylabel(label, linespacing=LEADING)
        fit = epochs.loc[~epochs["diverged"].astype(bool), "val_loss"].astype(float)
        panels[1].set_ylim(0, 1.05 * float(fit.max()) if len(fit) else None)
        panels[1].set_ylabel(sheet.words["validation_loss"])
    figure.supxlabel(sheet.words["epoch"])
    return finish(figure, handles)


def learning_curves_alt(epochs: pd.DataFrame, sheet: Sheet) -> str:
    """What :func:`learning_curves` shows."""
    lost = epochs["diverged"].astype(bool)
    last = epochs[~lost].sort_values("epoch").groupby("path", sort=False).tail(1)
    ends = last["val_acc"].astype(float).groupby(last["model"].astype(str)).mean().dropna()
    said = [f"{sheet.names[e]} {sheet.percent(ends[e])}" for e in sheet.names if e in ends.index]
    text = sheet.words["alt_curves"].format(entries=sheet.listing(said))
    return text + sheet.lost(sheet.names[entry] for entry in sheet.known(epochs[lost]))


def _shared(names: Sequence[str]) -> str:
    """The words with which all begin: ``ResNet-18`` of ``ResNet-18 a`` and ``ResNet-18 b``."""
    words = zip(*(name.split() for name in names), strict=False)
    shared = itertools.takewhile(lambda each: len(set(each)) == 1, words)
    return " ".join(each[0] for each in shared)


def _draw_curves(
    axes: Axes, runs: pd.DataFrame, measure: str, look: Look | None, *, thin: bool = False
) -> None:
    """Mean and band of one entry's runs, and its diverged ones; without a look, a grey line."""
    factor = 100.0 if measure == "val_acc" else 1.0
    finite = runs[np.isfinite(runs[measure].astype(float))]
    finite = finite.assign(x=finite["at"], y=factor * finite[measure].astype(float))
    lost = finite["diverged"].astype(bool)
    band = finite[~lost].groupby("x")["y"].agg(["mean", "min", "max"])
    if look is None:
        axes.plot(band.index, band["mean"], color=style.RULE, lw=THIN, zorder=1)
        return
    every = max(1, len(band) // 8)
    marked = range((len(band) - 1) % every, len(band), every)  # the last always
    line: dict[str, Any] = {"color": look.colour, "marker": look.marker, "ls": look.dash}
    if thin:
        line |= {"marker": "", "ls": "-", "lw": THIN}
    axes.plot(band.index, band["mean"], markevery=list(marked), **line)
    axes.fill_between(band.index, band["min"], band["max"], color=look.colour, alpha=0.16, lw=0)
    for _, run in finite[lost].groupby("path"):
        axes.plot(run["x"], run["y"], color=look.colour, lw=THIN, ls=look.dash)
        axes.plot(run["x"].iloc[-1:], run["y"].iloc[-1:], color=look.colour, zorder=4, **CROSS)


# ------------------------------------------------------------------------------- time

SECTIONS = {
    "data": ("#ffffff", "//////"),
    "forward": ("#d3dce6", ""),
    "backward": ("#7d9bb8", ""),
    "optimizer": ("#27425f", ""),
    "other": ("#ffffff", ""),
}
"""Of a step, with their fill and hatch, which grey print keeps apart."""


@settings()
def step_time(sections: pd.DataFrame, sheet: Sheet) -> Figure:
    """Where the time of a training step goes: a bar a network, its sections one after the other.

    Args:
        sections: model, section (:data:`SECTIONS`), seconds.
    """
    drawn = sheet.known(sections)
    figure = style.new_figure(style.TEXT_WIDTH, 10 + _row_height(sheet) * len(drawn))
    axes = figure.subplots()
    seconds = sections.pivot(index="model", columns="section", values="seconds")
    table = 1000 * seconds.reindex(index=drawn, columns=list(SECTIONS)).fillna(0.0)
    starts = table.cumsum(axis=1).shift(1, axis=1, fill_value=0.0)
    handles = []
    for section, (fill, hatch) in SECTIONS.items():
        values = table[section]
        if (values > 0.005 * table.sum(axis=1)).any():  # else it cannot be seen
            bar: dict[str, Any] = {"facecolor": fill, "hatch": hatch, "edgecolor": INK, "lw": THIN}
            axes.barh(range(len(drawn)), values, height=0.65, left=starts[section], **bar)
            handles.append(Patch(label=sheet.words[section], **bar))
    _name_rows(axes, drawn, sheet)
    axes.set_xlabel(sheet.words["step_time"])
    return finish(figure, handles)


def step_time_alt(sections: pd.DataFrame, sheet: Sheet) -> str:
    """What :func:`step_time` shows."""
    said = []
    for entry in sheet.known(sections):
        own = sections[sections["model"] == entry].set_index("section")["seconds"]
        parts = [f"{sheet.words[s]} {1000 * own[s]:.0f}" for s in SECTIONS if s in own.index]
        said.append(f"{sheet.names[entry]} ({sheet.listing(parts)})")
    return sheet.words["alt_steps"].format(entries=sheet.listing(said))


# ------------------------------------------------------------------------------- parts


def _panels(titles: Sequence[str], height: float, *, sharex: bool = True) -> tuple[Figure, Any]:
    """Panels with titles, at most four in a row, with axes of one scale."""
    columns = min(len(titles), 4)
    rows = math.ceil(len(titles) / columns)
    titles = [textwrap.fill(title, NAME) for title in titles]
    height += style.LINE_HEIGHT * max(title.count("\n") for title in titles)
    height = min(rows * height, style.MAX_HEIGHT - 35)
    figure = style.new_figure(min(style.TEXT_WIDTH, 20 + 60 * columns), height + 10)
    grid = figure.subplots(rows, columns, sharex=sharex, sharey=True, squeeze=False).ravel()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    for axes in grid[len(titles) :]:
        axes.remove()
    panels = list(grid[: len(titles)])
    for axes in panels[-columns:]:
        axes.tick_params(labelbottom=True)
    return figure, panels


def _row_height(sheet: Sheet) -> float:
    """Of rows with the names beside them."""
    lines = max(len(textwrap.wrap(name, NAME)) for name in sheet.names.values())
    return min(2.6 + style.LINE_HEIGHT * lines, (style.MAX_HEIGHT - 35) / len(sheet.names))


def _name_rows(axes: Axes, entries: Sequence[str], sheet: Sheet) -> None:
    """Names the rows, from the top."""
    names = [textwrap.fill(sheet.names[entry], NAME) for entry in entries]
    axes.set_yticks(range(len(entries)), names)
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _percent_axis(axes: Axes, which: Literal["x", "y"], key: str, sheet: Sheet) -> str:
    """Keeps the axis within 0 and 100, and returns its label, which says where zero is cut off."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    low = low if low > 0.25 * high else 0.0
    axes.set(**{f"{which}lim": (low, min(100.0, high))})
    label = sheet.words[key]
    return sheet.words["cut"].format(label=label) if low else label


def _sample(name: str, look: Look, **more: Any) -> Line2D:
    """A network's entry of a legend."""
    line = {"color": look.colour, "marker": look.marker, "ls": look.dash}
    return Line2D([], [], label=textwrap.fill(name, 40), **line | more)


def _grey(text: str, **line: Any) -> Line2D:
    """An entry of a legend that is about no network in particular."""
    return Line2D([], [], label=text, color=GREY, **line)


def _signs(sheet: Sheet) -> list[Line2D]:
    """Entries of a legend for seeds and means."""
    mean = _grey(sheet.words["mean"], marker="o", lw=0.9)
    return [_grey(sheet.words["seed"], marker="o", ls="none", ms=2.0), mean]


def _lost(frame: pd.DataFrame, sheet: Sheet) -> list[Line2D]:
    """The legend's entry for diverged runs, where there are any."""
    return [_grey(sheet.words["diverged"], **CROSS)] if frame["diverged"].astype(bool).any() else []
