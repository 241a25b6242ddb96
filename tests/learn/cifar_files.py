"""CIFAR-10 in all its forms with invented pixels, written byte by byte as the formats have it."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
