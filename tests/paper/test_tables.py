"""The tables of a study of five runs, every number worked out on paper.

Ten test images, one of each class. A network of k right answers is right on images 0 to k − 1 and
takes every other image for the next class. The winning logit is ln 9, the others are 0, so its
probability is 9 / (9 + 9) = 1/2, that of each other class 1/18.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cnnpaper.files import sha256_bytes
from cnnpaper.paper.analysis import analyse
from cnnpaper.paper.facts import CLASS_NAMES, Facts, counted, number
from cnnpaper.paper.frames import read_frames
from cnnpaper.paper.ledger import Cite, Ledger
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.tables import Tables
from cnnpaper.paper.tabular import Table, booktabs, csv, markdown, table
from cnnpaper.paper.tex import Printer
from cnnpaper.paper.values import Values
from cnnpaper.predictions import Predictions
from cnnpaper.records import (
    LOG_NAME,
    PREDICTIONS_NAME,
    Data,
    Epoch,
    Header,
    LogWriter,
    Machine,
    Network,
    Result,
)
from tests import fabricate

RIGHT = {"alexnet": 3, "vgg16": 5, "googlenet": 5, "resnet18": 8, "mobilenet_v2": None}
"""Right answers of ten; None diverged."""
SIZES = {
    "alexnet": (28_711_754, 201_912_320),
    "vgg16": (14_728_266, 313_201_664),
    "googlenet": (5_602_474, 452_175_872),
    "resnet18": (11_173_962, 555_422_720),
    "mobilenet_v2": (2_236_682, 87_976_448),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    root = fabricate.repository(tmp_path_factory.mktemp("five"))
    (root / "report").mkdir()
    (root / "report" / "known.toml").write_bytes(
        (fabricate.REPOSITORY / "report" / "known.toml").read_bytes()
    )
    names = ", ".join(f'"{model}"' for model in RIGHT)
    (root / "experiments" / "study" / "five.toml").write_text(
        f'networks = [{names}]\nseeds = [0]\nepochs = 2\n[data]\nset = "any"\ntest_images = 10\n'
    )
    for model, right in RIGHT.items():
        write_run(root, model, right)
    frames, sources, ledger = read_frames(root, "five"), Sources(root), Ledger()
    facts = Facts(root, frames, ledger, sources)
    return Tables(root, frames, analyse(frames, sources), facts, Values(ledger))


def write_run(root: Path, model: str, right: int | None) -> None:
    folder = root / "results" / "log" / "five" / f"{model}-s0"
    log = LogWriter(folder / LOG_NAME)
    log.append(header(root, model))
    for number_ in range(2):
        log.append(
            epoch(number_, diverged=right is None and number_ == 1, val_acc=(right or 1) / 10)
        )
    if right is None:
        log.append(result("diverged", 0, 0.1, None))
        return
    found = predictions(right, list(RIGHT).index(model))
    (folder / PREDICTIONS_NAME).write_bytes(found.to_bytes())
    fabricate.note_test(folder, log.digest)
    log.append(result("finished", 0, right / 10, right, sha256_bytes(found.to_bytes())))


def predictions(right: int, shift: float) -> Predictions:
    """``shift``, which no metric feels, makes them those of one network."""
    labels = np.arange(10, dtype=np.uint8)
    logits = np.zeros((10, 10), dtype=np.float32)
    for image in range(10):
        logits[image, image if image < right else (image + 1) % 10] = math.log(9)
    return Predictions(labels=labels, logits=logits, logits_tta=logits + np.float32(shift))


def header(root: Path, model: str) -> Header:
    parameters, macs = SIZES[model]
    return Header(
        schema=1,
        origin="trained",
        study="five",
        model=model,
        seed=0,
        **fabricate.plan_of(root, "five", model),
        data=Data(name="x", digest="d"),
        machine=Machine(cpu="A processor", isa="AVX2", threads=2),
        commit="0" * 40,
        started="2026-11-24T09:00:00Z",
        network=Network(parameters=parameters, macs=macs),
    )


def epoch(number_: int, *, diverged: bool, val_acc: float) -> Epoch:
    """The first epoch at low resolution in 30 s, the second at full resolution in 45.5 s."""
    return Epoch(
        epoch=number_,
        train_loss=None if diverged else 2.0,
        train_acc=0.2,
        val_loss=2.0,
        val_acc=val_acc,
        weights="raw",
        resolution=24 if number_ == 0 else 32,
        train_s=30.0 if number_ == 0 else 45.5,
        train_cpu_s=50.0,
        eval_s=1.0,
        other_cpu_s=0.0,
        learning_rate=0.1,
        nonfinite={"train_loss": "nan"} if diverged else {},
    )


def result(
    status: str, best: int, val: float, right: int | None, digest: str | None = None
) -> Result:
    margin = float(np.float32(math.log(9)))
    whole = math.log(math.exp(margin) + 9)  # ln 18 but for the last bits of float32
    loss = None if right is None else whole - right * margin / 10
    return Result.model_validate(
        {
            "status": status,
            "best_epoch": best,
            "best_val_acc": val,
            "test_acc": None if right is None else right / 10,
            "test_loss": loss,
            "test_acc_tta": None if right is None else right / 10,
            "total_s": 77.5,
            "predictions_sha256": digest,
        }
    )


def texts(item: Table | None) -> list[list[str]]:
    assert item is not None
    return [["–" if cell is None else str(cell) for cell in row] for row in item.rows]


def test_results(tables: Tables) -> None:
    """Wilson's intervals for 3, 5 and 8 of 10: (10.78, 60.32), (23.66, 76.34), (49.02, 94.33)."""
    assert texts(tables.results()) == [
        ["AlexNet", "30.00", "10.78 to 60.32", "30.00", "30.00", "1", "76", "46", "28.7", "202"],
        ["VGG-16", "50.00", "23.66 to 76.34", "50.00", "50.00", "1", "76", "46", "14.7", "313"],
        ["GoogLeNet", "50.00", "23.66 to 76.34", "50.00", "50.00", "1", "76", "46", "5.6", "452"],
        ["ResNet-18", "80.00", "49.02 to 94.33", "80.00", "80.00", "1", "76", "46", "11.2", "555"],
        ["MobileNetV2", "diverged", "–", "–", "–", "0 of 1", "–", "–", "2.2", "88"],
    ]


