"""How figures look: sizes, faces, palette, legends, and the bytes that a figure becomes.

Every figure is drawn at the size at which it is printed, so a size in points here is that size on
paper. Nothing is taken from the user's matplotlib settings, and nothing is written to a file of
theirs. Lengths are millimetres where nothing else is said.
"""

from __future__ import annotations

import functools
import io
import itertools
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import matplotlib
from fontTools.ttLib import TTFont
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findSystemFonts, fontManager
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter

from cnnpaper.files import UserError

P = ParamSpec("P")
R = TypeVar("R")
Words: TypeAlias = Mapping[str, str]
"""Everything that a figure says, by key: :data:`cnnpaper.figures.words.ENGLISH`."""

# ------------------------------------------------------------------------------------- sizes

TEXT_WIDTH = 156.0
"""Width of the paper's text; no figure is wider."""
COLUMN_WIDTH = 85.0
"""Width of one of two columns."""
MAX_HEIGHT = 205.0
"""A figure with its caption fits on one page."""
MM = 72 / 25.4
"""Points in a millimetre."""
SIZE = 8.0
"""Of all text, in points; the paper's body has 10 or 11."""
LINE_HEIGHT = 3.3
"""From one line of text to the next."""
THIN = 0.6
"""Width of axes and of thin lines, in points."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this printed size."""
    # at 72 dots an inch a pixel is a point, so layout can be measured in points
    return Figure(figsize=(width / 25.4, height / 25.4), dpi=72)


def size(figure: Figure) -> tuple[float, float]:
    """Printed width and height."""
    width, height = figure.get_size_inches()
    return float(width) * 25.4, float(height) * 25.4


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place measured from the upper left corner of ``figure``."""
    whole_width, whole_height = size(figure)
    low = 1 - (top + height) / whole_height
    place = (left / whole_width, low, width / whole_width, height / whole_height)
    return figure.add_axes(place)


def write(figure: Figure, left: float, top: float, text: str, **more: Any) -> Text:
    """Text with its upper left corner (or what ``ha`` and ``va`` say) at this place."""
    width, height = size(figure)
    return figure.text(left / width, 1 - top / height, text, **{"va": "top", **more})


# ------------------------------------------------------------------------------------- looks

INK = "#222222"
GREY = "#6b6b6b"
"""Secondary text; 5.3 : 1 against white."""
RULE = "#b9b9b9"
GRID = "#e8e8e8"
PALETTE = (
    "#0072b2",  # blue
    "#d55e00",  # vermilion
    "#009e73",  # green
    "#cc79a7",  # purple
    "#e69f00",  # orange
    "#56b4e9",  # sky
    "#111111",  # black
    "#a89a00",  # yellow, darker than theirs, which cannot be seen on white
)
"""Okabe and Ito's colours, distinct for all kinds of colour vision."""
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.6)), (0, (6, 1.6, 1.2, 1.6)), (0, (1.4, 1.3)))
MARKERS = "os^DvPX<>ph*"
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "cnnpaper", ["#fbf8ee", "#e3e3cf", "#b3c6c4", "#7fa3ba", "#4c7ba8", "#27538a", "#152f5c"]
)
"""For heat maps: lightness falls steadily, so grey print and any sight keep the order."""

