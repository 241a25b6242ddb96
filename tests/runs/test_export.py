"""Event files of finished and growing logs, read by TensorBoard; and the release archive."""

from __future__ import annotations

import hashlib
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnpaper import export, release
from cnnpaper.files import UserError
from tests import artifact, fabricate
from tests.fabricate import Plan


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a run of four epochs."""
    root = fabricate.study(tmp_path / "repository", Plan(networks=["alexnet"], epochs=4))
    return root / "results" / "log" / "invented" / "alexnet-s0" / "run.jsonl"


def reader(folder: Path) -> Any:
    """TensorBoard's own."""
    pytest.importorskip("tensorboard", reason="in .venv-train alone")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    return EventAccumulator(str(folder))


def values(events: Any, tag: str) -> list[tuple[int, float]]:
    events.Reload()
    known = events.Tags()["scalars"]
    return [(one.step, one.value) for one in events.Scalars(tag)] if tag in known else []


def logged(log: Path, kind: str, name: str) -> list[float]:
    """As TensorBoard keeps values, in single precision."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [float(np.float32(line[name])) for line in lines if line["kind"] == kind]


def test_tensorboard_reads_the_values_of_the_log(log: Path, tmp_path: Path) -> None:
    export.export(tmp_path / "repository", "invented", tmp_path / "out", lambda _: None)
    events = reader(tmp_path / "out" / "invented" / "alexnet-s0")
    for tag, name in (("loss/train", "train_loss"), ("loss/validation", "val_loss")):
        assert [value for _, value in values(events, tag)] == logged(log, "epoch", name)
    assert values(events, "accuracy/validation") == [
        (10 * (k + 1), value) for k, value in enumerate(logged(log, "epoch", "val_acc"))
    ]
    assert [v for _, v in values(events, "learning_rate")] == logged(log, "epoch", "learning_rate")
    assert values(events, "accuracy/test") == [(40, logged(log, "result", "test_acc")[0])]
    assert values(events, "loss/test") == [(40, logged(log, "result", "test_loss")[0])]
    first = json.loads(log.read_text().splitlines()[0])["started"]
    seconds = sum(logged(log, "epoch", "train_s") + logged(log, "epoch", "eval_s"))
    last = events.Scalars("loss/test")[0].wall_time
    assert last - np.datetime64(first.rstrip("Z"), "s").astype(int) == pytest.approx(seconds)


def test_growing_log_is_brought_up_to_date(log: Path, tmp_path: Path) -> None:
    """A cut-off line waits; what is appended is appended; what is cut back is written afresh."""
    whole = log.read_text().splitlines(keepends=True)
    before = next(index for index, line in enumerate(whole) if '"kind":"epoch"' in line)
    changed = f"{json.dumps(json.loads(whole[before]) | {'val_acc': 0.0})}\n"
    contents = [
        whole[:before],
        whole[: before + 1],
        [*whole[: before + 1], whole[before + 1][:40]],
        whole[: before + 3],
    ]
    all_of, folder = logged(log, "epoch", "val_acc"), tmp_path / "out" / "invented" / "alexnet-s0"
    growing = reader(folder)  # which keeps its place in the file

    def seen(events: Any, lines: list[str]) -> list[float]:
        log.write_text("".join(lines))
        export.export(tmp_path / "repository", "invented", tmp_path / "out", lambda _: None)
        return [value for _, value in values(events, "accuracy/validation")]

    assert [seen(growing, lines) for lines in contents] == [
        [], all_of[:1], all_of[:1], all_of[:3]
    ]  # fmt: skip
    assert seen(reader(folder), [*whole[:before], changed]) == [0.0]


def test_damaged_log_is_named(log: Path, tmp_path: Path) -> None:
    log.write_text("{}\n")
    with pytest.raises(UserError, match=r"run.jsonl:1"):
        export.update(log, tmp_path / "events")


def test_release_is_the_committed_tree_with_its_digests(tmp_path: Path) -> None:
    root = tmp_path / "r"
    (root / "report").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (root / "한글 name.txt").write_text("text")
    (root / "report" / "CNN_report-x.html").write_text("<p>")
    (root / ".gitignore").write_text("report/CNN_report-*\nbuild/\n")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
        assert artifact.git(root, *arguments).returncode == 0
    target = release.release(root)
    first = target.read_bytes()
    assert target.name == "cnnpaper-1.2.3.tar.gz"
    assert release.release(root).read_bytes() == first
    tree = artifact.git(root, "rev-parse", "HEAD^{tree}").stdout.strip()
    assert target.with_name("cnnpaper-1.2.3.swhid").read_text() == f"swh:1:dir:{tree}\n"
    with tarfile.open(target) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    unpacked = tmp_path / "out" / "cnnpaper-1.2.3"
    sums = (unpacked / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == 3  # what lies about in the folder does not go with it
    for line in sums:
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest
    (root / "pyproject.toml").write_text("changed")
    with pytest.raises(UserError, match=r"not committed: pyproject.toml"):
        release.release(root)
