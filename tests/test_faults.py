"""Kills, full disks and folders of somebody else, at every writer; see faults.py."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import config, records
from cnnpaper.paper import build
from tests import fabricate, writers
from tests.learn import tiny

REPOSITORY = Path(__file__).resolve().parents[1]
LIGHT = (
    *("imported logs", "certificate", "measured times", "table of trials", "cache", "download"),
    *("clean",),
)
HEAVY = ("training", "training on images", "tables", "figures", "report", "set-up")
FEW = {"kill": 3, "full": 1, "disk": 1, "forbidden": 1}
TWENTY = {"kill": 20, "full": 20, "disk": 20, "forbidden": 1}
SOME = {"kill": 20, "full": 4, "disk": 4, "forbidden": 1}
"""For writers that take a while."""
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
pytestmark = [needs_proc, pytest.mark.train]
pytest.importorskip("torch")


def can_mount() -> bool:
    """May this process have a name space of its own for file systems?"""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server that has the archive, by parts too."""
    import http.server

    from tests.learn.test_download import Request, Server

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request) as web:
        web.test = Server(address=f"http://127.0.0.1:{web.server_port}")  # type: ignore[attr-defined]
        web.test.answers["/a"] = Request.asked_part  # type: ignore[attr-defined]
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield web.test.address  # type: ignore[attr-defined]
        web.shutdown()


Verdicts = dict[tuple[str, str], dict[str, Any]]


def assert_survived(address: str, faults: dict[str, int], names: tuple[str, ...]) -> None:
    """Every writer survives every fault at so many points.

    Three kills of a training, of a set-up and of a report are in the suites of those.
    """
    here = {
        fault: count
        for fault, count in faults.items()
        if (fault != "disk" or can_mount()) and (fault != "forbidden" or os.geteuid() == 0)
    }
    found = verdicts(address, here, names)
    assert [reason for line in found.values() for reason in line["failures"]] == []
    for (name, fault), line in found.items():
        wanted = 0 if (name, fault) == ("clean", "full") else here[fault]  # it writes nothing
        assert (name, fault, line["points"], line["survived"]) == (name, fault, wanted, wanted)


