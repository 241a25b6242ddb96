"""Drawings of networks, made from the layers and edges in their logs.

A network is read as a chain of layers and blocks: where all paths from input to output pass through
one node, the chain is cut; what lies between two cuts is a block, whose branches are added or
concatenated. A concatenation that holds an earlier one is taken as that one with more, so that
DenseNet's blocks are what they are. A network without edges is drawn as the row of its layers, and
so is a part that is no nest of branches.

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
from matplotlib.patches import Circle, FancyBboxPatch

from cnnpaper.figures import style
from cnnpaper.figures.style import GREY, INK, MM, PALETTE, RULE, THIN, Entry, Words, tint
from cnnpaper.figures.words import ENGLISH
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
    channels: tuple[int, int]
    """Smallest and largest number of output channels over the repeats."""
    side: Side
    """Height and width of the output in pixels; (1, 1) for a vector."""
    parameters: int = 0
    """Of all repeats, batch norm included."""
    optional: bool = False
    """Only the first of the repeated blocks has it."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Branches that meet."""

    branches: tuple[Chain, ...]
    """From top to bottom; an empty one is the input itself."""
    join: str
    """``add`` or ``cat``."""
    repeats: int = 1

    @property
    def side(self) -> Side:
        return next(branch[-1].side for branch in self.branches if branch)

    @property
    def parameters(self) -> int:
        return sum(part.parameters for branch in self.branches for part in branch)


Part: TypeAlias = Cell | Block
Chain: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True)
class Stage:
    """Parts in a row whose outputs have one size."""

    side: Side
    parts: Chain

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)


def stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network, from input to output; none where no layer was recorded."""
    parts = _Graph(network).chain()
    groups = groupby(parts, key=lambda part: part.side)
    return tuple(Stage(side, tuple(_merged(group))) for side, group in groups)


class _Graph:
    """Layers that are drawn, and joins, with what each takes its input from."""

    def __init__(self, network: Network) -> None:
        self.layers = {layer.name: layer for layer in network.layers}
        self.cells = {layer.name: _cell(layer) for layer in network.layers if _kind(layer)}
        self.before: dict[str, list[str]] = {}
        for source, target in network.edges:
            self.before.setdefault(target, []).append(source)
        if "output" not in self.before:  # it could not be traced
            names = ["input", *self.layers, "output"]
            self.before = {b: [a] for a, b in pairwise(names)}
        self.order = [name for name in self._sorted() if name != "output"]
        self._contract()
        self._nest_concatenations()
        self._add_pools()
        self.order = self._sorted()

    def chain(self) -> Chain:
        inner = set(self.order) - {"input", "output"}
        return tuple(self._series("input", "output", inner, whole=True))

    def _sorted(self) -> list[str]:
        """Nodes from which the output is reached, each after those before it."""
        done: dict[str, None] = {}
        todo = ["output"]
        while todo:
            waiting = [name for name in self.before.get(todo[-1], ()) if name not in done]
            if waiting:
                todo.append(waiting[0])
            else:
                done[todo.pop()] = None
        return list(done)

    def _contract(self) -> None:
        """Leave out batch norm, pools that keep the size, and concatenations of one thing."""
        instead: dict[str, str] = {}
        for name in self.order:
            sources = [instead.get(source, source) for source in self.before.get(name, ())]
            self.before[name] = list(dict.fromkeys(sources))
            if len(self.before[name]) == 1 and self._idle(name, self.before[name][0]):
                instead[name] = self.before[name][0]
                self._give_parameters(name, self.before[name][0])
        self.before["output"] = [instead.get(name, name) for name in self.before["output"]]
        self.order = [name for name in self.order if name not in instead]

    def _idle(self, name: str, source: str) -> bool:
        layer = self.layers.get(name)
        if layer is None:
            return name.startswith("cat ")
        same = layer.type.startswith("Adaptive") and self._side(source) == _side(layer)
        return same or name not in self.cells

    def _give_parameters(self, name: str, source: str) -> None:
        """Those of batch norm count with the layer before it, else with the next."""
        layer = self.layers.get(name)
        later = self.order[self.order.index(name) :]
        takers = [source, *later]
        taker = next((taker for taker in takers if taker in self.cells), None)
        if layer is not None and layer.parameters and taker is not None:
            cell = self.cells[taker]
            self.cells[taker] = replace(cell, parameters=cell.parameters + layer.parameters)

    def _nest_concatenations(self) -> None:
        """A concatenation that holds all of an earlier one takes that one instead."""
        cats = [name for name in self.order if name.startswith("cat ")]
        whole = {name: set(self.before[name]) for name in cats}
        for place, name in enumerate(cats):
            inner = [cat for cat in cats[:place] if whole[cat] < whole[name]]
            if inner:
                largest = max(inner, key=lambda cat: len(whole[cat]))
                rest = [node for node in self.before[name] if node not in whole[largest]]
                self.before[name] = [largest, *rest]

    def _add_pools(self) -> None:
        """Pools that were called as functions, where sizes tell that there was one."""
        for name in list(self.order):
            sources = self.before.get(name, [])
            sides = [self._side(source) for source in sources]
            wanted = min(sides, default=(1, 1)) if name.startswith(("add ", "cat ")) else None
            layer = self.layers.get(name)
            if layer is not None and layer.type == "Linear" and layer.channels_in:
                wanted = (1, 1) if self._channels(sources[0]) == layer.channels_in else None
            for place, (source, side) in enumerate(zip(sources, sides, strict=True)):
                if wanted is not None and side > wanted > (0, 0):
                    pool = f"pool {name} {place}"
                    channels = self._channels(source)
                    stride = 1 if wanted == (1, 1) else round(side[0] / wanted[0])
                    both = channels, channels
                    self.cells[pool] = Cell(
                        kind="pool", pool="pooled", side=wanted, stride=stride, channels=both
                    )
                    self.before[pool], self.before[name][place] = [source], pool

    def _side(self, name: str) -> Side:
        """Height and width of what a node gives."""
        if name in self.cells:
            return self.cells[name].side
        if name in self.layers:
            return _side(self.layers[name])
        if name == "input":
            return max((cell.side for cell in self.cells.values()), default=(0, 0))
        sources = self.before.get(name, ())
        return min((self._side(source) for source in sources), default=(0, 0))

    def _channels(self, name: str) -> int:
        if name in self.cells:
            return self.cells[name].channels[1]
        counts = [self._channels(source) for source in self.before.get(name, ())]
        return sum(counts) if name.startswith("cat ") else max(counts, default=0)

    def _series(
        self, start: str, end: str, inner: set[str], *, whole: bool = False
    ) -> Iterator[Part]:
        """What lies between two nodes, ``end`` included: cut where all paths meet."""
        order = [start, *(name for name in self.order if name in inner), end]
        at = {name: place for place, name in enumerate(order)}
        reach = [0] * len(order)  # the furthest node that an edge leads to
        for name in order[1:]:
            for source in self.before.get(name, ()):
                # the edge past all of them is another branch
                if source in at and not (source == start and name == end and inner):
                    reach[at[source]] = max(reach[at[source]], at[name])
        furthest, cuts = 0, [0]
        for place in range(1, len(order)):
            furthest = max(furthest, reach[place - 1])
            if furthest <= place:
                cuts.append(place)
        if len(cuts) == 2 and inner and not whole:  # no nest of branches
            yield from self._plain(order[1:])
            return
        for a, b in pairwise(cuts):
            yield from self._between(order[a], order[b], order[a + 1 : b])

    def _plain(self, names: Iterable[str]) -> Iterator[Part]:
        return (self.cells[name] for name in names if name in self.cells)

    def _between(self, start: str, end: str, inner: Sequence[str]) -> Iterator[Part]:
        """Two cuts and what is between them: nothing, or the branches of a block."""
        parts = self._components(inner)
        if len(parts) == 1 and start not in self.before.get(end, ()):
            yield from self._plain(inner)
        elif parts:
            branches: list[Chain] = []
            for source in self._ends(start, end, parts):
                own = next((part for part in parts if source in part), None)
                branches.append(() if own is None else self._branch(start, end, own))
            join = "add" if end.startswith("add ") else "cat"
            if join == "add":  # shortcuts lie above the branch with the most layers
                branches.sort(key=_count)
            filled = [branch for branch in branches if branch]
            if len(branches) > 1 and filled:
                yield Block(branches=tuple(branches), join=join)
            else:
                yield from (part for branch in filled for part in branch)
        yield from self._plain([end])

    def _branch(self, start: str, end: str, own: set[str]) -> Chain:
        parts = tuple(self._series(start, end, own))
        return parts[:-1] if end in self.cells else parts

    def _ends(self, start: str, end: str, parts: Sequence[set[str]]) -> list[str]:
        """One node a branch, in the order in which the join takes them."""
        found: list[str] = []
        for source in self.before.get(end, ()):
            own = next((part for part in parts if source in part), {start})
            if source in own and not any(other in own for other in found):
                found.append(source)
        return found

    def _components(self, names: Sequence[str]) -> list[set[str]]:
        """Sets of nodes that edges connect."""
        found: list[set[str]] = []
        for name in names:
            linked = {source for source in self.before.get(name, ()) if source in names}
            touched = [part for part in found if part & linked]
            found = [part for part in found if part not in touched]
            found.append({name}.union(*touched))
        return found


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


def _cell(layer: Layer) -> Cell:
    kind = _kind(layer)
    assert kind is not None
    kernel, stride = layer.kernel, layer.stride or 1
    if kind == "pool" and stride == kernel:
        stride = 1  # windows that do not overlap say their stride by their size
    return Cell(
        kind=kind,
        pool=("max" if "Max" in layer.type else "average") if kind == "pool" else "",
        kernel=None if kernel is None else (1 if _is_line(layer) else kernel, kernel),
        stride=stride,
        channels=(layer.out[0], layer.out[0]),
        side=_side(layer),
        parameters=layer.parameters,
    )


def _is_line(layer: Layer) -> bool:
    """A kernel of 1 × k: the log has only the longer side, but k, not k², weights are used."""
    inputs = (layer.channels_in or 1) // (layer.groups or 1)
    used = layer.macs // (math.prod(layer.out) * inputs) if layer.macs else 0
    return used == layer.kernel != 1


def _side(layer: Layer) -> Side:
    return (layer.out[1], layer.out[2]) if len(layer.out) == 3 else (1, 1)


def _count(branch: Chain) -> int:
    """Layers of a branch."""
    return sum(1 if isinstance(part, Cell) else sum(map(_count, part.branches)) for part in branch)


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Equal blocks in a row as one, with their number."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(last, Block) and isinstance(part, Block) and _repeats(last, part):
            branches = tuple(map(_merge_chain, last.branches, part.branches))
            out[-1] = replace(last, branches=branches, repeats=last.repeats + 1)
        else:
            out.append(part)
    return out


def _repeats(first: Block, other: Block) -> bool:
    """Is ``other`` the same block again?

    Channels may differ, but not the sum of an addition; the first may have a projection where the
    others add their input itself.
    """
    if first.join != other.join or len(first.branches) != len(other.branches):
        return False
    for one, two in zip(first.branches, other.branches, strict=True):
        projection = len(one) == 1 and not two and first.join == "add"
        fits = isinstance(one[0], Cell) and (first.repeats == 1 or one[0].optional) if projection \
            else _shape(one) == _shape(two)  # fmt: skip
        if not fits:
            return False
    return first.join == "cat" or _channels(first) == _channels(other)


def _channels(block: Block) -> tuple[int, int]:
    last = block.branches[-1][-1] if block.branches[-1] else block
    return last.channels if isinstance(last, Cell) else (0, 0)


def _shape(chain: Chain) -> list[object]:
    """A chain without what may differ between repeats: channels, stride and parameters."""
    return [
        (part.kind, part.pool, part.kernel)
        if isinstance(part, Cell)
        else (part.join, [_shape(branch) for branch in part.branches])
        for part in chain
    ]


def _merge_chain(first: Chain, other: Chain) -> Chain:
    if not other:
        return tuple(replace(cell, optional=True) for cell in first if isinstance(cell, Cell))
    return tuple(map(_merge, first, other))


def _merge(first: Part, other: Part) -> Part:
    if isinstance(first, Block) or isinstance(other, Block):
        assert isinstance(first, Block)
        assert isinstance(other, Block)
        return replace(first, branches=tuple(map(_merge_chain, first.branches, other.branches)))
    low, high = zip(first.channels, other.channels, strict=True)
    total = first.parameters + other.parameters
    return replace(first, channels=(min(low), max(high)), parameters=total)


# ------------------------------------------------------------------------------- text


def cell_texts(cell: Cell, words: Words = ENGLISH) -> tuple[str, str]:
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


def architecture_alt(name: str, network: Network, words: Words = ENGLISH) -> str:
    """What the drawing of a network shows."""
    said = []
    for stage in stages(network):
        pixels, parameters = stage_texts(stage)
        units = _chain_alt(stage.parts, words)
        said.append(words["alt_stage"].format(pixels=pixels, parameters=parameters, units=units))
    return words["alt_architecture"].format(name=name, stages=words["semicolon"].join(said) or "–")


def _chain_alt(chain: Chain, words: Words) -> str:
    return words["alt_then"].join(_part_alt(part, words) for part in chain)


def _part_alt(part: Part, words: Words) -> str:
    if isinstance(part, Cell):
        return " ".join(filter(None, cell_texts(part, words)))
    branches = words[f"alt_{part.join}"].join(
        f"({_chain_alt(branch, words)})" if branch else words["alt_identity"]
        for branch in part.branches
    )
    key = "alt_blocks" if part.repeats > 1 else "alt_block"
    return words[key].format(count=part.repeats, branches=branches)


# ------------------------------------------------------------------------------- drawing

CELL_HEIGHT = 19.0
CELL_LEAST = 15.0
CELL_PAD = 1.0
LANE_GAP = 2.2
"""Between branches, one below the other."""
STEP_GAP = 3.2
"""Between parts that follow each other."""
FRAME_PAD = 2.4
FORK = 2.8
"""Room for the lines that part before branches and meet after them."""
PLUS = 2.8
"""Radius of the sign for an addition."""
BYPASS = 2.0
"""Half of the height that the input itself takes among the branches."""
SHEET = 1.5
"""How far the second sheet of a repeated block looks out."""
COUNT = 9.0
"""Room for the number of repeats above a block."""
STAGE_PAD = 2.6
STAGE_GAP = 4.6
HEAD = 10.0
"""Room for the line of text above a row of stages, and for that below it."""
ROW_GAP = 4.0
EDGE = 1.0
"""Keeps lines at the figure's edge whole."""
NAME = 16.0
"""Room for a network's name."""
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
Colour: TypeAlias = str | tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    """Something laid out: its size, and how to draw it from its left end on a line of flow."""

    width: float
    up: float
    """Height above the line on which the data flow."""
    down: float
    draw: Callable[[Axes, float, float], None]


