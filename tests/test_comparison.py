"""The tables of ours beside the plain loop, from invented logs whose figures are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from cnnpaper import comparison, config, timings
from cnnpaper.errors import UserError
from cnnpaper.records import LOG_NAME, Data, Epoch, Header, LogWriter, Machine, Network, Result
from tests import fabricate
from tests.test_timings import ABOUT, speed

STUDY = """
networks = ["alexnet", "resnet18"]
seeds = [0]
epochs = 2
[data]
set = "any"
validation_images = 10
"""
OURS = np.arange(10) < 8
PLAIN = np.arange(10) >= 5
"""Of ten images ours has the first eight right, the plain loop the last five: both have three."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = fabricate.repository(tmp_path)
    (root / "experiments" / "study" / "two.toml").write_text(STUDY)
    write_run(root, "two", "resnet18", None, (0.7, 0.8))
    write_run(root, "peer-two", "resnet18", "rate0.1", (0.4, 0.5))
    return root


def write_run(
    root: Path,
    study: str,
    model: str,
    variant: str | None,
    accuracies: tuple[float, ...],
    status: Any = "finished",
    cpu: str = "A processor",
) -> Path:
    """A run of two epochs, of 100 and of 50 s; the second one of ours shared the machine."""
    folder = config.run_folder(root, study, config.run_name(model, variant, 0))
    log = LogWriter(folder / LOG_NAME)
    log.append(
        Header(
            schema=1,
            origin="trained",
            study=study,
            model=model,
            variant=variant,
            seed=0,
            spec={"epochs": 2},
            fingerprint=None,
            data=Data(name="x", digest="d"),
            machine=Machine(cpu=cpu, isa="AVX2", threads=2),
            packages={},
            commit=None,
            started="2026-11-24T09:00:00Z",
            network=Network(parameters=1, macs=1),
        )
    )
    for number, accuracy in enumerate(accuracies):
        log.append(
            Epoch(
                epoch=number,
                train_loss=1.0,
                train_acc=0.5,
                val_loss=1.0,
                val_acc=accuracy,
                weights="raw",
                resolution=32,
                train_s=(100.0, 50.0)[number],
                train_cpu_s=100.0,
                eval_s=1.0,
                other_cpu_s=20.0 if variant is None and number else 0.0,
                learning_rate=0.1,
            )
        )
    log.append(
        Result(
            status=status,
            best_epoch=len(accuracies) - 1,
            best_val_acc=accuracies[-1],
            test_acc=None,
            test_loss=None,
            test_acc_tta=None,
            total_s=152.0,
            predictions_sha256=None,
        )
    )
    return folder


def keep(root: Path) -> None:
    """Write down which images both had right."""
    np.save(root / "results/log/peer-two/resnet18-rate0.1-s0/validation-right.npy", PLAIN)
    np.save(comparison.ours_right_path(root, "two", "resnet18-s0"), OURS)


def report(root: Path) -> str:
    return comparison.report(root, config.load_study(root, "two"))


def test_accuracy_by_seconds(place: Path) -> None:
    lines = report(place).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:4]]
    assert cells == [
        ["ResNet-18", "1", "100", "40.00 %", "100", "70.00 %"],
        ["ResNet-18", "2", "150", "50.00 %", "150 †", "80.00 %"],
    ]
    assert "n = 1" in report(place)
    assert "†: other processes" in report(place)


def test_unpaired_interval_is_that_of_statsmodels(place: Path) -> None:
    low, high = confint_proportions_2indep(8, 10, 5, 10, method="newcomb")
    assert f"| +30.0 | {100 * low:+.1f} to {100 * high:+.1f} (unpaired) |" in squeezed(
        report(place)
    )
    assert "count as independent samples" in report(place)


def test_paired_interval_worked_out_by_hand(place: Path) -> None:
    """Newcombe's method 10 for both 3, ours alone 5, plain alone 2, neither 0.

    Wilson: 0.8 has 0.4902 to 0.9433, 0.5 has 0.2366 to 0.7634. φ = (0 - 10) / sqrt(8·2·5·5) = -0.5.
    Lower distance: a = 0.3098, b = 0.2634: sqrt(a² + ab + b²) = 0.4969.
    Upper distance: a = 0.1433, b = 0.2634: sqrt(a² + ab + b²) = 0.3573.
    """
    keep(place)
    assert "| +30.0 | -19.7 to +65.7 (paired) |" in squeezed(report(place))
    assert "unpaired" not in report(place)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_answers_that_are_not_of_the_run_are_refused(place: Path) -> None:
    keep(place)
    np.save(comparison.ours_right_path(place, "two", "resnet18-s0"), np.arange(10) < 7)
    with pytest.raises(
        UserError, match=r"0\.7000 of the images .* log of resnet18-s0 says 0\.8000"
    ):
        report(place)


