"""What a network looks like, read from its layer table alone: stages, blocks, branches, joins.

The table names each layer's place in the module tree, its input channels and its output shape. That
suffices to find the structure of any network without knowing it:

- Children of a module that feed each other form a sequence; children that do not are *branches*,
  and their module is a **block**. A module of several layers with a sibling built alike is one too.
- The input channels of what follows tell how branches meet: their sum is a *concatenation* (with
  the block's own input where that is needed for the sum), one of them an *addition*.
- A shortcut without weights leaves no trace in the table; it is taken to be where a block is built
  like one whose projection proves the addition.
- Layers and blocks with the same output size form a **stage**; equal blocks in a row are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice, pairwise
from typing import Literal, TypeAlias

from cnnpaper.records import Layer

Kind: TypeAlias = Literal["conv", "pointwise", "depthwise", "pool", "linear"]
Join: TypeAlias = Literal["none", "add", "concat"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One layer, or the layers at one place of blocks that are repeated."""

    kind: Kind
    name: str
    """``max``, ``mean`` or ``linear``; empty for a convolution."""
    kernel: tuple[int, int] | None
    """Sides in pixels, the shorter first (the table does not tell which way it lies)."""
    stride: int
    channels: tuple[int, int]
    """Smallest and largest number of output channels over the repeats."""
    optional: bool = False
    """Only the first of the repeated blocks has it."""


Step: TypeAlias = tuple[Cell, ...]
"""What follows each other in a branch; several cells are side by side."""
Branch: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One layer or block, with how often it is repeated."""

    branches: tuple[Branch, ...]
    join: Join = "none"
    bypass: bool = False
    """The input itself is a branch, without layers."""
    framed: bool
    """A block; not framed: a layer by itself."""
    repeats: int = 1
    parameters: int
    """Of all repeats, batch norm included."""
    side: tuple[int, int]
    """Height and width of the output in pixels; (1, 1) for a vector."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Units in a row whose outputs have one size."""

    side: tuple[int, int]
    units: tuple[Unit, ...]

    @property
    def parameters(self) -> int:
        return sum(unit.parameters for unit in self.units)


def stages(layers: Sequence[Layer]) -> tuple[Stage, ...]:
    """The stages of a network, from its layer table in the order of execution."""
    main = [layer for layer in _without_idle_pools(layers) if _kind(layer) is not None]
    if not main:
        return ()
    pieces = _pieces(_tree(main), ())
    units = _with_shortcuts(pieces, [_arranged(*pair) for pair in _with_next(pieces)])
    weights = _parameters(layers, pieces)
    found = [
        _unit(piece, arrangement, weight)
        for piece, arrangement, weight in zip(pieces, units, weights, strict=True)
    ]
    return tuple(
        Stage(side=side, units=tuple(_merged(list(group))))
        for side, group in groupby(found, key=lambda unit: unit.side)
    )


# ------------------------------------------------------------------------------- one layer


def _kind(layer: Layer) -> Kind | None:
    """None for what the structure does not show: batch norm."""
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
    name = {"linear": "linear", "pool": "max" if "Max" in layer.type else "mean"}.get(kind, "")
    kernel = None
    if layer.kernel is not None:
        kernel = (1 if _is_line(layer) else layer.kernel, layer.kernel)
    stride = layer.stride or 1
    return Cell(
        kind=kind,
        name=name,
        kernel=kernel,
        # a pool whose windows do not overlap says its stride by its kernel
        stride=1 if kind == "pool" and stride == layer.kernel else stride,
        channels=(layer.out[0], layer.out[0]),
    )


def _is_line(layer: Layer) -> bool:
    """A kernel of 1 × k: the table has only the longer side, but k, not k², weights are used."""
    inputs = (layer.channels_in or 1) // (layer.groups or 1)
    used = layer.macs // (math.prod(layer.out) * inputs) if layer.macs else 0
    return used == layer.kernel != 1


def _side(layer: Layer) -> tuple[int, int]:
    return (layer.out[1], layer.out[2]) if len(layer.out) == 3 else (1, 1)


def _outputs(layer: Layer) -> set[int]:
    """Channels that the next layer may see; a linear layer sees all pixels."""
    height, width = _side(layer)
    return {layer.out[0], layer.out[0] * height * width}


