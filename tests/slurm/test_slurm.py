"""Runs on a real Slurm of one node: two at a time, preempted, over time, cancelled, failing.

Log, predictions and weights must be those of a run without Slurm.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnnpaper.files import clean_environment
from cnnpaper.runs import cluster
from tests import tiny
from tests.runs.test_recorder import content

pytestmark = [pytest.mark.slurm, pytest.mark.train]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
INSTALL = "apt-get install --no-install-recommends slurm-wlm munge"
PROGRAM = [sys.executable, "-m", "cnnpaper"]
_LOCAL: list[object] = []
"""The content of seed 0 without Slurm, made once."""


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
        ["bash", str(script), str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with pytest.MonkeyPatch.context() as patch:
        try:
            if process.stdout.readline().strip() != "ready":
                texts = [path.read_text()[-600:] for path in place.glob("*.err")]
                pytest.fail("Slurm did not start:\n" + "\n".join(texts))
            patch.setenv("SLURM_CONF", str(place / "slurm.conf"))
            yield
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


class Jobs:
    """The jobs of a test's study, and the states in which they were seen."""

    def __init__(self, root: Path, slow: Path) -> None:
        self.root, self.slow = root, slow
        self.seen: dict[str, list[str]] = {}
        self.released: set[tuple[str, str]] = set()

    def states(self) -> dict[str, str]:
        """Seed → state of the run's newest job."""
        found = {}
        for run, job in cluster.queue(self.root, "small").items():
            found[run.rpartition("-s")[2]] = job.state
            states = self.seen.setdefault(f"job {job.id} ({run})", [])
            if states[-1:] != [job.state]:
                states.append(job.state)
        return found

    def until(self, condition: Callable[[], bool], seconds: float = 900) -> None:
        """Wait; a job that is queued again is held for ten seconds in place of two minutes.

        Started at once, it would find its credential revoked.
        """
        end = time.monotonic() + seconds
        while True:
            self.states()
            if condition():
                return
            assert time.monotonic() < end, f"{self.seen}\n{output(self.root)}"
            for job in cluster.queue(self.root, "small").values():
                key = job.id, restarts(job.id)
                if job.state == "PENDING" and key[1] != "0" and key not in self.released:
                    self.released.add(key)
                    scontrol("update", f"JobId={job.id}", "StartTime=now+10")
            time.sleep(0.5)

    def completed(self) -> bool:
        """Has the job of seed 0 come to its end?"""
        state = self.states()["0"]
        assert state != "FAILED", output(self.root)
        return state == "COMPLETED"


def scontrol(*arguments: str) -> str:
    call = ["scontrol", *arguments]
    return subprocess.run(call, check=False, capture_output=True, text=True).stdout


def restarts(job: str) -> str:
    """How often Slurm has queued it again."""
    number = re.search(r"Restarts=(\d+)", scontrol("show", "job", job))
    return number[1] if number else "0"


@pytest.fixture
def jobs(root: Path, slurm: None) -> Iterator[Jobs]:
    """A repository with four short runs of a network that is slow while a file ``slow`` exists."""
    tiny.add_to(root, steps=300, images=960, seeds="[0, 1, 2, 3]")
    found = Jobs(root, tiny.slow_down(root))
    settings = root / "experiments" / "cluster.toml"
    settings.write_text('partition = "low"\nthreads = 1\nat_once = 2\n', "utf-8")
    yield found
    emptied()


def emptied() -> None:
    """Cancel all jobs, and wait: a daemon that ends before them would leave their processes."""
    subprocess.run(["scancel", "--user=root"], check=False)
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if not subprocess.run(["squeue", "--noheader"], capture_output=True, check=False).stdout:
            return
        time.sleep(0.5)


def command(*arguments: str) -> str:
    """The command line in a process of its own; its output."""
    environment = {**clean_environment(), "CUDA_VISIBLE_DEVICES": ""}
    call = [*PROGRAM, *arguments]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def folder(root: Path, seed: int = 0) -> Path:
    return root / "results" / "log" / "small" / f"tiny-s{seed}"


def lines(root: Path, kind: str, seed: int = 0) -> int:
    """How many lines of this kind the run's log has."""
    path = folder(root, seed) / "run.jsonl"
    return path.read_bytes().count(f'"kind":"{kind}"'.encode()) if path.exists() else 0


def output(root: Path) -> str:
    path = cluster.outputs(root, "small").get("small/tiny-s0")
    return path.read_text("utf-8") if path and path.exists() else ""


def same_bits(root: Path) -> bool:
    """Are log, predictions and weights those of the same run without Slurm?"""
    by_slurm = content(root)
    if not _LOCAL:
        command("train", "--study", "small", "--model", "tiny", "--seeds", "0", "--force")
        _LOCAL.append(content(root))
    return by_slurm == _LOCAL[0]


