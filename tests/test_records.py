"""Logs: written so that nothing gets lost, read so that nothing gets by."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cnnpaper import records
from cnnpaper.errors import UserError

HEADER: dict[str, Any] = {
    "kind": "header",
    "schema": 1,
    "origin": "trained",
    "study": "trial",
    "model": "tiny",
    "variant": None,
    "seed": 0,
    "spec": {"epochs": 2, "recipe": {"momentum": 0.9}},
    "fingerprint": {
        "version": 1,
        "code": {"cnnpaper.learn.train:step": "ab"},
        "config": {"epochs": 2},
        "data": None,
        "packages": {"torch": "2.14.1"},
    },
    "data": {"name": "CIFAR-10", "digest": "cd"},
    "machine": {"cpu": "Some CPU @ 2 GHz", "cpu_family": 6, "threads": 2, "memory": 2**33},
    "packages": {"torch": "2.14.1"},
    "commit": None,
    "started": "2026-01-02T03:04:05+00:00",
    "network": {
        "parameters": 10,
        "macs": 20,
        "layers": [
            {"name": "conv1", "type": "Conv2d", "out": [8, 16, 16], "parameters": 216, "macs": 9}
        ],
    },
}
MINIATURE: dict[str, Any] = {
    "kind": "miniature",
    "metrics": {"train_loss": [2.5, 2.25]},
    "state_digest": "ef",
    "functions": ["cnnpaper.learn.train:step"],
}
STEP: dict[str, Any] = {
    "kind": "step",
    "epoch": 0,
    "step": 0,
    "loss": 2.302585092994046,
    "state_digest": None,
}
EPOCH: dict[str, Any] = {
    "kind": "epoch",
    "epoch": 0,
    "train_loss": 2.1,
    "train_acc": 0.25,
    "val_loss": 1.9,
    "val_acc": 0.3,
    "weights": "raw",
    "resolution": 24,
    "train_s": 12.5,
    "train_cpu_s": 24.0,
    "eval_s": 1.5,
    "other_cpu_s": 0.0,
    "learning_rate": 0.1,
    "probe_gflops": None,
}
RESULT: dict[str, Any] = {
    "kind": "result",
    "status": "finished",
    "best_epoch": 1,
    "best_val_acc": 0.5,
    "test_acc": 0.4875,
    "test_loss": 1.5,
    "test_acc_tta": 0.5,
    "total_s": 29.25,
    "predictions_sha256": None,
}
SECOND = {**EPOCH, "epoch": 1, "val_acc": 0.5, "resolution": 32}
LINES = [HEADER, MINIATURE, STEP, {**STEP, "step": 1, "state_digest": "01"}, EPOCH, SECOND, RESULT]


def chained(lines: list[Any]) -> bytes:
    """The bytes of a log whose digests are right, whatever its lines say: the rule, written anew.

    A line may also be a text, which is taken as it is.
    """
    previous, out = "0" * 64, []
    for line in lines:
        text = line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
        previous = hashlib.sha256((previous + text).encode()).hexdigest()
        out.append(f'{text[:-1]},"digest":"{previous}"}}\n')
    return "".join(out).encode()


GOOD = chained(LINES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log goes; the folder of the run is there."""
    folder = tmp_path / "tiny-s0"
    folder.mkdir()
    return folder / "run.jsonl"


# ------------------------------------------------------------------------------------ reading


def test_a_log_says_what_its_lines_say(path: Path) -> None:
    path.write_bytes(GOOD)
    run = records.read_run(path)
    assert run.name == "tiny-s0"
    assert (run.header.study, run.header.model, run.header.seed) == ("trial", "tiny", 0)
    assert run.header.spec == {"epochs": 2, "recipe": {"momentum": 0.9}}
    assert run.header.machine.memory == 8_589_934_592
    assert run.header.network.layers[0].out == (8, 16, 16)
    assert run.miniature is not None
    assert run.miniature.metrics == {"train_loss": [2.5, 2.25]}
    assert [(step.step, step.loss) for step in run.steps] == [
        (0, 2.302585092994046),
        (1, 2.302585092994046),
    ]
    assert [epoch.val_acc for epoch in run.epochs] == [0.3, 0.5]
    assert run.result is not None
    assert (run.result.status, run.result.test_acc, run.result.total_s) == (
        "finished",
        0.4875,
        29.25,
    )
    assert run.line_numbers == {
        "header": 1,
        "miniature": 2,
        "step 0": 3,
        "step 1": 4,
        "epoch 0": 5,
        "epoch 1": 6,
        "result": 7,
    }


