"""Every copy of CIFAR-10 in a folder, and the files that archives hold, without writing anything.

A copy is a set of names that belong together: six batches, parquet files, or images named
``train/CLASS/NNNN.png``. Names are grouped in the same way whether they lie in a folder or in an
archive. Names that begin with a dot are never input, and nothing is executed, unpacked to disk or
given more memory than the images need.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
import shlex
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cnnpaper.advice import advice
from cnnpaper.files import UserError, nearest

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")

BINARY = "binary batches"
PYTHON = "python batches"
PARQUET = "parquet files"
ARCHIVE = "archive"
IMAGES = "folder of images"
FORMS = (BINARY, PYTHON, PARQUET, ARCHIVE, IMAGES)
"""The surest and fastest first."""

MAX_IMAGE_BYTES = 65_536  # a plainly stored image of 32 x 32 pixels has 3 kB
MAX_BATCH_BYTES = 33_000_000  # the pickled ones have 31 MB
MAX_PARQUET_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 640 << 20  # 60,000 images as PNG in a tar have 180 MB
MAX_NAMES = 200_000
MAX_FOLDERS = 1_000
MAX_DEPTH = 6  # Hugging Face: datasets--NAME/snapshots/COMMIT/plain_text/train/0000.parquet

IMAGE = re.compile(
    r"(?:(?P<folder>.+)/)?(?P<part>train|test)/(?P<label>[^/]+)/"
    r"(?P<number>\d{1,6})(?:_[a-z]+)?\.(?:png|jpe?g)",
    re.IGNORECASE,
)
# as browsers, wget and the macOS Finder rename: (1).tar.gz, .tar (1).gz, .tar.gz.1
ARCHIVE_NAME = re.compile(r".+\.(?:tar|tgz|zip|gz|bz2|xz)(?: ?\(\d+\)|\.\d+)?", re.IGNORECASE)

OTHERS = tuple(
    (re.compile(pattern, re.IGNORECASE), what)
    for pattern, what in (
        (r"cifar[-_ ]?100(?!\d)|fine_label", "CIFAR-100, another set"),
        (
            r"cifar[-_ ]?10[-_ ]?c(?![a-z])|gaussian_noise\.npy",
            "CIFAR-10-C, distorted test images only",
        ),
        (r"cifar[-_ ]?10\.1(?!\d)", "CIFAR-10.1, another test set"),
        (r"matlab|batches[-_]mat|_batch(?:_\d)?\.mat", "the MATLAB edition, which is not read"),
        (r"trainlabels\.csv|train\.7z", "Kaggle's competition edition, which has no test labels"),
        (r"tfrecord|\.arrow$", "records of another library's cache, which are not read"),
        (r"\.(?:part|partial|crdownload|download|aria2|incomplete)$", "an unfinished download"),
    )
)
"""Pattern of a name → what it is, for people who took it for CIFAR-10."""


class Bad(Exception):
    """One copy cannot be used; the message says why, without a remedy."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One copy of the set in the data folder."""

    form: str
    """One of ``FORMS``."""
    place: Path
    """The archive, or the folder that ``names`` are relative to."""
    names: tuple[str, ...] = ()
    """Of the files that make it up, relative to ``place``; an archive's are not known yet."""

    def __str__(self) -> str:
        place = self.place
        if self.names:
            place /= os.path.commonpath({name.rpartition("/")[0] for name in self.names})
        return f"{place} ({self.form})"


def expanded(data_dir: Path) -> Path:
    """``data_dir`` with its ``~`` replaced, which no shell did within ``DATA_DIR=~/images``."""
    try:
        return data_dir.expanduser()
    except RuntimeError:
        raise UserError(f"{data_dir}: there is no such user or home folder") from None


