"""What bad input gets from the real command line: exit code 2, and a few lines that teach.

Every case is one thing that is wrong: a command, what was done to the repository before, and what
the message must name. In every case nothing but that message comes out: no traceback, no file
written, changed or lost. What is merely odd (a byte order mark, a blank in a path) works.
"""

from __future__ import annotations

import errno
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnpaper import texsetup
from cnnpaper.errors import UserError
from cnnpaper.learn import sources
from tests import fabricate, test_makefile
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
    edit,
    folder_instead,
    header_of,
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
        'threads = 2\noverride.momentum.value = 0.9\noverride.momentum.why = "as before it"',
    ),
    "an override in one line": edit(
        STUDY,
        "threads = 2",
        'threads = 2\noverride = {momentum = {value = 0.9, why = "as before it"}}',
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


@pytest.mark.parametrize("every", [97, pytest.param(1, marks=pytest.mark.soak)])
def test_a_log_cut_at_every_byte(tiny: Path, cnnpaper: Cnnpaper, every: int) -> None:
    relog(lambda lines: lines[0]["fingerprint"]["code"].clear())(tiny)
    relog(lambda lines: lines[0]["network"]["layers"].clear())(tiny)
    whole = (tiny / LOG).read_bytes()
    assert len(whole) < 5_000
    for cut_at in range(0, len(whole) - 1, every):
        (tiny / LOG).write_bytes(whole[:cut_at])
        answer = cnnpaper("report", "--study", "tiny")
        assert (answer.code, answer.out) == (2, "")
        check_message(answer.err, ("alexnet-s0",))
        assert (tiny / LOG).read_bytes() == whole[:cut_at]
    assert not list((tiny / "report").glob("*.pdf"))


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


# ------------------------------------------------------------------------------- images

BIN, PY = "images/cifar-10-batches-bin", "images/cifar-10-batches-py"
BIN_TAR, PY_TAR = "images/cifar-10-binary.tar.gz", "images/cifar-10-python.tar.gz"
TABLE = "images/deep/plain_text/train-00000-of-00001.parquet"
PICTURES = "images/CIFAR-10-images"
PICTURE_TAR = "images/CIFAR-10-images-6d04f75.tar.gz"
FETCH = "make data"


def flip(name: str, share: float) -> Change:
    """Change one bit, that far into the file."""

    def how(old: bytes) -> bytes:
        place = int(share * len(old))
        return old[:place] + bytes([old[place] ^ 1]) + old[place + 1 :]

    return transform(name, how)


def cut(name: str) -> Change:
    return transform(name, lambda old: old[: len(old) * 2 // 3])


IMAGES = {
    # form, what the message must hold, what is wrong
    "batch missing": ("binary", ("test_batch.bin", FETCH), remove(f"{BIN}/test_batch.bin")),
    "batch cut": ("binary", ("data_batch_3.bin", "cut off"), cut(f"{BIN}/data_batch_3.bin")),
    "batch too long": (
        "binary",
        ("data_batch_3.bin", FETCH),
        append(f"{BIN}/data_batch_3.bin", bytes(3073)),
    ),
    "bit of a batch": (
        "binary",
        ("data_batch_2.bin: damaged or altered", FETCH),
        flip(f"{BIN}/data_batch_2.bin", 0.5),
    ),
    "label of a batch": (
        "binary",
        ("data_batch_1.bin: damaged or altered", FETCH),
        transform(f"{BIN}/data_batch_1.bin", lambda old: b"\x0a" + old[1:]),
    ),
    "batch a folder": (
        "binary",
        ("test_batch.bin", "s a directory"),
        folder_instead(f"{BIN}/test_batch.bin"),
    ),
    "batch a link to itself": (
        "binary",
        ("test_batch.bin", "symbolic links"),
        link_to_itself(f"{BIN}/test_batch.bin"),
    ),
    "pickle missing": ("python", ("data_batch_4", FETCH), remove(f"{PY}/data_batch_4")),
    "pickle cut": ("python", ("data_batch_4: not a batch", FETCH), cut(f"{PY}/data_batch_4")),
    "bit of a pickle": (
        "python",
        ("data_batch_4: damaged or altered", FETCH),
        flip(f"{PY}/data_batch_4", 0.5),
    ),
    "pickle of CIFAR-100": (
        "python",
        ("data_batch_1: this is CIFAR-100", FETCH),
        transform(
            f"{PY}/data_batch_1", lambda old: old.replace(b"U\x06labels", b"U\x0bfine_labels")
        ),
    ),
    "pickle that executes": (
        "python",
        ("data_batch_1: not a batch", FETCH),
        put(f"{PY}/data_batch_1", b"cos\nsystem\n(S'touch executed'\ntR."),
    ),
    "archive cut": ("binary archive", (BIN_TAR, "cut off", FETCH), cut(BIN_TAR)),
    "bit of an archive": ("binary archive", (BIN_TAR, FETCH), flip(BIN_TAR, 0.3)),
    "archive that is a page": (
        "binary archive",
        (BIN_TAR, FETCH),
        put(BIN_TAR, b"<html>not found</html>"),
    ),
    "archive empty": ("binary archive", (BIN_TAR, FETCH), put(BIN_TAR, b"")),
    "archive a link to itself": ("binary archive", ("images",), link_to_itself(BIN_TAR)),
    "archive of pickles cut": ("python archive", (PY_TAR, "cut off", FETCH), cut(PY_TAR)),
    "bit of an archive of pickles": ("python archive", (PY_TAR, FETCH), flip(PY_TAR, 0.4)),
    "archive of CIFAR-100": (
        "python archive",
        ("CIFAR-100", FETCH),
        lambda root: (root / PY_TAR).rename(root / "images" / "cifar-100-python.tar.gz"),
    ),
    "table missing": (
        "parquet",
        ("100 images in parquet files", FETCH),
        remove(TABLE),
    ),
    "table cut": ("parquet", (TABLE, FETCH), cut(TABLE)),
    "bit of a table": ("parquet", ("train-00000", FETCH), flip(TABLE, 0.999)),
    "table empty": ("parquet", (TABLE, FETCH), put(TABLE, b"")),
    "table that is a page": ("parquet", (TABLE, FETCH), put(TABLE, b"<html>not found</html>")),
    "picture missing": (
        "images",
        ("49 images in train/cat", FETCH),
        remove(f"{PICTURES}/train/cat/0001.png"),
    ),
    "class missing": ("images", ("0 images in train/dog", FETCH), remove(f"{PICTURES}/train/dog")),
    "class counts wrong": (
        "images",
        ("images in train/cat", FETCH),
        lambda root: (root / PICTURES / "train/cat/0001.png").rename(
            root / PICTURES / "train/dog/0051.png"
        ),
    ),
    "picture cut": ("images", ("0007.png", FETCH), cut(f"{PICTURES}/test/ship/0007.png")),
    "bit of a picture": (
        "images",
        ("0007.png", FETCH),
        flip(f"{PICTURES}/test/ship/0007.png", 0.5),
    ),
    "picture of another kind": (
        "images",
        ("0007.png", FETCH),
        put(f"{PICTURES}/test/ship/0007.png", b"GIF89a" + bytes(100)),
    ),
    "picture a link to itself": (
        "images",
        ("images in test/ship", FETCH),
        link_to_itself(f"{PICTURES}/test/ship/0007.png"),
    ),
    "archive of pictures cut": ("image tar", (PICTURE_TAR, "cut off", FETCH), cut(PICTURE_TAR)),
    "folder missing": ("binary", ("no such folder", FETCH), remove("images")),
    "folder empty": ("binary", ("no images of CIFAR-10", FETCH), remove(BIN)),
    "folder a link to itself": ("binary", ("symbolic links",), link_to_itself("images")),
}


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Any:
    """600 images that are taken for the official 60,000."""
    from tests.learn import cifar_files

    return cifar_files.stand_in(monkeypatch, 100)


@pytest.mark.train
@pytest.mark.parametrize("form,says,change", IMAGES.values(), ids=IMAGES.keys())
def test_images(
    tiny: Path,
    records: Any,
    cnnpaper: Cnnpaper,
    form: str,
    says: tuple[str, ...],
    change: Change,
) -> None:
    from tests.learn import cifar_files

    cifar_files.write_form(form, tiny / "images", records)
    change(tiny)
    try:
        sources.find(Path("images"))
        command = ("data", "--data-dir", "images")
    except UserError:  # where `cnnpaper data` would fetch the set
        command = (*ALEXNET, "--data-dir", "images")
    refused(cnnpaper, tiny, command, says)


# ------------------------------------------------------------------------------- the machine


def test_no_space_left(tiny: Path, cnnpaper: Cnnpaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays, and nothing half written is left."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    says = ("build/report/tiny/", "No space left on device", "give the same command again")
    refused(cnnpaper, tiny, ("tables", "--study", "tiny"), says)


def shell(
    root: Path, *arguments: str, before: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, as another program started it."""
    return subprocess.run(
        [*before, sys.executable, "-m", "cnnpaper", *arguments],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command", [("report", "--study", "tiny"), ("import-logs", "old", "--study", "other")]
)
def test_a_read_only_repository(tiny: Path, command: tuple[str, ...]) -> None:
    """As somebody to whom modes apply; root keeps its name, but not the right to ignore them."""
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        before = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
        if shutil.which("setpriv") is None:
            pytest.skip("root, and no setpriv")
    put("old/resnet18_1epoch_train.log", OLD_LOG.encode())(tiny)
    was = tree(tiny)
    folders = [tiny, *(path for path in tiny.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        done = shell(tiny, *command, before=before)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 2, done.stderr
    check_message(done.stderr, ("build", "Permission denied", "give the same command again"))
    assert tree(tiny) == was


OLD_LOG = """\
############학습 시작############
Epoch 0/0
----------
train Loss: 2.0000 Acc: 0.2000
val Loss: 1.9000 Acc: 0.3000
############학습 끝############
Training complete in 0m 9s
Best val Acc: 0.300000
"""


@pytest.mark.soak
def test_no_program_knows_the_fonts(tiny: Path) -> None:
    put("empty/none", b"")(tiny)
    done = shell(tiny, "figures", "--study", "tiny", PATH=str(tiny / "empty"))
    assert done.returncode == 2, done.stderr
    check_message(done.stderr, ("need this font", "apt-get install lmodern fonts-nanum"))


# ------------------------------------------------------------------------------- make


@pytest.fixture
def with_python(tiny: Path) -> Path:
    """The repository with environments whose Python is that of this test."""
    for name in (".venv", ".venv-train"):
        python = tiny / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    return tiny


def make(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Make as a user calls it, but that the environments are taken as they are."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("MAKE") and key not in test_makefile.VARIABLES
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=root,
        env={**inherited, "PYTHON": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What make printed but for its own line about the target that failed."""
    lines = done.stderr.splitlines()
    return "\n".join(line for line in lines if not line.startswith("make: ***"))


REAL = {"PYTHON": sys.executable}
MADE = {
    # target and variables, environment, what the message must hold, what is wrong
    "study": ("status STUDY=tiyn", {}, ("no study 'tiyn'", "'tiny'"), None),
    "no study": ("status STUDY=", {}, ("no study ''", "known studies"), None),
    "epochs": ("alexnet EPOCHS=0", {}, ("'0'", "from 1", "--epochs 10"), None),
    "seeds": ("vgg16 STUDY=full SEEDS=0,x", {}, ("'x'", "--seeds 0,1,2"), None),
    "devices": ("alexnet STUDY=tiny GPUS=first", {}, ("'first' is no device",), None),
    "network": ("vgg16 STUDY=tiny", {}, ("'tiny' is not about 'vgg16'", "EPOCHS=10"), None),
    "data folder": (
        "experiments",
        {"DATA_DIR": "my '$HOME' % # 데이터"},
        ("my '$HOME' % # 데이터: there is no such folder", FETCH),
        None,
    ),
    "data set": ("data SET=jpeg", {}, ("'jpeg'", "jpeg75"), None),
    "new data set": ("data", {"SET": "$HOME 'x'"}, ("\"$HOME 'x'\" is not one of",), None),
    "recipe": ("status STUDY=tiny", {}, (RECIPE, "'batchsize'"), recipe("batchsize = 128")),
    "log": ("report STUDY=tiny", {}, (f"{LOG}:1",), put(LOG, b"\0\n")),
    "lock": ("environment", REAL, ("uv.lock", "version control"), put("uv.lock", b"package = 1")),
    "lock of nothing": ("environment", REAL, ("uv.lock", "not TOML"), append("uv.lock", b"=")),
    "project": (
        "environment",
        REAL,
        ("pyproject.toml", "not TOML"),
        append("pyproject.toml", b"="),
    ),
    "no lock": ("training-environment", REAL, ("uv.lock is missing",), remove("uv.lock")),
}


@pytest.mark.parametrize("call,environment,says,change", MADE.values(), ids=MADE.keys())
def test_make(
    with_python: Path,
    call: str,
    environment: dict[str, str],
    says: tuple[str, ...],
    change: Change | None,
) -> None:
    if change is not None:
        change(with_python)
    before = tree(with_python)
    done = make(with_python, *call.split(), **environment)
    assert done.returncode == 2, done.stderr
    check_message(said(done), says)
    assert tree(with_python) == before


@pytest.mark.tex
@pytest.mark.parametrize("without", ["xelatex", "font"])
def test_make_where_tex_is_not_complete(tiny: Path, tmp_path: Path, without: str) -> None:
    """And nothing can install it: the command to type is printed, for each kind of system."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in {*texsetup.PROGRAMS, "make", "sh", "fc-list"} - {without}:
        (programs / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    fonts = {"FONTCONFIG_FILE": str(tmp_path / "fonts.conf")} if without == "font" else {}
    before = tree(tiny)
    done = make(tiny, "tex", PYTHON=sys.executable, PATH=str(programs), **fonts)
    assert done.returncode == 2, done.stderr
    missing = "font NanumMyeongjo" if without == "font" else "missing: xelatex"
    check_message(said(done), (missing, "sudo apt-get install", "brew install"))
    assert tree(tiny) == before


def test_errors_of_many_jobs_are_legible(with_python: Path) -> None:
    """Every message stands in one piece, whoever else prints at the same time."""
    names = ("alexnet", "vgg16", "googlenet", "resnet18")
    done = make(with_python, "-j4", "-k", *names, "STUDY=full", DATA_DIR="nowhere")
    assert done.returncode == 2
    whole = f"cnnpaper: nowhere: there is no such folder\n{sources.REMEDY}\n"
    assert done.stderr.count(whole) == 4
    rest = done.stderr.replace(whole, "").splitlines()
    assert all(re.fullmatch(r"make: .*(Error 2|not remade because of errors\.)", x) for x in rest)


# ------------------------------------------------------------------------------- odd paths

ODD = {
    "all of these": 'it\'s my "폴더" 100% #1 $HOME $(date) ~a_b^c&{d}',
    "200 characters": "x" * 200,
    "blank": "my repository",
    "quotes": 'it\'s "mine"',
    "percent": "100% of it",
    "hash": "run #1",
    "Hangul": "내 저장소",
    "dollar": "$HOME and $(date)",
    "TeX": "~a_b^c&{d}",
    "backslash": "a\\input",
    "line break": "a\nb",
    "dash": "-rf",
}
ODD_NAMES = [
    pytest.param(name, id=what, marks=[pytest.mark.soak] if number > 1 else [])
    for number, (what, name) in enumerate(ODD.items())
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_repository_in_an_odd_folder(
    made: Path, tmp_path: Path, cnnpaper: Cnnpaper, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = tmp_path / name
    shutil.copytree(made, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(place)
    answer = cnnpaper("tables", "--study", "tiny")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.soak
@pytest.mark.tex
@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_report_in_an_odd_folder(made: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    shutil.copytree(made, place, ignore=shutil.ignore_patterns("__pycache__"))
    done = shell(place, "report", "--study", "tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / "report" / "CNN_report-tiny.pdf").read_bytes().startswith(b"%PDF")


def test_make_in_an_odd_folder(with_python: Path, tmp_path: Path) -> None:
    place = tmp_path / ODD["all of these"]
    with_python.rename(place)
    done = make(place, "status", "STUDY=tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert "alexnet-s0" in done.stdout


@pytest.mark.train
@pytest.mark.parametrize("name", ODD_NAMES)
def test_images_in_an_odd_folder(
    tiny: Path, records: Any, cnnpaper: Cnnpaper, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from tests.learn import cifar_files

    cifar_files.write_form("binary archive", tiny / name, records)
    monkeypatch.setenv("DATA_DIR", name)
    answer = cnnpaper("data")
    assert (answer.code, answer.err) == (0, "")
    assert "CIFAR-10" in answer.out
