"""Sentences: literal ones, and that none ranks where its test does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnpaper.paper.compose import Document
from cnnpaper.study.analysis import Contrast, Distance, Gain, Lead, Trial
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
    said = ("Of the networks that are more accurate, VGG-16 has the highest mean; the estimated "
            "difference from it is −0.53 points for GoogLeNet [−1.00, −0.06]. This")  # fmt: skip
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
         "accurate than ResNet-18 after Holm adjustment. For GoogLeNet the difference from "
         "ResNet-18 is not resolved. Pairs without ResNet-18 were not tested."),
        ((MORE,), "In this time, VGG-16 is the only network that is significantly more accurate "
         "than ResNet-18 after Holm adjustment."),
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
    """Whether more steps went with more accuracy, of two networks of which one has fewer."""
    gain = Gain(arms=("equal", "short"), model="alexnet", difference=0.05, interval=None)
    settings = "A network has the same settings in both arms, but other seeds, and a schedule as"
    alone = text(claims(tmp_path, {"speed": (gain,), "same": ()}).speed())
    assert alone == (
        "From “equal epochs” to “short”, mean test accuracy changes by +5.00 points for AlexNet. "
        f"{settings} long as its steps."
    )
    made = claims(tmp_path, {"speed": (), "same": ()})
    specs = [
        s.model_copy(update={"steps": 10**5}) if (s.arm, s.model) == ("equal", "googlenet") else s
        for s in made.data.specs
    ]
    made.data = replace(made.data, specs=specs)
    less = replace(gain, model="googlenet", difference=-0.02)
    direction = (
        "By these estimates, networks with more steps in “short” gain (AlexNet), and "
        "those with fewer lose (GoogLeNet)."
    )
    assert text(made._direction((gain, less))) == direction
    assert not made._direction((gain, replace(less, difference=0.02)))
    assert not made._direction((gain,))


def test_what_other_ratios_of_step_times_put_at_stake(tmp_path: Path) -> None:
    """The runs' ratio of GoogLeNet is 0.40 / 0.32 = 1.25; budgets that took it to be twice that
    would give it twice the steps. Another arm gives it half as many again."""
    arms = {"short": (2, 2), "equal": (2, 2)}
    rows = (replace(MORE, model="googlenet", significant=False), MORE)
    there = Distance(arm="equal", model="googlenet", other="resnet18", difference=0.031,
                     interval=(0.02, 0.042))  # fmt: skip
    made = claims(tmp_path, {"contrasts": rows, "distances": (there,)}, arms=arms)
    made._shares = {"googlenet": 2.0}
    steps = {("short", "googlenet"): 100, ("equal", "googlenet"): 150}
    specs = [
        s.model_copy(update={"steps": steps.get((s.arm or "", s.model), 120)})
        for s in made.data.specs
    ]
    made.data = replace(made.data, specs=specs)
    assert text(made._at_stake()) == (
        "GoogLeNet, whose difference is "
        "not resolved, has 50% more steps in the arm “equal epochs”, and ResNet-18 as many as "
        "here; there the estimated difference is +3.10 points. The result for GoogLeNet may thus "
        "depend on the speed ratios, which its interval does not cover."
    )
    made.found = replace(made.found, distances=(replace(there, interval=None),))
    assert text(made._at_stake()).endswith("there the estimated difference is +3.10 points.")
    made._shares = {"vgg16": 0.5}
    assert not made._at_stake()


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
        "a step took, relative to ResNet-18, 0.47 (0.47 to 0.47) times as long for AlexNet, 0.84 "
        "(0.84 to 0.84) times as long for VGG-16 and 1.25 (1.25 to 1.25) times as" in said
    )
    assert made.uneven()
    # timed were 0.28, 0.43, 0.58 and 0.73 s: 0.28 / 0.73 is 18% less than 0.15 / 0.32
    assert (
        "At these ratios, the numbers of steps that take as long as those of ResNet-18 would be "
        "about 18% lower for AlexNet, about 30% lower for VGG-16 and about 36% lower for Goo"
        in said
    )
    del made._shares["vgg16"]
    assert "about 36% lower for GoogLeNet, and about the same for VGG-16; the comparison" in text(
        made.clock("long")
    )
    equal = text(made.arm(made.values.arm("equal")))
    assert "After 2 epochs each, mean test accuracy differs" in equal
    assert "a step took" not in equal
    assert text(made.others()) == (
        "After 2 epochs each, the estimated differences from ResNet-18, in points, are −50.00 for "
        "VGG-16; they were not tested. In 25.0 minutes, they are +1.25 for VGG-16, not tested "
        "either."
    )


def test_equal_time_is_computed_where_no_run_was_made_on_the_processor_of_the_budgets(
    tmp_path: Path,
) -> None:
    made = claims(tmp_path)
    assert made.study.budget.processor == "GenuineIntel 6-167"
    assert not made.elsewhere()  # the made-up runs were
    budget = made.study.budget.model_copy(update={"processor": "AuthenticAMD 25-17"})
    made.study = made.study.model_copy(update={"budget": budget})
    assert text(made.elsewhere()) == (
        "The runs compared were made on other processors; by the ratios of step times there, the "
        f"numbers of steps would be {text(made.uneven())}."
    )
    assert "% lower for AlexNet" in text(made.uneven())
    assert "made on other processors" in text(made.abstract())


def test_the_checklist_names_every_processor_with_its_runs(tmp_path: Path) -> None:
    data, found = invent.study(tmp_path, invent.Shape(arms=ARMS))
    for run in list(data.logs.values())[:3]:
        machine = {"cpu": "AMD EPYC", "processor": "AuthenticAMD 25-17"}
        changed = run.header.machine.model_copy(update=machine)
        object.__setattr__(run.header, "machine", changed)
    rest = sum(run.header.arm == "short" for run in data.logs.values()) - 3
    document = Document(data, found, "en", draw=False)
    hardware = document.tables["checklist"].rows[7][1]
    assert text(hardware).startswith(
        "AMD EPYC (family 25, model 17): short 3; CPU of the tests (GenuineIntel 6-167) (family 6, "
        f"model 167): short {rest}, equal epochs"
    )
    assert "and search and precision " in text(hardware)
    assert text(hardware).endswith("; 2 threads each")


@pytest.mark.parametrize(
    "rows,said",
    [
        ((MORE,), "For this budget, VGG-16 is thus preferable to ResNet-18."),
        ((MORE, replace(MORE, model="alexnet")),
         "For this budget, VGG-16 and AlexNet are thus preferable to ResNet-18."),
        ((replace(MORE, significant=False),), ""),
        ((replace(MORE, difference=-0.02),), ""),
    ],
)  # fmt: skip
def test_only_significantly_better_networks_are_preferable(
    tmp_path: Path, rows: tuple[Contrast, ...], said: str
) -> None:
    found = text(claims(tmp_path, {"contrasts": rows}).conclusion())
    assert found.endswith(said) if said else "preferable" not in found


def test_the_first_of_several_preferable_networks_is_named_as_untested(tmp_path: Path) -> None:
    behind = Distance(arm="short", model="alexnet", other="vgg16", difference=-0.01, interval=None)
    made = claims(tmp_path, {"contrasts": (MORE, replace(MORE, model="alexnet")),
                             "distances": (behind,)})  # fmt: skip
    assert text(made.conclusion()).endswith(
        "Of these, VGG-16 has the highest mean accuracy, a lead that was not tested."
    )


def test_which_differences_change_sign_between_arms(tmp_path: Path) -> None:
    row = Distance(arm="long", model="vgg16", other="resnet18", difference=-0.01,
                   interval=(-0.015, -0.005))  # fmt: skip
    made = claims(tmp_path, {"contrasts": (MORE,), "distances": (row,)})
    assert text(made.changes()) == (
        "After 6 epochs each, the estimated difference from ResNet-18, which was not tested, has "
        "the opposite sign to that of the primary comparison for VGG-16 (−1.00 points)."
    )
    for unclear in (
        {"contrasts": (MORE,), "distances": (replace(row, interval=(-0.03, 0.01)),)},
        {"contrasts": (MORE,), "distances": (replace(row, interval=None),)},
        {"contrasts": (replace(MORE, significant=False),), "distances": (row,)},
    ):
        made.values.ledger.clear()  # which holds one value a key
        made.found = replace(made.found, **unclear)
        assert text(made.changes()) == (
            "After 6 epochs each, the estimated differences from ResNet-18, in points, are −1.00 "
            "for VGG-16; they were not tested."
        )


def test_how_the_shared_settings_were_chosen(tmp_path: Path) -> None:
    made = claims(tmp_path)
    assert text(made.screening()).endswith(
        "66 brief runs, scored on images held out from training: 29 of AlexNet, 7 of VGG-16, "
        "8 of GoogLeNet and 22 of ResNet-18."
    )
    assert "8.22 points for AlexNet, 1.90 points for VGG-16, 3.56 points for GoogLeNet" in (
        text(made.history())
    )


@pytest.mark.parametrize(
    "lead,printed,said",
    [
        (0.0024, "0.2", "Every lead is less than two"),
        (0.0026, "0.3", "For VGG-16 the lead is less than two"),
    ],
)
def test_the_lead_of_the_chosen_rates(tmp_path: Path, lead: float, printed: str, said: str) -> None:
    first = Lead(model="alexnet", lead=lead, error=0.00125, paths=("tuning/a", "tuning/b"))
    rows = (first, replace(first, model="vgg16", lead=0.001))
    trial = Trial(stage="stage2", model="vgg16", rate=0.1, val_acc=0.7, path="tuning/a")
    found = text(claims(tmp_path, {"trials": (trial,), "leads": rows}).rates())
    assert (
        f"ahead of the next best by {printed} points (0.1) for AlexNet and 0.1 points (0" in found
    )
    assert "points (0.1) for VGG-16; in parentheses" in found
    assert said in found


def test_accuracies_are_listed_or_given_as_a_range(tmp_path: Path) -> None:
    assert text(claims(tmp_path / "few", spread=0.0).accuracies("equal")) == (
        "In the arm “equal epochs”, mean test accuracies over 3 seeds are 65.00% for AlexNet, "
        "78.00% for VGG-16, 78.50% for GoogLeNet and 80.00% for ResNet-18."
    )
    models = {f"net{i}": f"Net {chr(65 + i)}" for i in range(8)}
    many = claims(tmp_path / "many", models=models, spread=0.0).accuracies("short")
    assert "are between 65.00" in str(many)


@pytest.mark.parametrize("finished, arm, single", [(9, "short", False), (12, "long", True)])
def test_curves_are_of_the_longest_arm_with_a_seed_of_all_networks(
    tmp_path: Path, finished: int, arm: str, single: bool
) -> None:
    values = claims(tmp_path, arms={"short": (3, 2), "long": (9, 2)}, finished=finished).values
    assert (values.curves_arm, values.curves_of_one_seed) == (arm, single)


def test_the_longest_arm_is_that_with_the_most_steps_not_the_last(tmp_path: Path) -> None:
    """Equal time gives 3671, 2390, 1772 and 1408 steps, the epochs of the last arm 1408 each."""
    arms = {"short": (2, 2), "equal": (2, 2)}
    data, found = invent.study(tmp_path, invent.Shape(arms=arms))
    rows = Document(data, found, "en", draw=False).tables["published"].rows
    assert [row[-1].key for row in rows] == [  # type: ignore[union-attr]
        f"short.{model}.test_acc" for model in ("alexnet", "vgg16", "googlenet", "resnet18")
    ]
