"""The committed paper's values, each on the line that the ledger names for it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.paper.explain import explain
from cnnpaper.paper.ledger import Value
from cnnpaper.paper.study import StudyPaper
from tests.paper.test_recompute import epoch_seconds

ROOT = Path(__file__).parents[2]
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def values() -> list[Value]:
    paper = StudyPaper(ROOT, "reference", allow_stale=True)
    paper.text  # noqa: B018  composing the text enters its values into the ledger
    return list(paper.ledger)


@cache
def content(file: str) -> bytes:
    return (ROOT / file).read_bytes()


def leaves(thing: Any) -> Iterator[Any]:
    """Every number and text in a line of a log."""
    if isinstance(thing, dict | list):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from leaves(part)
    else:
        yield thing


def field(name: str) -> Callable[[Lines], float]:
    """The mean over lines of a field: of one run what it says."""
    return lambda lines: sum(line[name] for line in lines) / len(lines)


def short(fingerprint: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def layers(lines: Lines) -> list[dict[str, Any]]:
    return [x for x in lines[0]["network"]["layers"] if x["type"] in ("Conv2d", "Linear")]


COMPUTED: dict[str, Callable[[Lines], Any]] = {
    "share of test images: test_acc_tta": field("test_acc_tta"),
    "share of test images: test_acc": field("test_acc"),
    "mean over runs of best_val_acc": field("best_val_acc"),
    "mean over seeds of best_val_acc - test_acc": lambda x: x[0]["best_val_acc"] - x[0]["test_acc"],
    "mean over runs and epochs at full resolution of train_s": epoch_seconds,
    "as recorded, but counted from 1": lambda x: x[0]["best_epoch"] + 1,
    "sum over epochs of train_s": lambda x: sum(y["train_s"] for y in x),
    "first digits of the SHA-256": lambda x: short(x[0]["fingerprint"]),
    "mean over runs of the sum over epochs of train_s": lambda x: sum(y["train_s"] for y in x),
    "convolutions and linear layers, counted one by one": lambda x: len(layers(x)),
    "difference of test_acc of the same test images": lambda x: x[0]["test_acc"] - x[1]["test_acc"],
}
"""Beginnings of formulas that a line of arithmetic repeats, for one seed."""
COPIED = ("as recorded", "measured from the network", "as the study file says", "day on which")
"""The exact value stands in the line."""
ELSEWHERE = ("lower limit", "upper limit", "McNemar's exact test", "counted", "of the layer table")
"""Statistics and drawings, which have tests of their own."""


def test_every_value_of_a_log_stands_on_the_line_that_it_names(values: list[Value]) -> None:
    """Or follows from the lines by the formula that it names."""
    checked, elsewhere, wrong = 0, 0, []
    for value in values:
        lines = [json.loads(text) for text in named_lines(value)]
        if not lines:
            continue
        rule = next((r for text, r in COMPUTED.items() if value.formula.startswith(text)), None)
        exact: Any = value.exact
        if rule is not None:
            found = rule(lines)
            right = exact == found or math.isclose(exact, found, rel_tol=1e-12)
        elif value.formula.startswith(COPIED):
            right = exact in list(leaves(lines))
        elif value.formula == "shape of the output for one image":
            right = exact in [" × ".join(map(str, layer["out"])) for layer in layers(lines)]
        else:
            assert value.formula.startswith(ELSEWHERE), value.formula
            elsewhere, right = elsewhere + 1, True
        checked += 1
        if not right:
            wrong.append(value)
    assert wrong == []
    assert checked - elsewhere > 500


def named_lines(value: Value) -> Iterator[str]:
    """The lines of logs that a value names."""
    for source in value.sources:
        data = content(source.file)
        assert hashlib.sha256(data).hexdigest() == source.digest, source
        if source.line is not None and source.file.endswith("/run.jsonl"):
            lines = data.decode("utf-8").splitlines()
            assert 0 < source.line <= len(lines), source
            yield lines[source.line - 1]


def test_every_value_of_an_experiment_file_stands_on_the_line_that_it_names(
    values: list[Value],
) -> None:
    """As TOML writes it, or as a part of what stands there."""
    checked, wrong = 0, []
    for value in values:
        if value.formula == "pairs of networks that are compared":
            continue  # of four networks six
        for source in value.sources:
            if source.file.endswith(".toml") and source.line is not None:
                lines = content(source.file).decode("utf-8").splitlines()
                if not stands_in("\n".join(lines[source.line - 1 :]), value.exact):
                    wrong.append((value.key, str(source)))
                checked += 1
    assert wrong == []
    assert checked > 40


def stands_in(text: str, exact: Any) -> bool:
    """Does the table or the line that begins here have this value, or that many items?"""
    first = text.split("\n", 1)[0]
    block = text.split("\n\n", 1)[0] if first.startswith("[") else first
    if isinstance(exact, bool):
        return str(exact).lower() in block
    if isinstance(exact, int | float):
        numbers = re.findall(r"[-+]?[0-9][0-9_]*(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?", block)
        items = block.count(",") + 1 if "[" in block else 0
        return exact in [float(number.replace("_", "")) for number in numbers] or exact == items
    return str(exact) in block


@pytest.mark.parametrize("key", ["alexnet.test_acc", "googlenet.test_acc", "resnet18.test_acc"])
def test_numbers_of_the_abstract_are_explained(key: str) -> None:
    """Followed by hand: the line that ``make explain`` names has the value that it shows."""
    said = explain(ROOT, "reference", key)
    model = key.partition(".")[0]
    place = re.search(rf"from +(results/log/reference/{model}-s0/run\.jsonl):(\d+) ", said)
    assert place is not None, said
    line = json.loads((ROOT / place[1]).read_text("utf-8").splitlines()[int(place[2]) - 1])
    assert f"  printed   {100 * line['test_acc']:.2f}\n" in said
    assert f"test_acc = {line['test_acc']}" in said
