"""Layers and edges of networks; what the machine is; how runs are launched and timed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnpaper import config, timings
from cnnpaper.config import RunSpec
from cnnpaper.engine.initialise import build
from cnnpaper.files import Interrupted, UserError
from cnnpaper.runs import launch, machine, progress
from cnnpaper.runs.describe import describe
from cnnpaper.runs.machine import Stopwatch
from tests import tiny
from tests.tiny import call

pytestmark = pytest.mark.train


# ------------------------------------------------------------------------------ layers, edges


class Backwards(nn.Module):
    """Declared in another order than executed; two branches meet twice."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(10, 10)
        self.first = nn.Conv2d(3, 5, kernel_size=(32, 1), stride=(4, 32))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        a = self.act(self.first(x)).mean((2, 3))
        return self.last(torch.cat([a + a.exp(), a], 1))


def test_layers_in_the_order_of_execution_and_edges_by_hand() -> None:
    network = describe(Backwards())
    first, last = network.layers
    assert (first.name, first.out, first.kernel, first.stride) == ("first", (5, 1, 1), 32, 32)
    assert (first.parameters, first.macs) == (3 * 5 * 32 + 5, 3 * 5 * 32)
    assert (last.name, last.parameters, last.macs) == ("last", 110, 100)
    assert network.edges == (
        ("input", "first"),
        ("first", "add 1"),
        ("add 1", "cat 2"),
        ("first", "cat 2"),
        ("cat 2", "last"),
        ("last", "output"),
    )


def test_a_network_that_cannot_be_traced_has_no_edges() -> None:
    class Branching(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() >= 0 else -x)

    net = Branching(nn.Flatten(), nn.Linear(3072, 10))
    assert describe(net).edges == ()
    assert len(describe(net).layers) == 1


@pytest.mark.parametrize(
    "model,join,count,branches", [("resnet18", "add", 8, 2), ("googlenet", "cat", 9, 4)]
)
def test_edges_into_joins(model: str, join: str, count: int, branches: int) -> None:
    """ResNet-18: two blocks in each of four stages add; GoogLeNet: nine blocks of four branches."""
    into = [target for _, target in describe(build(model)).edges]
    found = [into.count(target) for target in set(into) if target.startswith(join)]
    assert found == [branches] * count


