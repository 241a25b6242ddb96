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


def test_only_what_changed_is_said(
    tmp_path: Path, compose: Callable[..., Any], cnnpaper: Cnnpaper
) -> None:
    made = compose(arms=ARMS)[1].attachments
    old = paper(tmp_path / "a.pdf", made, {"accuracy.pdf": "0", "tuning.pdf": "0"})
    same = paper(tmp_path / "b.pdf", made, {"accuracy.pdf": "0", "tuning.pdf": "0"})
    answer = cnnpaper("diff", str(old), str(same))
    assert (answer.code, answer.out) == (0, "No value, claim, table or figure differs.\n")

    ledger = json.loads(made["ledger.json"])
    value = next(v for v in ledger["values"] if v["key"] == "short.alexnet.test_acc")
    value["exact"] += 0.0125
    value["text"] = f"{float(value['text']) + 1.25:.2f}"
    for claim in ledger["claims"]:
        if claim[0] == "contrast_less" and "AlexNet" in claim[1]:
            claim[0], claim[2] = "contrast_open", "AlexNet and ResNet-18: not resolved."
    now = {**made, "ledger.json": json.dumps(ledger).encode(), "runs.csv": b"path"}
    new = paper(tmp_path / "c.pdf", now, {"accuracy.pdf": "1", "tuning.pdf": "0"})
    answer = cnnpaper("diff", str(old), str(new))
    assert answer.code == 1
    rows = [line for line in answer.out.splitlines() if line.startswith("| ") and "---" not in line]
    (row,) = (row for row in rows if row.startswith("| `"))
    assert row.startswith("| `short.alexnet.test_acc` |")
    assert row.endswith("| +1.25 |")
    (changed,) = (row for row in rows if row.startswith(("| changed", "| vanished", "| appeared")))
    assert changed.startswith("| changed | AlexNet is less accurate than ResNet-18")
    assert "not resolved" in changed
    assert {"| figure accuracy | differs |", "| table runs | differs |"} <= set(rows)
    assert "tuning" not in answer.out


@pytest.mark.parametrize("name", ["README.md", "empty.pdf", "absent.pdf", "ledger.pdf"])
def test_what_is_no_paper_is_said(root: Path, cnnpaper: Cnnpaper, name: str) -> None:
    paper(root / "empty.pdf", {}, {})
    paper(root / "ledger.pdf", {"ledger.json": b'{"values": 3}'}, {})
    answer = cnnpaper("diff", name, name)
    assert answer.code == 2
    assert name in answer.err
    assert "Traceback" not in answer.err
