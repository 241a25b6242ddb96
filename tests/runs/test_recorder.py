"""A run on disk, through the real command line: stopped, killed, damaged; always the same bits."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import resource
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnpaper import log
from cnnpaper.engine import networks
from cnnpaper.runs import checkpoint, machine, recorder
from tests import tiny
from tests.tiny import TRAIN, edit, wait_for

pytestmark = pytest.mark.train
MEASURED = {
    *("train_s", "train_cpu_s", "other_cpu_s", "eval_s", "total_s", "suspended_s"),
    *("contended", "peak_memory", "started", "at", "commit"),
}
IMAGES = 960
STEPS = 145
"""Of 60 an epoch: the third one is partial."""
_WHOLE: dict[str, tuple[Any, ...]] = {}


@pytest.fixture
def plain(root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the tiny network, which is found there; checkpoints come every 50 ms."""
    monkeypatch.setattr(recorder, "CHECKPOINT_EVERY_S", 0.05)
    folders = [*networks.__path__, os.fspath(root / "cnnpaper" / "engine" / "networks")]
    monkeypatch.setattr(networks, "__path__", folders)
    monkeypatch.delitem(sys.modules, "cnnpaper.engine.networks.tiny", raising=False)
    precision = getattr(request, "param", "float32")
    tiny.add_to(root, steps=STEPS, images=IMAGES, precision=precision)
    return root


def train(root: Path, *arguments: str) -> tuple[int, str]:
    return tiny.Forked(root, (*TRAIN, *arguments)).wait()


def folder(root: Path) -> Path:
    return root / "results" / "log" / "small" / "tiny-s0"


