"""What is published names no person, no machine and no secret."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from pathlib import Path

import pikepdf
import pytest

from tests.private import PATTERNS, identities, leaks, texts

REPOSITORY = Path(__file__).parents[1]
IGNORED = (".venv", ".venv-train", "build", "data", ".git", "__pycache__", ".mypy_cache")
IGNORED += (".ruff_cache", ".pytest_cache", ".hypothesis", ".benchmarks")


def published() -> list[Path]:
    """The files that git keeps; where there is no git, all but those that are made."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        names = [name for name in done.stdout.split("\0") if name]
    except FileNotFoundError:
        names = []
    if names:
        return [path for name in names if (path := REPOSITORY / name).is_file()]
    return [
        path
        for path in REPOSITORY.rglob("*")
        if path.is_file() and not set(path.relative_to(REPOSITORY).parts) & set(IGNORED)
    ]


def test_no_published_file_names_anybody() -> None:
    named, files = identities(), published()
    found = {
        f"{path.relative_to(REPOSITORY)}: {leak}"
        for path in files
        for text in texts(path)
        for leak in leaks(text, named)
    }
    assert found == set()
    assert len(files) > 150
    assert REPOSITORY / "report" / "CNN_report.pdf" in files


def test_the_paper_says_what_it_is_and_by_which_program() -> None:
    with pikepdf.open(REPOSITORY / "report" / "CNN_report.pdf") as document:
        known = {str(key): str(value) for key, value in document.docinfo.items()}
        assert "/Metadata" not in document.Root  # no second place for such things
        assert all(name.endswith((".json", ".csv")) for name in document.attachments)
    assert known.keys() == {
        *("/Title", "/Author", "/Subject", "/Keywords", "/Creator", "/Producer", "/CreationDate"),
    }
    assert known["/Author"] == "cnnpaper contributors"
    assert known["/CreationDate"].startswith("D:20")
    assert known["/CreationDate"][10:16] == "000000"  # the day of the runs, no hour of a build


@pytest.mark.parametrize(
    "text",
    [
        *(
            "see /" + "root/x",
            "/" + "home/ann/cnn",
            "file:///" + "Users/ann",
            "C:\\" + "Users\\ann",
        ),
        *("in /" + "work/main", "ann" + "@example.org", "AKIA" + "ABCDEFGHIJKLMNOP"),
        *("ghp_" + "a1" * 18, "github_pat_" + "a1" * 20, "hf_" + "ab" * 17, "sk-" + "a1" * 20),
        *("-----BEGIN " + "PRIVATE KEY-----", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        *("https://ann:secret" + "@host/x", "xoxb-" + "1234567890", "glpat-" + "a1" * 10),
        *("by ann_lee", "on ann-laptop.", "key s3cr3t-value!"),
    ],
)
def test_each_kind_is_found(text: str) -> None:
    named = {"ann_lee": "user", "ann-laptop": "host", "s3cr3t-value": "$API_KEY"}
    assert leaks(text, named)


def test_harmless_texts_are_left_alone() -> None:
    text = (
        "homework/ a@b uses: actions/checkout@v4.2 /usr/share /etc/passwd ann_leeway root worker/"
    )
    assert leaks(text, {"ann_lee": "user"}) == []
    assert len(PATTERNS) == 8


def test_the_environment_of_the_tests_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "s3cr3t-value")
    monkeypatch.setenv("USER", "ann_lee")
    monkeypatch.setenv("HOSTNAME", "localhost")  # names nobody
    named = identities()
    assert named["s3cr3t-value"] == "$SOME_API_KEY"
    assert "ann_lee" in named
    assert "localhost" not in named


def test_a_text_inside_of_a_pdf_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    with pikepdf.new() as document:
        document.add_blank_page()
        document.attachments["a.csv"] = pikepdf.AttachedFileSpec(document, b"by ann_lee")
        document.docinfo["/Author"] = "on ann-laptop"
        document.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    found = [leak for text in texts(path) for leak in leaks(text, dict.fromkeys(
        ("ann_lee", "ann-laptop"), "name"))]  # fmt: skip
    assert set(found) == {"name: ann_lee", "name: ann-laptop"}


def test_a_log_asks_for_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a header says of the machine is found without user, host, home or environment."""
    torch = pytest.importorskip("torch")
    from cnnpaper.learn import measure, provenance

    def refused(*_: object) -> str:
        raise AssertionError("asked for a name")

    for module, name in ((socket, "gethostname"), (platform, "node"), (os, "getlogin")):
        monkeypatch.setattr(module, name, refused)
    monkeypatch.setattr(Path, "home", refused)
    monkeypatch.setattr("getpass.getuser", refused)
    for variable in os.environ:
        monkeypatch.setenv(variable, os.environ[variable] + "-sentinel")
    monkeypatch.setenv("PATH", os.defpath)
    said = measure.machine(torch.device("cpu"), None).model_dump_json()
    said += repr(provenance.packages()) + provenance.now_utc()
    assert "sentinel" not in said
    assert set(measure.machine(torch.device("cpu"), None).model_dump()) == {
        *("cpu", "cpu_family", "cpu_model", "cpu_stepping", "isa", "isa_cap", "threads", "memory"),
        "gpu",
    }
