"""A small set that is taken for the official one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cnnpaper.data import read
from tests.data import cifar_files as files

SMALL = 100
"""Images of a batch in the small set."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> files.Bytes:
    """(600, 3073): a set of six batches of 100 images, which is taken for the official one."""
    pytest.importorskip("pyarrow")
    monkeypatch.delenv("DATA_DIR", raising=False)
    return files.stand_in(monkeypatch, SMALL)


@pytest.fixture
def other_pixels(made: files.Bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels of the small set are not the original's."""
    monkeypatch.setattr(read, "BATCH_SHA1", ("0" * 40,) * 6)


@pytest.fixture
def digest(made: files.Bytes) -> str:
    return hashlib.sha256(made.tobytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder, empty."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"
