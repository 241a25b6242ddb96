"""CIFAR-10 in all its forms with invented pixels, written byte by byte as the formats have it."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterable
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
    """A batch as Python 2's cPickle wrote it with protocol 2."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    data = np.ascontiguousarray(batch[:, 1:]).tobytes()
    rows = struct.pack("<H", len(batch))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85" + text(b"b")
        + b"\x87Rq\x08(K\x01M" + rows + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\nq\x09" + text(b"u1") + b"K\x00K\x01\x87Rq\x0a"
        + b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    )  # fmt: skip
    labels = b"".join(b"K" + bytes([label]) for label in batch[:, 0])
    names = b"".join(text(b"image_%05d.png" % number) for number in range(len(batch)))
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5")
        + b"q\x03" + text(b"labels") + b"q\x04]q\x05(" + labels + b"e"
        + text(b"data") + b"q\x0b" + array
        + text(b"filenames") + b"q\x0c]q\x0d(" + names + b"eu."
    )  # fmt: skip


def batches(all_records: Bytes) -> Iterable[tuple[str, Bytes]]:
    """The six batches by name."""
    return zip(BATCHES, np.split(all_records, 6), strict=True)


def write_parquet(folder: Path, all_records: Bytes) -> None:
    """The two files of the mirror, whose training batches stand in the order 4, 3, 2, 5, 1."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    encoded = [png(picture) for picture in pictures()]
    rows_of = np.split(np.arange(len(all_records)), 6)
    train = np.concatenate([rows_of[batch] for batch in (3, 2, 1, 4, 0)])
    for part, rows in (("train", train), ("test", rows_of[5])):
        images = [{"bytes": encoded[row % PICTURES], "path": None} for row in rows]
        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        table = pyarrow.table(
            {
                "img": pyarrow.array(images, kind),
                "label": pyarrow.array(all_records[rows, 0].astype(np.int64)),
            }
        )
        parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")


def image_names(labels: Bytes) -> Iterable[tuple[int, str]]:
    """Each image of the set with its path: within a class, the numbers follow the order."""
    test = len(labels) * 5 // 6
    for part, rows in (("train", range(test)), ("test", range(test, len(labels)))):
        count = [0] * 10
        for row in rows:
            label = int(labels[row])
            count[label] += 1
            yield row, f"{part}/{CLASSES[label]}/{count[label]:04d}.png"


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


def _link_as_hugging_face(folder: Path) -> None:
    """Move the files of ``snapshots/COMMIT/plain_text`` to blobs that links lead to."""
    repository = folder.parents[2]
    (repository / "blobs").mkdir()
    for path in sorted(folder.iterdir()):
        blob = repository / "blobs" / hashlib.sha256(path.name.encode()).hexdigest()
        path.rename(blob)
        path.symlink_to(Path("../../..") / "blobs" / blob.name)


def images_of(made: Bytes, prefix: str = "") -> Iterable[tuple[str, bytes]]:
    """Names and bytes of the images of the set."""
    encoded = [png(picture) for picture in pictures()]
    for row, name in image_names(made[:, 0]):
        yield f"{prefix}{name}", encoded[row % PICTURES]


def _write(folder: Path, members: Iterable[tuple[str, bytes]]) -> None:
    for name, data in members:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_form(form: str, folder: Path, made: Bytes) -> None:
    """Put the set into ``folder`` in one of its forms, with things that are not part of it."""
    plain = [(f"cifar-10-batches-bin/{n}.bin", rows.tobytes()) for n, rows in batches(made)]
    pickles = [(f"cifar-10-batches-py/{n}", pickled_batch(rows)) for n, rows in batches(made)]
    pickles = [("cifar-10-batches-py/readme.html", b"<html>"), *reversed(pickles)]
    folder.mkdir(parents=True, exist_ok=True)
    if form in ("binary", "python"):
        _write(folder, plain if form == "binary" else pickles)
    elif form == "binary archive":
        write_tar(folder / "cifar-10-binary.tar.gz", plain)
    elif form == "python archive":
        write_tar(folder / "cifar-10-python (1).tar.gz", pickles)
    elif form == "unpacked by Safari":
        write_tar(folder / "cifar-10-python.tar.1", pickles, "w")
    elif form == "parquet":
        write_parquet(folder / "plain_text", made)
    elif form == "parquet under other names":
        write_parquet(folder, made)
        for part, name in (("train", "train/0000"), ("test", "test/cifar10_test_1")):
            (folder / part).mkdir()
            old = folder / f"{part}-00000-of-00001.parquet"
            old.rename(folder / f"{name}.parquet")
    elif form == "Hugging Face's cache":
        commit = folder / "hub" / "datasets--uoft-cs--cifar10" / "snapshots" / ("0b8c" * 10)
        write_parquet(commit / "plain_text", made)
        _link_as_hugging_face(commit / "plain_text")
    elif form == "images":
        names = ("train/.ipynb_checkpoints/1.png", "train/cat/._0001.png", "train/cat/Thumbs.db")
        _write(folder, [*images_of(made), *((name, b"x") for name in names)])
    elif form == "images one folder below, capitals, jpg beside":
        _write(folder, ((name.title().replace(".Png", ".PNG"), data)
                        for name, data in images_of(made, "CIFAR-10-images/")))  # fmt: skip
        _write(folder, [("CIFAR-10-images/train/cat/0001.jpg", b"one of another set")])
    elif form == "ZIP of the repository":
        extra = [("__MACOSX/train/cat/._0001.png", b"x"), ("CIFAR-10-images-master/", b"")]
        images = images_of(made, "CIFAR-10-images-master/")
        write_zip(folder / "CIFAR-10-images-master.zip", [*extra, *images])
    else:
        assert form == "tar of the repository"
        write_tar(folder / "CIFAR-10-images-6d04f75.tar.gz", images_of(made, "./images/"))


FORMS = [
    *("binary", "python", "binary archive", "python archive", "unpacked by Safari"),
    *("parquet", "parquet under other names", "Hugging Face's cache", "images"),
    *("images one folder below, capitals, jpg beside", "ZIP of the repository"),
    "tar of the repository",
]


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