def _cell_piece(cell: Cell, words: Words) -> Piece:
    lines = [text for text in cell_texts(cell, words) if text]
    width = max(CELL_LEAST, *(style.text_width(text) * MM + 2 * CELL_PAD for text in lines))

    def draw(axes: Axes, x: float, flow: float) -> None:
        colour, ls = FILLS[cell.kind], (0, (2, 1.4)) if cell.optional else "-"
        place = (x, flow - CELL_HEIGHT / 2, width, CELL_HEIGHT)
        _box(axes, place, tint(colour, 0.14), tint(colour, 0.75), zorder=3, ls=ls)
        for number, text in enumerate(lines):
            y = flow + 2.8 + 8.4 * (number - (len(lines) - 1) / 2)
            axes.text(x + width / 2, y, text, ha="center", zorder=5)

    return Piece(width, CELL_HEIGHT / 2, CELL_HEIGHT / 2, draw)


def _row_piece(pieces: Sequence[Piece], gap: float) -> Piece:
    """Pieces from left to right; without any, the line alone."""
    width = sum(piece.width for piece in pieces) + gap * max(0, len(pieces) - 1)

    def draw(axes: Axes, x: float, flow: float) -> None:
        for piece in pieces:
            piece.draw(axes, x, flow)
            x += piece.width + gap

    up = max((piece.up for piece in pieces), default=BYPASS)
    return Piece(width, up, max((piece.down for piece in pieces), default=BYPASS), draw)


