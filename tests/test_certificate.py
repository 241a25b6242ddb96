"""Certificates: what they cover, what they never cover, and what is no certificate."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnpaper import certificate, config, fingerprint, records
from cnnpaper.certificate import CERTIFICATE_NAME, Certificate, Planned, Replay
from cnnpaper.errors import UserError
from cnnpaper.fingerprint import Difference
from cnnpaper.records import Data, Miniature
from tests import fabricate

PLAN = fabricate.Plan(networks=("alexnet", "resnet18"), images=50, epochs=2)
TRAIN = "cnnpaper.learn.train"
ENTERED = tuple(f"{TRAIN}:{name}" for name in ("Training._step", "_sums_of", "fit"))
STATE = hashlib.sha256(b"state").hexdigest()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with an invented study whose miniatures entered three functions."""
    root = fabricate.study(tmp_path_factory.mktemp("base") / "repository", PLAN, code=True)
    for spec in config.run_specs(root, config.load_study(root, PLAN.name)):
        path = config.run_folder(root, PLAN.name, spec.run) / records.LOG_NAME
        path.unlink()
        log = records.LogWriter(path)
        for line in fabricate.run_lines(PLAN, spec):
            log.append(miniature() if isinstance(line, Miniature) else line)
    return root


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(base, tmp_path / "repository")


@pytest.fixture(scope="module")
def certified(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with a renamed function and a certificate, which tests put back."""
    root = shutil.copytree(base, tmp_path_factory.mktemp("certified") / "repository")
    rename(root)
    certify(root)
    return root


def miniature(functions: tuple[str, ...] = ENTERED, **unexecuted: list[str]) -> Miniature:
    parts = {f"{TRAIN}:{name}": tuple(digests) for name, digests in unexecuted.items()}
    return Miniature(metrics={}, state_digest=STATE, functions=functions, unexecuted=parts)


def read(root: Path, run: str = "alexnet-s0") -> records.Run:
    return records.read_run(root / "results" / "log" / PLAN.name / run / records.LOG_NAME)


def edit(root: Path, old: str, new: str, file: str = "cnnpaper/learn/train.py") -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rename(root: Path) -> None:
    """Of a function that is called once."""
    edit(root, "_sums_of", "_batch_sums")


def certify(root: Path, run: str = "alexnet-s0") -> Path:
    """What a replay that gave every bit makes, in today's repository."""
    log = read(root, run)
    header = log.header
    today = fingerprint.of_run(root, fingerprint.spec_today(root, header))
    replay = Replay(
        fingerprint=today,
        machine=header.machine,
        packages=header.packages,
        data=Data(name=header.data.name, digest=header.data.digest),
        network=header.network,
        miniature=miniature((*ENTERED, f"{TRAIN}:_batch_sums")),
        steps=log.steps,
        epochs=(Planned(learning_rate=0.1, resolution=32),),
        test_labels_sha256=STATE,
    )
    found = fingerprint.changes(root, log)
    made = certificate.make(log, replay, found, "2026-11-24T12:00:00Z")
    return certificate.write(log.path.parent, made)


def fresh(root: Path, run: str = "alexnet-s0") -> bool:
    return fingerprint.run_differences(root, read(root, run)) == []


# -------------------------------------------------------------------------------- what it covers


def test_a_renamed_function(root: Path) -> None:
    rename(root)
    changed = {item.name.partition(":")[2] for item in fingerprint.changes(root, read(root))}
    assert changed == {"Training._step", "_sums_of", "_batch_sums"}
    assert not fresh(root)
    path = certify(root)
    assert fresh(root)
    assert not fresh(root, "resnet18-s0")
    held = json.loads(path.read_text())
    assert {name.partition(":")[2] for name in held["vouches_for"]} == changed
    assert held["log_digest"] == json.loads(read(root).path.read_text().splitlines()[-1])["digest"]


AFTERWARDS: dict[str, Callable[[Path], None]] = {
    "the code changes again": lambda root: edit(root, "self._sums.zero_()", "self._sums.fill_(0)"),
    "it changes back": lambda root: edit(root, "_batch_sums", "_sums_of"),
    "a value of the recipe": lambda root: edit(
        root, "momentum = 0.9", "momentum = 0.8", "experiments/recipe.toml"
    ),
    "a constant": lambda root: edit(root, "CHECK_EVERY = 50", "CHECK_EVERY = 60"),
    "another torch": lambda root: edit(
        root, 'name = "torch"\nversion = "2.14.1"', 'name = "torch"\nversion = "2.14.0"', "uv.lock"
    ),
    "the log": lambda root: forge(root, "alexnet-s0"),
}


@pytest.mark.parametrize("what", AFTERWARDS)
def test_whatever_changes_afterwards_ends_it(root: Path, what: str) -> None:
    rename(root)
    certify(root)
    AFTERWARDS[what](root)
    # changed back, the run needs no certificate
    assert fresh(root) is (what == "it changes back")


def forge(root: Path, run: str) -> None:
    """Another accuracy in the log, all digests made anew."""
    path = read(root, run).path
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["test_acc"] = 0.99
    fabricate.chain(path, lines)
    assert read(root, run).result.test_acc == 0.99  # type: ignore[union-attr]


@pytest.mark.parametrize("field", ["miniature", "steps_state"])
def test_bits_other_than_the_log_s_vouch_for_nothing(root: Path, field: str) -> None:
    rename(root)
    path = certify(root)
    fields = json.loads(path.read_text())
    fields.pop("digest")
    fields[field] = "0" * 64
    path.write_text(json.dumps({**fields, "digest": certificate._digest(fields)}))
    assert not fresh(root)


def test_one_of_another_run_is_refused_by_name(root: Path) -> None:
    rename(root)
    path = certify(root)
    other = read(root, "resnet18-s0").path.with_name(CERTIFICATE_NAME)
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"resnet18-s0/certificate.json: is that of alexnet-s0"):
        fresh(root, "resnet18-s0")


