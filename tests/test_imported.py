"""The 2023 program's logs become a study: whole or not at all, and nothing is invented."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import config, files, records
from cnnpaper.errors import UserError
from cnnpaper.imported import import_logs

REPOSITORY = Path(__file__).parents[1]

TWO_EPOCHS = """\
############학습 시작############
----------
Epoch 0/1
train Loss: 2.1000 Acc: 0.2000
val Loss: nan Acc: 0.2500
----------
Epoch 1/1
train Loss: 1.9000 Acc: 0.3000
val Loss: 1.7000 Acc: 0.3962
----------
############학습 끝############
Training complete in 1m 5s
Best val Acc: 0.396226
"""
CUT_OFF = TWO_EPOCHS[: TWO_EPOCHS.index("Epoch 1")]
TEN = TWO_EPOCHS.replace("/1\n", "/9\n").partition("----------\n####")[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository that has experiment files alone."""
    root = tmp_path / "repository"
    shutil.copytree(REPOSITORY / "experiments", root / "experiments")
    return root


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of logs under the names that the 2023 program gives."""
    folder = tmp_path / "old logs"
    folder.mkdir()
    (folder / "20231031-101500_resnet18_2epoch_train.log").write_text(TWO_EPOCHS)
    (folder / "20231031-121500_resnet18_2epoch_pre_train.log").write_text(TWO_EPOCHS)
    (folder / "mobilenet_v2_2epoch_train.log").write_text(TWO_EPOCHS)
    (folder / "alexnet_2epoch_train.log").write_text(CUT_OFF)
    (folder / "notes.txt").write_text("not a log")
    return folder


def tree(root: Path) -> dict[str, bytes]:
    """Every file under ``root`` but locks, with what it holds."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def message(*args: Any, **options: Any) -> str:
    """What the user is told."""
    with pytest.raises(UserError) as caught:
        import_logs(*args, **options)
    return str(caught.value)


# ------------------------------------------------------------------------------ what is right


def test_runs_of_the_study(root: Path, logs: Path) -> None:
    runs = import_logs(root, logs, "course2023")
    folder = root / "results" / "log" / "course2023"
    assert {run.name for run in runs} == {
        "alexnet",
        "mobilenet_v2",
        "resnet18",
        "resnet18-pretrained",
    }
    assert set(tree(folder)) == {
        f"{run.name}/{file}" for run in runs for file in ("run.jsonl", "train.log")
    }
    assert [path.name for path in folder.parent.iterdir()] == ["course2023"]


