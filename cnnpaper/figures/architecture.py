"""Drawings of networks, made from the layers and edges in their logs.

A network is read as a chain of layers and blocks: where all paths from input to output pass through
one node, the chain is cut; what lies between two cuts is a block, whose branches are added or
concatenated. A branch is a row of layers; those that work side by side within it stand one below
the other. A concatenation that holds an earlier one is taken as that one with more, so that
DenseNet's blocks are what they are. A network without edges is drawn as the row of its layers.

From left to right, panels group what has the same output size; equal blocks in a row are drawn
once. Lengths are in points here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch

from cnnpaper.figures import style
from cnnpaper.figures.style import GREY, INK, PALETTE, RULE, THIN, Words, tint
from cnnpaper.log import Layer, Network

Kind: TypeAlias = Literal["conv", "pointwise", "depthwise", "pool", "linear"]
Side: TypeAlias = tuple[int, int]

# ------------------------------------------------------------------------------- structure


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One layer, or the layers at one place of blocks that are repeated."""

    kind: Kind
    pool: str = ""
    """Key of its word: ``max``, ``average``, or ``pooled``, where the log does not say which."""
    kernel: str = ""  # `1×7`: the shorter side first, as the log does not tell which way it lies
    stride: int = 1
    channels: tuple[int, int]  # smallest and largest number of output channels over the repeats
    side: Side  # height and width of the output in pixels; (1, 1) for a vector
    parameters: int = 0  # of all repeats, batch norm included
    optional: bool = False  # only the first of the repeated blocks has it


Branch: TypeAlias = tuple[tuple[Cell, ...], ...]
"""Layers from left to right, with those that work side by side; empty for the input itself."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Branches that meet."""

    branches: tuple[Branch, ...]  # from top to bottom
    join: str  # `add` or `cat`
    side: Side
    repeats: int = 1

    @property
    def cells(self) -> list[Cell]:
        return [cell for branch in self.branches for column in branch for cell in column]

    @property
    def parameters(self) -> int:
        return sum(cell.parameters for cell in self.cells)


Part: TypeAlias = Cell | Block


@dataclass(frozen=True)
class Stage:
    """Parts in a row whose outputs have one size."""

    side: Side
    parts: tuple[Part, ...]

    @property
    def texts(self) -> tuple[str, str]:
        """What stands above and below it: pixels and parameters."""
        parameters = sum(part.parameters for part in self.parts)
        return f"{self.side[0]}×{self.side[1]}", f"{parameters:,}"


def stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network, from input to output; none where no layer was recorded."""
    groups = groupby(_Graph(network).parts(), key=lambda part: part.side)
    return tuple(Stage(side, tuple(_merged(group))) for side, group in groups)


class _Graph:
    """Layers that are drawn, and joins, with what each takes its input from."""

    def __init__(self, network: Network) -> None:
        self.cells = _cells(network)
        self.layers = {layer.name: layer for layer in network.layers}
        self.out = {name: (layer.out[0], _side(layer)) for name, layer in self.layers.items()}
        """Node → channels and side of what it gives."""
        self.out["input"] = (0, max((cell.side for cell in self.cells.values()), default=(1, 1)))
        self.before: dict[str, list[str]] = {"input": []}
        """Nodes that are kept, each after those that it takes its input from."""
        traced: dict[str, list[str]] = {}
        for source, target in network.edges:  # in the order of execution
            traced.setdefault(target, []).append(source)
        if "output" not in traced:  # it could not be traced
            traced = {b: [a] for a, b in pairwise(["input", *self.cells, "output"])}
        instead: dict[str, str] = {}
        whole: dict[str, set[str]] = {}
        for name, given in traced.items():
            sources = list(dict.fromkeys(instead.get(source, source) for source in given))
            if name.startswith("cat "):
                sources = _nested(name, sources, whole)
            if len(sources) == 1 and self._is_idle(name, sources[0]):
                instead[name] = sources[0]
            else:
                self.before[name] = self._pooled_sources(name, sources)

    def _is_idle(self, name: str, source: str) -> bool:
        """Batch norm, a pool that keeps the size, a join of one thing: not drawn."""
        if name not in self.cells:
            return name != "output"
        adapts = self.layers[name].type.startswith("Adaptive")
        return adapts and self.out[name][1] == self.out[source][1]

    def _pooled_sources(self, name: str, sources: list[str]) -> list[str]:
        """Sources, with pools where a function, which the log does not list, made them smaller."""
        if layer := self.layers.get(name):
            is_pooled = layer.type == "Linear" and layer.channels_in == self.out[sources[0]][0]
            return [self._pooled(sources[0], name, (1, 1))] if is_pooled else sources
        side = min(self.out[source][1] for source in sources)
        sources = [self._pooled(source, name, side) for source in sources]
        channels = [self.out[source][0] for source in sources]
        self.out[name] = (sum(channels) if name.startswith("cat ") else channels[0], side)
        return sources

    def _pooled(self, source: str, target: str, side: Side) -> str:
        """``source``, or a pool between it and ``target`` that gives this size."""
        channels, larger = self.out[source]
        if larger <= side:
            return source
        name = f"pool {source} {target}"
        stride = 1 if side == (1, 1) else round(larger[0] / side[0])
        self.cells[name] = Cell(
            kind="pool", pool="pooled", side=side, stride=stride, channels=(channels, channels)
        )
        self.out[name], self.before[name] = (channels, side), [source]
        return name

    def parts(self) -> Iterator[Part]:
        """Layers and blocks in a row, cut where all paths meet."""
        order = list(self.before)
        last_use = {source: at for at, name in enumerate(order) for source in self.before[name]}
        furthest, inner = 0, list[str]()
        for at, name in enumerate(order):
            if furthest > at:  # a path leads past it
                inner.append(name)
            elif inner:
                yield self._block(inner, name)
                inner = []
            elif name in self.cells:
                yield self.cells[name]
            furthest = max(furthest, last_use.get(name, 0))

    def _block(self, inner: Sequence[str], end: str) -> Block:
        """The branches that meet in ``end``."""
        group: dict[str, str] = {}  # node → the last of those that edges connect with it
        for name in inner:
            linked = {group[source] for source in self.before[name] if source in group}
            group |= {one: name for one, last in group.items() if last in linked} | {name: name}
        branches = [
            self._branch([name for name in inner if group[name] == last])
            for last in dict.fromkeys(group.get(source) for source in self.before[end])
        ]
        join = "add" if end.startswith("add ") else "cat"
        if join == "add":  # shortcuts lie above the branch with the most layers
            branches.sort(key=len)
        return Block(branches=tuple(branches), join=join, side=self.out[end][1])

    def _branch(self, names: Sequence[str]) -> Branch:
        """Columns by the number of layers that lead there."""
        depth: dict[str, int] = {}
        columns: dict[int, tuple[Cell, ...]] = {}
        for name in names:
            depth[name] = max((depth.get(one, 0) for one in self.before[name]), default=0)
            if name in self.cells:
                depth[name] += 1
                columns[depth[name]] = (*columns.get(depth[name], ()), self.cells[name])
        return tuple(columns[place] for place in sorted(columns))


def _nested(name: str, sources: list[str], whole: dict[str, set[str]]) -> list[str]:
    """A concatenation that holds all of an earlier one takes that one instead."""
    inner = [cat for cat in whole if len(whole[cat]) > 1 and whole[cat] < set(sources)]
    whole[name] = set(sources)
    if not inner:
        return sources
    largest = max(inner, key=lambda cat: len(whole[cat]))
    return [largest, *(one for one in sources if one not in whole[largest])]


def _cells(network: Network) -> dict[str, Cell]:
    """Layers that are drawn, by name; batch norm counts with the layer before it."""
    cells: dict[str, Cell] = {}
    for layer in network.layers:
        if kind := _kind(layer):
            word = "max" if "Max" in layer.type else "average"
            cells[layer.name] = Cell(
                kind=kind, pool=word if kind == "pool" else "", kernel=_kernel(layer),
                stride=layer.stride or 1, channels=(layer.out[0], layer.out[0]),
                side=_side(layer), parameters=layer.parameters,
            )  # fmt: skip
        elif cells:
            name, cell = cells.popitem()
            cells[name] = replace(cell, parameters=cell.parameters + layer.parameters)
    return cells


def _kind(layer: Layer) -> Kind | None:
    """None for what is not drawn: batch norm."""
    if "Pool" in layer.type:
        return "pool"
    if layer.type == "Linear":
        return "linear"
    if not layer.type.startswith("Conv"):
        return None
    if layer.groups and layer.groups > 1 and layer.groups == layer.channels_in:
        return "depthwise"
    return "pointwise" if layer.kernel == 1 else "conv"


def _kernel(layer: Layer) -> str:
    """``3×3``, or ``1×7``: the log has only the longer side k, but of such k, not k², weights."""
    if layer.kernel is None:
        return ""
    inputs = (layer.channels_in or 1) // (layer.groups or 1)
    weights = layer.macs // (math.prod(layer.out) * inputs)  # of an output channel and an input
    return f"{1 if weights == layer.kernel else layer.kernel}×{layer.kernel}"


def _side(layer: Layer) -> Side:
    return (layer.out[1], layer.out[2]) if len(layer.out) == 3 else (1, 1)


def _merged(parts: Iterable[Part]) -> Iterator[Part]:
    """Equal blocks in a row as one, with their number."""
    for _, group in groupby(parts, key=_likeness):
        same = list(group)
        blocks = [part for part in same if isinstance(part, Block)]
        yield _merge(blocks) if blocks else same[0]


def _likeness(part: Part) -> object:
    """Equal for blocks that are the same again.

    Channels may differ, but not the sum of an addition; some may have a projection where others
    add their input itself.
    """
    if isinstance(part, Cell):
        return object()
    shapes = [
        [[(cell.kind, cell.pool, cell.kernel) for cell in column] for column in branch]
        for branch in part.branches
    ]
    if part.join == "cat":
        return part.join, shapes
    projection = shapes[0] if len(shapes[0]) > 1 else []
    return part.join, [projection, *shapes[1:]], part.cells[-1].channels


def _merge(blocks: Sequence[Block]) -> Block:
    branches: list[Branch] = []
    for same in zip(*(block.branches for block in blocks), strict=True):
        there = [branch for branch in same if branch]
        columns = [list(zip(*column, strict=True)) for column in zip(*there, strict=True)]
        optional = len(there) < len(same)
        branches.append(
            tuple(tuple(_merge_cells(cells, optional) for cells in column) for column in columns)
        )
    return replace(blocks[0], branches=tuple(branches), repeats=len(blocks))


def _merge_cells(cells: Sequence[Cell], optional: bool) -> Cell:
    sizes = [cell.channels[0] for cell in cells]
    total, channels = sum(cell.parameters for cell in cells), (min(sizes), max(sizes))
    return replace(cells[0], channels=channels, parameters=total, optional=optional)


# ------------------------------------------------------------------------------- text


def cell_texts(cell: Cell, words: Words) -> tuple[str, str]:
    """Upper and lower line of a cell; a pool, which keeps the channels, shows its kernel below."""
    kernel = cell.kernel + {1: "", 2: "↓"}.get(cell.stride, f"↓{cell.stride}")
    if cell.kind == "pool":
        return words[cell.pool], kernel
    low, high = cell.channels
    first = {"linear": words["linear_short"], "depthwise": f"dw {kernel}"}.get(cell.kind, kernel)
    return first, str(low) if low == high else f"{low}–{high}"


def architecture_alt(name: str, network: Network, words: Words) -> str:
    """What the drawing of a network shows."""
    said = []
    for stage in stages(network):
        pixels, parameters = stage.texts
        units = words["alt_then"].join(_part_alt(part, words) for part in stage.parts)
        said.append(words["alt_stage"].format(pixels=pixels, parameters=parameters, units=units))
    return words["alt_architecture"].format(name=name, stages=words["semicolon"].join(said))


def _part_alt(part: Part, words: Words) -> str:
    if isinstance(part, Cell):
        return " ".join(filter(None, cell_texts(part, words)))
    said = []
    for branch in part.branches:
        columns = [
            words["alt_cat"].join(_part_alt(cell, words) for cell in column) for column in branch
        ]
        said.append(f"({words['alt_then'].join(columns)})" if branch else words["alt_identity"])
    key = "alt_blocks" if part.repeats > 1 else "alt_block"
    return words[key].format(count=part.repeats, branches=words[f"alt_{part.join}"].join(said))


# ------------------------------------------------------------------------------- drawing

# lengths and room, in points
CELL_HEIGHT, CELL_LEAST = 19.0, 15.0  # of a layer, and its least width
LANE_GAP = 2.2  # between branches, one below the other
STEP_GAP = 2.8  # between parts that follow each other
FORK = 3.0  # for the lines that part before branches and meet after them
FRAME_PAD, STAGE_PAD = 2.4, 2.0  # within the frame of a block, and within a panel
PLUS = 2.8  # radius of the sign for an addition
SHEET, COUNT = 1.5, 9.0  # of a repeated block: how far the second sheet looks out; its number
STAGE_GAP, ROW_GAP = 4.0, 4.0
HEAD = 10.0  # for the line of text above a panel, and for that below it
NAME = 14.0  # for a network's name
ROOM = style.TEXT_WIDTH * 72 / 25.4 - 2  # width of a row
WIRE = "#8f8f8f"
PANEL = "#f4f4f2"
FILLS: dict[Kind, str] = {
    "conv": PALETTE[0],
    "pointwise": PALETTE[5],
    "depthwise": PALETTE[2],
    "pool": GREY,
    "linear": PALETTE[4],
}
"""Colours of the kinds of layers, drawn pale; the text of a cell says the same."""


@dataclass(frozen=True)
class Piece:
    """Something laid out: its size, and how to draw it from its left end on a line of flow."""

    width: float
    up: float  # height above the line on which the data flow
    down: float
    draw: Callable[[Axes, float, float], None]


def _beside(pieces: Sequence[Piece], gap: float) -> Piece:
    """Pieces from left to right."""

    def draw(axes: Axes, x: float, y: float) -> None:
        for piece in pieces:
            piece.draw(axes, x, y)
            x += piece.width + gap

    width = sum(piece.width for piece in pieces) + gap * max(0, len(pieces) - 1)
    up = max((piece.up for piece in pieces), default=0.0)
    return Piece(width, up, max((piece.down for piece in pieces), default=0.0), draw)


def _below(pieces: Sequence[Piece], gap: float) -> tuple[Piece, list[float]]:
    """Pieces from top to bottom, centred, and where their middles lie from that of all."""
    width = max(piece.width for piece in pieces)
    height = sum(2 * piece.up for piece in pieces) + gap * (len(pieces) - 1)
    middles, top = [], -height / 2
    for piece in pieces:
        middles.append(top + piece.up)
        top += 2 * piece.up + gap

    def draw(axes: Axes, x: float, y: float) -> None:
        for piece, middle in zip(pieces, middles, strict=True):
            piece.draw(axes, x + (width - piece.width) / 2, y + middle)

    return Piece(width, height / 2, height / 2, draw), middles


def _cell_piece(cell: Cell, words: Words) -> Piece:
    lines = [text for text in cell_texts(cell, words) if text]
    width = max(CELL_LEAST, *(style.text_width(text) + 2 for text in lines))

    def draw(axes: Axes, x: float, y: float) -> None:
        _box(axes, (x, y, width, CELL_HEIGHT), zorder=3, **_looks(cell.kind, cell.optional))
        for number, text in enumerate(lines):
            base = y + 2.8 + 8.4 * (number - (len(lines) - 1) / 2)
            axes.text(x + width / 2, base, text, ha="center", zorder=5)

    return Piece(width, CELL_HEIGHT / 2, CELL_HEIGHT / 2, draw)


def _looks(kind: Kind, optional: bool = False) -> dict[str, Any]:
    colour, ls = FILLS[kind], (0, (2, 1.4)) if optional else "-"
    return {"fc": tint(colour, 0.14), "ec": tint(colour, 0.75), "ls": ls}


def _block_piece(block: Block, words: Words) -> Piece:
    """Branches one below the other in a frame, of which a second sheet tells of repeats."""
    lanes = []
    for branch in block.branches:
        columns = [[_cell_piece(cell, words) for cell in column] for column in branch]
        lanes.append(_beside([_below(column, 0)[0] for column in columns], STEP_GAP))
    inner, middles = _below(lanes, LANE_GAP if all(block.branches) else 2 * LANE_GAP)
    fork = FORK + FRAME_PAD
    meet = fork + inner.width + (FORK + PLUS if block.join == "add" else FORK)
    width = meet + (PLUS if block.join == "add" else 0) + FRAME_PAD
    height = 2 * inner.up + 2 * FRAME_PAD + (0 if all(block.branches) else 2 * LANE_GAP)
    sheet, count = (SHEET, COUNT) if block.repeats > 1 else (0.0, 0.0)

    def draw(axes: Axes, x: float, y: float) -> None:
        if sheet:
            _box(axes, (x + sheet, y - sheet, width, height), "white", RULE, zorder=2)
            top = y - height / 2 - sheet - 1.8
            axes.text(x + width, top, f"×{block.repeats}", ha="right", zorder=5)
        _box(axes, (x, y, width, height), "white", RULE, zorder=2.1)
        _wire(axes, [x, x + FRAME_PAD], [y, y])
        _wire(axes, [x + meet, x + width], [y, y])
        for middle in middles:
            at, left = y + middle, x + FRAME_PAD
            _wire(axes, [left, left, x + meet, x + meet], [y, at, at, y])
        inner.draw(axes, x + fork, y)
        if block.join == "add":
            for sign in _plus():
                axes.add_line(sign)
                sign.set_data([x + meet], [y])
        else:
            ends = [y + min(middles), y + max(middles)]
            axes.plot([x + meet] * 2, ends, color=INK, lw=1.4, solid_capstyle="round", zorder=3)

    return Piece(width + sheet, height / 2 + count, height / 2, draw)


def _plus() -> tuple[Line2D, Line2D]:
    """The sign of an addition: a circle and a cross in it."""
    line: dict[str, Any] = {"color": INK, "mew": THIN, "ls": "none"}
    circle = Line2D([], [], marker="o", ms=2 * PLUS, mfc="white", zorder=4, **line)
    return circle, Line2D([], [], marker="+", ms=1.4 * PLUS, zorder=5, **line)


def _panel(stage: Stage, words: Words) -> Piece:
    """What is in a panel, in its middle, with room for the lines of text above and below it."""
    pieces = [
        _block_piece(part, words) if isinstance(part, Block) else _cell_piece(part, words)
        for part in stage.parts
    ]
    row = _beside(pieces, STEP_GAP)
    width = max(row.width + 2 * STAGE_PAD, *(style.text_width(t) + 1 for t in stage.texts))

    def draw(axes: Axes, x: float, y: float) -> None:
        _wire(axes, [x, x + width], [y, y], zorder=1)
        row.draw(axes, x + (width - row.width) / 2, y)

    return Piece(width, row.up + STAGE_PAD + HEAD, row.down + STAGE_PAD + HEAD, draw)


def _rows(name: str, found: Sequence[Stage], words: Words) -> list[Piece]:
    """Panels in rows, as many in each as fit, the name of the network above the first."""
    rows: list[list[tuple[Stage, Piece]]] = []
    room = 0.0
    for stage in found:
        panel = _panel(stage, words)
        if not rows or panel.width > room:
            rows.append([])
            room = ROOM
        rows[-1].append((stage, panel))
        room -= panel.width + STAGE_GAP
    return [_row("" if place else name, row) for place, row in enumerate(rows)]


def _row(name: str, row: Sequence[tuple[Stage, Piece]]) -> Piece:
    """Panels of equal height."""
    panels = _beside([panel for _, panel in row], STAGE_GAP)
    up, down = panels.up - HEAD, panels.down - HEAD

    def draw(axes: Axes, x: float, y: float) -> None:
        if name:
            axes.text(x, y - panels.up - 4, name, fontsize=9)
        panels.draw(axes, x, y)
        for place, (stage, panel) in enumerate(row):
            if place:
                arrow = {"arrowstyle": "-|>,head_length=0.2,head_width=0.1", "color": WIRE}
                ends = {"shrinkA": 0, "shrinkB": 0, "linewidth": THIN}
                axes.annotate("", (x, y), (x - STAGE_GAP, y), arrowprops=arrow | ends)
            _box(axes, (x, y + (down - up) / 2, panel.width, up + down), PANEL, PANEL, zorder=0)
            above, below = stage.texts
            middle = x + panel.width / 2
            axes.text(middle, y - up - 3, above, ha="center")
            axes.text(middle, y + down + 7.5, below, ha="center", color=GREY)
            x += panel.width + STAGE_GAP

    return Piece(panels.width, panels.up + (NAME if name else 0), panels.down, draw)


def _wire(axes: Axes, x: Sequence[float], y: Sequence[float], zorder: float = 2.4) -> None:
    axes.plot(x, y, color=WIRE, lw=THIN, solid_joinstyle="round", zorder=zorder)


def _box(
    axes: Axes, place: Sequence[float], fc: Any, ec: Any, zorder: float, ls: Any = "-"
) -> None:
    """A rectangle with round corners at (left, middle, width, height)."""
    left, middle, width, height = place
    corners = "round,pad=0,rounding_size=1.6"
    more = {"fc": fc, "ec": ec, "lw": THIN, "ls": ls, "zorder": zorder}
    box = FancyBboxPatch((left, middle - height / 2), width, height, boxstyle=corners, **more)
    axes.add_patch(box)


# ------------------------------------------------------------------------------- the figure


@style.settings()
def architectures(networks: Mapping[str, Network], words: Words) -> Figure:
    """Networks by printed name, one below the other, with a legend of what is drawn.

    Its height is what the networks need, which may be more than a page has.
    """
    found = {name: stages(network) for name, network in networks.items()}
    rows = [row for name, each in found.items() for row in _rows(name, each, words)]
    tall = sum(row.up + row.down + ROW_GAP for row in rows)
    figure = Figure(figsize=(style.TEXT_WIDTH / 25.4, tall / 72), dpi=360)
    parts = [part for each in found.values() for stage in each for part in stage.parts]
    handles, notes = _signs(parts, words)
    taken = style.legend(
        figure, handles, title=notes, alignment="left", loc="lower left", columnspacing=0.6,
        handlelength=1.2,
    )  # fmt: skip
    figure.set_figheight(tall / 72 + taken + style.LEGEND_GAP)
    share = tall / 72 / figure.get_figheight()
    axes = figure.add_axes((0, 1 - share, 1, share))
    axes.set(xlim=(-1, ROOM + 1), ylim=(tall, 0))
    axes.set_axis_off()
    y = 0.0
    for row in rows:
        row.draw(axes, 0, y + row.up)
        y += row.up + row.down + ROW_GAP
    return figure


def _signs(parts: Sequence[Part], words: Words) -> tuple[list[Any], str]:
    """Handles and a text for a legend that has what is drawn, and nothing else."""
    blocks = [part for part in parts if isinstance(part, Block)]
    cells = [part for part in parts if isinstance(part, Cell)]
    cells += [cell for block in blocks for cell in block.cells]
    drawn = {cell.kind for cell in cells} | {block.join for block in blocks}
    circle, cross = _plus()
    circle.set_label(words["add"])
    bar: dict[str, Any] = {"color": INK, "marker": "|", "mew": 1.4, "ms": 8, "ls": "none"}
    handles: dict[str, Any] = {
        **{kind: Patch(label=words[kind], lw=THIN, **_looks(kind)) for kind in FILLS},
        "optional": Patch(label=words["optional"], lw=THIN, **_looks("pool", optional=True)),
        "add": (circle, cross),
        "cat": Line2D([], [], label=words["cat"], **bar),
    }
    notes = {
        "above": True,
        "halves": any(cell.stride == 2 for cell in cells),
        "repeated": any(block.repeats > 1 for block in blocks),
        "range": any(cell.channels[0] < cell.channels[1] for cell in cells),
    }
    if any(cell.optional for cell in cells):
        drawn.add("optional")
    lines = [""]
    for note in (words[key] for key, is_drawn in notes.items() if is_drawn):
        longer = f"{lines[-1]}{words['semicolon']}{note}" if lines[-1] else note
        lines = [*lines[:-1], longer] if style.text_width(longer) < ROOM else [*lines, note]
    return [handle for key, handle in handles.items() if key in drawn], "\n".join(lines)
