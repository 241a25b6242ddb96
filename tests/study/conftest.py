"""Studies on disk, in the shape of the reference study."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fabricate
from tests.fabricate import Plan

ARMS = {
    "short": {"steps": 15, "seeds": [0, 1, 2]},
    "equal": {"epochs": 2, "seeds": [0, 1]},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four networks, an arm of 15 steps and three seeds, an arm of two epochs and two seeds."""
    more = 'contrast = { arm = "short", baseline = "resnet18" }'
    return fabricate.study(tmp_path, Plan(arms=ARMS, more=more))
