"""Archives, pickles and images made to do harm: refused in words, in little memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import pickle
import struct
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnpaper import data
from cnnpaper.data import read, sources
from cnnpaper.data.sources import Bad, Source
from cnnpaper.files import UserError
from tests.data import cifar_files as files

MEGABYTE = 1 << 20
SOME = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def bounded() -> Iterator[None]:
    """Python's own memory grows by no more than 64 MB."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MEGABYTE


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> bytes:
    """The header of a member, without its contents."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info.tobuf(tarfile.GNU_FORMAT)


def zeros(count: int) -> bytes:
    """``count`` zeros, compressed, without holding them."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    chunks = [packer.compress(bytes(MEGABYTE)) for _ in range(count // MEGABYTE)]
    return b"".join((*chunks, packer.flush()))


def bomb(name: str, size: int = 700 << 20, kind: bytes = tarfile.REGTYPE) -> bytes:
    """An archive of one member of ``size`` zeros: two gzip streams, which count as one file."""
    return gzip.compress(member(name, kind, size=size)) + zeros(size)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "links are not followed": (
        lambda: member("data_batch_1", tarfile.SYMTYPE, link="/etc/passwd") + bytes(1024),
        "holds no images",
    ),
    "bomb by ratio": (lambda: bomb("readme"), "holds more than"),
    "bomb in a batch": (lambda: bomb("data_batch_1", 40 << 20), "more than 33,000,000 bytes"),
    "bomb in an image": (lambda: bomb("train/cat/1.png", 2 << 20), "more than 65,536 bytes"),
    "bomb in a long name": (
        lambda: bomb("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME),
        "holds something of",
    ),
    "bomb in an extended header": (lambda: bomb("x", kind=tarfile.XHDTYPE), "holds something of"),
    "huge size": (lambda: member("readme", size=1 << 62) + bytes(512), "holds more than"),
    "cut off": (lambda: gzip.compress(member("data_batch_1", size=600) + bytes(600))[:-20], "cut"),
    "no archive": (lambda: b"<html>not found</html>", "damaged"),
    "empty": (lambda: b"", "damaged"),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(name: str, folder: Path) -> None:
    make, reason = HOSTILE[name]
    (folder / "cifar-10-python.tar.gz").write_bytes(make())
    with pytest.raises(UserError) as raised:
        data.load("any", None, folder, folder.parent / "cache")
    assert reason in str(raised.value)
    assert [path.name for path in folder.rglob("*")] == ["cifar-10-python.tar.gz"]
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


@pytest.mark.usefixtures("bounded")
def test_a_hostile_zip_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "cifar10.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/1.png", bytes(20 * MEGABYTE))
        archive.writestr("../../escaped.txt", b"x")
    with pytest.raises(UserError, match=r"train/cat/1\.png in it has 20,971,520 bytes"):
        data.load("any", None, folder, folder.parent / "cache")
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


@SOME
@given(
    contents=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b", b"BZh"])
)
def test_any_bytes_as_an_archive_are_refused(contents: bytes, start: bytes, tmp_path: Path) -> None:
    (tmp_path / "cifar10.tar").write_bytes(start + contents)
    with pytest.raises(Bad):
        read.read(Source(form=sources.ARCHIVE, place=tmp_path / "cifar10.tar"))


