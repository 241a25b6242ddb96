"""Drawings of networks, made from their layer tables.

From left to right, one panel a stage: above it the size of its outputs in pixels, below it its
parameters. A cell is a layer: its kernel (an arrow where it halves the size) over its output
channels. A frame is a block, with its number where it is repeated. Its branches are concatenated
(a bar) or added (a plus in a circle); a dashed cell is in the first of repeated blocks alone.
Measures are in points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from cnnpaper.paper.ledger import listing, whole
from cnnpaper.paper.structure import Branch, Cell, Kind, Stage, Step, Unit, stages
from cnnpaper.paper.style import (
    GREY,
    INK,
    LINE,
    MM,
    NORMAL,
    PALETTE,
    RULE,
    SMALL,
    TEXT_WIDTH,
    add_axes,
    new_figure,
    styled,
    text_width,
    tint,
)
from cnnpaper.records import Layer

CELL_HEIGHT = 18.5
CELL_LEAST = 15.0
"""Smallest width of a cell."""
CELL_PAD = 1.8
LANE_GAP = 3.0
"""Between branches, one below the other."""
STEP_GAP = 3.6
"""Between cells that follow each other."""
FRAME_PAD = 2.6
FORK = 3.0
"""Room for the lines that part before branches and meet after them."""
PLUS = 3.0
"""Radius of the sign for an addition."""
BYPASS = 5.5
"""Distance of a shortcut without layers from the branch below it."""
SHEET = 1.6
"""How far the second sheet of a repeated block looks out."""
STAGE_PAD = 3.0
STAGE_GAP = 6.5
HEAD = 11.0
"""Room for the line of text above a row of stages, and for that below it."""
ROW_GAP = 10.0
EDGE = 1.0
"""Keeps lines at the figure's edge whole."""
WIRE = "#8f8f8f"
PANEL = "#f4f4f2"

FILLS: dict[Kind, str] = {
    "conv": PALETTE[0],
    "pointwise": PALETTE[4],
    "depthwise": PALETTE[2],
    "pool": GREY,
    "linear": PALETTE[1],
}
"""Colours of the kinds of layers, drawn pale; the text of a cell says the same."""


# ------------------------------------------------------------------------------- text


def cell_texts(cell: Cell) -> tuple[str, str]:
    """Upper and lower line of a cell; a pool, which keeps the channels, shows its kernel below."""
    arrow = {1: "", 2: "↓"}.get(cell.stride, f"↓{cell.stride}")
    kernel = ("×".join(map(str, cell.kernel)) if cell.kernel else "") + arrow
    if cell.kind == "pool":
        return cell.name, kernel
    if cell.kind == "depthwise":
        kernel = f"dw {kernel}"
    low, high = cell.channels
    return cell.name or kernel, str(low) if low == high else f"{low}–{high}"


def stage_texts(stage: Stage) -> tuple[str, str]:
    """What stands above and below a stage."""
    height, width = stage.side
    return f"{height} × {width}", whole(stage.parameters)


def architecture_alt(layers: Sequence[Layer]) -> str:
    """What :func:`architecture` shows."""
    return "Drawing of the network from left to right. " + " ".join(
        f"Output {stage_texts(stage)[0]}, {stage_texts(stage)[1]} parameters: "
        f"{listing([_unit_alt(unit) for unit in stage.units])}."
        for stage in stages(layers)
    )


def _unit_alt(unit: Unit) -> str:
    branches = [" then ".join(map(_step_alt, branch)) for branch in unit.branches]
    if not unit.framed:
        return branches[0]
    if unit.bypass:
        branches.append("the input itself")
    how = {"none": "of", "add": "adding", "concat": "concatenating"}[unit.join]
    count = f"{unit.repeats} blocks" if unit.repeats > 1 else "a block"
    return f"{count} {how} ({'; '.join(branches)})"


def _step_alt(step: Step) -> str:
    return " beside ".join(" ".join(filter(None, cell_texts(cell))) for cell in step)