def verdicts(address: str, faults: dict[str, int], names: tuple[str, ...]) -> Verdicts:
    """What happened, by writer and fault. The folder is one that any user may enter."""
    apart = ["unshare", "-m"] if "disk" in faults else []
    wanted = ",".join(f"{fault}={count}" for fault, count in faults.items())
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        command = [*apart, sys.executable, "-m", "tests.faults", place, wanted]
        done = subprocess.run(
            [*command, ",".join(names)],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "FAULTS_SERVER": address,
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {(line["writer"], line["fault"]): line for line in lines}
    assert found.keys() == {(name, fault) for name in names for fault in faults}
    return found


def test_light_writers_survive_a_few_faults(address: str) -> None:
    assert_survived(address, FEW, LIGHT)


@pytest.mark.soak
@pytest.mark.tex
@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_every_writer_survives_twenty_kills_and_full_disks(address: str, name: str) -> None:
    assert set(writers.WRITERS) == {*LIGHT, *HEAVY}
    assert_survived(address, TWENTY if name in (*LIGHT, "training") else SOME, (name,))


@pytest.mark.soak
@pytest.mark.tex
@pytest.mark.parametrize("name", ["report", "set-up"])
def test_programs_that_a_writer_started_are_killed_with_it(address: str, name: str) -> None:
    assert_survived(address, {"group": 8}, (name,))


@pytest.mark.soak
def test_images_vanish_at_twenty_moments_and_a_clock_runs_backwards(address: str) -> None:
    assert_survived(address, {"vanish": 20, "clock": 1}, ("training on images",))


# --- two at once ------------------------------------------------------------------------------


def start(root: Path, *arguments: str, module: str = "cnnpaper") -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(root: Path, *arguments: str, module: str = "cnnpaper") -> tuple[int, str]:
    """Exit code, and what was said to stderr."""
    child = start(root, *arguments, module=module)
    said = child.communicate(timeout=300)[1]
    return child.returncode, said


@contextlib.contextmanager
def stopped(child: subprocess.Popen[str], lock: Path) -> Iterator[None]:
    """Stop the child while it holds ``lock``; at the end kill it."""
    try:
        while not (lock.exists() and lock.read_text()):
            assert child.poll() is None, child.communicate()
            time.sleep(0.001)
        child.send_signal(signal.SIGSTOP)
        assert lock.read_text(), "it had ended"
        yield
    finally:
        child.kill()
        child.communicate()


def assert_names(said: str, child: subprocess.Popen[str], command: str) -> None:
    """One message, which names who holds the lock, since when, with which command."""
    (line, remedy) = said.splitlines()[-2:]
    owner = rf"in use by process {child.pid} \({command}, since 20\d\d-\d\d-\d\d [\d:]{{8}}\)$"
    assert re.search(owner, line), said
    assert remedy == "wait until it ends, or stop it; the lock is freed with the process"
    assert "Traceback" not in said


def test_two_reports_at_once(tmp_path: Path) -> None:
    root = fabricate.study(tmp_path / "repository", writers.PLAN, code=True)
    child = start(root, "report", "--study", "one")
    with stopped(child, root / "build" / "report" / "one" / "lock"):
        code, said = answer(root, "report", "--study", "one")
        assert code == 2
        assert_names(said, child, "cnnpaper report --study one")
        code, said = answer(root, module="cnnpaper.clean")
        assert code == 2
        assert_names(said, child, "cnnpaper report --study one")
    assert answer(root, module="cnnpaper.clean") == (0, "")
    assert list((root / "build").rglob("*.json")) == []


def test_two_trainings_of_one_run_and_make_clean(root: Path) -> None:
    tiny.add_to(root, epochs=1)
    command = ("train", "--study", "small", "--model", "tiny", "--gpus", "cpu")
    folder = root / "results" / "log" / "small" / "tiny-s0"
    child = start(root, *command)
    with stopped(child, folder / "run.lock"):
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for code, said in (answer(root, *command), answer(root, module="cnnpaper.clean")):
            assert code == 2
            assert_names(said, child, f"cnnpaper {' '.join(command)}")
        after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert {path: data for path, data in after.items() if path.suffix != ".pyc"} == {
            path: data for path, data in before.items() if path.suffix != ".pyc"
        }
    assert answer(root, module="cnnpaper.clean") == (0, "")


def test_the_tex_of_a_killed_build_does_not_write_into_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "tex"
    folder.mkdir()
    script = "while :; do : > f$((n += 1)); done"
    with subprocess.Popen(["sh", "-c", script], cwd=folder, stderr=subprocess.DEVNULL) as tex:
        while not (folder / "f9").exists():
            time.sleep(0.001)
        assert build._empty_folder(folder) == folder
        time.sleep(0.05)
        assert list(folder.iterdir()) == []
        tex.kill()
    build._empty_folder(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["tex"]


# --- the log, the clock -----------------------------------------------------------------------


def test_a_log_that_is_gone_is_not_begun_in_the_middle(tmp_path: Path) -> None:
    log = records.LogWriter(tmp_path / "run.jsonl")
    header, *lines = fabricate.run_lines(writers.PLAN, spec := _spec(tmp_path))
    log.append(header)
    log.path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        log.append(lines[0])
    assert caught.value.filename == str(log.path)
    assert spec.run == "resnet18-s0"
    assert list(tmp_path.glob("run*")) == []


def _spec(tmp_path: Path) -> config.RunSpec:
    root = fabricate.study(tmp_path / "repository", writers.PLAN)
    (spec,) = config.run_specs(root, config.load_study(root, writers.PLAN.name))
    return spec


WALL_CLOCK = {"time.time", "time.time_ns", "time.strftime", "time.localtime", "datetime.now",
              "datetime.utcnow", "datetime.today", "date.today"}  # fmt: skip


def test_only_two_places_look_at_the_clock_on_the_wall() -> None:
    """They tell people when a run and a lock began; durations come from a monotonic clock."""
    found = set()
    for path in sorted((REPOSITORY / "cnnpaper").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
                names = {ast.unparse(call.func) for call in calls}
                if any(name.endswith(tuple(WALL_CLOCK)) for name in names):
                    found.add(f"{path.stem}.{function.name}")
    assert found == {"files._this_process", "provenance.now_utc"}
