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
from typing import Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from cnnpaper.figures.style import (
    GREY,
    INK,
    MAX_HEIGHT,
    MM,
    PALETTE,
    RULE,
    TEXT_WIDTH,
    THIN,
    Entry,
    Words,
    add_axes,
    legend,
    legend_height,
    new_figure,
    shortened,
    styled,
    text_width,
    tint,
)
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
            layer = self.layers.get(name)
            alone = len(self.before[name]) == 1
            source = self.before[name][0] if alone else ""
            idle = layer is not None and layer.type.startswith("Adaptive")
            if alone and (
                (layer and name not in self.cells)
                or (idle and self._side(source) == _side(layer))
                or (name.startswith("cat ") and len(sources) == 1)
            ):
                instead[name] = source
                self._give_parameters(name, source)
        self.before["output"] = [instead.get(name, name) for name in self.before["output"]]
        self.order = [name for name in self.order if name not in instead]

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
    if cell.kind == "linear":
        return words["linear_short"], channels
    return (f"dw {kernel}" if cell.kind == "depthwise" else kernel), channels


def stage_texts(stage: Stage) -> tuple[str, str]:
    """What stands above and below a stage."""
    return f"{stage.side[0]}×{stage.side[1]}", f"{stage.parameters:,}"


def architecture_alt(name: str, network: Network, *, words: Words = ENGLISH) -> str:
    """What :func:`architecture` shows."""
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


# ------------------------------------------------------------------------------- sizes

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
BYPASS = 4.0
"""Height that the input itself takes among the branches."""
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
TITLE = 11.0
NETWORK_GAP = 5.0
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
class Extent:
    """Width, and height above and below the line on which the data flow."""

    width: float
    up: float
    down: float