Dash: TypeAlias = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one network is drawn in every figure; marker and dashes tell it apart without colour."""

    colour: str
    marker: str
    dash: Dash


def looks(entries: Sequence[str]) -> dict[str, Look]:
    """The look of each network by its place in the study; variants of one share its colour.

    Args:
        entries: all of the study in its order: ``resnet18``, or ``resnet18-rate0.05``, a variant.
    """
    networks = list(dict.fromkeys(entry.partition("-")[0] for entry in entries))
    seen = dict.fromkeys(networks, 0)
    found = {}
    for entry in entries:
        network = entry.partition("-")[0]
        place, variant = networks.index(network), seen[network]
        seen[network] += 1
        turn = place // len(PALETTE)
        found[entry] = Look(
            colour=PALETTE[place % len(PALETTE)],
            marker=MARKERS[(place + 5 * variant) % len(MARKERS)],
            dash=DASHES[(place + turn + variant) % len(DASHES)],
        )
    return found


def ink_on(background: Sequence[float]) -> str:
    """White on dark colours, ink on light ones (RGB, by WCAG's luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if luminance < 0.2 else INK


def tint(colour: str, part: float) -> tuple[float, float, float]:
    """``part`` of the colour, the rest white."""
    red, green, blue = (1 - part * (1 - c) for c in to_rgb(colour))
    return red, green, blue


# ------------------------------------------------------------------------------------- faces

FACES = ["cnnpaper sans", "cnnpaper symbols", "cnnpaper hangul"]
"""Computer Modern Sans, which captions have too; DejaVu for signs that it lacks; Nanum Gothic."""
HANGUL = "NanumGothic.ttf"
MISPLACED = '"<>\\^_`{|}~'
"""Where Computer Modern has something else: TeX's encoding, not ASCII."""


@functools.cache
def register_faces() -> tempfile.TemporaryDirectory[str]:
    """Make the faces known to matplotlib under names of our own; the first two come with it."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it chats about dates and subsets
    folder = tempfile.TemporaryDirectory(prefix="cnnpaper-")
    bundled = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    sans = Path(folder.name) / "cmss10.ttf"
    with TTFont(bundled / "cmss10.ttf", recalcTimestamp=False) as font:
        for table in font["cmap"].tables:
            for code in [c for c in table.cmap if not 32 <= c < 127 or chr(c) in MISPLACED]:
                del table.cmap[code]
        font["head"].created = font["head"].modified = 3_500_000_000  # theirs make a warning
        font.save(sans)
    files = [sans, bundled / "DejaVuSans.ttf"]
    files += [Path(file) for file in sorted(findSystemFonts()) if Path(file).name == HANGUL][:1]
    for name, file in zip(FACES, files, strict=False):
        entry = FontEntry(fname=str(file), name=name, weight=400, size="scalable")
        fontManager.ttflist.append(entry)
    return folder  # kept as long as the process


def faces() -> list[str]:
    """Those that are there: Nanum Gothic may be missing, which only Korean text notices."""
    register_faces()
    known = {entry.name for entry in fontManager.ttflist}
    return [name for name in FACES if name in known]


@functools.lru_cache(maxsize=4096)
def text_width(text: str, points: float = SIZE) -> float:
    """Width of the longest line of ``text``."""
    face = FontProperties(family=faces(), size=points)
    lines = text.split("\n")
    with known_glyphs():
        return max(
            float(text_to_path.get_text_width_height_descent(line, face, ismath=False)[0]) / MM
            for line in lines
        )


def wrapped(text: str, width: float) -> str:
    """``text`` in lines of at most ``width``; a longer word is broken where it must be."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for char in word:
            if lines[-1] and text_width(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return "\n".join(line for line in lines if line)


def shortened(text: str, width: float) -> str:
    """``text`` on one line of at most ``width``: where it is longer, its middle is left out."""
    keep = len(text)
    short = text
    while text_width(short) > width and keep > 2:
        keep -= 1
        short = f"{text[: (keep + 1) // 2].rstrip()}…{text[len(text) - keep // 2 :].lstrip()}"
    return short


def height_of(text: str) -> float:
    """Height that the lines of ``text`` take."""
    return LINE_HEIGHT * (text.count("\n") + 1)


# ------------------------------------------------------------------------------------- settings

SETTINGS: dict[Any, Any] = {
    "font.size": SIZE,
    "text.parse_math": False,  # a name may hold a dollar sign
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.labelsize": SIZE,
    "axes.titlesize": SIZE,
    "axes.titlelocation": "left",
    "axes.linewidth": THIN,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": THIN,
    "hatch.linewidth": THIN,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE,
    "xtick.major.width": THIN,
    "ytick.major.width": THIN,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "lines.markeredgewidth": 0.8,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "cnnpaper",
}


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib's defaults with ours over them, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**SETTINGS, "font.family": faces()})
        yield


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that draws a figure: it runs under :func:`settings`."""

    @functools.wraps(draw)
    def under_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        with settings(), known_glyphs():
            return draw(*args, **kwargs)

    return under_settings


@contextmanager
def known_glyphs() -> Iterator[None]:
    """A glyph that no face has is an error.

    Raises:
        UserError: a text has a sign that cannot be drawn.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph .* missing")
        try:
            yield
        except UserWarning as problem:
            raise UserError(
                f"a figure cannot be drawn: {str(problem).partition(' from font')[0]}\n"
                "Korean needs the font Nanum Gothic; on Debian: apt-get install fonts-nanum"
            ) from None


# ------------------------------------------------------------------------------------- parts


def nice_ticks(
    axes: Axes, which: Literal["x", "y"], ticks: Sequence[float], form: str = ""
) -> None:
    """Fixed ticks with plain labels, of which every second, third … is left out where they touch.

    Args:
        ticks: ascending, in data units.
        form: of a label, for ``format``; without it as many digits as the value needs.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    labels = [plain(tick, form) for tick in ticks]
    box, place = axes.get_window_extent(), 0 if which == "x" else 1
    points = [axes.transData.transform((t, t))[place] / MM for t in ticks]
    room = [text_width(label) + 1.6 if which == "x" else LINE_HEIGHT for label in labels]
    low, high = (box.x0, box.x1) if which == "x" else (box.y0, box.y1)
    inside = [low / MM - 0.1 <= at <= high / MM + 0.1 for at in points]
    kept = [i for i, there in enumerate(inside) if there]
    for stride in range(1, max(2, len(kept) + 1)):
        chosen = kept[::stride]
        if all(
            points[b] - points[a] >= (room[a] + room[b]) / 2 for a, b in itertools.pairwise(chosen)
        ):
            break
    axis.set_major_locator(FixedLocator([ticks[i] for i in chosen]))
    axis.set_minor_locator(FixedLocator([]))
    shown = {ticks[i]: labels[i] for i in chosen}
    axis.set_major_formatter(FuncFormatter(lambda value, _: shown.get(value, plain(value, form))))


def plain(value: float, form: str = "") -> str:
    """A number without exponent, with the true minus sign."""
    text = f"{value:{form}}" if form else f"{round(value, 10):,.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Entry:
    """One of a legend: its text, and the sample: settings of a line, what draws it, or none."""

    text: str
    sample: Mapping[str, Any] | Callable[[Axes], None] | None

    @property
    def indent(self) -> float:
        """From the sample's left edge to the text."""
        return 0.5 if self.sample is None else SAMPLE + 1


SAMPLE = 6.0


def legend_height(entries: Sequence[Entry], width: float) -> float:
    """Height that :func:`legend` takes."""
    return sum(_row_height(row) for row in _legend_rows(entries, width))


def _row_height(row: Sequence[tuple[float, Entry, str]]) -> float:
    return max(height_of(text) for _, _, text in row) + 0.9


def _legend_rows(entries: Sequence[Entry], width: float) -> list[list[tuple[float, Entry, str]]]:
    """Rows of (left, entry, its text in lines), as many in a row as it has room for."""
    rows: list[list[tuple[float, Entry, str]]] = []
    x = math.inf
    for entry in entries:
        text = wrapped(entry.text, width - SAMPLE - 1)
        needed = entry.indent + text_width(text)
        if x + needed > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, entry, text))
        x += needed + 4
    return rows


