"""The paper is a function of logs, templates and code: the same bytes anywhere, at any time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnnpaper.files import sha256_file

pytestmark = pytest.mark.tex
STUDY = "invented"
PDF = f"report/CNN_report-{STUDY}.pdf"
PROGRAM = (
    "from pathlib import Path; from cnnpaper.paper.build import build_report;"
    f"build_report(Path(), {STUDY!r})"
)
BACKWARDS = """
import os
_list, _scan = os.listdir, os.scandir
class Backwards:
    def __init__(self, entries): self.entries = entries
    def __enter__(self): return self.entries
    def __exit__(self, *_): pass
    def __iter__(self): return self.entries
    def __next__(self): return next(self.entries)
    def close(self): pass
os.listdir = lambda *a: sorted(_list(*a), reverse=True)
os.scandir = lambda *a: Backwards(iter(sorted(_scan(*a), key=lambda e: e.name, reverse=True)))
"""
"""Folders are listed from Z to A."""
LATER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#define LATER (1000L * 86400L + 12345L)
time_t time(time_t *t) {
  struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval *t, void *zone) {
  struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec; t->tv_usec = now.tv_nsec / 1000;
  return 0;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(clock, t);
  if (clock == CLOCK_REALTIME) t->tv_sec += LATER;
  return code;
}
"""
"""Every program that is started believes that it is a thousand days later."""


@dataclass(frozen=True)
class Place:
    """Where, when and by whom a paper is built."""

    environment: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """Program and options that start the build."""
    preamble: str = ""
    umask: int = 0o022
    folder: str = "elsewhere"
    old: bool = False
    """All files are from 1999."""
    later: bool = False
    other_user: bool = False


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
CONDITIONS = {
    "another directory": Place(folder="another folder, 다른 곳 (2)"),
    "time zone": Place({"TZ": "Asia/Seoul"}),
    "locale C": Place({"LC_ALL": "C", "LANG": "C"}),
    "locale of Korea": Place({"LC_ALL": "ko_KR.UTF-8", "LANG": "ko_KR.UTF-8", "LANGUAGE": "ko"}),
    "locale of Turkey": Place({"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    "hash seed": Place({"PYTHONHASHSEED": "7"}),
    "umask": Place(umask=0o077),
    "order of files": Place(preamble=BACKWARDS),
    "time stamps": Place(old=True),
    "a thousand days later": Place(later=True),
    "an epoch in the environment": Place({"SOURCE_DATE_EPOCH": "1", "FORCE_SOURCE_DATE": "0"}),
    "threads": Place({"OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "7"}),
    "one core": Place(before=("taskset", "-c", "0")),
    "home of another user": Place({"HOME": "/nonexistent", "USER": "nobody"}),
    "another user": Place(before=NOBODY, other_user=True),
    "settings of TeX and matplotlib": Place({"max_print_line": "40", "MPLBACKEND": "svg"}),
}
TOGETHER = Place(
    {
        "TZ": "Asia/Seoul", "LC_ALL": "C", "LANG": "ko_KR.UTF-8", "PYTHONHASHSEED": "7",
        "SOURCE_DATE_EPOCH": "1", "OMP_NUM_THREADS": "7", "HOME": "/nonexistent",
    },
    preamble=BACKWARDS, umask=0o077, folder="another folder, 다른 곳 (2)", old=True, later=True,
)  # fmt: skip


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, too."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def copied(built: Path, root: Path, place: Place) -> None:
    """What a paper is made from, without what was made."""
    for path in sorted(built.rglob("*"), reverse=True):
        part = path.relative_to(built)
        if path.is_file() and part.parts[0] != "build" and part.as_posix() != PDF:
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / part)
            if place.old:
                os.utime(root / part, (915_148_800, 915_148_800))
    if place.other_user:
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534)


def shim(folder: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, so no other clock")
    source = folder / "later.c"
    source.write_text(LATER)
    library = folder / "later.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def digest_at(built: Path, folder: Path, place: Place) -> str:
    """SHA-256 of the paper that is built at ``place``."""
    if place.other_user and (os.getuid() != 0 or shutil.which("setpriv") is None):
        pytest.skip("only root can be somebody else")
    if place.before and shutil.which(place.before[0]) is None:
        pytest.skip(f"no {place.before[0]}")
    root = folder / place.folder
    environment = {**os.environ, "PYTHONPATH": str(root), **place.environment}
    if place.later:
        environment["LD_PRELOAD"] = str(shim(folder))
    copied(built, root, place)
    command = [*place.before, sys.executable, "-c", place.preamble + PROGRAM]
    done = subprocess.run(
        command, cwd=root, env=environment, umask=place.umask, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"warnings" not in done.stdout, done.stdout.decode()
    return sha256_file(root / PDF)


def test_same_bytes_elsewhere(built: Path, tmp_path: Path) -> None:
    """Directory, time zone, locale, hash seed, umask, order and age of files, time: all at once."""
    assert digest_at(built, tmp_path, TOGETHER) == sha256_file(built / PDF)


@pytest.mark.soak
@pytest.mark.parametrize("name", CONDITIONS)
def test_same_bytes_under_one_condition(name: str, built: Path, open_folder: Path) -> None:
    digest = digest_at(built, open_folder, CONDITIONS[name])
    print(f"{digest}  {name}")
    assert digest == sha256_file(built / PDF)
