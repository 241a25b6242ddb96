"""Every copy of CIFAR-10 in a folder, and the files that archives hold; nothing is written.

A copy is a set of names that belong together: six batches, the parquet files of one folder, or
images named ``train/CLASS/NNNN.png``. Names are grouped in the same way whether they lie in a
folder or in an archive. Names that begin with a dot are never input.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
FORMS = (BINARY, PYTHON, PARQUET, ARCHIVE, IMAGES)  # the surest and fastest first

MAX_BYTES = 640 << 20
"""What an archive may have, packed and unpacked: 60,000 images as PNG in a tar have 180 MB."""
LIMITS = {BINARY: 33_000_000, PYTHON: 33_000_000, PARQUET: 256 << 20, IMAGES: 65_536}
"""Bytes of one file in an archive: a pickled batch has 31 MB, a plainly stored image 3 kB."""
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
    """One copy of the set in the data folder."""

    form: str  # one of `FORMS`
    place: Path  # the archive, or the folder that `names` are relative to
    names: tuple[str, ...] = ()
    """Of the files that make it up, relative to ``place``; an archive's are not known yet."""

    def __str__(self) -> str:
        place = self.place
        if self.names:
            place /= os.path.commonpath({name.rpartition("/")[0] for name in self.names})
        return f"{place} ({self.form})"


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
        near = ""
        with contextlib.suppress(OSError):
            near = nearest(data_dir.name, [p.name for p in data_dir.parent.iterdir() if p.is_dir()])
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
    found = [Source(form=form, place=data_dir, names=copy) for form, copy in copies(names)]
    archives = (data_dir / name for name in names if _may_be_archive(name))
    found += [
        Source(form=ARCHIVE, place=path)
        for path in archives
        if path.is_file() and path.stat().st_size <= MAX_BYTES
    ]
    if not found:
        seen = other_sets([data_dir.resolve().name, *names])
        here = f"; here is {seen}" if seen else ""
        raise UserError(
            f"{data_dir}: no images of CIFAR-10 were found{here}\nget the images: {remedy}"
        )
    return sorted(found, key=lambda source: FORMS.index(source.form))


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


def _may_be_archive(name: str) -> bool:
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
        for pattern, what in OTHERS.items():
            if re.search(pattern, name, re.IGNORECASE):
                seen.setdefault(what, name)
                break
    return ", ".join(f"{name} ({what})" for what, name in list(seen.items())[:3])


def copies(names: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The copies of the set that ``names``, those of a folder or an archive, make up.

    Returns:
        Form and names of each, the surest form first, the fullest first.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        if group := _group(name):
            found[group].append(name)
    order = sorted(found, key=lambda group: (FORMS.index(group[0]), -len(found[group]), group))
    return [(group[0], tuple(sorted(found[group]))) for group in order]


def _group(name: str) -> tuple[str, str] | None:
    """Form of the copy that a file of this name may belong to, and what all its files share."""
    folder, _, file_name = name.rpartition("/")
    if name.startswith(".") or "/." in name:
        return None
    stem = file_name.removesuffix(".bin")
    if stem in BATCHES:
        return PYTHON if stem == file_name else BINARY, folder
    if file_name.lower().endswith(".parquet") and not other_sets([file_name]):
        return PARQUET, re.sub("(^|/)(train|test)$", "", folder)
    if match := IMAGE.fullmatch(name):
        return IMAGES, f"{match['folder'] or ''}/{name[-3:].lower()}"  # png, jpg or peg
    return None


def unpacked(archive: Path) -> dict[str, bytes | None]:
    """All names in a tar (packed or not) or ZIP archive; the bytes of those of a copy, else None.

    Raises:
        Bad: it is damaged, is none, or holds more than the images need.
    """
    try:
        with archive.open("rb") as file:
            read = _zipped if file.read(2) == b"PK" else _tarred
            file.seek(0)
            return dict(read(file))
    except Bad:
        raise
    except Exception as error:  # decompressors raise a dozen kinds
        what = "cannot be read" if isinstance(error, PermissionError) else "is damaged or cut off"
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:80]
        raise Bad(f"{what} ({reason})") from None


def _wanted(name: str, size: int) -> bool:
    group = _group(name)
    if group and size > LIMITS[group[0]]:
        raise Bad(f"{name} in it has {size:,} bytes")
    return group is not None


def _zipped(file: IO[bytes]) -> Iterator[tuple[str, bytes | None]]:
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise Bad(f"holds more than {MAX_BYTES:,} bytes")
        for entry in archive.infolist():
            wanted = _wanted(entry.filename, entry.file_size)
            yield entry.filename, archive.read(entry) if wanted else None


def _tarred(file: IO[bytes]) -> Iterator[tuple[str, bytes | None]]:
    with tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            if member.offset_data + member.size > MAX_BYTES:
                raise Bad(f"holds more than {MAX_BYTES:,} bytes")
            name = member.name.removeprefix("./")
            # links and devices are passed over
            wanted = member.isreg() and _wanted(name, member.size)
            reader = tar.extractfile(member) if wanted else None
            yield name, None if reader is None else reader.read()