BROKEN: dict[str, bytes | np.ndarray] = {
    "no array": b"x",
    "empty": b"",
    "numbers": np.ones(10),
    "a table": np.ones((2, 5), dtype=bool),
    "an object": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_broken_answers_are_refused(content: bytes | np.ndarray, place: Path) -> None:
    path = comparison.ours_right_path(place, "two", "resnet18-s0")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(UserError, match="remove it"):
        report(place)


def test_the_better_rate_counts_and_both_are_said(place: Path) -> None:
    write_run(place, "two", "alexnet", None, (0.5, 0.6))
    write_run(place, "peer-two", "alexnet", "rate0.1", (0.1,), status="diverged")
    write_run(place, "peer-two", "alexnet", "rate0.01", (0.3, 0.4))
    text = report(place)
    assert "Plain loop, AlexNet: rate 0.01 gave 40.00 %, rate 0.1 diverged; the better one" in text
    assert "| AlexNet | 40.00 % | 60.00 % | +20.0 |" in squeezed(text)


def test_unequal_epochs_are_not_compared(place: Path) -> None:
    write_run(place, "two", "alexnet", None, (0.6,))
    write_run(place, "peer-two", "alexnet", "rate0.1", (0.3, 0.4))
    text = report(place)
    assert "Not compared: AlexNet: 1 epoch of ours, 2 of the plain loop" in text
    assert "| AlexNet" not in text


def test_ours_missing_and_plain_diverged(place: Path) -> None:
    write_run(place, "peer-two", "alexnet", "rate0.1", (0.3, 0.4), status="diverged")
    assert "Not compared: AlexNet: the plain loop diverged." in report(place)
    write_run(place, "peer-two", "alexnet", "rate0.01", (0.3, 0.4))
    assert "ours is not finished (make alexnet STUDY=two)" in report(place)


def test_other_hardware_is_said(place: Path) -> None:
    write_run(place, "two", "alexnet", None, (0.5, 0.6), cpu="Another")
    write_run(place, "peer-two", "alexnet", "rate0.01", (0.3, 0.4))
    assert "AlexNet: seconds are not comparable, ours are of Another" in report(place)
    assert "ResNet-18: seconds" not in report(place)


def test_speed_and_profile(place: Path) -> None:
    path = place / "results" / "log" / "peer-two" / "speed.jsonl"
    about = {**ABOUT, "model": "resnet18"}
    timings.append(path, speed().model_copy(update={"model": "resnet18"}))
    seconds = {"data": 1.0, "convolution, forward": 3.0}
    timings.append(path, timings.Profile(**about, steps=1, seconds=seconds))
    text = squeezed(report(place))
    assert (
        "| ResNet-18 | 110.0 (100.0 to 120.0) | 100.0 (100.0 to 125.0) | 1.10 | 0.80 | contiguous "
        "| 33 | 66 | 50% |" in text
    )
    assert "3 alternating pairs of 2 steps, batch 100, 32 pixels" in text
    assert text.index("| convolution, forward | 75.0% |") < text.index("| data | 25.0% |")


def test_nothing_yet(tmp_path: Path) -> None:
    root = fabricate.repository(tmp_path)
    (root / "experiments" / "study" / "two.toml").write_text(STUDY)
    assert report(root) == "Nothing was measured yet.\n"


def test_the_block_of_the_readme() -> None:
    readme = f"before\n{comparison.BEGIN}\nold \\1\n{comparison.END}\nafter\n"
    new = comparison.with_block(readme, "a \\g<0> b\n")
    assert new == f"before\n{comparison.BEGIN}\n\na \\g<0> b\n\n{comparison.END}\nafter\n"
    assert comparison.with_block(new, "a \\g<0> b\n") == new
    assert comparison.with_block("no marks", "text") == "no marks"


def test_the_committed_readme_has_todays_tables() -> None:
    readme = (fabricate.REPOSITORY / "README.md").read_text("utf-8")
    root = fabricate.REPOSITORY
    text = comparison.report(root, config.load_study(root, "reference"))
    assert comparison.with_block(readme, text) == readme
