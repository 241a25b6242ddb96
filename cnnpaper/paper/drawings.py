"""Which figures a study has, and what each is drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnpaper.paper import architecture, figures, stats
from cnnpaper.paper.analysis import Analysis, Network
from cnnpaper.paper.facts import CLASS_NAMES
from cnnpaper.paper.frames import Frames
from cnnpaper.paper.ledger import MINUS
from cnnpaper.paper.style import styled, text_artists
from cnnpaper.paper.tables import Tables
from cnnpaper.records import Layer


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn: a function of plain arguments, and its description."""

    name: str
    draw: Callable[..., Figure]
    args: tuple[Any, ...]
    alt: str
    """What it shows, for those who cannot see it."""
    printed: tuple[str, ...]
    """Texts of the values that it writes beside its ticks."""

    @property
    def file(self) -> str:
        """Name of its file, as TeX includes it."""
        return f"figure-{self.name.replace('_', '-')}.pdf"

    @property
    def entries(self) -> list[str]:
        """The code that makes the file, as its fingerprint names it."""
        style = ["cnnpaper.paper.style:render", "cnnpaper.paper.style:texts"]
        return [_unit(self.draw), *style, _unit(tick_texts)]

    @property
    def others(self) -> list[str]:
        """Other figures' functions: a decorator in common does not make this one depend on them."""
        drawn = (thing for thing in vars(figures).values() if hasattr(thing, "__wrapped__"))
        return [_unit(other) for other in drawn if _unit(other) not in self.entries]


def drawings(frames: Frames, analysis: Analysis, tables: Tables) -> dict[str, Drawing]:
    """All figures of a study by name, in the order of the paper."""
    names = figures.names_of(frames.runs)
    found = [_architecture(model, tables, layers) for model, layers in frames.layers.items()]
    found.append(_drawing(figures.learning_curves, frames.curves, frames.runs))
    tested = {n.name: n for n in analysis.networks if n.accuracy is not None}
    if tested:
        accuracy = {name: network.accuracy for name, network in tested.items()}
        printed = [_texts(tables.class_values(network)) for network in tested.values()]
        values = np.array(
            [[np.nan if a is None else a.mean for a in n.by_class] for n in tested.values()]
        )
        found.append(_drawing(figures.accuracy_and_cost, frames.runs, accuracy))
        found.append(_drawing(figures.class_accuracy, values, printed, list(tested), CLASS_NAMES))
        best = analysis.best_on_validation[0]
        if best.confusion is not None:
            cells = [_texts(row) for row in tables.confusion_values(best)]
            found.append(_drawing(figures.confusion_matrix, best.confusion, cells, CLASS_NAMES))
        calibration = {name: network.calibration for name, network in tested.items()}
        errors = {name: f"ECE {tables.ece(network)} %" for name, network in tested.items()}
        found.append(_drawing(figures.reliability, calibration, errors, names))
        found += _confused_pairs(list(tested.values()), names)
    return {drawing.name: drawing for drawing in found}


PAIRS = 6
"""Pairs of classes in the figure of confusions."""


def _confused_pairs(tested: Sequence[Network], names: Sequence[str]) -> list[Drawing]:
    """The pairs that all networks together confuse most often; of one network a table tells."""
    tables = {network.name: network.confusion for network in tested}
    known = {name: table for name, table in tables.items() if table is not None}
    pairs = stats.most_confused(np.sum(list(known.values()), axis=0), PAIRS)
    texts = [f"{CLASS_NAMES[a]} – {CLASS_NAMES[b]}" for a, b in pairs]
    shares = {
        name: [float(table[a, b] + table[b, a]) / float(table[[a, b]].sum()) for a, b in pairs]
        for name, table in known.items()
    }
    return (
        [_drawing(figures.confused_pairs, texts, shares, names)] if pairs and len(known) > 1 else []
    )


@styled
def tick_texts(figure: Figure) -> list[str]:
    """What the ticks of a figure say, where that is the place of the tick on its axis.

    A numeral that somebody wrote at a tick is a text like any other; a tick out of view is none.
    """
    shown = {id(artist) for artist in text_artists(figure)}
    return [
        label.get_text()
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if id(label) in shown and _says(label.get_text(), float(tick.get_loc()))
    ]


def _says(text: str, place: float) -> bool:
    """Is ``text`` the number ``place``, with commas and a typographic minus?"""
    plain = text.replace(",", "").replace(MINUS, "-")
    try:
        return math.isclose(float(plain), place, rel_tol=1e-9, abs_tol=1e-12)
    except ValueError:
        return False


def _unit(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _texts(values: Any) -> list[str]:
    return ["" if value is None else value.text for value in values]


def _drawing(draw: Callable[..., Figure], *args: Any) -> Drawing:
    alt = getattr(figures, f"{draw.__name__}_alt")(*args)
    return Drawing(draw.__name__, draw, args, alt, tuple(_strings(args)))


def _strings(thing: Any) -> Iterator[str]:
    """Every text in the arguments of a figure: its values come to it as texts of the ledger."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, Mapping):
        yield from _strings(list(thing.items()))
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from _strings(part)


def _architecture(model: str, tables: Tables, layers: Sequence[Layer]) -> Drawing:
    """The drawing of one network; what it shows is entered into the ledger."""
    source = [tables.facts.layers_source(model)]
    numbers = architecture.numbers(layers)
    for key, (exact, text) in numbers.items():
        tables.facts.add(f"{model}.{key}", exact, source, text=text, formula="of the layer table")
    alt = architecture.architecture_alt(layers)
    printed = tuple(text for _, text in numbers.values())
    return Drawing(f"architecture_{model}", architecture.architecture, (layers,), alt, printed)