@dataclass(frozen=True)
class _Pen:
    """Draws parts with these words on these axes."""

    words: Words
    axes: Axes | None = None

    def cell_width(self, cell: Cell) -> float:
        texts = cell_texts(cell, self.words)
        return max(CELL_LEAST, *(text_width(text) * MM + 2 * CELL_PAD for text in texts))

    def chain(self, chain: Chain) -> Extent:
        inner = [self.part(part) for part in chain]
        width = sum(one.width for one in inner) + STEP_GAP * (len(inner) - 1)
        up, down = (max(getattr(one, key) for one in inner) for key in ("up", "down"))
        return Extent(width, up, down)

    def part(self, part: Part, *, framed: bool = False) -> Extent:
        if isinstance(part, Cell):
            return Extent(self.cell_width(part), CELL_HEIGHT / 2, CELL_HEIGHT / 2)
        lanes = self.lanes(part)
        height = sum(e.up + e.down for e in lanes) + LANE_GAP * (len(lanes) - 1)
        down = lanes[-1].down if part.join == "add" else height / 2
        width = max(e.width for e in lanes) + FORK
        width += 2 * PLUS + 1 if part.join == "add" else FORK
        if not framed:
            return Extent(width, height - down, down)
        extra = 2 * FRAME_PAD + (SHEET if part.repeats > 1 else 0.0)
        above = COUNT if part.repeats > 1 else 0.0
        return Extent(width + extra, height - down + FRAME_PAD + above, down + FRAME_PAD)

    def lanes(self, block: Block) -> list[Extent]:
        bypass = Extent(0.0, BYPASS / 2, BYPASS / 2)
        return [self.chain(branch) if branch else bypass for branch in block.branches]

    def stage(self, stage: Stage) -> Extent:
        inner = [self.part(part, framed=True) for part in stage.parts]
        width = sum(one.width for one in inner) + STEP_GAP * (len(inner) - 1) + 2 * STAGE_PAD
        texts = [text_width(text) * MM + 1 for text in stage_texts(stage)]
        up = max(one.up for one in inner) + STAGE_PAD
        return Extent(max(width, *texts), up, max(one.down for one in inner) + STAGE_PAD)

    def row_width(self, row: Sequence[Stage]) -> float:
        return sum(self.stage(stage).width for stage in row) + STAGE_GAP * (len(row) - 1)

    def row_height(self, row: Sequence[Stage]) -> float:
        extents = [self.stage(stage) for stage in row]
        return max(e.up for e in extents) + max(e.down for e in extents) + 2 * HEAD

    # ---------------------------------------------------------------------------- rows

    def rows(self, network: Network, room: float) -> list[list[Stage]]:
        """Panels in as few rows as will do, about equally wide.

        A stage is cut between its parts where that saves a row, or where it is too wide by itself.
        """
        whole = stages(network)
        if not whole:
            return []
        cut = [Stage(stage.side, (part,)) for stage in whole for part in stage.parts]
        readings = [self._balanced(parts, room) for parts in (whole, cut)]
        fitting = [r for r in readings if max(map(self.row_width, r)) <= room] or readings[1:]
        return min(fitting, key=len)

    def _balanced(self, parts: Sequence[Stage], room: float) -> list[list[Stage]]:
        """The fewest rows of at most ``room``, the widest of them as narrow as it can be."""
        rows = self._filled(parts, room)
        while True:
            widest = max(map(self.row_width, rows))
            narrower = self._filled(parts, widest - 1)
            if len(narrower) > len(rows) or max(map(self.row_width, narrower)) >= widest:
                return rows
            rows = narrower

    def _filled(self, parts: Sequence[Stage], room: float) -> list[list[Stage]]:
        """Parts one after the other in rows; those of one stage in one row are one panel again."""
        rows: list[list[Stage]] = []
        for part in parts:
            row = rows[-1] if rows else []
            longer = [*row, part]
            if row and row[-1].side == part.side:
                longer = [*row[:-1], Stage(part.side, row[-1].parts + part.parts)]
            if row and self.row_width(longer) <= room:
                rows[-1] = longer
            else:
                rows.append([part])
        return rows

    # ---------------------------------------------------------------------------- drawing

    def draw_row(self, row: Sequence[Stage], top: float) -> None:
        extents = [self.stage(stage) for stage in row]
        up, down = max(e.up for e in extents), max(e.down for e in extents)
        flow, x = top + HEAD + up, EDGE
        for stage, extent in zip(row, extents, strict=True):
            if x > EDGE:
                self.arrow(x - STAGE_GAP, x, flow)
            self.box((x, top + HEAD, extent.width, up + down), PANEL, PANEL, zorder=0)
            above, below = stage_texts(stage)
            middle = x + extent.width / 2
            self.text(middle, top + HEAD - 3, above)
            self.text(middle, top + 2 * HEAD + up + down - 2.5, below, color=GREY)
            self.draw_stage(stage, x, flow, extent.width)
            x += extent.width + STAGE_GAP

    def draw_stage(self, stage: Stage, x: float, flow: float, width: float) -> None:
        """The parts of a stage in the middle of its panel, on the line of flow."""
        inner = [self.part(part, framed=True).width for part in stage.parts]
        start = x + (width - sum(inner) - STEP_GAP * (len(inner) - 1)) / 2
        self.wire([x, x + width], [flow, flow], zorder=1)
        for part, part_width in zip(stage.parts, inner, strict=True):
            if isinstance(part, Block):
                self.draw_framed(part, start, flow)
            else:
                self.draw_cell(part, start, flow)
            start += part_width + STEP_GAP

    def draw_framed(self, block: Block, x: float, flow: float) -> None:
        extent = self.part(block, framed=True)
        count = COUNT if block.repeats > 1 else 0.0
        width, top = extent.width, flow - extent.up + count
        height = extent.up - count + extent.down
        if block.repeats > 1:  # the edge of a second sheet, and how many there are
            width -= SHEET
            self.box((x + SHEET, top - SHEET, width, height), "white", RULE, zorder=2)
            self.text(x + width, top - SHEET - 1.8, f"×{block.repeats}", ha="right")
        self.box((x, top, width, height), "white", RULE, zorder=2.1)
        self.wire([x, x + FRAME_PAD], [flow, flow])
        self.wire([x + width - FRAME_PAD, x + width], [flow, flow])
        self.draw_block(block, x + FRAME_PAD, flow)

    def draw_block(self, block: Block, x: float, flow: float) -> None:
        extent, lanes = self.part(block), self.lanes(block)
        adds = block.join == "add"
        end = x + extent.width
        meet = end - (PLUS if adds else 0.0)
        room = extent.width - FORK - (2 * PLUS + 1 if adds else FORK)
        y, heights = flow - extent.up, []
        for branch, lane in zip(block.branches, lanes, strict=True):
            at = y + lane.up
            heights.append(at)
            self.wire([x, x, meet, meet], [flow, at, at, flow])
            if branch:
                self.draw_chain(branch, x + FORK + (room - lane.width) / 2, at)
            y += lane.up + lane.down + LANE_GAP
        self.draw_join(block, meet, flow, heights)

    def draw_chain(self, chain: Chain, x: float, flow: float) -> None:
        for part in chain:
            if isinstance(part, Block):
                extent = self.part(part)
                # hides the line behind, which does not run through the block
                place = (x, flow - extent.up, extent.width, extent.up + extent.down)
                self.box(place, "white", "none", zorder=2.3)
                self.draw_block(part, x, flow)
            else:
                self.draw_cell(part, x, flow)
            x += self.part(part).width + STEP_GAP

    def draw_join(self, block: Block, x: float, flow: float, lanes: Sequence[float]) -> None:
        assert self.axes is not None
        if block.join == "add":
            self.axes.add_patch(Circle((x, flow), PLUS, fc="white", ec=INK, lw=THIN, zorder=3))
            for dx, dy in ((PLUS - 1.1, 0), (0, PLUS - 1.1)):
                self.axes.plot([x - dx, x + dx], [flow - dy, flow + dy], color=INK, lw=THIN,
                               zorder=4)  # fmt: skip
        else:
            ends = [min(*lanes, flow), max(*lanes, flow)]
            self.axes.plot([x, x], ends, color=INK, lw=1.4, solid_capstyle="round", zorder=3)

    def draw_cell(self, cell: Cell, x: float, flow: float) -> None:
        colour, width = FILLS[cell.kind], self.cell_width(cell)
        place = (x, flow - CELL_HEIGHT / 2, width, CELL_HEIGHT)
        self.box(place, tint(colour, 0.14), tint(colour, 0.75), zorder=3, dashed=cell.optional)
        lines = [text for text in cell_texts(cell, self.words) if text]
        first = flow + 2.8 - 4.2 * (len(lines) - 1)
        for number, text in enumerate(lines):
            self.text(x + width / 2, first + 8.4 * number, text)

    def text(self, x: float, y: float, text: str, ha: str = "center", color: str = INK) -> None:
        assert self.axes is not None
        self.axes.text(x, y, text, ha=ha, color=color, zorder=5)

    def wire(self, x: Sequence[float], y: Sequence[float], zorder: float = 2.4) -> None:
        assert self.axes is not None
        self.axes.plot(x, y, color=WIRE, lw=THIN, solid_joinstyle="round", zorder=zorder)

    def arrow(self, start: float, end: float, y: float) -> None:
        assert self.axes is not None
        style = {"arrowstyle": "-|>,head_length=0.2,head_width=0.1", "color": WIRE,
                 "shrinkA": 0, "shrinkB": 0, "linewidth": THIN}  # fmt: skip
        self.axes.annotate("", (end, y), (start, y), arrowprops=style)

    def box(
        self,
        place: tuple[float, float, float, float],
        fill: str | tuple[float, float, float],
        edge: str | tuple[float, float, float],
        *,
        zorder: float,
        dashed: bool = False,
    ) -> None:
        """A rectangle with round corners at (left, top, width, height)."""
        assert self.axes is not None
        self.axes.add_patch(
            FancyBboxPatch(
                place[:2],
                *place[2:],
                boxstyle="round,pad=0,rounding_size=1.6",
                fc=fill,
                ec=edge,
                lw=THIN,
                ls=(0, (2, 1.4)) if dashed else "-",
                zorder=zorder,
            )
        )


