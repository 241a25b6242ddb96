"""Papers of studies of many shapes: each builds without a warning.

Four are built always, all of them by ``make soak``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cnnpaper.imported import import_logs
from cnnpaper.paper.build import build_report
from cnnpaper.paper.state import State
from tests import fabricate
from tests.fabricate import Plan

pytestmark = pytest.mark.tex
EIGHT = (
    "alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet50", "densenet121",
    "mobilenet_v2",
)  # fmt: skip
TWO = ("alexnet", "resnet18")
STRANGE = {"alexnet": "A_l & 50% #1 $한글$ {x} ~^\\", "vgg16": "알렉스_%#&"}

EIGHT_TWICE = Plan(networks=EIGHT, seeds=(0, 1), images=2000)
"""Built with step times."""
ALWAYS = {
    "names with TeX's characters, a network missing": Plan(
        names=STRANGE, missing=("googlenet-s0",), images=1000
    ),
    "diverged in part and whole": Plan(
        seeds=(0, 1), diverged=("alexnet-s0", "alexnet-s1", "vgg16-s1"), images=1000
    ),
}
SOAK = {
    "one network": Plan(networks=("resnet18",)),
    "one network, one epoch": Plan(networks=("resnet18",), epochs=1),
    "one network, diverged": Plan(networks=("resnet18",), diverged=("resnet18-s0",)),
    "eight networks, one epoch": Plan(networks=EIGHT, epochs=1),
    "three seeds": Plan(seeds=(0, 1, 2)),
    "twenty seeds": Plan(seeds=tuple(range(20)), images=2000),
    "200 epochs": Plan(epochs=200, images=1000),
    "equal accuracies": Plan(
        networks=TWO, equal=True, accuracy={"alexnet": 0.5, "resnet18": 0.5}, images=1000
    ),
    "accuracies of 0 and 1": Plan(
        accuracy={"alexnet": 0.0, "resnet18": 1.0}, equal=True, images=1000
    ),
    "synthetic": Plan(data_set="synthetic", images=256, epochs=2),
}


def in_order(root: Path, study: str) -> str:
    """Build; no warning; the text of the first page."""
    pdf = build_report(root, study, say=lambda _: None)
    assert State.load(root, study).steps["pdf"]["warnings"] == []
    command = ["pdftotext", "-l", "1", str(pdf), "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
    assert "Abstract" in text
    assert "요약" in text
    return text


@pytest.mark.parametrize("name", ALWAYS)
def test_documents(name: str, tmp_path: Path) -> None:
    in_order(fabricate.study(tmp_path, ALWAYS[name], code=True), ALWAYS[name].name)


def test_a_document_with_step_times(tmp_path: Path) -> None:
    root = fabricate.study(tmp_path, EIGHT_TWICE, code=True)
    fabricate.write_timings(root, EIGHT_TWICE, shared=("alexnet",))
    in_order(root, EIGHT_TWICE.name)
    pdf = root / "report" / f"CNN_report-{EIGHT_TWICE.name}.pdf"
    command = ["pdftotext", "-layout", str(pdf), "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
    assert "Time of a step" in text
    assert "1,774 †" in text


@pytest.mark.soak
@pytest.mark.parametrize("name", SOAK)
def test_more_documents(name: str, tmp_path: Path) -> None:
    in_order(fabricate.study(tmp_path, SOAK[name], code=True), SOAK[name].name)


def test_synthetic_data_are_named_in_the_title(tmp_path: Path) -> None:
    plan = Plan(networks=TWO, data_set="synthetic", images=50, epochs=1)
    text = in_order(fabricate.study(tmp_path, plan, code=True), plan.name)
    assert "synthetic images" in text.split("cnnpaper contributors")[0]


LOG = """\
############학습 시작############
Epoch 0/1
----------
train Loss: 2.1000 Acc: 0.2000
val Loss: 1.9000 Acc: 0.2500

Epoch 1/1
----------
train Loss: 1.9000 Acc: 0.3000
val Loss: 1.7000 Acc: 0.3962

############학습 끝############
Training complete in 1m 5s
Best val Acc: 0.396226
"""


def test_imported_logs(tmp_path: Path) -> None:
    """One network twice, with and without ImageNet weights; one log cut off."""
    root = fabricate.repository(tmp_path / "repository", code=True)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20231031-101500_resnet18_2epoch_train.log").write_text(LOG)
    (logs / "20231031-121500_resnet18_2epoch_pre_train.log").write_text(LOG)
    (logs / "alexnet_2epoch_train.log").write_text(LOG[: LOG.index("Epoch 1")])
    import_logs(root, logs, "course2023")
    first = in_order(root, "course2023")
    assert "Neither the seed nor the test accuracy of any run is known" in first.replace("\n", " ")
    everything = subprocess.run(
        ["pdftotext", "-layout", str(root / "report" / "CNN_report-course2023.pdf"), "-"],
        capture_output=True,
        check=True,
    ).stdout.decode("utf-8")
    row = next(x for x in everything.splitlines() if x.strip().startswith("ResNet-18 (pretrained)"))
    assert row.split() == ["ResNet-18", "(pretrained)", "finished", "2", "39.6", "2", "1", "min",
                           "05", "s"]  # fmt: skip
