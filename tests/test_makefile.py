"""The Makefile, called for real: help, what reaches the commands, TeX, and what clean leaves."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnpaper import texsetup
from cnnpaper.errors import UserError

TARGETS = [
    *("report", "test", "alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "inception_v3"),
    *("mobilenet_v2", "densenet121", "experiments", "smoke", "data", "status", "soak"),
    *("bench", "lint", "audit", "licences", "verify", "certify", "reproduce"),
    *("clean", "help"),
]
VARIABLES = {"STUDY", "SEEDS", "EPOCHS", "GPUS", "DATA_DIR", "SET", "KEY", "FORCE", "ALLOW_STALE"}
VARIABLES |= {"MODEL", "SEED"}
"""Set by `make test`, which may run these tests."""
REPORT = Path(__file__).resolve().parents[1] / "report"
RECORDER = """#!/bin/sh
# stands in for a Python: writes down how it was called
{ printf '%s\\n' "$@"; printf 'DATA_DIR=%s\\n' "$DATA_DIR"; echo ===; } >> "$CALLS"
"""


def make(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call make in ``root``; the variables are set in the environment."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("MAKE") and key not in VARIABLES
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=root,
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def recorded(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which every Python only writes down how it was called."""
    monkeypatch.setenv("CALLS", str(root / "calls"))
    monkeypatch.setenv("PYTHON", str(root / "recorder"))
    for place in ("recorder", ".venv/bin/python", ".venv-train/bin/python"):
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORDER)
        path.chmod(0o755)
    return root


def calls(root: Path) -> list[list[str]]:
    """The arguments of every call of the command line, the data folder last."""
    found = (root / "calls").read_text("utf-8").split("===\n")
    return [call.splitlines()[2:] for call in found if call.startswith("-m\ncnnpaper\n")]


# ---------------------------------------------------------------------------------------- help


def test_plain_make_lists_every_target_once(root: Path) -> None:
    done = make(root)
    assert done.returncode == 0
    listed = re.findall(r"^  ([a-z][\w-]*)  +\S", done.stdout, re.MULTILINE)
    assert set(TARGETS) <= set(listed)
    assert len(listed) == len(set(listed))
    declared = (root / "Makefile").read_text("utf-8").replace("\\\n", " ")
    targets = re.search(r"^TARGETS := (.*)$", declared, re.MULTILINE)
    assert targets is not None
    assert set(targets[1].split()) - {"python"} <= set(listed)
    rules = set(re.findall(r"^([a-z][a-z-]*):(?! override)", declared, re.MULTILINE))
    assert rules == set(targets[1].split())


def test_a_new_network_gets_its_target(root: Path) -> None:
    text = (root / "experiments" / "alexnet.toml").read_text("utf-8")
    file = root / "experiments" / "lenet.toml"
    file.write_text(text.replace('name = "AlexNet"', 'name = "LeNet-5"'), "utf-8")
    assert re.search(r"^  lenet +train LeNet-5$", make(root).stdout, re.MULTILINE)


def test_a_network_cannot_have_the_name_of_a_target(root: Path) -> None:
    folder = root / "experiments"
    (folder / "report.toml").write_bytes((folder / "alexnet.toml").read_bytes())
    done = make(root)
    assert done.returncode == 2
    assert 'experiments/report.toml: "report" is a target of the Makefile' in done.stderr
    assert "give the network's file another name" in done.stderr


# ------------------------------------------------------------------------- what reaches commands


