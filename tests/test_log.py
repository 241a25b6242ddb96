"""The log of a run: read strictly, written whole, drawn as text."""

from __future__ import annotations

import io
import json
import math
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnpaper import log
from cnnpaper.log import LogError
from tests import fabricate


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The log of a finished run of two epochs."""
    plan = fabricate.Plan(networks=("alexnet",))
    root = fabricate.study(tmp_path_factory.mktemp("log"), plan)
    return (root / "results/log/invented/alexnet-s0/run.jsonl").read_text("utf-8")


@pytest.fixture
def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "log" / "invented" / "alexnet-s0"
    folder.mkdir(parents=True)
    return folder / "run.jsonl"


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def message(function: Callable[[], object]) -> str:
    with pytest.raises(LogError) as caught:
        function()
    assert 1 <= len(str(caught.value).splitlines()) <= 5
    return str(caught.value)


# ------------------------------------------------------------------------------ reading


def test_a_log_is_read_as_it_was_written(path: Path, lines) -> None:
    write(path, lines)
    run = log.read_run(path)
    kinds = [line["kind"] for line in lines]
    assert kinds == ["header", "miniature", *["step"] * 2, *["epoch"] * 2, "reading", "result"]
    assert (run.name, run.header.model, run.header.seed) == ("alexnet-s0", "alexnet", 0)
    assert run.line_numbers["epoch 1"] == 6
    assert run.line_numbers["result"] == 8
    assert run.epochs[1].val_acc == lines[5]["val_acc"]  # bit for bit
    copy = path.with_name("copy.jsonl")
    for line in (run.header, run.miniature, *run.steps, *run.epochs, *run.readings, run.result):
        assert line is not None
        log.append(copy, line)
    again = log.read_run(copy)
    assert (again.header, again.epochs, again.result) == (run.header, run.epochs, run.result)


WRONG = {
    "an epoch missing": (lambda x: x.pop(4), ":5: epoch 1, expected 0"),
    "no header": (lambda x: x.pop(0), ":1: a miniature line where none can be"),
    "two results": (lambda x: x.append(x[-1]), ":9: a result line where none can be"),
    "an unknown kind": (lambda x: x[2].update(kind="stop"), ":3: Input tag 'stop' found"),
    "another schema": (lambda x: x[0].update(schema=1), ":1: schema = 1: Input should be 2"),
    "a field missing": (lambda x: x[4].pop("train_loss"), ":5: train_loss: Field required"),
    "NaN as a number": (lambda x: x[4].update(train_loss=math.nan), ":5: train_loss = nan"),
}


@pytest.mark.parametrize("change, said", WRONG.values(), ids=WRONG.keys())
def test_lines_that_cannot_be(path: Path, lines, change, said: str) -> None:
    change(lines)
    write(path, lines)
    found = message(lambda: log.read_run(path))
    assert f"{path}{said}" in found


BYTES = {
    "missing": (None, "cannot be read (No such file or directory)"),
    "empty": (b"", "empty\ntrain the run: make alexnet STUDY=invented SEEDS=0"),
    "cut off": (b'{"kind":"hea', ":1: the last line is cut off"),
    "not UTF-8": (b"\xff\n", ":1: Invalid JSON"),
    "not JSON": (b"hello\n", ":1: Invalid JSON"),
}


@pytest.mark.parametrize("data, said", BYTES.values(), ids=BYTES.keys())
def test_bytes_that_are_no_log(path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        path.write_bytes(data)
    found = message(lambda: log.read_run(path))
    assert str(path) in found
    assert said in found


def test_a_log_that_was_removed_is_not_begun_in_its_middle(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="removed while it was written"):
        log.append(path, log.Step(step=0, loss=2.3))
    assert not path.exists()


def test_unknown_fields_are_kept(path: Path, lines) -> None:
    lines[4]["temperature"] = 41
    write(path, lines)
    assert '"temperature":41' in log.encode(log.read_run(path).epochs[0])


# ------------------------------------------------------------------------------ writing


def test_a_metric_that_is_not_finite_is_null_with_its_name() -> None:
    fields = log.finite(loss=math.inf, acc=0.5, other=None, more=-math.inf, no=math.nan)
    assert fields["nonfinite"] == {"loss": "inf", "more": "-inf", "no": "nan"}
    assert (fields["loss"], fields["acc"]) == (None, 0.5)
    step = log.Step(step=0, **log.finite(loss=math.nan))
    assert math.isnan(step.exact("loss") or 0.0)
    assert '"loss":null' in log.encode(step)


# ------------------------------------------------------------------------------ predictions


def arrays(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "val_labels": np.array([0, 9], np.uint8),
        "val_logits": np.zeros((2, 10), np.float32),
        "test_labels": np.array([], np.uint8),
        "test_logits": np.zeros((0, 10), np.float32),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v for k, v in (values | changes).items() if v is not None})
    return buffer.getvalue()


def bomb() -> bytes:
    """400 MB of zeros in 400 kB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("val_labels.npy", "w") as member,
    ):
        for _ in range(400):
            member.write(bytes(1_000_000))
    return buffer.getvalue()


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.mkdir, (Path("sprung"),))


