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
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnpaper.data import sources
from cnnpaper.data.sources import ARCHIVE, BATCHES, IMAGE, IMAGES, PARQUET, Bad, Source

Bytes = NDArray[np.uint8]
Read = Callable[[str], bytes]  # the bytes of the file of this name in a folder or an archive

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


def read(source: Source) -> Bytes:
    """The set as (60000, 3073) records in official order, with the official labels.

    Raises:
        Bad: a file is damaged, missing, or not of this set.
    """
    if source.form != ARCHIVE:
        return _decoded(source.form, source.names, lambda name: _contents(source.place / name))
    found = sources.unpacked(source.place)
    files = {name: data for name, data in found.items() if data is not None}
    reasons = []
    for form, names in sources.copies(files):
        try:
            return _decoded(form, names, files.__getitem__)
        except Bad as error:
            reasons.append(str(error))
    other = sources.other_sets(found)
    raise Bad("; ".join(reasons) or f"holds no images of CIFAR-10{other and f' but {other}'}")


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Bad(f"{path.name} cannot be read ({error.strerror})") from None


def _decoded(form: str, names: tuple[str, ...], contents: Read) -> Bytes:
    readers = {PARQUET: _from_parquet, IMAGES: _from_images}
    return readers.get(form, _from_batches)(names, contents)


def _from_batches(names: tuple[str, ...], contents: Read) -> Bytes:
    """The six files of ``cifar-10-batches-bin`` or ``cifar-10-batches-py``."""
    by_stem = {name.rpartition("/")[2].removesuffix(".bin"): name for name in names}
    if missing := [stem for stem in BATCHES if stem not in by_stem]:
        raise Bad(f"{', '.join(missing)} not there")
    batches = []
    for index, stem in enumerate(BATCHES):
        name = by_stem[stem]
        data, binary = contents(name), name.endswith(".bin")
        # a pickle executes what it names; MD5 is weak, but nobody finds other bytes for a given one
        kind, published = ("SHA1", BATCH_SHA1) if binary else ("MD5", PICKLE_MD5)
        if hashlib.new(kind, data, usedforsecurity=False).hexdigest() != published[index]:
            raise Bad(f"{name} is damaged or altered: its {kind} is not the published one")
        batches.append(
            np.frombuffer(data, np.uint8).reshape(BATCH, RECORD) if binary else _unpickled(data)
        )
    return np.concatenate(batches)


def _unpickled(data: bytes) -> Bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about the names of 2009
        batch = pickle.loads(data, encoding="bytes")  # noqa: S301 - published bytes
    return np.column_stack((np.array(batch[b"labels"], np.uint8), batch[b"data"]))


def _from_parquet(names: tuple[str, ...], contents: Read) -> Bytes:
    """Rows of an image's bytes (PNG or JPEG) and its label, in one file or several.

    The rows of a batch stand together and in order, the batches need not: they are recognised by
    their labels. A file that is damaged or of something else is passed over.
    """
    tables, reasons = [np.empty((0, RECORD), np.uint8)], []
    for name in names:
        try:
            tables.append(_table(contents(name), name))
        except Bad as error:
            reasons.append(str(error))
    records = np.concatenate(tables)
    labels = records[:, 0].tobytes()
    starts = [labels.find(batch.tobytes()) for batch in np.split(official_labels(), 6)]
    if missing := [stem for stem, start in zip(BATCHES, starts, strict=True) if start < 0]:
        reasons.append(f"no {BATCH:,} rows have the labels of {', '.join(missing)}")
        raise Bad("; ".join(reasons[:3]))
    return np.concatenate([records[start : start + BATCH] for start in starts])


def _table(data: bytes, name: str) -> Bytes:
    """The rows of one parquet file as (N, 3073) records."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        columns, rows = file.schema_arrow.names, file.metadata.num_rows
        column = "img" if "img" in columns else "image"
        usable = {column, "label"} <= set(columns) and rows <= 6 * BATCH
        table = file.read(columns=[column, "label"]).to_pydict() if usable else {}
        images = [cell["bytes"] for cell in table.get(column, ())]
    except Exception as error:  # whatever damaged bytes or other types of columns lead to
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise Bad(f"{name} is damaged or cut off ({reason})") from None
    if not usable:
        other = "CIFAR-100" if "fine_label" in columns else f"no table of {column} and label"
        raise Bad(f"{name} is {other}: {rows:,} rows of {', '.join(columns)[:100]}")
    if not np.isin(table["label"], range(10)).all():
        raise Bad(f"{name} has labels other than 0 to 9")
    records = np.empty((rows, RECORD), dtype=np.uint8)
    records[:, 0] = table["label"]
    for number, image in enumerate(images):
        records[number, 1:] = decode_image(image, f"{name}: image {number}")
    return records


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


def decode_image(data: bytes, what: str) -> Bytes:
    """A PNG or JPEG of 32 x 32 pixels as (3072,) bytes, planes R, G, B; its header is read first.

    Raises:
        Bad: another size, another colour mode, or damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            size, mode = image.size, image.mode
            if size == (32, 32) and mode == "RGB":
                return np.asarray(image).transpose(2, 0, 1).reshape(-1)
    except Exception:  # decoders raise whatever they stumble upon
        raise Bad(f"{what}: damaged, or no PNG or JPEG") from None
    raise Bad(f"{what}: {size[0]} x {size[1]} {mode}, not 32 x 32 RGB")
