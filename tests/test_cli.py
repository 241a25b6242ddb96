"""The command line: what it starts, how it ends, and what is not imported."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import cli
from cnnpaper.errors import Interrupted
from cnnpaper.learn import data, download, runner

REPOSITORY = Path(__file__).resolve().parents[1]
Cnnpaper = Callable[..., Any]
"""The fixture: gives an object with ``code``, ``out`` and ``err``."""
ALEXNET = ("train", "--model", "alexnet")


def test_outside_of_the_repository_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cnnpaper: Cnnpaper
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cnnpaper(*ALEXNET)
    assert answer.code == 2
    assert "start cnnpaper in the root of the repository" in answer.err


@pytest.mark.parametrize(
    "there,arguments,fetched",
    [
        (False, [], ["original"]),
        (False, ["--set", "jpeg75"], ["jpeg75"]),
        (True, [], []),
        (True, ["--set", "original"], ["original"]),
    ],
)
def test_what_data_fetches(
    root: Path,
    cnnpaper: Cnnpaper,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
    arguments: list[str],
    fetched: list[str],
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(download, "fetch", lambda wanted, data_dir: calls.append(wanted))
    monkeypatch.setattr(data, "check", lambda data_dir: f"checked {data_dir}")
    if there:
        one_image(root / "data")
    answer = cnnpaper("data", *arguments)
    assert (answer.code, answer.out) == (0, "checked data\n")
    assert calls == fetched


def one_image(folder: Path) -> None:
    """What the search takes for a folder of images."""
    image = folder / "train" / "cat" / "0001.png"
    image.parent.mkdir(parents=True)
    (folder / "test").mkdir()
    image.touch()


# ------------------------------------------------------------------------------- what is started


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str], bool]]:
    """Runs, devices and force of every training that the command line starts."""
    calls: list[tuple[list[str], list[str], bool]] = []

    def train_run(spec, *, root, data_dir, device, force):  # type: ignore[no-untyped-def]
        calls.append(([f"{spec.study}/{spec.run}"], [device], force))

    def train_study(specs, *, root, data_dir, devices, force):  # type: ignore[no-untyped-def]
        calls.append(([f"{spec.study}/{spec.run}" for spec in specs], devices, force))

    monkeypatch.setattr(runner, "train_run", train_run)
    monkeypatch.setattr(runner, "train_study", train_study)
    return calls


@pytest.mark.parametrize(
    "arguments,runs,devices",
    [
        ("train --model alexnet --study smoke", ["smoke/alexnet-s0"], ["auto"]),
        (
            "train --model alexnet --study full --seeds 0,2 --gpus 0,1 --data-dir images",
            ["full/alexnet-s0", "full/alexnet-s2"],
            ["0", "1"],
        ),
        (
            "train --model alexnet --data-dir images --gpus cpu",
            ["single-25ep/alexnet-s0"],
            ["cpu"],
        ),
        (
            "train --model vgg16 --epochs 10 --seed 7 --batch-size 48 --data-dir images",
            ["single-10ep-b48/vgg16-s7"],
            ["auto"],
        ),
        (
            "experiments --study smoke --gpus cpu:0,cpu:1",
            [f"smoke/{model}-s0" for model in ("alexnet", "vgg16", "googlenet", "resnet18")],
            ["cpu:0", "cpu:1"],
        ),
        ("experiments --study full --seeds 4 --data-dir images", None, ["auto"]),
    ],
)
@pytest.mark.train
def test_which_runs_are_started(
    root: Path,
    cnnpaper: Cnnpaper,
    started: list[tuple[list[str], list[str], bool]],
    arguments: str,
    runs: list[str] | None,
    devices: list[str],
) -> None:
    one_image(root / "images")
    answer = cnnpaper(*arguments.split())
    assert answer.code == 0, answer.err
    ((found, where, force),) = started
    if runs is None:  # all eight networks of the full study
        assert len(found) == 8
        assert {run.rpartition("-")[2] for run in found} == {"s4"}
    else:
        assert found == runs
    assert list(where) == devices
    assert not force


def test_without_torch_the_make_target_is_named(
    root: Path, cnnpaper: Cnnpaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    answer = cnnpaper("train", "--model", "alexnet", "--study", "smoke")
    assert answer.code == 2
    assert "make alexnet STUDY=smoke" in answer.err


def test_a_batch_size_of_ones_own_reaches_the_recipe(root: Path) -> None:
    from cnnpaper import config

    plan = config.load_study(root, "single-10ep-b48")
    spec = config.run_spec(root, plan, "resnet18", 0)
    assert (spec.epochs, spec.recipe.batch_size) == (10, 48)
    assert config.load_recipe(root).batch_size != 48


# -------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    "error,code,text",
    [
        (Interrupted(signal.SIGTERM, "go on with: make alexnet"), 143, "go on with: make alexnet"),
        (Interrupted(signal.SIGINT, "go on with: make alexnet"), 130, "go on with: make alexnet"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "run.jsonl"), 2, "run.jsonl: No space left"),
        (ModuleNotFoundError("x", name="pyarrow"), 2, "make training-environment"),
    ],
)
@pytest.mark.train
def test_exit_codes(
    root: Path,
    cnnpaper: Cnnpaper,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    text: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(runner, "train_run", fail)
    answer = cnnpaper(*ALEXNET, "--study", "smoke")
    assert answer.code == code
    assert text in answer.err


def test_a_mistake_of_the_program_is_not_hidden(
    root: Path, cnnpaper: Cnnpaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("cnnpaper.status.status", fail)
    with pytest.raises(ZeroDivisionError):
        cnnpaper("status")


def shell(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    command = [sys.executable, "-m", "cnnpaper", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_real_command_and_its_traceback(root: Path) -> None:
    plain = shell("status", "--study", "x", cwd=root)
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    debug = shell("status", "--study", "x", "--debug", cwd=root)
    assert debug.returncode != 0
    assert "Traceback" in debug.stderr
    assert "UserError" in debug.stderr


def test_both_commands_are_installed() -> None:
    script = Path(sys.executable).with_name("cnnpaper")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cnnpaper, version ")
    assert shell("--version", cwd=REPOSITORY).stdout == done.stdout


@pytest.mark.parametrize("command", sorted(cli.commands.commands))
def test_help_teaches_with_examples(cnnpaper: Cnnpaper, command: str) -> None:
    answer = cnnpaper(command, "--help")
    assert answer.code == 0
    assert "Example" in answer.out
    assert f"cnnpaper {command}" in answer.out.split("Example", 1)[1]


# ---------------------------------------------------------------------------- what is imported

HEAVY = ["pandas", "torch", "torchvision", "matplotlib", "scipy", "numpy", "pydantic", "jinja2"]
PAPER = """
import importlib, pkgutil, sys
import cnnpaper.cli, cnnpaper.status, cnnpaper.imported, cnnpaper.fingerprint, cnnpaper.paper
for module in pkgutil.walk_packages(cnnpaper.paper.__path__, "cnnpaper.paper."):
    importlib.import_module(module.name)
