"""A copy of CIFAR-10 in any of its forms, decoded to the records of the binary distribution.

A record is one label byte and 3,072 pixel bytes (planes R, G, B); 10,000 records are a batch; six
batches are the set. Whatever its form, each copy is brought into the official order.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnpaper.data import sources
from cnnpaper.data.sources import ARCHIVE, BATCHES, IMAGE, PARQUET, Bad, Source

Bytes = NDArray[np.uint8]
Read = Callable[[str], bytes]
"""The bytes of the file of this name in a folder or an archive."""

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
RECORD = 1 + 3 * 32 * 32
BATCH = 10_000

# MD5 of the python batches, as torchvision lists them: nothing else is ever unpickled.
PICKLE_MD5 = (
    "c99cafc152244af753f735de768cd75f",
    "d4bba439e000b95fd0a9bffe97cbabec",
    "54ebc095f3ab1f0389bbae665268c751",
    "634d18415352ddfa80567beed471001a",
    "482c414d41f54cd18b22e5b47cb7c3cb",
    "40351d587109b95175f43aff81a1287e",
)
# SHA-1 of the binary batches, as MXNet's gluon lists them: proves the original pixels.
BATCH_SHA1 = (
    "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "67eb016db431130d61cd03c7ad570b013799c88c",
)


def official_labels() -> Bytes:
    """(60000,) labels in the official order, which the package carries, two to a byte."""
    resource = importlib.resources.files("cnnpaper.data").joinpath("labels.bin")
    packed = np.frombuffer(resource.read_bytes(), np.uint8)
    return np.stack((packed >> 4, packed & 15), axis=1).reshape(-1)


def sha1(array: Bytes) -> str:
    """SHA-1 of the array's bytes, 40 hexadecimal digits."""
    return hashlib.sha1(np.ascontiguousarray(array).data, usedforsecurity=False).hexdigest()


def read(source: Source) -> Bytes:
    """The set as (60000, 3073) records in official order, with the official labels.

    Raises:
        Bad: a file is damaged, missing, or not of this set.
    """
    if source.form != ARCHIVE:
        place = source.place

        def from_disk(name: str) -> bytes:
            return sources.contents(place / name, sources.largest(name))

        return _decoded(source.form, source.names, from_disk)
    found, names = sources.unpacked(source.place)
    reasons = []
    for form, copy in sources.copies(found):
        try:
            return _decoded(form, copy, found.__getitem__)
        except Bad as error:
            reasons.append(str(error))
    other = sources.other_sets(names)
    raise Bad("; ".join(reasons) or f"holds no images of CIFAR-10{other and f' but {other}'}")


def _decoded(form: str, names: tuple[str, ...], contents: Read) -> Bytes:
    readers = {PARQUET: _from_parquet, sources.IMAGES: _from_images}
    return readers.get(form, _from_batches)(names, contents)


# --- the official batches: other bytes can only mean damage -----------------------------------


def _from_batches(names: tuple[str, ...], contents: Read) -> Bytes:
    """The six files of ``cifar-10-batches-bin`` or ``cifar-10-batches-py``."""
    by_stem = {name.rpartition("/")[2].removesuffix(".bin"): name for name in names}
    if missing := [stem for stem in BATCHES if stem not in by_stem]:
        raise Bad(f"{', '.join(missing)} not there")
    records = np.empty((6 * BATCH, RECORD), dtype=np.uint8)
    for index, stem in enumerate(BATCHES):
        name = by_stem[stem]
        batch = (_binary if name.endswith(".bin") else _pickled)(contents(name), index, name)
        records[index * BATCH : (index + 1) * BATCH] = batch
    return records


def _binary(data: bytes, index: int, name: str) -> Bytes:
    if hashlib.sha1(data, usedforsecurity=False).hexdigest() != BATCH_SHA1[index]:
        raise Bad(f"{name} is damaged or altered: its SHA-1 is not the published one")
    return np.frombuffer(data, np.uint8).reshape(BATCH, RECORD)


def _pickled(data: bytes, index: int, name: str) -> Bytes:
    # a pickle executes what it names; MD5 is weak, but nobody finds other bytes for a given one
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != PICKLE_MD5[index]:
        raise Bad(
            f"{name} is damaged or altered: its MD5 is not the published one, so it stays shut"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about the names of 2009
        batch = pickle.loads(data, encoding="bytes")  # noqa: S301 - published bytes
    records = np.empty((BATCH, RECORD), dtype=np.uint8)
    records[:, 0] = batch[b"labels"]
    records[:, 1:] = batch[b"data"]
    return records


# --- parquet: the rows of a batch stand together and in order, the batches need not -----------


def _from_parquet(names: tuple[str, ...], contents: Read) -> Bytes:
    """Rows of an image's bytes (PNG or JPEG) and its label, in one file or several.

    A file that is no part of the set is passed over; batches are recognised by their labels.
    """
    tables, reasons = [], []
    for name in names:
        try:
            tables.append((name, *_table(contents(name), name)))
        except Bad as error:
            reasons.append(str(error))
    rows = _rows_in_order([labels for _, _, _, labels in tables], reasons)
    records = np.empty((6 * BATCH, RECORD), dtype=np.uint8)
    records[:, 0] = official_labels()[: 6 * BATCH]
    row = 0
    for name, file, column, labels in tables:
        here = rows[row : row + len(labels)]
        row += len(labels)
        if (here < 0).all():
            continue
        for number, (place, image) in enumerate(zip(here, _cells(file, column, name), strict=True)):
            if place >= 0:
                records[place, 1:] = decode_image(image, f"{name}: image {number}")
    return records


def _table(data: bytes, name: str) -> tuple[Any, str, Bytes]:
    """The opened file, its column of images, and its labels (N,)."""
    import pyarrow
    from pyarrow import parquet

    with _parquet_errors(name):
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        fields = {field.name: field.type for field in file.schema_arrow}
        if "fine_label" in fields:
            raise Bad(f"{name} is CIFAR-100")
        column = next((key for key in ("img", "image") if key in fields), None)
        if (
            column is None
            or not str(fields[column]).startswith(("struct<bytes: binary", "struct<bytes: large_b"))
            or not pyarrow.types.is_integer(fields.get("label", pyarrow.null()))
        ):
            raise Bad(f"{name} has no columns img (bytes) and label but {', '.join(fields)[:100]}")
        meta = file.metadata
        sizes = [meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)]
        if meta.num_rows > 6 * BATCH or not 0 <= sum(sizes) <= sources.MAX_PARQUET_BYTES:
            raise Bad(f"{name} has {meta.num_rows:,} rows, {sum(sizes):,} bytes: too many")
        labels = file.read(columns=["label"])["label"].to_numpy()
    if not np.isin(labels, range(10)).all():
        raise Bad(f"{name} has labels other than 0 to 9")
    return file, column, labels.astype(np.uint8)


