"""The committed paper's numbers, computed anew without the package: from logs and arrays alone."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest

ROOT = Path(__file__).parents[2]
PDF = ROOT / "report" / "CNN_report.pdf"
LOGS = ROOT / "results" / "log" / "reference"
NAMES = {
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "googlenet": "GoogLeNet",
    "resnet18": "ResNet-18",
}
Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[str, Any]]:
    """By network: header, epochs, result, and the arrays of its one run."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(LOGS.glob("*/run.jsonl")):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        with np.load(path.with_name("predictions.npz"), allow_pickle=False) as arrays:
            run = {name: arrays[name] for name in arrays.files}
        run["header"] = lines[0]
        run["epochs"] = [line for line in lines if line["kind"] == "epoch"]
        run["result"] = lines[-1]
        model = lines[0]["model"]
        assert model not in found, "these recomputations are for one seed"
        found[model] = run
    return found


@pytest.fixture(scope="module")
def pages() -> str:
    command = ["pdftotext", "-layout", str(PDF), "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
    return re.sub(r"[ \u00a0]+", " ", text)


def share(run: dict[str, Any], name: str = "logits") -> float:
    return sum(int(a == b) for a, b in zip(run[name].argmax(1), run["labels"], strict=True)) / len(
        run["labels"]
    )


def wilson(p: float, n: int) -> tuple[float, float]:
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return centre - half, centre + half


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def seconds(value: float) -> str:
    return f"{value:,.0f}"


def table_row(pages: str, name: str) -> str:
    """The line of the results table: the one of the network with an interval in it."""
    row = re.compile(rf"\s*{name} \d+\.\d\d .* to ")
    rows = [line for line in pages.split("\n") if row.match(line)]
    assert rows, name
    return rows[0]


@pytest.mark.parametrize("model", NAMES)
def test_the_row_of_the_results_table(
    model: str, runs: dict[str, dict[str, Any]], pages: str
) -> None:
    run = runs[model]
    low, high = wilson(share(run), len(run["labels"]))
    epochs = run["epochs"]
    full = [e for e in epochs if e["resolution"] == 32]
    best = max(run["header"]["network"]["layers"], key=lambda layer: layer["macs"])
    assert best["macs"] > 0
    row = table_row(pages, NAMES[model]).replace("†", "").split()
    expected = [
        NAMES[model],
        percent(share(run)),
        percent(low),
        "to",
        percent(high),
        percent(share(run, "logits_tta")),
        percent(max(e["val_acc"] for e in epochs)),
        "1",
        seconds(sum(e["train_s"] for e in epochs)),
        seconds(epoch_seconds(full)),
        f"{sum(layer['parameters'] for layer in run['header']['network']['layers']) / 1e6:.1f}",
        f"{sum(layer['macs'] for layer in run['header']['network']['layers']) / 1e6:.0f}",
    ]
    assert row == expected


def epoch_seconds(epochs: list[dict[str, Any]]) -> float:
    """Mean seconds of the epochs that had the machine alone, of all where none had."""
    best = max((e.get("probe_gflops") or 0.0) for e in epochs)

    def alone(epoch: dict[str, Any]) -> bool:
        probe = epoch.get("probe_gflops")
        taken = epoch["other_cpu_s"] or 0.0
        return not (probe and probe < 0.95 * best) and taken <= 0.05 * epoch["train_cpu_s"]

    kept = [e["train_s"] for e in epochs if alone(e)] or [e["train_s"] for e in epochs]
    return sum(kept) / len(kept)


def test_the_accuracies_of_both_abstracts(runs: dict[str, dict[str, Any]], pages: str) -> None:
    first = pages.split("\f")[0]
    korean, english = first.split("Abstract")[:2]
    english = english.split("Key words")[0]
    for model, run in runs.items():
        assert re.search(rf"{percent(share(run))} % for {NAMES[model]}", flat(english)), model
        assert re.search(rf"{NAMES[model]} {percent(share(run))} %", flat(korean)), model


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_the_numbers_of_images(runs: dict[str, dict[str, Any]], pages: str) -> None:
    first = flat(pages.split("\f")[0])
    tested = len(next(iter(runs.values()))["labels"])
    spec = next(iter(runs.values()))["header"]["spec"]["data"]
    for count in (spec["train_images"], spec["validation_images"], tested):
        assert first.count(f"{count:,}") >= 2, count  # in both abstracts


def test_the_pairs_table(runs: dict[str, dict[str, Any]], pages: str) -> None:
    """Differences, and the exact McNemar test with Holm's adjustment, from binomials; separated is
    what both this and the interval beside it separate."""
    models = list(runs)
    right = {m: runs[m]["logits"].argmax(1) == runs[m]["labels"] for m in models}
    pairs = []
    for i, a in enumerate(models):
        for b in models[i + 1 :]:
            if share(runs[a]) < share(runs[b]):
                a_, b_ = b, a
            else:
                a_, b_ = a, b
            only_a = int((right[a_] & ~right[b_]).sum())
            only_b = int((right[b_] & ~right[a_]).sum())
            points = Decimal(100 * (only_a - only_b)) / len(right[a])  # printed with ties to even
            pairs.append((a_, b_, points, binomial(only_a, only_b)))
    adjusted: dict[tuple[str, str], float] = {}
    highest = 0.0
    for rank, (a_, b_, _, p) in enumerate(sorted(pairs, key=lambda pair: pair[3])):
        highest = max(highest, min(1.0, (len(pairs) - rank) * p))
        adjusted[a_, b_] = highest
    for a_, b_, points, _ in pairs:
        p = adjusted[a_, b_]
        shown = "< 0.001" if p < 0.001 else f"= {p:.3f}"
        row = re.search(
            rf"{NAMES[a_]} +{NAMES[b_]} +{points:.1f} +([−\d.]+) to ([−\d.]+) +{shown} +"
            r"(yes|no)",
            pages,
        )
        assert row, (a_, b_)
        low, high = (float(limit.replace("−", "-")) for limit in row.groups()[:2])
        assert row[3] == ("yes" if p < 0.05 and low * high > 0 else "no"), (a_, b_)


def binomial(a: int, b: int) -> float:
    """Two-sided exact p of a against b at probability 1/2, in logarithms."""
    n, k = a + b, min(a, b)
    terms = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2)
        for i in range(k + 1)
    ]
    return min(1.0, 2 * math.fsum(math.exp(term) for term in terms))


