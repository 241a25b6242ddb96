"""A run on disk, through the real command line: stopped, killed, damaged; always the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import predictions, records
from tests.learn import tiny

pytestmark = pytest.mark.train
TIMES = {"train_s", "train_cpu_s", "eval_s", "other_cpu_s", "total_s", "probe_gflops"}
PROVENANCE = {"started", "peak_memory", "digest", "nonfinite"}
EPOCHS = 3


@pytest.fixture
def small(root: Path) -> Path:
    """A repository with the tiny network and a study of it; checkpoints every tenth of a second."""
    tiny.add_to(root, epochs=EPOCHS, images=960)
    recorder = root / "cnnpaper" / "learn" / "recorder.py"
    text = recorder.read_text()
    assert "CHECKPOINT_EVERY_S = 120.0" in text
    recorder.write_text(text.replace("CHECKPOINT_EVERY_S = 120.0", "CHECKPOINT_EVERY_S = 0.1"))
    return root


def start(root: Path, *arguments: str, study: str = "small") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cnnpaper", "train", "--model", "tiny", "--study", study]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    return subprocess.Popen(
        [*command, "--gpus", "cpu", *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(root: Path, *arguments: str) -> tuple[int, str]:
    child = start(root, *arguments)
    output, _ = child.communicate(timeout=240)
    return child.returncode, output


def folder(root: Path) -> Path:
    return root / "results" / "log" / "small" / "tiny-s0"


def content(root: Path) -> list[dict[str, Any]]:
    """The lines of the log without times and provenance."""
    lines = [json.loads(line) for line in (folder(root) / "run.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key not in TIMES | PROVENANCE}
        for line in lines
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[Any, bytes]]:
    """What a run gives that nothing disturbed; made once."""
    made: list[tuple[Any, bytes]] = []

    def get(root: Path) -> tuple[Any, bytes]:
        if not made:
            code, output = train(root)
            assert code == 0, output
            made.append((content(root), (folder(root) / "predictions.npz").read_bytes()))
            for path in folder(root).iterdir():
                path.unlink()
        return made[0]

    return get  # type: ignore[return-value]


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240  # many processes may share the machine
    while not condition() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.001)


def test_log_text_and_predictions(small: Path) -> None:
    code, output = train(small)
    assert code == 0, output
    run = records.read_run(folder(small) / "run.jsonl")
    kinds = [json.loads(line)["kind"] for line in (run.path).read_text().splitlines()]
    assert kinds == ["header", "miniature", *["step"] * 4, *["epoch"] * EPOCHS, "result"]
    assert [step.state_digest is not None for step in run.steps] == [False, False, False, True]
    saved = predictions.load(folder(small) / "predictions.npz")
    assert run.result is not None
    assert run.result.test_acc == predictions.accuracy(saved.labels, saved.logits)
    assert (folder(small) / "train.log").read_text().startswith("############학습 시작############")
    header = run.header
    assert header.network.parameters == 8 * 27 + 16 + 16 * 72 + 32 + 170  # by hand
    assert header.data.name == "synthetic images"
    evaluations = (small / "results/log/small/test-evaluations.jsonl").read_text().splitlines()
    assert len(evaluations) == 1

    code, output = train(small)
    assert code == 0
    assert "tiny-s0 is finished" in output

    code, output = train(small, "--force")
    assert code == 0
    assert "run.jsonl.1" in output
    assert (folder(small) / "run.jsonl.1").exists()


def test_sigterm_saves_and_the_same_command_goes_on(small: Path, whole) -> None:
    expected, arrays = whole(small)
    child = start(small)
    wait_for(lambda: any(folder(small).glob("checkpoint-*")), child)
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=240)
    assert child.returncode == 143, output
    assert time.monotonic() - began < 25
    assert "go on with: make tiny STUDY=small" in output
    code, output = train(small)
    assert code == 0, output
    assert "goes on at epoch" in output
    assert content(small) == expected
    assert (folder(small) / "predictions.npz").read_bytes() == arrays


def kill_often(root: Path, kills: int, seed: int) -> int:
    """Kill the run at moments drawn from ``seed``, half of them while a file is being written."""
    draw, landed = random.Random(seed), 0
    while landed < kills:
        child = start(root)
        if draw.random() < 0.5:
            wait_for(lambda: any(folder(root).glob(".checkpoint*.tmp")), child)
        else:
            wait_for(lambda: (folder(root) / "run.jsonl").exists(), child)
            time.sleep(draw.uniform(0, 1.5))
        if child.poll() is not None:  # it came to its end first: begin a new one
            child.communicate()
            for path in folder(root).iterdir():
                path.unlink()
            continue
        child.kill()
        child.communicate()
        landed += 1
    return landed


@pytest.mark.parametrize(
    "kills", [3, pytest.param(50, marks=pytest.mark.soak)], ids=lambda n: f"{n} kills"
)
def test_killed_at_any_moment_it_ends_with_the_same_bits(small: Path, whole, kills: int) -> None:
    expected, arrays = whole(small)
    assert kill_often(small, kills, seed=kills) == kills
    code, output = train(small)
    assert code == 0, output
    assert content(small) == expected
    assert (folder(small) / "predictions.npz").read_bytes() == arrays


def stop_half_way(root: Path) -> None:
    child = start(root)
    wait_for(lambda: len(list(folder(root).glob("checkpoint-*.pt"))) == 2, child)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=240)
    assert child.returncode == 143


def test_damage_falls_back_and_says_so(small: Path, whole) -> None:
    expected, _ = whole(small)
    stop_half_way(small)
    newest = max(folder(small).glob("checkpoint-*.pt"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    with (folder(small) / "run.jsonl").open("ab") as file:
        file.write(b'{"kind":"epoch","epo')
    code, output = train(small)
    assert code == 0, output
    assert f"{newest.name}: damaged" in output
    assert "the last line was cut off" in output
    assert content(small) == expected


def test_without_a_checkpoint_a_log_that_has_epochs_is_kept(small: Path, whole) -> None:
    expected, _ = whole(small)
    log = folder(small) / "run.jsonl"
    child = start(small)
    wait_for(lambda: log.exists() and b'"kind":"epoch"' in log.read_bytes(), child)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=240)
    assert child.returncode == 143
    for path in folder(small).glob("checkpoint-*"):
        path.unlink()
    old = (folder(small) / "run.jsonl").read_bytes()
    code, output = train(small)
    assert code == 0, output
    assert (folder(small) / "run.jsonl.1").read_bytes() == old
    assert content(small) == expected


def test_a_log_without_an_epoch_is_not_kept(small: Path, whole) -> None:
    expected, _ = whole(small)
    log = folder(small) / "run.jsonl"
    child = start(small)
    wait_for(lambda: log.exists() and b'"kind":"miniature"' in log.read_bytes(), child)
    child.kill()
    child.communicate()
    for path in folder(small).glob("checkpoint-*"):
        path.unlink()
    code, output = train(small)
    assert code == 0, output
    assert not (folder(small) / "run.jsonl.1").exists()
    assert content(small) == expected


def test_a_begun_run_of_another_recipe_is_refused(small: Path) -> None:
    stop_half_way(small)
    recipe = small / "experiments" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("momentum = 0.9", "momentum = 0.8"))
    code, output = train(small)
    assert code == 2
    assert "recipe.momentum: 0.9 -> 0.8" in output
    assert "FORCE=1" in output
    assert "Traceback" not in output


def test_a_run_that_was_begun_on_another_processor_is_not_gone_on_with(small: Path) -> None:
    stop_half_way(small)
    before = (folder(small) / "run.jsonl").read_bytes()
    measure = small / "cnnpaper" / "learn" / "measure.py"
    text = measure.read_text()
    assert 'cpu_family=number("cpu family")' in text
    measure.write_text(text.replace('number("cpu family")', "12345"))
    code, output = train(small)
    assert code == 2
    assert "tiny-s0 was begun elsewhere: cpu_family" in output
    assert "-> 12345" in output
    assert "FORCE=1" in output
    assert "Traceback" not in output
    assert (folder(small) / "run.jsonl").read_bytes() == before
    code, output = train(small, "--force")
    assert code == 0, output


def test_two_slots_give_the_bits_of_two_runs_in_a_row(small: Path) -> None:
    study = small / "experiments" / "study" / "small.toml"
    study.write_text(study.read_text().replace("seeds = [0]", "seeds = [0, 1]"))

    def experiments(gpus: str) -> list[bytes]:
        subprocess.run(
            [sys.executable, "-m", "cnnpaper", "experiments", "--study", "small", "--gpus", gpus],
            cwd=small,
            check=True,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(small)},
        )
        runs = [small / "results" / "log" / "small" / f"tiny-s{seed}" for seed in (0, 1)]
        found = [(run / "predictions.npz").read_bytes() for run in runs]
        for run in runs:
            for path in run.iterdir():
                path.unlink()
        return found

    assert experiments("cpu:0,cpu:1") == experiments("cpu")