def numbers(layers: Sequence[Layer]) -> dict[str, tuple[int, str]]:
    """Every number that the drawing shows, for the ledger: key → exact value and printed text."""
    found: dict[str, tuple[int, str]] = {}
    shown = [stage for row in panels(layers) for stage in row]
    for place, stage in enumerate(shown, start=1):
        at = f"stage.{place}"
        found[f"{at}.height"], found[f"{at}.width"] = ((n, str(n)) for n in stage.side)
        found[f"{at}.parameters"] = (stage.parameters, whole(stage.parameters))
        for number, unit in enumerate(stage.units, start=1):
            if unit.repeats > 1:
                found[f"{at}.unit.{number}.repeats"] = (unit.repeats, str(unit.repeats))
            cells = [cell for branch in unit.branches for step in branch for cell in step]
            for order, cell in enumerate(cells, start=1):
                of_cell = {
                    "kernel.short": cell.kernel[0] if cell.kernel else None,
                    "kernel.long": cell.kernel[1] if cell.kernel else None,
                    "stride": cell.stride,
                    "channels.least": cell.channels[0],
                    "channels.most": cell.channels[1],
                }
                found |= {
                    f"{at}.unit.{number}.cell.{order}.{key}": (n, str(n))
                    for key, n in of_cell.items()
                    if n is not None
                }
    return found


# ------------------------------------------------------------------------------- sizes


@dataclass(frozen=True)
class Extent:
    """Width, and height above and below the line on which the data flow."""

    width: float
    up: float
    down: float


def _cell_width(cell: Cell) -> float:
    return max(CELL_LEAST, *(text_width(text, SMALL) + 2 * CELL_PAD for text in cell_texts(cell)))


def _step_size(step: Step) -> tuple[float, float]:
    height = len(step) * (CELL_HEIGHT + LANE_GAP) - LANE_GAP
    return max(map(_cell_width, step)), height


def _branch_size(branch: Branch) -> tuple[float, float]:
    sizes = [_step_size(step) for step in branch]
    gaps = len(branch) - 1 + (len(branch[-1]) > 1)  # cells side by side are led together
    return sum(width for width, _ in sizes) + STEP_GAP * gaps, max(height for _, height in sizes)


def _lanes(unit: Unit) -> list[tuple[Branch | None, float]]:
    """Branches from top to bottom with their heights; None for a bypass.

    Branches that are added lie above the first one, which is the line of flow.
    """
    lanes: list[tuple[Branch | None, float]] = [
        (branch, _branch_size(branch)[1]) for branch in unit.branches
    ]
    if unit.join == "add":
        lanes.reverse()
    # where only the first of repeated blocks has a projection, the shortcut is drawn with it
    if unit.bypass and not (unit.join == "add" and len(unit.branches) > 1):
        lanes.insert(0, (None, BYPASS - LANE_GAP))
    return lanes


def _extent(unit: Unit) -> Extent:
    lanes = _lanes(unit)
    width = max(_branch_size(branch)[0] for branch in unit.branches)
    height = sum(lane[1] for lane in lanes) + LANE_GAP * (len(lanes) - 1)
    down = lanes[-1][1] / 2 if unit.join == "add" else height / 2
    if not unit.framed:
        return Extent(width, height / 2, height / 2)
    if len(lanes) > 1:
        width += FORK + (2 * PLUS if unit.join == "add" else FORK)
    sheet = SHEET if unit.repeats > 1 else 0.0
    return Extent(width + 2 * FRAME_PAD + sheet, height - down + FRAME_PAD, down + FRAME_PAD)


def _stage_extent(stage: Stage) -> Extent:
    inner = [_extent(unit) for unit in stage.units]
    width = sum(one.width for one in inner) + STEP_GAP * (len(inner) - 1)
    above, below = stage_texts(stage)
    counted = any(unit.repeats > 1 for unit in stage.units)
    return Extent(
        max(width + 2 * STAGE_PAD, text_width(above, NORMAL), text_width(below, SMALL)),
        max(one.up for one in inner) + STAGE_PAD + (8.5 if counted else 0.0),
        max(one.down for one in inner) + STAGE_PAD,
    )


def panels(layers: Sequence[Layer]) -> list[list[Stage]]:
    """The stages as they are drawn: rows of panels, no wider than the text.

    As few rows as will do, about equally wide. A stage is cut between its units where that saves a
    row, or where it is too wide by itself.
    """
    room = TEXT_WIDTH * MM - 2 * EDGE
    whole_stages = stages(layers)
    units = [replace(stage, units=(unit,)) for stage in whole_stages for unit in stage.units]
    readings = [_balanced(parts, room) for parts in (whole_stages, units)]
    fitting = [rows for rows in readings if max(map(_row_width, rows)) <= room] or readings[1:]
    return min(fitting, key=len)


