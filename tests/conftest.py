"""What the tests share: a repository of their own, and the command line called in this process."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnpaper import cli

REPOSITORY = Path(__file__).resolve().parents[1]
COLLECTED = pytest.StashKey[Counter[str]]()
"""File below tests/ → how many tests it has, long ones too."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count the tests before any is left out."""
    tests = REPOSITORY / "tests"
    config.stash[COLLECTED] = Counter(str(item.path.relative_to(tests)) for item in items)


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
        code = cli.run(list(arguments))
        return Answer(code, *capfd.readouterr())

    return call
