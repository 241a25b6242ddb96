"""The log as text: drawn from ``run.jsonl``, and read in every form of the 2023 program."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnpaper import records, textlog
from cnnpaper.errors import UserError

FILE = Path("a_train.log")

# As the README of the 2023 program shows it: dashes after the line of the epoch.
DASHES_AFTER = """\
############학습 시작############
Epoch 0/2
----------
train Loss: 9.1037 Acc: 0.1560
val Loss: 11.9101 Acc: 0.1925
Epoch 1/2
----------
train Loss: 2.0000 Acc: 0.3000
val Loss: 1.7500 Acc: 0.4491
Epoch 2/2
----------
train Loss: 1.9000 Acc: 0.3200
val Loss: 1.8000 Acc: 0.4340
############학습 끝############
Training complete in 3m 28s
Best val Acc: 0.449057
"""
DASHES_BEFORE = """\
############학습 시작############
----------
Epoch 0/2
train Loss: 9.1037 Acc: 0.1560
val Loss: 11.9101 Acc: 0.1925
----------
Epoch 1/2
train Loss: 2.0000 Acc: 0.3000
val Loss: 1.7500 Acc: 0.4491
----------
Epoch 2/2
train Loss: 1.9000 Acc: 0.3200
val Loss: 1.8000 Acc: 0.4340
----------
############학습 끝############
Training complete in 3m 28s
Best val Acc: 0.449057
"""
BLANK_LINES = """\
############학습 시작############
Epoch 0/2
----------
train Loss: 9.1037 Acc: 0.1560
val Loss: 11.9101 Acc: 0.1925

Epoch 1/2
----------
train Loss: 2.0000 Acc: 0.3000
val Loss: 1.7500 Acc: 0.4491

Epoch 2/2
----------
train Loss: 1.9000 Acc: 0.3200
val Loss: 1.8000 Acc: 0.4340

############학습 끝############
Training complete in 3m 28s
Best val Acc: 0.449057

