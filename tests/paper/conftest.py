"""A repository of templates, and papers composed of invented studies, without TeX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.paper import compose as compose_module
from cnnpaper.paper.compose import Composer, Document
from cnnpaper.study.load import StudyData
from tests.paper import invent

ARMS = {"short": (2, 5), "equal": (2, 3), "long": (6, 3)}
Composed = tuple[StudyData, Document]


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., Composed]:
    """Puts a study of some shape into the templates of an edition."""

    def make(edition: str = "en", /, **shape: object) -> Composed:
        wanted = invent.Shape(**{"arms": ARMS, **shape})  # type: ignore[arg-type]
        data, found = invent.study(tmp_path, wanted)
        return data, Composer(data, found, edition).document()  # type: ignore[arg-type]

    return make


@pytest.fixture
def tiny_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Path]:
    """A repository of one small study, whose logs are invented as an edition of it is built."""

    def make(edition: Any) -> Path:
        shape = invent.Shape(models={"resnet18": "ResNet-18"}, arms={"": (3, 1)}, contrast=False,
                             extras=False, name="tiny")  # fmt: skip
        data, found = invent.study(tmp_path, shape)
        made = lambda *_, draw=True, **__: Composer(data, found, edition, draw=draw).document()  # noqa: E731
        monkeypatch.setattr(compose_module, "compose", made)
        return tmp_path

    return make