def legend(figure: Figure, entries: Sequence[Entry], left: float, top: float, width: float) -> None:
    """Samples with their texts in rows from this place on."""
    y = top
    for row in _legend_rows(entries, width):
        for x, entry, text in row:
            write(figure, left + x + entry.indent, y + 0.2, text, linespacing=1.15)
            if entry.sample is None:
                continue
            axes = add_axes(figure, left + x, y, SAMPLE, LINE_HEIGHT)
            axes.set_axis_off()
            axes.set(xlim=(0, 1), ylim=(-1, 1))
            if callable(entry.sample):
                entry.sample(axes)
            else:
                _draw_sample(axes, dict(entry.sample))
        y += _row_height(row)


def _draw_sample(axes: Axes, line: dict[str, Any]) -> None:
    """The line without its marker, and the marker in its middle."""
    if line.get("ls", "-") != "none":
        axes.plot([0.05, 0.95], [0, 0], **line | {"marker": None}, clip_on=False)
    if line.get("marker"):
        axes.plot([0.5], [0], **line | {"ls": "none"}, clip_on=False)


# ------------------------------------------------------------------------------------- output

Format: TypeAlias = Literal["pdf", "svg", "png"]
NO_METADATA: dict[str, dict[str, None]] = {
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
    "png": {"Software": None},
}


@styled
def render(figure: Figure, kind: Format, dpi: int = 200) -> bytes:
    """The figure as a file's bytes, which depend on the figure alone: no time, no version."""
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=dpi, metadata=NO_METADATA[kind])
    return out.getvalue()