def test_networks(tables: Tables) -> None:
    rows = tables.networks().rows
    assert [str(cell) for cell in rows[0][:3]] == ["AlexNet", "2012", "NeurIPS"]
    assert rows[0][3] == Cite("krizhevsky2012imagenet", textual=True)
    assert [str(cell) for cell in rows[0][5:]] == ["28.7", "202"]


def test_pairs(tables: Tables) -> None:
    """McNemar by hand: only the better one is ever right alone, on k images: p = 2 · 2^−k.

    k = 2, 2, 5, 0, 3, 3: p = 0.5, 0.5, 0.0625, 1, 0.25, 0.25; Holm: 6 · 0.0625 = 0.375, the rest 1.
    """
    found = [(row[0], row[1], row[2], row[4], row[5]) for row in texts(tables.pairs())]
    assert found == [
        ("VGG-16", "AlexNet", "20.0", "= 1.000", "no"),
        ("GoogLeNet", "AlexNet", "20.0", "= 1.000", "no"),
        ("ResNet-18", "AlexNet", "50.0", "= 0.375", "no"),
        ("VGG-16", "GoogLeNet", "0.0", "= 1.000", "no"),
        ("ResNet-18", "VGG-16", "30.0", "= 1.000", "no"),
        ("ResNet-18", "GoogLeNet", "30.0", "= 1.000", "no"),
    ]


def test_classes(tables: Tables) -> None:
    yes, no = "100.0", "0.0"
    assert texts(tables.classes()) == [
        ["AlexNet", *[yes] * 3, *[no] * 7],
        ["VGG-16", *[yes] * 5, *[no] * 5],
        ["GoogLeNet", *[yes] * 5, *[no] * 5],
        ["ResNet-18", *[yes] * 8, *[no] * 2],
    ]


def test_confused(tables: Tables) -> None:
    """ResNet-18, best on validation, takes ship for truck and truck for airplane."""
    assert texts(tables.confused()) == [
        ["airplane", "truck", "0", "1"],
        ["ship", "truck", "1", "0"],
    ]


def test_calibration(tables: Tables) -> None:
    """Confidence is 1/2 always, one image a bin: |right − 1/2| = 1/2, so the error is 50 %.

    Brier: right 1/4 + 9/18² = 0.2778, wrong (17/18)² + 1/4 + 8/18² = 1.1667; negative
    log-likelihood: ln 2 = 0.6931 and ln 18 = 2.8904.
    """
    found = [[row[0], row[1], row[3], row[4]] for row in texts(tables.calibration())]
    assert found == [
        ["AlexNet", "50.00", "0.900", "2.231"],
        ["VGG-16", "50.00", "0.722", "1.792"],
        ["GoogLeNet", "50.00", "0.722", "1.792"],
        ["ResNet-18", "50.00", "0.456", "1.133"],
    ]


