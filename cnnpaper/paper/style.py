"""How figures look: size, faces, palette, and the bytes that a figure becomes.

Every figure is drawn at the size at which it is printed, so a size in points here is that size on
paper. Nothing is taken from the user's matplotlib settings, and nothing is written to a file.
"""

from __future__ import annotations

import functools
import io
import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import matplotlib
import pikepdf
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, fontManager
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from cnnpaper.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

# ------------------------------------------------------------------------------------- sizes

TEXT_WIDTH = 160.0
"""Width of the paper's text in millimetres; no figure is wider."""
MM = 72 / 25.4
"""Points in a millimetre."""
SMALL = 7.0
"""The smallest size of any text, in points."""
NORMAL = 8.0
LINE = 0.6
"""Width of axes and of thin lines, in points."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this printed size in millimetres."""
    # at 72 dots an inch a pixel is a point, so layout can be measured in points
    return Figure(figsize=(width * MM / 72, height * MM / 72), dpi=72)


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in millimetres, measured from the upper left corner of ``figure``."""
    whole_width, whole_height = size(figure)
    return figure.add_axes(
        (
            left / whole_width,
            1 - (top + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )


def size(figure: Figure) -> tuple[float, float]:
    """Printed width and height of ``figure`` in millimetres."""
    width, height = figure.get_size_inches()
    return float(width) * 25.4, float(height) * 25.4


# ------------------------------------------------------------------------------------- colour

INK = "#222222"
INK_LUMINANCE = 0.016
GREY = "#6b6b6b"
"""Secondary text; 5.3 : 1 against white."""
RULE = "#b9b9b9"
GRID = "#e8e8e8"

PALETTE = (
    "#1766cf",  # blue
    "#d97604",  # orange
    "#1d9590",  # teal
    "#d42a6b",  # crimson
    "#2aa8f8",  # sky
    "#431270",  # violet
    "#6b4b04",  # olive
    "#332c25",  # near black
)
"""One colour a network, by its position in the study.

Found by searching for eight colours, none lighter than L* = 67, whose smallest CIEDE2000 difference
is largest for normal, protanopic and deuteranopic sight at once. It is 21 for normal sight, 19 for
the others (``tests/paper/test_style.py``); that of Okabe and Ito's palette is 12.
"""
DASHES = ("-", (0, (5, 1.6)), (0, (6, 1.6, 1.2, 1.6)), (0, (1.4, 1.3)))
MARKERS = "os^DvPXp"

Dash: TypeAlias = str | tuple[int, tuple[float, ...]]

SEQUENTIAL = LinearSegmentedColormap.from_list(
    "cnnpaper", ["#fbf8ee", "#e3e3cf", "#b3c6c4", "#7fa3ba", "#4c7ba8", "#27538a", "#152f5c"]
)
"""For heat maps: lightness falls steadily, so grey print and any sight keep the order."""


@dataclass(frozen=True)
class Look:
    """How one network is drawn in every figure: colour, marker and dashes tell it apart."""

    colour: str
    marker: str
    dash: Dash


def look(position: int) -> Look:
    """The look of the network at this place of the study, from 0.

    Beyond eight networks colours come again, with other markers and dashes.
    """
    again, place = divmod(position, len(PALETTE))
    return Look(
        colour=PALETTE[place],
        marker=MARKERS[(place + 3 * again) % len(MARKERS)],
        dash=DASHES[(place + again) % len(DASHES)],
    )


def ink_on(background: tuple[float, ...]) -> str:
    """White or ink, whichever stands out more from an RGB colour (contrast ratio of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    on_white, on_ink = 1.05 / (luminance + 0.05), (luminance + 0.05) / (INK_LUMINANCE + 0.05)
    return "#ffffff" if on_white > on_ink else INK


def tint(colour: str, share: float) -> tuple[float, float, float]:
    """``share`` of the colour, the rest white."""
    red, green, blue = (1 - share * (1 - c) for c in to_rgb(colour))
    return red, green, blue


# ------------------------------------------------------------------------------------- faces

FACES = {
    "cnnpaper sans": "lmsans8-regular.otf",
    "cnnpaper korean": "NanumGothic.ttf",
}
"""Latin Modern in the cut that was drawn for 8 pt, then Nanum for what it lacks."""
FALLBACK = "DejaVu Sans"
"""Comes with matplotlib; for signs in a network's name that neither face has."""


@functools.cache
def register_faces() -> None:
    """Make the faces known to matplotlib under names of our own.

    Raises:
        UserError: a face is not installed.
    """
    for name, file in FACES.items():
        entry = FontEntry(fname=str(find_face(file)), name=name, weight=400, size="scalable")
        fontManager.ttflist.append(entry)


def find_face(file: str) -> Path:
    """Where a font file lies, as TeX or fontconfig know it.

    Raises:
        UserError: neither knows it.
    """
    for command in (["kpsewhich", file], ["fc-list", "--format=%{file}\n"]):
        try:
            found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except FileNotFoundError:
            continue
        for line in sorted(found.splitlines()):
            if Path(line).name == file and Path(line).is_file():
                return Path(line)
    raise UserError(
        f"{file}: the figures need this font, and neither kpsewhich nor fc-list finds it\n"
        "on Debian: apt-get install lmodern fonts-nanum\n"
        "elsewhere: install Latin Modern (OpenType) and Nanum Gothic"
    )


@functools.lru_cache(maxsize=4096)
def text_width(text: str, points: float) -> float:
    """Width in points of one line of ``text`` in the figures' face."""
    register_faces()
    face = FontProperties(family=[*FACES, FALLBACK], size=points)
    width, _, _ = text_to_path.get_text_width_height_descent(text, face, ismath=False)
    return float(width)


def wrapped(text: str, width: float, points: float) -> str:
    """``text`` in lines of at most ``width`` points; a longer word is broken where it must be."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, points) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for char in word:
            if lines[-1] and text_width(lines[-1] + char, points) > width:
                lines.append("")
            lines[-1] += char
    return "\n".join(line for line in lines if line)


# ------------------------------------------------------------------------------------- settings

SETTINGS: dict[Any, Any] = {
    "font.family": [*FACES, FALLBACK],
    "font.size": SMALL,
    "text.parse_math": False,  # a name may hold a dollar sign
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.titlesize": NORMAL,
    "axes.titlelocation": "left",
    "axes.linewidth": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": LINE,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": LINE,
    "ytick.major.width": LINE,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "lines.markeredgewidth": 0.0,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "cnnpaper",
}


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib's defaults with ours over them, whatever the user's own settings are."""
    register_faces()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that draws a figure: it runs under :func:`settings`."""

    @functools.wraps(draw)
    def under_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        with settings():
            return draw(*args, **kwargs)

    return under_settings


# ------------------------------------------------------------------------------------- output

Format: TypeAlias = Literal["pdf", "svg", "png"]
NO_METADATA: dict[Format, dict[str, None]] = {
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
    "png": {"Software": None},
}
PNG_DPI = 300


@styled
def render(figure: Figure, format: Format) -> bytes:
    """The figure as a file's bytes, which depend on the figure alone: no time, no version."""
    # Nanum has tables that the subsetter drops, which is as it should be
    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, dpi=PNG_DPI, metadata=NO_METADATA[format])
    return with_truetype(buffer.getvalue()) if format == "pdf" else buffer.getvalue()