def _balanced(parts: Sequence[Stage], room: float) -> list[list[Stage]]:
    """The fewest rows of at most ``room``, the widest of them as narrow as it can be."""
    rows = _filled(parts, room)
    while True:
        widest = max(map(_row_width, rows))
        narrower = _filled(parts, widest - 1)
        if len(narrower) > len(rows) or max(map(_row_width, narrower)) >= widest:
            return rows
        rows = narrower


def _filled(parts: Sequence[Stage], room: float) -> list[list[Stage]]:
    """Parts one after the other in rows; those of one stage in one row are one panel again."""
    rows: list[list[Stage]] = []
    for part in parts:
        row = rows[-1] if rows else []
        if row and row[-1].side == part.side:
            longer = [*row[:-1], replace(part, units=row[-1].units + part.units)]
        else:
            longer = [*row, part]
        if row and _row_width(longer) <= room:
            rows[-1] = longer
        else:
            rows.append([part])
    return rows


def _row_width(row: Sequence[Stage]) -> float:
    return sum(_stage_extent(stage).width for stage in row) + STAGE_GAP * (len(row) - 1)


# ------------------------------------------------------------------------------- drawing


@styled
def architecture(layers: Sequence[Layer]) -> Figure:
    """The network of this layer table, as wide as it needs, at most as wide as the text.

    Args:
        layers: in the order of execution, as a run's log has them; at least one.
    """
    rows = panels(layers)
    width = max(_row_width(row) for row in rows) + 2 * EDGE
    heights = [_row_height(row) for row in rows]
    height = sum(heights) + ROW_GAP * (len(rows) - 1)
    figure = new_figure(width / MM, height / MM)
    axes = add_axes(figure, 0, 0, width / MM, height / MM)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    top = 0.0
    for row, row_height in zip(rows, heights, strict=True):
        _draw_row(axes, row, top)
        top += row_height + ROW_GAP
    return figure


def _row_height(row: Sequence[Stage]) -> float:
    extents = [_stage_extent(stage) for stage in row]
    return max(e.up for e in extents) + max(e.down for e in extents) + 2 * HEAD


def _draw_row(axes: Axes, row: Sequence[Stage], top: float) -> None:
    extents = [_stage_extent(stage) for stage in row]
    up, down = max(e.up for e in extents), max(e.down for e in extents)
    flow, bottom = top + HEAD + up, top + 2 * HEAD + up + down
    x = EDGE
    for stage, extent in zip(row, extents, strict=True):
        if x > EDGE:
            _arrow(axes, x - STAGE_GAP, x, flow)
        _box(axes, (x, top + HEAD, extent.width, up + down), PANEL, PANEL, zorder=0)
        above, below = stage_texts(stage)
        middle = x + extent.width / 2
        axes.text(middle, top + HEAD - 3.5, above, ha="center", fontsize=NORMAL)
        axes.text(middle, bottom - 2.5, below, ha="center", color=GREY)
        _draw_units(axes, stage, x, flow, extent.width)
        x += extent.width + STAGE_GAP


def _draw_units(axes: Axes, stage: Stage, x: float, flow: float, width: float) -> None:
    """The units of a stage in the middle of its panel, on the line of flow."""
    inner = [_extent(unit).width for unit in stage.units]
    start = x + (width - sum(inner) - STEP_GAP * (len(inner) - 1)) / 2
    _wire(axes, [x, x + width], [flow, flow], zorder=1)
    for unit, unit_width in zip(stage.units, inner, strict=True):
        if unit.framed:
            _draw_block(axes, unit, start, flow)
        else:
            _draw_branch(axes, unit.branches[0], start, flow)
        start += unit_width + STEP_GAP


def _draw_block(axes: Axes, unit: Unit, x: float, flow: float) -> None:
    extent = _extent(unit)
    width, top, height = extent.width, flow - extent.up, extent.up + extent.down
    if unit.repeats > 1:  # the edge of a second sheet, and how many there are
        width -= SHEET
        behind = (x + SHEET, top - SHEET, width, height)
        _box(axes, behind, "white", RULE, zorder=2)
        axes.text(x + width, top - SHEET - 2, f"× {unit.repeats}", ha="right")
    _box(axes, (x, top, width, height), "white", RULE, zorder=2.1)
    lanes = _lanes(unit)
    start, end = x + FRAME_PAD, x + width - FRAME_PAD
    if len(lanes) == 1:
        _wire(axes, [x, x + width], [flow, flow])
        _draw_branch(axes, unit.branches[0], start, flow)
        return
    meet = end - (PLUS if unit.join == "add" else 0.0)
    _wire(axes, [x, start], [flow, flow])
    _wire(axes, [meet, x + width], [flow, flow])
    y = top + FRAME_PAD
    heights = []
    for branch, lane_height in lanes:
        middle = y + (lane_height / 2 if branch else 0.0)
        heights.append(middle)
        _wire(axes, [start, start, meet, meet], [flow, middle, middle, flow])
        if branch:
            room = meet - start - (PLUS if unit.join == "add" else 0.0)
            _draw_branch(axes, branch, start + (room - _branch_size(branch)[0]) / 2, middle)
        y += lane_height + LANE_GAP
    _draw_join(axes, unit, meet, flow, heights)


