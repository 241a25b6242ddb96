"""Packages: each by hash from one lock, each with a licence, and asked about."""

from __future__ import annotations

import http.server
import json
import re
import threading
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import dependencies, environment
from cnnpaper.errors import UserError

REPOSITORY = Path(__file__).parents[1]
LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text("utf-8"))
OURS = [package for package in LOCK["package"] if package["source"] == {"editable": "."}]
OTHERS = [package for package in LOCK["package"] if package["source"] != {"editable": "."}]


# ------------------------------------------------------------------------------- hashes


def test_every_file_of_every_package_has_a_hash() -> None:
    files = 0
    assert [package["name"] for package in OURS] == ["cnnpaper"]
    for package in OTHERS:
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        artifacts = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert artifacts, package["name"]
        for artifact in artifacts:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", artifact["hash"]), artifact
            assert artifact["url"].startswith("https://files.pythonhosted.org/"), artifact
        files += len(artifacts)
    assert files > 400


def test_every_package_has_a_wheel() -> None:
    """So that installing executes no ``setup.py``."""
    assert [package["name"] for package in OTHERS if not package.get("wheels")] == []


def test_the_lock_is_the_only_one_and_the_set_up_uses_it_as_it_is() -> None:
    assert "--frozen" in environment._sync([])
    names = {"requirements*.txt", "poetry.lock", "Pipfile*", "conda*.yml", "pdm.lock", "setup.py"}
    assert [path for name in names for path in REPOSITORY.glob(name)] == []


def test_torch_is_pinned_and_the_rest_is_locked() -> None:
    versions = {package["name"]: package["version"] for package in OTHERS}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    train = project["dependency-groups"]["train"]
    assert f"torch=={versions['torch']}" in train
    assert f"torchvision=={versions['torchvision']}" in train


@pytest.mark.parametrize("name", ["torch", "numpy", "pikepdf", "click", "hypothesis"])
def test_what_is_installed_is_what_is_locked(name: str) -> None:
    assert (name, metadata.version(name)) in dependencies.locked(REPOSITORY)


# ------------------------------------------------------------------------------- licences


def test_no_package_lacks_a_licence() -> None:
    text = dependencies.licences(REPOSITORY)
    lines = text.splitlines()
    assert len(lines) == len(OTHERS)
    assert [line for line in lines if len(line.split(maxsplit=2)) < 3] == []
    found = {line.split()[0]: line.split(maxsplit=2)[2] for line in lines}
    assert found["pikepdf"] == "MPL-2.0"
    assert found["scipy"] == "BSD License"  # its field holds the whole text
    assert found["tqdm"] == "MPL-2.0 AND MIT"
    installed = [name for name, stated in found.items() if "not installed" not in stated]
    assert len(installed) > 60


def test_a_package_without_a_licence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "SILENT", {})
    monkeypatch.setattr(dependencies, "licence", lambda name: "" if name == "click" else "MIT")
    with pytest.raises(UserError, match=r"click [\d.]+: its metadata state no licence"):
        dependencies.licences(REPOSITORY)


def test_outside_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dependencies.main(["licences"]) == 2
    assert "uv.lock is missing" in capsys.readouterr().err


# ------------------------------------------------------------------------------- audit


class DataBase(http.server.BaseHTTPRequestHandler):
    """Answers as osv.dev does; ``known`` says what it has something against."""

    known: tuple[str, ...] = ()
    asked: set[tuple[str, str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = [query["package"]["name"] for query in body["queries"]]
        self.asked.update((q["package"]["name"], q["version"]) for q in body["queries"])
        entry = {"id": "GHSA-0000", "modified": "2026-01-01T00:00:00Z"}
        self.answer({"results": [{"vulns": [entry]} if n in self.known else {} for n in names]})

    def do_GET(self) -> None:
        times = {"modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z"}
        self.answer({"id": "GHSA-0000", "summary": "invented", "affected": [], **times})

    def answer(self, thing: Any) -> None:
        data = json.dumps(thing).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(DataBase, "asked", set(), raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), DataBase)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_package_of_the_lock_is_asked_about(service: str) -> None:
    assert dependencies.audit(REPOSITORY, service) == 0
    assert DataBase.asked == set(dependencies.locked(REPOSITORY))
    assert len(DataBase.asked) == len(OTHERS)


def test_a_vulnerability_is_an_error(
    service: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DataBase, "known", ("pillow",))
    assert dependencies.audit(REPOSITORY, service) == 1
    said = capfd.readouterr()
    assert "pillow" in said.out + said.err
    assert "GHSA-0000" in said.out + said.err


def test_without_an_answer_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(dependencies.audit, "__defaults__", ("http://127.0.0.1:9/",))
    assert dependencies.main(["audit"]) == 2
    said = capfd.readouterr().err
    assert "http://127.0.0.1:9/, gave no answer (reason above)" in said
    assert f"so nothing is known about the {len(OTHERS)} packages" in said
    assert "Traceback" not in said