def content(root: Path) -> tuple[Any, ...]:
    """The lines of the log without what was measured, and the files of the result."""
    lines = [json.loads(line) for line in (folder(root) / "run.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]
    files = (log.PREDICTIONS_NAME, log.WEIGHTS_NAME)
    return kept, *((folder(root) / name).read_bytes() for name in files)


def whole(root: Path) -> tuple[Any, ...]:
    """What a run gives that nothing disturbed; made once for each precision."""
    study = (root / "experiments" / "study" / "small.toml").read_text()
    if study not in _WHOLE:
        finish(root)
        _WHOLE[study] = content(root)
        for path in folder(root).iterdir():
            path.unlink()
    return _WHOLE[study]


def finish(root: Path) -> str:
    code, output = train(root)
    assert code == 0, output
    return output


def has_two_checkpoints(run: Path) -> bool:
    """That is so in its first or second epoch."""
    return len(list(run.glob("checkpoint-*.pt"))) == 2


def has_an_epoch(run: Path) -> bool:
    path = run / "run.jsonl"
    return path.exists() and b'"kind":"epoch"' in path.read_bytes()


def interrupted(
    root: Path, number: int, until: Callable[[Path], bool] = has_two_checkpoints
) -> str:
    """Send a signal to a run; its output."""
    child = tiny.Forked(root, TRAIN)
    wait_for(lambda: until(folder(root)), child)
    child.send_signal(number)
    code, output = child.wait()
    assert number == signal.SIGKILL or code == 128 + number, output
    return output


def test_log_text_and_predictions(plain: Path) -> None:
    output = finish(plain)
    run = log.read_run(folder(plain) / "run.jsonl")
    kinds = [json.loads(line)["kind"] for line in run.path.read_text().splitlines()]
    assert kinds == ["header", "miniature", *["step"] * 4, *["epoch"] * 3, "reading", "result"]
    assert [epoch.steps for epoch in run.epochs] == [60, 60, 25]
    assert [step.state_digest is not None for step in run.steps] == [False, False, False, True]
    assert run.header.network.parameters == tiny.PARAMETERS
    assert run.header.data.name == "synthetic images"
    saved = log.read_predictions(folder(plain) / log.PREDICTIONS_NAME)
    assert run.result is not None
    assert run.result.test_acc == (saved.test_logits.argmax(1) == saved.test_labels).mean()
    assert run.readings[0].images == 100
    assert (folder(plain) / "train.log").read_text().startswith("############학습 시작############")
    assert not list(folder(plain).glob("checkpoint-*"))
    assert f"test accuracy {100 * run.result.test_acc:.2f}%" in output
    assert "to start over (the old log is kept): make tiny GPUS=cpu STUDY=small" in finish(plain)
    code, output = train(plain, "--force")
    assert code == 0, output
    assert "starting over; previous log saved as run.jsonl.1" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_signals_save_and_the_same_command_resumes(plain: Path, number: int) -> None:
    expected = whole(plain)
    output = interrupted(plain, number)
    assert "its state is saved; resume: make tiny GPUS=cpu STUDY=small SEEDS=0" in output
    assert "Traceback" not in output
    assert "resuming at epoch" in finish(plain)
    assert content(plain) == expected


@pytest.mark.parametrize("kills", [1, pytest.param(15, marks=pytest.mark.soak)])
@pytest.mark.parametrize("plain", ["float32", "bfloat16"], indirect=True)
def test_killed_at_any_moment_it_ends_with_the_same_bits(plain: Path, kills: int) -> None:
    """Between two checkpoints, and while one is written."""
    expected = whole(plain)
    for pattern in ("checkpoint-*-0000*.pt", ".checkpoint*.tmp") * kills:
        interrupted(plain, signal.SIGKILL, lambda run, which=pattern: any(run.glob(which)))
    finish(plain)
    assert content(plain) == expected


def test_a_reading_of_the_test_images_survives_a_kill(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the reading and the result, the run reads twice, and its log says so."""
    expected = whole(plain)
    with monkeypatch.context() as patch:
        patch.setattr(recorder.Recorder, "finish", lambda *_: os._exit(9))
        assert train(plain)[0] == 9
    finish(plain)
    run = log.read_run(folder(plain) / "run.jsonl")
    assert len(run.readings) == 2
    assert content(plain)[1:] == expected[1:]


def flipped(data: bytes) -> bytes:
    """One bit is wrong."""
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def trapped(_: bytes) -> bytes:
    """A valid digest of something that would make a folder when it is read."""

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, ("sprung",)

    buffer = io.BytesIO()
    torch.save({"net": Trap()}, buffer)
    return sealed(buffer.getvalue())


def compressed(data: bytes) -> bytes:
    """The same state and many zeros, packed: torch writes none, but would read it."""
    state = torch.load(io.BytesIO(data.partition(b"\n")[2]), weights_only=True)
    saved, packed = io.BytesIO(), io.BytesIO()
    torch.save(state | {"zeros": torch.zeros(1_000_000)}, saved)
    with (
        zipfile.ZipFile(saved) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert torch.load(io.BytesIO(packed.getvalue()), weights_only=True)["training"]
    return sealed(packed.getvalue())


def sealed(payload: bytes) -> bytes:
    return checkpoint.MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


@pytest.mark.parametrize("tamper", [flipped, trapped, compressed])
def test_a_bad_checkpoint_is_named_not_executed_and_the_one_before_it_taken(
    plain: Path, tamper: Callable[[bytes], bytes]
) -> None:
    expected = whole(plain)
    interrupted(plain, signal.SIGTERM)
    newest = max(folder(plain).glob("checkpoint-*.pt"))
    newest.write_bytes(tamper(newest.read_bytes()))
    with (folder(plain) / "run.jsonl").open("ab") as file:
        file.write(b'{"kind":"epoch","epo')
    output = finish(plain)
    assert f"{newest.name}: damaged" in output
    assert "the last line was cut off" in output
    assert "resuming at epoch" in output
    assert not (plain / "sprung").exists()
    assert content(plain) == expected


def test_without_a_checkpoint_a_log_that_has_epochs_is_kept(plain: Path) -> None:
    expected = whole(plain)
    path = folder(plain) / "run.jsonl"
    interrupted(plain, signal.SIGKILL, has_an_epoch)
    for state in folder(plain).glob("checkpoint-*"):
        state.unlink()
    old = path.read_bytes()
    finish(plain)
    assert path.with_name("run.jsonl.1").read_bytes() == old
    assert content(plain) == expected


def test_a_run_of_another_recipe_or_processor_is_not_resumed(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(plain, signal.SIGTERM, has_an_epoch)
    before = (folder(plain) / "run.jsonl").read_bytes()
    recipe = plain / "experiments" / "recipe.toml"
    edit(recipe, "momentum = 0.9", "momentum = 0.8")
    code, output = train(plain)
    assert code == 2
    assert "started with different code or settings: recipe.momentum: 0.9 -> 0.8" in output
    assert "FORCE=1" in output
    edit(recipe, "momentum = 0.8", "momentum = 0.9")
    here = machine.describe_machine(torch.device("cpu"))
    other = here.model_copy(update={"processor": "Other 1-2"})
    monkeypatch.setattr(machine, "describe_machine", lambda _: other)
    code, output = train(plain)
    assert code == 2
    assert "started on different hardware: processor: " in output
    assert "Traceback" not in output
    assert (folder(plain) / "run.jsonl").read_bytes() == before


def test_a_second_writer_is_refused(plain: Path) -> None:
    folder(plain).mkdir(parents=True)
    with (folder(plain) / "run.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, output = train(plain)
    assert code == 2
    assert "the run small/tiny-s0 is in use by another process" in output
    assert not (folder(plain) / "run.jsonl").exists()


def test_a_full_disk_is_said_and_nothing_is_lost(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for the disk: too small for a checkpoint, not for a line.

    The run says which file could not be written, and goes on once there is room.
    """
    expected = whole(plain)
    start_run = recorder.record

    def on_a_small_disk(*arguments: Any, **keywords: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        start_run(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "record", on_a_small_disk)
        code, output = train(plain)
    assert code == 2, output
    assert "checkpoint-" in output
    assert "File too large\nfix the problem and rerun: make tiny GPUS=cpu STUDY=small" in output
    assert "its last saved state is kept" in output
    assert "Traceback" not in output
    finish(plain)
    assert content(plain) == expected


def test_a_run_that_diverges_says_so_and_reads_no_test_image(plain: Path) -> None:
    recipe = plain / "experiments" / "recipe.toml"
    edit(recipe, "peak_learning_rate = 0.05", "peak_learning_rate = 1e30")
    edit(recipe, "clip_norm = 1.0", "clip_norm = 0.0")
    assert "diverged" in finish(plain)
    run = log.read_run(folder(plain) / "run.jsonl")
    assert run.result is not None
    assert (run.result.status, run.result.test_acc, run.readings) == ("diverged", None, ())
    assert run.epochs[-1].train_loss is None
    assert run.epochs[-1].nonfinite["train_loss"] in ("nan", "inf")