def _rows_in_order(tables: list[Bytes], reasons: list[str]) -> NDArray[np.int64]:
    """Place of each row, of all tables together, in the official order; -1: not of the set."""
    labels = np.concatenate([np.empty(0, np.uint8), *tables])
    starts = np.cumsum([0, *(len(table) for table in tables)])
    found: dict[str, int] = {}
    for start in starts.tolist():
        for first in range(start, len(labels) - BATCH + 1, BATCH):
            found.setdefault(sha1(labels[first : first + BATCH]), first)
    official = official_labels()
    places = np.full(len(labels), -1, dtype=np.int64)
    missing = []
    for index, stem in enumerate(BATCHES):
        of_batch = np.arange(index * BATCH, (index + 1) * BATCH)
        start = found.get(sha1(official[of_batch]))
        if start is None:
            missing.append(stem)
        else:
            places[start : start + BATCH] = of_batch
    if missing:
        reasons.append(f"no {BATCH:,} rows have the labels of {', '.join(missing)}")
        raise Bad("; ".join(reasons[:3]))
    return places


def _cells(file: Any, column: str, name: str) -> Iterator[Any]:
    """The bytes of each image, row by row: a dictionary may repeat one large value."""
    with _parquet_errors(name):
        for part in file.iter_batches(batch_size=1, columns=[f"{column}.bytes"], use_threads=False):
            yield from part.column(column).field("bytes").to_pylist()


class _parquet_errors:
    """Whatever pyarrow raises on damaged bytes, as :class:`Bad`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow

        known = (pyarrow.ArrowException, OSError, ValueError, LookupError, MemoryError)
        if isinstance(error, known):
            reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
            raise Bad(f"{self.name} is damaged or cut off ({reason})") from None


# --- images, one by one -----------------------------------------------------------------------


def _from_images(names: tuple[str, ...], contents: Read) -> Bytes:
    """``train/CLASS/NNNN.png`` or ``.jpg``, ``test/CLASS/NNNN...``.

    Within a class the numbers follow the official order, so the official labels tell each image
    its place.
    """
    images: dict[tuple[str, str], dict[int, str]] = {}
    for name in names:
        match = IMAGE.fullmatch(name)
        assert match is not None, "copies() lists no other files"
        numbered = images.setdefault((match["part"].lower(), match["label"].lower()), {})
        other = numbered.setdefault(int(match["number"]), name)
        if other != name:
            raise Bad(f"{other} and {name} have the same number")
    labels = official_labels()
    records = np.empty((6 * BATCH, RECORD), dtype=np.uint8)
    records[:, 0] = labels
    for part, first, last in (("train", 0, 5 * BATCH), ("test", 5 * BATCH, 6 * BATCH)):
        for label, label_name in enumerate(CLASSES):
            places = np.flatnonzero(labels[first:last] == label) + first
            numbered = images.get((part, label_name), {})
            if len(numbered) != len(places):
                counts = f"{len(numbered):,} images in {part}/{label_name}, not {len(places):,}"
                other = sources.other_sets(names[:1])
                raise Bad(f"{counts}{other and f'; {other}'}")
            for place, number in zip(places, sorted(numbered), strict=True):
                name = numbered[number]
                records[place, 1:] = decode_image(contents(name), name)
    return records


def decode_image(data: object, what: str) -> Bytes:
    """A PNG or JPEG of 32 x 32 pixels as (3072,) bytes, planes R, G, B; its header is read first.

    Raises:
        Bad: too many bytes, another size, another colour mode, or damaged.
    """
    from PIL import Image

    if not isinstance(data, bytes) or len(data) > sources.MAX_IMAGE_BYTES:
        raise Bad(f"{what}: not the bytes of an image of 32 x 32 pixels")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                size, mode = image.size, image.mode
                if size == (32, 32) and mode == "RGB":
                    return np.asarray(image).transpose(2, 0, 1).reshape(-1)
    except Exception:  # decoders raise whatever they stumble upon
        raise Bad(f"{what}: damaged, or no PNG or JPEG") from None
    raise Bad(f"{what}: {size[0]} x {size[1]} {mode}, not 32 x 32 RGB")