class Harm:
    """Unpickling this executes something."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was executed')",)


@pytest.mark.parametrize("packed", [False, True])
def test_a_pickle_that_is_not_the_published_one_stays_shut(packed: bool, folder: Path) -> None:
    harm = [(name, pickle.dumps(Harm())) for name in files.BATCHES]
    if packed:
        files.write_tar(folder / "cifar-10-python.tar.gz", harm)
    else:
        for name, contents in harm:
            (folder / name).write_bytes(contents)
    with pytest.raises(UserError, match="data_batch_1 is damaged or altered: its MD5"):
        data.load("original", None, folder, folder.parent / "cache")


# --- images and parquet files -----------------------------------------------------------------

PNG = files.png(files.pictures()[0])


def image(kind: str, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new(mode, size).save(file, kind)
    return file.getvalue()


def test_an_image_s_bytes_become_planes() -> None:
    assert read.decode_image(PNG, "x").tolist() == files.pictures()[0].tolist()


@pytest.mark.parametrize(
    "contents, reason",
    [
        (image("PNG", (33, 32)), "33 x 32 RGB"),
        (image("JPEG", mode="L"), "32 x 32 L, not 32 x 32 RGB"),
        (image("PNG", (20_000, 20_000), "1"), "20000 x 20000|damaged|not the bytes"),
        (image("GIF"), "no PNG or JPEG"),
        (b"", "no PNG or JPEG"),
        (None, "not the bytes"),
        (PNG + bytes(65_536), "not the bytes"),
    ],
)
@pytest.mark.usefixtures("bounded")
def test_wrong_images_are_refused_before_they_are_decoded(contents: bytes, reason: str) -> None:
    with pytest.raises(Bad, match=reason):
        read.decode_image(contents, "x")


@SOME
@given(
    place=st.integers(0, 5_000),
    byte=st.integers(0, 255),
    whole=st.sampled_from([PNG, image("JPEG")]),
)
def test_an_image_with_any_byte_changed_is_read_or_refused(
    place: int, byte: int, whole: bytes
) -> None:
    changed = bytearray(whole)
    changed[place % len(whole)] = byte
    with contextlib.suppress(Bad):
        assert read.decode_image(bytes(changed), "x").shape == (3072,)


@pytest.mark.usefixtures("bounded")
def test_an_image_with_a_packed_text_is_refused() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(40 * MEGABYTE), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    with pytest.raises(Bad):
        read.decode_image(PNG[:33] + chunk + PNG[33:], "x")


def read_parquet(folder: Path, contents: bytes) -> None:
    (folder / "train.parquet").write_bytes(contents)
    read.read(Source(form=sources.PARQUET, place=folder, names=("train.parquet",)))


def test_a_parquet_file_that_repeats_one_large_value_is_refused(
    folder: Path, made: files.Bytes
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    values = pyarrow.array([bytes(20 * MEGABYTE)], pyarrow.binary())
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 600, "int32"), values)
    table = pyarrow.table(
        {
            "img": pyarrow.StructArray.from_arrays([column], ["bytes"]),
            "label": made[:, 0].astype("int64"),
        }
    )
    file = io.BytesIO()
    options = {"dictionary_pagesize_limit": 1 << 30, "compression": "zstd", "store_schema": False}
    parquet.write_table(table, file, **options)
    assert len(file.getvalue()) < 100_000  # unpacked it would have 12 GB
    before = pyarrow.default_memory_pool().max_memory()
    del table, column
    with pytest.raises(Bad, match="image 0"):
        read_parquet(folder, file.getvalue())
    assert pyarrow.default_memory_pool().max_memory() - before < 200 * MEGABYTE


@SOME
@given(
    cut=st.integers(0, 100_000),
    place=st.integers(0, 100_000),
    junk=st.binary(min_size=1, max_size=20),
)
def test_a_damaged_parquet_file_is_refused(
    cut: int, place: int, junk: bytes, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"img": [{"bytes": PNG}] * 2, "label": [0, 1]}), file)
    whole = bytearray(file.getvalue())
    whole[place % len(whole) : place % len(whole) + len(junk)] = junk
    with pytest.raises(Bad):  # of the two images it has, even if whole
        read_parquet(tmp_path, bytes(whole[: len(whole) - cut % len(whole)]))


@pytest.mark.parametrize(
    "columns, reason",
    [
        ({"fine_label": [1], "img": [{"bytes": PNG}]}, "is CIFAR-100"),
        ({"text": ["x"], "label": [1]}, "no columns img"),
        ({"img": [{"bytes": PNG}], "label": [10]}, "labels other than 0 to 9"),
        ({"img": [{"bytes": PNG}] * 2, "label": [1, None]}, "labels other than 0 to 9"),
        ({"img": [{"bytes": PNG}], "label": [1]}, "have the labels of data_batch_1"),
    ],
)
def test_parquet_files_of_other_contents_are_refused(
    columns: dict[str, list[object]], reason: str, folder: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    with pytest.raises(Bad, match=reason):
        read_parquet(folder, file.getvalue())


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_names_that_no_terminal_should_see_are_not_printed(folder: Path) -> None:
    name = b"cifar-10-\xff.tar.gz".decode(errors="surrogateescape")
    files.write_tar(folder / name, [("\x1b[2J/train/cat/1.png", b"x")])
    with pytest.raises(UserError, match=r"cifar-10-\?\.tar\.gz") as raised:
        data.load("any", None, folder, folder.parent / "cache")
    assert "\x1b" not in str(raised.value)
