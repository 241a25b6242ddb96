"""The figures of a study by name, with what they show for those who cannot see them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup

from cnnpaper.paper.facts import Facts
from cnnpaper.paper.html import inline_svg
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Words


@dataclass(frozen=True)
class Drawing:
    """One figure."""

    name: str
    draw: Callable[[], Any]
    """Gives the matplotlib Figure."""
    title: str
    alt: str
    wide: bool = True
    """Takes both columns where the page has two."""

    @property
    def file(self) -> str:
        return f"{self.name}.pdf"

    @cached_property
    def figure(self) -> Any:
        return self.draw()

    @property
    def width(self) -> str:
        """In PDF points."""
        return f"{self.figure.get_size_inches()[0] * 72:.1f}"

    def render(self, kind: str) -> bytes:
        """The figure as ``pdf``, ``png`` or ``svg``; the same figure gives the same bytes."""
        import matplotlib as mpl

        out = io.BytesIO()
        metadata: dict[str, Any] = {
            "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
            "svg": {"Date": None, "Creator": None},
            "png": {"Software": None},
        }[kind]
        with mpl.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "path"}):
            self.figure.savefig(out, format=kind, metadata=metadata, dpi=200)
        return out.getvalue()

    def svg(self, label: str) -> Markup:
        """Within a page of HTML."""
        return inline_svg(self.render("svg"), label, self.title, self.alt)


def drawings(facts: Facts, values: Values, words: Words) -> dict[str, Drawing]:
    """The figures that the study has something for."""
    return {}
