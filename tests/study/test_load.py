"""What a study's logs must be, and the tables that are made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnpaper import log
from cnnpaper.files import UserError, sha256_file
from cnnpaper.study.load import EPOCHS, RUNS, load
from tests import fabricate
from tests.fabricate import Plan

RUN = "results/log/invented/short/vgg16-s1"


def edit(path: Path, kind: str, change: Callable[[dict[str, Any]], Any], which: int = -1) -> None:
    """Change one line of a log, the last of its kind unless ``which`` says another."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    change([line for line in lines if line["kind"] == kind][which])
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def test_tables(root: Path) -> None:
    data = load(root, "invented")
    assert (list(data.runs.columns), list(data.epochs.columns)) == (RUNS, EPOCHS)
    assert (len(data.runs), len(data.missing)) == (4 * 3 + 4 * 2, 0)
    # seed by seed, networks in the study's order, whatever the order of the folders
    assert list(data.runs["model"][:5]) == [*fabricate.FOUR, "alexnet"]
    assert list(data.runs["model"].cat.categories) == list(fabricate.FOUR)
    assert data.runs["model"].cat.ordered
    row = data.runs.set_index("path").loc["invented/short/vgg16-s1"]
    result = log.read_run(root / RUN / "run.jsonl").result
    assert result is not None
    assert (row["test_acc"], row["steps"]) == (result.test_acc, 15)
    epochs = data.epochs[data.epochs["path"] == "invented/short/vgg16-s1"]
    seconds = fabricate.STEP_S["vgg16"]  # 640 images in batches of 64; the last epoch is partial
    assert list(epochs["train_s"]) == pytest.approx([10 * seconds, 5 * seconds])
    assert row["train_s"] == pytest.approx(15 * seconds)
    assert len(data.predictions) == 20


def test_missing_runs_are_counted_and_hide_their_seed(tmp_path: Path) -> None:
    arms = {"short": {"steps": 15, "seeds": [3, 1, 2]}, "long": {"epochs": 3, "seeds": [0]}}
    plan = Plan(arms=arms, missing=("short/vgg16-s1",), only=11)
    data = load(fabricate.study(tmp_path, plan), "invented")
    assert [spec.path for spec in data.missing] == [
        "invented/short/vgg16-s1",
        "invented/short/resnet18-s2",
        *(f"invented/long/{model}-s0" for model in fabricate.FOUR),
    ]
    assert data.complete_seeds("short") == (3,)
    assert data.complete_seeds("long") == ()


def test_a_diverged_run_counts_as_guessing(tmp_path: Path) -> None:
    data = load(fabricate.study(tmp_path, Plan(diverged=("vgg16-s0",))), "invented")
    row = data.runs.set_index("path").loc["invented/vgg16-s0"]
    assert (row["status"], row["test_acc"], row["val_acc"]) == ("diverged", 0.1, 0.1)
    assert "invented/vgg16-s0" not in data.predictions
    assert data.complete_seeds("") == (0,)
    last = data.epochs[data.epochs["path"] == "invented/vgg16-s0"].iloc[-1]
    assert (np.isnan(last["train_loss"]), last["val_loss"]) == (True, np.inf)


def test_kinds_of_processor_within_a_seed_are_known(tmp_path: Path) -> None:
    plan = Plan(seeds=(0, 1), processors={"vgg16-s1": "AuthenticAMD 25-17"})
    assert load(fabricate.study(tmp_path, plan), "invented").mixed_processors == [("", 1)]


# --------------------------------------------------------------------------------- refusals


