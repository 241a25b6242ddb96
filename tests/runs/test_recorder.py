"""A run on disk, through the real command line: stopped, killed, damaged; always the same bits."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnpaper import log
from cnnpaper.engine import networks
from cnnpaper.runs import checkpoint, recorder
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
_WHOLE: dict[str, tuple[Any, bytes, bytes]] = {}


@pytest.fixture(params=["float32", "bfloat16"])
def small(root: Path, request: pytest.FixtureRequest, patched: None) -> Path:
    """A repository with the tiny network."""
    tiny.add_to(root, steps=STEPS, images=IMAGES, precision=request.param)
    return root


@pytest.fixture
def plain(root: Path, patched: None) -> Path:
    """The same in float32 alone."""
    tiny.add_to(root, steps=STEPS, images=IMAGES)
    return root


@pytest.fixture
def patched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints after every twentieth of a second; the network is found in the copy."""
    monkeypatch.setattr(recorder, "CHECKPOINT_EVERY_S", 0.05)
    folders = [*networks.__path__, os.fspath(root / "cnnpaper" / "engine" / "networks")]
    monkeypatch.setattr(networks, "__path__", folders)
    monkeypatch.delitem(sys.modules, "cnnpaper.engine.networks.tiny", raising=False)


def start(root: Path) -> tiny.Forked:
    return tiny.Forked(root, TRAIN)


def train(root: Path, *arguments: str) -> tuple[int, str]:
    return tiny.Forked(root, (*TRAIN, *arguments)).wait()


def folder(root: Path) -> Path:
    return root / "results" / "log" / "small" / "tiny-s0"


