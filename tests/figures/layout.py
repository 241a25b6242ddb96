"""What a figure shows, and whether it is legible."""

from __future__ import annotations

import itertools
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, TransformedBbox

from cnnpaper.config import read_toml
from cnnpaper.figures.style import MAX_HEIGHT, TEXT_WIDTH, Look, settings

ENGLISH: dict[str, str] = read_toml(Path(__file__).parents[2] / "report/en/words.toml")["figure"]


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
