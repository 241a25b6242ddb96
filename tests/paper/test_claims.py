"""Sentences: literal ones, and that none ranks where its test does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.paper.compose import Document
from cnnpaper.study.analysis import Contrast, Distance, Gain, Trial
from tests.paper import invent
from tests.paper.conftest import ARMS

MORE = Contrast(
    model="vgg16", difference=0.0153, interval=(0.004, 0.0266), p=0.0021, p_holm=0.0063,
    p_welch=0.001, significant=True, detectable=0.012,
)  # fmt: skip


def claims(root: Path, change: dict[str, Any] | None = None, **shape: Any) -> Any:
    """What is said of a study, with some of what was found replaced."""
    data, found = invent.study(root, invent.Shape(**{"arms": ARMS, **shape}))
    return Document(data, replace(found, **change or {}), "en", draw=False).claims


def text(sentence: Any) -> str:
    return str(sentence).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    "change,said",
    [
        ({}, "VGG-16 is more accurate than ResNet-18 by 1.53 points (simultaneous 95% interval of "
         "the difference 0.40 to 2.66, adjusted p = 0.006)."),
        ({"difference": -0.0053, "interval": (-0.01, -0.0006), "p_holm": 0.0004},
         "VGG-16 is less accurate than ResNet-18 by a small difference of 0.53 points "
         "(simultaneous 95% interval −1.00 to −0.06, adjusted p < 0.001)."),
        ({"interval": (-0.001, 0.03), "p_holm": 0.07, "significant": False},
         "The difference between VGG-16 and ResNet-18 is not resolved (+1.53 points, simultaneous "
         "95% interval −0.10 to 3.00, adjusted p = 0.070); with 5 seeds a difference "
         "of 1.2 points would be detected with a power of 80%."),
        ({"p_holm": 0.0499},  # not printed at the level that it is below
         "VGG-16 is more accurate than ResNet-18 by 1.53 points (simultaneous 95% interval of "
         "the difference 0.40 to 2.66, adjusted p = 0.0499)."),
    ],
)  # fmt: skip
def test_only_significance_ranks(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    found = claims(tmp_path, {"contrasts": (replace(MORE, **change),)})
    assert text(found.primary()) == said


@pytest.mark.parametrize("significant", [True, False])
def test_networks_above_the_baseline_have_an_estimate_between_them(
    tmp_path: Path, significant: bool
) -> None:
    second = replace(MORE, model="googlenet", difference=0.01, significant=significant)
    row = Distance(arm="short", model="googlenet", other="vgg16", difference=-0.0053,
                   interval=(-0.01, -0.0006))  # fmt: skip
    made = claims(tmp_path, {"contrasts": (MORE, second), "distances": (row,)})
    said = ("Compared with VGG-16, which has the highest mean of those that are more accurate, the "
            "estimated difference is −0.53 points for GoogLeNet [−1.00, −0.06]; this")  # fmt: skip
    assert (said in text(made.primary())) is significant


LESS = replace(MORE, model="alexnet", difference=-0.06, interval=(-0.07, -0.05))
OPEN = replace(MORE, model="googlenet", significant=False)


@pytest.mark.parametrize(
    "rows,said",
    [
        ((LESS,), "In this time, ResNet-18 is the network to choose: AlexNet is significantly less "
                  "accurate."),
        ((LESS, replace(LESS, model="vgg16")), "In this time, ResNet-18 is the network to choose "
         "among these: after Holm adjustment, each of the others is significantly less accurate."),
        ((LESS, MORE, OPEN), "In this time, VGG-16 is the only network that is significantly more "
         "accurate than ResNet-18 after Holm adjustment."),
        ((LESS, OPEN), "In this time, the choice between GoogLeNet and ResNet-18 remains open: "
         "none has a significantly higher accuracy than ResNet-18."),
        ((), ""),
    ],
)  # fmt: skip
def test_the_answer_is_what_the_contrast_leaves(
    tmp_path: Path, rows: tuple[Contrast, ...], said: str
) -> None:
    found = claims(tmp_path, {"contrasts": rows})
    assert str(found.answer()) == said
    assert "most accurate" not in str(found.abstract())


def test_what_equal_time_changes(tmp_path: Path) -> None:
    gain = Gain(arms=("equal", "short"), model="alexnet", difference=0.05, interval=None)
    assert text(claims(tmp_path, {"speed": (gain,), "same": ()}).speed()) == (
        "From “equal epochs” to “short”, mean test accuracy changes by +5.00 points for AlexNet."
    )


def test_distances_and_speeds_of_an_arm(tmp_path: Path) -> None:
    """A step of the made-up runs takes 0.15, 0.27, 0.40 and 0.32 s; the budgets are of others."""
    rows = (Distance(arm="long", model="vgg16", other="resnet18", difference=0.0125,
                     interval=(0.001, 0.024)),
            Distance(arm="equal", model="vgg16", other="resnet18", difference=-0.5,
                     interval=None))  # fmt: skip
    made = claims(tmp_path, {"distances": rows, "budget_s": {"long": 1500.0}})
    said = text(made.arm(made.values.arm("long"))) + text(made.clock("long"))
    assert "In 25.0 minutes, mean test accuracy differs from that of ResNet-18 by +1.25 po" in said
    assert "[0.10, 2.40]" in said
    assert (
        "a step took, relative to ResNet-18, 0.47 times as long for AlexNet, 0.84 times as long "
        "for VGG-16 and 1.25 times as long for GoogLeNet (medians" in said
    )
    assert made.uneven()
    assert "equal time would mean other numbers of steps" in said
    equal = text(made.arm(made.values.arm("equal")))
    assert "After 2 epochs each, mean test accuracy differs" in equal
    assert "a step took" not in equal
    assert text(made.others()) == (
        "Not tested, these differences are −50.00 for VGG-16 after 2 epochs each; +1.25 for VGG-16 "
        "in 25.0 minutes."
    )


def test_where_a_difference_goes_from_arm_to_arm(tmp_path: Path) -> None:
    gain = Gain(arms=("short", "long"), model="vgg16", difference=0.05, interval=None)
    rows = (Distance(arm="long", model="vgg16", other="resnet18", difference=-0.01, interval=None),)
    made = claims(tmp_path, {"contrasts": (MORE,), "distances": rows, "gains": (gain,)})
    assert text(made.longer()) == (
        "From “short” to “long”, the estimated difference from ResNet-18 goes from +1.53 to −1.00 "
        "points for VGG-16."
    )
    assert not made.equal_time()
    assert "has another sign in another arm for VGG-16" in text(made.changes())
    same = {"contrasts": (MORE,), "distances": (replace(rows[0], difference=0.01),)}
    assert "No estimated difference" in text(claims(tmp_path, same).changes())


def test_how_the_shared_settings_were_chosen(tmp_path: Path) -> None:
    made = claims(tmp_path)
    assert text(made.screening()).endswith(
        "66 brief runs, scored on images held out from training: 29 of AlexNet, 7 of VGG-16, "
        "8 of GoogLeNet and 22 of ResNet-18."
    )
    assert "8.22 points for AlexNet, 1.90 points for VGG-16, 3.56 points for GoogLeNet" in (
        text(made.history())
    )


def test_the_lead_of_the_chosen_rates(tmp_path: Path) -> None:
    """Of two rates of the last stage, over 200 images: √(0.71 · 0.29 / 200) is 3.2 points."""
    trials = [
        Trial(stage="stage2", model=model, rate=rate, val_acc=acc, path=f"tuning/{model}-{rate}")
        for model, scores in {"alexnet": (0.69, 0.71), "vgg16": (0.70, 0.695)}.items()
        for rate, acc in zip((0.1, 0.2), scores, strict=True)
    ]
    change = {"trials": tuple(trials), "winners": {"alexnet": 0.2, "vgg16": 0.1}}
    said = text(claims(tmp_path, change).rates())
    assert "ahead of the next best by 2.0 points for AlexNet and 0.5 points for VGG-16" in said
    assert "about 3.2 points" in said


def test_accuracies_are_listed_or_given_as_a_range(tmp_path: Path) -> None:
    assert text(claims(tmp_path / "few", spread=0.0).accuracies("equal")) == (
        "In the arm “equal epochs”, mean test accuracies over 3 seeds are 65.00% for AlexNet, "
        "78.00% for VGG-16, 78.50% for GoogLeNet and 80.00% for ResNet-18."
    )
    models = {f"net{i}": f"Net {chr(65 + i)}" for i in range(8)}
    many = claims(tmp_path / "many", models=models, spread=0.0).accuracies("short")
    assert "are between 65.00" in str(many)