def test_recipe_and_departures(tables: Tables) -> None:
    rows = {row[0]: row[1:] for row in texts(tables.recipe())}
    assert rows["momentum"] == ["0.9", ""]
    assert rows["peak learning rate"] == [
        "0.05",
        "0.1 for AlexNet, 0.025 for VGG-16 and 0.0125 for GoogLeNet",
    ]
    assert rows["epochs at low resolution, share"][0] == "0"
    assert "low resolution, pixels" not in rows  # of no effect
    assert rows["limit of the gradient’s norm"] == ["none", "1 for AlexNet"]
    reasons = texts(tables.departures())
    assert [row[:3] for row in reasons] == [
        ["AlexNet", "peak learning rate", "0.1"],
        ["AlexNet", "batch size, images", "32"],
        ["AlexNet", "limit of the gradient’s norm", "1"],
        ["VGG-16", "peak learning rate", "0.025"],
        ["GoogLeNet", "peak learning rate", "0.0125"],
    ]
    assert all(len(row[3]) > 10 for row in reasons)


def test_runs(tables: Tables) -> None:
    first, *_, last = texts(tables.runs())
    assert first[1:-1] == ["finished", "2", "1", "30.00", "30.00", "76", "2026-11-24 09:00"]
    assert last[1:-1] == ["diverged", "2", "1", "10.00", "–", "76", "2026-11-24 09:00"]


def test_the_2023_report_beside_ours(tables: Tables) -> None:
    assert texts(tables.report2023()) == [
        ["AlexNet", "17", "70.40", "46", "30.00"],
        ["VGG-16", "129", "70.66", "46", "50.00"],
        ["GoogLeNet", "26", "82.46", "46", "50.00"],
        ["ResNet-18", "17", "79.14", "46", "80.00"],
    ]


def test_every_value_names_an_existing_line(tables: Tables) -> None:
    tables.results()
    for value in tables.values.ledger:
        for source in value.sources:
            path = tables.root / source.file
            assert path.is_file(), value.key
            if source.line is not None:
                assert 1 <= source.line <= len(path.read_text("utf-8").splitlines()), value.key


def test_class_names_are_the_loader_s() -> None:
    from cnnpaper.learn.sources import CLASSES

    assert tuple(CLASS_NAMES) == tuple(CLASSES)


# ------------------------------------------------------------------------------- output


def small() -> Table:
    ledger = Ledger()
    value = ledger.add("a.b", 0.77614, text="77.61", formula="as recorded", sources=[])
    return table("small", "lr", ["Name|(long)", "Share|%"], [["A & B", value], ["C|D", None]])


def test_booktabs() -> None:
    head = r"\begin{tabular}[b]{@{}l@{}}Name\\(long)\end{tabular}"
    assert booktabs(small(), Printer()) == (
        "\\begin{tabular}{@{}lr@{}}\n\\toprule\n"
        + head
        + " & \\begin{tabular}[b]{@{}r@{}}Share\\\\\\%\\end{tabular} \\\\\n\\midrule\n"
        "A \\& B & \\ledger{a.b}{77.61} \\\\\nC|D & – \\\\\n\\bottomrule\n\\end{tabular}"
    )


def test_csv_has_exact_values() -> None:
    assert csv(small()) == "Name (long),Share %\nA & B,0.77614\nC|D,\n"


def test_markdown_has_printed_texts() -> None:
    assert markdown(small()).splitlines()[-2:] == [
        "| A & B         |     77.61 |",
        "| C\\|D          |         – |",
    ]


def test_a_long_name_is_broken_over_lines() -> None:
    item = table("t", "lr", ["Network", "x"], [["a name that is too long for it", None]])
    assert "L{42mm}" in booktabs(item, Printer())


@pytest.mark.parametrize(
    "value,text",
    [(0.0005, "0.0005"), (1e-12, "1e-12"), (0.9, "0.9"), (1.0, "1"), (0.0, "0"), (True, "yes"),
     (128, "128"), (45000, "45,000"), ("reflect", "reflect")],
)  # fmt: skip
def test_settings_as_printed(value: object, text: str) -> None:
    assert number(value) == text  # type: ignore[arg-type]


def test_counts_in_words() -> None:
    assert [counted(n) for n in (1, 4, 12, 13, 1000)] == ["one", "four", "twelve", "13", "1,000"]


def test_a_layer_that_is_called_by_its_place_is_a_value(tmp_path: Path) -> None:
    """As in ``nn.Sequential``: as a name, its numeral would excuse every one like it."""
    root = fabricate.study(tmp_path, fabricate.Plan(networks=("alexnet",), images=10))
    frames = read_frames(root, "invented")
    layers = [layer for layer in frames.layers["alexnet"] if layer.type == "Conv2d"][:3]
    names = ("0", "3.1", "conv3")
    frames.layers["alexnet"] = tuple(
        layer.model_copy(update={"name": name}) for layer, name in zip(layers, names, strict=True)
    )
    facts = Facts(root, frames, Ledger(), Sources(root))
    rows = facts.layer_rows("alexnet")
    printed = [values["name"].text if "name" in values else None for _, values in rows]
    assert printed == ["0", "3.1", None]