@pytest.mark.parametrize("lines", [1, 2, 4, 5, 6])
def test_a_run_without_a_result_is_read_as_it_is(path: Path, lines: int) -> None:
    path.write_bytes(chained(LINES[:lines]))
    run = records.read_run(path)
    assert run.result is None
    assert len(run.epochs) == max(0, lines - 4)


def test_a_field_that_is_not_known_yet_is_kept(path: Path) -> None:
    path.write_bytes(chained([{**HEADER, "colour": [1, "blau"]}, {**EPOCH, "note": "한글"}]))
    run = records.read_run(path)
    assert run.header.model_extra == {"colour": [1, "blau"]}
    assert run.epochs[0].model_extra == {"note": "한글"}


NOT_A_LOG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "a blank line": (b"\n", ":1: not a line of a log"),
    "a blank line at the end": (GOOD + b"\n", ":8: not a line of a log"),
    "a NUL byte for every byte": (b"\0" * 100, "cut off"),
    "NUL bytes in a line": (GOOD.replace(b"tiny", b"ti\0y", 1), ":1: this line was changed"),
    "lines of NUL bytes after a power cut": (GOOD + b"\0" * 512 + b"\n", ":8: not a line of a log"),
    "BOM": (b"\xef\xbb\xbf" + GOOD, ":1: this line was changed"),
    "CRLF": (GOOD.replace(b"\n", b"\r\n"), ":1: not a line of a log"),
    "UTF-16": (GOOD.decode().encode("utf-16") + b"\n", ":1: not UTF-8"),
    "not UTF-8": (GOOD.replace(b"trained", b"tr\xffined", 1), ":1: not UTF-8"),
    "not UTF-8 later": (GOOD.replace(b"finished", b"fin\xffshed"), ":7: not UTF-8"),
    "half of the last line": (GOOD[:-100], ":7: the last line is cut off"),
    "last newline missing": (GOOD[:-1], ":7: the last line is cut off"),
    "other JSON": (b'{"a": 1}\n', ":1: not a line of a log"),
    "digest of a line that was changed": (
        GOOD.replace(b"0.4875", b"0.4876"),
        ":7: this line was changed",
    ),
    "a digit of an early line": (GOOD.replace(b"0.25,", b"0.26,", 1), ":5: this line was changed"),
    "text appended to a line": (GOOD.replace(b"}\n", b"} \n", 1), ":1: not a line of a log"),
}


@pytest.mark.parametrize("data, expected", NOT_A_LOG.values(), ids=NOT_A_LOG.keys())
def test_bytes_that_are_no_log(path: Path, data: bytes, expected: str) -> None:
    path.write_bytes(data)
    message = _message(path)
    assert message.startswith(str(path))
    assert expected in message


def test_a_folder_in_place_of_a_log(path: Path) -> None:
    path.mkdir()
    assert _message(path) == f"{path}: cannot be read (Is a directory)"


def test_no_log(path: Path) -> None:
    assert _message(path) == f"{path}: cannot be read (No such file or directory)"


def test_a_log_cut_at_every_byte(path: Path) -> None:
    ends = [position + 1 for position, byte in enumerate(GOOD) if byte == ord("\n")]
    for cut in range(len(GOOD)):
        path.write_bytes(GOOD[:cut])
        if cut in ends:
            assert records.read_run(path).result is None
        else:
            expected = "cut off" if cut else "empty"
            assert expected in _message(path)


def test_a_changed_byte_anywhere_is_seen(path: Path) -> None:
    for position in range(0, len(GOOD), 3):
        changed = bytearray(GOOD)
        changed[position] ^= 0x01
        path.write_bytes(bytes(changed))
        assert str(path) in _message(path)


@pytest.mark.parametrize("first", range(7))
@pytest.mark.parametrize("second", range(7))
def test_swapped_removed_and_repeated_lines_are_seen(path: Path, first: int, second: int) -> None:
    lines = GOOD.splitlines(keepends=True)
    if first < second:
        lines[first], lines[second] = lines[second], lines[first]
    elif first == second and first < 6:
        del lines[first]
    else:
        lines.insert(first, lines[second])
    path.write_bytes(b"".join(lines))
    message = _message(path)
    assert "changed after it was written" in message
    assert "restore the file" in message


