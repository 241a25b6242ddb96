"""One finished run, trained once; each test works in a copy of its repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import artifact, tiny
from tests.conftest import REPOSITORY


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a commit and one finished run of it; each test works in a copy."""
    root = tmp_path_factory.mktemp("trained") / "repository"
    for name in ("cnnpaper", "experiments"):
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(REPOSITORY / name, root / name, ignore=ignore)
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, root)
    tiny.add_to(root, steps=25)
    (root / ".gitignore").write_text("build/\n__pycache__/\nresults/\n")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all of it")):
        assert artifact.git(root, *arguments).returncode == 0
    code, output = tiny.call(root, *tiny.TRAIN)
    assert code == 0, output
    return root


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))
