"""The set-up of an environment: whole or set up again, decided by content, on any Python."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests import artifact
from tests.conftest import REPOSITORY

UV = """#!/bin/sh
echo "$UV_PROJECT_ENVIRONMENT $*" >> calls
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
echo home > "$UV_PROJECT_ENVIRONMENT/pyvenv.cfg"
ln -sf "$(command -v sh)" "$UV_PROJECT_ENVIRONMENT/bin/python"
[ ! -e hang ] || sleep 30
exit $(cat code 2>/dev/null || echo 0)
"""


@pytest.fixture
def place(root: Path) -> Path:
    """A repository whose installer is a stand-in that says how it is called."""
    version = re.search(r'name = "uv"\nversion = "(.*)"', (root / "uv.lock").read_text("utf-8"))
    assert version is not None
    artifact.executable(root / "build" / f"uv-{version[1]}", UV)
    return root


def set_up(root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return artifact.shell("make environment", root, **more)


def started(root: Path) -> subprocess.Popen[str]:
    """A set-up in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        ["make", "environment"], cwd=root, env=artifact.outside(), stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def calls(root: Path) -> list[str]:
    return (root / "calls").read_text().splitlines() if (root / "calls").exists() else []


def test_it_is_made_once_and_again_when_the_lock_changes_or_it_was_moved(place: Path) -> None:
    first = set_up(place)
    assert first.returncode == 0, first.stderr
    assert "setting up .venv (no torch, about 0.4 GB)" in first.stderr
    (line,) = calls(place)
    assert line.startswith(".venv sync --frozen --no-default-groups --python ")
    assert "--group" not in line
    for name in ("uv.lock", "pyproject.toml"):
        os.utime(place / name)
    assert (set_up(place).stderr, len(calls(place))) == ("", 1)
    lock = place / "uv.lock"
    lock.write_bytes(lock.read_bytes() + b"\n")
    assert set_up(place).returncode == 0
    assert len(calls(place)) == 2
    moved = place.with_name("moved")
    place.rename(moved)
    assert set_up(moved).returncode == 0
    assert len(calls(moved)) == 3
    assert "--reinstall" not in " ".join(calls(moved))
    assert artifact.shell("make training-environment", moved).returncode == 0
    assert calls(moved)[-1].startswith(".venv-train sync ")
    assert calls(moved)[-1].endswith("--group train --group dev")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_set_up_is_done_again_with_every_package(place: Path, number: int) -> None:
    (place / "hang").touch()
    process = started(place)
    while not (place / ".venv" / "bin" / "python").exists():
        time.sleep(0.01)
    os.killpg(process.pid, number)
    process.communicate()
    assert not (place / ".venv" / "made-from").exists()
    (place / "hang").unlink()
    (place / "code").write_text("3")
    failed = set_up(place)
    assert failed.returncode == 2
    assert "the set-up of .venv stopped (uv's reason is above)" in failed.stderr
    (place / "code").unlink()
    again = set_up(place)
    assert again.returncode == 0, again.stderr
    assert "--reinstall" in calls(place)[-1]
    assert set_up(place).stderr == ""


def test_a_folder_of_the_user_s_own_is_left_alone(place: Path) -> None:
    (place / ".venv").mkdir()
    (place / ".venv" / "thesis.txt").write_text("years of work")
    done = set_up(place)
    assert done.returncode == 2
    assert ".venv is in the way" in done.stderr
    assert (place / ".venv" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9", "3.14"])
def test_another_python_is_refused_in_words(place: Path, tmp_path: Path, version: str) -> None:
    python = tmp_path / "a python"
    artifact.executable(python, f"#!/bin/sh\nprintf {version}; exit 1\n")
    done = set_up(place, PYTHON=str(python))
    assert done.returncode == 2
    assert f"is Python {version}" in done.stderr
    assert "make report PYTHON=python3.12" in done.stderr
    assert calls(place) == []


def test_a_fitting_python_is_found_where_python3_is_old(place: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    here = f'exec "{sys.executable}" "$@"'
    for name, does in (("3", "printf 3.9; exit 1"), ("3.12", here), ("3.13", "exit 127")):
        artifact.executable(programs / f"python{name}", f"#!/bin/sh\n{does}\n")
    done = set_up(place, PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "--python python3.12" in calls(place)[0]


def test_pip_gets_version_and_hashes_of_the_lock(root: Path) -> None:
    python = root / "python"
    artifact.executable(
        python,
        '#!/bin/sh\ncase $* in\n*"-m venv"*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;\n'
        '*"-m pip"*) for last; do :; done; cp "$last" "$PWD/asked"; exit 1;;\n'
        "*) printf 3.11;;\nesac\n",
    )
    done = set_up(root, PYTHON=str(python))
    assert done.returncode == 2
    assert "pip could not fetch uv" in done.stderr
    asked = (root / "asked").read_text().split()
    section = (root / "uv.lock").read_text("utf-8").split('name = "uv"\nversion')[1]
    wheels = re.findall(r'whl", hash = "(.*?)"', section.split("[[package]]")[0])
    assert asked == [asked[0], *(f"--hash={digest}" for digest in wheels)]
    assert re.fullmatch(r"uv==[0-9.]+", asked[0])
    assert not list((root / "build").glob("uv*"))


def test_every_locked_package_has_its_hashes() -> None:
    lock = tomllib.loads((REPOSITORY / "uv.lock").read_text("utf-8"))
    packages = {one["name"]: one for one in lock["package"]}
    assert packages.pop("cnnpaper")["source"] == {"editable": "."}
    assert {"torch", "numpy", "uv"} <= set(packages)
    for name, package in packages.items():
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, name
        for file in files:
            assert re.fullmatch("sha256:[0-9a-f]{64}", file.get("hash", "")), (name, file)


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_set_ups_wait_for_each_other(place: Path) -> None:
    (place / "hang").touch()
    first = started(place)
    while not calls(place):
        time.sleep(0.01)
    second = started(place)
    assert second.stderr is not None
    assert "another set-up is under way; waiting for it" in second.stderr.readline()
    assert len(calls(place)) == 1
    for process in (first, second):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