# ------------------------------------------------------------------------------- figures


def architecture(
    network: Network, *, words: Words = ENGLISH, width: float = TEXT_WIDTH
) -> list[Figure]:
    """One network without its name; see :func:`architectures`."""
    return architectures({"": network}, words=words, width=width)


@styled
def architectures(
    networks: Mapping[str, Network], *, words: Words = ENGLISH, width: float = TEXT_WIDTH
) -> list[Figure]:
    """Networks by printed name, one below the other, with a legend of what is drawn.

    Returns:
        one figure, or as many as pages are needed; none where no network has layers.
    """
    pen = _Pen(words)
    room = width * MM - 2 * EDGE
    pages: list[list[_Piece]] = []
    limit = (MAX_HEIGHT - 20) * MM
    for name, network in networks.items():
        for place, row in enumerate(pen.rows(network, room)):
            piece = _Piece(name if place == 0 else "", row)
            if pages and sum(one.height(pen) for one in [*pages[-1], piece]) <= limit:
                pages[-1].append(piece)
            else:
                pages.append([_Piece(name, row)])
    return [_page(page, words, width) for page in pages]


@dataclass(frozen=True)
class _Piece:
    """A row of panels, with the name above it that it may have."""

    name: str
    row: list[Stage]

    def height(self, pen: _Pen) -> float:
        return pen.row_height(self.row) + ROW_GAP + (TITLE + NETWORK_GAP if self.name else 0.0)