def test_describing_changes_neither_network_nor_generator() -> None:
    net = build("mobilenet_v2")
    net.get_submodule("features.3").eval()
    flags = {name: module.training for name, module in net.named_modules()}
    weights = {name: weight.clone() for name, weight in net.state_dict().items()}
    generator = torch.get_rng_state()
    layers = {layer.name: layer for layer in describe(net).layers}
    depthwise = layers["features.2.conv.1.0"]
    assert (depthwise.groups, depthwise.channels_in, depthwise.macs) == (96, 96, 96 * 9 * 1024)
    assert torch.equal(torch.get_rng_state(), generator)
    assert {name: module.training for name, module in net.named_modules()} == flags
    assert all(torch.equal(weight, weights[name]) for name, weight in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


# ------------------------------------------------------------------------------ machine


def test_the_description_names_no_host_and_no_user() -> None:
    import getpass
    import socket

    text = machine.describe_machine(torch.device("cpu")).model_dump_json()
    assert socket.gethostname() not in text
    assert f'"{getpass.getuser()}"' not in text


# ------------------------------------------------------------------------------ launch


def test_devices() -> None:
    assert launch.devices_of("cpu:0, cpu:1") == ["cpu:0", "cpu:1"]
    assert launch.torch_device("cpu:1").type == "cpu"
    with pytest.raises(UserError, match="there is no GPU 99"):
        launch.torch_device("99")


@pytest.fixture
def specs(root: Path) -> list[RunSpec]:
    """Three runs."""
    tiny.add_to(root, steps=10, seeds="[0, 1, 2]")
    return config.run_specs(root, config.load_study(root, "small"))


def test_no_run_starts_that_would_end_too_late(root: Path, specs: list[RunSpec], capfd) -> None:
    until = time.time() + 60
    launch.train_study(specs, root=root, data_dir=root, until=until, estimate=lambda _: 3600.0)
    assert "small/tiny-s2: not started, since it would end too late" in capfd.readouterr().out


def test_a_signal_stops_the_runs_under_way_and_starts_no_other(
    root: Path, specs: list[RunSpec], monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(launch, "command", lambda *_: sleep)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    start = time.monotonic()
    with pytest.raises(Interrupted, match="the same command resumes"):
        launch.train_study(specs, root=root, data_dir=root, devices=["cpu:0", "cpu:1"])
    assert time.monotonic() - start < 30
    assert capfd.readouterr().out.splitlines() == [
        f"run {number} of 3: small/tiny-s{number - 1}" for number in (1, 2)
    ]


def test_a_run_that_fails_is_named_and_the_others_are_done(
    root: Path, specs: list[RunSpec], monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    def command(spec: RunSpec, *_: object) -> list[str]:
        return [sys.executable, "-c", f"print('done'); raise SystemExit({spec.seed} == 1)"]

    monkeypatch.setattr(launch, "command", command)
    with pytest.raises(UserError, match=r"^1 runs not finished:\nsmall/tiny-s1: exit status 1; "):
        launch.train_study(specs, root=root, data_dir=root)
    assert capfd.readouterr().out.count("done") == 3


def test_two_devices_give_the_bits_of_two_runs_in_a_row(root: Path) -> None:
    tiny.add_to(root, steps=25, seeds="[0, 1]")
    found = []
    for gpus in ("cpu:0,cpu:1", "cpu"):
        code, output = call(root, "experiments", "--study", "small", "--gpus", gpus)
        assert code == 0, output
        paths = sorted((root / "results" / "log" / "small").glob("tiny-s*/predictions.npz"))
        assert len(paths) == 2
        found.append([path.read_bytes() for path in paths])
        for path in (root / "results" / "log" / "small").glob("tiny-s*/*"):
            path.unlink()
    assert found[0] == found[1]


def test_the_line_of_progress(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Steps of 3 s: 88 are left of this run, and four and a half runs of 100 come after it."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setenv(progress.PLACE, "7 42 4.5")
    spec: Any = SimpleNamespace(run="vgg16-s3", epochs=2, steps=100, steps_per_epoch=50)
    at = SimpleNamespace(epoch=0)
    training: Any = SimpleNamespace(at=at, steps_of=lambda _: 50)
    bar = progress.Progress(spec)
    for step in range(1, 13):
        at.step, at.seen, at.loss_sum, at.correct = step, 64 * step, 32.0 * step, 16 * step
        bar.step(training, Stopwatch(wall_s=step * 3.2))
        now += 3.0
    assert capsys.readouterr().err == (
        "run 7 of 42, vgg16-s3: epoch 1/2, step 12/50, 04:24 left, study 26:54, "
        "loss 0.500, acc 0.250, 20 images/s\n"
    )


# ------------------------------------------------------------------------------ timing


def test_a_session_times_every_network_and_changes_nothing(root: Path) -> None:
    tiny.add_to(root, steps=25)
    timing = root / "cnnpaper" / "runs" / "timing.py"
    tiny.edit(timing, "ROUNDS = 12\nSTEPS = 20\nWARMUP = 5", "ROUNDS = 3\nSTEPS = 4\nWARMUP = 1")
    for session in (1, 2):
        code, output = call(root, "timing", "--study", "small", "--gpus", "cpu")
        assert code == 0, output
        found = timings.read(root / "results" / "log" / "small" / "timing.jsonl")
        line = found[session]["tiny"]
        assert [len(steps) for steps in line.round_s] == [4] * 3
        # 16 x 16 and 8 x 8 outputs of 3 x 3 windows, then 16 x 10
        assert line.macs == 16 * 16 * 8 * 27 + 8 * 8 * 16 * 72 + 160
        assert (line.batch_size, line.precision, line.warmup) == (16, "float32", 1)
        assert all(seconds >= 0 for values in line.sections.values() for seconds in values)
        assert line.startup_s > 0
    assert not list((root / "results" / "log" / "small").glob("tiny-*"))


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "timing.jsonl"
    path.write_text(json.dumps({"kind": "timing"}) + "\n")
    with pytest.raises(UserError, match=r"timing\.jsonl:1: study: Field required"):
        timings.read(path)
