"""Files that are whole or absent, locks that die with their process, and the user's mistakes."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import io
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_UNWANTED = """
PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONSTARTUP PYTHONUSERBASE PYTHONOPTIMIZE
PYTHONWARNINGS PYTHONINSPECT PYTHONIOENCODING PYTHONPLATLIBDIR PYTHONCASEOK PYTHONDEVMODE
VIRTUAL_ENV CONDA_PREFIX UV_PYTHON UV_SYSTEM_PYTHON UV_PROJECT UV_PROJECT_ENVIRONMENT
UV_WORKING_DIRECTORY UV_CONFIG_FILE PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT
PIP_REQUIRE_VIRTUALENV PYTEST_ADDOPTS PYTEST_PLUGINS MYPYPATH RUFF_CONFIG GIT_DIR
GIT_WORK_TREE GIT_INDEX_FILE MPLBACKEND MATPLOTLIBRC SOURCE_DATE_EPOCH TEXINPUTS BIBINPUTS
BSTINPUTS TEXMFCNF TEXMFHOME TEXFONTS OSFONTDIR CDPATH GREP_OPTIONS
TORCH_ALLOW_TF32_CUBLAS_OVERRIDE NVIDIA_TF32_OVERRIDE ONEDNN_DEFAULT_FPMATH_MODE
DNNL_DEFAULT_FPMATH_MODE ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA
"""
UNWANTED = frozenset(_UNWANTED.split())
"""Variables that decide which modules Python loads, of environments, installers, git hooks,
notebooks, TeX, and of libraries that would compute in another precision or with other kernels than
the log says. The Makefile takes them from this file."""


def clean_environment() -> dict[str, str]:
    """The environment for every command.

    What a cluster's modules, a notebook or a profile set must reach neither Python nor the numbers.
    """
    return {name: value for name, value in os.environ.items() if name not in UNWANTED}


class UserError(Exception):
    """Something that the user gave is wrong, or something that the user can fix is missing.

    The message names the file, the key, the value and the remedy in one to five lines. The command
    line prints it without a traceback and exits with code 2.
    """


class InUse(UserError):
    """Another process holds the lock; it will end."""


class Interrupted(Exception):
    """A run was asked to stop by ``signal``, a number, and has saved its state.

    The message says how to resume; the command line exits with 128 + signal.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


MEMORY = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "out of memory")
"""In the messages of torch, cuDNN and cuBLAS."""


def memory_ran_out(error: BaseException) -> bool:
    """Was it memory, the machine's or the GPU's, that was missing?"""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch's own class for the GPU's memory is a RuntimeError
    known = isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY)
    return isinstance(error, MemoryError) or known


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'alexnet'?"`` where a known word is near, else an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


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

    Raises:
        OSError: the disk is full, or the folder cannot be written; it names ``path``.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def tar_gz(files: Mapping[str, tuple[bytes, int]], when: int) -> bytes:
    """Files with their modes, by path, all of the time ``when`` (seconds since 1970), no owners."""
    import gzip
    import tarfile

    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=when, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path, (data, mode) in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mtime, member.mode = len(data), when, mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def append_line(path: Path, line: str) -> None:
    """Append ``line`` to a text file and wait until the disk has it; the caller holds a lock."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable, where the file system can (VirtualBox, CIFS cannot)."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


@contextlib.contextmanager
def lock(path: Path, *, what: str, wait: bool = False) -> Iterator[None]:
    """Hold ``path`` as an exclusive lock; the kernel frees it when the process dies.

    The file stays behind, empty of meaning. A note beside it says to people who holds it.

    Args:
        what: is locked, for the message: ``the run reference/alexnet-s0``.
        wait: wait for its holder; without it that is an error.

    Raises:
        InUse: another process holds it.
        OSError: it belongs to another user, or this file system has no locks; it names ``path``.
    """
    import filelock  # late: __main__ reads this module before the environment is clean

    note = path.with_suffix(".holder")
    # a soft lock would outlive a kill
    held = filelock.FileLock(path, mode=0o666, fallback_to_soft=False)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            holder = "another process"
            with contextlib.suppress(OSError):
                holder = note.read_text("utf-8", errors="replace").strip() or holder
            text = f"{what} is in use by {holder}\nwait until it ends, or stop it there"
            raise InUse(text) from None
        except NotImplementedError:  # what filelock makes of ENOSYS
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    try:
        with contextlib.suppress(OSError):  # a full disk does not matter: the lock counts
            command = shlex.join(["cnnpaper", *sys.argv[1:]])[:100]
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            holder = f"process {os.getpid()} on {socket.gethostname()} since {since}: {command}"
            note.write_text(holder, "utf-8", errors="replace")
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)
        held.release()