def _page(page: Sequence[_Piece], words: Words, width: float) -> Figure:
    pen = _Pen(words)
    # a block that is too wide by itself makes the figure wider, and the paper makes it smaller
    width = max(width, *((pen.row_width(piece.row) + 2 * EDGE) / MM for piece in page))
    entries = _legend_entries([stage.parts for piece in page for stage in piece.row], words)
    first = NETWORK_GAP if page[0].name else 0.0
    tall = sum(piece.height(pen) for piece in page) - ROW_GAP - first
    figure = new_figure(width, tall / MM + legend_height(entries, width - 1) + 2)
    axes = add_axes(figure, 0, 0, width, tall / MM)
    axes.set(xlim=(0, width * MM), ylim=(tall, 0))
    axes.set_axis_off()
    pen, y = replace(pen, axes=axes), -first
    for piece in page:
        if piece.name:
            name = shortened(piece.name, 0.85 * width)
            axes.text(EDGE, y + NETWORK_GAP + 8.0, name, ha="left", fontsize=9)
            y += NETWORK_GAP + TITLE
        pen.draw_row(piece.row, y)
        y += pen.row_height(piece.row) + ROW_GAP
    legend(figure, entries, 0.5, tall / MM + 1.5, width - 1)
    return figure


def _legend_entries(chains: Iterable[Chain], words: Words) -> list[Entry]:
    """What is drawn, and nothing else."""
    cells: list[Cell] = []
    blocks: list[Block] = []
    todo = [part for chain in chains for part in chain]
    while todo:
        part = todo.pop()
        if isinstance(part, Cell):
            cells.append(part)
        else:
            blocks.append(part)
            todo += [inner for branch in part.branches for inner in branch]
    kinds = {cell.kind for cell in cells}
    entries = [Entry(words[kind], _sample_box(FILLS[kind])) for kind in FILLS if kind in kinds]
    if any(cell.optional for cell in cells):
        entries.append(Entry(words["optional"], _sample_box(GREY, dashed=True)))
    joins = {block.join for block in blocks}
    for join in ("add", "cat"):
        if join in joins:
            entries.append(Entry(words[join], _sample_join(join)))
    if any(block.repeats > 1 for block in blocks):
        entries.append(Entry(words["repeated"], _sample_sheets))
    texts = []
    if any(cell.stride == 2 for cell in cells):
        texts.append(words["halves"])
    if any(cell.channels[0] < cell.channels[1] for cell in cells):
        texts.append(words["range"])
    return entries + [Entry(text, None) for text in [*texts, words["above"]]]


def _in_points(axes: Axes) -> _Pen:
    """Axes of a legend's sample, with points as units and the origin in the middle."""
    box = axes.get_window_extent()
    axes.set(xlim=(-box.width / 2, box.width / 2), ylim=(box.height / 2, -box.height / 2))
    return _Pen(ENGLISH, axes)


def _sample_box(colour: str, *, dashed: bool = False) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        pen = _in_points(axes)
        pen.box((-6, -3.5, 12, 7), tint(colour, 0.14), tint(colour, 0.75), zorder=1, dashed=dashed)

    return draw


def _sample_join(join: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        pen = _in_points(axes)
        pen.wire([-6, 6], [0, 0], zorder=1)
        pen.draw_join(Block(branches=(), join=join), 0, 0, [-4, 4])

    return draw


def _sample_sheets(axes: Axes) -> None:
    pen = _in_points(axes)
    pen.box((-5, -4, 12, 6.5), "white", RULE, zorder=1)
    pen.box((-6.5, -2.5, 12, 6.5), "white", RULE, zorder=2)
