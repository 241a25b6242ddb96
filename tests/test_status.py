"""Status: the state of every run, what the rest will cost, and what to type next."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnpaper import config, files, fingerprint, records, status
from cnnpaper.errors import UserError
from cnnpaper.imported import import_logs

REPOSITORY = Path(__file__).parents[1]
HERE = "A CPU of this kind"

# 1,000 images to learn and 100 to evaluate; the first of two epochs at half the side: a quarter
STUDY = """\
networks = ["alexnet", "vgg16"]
seeds = [0]
epochs = 2
threads = 2

[data]
set = "synthetic"
train_images = 1000
validation_images = 100
test_images = 100

[override.low_resolution]
value = 16
why = "easy to reckon with"

[override.low_resolution_share]
value = 0.5
why = "easy to reckon with"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with study trial and without a run."""
    shutil.copytree(REPOSITORY / "experiments", tmp_path / "experiments")
    (tmp_path / "cnnpaper").symlink_to(REPOSITORY / "cnnpaper")
    shutil.copy(REPOSITORY / "uv.lock", tmp_path / "uv.lock")
    (tmp_path / "experiments" / "study" / "trial.toml").write_text(STUDY)
    return tmp_path


def write(
    root: Path,
    model: str,
    *,
    study: str = "trial",
    epochs: int = 2,
    epoch_s: float = 40.0,
    result: dict[str, Any] | None = None,
    cpu: str = HERE,
    gpu: str | None = None,
    recorded: records.Fingerprint | None = None,
) -> Path:
    """A log of invented epochs at 32 pixels, ``epoch_s`` to learn, a tenth to evaluate."""
    spec = config.run_spec(root, config.load_study(root, "trial"), model, 0)
    path = config.run_folder(root, study, spec.run) / records.LOG_NAME
    writer = records.LogWriter(path)
    writer.append(
        records.Header(
            schema=1,
            origin="trained",
            study=study,
            model=model,
            seed=0,
            spec=spec.model_dump(mode="json"),
            fingerprint=recorded,
            data=records.Data(name="synthetic", digest=None),
            machine=records.Machine(cpu=cpu, threads=2, gpu=gpu),
            packages={},
            commit=None,
            started=None,
            network=records.Network(parameters=None, macs=None),
        )
    )
    for number in range(epochs):
        writer.append(
            records.Epoch(
                epoch=number,
                train_loss=2.0,
                train_acc=0.3,
                val_loss=2.0,
                val_acc=0.35,
                weights="raw",
                resolution=32,
                train_s=epoch_s,
                train_cpu_s=2 * epoch_s,
                eval_s=epoch_s / 10,
                other_cpu_s=0.0,
                learning_rate=0.1,
            )
        )
    if result is not None:
        writer.append(
            records.Result(
                **{
                    "status": "finished",
                    "best_epoch": 0,
                    "best_val_acc": 0.35,
                    "test_acc": 0.33337,
                    "test_loss": 2.0,
                    "test_acc_tta": 0.34,
                    "total_s": 90.0,
                    "predictions_sha256": None,
                    **result,
                }
            )
        )
    return path


def lines(text: str) -> list[list[str]]:
    """The lines of the table and below it, split at two blanks or more."""
    return [
        [part.strip() for part in line.split("  ") if part.strip()] for line in text.split("\n")
    ]


# ------------------------------------------------------------------------------------ states


def test_nothing_trained_yet(root: Path) -> None:
    text = status.status(root, "trial")
    assert lines(text)[2:] == [
        ["alexnet-s0", "missing", "unknown", "about 1.8 GiB"],
        ["vgg16-s0", "missing", "unknown", "about 1.7 GiB"],
        [],
        ["2 of 2 runs to do, cost unknown: make experiments STUDY=trial"],
        [],
    ]


def test_all_done(root: Path) -> None:
    write(root, "alexnet", result={"peak_memory": 3 * 2**29})
    write(root, "vgg16", epoch_s=1800.4, result={"status": "diverged", "test_acc": None})
    table = lines(status.status(root, "trial"))
    assert table[0] == ["run", "state", "val acc", "test acc", "training", "still to do", "memory"]
    assert table[2:] == [
        ["alexnet-s0", "done", "35.00 %", "33.34 %", "1 min 20 s", "1.5 GiB"],
        ["vgg16-s0", "diverged", "35.00 %", "1 h 0 min"],
        [],
        ["all runs are done: make report STUDY=trial"],
        [],
    ]


def test_incomplete_run_and_what_its_rest_costs(root: Path) -> None:
    write(root, "alexnet", result={})
    write(root, "vgg16", epochs=1, epoch_s=60.0)
    # one epoch at 32 pixels is left, and its epochs took 60 s and 6 s of evaluation
    assert lines(status.status(root, "trial"))[3:] == [
        ["vgg16-s0", "incomplete (1 of 2)", "1 min 0 s", "about 1 min 6 s", "about 1.7 GiB"],
        [],
        ["vgg16-s0 is incomplete (1 of 2 epochs): make vgg16 STUDY=trial"],
        ["1 of 2 runs to do, about 1 min 6 s: make vgg16 STUDY=trial"],
        [],
    ]


@pytest.mark.parametrize(
    "done, planned, expected",
    [
        (1, 3, "resnet18-s0 is incomplete (1 of 3 epochs): make resnet18 STUDY=reference"),
        (0, 1, "resnet18-s0 is incomplete (0 of 1 epoch): make resnet18 STUDY=reference"),
    ],
)
def test_sentence_for_an_incomplete_run(done: int, planned: int, expected: str) -> None:
    found = status.incomplete_message("reference", "resnet18-s0", "resnet18", done, planned)
    assert found == expected


def test_damaged_logs_are_shown_beside_the_others(root: Path) -> None:
    path = write(root, "alexnet", epochs=1)
    path.write_bytes(path.read_bytes()[:-5])
    text = status.status(root, "trial")
    assert ["alexnet-s0", "damaged"] in lines(text)
    assert f"{path}:2: the last line is cut off" in text
    assert "2 of 2 runs to do, cost unknown: make experiments STUDY=trial" in text


def test_stale_run_and_its_remedy(root: Path) -> None:
    spec = config.run_spec(root, config.load_study(root, "trial"), "alexnet", 0)
    today = fingerprint.of_run(root, spec)
    write(root, "vgg16", result={})
    path = write(root, "alexnet", result={}, recorded=today)
    assert "all runs are done" in status.status(root, "trial")
    path.unlink()
    other = today.model_copy(update={"packages": {**today.packages, "torch": "1.0.0"}})
    write(root, "alexnet", result={}, recorded=other)
    text = status.status(root, "trial")
    # half the epochs at a quarter of the area: 1.25 epochs of 40 s, and twice 4 s of evaluation
    row = ["alexnet-s0", "stale", "35.00 %", "33.34 %", "1 min 20 s", "about 58 s", "about 1.8 GiB"]
    assert row in lines(text)
    assert "alexnet-s0 is stale: torch: 1.0.0 -> 2.14.1" in text
    assert "make alexnet STUDY=trial FORCE=1" in text
    assert "all runs are done" not in text


@pytest.mark.skipif(not Path("/proc/locks").is_file(), reason="needs Linux's table of locks")
def test_running_run_is_not_offered_again(root: Path) -> None:
    path = write(root, "alexnet", epochs=1)
    write(root, "vgg16", result={})
    with files.lock(path.with_name("run.lock"), what="it"):
        text = status.status(root, "trial")
    row = ["alexnet-s0", "running (1 of 2)", "40 s", "about 44 s", "about 1.8 GiB"]
    assert row in lines(text)
    assert "make" not in text
    assert "incomplete (1 of 2)" in status.status(root, "trial")


def test_imported_study(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    text = (
        "############학습 시작############\nEpoch 0/0\n----------\n"
        "train Loss: 2.1000 Acc: 0.2000\nval Loss: 1.9000 Acc: 0.2500\n"
    )
    end = "############학습 끝############\nTraining complete in 1m 5s\nBest val Acc: 0.250000\n"
    (folder / "resnet18_1epoch_train.log").write_text(text + end, encoding="utf-8")
    (folder / "vgg16_1epoch_pre_train.log").write_text(text, encoding="utf-8")
    import_logs(root, folder, "old")
    assert lines(status.status(root, "old"))[2:] == [
        ["vgg16-pretrained", "cut off", "25.00 %"],
        ["resnet18", "done", "25.00 %"],
        [],
        ["all runs are done: make report STUDY=old"],
        [],
    ]
    path = root / "results/log/old/resnet18/run.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.26"))
    found = status.status(root, "old")
    assert ["resnet18", "damaged"] in lines(found)
    assert "make" not in found
    shutil.rmtree(root / "results")
    assert "has no runs: import its logs again" in status.status(root, "old")


def test_study_that_is_not_there(root: Path) -> None:
    with pytest.raises(UserError, match="there is no study 'trail'; did you mean 'trial'"):
        status.status(root, "trail")


# ------------------------------------------------------------------------------------ costs


def cost(root: Path, model: str) -> float | None:
    """The estimate for a run of ``model`` that was never begun."""
    spec = config.run_spec(root, config.load_study(root, "trial"), model, 0)
    row = status.Row(run=spec.run, model=model, state="missing", to_do=(16, 32), spec=spec)
    return status.Costs(root, here=(HERE, frozenset())).estimate(row)


def test_cost_from_the_same_network(root: Path) -> None:
    write(root, "alexnet", study="another", epoch_s=40.0)
    # (1/4 + 1) epochs of 40 s, and two evaluations of 4 s
    assert cost(root, "alexnet") == pytest.approx(58.0)


def test_cost_is_that_of_the_middle_epoch(root: Path) -> None:
    for study, epoch_s in (("one", 40.0), ("two", 40.0), ("three", 4000.0)):
        write(root, "alexnet", study=study, epoch_s=epoch_s)
    assert cost(root, "alexnet") == pytest.approx(58.0)


def test_cost_from_other_networks_by_what_they_cost_relative_to_it(root: Path) -> None:
    write(root, "alexnet", study="another", epoch_s=40.0)
    assert cost(root, "vgg16") == pytest.approx(58.0 * 580 / 400)


def test_this_kind_of_machine_comes_first(root: Path) -> None:
    write(root, "vgg16", study="another", epoch_s=1000.0, cpu="Another CPU")
    assert cost(root, "vgg16") == pytest.approx(1000 * 1.25 + 200)
    write(root, "alexnet", study="third", epoch_s=40.0)
    assert cost(root, "vgg16") == pytest.approx(58.0 * 580 / 400)
    write(root, "alexnet", study="fourth", epoch_s=1.0, gpu="A GPU")
    assert cost(root, "vgg16") == pytest.approx(58.0 * 580 / 400)


def test_a_gpu_of_the_same_name(root: Path) -> None:
    write(root, "alexnet", study="one", epoch_s=1.0, gpu="A GPU")
    write(root, "alexnet", study="two", epoch_s=40.0)
    spec = config.run_spec(root, config.load_study(root, "trial"), "alexnet", 0)
    row = status.Row(run=spec.run, model="alexnet", state="missing", to_do=(32, 32), spec=spec)
    costs = status.Costs(root, here=(HERE, frozenset({"A GPU"})))
    assert costs.estimate(row) == pytest.approx(2.2)


def test_cost_of_a_network_about_which_nothing_is_known(root: Path) -> None:
    write(root, "alexnet", study="another")
    assert cost(root, "inception_v3") is None


def test_damaged_logs_are_no_base_for_an_estimate(root: Path) -> None:
    path = write(root, "alexnet", study="another")
    path.write_bytes(path.read_bytes().replace(b'"train_s":40.0', b'"train_s":41.0'))
    assert cost(root, "alexnet") is None


def test_some_costs_unknown(root: Path) -> None:
    path = root / "experiments" / "study" / "trial.toml"
    path.write_text(STUDY.replace('"vgg16"', '"inception_v3"'))
    write(root, "alexnet", study="another")
    found = lines(status.status(root, "trial"))
    assert found[2:4] == [
        ["alexnet-s0", "missing", "about 58 s", "about 1.8 GiB"],
        ["inception_v3-s0", "missing", "unknown", "about 2.5 GiB"],
    ]
    assert found[5] == [
        "2 of 2 runs to do, about 58 s without the 1 of unknown cost: make experiments STUDY=trial"
    ]


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (208, "3 min 28 s"),
        (3599.6, "1 h 0 min"),
        (7530, "2 h 6 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert status.duration(seconds) == expected


def test_this_machine_has_a_name() -> None:
    cpu, gpus = status.this_machine()
    assert cpu
    assert isinstance(gpus, frozenset)


def test_without_torch(root: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from cnnpaper.status import status; "
        "status(Path(sys.argv[1]), 'trial'); print(json.dumps('torch' in sys.modules))"
    )
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False


# ------------------------------------------------------------------------------------ memory


def test_memory_from_what_a_network_keeps(root: Path) -> None:
    """1.2 GiB, 12 kB for each of 1,000 images, 16 bytes a parameter, 128 images' activations."""
    spec = config.run_spec(root, config.load_study(root, "trial"), "alexnet", 0)
    expected = 1.2 * 2**30 + 12_000 * 1000 + 16 * 28_711_754 + 1_020_209 * 128
    assert status.Costs(root).memory(spec) == pytest.approx(expected)
    low = {"low_resolution_share": 1.0, "low_resolution": 16}
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update=low)})
    less = expected - 0.75 * 1_020_209 * 128
    assert status.Costs(root).memory(spec) == pytest.approx(less)
    assert status.Costs(root).memory(spec.model_copy(update={"builder": "mine"})) is None


