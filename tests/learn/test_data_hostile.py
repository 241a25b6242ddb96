"""Hostile and damaged files: every bytes give a result or a message, in bounded memory.

Nothing that is read may execute or write, whatever it says.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cnnpaper.config import DataSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import data, pickled, sources, tar
from tests.learn import cifar_files as files

MEGABYTE = 1 << 20
SOME = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fails a test that at any moment holds more than 100 MB of its own."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100 * MEGABYTE


# --- archives ---------------------------------------------------------------------------------


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> bytes:
    """The header of one member, as bytes."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info.tobuf(tarfile.GNU_FORMAT)


def packed_zeros(count: int) -> bytes:
    """``count`` zeros, compressed, without holding them."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    chunks = [packer.compress(bytes(MEGABYTE)) for _ in range(count // MEGABYTE)]
    return b"".join((*chunks, packer.flush()))


def large_member(name: str, size: int) -> bytes:
    """An archive of one member of ``size`` zeros: two gzip streams, which count as one file."""
    return gzip.compress(member(name, size=size)) + packed_zeros(size)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "path traversal": (lambda: member("a/../../data_batch_1"), "points out of the archive"),
    "absolute path": (lambda: member("/etc/data_batch_1"), "points out of the archive"),
    "symbolic link": (
        lambda: member("data_batch_1", tarfile.SYMTYPE, link="/etc/passwd"),
        "a link, a device",
    ),
    "hard link": (
        lambda: member("data_batch_1", tarfile.LNKTYPE, link="../../passwd"),
        "a link, a device",
    ),
    "device": (lambda: member("data_batch_1", tarfile.CHRTYPE), "a link, a device"),
    "pipe": (lambda: member("data_batch_1", tarfile.FIFOTYPE), "a link, a device"),
    "sparse file": (lambda: member("data_batch_1", tarfile.GNUTYPE_SPARSE), "a link, a device"),
    "bomb by ratio": (lambda: large_member("readme", 600 << 20), "more than 512 MB"),
    "bomb in a batch": (lambda: large_member("data_batch_1", 600 << 20), "larger than 33,000,000"),
    "bomb in an image": (lambda: large_member("train/cat/1.png", 600 << 20), "larger than 65,536"),
    "bomb in a long name": (
        lambda: (
            gzip.compress(member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=600 << 20))
            + packed_zeros(600 << 20)
        ),
        "more than 512 MB",
    ),
    "bomb after the end": (lambda: gzip.compress(bytes(1024)) + packed_zeros(600 << 20), "512 MB"),
    "bomb by count": (lambda: gzip.compress(member("x") * 70_001, 1), "more than 70,000 files"),
    "huge size": (lambda: member("data_batch_1", size=1 << 62), "larger than 33,000,000"),
    "negative size": (lambda: negative_size(), "negative size"),
    "control characters": (
        lambda: member("\x1b[2J/../data_batch_1"),
        r"'\x1b[2J/../data_batch_1' points out",
    ),
}


@cache
def archive_of(name: str) -> bytes:
    """The hostile archive, packed once."""
    return HOSTILE[name][0]()


def negative_size() -> bytes:
    """A member whose size is written in base 256, with its sign."""
    header = bytearray(member("data_batch_1"))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    reason = HOSTILE[name][1]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "cifar-10-python.tar.gz").write_bytes(archive_of(name))
    with pytest.raises(UserError) as raised:
        data.load(DataSpec(set="any"), folder, tmp_path / "cache")
    assert "refused" in str(raised.value)
    assert reason in str(raised.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cifar-10-python.tar.gz", "data"]


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from cnnpaper.config import DataSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import data
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        data.load(DataSpec(set="any"), folder, folder / "cache")
    except UserError as error:
        assert "refused" in str(error), error
        print(folder.name)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is set as Linux has it")
def test_hostile_archives_are_refused_in_little_memory(tmp_path: Path) -> None:
    """64 MiB more than Python has; the kernel counts, so nothing that a library holds is missed."""
    for name in HOSTILE:
        (tmp_path / name).mkdir()
        (tmp_path / name / "cifar-10-python.tar.gz").write_bytes(archive_of(name))
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == sorted(HOSTILE)
    assert len(list(tmp_path.rglob("*"))) == 2 * len(HOSTILE)  # nothing was written


def small_archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, contents in (
            ("a/data_batch_1", b"1" * 600),
            ("a/readme", b"2"),
            ("a/x.png", b""),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return file.getvalue()


ARCHIVE = small_archive()


def wanted(name: str) -> int:
    return 1_000 if name.endswith("data_batch_1") else 0


def read_archive(path: Path, contents: bytes) -> list[tuple[str, bytes]]:
    path.write_bytes(contents)
    return list(tar.members(path, wanted))


def test_an_archive_gives_what_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    assert read_archive(path, ARCHIVE) == [("a/data_batch_1", b"1" * 600)]
    assert read_archive(path, gzip.compress(ARCHIVE)) == [("a/data_batch_1", b"1" * 600)]


def test_an_archive_cut_anywhere_is_refused_or_has_lost_nothing(tmp_path: Path) -> None:
    zipped = gzip.compress(ARCHIVE)
    for cut in range(0, len(zipped)):
        with pytest.raises(UserError, match="cut off"):
            read_archive(tmp_path / "a.tar.gz", zipped[:cut])


@SOME
@given(contents=st.binary(max_size=3_000))
@example(contents=b"\x1f\x8b")
@example(contents=b"\x1f\x8b" + bytes(600))
def test_any_bytes_as_an_archive_are_read_or_refused(contents: bytes, tmp_path: Path) -> None:
    for variant in (contents, b"\x1f\x8b\x08\0" + contents, gzip.compress(contents)):
        with contextlib.suppress(UserError):
            read_archive(tmp_path / "a.tar", variant)


@SOME
@given(place=st.integers(0, len(ARCHIVE) - 1), byte=st.integers(0, 255))
def test_an_archive_with_any_byte_changed_is_read_or_refused(
    place: int, byte: int, tmp_path: Path
) -> None:
    changed = bytearray(ARCHIVE)
    changed[place] = byte
    with contextlib.suppress(UserError):
        read_archive(tmp_path / "a.tar", bytes(changed))


# --- pickles ----------------------------------------------------------------------------------


class Run:
    """An object whose pickle calls a function when it is read."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


