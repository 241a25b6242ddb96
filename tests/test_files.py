"""Files that are whole or absent, locks on every kind of disk, limits of the machine."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import files
from cnnpaper.advice import trouble
from cnnpaper.files import InUse
from cnnpaper.runs import machine
from cnnpaper.runs.launch import why_ended

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# ------------------------------------------------------------------------------------- writing


def test_a_disk_that_cannot_sync_folders_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = Path(f"/proc/self/fd/{descriptor}").resolve().is_dir()
        (fails(errno.EINVAL) if is_folder else real)(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_atomic(tmp_path / "a" / "x", b"whole")
    files.append_line(tmp_path / "a" / "log", "line")
    assert (tmp_path / "a" / "x").read_bytes() == b"whole"
    assert (tmp_path / "a" / "log").read_text() == "line\n"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_of_the_disk_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "x"
    files.write_atomic(path, b"old")

    monkeypatch.setattr(os, "fsync", fails(number))
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        files.write_atomic(path, b"new")
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


# ------------------------------------------------------------------------------------- locks

HOLD = """
import sys, time
from pathlib import Path
from cnnpaper import files
with files.lock(Path(sys.argv[1]), what="it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_with_its_host_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(
        InUse, match=rf"process {process.pid} on {os.uname().nodename} since .*: cnn"
    ):
        files.lock(path, what="the run x").__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    path.with_suffix(".holder").write_text("process 403 on another-host: cnnpaper train")
    with files.lock(path, what="the run x"):
        assert f"process {os.getpid()} on " in path.with_suffix(".holder").read_text()


def fails(number: int) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    "where, name, number, remedy",
    [(fcntl, "flock", number, "a local disk: this one has no file locks")
     for number in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)]
    + [(os, "open", errno.EACCES, "the right to read and write it")],
)  # fmt: skip
def test_a_lock_that_the_system_refuses_gets_a_remedy(
    tmp_path: Path, monkeypatch, where, name: str, number: int, remedy: str
) -> None:
    monkeypatch.setattr(where, name, fails(number))
    with pytest.raises(OSError, match=r"run\.lock") as error:
        files.lock(tmp_path / "run.lock", what="x").__enter__()
    assert remedy in str(trouble(error.value))


# ----------------------------------------------------------------------- the machine's limits

V1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
QUOTAS = {  # /proc/self/cgroup, files below the mount, cores
    "none": ("0::/\n", {}, None),
    "v2": ("0::/job\n", {"job/cpu.max": "150000 100000"}, 1.5),
    "v2 of a level above": (
        "0::/user/job\n", {"user/job/cpu.max": "max 100000", "user/cpu.max": "200000 100000"}, 2.0,
    ),
    "v2 in a container": ("0::/../x\n", {"cpu.max": "50000 100000"}, 0.5),
    "v1": (
        "5:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n",
        {f"cpu/docker/a/{V1[0]}": "300000", f"cpu/docker/a/{V1[1]}": "100000"}, 3.0,
    ),
    "v1 in a container": (
        "5:cpu:/docker/a\n", {f"cpu/{V1[0]}": "100000", f"cpu/{V1[1]}": "100000"}, 1.0,
    ),
    "v1 without a limit": (
        "5:cpu:/\n", {f"cpu/{V1[0]}": "-1", f"cpu/{V1[1]}": "100000"}, None,
    ),
    "damaged": ("0::/\n", {"cpu.max": ""}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", QUOTAS)
def test_the_cores_of_the_process_s_own_group(tmp_path: Path, case: str) -> None:
    text, contents, expected = QUOTAS[case]
    (tmp_path / "cgroup").write_text(text)
    for name, value in contents.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(value + "\n")
    assert machine.cgroup_cores(tmp_path / "cgroup", tmp_path / "mount") == expected


@pytest.mark.parametrize("quota,cores", [(None, 4), (0.5, 1), (1.5, 1), (3.0, 3), (64.0, 4)])
def test_threads_keep_to_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {90001, 90002, 90003, 90004})
    monkeypatch.setattr(machine, "cgroup_cores", lambda: quota)
    assert machine.physical_cores() == cores


def test_a_suspension_is_no_training_time() -> None:
    code = (
        "import time; from cnnpaper.runs.machine import Stopwatch\n"
        "watch = Stopwatch(); watch.start(); end = time.monotonic() + 4\n"
        "print('go', flush=True)\n"
        "while time.monotonic() < end:\n"
        "    sum(range(20000)); watch.lap()\n"
        "watch.stop(); print(watch.wall_s, watch.suspended_s)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.6)
    process.send_signal(signal.SIGCONT)
    wall_s, suspended_s = map(float, process.communicate()[0].split())
    assert suspended_s > 2
    assert wall_s < 2.1
    assert machine.Stopwatch().suspended_s == 0


# --------------------------------------------------------------------------- memory and signals


def test_signals_that_were_ignored_stay_ignored() -> None:
    before = {number: signal.getsignal(number) for number in machine.STOPPING}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
        got: list[int] = []
        with machine.stopped_by(lambda number, _: got.append(number)):
            for number in machine.STOPPING:
                os.kill(os.getpid(), number)
        assert sorted(got) == sorted({*machine.STOPPING} - {signal.SIGHUP})
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    "status,says",
    [
        (-signal.SIGKILL, "as the system does when memory runs out"),
        (-signal.SIGSEGV, "ended by signal 11"),
        (-signal.SIGBUS, "ended by signal 7"),
        (2, "its message is above"),
    ],
)
def test_the_death_of_a_run_has_a_reason(status: int, says: str) -> None:
    assert says in why_ended(status)