def content(root: Path) -> tuple[list[dict[str, Any]], bytes, bytes]:
    """The lines of the log without what was measured, and the files of the result."""
    lines = [json.loads(line) for line in (folder(root) / "run.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]
    files = [
        (folder(root) / name).read_bytes() for name in (log.PREDICTIONS_NAME, log.WEIGHTS_NAME)
    ]
    return kept, files[0], files[1]


def whole(root: Path) -> tuple[list[dict[str, Any]], bytes, bytes]:
    """What a run gives that nothing disturbed; made once for each precision."""
    precision = (
        "bfloat16"
        if "bfloat16" in (root / "experiments/study/small.toml").read_text()
        else "float32"
    )
    if precision not in _WHOLE:
        code, output = train(root)
        assert code == 0, output
        _WHOLE[precision] = content(root)
        for path in folder(root).iterdir():
            path.unlink()
    return _WHOLE[precision]


def finish(root: Path) -> str:
    code, output = train(root)
    assert code == 0, output
    return output


def stopped(root: Path, number: int = signal.SIGTERM) -> str:
    """Stop a run by a signal once it has two checkpoints, in its first or second epoch."""
    child = start(root)
    wait_for(lambda: len(list(folder(root).glob("checkpoint-*.pt"))) == 2, child)
    child.send_signal(number)
    code, output = child.wait()
    assert code == 128 + number, output
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
    output = stopped(plain, number)
    assert "its state is saved; resume: make tiny GPUS=cpu STUDY=small SEEDS=0" in output
    assert "Traceback" not in output
    assert "resuming at epoch" in finish(plain)
    assert content(plain) == expected


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_killed_at_any_moment_it_ends_with_the_same_bits(small: Path, kills: int) -> None:
    expected, landed = whole(small), 0
    while landed < kills:
        child = start(small)
        if landed % 2:
            wait_for(lambda: any(folder(small).glob(".checkpoint*.tmp")), child)
        else:
            wait_for(lambda: any(folder(small).glob("checkpoint-*-0000*.pt")), child)
        child.kill()
        child.wait()
        landed += 1
    finish(small)
    assert content(small) == expected


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


def test_damage_falls_back_and_says_so(plain: Path) -> None:
    expected = whole(plain)
    stopped(plain)
    newest = max(folder(plain).glob("checkpoint-*.pt"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    with (folder(plain) / "run.jsonl").open("ab") as file:
        file.write(b'{"kind":"epoch","epo')
    output = finish(plain)
    assert f"{newest.name}: damaged" in output
    assert "the last line was cut off" in output
    assert content(plain) == expected


def test_a_checkpoint_executes_nothing(plain: Path) -> None:
    """One with a valid digest that would call a function is passed over."""
    expected = whole(plain)
    stopped(plain)
    code = (
        "import hashlib, io, os, sys, torch\n"
        "class Trap:\n    def __reduce__(self):\n        return os.mkdir, ('sprung',)\n"
        "b = io.BytesIO(); torch.save({'net': Trap()}, b); p = b.getvalue()\n"
        "h = b'cnnpaper checkpoint 2 sha256 ' + hashlib.sha256(p).hexdigest().encode()\n"
        "open(sys.argv[1], 'wb').write(h + b'\\n' + p)\n"
    )
    newest = max(folder(plain).glob("checkpoint-*.pt"))
    subprocess.run([sys.executable, "-c", code, os.fspath(newest)], check=True)
    assert "damaged" in finish(plain)
    assert not (plain / "sprung").exists()
    assert content(plain) == expected


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """torch writes none, but would read it, however large it is when unpacked."""
    saved, packed, said = io.BytesIO(), io.BytesIO(), []
    torch.save({"net": torch.zeros(1_000_000)}, saved)
    with (
        zipfile.ZipFile(saved) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    for epoch, payload in enumerate((saved.getvalue(), packed.getvalue())):
        head = checkpoint.MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
        (tmp_path / f"checkpoint-{epoch:06d}-0000000.pt").write_bytes(head + payload)
    assert torch.load(io.BytesIO(packed.getvalue()), weights_only=True)["net"].shape == (1_000_000,)
    found = list(checkpoint.load_newest(tmp_path, torch.device("cpu"), said.append))
    assert len(found) == 1
    assert ["checkpoint-000001-0000000.pt: damaged" in line for line in said] == [True]


def test_without_a_checkpoint_a_log_that_has_epochs_is_kept(plain: Path) -> None:
    expected = whole(plain)
    path = folder(plain) / "run.jsonl"
    child = start(plain)
    wait_for(lambda: path.exists() and b'"kind":"epoch"' in path.read_bytes(), child)
    child.kill()
    child.wait()
    for path_of_state in folder(plain).glob("checkpoint-*"):
        path_of_state.unlink()
    old = path.read_bytes()
    finish(plain)
    assert path.with_name("run.jsonl.1").read_bytes() == old
    assert content(plain) == expected


def test_a_run_of_another_recipe_or_processor_is_not_resumed(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(plain) / "run.jsonl"
    child = start(plain)
    wait_for(lambda: path.exists() and b'"kind":"epoch"' in path.read_bytes(), child)
    child.send_signal(signal.SIGTERM)
    assert child.wait()[0] == 143
    before = (folder(plain) / "run.jsonl").read_bytes()
    recipe = plain / "experiments" / "recipe.toml"
    edit(recipe, "momentum = 0.9", "momentum = 0.8")
    code, output = train(plain)
    assert code == 2
    assert "started with different code or settings: recipe.momentum: 0.9 -> 0.8" in output
    assert "FORCE=1" in output
    edit(recipe, "momentum = 0.8", "momentum = 0.9")
    here = recorder.machine.describe_machine
    other = {"processor": "Other 1-2"}
    monkeypatch.setattr(
        recorder.machine, "describe_machine", lambda d: here(d).model_copy(update=other)
    )
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
    edit(
        plain / "experiments" / "recipe.toml",
        "peak_learning_rate = 0.05",
        "peak_learning_rate = 1e30",
    )
    edit(plain / "experiments" / "recipe.toml", "clip_norm = 1.0", "clip_norm = 0.0")
    assert "diverged" in finish(plain)
    run = log.read_run(folder(plain) / "run.jsonl")
    assert run.result is not None
    assert (run.result.status, run.result.test_acc, run.readings) == ("diverged", None, ())
    assert run.epochs[-1].train_loss is None
    assert run.epochs[-1].nonfinite["train_loss"] in ("nan", "inf")