BATCH = files.pickled_batch(files.records(np.arange(3, dtype=np.uint8)))
HUGE = struct.pack("<I", 0x7FFF_FFFF)


@pytest.mark.parametrize(
    "contents, reason",
    [
        (pickle.dumps(Run(os.system, "touch executed"), protocol=2), "system"),
        (pickle.dumps(Run(eval, "open('executed', 'w')"), protocol=2), "eval"),
        (pickle.dumps(Run(exec, "open('executed', 'w')"), protocol=0), "which no batch"),
        (pickle.dumps(Run(os.mkdir, "executed"), protocol=4), "which no batch"),
        (pickle.dumps(np.array([Run(os.mkdir, "executed")]), protocol=2), "which no batch"),
        (files.pickled_batch(files.records(np.zeros(3, np.uint8)), dtype=b"O8"), "calls something"),
        (b"\x80\x02cos\nsystem\nU\x0etouch executed\x85R.", "'os system'"),
        (b"\x80\x02cnumpy\nndarray\nK\x01\x85R.", "calls something"),
        (b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", "calls something"),
        (b"\x80\x02ccopy_reg\n_reconstructor\n.", "which no batch"),
        (b"\x80\x02c__builtin__\ngetattr\n.", "which no batch"),
        (b"(iposix\nsystem\n.", "which no batch"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02}U\x01ar" + HUGE + b".", "cut off"),
        (b"\x80\x02T" + HUGE + b"abc", "cut off"),
        (b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".", "LONG1"),
        (b"\x80\x02]\x94.", "MEMOIZE"),
        (b"}}s.", "cut off"),
        (b"}]K\x01s.", "list stands where a bytes"),
        (b"}(K\x01K\x02u.", "int stands where a bytes"),
        (b"}(U\x01au.", "cut off"),
        (b"K\x01K\x02a.", "int stands where a list"),
        (b"}K\x01b.", "int stands where a tuple"),
        (b"K\x05.", "no dictionary"),
        (b".", "cut off"),
        (b"", "cut off"),
        (b"}", "cut off"),
        (b"}}.", "cut off"),
        (b"(" * 100_000 + b".", "cut off"),
        (b"K\x01" + b"\x85" * 100_000 + b".", "no dictionary"),
    ],
)
@pytest.mark.usefixtures("bounded")
def test_a_hostile_pickle_is_refused_and_nothing_runs(
    contents: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickled.Refused, match=reason):
        pickled.read(contents)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_read() -> None:
    batch = pickled.read(BATCH)
    assert batch[b"labels"] == [0, 1, 2]
    assert batch[b"filenames"] == [b"image_00000.png", b"image_00001.png", b"image_00002.png"]
    assert batch[b"data"].shape == (3, 3072)
    assert batch[b"data"].data == files.pictures()[:3].tobytes()


@pytest.mark.parametrize(
    "old, new",
    [
        (b"U\x06labels", b"U\x06Labels"),
        (b"U\x04data", b"U\x04Data"),
        (b"]q\x05(K\x00", b"]q\x05(K\x0a"),
        (b"]q\x05(K\x00", b"]q\x05(N"),
        (b"]q\x05(K\x00", b"]q\x05(\x88"),
        (b"(K\x01M\x03\x00M\x00\x0c\x86", b"(K\x01M\x02\x00M\x00\x0c\x86"),
        (b"(K\x01M\x03\x00M\x00\x0c\x86", b"(K\x01M\x00\x0cM\x03\x00\x86"),
        (b"(K\x01M\x03\x00M\x00\x0c\x86", b"(K\x01M\x03\x00\x88\x86"),
    ],
)
def test_a_batch_of_other_shape_is_refused(
    old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BATCH", 3)
    assert BATCH.count(old) == 1
    with pytest.raises(UserError, match="data_batch_1: not 10,000 labels and images"):
        sources._pickled_batch(BATCH.replace(old, new), "data_batch_1")


def test_a_batch_stored_by_columns_is_put_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BATCH", 3)
    by_rows = files.records(np.arange(3, dtype=np.uint8))
    plain = by_rows[:, 1:].tobytes()
    columns = BATCH.replace(b"\x89T", b"\x88T").replace(plain, by_rows[:, 1:].tobytes(order="F"))
    np.testing.assert_array_equal(sources._pickled_batch(columns, "x"), by_rows)


@SOME
@given(contents=st.binary(max_size=200))
@example(contents=b"S'\\q'\n.")
@example(contents=b"V\\u12\n.")
@example(contents=b"I" + b"9" * 5_000 + b"\n.")
def test_any_bytes_as_a_pickle_are_read_or_refused(contents: bytes) -> None:
    with contextlib.suppress(pickled.Refused):
        assert isinstance(pickled.read(contents), dict)


OPERATIONS = [
    *(bytes([code]) for code in b"}])(N\x88t\x85\x86\x87aesubR"),
    *(b"K\x00", b"K\x01", b"U\x01a", b"U\x02u1", b"q\x00", b"h\x00"),
    *(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n"),
]


@SOME
@given(
    operations=st.lists(
        st.sampled_from(OPERATIONS),
        max_size=40,
    )
)
def test_any_admitted_operations_are_read_or_refused(operations: list[bytes]) -> None:
    with contextlib.suppress(pickled.Refused):
        assert isinstance(pickled.read(b"".join(operations) + b"."), dict)


@SOME
@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_batch_with_any_byte_changed_is_read_or_refused(place: int, byte: int) -> None:
    changed = bytearray(BATCH)
    changed[place] = byte
    with contextlib.suppress(UserError):
        sources._pickled_batch(bytes(changed), "data_batch_1")


# --- pictures and parquet files ---------------------------------------------------------------

PNG = files.png(files.pictures()[0])


def jpeg() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (32, 32), bytes(range(256)) * 12).save(file, "JPEG")
    return file.getvalue()


JPEG = jpeg()


@SOME
@given(contents=st.binary(max_size=300), start=st.sampled_from([b"", PNG[:8], PNG[:33], JPEG[:20]]))
def test_any_bytes_as_a_picture_are_read_or_refused(contents: bytes, start: bytes) -> None:
    with contextlib.suppress(UserError):
        assert sources.decode_image(start + contents, "x").shape == (3072,)


@SOME
@given(whole=st.sampled_from([PNG, JPEG]), place=st.integers(0, 5_000), byte=st.integers(0, 255))
def test_a_picture_with_any_byte_changed_is_read_or_refused(
    whole: bytes, place: int, byte: int
) -> None:
    changed = bytearray(whole)
    changed[place % len(whole)] = byte
    with contextlib.suppress(UserError):
        assert sources.decode_image(bytes(changed), "x").shape == (3072,)


@pytest.mark.usefixtures("bounded")
def test_a_picture_with_a_packed_text_of_a_gigabyte_is_refused() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(40 * MEGABYTE), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    with pytest.raises(UserError):
        sources.decode_image(PNG[:33] + chunk + PNG[33:], "x")


def parquet_bytes(images: list[dict[str, bytes]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    table = pyarrow.table({"img": images, "label": [0] * len(images)})
    parquet.write_table(table, file, dictionary_pagesize_limit=1 << 30, compression="zstd")
    return file.getvalue()


def read_parquet(folder: Path, contents: bytes) -> None:
    path = folder / "train.parquet"
    path.write_bytes(contents)
    sources.read(sources.Source(form=sources.PARQUET, place=folder, files=(path,)))


def test_a_parquet_file_that_repeats_one_large_value_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    values = pyarrow.array([bytes(20 * MEGABYTE)], pyarrow.binary())
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 60_000, "int32"), values)
    image = pyarrow.StructArray.from_arrays([column], ["bytes"])
    table = pyarrow.table({"img": image, "label": [0] * 60_000})
    file = io.BytesIO()
    parquet.write_table(
        table, file, dictionary_pagesize_limit=1 << 30, compression="zstd", store_schema=False
    )
    assert len(file.getvalue()) < 100_000  # unpacked it would have 1.2 TB
    before = pyarrow.default_memory_pool().max_memory()
    del table, image, column
    with pytest.raises(UserError, match="image 0"):
        read_parquet(tmp_path, file.getvalue())
    assert pyarrow.default_memory_pool().max_memory() - before < 200 * MEGABYTE


def test_a_parquet_file_of_large_groups_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_GROUP_BYTES", 2 * MEGABYTE)
    contents = parquet_bytes([{"bytes": bytes([n]) * MEGABYTE} for n in range(3)])
    with pytest.raises(UserError, match="bytes at a time"):
        read_parquet(tmp_path, contents)


WHOLE = [{"bytes": PNG}, {"bytes": JPEG}]


@pytest.mark.parametrize("cut", [0, 1, 4, 8, 100, -8, -4, -1])
def test_a_cut_parquet_file_is_refused(cut: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.parquet: damaged"):
        read_parquet(tmp_path, parquet_bytes(WHOLE)[:cut])


@SOME
@given(place=st.integers(0, 100_000), byte=st.integers(0, 255), rest=st.binary(max_size=20))
def test_a_parquet_file_with_bytes_changed_is_refused(
    place: int, byte: int, rest: bytes, tmp_path: Path
) -> None:
    changed = bytearray(parquet_bytes(WHOLE))
    place %= len(changed)
    changed[place : place + 1 + len(rest)] = bytes([byte]) + rest
    with pytest.raises(UserError):  # of the two images it has, even if whole
        read_parquet(tmp_path, bytes(changed))