def _chain_piece(chain: Chain, words: Words) -> Piece:
    pieces = [
        _cell_piece(part, words) if isinstance(part, Cell) else _block_piece(part, words)
        for part in chain
    ]
    return _row_piece(pieces, STEP_GAP)


def _block_piece(block: Block, words: Words) -> Piece:
    """Branches one below the other; the lowest is the line of flow where they are added."""
    lanes = [_chain_piece(branch, words) for branch in block.branches]
    adds = block.join == "add"
    after = 2 * PLUS + 1 if adds else FORK
    inner = max(lane.width for lane in lanes)
    width = FORK + inner + after
    height = sum(lane.up + lane.down for lane in lanes) + LANE_GAP * (len(lanes) - 1)
    down = lanes[-1].down if adds else height / 2

    def draw(axes: Axes, x: float, flow: float) -> None:
        # hides the line behind, which does not run through the block
        _box(axes, (x, flow - height + down, width, height), "white", "none", zorder=2.3)
        y, meet, heights = flow - height + down, x + width - (PLUS if adds else 0.0), []
        for lane in lanes:
            at = y + lane.up
            heights.append(at)
            _wire(axes, [x, x, meet, meet], [flow, at, at, flow])
            lane.draw(axes, x + FORK + (inner - lane.width) / 2, at)
            y += lane.up + lane.down + LANE_GAP
        _draw_join(axes, block.join, meet, flow, heights)

    return Piece(width, height - down, down, draw)


