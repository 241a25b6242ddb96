"""The rule that chooses a learning rate: what is tried next, and who wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnnpaper import tuning
from cnnpaper.config import load_experiment, load_study
from cnnpaper.files import UserError
from cnnpaper.log import LogError
from tests import fabricate

GRID = (0.1, 0.2, 0.4, 0.8)


FIRST = (0.3, 0.5, 0.4, 0.2)
PLANS: list[tuple[Any, dict[float, float], tuple[float, ...], float | None]] = [
    ((0.3, 0.5, None, 0.4), {}, (), None),  # stage 1 is not complete
    (FIRST, {}, (0.1, 0.2, 0.4), None),
    (FIRST, {0.1: 0.6, 0.2: 0.7}, (0.1, 0.2, 0.4), None),
    (FIRST, {0.1: 0.6, 0.2: 0.7, 0.4: 0.5}, (0.1, 0.2, 0.4), 0.2),
    # the best is an end: the next rate is added, first of the grid, then beyond it
    (FIRST, {0.1: 0.6, 0.2: 0.7, 0.4: 0.8}, (0.1, 0.2, 0.4, 0.8), None),
    (FIRST, {0.1: 0.6, 0.2: 0.7, 0.4: 0.8, 0.8: 0.9}, (0.1, 0.2, 0.4, 0.8, 1.6), None),
    (FIRST, {0.1: 0.6, 0.2: 0.7, 0.4: 0.8, 0.8: 0.9, 1.6: 0.1}, (0.1, 0.2, 0.4, 0.8, 1.6), 0.8),
    # the best of stage 1 is an end of the grid: the neighbour beyond it is tried
    ((0.5, 0.4, 0.3, 0.2), {}, (0.05, 0.1, 0.2), None),
    ((0.1, 0.1, 0.2, 0.3), {}, (0.4, 0.8, 1.6), None),
    # ties go to the lower rate, in both stages
    ((0.3, 0.5, 0.5, 0.2), {}, (0.1, 0.2, 0.4), None),
    (FIRST, {0.1: 0.6, 0.2: 0.7, 0.4: 0.7}, (0.1, 0.2, 0.4), 0.2),
    # but where all of stage 2 are equal, no lower rate can decide: stage 1's best stands
    (FIRST, dict.fromkeys((0.1, 0.2, 0.4), 0.1), (0.1, 0.2, 0.4), 0.2),
    (FIRST, {0.1: 0.7, 0.2: 0.7, 0.4: 0.6, 0.05: 0.6}, (0.05, 0.1, 0.2, 0.4), 0.1),
]


@pytest.mark.parametrize("stage1, stage2, tried, winner", PLANS)
def test_plan(
    stage1: Any, stage2: dict[float, float], tried: tuple[float, ...], winner: float | None
) -> None:
    first = dict(zip(GRID, stage1, strict=True))
    assert tuning.plan(GRID, first.get, stage2.get) == (tried, winner)


def test_rates_beyond_the_grid_have_no_last_bits() -> None:
    """0.3 × 2 / 1 and 0.1 × 0.3 / 0.1 are not exact in binary."""
    tried, _ = tuning.plan((0.1, 0.3), {0.1: 0.5, 0.3: 0.9}.get, {}.get)
    assert tried == (0.1, 0.3, 0.9)


def test_unfinished_logs_do_not_count(tmp_path: Path) -> None:
    root = fabricate.tuning(tmp_path, stage1={"alexnet": {0.05: 0.4}})
    path = root / "results/log/tuning/stage1/alexnet-rate0.2-s100/run.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), "utf-8")
    study = load_study(root, "tuning")
    assert tuning.plans(root, study)["stage2", "alexnet"] == ((), None)
    path.write_text("".join(lines[:-1]) + '{"kind":"resu', "utf-8")  # as while it is written
    assert tuning.plans(root, study)["stage2", "alexnet"] == ((), None)
    path.write_text("no log\n", "utf-8")
    with pytest.raises(LogError, match=r"alexnet-rate0\.2-s100/run\.jsonl:1"):
        tuning.plans(root, study)


def test_a_study_that_does_not_tune_the_key(tmp_path: Path) -> None:
    root = fabricate.tuning(tmp_path, stage1={"alexnet": {0.05: 0.4}})
    path = root / "experiments/alexnet.toml"
    text = path.read_text("utf-8").split("[override")[0]
    path.write_text(text + '[override.momentum]\nvalue = 0.8\nfrom = "tuning"\n', "utf-8")
    with pytest.raises(UserError, match="does not tune momentum of alexnet"):
        tuning.check_overrides(root, {"alexnet": load_experiment(root, "alexnet")})
