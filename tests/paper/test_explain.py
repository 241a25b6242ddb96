"""make explain: from a printed number to the line of the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnpaper.errors import UserError
from cnnpaper.paper.explain import explain
from tests import fabricate

PLAN = fabricate.Plan(networks=("alexnet", "resnet18"), images=200, epochs=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate.study(tmp_path_factory.mktemp("explain"), PLAN, code=True)


def test_a_key_is_followed_to_its_line(root: Path) -> None:
    answer = explain(root, PLAN.name, "resnet18.test_acc")
    place = next(line.split()[1] for line in answer.splitlines() if "  from " in line)
    file, _, number = place.rpartition(":")
    logged = json.loads((root / file).read_text().splitlines()[int(number) - 1])
    assert logged["kind"] == "result"
    assert f"test_acc = {logged['test_acc']}" in answer
    assert f"printed   {logged['test_acc'] * 100:.2f}" in answer
    assert "run       resnet18-s0, fingerprint " in answer
    assert "(fresh)" in answer
    assert "made by   make resnet18 STUDY=invented SEEDS=0" in answer


def test_a_setting_is_followed_to_its_file(root: Path) -> None:
    answer = explain(root, PLAN.name, "recipe.momentum")
    assert "experiments/recipe.toml:" in answer
    assert "momentum = 0.9" in answer


def test_a_printed_text_finds_its_keys(root: Path) -> None:
    text = explain(root, PLAN.name, "resnet18.test_acc").splitlines()[1].split()[1]
    assert "resnet18.test_acc\n" in explain(root, PLAN.name, text)
    assert explain(root, PLAN.name, f"{text} %") == explain(root, PLAN.name, text)


def test_a_difference_names_both_runs(root: Path) -> None:
    answer = explain(root, PLAN.name, "pair.resnet18.alexnet.difference")
    assert "resnet18-s0/run.jsonl" in answer
    assert "alexnet-s0/run.jsonl" in answer


def test_an_unknown_key_gets_the_nearest(root: Path) -> None:
    with pytest.raises(UserError, match=r"nearest keys: resnet18\.test_acc"):
        explain(root, PLAN.name, "resnet18.tst_acc")
