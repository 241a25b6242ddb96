"""Runs executed again: the same bits, a tolerance, differences; certified, and reproduced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import certificate, records
from cnnpaper.certificate import CERTIFICATE_NAME, Replay
from cnnpaper.learn import replay, tolerance, verify
from cnnpaper.learn.train import Training
from cnnpaper.paper.frames import read_frames
from cnnpaper.paper.study import find_stale
from tests import fabricate
from tests.learn import tiny

pytestmark = pytest.mark.train
Cnnpaper = Callable[..., Any]
REPOSITORY = Path(__file__).resolve().parents[2]
EPOCHS = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a finished run of the tiny network, made by its own code."""
    root = tmp_path_factory.mktemp("trained") / "repository"
    ignore = shutil.ignore_patterns("__pycache__", "*.pdf", ".*")
    for folder in ("cnnpaper", "experiments", "report"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=ignore)
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(REPOSITORY / name, root)
    tiny.add_to(root, epochs=EPOCHS)
    command = [sys.executable, "-m", "cnnpaper", "train", "--model", "tiny", "--study", "small"]
    done = subprocess.run(
        [*command, "--gpus", "cpu"], cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root


def copy(trained: Path, place: Path) -> Path:
    return shutil.copytree(trained, place / "repository")


@pytest.fixture
def root(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that repository, which is the current folder."""
    root = copy(trained, tmp_path)
    monkeypatch.chdir(root)
    return root


def folder(root: Path) -> Path:
    return root / "results" / "log" / "small" / "tiny-s0"


def run_of(root: Path) -> records.Run:
    return records.read_run(folder(root) / records.LOG_NAME)


def edit(root: Path, old: str, new: str, file: str = "cnnpaper/learn/train.py") -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def results(root: Path) -> dict[str, bytes]:
    place = root / "results"
    return {str(p): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


def forge(root: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the log's lines and make all digests anew, as a forger would."""
    path = folder(root) / records.LOG_NAME
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    fabricate.chain(path, lines)
    records.read_run(path)


# ------------------------------------------------------------------------------------ certified


@pytest.fixture(scope="module")
def renamed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy in which a function was renamed, certified; and what was said."""
    root = copy(trained, tmp_path_factory.mktemp("renamed"))
    edit(root, "_sums_of", "_batch_sums")
    assert find_stale(root, read_frames(root, "small")) is not None
    said: list[str] = []
    before = os.environ.get("ONEDNN_MAX_CPU_ISA")
    verify.certify_study(root, "small", root / "data", said.append)
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == before
    return root, "\n".join(said)


@pytest.fixture
def answer(renamed: tuple[Path, str]) -> Replay:
    """What executing the run again gave."""
    path = renamed[0] / "build" / "verify" / "small" / "tiny-s0" / "replay.json"
    return Replay.model_validate_json(path.read_bytes())


def test_a_renamed_function_is_certified_and_the_run_is_fresh(renamed: tuple[Path, str]) -> None:
    root, said = renamed
    assert "verified" in said
    assert "_sums_of removed" in said
    assert "tiny-s0: certified" in said
    assert find_stale(root, read_frames(root, "small")) is None
    held = certificate.read(run_of(root))
    assert held is not None
    assert len(held.vouches_for) == 3  # the caller, the old name, the new one
    recorded = run_of(root).miniature
    assert recorded is not None
    assert recorded.unexecuted  # `if recipe.clip_norm` in the caller was never taken
    assert set(recorded.unexecuted) <= set(recorded.functions)
    loading = {"cnnpaper.learn.data:load", "cnnpaper.learn.data:synthetic"}
    assert loading <= set(recorded.functions)


def test_the_paper_says_which_runs_are_certified(renamed: tuple[Path, str]) -> None:
    from cnnpaper.paper.study import StudyPaper

    root, _ = renamed
    rows = {
        str(row[0]): str(row[1]) for row in StudyPaper(root, "small").text.tables["checklist"].rows
    }
    assert rows["Is it today’s code?"].startswith("by certificate for tiny-s0")
    made = certificate.read(run_of(root)).made  # type: ignore[union-attr]
    assert rows["Which runs have a certificate?"].startswith("1 of 1: tiny-s0, on ")
    assert made[:4] in rows["Which runs have a certificate?"]
    assert "make verify" in rows["Can a run be executed again?"]


def test_a_change_in_a_branch_that_is_not_taken_gets_none(root: Path, cnnpaper: Cnnpaper) -> None:
    edit(
        root,
        '            group["lr"] = self.learning_rate(at.epoch, at.step)\n',
        '            group["lr"] = self.learning_rate(at.epoch, at.step)\n'
        '            if at.step > 100:\n                group["lr"] *= 0.5\n',
    )
    before = results(root)
    done = cnnpaper("certify", "--study", "small")
    assert done.code == 2
    assert "  verified (" in done.out  # every bit is as recorded, and yet
    assert "Training._step changed: the replay does not execute all of it" in done.out
    assert "tiny-s0: cannot be certified" in done.err
    assert results(root) == before


def test_a_later_decay_is_seen_before_the_first_step(make_spec, images, monkeypatch) -> None:
    """Ten steps an epoch; the replay takes two of each, and four of the first."""
    import torch

    training = Training(make_spec(epochs=EPOCHS), images, torch.device("cpu"))
    before = (
        replay.schedule_digest(training),
        replay.planned(training),
        replay.first_steps(training),
    )
    rate = Training.learning_rate

    def later(self: Training, epoch: int, step: int) -> float:
        return rate(self, epoch, step) * 0.5 ** (step // 7)

    monkeypatch.setattr(Training, "learning_rate", later)
    training = Training(make_spec(epochs=EPOCHS), images, torch.device("cpu"))
    after = replay.schedule_digest(training), replay.planned(training), replay.first_steps(training)
    assert before[2] == after[2]
    assert before[0] != after[0]
    assert [
        a.learning_rate == b.learning_rate / 2 for a, b in zip(after[1], before[1], strict=True)
    ]


# ------------------------------------------------------------------------------------- verified


@pytest.fixture
def answered(answer: Replay, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Executing is replaced by what it gave before; holds what was asked."""
    asked: list[Any] = []

    def execute(root: Path, request: Any, folder: Path) -> Replay:
        asked.append(request)
        return answer

    monkeypatch.setattr(verify, "execute", execute)
    return asked


def test_the_same_bits(root: Path, cnnpaper: Cnnpaper, answered: list[Any]) -> None:
    before = results(root)
    done = cnnpaper("verify", "--study", "small")
    assert done.code == 0, done.err
    assert done.out.startswith("1 of 1: tiny-s0 is executed again\n  verified (")
    assert answered[0].spec.threads == 1
    assert answered[0].spec.isa_cap is None
    assert results(root) == before


FORGED: dict[str, tuple[Callable[[list[dict[str, Any]]], None], str]] = {
    "a loss of the miniature": (
        lambda lines: lines[1]["metrics"]["epochs"][2].update(val_loss=2.5),
        "miniature: epochs.2.val_loss: recorded 2.5, now",
    ),
    "the miniature's weights": (
        lambda lines: lines[1].update(state_digest="0" * 64),
        "miniature: state_digest: recorded 000000000000…, now",
    ),
    "the schedule": (lambda lines: lines[1].update(schedule_sha256="0" * 64), "schedule: recorded"),
    "the images": (lambda lines: lines[1].update(images_sha256="0" * 64), "images: recorded 0000"),
    "a step": (lambda lines: lines[4].update(loss=1.25), "step 2: loss: recorded 1.25, now"),
    "the weights": (lambda lines: lines[5].update(state_digest="1" * 64), "step 3: state_digest"),
    "a learning rate": (
        lambda lines: lines[6].update(learning_rate=0.5),
        "epoch 0: learning_rate: recorded 0.5, now",
    ),
    "a resolution": (lambda lines: lines[7].update(resolution=31), "epoch 1: resolution: recorded"),
    "the number of weights": (lambda lines: lines[0]["network"].update(parameters=1), "network: "),
    "the file of predictions": (
        lambda lines: lines[-1].update(predictions_sha256="2" * 64),
        "predictions.npz: recorded 222222222222…, now",
    ),
    "an accuracy": (lambda lines: lines[-1].update(test_acc=0.99), "test_acc: recorded 0.99, now"),
    "a test loss": (lambda lines: lines[-1].update(test_loss=0.1), "test_loss: recorded 0.1, now"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_log_differs(
    root: Path, cnnpaper: Cnnpaper, answered: list[Any], what: str
) -> None:
    change, expected = FORGED[what]
    forge(root, change)
    done = cnnpaper("verify", "--study", "small")
    assert done.code == 2
    assert "  differs (" in done.out
    assert f"  {expected}" in done.out
    assert "tiny-s0: not what this code gives" in done.err
    assert cnnpaper("certify", "--study", "small").code == 2
    assert not (folder(root) / CERTIFICATE_NAME).exists()


def other_machine(lines: list[dict[str, Any]]) -> None:
    lines[0]["machine"]["cpu_model"] = 1


@pytest.mark.parametrize("factor,within", [(0.5, True), (2.0, False)])
def test_elsewhere_the_first_steps_within_a_tolerance(
    root: Path, cnnpaper: Cnnpaper, answered: list[Any], factor: float, within: bool
) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        other_machine(lines)
        lines[1].update(state_digest="0" * 64)
        lines[4]["loss"] *= 1 + factor * tolerance.of("tiny", 2)

    forge(root, change)
    done = cnnpaper("verify", "--study", "small")
    assert done.code == (0 if within else 2)
    assert "not the same bits, since other than recorded: cpu_model 1 -> " in done.out
    assert ("  verified within tolerance (" in done.out) is within
    done = cnnpaper("certify", "--study", "small")
    assert not (folder(root) / CERTIFICATE_NAME).exists()
    assert "only the same bits count" in done.out


def test_elsewhere_what_needs_no_last_bit_is_exact(
    root: Path, cnnpaper: Cnnpaper, answered: list[Any]
) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        other_machine(lines)
        lines[6]["learning_rate"] *= 1 + 1e-12

    forge(root, change)
    done = cnnpaper("verify", "--study", "small")
    assert done.code == 2
    assert "epoch 0: learning_rate: recorded" in done.out


def test_another_configuration_differs_without_being_executed(
    root: Path, cnnpaper: Cnnpaper, answered: list[Any]
) -> None:
    edit(root, "momentum = 0.9", "momentum = 0.8", "experiments/recipe.toml")
    done = cnnpaper("certify", "--study", "small")
    assert done.code == 2
    assert "setting recipe.momentum: recorded 0.9, now 0.8" in done.out
    assert answered == []
    assert not (folder(root) / CERTIFICATE_NAME).exists()


def test_a_changed_constant_gets_none(root: Path, cnnpaper: Cnnpaper, answered: list[Any]) -> None:
    edit(root, "CHECK_EVERY = 50", "CHECK_EVERY = 51")
    done = cnnpaper("certify", "--study", "small")
    assert done.code == 2
    assert "CHECK_EVERY changed: not a function that the replay enters" in done.out
    assert not (folder(root) / CERTIFICATE_NAME).exists()


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (("verify", "--study", "smoke"), "'smoke' has no finished run yet: make experiments"),
        (("verify", "--study", "reference"), "there is no such folder"),
        (("certify", "--study", "smal"), "did you mean 'small'"),
        (("reproduce", "--model", "tiny", "--study", "small", "--seed", "7"), "has no seed 7"),
        (("reproduce", "--model", "alexnet", "--study", "small"), "is not about 'alexnet'"),
        (("reproduce", "--model", "alexnet", "--study", "smoke"), "alexnet-s0 is not finished"),
    ],
)
def test_what_cannot_be_executed_again(
    root: Path, cnnpaper: Cnnpaper, monkeypatch: Any, arguments: tuple[str, ...], expected: str
) -> None:
    monkeypatch.delenv("DATA_DIR", raising=False)
    done = cnnpaper(*arguments)
    assert done.code == 2
    assert expected in done.err
    assert len(done.err.splitlines()) <= 5


# ----------------------------------------------------------------------------------- reproduced


def test_reproducing_it_is_identical(root: Path, cnnpaper: Cnnpaper, make_spec) -> None:
    before = results(root)
    done = cnnpaper("reproduce", "--model", "tiny", "--study", "small")
    assert done.code == 0, done.err
    assert "small/tiny-s0: identical in " in done.out
    assert results(root) == before
    assert (root / "build/reproduce/small/test-evaluations.jsonl").read_text().count("\n") == 1


def test_reproducing_a_forged_log_shows_what_differs(
    root: Path, cnnpaper: Cnnpaper, make_spec
) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[7]["val_acc"] = 0.5
        lines[6]["train_s"] = 1e6  # a time: nobody can tell

    forge(root, change)
    done = cnnpaper("reproduce", "--model", "tiny", "--study", "small")
    assert done.code == 2
    assert "epoch 1: val_acc" in done.out
    assert "train_s" not in done.out
    assert "small/tiny-s0: 1 of " in done.err


# ------------------------------------------------------------------------------------ tolerance


def test_tolerances_grow_with_the_steps_and_know_every_network() -> None:
    for model in ("alexnet", "resnet18", "a network of somebody else's"):
        allowed = [tolerance.of(model, step) for step in range(replay.FIRST_STEPS)]
        assert allowed == sorted(allowed)
        assert allowed[0] >= tolerance.MULTIPLE * tolerance.LEAST
        assert allowed[-1] < 0.05
    assert tolerance.of("resnet18", 3) == 10 * 1.9e-06  # as spread.toml has it


@pytest.mark.parametrize(
    "logged,again,expected",
    [
        (2.0, 2.5, 0.25),
        (2.0, 2.0, 0.0),
        (None, None, 0.0),
        (float("nan"), float("nan"), 0.0),
        (float("nan"), 2.0, float("inf")),
        (2.0, float("inf"), float("inf")),
    ],
)
def test_relative_differences(logged: Any, again: Any, expected: float) -> None:
    assert verify.relative(logged, again) == expected