def test_a_result_copied_from_another_run_is_seen(path: Path) -> None:
    other = chained([{**HEADER, "seed": 1}, *LINES[1:]])
    lines = GOOD.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], other.splitlines(keepends=True)[-1]]))
    assert ":7: this line was changed" in _message(path)


def test_a_renamed_log_without_its_last_lines_is_a_run_without_a_result(path: Path) -> None:
    """What the digests alone cannot see: whole lines missing at the end."""
    path.write_bytes(b"".join(GOOD.splitlines(keepends=True)[:-1]))
    assert records.read_run(path).result is None


def _without(line: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != key}


LIES: dict[str, tuple[list[Any], str]] = {
    "no header": (LINES[1:], ":1: the miniature line does not belong here"),
    "two headers": ([HEADER, *LINES], ":2: the header line does not belong here"),
    "a header at the end": ([*LINES, HEADER], ":8: the header line does not belong here"),
    "two miniatures": ([HEADER, MINIATURE, MINIATURE], ":3: a second miniature line"),
    "two results": ([*LINES, RESULT], ":8: a second result line"),
    "an epoch after the result": ([*LINES, EPOCH], ":8: the epoch line does not belong here"),
    "a step after an epoch": ([HEADER, EPOCH, STEP], ":3: the step line does not belong here"),
    "an epoch twice": ([HEADER, EPOCH, EPOCH], ":3: epoch 0 where epoch 1 is expected"),
    "an epoch left out": (
        [HEADER, EPOCH, {**EPOCH, "epoch": 2}],
        ":3: epoch 2 where epoch 1 is expected",
    ),
    "the first epoch is 1": ([HEADER, SECOND], ":2: epoch 1 where epoch 0 is expected"),
    "a negative epoch": ([HEADER, {**EPOCH, "epoch": -1}], ":2: epoch = -1"),
    "unknown kind": ([HEADER, {**EPOCH, "kind": "epoc"}], ":2: kind = 'epoc'; known kinds: header"),
    "no kind": ([_without(HEADER, "kind")], ":1: kind = None"),
    "kind as a list": ([{**HEADER, "kind": ["header"]}], ":1: kind = ['header']"),
    "a future schema": ([{**HEADER, "schema": 2}], ":1: schema = 2, this version"),
    "schema 0": ([{**HEADER, "schema": 0}], ":1: schema = 0"),
    "schema as text": ([{**HEADER, "schema": "1"}], ":1: schema = '1'"),
    "no schema": ([_without(HEADER, "schema")], ":1: schema = None"),
    "number as text": ([HEADER, {**EPOCH, "val_acc": "0.5"}], ":2: val_acc = 0.5: Input should"),
    "epoch as text": ([HEADER, {**EPOCH, "epoch": "0"}], ":2: epoch = 0: Input should"),
    "epoch as 0.0": ([HEADER, {**EPOCH, "epoch": 0.0}], ":2: epoch = 0.0"),
    "number as bool": ([HEADER, {**EPOCH, "val_acc": True}], ":2: val_acc = True"),
    "seed as text": ([{**HEADER, "seed": "0"}], ":1: seed = 0"),
    "field missing": ([HEADER, _without(EPOCH, "val_loss")], ":2: val_loss = "),
    "status of another word": ([*LINES[:-1], {**RESULT, "status": "done"}], ":7: status = done"),
    "NaN": ([HEADER, {**EPOCH, "val_loss": math.nan}], ":2: val_loss = nan"),
    "infinity": ([HEADER, {**EPOCH, "val_loss": math.inf}], ":2: val_loss = inf"),
    "1e999": ([HEADER, json.dumps(EPOCH).replace("1.9", "1e999")], ":2: val_loss = inf"),
    "other word for what is not finite": (
        [HEADER, {**EPOCH, "val_loss": None, "nonfinite": {"val_loss": "NaN"}}],
        ":2: nonfinite.val_loss = NaN",
    ),
    "a list for a line": (["[1,2}"], ":1: not JSON"),
    "5,000 digits": ([HEADER, json.dumps(EPOCH).replace("1.9", "9" * 5000)], ":2: not JSON"),
    "deep nesting": ([json.dumps(HEADER)[:-1] + ',"x":' + "[" * 9_000 + "}"], ":1: not JSON"),
    "half a surrogate": ([json.dumps(HEADER).replace("tiny", "\\ud800")], ":1: "),
}


