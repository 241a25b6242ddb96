"""The command line: what it starts, how it ends, whatever its terminal is."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import cli
from cnnpaper.config import RunSpec
from cnnpaper.files import Interrupted
from cnnpaper.runs import launch
from tests import artifact, tiny

Cnnpaper = Callable[..., Any]
"""The fixture: gives an object with ``code``, ``out`` and ``err``."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str], bool]]:
    """Runs, devices and force of everything that is started, and what would follow when it ends."""
    calls: list[tuple[list[str], list[str], bool]] = []

    def train_run(spec: RunSpec, *, device: str, force: bool, **_: object) -> None:
        calls.append(([spec.path], [device], force))

    def train_study(
        specs: list[RunSpec], *, devices: Any, force: bool, more: Any, **_: object
    ) -> None:
        calls.append(([spec.path for spec in specs], devices, force))
        calls.append(([spec.path for spec in more()], ["after"], False))

    monkeypatch.setattr(launch, "train_run", train_run)
    monkeypatch.setattr(launch, "train_study", train_study)
    return calls


SMOKE = [f"smoke/{model}-s0" for model in ("alexnet", "vgg16", "googlenet", "resnet18")]


@pytest.mark.parametrize(
    "arguments,first",
    [
        ("train --model alexnet --study smoke", (SMOKE[:1], ["auto"], False)),
        ("train --model vgg16 --study smoke --gpus 1 --force", (SMOKE[1:2], ["1"], True)),
        ("experiments --study smoke --gpus 0,1", (SMOKE, ["0", "1"], False)),
    ],
)
def test_what_is_started(
    root: Path, cnnpaper: Cnnpaper, started: Any, arguments: str, first: Any
) -> None:
    answer = cnnpaper(*arguments.split())
    assert answer.code == 0, answer.err
    assert started[0] == first


def test_a_network_s_command_never_goes_on_with_another_network(
    root: Path, cnnpaper: Cnnpaper, started: Any
) -> None:
    tiny.edit(root / "experiments" / "study" / "smoke.toml", "seeds = [0]", "seeds = [0, 1]")
    assert cnnpaper("train", "--model", "vgg16", "--study", "smoke").code == 0
    both = ["smoke/vgg16-s0", "smoke/vgg16-s1"]
    assert [runs for runs, _, _ in started] == [both, both]


@pytest.mark.parametrize(
    "error,code,says",
    [
        (Interrupted(15, "saved"), 143, "saved"),
        (MemoryError(), 2, "memory ran out\nclose other programs"),
        (RuntimeError("CUDA out of memory. Tried"), 2, "fewer images"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "make room on this disk and rerun"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), 2, "x: Disk quota exceeded\nmake room"),
        (OSError(errno.EMFILE, "Too many open files"), 2, "ulimit -n"),
        (OSError(errno.ENOTCONN, "Transport endpoint is not connected", "x"), 2, "x: Transport"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2,
         "training-environment\nthen: .venv-train/bin/cnnpaper experiments --study 'my study'"),
    ],
    ids=str,
)  # fmt: skip
def test_how_it_ends(
    root: Path, cnnpaper: Cnnpaper, monkeypatch, error: BaseException, code: int, says: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("cnnpaper.config.load_study", fail)
    answer = cnnpaper("experiments", "--study", "my study")
    assert answer.code == code
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) <= 5


def test_mistakes_of_the_program_show_their_traceback(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cnnpaper.config.load_study", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["experiments"])


COMMAND = f'"{sys.executable}" -m cnnpaper'


@pytest.mark.parametrize(
    "command,code",
    [
        (f"{COMMAND} --help | head -1", 0),
        (f"{COMMAND} --help >&-", None),
        (f"{COMMAND} train 2>&-", None),
        (f"{COMMAND} --help </dev/null", 0),
        (f"PYTHONIOENCODING=latin-1 LC_ALL=C {COMMAND} report --study 없다", 2),
    ],
)
def test_no_terminal_makes_a_traceback(root: Path, command: str, code: int | None) -> None:
    done = artifact.shell(command, root)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert code is None or done.returncode == code
