"""Runs on a real Slurm of one node: two at a time, preempted, over time, cancelled, failing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnnpaper import config, log
from cnnpaper.files import clean_environment
from cnnpaper.runs import cluster
from tests import tiny
from tests.runs.test_recorder import MEASURED

pytestmark = [pytest.mark.slurm, pytest.mark.train]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
INSTALL = "apt-get install --no-install-recommends slurm-wlm munge"


def emptied() -> None:
    """Cancel all jobs, and wait: a daemon that ends before them would leave their processes."""
    subprocess.run(["scancel", "--user=root"], check=False)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not subprocess.run(["squeue", "--noheader"], capture_output=True, check=False).stdout:
            return
        time.sleep(0.5)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of one node, which ends with the module's tests."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.getuid() != 0:
        pytest.skip("a Slurm of one's own is started by root")
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: {INSTALL}")
    place = tmp_path_factory.mktemp("slurm")
    script = Path(__file__).with_name("start.sh")
    process = subprocess.Popen(
        ["bash", str(script), str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    old = os.environ.get("SLURM_CONF")
    try:
        if process.stdout.readline().strip() != "ready":
            texts = [path.read_text()[-600:] for path in place.glob("*.err")]
            pytest.fail("Slurm did not start:\n" + "\n".join(texts))
        os.environ["SLURM_CONF"] = str(place / "slurm.conf")
        yield
    finally:
        if "SLURM_CONF" in os.environ:
            emptied()
        os.environ.pop("SLURM_CONF", None)
        if old is not None:
            os.environ["SLURM_CONF"] = old
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


PROGRAM = [sys.executable, "-m", "cnnpaper"]
STEPS = 3000
"""Long enough to be stopped on the way: some twenty seconds on one core."""


@pytest.fixture
def study(root: Path, slurm: None) -> Path:
    """A repository with four runs of the tiny network; short trainings."""
    return prepared(root, 300)


def prepared(root: Path, steps: int) -> Path:
    tiny.add_to(root, steps=steps, images=960, seeds="[0, 1, 2, 3]")
    settings = root / "experiments" / "cluster.toml"
    settings.write_text('partition = "low"\nthreads = 1\nat_once = 2\n', "utf-8")
    return root


def command(*arguments: str) -> str:
    """The command line in a process of its own; its output."""
    environment = {**clean_environment(), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def states(root: Path) -> dict[str, str]:
    """Seed → state of the run's newest job."""
    jobs = cluster.queue(root, "small")
    return {run.rpartition("-s")[2]: job.state for run, job in jobs.items()}


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, subprocess.run(["squeue"], capture_output=True).stdout
        time.sleep(0.2)


def released(root: Path) -> None:
    """A job that is queued again is held for two minutes; start it now."""
    for job in cluster.queue(root, "small").values():
        if job.state == "PENDING":
            subprocess.run(
                ["scontrol", "update", f"JobId={job.id}", "StartTime=now"],
                check=False,
                capture_output=True,
            )


def folder(root: Path, seed: int) -> Path:
    return root / "results" / "log" / "small" / f"tiny-s{seed}"


def is_finished(root: Path, seed: int) -> bool:
    path = folder(root, seed) / "run.jsonl"
    return path.exists() and b'"kind":"result"' in path.read_bytes()


def epochs(root: Path, seed: int) -> int:
    path = folder(root, seed) / "run.jsonl"
    return path.read_bytes().count(b'"kind":"epoch"') if path.exists() else 0


def output(root: Path, seed: int) -> str:
    path = cluster._outputs(root / "build" / "cluster" / "small")[f"small/tiny-s{seed}"]
    return path.read_text("utf-8")


def same_bits(root: Path, seed: int) -> bool:
    """Train the run without Slurm; the same log and the same files?"""
    by_slurm = content_of(root, seed)
    command("train", "--study", "small", "--model", "tiny", "--seeds", str(seed), "--force")
    return by_slurm == content_of(root, seed)


