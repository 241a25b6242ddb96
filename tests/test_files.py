"""Files that are whole or absent, and locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import files
from cnnpaper.errors import UserError

REPOSITORY = Path(__file__).parents[1]


def _child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process of this Python that runs ``code`` with the package at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


# ------------------------------------------------------------------------------------ digests


def test_sha256_of_nothing_and_of_abc(tmp_path: Path) -> None:
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (files.sha256_bytes(b""), files.sha256_bytes(b"abc")) == (nothing, abc)
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert files.sha256_file(path) == abc


# ------------------------------------------------------------------------------------ writing


def test_write_atomic_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b c" / "파일.bin"
    files.write_atomic(path, b"old")
    files.write_atomic(path, b"new\0")
    assert path.read_bytes() == b"new\0"
    assert [found.name for found in path.parent.iterdir()] == ["파일.bin"]


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_write_atomic_gives_the_rights_that_open_would(
    tmp_path: Path, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        files.write_atomic(tmp_path / "file", b"")
        after = os.umask(mask)
    finally:
        os.umask(before)
    assert after == mask
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


class _FullDisk:
    """A file that takes half of what it is given."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise _no_space()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _no_space(*_: object) -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def _raise_no_space(*_: object, **__: object) -> None:
    raise _no_space()


@contextlib.contextmanager
def _full_disk(where: str) -> Iterator[None]:
    """The disk is full when the writer gets to ``where``."""
    with pytest.MonkeyPatch.context() as patch:
        if where == "write":
            real = os.fdopen
            patch.setattr(os, "fdopen", lambda *args: _FullDisk(real(*args)))
        elif where == "fsync":
            patch.setattr(os, "fsync", _raise_no_space)
        elif where == "rename":
            patch.setattr(Path, "replace", _raise_no_space)
        else:
            patch.setattr(os, "open", _raise_no_space)
        yield


@pytest.mark.parametrize("where", ["create", "write", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, where: str) -> None:
    path = tmp_path / "file"
    files.write_atomic(path, b"old" * 1000)
    with _full_disk(where), pytest.raises(OSError, match="No space left") as caught:
        files.write_atomic(path, b"new" * 1000)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old" * 1000
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    files.write_atomic(path, b"new" * 1000)
    assert path.read_bytes() == b"new" * 1000


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from cnnpaper import files

    moment, path = sys.argv[1:]

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "before fsync":
        os.fsync = die
    elif moment == "before rename":
        Path.replace = die
    elif moment == "after rename":
        files.fsync_folder = die
    files.write_atomic(Path(path), b"new" * 100_000)
"""


@pytest.mark.parametrize(
    "moment, expected", [("before fsync", "old"), ("before rename", "old"), ("after rename", "new")]
)
def test_a_kill_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, moment: str, expected: str
) -> None:
    path = tmp_path / "file"
    files.write_atomic(path, b"old" * 100_000)
    child = _child(KILLED, moment, str(path))
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == expected.encode() * 100_000
    files.write_atomic(path, b"again")  # shorter than what the kill left
    assert path.read_bytes() == b"again"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_kills_at_any_moment_leave_a_whole_file(tmp_path: Path) -> None:
    """A child writes two contents in turn without end, and is killed after a while, many times."""
    path = tmp_path / "file"
    whole = {letter.encode() * 300_000 for letter in "ab"}
    files.write_atomic(path, b"a" * 300_000)
    code = """
        import sys
        from pathlib import Path
        from cnnpaper import files

        print("ready", flush=True)
        while True:
            for letter in (b"a", b"b"):
                files.write_atomic(Path(sys.argv[1]), letter * 300_000)
    """
    for kill in range(8):
        child = _child(code, str(path))
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.003 * (kill + 1))
        child.kill()
        child.communicate()
        assert path.read_bytes() in whole


# ------------------------------------------------------------------------------------ locks

HOLD = """
    import sys
    from pathlib import Path
    from cnnpaper import files

    with files.lock(Path(sys.argv[1]), what="the thing"):
        print("held", flush=True)
        sys.stdin.readline()
    print("freed", flush=True)
    sys.stdin.readline()
"""


def _refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught, files.lock(path, what="run alexnet-s0"):
        pass
    return str(caught.value)


def test_a_lock_names_its_owner_and_is_free_when_that_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "x.lock"
    child = _child(HOLD, str(path))
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    message = _refusal(path)
    assert message.startswith(f"run alexnet-s0 is in use by process {child.pid} (-c ")
    assert re.search(r", since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\)\n", message)
    assert 1 <= len(message.splitlines()) <= 5
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "freed\n"
    with files.lock(path, what="run alexnet-s0"):  # while the process still lives
        assert path.read_text().startswith(f"{os.getpid()} (")
    child.communicate("\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_dies_with_its_process(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "x.lock"
    child = _child(HOLD, str(path))
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    child.send_signal(number)
    child.communicate()
    assert path.read_text().startswith(f"{child.pid} (")  # the file stays, without a meaning
    with files.lock(path, what="run alexnet-s0"):
        assert path.read_text().startswith(f"{os.getpid()} (")
    assert path.read_text() == ""


@pytest.mark.parametrize("damage", ["removed", "replaced"])
def test_who_waited_for_a_file_that_is_gone_takes_the_one_that_is_there(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "x.lock"
    said: list[str] = []

    def meanwhile(busy: str) -> None:
        said.append(busy)
        path.unlink()
        if damage == "replaced":
            path.touch()
        child.communicate("\n\n")

    child = _child(HOLD, str(path))
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with files.lock(path, what="it", wait=meanwhile) as descriptor:
        assert os.path.samestat(path.stat(), os.fstat(descriptor))
        assert f"process {os.getpid()}" in _refusal(path)
    assert f"it is in use by process {child.pid} (" in said[0]


def test_a_child_that_inherits_the_lock_holds_it_after_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    code = """
        import subprocess, sys, time
        from pathlib import Path
        from cnnpaper import files

        with files.lock(Path(sys.argv[1]), what="it") as descriptor:
            subprocess.Popen(["cat"], stdin=sys.stdin, pass_fds=(descriptor,))
            print("held", flush=True)
            time.sleep(600)
    """
    child = _child(code, str(path))
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    child.kill()
    child.wait()
    assert "which has ended; a program that it started still holds it\n" in _refusal(path)
    child.communicate()  # cat ends with its input
    with files.lock(path, what="it", wait=print):
        pass


def test_a_full_disk_keeps_nobody_from_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", _raise_no_space)
    path = tmp_path / "x.lock"
    with files.lock(path, what="it"):
        assert "run alexnet-s0 is in use by process unknown\n" in _refusal(path)


def test_half_a_line_is_dropped_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    files.append_line(path, "one")
    with path.open("a") as file:
        file.write("tw")
    files.append_line(path, "three")
    assert path.read_text() == "one\nthree\n"


def test_a_lock_is_freed_by_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with pytest.raises(ZeroDivisionError), files.lock(path, what="it"):
        raise ZeroDivisionError
    with files.lock(path, what="it"):
        pass


def test_a_lock_is_exclusive_within_one_process(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with files.lock(path, what="it"):
        assert f"process {os.getpid()}" in _refusal(path)


def test_a_lock_is_not_inherited_by_programs_that_are_started(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with files.lock(path, what="it"):
        child = _child("import sys; sys.stdin.readline()")
    with files.lock(path, what="it"):  # while the child lives
        assert child.poll() is None
    child.communicate("\n")
