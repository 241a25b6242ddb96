"""What bad input gets from the real command line: exit code 2, and a few lines that teach.

Every case is one thing that is wrong: a command, what was done to the repository before, and what
the message must name. In every case nothing but that message comes out: no traceback, no file
written, changed or lost. What is merely odd (a byte order mark, a blank in a path) works.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnpaper import cli, texsetup
from cnnpaper.learn import data as images
from cnnpaper.learn import sources
from tests import fabricate
from tests.bad_files import (
    FOLDER,
    LOG,
    PLAN,
    PREDICTIONS,
    RECIPE,
    STUDY,
    Change,
    append,
    arrays,
    chain,
    edit,
    folder_instead,
    header_of,
    lines_of,
    link_to_itself,
    not_finite,
    put,
    relog,
    remove,
    repredict,
    set_in_log,
    several,
    transform,
    with_logits,
)

REPOSITORY = Path(__file__).resolve().parents[1]
ALEXNET = ("train", "--model", "alexnet")
Cnnpaper = Callable[..., Any]
"""The fixture: gives an object with ``code``, ``out`` and ``err``."""
Tree = dict[str, object]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with code, templates, Makefile and one small study of one invented run."""
    place = fabricate.study(tmp_path_factory.mktemp("bad") / "repository", PLAN, code=True)
    for name in ("Makefile", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, place)
    return place