def content_of(root: Path, seed: int) -> object:
    text = (folder(root, seed) / "run.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    kept = [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]
    files = (log.PREDICTIONS_NAME, log.WEIGHTS_NAME)
    return kept, [(folder(root, seed) / name).read_bytes() for name in files]


def test_two_at_a_time_with_the_same_bits(study: Path) -> None:
    said = command("submit", "--study", "small")
    assert "4 runs submitted" in said
    assert "no constraint" in said
    assert "4 runs are in the queue" in command("submit", "--study", "small")
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, sum(state == "RUNNING" for state in states(study).values()))
        return all(is_finished(study, seed) for seed in range(4))

    until(all_done)
    assert most == 2
    until(lambda: set(states(study).values()) == {"COMPLETED"})
    assert same_bits(study, 3)


def test_preempted_run_is_queued_again_and_ends_with_the_same_bits(root: Path, slurm: None) -> None:
    prepared(root, STEPS)
    command("submit", "--study", "small", "--seeds", "0")
    until(lambda: epochs(root, 0) > 1)
    urgent = ["sbatch", "--parsable", "--partition=high", "--exclusive", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 3"], check=True, capture_output=True)
    until(lambda: states(root)["0"] != "RUNNING")
    assert not is_finished(root, 0)

    def done() -> bool:
        released(root)
        return is_finished(root, 0)

    until(done)
    assert "resuming at epoch" in output(root, 0)
    assert same_bits(root, 0)


def test_time_limit_queues_again(root: Path, slurm: None) -> None:
    """The signal comes two minutes before the limit: at once, where the limit is a minute."""
    prepared(root, 4 * STEPS)  # Slurm looks at limits twice a minute
    settings = root / "experiments" / "cluster.toml"
    settings.write_text(settings.read_text() + 'time = "00:01:00"\n', "utf-8")
    script = root / "experiments" / "job.sh"
    tiny.edit(script, "USR1@120", "USR1@45")
    command("submit", "--study", "small", "--seeds", "1")
    until(lambda: "stopped, its state is saved" in (output(root, 1) if epochs(root, 1) else ""))
    until(lambda: states(root)["1"] in ("PENDING", "RUNNING"))

    def done() -> bool:
        released(root)
        return is_finished(root, 1)

    until(done)
    assert "resuming at epoch" in output(root, 1)
    assert same_bits(root, 1)


def test_cancelled_run_saves_and_stays_cancelled(root: Path, slurm: None) -> None:
    prepared(root, STEPS)
    command("submit", "--study", "small", "--seeds", "2")
    until(lambda: epochs(root, 2) > 0)
    assert "1 jobs cancelled" in command("cancel", "--study", "small")
    until(lambda: states(root)["2"] == "CANCELLED")
    assert not is_finished(root, 2)
    assert list(folder(root, 2).glob("checkpoint-*.pt"))
    assert "CANCELLED" in command("jobs", "--study", "small")


def test_failure_is_passed_on(study: Path) -> None:
    network = study / "cnnpaper" / "engine" / "networks" / "tiny.py"
    tiny.edit(
        network, "return nn.Sequential(", "raise RuntimeError('broken')\n    return nn.Sequential("
    )
    command("submit", "--study", "small", "--seeds", "0")
    until(lambda: states(study).get("0") == "FAILED")
    assert "broken" in output(study, 0)
    assert "FAILED" in command("status", "--study", "small")


def test_script_by_hand(study: Path) -> None:
    run = [
        *PROGRAM,
        "train",
        "--study",
        "small",
        "--model",
        "tiny",
        "--seeds",
        "1",
        "--gpus",
        "cpu",
    ]
    call = ["sbatch", "--output=hand.out", "experiments/job.sh", *run]
    subprocess.run(call, check=True, capture_output=True)
    until(lambda: is_finished(study, 1))
    assert config.load_study(study, "small").networks == ("tiny",)
