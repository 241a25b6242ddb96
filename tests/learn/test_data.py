"""The images: every form they travel in, what they are called, how they are split and kept.

The pixels are invented, and most tests use a small set of 600 images whose SHA-1s stand for those
of the official batches; one test has the full size.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnpaper.config import DataSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import cache as cache_module
from cnnpaper.learn import data, sources
from tests.learn import cifar_files as files

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
ANY = DataSpec(set="any")
LABELS = sources.official_labels()


SMALL = 100
"""Images of a batch in the small set: most tests make all of it."""


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> files.Bytes:
    """(600, 3073): a set of six batches of 100 images, which is taken for the official one."""
    return files.stand_in(monkeypatch, SMALL)


@pytest.fixture
def other_pixels(records: files.Bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels of the small set are not the original's."""
    monkeypatch.setattr(sources, "BATCH_SHA1", ("0" * 40,) * 6)


@pytest.fixture
def digest(records: files.Bytes) -> str:
    return hashlib.sha256(records.tobytes()).hexdigest()


@pytest.fixture
def parquet(tmp_path: Path, records: files.Bytes) -> Path:
    """A data folder with the mirror's two parquet files."""
    pytest.importorskip("pyarrow")
    files.write_parquet(tmp_path / "parquet" / "plain_text", records)
    return tmp_path / "parquet"


@pytest.fixture
def binary(tmp_path: Path, records: files.Bytes) -> Path:
    """A data folder with the unpacked binary batches."""
    files.write_binary(tmp_path / "binary" / "cifar-10-batches-bin", records)
    return tmp_path / "binary"


def assert_same_images(images: data.DataSet, records: files.Bytes) -> None:
    """Every image is where the split says, with its label."""
    parts = data.split(records[:, 0], DataSpec(set="any"))
    for part, indices in zip((images.train, images.validation, images.test), parts, strict=True):
        assert part.pixels.flags.c_contiguous
        assert part.pixels.dtype == part.labels.dtype == np.uint8
        np.testing.assert_array_equal(part.labels, records[indices, 0])
        np.testing.assert_array_equal(part.pixels.reshape(-1, 3072), records[indices, 1:])


# --- labels and split -------------------------------------------------------------------------


def test_the_carried_labels_are_the_official_ones() -> None:
    assert [
        hashlib.sha1(LABELS[start : start + 10_000].tobytes()).hexdigest()
        for start in range(0, 60_000, 10_000)
    ] == LABELS_SHA1


def test_scattering_is_that_of_splitmix64() -> None:
    # the generator's published outputs for seed 1234567 [rosettacode.org, Pseudo-random numbers]
    golden = 0x9E3779B97F4A7C15
    states = np.array([1234567 + step * golden & (2**64 - 1) for step in range(3)], dtype=np.uint64)
    assert data._mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_the_split_is_stratified_disjoint_and_complete() -> None:
    train, validation, test = data.split(LABELS, ANY)
    assert (len(train), len(validation), len(test)) == (45_000, 5_000, 10_000)
    assert sorted([*train, *validation, *test]) == list(range(60_000))
    assert set(np.bincount(LABELS[train])) == {4_500}
    assert set(np.bincount(LABELS[validation])) == {500}
    assert test.tolist() == list(range(50_000, 60_000))


def test_the_split_never_changes() -> None:
    # stored when the first study was trained; another split makes runs incomparable
    _, validation, _ = data.split(LABELS, ANY)
    assert (
        hashlib.sha256(validation.astype("<i8").tobytes()).hexdigest()
        == "30c1c7b9635bb7dba64fae2716be358d3a2147052a50d977042508cb8576e389"
    )


def test_a_smaller_set_is_a_stratified_part_of_a_larger_one() -> None:
    small = DataSpec(set="any", train_images=1_003, validation_images=50, test_images=10)
    for part, whole in zip(data.split(LABELS, small), data.split(LABELS, ANY), strict=True):
        assert set(part) <= set(whole)
        assert (np.diff(part) > 0).all()
    train, validation, test = data.split(LABELS, small)
    assert np.bincount(LABELS[train]).tolist() == [101, 101, 101, 100, 100, 100, 100, 100, 100, 100]
    assert np.bincount(LABELS[validation]).tolist() == [5] * 10
    assert np.bincount(LABELS[test]).tolist() == [1] * 10


# --- synthetic images -------------------------------------------------------------------------

SMOKE = DataSpec(set="synthetic", train_images=512, validation_images=256, test_images=256)


