"""The ledger: one key, one text; numbers rounded once, as by hand."""

from __future__ import annotations

import json

import pytest

from cnnpaper.paper.ledger import (
    Cite,
    Ledger,
    Source,
    duration,
    fixed,
    listing,
    p_value,
    percent,
    sentence,
    whole,
)

LOG = Source(file="results/log/a/run.jsonl", line=7, digest="0" * 64)


def entered(ledger: Ledger, key: str = "resnet18.test_acc", text: str = "77.61") -> object:
    return ledger.add(key, 0.7761, text=text, unit="fraction", formula="as recorded", sources=[LOG])


def test_a_key_has_one_text() -> None:
    ledger = Ledger()
    assert entered(ledger) is entered(ledger)
    with pytest.raises(ValueError, match=r"resnet18.test_acc is in the ledger already, as '77.61'"):
        entered(ledger, text="77.6")


@pytest.mark.parametrize("key", ["", "A", "a b", "a%", "-a", "a\n", "정확도"])
def test_keys_are_plain(key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        entered(Ledger(), key=key)


def test_a_value_has_a_text() -> None:
    with pytest.raises(ValueError, match="needs a text"):
        entered(Ledger(), text=" ")


def test_the_nearest_keys_are_named() -> None:
    ledger = Ledger()
    entered(ledger)
    with pytest.raises(KeyError, match=r"nearest: resnet18\.test_acc"):
        ledger["resnet18.tst_acc"]


def test_a_dump_is_json_and_comes_back() -> None:
    ledger = Ledger()
    entered(ledger)
    ledger.add("a.loss", float("nan"), text="diverged", formula="as recorded", sources=[])
    text = json.dumps(ledger.dump(), allow_nan=False)
    again = Ledger.load(json.loads(text))
    assert again["resnet18.test_acc"] == ledger["resnet18.test_acc"]
    assert again["a.loss"].exact == "nan"


@pytest.mark.parametrize(
    "value,decimals,text",
    [
        (0.125, 2, "0.12"),  # ties to even
        (0.135, 2, "0.14"),
        (2.675, 2, "2.68"),  # as written in decimal, not as stored in binary
        (-0.004, 2, "0.00"),  # no negative zero
        (-1.5, 1, "−1.5"),
        (1234567.891, 1, "1,234,567.9"),
        (1e-9, 3, "0.000"),
        (5, 0, "5"),
    ],
)
def test_fixed_decimals(value: float, decimals: int, text: str) -> None:
    assert fixed(value, decimals) == text


@pytest.mark.parametrize(
    "fraction,decimals,text",
    [(0.7761, 2, "77.61"), (0.29, 2, "29.00"), (0.57, 0, "57"), (1, 2, "100.00"), (0, 2, "0.00")],
)
def test_percent(fraction: float, decimals: int, text: str) -> None:
    assert percent(fraction, decimals) == text


@pytest.mark.parametrize(
    "p,text",
    [
        (0.0, "< 0.001"),
        (0.00099, "< 0.001"),
        (0.001, "= 0.001"),
        (0.0134, "= 0.013"),
        (1, "= 1.000"),
    ],
)
def test_p_is_never_zero(p: float, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(
    "seconds,text",
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (208, "3 min 28 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7440, "2 h 04 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_whole() -> None:
    assert [whole(45000), whole(-3), whole(0)] == ["45,000", "−3", "0"]


@pytest.mark.parametrize(
    "items,text", [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_of_any_length(items: list[str], text: str) -> None:
    assert str(listing(items)) == text


def test_a_sentence_keeps_its_values() -> None:
    ledger = Ledger()
    value = entered(ledger)
    said = sentence("{name}: {v} % {cite}", name="A", v=value, cite=Cite("he2016deep"))  # type: ignore[arg-type]
    assert str(said) == "A: 77.61 % [he2016deep]"
    assert said.values == (value,)
    with pytest.raises(KeyError):
        sentence("{nobody}")
