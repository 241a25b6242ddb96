"""One small paper that several files of tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnpaper.paper.build import build_report
from tests import fabricate

PLAN = fabricate.Plan(networks=("alexnet", "resnet18"), images=200, epochs=2)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose paper was built once; what changes it works on a copy."""
    root = fabricate.study(tmp_path_factory.mktemp("built") / "repository", PLAN, code=True)
    build_report(root, PLAN.name, say=lambda _: None)
    return root