def test_synthetic_images_are_the_same_everywhere_and_say_what_they_are(tmp_path: Path) -> None:
    images = data.load(SMOKE, tmp_path / "nothing here", tmp_path)
    # stored; made of integers alone, so every machine gives it
    assert images.digest == "454838211e92f39370889981d49783e92d7bc52172f2794762ecff7a722901fb"
    assert (images.name, images.synthetic, images.address) == ("synthetic images", True, None)
    assert images.train.pixels.shape == (512, 3, 32, 32)
    assert images.test.labels.shape == (256,)
    assert list(tmp_path.iterdir()) == []


def test_synthetic_images_can_be_learnt_but_not_at_sight() -> None:
    images = data.synthetic(SMOKE.model_copy(update={"train_images": 3_000}))
    means = np.stack(
        [images.train.pixels[images.train.labels == label].mean(axis=0) for label in range(10)]
    )
    distances = ((images.test.pixels[:, None] - means[None]) ** 2).sum(axis=(2, 3, 4))
    assert 0.8 < (distances.argmin(axis=1) == images.test.labels).mean() < 1
    brightness = images.train.pixels.mean(axis=(1, 2, 3))
    spread = [brightness[images.train.labels == label].std() for label in range(10)]
    assert min(spread) > 1  # no class is one picture


def test_another_digest_of_synthetic_images_is_refused(tmp_path: Path) -> None:
    spec = SMOKE.model_copy(update={"digest": "0" * 64})
    with pytest.raises(UserError, match="000000"):
        data.load(spec, tmp_path, tmp_path)


# --- every form -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["binary", "python", "binary archive", "python archive", "parquet", "images", "image tar"],
)
def test_every_form_gives_the_same_set_and_is_not_decoded_twice(
    name: str,
    tmp_path: Path,
    records: files.Bytes,
    digest: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    folder = tmp_path / "data"
    files.write_form(name, folder, records)
    images = data.load(DataSpec(set="original"), folder, tmp_path / "cache")
    assert (images.name, images.digest, images.synthetic) == ("CIFAR-10", digest, False)
    assert images.address == "https://www.cs.toronto.edu/~kriz/cifar.html"
    assert_same_images(images, records)
    monkeypatch.setattr(sources, "read", None)  # decoding again would fail
    again = data.load(DataSpec(set="original", digest=digest), folder, tmp_path / "cache")
    assert_same_images(again, records)


def test_the_full_size(tmp_path: Path) -> None:
    records = files.records(LABELS)
    files.write_form("python", tmp_path / "data", records)
    folder = tmp_path / "data" / "cifar-10-batches-py"
    # other pixels in the official batches can only be damage
    message = refusal(folder, tmp_path)
    assert "data_batch_1: damaged or altered" in message
    assert hashlib.sha1(records[:10_000].tobytes()).hexdigest() in message
    assert "aadd24acce27caa71bf4b10992e9e7b2d74c2540" in message


@pytest.mark.usefixtures("other_pixels")
def test_other_pixels_with_the_official_labels_are_called_re_encoded(
    parquet: Path, tmp_path: Path, digest: str
) -> None:
    images = data.load(ANY, parquet, tmp_path / "cache")
    assert (images.name, images.digest, images.address) == ("CIFAR-10, re-encoded", digest, None)


@pytest.mark.usefixtures("other_pixels")
def test_check_says_what_is_there(parquet: Path, digest: str) -> None:
    said = data.check(parquet)
    assert "CIFAR-10, re-encoded" in said
    assert digest in said
    assert "500 for training and validation, 100 for the test" in said
    assert "of each class 50 and 10" in said


def test_the_reference_study_s_images_where_they_are_at_hand(tmp_path: Path) -> None:
    folder = Path(os.environ.get("DATA_DIR", "data"))
    try:
        images = data.load(DataSpec(set="jpeg75"), folder, tmp_path)
    except UserError:
        pytest.skip("DATA_DIR does not hold them: make data SET=jpeg75")
    assert images.digest == JPEG75
    assert images.address is not None
    assert "6d04f75eddeba05b32a70edec9d271693d017f84" in images.address
    pixels = np.concatenate((images.train.pixels, images.validation.pixels)) / 255
    # mean and standard deviation as published with the digest
    np.testing.assert_allclose(pixels.mean(axis=(0, 2, 3)), [0.4913, 0.4821, 0.4465], atol=6e-5)
    np.testing.assert_allclose(pixels.std(axis=(0, 2, 3)), [0.2452, 0.2428, 0.2606], atol=6e-5)


# --- what the study asks for ------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, parts",
    [
        (DataSpec(set="original"), ["'CIFAR-10, re-encoded'", "make data SET=original"]),
        (DataSpec(set="jpeg75"), ["the study is about the set 'jpeg75'", "make data SET=jpeg75"]),
        (DataSpec(set="jpeg75", digest=JPEG75), [JPEG75, "make data SET=jpeg75", "study file"]),
        (DataSpec(set="any", digest="0" * 64), ["0" * 64, "study file"]),
    ],
)
@pytest.mark.usefixtures("other_pixels")
def test_other_data_than_the_study_s_is_refused(
    spec: DataSpec, parts: list[str], parquet: Path, tmp_path: Path, digest: str
) -> None:
    with pytest.raises(UserError) as raised:
        data.load(spec, parquet, tmp_path / "cache")
    message = str(raised.value)
    assert digest in message
    assert all(part in message for part in parts)
    assert str(parquet) in message
    assert message.count("\n") < 5