def _framed(block: Block, words: Words) -> Piece:
    """A block in a frame, of which a second sheet looks out where it is repeated."""
    inner = _block_piece(block, words)
    sheet, count = (SHEET, COUNT) if block.repeats > 1 else (0.0, 0.0)
    width = inner.width + 2 * FRAME_PAD
    height = inner.up + inner.down + 2 * FRAME_PAD

    def draw(axes: Axes, x: float, flow: float) -> None:
        top = flow - inner.up - FRAME_PAD
        if sheet:
            _box(axes, (x + sheet, top - sheet, width, height), "white", RULE, zorder=2)
            text = f"×{block.repeats}"
            axes.text(x + width, top - sheet - 1.8, text, ha="right", zorder=5)
        _box(axes, (x, top, width, height), "white", RULE, zorder=2.1)
        _wire(axes, [x, x + width], [flow, flow], zorder=2.2)
        inner.draw(axes, x + FRAME_PAD, flow)

    return Piece(width + sheet, inner.up + FRAME_PAD + count, inner.down + FRAME_PAD, draw)


def _panel_piece(stage: Stage, words: Words) -> Piece:
    """What is in a panel, in its middle, with the lines of text above and below it."""
    row = _row_piece(
        [
            _framed(part, words) if isinstance(part, Block) else _cell_piece(part, words)
            for part in stage.parts
        ],
        STEP_GAP,
    )
    texts = [style.text_width(text) * MM + 1 for text in stage_texts(stage)]
    width = max(row.width + 2 * STAGE_PAD, *texts)

    def draw(axes: Axes, x: float, flow: float) -> None:
        _wire(axes, [x, x + width], [flow, flow], zorder=1)
        row.draw(axes, x + (width - row.width) / 2, flow)

    return Piece(width, row.up + STAGE_PAD + HEAD, row.down + STAGE_PAD + HEAD, draw)


