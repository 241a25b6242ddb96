"""What messages tell a user to type works as printed, from the same shell, with every option."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import pytest

from cnnpaper import cli, log
from cnnpaper.advice import advice
from tests import artifact, tiny

PACKAGE = Path(__file__).resolve().parents[1] / "cnnpaper"
GIVING = ("advice", "again", "again_at")
"""Functions whose result a message prints as a command."""

# --------------------------------------------------------------------- which commands there are


def form(target: str, variables: Iterable[str]) -> frozenset[str]:
    """What tells kinds of commands apart: target, any network as one, and names of variables."""
    network = target in ("alexnet", "vgg16", "googlenet", "resnet18")
    return frozenset({"NETWORK" if network else target, *variables} - {"DATA_DIR"})


def forms() -> set[frozenset[str]]:
    """The form of each call that gives a command, from the source itself.

    A target that is not written there is a network's; variables of ``again`` are those of a run.
    """
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if name not in GIVING or not isinstance(node, ast.Call):
                continue
            given = {str(word.arg) for word in node.keywords}
            given |= RUN.keys() if name.startswith("again") else set()
            first = node.args[0]
            target = str(first.value) if isinstance(first, ast.Constant) else "alexnet"
            if "None" not in given:  # the functions above themselves
                found.add(form(target, given))
    return found


NASTY = "my 'data' $HOME %"
RUN = {"STUDY": "tuning", "ARM": "stage1", "SEEDS": 0, "VARIANT": "rate0.05"}
COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("alexnet", RUN),
    ("vgg16", RUN | {"FORCE": 1}),
    ("resnet18", {"EPOCHS": 10}),
    ("googlenet", {"EPOCHS": 2, "BATCH_SIZE": 32, "SEEDS": 1}),
    ("resnet18", {"EPOCHS": 2, "BATCH_SIZE": 32, "PRECISION": "float32"}),
    ("vgg16", {"EPOCHS": 2, "PRECISION": "float32"}),
    ("data", {"SET": "jpeg75"}),
    ("data", {}),
    ("experiments", {"STUDY": "tuning"}),
    ("timing", {"STUDY": "smoke"}),
    ("budget", {"STUDY": "smoke"}),
    ("verify", {"STUDY": "smoke"}),
    ("reproduce", {"STUDY": "tuning", "MODEL": "vgg16", "SEED": 0, "ARM": "stage1"}),
    ("report", {"STUDY": "smoke", "ALLOW_STALE": 1}),
    ("report", {"STUDY": "smoke"}),
    ("release", {}),
    ("status", {"STUDY": "smoke"}),
    ("status", {}),
    ("smoke", {}),
    ("tex", {}),
    ("training-environment", {}),
)
NAMES = {"SEED": "seeds", "SET": "wanted"}
"""Variable of make → parameter of the command that it must reach, where it is called otherwise."""
WITHOUT = ("tex", "training-environment")
"""Targets that start no command of ours."""


def test_every_command_that_the_code_can_give_is_among_those_that_are_executed() -> None:
    assert forms() - {form(target, variables) for target, variables in COMMANDS} == set()


def test_no_message_holds_a_command_of_its_own() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in alone:
                typed = re.search(r": make [a-z]|\bmake [a-z-]+ [A-Z_]+=", str(node.value))
                assert not typed, f"{path}:{node.lineno}"


@pytest.mark.parametrize("target,variables", COMMANDS, ids=str)
def test_each_command_works_as_printed_with_all_its_options(
    root: Path, record: Path, monkeypatch, target: str, variables: dict[str, Any]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DATA_DIR", NASTY)
        patch.setenv("GPUS", "cpu")
        command = advice(target, **variables)
    done = artifact.shell(command, root)
    assert done.returncode == 0, done.stderr
    calls = artifact.recorded(record)
    assert bool(calls) == (target not in WITHOUT)
    if calls:
        parameters = parsed(calls[0], monkeypatch)
        for name, value in variables.items():
            expected = {"SEED": (value,), "SEEDS": (value,), "FORCE": True, "ALLOW_STALE": True}
            assert parameters[NAMES.get(name, name.lower())] == expected.get(name, value)
        assert parameters.get("model", target) == variables.get("MODEL", target)
        if "EPOCHS" in variables:
            assert parameters["study"] is None  # it makes a study of its own
        if "data_dir" in parameters and "DATA_DIR" in command:
            assert parameters["data_dir"] == Path(NASTY)
            assert parameters.get("gpus", "cpu") == "cpu"


def parsed(call: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command line makes of a recorded call."""
    module, name, *rest = call["arguments"][1:]
    assert module == "cnnpaper"
    for variable, value in call["variables"].items():
        monkeypatch.setenv(variable, value)
    command = cli.commands.get_command(click.Context(cli.commands), name)
    assert command is not None
    return command.make_context(name, rest).params


@pytest.mark.parametrize(
    "path,command",
    [
        ("results/log/a/x-s1/run.jsonl", "make x STUDY=a SEEDS=1"),
        ("results/log/a/short/x-s0/run.jsonl", "make x STUDY=a ARM=short SEEDS=0"),
        (
            "results/log/tuning/stage1/x-rate0.05-s2/predictions.npz",
            "make x STUDY=tuning ARM=stage1 SEEDS=2 VARIANT=rate0.05",
        ),
        ("results/log/한글 연구/x-s0/run.jsonl", "make x STUDY='한글 연구' SEEDS=0"),
        ("elsewhere/run.jsonl", "make status"),
    ],
)
def test_the_run_of_a_file_is_known_by_its_place(path: str, command: str) -> None:
    assert log.again_at(Path(path)) == command


# ------------------------------------------------------ followed until the state is healthy


def test_options_on_the_command_line_are_carried_like_variables(
    root: Path, cnnpaper: Callable[..., Any]
) -> None:
    (root / "my data").mkdir()
    answer = cnnpaper("train", "--model", "alexnet", "--epochs", "2", "--data-dir", "my data")
    assert "make data DATA_DIR='my data'" in answer.err


@pytest.mark.train
def test_a_damaged_or_finished_log_says_what_to_type_and_that_makes_it_whole(root: Path) -> None:
    spec = tiny.add_to(artifact.set_up(root), steps=10)
    path = spec.folder(root) / log.LOG_NAME
    first = artifact.shell("make tiny STUDY=small GPUS=cpu", root)
    assert first.returncode == 0, first.stderr
    whole = path.read_bytes()
    for damaged in (whole.replace(b'"kind":"step"', b'"kind":"stop"', 1), whole + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(log.LogError) as error:
            log.read_run(path)
        (command,) = artifact.commands_in(str(error.value))
        done = artifact.shell(command, root)
        assert done.returncode == 0, done.stderr
        assert log.read_run(path).result is not None
    again = artifact.shell("make tiny STUDY=small", root)
    (command,) = artifact.commands_in(again.stdout)
    over = artifact.shell(command, root)
    assert over.returncode == 0
    assert "starting over; previous log saved as run.jsonl." in over.stderr