@pytest.mark.parametrize("lines, expected", LIES.values(), ids=LIES.keys())
def test_lines_with_right_digests_that_are_wrong(
    path: Path, lines: list[Any], expected: str
) -> None:
    path.write_bytes(chained(lines))
    message = _message(path)
    assert message.startswith(str(path))
    assert expected in message
    assert len(message.splitlines()) <= 5
    message.encode()  # can be printed


# ------------------------------------------------------------------------------------ writing


def _line(values: dict[str, Any]) -> records.Line:
    kinds: dict[str, type[records.Line]] = {
        "header": records.Header,
        "miniature": records.Miniature,
        "step": records.Step,
        "epoch": records.Epoch,
        "result": records.Result,
    }
    return kinds[values["kind"]].model_validate_json(json.dumps(values))


def test_written_lines_are_chained_by_the_rule(path: Path) -> None:
    writer = records.LogWriter(path)
    for values in LINES:
        writer.append(_line(values))
    previous = "0" * 64
    for raw in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(raw)
        digest = fields.pop("digest")
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        assert raw == f'{text[:-1]},"digest":"{digest}"}}'
        previous = hashlib.sha256((previous + text).encode("utf-8")).hexdigest()
        assert digest == previous
    assert (writer.lines, writer.digest) == (7, previous)


def test_what_was_written_is_read(path: Path) -> None:
    writer = records.LogWriter(path)
    for values in LINES:
        writer.append(_line(values))
    path.with_name("by-hand.jsonl").write_bytes(GOOD)
    written, by_hand = records.read_run(path), records.read_run(path.with_name("by-hand.jsonl"))
    for part in ("header", "miniature", "steps", "epochs", "result"):
        assert getattr(written, part) == getattr(by_hand, part)


def test_a_writer_goes_on_after_the_last_line(path: Path) -> None:
    path.write_bytes(chained(LINES[:5]))
    writer = records.LogWriter(path)
    assert writer.lines == 5
    writer.append(_line(LINES[5]))
    records.LogWriter(path).append(_line(LINES[6]))
    run = records.read_run(path)
    assert len(run.epochs) == 2
    assert run.result is not None


def test_a_writer_does_not_go_on_after_a_line_that_was_changed(path: Path) -> None:
    path.write_bytes(GOOD.replace(b"0.25,", b"0.26,", 1))
    with pytest.raises(records.LogError, match=":5: this line was changed"):
        records.LogWriter(path)


def test_a_line_is_on_the_disk_before_append_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size if path.exists() else 0)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = records.LogWriter(path)
    writer.append(_line(HEADER))
    assert len(sizes) == 2  # the file, and the folder that is new to it
    assert sizes[0] == path.stat().st_size
    writer.append(_line(EPOCH))
    assert sizes[2] == path.stat().st_size


def test_a_line_that_cannot_be_written_leaves_the_writer_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = records.LogWriter(path)
    writer.append(_line(HEADER))
    before = (writer.lines, writer.digest)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _no_space)
        with pytest.raises(OSError, match="No space left"):
            writer.append(_line(EPOCH))
    assert (writer.lines, writer.digest) == before
    records.cut_to(path, writer.lines)
    writer.append(_line(EPOCH))
    assert len(records.read_run(path).epochs) == 1


def _no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_cut_to_keeps_whole_lines_and_says_what_it_dropped(path: Path) -> None:
    path.write_bytes(GOOD[:-7])
    assert records.whole_lines(path) == 6
    assert records.cut_to(path, 6) == len(chained(LINES[6:])) - 7
    assert path.read_bytes() == chained(LINES[:6])
    assert records.cut_to(path, 6) == 0
    assert records.cut_to(path, 100) == 0
    assert records.cut_to(path, 1) == len(chained(LINES[:6])) - len(chained(LINES[:1]))
    assert path.read_bytes() == chained(LINES[:1])
    records.cut_to(path, 0)
    assert path.read_bytes() == b""


def test_digest_after(path: Path) -> None:
    path.write_bytes(GOOD)
    assert records.digest_after(path, 0) == "0" * 64
    for lines in (1, 4, 7):
        last = chained(LINES[:lines]).splitlines()[-1]
        assert records.digest_after(path, lines) == json.loads(last)["digest"]


# ------------------------------------------------------------------------------------ numbers


