"""The plain loop learns in every cell; it is measured beside ours, and planned by the same rule."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnnpaper import config
from cnnpaper.engine.images import synthetic
from cnnpaper.files import UserError
from cnnpaper.timings import this_processor
from tests import tiny
from tests.bench import compare, plain
from tests.bench.plain import CELLS
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.train
RATES = [0.05, 0.1, 0.2]
STUDY = """
networks = ["tiny"]
threads = 1
data = { set = "synthetic", train_images = 160, validation_images = 100, test_images = 0 }
"""
EQUAL = 'tuning = "search"\n[arm.short]\nsteps = { tiny = 60 }\nseeds = [0, 1, 2, 3]\n'
SEARCH = f"""
[grid]
peak_learning_rate = {RATES}
[arm.stage1]
steps = {{ tiny = 10 }}
seeds = [100]
[arm.stage2]
steps = {{ tiny = 30 }}
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
    folder = root / "experiments" / "study"
    (folder / "equal.toml").write_text(EQUAL.replace("\n", f"\n{STUDY}", 1), "utf-8")
    (folder / "search.toml").write_text(STUDY + SEARCH, "utf-8")
    return root


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_loop_learns_in_every_cell(cell: plain.Cell) -> None:
    data = synthetic(config.DataSpec(set="synthetic", train_images=100, validation_images=100))
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, 4, stride=4)
    net = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    means = list(plain.train(net, data.train, rate=0.02, steps=50, batch_size=20, cell=cell))
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
    images = synthetic(config.DataSpec(set="synthetic", train_images=20)).train
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    list(plain.train(net, images, rate=0.2, steps=4, batch_size=10, cell=CELLS[0]))
    assert rates == pytest.approx([0.2, 0.1 + 0.1 * 0.5**0.5, 0.1, 0.1 - 0.1 * 0.5**0.5])


@pytest.mark.parametrize("told", [None, "this processor has no bfloat16"])
def test_speed_is_measured_in_processes_beside_ours(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: str | None,
) -> None:
    """On a processor without bfloat16 in float32 alone, of which no accuracy is measured."""
    shutil.copytree(REPOSITORY / "tests" / "bench", place / "tests" / "bench")
    (place / "tests" / "__init__.py").touch()
    quick = "WORKERS, WORKER_ROUNDS, ROUNDS, CELLS = (1,), 1, 2, (CELLS[0], CELLS[2])"
    quick += f"\nwithout_bfloat16 = lambda: {told!r}"
    tiny.edit(place / "tests" / "bench" / "compare.py", "\nOURS =", f"\n{quick}\nOURS =")
    call = [sys.executable, "-m", "tests.bench.plain", "speed", "--study", "equal"]
    done = subprocess.run(call, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "all beside ours: round 2 of 2" in done.stdout
    (line,) = compare.lines("speed")
    cells = ["float32 contiguous"] + (["bfloat16 contiguous"] if told is None else [])
    assert {name: len(each) for name, each in line["round_s"].items()} == {
        "ours": 2, **dict.fromkeys(cells, 2)
    }  # fmt: skip
    assert line["workers"] == dict.fromkeys(cells, 1)
    assert line["precision"] == ("bfloat16" if told is None else "float32")
    compare.commands.main(["speed", "--study", "equal"], standalone_mode=False)
    assert "tiny: measured already" in capsys.readouterr().out
    compare.commands.main(["show", "--study", "equal"], standalone_mode=False)
    assert ("steps in T" in capsys.readouterr().out) == (told is None)
    if told:
        monkeypatch.setattr(compare, "TRAINED", ("tiny",))
        with pytest.raises(UserError, match="speed was measured in float32"):
            compare.commands.main(["accuracy", "--study", "equal"], standalone_mode=False)


def test_two_stages_and_three_seeds_then_the_table(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice our step time gives half of our steps; the best rate and its neighbours go on."""
    fastest = "float32 channels_last"
    times = {cell.name: [0.5, 0.25, 0.75] for cell in CELLS}
    times |= {fastest: [0.4, 0.2, 0.6], "ours": [0.2, 0.1, 0.3]}
    line = {
        "machine": {"cpu": "a", "processor": this_processor(), "isa": "c", "threads": 1},
        "packages": dict.fromkeys(("python", "torch", "torchvision"), "1"),
        **{"model": "tiny", "batch_size": 16, "steps": 20, "contended": False},
        **{"precision": "bfloat16", "memory_format": "contiguous", "round_s": times},
        "workers": {cell.name: 0 for cell in CELLS},
    }
    compare.write("speed", line)
    module = types.ModuleType("tiny")
    exec(tiny.BUILDER, module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "cnnpaper.engine.networks.tiny", module)
    monkeypatch.setenv("SLURM_JOB_ID", "a test")  # no lock of the device
    monkeypatch.setattr(compare, "TRAINED", ("tiny",))
    trained, real = [], plain.validation_accuracy

    def scored(*given: Any, rate: float, **more: Any) -> float | None:
        trained.append(real(*given, rate=rate, **more))
        return {0.05: 0.2, 0.1: None, 0.2: 0.5, 0.4: 0.5}[rate]

    monkeypatch.setattr(plain, "validation_accuracy", scored)
    compare.commands.main(["accuracy", "--study", "equal"], standalone_mode=False)
    assert "tiny: complete" in capsys.readouterr().out
    lines = compare.lines("accuracy")
    assert [(one["stage"], one["rate"], one["seed"], one["steps"]) for one in lines] == [
        *(("stage1", rate, 100, 5) for rate in RATES),
        *(("stage2", rate, 100, 15) for rate in (0.1, 0.2, 0.4)),
        *(("short", 0.2, seed, 30) for seed in (0, 1, 2)),
    ]
    assert all(0 <= value <= 1 for value in trained)
    assert [one["images"] for one in lines] == [100] * 9
    compare.commands.main(["show", "--study", "equal"], standalone_mode=False)
    table = capsys.readouterr().out
    assert "50.00% (50.00%, 50.00%, 50.00%)" in table
    assert "2.00 (2.00 to 2.00)" in table