def test_a_study_whose_data_is_unknown_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do not say"):
        data.load(DataSpec(set="unknown"), tmp_path, tmp_path)


def test_of_several_copies_the_one_that_fits_is_taken(
    parquet: Path, tmp_path: Path, digest: str
) -> None:
    folder = tmp_path / "data"
    (folder / "cifar-10-batches-bin").mkdir(parents=True)
    (folder / "cifar-10-batches-bin" / "data_batch_1.bin").write_bytes(b"cut off")
    (folder / "parquet").symlink_to(parquet / "plain_text")
    named = DataSpec(set="any", digest=digest)
    assert data.load(named, folder, tmp_path / "cache").digest == digest
    with pytest.raises(UserError, match="cifar-10-batches-bin"):  # without a name the first counts
        data.load(ANY, folder, tmp_path / "cache")


# --- what is refused --------------------------------------------------------------------------


def refusal(folder: Path, cache: Path, spec: DataSpec = ANY) -> str:
    """The message with which ``folder`` is refused: one to five lines, with the way out."""
    with pytest.raises(UserError) as raised:
        data.load(spec, folder, cache)
    message = str(raised.value)
    assert 1 <= len(message.splitlines()) <= 5
    assert "make data" in message
    return message


def test_a_folder_that_is_missing_empty_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "there is no such folder" in refusal(tmp_path / "missing", tmp_path)
    assert "no images of CIFAR-10" in refusal(tmp_path / "empty", tmp_path)
    assert "this is a file" in refusal(tmp_path / "file", tmp_path)
    assert "cannot be read" in refusal(tmp_path / "loop", tmp_path)
    assert "cannot be read" in refusal(tmp_path / ("x" * 300), tmp_path)


def test_loops_of_links_end(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "data_batch_1.bin").symlink_to(folder / "data_batch_1.bin")
    assert "no images of CIFAR-10" in refusal(folder, tmp_path)


def linked(binary: Path, tmp_path: Path, spoilt: str, contents: bytes | None) -> Path:
    """A folder as ``binary`` with one batch replaced, or missing."""
    folder = tmp_path / "data"
    folder.mkdir()
    for path in (binary / "cifar-10-batches-bin").iterdir():
        if path.name != spoilt:
            (folder / path.name).symlink_to(path)
    if contents is not None:
        (folder / spoilt).write_bytes(contents)
    return folder


def test_damaged_official_batches_are_refused_by_name(binary: Path, tmp_path: Path) -> None:
    name = "data_batch_3.bin"
    whole = bytearray((binary / "cifar-10-batches-bin" / name).read_bytes())
    whole[200_000] ^= 1
    for number, (contents, reason) in enumerate(
        [
            (bytes(whole), "damaged or altered"),
            (bytes(whole[:-1]), "307,299 bytes"),
            (b"", "0 bytes"),
            (bytes(33_000_001), "more than"),
            (None, "No such file"),
        ]
    ):
        place = tmp_path / str(number)
        place.mkdir()
        message = refusal(linked(binary, place, name, contents), place / "cache")
        assert name in message
        assert reason in message


