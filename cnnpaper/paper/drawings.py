"""The figures of a study by name, with what they show for those who cannot see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pandas as pd
from markupsafe import Markup

from cnnpaper.paper.facts import Facts
from cnnpaper.paper.html import inline_svg
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import entry_of, shown

if TYPE_CHECKING:
    from cnnpaper.figures.results import Sheet

Format: TypeAlias = Literal["pdf", "png", "svg"]


@dataclass(frozen=True)
class Drawing:
    """One figure."""

    name: str
    draw: Callable[[], Any]
    """Gives the matplotlib Figure."""
    title: str
    alt: str
    wide: bool = True
    """Takes both columns where the page has two."""

    @property
    def kinds(self) -> tuple[Format, ...]:
        """What it can be rendered as; TeX takes the first."""
        return ("pdf", "png", "svg")

    @property
    def file(self) -> str:
        return f"{self.name}.{self.kinds[0]}"

    @cached_property
    def figure(self) -> Any:
        return self.draw()

    @property
    def width(self) -> str:
        """In PDF points."""
        return f"{self.figure.get_size_inches()[0] * 72:.1f}"

    def render(self, kind: Format) -> bytes:
        """The figure as ``pdf``, ``png`` or ``svg``; the same figure gives the same bytes."""
        from cnnpaper.figures.style import render

        return render(self.figure, kind)

    def svg(self, label: str) -> Markup:
        """Within a page of HTML."""
        return inline_svg(self.render("svg"), label, self.title, self.alt)


def drawings(facts: Facts, values: Values, words: Words) -> dict[str, Drawing]:
    """The figures that the study has something for."""
    made = (
        _architectures(facts, words),
        _tuning(facts, values, words),
        _accuracy(facts, values, words),
        _learning_curves(facts, values, words),
    )
    return {drawing.name: drawing for drawing in made if drawing is not None}


def _sheet(entries: list[str], facts: Facts, words: Words) -> Sheet:
    from cnnpaper.figures.results import Sheet

    names = {entry: facts.entry_name(entry) for entry in entries}
    return Sheet(names=names, words=_words(words))


def _words(words: Words) -> dict[str, str]:
    from cnnpaper.figures.words import ENGLISH

    return {**ENGLISH, **words.table("figure")}


def _architectures(facts: Facts, words: Words) -> Drawing | None:
    """The networks in one figure; those that need more than a page are left to `make figures`."""
    logs = {model: facts.log_of(model) for model in facts.study.networks}
    networks = {facts.name(model): run.header.network for model, run in logs.items() if run}
    if not networks or len(networks) < len(logs):
        return None
    from cnnpaper.figures.architecture import architecture_alt, architectures

    pages = architectures(networks, words=_words(words))
    if len(pages) != 1:
        return None
    alt = " ".join(architecture_alt(name, one, _words(words)) for name, one in networks.items())
    caption = words.text("figure.architectures_caption")
    return Drawing("architectures", lambda: pages[0], caption, alt)


def _tuning(facts: Facts, values: Values, words: Words) -> Drawing | None:
    """Validation accuracy against peak learning rate."""
    found, study = values.found, facts.data.tuning
    if study is None or not found.trials:
        return None
    from cnnpaper.figures.results import rate_sensitivity, rate_sensitivity_alt

    lost = {path for path, run in study.logs.items() if run.result and run.result.val_acc is None}
    trials = pd.DataFrame(
        [
            {"stage": t.stage, "model": t.model, "rate": t.rate, "val_acc": t.val_acc,
             "diverged": t.path in lost}
            for t in found.trials
        ]
    )  # fmt: skip
    entries = [model for model in facts.study.networks if model in set(trials["model"])]
    sheet = _sheet(entries, facts, words)
    stages = {stage: words.label("stage", stage) for stage in dict.fromkeys(trials["stage"])}
    alt = rate_sensitivity_alt(trials, found.winners, sheet)
    return Drawing(
        "tuning",
        lambda: rate_sensitivity(trials, found.winners, stages, sheet),
        words.text("figure.tuning_caption"),
        alt,
    )


def _accuracy(facts: Facts, values: Values, words: Words) -> Drawing | None:
    """Test accuracy against training time, and the primary contrasts."""
    data, found = facts.data, values.found
    budget = data.study.budget
    step_s = {line.model: line.step_s for line in found.timing}
    seeds, means = [], []
    for arm in data.study.arms:
        for entry, paths in shown(data, arm or "").items():
            summary = found.summaries.get((arm or "", entry, "test_acc"))
            runs = data.runs.set_index("path").loc[paths] if paths else None
            if summary is None or runs is None:
                continue
            model, steps = entry.partition("-")[0], float(runs["steps"].iloc[0])
            low, high = summary.interval or (float("nan"), float("nan"))
            means.append(
                {"arm": arm or "", "model": entry, "mean": summary.mean, "low": low, "high": high,
                 "minutes": step_s.get(model, float("nan")) * steps / 60}
            )  # fmt: skip
            seeds += [
                {"arm": arm or "", "model": entry, "test_acc": row.test_acc,
                 "diverged": row.status == "diverged"}
                for row in runs.itertuples()
            ]  # fmt: skip
    if not means:
        return None
    from cnnpaper.figures.results import (
        Accuracies,
        accuracy_at_equal_time,
        accuracy_at_equal_time_alt,
    )

    plan = data.study.contrast
    contrasts = [
        {"model": c.model, "difference": c.difference, "low": c.interval[0], "high": c.interval[1]}
        for c in found.contrasts
    ]
    there = dict.fromkeys(str(row["arm"]) for row in means)
    accuracies = Accuracies(
        seeds=pd.DataFrame(seeds),
        means=pd.DataFrame(means),
        arms={arm: words.label("arm", arm) for arm in there},
        equal_time=[arm for arm in there if budget and arm in budget.steps],
        contrasts=pd.DataFrame(contrasts) if contrasts else None,
        baseline=facts.name(plan.baseline) if plan else "",
    )
    sheet = _sheet(list(dict.fromkeys(str(row["model"]) for row in means)), facts, words)
    return Drawing(
        "accuracy",
        lambda: accuracy_at_equal_time(accuracies, sheet),
        words.text("figure.accuracy_caption"),
        accuracy_at_equal_time_alt(accuracies, sheet),
    )


def _learning_curves(facts: Facts, values: Values, words: Words) -> Drawing | None:
    """Validation accuracy by epoch in the arm with the most epochs."""
    data = facts.data
    table = data.epochs
    if table.empty or facts.study.origin == "imported":
        return None
    last = table.groupby("arm", observed=True)["epoch"].max()
    arm = str(last.idxmax())
    if last.max() < 2:  # two points are no curve
        return None
    own = table[table["arm"] == arm].copy()
    own["model"] = own["path"].map({spec.path: entry_of(spec) for spec in data.specs})
    own["minutes"] = own.groupby("path")["train_s"].cumsum() / 60
    own["diverged"] = own["path"].map(data.runs.set_index("path")["status"]) == "diverged"
    from cnnpaper.figures.results import learning_curves, learning_curves_alt

    sheet = _sheet(facts.entries(arm), facts, words)
    return Drawing(
        "learning_curves",
        lambda: learning_curves(own, sheet, against="epoch"),
        words.text("figure.curves_caption"),
        learning_curves_alt(own, sheet),
    )