def find(data_dir: Path, set: str | None = None) -> list[Source]:
    """Every copy in ``data_dir`` and the folders below it, at least one. No file is opened.

    Args:
        data_dir: a leading ``~`` is the home folder.
        set: ``original``, ``jpeg75``: which set the remedy fetches.

    Raises:
        UserError: the folder is missing, is a file, cannot be read, or holds nothing of the kind;
            then it names what it holds instead.
    """
    data_dir = expanded(data_dir)
    remedy = advice("data", SET=set if set != "any" else None, DATA_DIR=data_dir)
    try:
        with os.scandir(data_dir):
            pass
    except FileNotFoundError:
        if data_dir.resolve() != Path("data").resolve():
            remedy = f"mkdir -p {shlex.quote(str(data_dir))} && {remedy}"
        raise UserError(
            f"{data_dir}: there is no such folder{_near(data_dir)}\nto create it: {remedy}"
        ) from None
    except NotADirectoryError:
        remedy = advice("data", DATA_DIR=data_dir.parent)
        raise UserError(f"{data_dir}: this is a file; name its folder: {remedy}") from None
    except OSError as error:
        raise UserError(
            f"{data_dir}: cannot be read ({error.strerror})\n"
            "make it readable, or name another folder by DATA_DIR"
        ) from None
    names = list(_walk(data_dir))
    found = [Source(form=form, place=data_dir, names=copy) for form, copy in copies(names)]
    found += [Source(form=ARCHIVE, place=data_dir / name) for name in names if _is_archive(name)]
    if not found:
        seen = other_sets([data_dir.resolve().name, *names])
        here = f"; here is {seen}" if seen else ""
        raise UserError(
            f"{data_dir}: no images of CIFAR-10 were found{here}\nget the images: {remedy}"
        )
    return sorted(found, key=lambda source: FORMS.index(source.form))


def _near(data_dir: Path) -> str:
    with contextlib.suppress(OSError):
        return nearest(data_dir.name, [p.name for p in data_dir.parent.iterdir() if p.is_dir()])
    return ""


def _walk(root: Path) -> Iterator[str]:
    """Relative names of the files below ``root``, nearest first, no more than ``MAX_NAMES``."""
    level, count = [""], 0
    seen: set[tuple[int, int]] = set()
    for _ in range(MAX_DEPTH + 1):
        below: list[str] = []
        for folder in level[: MAX_FOLDERS - len(seen)]:
            try:
                status = (root / folder).stat()
                if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(root / folder) as scanned:
                    entries = sorted(scanned, key=lambda entry: entry.name)
            except OSError:
                continue  # a folder of somebody else's, lost+found
            for entry in entries:
                name = f"{folder}{entry.name}"
                if entry.name.startswith("."):
                    continue
                if _is(entry.is_dir):
                    below.append(f"{name}/")
                elif _is(entry.is_file) and (count := count + 1) <= MAX_NAMES:
                    yield name
        level = below


def _is(question: Any) -> bool:
    try:
        return bool(question())
    except OSError:  # a link to itself
        return False


def _is_archive(name: str) -> bool:
    """Below the data folder itself only archives that have the set's name are opened."""
    folder, _, file_name = name.rpartition("/")
    return (
        ARCHIVE_NAME.fullmatch(file_name) is not None
        and not other_sets([file_name])
        and (not folder or "cifar" in file_name.lower())
    )


def other_sets(names: Iterable[str]) -> str:
    """``cifar-100-python.tar.gz (CIFAR-100, another set)``: what people took for CIFAR-10."""
    seen: dict[str, str] = {}
    for name in names:
        for pattern, what in OTHERS:
            if pattern.search(name):
                seen.setdefault(what, name)
                break
    return shown(", ".join(f"{name} ({what})" for what, name in list(seen.items())[:3]))


def shown(text: str) -> str:
    """``text`` without what terminals act on: names in archives are anybody's."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def copies(names: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The copies of the set that ``names``, those of a folder or an archive, make up.

    Returns:
        Form and names of each, the surest form first, the fullest first.
    """
    found: dict[tuple[int, str], list[str]] = defaultdict(list)
    for name in names:
        if name.startswith(".") or "/." in name:
            continue
        folder, _, file_name = name.rpartition("/")
        stem = file_name.removesuffix(".bin")
        if stem in BATCHES:
            found[FORMS.index(PYTHON if stem == file_name else BINARY), folder].append(name)
        elif file_name.lower().endswith(".parquet"):
            if not other_sets([file_name]):
                found[FORMS.index(PARQUET), _family(folder, file_name)].append(name)
        elif match := IMAGE.fullmatch(name):
            kind = "png" if name.lower().endswith("png") else "jpeg"
            found[FORMS.index(IMAGES), f"{match['folder'] or ''}\0{kind}"].append(name)
    order = sorted(found, key=lambda key: (key[0], -len(found[key]), key))
    return [(FORMS[key[0]], tuple(sorted(found[key]))) for key in order]


