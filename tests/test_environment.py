"""The set-up of the environments: whole or not believed in, and decided by content."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnpaper import environment
from cnnpaper.errors import UserError


@pytest.fixture
def repository(root: Path) -> Path:
    """A repository whose installer is there already: the uv of the environment of this test."""
    uv = Path(sys.executable).with_name("uv")
    place = root / "build" / "uv"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "uv").symlink_to(uv)
    stamp = json.dumps(environment.wanted_installer(root))
    (place / environment.STAMP).write_text(stamp, "utf-8")
    return root


def set_up(root: Path) -> subprocess.CompletedProcess[str]:
    """The set-up as make calls it."""
    command = [sys.executable, "-m", "cnnpaper.environment", ".venv"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def works(root: Path) -> bool:
    """Can the environment do what it is for? It must hold the packages, and no torch."""
    code = "import click, cnnpaper, importlib.util as u, pandas; print(u.find_spec('torch'))"
    command = [root / ".venv" / "bin" / "python", "-c", code]
    done = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, check=False)
    return done.stdout == "None\n"


def test_the_second_set_up_does_nothing_whatever_the_time_stamps(repository: Path) -> None:
    first = set_up(repository)
    assert first.returncode == 0, first.stderr
    assert "setting up .venv" in first.stderr
    assert works(repository)
    uv = repository / "build" / "uv"
    shutil.rmtree(uv)  # as make clean does; a set-up that did anything would need it
    for name in ("uv.lock", "pyproject.toml"):
        os.utime(repository / name)
    second = set_up(repository)
    assert (second.returncode, second.stderr) == (0, "")
    assert not uv.exists()


def test_a_change_of_the_lock_or_the_dependencies_is_seen_and_others_are_not(
    repository: Path,
) -> None:
    want = environment.wanted(repository, [])
    project = repository / "pyproject.toml"
    text = project.read_text("utf-8")
    project.write_text(text.replace("line-length = 100", "line-length = 99"), "utf-8")
    assert environment.wanted(repository, []) == want
    project.write_text(text.replace('"click>=8.1"', '"click>=8.2"'), "utf-8")
    assert changed(environment.wanted(repository, []), want) == {"pyproject.toml"}
    project.write_text(text, "utf-8")
    lock = repository / "uv.lock"
    lock.write_bytes(lock.read_bytes() + b"\n")
    assert changed(environment.wanted(repository, []), want) == {"uv.lock"}
    lock.write_bytes(lock.read_bytes()[:-1])
    assert changed(environment.wanted(repository, ["train"]), want) == {"groups"}
    moved = repository.with_name("moved")
    repository.rename(moved)
    assert changed(environment.wanted(moved, []), want) == {"place"}


def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {key for key in one if one[key] != other[key]}


@pytest.mark.parametrize("moment", ["lib", "lib/python*/site-packages/*", "bin/f2py"])
def test_a_set_up_that_was_killed_is_not_believed_in(repository: Path, moment: str) -> None:
    command = [sys.executable, "-m", "cnnpaper.environment", ".venv"]
    process = subprocess.Popen(command, cwd=repository, stderr=subprocess.DEVNULL)
    while not list((repository / ".venv").glob(moment)) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (repository / ".venv" / environment.STAMP).exists(), "it ended before the kill"
    # worse than the kill: what looks complete lacks a package
    for package in (repository / ".venv").glob("lib/python*/site-packages/click"):
        shutil.rmtree(package, ignore_errors=True)
    again = set_up(repository)
    assert again.returncode == 0, again.stderr
    assert works(repository)


def test_ctrl_c_says_how_to_go_on(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "_run", interrupt)
    assert environment.main([".venv"]) == 130
    assert environment.stamp_of(repository / ".venv") == {}


def test_a_failed_installer_is_an_error_and_leaves_no_stamp(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uv = repository / "build" / "uv" / "bin" / "uv"
    uv.unlink()
    uv.write_text('#!/bin/sh\nmkdir -p "$UV_PROJECT_ENVIRONMENT/bin"\nexit 3\n')
    uv.chmod(0o755)
    assert environment.main([".venv"]) == 2
    assert "uv ended with code 3" in capsys.readouterr().err
    assert environment.stamp_of(repository / ".venv") == {}
    # what it left behind is recognised as a beginning, and the next attempt gets past it
    uv.write_text("#!/bin/sh\nexit 0\n")
    assert environment.main([".venv"]) == 0


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_of_the_users_own_is_left_alone(
    repository: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = repository / ".venv"
    if kind == "folder":
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    else:
        folder.symlink_to(repository / "report")
    assert environment.main([".venv"]) == 2
    assert "in the way" in capsys.readouterr().err
    if kind == "folder":
        assert (folder / "thesis.txt").read_text() == "years of work"
    else:
        assert folder.is_symlink()


def test_set_ups_wait_for_each_other(repository: Path) -> None:
    """The lock is inherited by the installer, so it outlives a set-up that is killed."""
    uv = repository / "build" / "uv" / "bin" / "uv"
    uv.unlink()
    wait = "while [ ! -e go ]; do sleep 0.02; done"
    uv.write_text(f"#!/bin/sh\necho begin >> calls\n{wait}\necho end >> calls\n")
    uv.chmod(0o755)
    command = [sys.executable, "-m", "cnnpaper.environment"]
    pipes = {"stderr": subprocess.PIPE, "cwd": repository, "text": True}
    first = subprocess.Popen([*command, ".venv"], **pipes)  # type: ignore[call-overload]
    while not (repository / "calls").exists():
        time.sleep(0.001)
    first.kill()
    first.wait()
    second = subprocess.Popen([*command, ".venv-train", "train"], **pipes)  # type: ignore[call-overload]
    said = second.stderr.readline()
    (repository / "go").touch()
    second.communicate()
    first.communicate()
    assert f"in use by process {first.pid} (environment.py .venv, since " in said
    assert "which has ended; a program that it started still holds it; waiting" in said
    assert (repository / "calls").read_text().split() == ["begin", "end", "begin", "end"]


@pytest.mark.parametrize("version", [(3, 10, 12), (3, 14, 0)])
def test_a_python_that_will_not_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(UserError, match=r"3\.11 to 3\.13\n.*PYTHON=python3\.12"):
        environment.check_python()


def test_outside_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert environment.main([".venv"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_pip_gets_the_hashes_of_the_lock(root: Path) -> None:
    version, hashes = environment.locked_uv(root)
    lines = (root / "uv.lock").read_text("utf-8").split('name = "uv"\n')[1].split("[[package]]")[0]
    assert f'version = "{version}"' in lines
    assert len(hashes) == lines.count(".whl") > 0
    assert all(digest in lines and digest.startswith("sha256:") for digest in hashes)