def with_truetype(data: bytes) -> bytes:
    """The PDF with its OpenType faces (Latin Modern) as TrueType.

    matplotlib embeds a face whose outlines are PostScript as if it were TrueType (Type 42), which
    readers refuse or draw blank. Drawn as outlines (Type 3) its text could not be found or copied.
    """
    with pikepdf.open(io.BytesIO(data)) as pdf:
        for thing in pdf.objects:
            if isinstance(thing, pikepdf.Dictionary) and "/FontFile2" in thing:
                face = thing.FontFile2.read_bytes()
                if face.startswith(b"OTTO"):
                    face = truetype(face)
                    thing.FontFile2.write(face)
                    thing.FontFile2.Length1 = len(face)
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True)
    return out.getvalue()


def truetype(face: bytes) -> bytes:
    """An OpenType font with cubic outlines as one with quadratic outlines.

    No point of an outline moves by more than 1/2000 em, the grid of Latin Modern being 1/1000 em.
    """
    font = TTFont(io.BytesIO(face), recalcTimestamp=False)
    cubic = font.getGlyphSet()
    table = newTable("glyf")
    table.glyphOrder = font.getGlyphOrder()
    table.glyphs = {}
    for name in table.glyphOrder:
        pen = TTGlyphPen(None)
        error = font["head"].unitsPerEm / 2000
        cubic[name].draw(Cu2QuPen(pen, max_err=error, reverse_direction=True))
        table.glyphs[name] = pen.glyph()
    font["glyf"], font["loca"] = table, newTable("loca")
    del font["CFF "]
    font["maxp"].tableVersion = 0x00010000
    limits = ("TwilightPoints", "Storage", "FunctionDefs", "InstructionDefs", "StackElements")
    for limit in (*limits, "SizeOfInstructions", "ComponentElements"):
        setattr(font["maxp"], f"max{limit}", 0)  # for the bytecode, of which there is none
    font["maxp"].maxZones = 1
    font.sfntVersion = "\x00\x01\x00\x00"
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


@styled
def texts(figure: Figure) -> list[str]:
    """Every text that the figure shows: labels, annotations, ticks within view."""
    return [artist.get_text() for artist in text_artists(figure)]


def text_artists(figure: Figure) -> list[Text]:
    """The artists of :func:`texts`, laid out; to be called under :func:`settings`."""
    figure.draw_without_rendering()
    hidden = {id(label) for axes in figure.axes for label in _ticks_out_of_view(axes)}
    return [
        artist
        for artist in figure.findobj(Text)
        if isinstance(artist, Text)
        and artist.get_text().strip()
        and id(artist) not in hidden
        and artist.get_visible()
    ]


def _ticks_out_of_view(axes: Axes) -> Iterator[Artist]:
    for axis in (axes.xaxis, axes.yaxis):
        assert isinstance(axis, Axis)
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not (axes.axison and low - slack <= tick.get_loc() <= high + slack):
                yield from (tick.label1, tick.label2)
