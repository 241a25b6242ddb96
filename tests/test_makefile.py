"""The Makefile: what each target starts, with whatever is in the user's environment; TeX; clean."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnpaper import cli
from cnnpaper.files import UNWANTED
from tests import artifact

TEXT = artifact.MAKEFILE.read_text("utf-8")
NASTY = "my 'data' $HOME % \"x\""


def test_the_help_lists_every_target_network_and_variable(root: Path) -> None:
    done = artifact.shell("make", root)
    assert done.returncode == 0, done.stderr
    listed = set(re.findall(r"^  (\S+)", done.stdout, re.MULTILINE))
    targets = re.search(r"^TARGETS := ((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
    assert targets is not None
    assert set(targets[1].replace("\\\n", "").split()) <= listed
    assert {"alexnet", "vgg16", "googlenet", "resnet18"} <= listed
    shown = done.stdout.replace(",", "")
    assert [
        name for name in (*artifact.VARIABLES, "FORCE", "ALLOW_STALE") if name not in shown
    ] == []


def test_every_command_of_the_command_line_has_its_target(root: Path) -> None:
    visible = {name for name, one in cli.commands.commands.items() if not one.hidden}
    called = set(re.findall(r"\$\((?:PAPER|TRAIN)\) ([a-z-]+)", TEXT))
    assert visible == called


def test_what_the_user_s_environment_has_does_not_reach_the_programs(
    root: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    artifact.set_up(root)
    for name in (".venv", ".venv-train"):
        artifact.executable(root / name / "bin" / "python", f'#!/bin/sh\nenv > "{seen}"\n')
    done = artifact.shell(
        "make tables", root, **dict.fromkeys(("PYTHONPATH", "TEXINPUTS", *UNWANTED), "/elsewhere")
    )
    assert done.returncode == 0, done.stderr
    reached = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "STUDY" in reached
    assert reached.isdisjoint({"PYTHONPATH", "TEXINPUTS", *UNWANTED})


def test_a_start_without_make_cleans_its_environment_too(root: Path) -> None:
    broken = root / "broken"
    broken.mkdir()
    for name in ("click", "pydantic", "numpy"):
        (broken / f"{name}.py").write_text("raise SystemExit('of another Python')")
    variables = {"PYTHONPATH": str(broken), "MPLBACKEND": "nonsense", "PYTHONWARNINGS": "error"}
    done = artifact.shell(f'"{sys.executable}" -m cnnpaper --help', root, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: cnnpaper" in done.stdout


def test_values_reach_the_commands_whatever_is_in_them(root: Path, record: Path) -> None:
    assert artifact.shell("make explain", root, KEY=NASTY, FORCE="0").returncode == 0
    assert artifact.shell("make alexnet EPOCHS=2 BATCH_SIZE=9 FORCE=1", root).returncode == 0
    explain, alexnet = (call["arguments"] for call in artifact.recorded(record))
    assert explain == ["-m", "cnnpaper", "explain", "--study", "reference", "--", NASTY]
    assert str(alexnet).endswith("'--epochs', '2', '--batch-size', '9', '--force']")


def test_own_settings_make_a_study_of_ones_own(root: Path, record: Path) -> None:
    assert artifact.shell("make alexnet PRECISION=float32", root).returncode == 0
    assert artifact.shell("make alexnet STUDY=smoke SEEDS=0", root).returncode == 0
    own, smoke = (str(call["arguments"]) for call in artifact.recorded(record))
    assert "--precision" in own
    assert "--study" not in own
    assert "'--study', 'smoke'" in smoke


@pytest.mark.parametrize(
    "command,missing",
    [("explain", "KEY"), ("predict RUN=a", "IMAGE"), ("diff OLD=a.pdf", "NEW"),
     ("import-logs STUDY=x", "LOGS"), ("reproduce", "MODEL")],
)  # fmt: skip
def test_a_variable_that_is_missing_is_named(
    root: Path, record: Path, command: str, missing: str
) -> None:
    done = artifact.shell(f"make {command}", root)
    assert done.returncode == 2
    assert f"{missing}=... is missing" in done.stderr
    assert not record.exists() or not artifact.recorded(record)


def test_a_difference_between_papers_is_no_error(root: Path, record: Path) -> None:
    for status, wanted in ((1, 0), (2, 2)):
        artifact.executable(root / ".venv" / "bin" / "python", f"#!/bin/sh\nexit {status}\n")
        assert artifact.shell("make diff OLD=a NEW=b", root).returncode == wanted


@pytest.mark.parametrize("edition,tex", [("en", True), ("ko", True), ("html", False)])
def test_only_a_pdf_asks_for_tex(root: Path, record: Path, edition: str, tex: bool) -> None:
    asked = root / "asked"
    artifact.executable(root / "report" / "install-tex.sh", f'touch "{asked}"\n')
    assert artifact.shell(f"make report EDITION={edition}", root).returncode == 0
    assert asked.exists() == tex


def test_a_network_that_is_called_like_a_target_is_refused(root: Path) -> None:
    (root / "experiments" / "report.toml").touch()
    done = artifact.shell("make", root)
    assert done.returncode == 2
    assert 'experiments/report.toml: "report" is a target' in done.stderr


def test_a_run_that_the_system_killed_says_why(root: Path) -> None:
    artifact.set_up(root)
    artifact.executable(root / ".venv-train" / "bin" / "python", "#!/bin/sh\nkill -9 $$\n")
    done = artifact.shell("make alexnet STUDY=smoke", root)
    assert done.returncode == 2
    assert "killed (signal 9), as the system does when memory runs out" in done.stderr


def test_clean_removes_generated_files_and_nothing_else(root: Path) -> None:
    kept = (
        "results/log/reference/alexnet-s0/run.jsonl",
        "results/log/reference/alexnet-s0/checkpoint-1.pt",
        "data/train/cat/0001.png",
        ".venv/pyvenv.cfg",
        ".venv-train/lib/__pycache__/x.pyc",
        "report/CNN_report-smoke.pdf",
    )
    gone = ("build/data/cache.bin", ".mypy_cache/x", "cnnpaper/__pycache__/x.pyc")
    for name in (*kept, *gone):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("precious")
    for _ in range(2):
        assert artifact.shell("make clean", root).returncode == 0
    assert all((root / name).exists() for name in kept)
    assert not any((root / name).exists() for name in gone)


# ----------------------------------------------------------------------------------------- TeX

PROGRAMS = ("xelatex", "xdvipdfmx", "latexmk", "pdftoppm")
INSTALL = Path(__file__).resolve().parents[1] / "report" / "install-tex.sh"
TOOLS = ("sh", "env", "id", "cat", "tr", "grep", "sed", "sort", "paste", "cp", "true")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that is all of PATH: what a bare machine has."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def give_tex(folder: Path, *, without: str = "") -> None:
    """A TeX that has everything but one thing."""
    for name in PROGRAMS:
        if name != without:
            artifact.executable(folder / name, "#!/bin/sh\n")
    # it has every file that it is asked for
    artifact.executable(
        folder / "kpsewhich",
        f'#!/bin/sh\nfor name; do [ "$name" = "{without}" ] || echo "/tex/$name"; done\n',
    )
    fonts = "\n".join(name for name in ("NanumMyeongjo", "NanumGothic") if name != without)
    artifact.executable(folder / "fc-list", f"#!/bin/sh\necho '{fonts}'\n")


def install(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "sh", INSTALL], cwd=INSTALL.parents[1], env={"PATH": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["xelatex", "titlesec.sty", "booktabs.sty", "NanumGothic"])
def test_what_tex_lacks_is_named_with_the_command_for_each_system(machine: Path, name: str) -> None:
    give_tex(machine)
    assert (install(machine).returncode, install(machine).stderr) == (0, "")
    (machine / name).unlink(missing_ok=True)
    give_tex(machine, without=name)
    done = install(machine)
    assert done.returncode == 2
    assert name in done.stderr.splitlines()[0]
    for manager in ("apt-get install", "dnf install", "pacman -S", "brew install"):
        assert manager in done.stderr


@pytest.mark.parametrize("rights", ["root", "sudo", "none", "broken"])
def test_apt_installs_where_it_may_and_says_so_first(machine: Path, rights: str) -> None:
    give_tex(machine.parent / "packages")
    apt = f"#!/bin/sh\ncase $* in *install*) cp {machine.parent}/packages/* {machine}/;; esac\n"
    artifact.executable(machine / "apt-get", "#!/bin/sh\nexit 100\n" if rights == "broken" else apt)
    (machine / "id").unlink()
    user = 0 if rights in ("root", "broken") else 1000
    artifact.executable(machine / "id", f"#!/bin/sh\necho {user}\n")
    if rights == "sudo":
        artifact.executable(machine / "sudo", '#!/bin/sh\nshift\nexec env "$@"\n')
    done = install(machine)
    assert done.returncode == (0 if rights in ("root", "sudo") else 2), done.stderr
    assert ("about 180 MB" in done.stderr) == (rights != "none")
    assert ("apt-get failed" in done.stderr) == (rights == "broken")