def test_what_the_log_says_of_itself(runs: dict[str, dict[str, Any]]) -> None:
    """test_acc, test_loss and the flip average of each result line, from the arrays."""
    for run in runs.values():
        logits = run["logits"].astype(np.float64)
        shifted = logits - logits.max(1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(1))
        losses = log_sum - shifted[np.arange(len(logits)), run["labels"]]
        assert run["result"]["test_acc"] == share(run)
        assert run["result"]["test_acc_tta"] == share(run, "logits_tta")
        assert run["result"]["test_loss"] == pytest.approx(float(losses.mean()), rel=1e-9)


@pytest.mark.tex
def test_the_committed_paper_is_that_of_the_committed_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Byte for byte where the same versions of TeX, faces and packages set it, else by its text and
    the size and operators of its figures."""
    from cnnpaper.paper.build import build_report

    for folder in ("cnnpaper", "experiments", "report", "results"):
        ignore = shutil.ignore_patterns("__pycache__", "CNN_report*.pdf", "checkpoint-*")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    built = build_report(tmp_path, "reference", say=lambda _: None)
    here, there = tools_of(built), tools_of(PDF)
    if here == there:
        assert sha256(built) == sha256(PDF), "make report, and commit report/CNN_report.pdf"
        return
    others = [f"{k}: {there.get(k)} -> {here[k]}" for k in here if here[k] != there.get(k)]
    with capsys.disabled():
        print(f"\nother versions, so text and figures are compared, not bytes: {', '.join(others)}")
    assert words_of(built) == words_of(PDF), "make report, and commit report/CNN_report.pdf"
    assert figures_of(built) == figures_of(PDF), "make report, and commit report/CNN_report.pdf"


def figures_of(pdf: Path) -> list[tuple[Any, Counter[str]]]:
    """Of every figure, by page: its size in whole points, and how often each operator draws."""
    with pikepdf.open(pdf) as document:
        return [
            (
                [round(float(side)) for side in form.BBox],
                Counter(str(part.operator) for part in pikepdf.parse_content_stream(form)),
            )
            for page in document.pages
            for _, form in sorted(page.Resources.get("/XObject", {}).items())
            if form.Subtype == "/Form"
        ]


def tools_of(pdf: Path) -> dict[str, str]:
    with pikepdf.open(pdf) as document:
        return json.loads(document.attachments["tools.json"].get_file().read_bytes())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def words_of(pdf: Path) -> list[str]:
    done = subprocess.run(["pdftotext", "-raw", str(pdf), "-"], capture_output=True, check=True)
    return done.stdout.decode("utf-8").split()