def refused(root: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(root, "invented")
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5


def test_an_incomplete_run(tmp_path: Path) -> None:
    arms = {"short": {"epochs": 3, "seeds": [0]}}
    fabricate.study(tmp_path, Plan(arms=arms, incomplete=("short/resnet18-s0",)))
    refused(tmp_path, "invented/short/resnet18-s0 is incomplete (2 of 3 epochs): "
            "make resnet18 STUDY=invented ARM=short SEEDS=0")  # fmt: skip


def cut_off(folder: Path) -> None:
    path = folder / "run.jsonl"
    path.write_bytes(path.read_bytes()[:-20])


def link(folder: Path) -> None:
    (folder / "run.jsonl").unlink()
    (folder / "run.jsonl").symlink_to("nowhere")


def other_run(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("vgg16-s0"), folder)


def readings(count: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "run.jsonl"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join([*lines[:-2], *lines[-2:-1] * count, lines[-1]]), "utf-8")

    return change


def other_images(folder: Path) -> None:
    """The same number of them in another order: the metrics are the same, the images are not."""
    path, order = folder / "predictions.npz", np.arange(400)[::-1]
    found = log.read_predictions(path)
    turned = replace(found, test_labels=found.test_labels[order],
                     test_logits=found.test_logits[order])  # fmt: skip
    path.write_bytes(turned.to_bytes())
    new = sha256_file(path)
    edit(folder / "run.jsonl", "result", lambda line: line.update(predictions_sha256=new))


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut off": (cut_off, f"{RUN}/run.jsonl:8: the last line is cut off"),
    "not declared": (lambda folder: shutil.copytree(folder, folder.with_name("vgg16-s7")),
                     "short/vgg16-s7/run.jsonl: study 'invented' does not declare this run"),
    "of another run": (other_run, f"{RUN}/run.jsonl:1: seed = 0, but this is the folder of "
                                  "invented/short/vgg16-s1"),
    "a link to nothing": (link, f"{RUN}/run.jsonl: cannot be read"),
    "two readings": (readings(2), "readings of the test images: [400, 400], expected [400]"),
    "no reading": (readings(0), "readings of the test images: [], expected [400]"),
    "no predictions": (lambda folder: (folder / "predictions.npz").unlink(),
                       f"{RUN}/predictions.npz: cannot be read"),
    "other images": (other_images, f"{RUN}/predictions.npz: test_labels are not those of"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_damaged_misplaced_or_undeclared(root: Path, case: str) -> None:
    change, words = DAMAGED[case]
    change(root / RUN)
    refused(root, words)


@pytest.mark.parametrize(
    "kind, key, value, words",
    [
        ("result", "test_acc", 0.99, "test_acc = 0.99, but the predictions give 0.7"),
        ("result", "val_loss", 0.5, "val_loss = 0.5, but the predictions give"),
        ("epoch", "steps", 4, "finished after 14 of 15 steps"),
        ("reading", "images", 399, "readings of the test images: [399], expected [400]"),
        ("result", "status", "diverged", "readings of the test images: [400], expected []"),
        ("epoch", "val_acc", 0.5, "but the last epoch has 0.5"),
        ("result", "status", "cut off", "status = 'cut off' of a run that was trained here"),
        ("result", "predictions_sha256", "0" * 64, "other SHA-256"),
    ],
)
def test_a_log_at_odds_with_itself(
    root: Path, kind: str, key: str, value: object, words: str
) -> None:
    edit(root / RUN / "run.jsonl", kind, lambda line: line.update({key: value}))
    refused(root, f"{RUN}/", words, "version control",
            "make vgg16 STUDY=invented ARM=short SEEDS=1 FORCE=1")  # fmt: skip


def test_runs_of_other_data(root: Path) -> None:
    """A study that demands no digest is still about one set of images."""
    file = root / "experiments/study/invented.toml"
    text = file.read_text("utf-8").replace('set = "jpeg75"', 'set = "any"')
    file.write_text(text.replace(f'digest = "{fabricate.DIGEST}"', ""), "utf-8")
    for path in (root / "results/log/invented").rglob("run.jsonl"):
        edit(path, "header", lambda line: line["spec"]["data"].update(set="any", digest=None))
    edit(root / RUN / "run.jsonl", "header", lambda line: line["data"].update(digest="1" * 64))
    refused(root, "run.jsonl:1: data.digest: other images than those of", "one set")


def test_a_stale_study_of_rates_names_the_paper_that_needs_it(tmp_path: Path) -> None:
    plan = Plan(arms={"short": {"steps": 20, "seeds": [0]}}, more='tuning = "tuning"')
    root = fabricate.study(tmp_path, plan)
    fabricate.tuning(root, stage1={"alexnet": {0.1: 0.5}})
    stale_code(root)
    refused(root, "in study 'tuning'", "make report STUDY=invented ALLOW_STALE=1")


def stale_code(root: Path) -> None:
    path = root / "cnnpaper/engine/augment.py"
    path.write_text(path.read_text("utf-8") + "\n\ndef unused() -> None:\n    print(1)\n", "utf-8")


def test_stale_runs_are_refused_with_three_remedies(root: Path) -> None:
    stale_code(root)
    refused(
        root,
        "20 stale runs in study 'invented': invented/short/alexnet-s0,",
        "and 15 more",
        "engine/augment.py: unused added",
        "make verify STUDY=invented",
        "make alexnet STUDY=invented ARM=short SEEDS=0 FORCE=1",
        "make report STUDY=invented ALLOW_STALE=1",
    )
    data = load(root, "invented", allow_stale=True)
    assert len(data.stale) == 20
    assert data.stale["invented/short/vgg16-s1"] == ["engine/augment.py: unused added"]


def test_changed_threads_and_data_are_stale(root: Path) -> None:
    file = root / "experiments/study/invented.toml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("threads = 2", "threads = 4"), "utf-8")
    refused(root, "threads: 2 -> 4")
    file.write_text(text.replace(fabricate.DIGEST, "1" * 64), "utf-8")
    refused(root, "data: 08fb299e0e53… -> 111111111111…")
    file.write_text(text.replace(f'digest = "{fabricate.DIGEST}"', "").replace(
        "jpeg75", "original"), "utf-8")  # fmt: skip
    refused(root, "data: CIFAR-10, re-encoded -> CIFAR-10")


def test_budget(tmp_path: Path) -> None:
    fabricate.budgeted(tmp_path, timing="timed")
    load(tmp_path, "invented")  # nothing was measured
    fabricate.study(tmp_path, Plan(name="timed", only=0))
    fabricate.timing(tmp_path, "timed")
    data = load(tmp_path, "invented")
    assert data.timing_path == tmp_path / "results/log/timed/timing.jsonl"
    file = tmp_path / "experiments/study/invented.toml"
    file.write_text(file.read_text("utf-8").replace("vgg16 = 36", "vgg16 = 35").replace(
        '"vgg16": 36', '"vgg16": 35'), "utf-8")  # fmt: skip
    refused(tmp_path, "invented.toml: arm.short.steps: vgg16 = 35",
            "30 steps of resnet18 take as long as 36 of vgg16", "session 1",
            "make budget STUDY=invented")  # fmt: skip


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"session": 2}, ("budget.session = 2", "no time of alexnet", "make timing STUDY=timed")),
        ({"processor": "AuthenticAMD 25-17"}, ("budget.processor", "GenuineIntel 6-167")),
        ({}, ("is in float32, but steps were timed in bfloat16", "make timing STUDY=timed")),
    ],
)
def test_budget_of_another_session(
    tmp_path: Path, changes: dict[str, object], words: tuple[str, ...]
) -> None:
    fabricate.budgeted(tmp_path, timing="timed", **changes)
    fabricate.study(tmp_path, Plan(name="timed", only=0))
    fabricate.timing(tmp_path, "timed")
    if not changes:
        path = tmp_path / "experiments/recipe.toml"
        text = path.read_text("utf-8")
        path.write_text(text.replace('precision = "bfloat16"', 'precision = "float32"'), "utf-8")
    refused(tmp_path, *words)


def test_a_rate_that_is_not_the_winner(tmp_path: Path) -> None:
    fabricate.tuning(tmp_path, stage1={"alexnet": {0.05: 0.4}})
    path = tmp_path / "experiments/alexnet.toml"
    text = path.read_text("utf-8")

    def override(value: float) -> None:
        line = f'\n[override.peak_learning_rate]\nvalue = {value}\nfrom = "tuning"\n'
        path.write_text(text + line, "utf-8")
        fabricate.study(tmp_path, Plan(networks=("alexnet",), more='tuning = "tuning"'))

    override(0.1)
    refused(tmp_path, "alexnet.toml: override.peak_learning_rate", "has not decided")
    fabricate.tuning(tmp_path, stage2={"alexnet": {0.025: 0.3, 0.05: 0.5, 0.1: 0.4}})
    refused(tmp_path, "alexnet.toml: override.peak_learning_rate = 0.1", "chose 0.05")
    override(0.05)
    assert len(load(tmp_path, "invented").runs) == 1
