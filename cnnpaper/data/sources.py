"""Every copy of CIFAR-10 in a folder, and the files that archives hold; nothing is written.

A copy is a set of names that belong together: six batches, the parquet files of one folder, or
images named ``train/CLASS/NNNN.png``. Names are grouped in the same way whether they lie in a
folder or in an archive. Names that begin with a dot are never input.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from cnnpaper.advice import advice
from cnnpaper.files import UserError, nearest

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")

BINARY = "binary batches"
PYTHON = "python batches"
PARQUET = "parquet files"
ARCHIVE = "archive"
IMAGES = "folder of images"
LIMITS = {BINARY: 33_000_000, PYTHON: 33_000_000, PARQUET: 256 << 20, ARCHIVE: 640 << 20,
          IMAGES: 65_536}  # fmt: skip
"""The forms, the surest and fastest first → the bytes that one file may have: a pickled batch has
31 MB, a plainly stored image 3 kB, a tar of 60,000 PNG, packed or not, 180 MB."""
MAX_DEPTH = 6  # Hugging Face: datasets--NAME/snapshots/COMMIT/plain_text/train/0000.parquet
MAX_NAMES = 200_000  # DATA_DIR may be a home folder

IMAGE = re.compile(
    r"(?:(?P<folder>.+)/)?(?P<part>train|test)/(?P<label>[^/]+)/"
    r"(?P<number>\d{1,6})(?:_[a-z]+)?\.(?:png|jpe?g)",
    re.IGNORECASE,
)
# as browsers, wget and the macOS Finder rename: (1).tar.gz, .tar (1).gz, .tar.gz.1
ARCHIVE_NAME = re.compile(r".+\.(?:tar|tgz|zip|gz|bz2|xz)(?: ?\(\d+\)|\.\d+)?", re.IGNORECASE)

OTHERS = {
    r"cifar[-_ ]?100(?!\d)|fine_label": "CIFAR-100, another set",
    r"cifar[-_ ]?10[-_ ]?c(?![a-z])|gaussian_noise\.npy": "CIFAR-10-C, distorted test images only",
    r"cifar[-_ ]?10\.1(?!\d)": "CIFAR-10.1, another test set",
    r"matlab|batches[-_]mat|_batch(?:_\d)?\.mat": "the MATLAB edition, which is not read",
    r"trainlabels\.csv|train\.7z": "Kaggle's competition edition, which has no test labels",
    r"tfrecord|\.arrow$": "records of another library's cache, which are not read",
    r"\.(?:part|partial|crdownload|download|aria2|incomplete)$": "an unfinished download",
}
"""Pattern of a name → what it is, for people who took it for CIFAR-10."""


class Bad(Exception):
    """One copy cannot be used; the message says why, without a remedy."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One copy of the set."""

    form: str  # one of `LIMITS`
    place: Path  # the data folder, or the archive that it is in
    names: tuple[str, ...]  # of the files that make it up, relative to `place`

    def __str__(self) -> str:
        folders = {name.rpartition("/")[0] for name in self.names}
        inside = self.names[0] if self.form == ARCHIVE else os.path.commonpath(folders)
        return f"{self.place / inside} ({self.form})"


def find(data_dir: Path, set: str | None = None) -> list[Source]:
    """Every copy in ``data_dir`` and the folders below it, at least one. No file is opened.

    Args:
        data_dir: where to look.
        set: ``original``, ``jpeg75``: which set the remedy fetches.

    Raises:
        UserError: the folder is missing, is a file, cannot be read, or holds nothing of the kind;
            then it names what it holds instead.
    """
    remedy = advice("data", SET=set if set != "any" else None, DATA_DIR=data_dir)
    try:
        os.scandir(data_dir).close()
    except FileNotFoundError:
        near = nearest(data_dir.name, [path.name for path in data_dir.parent.glob("*/")])
        if data_dir.resolve() != Path("data").resolve():
            remedy = f"mkdir -p {shlex.quote(str(data_dir))} && {remedy}"
        text = f"{data_dir}: there is no such folder{near}\nto create it: {remedy}"
        raise UserError(text) from None
    except NotADirectoryError:
        remedy = advice("data", DATA_DIR=data_dir.parent)
        raise UserError(f"{data_dir}: this is a file; name its folder: {remedy}") from None
    except OSError as error:
        text = "make it readable, or name another folder by DATA_DIR"
        raise UserError(f"{data_dir}: cannot be read ({error.strerror})\n{text}") from None
    names = list(itertools.islice(_walk(data_dir), MAX_NAMES))
    found = [one for one in copies(names, data_dir) if one.form != ARCHIVE or _is_file(one)]
    if not found:
        seen = other_sets([data_dir.resolve().name, *names])
        here = f"; here is {seen}" if seen else ""
        raise UserError(
            f"{data_dir}: no images of CIFAR-10 were found{here}\nget the images: {remedy}"
        )
    return found


