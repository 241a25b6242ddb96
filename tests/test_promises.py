"""The table of promises is true: every file of tests stands in it, with at least so many cases."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import COLLECTED

TESTS = Path(__file__).parent
ROW = re.compile(r"^\| ([^|]+) \| ((?:[\w/]+\.py ?)+)\| (\d+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> list[tuple[str, list[str], int]]:
    found = ROW.findall((TESTS / "README.md").read_text("utf-8"))
    return [(promise, files.split(), int(cases)) for promise, files, cases, _ in found]


def test_every_file_of_tests_keeps_a_promise() -> None:
    named = {file for _, files, _ in rows() for file in files}
    present = {str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")}
    assert present - named == {Path(__file__).name}
    assert named - present == set()
    lines = (TESTS / "README.md").read_text("utf-8").splitlines()
    assert len(rows()) == sum(".py" in line for line in lines if line.startswith("|"))


def test_there_are_as_many_cases_as_the_table_says(request: pytest.FixtureRequest) -> None:
    if request.config.args != request.config.getini("testpaths"):
        pytest.skip("only where all tests were collected")
    counts: Counter[str] = request.config.stash[COLLECTED]
    fewer = {
        promise: (sum(counts[file] for file in files), cases)
        for promise, files, cases in rows()
        if sum(counts[file] for file in files) < cases
    }
    assert fewer == {}
