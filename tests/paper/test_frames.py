"""Frames: what is read is what was logged, and what cannot be believed is refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cnnpaper.errors import UserError
from cnnpaper.paper.frames import read_frames
from cnnpaper.records import (
    LOG_NAME,
    PREDICTIONS_NAME,
    Data,
    Epoch,
    Header,
    LogWriter,
    Machine,
    Network,
    Result,
    read_run,
)
from tests import fabricate

PLAN = fabricate.Plan(networks=("alexnet", "resnet18"), seeds=(0, 1), images=50, epochs=3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fabricate.study(tmp_path, PLAN)


def log_of(root: Path, run: str) -> Path:
    return root / "results" / "log" / PLAN.name / run / LOG_NAME


def rewrite(path: Path, change: dict[str, dict[str, object]]) -> None:
    """The log with fields of some kinds of lines changed, its digests made anew."""
    run = read_run(path)
    assert run.result is not None
    path.unlink()
    writer = LogWriter(path)
    for line in (run.header, *run.epochs, run.result):
        if line is run.result:
            fabricate.note_test(path.parent, writer.digest)
        writer.append(line.model_copy(update=change.get(line.kind, {})))


def test_rows_by_run_in_the_order_of_the_study(root: Path) -> None:
    frames = read_frames(root, PLAN.name)
    assert list(frames.runs["run"]) == ["alexnet-s0", "alexnet-s1", "resnet18-s0", "resnet18-s1"]
    assert list(frames.runs["name"].cat.categories) == ["AlexNet", "ResNet-18"]
    assert frames.runs["name"].cat.ordered
    assert list(frames.curves["epoch"]) == [0, 1, 2] * 4
    assert set(frames.predictions) == set(frames.logs) == set(frames.runs["run"])
    assert frames.missing == ()


def test_a_log_written_by_hand(tmp_path: Path) -> None:
    """Every derived column of a run of three epochs, computed on paper."""
    root = fabricate.repository(tmp_path)
    folder = root / "results" / "log" / "hand" / "alexnet-s0"
    (root / "experiments" / "study" / "hand.toml").write_text(
        'networks = ["alexnet"]\nseeds = [0]\nepochs = 3\n[data]\nset = "any"\ntest_images = 0\n'
    )
    log = LogWriter(folder / LOG_NAME)
    log.append(header(root))
    # low resolution, alone; full, alone; full, another process took 20 of 100 CPU seconds
    log.append(epoch(0, resolution=24, train_s=10.0, val_acc=0.30, train_cpu_s=20.0, other=0.0))
    log.append(epoch(1, resolution=32, train_s=20.0, val_acc=0.50, train_cpu_s=40.0, other=1.0))
    log.append(epoch(2, resolution=32, train_s=50.0, val_acc=0.40, train_cpu_s=100.0, other=20.0))
    log.append(result(best_epoch=1, best_val_acc=0.50))
    row = read_frames(root, "hand").runs.iloc[0]
    assert row["train_s"] == 80.0
    assert row["epoch_s"] == 20.0  # the one epoch at full resolution that had the machine alone
    assert row["shared"]
    assert (row["best_epoch"], row["best_val_acc"], row["status"]) == (1, 0.5, "finished")
    assert math.isnan(row["test_acc"])
    assert list(read_frames(root, "hand").curves["shared"]) == [False, False, True]


def header(root: Path) -> Header:
    return Header(
        schema=1,
        origin="trained",
        study="hand",
        model="alexnet",
        seed=0,
        **fabricate.plan_of(root, "hand", "alexnet"),
        data=Data(name="x", digest="d"),
        machine=Machine(),
        commit=None,
        started=None,
        network=Network(parameters=1, macs=1),
    )


def epoch(
    number: int,
    *,
    resolution: int,
    train_s: float,
    val_acc: float,
    train_cpu_s: float,
    other: float,
) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=1.0,
        train_acc=0.1,
        val_loss=1.0,
        val_acc=val_acc,
        weights="raw",
        resolution=resolution,
        train_s=train_s,
        train_cpu_s=train_cpu_s,
        eval_s=1.0,
        other_cpu_s=other,
        learning_rate=0.1,
    )


def result(**fields: object) -> Result:
    values: dict[str, object] = {
        "status": "finished",
        "best_epoch": 0,
        "best_val_acc": 0.3,
        "test_acc": None,
        "test_loss": None,
        "test_acc_tta": None,
        "total_s": 83.0,
        "predictions_sha256": None,
    }
    return Result.model_validate({**values, **fields})


def test_a_diverged_run_is_shown_as_it_was(tmp_path: Path) -> None:
    plan = fabricate.Plan(networks=("alexnet",), seeds=(0, 1), images=50, diverged=("alexnet-s1",))
    frames = read_frames(fabricate.study(tmp_path, plan), plan.name)
    last = frames.curves[frames.curves["run"] == "alexnet-s1"].iloc[-1]
    assert math.isnan(last["train_loss"])
    assert last["val_loss"] == math.inf
    assert list(frames.runs["status"]) == ["finished", "diverged"]
    assert set(frames.predictions) == {"alexnet-s0"}


def test_a_network_without_a_run_keeps_its_place(tmp_path: Path) -> None:
    plan = fabricate.Plan(networks=("vgg16", "alexnet"), images=50, missing=("vgg16-s0",))
    frames = read_frames(fabricate.study(tmp_path, plan), plan.name)
    assert frames.missing == ("vgg16-s0",)
    assert list(frames.runs["name"].cat.categories) == ["VGG-16", "AlexNet"]


def test_an_incomplete_run_is_refused_with_its_target(tmp_path: Path) -> None:
    plan = fabricate.Plan(networks=("resnet18",), images=50, incomplete=("resnet18-s0",))
    with pytest.raises(UserError) as caught:
        read_frames(fabricate.study(tmp_path, plan), plan.name)
    assert (
        str(caught.value)
        == "resnet18-s0 is incomplete (2 of 3 epochs): make resnet18 STUDY=invented"
    )


def test_a_study_without_any_run(tmp_path: Path) -> None:
    plan = fabricate.Plan(networks=("alexnet",), missing=("alexnet-s0",))
    with pytest.raises(UserError, match="make experiments STUDY=invented"):
        read_frames(fabricate.study(tmp_path, plan), plan.name)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"result": {"test_acc": 0.99}}, r"run.jsonl:\d+: test_acc = 0.99, but predictions.npz"),
        ({"result": {"test_loss": 1.0}}, "test_loss = 1.0, but predictions.npz gives"),
        ({"result": {"test_acc_tta": 0.99}}, "test_acc_tta = 0.99, but predictions.npz gives"),
        ({"result": {"best_val_acc": 0.99}}, "best_val_acc = 0.99, but epoch 2 has"),
        ({"result": {"best_epoch": 7}}, "best_epoch = 7: there is no such epoch"),
        ({"result": {"predictions_sha256": "0" * 64}}, "not the predictions that the run's result"),
        ({"header": {"seed": 5}}, "the log of alexnet-s5 of study 'invented'"),
        ({"header": {"model": "vgg16"}}, "the log of vgg16-s0"),
        ({"header": {"study": "other"}}, "of study 'other'"),
        (
            {"header": {"data": Data(name="CIFAR-10, re-encoded", digest="d")}},
            "trained on different data",
        ),
        ({"header": {"spec": {"epochs": 9}}}, "spec: key 'study' is missing"),
    ],
)
def test_a_log_that_contradicts_itself(
    root: Path, change: dict[str, dict[str, object]], message: str
) -> None:
    """Its digests are right, so somebody made them anew: the rest gives it away."""
    rewrite(log_of(root, "alexnet-s0"), change)
    with pytest.raises(UserError, match=message):
        read_frames(root, PLAN.name)


def test_a_log_in_the_folder_of_another_run(root: Path) -> None:
    log_of(root, "alexnet-s1").write_bytes(log_of(root, "alexnet-s0").read_bytes())
    with pytest.raises(UserError, match=r"the log of alexnet-s0.*lies in the folder of alexnet-s1"):
        read_frames(root, PLAN.name)


def test_one_changed_logit_is_seen(root: Path) -> None:
    path = log_of(root, "alexnet-s0").with_name(PREDICTIONS_NAME)
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    arrays["logits"][7, 3] += 1
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="other SHA-256"):
        read_frames(root, PLAN.name)


def test_predictions_of_another_run(root: Path) -> None:
    log = log_of(root, "alexnet-s0").with_name(PREDICTIONS_NAME)
    log.write_bytes(log_of(root, "alexnet-s1").with_name(PREDICTIONS_NAME).read_bytes())
    with pytest.raises(UserError, match=r"alexnet-s0/predictions.npz: not the predictions"):
        read_frames(root, PLAN.name)


def test_predictions_that_are_gone(root: Path) -> None:
    log_of(root, "resnet18-s1").with_name(PREDICTIONS_NAME).unlink()
    with pytest.raises(UserError, match=r"resnet18-s1/predictions.npz: cannot be read"):
        read_frames(root, PLAN.name)