def test_a_file_that_only_root_may_read_is_refused(binary: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    folder = linked(binary, tmp_path, "test_batch.bin", b"")
    (folder / "test_batch.bin").chmod(0)
    assert "Permission denied" in refusal(folder, tmp_path / "cache")


def test_a_python_batch_with_a_flipped_byte_is_refused(
    tmp_path: Path, records: files.Bytes
) -> None:
    records[150, 1_000] ^= 1
    files.write_python(tmp_path / "py", records)
    assert "data_batch_2: damaged or altered" in refusal(tmp_path, tmp_path / "cache")


def test_cut_and_incomplete_archives_are_refused(tmp_path: Path, records: files.Bytes) -> None:
    archive = tmp_path / "cifar-10-binary.tar.gz"
    first, batch = next(iter(files.batches(records)))
    files.write_tar(archive, [(f"cifar-10-batches-bin/{first}.bin", batch.tobytes())])
    assert "data_batch_2, data_batch_3" in refusal(tmp_path, tmp_path / "cache")
    archive.write_bytes(archive.read_bytes()[:-20])
    assert "cut off" in refusal(tmp_path, tmp_path / "cache")
    archive.write_bytes(b"<html>not found</html>")
    assert "cut off" in refusal(tmp_path, tmp_path / "cache")


def test_cifar_100_is_recognised(tmp_path: Path, records: files.Bytes) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    by_name, pickles, table, folder = (tmp_path / name for name in "abcd")
    by_name.mkdir()
    (by_name / "cifar-100-python.tar.gz").write_bytes(b"")
    files.write_python(pickles, records)
    (pickles / "data_batch_1").write_bytes(
        files.pickled_batch(records[:SMALL], labels_key=b"fine_labels")
    )
    table.mkdir()
    pq.write_table(
        pyarrow.table({"img": [b""], "fine_label": [1], "coarse_label": [1]}), table / "x.parquet"
    )
    for part in ("train", "test"):
        (folder / part / "apple").mkdir(parents=True)
        (folder / part / "apple" / "0001.png").write_bytes(b"")
    for place in (by_name, pickles, table, folder):
        assert "CIFAR-100" in refusal(place, tmp_path / "cache")


def small_table(**changes: object) -> dict[str, object]:
    image = {"bytes": files.png(files.pictures()[0]), "path": None}
    return {"img": [image], "label": [0], **changes}


@pytest.mark.parametrize(
    "table, reason",
    [
        (small_table(), "1 images in parquet files, not 60,000"),
        (small_table(label=[10]), "label 10 is not 0 to 9"),
        (small_table(label=[None]), "no columns img"),
        (small_table(label=["airplane"]), "no columns img"),
        (small_table(img=[b"123"]), "no columns img"),
        (small_table(img=[{"bytes": b"123", "path": None}]), "image 0: damaged, or no PNG"),
        (small_table(img=[{"bytes": b"1" * 65_537, "path": None}]), "image 0: not the bytes"),
        ({"x": [1]}, "no columns img (bytes) and label (int64), but x (int64)"),
        (
            small_table(img=[{"bytes": b"1", "path": None}] * 60_001, label=[0] * 60_001),
            "60,001 rows",
        ),
    ],
)
def test_parquet_files_of_other_contents_are_refused(
    table: dict[str, object], reason: str, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    pq.write_table(pyarrow.table(table), tmp_path / "train.parquet")
    assert reason in refusal(tmp_path, tmp_path / "cache")


def test_rows_in_another_order_are_refused(parquet: Path, tmp_path: Path) -> None:
    from pyarrow import parquet as pq

    folder = tmp_path / "data"
    folder.mkdir()
    for path in (parquet / "plain_text").iterdir():
        table = pq.read_table(path)
        rows = np.arange(len(table))
        rows[:4] = rows[[3, 2, 1, 0]]
        pq.write_table(table.take(rows), folder / path.name)
    message = refusal(folder, tmp_path / "cache")
    assert "not in its order" in message
    assert "data_batch_4, test_batch" in message  # the first of the training file, and the test


def picture(size: tuple[int, int] = (32, 32), mode: str = "RGB", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    "image, reason",
    [
        (picture((33, 32)), "33 x 32 RGB"),
        (picture(mode="L"), "32 x 32 L"),
        (picture(mode="RGBA"), "32 x 32 RGBA"),
        (picture((9_000, 9_000), mode="1"), "9000 x 9000 1"),
        (picture((20_000, 20_000), mode="1"), "not 32 x 32|damaged|not the bytes"),
        (picture(form="GIF"), "damaged, or no PNG or JPEG"),
        (picture()[:60], "damaged, or no PNG or JPEG"),
        (picture(form="JPEG")[:-20], "damaged, or no PNG or JPEG"),
        (b"", "damaged, or no PNG or JPEG"),
        ("text", "not the bytes"),
    ],
)
def test_wrong_pictures_are_refused_before_they_are_decoded(
    image: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "x" in reason:
        monkeypatch.setattr(Image.Image, "load", None)  # would fail
    with pytest.raises(UserError, match=rf"cat\.png: .*({reason})"):
        sources.decode_image(image, "cat.png")


def test_a_picture_s_bytes_become_planes() -> None:
    pixels = files.pictures()[5]
    np.testing.assert_array_equal(sources.decode_image(files.png(pixels), "x"), pixels)
    assert pixels[:2].tolist() == [5, 5]  # red: the number of the picture in the first row
    assert pixels[32] == 7
    assert pixels[1024:1026].tolist() == [195, 196]


def test_missing_and_doubled_images_are_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in files.CLASSES:
            (tmp_path / part / name).mkdir(parents=True)
    image = tmp_path / "train" / "cat" / "0001.png"
    image.write_bytes(b"")
    (tmp_path / "train" / "cat" / "Thumbs.db").write_bytes(b"")
    assert "0 images in train/airplane, not 5,000" in refusal(tmp_path, tmp_path / "cache")
    (tmp_path / "train" / "cat" / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="a second image with this number"):
        data.load(ANY, tmp_path, tmp_path / "cache")


# --- the cache --------------------------------------------------------------------------------


@pytest.fixture
def cached(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A cache that holds the set of ``binary``, and a list that grows with each decoding."""
    decoded: list[str] = []
    read = sources.read
    monkeypatch.setattr(sources, "read", lambda source: decoded.append(source.form) or read(source))
    data.load(ANY, binary, tmp_path / "cache")
    assert decoded == ["binary batches"]
    decoded.clear()
    return tmp_path / "cache", decoded


def test_the_cache_is_named_by_its_own_digest(cached: tuple[Path, list[str]], digest: str) -> None:
    cache, _ = cached
    (file,) = cache.glob("*.bin")
    assert file.stem == digest == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file, note: file.unlink(),
        lambda file, note: os.truncate(file, 1_000),
        lambda file, note: flip(file),
        lambda file, note: note.write_bytes(b""),
        lambda file, note: note.write_bytes(b"\xff\x00"),
        lambda file, note: note.write_text('{"name": "CIFAR-10"}'),
        lambda file, note: note.write_text("[" * 100_000),
        lambda file, note: note.write_text(note.read_text().replace('"digest": "', '"digest": "0')),
        lambda file, note: note.unlink(),
    ],
    ids=["missing", "cut", "flipped", "empty note", "bytes", "keys", "deep", "digest", "no note"],
)
def test_a_spoilt_cache_is_made_again(
    spoil, cached: tuple[Path, list[str]], binary: Path, digest: str
) -> None:
    cache, decoded = cached
    spoil(next(cache.glob("*.bin")), next(cache.glob("*.json")))
    assert data.load(ANY, binary, cache).digest == digest
    assert decoded == ["binary batches"]
    decoded.clear()
    data.load(ANY, binary, cache)
    assert decoded == []


def flip(file: Path) -> None:
    with file.open("r+b") as out:
        out.seek(1_000_000)
        byte = out.read(1)
        out.seek(1_000_000)
        out.write(bytes([byte[0] ^ 1]))


def test_a_changed_source_is_decoded_again(cached: tuple[Path, list[str]], binary: Path) -> None:
    cache, decoded = cached
    os.utime(binary / "cifar-10-batches-bin" / "test_batch.bin", ns=(1, 1))
    data.load(ANY, binary, cache)
    assert decoded == ["binary batches"]


@pytest.mark.parametrize("writes", [0, 1])
def test_a_kill_while_the_cache_is_written_costs_nothing(
    writes: int, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    write = cache_module.write_atomic
    left = writes

    def killed(path: Path, contents: bytes) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        write(path, contents)

    monkeypatch.setattr(cache_module, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        data.load(ANY, binary, tmp_path)
    monkeypatch.setattr(cache_module, "write_atomic", write)
    assert data.load(ANY, binary, tmp_path).digest == digest


def test_a_full_disk_is_said(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, contents: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(cache_module, "write_atomic", full)
    with pytest.raises(UserError, match=r"184 MB.*No space left on device"):
        data.load(ANY, binary, tmp_path)


def test_finding_images_needs_no_torch() -> None:
    program = (
        "import sys; from cnnpaper.learn import data, download; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'PIL', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
