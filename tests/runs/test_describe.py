"""Layers and edges of networks; what the machine is; how runs are launched and timed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cnnpaper import timings
from cnnpaper.engine.initialise import build
from cnnpaper.files import UserError
from cnnpaper.runs import launch, machine
from cnnpaper.runs.describe import describe
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


def test_residual_and_inception_edges() -> None:
    """ResNet-18: two blocks in each of four stages add; GoogLeNet: nine blocks of four branches."""
    torch.manual_seed(0)
    resnet, googlenet = describe(build("resnet18")), describe(build("googlenet"))
    into = [target for _, target in resnet.edges]
    joins = {target for target in into if target.startswith("add")}
    assert len(joins) == 8
    assert all(into.count(join) == 2 for join in joins)
    assert ("layer2.0.downsample.1", "add 3") in resnet.edges
    into = [target for _, target in googlenet.edges]
    assert sorted(into.count(join) for join in set(into) if join.startswith("cat")) == [4] * 9


@pytest.mark.parametrize("training", [True, False])
def test_describing_changes_neither_network_nor_generator(training: bool) -> None:
    torch.manual_seed(0)
    net = build("mobilenet_v2").train(training)
    net.get_submodule("features.3").train(not training)
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
    assert machine.physical_cores() >= 1


# ------------------------------------------------------------------------------ launch


def test_devices() -> None:
    assert launch.devices_of("cpu:0, cpu:1") == ["cpu:0", "cpu:1"]
    assert launch.torch_device("cpu:1").type == "cpu"
    with pytest.raises(UserError, match="there is no GPU 99"):
        launch.torch_device("99")


def test_no_run_starts_that_would_end_too_late(root: Path, capfd) -> None:
    spec = tiny.add_to(root, steps=10)
    until = time.time() + 60
    launch.train_study(
        [spec], root=root, data_dir=root / "data", until=until, estimate=lambda _: 3600.0
    )
    assert "small/tiny-s0: not started, since it would end too late" in capfd.readouterr().out


def test_a_signal_stops_the_processes_of_a_group(tmp_path: Path) -> None:
    group = launch.ProcessGroup()
    with machine.stopped_by(group.stop):
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        worker = threading.Thread(
            target=group.run, args=([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
        )
        worker.start()
        worker.join(timeout=30)
        assert not worker.is_alive()
        assert group.stopped == signal.SIGTERM
        assert group.run([sys.executable, "-c", "print('no')"], tmp_path) == 0


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
        assert line.macs == describe_tiny_macs()
        assert (line.batch_size, line.precision, line.warmup) == (16, "float32", 1)
        assert all(seconds >= 0 for values in line.sections.values() for seconds in values)
        assert line.startup_s > 0
    assert not list((root / "results" / "log" / "small").glob("tiny-*"))


def describe_tiny_macs() -> int:
    """16 x 16 and 8 x 8 outputs of 3 x 3 windows, then 16 x 10."""
    return 16 * 16 * 8 * 27 + 8 * 8 * 16 * 72 + 160


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "timing.jsonl"
    path.write_text(json.dumps({"kind": "timing"}) + "\n")
    with pytest.raises(UserError, match=r"timing\.jsonl:1: study: Field required"):
        timings.read(path)
