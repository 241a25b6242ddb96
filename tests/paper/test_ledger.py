"""Values: one key, one text; numbers as printed; nothing prints that has no source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import PERCENT, Form, Ledger, Source, Value, setting

SOURCE = Source(file="results/log/a/run.jsonl", line=3, digest="00")


def number(ledger: Ledger, key: str, exact: float, form: Form = PERCENT) -> Value:
    return ledger.number(key, exact, form, "f", [SOURCE])


@pytest.mark.parametrize(
    "form,exact,text",
    [
        (PERCENT, 0.7761, "77.61"),
        (PERCENT, 0.12345, "12.34"),  # a tie goes to the even digit
        (PERCENT, 0.12355, "12.36"),
        (PERCENT, -0.00004, "0.00"),  # no negative zero
        (PERCENT, -0.0125, "−1.25"),
        (Form(1), 1234567.0, "1,234,567.0"),
        (Form(0, 1000), 0.2795, "280"),
        (Form(1, signed=True), 0.26, "+0.3"),
        (Form(1, signed=True), -0.26, "−0.3"),
        (Form(1, signed=True), 0.01, "0.0"),
    ],
)
def test_numbers_as_printed(form: Form, exact: float, text: str) -> None:
    assert number(Ledger(), "k", exact, form).text == text


@pytest.mark.parametrize(
    "value,text",
    [(0.0005, "0.0005"), (64, "64"), (1e-12, "1e-12"), (0.0, "0"), ("all", "all")],
)
def test_settings_as_printed(value: int | float | str, text: str) -> None:
    assert setting(value) == text


def test_a_key_has_one_value() -> None:
    ledger = Ledger()
    first = number(ledger, "short.resnet18.test_acc", 0.5)
    assert first.text == "50.00"
    assert number(ledger, first.key, 0.5) is first
    with pytest.raises(ValueError, match="is in the ledger already"):
        number(ledger, first.key, 0.51)
    with pytest.raises(ValueError, match="not a key"):
        number(ledger, "A B", 1)
    with pytest.raises(UserError, match=r"short\.resnet18\.test_acc"):
        ledger["short.resnet18.test_ac"]


@given(st.floats(-10, 10), st.integers(0, 3))
def test_the_number_behind_a_text_rounds_to_it(exact: float, decimals: int) -> None:
    value = number(Ledger(), "k", exact, Form(decimals, 100.0, "fraction"))
    shown = float(value.text.replace("−", "-").replace(",", ""))
    assert value.number is not None
    assert abs(shown - value.number) <= 0.5 * 10**-decimals + 1e-9
