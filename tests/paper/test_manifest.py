"""Nothing changed, nothing done: what a build depends on, and that the answer is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnnpaper.paper import build
from tests.tiny import edit


def report(root: Path) -> list[str]:
    said: list[str] = []
    build.build_report(root, "tiny", edition="html", say=said.append)
    return said


def test_a_second_build_does_nothing(tiny_paper: Path) -> None:
    assert report(tiny_paper) == ["report/CNN_report-tiny.html, 1 of 1 declared runs"]
    assert report(tiny_paper) == ["nothing has changed: report/CNN_report-tiny.html, "
                            "1 of 1 declared runs"]  # fmt: skip


@pytest.mark.parametrize(
    "path,again",
    [
        ("report/en/abstract.j2", True), ("report/en/words.toml", True),
        ("report/layout/paper.css", True), ("report/references.bib", True),
        ("experiments/recipe.toml", True), ("results/log/tiny/resnet18-s0/run.jsonl", True),
        ("report/CNN_report-tiny.html", True), ("README.md", False),
        ("report/en/.abstract.j2.swp", False),
    ],
)  # fmt: skip
def test_what_a_build_depends_on(tiny_paper: Path, path: str, again: bool) -> None:
    report(tiny_paper)
    target = tiny_paper / path
    if target.name == "run.jsonl":
        edit(target, "{", "{ ")
    else:
        with target.open("a", encoding="utf-8") as file:
            file.write("\n")
    assert report(tiny_paper)[-1].startswith("nothing has changed") != again


def test_nothing_heavy_is_imported_to_find_that_out() -> None:
    code = (
        "import sys, cnnpaper.paper.build as b; "
        "print([m for m in ('pandas', 'matplotlib', 'jinja2', 'pydantic', 'torch') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_are_written_as_csv_and_markdown(tiny_paper: Path) -> None:
    folder = build.build_tables(tiny_paper, "tiny", say=lambda _: None)
    names = {path.name for path in folder.iterdir()}
    assert {"networks.csv", "networks.md", "runs.csv", "epochs.csv", "ledger.json"} <= names