def test_memory_that_was_seen_counts_more(root: Path) -> None:
    spec = config.run_spec(root, config.load_study(root, "trial"), "alexnet", 0)
    write(root, "alexnet", result={"peak_memory": 3 * 2**30})
    assert status.Costs(root).memory(spec) == 3 * 2**30
    wider = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"batch_size": 9})})
    assert status.Costs(root).memory(wider) != 3 * 2**30
    other = spec.model_copy(update={"builder": "vgg16"})
    assert status.Costs(root).memory(other) != 3 * 2**30


@pytest.mark.parametrize("free, said", [(8, False), (1, True), (None, False)])
def test_a_run_says_what_it_needs(
    root: Path, free: int | None, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = config.run_spec(root, config.load_study(root, "trial"), "alexnet", 0)
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"batch_size": 128})})
    monkeypatch.setattr(status, "_free_memory", lambda: free and free * 2**30)
    text = status.memory_remark(root, spec)
    assert text.startswith("alexnet-s0: needs about 1.8 GiB of memory")
    assert ("1.0 GiB are free" in text and "--batch-size 32" in text) is said


@pytest.mark.parametrize("model", ["alexnet", "vgg16", "googlenet", "resnet18"])
def test_the_estimate_is_near_what_the_committed_runs_took(model: str, tmp_path: Path) -> None:
    """Within a quarter; the repository of the estimate has no log to read it from."""
    shutil.copytree(REPOSITORY / "experiments", tmp_path / "experiments")
    log = records.read_run(REPOSITORY / f"results/log/reference/{model}-s0/run.jsonl")
    assert log.result is not None
    spec = config.RunSpec.model_validate_json(json.dumps(log.header.spec))
    peak = (log.result.model_extra or {})["peak_memory"]
    assert status.Costs(tmp_path).memory(spec) == pytest.approx(peak, rel=0.25)