def _stages_piece(stages: Sequence[Stage], words: Words) -> Piece:
    """Panels of equal height in a row."""
    panels = [_panel_piece(stage, words) for stage in stages]
    row = _row_piece(panels, STAGE_GAP)

    def draw(axes: Axes, x: float, flow: float) -> None:
        left, top, height = x, flow - row.up, row.up + row.down
        for stage, panel in zip(stages, panels, strict=True):
            if left > x:
                head = {"arrowstyle": "-|>,head_length=0.2,head_width=0.1", "color": WIRE}
                ends = {"shrinkA": 0, "shrinkB": 0, "linewidth": THIN}
                axes.annotate("", (left, flow), (left - STAGE_GAP, flow), arrowprops=head | ends)
            place = (left, top + HEAD, panel.width, height - 2 * HEAD)
            _box(axes, place, PANEL, PANEL, zorder=0)
            above, below = stage_texts(stage)
            middle = left + panel.width / 2
            axes.text(middle, top + HEAD - 3, above, ha="center")
            axes.text(middle, top + height - 2.5, below, ha="center", color=GREY)
            left += panel.width + STAGE_GAP
        row.draw(axes, x, flow)

    return Piece(row.width, row.up, row.down, draw)


def _draw_join(axes: Axes, join: str, x: float, flow: float, lanes: Sequence[float]) -> None:
    if join == "add":
        axes.add_patch(Circle((x, flow), PLUS, fc="white", ec=INK, lw=THIN, zorder=3))
        for dx, dy in ((PLUS - 1.1, 0), (0, PLUS - 1.1)):
            _wire(axes, [x - dx, x + dx], [flow - dy, flow + dy], zorder=4, color=INK)
    else:
        ends = [min(*lanes, flow), max(*lanes, flow)]
        axes.plot([x, x], ends, color=INK, lw=1.4, solid_capstyle="round", zorder=3)


def _wire(
    axes: Axes, x: Sequence[float], y: Sequence[float], zorder: float = 2.4, color: str = WIRE
) -> None:
    axes.plot(x, y, color=color, lw=THIN, solid_joinstyle="round", zorder=zorder)


def _box(
    axes: Axes, place: Sequence[float], fill: Colour, edge: Colour, *, zorder: float, ls: Any = "-"
) -> None:
    """A rectangle with round corners at (left, top, width, height)."""
    left, top, width, height = place
    corners = "round,pad=0,rounding_size=1.6"
    more = {"fc": fill, "ec": edge, "lw": THIN, "ls": ls, "zorder": zorder}
    axes.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=corners, **more))


# ------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class _Row:
    """Panels side by side, with the name above them that they may have."""

    name: str
    stages: tuple[Stage, ...]
    piece: Piece

    @property
    def height(self) -> float:
        return self.piece.up + self.piece.down + ROW_GAP + (NAME if self.name else 0.0)


@style.styled
def architectures(
    networks: Mapping[str, Network], *, words: Words = ENGLISH, width: float = style.TEXT_WIDTH
) -> list[Figure]:
    """Networks by printed name, one below the other, with a legend of what is drawn.

    Without a name (``""``), for a network by itself, no line is left for it.

    Returns:
        one figure, or as many as pages are needed; none where no network has layers.
    """
    pages: list[list[_Row]] = []
    limit = (style.MAX_HEIGHT - 20) * MM
    for name, network in networks.items():
        for place, row in enumerate(_rows(stages(network), words, width * MM - 2 * EDGE)):
            new = _Row("" if place else name, row, _stages_piece(row, words))
            if pages and sum(one.height for one in [*pages[-1], new]) <= limit:
                pages[-1].append(new)
            else:
                pages.append([replace(new, name=name)])
    return [_page(page, words, width) for page in pages]