"""
NO_DASHES = "".join(
    line for line in DASHES_AFTER.splitlines(keepends=True) if not line.startswith("-")
)
EPOCHS = (
    (9.1037, 0.1560, 11.9101, 0.1925),
    (2.0, 0.3, 1.75, 0.4491),
    (1.9, 0.32, 1.8, 0.434),
)
FORMS: dict[str, bytes] = {
    "dashes after the epoch's line": DASHES_AFTER.encode(),
    "dashes before the epoch's line": DASHES_BEFORE.encode(),
    "blank lines between epochs": BLANK_LINES.encode(),
    "no dashes": NO_DASHES.encode(),
    "CRLF": DASHES_BEFORE.replace("\n", "\r\n").encode(),
    "CRLF and blank lines": BLANK_LINES.replace("\n", "\r\n").encode(),
    "BOM": b"\xef\xbb\xbf" + DASHES_AFTER.encode(),
    "UTF-16, as an editor of Windows saves it": DASHES_AFTER.encode("utf-16"),
    "CP949, as Python on a Korean Windows writes it": DASHES_AFTER.encode("cp949"),
    "no newline at the end": DASHES_AFTER.rstrip("\n").encode(),
    "blanks at the ends of lines": DASHES_AFTER.replace("\n", " \n").encode(),
}


def epochs_of(log: textlog.TextLog) -> tuple[tuple[float, ...], ...]:
    return tuple(
        (epoch.train_loss, epoch.train_acc, epoch.val_loss, epoch.val_acc) for epoch in log.epochs
    )


# ------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS.keys())
def test_every_form_says_the_same(data: bytes) -> None:
    log = textlog.read_bytes(data, FILE)
    assert epochs_of(log) == EPOCHS
    assert (log.planned, log.total_s, log.best_val_acc, log.best_epoch) == (3, 208, 0.449057, 1)


CUTS: dict[str, tuple[str, int]] = {
    "within the line of the best accuracy": ("Best val Acc: 0.4490", 3),
    "before the line of the best accuracy": ("Best val Acc", 3),
    "within the line of the time": ("complete in 3m 28s", 3),
    "within the end mark": ("끝####", 3),
    "before the end mark": ("############학습 끝", 3),
    "within the last digits of an epoch": ("340\n############", 2),
    "within the line of an epoch": ("/2\n----------\ntrain Loss: 1.9000", 2),
    "after the line of an epoch": ("\n----------\ntrain Loss: 1.9000", 2),
    "between training and validation": ("val Loss: 1.8000", 2),
    "within a validation line": ("Acc: 0.4491", 1),
}


@pytest.mark.parametrize("mark, epochs", CUTS.values(), ids=CUTS.keys())
def test_a_log_that_was_cut_off_has_its_complete_epochs(mark: str, epochs: int) -> None:
    assert DASHES_AFTER.count(mark) == 1
    log = textlog.parse(DASHES_AFTER[: DASHES_AFTER.index(mark)], FILE)
    assert epochs_of(log) == EPOCHS[:epochs]
    assert log.planned == 3
    assert log.total_s == (208 if mark.startswith("Best") else None)
    assert log.best_val_acc == (0.1925 if epochs == 1 else 0.4491)


def test_a_log_cut_at_every_character_never_gives_a_value_that_was_not_there() -> None:
    for cut in range(len(DASHES_BEFORE)):
        try:
            log = textlog.parse(DASHES_BEFORE[:cut], FILE)
        except UserError:
            assert cut < DASHES_BEFORE.index("0.1925") + len("0.1925")
        else:
            assert epochs_of(log) == EPOCHS[: len(log.epochs)]
            assert log.planned == 3
            assert log.total_s in (None, 208)
            assert log.best_val_acc in (0.1925, 0.4491, 0.449057)


def test_losses_that_are_not_finite_are_kept() -> None:
    text = DASHES_AFTER.replace("Loss: 2.0000", "Loss: nan").replace("Loss: 1.7500", "Loss: inf")
    second = textlog.parse(text, FILE).epochs[1]
    assert math.isnan(second.train_loss)
    assert second.val_loss == math.inf
    assert (second.train_acc, second.val_acc) == (0.3, 0.4491)


def test_the_first_of_equal_epochs_is_the_best() -> None:
    text = DASHES_AFTER.replace("0.4340", "0.4491")
    assert textlog.parse(text, FILE).best_epoch == 1


def test_a_minute_of_sixty_seconds_and_more_than_an_hour() -> None:
    """The 2023 program rounds minutes and seconds apart."""
    assert textlog.parse(DASHES_AFTER.replace("3m 28s", "3m 60s"), FILE).total_s == 240
    assert textlog.parse(DASHES_AFTER.replace("3m 28s", "125m 7s"), FILE).total_s == 7507


WRONG: dict[str, tuple[str, str]] = {
    "empty": ("", ":1: the log ends before its first epoch"),
    "blank": ("\n\n", ":3: the log ends before its first epoch"),
    "no epoch": ("############학습 시작############\n", ":2: the log ends before"),
    "another text": ("hello\n", ":1: 'hello' where a 'start' line should be"),
    "no start": (DASHES_AFTER.partition("\n")[2], ":1: 'Epoch 0/2' where a 'start'"),
    "two starts": (
        DASHES_AFTER.replace("Epoch 0", "############학습 시작############\nEpoch 0"),
        ":2: '############학습 시작",
    ),
    "two logs in one file": (DASHES_AFTER * 2, ":17: '############학습 시작"),
    "an epoch left out": (
        DASHES_AFTER.replace("Epoch 1/2", "Epoch 2/2"),
        ":6: 'Epoch 2/2' where 1",
    ),
    "an epoch twice": (DASHES_AFTER.replace("Epoch 1/2", "Epoch 0/2"), ":6: 'Epoch 0/2' where 1/2"),
    "another number of epochs": (
        DASHES_AFTER.replace("Epoch 1/2", "Epoch 1/9"),
        ":6: 'Epoch 1/9' where 1/2",
    ),
    "the first epoch is 1": (DASHES_AFTER.replace("Epoch 0/2", "Epoch 1/2"), ":2: 'Epoch 1/2'"),
    "more epochs than planned": (
        DASHES_AFTER.replace("############학습 끝", "Epoch 3/2\n############학습 끝"),
        ":14: 'Epoch 3/2' where the end",
    ),
    "an end too early": (
        DASHES_AFTER.replace("Epoch 2/2", "############학습 끝############\nEpoch 2/2"),
        ":10: training ends after 2 of 3 epochs",
    ),
    "no training line": (
        DASHES_AFTER.replace("train Loss: 2.0000 Acc: 0.3000\n", ""),
        ":8: 'val Loss: 1.7500 Acc: 0.4491' where a 'train' line",
    ),
    "lines swapped": (
        DASHES_AFTER.replace("train Loss: 9", "val Loss: 9"),
        ":4: 'val Loss: 9.1037",
    ),
    "an accuracy above 1": (DASHES_AFTER.replace("0.3000", "1.0001"), ":8: Acc = 1.0001"),
    "a negative loss": (DASHES_AFTER.replace("9.1037", "-9.1037"), ":4: 'train Loss: -9.1037"),
    "a comma for the point": (DASHES_AFTER.replace("9.1037", "9,1037"), ":4: 'train Loss: 9,1037"),
    "an accuracy that is not finite": (DASHES_AFTER.replace("0.3000", "nan"), ":8: "),
    "a best accuracy that no epoch had": (
        DASHES_AFTER.replace("0.449057", "0.459057"),
        ":16: 'Best val Acc: 0.459057', but the largest of the epochs is 0.4491",
    ),
    "words in between": (DASHES_AFTER.replace("Epoch 1", "warning\nEpoch 1"), ":6: 'warning'"),
    "words after the end": (DASHES_AFTER + "saved\nmodel\n", ":17: 'saved' where the end should"),
    "digits of another script": (DASHES_AFTER.replace("Epoch 0", "Epoch ٠"), ":2: 'Epoch ٠/2'"),
}


@pytest.mark.parametrize("text, expected", WRONG.values(), ids=WRONG.keys())
def test_a_log_that_is_wrong_is_refused_by_line(text: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        textlog.parse(text, FILE)
    message = str(caught.value)
    assert message.startswith("a_train.log:")
    assert expected in message


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"\xff\xfe\x00", "not a text file"),
        (b"\x80\x81\xff" * 5, "not a text file"),
        (b"\0" * 64, ":1: the log ends before its first epoch"),
        (b"-" * 10_000_001, "larger than 10 MB"),
        (b"\xff\xfe" + DASHES_AFTER.encode(), "a_train.log"),
    ],
    ids=["half of UTF-16", "no text", "NUL bytes", "10 MB", "a wrong BOM"],
)
def test_bytes_that_are_no_log(data: bytes, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        textlog.read_bytes(data, FILE)


LINES = [*DASHES_AFTER.splitlines(), "", "Epoch 1/9", "val Loss: nan Acc: 9.9999", "x"]


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from(LINES)).map("\n".join))
def test_any_text_is_a_log_or_refused(text: str) -> None:
    try:
        log = textlog.parse(text, FILE)
    except UserError as error:
        found = str(error)
    else:
        found = "a_train.log:"
        assert 1 <= len(log.epochs) <= log.planned
        assert 0 <= log.best_val_acc <= 1
    assert found.startswith("a_train.log:")


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.tuples(st.integers(0, 500), st.binary(max_size=5)).map(
        lambda cut: DASHES_AFTER.encode()[: cut[0]] + cut[1] + DASHES_AFTER.encode()[cut[0] :]
    )
)
def test_any_bytes_are_a_log_or_refused(data: bytes) -> None:
    try:
        log = textlog.read_bytes(data, FILE)
    except UserError as error:
        assert "a_train.log" in str(error)  # noqa: PT017 - a result is as good
    else:
        assert 1 <= len(log.epochs) <= log.planned


# ------------------------------------------------------------------------------------ drawing


def run_of(
    epochs: list[dict[str, Any]], result: dict[str, Any] | None, *, planned: int = 3
) -> records.Run:
    """A run with these epochs, made without a file."""
    nothing = dict.fromkeys(
        [
            "train_s",
            "train_cpu_s",
            "eval_s",
            "other_cpu_s",
            "learning_rate",
            "weights",
            "resolution",
        ]
    )
    return records.Run(
        path=Path("results/log/trial/tiny-s0/run.jsonl"),
        header=records.Header(
            schema=1,
            origin="trained",
            study="trial",
            model="tiny",
            seed=0,
            spec={"epochs": planned},
            fingerprint=None,
            data=records.Data(name=None, digest=None),
            machine=records.Machine(),
            packages={},
            commit=None,
            started=None,
            network=records.Network(parameters=None, macs=None),
        ),
        epochs=tuple(
            records.Epoch(epoch=number, **{**nothing, **fields})
            for number, fields in enumerate(epochs)
        ),
        result=None if result is None else records.Result(**{**NO_RESULT, **result}),
    )


NO_RESULT: dict[str, Any] = dict.fromkeys(
    ["best_epoch", "best_val_acc", "test_acc", "test_loss", "test_acc_tta", "total_s"]
) | {"predictions_sha256": None}
THREE: list[dict[str, Any]] = [
    {"train_loss": 9.10367, "train_acc": 0.156, "val_loss": 11.91006, "val_acc": 0.19245283},
    {"train_loss": 2.0, "train_acc": 0.3, "val_loss": 1.75, "val_acc": 0.449057},
    {"train_loss": 1.9, "train_acc": 0.32, "val_loss": 1.8, "val_acc": 0.434},
]
FINISHED = {
    "status": "finished",
    "best_epoch": 1,
    "best_val_acc": 0.449057,
    "test_acc": 0.4402,
    "test_loss": 1.777777,
    "test_acc_tta": 0.4511,
    "total_s": 207.6,
}


def test_train_log_of_a_finished_run() -> None:
    assert textlog.render(run_of(THREE, FINISHED)) == (
        DASHES_AFTER + "test Loss: 1.7778 Acc: 0.4402\n" + "test Acc with flip averaging: 0.4511\n"
    )


def test_train_log_of_an_unfinished_run() -> None:
    assert textlog.render(run_of(THREE[:1], None)) == (
        "############학습 시작############\n"
        "Epoch 0/2\n"
        "----------\n"
        "train Loss: 9.1037 Acc: 0.1560\n"
        "val Loss: 11.9101 Acc: 0.1925\n"
    )


ALONE = {"probe_gflops": 150.0, "train_cpu_s": 200.0, "other_cpu_s": 2.0}
SLOWED: dict[str, dict[str, float]] = {
    "its probe is at 94.9 % of the run's best": {"probe_gflops": 142.35},
    "others took 5.5 % of its CPU seconds": {"other_cpu_s": 11.0},
}


@pytest.mark.parametrize("change", SLOWED.values(), ids=SLOWED.keys())
def test_an_epoch_that_shared_the_machine_says_so(change: dict[str, float]) -> None:
    epochs = [{**THREE[0], **ALONE}, {**THREE[1], **ALONE, **change}, {**THREE[2], **ALONE}]
    text = textlog.render(run_of(epochs, FINISHED | {"test_acc": None, "test_acc_tta": None}))
    assert text == DASHES_AFTER.replace(
        "val Loss: 1.7500 Acc: 0.4491\n",
        "val Loss: 1.7500 Acc: 0.4491\n(other processes slowed this epoch)\n",
    )
    assert epochs_of(textlog.parse(text, FILE)) == EPOCHS


def test_an_epoch_at_the_limits_does_not() -> None:
    limit = {"probe_gflops": 142.5, "other_cpu_s": 10.0}  # 95 % of 150, 5 % of 200
    epochs = [{**THREE[0], **ALONE}, {**THREE[1], **ALONE, **limit}]
    assert "slowed" not in textlog.render(run_of(epochs, None))


def test_train_log_of_a_run_that_just_began() -> None:
    assert textlog.render(run_of([], None, planned=1)) == "############학습 시작############\n"


def test_train_log_of_a_run_that_diverged_at_once() -> None:
    epoch = {**THREE[0], "train_loss": None, "val_loss": None, "val_acc": 0.1}
    run = run_of(
        [{**epoch, "nonfinite": {"train_loss": "nan", "val_loss": "inf"}}],
        {"status": "diverged", "total_s": 3599.6},
        planned=25,
    )
    assert textlog.render(run) == (
        "############학습 시작############\n"
        "Epoch 0/24\n"
        "----------\n"
        "train Loss: nan Acc: 0.1560\n"
        "val Loss: inf Acc: 0.1000\n"
        "############학습 끝############\n"
        "Training diverged in 60m 0s\n"
    )


def test_a_text_log_that_was_drawn_is_read_again() -> None:
    run = run_of(THREE, {**FINISHED, "test_acc": None, "test_acc_tta": None})
    assert epochs_of(textlog.parse(textlog.render(run), FILE)) == EPOCHS


@pytest.mark.parametrize("epochs, planned", [(0, 3), (2, 3), (3, 3)], ids=["none", "some", "all"])
def test_planned_epochs_are_those_of_the_spec(epochs: int, planned: int) -> None:
    assert textlog.planned_epochs(run_of(THREE[:epochs], None)) == planned