def _is_file(archive: Source) -> bool:
    path = archive.place / archive.names[0]
    return path.is_file() and path.stat().st_size <= LIMITS[ARCHIVE]


def _walk(root: Path) -> Iterator[str]:
    """Relative names of the files below ``root``, through links, each folder once."""
    seen = {os.path.realpath(root)}
    for place, folders, files in os.walk(root, followlinks=True):  # what is unreadable is left out
        here = Path(place).relative_to(root)
        found = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(place, name))  # noqa: PTH118 - thousands of names
            if not name.startswith(".") and real not in seen and len(here.parts) < MAX_DEPTH:
                seen.add(real)
                found.append(name)
        folders[:] = found
        prefix = "" if place == os.fspath(root) else f"{here.as_posix()}/"
        yield from (prefix + name for name in sorted(files) if not name.startswith("."))


def other_sets(names: Iterable[str]) -> str:
    """``cifar-100-python.tar.gz (CIFAR-100, another set)``: what people took for CIFAR-10."""
    seen: dict[str, str] = {}
    for name in names:
        for pattern, what in OTHERS.items():
            if re.search(pattern, name, re.IGNORECASE):
                seen.setdefault(what, name)
                break
    return ", ".join(f"{name} ({what})" for what, name in list(seen.items())[:3])


def copies(names: Iterable[str], place: Path) -> list[Source]:
    """The copies that ``names``, those of a folder or an archive, make up.

    The surest form comes first, and of one form the fullest copy.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        if group := _group(name):
            found[group].append(name)
    order = list(LIMITS)
    groups = sorted(found, key=lambda group: (order.index(group[0]), -len(found[group]), group))
    return [
        Source(form=group[0], place=place, names=tuple(sorted(found[group]))) for group in groups
    ]


def _group(name: str) -> tuple[str, str] | None:
    """Form of the copy that a file of this name may belong to, and what all its files share."""
    folder, _, file_name = name.rpartition("/")
    if name.startswith(".") or "/." in name:
        return None
    stem = file_name.removesuffix(".bin")
    if stem in BATCHES:
        return PYTHON if stem == file_name else BINARY, folder
    if match := IMAGE.fullmatch(name):
        return IMAGES, f"{match['folder'] or ''}/{name[-3:].lower()}"  # png, jpg or peg
    is_table = file_name.lower().endswith(".parquet")
    if not (is_table or ARCHIVE_NAME.fullmatch(file_name)) or other_sets([file_name]):
        return None
    if is_table:
        return PARQUET, re.sub("(^|/)(train|test)$", "", folder)
    # below the data folder itself only archives that have the set's name are opened
    return None if folder and "cifar" not in file_name.lower() else (ARCHIVE, name)


def unpacked(archive: Path) -> dict[str, bytes | None]:
    """All names in a tar (packed or not) or ZIP archive; the bytes of those of a copy, else None.

    Raises:
        Bad: it is damaged, is none, or holds more than the images need.
    """
    files: dict[str, bytes | None] = {}
    try:
        with archive.open("rb") as file:
            members = _zipped if file.read(2) == b"PK" else _tarred
            file.seek(0)
            total = 0
            for name, size, read in members(file):
                total += size + tarfile.BLOCKSIZE  # and its header
                if total > LIMITS[ARCHIVE]:
                    raise Bad(f"holds more than {LIMITS[ARCHIVE]:,} bytes")
                form = (_group(name) or (ARCHIVE,))[0]
                if form != ARCHIVE and size > LIMITS[form]:
                    raise Bad(f"{name} in it has {size:,} bytes")
                files[name] = None if form == ARCHIVE else read()
    except Bad:
        raise
    except Exception as error:  # decompressors raise a dozen kinds
        what = "cannot be read" if isinstance(error, PermissionError) else "is damaged or cut off"
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:80]
        raise Bad(f"{what} ({reason})") from None
    return files


Member = tuple[str, int, Callable[[], bytes | None]]  # its name, its bytes, and how to read them


def _zipped(file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            yield entry.filename, entry.file_size, partial(archive.read, entry)


def _tarred(file: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            # links and devices are passed over
            reader = tar.extractfile(member) if member.isreg() else None
            read = (lambda: None) if reader is None else reader.read
            yield member.name.removeprefix("./"), member.size, read