@pytest.fixture
def tiny(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    place = tmp_path / "repository"
    shutil.copytree(made, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(place)
    monkeypatch.delenv("DATA_DIR", raising=False)
    return place


def tree(root: Path) -> Tree:
    """Everything below ``root`` but the interpreter's caches and the files of locks."""
    found: Tree = {}
    for path in root.rglob("*"):
        if "__pycache__" in path.parts or path.name == "lock" or path.suffix == ".lock":
            continue
        if path.is_symlink():
            found[str(path)] = path.readlink()
        elif path.is_file():
            found[str(path)] = path.read_bytes()
    return found


def check_message(message: str, says: tuple[str, ...]) -> None:
    """One to five lines, without a traceback, that name what they must."""
    assert "Traceback" not in message
    assert "pydantic" not in message
    lines = message.splitlines()
    assert 1 <= len(lines) <= 5, message
    assert all(len(line) < 600 for line in lines), message
    for part in says:
        assert part in message, message


# ------------------------------------------------------------------------------- arguments

ARGUMENTS = [
    # arguments, what the message must hold
    (("trian",), ("unknown command 'trian'", "'train'")),
    (("train",), ("--model", "cnnpaper train --help")),
    ((*ALEXNET, "--epohcs", "3"), ("--epohcs", "--epochs")),
    (("train", "--model", "alexnt"), ("unknown network 'alexnt'", "'alexnet'", "resnet18")),
    (("train", "--model", ""), ("unknown network ''",)),
    (("train", "--model", "../recipe"), ("unknown network '../recipe'",)),
    (("train", "--model", "recipe"), ("unknown network 'recipe'",)),
    ((*ALEXNET, "--epochs", "0"), ("'0'", "from 1", "--epochs 10")),
    ((*ALEXNET, "--epochs", "-3"), ("'-3'", "from 1", "--epochs 10")),
    ((*ALEXNET, "--epochs", "ten"), ("'ten'", "from 1", "--epochs 10")),
    ((*ALEXNET, "--epochs", "1.5"), ("'1.5'", "--epochs 10")),
    ((*ALEXNET, "--epochs", "1_0"), ("'1_0'", "--epochs 10")),
    ((*ALEXNET, "--epochs", "１０"), ("'１０'", "--epochs 10")),
    ((*ALEXNET, "--epochs", "9" * 9999), ("from 1 to 100000",)),
    ((*ALEXNET, "--batch-size", "1"), ("'1'", "from 2", "--batch-size 128")),
    ((*ALEXNET, "--seed", "4294967296"), ("'4294967296'", "4294967295")),
    ((*ALEXNET, "--seeds", "1,,2"), ("''", "--seeds 0,1,2")),
    ((*ALEXNET, "--seeds", "1,1"), ("'1,1'", "twice")),
    ((*ALEXNET, "--gpus", "first"), ("'first'", "auto, cpu")),
    ((*ALEXNET, "--gpus", "0,0"), ("0,0", "once")),
    ((*ALEXNET, "--gpus", "0,1"), ("one run uses one device", "make experiments GPUS=0,1")),
    ((*ALEXNET, "--study", "refrence"), ("'refrence'", "'reference'")),
    ((*ALEXNET, "--study", ""), ("no study ''",)),
    ((*ALEXNET, "--study", "../study/smoke"), ("no study",)),
    ((*ALEXNET, "--study", "single-0ep"), ("no study 'single-0ep'",)),
    ((*ALEXNET, "--study", "smoke", "--epochs", "7"), ("--epochs 7", "'smoke' sets it to")),
    ((*ALEXNET, "--study", "smoke", "--batch-size", "7"), ("--batch-size 7", "'smoke' sets it to")),
    ((*ALEXNET, "--study", "smoke", "--seed", "7"), ("no seed 7", "experiments/study/smoke.toml")),
    (("train", "--model", "resnet50", "--study", "smoke"), ("'resnet50'", "EPOCHS=10")),
    ((*ALEXNET, "--data-dir", "nowhere"), ("nowhere", "make data")),
    ((*ALEXNET, "--data-dir", "Makefile"), ("Makefile", "a file", "make data")),
    ((*ALEXNET, "--data-dir", "report"), ("report", "no images", "make data")),
    (("experiments", "--study", "x"), ("no study 'x'", "reference")),
    (("experiments", "--study", "single-3ep"), ("none yet", "make alexnet EPOCHS=3")),
    (("experiments", "--data-dir", "nowhere"), ("nowhere", "make data")),
    (("data", "--set", "jpeg"), ("'jpeg'", "jpeg75")),
    (("data", "--data-dir", "Makefile"), ("Makefile", "a file")),
    (("report", "--study", "x"), ("no study 'x'", "reference")),
    (("report", "--study", "../x"), ("'../x'", "experiments/study")),
    (("report",), ("no run", "make experiments STUDY=reference")),
    (("figures", "--study", "x"), ("no study 'x'", "reference")),
    (("tables", "--study", "x"), ("no study 'x'", "reference")),
    (("explain",), ("KEY", "cnnpaper explain --help")),
    (("explain", "accuracy", "--study", "x"), ("no study 'x'", "reference")),
    (("status", "--study", "x"), ("no study 'x'", "reference")),
    (("status", "stray"), ("stray", "cnnpaper status --help")),
    (("import-logs", "nowhere", "--study", "old"), ("nowhere",)),
    (("import-logs", "report", "--study", "old"), ("report",)),
    (("import-logs", "report"), ("--study",)),
    (("report", "--study", "tiny", "--allow-stale=1"), ("--allow-stale",)),
    (("explain", "--study", "tiny", "resnet18.test_acc"), ("KEY=resnet18.test_acc", "nearest")),
    (("explain", "--study", "tiny", ""), ("KEY=", "nearest keys")),
    (("timing", "--repetitions", "0"), ("'0'", "from 1", "--repetitions 20")),
    (("timing", "--gpus", "0,1"), ("0,1", "one device")),
    ((*ALEXNET, "--variant", "x", "--study", "ablation"), ("--variant x", "trials")),
]


@pytest.mark.parametrize("arguments,says", ARGUMENTS, ids=[" ".join(a)[:60] for a, _ in ARGUMENTS])
def test_arguments(
    tiny: Path, cnnpaper: Cnnpaper, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    refused(cnnpaper, tiny, arguments, says)


def refused(
    cnnpaper: Cnnpaper, root: Path, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    """Call the command; it must refuse, and leave everything as it is."""
    before = tree(root)
    answer = cnnpaper(*arguments)
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("cnnpaper: ")
    check_message(answer.err, says)
    assert tree(root) == before


# ------------------------------------------------------------------------------- environment


@pytest.mark.parametrize(
    "value,says",
    [
        ("nowhere", ("nowhere: there is no such folder", "make data")),
        ("", ("data: there is no such folder", "make data")),
        ("Makefile", ("Makefile: this is a file", "make data")),
        ("report", ("report: no images of CIFAR-10", "make data")),
        ("my '$HOME' % 데이터", ("my '$HOME' % 데이터: there is no such folder",)),
        ("x" * 300, ("File name too long", "make data")),
        ("~nobody-of-that-name/data", ("~nobody-of-that-name/data: there is no such folder",)),
    ],
    ids=["nowhere", "empty", "a file", "no images", "odd", "too long", "no such home"],
)
def test_environment(
    tiny: Path,
    cnnpaper: Cnnpaper,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    says: tuple[str, ...],
) -> None:
    monkeypatch.setenv("DATA_DIR", value)
    refused(cnnpaper, tiny, ALEXNET, says)


# ------------------------------------------------------------------------------- TOML

NETWORK = "experiments/alexnet.toml"
SCREEN = b"[screen.momentum]\nplain = 0.0\ncandidate = 0.9\n"


def recipe(line: str) -> Change:
    """Another line in place of the recipe's batch size."""
    return transform(RECIPE, lambda old: re.sub(rb"(?m)^batch_size =.*$", line.encode(), old))


TOML = {
    "unknown key": ((RECIPE, "'batchsize'", "'batch_size'"), recipe("batchsize = 128")),
    "wrong type": ((RECIPE, "batch_size = '128'", "integer"), recipe('batch_size = "128"')),
    "true for a number": ((RECIPE, "batch_size = True"), recipe("batch_size = true")),
    "NaN": ((RECIPE, "batch_size = nan"), recipe("batch_size = nan")),
    "inf": (
        (RECIPE, "clip_norm = inf", "finite"),
        transform(RECIPE, lambda old: re.sub(rb"(?m)^clip_norm =.*$", b"clip_norm = inf", old)),
    ),
    "1e999": (
        (RECIPE, "clip_norm = inf", "finite"),
        transform(RECIPE, lambda old: re.sub(rb"(?m)^clip_norm =.*$", b"clip_norm = 1e999", old)),
    ),
    "negative": ((RECIPE, "batch_size = -1", "greater"), recipe("batch_size = -1")),
    "too large": ((RECIPE, "batch_size = 65537"), recipe("batch_size = 65_537")),
    "5000 digits": ((RECIPE, "not valid TOML", "digits"), recipe("batch_size = " + "9" * 5000)),
    "twice": ((RECIPE, "not valid TOML", "line"), recipe("batch_size = 1\nbatch_size = 2")),
    "deep": ((RECIPE, "not valid TOML"), append(RECIPE, b"x = " + b"[" * 5000)),
    "NUL": ((RECIPE, "not valid TOML"), append(RECIPE, b"x = \0")),
    "UTF-16": (
        (RECIPE, "not UTF-8", "save it as UTF-8"),
        transform(RECIPE, lambda old: old.decode("utf-8").encode("utf-16")),
    ),
    "not UTF-8": ((RECIPE, "not UTF-8"), append(RECIPE, b"# \xb0\xa1")),
    "10 MB": ((RECIPE, "larger than 1 MB"), append(RECIPE, b"#" * 10_000_000)),
    "empty": ((RECIPE, "key 'batch_size' is missing"), put(RECIPE, b"")),
    "missing": ((RECIPE, "No such file"), remove(RECIPE)),
    "a folder": ((RECIPE, "Is a directory"), folder_instead(RECIPE)),
    "a link to itself": ((RECIPE, "symbolic links"), link_to_itself(RECIPE)),
    "study: unknown network": (
        ("unknown network 'alexnot'", "'alexnet'"),
        edit(STUDY, '["alexnet"]', '["alexnot"]'),
    ),
    "study: no network": ((STUDY, "networks"), edit(STUDY, '["alexnet"]', "[]")),
    "study: no epoch": ((STUDY, "epochs = 0"), edit(STUDY, "epochs = 1", "epochs = 0")),
    "study: seed -1": ((STUDY, "seeds.0 = -1"), edit(STUDY, "seeds = [0]", "seeds = [-1]")),
    "study: seed as text": ((STUDY, "seeds.0 = '0'"), edit(STUDY, "[0]", '["0"]')),
    "study: seed twice": ((STUDY, "twice"), edit(STUDY, "[0]", "[0, 0]")),
    "study: its name": (
        (STUDY, "'name'", "name of its file"),
        edit(STUDY, "seeds", 'name = "tiny"\nseeds'),
    ),
    "study: digest": (
        (STUDY, "data.digest = 'abc'"),
        edit(STUDY, "train_images", 'digest = "abc"\ntrain_images'),
    ),
    "study: override without a why": (
        (STUDY, "'override.momentum.why' is missing"),
        append(STUDY, b"[override.momentum]\nvalue = 0.5\n"),
    ),
    "study: override of nothing": (
        (STUDY, "override.momentums", "'momentum'"),
        append(STUDY, b'[override.momentums]\nvalue = 0.5\nwhy = "a reason for it"\n'),
    ),
    "study: a screen of no network": ((STUDY, "screen_networks"), append(STUDY, SCREEN)),
    "study: a screen of twelve factors": (
        (STUDY, "more than 11 factors"),
        several(
            edit(STUDY, "epochs = 1", 'epochs = 1\nscreen_networks = ["alexnet"]'),
            *(append(STUDY, SCREEN.replace(b"momentum", b"k%d" % n)) for n in range(12)),
        ),
    ),
    "network: a year as text": (
        (NETWORK, "year = '2012'"),
        transform(NETWORK, lambda old: re.sub(rb"(?m)^year =.*$", b'year = "2012"', old)),
    ),
    "network: override out of range": (
        (NETWORK, "momentum = 1.5"),
        append(NETWORK, b'\n[override.momentum]\nvalue = 1.5\nwhy = "more is better, surely"\n'),
    ),
    "uv.lock: not TOML": (("uv.lock", "version control"), append("uv.lock", b"=")),
    "uv.lock: empty": (("uv.lock", "version control"), put("uv.lock", b"")),
    "uv.lock: deep": (("uv.lock", "version control"), append("uv.lock", b"\nx = " + b"[" * 5000)),
    "uv.lock: 5000 digits": (
        ("uv.lock", "version control"),
        append("uv.lock", b"\nx = " + b"9" * 5000),
    ),
    "uv.lock: without torch": (("uv.lock", "torch"), put("uv.lock", b"package = []")),
}


@pytest.mark.parametrize("says,change", TOML.values(), ids=TOML.keys())
def test_toml(tiny: Path, cnnpaper: Cnnpaper, says: tuple[str, ...], change: Change) -> None:
    change(tiny)
    refused(cnnpaper, tiny, ("status", "--study", "tiny"), says)


def test_a_network_s_file_with_a_capital(tiny: Path, cnnpaper: Cnnpaper) -> None:
    (tiny / "experiments" / "AlexNet.toml").touch()
    says = ("experiments/AlexNet.toml", "rename the file")
    refused(cnnpaper, tiny, ("train", "--model", "AlexNet"), says)


ODD_TOML = {
    "byte order mark": transform(STUDY, lambda old: b"\xef\xbb\xbf" + old.partition(b"\n")[2]),
    "CRLF": transform(STUDY, lambda old: old.replace(b"\n", b"\r\n")),
    "quoted keys": edit(STUDY, "epochs = 1", '"epochs" = 1'),
    "dotted keys": several(
        edit(STUDY, "[data]\n", ""),
        *(
            edit(STUDY, f"\n{key} =", f"\ndata.{key} =")
            for key in ("set", "train_images", "validation_images", "test_images")
        ),
    ),
    "an override in dotted keys": edit(
        STUDY,
        "threads = 2",
        'threads = 2\noverride.batch_size.value = 128\noverride.batch_size.why = "as it was before"',
    ),
    "an override in one line": edit(
        STUDY,
        "threads = 2",
        'threads = 2\noverride = {momentum = {value = 0.9, why = "as it was before"}}',
    ),
    "a text of several lines": transform(
        NETWORK, lambda old: re.sub(rb'(?m)^idea = """', b'idea = """\\\n', old)
    ),
}


@pytest.mark.parametrize("change", ODD_TOML.values(), ids=ODD_TOML.keys())
def test_toml_in_another_form_means_the_same(
    tiny: Path, cnnpaper: Cnnpaper, change: Change
) -> None:
    change(tiny)
    answer = cnnpaper("tables", "--study", "tiny", "--allow-stale")
    assert (answer.code, answer.err) == (0, "")


# ------------------------------------------------------------------------------- logs


def nonsense(number: int, **fields: Any) -> Change:
    return relog(lambda lines: lines[number].update(fields))


LOGS = {
    "empty": ((LOG, "empty", "remove it"), put(LOG, b"")),
    "one line break": ((f"{LOG}:1", "not a line of a log"), put(LOG, b"\n")),
    "NUL bytes": ((f"{LOG}:1",), put(LOG, b"\0" * 4096)),
    "NUL bytes at the end": ((f"{LOG}:7", "cut off"), append(LOG, b"\0" * 512)),
    "UTF-16": ((LOG, "UTF-8"), transform(LOG, lambda old: old.decode().encode("utf-16") + b"\n")),
    "byte order mark": ((f"{LOG}:1",), transform(LOG, lambda old: b"\xef\xbb\xbf" + old)),
    "CRLF": ((f"{LOG}:1",), transform(LOG, lambda old: old.replace(b"\n", b"\r\n"))),
    "not UTF-8": ((f"{LOG}:7", "not UTF-8"), append(LOG, b"\xff\n")),
    "HTML": ((f"{LOG}:1",), put(LOG, b"<html>not found</html>\n")),
    "conflict marks": ((f"{LOG}:1",), transform(LOG, lambda old: b"<<<<<<< HEAD\n" + old)),
    "a changed digit": (
        (f"{LOG}:5", "changed", "version control"),
        transform(LOG, lambda old: old.replace(b'"eval_s":', b'"eval_s":1')),
    ),
    "a lost line": (
        (f"{LOG}:2", "removed"),
        transform(LOG, lambda old: b"".join(old.splitlines(True)[:1] + old.splitlines(True)[2:])),
    ),
    "wrong order": (
        (f"{LOG}:4", "does not belong here"),
        relog(lambda lines: lines.insert(2, lines.pop(4))),
    ),
    "no header": ((f"{LOG}:1", "does not belong here"), relog(lambda lines: lines.pop(0))),
    "two headers": (
        (f"{LOG}:2", "does not belong here"),
        relog(lambda lines: lines.insert(1, lines[0])),
    ),
    "two results": ((f"{LOG}:7", "a second result"), relog(lambda lines: lines.append(lines[-1]))),
    "an epoch twice": (
        (f"{LOG}:6", "epoch 1 is expected"),
        relog(lambda lines: lines.insert(5, lines[4])),
    ),
    "no result": (
        ("alexnet-s0 is incomplete (1 of 1 epoch)", "make alexnet STUDY=tiny"),
        relog(lambda lines: lines.pop()),
    ),
    "schema of the future": ((f"{LOG}:1", "schema = 2", "reads 1"), set_in_log(0, "schema", 2)),
    "unknown schema": ((f"{LOG}:1", "schema = 'new'"), set_in_log(0, "schema", "new")),
    "no schema": ((f"{LOG}:1", "schema = None"), relog(lambda lines: lines[0].pop("schema"))),
    "unknown kind": ((f"{LOG}:5", "'epochs'", "known kinds"), set_in_log(4, "kind", "epochs")),
    "a number as text": ((f"{LOG}:5", "val_acc = 0.5"), set_in_log(4, "val_acc", "0.5")),
    "true for a number": ((f"{LOG}:6", "test_acc = True"), set_in_log(5, "test_acc", True)),
    "a missing field": ((f"{LOG}:5", "val_acc"), relog(lambda lines: lines[4].pop("val_acc"))),
    "NaN": (
        (f"{LOG}:5",),
        transform(LOG, lambda old: re.sub(rb'"val_acc":[0-9.]+', b'"val_acc":NaN', old)),
    ),
    "accuracy above one": ((f"{LOG}:5", "val_acc"), nonsense(4, val_acc=1.5)),
    "seconds below zero": ((f"{LOG}:5", "train_s"), nonsense(4, train_s=-1.0)),
    "metrics that are not those of the predictions": (
        (f"{LOG}:6", "test_acc = 0.75", "predictions.npz gives"),
        set_in_log(5, "test_acc", 0.75),
    ),
    "another run's": ((f"{LOG}:1", "lies in the folder of alexnet-s0"), set_in_log(0, "seed", 1)),
    "a time that is none": (
        (f"{LOG}:1", "started = 'yesterday'"),
        set_in_log(0, "started", "yesterday"),
    ),
    "a folder": ((LOG, "s a directory"), folder_instead(LOG)),
    "a link to itself": ((LOG, "symbolic links"), link_to_itself(LOG)),
    "a link to nothing": (
        (LOG, "No such file"),
        several(remove(LOG), lambda root: (root / LOG).symlink_to("/nowhere/run.jsonl")),
    ),
    "no log": (("no run yet", "make experiments STUDY=tiny"), remove(FOLDER)),
    "test evaluations: no JSON": (
        ("test-evaluations.jsonl:",),
        append("results/log/tiny/test-evaluations.jsonl", b"once\n"),
    ),
    "step times: no JSON": (
        ("results/log/tiny/timing.jsonl:1", "measure again"),
        put("results/log/tiny/timing.jsonl", b"fast\n"),
    ),
}


@pytest.mark.parametrize("says,change", LOGS.values(), ids=LOGS.keys())
def test_logs(tiny: Path, cnnpaper: Cnnpaper, says: tuple[str, ...], change: Change) -> None:
    change(tiny)
    refused(cnnpaper, tiny, ("report", "--study", "tiny"), says)


@pytest.mark.parametrize("every", [331, pytest.param(1, marks=pytest.mark.soak)])
def test_a_log_cut_at_every_byte(tiny: Path, cnnpaper: Cnnpaper, every: int) -> None:
    whole = (tiny / LOG).read_bytes()
    for cut in range(0, len(whole) - 1, every):
        (tiny / LOG).write_bytes(whole[:cut])
        refused(cnnpaper, tiny, ("report", "--study", "tiny"), ("alexnet-s0",))


def test_a_damaged_log_is_shown_by_status(made: Path, tiny: Path, cnnpaper: Cnnpaper) -> None:
    for change in (put(LOG, b"x"), set_in_log(0, "seed", -1), folder_instead(LOG)):
        shutil.rmtree(tiny / FOLDER)
        shutil.copytree(made / FOLDER, tiny / FOLDER)
        change(tiny)
        answer = cnnpaper("status", "--study", "tiny")
        assert answer.code == 0
        assert "damaged" in answer.out
        assert LOG in answer.out


# ------------------------------------------------------------------------------- predictions

HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 10)}\n"
PREDICTED = {
    "wrong shape": (
        ("logits is float32 of shape (20, 9)",),
        repredict(arrays(logits=np.zeros((20, 9), np.float32))),
    ),
    "fewer logits than labels": (
        ("logits is float32 of shape (19, 10)",),
        repredict(arrays(logits=np.zeros((19, 10), np.float32))),
    ),
    "labels as a table": (
        ("labels is uint8 of shape (2, 10)",),
        repredict(arrays(labels=np.zeros((2, 10), np.uint8))),
    ),
    "wrong type": (("logits_tta is float64",), repredict(arrays(logits_tta=np.zeros((20, 10))))),
    "NaN": (("logits holds a value that is not finite",), repredict(arrays(logits=not_finite()))),
    "label 10": (
        (
            "labels holds 10",
            "0 to 9",
        ),
        repredict(arrays(labels=np.full(20, 10, np.uint8))),
    ),
    "no image": (
        ("no image",),
        repredict(
            arrays(
                labels=np.zeros(0, np.uint8),
                logits=np.zeros((0, 10), np.float32),
                logits_tta=np.zeros((0, 10), np.float32),
            )
        ),
    ),
    "objects": (
        ("Object arrays cannot be loaded",),
        repredict(arrays(labels=np.array([{}] * 20, dtype=object))),
    ),
    "an array is missing": (("logits_tta",), repredict(arrays(logits_tta=None))),
    "an array alone": (("not a zip file",), repredict(header_of(HUGE))),
    "a pickle": (("not a zip file",), repredict(pickle.dumps({"labels": 1}))),
    "a member that is no array": ((), repredict(with_logits(b"abc"))),
    "an array of 36 TiB": ((), repredict(with_logits(header_of(HUGE)))),
    "a header that does not end": ((), repredict(with_logits(header_of("(" * 3000)))),
    "a bomb": (
        ("logits has 20000000 bytes",),
        repredict(with_logits(bytes(20_000_000), zipfile.ZIP_DEFLATED)),
    ),
    "empty": ((), repredict(b"")),
    "cut": ((), repredict(arrays()[:-100])),
    "another file": (("other SHA-256", "version control"), put(PREDICTIONS, arrays())),
    "missing": (("No such file",), remove(PREDICTIONS)),
    "a folder": (("s a directory"), folder_instead(PREDICTIONS)),
    "a link to itself": (("symbolic links"), link_to_itself(PREDICTIONS)),
}


@pytest.mark.parametrize("says,change", PREDICTED.values(), ids=PREDICTED.keys())
def test_predictions(tiny: Path, cnnpaper: Cnnpaper, says: tuple[str, ...], change: Change) -> None:
    change(tiny)
    refused(cnnpaper, tiny, ("report", "--study", "tiny"), (PREDICTIONS, *says))


# ------------------------------------------------------------------------------- templates

TITLE = "report/title.tex.j2"
TEMPLATES = {
    "pyproject.toml: without a version": (
        ("pyproject.toml", "project.version"),
        put("pyproject.toml", b""),
    ),
    "pyproject.toml: project is a number": (
        ("pyproject.toml", "project.version"),
        put("pyproject.toml", b"project = 3"),
    ),
    "known.toml: empty": (
        ("report/known.toml", "'duplicates' is missing"),
        put("report/known.toml", b""),
    ),
    "known.toml: NaN": (
        ("report/known.toml", "duplicates.share = nan"),
        edit("report/known.toml", "share = 0.033", "share = nan"),
    ),
    "known.toml: text for a number": (
        ("report/known.toml", "report2023.alexnet"),
        edit("report/known.toml", "accuracy = 0.7040", 'accuracy = "high"'),
    ),
    "known.toml: not UTF-8": (
        ("report/known.toml", "not UTF-8"),
        append("report/known.toml", b"# \xff"),
    ),
    "not UTF-8": ((TITLE, "utf-8"), append(TITLE, b"\xff")),
    "cut off": ((TITLE, "end of template"), append(TITLE, b"\\VAR{")),
    "a name that is not there": (
        (TITLE, "'nothing' is undefined"),
        append(TITLE, b"\\VAR{nothing}"),
    ),
    "a division by zero": ((TITLE, "by zero"), append(TITLE, b"\\VAR{1 // 0}")),
    "missing": ((TITLE, "missing"), remove(TITLE)),
    "code that is no Python": (
        ("cnnpaper/learn/train.py", "not valid Python"),
        append("cnnpaper/learn/train.py", b"\0"),
    ),
}


@pytest.mark.parametrize("says,change", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_templates_and_code(
    tiny: Path, cnnpaper: Cnnpaper, says: tuple[str, ...], change: Change
) -> None:
    change(tiny)
    refused(cnnpaper, tiny, ("tables", "--study", "tiny"), says)
