"""What the tests share: a repository of their own, and the command line called in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnpaper import cli
from tests import artifact, fabricate

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without logs, with the real code, experiment files and templates.

    It is the current folder, and ``DATA_DIR`` is not set.
    """
    place = tmp_path / "repository"
    for folder in ("cnnpaper", "experiments", "report"):
        shutil.copytree(
            REPOSITORY / folder,
            place / folder,
            ignore=shutil.ignore_patterns("__pycache__", "*.pdf", ".*"),
        )
    fabricate.forget_rates(place)
    for name in ("Makefile", "README.md", "LICENSE", "pyproject.toml", "uv.lock"):
        shutil.copy(REPOSITORY / name, place)
    monkeypatch.chdir(place)
    monkeypatch.delenv("DATA_DIR", raising=False)
    return place


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cnnpaper(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """The command line, called in this process."""

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        before = dict(os.environ)  # options are carried in it to what messages advise
        try:
            code = cli.run(list(arguments))
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def record(root: Path, tmp_path: Path) -> Path:
    """Where the stand-ins of ``root`` record how Python is called."""
    artifact.set_up(root, record=tmp_path / "record")
    (tmp_path / "record").touch()
    return tmp_path / "record"