@pytest.mark.parametrize(
    "arguments,command",
    [
        ("report", "report --study reference"),
        ("report STUDY=full", "report --study full"),
        ("report EPOCHS=10", "report --study single-10ep"),
        ("status STUDY=", "status --study "),
        ("experiments", "experiments --study reference"),
        (
            "experiments STUDY=full SEEDS=0,1 GPUS=0,1 FORCE=1",
            "experiments --study full --seeds 0,1 --gpus 0,1 --force",
        ),
        ("experiments FORCE=0", "experiments --study reference"),
        ("alexnet", "train --model alexnet --study reference"),
        ("vgg16 STUDY=full GPUS=cpu", "train --model vgg16 --study full --gpus cpu"),
        ("resnet18 EPOCHS=10", "train --model resnet18 --study single-10ep --epochs 10"),
        ("explain KEY=-3.1", "explain --study reference -- -3.1"),
        ("verify", "verify --study reference"),
        ("certify STUDY=full", "certify --study full"),
        (
            "reproduce MODEL=vgg16 SEED=3 STUDY=full",
            "reproduce --model vgg16 --seed 3 --study full",
        ),
        ("reproduce MODEL=alexnet", "reproduce --model alexnet --seed 0 --study reference"),
        ("data", "data"),
        ("data SET=jpeg75", "data --set jpeg75"),
    ],
)
def test_variables_become_options(recorded: Path, arguments: str, command: str) -> None:
    done = make(recorded, *arguments.split())
    assert done.returncode == 0, done.stderr
    assert calls(recorded) == [[*command.split(" "), "DATA_DIR="]]


def test_smoke_trains_and_reports(recorded: Path) -> None:
    assert make(recorded, "smoke").returncode == 0
    assert [call[0:3] for call in calls(recorded)] == [
        ["experiments", "--study", "smoke"],
        ["report", "--study", "smoke"],
    ]


@pytest.mark.parametrize(
    "value", ["my data", "it's", '"$HOME" $(date)', "100 % #1", "데이터", "-x"]
)
def test_odd_characters_pass_by_the_environment(recorded: Path, value: str) -> None:
    done = make(recorded, "alexnet", DATA_DIR=value, SEEDS=value)
    assert done.returncode == 0, done.stderr
    train = ["train", "--model", "alexnet", "--study", "reference"]
    assert calls(recorded) == [[*train, "--seeds", value, f"DATA_DIR={value}"]]


def test_training_without_torch_in_sight_of_the_paper(recorded: Path) -> None:
    """Only what trains is given the environment that holds torch."""
    environments = {}
    for target in ("report", "status", "alexnet", "test"):
        (recorded / "calls").unlink(missing_ok=True)
        assert make(recorded, target).returncode == 0
        found = (recorded / "calls").read_text("utf-8")
        environments[target] = ".venv-train" in found
    assert environments == {"report": False, "status": False, "alexnet": True, "test": True}


def test_errors_of_the_real_command_come_through(root: Path) -> None:
    python = root / ".venv-train" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    done = make(root, "alexnet", "EPOCHS=ten", PYTHON="true")
    assert done.returncode == 2
    assert "'ten' is not a whole number" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["no-such-python", "no such python"])
def test_a_python_that_is_not_there(root: Path, value: str) -> None:
    done = make(root, "report", PYTHON=value)
    assert done.returncode == 2
    assert f"{value} is not there: install Python 3.11 to 3.13" in done.stderr


# --------------------------------------------------------------------------------------- clean


