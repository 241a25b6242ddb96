"""The plain loop learns in every cell; it is measured beside ours, and planned by the same rule."""

from __future__ import annotations

import json
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnnpaper import config
from cnnpaper.engine.images import synthetic
from tests import tiny
from tests.bench import compare, plain
from tests.bench.plain import CELLS
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.train
RATES = [0.05, 0.1, 0.2]
STUDY = """
networks = ["tiny"]
threads = 1
tuning = "search"
data = { set = "synthetic", train_images = 160, validation_images = 100, test_images = 0 }
[arm.short]
steps = { tiny = 60 }
seeds = [0, 1, 2, 3]
"""
SEARCH = """
networks = ["tiny"]
threads = 1
data = { set = "synthetic", train_images = 160, validation_images = 100, test_images = 0 }
[grid]
peak_learning_rate = [0.05, 0.1, 0.2]
[arm.stage1]
steps = { tiny = 10 }
seeds = [100]
[arm.stage2]
steps = { tiny = 30 }
seeds = [100]
refines = "stage1"
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they give to networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(root: Path) -> Path:
    """A repository with a tiny network, a study of it and its tuning."""
    tiny.add_to(root, steps=25)
    shutil.copytree(REPOSITORY / "tests" / "bench", root / "tests" / "bench")
    (root / "tests" / "__init__.py").touch()
    folder = root / "experiments" / "study"
    (folder / "equal.toml").write_text(STUDY, "utf-8")
    (folder / "search.toml").write_text(SEARCH, "utf-8")
    return root


@pytest.fixture
def call(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The command, in this process and quick: one cell, few rounds; and what it prints."""
    quick = {"WORKERS": (1,), "WORKER_ROUNDS": 1, "ROUNDS": 2, "CELLS": CELLS[2:3]}
    for name, value in quick.items():
        monkeypatch.setattr(compare, name, value)
    module = types.ModuleType("tiny")
    exec(tiny.BUILDER, module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "cnnpaper.engine.networks.tiny", module)
    monkeypatch.setenv("SLURM_JOB_ID", "a test")  # no lock of the device

    def make(*arguments: str) -> str:
        compare.commands.main([*arguments, "--study", "equal"], standalone_mode=False)
        return capsys.readouterr().out

    return make


def write(root: Path, kind: str, *lines: dict[str, Any]) -> None:
    path = root / "results" / "bench" / f"{kind}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_loop_learns_in_every_cell(cell: plain.Cell) -> None:
    data = synthetic(config.DataSpec(set="synthetic", train_images=100, validation_images=100))
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, 4, stride=4)
    net = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    losses = plain.train(net, plain.loader(data.train, 20, cell), rate=0.02, steps=50, cell=cell)
    means = list(losses)
    assert len(means) == 50
    assert means[0] > 2
    assert means[-1] < 1.7
    assert convolution.weight.dtype == torch.float32
    last = cell.memory_format == "channels_last"
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last) == last


def test_the_rate_falls_to_zero_along_a_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps: 1, (1 + √½) / 2, 1/2, (1 − √½) / 2 of the rate."""
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Watched)
    data = synthetic(config.DataSpec(set="synthetic", train_images=20))
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    list(plain.train(net, plain.loader(data.train, 10, CELLS[0]), rate=0.2, steps=4, cell=CELLS[0]))
    assert rates == pytest.approx([0.2, 0.1 + 0.1 * 0.5**0.5, 0.1, 0.1 - 0.1 * 0.5**0.5])


def test_speed_then_accuracy_then_the_table(
    place: Path, call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("speed")
    (line,) = compare.lines("speed")
    assert {name: len(each) for name, each in line["round_s"].items()} == {
        "ours": 2,
        "bfloat16 contiguous": 2,
    }
    assert line["workers"] == {"bfloat16 contiguous": 1}
    assert call("speed") == "tiny: measured already\n"
    # the same times, whatever else the machine does; and no fork of this process
    same = {name: [1.0] for name in line["round_s"]}
    write(place, "speed", line | {"workers": {"bfloat16 contiguous": 0}, "round_s": same})
    trained, real = [], plain.validation_accuracy

    def scored(*given: Any, rate: float, **more: Any) -> float:
        trained.append(real(*given, rate=rate, **more))
        return 0.5 - abs(rate - 0.1)

    monkeypatch.setattr(plain, "validation_accuracy", scored)
    assert "tiny: complete" in call("accuracy", "--model", "tiny")
    lines = compare.lines("accuracy")
    assert [(one["stage"], one["rate"], one["seed"], one["steps"]) for one in lines] == [
        *(("stage1", rate, 100, 10) for rate in RATES),
        *(("stage2", rate, 100, 30) for rate in RATES),
        *(("short", 0.1, seed, 60) for seed in (0, 1, 2)),
    ]
    assert all(0 <= value <= 1 for value in trained)
    assert [one["images"] for one in lines] == [100] * 9
    monkeypatch.setattr(compare, "TRAINED", ("tiny",))
    assert "50.00% (50.00%, 50.00%, 50.00%)" in call("show")


def test_rates_and_steps_are_those_of_our_rule(place: Path) -> None:
    """Twice our step time gives half of our steps; the best rate and its neighbours go on."""
    rounds = {cell.name: [0.5, 0.25, 0.75] for cell in CELLS}
    rounds |= {"float32 channels_last": [0.4, 0.2, 0.6], "ours": [0.2, 0.1, 0.3]}
    speed = {"model": "tiny", "round_s": rounds, "workers": {cell.name: 2 for cell in CELLS}}
    write(place, "speed", speed)
    study = config.load_study(place, "equal")

    def missing() -> list[tuple[str, float, int, int]]:
        known = compare.speed_of("tiny")
        assert known is not None
        assert (known.fastest.name, known.fastest.workers) == ("float32 channels_last", 2)
        return [
            (run["stage"], run["rate"], run["seed"], run["steps"])
            for run in compare.planned(study, "tiny", known)
            if "val_acc" not in run
        ]

    def name(stage: str, rate: float, steps: int) -> str:
        return f"tiny/{stage}/rate{rate:g}-s100, {steps} steps, float32 channels_last"

    assert missing() == [("stage1", rate, 100, 5) for rate in RATES]
    done = [
        {"run": name("stage1", rate, 5), "rate": rate, "stage": "stage1", "val_acc": score}
        for rate, score in zip(RATES, (0.2, None, 0.3), strict=True)
    ]
    write(place, "accuracy", *done)
    assert missing() == [("stage2", rate, 100, 15) for rate in (0.1, 0.2, 0.4)]
    done += [
        {"run": name("stage2", rate, 15), "rate": rate, "stage": "stage2", "val_acc": score}
        for rate, score in zip((0.1, 0.2, 0.4), (0.5, 0.6, None), strict=True)
    ]
    write(place, "accuracy", *done)
    assert missing() == [("short", 0.2, seed, 30) for seed in (0, 1, 2)]
