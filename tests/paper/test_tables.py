"""Tables as data: what a CSV holds, what is printed, how a long table breaks."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from cnnpaper.paper.ledger import Form, Interval, Ledger, Sentence, Value
from cnnpaper.paper.tabular import Column, Marked, table


def value(key: str, exact: float, decimals: int = 2, scale: float = 100.0) -> Value:
    return Ledger().number(key, exact, Form(decimals, scale), "f", [])


def small() -> Any:
    columns = [
        Column(key="network", head="Network", kind="text"),
        Column(key="test_acc_percent", head="Test|(%)", group="This"),
        Column(key="test_acc_percent_interval", head="Interval", group="This"),
        Column(key="time_s", head="Time|(s)"),
    ]
    rows = [
        ["ResNet-18", value("a", 0.80125), Interval(value("l", 0.79), value("h", 0.81)),
         Marked(value("t", 1300.4, 0, 1.0), "†")],
        ["VGG | 16", None, None, value("u", 776.0, 0, 1.0)],
    ]  # fmt: skip
    return table("small", columns, rows)


def test_a_csv_has_numbers_in_the_unit_of_its_heading_and_markdown_the_printed_texts() -> None:
    assert small().csv() == (
        "network,test_acc_percent,test_acc_percent_interval_low,test_acc_percent_interval_high,"
        "time_s,time_s_mark\n"
        "ResNet-18,80.125,79.0,81.0,1300.4,†\n"
        "VGG | 16,,,,776.0,\n"
    )
    rows = [re.split(r" +\| +", line.strip("| ")) for line in small().markdown().splitlines()[2:]]
    assert rows == [["ResNet-18", "80.12", "[79.00, 81.00]", "1,300\u00a0†"],
                    ["VGG \\| 16", "–", "–", "776"]]  # fmt: skip


def test_groups_span_their_columns() -> None:
    assert [(g.title, g.first, g.last) for g in small().groups] == [
        ("", "1", "1"),
        ("This", "2", "3"),
        ("", "4", "4"),
    ]


@pytest.mark.parametrize("rows,pieces", [(0, 1), (40, 1), (130, 3)])
def test_a_long_table_breaks_and_loses_no_row(rows: int, pieces: int) -> None:
    item = table("t", [Column(key="a", kind="text")], [[f"row {i}"] for i in range(rows)])
    parts = item.parts()
    assert len(parts) == pieces
    assert [row for part in parts for row in part] == item.rows


def test_every_csv_of_a_paper_agrees_with_its_ledger(compose: Callable[..., Any]) -> None:
    """And a number in a column of numbers is a value, not a string that was typed."""
    data, document = compose()
    ledger = {v["key"]: v for v in json.loads(document.attachments["ledger.json"])["values"]}
    assert len(ledger) > 300
    for name, item in document.tables.items():
        frame = pd.read_csv(io.BytesIO(document.attachments[f"{name}.csv"]))
        assert len(frame) == len(item.cells)
        for row, cells in enumerate(item.cells):
            for column, cell in zip(item.columns, cells, strict=True):
                assert column.kind != "number" or not isinstance(cell, str), (name, column.key)
                if isinstance(cell, Sentence):
                    loose = "".join(p for p in cell.parts if isinstance(p, str))
                    assert not re.search(r"(?<![\w-])\d", loose), (name, loose)
                for key, value in values_of(column.key, cell).items():
                    exact = ledger[value.key]["exact"] * ledger[value.key]["scale"]
                    assert float(frame.loc[row, key]) == pytest.approx(exact, rel=1e-9), value.key
                    assert "percent" not in key or abs(exact) <= 100
    runs = pd.read_csv(io.BytesIO(document.attachments["runs.csv"]))
    assert len(runs) == len(data.logs) == 44


def values_of(key: str, cell: Any) -> dict[str, Value]:
    """Columns of the CSV that hold a cell's numbers."""
    if isinstance(cell, Interval):
        return {f"{key}_low": cell.low, f"{key}_high": cell.high}
    value = cell.value if isinstance(cell, Marked) else cell
    return {key: value} if isinstance(value, Value) and value.number is not None else {}


def test_values_of_the_accuracy_table(compose: Callable[..., Any]) -> None:
    data, document = compose(spread=0.0)
    frame = document.tables["accuracy"].frame()
    assert frame["arm"].unique().tolist() == ["short", "equal epochs", "long"]
    frame = frame[frame["arm"] == "short"]
    assert frame["network"].tolist() == ["AlexNet", "VGG-16", "GoogLeNet", "ResNet-18"]
    assert frame["test_acc_percent"].tolist() == [65.0, 78.0, 78.5, 80.0]
    assert frame["seeds"].tolist() == [5] * 4
    # as timed, 1,408 steps of ResNet-18; the runs' own are of whichever processor made them
    minutes = 1408 * 0.73 * 1.0055 / 60
    assert frame["train_minutes"].tolist() == pytest.approx([minutes] * 4, rel=1e-3)
    assert len(data.logs) == 44


def test_absent_tables_are_absent(compose: Callable[..., Any]) -> None:
    _, document = compose(finished=0)
    assert not {"contrast", "accuracy", "timing", "calibration"} & set(document.tables)
    _, document = compose(data="synthetic", arms={"": (3, 1)}, contrast=False, extras=False)
    assert not {"published", "history", "report2023", "arms"} & set(document.tables)
