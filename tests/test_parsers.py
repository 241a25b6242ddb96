"""Whatever bytes a file holds, its reader gives a result or says what is wrong; it never breaks.

Here are the readers that have no such test beside their others: those of experiment files
(``test_config``), run logs (``test_records``), text logs (``test_textlog``), certificates
(``test_certificate``) and images (``learn/test_data_hostile``) have.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnpaper import cli, comparison, environment, fingerprint, predictions, records, timings
from cnnpaper.errors import UserError
from cnnpaper.paper import checks, facts, sources
from cnnpaper.paper.state import State, build_folder
from tests import fabricate
from tests.bad_files import PLAN, arrays, header_of, with_logits

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = (REPOSITORY / "uv.lock").read_bytes()[:3000]
ANYTHING = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(ANYTHING, max_examples=5_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
Reader = Callable[[Path], object]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> records.Run:
    """A run of an invented study."""
    root = fabricate.study(tmp_path_factory.mktemp("parsers"), PLAN)
    return records.read_run(root / "results/log/tiny/alexnet-s0/run.jsonl")


def changed(good: bytes) -> st.SearchStrategy[bytes]:
    """``good`` with some bytes replaced, inserted or left out."""
    return st.builds(
        lambda start, length, new: good[:start] + new + good[start + length :],
        st.integers(0, len(good)),
        st.integers(0, 40),
        st.binary(max_size=40),
    )


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: json.dumps(value).encode())


EVALUATION = json.dumps({"run": "a-s0", "at": "2026-11-24T09:00:00Z", "log_digest": "0" * 64})
KNOWN = (REPOSITORY / "report" / "known.toml").read_bytes()
RIGHT = io.BytesIO()
np.save(RIGHT, np.array([True, False]))
BYTES: dict[str, tuple[Reader, st.SearchStrategy[bytes]]] = {
    "predictions": (predictions.load, changed(arrays())),
    "predictions, an array": (
        predictions.load,
        changed(arrays()[40:180]).map(with_logits)
        | st.text(st.characters(max_codepoint=255), max_size=80).map(header_of).map(with_logits),
    ),
    "predictions, compressed": (
        predictions.load,
        changed(with_logits(bytes(300), zipfile.ZIP_DEFLATED)),
    ),
    "uv.lock for fingerprints": (fingerprint.locked_versions, changed(LOCK)),
    "uv.lock for the set-up": (lambda p: environment.locked_uv(p.parent), changed(LOCK)),
    "pyproject.toml for the set-up": (
        lambda p: environment.wanted(p.parent, []),
        changed((REPOSITORY / "pyproject.toml").read_bytes()),
    ),
    "stamp of an environment": (
        lambda p: environment.stamp_of(p.parent),
        changed(b'{"uv.lock": "0", "place": "/"}') | as_json(JSON),
    ),
    "known numbers": (lambda p: facts.read_known(p.parent.parent), changed(KNOWN)),
    "test evaluations": (checks._evaluations, changed(EVALUATION.encode() + b"\n") | as_json(JSON)),
    "step times": (timings.read, changed(b'{"kind":"timing","digest":"0"}\n') | as_json(JSON)),
    "build state": (
        lambda p: State.load(p.parents[3], p.parent.name),
        changed(b'{"digest": "0", "inputs": {}, "steps": {}, "summary": ""}') | as_json(JSON),
    ),
}
NAMES = {
    "known numbers": "report/known.toml",
    "build state": "build/report/any/state.json",
    "uv.lock for the set-up": "uv.lock",
    "pyproject.toml for the set-up": "pyproject.toml",
    "stamp of an environment": environment.STAMP,
}


def answers(read: Reader, path: Path, data: bytes) -> None:
    """The reader returns, or says in a few lines which file is wrong."""
    path.write_bytes(data)
    said = str(path)
    try:
        read(path)
    except UserError as error:
        said = str(error)
    assert str(path) in said
    assert len(said.splitlines()) <= 5
    assert len(said) < 2_000


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where the file lies that the reader of this test is to read."""
    path = tmp_path / NAMES.get(request.getfixturevalue("name"), "any")
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "uv.lock").touch()
    return path


