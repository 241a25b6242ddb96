"""What ``status``, ``budget`` and ``tune`` say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnpaper import timings
from cnnpaper.config import load_study, run_specs
from cnnpaper.files import UserError, lock
from cnnpaper.study.status import status
from cnnpaper.timings import budget_text, duration, estimate_s
from cnnpaper.tuning import tuning_text
from tests import fabricate
from tests.fabricate import Plan

ARMS = {"short": {"steps": 20, "seeds": [0, 1]}}


def states(text: str) -> dict[str, str]:
    """Run → state, from the table."""
    rows = text.split("\n\n")[0].splitlines()[2:]
    return {row.split()[0]: row.split()[1] for row in rows}


@pytest.fixture(autouse=True)
def _on_the_tests_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "this_processor", lambda: fabricate.PROCESSOR)
    monkeypatch.setattr(timings, "cpuinfo", lambda: {"flags": "avx512f avx512_bf16"})


def test_states(tmp_path: Path) -> None:
    plan = Plan(arms=ARMS, missing=("short/alexnet-s0",), diverged=("short/googlenet-s0",),
                incomplete=("short/vgg16-s0", "short/vgg16-s1"))  # fmt: skip
    root = fabricate.study(tmp_path, plan)
    folder = root / "results/log/invented/short"
    (folder / "resnet18-s1/run.jsonl").write_text("damaged\n", "utf-8")
    with lock(folder / "vgg16-s1/run.lock", what="the run"):
        text = status(root, "invented")
    assert list(states(text).items()) == [
        ("short/alexnet-s0", "missing"), ("short/vgg16-s0", "incomplete"),
        ("short/googlenet-s0", "diverged"), ("short/resnet18-s0", "done"),
        ("short/alexnet-s1", "done"), ("short/vgg16-s1", "running"),
        ("short/googlenet-s1", "done"), ("short/resnet18-s1", "damaged"),
    ]  # fmt: skip
    assert "incomplete (1 of 2)" in text
    assert "short/resnet18-s1/run.jsonl:1: Invalid JSON" in text
    assert "invented: 3 of 8 runs to train" in text
    assert "make experiments STUDY=invented" in text
    assert "from scratch: make resnet18 STUDY=invented ARM=short SEEDS=1 FORCE=1" in text


@pytest.mark.parametrize(
    "flags, told",
    [
        ("avx2 fma", "10 to 30 times"),
        ("avx2 avx512f", "1.4 to 2 times"),
        ("avx512f avx512_bf16", None),
        (None, None),  # a system that does not say
    ],
)
def test_a_processor_without_bfloat16_is_said_to_be_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, told: str | None
) -> None:
    info = {"model name": "Invented"} | ({"flags": flags} if flags else {})
    monkeypatch.setattr(timings, "cpuinfo", lambda: info)
    root = fabricate.study(tmp_path, Plan(arms=ARMS, missing=("short/alexnet-s0",)))
    text = status(root, "invented")
    assert ("this processor has no bfloat16" in text) == (told is not None)
    assert told is None or told in text


def test_stale_runs_are_said_with_reason_and_remedies(root: Path) -> None:
    path = root / "experiments/recipe.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("momentum = 0.9", "momentum = 0.8"), "utf-8")
    text = status(root, "invented")
    assert set(states(text).values()) == {"stale"}
    assert text.count("recipe.momentum: 0.9 -> 0.8") == 1
    assert "make verify STUDY=invented" in text
    assert "make alexnet STUDY=invented ARM=short SEEDS=0 FORCE=1" in text


def test_named_studies_come_first(tmp_path: Path) -> None:
    fabricate.tuning(tmp_path, stage1={"alexnet": {0.05: 0.4}})
    fabricate.precision(tmp_path, {"alexnet": (0.4, 0.41)})
    more = 'tuning = "tuning"\nprecision = "precision"'
    fabricate.study(tmp_path, Plan(networks=("alexnet",), more=more, only=0))
    lines = status(tmp_path, "invented").splitlines()[-3:]
    assert lines[0].startswith("tuning: 3 of 7 runs to train so far, about")
    assert lines[1] == "precision: all runs are done"
    assert lines[2].startswith("invented: 1 of 1 runs to train")
    name = "stage1/alexnet-rate0.05-s100"
    (tmp_path / f"results/log/tuning/{name}/run.jsonl").write_text("damaged\n", "utf-8")
    assert states(status(tmp_path, "tuning"))[name] == "damaged"


# --------------------------------------------------------------------------------- costs


def test_estimate_from_finished_runs(tmp_path: Path) -> None:
    """20 steps of 0.27 s; evaluation 0.5 s each: two epochs, the predictions, twice for 400 test
    images."""
    root = fabricate.study(tmp_path, Plan(arms=ARMS, missing=("short/vgg16-s1",)))
    spec = run_specs(root, load_study(root, "invented"))[5]
    assert spec.path == "invented/short/vgg16-s1"
    assert estimate_s(root, spec) == pytest.approx(20 * 0.27 + 0.5 * (2 + 1 + 2))
    text = status(root, "invented")
    assert "invented: 1 of 8 runs to train, about 8 s: make" in text  # 7.9
    fabricate.study(tmp_path, Plan(arms=ARMS, incomplete=("short/vgg16-s1",)))
    assert "about 4 s" in status(root, "invented")  # what is left of it
    fabricate.study(tmp_path, Plan(arms=ARMS))
    done = "invented: all runs are done: make report STUDY=invented\n"
    assert status(root, "invented").endswith(done)


def test_estimate_from_step_times(tmp_path: Path) -> None:
    """Start-up 7 s, miniature 4 s, 20 steps; two evaluations of 9 s and 400 of 5,000 images."""
    root = fabricate.study(tmp_path, Plan(arms=ARMS, only=0))
    spec = run_specs(root, load_study(root, "invented"))[1]
    assert estimate_s(root, spec) is None
    assert "2 runs" not in status(root, "invented")
    assert "time unknown" in status(root, "invented")
    fabricate.timing(root, step_s={"vgg16": 0.3})
    expected = 7 + 4 + 20 * 0.3 * 1.0055 + 9 * (2 + 400 / 5000)
    assert estimate_s(root, spec) == pytest.approx(expected)
    assert "and 6 of unknown time" in status(root, "invented")


def test_duration() -> None:
    said = {42.4: "42 s", 208: "3 min 28 s", 7500: "2 h 5 min", 59.6: "1 min 0 s"}
    assert {seconds: duration(seconds) for seconds in said} == said


# --------------------------------------------------------------------------------- plans


def test_budget_text(tmp_path: Path) -> None:
    fabricate.budgeted(tmp_path)
    with pytest.raises(UserError, match="no time of alexnet"):
        budget_text(tmp_path, "invented")
    fabricate.timing(tmp_path)
    text = budget_text(tmp_path, "invented")
    assert "[arm.short] # 10 s of training" in text
    assert "steps = { alexnet = 64, vgg16 = 36, googlenet = 24, resnet18 = 30 }" in text
    assert "vgg16 +0.12 s" in text


def test_studies_without_a_budget_or_a_search(root: Path) -> None:
    with pytest.raises(UserError, match=r"invented\.toml: no \[budget\]"):
        budget_text(root, "invented")
    with pytest.raises(UserError, match="tunes nothing"):
        tuning_text(root, "invented")


def test_tuning_text(tmp_path: Path) -> None:
    root = fabricate.tuning(tmp_path, stage1={"alexnet": {0.05: 0.4}, "vgg16": {0.1: 0.6}})
    fabricate.tuning(root, stage2={"alexnet": {0.025: 0.3, 0.05: 0.5, 0.1: 0.4}})
    (root / "results/log/tuning/stage1/vgg16-rate0.2-s100/run.jsonl").unlink()
    assert tuning_text(root, "tuning").splitlines() == [
        "alexnet: 0.05 wins",
        "  stage1: 0.025 20.00 %, 0.05 40.00 %, 0.1 20.00 %, 0.2 20.00 %",
        "  stage2: 0.025 30.00 %, 0.05 50.00 %, 0.1 40.00 %",
        "vgg16: not decided yet",
        "  stage1: 0.025 20.00 %, 0.05 20.00 %, 0.1 60.00 %, 0.2 not tried yet",
        "  stage2: waits for stage1",
        "try what is next: make experiments STUDY=tuning",
    ]
