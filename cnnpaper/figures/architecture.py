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
    kernel: Side | None = None
    """Sides in pixels, the shorter first (the log does not tell which way it lies)."""
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
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)


def stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network, from input to output; none where no layer was recorded."""
    groups = groupby(_Graph(network).parts(), key=lambda part: part.side)
    return tuple(Stage(side, _merged(group)) for side, group in groups)


class _Graph:
    """Layers that are drawn, and joins, with what each takes its input from."""

    def __init__(self, network: Network) -> None:
        self.cells: dict[str, Cell] = {}
        last = ""
        for layer in network.layers:
            if cell := _cell(layer):
                last, self.cells[layer.name] = layer.name, cell
            elif last:  # batch norm counts with the layer before it
                cell = self.cells[last]
                self.cells[last] = replace(cell, parameters=cell.parameters + layer.parameters)
        sides = [cell.side for cell in self.cells.values()]
        self.out = {layer.name: (layer.out[0], _side(layer)) for layer in network.layers}
        """Node → channels and side of what it gives."""
        self.out["input"] = (0, max(sides, default=(1, 1)))
        self.before: dict[str, list[str]] = {}
        """Nodes that are kept, each after those that it takes its input from."""
        self._build(network)

    def _build(self, network: Network) -> None:
        """Leave out batch norm, pools that keep the size, and joins of one thing."""
        before: dict[str, list[str]] = {}
        for source, target in network.edges:
            before.setdefault(target, []).append(source)
        if "output" not in before:  # it could not be traced
            before = {b: [a] for a, b in pairwise(["input", *self.cells, "output"])}
        layers = {layer.name: layer for layer in network.layers}
        instead: dict[str, str] = {}
        whole: dict[str, set[str]] = {}
        for name in ("input", *before):  # edges are listed in the order of execution
            sources = list(dict.fromkeys(instead.get(one, one) for one in before.get(name, ())))
            if name.startswith("cat "):
                sources = _nested(name, sources, whole)
            layer = layers.get(name)
            if layer is None and sources:
                self._join(name, sources)
            adapts = layer is not None and layer.type.startswith("Adaptive")
            idle = adapts and self.out[name][1] == self.out[sources[0]][1]
            drawn = name in ("input", "output") or (name in self.cells and not idle)
            if not drawn and len(sources) == 1:
                instead[name] = sources[0]
                continue
            given = self.out[before[name][0]][0] if sources else 0
            if layer and layer.type == "Linear" and layer.channels_in == given:
                sources = [self._pooled(sources[0], name, (1, 1))]
            self.before[name] = sources

    def _join(self, name: str, sources: list[str]) -> None:
        """What a join gives; inputs that are larger than others have been pooled by a function."""
        side = min(self.out[one][1] for one in sources)
        sources[:] = [self._pooled(one, name, side) for one in sources]
        channels = [self.out[one][0] for one in sources]
        self.out[name] = (sum(channels) if name.startswith("cat ") else channels[0], side)

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
        at = {name: place for place, name in enumerate(order)}
        cuts: list[int] = []
        earliest = len(order)  # that a node further on takes its input from
        for name in reversed(order):
            if at[name] <= earliest:  # no path leads past it
                cuts.insert(0, at[name])
            earliest = min([earliest, *(at[source] for source in self.before[name])])
        for start, end in pairwise(cuts):
            yield from self._between(order[start + 1 : end + 1])

    def _between(self, names: Sequence[str]) -> Iterator[Part]:
        """From one cut to the next: a layer, or the branches of a block."""
        *inner, end = names
        if not inner:
            yield from (self.cells[name] for name in names if name in self.cells)
            return
        connected, nothing = self._components(inner), frozenset[str]()
        parts = dict.fromkeys(
            next((part for part in connected if source in part), nothing)
            for source in self.before[end]
        )
        branches = [self._branch([name for name in inner if name in part]) for part in parts]
        join = "add" if end.startswith("add ") else "cat"
        if join == "add":  # shortcuts lie above the branch with the most layers
            branches.sort(key=len)
        yield Block(branches=tuple(branches), join=join, side=self.out[end][1])

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

    def _components(self, names: Sequence[str]) -> list[frozenset[str]]:
        """Sets of nodes that edges connect."""
        found: list[frozenset[str]] = []
        for name in names:
            linked = {source for source in self.before[name] if source in names}
            touched = [part for part in found if part & linked]
            found = [part for part in found if part not in touched]
            found.append(frozenset({name}).union(*touched))
        return found


def _nested(name: str, sources: list[str], whole: dict[str, set[str]]) -> list[str]:
    """A concatenation that holds all of an earlier one takes that one instead."""
    inner = [cat for cat in whole if len(whole[cat]) > 1 and whole[cat] < set(sources)]
    whole[name] = set(sources)
    if not inner:
        return sources
    largest = max(inner, key=lambda cat: len(whole[cat]))
    return [largest, *(one for one in sources if one not in whole[largest])]


def _cell(layer: Layer) -> Cell | None:
    """None for what is not drawn: batch norm."""
    kind: Kind
    if "Pool" in layer.type:
        kind = "pool"
    elif layer.type == "Linear":
        kind = "linear"
    elif not layer.type.startswith("Conv"):
        return None
    elif layer.groups and layer.groups > 1 and layer.groups == layer.channels_in:
        kind = "depthwise"
    else:
        kind = "pointwise" if layer.kernel == 1 else "conv"
    kernel, stride, pool = layer.kernel, layer.stride or 1, ""
    if kind == "pool":
        pool = "max" if "Max" in layer.type else "average"
    return Cell(
        kind=kind, pool=pool, stride=stride, channels=(layer.out[0], layer.out[0]),
        kernel=None if kernel is None else (1 if _is_line(layer) else kernel, kernel),
        side=_side(layer), parameters=layer.parameters,
    )  # fmt: skip


def _is_line(layer: Layer) -> bool:
    """A kernel of 1 × k: the log has only the longer side, but k, not k², weights are used."""
    inputs = (layer.channels_in or 1) // (layer.groups or 1)
    used = layer.macs // (math.prod(layer.out) * inputs) if layer.macs else 0
    return used == layer.kernel != 1


def _side(layer: Layer) -> Side:
    return (layer.out[1], layer.out[2]) if len(layer.out) == 3 else (1, 1)


def _merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Equal blocks in a row as one, with their number."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(last, Block) and isinstance(part, Block) and _repeats(last, part):
            branches = tuple(map(_merge, last.branches, part.branches))
            out[-1] = replace(last, branches=branches, repeats=last.repeats + 1)
        else:
            out.append(part)
    return tuple(out)


def _repeats(first: Block, other: Block) -> bool:
    """Is ``other`` the same block again?

    Channels may differ, but not the sum of an addition; the first may have a projection where the
    others add their input itself.
    """
    if first.join != other.join or len(first.branches) != len(other.branches):
        return False
    for one, two in zip(first.branches, other.branches, strict=True):
        projection = first.join == "add" and len(one) == 1 and not two
        if _shape(one) != _shape(two) and not projection:
            return False
    return first.join == "cat" or first.cells[-1].channels == other.cells[-1].channels


def _shape(branch: Branch) -> list[list[object]]:
    """A branch without what may differ between repeats: channels, stride and parameters."""
    return [[(cell.kind, cell.pool, cell.kernel) for cell in column] for column in branch]


def _merge(first: Branch, other: Branch) -> Branch:
    if not other:
        return tuple(tuple(replace(cell, optional=True) for cell in column) for column in first)
    return tuple(tuple(map(_merge_cells, one, two)) for one, two in zip(first, other, strict=True))


def _merge_cells(first: Cell, other: Cell) -> Cell:
    channels = first.channels + other.channels
    total = first.parameters + other.parameters
    return replace(first, channels=(min(channels), max(channels)), parameters=total)


# ------------------------------------------------------------------------------- text


def cell_texts(cell: Cell, words: Words) -> tuple[str, str]:
    """Upper and lower line of a cell; a pool, which keeps the channels, shows its kernel below."""
    arrow = {1: "", 2: "↓"}.get(cell.stride, f"↓{cell.stride}")
    kernel = ("×".join(map(str, cell.kernel)) if cell.kernel else "") + arrow
    if cell.kind == "pool":
        return words[cell.pool], kernel
    low, high = cell.channels
    channels = str(low) if low == high else f"{low}–{high}"
    first = {"linear": words["linear_short"], "depthwise": f"dw {kernel}"}.get(cell.kind, kernel)
    return first, channels


def stage_texts(stage: Stage) -> tuple[str, str]:
    """What stands above and below a stage."""
    return f"{stage.side[0]}×{stage.side[1]}", f"{stage.parameters:,}"


def architecture_alt(name: str, network: Network, words: Words) -> str:
    """What the drawing of a network shows."""
    said = []
    for stage in stages(network):
        pixels, parameters = stage_texts(stage)
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
Draw: TypeAlias = Callable[[Axes, float, float], None]


@dataclass(frozen=True)
class Piece:
    """Something laid out: its size, and how to draw it from its left end on a line of flow."""

    width: float
    up: float  # height above the line on which the data flow
    down: float
    draw: Draw


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
    lanes = [
        _beside(
            [_below([_cell_piece(cell, words) for cell in column], 0)[0] for column in branch],
            STEP_GAP,
        )
        for branch in block.branches
    ]
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


def _panel_piece(stage: Stage, words: Words) -> Piece:
    """What is in a panel, in its middle, with room for the lines of text above and below it."""
    pieces = [
        _block_piece(part, words) if isinstance(part, Block) else _cell_piece(part, words)
        for part in stage.parts
    ]
    row = _beside(pieces, STEP_GAP)
    width = max(row.width + 2 * STAGE_PAD, *(style.text_width(t) + 1 for t in stage_texts(stage)))

    def draw(axes: Axes, x: float, y: float) -> None:
        _wire(axes, [x, x + width], [y, y], zorder=1)
        row.draw(axes, x + (width - row.width) / 2, y)

    return Piece(width, row.up + STAGE_PAD + HEAD, row.down + STAGE_PAD + HEAD, draw)


def _row_piece(row: Sequence[Stage], words: Words) -> Piece:
    """Panels of equal height in a row."""
    panels = [_panel_piece(stage, words) for stage in row]
    all_of_them = _beside(panels, STAGE_GAP)
    up, down = all_of_them.up - HEAD, all_of_them.down - HEAD

    def draw(axes: Axes, x: float, y: float) -> None:
        all_of_them.draw(axes, x, y)
        for place, (stage, panel) in enumerate(zip(row, panels, strict=True)):
            if place:
                arrow = {"arrowstyle": "-|>,head_length=0.2,head_width=0.1", "color": WIRE}
                ends = {"shrinkA": 0, "shrinkB": 0, "linewidth": THIN}
                axes.annotate("", (x, y), (x - STAGE_GAP, y), arrowprops=arrow | ends)
            _box(axes, (x, y + (down - up) / 2, panel.width, up + down), PANEL, PANEL, zorder=0)
            above, below = stage_texts(stage)
            middle = x + panel.width / 2
            axes.text(middle, y - up - 3, above, ha="center")
            axes.text(middle, y + down + 7.5, below, ha="center", color=GREY)
            x += panel.width + STAGE_GAP

    return Piece(all_of_them.width, all_of_them.up, all_of_them.down, draw)


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
    rows = [
        (name if not place else "", _row_piece(row, words))
        for name, each in found.items()
        for place, row in enumerate(_rows(each, words))
    ]
    tall = sum(piece.up + piece.down + ROW_GAP + (NAME if name else 0) for name, piece in rows)
    figure = Figure(figsize=(style.TEXT_WIDTH / 25.4, tall / 72), dpi=360)
    parts = [part for each in found.values() for stage in each for part in stage.parts]
    handles, notes = _signs(parts, words)
    made = style.legend(
        figure, handles, title=notes, alignment="left", loc="lower left", columnspacing=0.6,
        handlelength=1.2,
    )  # fmt: skip
    whole = tall / 72 + made.get_window_extent().height / figure.dpi + 0.06
    figure.set_figheight(whole)
    share = tall / 72 / whole
    axes = figure.add_axes((0, 1 - share, 1, share))
    axes.set(xlim=(-1, ROOM + 1), ylim=(tall, 0))
    axes.set_axis_off()
    y = 0.0
    for name, piece in rows:
        if name:
            axes.text(0, y + NAME - 4, name, fontsize=9)
            y += NAME
        piece.draw(axes, 0, y + piece.up)
        y += piece.up + piece.down + ROW_GAP
    return figure


def _rows(found: Sequence[Stage], words: Words) -> list[list[Stage]]:
    """Panels in rows, as many in each as fit."""
    rows: list[list[Stage]] = []
    for stage in found:
        if rows and _row_piece([*rows[-1], stage], words).width <= ROOM:
            rows[-1].append(stage)
        else:
            rows.append([stage])
    return rows


def _signs(parts: Sequence[Part], words: Words) -> tuple[list[Any], str]:
    """Handles and a text for a legend that has what is drawn, and nothing else."""
    blocks = [part for part in parts if isinstance(part, Block)]
    cells = [part for part in parts if isinstance(part, Cell)]
    cells += [cell for block in blocks for cell in block.cells]
    there = {cell.kind for cell in cells} | {block.join for block in blocks} | {"above"}
    more = {
        "optional": any(cell.optional for cell in cells),
        "halves": any(cell.stride == 2 for cell in cells),
        "repeated": any(block.repeats > 1 for block in blocks),
        "range": any(cell.channels[0] < cell.channels[1] for cell in cells),
    }
    there |= {key for key, is_drawn in more.items() if is_drawn}
    circle, cross = _plus()
    circle.set_label(words["add"])
    bar: dict[str, Any] = {"color": INK, "marker": "|", "mew": 1.4, "ms": 8, "ls": "none"}
    handles: dict[str, Any] = {
        **{kind: Patch(label=words[kind], lw=THIN, **_looks(kind)) for kind in FILLS},
        "optional": Patch(label=words["optional"], lw=THIN, **_looks("pool", optional=True)),
        "add": (circle, cross),
        "cat": Line2D([], [], label=words["cat"], **bar),
    }
    shown = [handle for key, handle in handles.items() if key in there]
    lines: list[str] = []
    for note in (words[key] for key in ("above", "halves", "repeated", "range") if key in there):
        longer = f"{lines[-1]}{words['semicolon']}{note}" if lines else note
        if lines and style.text_width(longer) < ROOM:
            lines[-1] = longer
        else:
            lines.append(note)
    return shown, "\n".join(lines)
