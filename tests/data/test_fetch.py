"""Fetching the images: a server on this machine that behaves as servers do, and worse."""

from __future__ import annotations

import errno
import http.server
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import data
from cnnpaper.data import mirrors
from cnnpaper.data.mirrors import Mirror
from cnnpaper.files import UserError
from tests.data import cifar_files as files

NAME = "cifar-10-python.tar.gz"


@dataclass
class Server:
    """A web server whose answers a test writes."""

    address: str
    answers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and range


class Request(http.server.BaseHTTPRequestHandler):
    """One request, with the ways to answer it."""

    def do_GET(self) -> None:
        server = self.server.test
        server.asked.append((self.path, self.headers.get("Range")))
        server.answers.get(self.path, lambda request: request.send_error(404))(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def whole(self, content: bytes, status: int = 200, **headers: object) -> None:
        """The content from its start, whatever was asked for."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def part(self, content: bytes, stop: int | None = None) -> None:
        """The part that was asked for, cut at ``stop``."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.send_error(416)
        else:
            status = 206 if "Range" in self.headers else 200
            self.whole(content[start:stop], status, Content_Length=len(content) - start)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(mirrors, "SILENT_S", 0.5)
    monkeypatch.setattr(mirrors, "PAUSE_S", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request) as web:
        web.test = Server(f"http://127.0.0.1:{web.server_port}")
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield web.test
        web.shutdown()


@pytest.fixture
def content(tmp_path: Path, made: files.Bytes) -> bytes:
    """The python archive of the small set."""
    files.write_form("python archive", tmp_path / "made", made)
    return (tmp_path / "made" / "cifar-10-python (1).tar.gz").read_bytes()


@pytest.fixture
def fetch(
    server: Server, content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Fetches from the mirrors at these paths of the server; gives what was said."""

    def call(*paths: str) -> list[str]:
        found = tuple(
            Mirror(f"mirror {path}", {NAME: f"{server.address}{path}"}) for path in paths or ("/a",)
        )
        monkeypatch.setitem(mirrors.MIRRORS, "original", found)
        said: list[str] = []
        data.fetch("original", folder, said.append)
        assert (folder / NAME).read_bytes() == content
        assert not (folder / ".fetch").exists()
        return said

    return call


def started(folder: Path, contents: bytes) -> None:
    """What an earlier start left of the first mirror's file."""
    part = folder / ".fetch" / "mirror-a" / NAME
    part.parent.mkdir(parents=True)
    part.write_bytes(contents)


# --- servers that help ------------------------------------------------------------------------


def test_a_file_is_fetched_once_with_progress(
    server: Server, fetch: Callable[..., list[str]], content: bytes, folder: Path, digest: str
) -> None:
    server.answers["/a"] = lambda request: request.part(content)
    said = fetch()
    size = f"{len(content) / 1e6:.1f}"
    assert said[0] == "fetching from mirror /a"
    assert said[-3] == f"{NAME}: {size} of {size} MB, 0 s left"
    assert said[-1] == f"saved as {folder / NAME}"
    assert fetch() == [f"{folder / NAME} (archive) is there"]
    assert server.asked == [("/a", None)]
    assert data.load("original", digest, folder).name == "CIFAR-10"


def test_a_cut_connection_is_resumed(server: Server, fetch: Any, content: bytes) -> None:
    stops = iter([1000, 2000, None])
    server.answers["/a"] = lambda request: request.part(content, next(stops))
    fetch()
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=2000-"]


@pytest.mark.parametrize("have", [3000, None], ids=["a beginning", "all, without its name"])
def test_what_an_earlier_start_left_is_resumed(
    have: int | None, server: Server, fetch: Any, content: bytes, folder: Path
) -> None:
    started(folder, content[:have])
    server.answers["/a"] = lambda request: request.part(content)
    fetch()
    assert server.asked == [("/a", f"bytes={have or len(content)}-")]


def test_a_spoilt_beginning_is_dropped_and_the_next_start_is_whole(
    server: Server, fetch: Any, content: bytes, folder: Path
) -> None:
    started(folder, content[:2000] + bytes(50))
    server.answers["/a"] = lambda request: request.part(content)
    with pytest.raises(UserError, match="no mirror gave the images"):
        fetch()
    fetch()
    assert server.asked == [("/a", "bytes=2050-"), ("/a", None)]


def test_a_server_without_ranges_or_length_is_read_from_the_start(
    server: Server, fetch: Any, content: bytes, folder: Path
) -> None:
    started(folder, content[:3000])
    server.answers["/a"] = lambda request: request.whole(content)
    fetch()


# --- servers that do not ----------------------------------------------------------------------


def stall(request: Request) -> None:
    request.whole(b"\x1f\x8b", Content_Length=99999)
    request.wfile.flush()
    time.sleep(1.5)


BAD: dict[str, tuple[Callable[[Request], None], str]] = {
    "missing": (lambda request: request.send_error(404), "answers 404 Not Found"),
    "a web page": (lambda r: r.whole(b"<html>", Content_Type="text/html; charset=x"), "a web page"),
    "other bytes": (lambda request: request.whole(b"\x1f\x8b other"), "damaged or cut off"),
    "silent": (lambda request: time.sleep(1.5), "timed out"),
    "stalling": (stall, "timed out"),
    "cut at once": (lambda r: r.whole(b"", Content_Length=5000), "after 0 of 5,000 bytes"),
    "no HTTP": (lambda request: request.wfile.write(b"\0" * 50), "the connection broke"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_mirror_is_left_for_the_next(
    name: str, server: Server, fetch: Any, content: bytes
) -> None:
    answer, reason = BAD[name]
    server.answers.update({"/bad": answer, "/a": lambda request: request.whole(content)})
    said = fetch("/bad", "/a")
    assert any(line.startswith("mirror /bad: ") and reason in line for line in said)
    assert server.asked[-1] == ("/a", None)


def test_without_any_mirror_every_way_by_hand_is_named(
    folder: Path, fetch: Any, server: Server, content: bytes
) -> None:
    with pytest.raises(UserError) as raised:
        fetch("/b", "/c")
    message = str(raised.value)
    assert "mirror /b: answers 404" in message
    assert f"make data SET=original DATA_DIR={folder}" in message
    assert f"{server.address}/b" in message
    # and once the mirror is up, the same command ends well
    server.answers["/c"] = lambda request: request.whole(content)
    fetch("/b", "/c")


# --- a mirror of several files ------------------------------------------------------------------


@pytest.fixture
def tables(
    server: Server, folder: Path, made: files.Bytes, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Two parquet files, as a mirror of the original."""
    files.write_parquet(folder.parent / "tables", made)
    names = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
    mirror = Mirror("mirror", {f"cifar10-parquet/{n}": f"{server.address}/{n}" for n in names})
    monkeypatch.setitem(mirrors.MIRRORS, "original", (mirror,))
    contents = {name: (folder.parent / "tables" / name).read_bytes() for name in names}
    for name in names:
        server.answers[f"/{name}"] = lambda request, name=name: request.part(contents[name])
    return contents


@pytest.mark.usefixtures("tables", "other_pixels")
def test_other_images_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"mirror: .*: these images are 'CIFAR-10, re-encoded'"):
        data.fetch("original", folder, lambda line: None)
    assert not [path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name]


def test_damaged_files_stay_and_a_good_copy_comes_beside_them(
    tables: dict[str, bytes], folder: Path, digest: str
) -> None:
    place = folder / "cifar10-parquet"
    place.mkdir()
    for name, contents in tables.items():
        (place / name).write_bytes(contents[:-100])
    with pytest.raises(UserError, match="damaged or cut off") as raised:
        data.load("original", None, folder)
    assert f"make data SET=original DATA_DIR={folder}" in str(raised.value)
    data.fetch("original", folder, lambda line: None)
    assert data.load("original", None, folder).digest == digest
    assert (folder / "cifar10-parquet-2").is_dir()
    assert all((place / n).read_bytes() == contents[:-100] for n, contents in tables.items())
    data.fetch("original", folder, lambda line: None)  # a third time nothing happens
    assert not (folder / "cifar10-parquet-3").exists()


# --- the user's folder and disk ---------------------------------------------------------------


def test_a_mistyped_folder_starts_no_download(
    tables: dict[str, bytes], server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    missing = folder / "my imgaes"
    with pytest.raises(UserError, match="there is no such folder") as raised:
        data.fetch("original", missing, lambda line: None)
    remedy = f"mkdir -p '{missing}' && make data SET=original DATA_DIR='{missing}'"
    assert remedy in str(raised.value)
    assert not missing.exists()
    assert not server.asked
    data.fetch("original", Path("data"), lambda line: None)  # the default one is made
    assert sorted(p.name for p in (folder / "data" / "cifar10-parquet").iterdir()) == sorted(tables)


@pytest.mark.usefixtures("tables")
def test_a_full_disk_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open

    def full(path: Path, mode: str = "r", **rest: Any) -> Any:
        return Full() if mode == "wb" and ".fetch" in path.parts else real(path, mode, **rest)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match=r"train-.*: cannot be written \(No space left on device\)"):
        data.fetch("original", folder, lambda line: None)
