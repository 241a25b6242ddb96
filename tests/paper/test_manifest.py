"""Nothing changed, nothing done: what a build depends on, and that the answer is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cnnpaper.paper import build
from tests.tiny import edit


def report(root: Path) -> list[str]:
    said: list[str] = []
    build.build_report(root, "tiny", edition="html", say=said.append)
    return said


def touch(path: Path) -> None:
    if path.name == "run.jsonl":
        edit(path, "{", "{ ")
    else:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")


def test_a_build_is_done_again_only_where_an_input_has_changed(tiny_paper: Path) -> None:
    built = "report/CNN_report-tiny.html, 1 of 1 declared runs"
    assert report(tiny_paper) == [built]
    for other in ("README.md", "report/en/.abstract.j2.swp"):
        touch(tiny_paper / other)
        assert report(tiny_paper) == [f"nothing has changed: {built}"], other
    for path in (
        "report/en/abstract.j2", "report/en/words.toml", "report/layout/paper.css",
        "report/references.bib", "experiments/recipe.toml",
        "results/log/tiny/resnet18-s0/run.jsonl", "report/CNN_report-tiny.html",
    ):  # fmt: skip
        touch(tiny_paper / path)
        assert report(tiny_paper) == [built], path


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