@pytest.mark.parametrize("name", BYTES)
@ANYTHING
@given(data=st.data())
def test_any_bytes(place: Path, name: str, data: st.DataObject) -> None:
    read, like_it = BYTES[name]
    answers(read, place, data.draw(st.binary(max_size=200) | like_it))


@pytest.mark.soak
@pytest.mark.parametrize("name", BYTES)
@LONG
@given(data=st.data())
def test_any_bytes_at_length(place: Path, name: str, data: st.DataObject) -> None:
    read, like_it = BYTES[name]
    answers(read, place, data.draw(st.binary(max_size=200) | like_it))


DEEP = [b"[" * 5000, b'{"a":' * 5000, b"x = " + b"[" * 5000, b"x = " + b"9" * 5000, b"9" * 5000]


@pytest.mark.parametrize("name", BYTES)
def test_depths_and_digits_beyond_what_python_reads(place: Path, name: str) -> None:
    for data in DEEP:
        answers(BYTES[name][0], place, data)


@ANYTHING
@given(data=st.binary(max_size=200) | changed(RIGHT.getvalue()))
def test_any_bytes_as_right_answers(tmp_path: Path, run: records.Run, data: bytes) -> None:
    answers(lambda path: comparison.read_right(path, run), tmp_path / "right.npy", data)


@pytest.mark.train
@ANYTHING
@given(payload=st.binary(max_size=200))
def test_any_payload_as_a_checkpoint(tmp_path: Path, payload: bytes) -> None:
    torch = pytest.importorskip("torch")
    from cnnpaper.learn import checkpoint

    head = checkpoint.MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    (tmp_path / "checkpoint-000001-0000000.pt").write_bytes(head + payload)
    found: list[str] = []
    assert list(checkpoint.load_newest(tmp_path, torch.device("cpu"), found.append)) == []
    assert "damaged" in found[0]


# ------------------------------------------------------------------------------- build state


def test_a_state_that_was_saved_is_loaded(tmp_path: Path) -> None:
    state = State(build_folder(tmp_path, "s") / "state.json", {"a": "1"}, {}, "한 번")
    state.save()
    assert State.load(tmp_path, "s") == state
    state.path.write_text(state.path.read_text("utf-8").replace('"a": "1"', '"a": "2"'), "utf-8")
    assert State.load(tmp_path, "s") == State(state.path)


# ------------------------------------------------------------------------------- lines of keys


def test_the_line_of_a_key_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(
        '\ufeffa = 1\r\n# b = 2\r\n"b" = """\r\nc = 3\r\n"""\r\n[d]\r\n\'e\' = [ # d.f = 1\r\n'
        " 1,\r\n]\r\nf.g = {h = 1, i.j = 2}\r\n[d.k]\r\n\r\nl = 1 # \x85\u2028\r\n"
        "[[m]]\r\n".encode()
    )
    assert sources.lines_of_keys(path) == {
        "a": 1,
        "b": 3,
        "d": 6,
        "d.e": 7,
        "d.f": 10,
        "d.f.g": 10,
        "d.f.g.h": 10,
        "d.f.g.i": 10,
        "d.f.g.i.j": 10,
        "d.k": 11,
        "d.k.l": 13,
        "m": 14,
    }


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "experiments").rglob("*.toml")), ids=lambda path: path.stem
)
def test_the_lines_of_the_committed_files(path: Path) -> None:
    lines = path.read_text("utf-8").split("\n")
    found = sources.lines_of_keys(path)
    assert found
    for key, number in found.items():
        assert key.rpartition(".")[2] in lines[number - 1]


# ------------------------------------------------------------------------------- command line

OPTIONS = sorted(
    {name for command in cli.commands.commands.values() for p in command.params for name in p.opts}
)
WORDS = st.sampled_from([*OPTIONS, "--debug=1", "--", "-"]) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12
)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, the current one."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@ANYTHING
@given(
    # not data, which would fetch it
    command=st.sampled_from([name for name in cli.commands.commands if name != "data"]) | WORDS,
    words=st.lists(WORDS, max_size=6),
)
def test_any_arguments_are_refused_where_there_is_no_repository(
    empty: Path, capfd: pytest.CaptureFixture[str], command: str, words: list[str]
) -> None:
    code = cli.run([command, *words])
    assert code in (0, 2)  # 0: --help
    assert "Traceback" not in capfd.readouterr().err
    assert [path for path in empty.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
