"""What would be submitted to Slurm, and locks of devices; no Slurm is needed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnnpaper.files import UserError
from cnnpaper.runs import cluster, launch

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


def test_only_the_same_host_waits_for_a_device_and_no_job_of_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder of locks on a disk that two hosts share; Slurm renumbers each job's GPU to 0."""
    monkeypatch.setattr(launch.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    done: list[str] = []
    with launch.device_lock("0", GPU):
        here = holds(done, "the same host")
        assert done == []
        with monkeypatch.context() as patch:
            patch.setenv("SLURM_JOB_ID", "7")
            holds(done, "a job")
        monkeypatch.setattr(socket, "gethostname", lambda: "another-node")
        holds(done, "another host")
        assert done == ["a job", "another host"]
    here.join(3)
    assert done == ["a job", "another host", "the same host"]