def _family(folder: str, file_name: str) -> str:
    """What the parquet files of one copy have in common: their folder, and ``" (1)"``, say."""
    if folder.rpartition("/")[2] in ("train", "test"):
        folder = folder.rpartition("/")[0]
    # what tells parts of one copy from each other: 00000-of-00002, Hugging Face's old hashes
    parts = r"train|test|[-_]?\d+-of-\d+|-[0-9a-f]{16}(?=\.)|[-_]?\d+(?=\.)"
    rest = re.sub(parts, "", file_name.lower())
    return f"{folder}\0{rest}"


# --- what files and archives hold -------------------------------------------------------------


def largest(name: str) -> int:
    """Bytes that a file of this name may have; 0: it is no part of any copy."""
    file_name = name.rpartition("/")[2]
    if file_name.startswith(".") or "/." in name:
        return 0
    if file_name.removesuffix(".bin") in BATCHES:
        return MAX_BATCH_BYTES
    if file_name.lower().endswith(".parquet"):
        return MAX_PARQUET_BYTES
    return MAX_IMAGE_BYTES if IMAGE.fullmatch(name) else 0


def contents(path: Path, limit: int) -> bytes:
    """All bytes of a file that may not have more than ``limit``.

    Raises:
        Bad: it has more, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Bad(f"{path.name} cannot be read ({error.strerror})") from None
    if len(data) > limit:
        raise Bad(f"{path.name} has more than {limit:,} bytes")
    return data


def unpacked(archive: Path) -> tuple[dict[str, bytes], list[str]]:
    """The files in a tar (packed or not) or ZIP archive that may belong to a copy, in memory.

    Returns:
        Name → bytes, and all names.

    Raises:
        Bad: it is damaged, is none, or holds more than images of CIFAR-10 need.
    """
    try:
        with archive.open("rb") as file:
            members = _zipped if file.read(2) == b"PK" else _tarred
            file.seek(0)
            return members(file)
    except OSError as error:
        why = f"cannot be read ({error.strerror})" if error.strerror else f"is damaged ({error})"
        raise Bad(why) from None
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        *(EOFError, ValueError, LookupError, OverflowError, RuntimeError),
    ) as error:
        raise Bad(f"is damaged or cut off ({str(error)[:80]})") from None


class _Bounded:
    """An unpacked stream from which nobody takes more memory or time than the images need."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.tell = stream.tell

    def read(self, count: int) -> bytes:
        if not 0 <= count <= MAX_PARQUET_BYTES:
            raise Bad(f"holds something of {count:,} bytes")
        return self.stream.read(count)

    def seek(self, position: int) -> int:
        if not 0 <= position <= MAX_UNPACKED_BYTES:
            raise Bad(f"holds more than {MAX_UNPACKED_BYTES:,} bytes")
        return self.stream.seek(position)


def _tarred(file: IO[bytes]) -> tuple[dict[str, bytes], list[str]]:
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    magic = file.read(2)
    file.seek(0)
    stream = _Bounded(openers[magic](file) if magic in openers else file)
    names: list[str] = []
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            tar.members.clear()  # it would keep them all
            names.append(member.name)
            if len(names) > MAX_NAMES:
                raise Bad(f"holds more than {MAX_NAMES:,} files")
            name = member.name.removeprefix("./")
            limit = largest(name) if member.isreg() else 0  # links and devices are passed over
            if limit and member.size > limit:
                raise Bad(f"{name} in it has more than {limit:,} bytes")
            if limit and (reader := tar.extractfile(member)) is not None:
                found[name] = reader.read()
    return found, names


def _zipped(file: IO[bytes]) -> tuple[dict[str, bytes], list[str]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        wanted = [member for member in members if largest(member.filename)]
        if len(members) > MAX_NAMES or sum(m.file_size for m in wanted) > MAX_UNPACKED_BYTES:
            raise Bad(f"holds more than {MAX_NAMES:,} files or {MAX_UNPACKED_BYTES:,} bytes")
        found = {}
        for member in wanted:
            if member.file_size > largest(member.filename):
                raise Bad(f"{member.filename} in it has {member.file_size:,} bytes")
            with archive.open(member) as reader:
                found[member.filename] = reader.read(member.file_size)
    return found, [member.filename for member in members]