def _rows(found: Sequence[Stage], words: Words, room: float) -> list[tuple[Stage, ...]]:
    """Panels in rows; a stage that is too wide for one is cut between its parts."""
    rows: list[tuple[Stage, ...]] = []
    for stage in found:
        alone = _stages_piece([stage], words).width <= room
        parts = [stage] if alone else [Stage(stage.side, (part,)) for part in stage.parts]
        for part in parts:
            row = rows[-1] if rows else ()
            longer = (*row, part)
            if not alone and row and row[-1].side == part.side:  # one panel again
                longer = (*row[:-1], Stage(part.side, row[-1].parts + part.parts))
            if row and _stages_piece(longer, words).width <= room:
                rows[-1] = longer
            else:
                rows.append((part,))
    return rows


def _page(page: Sequence[_Row], words: Words, width: float) -> Figure:
    # a block that is too wide by itself makes the figure wider, and the paper makes it smaller
    width = max(width, *((row.piece.width + 2 * EDGE) / MM for row in page))
    entries = _legend_entries([stage.parts for row in page for stage in row.stages], words)
    tall = sum(row.height for row in page) - ROW_GAP
    figure = style.new_figure(width, tall / MM + style.legend_height(entries, width - 1) + 2)
    axes = style.add_axes(figure, 0, 0, width, tall / MM)
    axes.set(xlim=(0, width * MM), ylim=(tall, 0))
    axes.set_axis_off()
    y = 0.0
    for row in page:
        bottom = y + row.height - ROW_GAP
        if row.name:
            name = style.shortened(row.name, 0.85 * width)
            axes.text(EDGE, y + NAME - 3.5, name, ha="left", fontsize=9)
        row.piece.draw(axes, EDGE, bottom - row.piece.down)
        y += row.height
    style.legend(figure, entries, 0.5, tall / MM + 1.5, width - 1)
    return figure


def _legend_entries(chains: Iterable[Chain], words: Words) -> list[Entry]:
    """What is drawn, and nothing else."""
    parts = [part for chain in chains for part in _within(chain)]
    cells = [part for part in parts if isinstance(part, Cell)]
    blocks = [part for part in parts if isinstance(part, Block)]
    kinds = {cell.kind for cell in cells}
    entries = [Entry(words[kind], _sample_box(FILLS[kind])) for kind in FILLS if kind in kinds]
    if any(cell.optional for cell in cells):
        entries.append(Entry(words["optional"], _sample_box(GREY, (0, (2, 1.4)))))
    for join in sorted({block.join for block in blocks}):
        entries.append(Entry(words[join], _sample_join(join)))
    if any(block.repeats > 1 for block in blocks):
        entries.append(Entry(words["repeated"], _sample_sheets))
    if any(cell.stride == 2 for cell in cells):
        entries.append(Entry(words["halves"], None))
    if any(cell.channels[0] < cell.channels[1] for cell in cells):
        entries.append(Entry(words["range"], None))
    return [*entries, Entry(words["above"], None)]


def _within(chain: Chain) -> Iterator[Part]:
    """All parts of a chain, those of its branches too."""
    for part in chain:
        yield part
        if isinstance(part, Block):
            for branch in part.branches:
                yield from _within(branch)


def _in_points(axes: Axes) -> Axes:
    """A sample's axes in points, with the origin in the middle."""
    box = axes.get_window_extent()
    axes.set(xlim=(-box.width / 2, box.width / 2), ylim=(box.height / 2, -box.height / 2))
    return axes


def _sample_box(colour: str, ls: Any = "-") -> Callable[[Axes], None]:
    fill, edge = tint(colour, 0.14), tint(colour, 0.75)
    return lambda axes: _box(_in_points(axes), (-6, -3.5, 12, 7), fill, edge, zorder=1, ls=ls)


def _sample_join(join: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        _wire(_in_points(axes), [-6, 6], [0, 0], zorder=1)
        _draw_join(axes, join, 0, 0, [-4, 4])

    return draw


def _sample_sheets(axes: Axes) -> None:
    _box(_in_points(axes), (-5, -4, 12, 6.5), "white", RULE, zorder=1)
    _box(axes, (-6.5, -2.5, 12, 6.5), "white", RULE, zorder=2)
