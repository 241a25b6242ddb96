"""How figures look: sizes, faces, palette, legends, and the bytes that a figure becomes.

Every figure is drawn at the size at which it is printed, so a size in points here is that size on
paper. Nothing is taken from the user's matplotlib settings, and nothing is written to a file of
theirs. Lengths are millimetres where nothing else is said.
"""

from __future__ import annotations

import atexit
import functools
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import matplotlib
from fontTools.ttLib import TTFont
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findSystemFonts, fontManager
from matplotlib.textpath import text_to_path

from cnnpaper.files import UserError

Words: TypeAlias = Mapping[str, str]
"""Everything that a figure says, by key: the table ``figure`` of an edition's words."""

# ------------------------------------------------------------------------------------- sizes

TEXT_WIDTH = 156.0  # width of the paper's text; no figure is wider
MAX_HEIGHT = 205.0  # a figure with its caption fits on one page
SIZE = 8.0  # of all text, in points; the paper's body has 10 or 11
LINE_HEIGHT = 3.4  # from one line of text to the next
THIN = 0.6  # width of axes and of thin lines, in points
LEGEND_GAP = 0.06  # in inches


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this printed size, which matplotlib's constrained layout fills."""
    # text is measured at the figure's dots per inch, and hinting hardly matters at so many
    return Figure(figsize=(width / 25.4, height / 25.4), dpi=360, layout="constrained")


def legend(figure: Figure, handles: Sequence[Any], **more: Any) -> float:
    """Add the handles in rows, in as many columns as fit, and return the height in inches.

    A tuple of handles is one drawn over another. matplotlib fills columns one after the other; here
    they are read row by row.
    """
    for columns in range(len(handles), 0, -1):
        order = [one for first in range(columns) for one in handles[first::columns]]
        labels = [(one[0] if isinstance(one, tuple) else one).get_label() for one in order]
        made = figure.legend(order, labels, ncols=columns, **more)
        if columns == 1 or made.get_window_extent().width < 0.98 * figure.bbox.width:
            break
        made.remove()
    return float(made.get_window_extent().height) / figure.dpi


def finish(figure: Figure, handles: Sequence[Any]) -> Figure:
    """The figure with a legend above it, for which it grows; its layout is final."""
    if handles:
        taken = legend(figure, handles, loc="outside upper left") + LEGEND_GAP
        figure.set_figheight(figure.get_figheight() + taken)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # whatever is rendered first, the bytes are the same
    return figure


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
        found[entry] = Look(
            colour=PALETTE[place % len(PALETTE)],
            marker=MARKERS[(place + 5 * variant) % len(MARKERS)],
            dash=DASHES[(place + place // len(PALETTE) + variant) % len(DASHES)],
        )
    return found


def tint(colour: str, part: float) -> tuple[float, ...]:
    """``part`` of the colour, the rest white."""
    return tuple(1 - part * (1 - c) for c in to_rgb(colour))


# ------------------------------------------------------------------------------------- faces

FACES = ["cnnpaper sans", "cnnpaper symbols", "cnnpaper hangul"]
"""Computer Modern Sans, which captions have too; DejaVu for signs that it lacks; Nanum Gothic."""
HANGUL = "NanumGothic.ttf"
MISPLACED = '"<>\\^_`{|}~'  # where Computer Modern has something else: TeX's encoding, not ASCII


@functools.cache
def faces() -> list[str]:
    """Make the faces known to matplotlib under names of our own; the first two come with it.

    Nanum Gothic may be missing, which only Korean text notices.
    """
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it chats about dates and subsets
    folder = tempfile.TemporaryDirectory(prefix="cnnpaper-")
    atexit.register(folder.cleanup)  # matplotlib reads the file whenever it likes
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
    for place, (name, file) in enumerate(zip(FACES, files, strict=False)):
        # a PDF lists its fonts by path: copies give the same bytes wherever this environment lies
        copy = shutil.copyfile(file, Path(folder.name) / f"{place}.ttf")
        entry = FontEntry(fname=str(copy), name=name, weight=400, size="scalable")
        fontManager.ttflist.append(entry)
    return FACES[: len(files)]


@functools.lru_cache(maxsize=4096)
def text_width(text: str) -> float:
    """Width of a line in points."""
    face = FontProperties(family=faces(), size=SIZE)
    return float(text_to_path.get_text_width_height_descent(text, face, ismath=False)[0])


# ------------------------------------------------------------------------------------- settings

TICKS = {"color": RULE, "labelcolor": INK, "major.width": THIN, "major.size": 2.5}
SETTINGS: dict[Any, Any] = {
    "font.size": SIZE,
    "text.parse_math": False,  # a name may hold a dollar sign
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlesize": SIZE,
    "axes.titlelocation": "left",
    "axes.linewidth": THIN,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "figure.labelsize": SIZE,
    "grid.color": GRID,
    "grid.linewidth": THIN,
    "hatch.linewidth": THIN,
    "legend.frameon": False,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.3,
    "legend.columnspacing": 1.2,
    "legend.handlelength": 2.6,
    "legend.handletextpad": 0.5,
    "legend.labelspacing": 0.3,
    **{f"{axis}tick.{key}": value for axis in "xy" for key, value in TICKS.items()},
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "lines.markeredgewidth": 0.8,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "cnnpaper",
}


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib's defaults with ours over them, whatever the user's own settings are.

    Also a decorator, ``@settings()``, of every function that draws.

    Raises:
        UserError: a text has a sign that no face has.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**SETTINGS, "font.family": faces()})
        warnings.filterwarnings("error", message="Glyph .* missing")
        try:
            yield
        except UserWarning as problem:
            raise UserError(
                f"a figure cannot be drawn: {str(problem).partition(' from font')[0]}\n"
                "Korean needs the font Nanum Gothic; on Debian: apt-get install fonts-nanum"
            ) from None


def plain(value: float, form: str = "") -> str:
    """A number without exponent, with the true minus sign."""
    text = f"{value:{form}}" if form else f"{round(value, 10):,.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "\N{MINUS SIGN}")


# ------------------------------------------------------------------------------------- output

Format: TypeAlias = Literal["pdf", "svg", "png"]
NO_METADATA: dict[str, dict[str, None]] = {
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
    "png": {"Software": None},
}


@settings()
def render(figure: Figure, kind: Format, dpi: int = 200) -> bytes:
    """The figure as a file's bytes, which depend on the figure alone: no time, no version."""
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=dpi, metadata=NO_METADATA[kind])
    return out.getvalue()