print(*sorted({"torch", "torchvision"} & set(sys.modules)))
"""


def fresh(code: str, cwd: Path) -> str:
    """What ``code`` prints in a fresh interpreter, last line."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from cnnpaper.cli import run
run(["--help"])
print(*sorted(set({HEAVY}) & set(sys.modules)))
"""
    assert fresh(code, REPOSITORY) == ""


def test_the_paper_half_does_not_import_torch() -> None:
    assert fresh(PAPER, REPOSITORY) == ""


def test_that_the_test_before_can_fail(root: Path) -> None:
    (root / "torch.py").touch()  # a stand-in, found before the real one
    (root / "cnnpaper" / "paper" / "offender.py").write_text("import torch\n")
    assert fresh(PAPER, root) == "torch"


def torch_imports(folder: Path) -> list[str]:
    """Every import of torch below ``folder``, inside functions too, as file:line."""
    return [
        f"{path.name}:{node.lineno}"
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if any(name.partition(".")[0] in ("torch", "torchvision") for name in _imported(node))
    ]


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_only_the_training_half_names_torch(root: Path) -> None:
    package = REPOSITORY / "cnnpaper"
    assert torch_imports(package / "paper") == []
    everywhere = torch_imports(package)
    assert everywhere, "the search finds nothing at all"
    assert len(everywhere) == len(torch_imports(package / "learn"))
    late = root / "cnnpaper" / "paper" / "late.py"
    late.write_text("def f():\n    from torch import nn\n")
    assert torch_imports(root / "cnnpaper" / "paper") == ["late.py:2"]