def _draw_join(axes: Axes, unit: Unit, x: float, flow: float, lanes: Sequence[float]) -> None:
    if unit.join == "add":
        axes.add_patch(Circle((x, flow), PLUS, fc="white", ec=INK, lw=LINE, zorder=3))
        for dx, dy in ((PLUS - 1.2, 0), (0, PLUS - 1.2)):
            axes.plot([x - dx, x + dx], [flow - dy, flow + dy], color=INK, lw=LINE, zorder=4)
    elif unit.join == "concat":
        ends = [min(lanes), max(lanes)]
        axes.plot([x, x], ends, color=INK, linewidth=1.3, solid_capstyle="round", zorder=3)


def _draw_branch(axes: Axes, branch: Branch, x: float, flow: float) -> None:
    """Its steps from left to right around the height ``flow``."""
    before = 1
    for place, step in enumerate(branch):
        width, height = _step_size(step)
        if place:
            _link(axes, before, len(step), x, flow)
            x += STEP_GAP
        y = flow - height / 2
        if len(step) > 1:  # hides the line behind, which does not run between the cells
            _box(axes, (x, y, width, height), "white", "white", zorder=2.3)
        for cell in step:
            _draw_cell(axes, cell, x, y, width)
            y += CELL_HEIGHT + LANE_GAP
        x += width
        before = len(step)
    if before > 1:
        _link(axes, before, 1, x, flow)


def _link(axes: Axes, before: int, after: int, x: float, flow: float) -> None:
    """Lines from one step to the next, each of one cell or of several side by side."""
    middle = x + STEP_GAP / 2
    pitch = CELL_HEIGHT + LANE_GAP
    for count, edge in ((before, x), (after, x + STEP_GAP)):
        for place in range(count):
            y = flow + (place - (count - 1) / 2) * pitch
            _wire(axes, [edge, middle, middle], [y, y, flow], zorder=2.4)


def _draw_cell(axes: Axes, cell: Cell, x: float, y: float, width: float) -> None:
    colour = FILLS[cell.kind]
    place = (x, y, width, CELL_HEIGHT)
    _box(axes, place, tint(colour, 0.13), tint(colour, 0.7), zorder=3, dashed=cell.optional)
    lines = [text for text in cell_texts(cell) if text]
    first = CELL_HEIGHT / 2 + 2.4 - 4 * (len(lines) - 1)
    for number, text in enumerate(lines):
        axes.text(x + width / 2, y + first + 8 * number, text, ha="center", zorder=4)


def _wire(axes: Axes, x: Sequence[float], y: Sequence[float], zorder: float = 2.2) -> None:
    axes.plot(x, y, color=WIRE, linewidth=LINE, solid_joinstyle="round", zorder=zorder)


def _box(
    axes: Axes,
    place: tuple[float, float, float, float],
    fill: str | tuple[float, float, float],
    edge: str | tuple[float, float, float],
    *,
    zorder: float,
    dashed: bool = False,
) -> None:
    """A rectangle with round corners at (left, top, width, height)."""
    left, top, width, height = place
    axes.add_patch(
        FancyBboxPatch(
            (left, top),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.6",
            fc=fill,
            ec=edge,
            lw=LINE,
            ls=(0, (2, 1.4)) if dashed else "-",
            zorder=zorder,
        )
    )


def _arrow(axes: Axes, start: float, end: float, y: float) -> None:
    style = {"arrowstyle": "-|>,head_length=0.22,head_width=0.11", "color": WIRE}
    ends = {"shrinkA": 0, "shrinkB": 0, "linewidth": LINE}
    axes.annotate("", (end, y), (start, y), arrowprops=style | ends)
