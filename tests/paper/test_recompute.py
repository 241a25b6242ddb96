"""The committed paper's accuracies, recomputed without the package: from logs and arrays alone."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pikepdf
import pytest

ROOT = Path(__file__).parents[2]
PDF = ROOT / "report" / "CNN_report.pdf"
LOGS = ROOT / "results" / "log" / "reference"


def test_mean_accuracies_follow_from_the_predictions() -> None:
    if not PDF.exists():
        pytest.skip("no paper is committed")
    with pikepdf.open(PDF) as pdf:
        ledger = json.loads(pdf.attachments["ledger.json"].get_file().read_bytes())
    values = {value["key"]: value for value in ledger["values"]}
    means = {key: v for key, v in values.items() if key.endswith(".test_acc")
             and not key.startswith("history")}  # fmt: skip
    scores: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for folder in sorted(LOGS.glob("*/*-s*")):
        lines = [json.loads(line) for line in (folder / "run.jsonl").read_text("utf-8").split("\n")
                 if line]  # fmt: skip
        header, result = lines[0], lines[-1]
        if result["kind"] != "result":
            continue
        accuracy = 0.1
        if result["status"] == "finished":
            arrays = np.load(folder / "predictions.npz")
            right = arrays["test_logits"].argmax(axis=1) == arrays["test_labels"]
            accuracy = right.sum() / len(right)
        scores[header["arm"], header["model"]][header["seed"]] = accuracy
    checked = 0
    for (arm, model), found in scores.items():
        value = means.get(f"{arm}.{model}.test_acc")
        if value is None:
            continue
        others = [set(seeds) for (other, _), seeds in scores.items() if other == arm]
        shown = [found[seed] for seed in set.intersection(*others)]
        assert math.isclose(value["exact"], sum(shown) / len(shown), rel_tol=1e-11)
        assert value["text"] == f"{100 * value['exact']:.2f}"
        checked += 1
    assert checked == len(means)
