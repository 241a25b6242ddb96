"""CIFAR-10 in all its forms with invented pixels, written byte by byte as the formats have it."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnpaper.learn import data, sources

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


def pickled_batch(batch: Bytes, *, labels_key: bytes = b"labels", dtype: bytes = b"u1") -> bytes:
    """A batch as Python 2's cPickle wrote it with protocol 2."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    data = np.ascontiguousarray(batch[:, 1:]).tobytes()
    rows = struct.pack("<H", len(batch))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85" + text(b"b")
        + b"\x87Rq\x08(K\x01M" + rows + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\nq\x09" + text(dtype) + b"K\x00K\x01\x87Rq\x0a"
        + b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    )  # fmt: skip
    labels = b"".join(b"K" + bytes([label]) for label in batch[:, 0])
    names = b"".join(text(b"image_%05d.png" % number) for number in range(len(batch)))
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5")
        + b"q\x03" + text(labels_key) + b"q\x04]q\x05(" + labels + b"e"
        + text(b"data") + b"q\x0b" + array
        + text(b"filenames") + b"q\x0c]q\x0d(" + names + b"eu."
    )  # fmt: skip


def batches(all_records: Bytes) -> Iterable[tuple[str, Bytes]]:
    """The six batches by name."""
    return zip(BATCHES, np.split(all_records, 6), strict=True)


def write_binary(folder: Path, all_records: Bytes) -> None:
    """``cifar-10-batches-bin``."""
    folder.mkdir(parents=True)
    for name, batch in batches(all_records):
        (folder / f"{name}.bin").write_bytes(batch.tobytes())


def write_python(folder: Path, all_records: Bytes) -> None:
    """``cifar-10-batches-py``."""
    folder.mkdir(parents=True)
    for name, batch in batches(all_records):
        (folder / name).write_bytes(pickled_batch(batch))
    (folder / "batches.meta").write_bytes(b"not needed")


def write_parquet(
    folder: Path, all_records: Bytes, order: tuple[int, ...] = (3, 2, 1, 4, 0)
) -> None:
    """The two files of the mirror, whose training batches stand in the order 4, 3, 2, 5, 1."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True)
    encoded = [png(picture) for picture in pictures()]
    rows_of = np.split(np.arange(len(all_records)), 6)
    train = np.concatenate([rows_of[batch] for batch in order])
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


def write_images(folder: Path, labels: Bytes) -> None:
    """``train/CLASS/NNNN.png``, ``test/CLASS/NNNN.png``."""
    encoded = [png(picture) for picture in pictures()]
    for row, name in image_names(labels):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded[row % PICTURES])


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A tar.gz of plain files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_form(name: str, folder: Path, made: Bytes) -> None:
    """Put the set into ``folder`` in one of its forms."""
    encoded = [png(picture) for picture in pictures()]
    if name == "binary":
        write_binary(folder / "cifar-10-batches-bin", made)
    elif name == "python":
        write_python(folder / "cifar-10-batches-py", made)
    elif name == "binary archive":
        write_tar(
            folder / "cifar-10-binary.tar.gz",
            [(f"cifar-10-batches-bin/{n}.bin", b.tobytes()) for n, b in batches(made)],
        )
    elif name == "python archive":
        pickles = [
            (f"cifar-10-batches-py/{batch}", pickled_batch(rows)) for batch, rows in batches(made)
        ]
        extra = [("cifar-10-batches-py/readme.html", b"<html>")]
        write_tar(folder / "cifar-10-python.tar.gz", [*extra, *reversed(pickles)])
    elif name == "parquet":
        write_parquet(folder / "deep" / "plain_text", made)
    elif name == "images":
        write_images(folder / "CIFAR-10-images", made[:, 0])
    else:
        write_tar(
            folder / "CIFAR-10-images-6d04f75.tar.gz",
            (
                (f"CIFAR-10-images-6d04f75/{name}", encoded[row % PICTURES])
                for row, name in image_names(made[:, 0])
            ),
        )


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
    sha1 = [hashlib.sha1(rows.tobytes()).hexdigest() for _, rows in batches(made)]
    of_labels = [hashlib.sha1(part.tobytes()).hexdigest() for part in np.split(labels, 6)]
    monkeypatch.setattr(sources, "BATCH", batch)
    monkeypatch.setattr(sources, "BATCH_SHA1", tuple(sha1))
    monkeypatch.setattr(sources, "LABELS_SHA1", tuple(of_labels))
    monkeypatch.setattr(sources, "official_labels", lambda: labels)
    monkeypatch.setattr(data, "TRAINING", 5 * batch)
    monkeypatch.setattr(data, "VALIDATION_PER_CLASS", 5)
    return made