def test_what_is_not_finite_is_written_as_null_and_read_as_it_was(path: Path) -> None:
    values = {**EPOCH, **{"train_loss": None, "val_loss": None, "train_acc": None}}
    values.pop("nonfinite", None)
    fields = records.finite(train_loss=math.nan, val_loss=-math.inf, train_acc=math.inf)
    assert fields == {
        "train_loss": None,
        "val_loss": None,
        "train_acc": None,
        "nonfinite": {"train_loss": "nan", "val_loss": "-inf", "train_acc": "inf"},
    }
    writer = records.LogWriter(path)
    writer.append(_line(HEADER))
    writer.append(records.Epoch(**{**values, **fields}))
    raw = json.loads(path.read_text().splitlines()[1], parse_constant=pytest.fail)
    assert raw["train_loss"] is None
    epoch = records.read_run(path).epochs[0]
    assert math.isnan(epoch.exact("train_loss") or 0.0)
    assert epoch.exact("val_loss") == -math.inf
    assert epoch.exact("train_acc") == math.inf
    assert epoch.exact("val_acc") == 0.3
    assert epoch.exact("probe_gflops") is None


def test_finite_leaves_finite_numbers_alone() -> None:
    assert records.finite(a=1.5, b=None, c=-0.0) == {
        "a": 1.5,
        "b": None,
        "c": -0.0,
        "nonfinite": {},
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_line_never_holds_a_number_that_is_not_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        records.Epoch(**{**EPOCH, "val_loss": value})


ANYTHING = settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(ANYTHING, max_examples=80)
@given(numbers=st.lists(NUMBERS, min_size=1, max_size=8))
def test_floats_come_back_with_the_same_bits(path: Path, numbers: list[float]) -> None:
    path.unlink(missing_ok=True)
    writer = records.LogWriter(path)
    writer.append(_line({**HEADER, "spec": {"numbers": numbers}}))
    for number, value in enumerate(numbers):
        writer.append(records.Epoch(**{**EPOCH, "epoch": number, "train_loss": value}))
    run = records.read_run(path)
    assert run.header.spec is not None
    assert [_bits(epoch.train_loss) for epoch in run.epochs] == [_bits(value) for value in numbers]
    assert [_bits(value) for value in run.header.spec["numbers"]] == [
        _bits(value) for value in numbers
    ]


def _bits(value: float | None) -> bytes:
    assert value is not None
    return struct.pack("<d", value)


# ------------------------------------------------------------------------------------ anything


def _result(call: Callable[[], Any]) -> Any:
    """What ``call`` returns, or what the user is told; nothing else may be raised."""
    try:
        return call()
    except UserError as error:
        return str(error)


@ANYTHING
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert str(path) in _result(lambda: records.read_run(path))


@ANYTHING
@given(start=st.integers(0, len(GOOD)), length=st.integers(0, 40), new=st.binary(max_size=40))
def test_any_other_bytes_in_a_log_are_refused(
    path: Path, start: int, length: int, new: bytes
) -> None:
    data = GOOD[:start] + new + GOOD[start + length :]
    path.write_bytes(data)
    found = _result(lambda: records.read_run(path))
    whole_lines = GOOD.startswith(data) and data.endswith(b"\n")
    assert isinstance(found, records.Run) if whole_lines else str(path) in found


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@ANYTHING
@given(number=st.integers(0, 6), draw=st.data())
def test_any_value_with_right_digests_is_a_run_or_refused(
    path: Path, number: int, draw: st.DataObject
) -> None:
    key = draw.draw(st.sampled_from(list(LINES[number])) | st.text(max_size=8))
    lines: list[Any] = [*LINES]
    lines[number] = {**LINES[number], key: draw.draw(_JSON)}
    path.write_bytes(chained(lines))
    found = _result(lambda: records.read_run(path))
    assert isinstance(found, records.Run) or found.startswith(str(path))


@ANYTHING
@given(
    text=st.text(
        alphabet=st.characters(exclude_characters="\n", exclude_categories=["Cs"]),
        min_size=1,
        max_size=60,
    )
)
def test_any_text_with_a_right_digest_is_refused(path: Path, text: str) -> None:
    path.write_bytes(chained([text]))
    assert _result(lambda: records.read_run(path)).startswith(str(path))


def _message(path: Path) -> str:
    """What the user is told of the log."""
    with pytest.raises(records.LogError) as caught:
        records.read_run(path)
    return str(caught.value)