def test_the_message_of_a_stale_run_names_it_where_it_may_help(root: Path) -> None:
    runs = [read(root)]
    code = Difference(kind="code", name="a:f", old="1", new="2", file="a.py")
    other = Difference(kind="config", name="recipe.momentum", old=0.9, new=0.8)
    message = fingerprint.stale_message(runs, {"alexnet-s0": [code]})
    assert "FORCE=1; or, if the change does not change the numbers: make certify" in message
    assert "certify" not in fingerprint.stale_message(runs, {"alexnet-s0": [code, other]})


# ------------------------------------------------------------------------------- what it never does


def difference(name: str, old: str | None = "1", new: str | None = "2") -> Difference:
    return Difference(kind="code", name=f"{TRAIN}:{name}", old=old, new=new, file="train.py")


PARTS = {"_step": ["a", "b"], "_sums_of": ["c"]}
OBJECTIONS: list[tuple[str, list[Difference], set[str], dict[str, list[str]], str | None]] = [
    # what changed, functions entered today, parts not executed today, the objection
    ("nothing", [], set(), {}, None),
    ("a function", [difference("fit")], {"fit"}, {}, None),
    ("one not entered today", [difference("fit")], set(), {}, "not a function that the replay"),
    ("one not entered then", [difference("other")], {"other"}, {}, "not a function that the"),
    ("an added one", [difference("new", old=None)], {"new"}, {}, None),
    ("an added one that is not entered", [difference("new", old=None)], set(), {}, "not a func"),
    ("a removed one", [difference("fit", new=None)], set(), {}, None),
    ("a removed one that was not entered", [difference("x", new=None)], {"x"}, {}, "not a func"),
    ("a constant", [difference("CHECK_EVERY")], {"fit"}, {}, "not a function that the replay"),
    ("a class's body", [difference("Training")], {"Training.test"}, {}, "not a function"),
    ("what importing does", [difference("<effects>")], set(), {}, "not a function, so no"),
    ("another builder", [difference("BUILDERS[alexnet]")], set(), {}, "not a function, so no"),
    ("known parts", [difference("_step")], {"_step"}, {"_step": ["b"]}, None),
    ("a new part", [difference("_step")], {"_step"}, {"_step": ["b", "x"]}, "does not execute all"),
    ("a part of another", [difference("_step")], {"_step"}, {"_step": ["c"]}, "does not execute"),
    (
        "a renamed one with its part",
        [difference("_sums_of", new=None), difference("new", old=None)],
        {"new"},
        {"new": ["c"]},
        None,
    ),
    (
        "an added one with a part",
        [difference("new", old=None)],
        {"new"},
        {"new": ["c"]},
        "does not execute all",
    ),
    *(
        (kind, [replace(difference("fit"), kind=kind)], {"fit"}, {}, "only changes of code")  # type: ignore[arg-type]
        for kind in ("config", "data", "packages", "version")
    ),
]


