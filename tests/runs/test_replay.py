"""``make verify`` and ``make reproduce`` in a repository with a history of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnpaper import config, fingerprint, log
from cnnpaper.files import clean_environment
from tests.tiny import call, edit

pytestmark = pytest.mark.train
HARMLESS = ("    p = recipe.crop_padding\n", "    p = 0 + recipe.crop_padding\n")
HARMFUL = (
    "    return x if memory_format",
    "    x = x + 1e-7\n    return x if memory_format",
)


LOG = "results/log/small/tiny-s0/run.jsonl"


def state(root: Path) -> str:
    run = log.read_run(root / LOG)
    spec = config.run_specs(root, config.load_study(root, "small"))[0]
    return fingerprint.freshness(root, run, spec).state


def change_line(root: Path, number: int, change: Callable[[dict], None]) -> None:
    lines = (root / LOG).read_text("utf-8").splitlines()
    line = json.loads(lines[number])
    change(line)
    lines[number] = json.dumps(line)
    (root / LOG).write_text("\n".join(lines) + "\n", "utf-8")


def verify(root: Path) -> tuple[int, str]:
    return call(root, "verify", "--study", "small")


def test_nothing_changed(copy: Path) -> None:
    assert state(copy) == "fresh"
    code, output = verify(copy)
    assert code == 0, output
    assert "small/tiny-s0: verified, reproduced bit for bit" in output
    assert not list(copy.rglob("verified.json"))


def test_a_harmless_refactoring_is_stale_then_verified(copy: Path) -> None:
    edit(copy / "cnnpaper" / "engine" / "augment.py", *HARMLESS)
    assert state(copy) == "stale"
    code, output = verify(copy)
    assert code == 0, output
    assert "bit for bit; its engine and today's give the same bits" in output
    assert state(copy) == "verified"
    assert not list((copy / "build" / "verify").iterdir())
    edit(copy / "cnnpaper" / "engine" / "augment.py", "0 + recipe", "0 + 0 + recipe")
    assert state(copy) == "stale"  # it spoke of the code of then


def test_a_harmful_one_differs(copy: Path) -> None:
    edit(copy / "cnnpaper" / "engine" / "images.py", *HARMFUL)
    code, output = verify(copy)
    assert code == 2
    assert "differs between its engine and today's (engine/images.py: normalise changed)" in output
    assert "Traceback" not in output
    assert state(copy) == "stale"


def test_a_run_of_another_processor(copy: Path) -> None:
    """Its bits cannot be expected here; those of two engines on this machine can."""
    change_line(copy, 0, lambda header: header["machine"].update(processor="Other 1-2"))
    code, output = verify(copy)
    assert code == 0, output
    assert "verified within 2% (made on Other 1-2, 1 threads)" in output
    edit(copy / "cnnpaper" / "engine" / "augment.py", *HARMLESS)
    code, output = verify(copy)
    assert code == 0, output
    assert state(copy) == "verified"
    edit(copy / "cnnpaper" / "engine" / "images.py", *HARMFUL)
    assert verify(copy)[0] == 2
    assert state(copy) == "stale"
    edit(copy / "cnnpaper" / "engine" / "images.py", *HARMFUL[::-1])
    change_line(copy, 2, lambda step: step.update(loss=step["loss"] * 1.03))  # beyond tolerance
    code, output = verify(copy)
    assert code == 2
    assert "differs from its log: steps.0.loss: " in output


def test_a_changed_recipe_cannot_be_verified(copy: Path) -> None:
    edit(copy / "experiments" / "recipe.toml", "momentum = 0.9", "momentum = 0.8")
    code, output = verify(copy)
    assert code == 2
    assert "stale: recipe.momentum: 0.9 -> 0.8; train it again: make tiny STUDY=small" in output


@pytest.mark.parametrize(
    "change, message",
    [
        ({"commit": "0" * 40}, "is not in this repository"),
        ({"commit": None}, "its log names no commit"),
        ({"commit": "--output=../stolen"}, "its log names no commit"),
        ({"fingerprint": {"code": {}}}, "its engine was not that of commit"),  # uncommitted changes
    ],
)
def test_an_engine_that_git_does_not_have(copy: Path, change: dict, message: str) -> None:
    def update(header: dict) -> None:
        header |= change | {"fingerprint": header["fingerprint"] | change.get("fingerprint", {})}

    change_line(copy, 0, update)
    edit(copy / "cnnpaper" / "engine" / "augment.py", *HARMLESS)
    code, output = verify(copy)
    assert code == 2
    assert message in output
    assert not (copy.parent / "stolen").exists()


def test_absent_images_are_said_once(copy: Path) -> None:
    edit(copy / "experiments" / "study" / "small.toml", 'set = "synthetic"', 'set = "jpeg75"')
    code, output = call(copy, "verify", "--study", "small", "--data-dir", str(copy / "none"))
    assert code == 2
    assert output.count("make data DATA_DIR=") == 1
    assert "SET=jpeg75" in output
    assert "tiny-s0" not in output


def test_reproduced_in_full(copy: Path) -> None:
    arguments = ("--study", "small", "--model", "tiny", "--seeds", "0")
    code, output = call(copy, "reproduce", *arguments)
    assert code == 0, output
    assert "small/tiny-s0: identical in every logged value and all predictions" in output
    entries = copy / "results" / "log" / "small" / "reproduced.jsonl"
    assert json.loads(entries.read_text())["identical"] is True
    logged = log.read_run(copy / LOG).result.test_loss
    change_line(copy, -1, lambda result: result.update(test_loss=9.5))
    code, output = call(copy, "reproduce", *arguments)
    assert code == 2
    assert "small/tiny-s0 differs in 1 logged values" in output
    assert f"result.test_loss: 9.5 -> {logged}" in output


def test_a_reproduction_that_is_stopped_says_how_to_resume_it(copy: Path) -> None:
    arguments = ("reproduce", "--study", "small", "--model", "tiny", "--seed", "0")
    path = copy / "build" / "reproduce" / "small" / "tiny-s0" / "run.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "cnnpaper", *arguments],
        cwd=copy,
        env=clean_environment() | {"OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "a test"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (path.exists() and path.stat().st_size):  # the header, before the miniature
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)  # SIGINT is ignored where the tests run in the background
    _, said = child.communicate()
    assert child.returncode == 143, said
    assert "its state is saved; resume: make reproduce STUDY=small MODEL=tiny SEED=0" in said
    code, output = call(copy, *arguments)
    assert code == 0, output
    assert "resuming at epoch 1, step 1" in output