def test_what_a_log_says_is_kept_and_nothing_else_is_known(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    run = records.read_run(root / "results/log/course2023/resnet18-pretrained/run.jsonl")
    header = run.header
    assert (header.origin, header.study) == ("imported", "course2023")
    assert (header.model, header.variant) == ("resnet18", "pretrained")
    for unknown in ("seed", "spec", "fingerprint", "commit", "started"):
        assert getattr(header, unknown) is None
    assert header.data.model_dump() == {"name": None, "digest": None}
    assert set(header.machine.model_dump().values()) == {None}
    assert header.packages == {}
    assert header.network.model_dump() == {"parameters": None, "macs": None, "layers": ()}
    assert header.model_extra == {
        "epochs": 2,
        "source": {
            "file": "20231031-121500_resnet18_2epoch_pre_train.log",
            "sha256": hashlib.sha256(TWO_EPOCHS.encode()).hexdigest(),
        },
    }
    first, second = run.epochs
    assert (first.train_loss, first.train_acc, first.val_acc) == (2.1, 0.2, 0.25)
    assert (first.val_loss, first.nonfinite) == (None, {"val_loss": "nan"})
    assert (second.val_loss, second.nonfinite) == (1.7, {})
    for unknown in ("train_s", "train_cpu_s", "eval_s", "weights", "resolution", "learning_rate"):
        assert getattr(first, unknown) is None
    assert run.result is not None
    assert run.result.model_dump(exclude={"kind", "nonfinite"}) == {
        "status": "finished",
        "best_epoch": 1,
        "best_val_acc": 0.396226,
        "test_acc": None,
        "test_loss": None,
        "test_acc_tta": None,
        "total_s": 65.0,
        "predictions_sha256": None,
    }


def test_a_log_that_was_cut_off_says_so(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    run = records.read_run(root / "results/log/course2023/alexnet/run.jsonl")
    assert run.result is not None
    assert (run.result.status, run.result.total_s) == ("cut off", None)
    assert (run.result.best_val_acc, len(run.epochs)) == (0.25, 1)
    assert (run.header.model_extra or {})["epochs"] == 2


def test_study_file(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    study = config.load_study(root, "course2023")
    assert study.origin == "imported"
    assert study.networks == ("alexnet", "resnet18", "mobilenet_v2")  # as in study full
    assert (study.seeds, study.epochs) == ((), 2)
    assert (study.data.set, study.data.digest) == ("unknown", None)


def test_train_log_is_drawn(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    text = (root / "results/log/course2023/resnet18/train.log").read_text(encoding="utf-8")
    lines = [line for line in TWO_EPOCHS.splitlines() if line != "----------"]
    assert [line for line in text.splitlines() if line != "----------"] == lines


def test_the_same_logs_give_the_same_bytes(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    before = tree(root)
    import_logs(root, logs, "course2023", force=True)
    assert tree(root) == before


VARIANTS: dict[str, dict[str, str]] = {
    "one log": {"alexnet_2epoch_train.log": "alexnet"},
    "one with a time": {"20231031-101500_alexnet_2epoch_train.log": "alexnet"},
    "with and without ImageNet weights": {
        "a_1": "",
        "alexnet_2epoch_train.log": "alexnet",
        "alexnet_2epoch_pre_train.log": "alexnet-pretrained",
    },
    "twice at different times": {
        "20231031-101500_alexnet_2epoch_train.log": "alexnet-20231031_101500",
        "20231101-101500_alexnet_2epoch_train.log": "alexnet-20231101_101500",
        "20231101-111500_alexnet_2epoch_pre_train.log": "alexnet-pretrained",
    },
    "twice with ImageNet weights": {
        "20231031-101500_alexnet_2epoch_pre_train.log": "alexnet-pretrained_20231031_101500",
        "20231101-101500_alexnet_2epoch_pre_train.log": "alexnet-pretrained_20231101_101500",
    },
    "one of two has a time": {
        "20231031-101500_alexnet_2epoch_train.log": "alexnet-20231031_101500",
        "alexnet_2epoch_train.log": "alexnet",
    },
    "two lengths without a time": {
        "alexnet_2epoch_train.log": "alexnet-2ep",
        "alexnet_10epoch_train.log": "alexnet-10ep",
    },
    "other ways to write a time": {
        "2023-10-31_10:15:00_vgg16_2epoch_train.log": "vgg16-2023_10_31_10_15_00",
        "2023-10-31 10.15.01_vgg16_2epoch_train.log": "vgg16-2023_10_31_10_15_01",
    },
    "other ways to write a network": {
        "ResNet-18_2epoch_train.log": "resnet18",
        "inceptionv3_2epoch_train.log": "inception_v3",
        "densenet_121_2epoch_train.log": "densenet121",
        "GoogLeNet_2epoch_train.log": "googlenet",
    },
}


@pytest.mark.parametrize("names", VARIANTS.values(), ids=VARIANTS.keys())
def test_names_of_runs(root: Path, tmp_path: Path, names: dict[str, str]) -> None:
    names = {file: run for file, run in names.items() if run}
    folder = tmp_path / "logs"
    folder.mkdir()
    for file in names:
        (folder / file).write_text(TEN if "10epoch" in file else TWO_EPOCHS, encoding="utf-8")
    assert {run.name for run in import_logs(root, folder, "old")} == set(names.values())


# ------------------------------------------------------------------------------ what is wrong

BAD_FILES: dict[str, tuple[str, str | bytes, list[str]]] = {
    "a name of another form": ("train.log", TWO_EPOCHS, ["train.log", "_Nepoch[_pre]_train.log"]),
    "no number of epochs": ("alexnet_epoch_train.log", TWO_EPOCHS, ["alexnet_epoch_train.log"]),
    "a network that is not known": (
        "squeezenet_2epoch_train.log",
        TWO_EPOCHS,
        ["unknown network 'squeezenet'", "known networks: alexnet, densenet121, googlenet"],
    ),
    "which VGG": ("vgg_2epoch_train.log", TWO_EPOCHS, ["unknown network 'vgg'", "'vgg16'"]),
    "a network whose name only ends like one": (
        "wide_resnet18_2epoch_train.log",
        TWO_EPOCHS,
        ["unknown network 'wide_resnet18'"],
    ),
    "epochs that the lines contradict": (
        "vgg16_25epoch_train.log",
        TWO_EPOCHS,
        ["its name says 25 epochs, its lines say 2"],
    ),
    "a wrong line": (
        "vgg16_2epoch_train.log",
        TWO_EPOCHS.replace("Acc: 0.3000", "Acc: high"),
        ["vgg16_2epoch_train.log:8: 'train Loss: 1.9000 Acc: high'"],
    ),
    "empty": ("vgg16_2epoch_train.log", "", ["vgg16_2epoch_train.log:1: the log ends before"]),
    "not a text": ("vgg16_2epoch_train.log", b"\xff\xfe\xff", ["not a text file"]),
    "a time stamp without end": (
        "0" * 100 + "_resnet18_2epoch_train.log",
        TWO_EPOCHS,
        ["time stamp is too long"],
    ),
    "the same log under two spellings": (
        "20231031_101500_resnet18_2epoch_train.log",
        TWO_EPOCHS,
        ["resnet18_2epoch_train.log: the same network and time as 20231031-101500_resnet18"],
    ),
}


@pytest.mark.parametrize("name, text, expected", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_one_bad_file_and_nothing_is_written(
    root: Path, logs: Path, name: str, text: str | bytes, expected: list[str]
) -> None:
    (logs / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = tree(root)
    told = message(root, logs, "course2023")
    for part in expected:
        assert part in told
    assert len(told.splitlines()) <= 5
    assert tree(root) == before


def test_a_folder_that_is_called_like_a_log(root: Path, logs: Path) -> None:
    (logs / "vgg16_2epoch_train.log").mkdir()
    assert "cannot be read (Is a directory)" in message(root, logs, "course2023")


def test_folders_without_a_log(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no log in it" in message(root, tmp_path / "empty", "old")
    assert "not a folder" in message(root, tmp_path / "missing", "old")
    (tmp_path / "file").write_text("")
    assert "not a folder" in message(root, tmp_path / "file", "old")


@pytest.mark.parametrize("name", ["", "../old", "a/b", "-x", ".hidden", "a b", "n" * 90])
def test_a_name_that_no_study_can_have(root: Path, logs: Path, name: str) -> None:
    before = tree(root)
    assert "name = " in message(root, logs, name)
    assert tree(root) == before


def test_a_study_that_exists_needs_force(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    before = tree(root)
    (logs / "alexnet_2epoch_train.log").unlink()
    told = message(root, logs, "course2023")
    assert "course2023.toml: study 'course2023' exists; --force imports it anew" in told
    assert tree(root) == before
    import_logs(root, logs, "course2023", force=True)
    assert not (root / "results/log/course2023/alexnet").exists()
    assert "alexnet" not in config.load_study(root, "course2023").networks


def test_trained_runs_are_never_replaced(root: Path, logs: Path) -> None:
    for name in ("reference", "single-10ep"):
        before = tree(root)
        assert "choose another" in message(root, logs, name, force=True)
        assert tree(root) == before
    import_logs(root, logs, "course2023")
    log = root / "results/log/lonely/tiny-s0/run.jsonl"
    header = records.read_run(root / "results/log/course2023/alexnet/run.jsonl").header
    records.LogWriter(log).append(header.model_copy(update={"origin": "trained"}))
    assert "choose another name" in message(root, logs, "lonely", force=True)
    assert log.exists()


def test_a_damaged_run_in_the_way_is_not_replaced(root: Path, logs: Path) -> None:
    import_logs(root, logs, "course2023")
    log = root / "results/log/course2023/alexnet/run.jsonl"
    log.write_bytes(log.read_bytes()[:-3])
    assert "cut off" in message(root, logs, "course2023", force=True)


def test_two_imports_at_once(root: Path, logs: Path) -> None:
    with files.lock(root / "build" / "import-course2023.lock", what="it"):
        told = message(root, logs, "course2023")
    assert f"the import of study 'course2023' is in use by process {os.getpid()}" in told


# ------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("force", [False, True], ids=["first import", "replacement"])
@pytest.mark.parametrize("call", ["run", "rename", "study file"])
def test_a_full_disk_leaves_all_as_it_was(
    root: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, call: str, force: bool
) -> None:
    if force:
        import_logs(root, logs, "course2023")
    before = tree(root)
    (logs / "alexnet_2epoch_train.log").write_text(TWO_EPOCHS)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if call == "run":
            patch.setattr(records.LogWriter, "append", full)
        elif call == "rename":
            patch.setattr(Path, "rename", full)
        else:
            patch.setattr("cnnpaper.imported._toml", full)
        with pytest.raises(OSError, match="No space left"):
            import_logs(root, logs, "course2023", force=force)
    assert tree(root) == before
    import_logs(root, logs, "course2023", force=force)
    assert set(tree(root)) >= set(before)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from cnnpaper import imported, records

    moment, root, logs = sys.argv[1:]

    def dying(function, count):
        def call(*args, **options):
            nonlocal count
            count -= 1
            if count == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)
        return call

    kind, number = moment.split()
    if kind == "line":
        records.LogWriter.append = dying(records.LogWriter.append, int(number))
    elif kind == "rename":
        Path.rename = dying(Path.rename, int(number))
    elif kind == "study":
        imported._toml = dying(imported._toml, 1)
    else:
        imported.shutil.rmtree = dying(imported.shutil.rmtree, int(number))
    imported.import_logs(Path(root), Path(logs), "course2023", force=True)
"""


@pytest.mark.parametrize("before", [False, True], ids=["first import", "replacement"])
@pytest.mark.parametrize(
    "moment", ["line 1", "line 6", "rename 1", "rename 2", "study 1", "rmtree 3"]
)
def test_a_kill_and_the_same_command_again(
    root: Path, logs: Path, tmp_path: Path, moment: str, before: bool
) -> None:
    expected = tmp_path / "expected"
    shutil.copytree(root, expected)
    import_logs(expected, logs, "course2023")
    if before:
        import_logs(root, logs, "course2023")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), moment, str(root), str(logs)]
    code = subprocess.run(command, cwd=REPOSITORY, check=False).returncode
    assert code == -signal.SIGKILL or (code == 0 and moment == "rename 2" and not before)
    complete = (root / "experiments" / "study" / "course2023.toml").exists()
    import_logs(root, logs, "course2023", force=complete)
    assert tree(root) == tree(expected)