@pytest.fixture
def used(root: Path) -> Path:
    """A repository that was worked in."""
    for name in (
        "results/log/reference/alexnet-s0/run.jsonl",
        "results/log/reference/alexnet-s0/run.lock",
        "results/log/reference/alexnet-s0/checkpoint-1.pt",
        "data/train/cat/0001.png",
        ".venv/pyvenv.cfg",
        "report/CNN_report-smoke.pdf",
        "build/data/cache.bin",
        "build/paper/a/b/figure.pdf",
        "build/locks/cpu.lock",
        ".mypy_cache/x",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("precious")
    return root


def files_of(root: Path) -> set[str]:
    """What changes in a clean, by path."""
    places = ("results", "data", ".venv", "report", "build", ".mypy_cache")
    paths = (path for place in places for path in (root / place).rglob("*"))
    return {path.relative_to(root).as_posix() for path in paths if path.is_file()}


def test_clean_removes_what_can_be_made_again_and_nothing_else(used: Path) -> None:
    before = files_of(used)
    done = make(used, "clean", PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    removed = {"build/data/cache.bin", "build/paper/a/b/figure.pdf", ".mypy_cache/x"}
    assert before - files_of(used) == removed
    assert not (used / "build" / "paper").exists()
    assert make(used, "clean", PYTHON=sys.executable).returncode == 0


@pytest.mark.parametrize(
    "name", ["results/log/reference/alexnet-s0/run.lock", "build/locks/cpu.lock"]
)
def test_clean_waits_for_nobody_and_disturbs_nobody(used: Path, name: str) -> None:
    before = files_of(used)
    with (used / name).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711")
        held.flush()
        done = make(used, "clean", PYTHON=sys.executable)
    assert done.returncode == 2
    assert "in use by process 4711" in done.stderr
    assert files_of(used) == before


# ----------------------------------------------------------------------------------------- TeX


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def give_tex(folder: Path, *, without: str = "") -> None:
    """A TeX that has everything, but for one thing."""
    for name in texsetup.PROGRAMS:
        if name != without:
            program(folder, name, "true")
    styles = "\n".join(f"/tex/{name}" for name in texsetup.tex_files(REPORT) if name != without)
    if without != "kpsewhich":
        program(folder, "kpsewhich", f"echo '{styles}'; exit 1")
    families = ",".join(name for name in texsetup.FONTS if name != without)
    program(folder, "fc-list", f"echo '{families}'")


def test_what_the_paper_loads_is_read_from_its_sources(tmp_path: Path) -> None:
    (tmp_path / "own.sty").write_text("\\RequirePackage[a,\n b=c]{array, booktabs}\\relax{x}")
    (tmp_path / "paper.tex.j2").write_text("\\usepackage{own}\n\\usepackage {natbib}")
    found = texsetup.tex_files(tmp_path)
    assert [name for name in found if name.endswith(".sty")] == [
        *("array.sty", "booktabs.sty", "natbib.sty")
    ]


def test_what_tex_lacks_is_named(programs: Path) -> None:
    assert set(texsetup.PROGRAMS) <= set(texsetup.missing(REPORT))
    give_tex(programs)
    assert texsetup.missing(REPORT) == []


@pytest.mark.parametrize("name", ["xelatex", "siunitx.sty", "NanumMyeongjo", "kpsewhich"])
def test_one_missing_piece_is_seen(programs: Path, name: str) -> None:
    give_tex(programs, without=name)
    (absent,) = texsetup.missing(REPORT)
    assert absent.removeprefix("font ") == name


def test_where_there_is_no_apt_the_commands_are_printed(
    root: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert texsetup.main() == 2
    message = capsys.readouterr().err
    for manager in ("apt-get install", "dnf install", "pacman -S", "brew install"):
        assert manager in message


def test_apt_installs_as_root_after_saying_so(
    root: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(programs, "env", 'shift; exec "$@"')
    give_tex(programs.parent)  # to be put in place by the stand-in of apt-get
    tex = " ".join(f"'{programs.parent}/{name}'" for name in (*texsetup.PROGRAMS, "fc-list"))
    log = f"echo \"$*\" >> '{programs.parent}/apt'"
    program(programs, "apt-get", f"{log}; case $* in *install*) /bin/cp {tex} '{programs}';; esac")
    texsetup.install()
    assert "about 180 MB" in capfd.readouterr().err
    update, install = (programs.parent / "apt").read_text().splitlines()
    assert update == "-qq update"
    assert install.startswith("-qq install --yes --no-install-recommends latexmk ")
    assert texsetup.missing(REPORT) == []


def test_a_failing_apt_is_an_error_with_the_way_out(
    root: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(programs, "env", 'shift; exec "$@"')
    program(programs, "apt-get", "exit 100")
    with pytest.raises(UserError, match=r"apt-get update ended with code 100(.|\n)*dnf install"):
        texsetup.install()


@pytest.mark.parametrize("password", [True, False])
def test_sudo_is_used_only_where_it_asks_no_password(
    root: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, password: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program(programs, "apt-get", "exit 100")
    log = f"echo \"$*\" >> '{programs.parent}/sudo'"
    program(programs, "sudo", f"{log}; exit {1 if password else 0}")
    with pytest.raises(UserError, match="missing: xelatex"):
        texsetup.install()
    asked = (programs.parent / "sudo").read_text().splitlines()
    assert asked[0] == "-n true"
    assert any("install" in line for line in asked) is not password


@pytest.mark.tex
def test_tex_is_complete_where_the_tests_run() -> None:
    assert texsetup.missing(REPORT) == []
