"""The committed numbers, recomputed without the package: from logs and arrays alone."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
from scipy.special import log_softmax
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

ROOT = Path(__file__).parents[2]
PDF = ROOT / "report" / "CNN_report.pdf"
LOGS = ROOT / "results" / "log"


def lines_of(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "run.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def answers(folder: Path, part: str = "test") -> np.ndarray:
    """Which images the run classifies correctly, (n,)."""
    arrays = np.load(folder / "predictions.npz")
    return arrays[f"{part}_logits"].argmax(axis=1) == arrays[f"{part}_labels"]


def mean_loss(folder: Path, part: str) -> float:
    arrays = np.load(folder / "predictions.npz")
    labels, logits = arrays[f"{part}_labels"], arrays[f"{part}_logits"].astype(np.float64)
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def test_every_log_follows_from_its_predictions() -> None:
    folders = [path.parent for path in sorted(LOGS.rglob("predictions.npz"))]
    if not folders:
        pytest.skip("no run is committed")
    for folder in folders:
        lines = lines_of(folder)
        header, result = lines[0], lines[-1]
        assert result["status"] == "finished"
        test_images = header["spec"]["data"]["test_images"]
        readings = [line["images"] for line in lines if line["kind"] == "reading"]
        assert readings == ([test_images] if test_images else []), folder
        for part in ("val", "test") if test_images else ("val",):
            assert result[f"{part}_acc"] == answers(folder, part).mean(), folder
            loss = mean_loss(folder, part)
            assert math.isclose(result[f"{part}_loss"], loss, rel_tol=1e-9), folder


def paper() -> dict[str, Any]:
    """The values of the committed paper by key."""
    if not PDF.exists():
        pytest.skip("no paper is committed")
    with pikepdf.open(PDF) as pdf:
        ledger = json.loads(pdf.attachments["ledger.json"].get_file().read_bytes())
    return {value["key"]: value for value in ledger["values"]}


def shown() -> dict[str, dict[str, np.ndarray]]:
    """Arm → network → answers (S, n), of the seeds that all networks have."""
    found: dict[str, dict[str, dict[int, np.ndarray]]] = defaultdict(lambda: defaultdict(dict))
    lost = []
    for folder in sorted((LOGS / "reference").glob("*/*-s*")):
        lines = lines_of(folder)
        place = (lines[0]["arm"], lines[0]["model"], lines[0]["seed"])
        if lines[-1]["kind"] == "result" and lines[-1]["status"] == "finished":
            found[place[0]][place[1]][place[2]] = answers(folder)
        elif lines[-1]["kind"] == "result":
            lost.append(place)
    for arm, model, seed in lost:  # 10 % of the images, which are those of any other run
        some = next(one for each in found[arm].values() for one in each.values())
        found[arm][model][seed] = np.arange(len(some)) % 10 == 0
    shared = {arm: set.intersection(*map(set, each.values())) for arm, each in found.items()}
    return {
        arm: {m: np.array([own[s] for s in sorted(shared[arm])]) for m, own in each.items()}
        for arm, each in found.items()
        if shared[arm]
    }


def test_the_papers_accuracies() -> None:
    values, expected = paper(), shown()
    means = {key: v for key, v in values.items() if key.endswith(".test_acc")
             and not key.startswith("history")}  # fmt: skip
    found = {f"{arm}.{model}.test_acc": own.mean() for arm, each in expected.items()
             for model, own in each.items()}  # fmt: skip
    assert set(means) <= set(found)
    for key, value in means.items():
        assert math.isclose(value["exact"], found[key], rel_tol=1e-11)
        assert re.fullmatch(r"\d+\.\d\d", value["text"])
        assert abs(float(value["text"]) - 100 * found[key]) < 0.005 + 1e-9  # a tie, to either side


def test_the_papers_contrasts() -> None:
    values, expected = paper(), shown().get("short", {})
    keys = [key for key in values if key.startswith("contrast.") and key.endswith(".difference")]
    if not keys:
        pytest.skip("the paper has no contrast yet")
    found = {}
    for key in keys:
        _, model, baseline, _ = key.split(".")
        pair = [expected[model], expected[baseline]]
        difference = pair[0].mean() - pair[1].mean()
        # s²/S of each network, and the noise of answers that the images' part counts again
        parts = [one.mean(axis=1).var(ddof=1) / len(one) for one in pair]
        noise = sum(one.var(axis=0, ddof=1).mean() / len(one) for one in pair)
        by_image = pair[0].mean(axis=0) - pair[1].mean(axis=0)
        images = max(0.0, (by_image.var(ddof=1) - noise) / by_image.size)
        variance = sum(parts) + images
        df = variance**2 / sum(p**2 / (len(x) - 1) for p, x in zip(parts, pair, strict=True))
        found[key] = 2 * student.sf(abs(difference) / math.sqrt(variance), df)
        assert math.isclose(values[key]["exact"], difference, abs_tol=1e-12)
        assert math.isclose(values[key.replace("difference", "p")]["exact"], found[key],
                            rel_tol=1e-6)  # fmt: skip
    _, adjusted, *_ = multipletests(list(found.values()), method="holm")
    for key, p in zip(found, adjusted, strict=True):
        holm = values[key.replace("difference", "p_holm")]["exact"]
        assert math.isclose(holm, p, rel_tol=1e-6)