def test_two_at_a_time(jobs: Jobs) -> None:
    said = command("submit", "--study", "small")
    assert "4 runs submitted" in said
    assert "no constraint" in said
    assert "4 runs are in the queue" in command("submit", "--study", "small")
    most = 0

    def all_done() -> bool:
        nonlocal most
        states = list(jobs.states().values())
        most = max(most, states.count("RUNNING"))
        return states == ["COMPLETED"] * 4

    jobs.until(all_done)
    assert most == 2
    assert all(lines(jobs.root, "result", seed) for seed in range(4))
    assert same_bits(jobs.root)


def test_preempted(jobs: Jobs) -> None:
    """It saves in the time of grace, is queued again by Slurm, and resumes."""
    jobs.slow.write_text("0.2")
    command("submit", "--study", "small", "--seeds", "0")
    jobs.until(lambda: lines(jobs.root, "epoch") > 0)
    urgent = ["sbatch", "--parsable", "--partition=high", "--exclusive", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 3"], check=True, capture_output=True)
    jobs.until(lambda: jobs.states()["0"] != "RUNNING")
    assert not lines(jobs.root, "result")
    jobs.slow.unlink()
    jobs.until(jobs.completed)
    assert "resuming at epoch" in output(jobs.root)
    assert same_bits(jobs.root)


def test_time_limit(jobs: Jobs) -> None:
    """Told a minute before its limit, it saves; its script queues it again.

    The limit is lowered when there is something to save, however long the start took. Slurm looks
    at limits twice a minute, and half a minute ahead.
    """
    jobs.slow.write_text("0.5")
    settings = jobs.root / "experiments" / "cluster.toml"
    settings.write_text(settings.read_text() + 'time = "01:00:00"\n', "utf-8")
    tiny.edit(jobs.root / "experiments" / "job.sh", "USR1@120", "USR1@60")
    command("submit", "--study", "small", "--seeds", "0")
    jobs.until(lambda: lines(jobs.root, "step") > 3)
    job = cluster.queue(jobs.root, "small")["small/tiny-s0"].id
    (time_run,) = re.findall(r"RunTime=(\d+):(\d+):", scontrol("show", "job", job))
    hours, minutes = map(int, time_run)
    scontrol("update", f"JobId={job}", f"TimeLimit={60 * hours + minutes + 2}")
    jobs.until(lambda: "stopped, its state is saved" in output(jobs.root))
    jobs.slow.unlink()
    jobs.until(lambda: restarts(job) == "1")
    scontrol("update", f"JobId={job}", "TimeLimit=60")
    jobs.until(jobs.completed)
    assert "resuming at epoch" in output(jobs.root)
    assert same_bits(jobs.root)


def test_cancelled(jobs: Jobs) -> None:
    """It saves and stays cancelled; submitted again, it resumes."""
    jobs.slow.write_text("0.2")
    command("submit", "--study", "small", "--seeds", "0")
    jobs.until(lambda: lines(jobs.root, "epoch") > 0)
    assert "1 jobs cancelled" in command("cancel", "--study", "small")
    jobs.until(lambda: jobs.states()["0"] == "CANCELLED")
    assert not lines(jobs.root, "result")
    assert list(folder(jobs.root).glob("checkpoint-*.pt"))
    assert "CANCELLED" in command("status", "--study", "small")
    jobs.slow.unlink()
    command("submit", "--study", "small", "--seeds", "0")
    jobs.until(jobs.completed)
    assert "resuming at epoch" in output(jobs.root)
    assert same_bits(jobs.root)


def test_failing(jobs: Jobs) -> None:
    """Its state and its last words are in the status."""
    network = jobs.root / "cnnpaper" / "engine" / "networks" / "tiny.py"
    tiny.edit(network, "return nn.Seq", "raise RuntimeError('broken by a test')\n    return nn.Seq")
    command("submit", "--study", "small", "--seeds", "0")
    jobs.until(lambda: jobs.states().get("0") == "FAILED")
    said = [line for line in command("status", "--study", "small").splitlines() if "FAILED" in line]
    assert re.search(r"small/tiny-s0: .* FAILED; .*: RuntimeError: broken by a test$", said[0])


def test_script_by_hand(jobs: Jobs) -> None:
    run = ("train", "--study", "small", "--model", "tiny", "--seeds", "0", "--gpus", "cpu")
    call = ["sbatch", "--output=hand.out", "experiments/job.sh", *PROGRAM, *run]
    subprocess.run(call, check=True, capture_output=True)
    jobs.until(lambda: lines(jobs.root, "result") > 0)
    assert same_bits(jobs.root)
