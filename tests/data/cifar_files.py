"""CIFAR-10 in all its forms with invented pixels, written byte by byte as the formats have it."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnpaper.data import read

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
PICTURES = 97
"""Different pictures; image ``i`` of the set shows picture ``i % PICTURES``."""

Bytes = NDArray[np.uint8]


def pictures() -> Bytes:
    """(97, 3072): a ramp along the rows in red, one along the columns in green, a plain blue."""
    number = np.arange(PICTURES)[:, None, None]
    red = number + 2 * np.arange(32)[None, :, None] + np.zeros((1, 1, 32), dtype=int)
    green = 200 - number + np.arange(32)[None, None, :] + np.zeros((1, 32, 1), dtype=int)
    blue = np.broadcast_to(number * 2, (PICTURES, 32, 32))
    return (np.stack((red, green, blue), axis=1) % 256).astype(np.uint8).reshape(PICTURES, 3072)


def records(labels: Bytes) -> Bytes:
    """(N, 3073): one label byte and the bytes of a picture for each image."""
    shown = pictures()[np.arange(len(labels)) % PICTURES]
    return np.concatenate((labels[:, None], shown), axis=1)


def png(pixels: Bytes) -> bytes:
    """(3072,) as the bytes of a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def pickled_batch(batch: Bytes) -> bytes:
    """A batch as Python 2's cPickle wrote it with protocol 2: strings are bytes, numpy is old."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    data = np.ascontiguousarray(batch[:, 1:]).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b")
        + b"\x87R(K\x01M" + struct.pack("<H", len(batch)) + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        + b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    )  # fmt: skip
    labels = b"".join(b"K" + bytes([label]) for label in batch[:, 0])
    return (
        b"\x80\x02}(" + text(b"batch_label") + text(b"training batch 1 of 5")
        + text(b"labels") + b"](" + labels + b"e" + text(b"data") + array + b"u."
    )  # fmt: skip


def batches(all_records: Bytes) -> Iterable[tuple[str, Bytes]]:
    """The six batches by name."""
    return zip(BATCHES, np.split(all_records, 6), strict=True)


def write_parquet(folder: Path, all_records: Bytes) -> None:
    """The two files of the mirror, whose training batches stand in the order 4, 3, 2, 5, 1."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    encoded = [{"bytes": png(picture), "path": None} for picture in pictures()]
    rows_of = np.split(np.arange(len(all_records)), 6)
    train = np.concatenate([rows_of[batch] for batch in (3, 2, 1, 4, 0)])
    for part, rows in (("train", train), ("test", rows_of[5])):
        images = [encoded[row % PICTURES] for row in rows]
        table = pyarrow.table({"img": images, "label": all_records[rows, 0].astype(np.int64)})
        parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w:gz") -> None:
    """A tar of plain files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A ZIP of plain files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)


def images_of(made: Bytes, prefix: str = "") -> Iterable[tuple[str, bytes]]:
    """Names and bytes of the images; within a class, the numbers follow the order of the set."""
    encoded = [png(picture) for picture in pictures()]
    test = len(made) * 5 // 6
    count: Counter[tuple[str, int]] = Counter()
    for row, label in enumerate(made[:, 0]):
        part = "train" if row < test else "test"
        count[part, label] += 1
        name = f"{prefix}{part}/{CLASSES[label]}/{count[part, label]:04d}.png"
        yield name, encoded[row % PICTURES]


def _write(folder: Path, members: Iterable[tuple[str, bytes]]) -> None:
    for name, data in members:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _cached(folder: Path, made: Bytes) -> None:
    """As Hugging Face keeps it: links in a folder of the commit, which lead to blobs."""
    repository = folder / "hub" / "datasets--uoft-cs--cifar10"
    write_parquet(repository / "blobs", made)
    links = repository / "snapshots" / ("0b8c" * 10) / "plain_text"
    links.mkdir(parents=True)
    for path in list((repository / "blobs").iterdir()):
        blob = path.rename(path.with_name(hashlib.sha256(path.name.encode()).hexdigest()))
        (links / path.name).symlink_to(Path("../../../blobs", blob.name))


def _renamed(folder: Path, made: Bytes) -> None:
    write_parquet(folder, made)
    for part, name in (("train", "train/0000"), ("test", "test/cifar10_test_1")):
        (folder / part).mkdir()
        (folder / f"{part}-00000-of-00001.parquet").rename(folder / f"{name}.parquet")


def _plain(made: Bytes) -> list[tuple[str, bytes]]:
    return [(f"cifar-10-batches-bin/{name}.bin", rows.tobytes()) for name, rows in batches(made)]


def _pickles(made: Bytes) -> list[tuple[str, bytes]]:
    files = [(f"cifar-10-batches-py/{name}", pickled_batch(rows)) for name, rows in batches(made)]
    return [("cifar-10-batches-py/readme.html", b"<html>"), *reversed(files)]


def _images(made: Bytes) -> Iterable[tuple[str, bytes]]:
    yield from images_of(made)
    for name in ("train/.ipynb_checkpoints/1.png", "train/cat/._0001.png", "train/cat/Thumbs.db"):
        yield name, b"x"


def _capitals(made: Bytes) -> Iterable[tuple[str, bytes]]:
    for name, data in images_of(made, "CIFAR-10-images/"):
        yield name.title().replace(".Png", ".PNG"), data
    yield "CIFAR-10-images/train/cat/0001.jpg", b"one of another set"


def _repository(made: Bytes) -> Iterable[tuple[str, bytes]]:
    yield from [("__MACOSX/train/cat/._0001.png", b"x"), ("CIFAR-10-images-master/", b"")]
    yield from images_of(made, "CIFAR-10-images-master/")


FORMS: dict[str, Callable[[Path, Bytes], None]] = {
    "binary": lambda folder, made: _write(folder, _plain(made)),
    "python": lambda folder, made: _write(folder, _pickles(made)),
    "binary archive": lambda f, made: write_tar(f / "cifar-10-binary.tar.gz", _plain(made)),
    "python archive": lambda f, made: write_tar(f / "cifar-10-python (1).tar.gz", _pickles(made)),
    "unpacked by Safari": lambda f, m: write_tar(f / "cifar-10-python.tar.1", _pickles(m), "w"),
    "parquet": lambda folder, made: write_parquet(folder / "plain_text", made),
    "parquet under other names": _renamed,
    "Hugging Face's cache": _cached,
    "images": lambda folder, made: _write(folder, _images(made)),
    "images one folder below, capitals, jpg beside": lambda f, made: _write(f, _capitals(made)),
    "ZIP of the repository": lambda f, made: write_zip(f / "CIFAR-10.zip", _repository(made)),
    "tar of the repository": lambda f, m: write_tar(f / "images.tar.gz", images_of(m, "./images/")),
}
"""Each puts the set into a folder, with things that are not part of it."""


def write_form(form: str, folder: Path, made: Bytes) -> None:
    """Put the set into ``folder`` in one of its forms."""
    folder.mkdir(parents=True, exist_ok=True)
    FORMS[form](folder, made)


def stand_in(monkeypatch: pytest.MonkeyPatch, batch: int) -> Bytes:
    """(6 * batch, 3073): six batches, which are taken for the official ones from now on.

    Args:
        batch: images of each, a multiple of 100, so that every class has as many.
    """
    numbers = np.arange(6 * batch)
    labels = ((numbers + numbers // batch + numbers // 10) % 10).astype(np.uint8)
    assert set(np.bincount(labels[: 5 * batch])) == {batch // 2}
    assert set(np.bincount(labels[5 * batch :])) == {batch // 10}
    made = records(labels)
    binary = tuple(hashlib.sha1(rows.tobytes()).hexdigest() for _, rows in batches(made))
    python = tuple(hashlib.md5(pickled_batch(rows)).hexdigest() for _, rows in batches(made))
    monkeypatch.setattr(read, "BATCH", batch)
    monkeypatch.setattr(read, "BATCH_SHA1", binary)
    monkeypatch.setattr(read, "PICKLE_MD5", python)
    monkeypatch.setattr(read, "official_labels", lambda: labels)
    return made
