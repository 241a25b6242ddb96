"""The figures of a study by name, with what they show for those who cannot see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from cnnpaper.config import run_name
from cnnpaper.figures import results, style
from cnnpaper.figures.architecture import architecture_alt, architectures
from cnnpaper.log import Run
from cnnpaper.paper.html import data_uri, inline_svg
from cnnpaper.paper.values import Values
from cnnpaper.study.imported import TextRun

FEWEST = 3
"""Seeds of an interval that is drawn: Student's for two is 25 standard errors wide, and its axis
would show nothing else. Tables have it."""


@dataclass(frozen=True)
class Drawing:
    """One figure: drawn, or a picture of one's own in ``folder``, PDF or PNG for TeX, SVG or PNG
    for HTML."""

    name: str
    draw: Callable[[], Any] | None  # gives the matplotlib Figure
    title: str
    alt: str
    wide: bool = True  # takes both columns where the page has two
    folder: Path | None = None

    @property
    def kinds(self) -> list[style.Format]:
        """What it can be rendered as; TeX takes the first."""
        known: tuple[style.Format, ...] = ("pdf", "png", "svg")
        return [kind for kind in known if self.draw or self._own(kind).is_file()]

    @property
    def file(self) -> str:
        return f"{self.name}.{self.kinds[0]}"

    def _own(self, kind: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.name}.{kind}"

    @cached_property
    def figure(self) -> Any:
        assert self.draw is not None
        return self.draw()

    def render(self, kind: style.Format) -> bytes:
        """The figure as ``pdf``, ``png`` or ``svg``; the same figure gives the same bytes."""
        return style.render(self.figure, kind) if self.draw else self._own(kind).read_bytes()

    def svg(self, label: str) -> Markup:
        """Within a page of HTML."""
        if "svg" in self.kinds:
            return inline_svg(self.render("svg"), label, self.title, self.alt)
        source = data_uri(f"{self.name}.png", self.render("png"))
        return Markup('<img alt="{}" src="{}">').format(self.alt, source)


def drawings(values: Values) -> dict[str, Drawing]:
    """The figures that the study has something for."""
    makers = (_architectures, _step_time, _tuning, _accuracy, _learning_curves)
    return {drawing.name: drawing for make in makers for drawing in make(values)}


def _drawing(
    name: str, values: Values, draw: Callable[..., Any], alt: str, *given: Any, caption: str = ""
) -> Drawing:
    title = values.words.text(f"figure.{caption or name}_caption")
    return Drawing(name, partial(draw, *given), title, alt)


def _sheet(entries: Iterable[str], values: Values) -> results.Sheet:
    names = {entry: values.entry_name(entry) for entry in entries}
    return results.Sheet(names=names, words=values.words.table("figure"))


def _architectures(values: Values) -> Iterator[Drawing]:
    """The networks in one figure; if it is too high for a page, one each, for `make figures`."""
    logs = {model: values.log_of(model) for model in values.study.networks}
    networks = {values.name(model): run.header.network for model, run in logs.items() if run}
    if len(networks) < len(logs) or not all(network.layers for network in networks.values()):
        return
    known, title = values.words.table("figure"), values.words.text("figure.architectures_caption")
    alts = {name: architecture_alt(name, one, known) for name, one in networks.items()}
    figure = architectures(networks, known)
    if figure.get_figheight() * 25.4 <= style.MAX_HEIGHT:
        yield Drawing("architectures", lambda: figure, title, " ".join(alts.values()))
        return
    for model, (name, network) in zip(logs, networks.items(), strict=True):
        draw = partial(architectures, {name: network}, known)
        yield Drawing(f"architecture-{model}", draw, title, alts[name])


def _step_time(values: Values) -> Iterator[Drawing]:
    """What a training step spends its time on: the median step, divided as the sections were."""
    sections = pd.DataFrame(
        [
            {"model": time.model, "section": section,
             "seconds": time.step_s * seconds / sum(time.sections.values())}
            for time in values.found.timing
            for section, seconds in time.sections.items()
        ]
    )  # fmt: skip
    if sections.empty:
        return
    sheet = _sheet(values.study.networks, values)
    alt = results.step_time_alt(sections, sheet)
    yield _drawing("step_time", values, results.step_time, alt, sections, sheet)


def _tuning(values: Values) -> Iterator[Drawing]:
    """Validation accuracy against peak learning rate."""
    found, study = values.found, values.data.tuning
    if study is None or not found.trials:
        return
    lost = {path for path, run in study.logs.items() if run.result and run.result.val_acc is None}
    trials = pd.DataFrame([{**vars(t), "diverged": t.path in lost} for t in found.trials])
    sheet = _sheet((m for m in values.study.networks if m in set(trials["model"])), values)
    stages = {stage: values.words.label("stage", stage) for stage in trials["stage"].unique()}
    given = trials, found.winners
    alt = results.rate_sensitivity_alt(*given, sheet)
    yield _drawing("tuning", values, results.rate_sensitivity, alt, *given, stages, sheet)


def _accuracy(values: Values) -> Iterator[Drawing]:
    """Test accuracy against training time, and the primary contrasts."""
    seeds, means = _accuracies(values)
    if means.empty:
        return
    budget, plan = values.study.budget, values.study.contrast
    contrasts = [
        {"model": c.model, "difference": c.difference, "low": c.interval[0], "high": c.interval[1]}
        for c in values.found.contrasts
    ]
    arms = {arm: values.words.label("arm", arm) for arm in means["arm"].unique()}
    accuracies = results.Accuracies(
        seeds=seeds, means=means, arms=arms,
        equal_time=[arm for arm in arms if budget and arm in budget.steps],
        contrasts=pd.DataFrame(contrasts) if contrasts else None,
        baseline=values.name(plan.baseline) if plan else "",
        tested=arms.get(plan.arm or "", "") if plan else "",
    )  # fmt: skip
    sheet = _sheet(means["model"].unique(), values)
    alt = results.accuracy_at_equal_time_alt(accuracies, sheet)
    yield _drawing("accuracy", values, results.accuracy_at_equal_time, alt, accuracies, sheet)


def _accuracies(values: Values) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every seed, and the mean of every network, in the arms that have a test accuracy."""
    runs = values.data.runs.set_index("path")
    step_s = {line.model: line.paired_s for line in values.found.timing}
    seeds, means = [], []
    for (arm, entry, column), summary in values.found.summaries.items():
        paths = values.paths(arm, entry)
        if column != "test_acc" or not paths:
            continue
        own = runs.loc[paths]
        low, high = summary.interval or (math.nan, math.nan)
        if len(own) < FEWEST:
            low = high = math.nan
        seconds = step_s.get(entry.partition("-")[0], math.nan) * float(own["steps"].iloc[0])
        means.append({"arm": arm, "model": entry, "mean": summary.mean, "low": low, "high": high,
                      "minutes": seconds / 60})  # fmt: skip
        own = own.assign(arm=arm, model=entry, diverged=own["status"] == "diverged")
        seeds.append(own[["arm", "model", "test_acc", "diverged"]])
    return pd.concat(seeds or [pd.DataFrame()], ignore_index=True), pd.DataFrame(means)