@pytest.mark.parametrize("row", OBJECTIONS, ids=[row[0] for row in OBJECTIONS])
def test_objections(base: Path, row: tuple[Any, ...]) -> None:
    _, found, entered, unexecuted, expected = row
    functions = tuple(f"{TRAIN}:{name}" for name in ("fit", "_step", "_sums_of"))
    run = replace(read(base), miniature=miniature(functions, **PARTS))
    objection = certificate.objection(
        run,
        found,
        {f"{TRAIN}:{name}" for name in entered},
        {f"{TRAIN}:{name}": parts for name, parts in unexecuted.items()},
    )
    if expected is None:
        assert objection is None
    else:
        assert objection is not None
        assert expected in objection


def test_where_no_parts_were_recorded_all_must_be_executed(base: Path) -> None:
    recorded = miniature((f"{TRAIN}:fit",)).model_copy(update={"unexecuted": None})
    run = replace(read(base), miniature=recorded)
    changed = [difference("fit")]
    assert certificate.objection(run, changed, recorded.functions, {}) is None
    parts = {f"{TRAIN}:fit": ["a"]}
    assert certificate.objection(run, changed, recorded.functions, parts) is not None
    assert certificate.objection(replace(run, miniature=None), changed, recorded.functions, {})


# ------------------------------------------------------------------------------ what is none


def changed(**values: Any) -> Callable[[bytes], bytes]:
    """The certificate with other values; with None for one that is left out."""

    def change(data: bytes) -> bytes:
        fields = {**json.loads(data), **values}
        return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()

    return change


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "not a certificate"),
    "cut": (lambda data: data[: len(data) // 2], "not a certificate"),
    "not UTF-8": (lambda data: b"\xff\xfe" + data, "not a certificate"),
    "NUL bytes": (lambda data: bytes(len(data)), "not a certificate"),
    "a list": (lambda data: b"[" + data + b"]", "not a certificate"),
    "deep": (lambda _: b"[" * 200_000, "not a certificate"),
    "a future schema": (changed(schema=2), "schema = 2, this version of cnnpaper reads 1"),
    "no schema": (changed(schema=None), "schema = None"),
    "no digest": (changed(digest=None), "digest: Field required"),
    "a field too many": (changed(note="trust me"), "note: Extra inputs"),
    "a number as text": (changed(steps="2"), "steps: Input should be a valid integer"),
    "NaN": (lambda data: data.replace(b'"steps": 2', b'"steps": NaN'), "steps: Input should be"),
    "a name added": (changed(vouches_for=["cnnpaper.learn.data:load"]), "changed after it was"),
    "another day": (changed(made="2030-01-01T00:00:00Z"), "changed after it was written"),
    "another digest": (changed(digest="0" * 64), "changed after it was written"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_one_is_refused_with_the_remedy(certified: Path, what: str) -> None:
    path = read(certified).path.with_name(CERTIFICATE_NAME)
    change, expected = DAMAGED[what]
    data = path.read_bytes()
    assert change(data) != data
    path.write_bytes(change(data))
    with pytest.raises(UserError) as caught:
        fresh(certified)
    path.write_bytes(data)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "delete it, or certify again: make certify STUDY=invented" in message
    assert len(message.splitlines()) <= 3


def test_a_folder_in_its_place(root: Path) -> None:
    rename(root)
    read(root).path.with_name(CERTIFICATE_NAME).mkdir()
    with pytest.raises(UserError, match=r"certificate.json: cannot be read \(Is a directory\)"):
        fresh(root)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=60) | st.text(alphabet='{}[]":,schema1', max_size=40).map(str.encode)
)
def test_any_bytes_are_refused_in_words(base: Path, tmp_path: Path, data: bytes) -> None:
    tmp_path.joinpath(CERTIFICATE_NAME).write_bytes(data)
    with pytest.raises(UserError):
        certificate.read(replace(read(base), path=tmp_path / records.LOG_NAME))


def test_what_is_written_is_what_is_read(certified: Path) -> None:
    path = read(certified).path.with_name(CERTIFICATE_NAME)
    held = certificate.read(read(certified))
    assert isinstance(held, Certificate)
    before = path.read_bytes()
    certificate.write(path.parent, held)
    assert path.read_bytes() == before
