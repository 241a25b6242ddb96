"""Files that are whole or absent, and locks that die with their process."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cnnpaper.errors import UserError

COMMAND_LETTERS = 100
"""So much of the command that holds a lock is written down."""


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of ``data``, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of the file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the disk name ``path``: a write or an fsync by itself names no file."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either its old bytes or all of the new ones, always.

    Write beside it, fsync, rename, fsync the folder: a kill or a power cut at any moment leaves no
    half of a file under the final name. What a kill leaves beside it has one name, so the next
    write takes it over; two writers of one path wait for each other.

    Raises:
        OSError: the disk is full, or the folder cannot be written; it names ``path``.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        with os.fdopen(_locked_file(temporary, fcntl.LOCK_EX), "wb") as file:
            try:
                file.truncate()
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        fsync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append ``line`` to a text file and wait until the disk has it.

    Half a line that a kill or a full disk left at the end is dropped first.
    """
    with naming(path), os.fdopen(_locked_file(path, fcntl.LOCK_EX), "r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------- locks


@contextlib.contextmanager
def lock(path: Path, *, what: str, wait: Callable[[str], None] | None = None) -> Iterator[int]:
    """Hold ``path`` as an exclusive lock; the kernel frees it when the process dies.

    The file stays behind, empty of meaning: only a held flock counts, so nobody ever has to delete
    a stale one. What it holds says to people who has it, since when, by which command.

    Args:
        path: of the lock file, made where it is missing.
        what: is locked, for the message.
        wait: is told who holds it, and then this process waits; without it that is an error.

    Yields:
        The lock's descriptor, for ``pass_fds``: a child that inherits it holds the lock too.

    Raises:
        UserError: another process holds it; the message says ``what`` and which process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _try_lock(path, what, wait)
    try:
        _note(descriptor, _this_process())
        yield descriptor
    finally:
        _note(descriptor, "")
        os.close(descriptor)


def _try_lock(path: Path, what: str, wait: Callable[[str], None] | None) -> int:
    owner = ""
    for attempt in range(10):
        try:
            return _locked_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(OSError):
                owner = path.read_text("utf-8", errors="replace").strip()
        if owner:
            break
        time.sleep(0.01 * attempt)  # its owner is just coming or going
    busy = f"{what} is in use by process {_described(owner)}"
    if wait is None:
        raise UserError(
            f"{busy}\nwait until it ends, or stop it; the lock is freed with the process"
        )
    wait(busy)
    return _locked_file(path, fcntl.LOCK_EX)


def _locked_file(path: Path, operation: int) -> int:
    """The descriptor of ``path``, made where it is missing, under a flock.

    Where the file was renamed or removed while this process waited, it is not the one that others
    will lock: then begin again.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, operation)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _note(descriptor: int, owner: str) -> None:
    """Write who holds the lock. A full disk does not matter: the flock counts."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(errors="replace"), 0)


def _this_process() -> str:
    """``4711 (cnnpaper report, since 2026-11-24 13:40:12)``; the time is the user's."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    command = " ".join(shlex.join([name, *sys.argv[1:]]).split())[:COMMAND_LETTERS]
    return f"{os.getpid()} ({command}, since {time.strftime('%Y-%m-%d %H:%M:%S')})"


def _described(owner: str) -> str:
    """``owner``; where it has ended, whoever inherited its lock has not."""
    number = re.match(r"[0-9]+", owner)
    if number is None:
        return "unknown"
    try:
        os.kill(int(number[0]), 0)
    except (ProcessLookupError, OverflowError):
        return f"{owner}, which has ended; a program that it started still holds it"
    except PermissionError:
        pass
    return owner
