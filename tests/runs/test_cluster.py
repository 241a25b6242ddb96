"""What would be submitted to Slurm, and locks of devices; no Slurm is needed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnnpaper.files import UserError, clean_environment
from cnnpaper.runs import cluster, launch
from tests import tiny

GPU: Any = SimpleNamespace(type="cuda", index=0)


@pytest.mark.train
def test_dry_run_prints_command_lines_and_script(root: Path, cnnpaper: Callable[..., Any]) -> None:
    (root / "experiments" / "cluster.toml").write_text(
        'partition = "gpu"\nconstraint = "a100"\ngpus = 1\nthreads = 4\nat_once = 3\n'
        'setup = ["module load gcc"]\n'
    )
    answer = cnnpaper("submit", "--study", "smoke", "--dry-run")
    assert answer.code == 0
    first = answer.out.splitlines()[0]
    for option in ("--array=1-4%3", "--partition=gpu", "--constraint=a100", "--gpus-per-node=1"):
        assert option in first
    assert "--model vgg16" in answer.out
    assert "module load gcc" in answer.out
    assert "scontrol requeue" in answer.out
    assert not (root / "build" / "cluster").exists()


def test_unknown_key_is_named(root: Path) -> None:
    (root / "experiments" / "cluster.toml").write_text('partitions = "gpu"\n')
    with pytest.raises(UserError, match=r"cluster.toml.*partitions.*did you mean 'partition'"):
        cluster.settings(root)


def test_without_slurm_it_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="CLUSTER=slurm"):
        cluster.submit(root, "smoke", [], root, False, False)


def holds(done: list[str], name: str) -> threading.Thread:
    """A thread that takes GPU 0 and gives it back."""

    def take() -> None:
        with launch.device_lock("0", GPU):
            done.append(name)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(0.5)
    return thread


def test_hosts_do_not_block_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder of locks on a disk that two hosts share."""
    monkeypatch.setattr(launch.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    done: list[str] = []
    with launch.device_lock("0", GPU):
        here = holds(done, "the same host")
        assert done == []
        monkeypatch.setattr(socket, "gethostname", lambda: "another-node")
        holds(done, "another host")
        assert done == ["another host"]
    here.join(3)
    assert done == ["another host", "the same host"]


def test_jobs_on_one_node_do_not_block_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm renumbers each job's GPU to 0."""
    monkeypatch.setattr(launch.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    done: list[str] = []
    with launch.device_lock("0", GPU):
        holds(done, "another job")
    assert done == ["another job"]


ON_HOST = """
import socket, sys
host = sys.argv.pop(1)
socket.gethostname = lambda: host
from cnnpaper.__main__ import main
main()
"""


@pytest.mark.train
def test_two_hosts_train_at_the_same_time(root: Path, tmp_path: Path) -> None:
    """Processes with two host names share every folder; a third, on the first host, waits."""
    tiny.add_to(root, steps=20, seeds="[0, 1, 2]")
    slow = tiny.slow_down(root)
    slow.write_text("0.5")
    environment = {**clean_environment(), "TMPDIR": os.fspath(tmp_path)}
    environment.pop("SLURM_JOB_ID", None)

    def start(host: str, seed: int) -> subprocess.Popen[str]:
        call = [sys.executable, "-c", ON_HOST, host, *tiny.TRAIN, "--seeds", str(seed)]
        return subprocess.Popen(
            call,
            cwd=root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def has(seed: int, kind: str) -> bool:
        log = root / "results" / "log" / "small" / f"tiny-s{seed}" / "run.jsonl"
        return log.exists() and f'"kind":"{kind}"' in log.read_text()

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 600
        while not condition():
            assert time.monotonic() < end
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)

    processes = [start("node-a", 0), start("node-b", 1)]
    try:
        until(lambda: has(0, "header") and has(1, "header"))
        slow.with_name("new").write_text("600")  # both wait in a step until it is removed
        slow.with_name("new").rename(slow)
        processes.append(start("node-a", 2))
        line = processes[2].stdout.readline()
        assert not has(0, "result")
        assert not has(1, "result")
        assert "waiting for it" in line
        assert not has(2, "header")
        slow.unlink()
        assert [process.wait(600) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
