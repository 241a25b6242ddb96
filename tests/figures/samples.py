"""Small frames of the shapes that the figures take, made by hand or from a seeded generator."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, TransformedBbox

from cnnpaper.figures.style import MAX_HEIGHT, TEXT_WIDTH, Look, settings
from cnnpaper.log import Network
from tests import fabricate

FOUR = {"alexnet": "AlexNet", "vgg16": "VGG-16", "googlenet": "GoogLeNet", "resnet18": "ResNet-18"}
ARMS = {"short": "Equal time: short", "equal": "Equal epochs", "long": "Equal time: long"}
EQUAL = ("short", "long")
STAGES = {"stage1": "first stage", "stage2": "second stage"}
MINUTES = {"short": 15.6, "long": 46.8}
LEVELS = {"short": 0.70, "equal": 0.68, "long": 0.80}


def networks(count: int, *, long: bool = False) -> dict[str, str]:
    """Entries with their names; ``long``: of 60 characters, among them signs that need care."""
    if count <= 4 and not long:
        return dict(list(FOUR.items())[:count])
    name = "{:d} Some_Network <with> a $long$ name, é, {{x}} & no mercy {:d}"
    return {f"net{i}": (name * 2).format(i, i, i, i)[:60] if long else f"Network {i}"
            for i in range(count)}  # fmt: skip


def accuracy(
    names: dict[str, str], seeds: int = 5, *, diverged: Sequence[tuple[str, str, int]] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Runs, means and contrasts of three arms."""
    random = np.random.default_rng(0)
    runs, means, contrasts = [], [], []
    for arm, (place, model) in itertools.product(ARMS, enumerate(names)):
        values = LEVELS[arm] + 0.1 * (place % 5) / 4 + random.normal(0, 0.004, seeds)
        lost = [(arm, model, seed) in diverged for seed in range(seeds)]
        values[lost] = 0.1
        runs += [[arm, model, *pair] for pair in zip(values, lost, strict=True)]
        half = 2.5 * values.std(ddof=1) / seeds**0.5 if seeds > 1 else np.nan
        mean, minutes = values.mean(), MINUTES.get(arm, 6.0 + 1.7 * place)
        means.append([arm, model, minutes, mean, mean - half, mean + half])
    for place, model in enumerate(list(names)[:-1]):
        middle = 0.01 * (place - 2)
        contrasts.append([model, middle, middle - 0.008, middle + 0.008])
    return (
        pd.DataFrame(runs, columns=["arm", "model", "test_acc", "diverged"]),
        pd.DataFrame(means, columns=["arm", "model", "minutes", "mean", "low", "high"]),
        pd.DataFrame(contrasts, columns=["model", "difference", "low", "high"]),
    )


def trials(names: dict[str, str], *, diverged: bool = False) -> pd.DataFrame:
    """Six rates at the first stage, three at the second."""
    rows = []
    for (place, model), power in itertools.product(enumerate(names), range(6)):
        rate, score = 0.00625 * 2**power, 0.45 - 0.03 * (power - 3 + place % 2) ** 2
        lost = diverged and power == 5
        rows.append(["stage1", model, rate, 0.1 if lost else score, lost])
        if 2 <= power <= 4:
            rows.append(["stage2", model, rate, score + 0.15, False])
    return pd.DataFrame(rows, columns=["stage", "model", "rate", "val_acc", "diverged"])


def epochs(
    names: dict[str, str], seeds: int = 3, count: int = 5, *, diverged: bool = False
) -> pd.DataFrame:
    """Learning curves; ``diverged``: the first network's last seed, after half of its epochs."""
    random = np.random.default_rng(1)
    rows = []
    for (place, model), seed in itertools.product(enumerate(names), range(seeds)):
        lost = diverged and place == 0 and seed == seeds - 1
        for epoch in range(count):
            gone = lost and epoch >= max(1, count // 2)
            acc = 0.85 - 0.5 / (1 + 0.4 * epoch) + 0.015 * (place % 6) + random.normal(0, 0.004)
            values = (0.1, np.inf) if gone else (acc, 2 * (1 - acc))
            rows.append(
                [f"{model}-s{seed}", model, epoch, min(epoch + 1, count - 0.4), *values, lost]
            )
    columns = ["path", "model", "epoch", "at", "val_acc", "val_loss", "diverged"]
    return pd.DataFrame(rows, columns=columns)


def sections(names: dict[str, str]) -> pd.DataFrame:
    """Seconds of the sections of a step."""
    seconds = {"data": 0.002, "forward": 0.09, "backward": 0.16, "optimizer": 0.03, "other": 0.004}
    rows = [
        [model, section, value * (1 + place % 4)]
        for place, model in enumerate(names)
        for section, value in seconds.items()
    ]
    return pd.DataFrame(rows, columns=["model", "section", "seconds"])


# ------------------------------------------------------------------------------- looking


def text_artists(figure: Figure) -> list[Text]:
    """Every text that the figure shows, laid out: labels, annotations, ticks within view."""
    with settings():
        figure.draw_without_rendering()
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not (axes.axison and low - slack <= tick.get_loc() <= high + slack):
                    hidden |= {id(tick.label1), id(tick.label2)}
    return [
        artist
        for artist in figure.findobj(Text)
        if artist.get_text().strip() and id(artist) not in hidden and artist.get_visible()
    ]


def texts(figure: Figure) -> list[str]:
    return [artist.get_text() for artist in text_artists(figure)]


def check_layout(figure: Figure) -> None:
    """No text touches another or leaves the figure; sizes are legible; the figure fits a page."""
    width, height = figure.get_size_inches() * 72
    assert width <= TEXT_WIDTH / 25.4 * 72 + 0.1
    assert height <= MAX_HEIGHT / 25.4 * 72 + 0.1
    points = Affine2D().scale(72 / figure.dpi)
    artists = text_artists(figure)
    boxes = [TransformedBbox(a.get_window_extent(), points) for a in artists]
    for artist, box in zip(artists, boxes, strict=True):
        assert 8 <= artist.get_fontsize() <= 9, artist.get_text()
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -0.5, artist.get_text()
    for (one, a), (other, b) in itertools.combinations(zip(artists, boxes, strict=True), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        along = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, along) < 0.6, (one.get_text(), other.get_text())


def points(axes: Axes, look: Look) -> list[tuple[float, float]]:
    """Coordinates of all markers and line ends that are drawn in this colour."""
    return [
        (float(x), float(y))
        for line in axes.get_lines()
        if line.get_color() == look.colour
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def network(name: str) -> Network:
    """A network's layers and edges as ``runs.describe`` measured them from the real module."""
    return fabricate.networks()[name]