def _learning_curves(values: Values) -> Iterator[Drawing]:
    """Validation accuracy by epoch in the arm with the most epochs; two points are no curve."""
    table, logs = values.data.epochs, values.data.logs
    if table.empty or table["epoch"].max() < 2:
        return
    arm = values.curves_arm
    own = table[table["arm"] == arm].copy()
    headers = [logs[path].header for path in own["path"]]
    own["model"] = [run_name(header.model, header.variant, None) for header in headers]
    done = {spec.path: spec.steps / spec.steps_per_epoch for spec in values.data.specs}
    own_end = own["path"].map(done).astype(float)
    own["at"] = (own["epoch"] + 1).clip(upper=own_end.fillna(math.inf))
    own["diverged"] = own["path"].isin({path for path, run in logs.items() if _is_lost(run)})
    sheet, caption = _sheet(values.entries(arm), values), "curves"
    if values.texts:  # such logs do not say what their loss is
        caption, loss = "imported_curves", values.words.text("figure.loss")
        sheet = replace(sheet, words={**sheet.words, "validation_loss": loss})
    alt, draw = results.learning_curves_alt(own, sheet), results.learning_curves
    yield _drawing("learning_curves", values, draw, alt, own, sheet, caption=caption)


def _is_lost(run: Run) -> bool:
    """Did it diverge? An imported log has no word for that, but a loss that is no number."""
    if isinstance(run, TextRun):
        return any("val_loss" in epoch.nonfinite for epoch in run.epochs[-1:])
    return run.result is not None and run.result.status == "diverged"