PREDICTIONS = {
    "an array missing": (lambda: arrays(test_logits=None), "test_logits"),
    "float64": (lambda: arrays(val_logits=np.zeros((2, 10))), "val_logits is float64"),
    "a class too many": (lambda: arrays(val_labels=np.array([0, 10], np.uint8)), "classes are 0"),
    "fewer rows": (lambda: arrays(val_logits=np.zeros((1, 10), np.float32)), "of shape (1, 10)"),
    "NaN": (lambda: arrays(val_logits=np.full((2, 10), np.nan, np.float32)), "not finite"),
    "an object": (lambda: arrays(val_labels=np.array([Trap(), 1], object)), "allow_pickle=False"),
    "a pickle": (lambda: pickle.dumps(Trap()), "pickled"),
    "a bomb": (bomb, "400000000 bytes, more than the images need"),
    "cut off": (lambda: arrays()[:200], "not a zip file"),
}


@pytest.mark.parametrize("make, said", PREDICTIONS.values(), ids=PREDICTIONS.keys())
def test_predictions_that_no_run_writes(tmp_path: Path, monkeypatch, make, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "predictions.npz"
    path.write_bytes(make())
    tracemalloc.start()
    found = message(lambda: log.read_predictions(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in found
    assert said in found
    assert peak < 4_000_000
    assert not Path("sprung").exists()


def test_predictions_come_back_and_their_bytes_are_a_function_of_them(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    path.write_bytes(arrays())
    found = log.read_predictions(path)
    assert found.val_labels.tolist() == [0, 9]
    assert found.to_bytes() == arrays()


# ------------------------------------------------------------------------------ text, commands


def test_the_text_is_in_the_form_of_2023(path: Path, lines) -> None:
    for epoch, val_acc in zip(lines[4:6], (0.449057, 0.4404), strict=True):
        epoch.update(train_loss=9.10371, train_acc=0.156, val_loss=11.9101, val_acc=val_acc)
    lines[5].update(train_loss=None, nonfinite={"train_loss": "inf"})
    lines[-1].update(total_s=207.6, test_loss=1.75, test_acc=0.44)
    write(path, lines)
    assert log.text_log(log.read_run(path)) == (
        "############학습 시작############\n"
        "Epoch 0/1\n----------\n"
        "train Loss: 9.1037 Acc: 0.1560\nval Loss: 11.9101 Acc: 0.4491\n"
        "Epoch 1/1\n----------\n"
        "train Loss: inf Acc: 0.1560\nval Loss: 11.9101 Acc: 0.4404\n"
        "############학습 끝############\n"
        "Training complete in 3m 28s\nBest val Acc: 0.449057\n"
        "test Loss: 1.7500 Acc: 0.4400\n"
    )