def _without_idle_pools(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Adaptive pools that keep the size do nothing."""
    before: tuple[int, ...] | None = None
    for layer in layers:
        if not (layer.type.startswith("Adaptive") and layer.out == before):
            yield layer
        before = layer.out


# ------------------------------------------------------------------------------- the tree


@dataclass
class _Node:
    """A module, with the main layers in and below it."""

    layer: Layer | None = None
    children: list[tuple[str, _Node]] = field(default_factory=list)

    def layers(self) -> list[Layer]:
        own = [] if self.layer is None else [self.layer]
        return own + [layer for _, child in self.children for layer in child.layers()]


def _tree(layers: Sequence[Layer]) -> _Node:
    """Modules in the order of execution; one that is entered again is another child."""
    root = _Node()
    for layer in layers:
        node = root
        *modules, leaf = layer.name.split(".")
        for name in modules:
            if not node.children or node.children[-1][0] != name:
                node.children.append((name, _Node()))
            node = node.children[-1][1]
        node.children.append((leaf, _Node(layer)))
    return root


@dataclass(frozen=True)
class _Piece:
    """A layer, or the layers of a block, whose module is at ``path``."""

    path: tuple[str, ...]
    layers: tuple[Layer, ...]
    framed: bool

    @property
    def entry(self) -> int:
        return self.layers[0].channels_in or 0

    @property
    def names(self) -> set[tuple[str, str]]:
        """Places of its layers below its module, and their types: how it is built."""
        return {(layer.name.split(".", len(self.path))[-1], layer.type) for layer in self.layers}


def _pieces(node: _Node, path: tuple[str, ...], siblings: Sequence[_Node] = ()) -> list[_Piece]:
    """The layers and blocks of a module, in order."""
    if node.layer is not None:
        return [_Piece(path, (node.layer,), framed=False)]
    parts = [
        _pieces(child, (*path, name), [other for _, other in node.children if other is not child])
        for name, child in node.children
    ]
    pieces = [piece for part in parts for piece in part]
    weighted = sum(_kind(layer) != "pool" for layer in node.layers())
    follows = all(_follows(before[-1], after[0]) for before, after in pairwise(parts))
    whole = not any(piece.framed for piece in pieces) and weighted > 1
    if not follows or (whole and any(_alike(node, other) for other in siblings)):
        block = _Piece(path, tuple(node.layers()), framed=True)
        if next(_arrangements(block), None) is not None:
            return [block]
    return pieces  # where no reading explains the connections, layers stand one after the other


def _alike(node: _Node, other: _Node) -> bool:
    """One is built like the other, or like a part of it (a block without its projection)."""
    one, two = (_relative(node), _relative(other))
    return len(one) > 1 and len(two) > 1 and (one <= two or two <= one)


def _relative(node: _Node, path: str = "") -> set[tuple[str, str]]:
    if node.layer is not None:
        return {(path, node.layer.type)}
    return {pair for name, child in node.children for pair in _relative(child, f"{path}.{name}")}


def _follows(before: _Piece, after: _Piece) -> bool:
    """Does ``after`` take what ``before`` gives, alone or joined to the input of ``before``?"""
    given = {out for found in _arrangements(before) for out in found.outputs}
    return not after.entry or after.entry in given


def _with_next(pieces: Sequence[_Piece]) -> Iterator[tuple[_Piece, _Piece | None]]:
    return zip(pieces, [*pieces, None][1:], strict=True)


# ------------------------------------------------------------------------------- branches


@dataclass(frozen=True)
class _Arrangement:
    """One way in which the layers of a piece may be connected."""

    entry: int
    branches: tuple[tuple[tuple[Layer, ...], ...], ...]
    """Branches of steps of layers."""
    bypass: bool = False

    @property
    def ends(self) -> list[int]:
        return [sum(layer.out[0] for layer in branch[-1]) for branch in self.branches]

    @property
    def outputs(self) -> dict[int, tuple[Join, bool]]:
        """Channels that may come out → how the branches join, and whether the input does too."""
        ends = self.ends
        total = sum(ends)
        found: dict[int, tuple[Join, bool]] = {total + self.entry: ("concat", True)}
        if len(ends) == 1:
            step = self.branches[0][-1]
            seen = _outputs(step[0]) if len(step) == 1 else {total}
            return found | dict.fromkeys(seen, ("none", False))
        if len(set(ends)) == 1:
            found[ends[0]] = ("add", False)
        return found | {total: ("concat", False)}


def _arrangements(piece: _Piece) -> Iterator[_Arrangement]:
    """All ways to read a piece, the plainest first."""
    if not piece.framed:
        yield _Arrangement(piece.entry, ((piece.layers,),))
        return
    first, *rest = piece.layers
    readings = islice(_grown((((first,),),), rest, piece), MOST_READINGS)
    yield from (_Arrangement(piece.entry, found) for found in readings)


MOST_READINGS = 5000
"""Many layers of equal channels can be read in many ways; the plain ones come first."""


Lanes: TypeAlias = tuple[tuple[tuple[Layer, ...], ...], ...]


def _grown(lanes: Lanes, rest: Sequence[Layer], piece: _Piece) -> Iterator[Lanes]:
    """``lanes`` with the remaining layers added: after the last, beside it, or as a new branch."""
    if not rest:
        yield lanes
        return
    layer, later = rest[0], rest[1:]
    *done, branch = lanes
    last = branch[-1]
    if layer.channels_in == sum(before.out[0] for before in last):
        yield from _grown((*done, (*branch, (layer,))), later, piece)
    if len(branch) > 1 and layer.channels_in == last[-1].channels_in:
        yield from _grown((*done, (*branch[:-1], (*last, layer))), later, piece)
    if layer.channels_in == piece.entry:
        yield from _grown((*lanes, ((layer,),)), later, piece)


def _arranged(piece: _Piece, after: _Piece | None) -> tuple[_Arrangement, Join]:
    """The plainest arrangement that gives what the next piece takes, and its join."""
    for found in _arrangements(piece):
        if after is not None and after.entry in found.outputs:
            join, bypass = found.outputs[after.entry]
            return replace(found, bypass=bypass), join
    return next(_arrangements(piece)), "none"


def _with_shortcuts(
    pieces: Sequence[_Piece], arranged: Sequence[tuple[_Arrangement, Join]]
) -> list[tuple[_Arrangement, Join]]:
    """Adds the shortcuts that have no weights, where a block is built like one that adds."""
    adding = [
        piece.names for piece, (_, join) in zip(pieces, arranged, strict=True) if join == "add"
    ]
    out: list[tuple[_Arrangement, Join]] = []
    for piece, (found, join) in zip(pieces, arranged, strict=True):
        plain = piece.framed and join == "none" and found.ends == [piece.entry]
        if plain and any(piece.names <= names for names in adding):
            out.append((replace(found, bypass=True), "add"))
        else:
            out.append((found, join))
    return out


# ------------------------------------------------------------------------------- units


def _parameters(layers: Sequence[Layer], pieces: Sequence[_Piece]) -> list[int]:
    """Parameters of each piece; batch norm outside a block counts with the layer before it."""
    totals = [0] * len(pieces)
    own = {layer.name: place for place, piece in enumerate(pieces) for layer in piece.layers}
    inside = {
        "".join(f"{part}." for part in piece.path): place
        for place, piece in enumerate(pieces)
        if piece.framed
    }
    current = 0
    for layer in layers:
        block = next((place for path, place in inside.items() if layer.name.startswith(path)), None)
        current = block if block is not None else own.get(layer.name, current)
        totals[current] += layer.parameters
    return totals


def _unit(piece: _Piece, arranged: tuple[_Arrangement, Join], parameters: int) -> Unit:
    found, join = arranged
    return Unit(
        branches=tuple(
            tuple(tuple(_cell(layer) for layer in step) for step in branch)
            for branch in found.branches
        ),
        join=join,
        bypass=found.bypass,
        framed=piece.framed,
        parameters=parameters,
        side=_side(piece.layers[-1]),
    )


def _merged(units: list[Unit]) -> list[Unit]:
    """Equal blocks in a row as one, with their number."""
    out: list[Unit] = []
    for unit in units:
        if out and _repeats(out[-1], unit):
            out[-1] = _merge(out[-1], unit)
        else:
            out.append(unit)
    return out


def _repeats(first: Unit, other: Unit) -> bool:
    """Is ``other`` the same block again?

    Blocks that concatenate may differ in channels. Of blocks that add, the first may have a
    projection that the others lack.
    """
    if not (first.framed and other.framed and first.join == other.join):
        return False
    if first.join != "concat" and _ends(first) != _ends(other):
        return False
    if first.join == "add" and len(other.branches) == 1 < len(first.branches):
        alone = first.repeats == 1 or first.branches[1][0][0].optional
        return alone and _shape(first.branches[:1]) == _shape(other.branches)
    return _shape(first.branches) == _shape(other.branches) and first.bypass == other.bypass


def _shape(branches: Sequence[Branch]) -> list[list[list[Cell]]]:
    """Branches without what may differ between repeats: channels and stride."""
    return [
        [[replace(cell, stride=1, channels=(0, 0)) for cell in step] for step in branch]
        for branch in branches
    ]


def _ends(unit: Unit) -> tuple[int, int]:
    return unit.branches[0][-1][-1].channels


def _merge(first: Unit, other: Unit) -> Unit:
    branches = tuple(
        _merge_branch(branch, other.branches[place])
        if place < len(other.branches)
        else tuple(tuple(replace(cell, optional=True) for cell in step) for step in branch)
        for place, branch in enumerate(first.branches)
    )
    return replace(
        first,
        branches=branches,
        bypass=first.bypass or other.bypass,
        repeats=first.repeats + other.repeats,
        parameters=first.parameters + other.parameters,
    )


def _merge_branch(first: Branch, other: Branch) -> Branch:
    return tuple(
        tuple(
            replace(
                cell,
                channels=(
                    min(cell.channels[0], again.channels[0]),
                    max(cell.channels[1], again.channels[1]),
                ),
            )
            for cell, again in zip(step, step_again, strict=True)
        )
        for step, step_again in zip(first, other, strict=True)
    )
