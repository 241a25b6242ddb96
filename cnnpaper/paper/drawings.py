"""The figures of a study by name, with what they show for those who cannot see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup
from scipy.special import softmax

from cnnpaper import metrics
from cnnpaper.config import run_name
from cnnpaper.log import Predictions, Run
from cnnpaper.paper.facts import Facts
from cnnpaper.paper.html import inline_svg
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import shown
from cnnpaper.study.imported import TextRun
from cnnpaper.study.stats import CALIBRATION_BINS

if TYPE_CHECKING:
    from cnnpaper.figures.results import Sheet

Floats: TypeAlias = npt.NDArray[Any]
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
        *_architectures(facts, words),
        _step_time(facts, values, words),
        _tuning(facts, values, words),
        _accuracy(facts, values, words),
        _learning_curves(facts, values, words),
        _calibration(facts, values, words),
    )
    return {drawing.name: drawing for drawing in made if drawing is not None}


def _sheet(entries: list[str], facts: Facts, words: Words) -> Sheet:
    from cnnpaper.figures.results import Sheet

    names = {entry: facts.entry_name(entry) for entry in entries}
    return Sheet(names=names, words=_words(words))


def _words(words: Words) -> dict[str, str]:
    from cnnpaper.figures.words import ENGLISH

    return {**ENGLISH, **words.table("figure")}


def _architectures(facts: Facts, words: Words) -> Iterator[Drawing]:
    """The networks in one figure; if it is too high for a page, one each, for `make figures`."""
    logs = {model: facts.log_of(model) for model in facts.study.networks}
    networks = {facts.name(model): run.header.network for model, run in logs.items() if run}
    if len(networks) < len(logs) or not all(network.layers for network in networks.values()):
        return
    from cnnpaper.figures.architecture import architecture_alt, architectures
    from cnnpaper.figures.style import MAX_HEIGHT

    known, caption = _words(words), words.text("figure.architectures_caption")
    alts = {name: architecture_alt(name, one, known) for name, one in networks.items()}
    figure = architectures(networks, known)
    if figure.get_figheight() * 25.4 <= MAX_HEIGHT:
        yield Drawing("architectures", lambda: figure, caption, " ".join(alts.values()))
        return
    for model, (name, network) in zip(logs, networks.items(), strict=True):
        draw = partial(architectures, {name: network}, known)
        yield Drawing(f"architecture-{model}", draw, caption, alts[name])


def _step_time(facts: Facts, values: Values, words: Words) -> Drawing | None:
    """What a training step spends its time on."""
    rows = [
        {"model": time.model, "section": section, "seconds": seconds}
        for time in values.found.timing
        for section, seconds in time.sections.items()
    ]
    if not rows:
        return None
    from cnnpaper.figures.results import step_time, step_time_alt

    sections, sheet = pd.DataFrame(rows), _sheet(list(facts.study.networks), facts, words)
    return Drawing(
        "step_time",
        lambda: step_time(sections, sheet),
        words.text("figure.step_time_caption"),
        step_time_alt(sections, sheet),
    )


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
    if table.empty:
        return None
    last = table.groupby("arm", observed=True)["epoch"].max()
    arm = str(last.idxmax())
    if last.max() < 2:  # two points are no curve
        return None
    own = table[table["arm"] == arm].copy()
    own["model"] = own["path"].map({path: _entry(run) for path, run in data.logs.items()})
    lost = {path for path, run in data.logs.items() if _is_lost(run)}
    own["diverged"] = own["path"].isin(lost)
    from cnnpaper.figures.results import learning_curves, learning_curves_alt

    sheet, caption = _sheet(facts.entries(arm), facts, words), "curves_caption"
    if facts.texts:  # such logs do not say what their loss is
        caption = "imported_curves_caption"
        sheet = replace(sheet, words={**sheet.words, "validation_loss": words.text("figure.loss")})
    return Drawing(
        "learning_curves",
        lambda: learning_curves(own, sheet),
        words.text(f"figure.{caption}"),
        learning_curves_alt(own, sheet),
    )


def _entry(run: Run) -> str:
    return run_name(run.header.model, run.header.variant, None)


def _is_lost(run: Run) -> bool:
    """Did it diverge? An imported log has no word for that, but a loss that is no number."""
    if isinstance(run, TextRun):
        return any("val_loss" in epoch.nonfinite for epoch in run.epochs[-1:])
    return run.result is not None and run.result.status == "diverged"


def _calibration(facts: Facts, values: Values, words: Words) -> Drawing | None:
    """Accuracy by confidence on the test images, before and after temperature scaling."""
    found, data = values.found, facts.data
    rows = []
    for row in found.calibration:
        known = [data.predictions[path] for path in row.paths]
        for state in ("before", "after"):
            runs = [
                reliability(one.test_labels, one.test_logits / _divisor(one, state))
                for one in known
            ]
            bins = np.mean(runs, axis=0) if runs else ()
            rows += [
                {"model": row.model, "state": state, "confidence": x, "accuracy": y}
                for x, y in bins
            ]
    if not rows:
        return None
    from cnnpaper.figures.results import calibration, calibration_alt

    sheet, errors = _sheet([row.model for row in found.calibration], facts, words), {
        row.model: (row.ece, row.ece_scaled) for row in found.calibration
    }  # fmt: skip
    return Drawing(
        "calibration",
        lambda: calibration(pd.DataFrame(rows), sheet),
        words.text("figure.calibration_caption"),
        calibration_alt(errors, sheet),
    )


def _divisor(run: Predictions, state: str) -> float:
    return metrics.temperature(run.val_labels, run.val_logits) if state == "after" else 1.0


def reliability(labels: Floats, logits: Floats) -> Floats:
    """Mean confidence and accuracy of the top class, (bins, 2), in bins of equal mass."""
    confidence = softmax(logits.astype(np.float64), axis=1).max(axis=1)  # (n,)
    right = metrics.correct(labels, logits)
    bins = np.array_split(np.argsort(confidence, kind="stable"), CALIBRATION_BINS)
    return np.array([(confidence[part].mean(), right[part].mean()) for part in bins if len(part)])
