"""A repository of templates, and papers composed of invented studies, without TeX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cnnpaper.paper.compose import Document
from cnnpaper.study.load import StudyData
from tests.paper import invent

ARMS = {"short": (2, 5), "equal": (2, 3), "long": (6, 3)}
Composed = tuple[StudyData, Document]


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., Composed]:
    """Puts a study of some shape into the templates of an edition."""

    def make(edition: str = "en", /, **shape: object) -> Composed:
        document = invent.paper(tmp_path, edition, **{"arms": ARMS, **shape})
        return document.data, document

    return make


@pytest.fixture
def tiny_paper(tmp_path: Path) -> Path:
    """A repository of one small study."""
    shape = invent.Shape(models={"resnet18": ""}, arms={"": (3, 1)}, contrast=False, name="tiny")
    invent.study(tmp_path, shape)
    return tmp_path
