"""What changed between two papers, from what is attached to them: no logs, no repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from cnnpaper.paper import tex
from tests.conftest import Answer
from tests.paper.conftest import ARMS

Cnnpaper = Callable[..., Answer]


def paper(path: Path, attachments: dict[str, bytes], figures: dict[str, str]) -> Path:
    """A PDF of one empty page that carries what a paper does."""
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(path)
    files = {**attachments, "figures.json": json.dumps(figures).encode()}
    path.write_bytes(tex.finish(path.read_bytes(), files, dated=False))
    return path


def edited(attachments: dict[str, bytes], change: Callable[[Any], None]) -> dict[str, bytes]:
    ledger = json.loads(attachments["ledger.json"])
    change(ledger)
    return {**attachments, "ledger.json": json.dumps(ledger).encode()}


def test_two_papers_of_the_same_logs_do_not_differ(
    tmp_path: Path, compose: Callable[..., Any], cnnpaper: Cnnpaper
) -> None:
    made = compose(arms=ARMS)[1].attachments
    old, new = (paper(tmp_path / f"{n}.pdf", made, {"tuning.pdf": "0"}) for n in "ab")
    answer = cnnpaper("diff", str(old), str(new))
    assert (answer.code, answer.out) == (0, "No value, claim, table or figure differs.\n")


def test_a_value_a_claim_a_table_and_a_figure_that_changed(
    tmp_path: Path, compose: Callable[..., Any], cnnpaper: Cnnpaper
) -> None:
    made = compose(arms=ARMS)[1].attachments

    def change(ledger: Any) -> None:
        value = next(v for v in ledger["values"] if v["key"] == "short.alexnet.test_acc")
        shown = float(value["text"])
        value["exact"] += 0.0125
        value["text"] = f"{shown + 1.25:.2f}"
        for claim in ledger["claims"]:
            if claim[0] == "contrast_less" and "AlexNet" in claim[1]:
                claim[0], claim[2] = "contrast_open", "AlexNet and ResNet-18: not resolved."

    old = paper(tmp_path / "a.pdf", made, {"accuracy.pdf": "0", "tuning.pdf": "0"})
    now = edited(made, change) | {"runs.csv": b"path"}
    new = paper(tmp_path / "b.pdf", now, {"accuracy.pdf": "1", "tuning.pdf": "0"})
    answer = cnnpaper("diff", str(old), str(new))
    assert answer.code == 1
    rows = [line for line in answer.out.splitlines() if line.startswith("| ") and "---" not in line]
    (value,) = (row for row in rows if row.startswith("| `"))
    assert value.startswith("| `short.alexnet.test_acc` |")
    assert value.endswith("| +1.25 |")
    (changed,) = (row for row in rows if row.startswith(("| changed", "| vanished", "| appeared")))
    assert changed.startswith("| changed | AlexNet is less accurate than ResNet-18")
    assert "not resolved" in changed
    assert "| figure accuracy | differs |" in rows
    assert "| table runs | differs |" in rows
    assert "tuning" not in answer.out


@pytest.mark.parametrize("name", ["README.md", "empty.pdf", "absent.pdf", "ledger.pdf"])
def test_what_is_no_paper_is_said(root: Path, cnnpaper: Cnnpaper, name: str) -> None:
    paper(root / "empty.pdf", {}, {})
    paper(root / "ledger.pdf", {"ledger.json": b'{"values": 3}'}, {})
    answer = cnnpaper("diff", name, name)
    assert answer.code == 2
    assert name in answer.err
    assert "Traceback" not in answer.err
