"""The tables of the paper, made of the ledger's values; a table without rows is absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from cnnpaper.config import Recipe
from cnnpaper.paper.ledger import COUNT, PERCENT, Cite, Form, Sentence
from cnnpaper.paper.tabular import Cell, Column, Marked, Row, Table, columns, table
from cnnpaper.paper.texts import Texts
from cnnpaper.paper.values import FIELDS, LARGE, MS, TENTH_PERCENT, WEIGHTED, Values
from cnnpaper.paper.words import sentences
from cnnpaper.study.analysis import Calibration, Contrast, StepTime
from cnnpaper.study.precision import Change

SIDE_BY_SIDE, LONGEST_HEAD = 5, 16
"""With more networks, or with names of more characters, the recipe has no column for each."""


class Tables:
    """Makes the tables of one study."""

    def __init__(self, values: Values) -> None:
        self.values, self.words, self.found = values, values.words, values.found
        self.data, self.study = values.data, values.study
        self.number, self.name = values.number, values.name
        self.columns = partial(columns, values.words)
        self.models = list(self.study.networks)

    def all(self) -> dict[str, Table]:
        """Every table that has something to show, by name."""
        if self.study.origin == "imported":
            texts = Texts(self.values)
            found = [texts.results(), texts.files()]
        else:
            changes = self.found.precision.changes if self.found.precision else ()
            found = [
                self.networks(), self.recipe(), self.arms(),
                self._of("timing", StepTime, self.found.timing), self.sections(),
                self.tuning(), self._of("precision", Change, changes),
                self.accuracy(), self._of("contrast", Contrast, self.found.contrasts),
                self._of("calibration", Calibration, self.found.calibration),
                *self._of_others(), self.checklist(), self.departures(),
                *map(self.layers, self.models),
            ]  # fmt: skip
        return {item.name: item for item in found if item.cells}

    def _of(self, name: str, kind: type, found: Iterable[Any]) -> Table:
        printed = {attribute: field for attribute, field in FIELDS[kind].items() if field.column}
        shown = self.columns("network")
        for field in printed.values():
            shown += self.columns(field.column, field.group and self.words.text(field.group))
        rows: list[Row] = []
        for row in found:
            values = self.values.of(row)
            rows.append([self.name(row.model), *(values[attribute] for attribute in printed)])
        return table(name, shown, rows)

    # ------------------------------------------------------------------------- set-up

    def networks(self) -> Table:
        rows: list[Row] = []
        for model in self.models:
            found = self.values.network(model)
            cite = Cite((self.data.experiments[model].citation,), textual=True)
            sizes = [found[key] for key in ("depth", "layers", "parameters", "macs")]
            rows.append([self.name(model), cite, *sizes])
        large = LARGE[self.words.language].items()
        heads = " ".join(f"{name}_{unit}:{name}" for name, (unit, _, _) in large)
        return table("networks", self.columns(f"network paper depth layers {heads}"), rows)

    def recipe(self) -> Table:
        """Every setting: a column for each network, or, where they are many, the shared ones."""
        short = all(len(self.name(model)) <= LONGEST_HEAD for model in self.models)
        models: list[str | None] = [None]
        shown = self.columns("value")
        if len(self.models) <= SIDE_BY_SIDE and short:
            models = [*self.models]
            shown = [Column(key=model, head=self.name(model)) for model in self.models]
        rows: list[Row] = [
            [self.words.label("setting", k), *(self.values.recipe_value(k, m) for m in models)]
            for k in Recipe.model_fields
        ]
        return table("recipe", self.columns("setting") + shown, rows)

    def departures(self) -> Table:
        """Departures of networks from the recipe, with reasons; a value that a search chose by the
        same rule for all is none."""
        rows: list[Row] = []
        for model, experiment in self.data.experiments.items():
            for key, entry in experiment.override.items():
                if entry.why:
                    value, where = self.values.recipe_value(key, model), f"override.{key}"
                    place = self.values.of_network(model, f"{where}.why", where)
                    reason = self.values.quote(entry.why, f"{value.key}.why", place)
                    rows.append([self.name(model), self.words.label("setting", key), value, reason])
        return table("departures", self.columns("network setting value reason"), rows)

    def arms(self) -> Table:
        """Steps, epochs and runs of each network in each arm, and how far steps miss a budget."""
        arms = self.values.arms if self.study.arm else []
        missed = {(row.arm, row.model): row for row in self.found.budgets}
        shown, timed = self.columns("network"), {arm for arm, _ in missed}
        for arm in arms:
            keys = ["steps:steps", "epochs:epochs", "runs:runs"]
            keys += ["residual_s:residual"] * (arm.key in timed)
            shown += self.columns(" ".join(f"{arm.key}_{key}" for key in keys), arm.label)
        rows: list[list[Cell]] = []
        for model in self.models if arms else ():
            row: list[Cell] = [self.name(model)]
            for arm in arms:
                row += self._arm(arm.key, model)
                if arm.key in timed:
                    found = missed.get((arm.key, model))
                    row.append(self.values.of(found)["residual_s"] if found else None)
            rows.append(row)
        return table("arms", shown, rows)

    def _arm(self, arm: str, model: str) -> list[Cell]:
        specs = [spec for spec in self.values.specs(arm) if spec.model == model]
        if not specs:
            return [None, None, None]
        spec, done, key = specs[0], self.values.logs(specs), f"{arm}.{model}"
        sources = self.values.of_study(f"arm.{arm}.steps", f"arm.{arm}.epochs", f"arm.{arm}")
        epochs, made = spec.steps / spec.steps_per_epoch, self.values.headers(done)
        return [
            self.number(f"{key}.steps", spec.steps, Form(unit="steps"), "as declared", sources),
            self.number(f"{key}.epochs", epochs, Form(2), "steps / steps of an epoch", sources),
            self.number(f"{key}.runs", len(done), COUNT, "runs with a result", made),
        ]

    # ------------------------------------------------------------------------- results

    def accuracy(self) -> Table:
        rows: list[Row] = []
        for arm in self.values.arms:
            for entry in self.values.entries(arm.key):
                test, validation = (
                    self.values.mean(arm.key, entry, column) for column in ("test_acc", "val_acc")
                )
                if test or validation:
                    rows.append([
                        self.values.entry_name(entry), *[arm.label][: bool(self.study.arm)],
                        (test or validation)["n"], test.get("mean"), test.get("interval"),
                        test.get("sd"), validation.get("mean"),
                        self.values.minutes(arm.key, entry),
                        self.values.diverged_of(arm.key, entry),
                    ])  # fmt: skip
        shown = self.columns(
            f"network {'arm ' * bool(self.study.arm)}seeds test_acc_percent:test "
            "test_acc_percent_interval:interval test_acc_points_sd:spread "
            "val_acc_percent:validation train_minutes:minutes diverged"
        )
        return table("accuracy", shown, rows)

    def sections(self) -> Table:
        """Where the time of a step goes."""
        names = list(self.found.timing[0].sections) if self.found.timing else []
        rows: list[Row] = [
            [self.name(row.model), *(
                self.number(f"timing.{row.model}.section.{name}", row.sections[name], MS,
                            f"median over rounds of {name}", self.values.timed(row))
                for name in names
            )]
            for row in self.found.timing
        ]  # fmt: skip
        keys, group = (f"{name}_ms:{name}" for name in names), self.words.text("table.milliseconds")
        return table(
            "sections", self.columns("network") + self.columns(" ".join(keys), group), rows
        )

    def tuning(self) -> Table:
        trials = self.found.trials
        rates = sorted({trial.rate for trial in trials})
        models = list(dict.fromkeys(trial.model for trial in trials))
        cells: dict[tuple[str, str], dict[float, Cell]] = {}
        for trial in sorted(trials, key=lambda trial: models.index(trial.model)):
            value = self.values.of(trial)["val_acc"]
            chosen = self.found.winners.get(trial.model) == trial.rate
            last = trial.stage == trials[-1].stage
            row = cells.setdefault((trial.model, trial.stage), {})
            row[trial.rate] = Marked(value, "*") if chosen and last else value
        rows = [
            [self.name(model), self.words.label("stage", stage), *map(row.get, rates)]
            for (model, stage), row in cells.items()
        ]
        group = self.words.text("table.peak_rate")
        heads = [Column(key=f"rate_{rate:g}", head=f"{rate:g}", group=group) for rate in rates]
        return table("tuning", self.columns("network stage") + heads, rows)

    def layers(self, model: str) -> Table:
        """Convolutions and linear layers in the order of execution; attached only."""
        run = self.values.log_of(model)
        layers = [la for la in run.header.network.layers if la.type in WEIGHTED] if run else []
        sources, rows = self.values.headers([run] if run else []), []
        sizes, cell = ("kernel", "stride", "channels_in", "parameters", "macs"), self.values.cell
        for place, layer in enumerate(layers, start=1):
            key = f"{model}.layer.{place}"
            cells = [
                cell(f"{key}.{name}", getattr(layer, name), COUNT, "as recorded", sources)
                for name in sizes
            ]
            rows.append([layer.name, layer.type, " × ".join(map(str, layer.out)), *cells])
        heads = [Column(key=key, kind="text") for key in ("layer", "type", "output")]
        return table(f"layers_{model}", heads + [Column(key=key) for key in sizes], rows)

    # ------------------------------------------------------------------------- others' numbers

    def _of_others(self) -> Iterator[Table]:
        """Tables that are about CIFAR-10, whatever study asks."""
        if self.study.data.cifar10:
            yield from (self.published(), self.history(), self.report2023())

    def history(self) -> Table:
        """Superseded results of version 0.1.0."""
        names = {"batch_size": None, "peak_learning_rate": None, "epochs": None,
                 "test_acc": PERCENT, "commit": None}  # fmt: skip
        rows: list[Row] = [
            [self.name(model), *(
                self.values.quoted("history", f"run.{place}.{name}", form,
                                   f"history.{model}.{place}.{name}")
                for name, form in names.items()
            )]
            for model in self.models for place in self.values.superseded(model)
        ]  # fmt: skip
        keys = "batch_size peak_learning_rate:rate epochs test_acc_percent:test commit"
        return table("history", self.columns(f"network {keys}"), rows)

    def _ours(self, model: str) -> Cell:
        """This study's accuracy beside that of others."""
        arm = self.values.longest_arm
        return None if arm is None else self.values.mean(arm, model, "test_acc").get("mean")

    def published(self) -> Table:
        known, quoted = self.values.known.get("published", {}), partial(self.values.quoted, "known")
        rows: list[Row] = [
            [self.name(model),
             quoted(f"published.{model}.accuracy", _as_stated(known[model]["accuracy"])),
             quoted(f"published.{model}.epochs"),
             Cite((known[model]["source"],), textual=True), self._ours(model)]
            for model in self.models if model in known
        ]  # fmt: skip
        keys = "published_percent:published epochs source this_study_percent"
        return table("published", self.columns(f"network {keys}"), rows)

    def report2023(self) -> Table:
        quoted = partial(self.values.quoted, "known")
        rows: list[Row] = [
            [self.name(model), quoted(f"report2023.{model}.epoch_s"),
             quoted(f"report2023.{model}.accuracy", PERCENT), self._epoch(model),
             self._ours(model)]
            for model in self.models if model in self.values.known.get("report2023", {})
        ]  # fmt: skip
        shown = self.columns("network")
        for side in ("report2023", "this_study"):
            keys = f"{side}_epoch_s:epoch_s {side}_accuracy_percent:accuracy"
            shown += self.columns(keys, self.words.text(f"table.{side}"))
        return table("report2023", shown, rows)

    def _epoch(self, model: str) -> Cell:
        """Seconds of an epoch, from the step times."""
        row = self.values.step_time(model)
        spec = next((spec for spec in self.data.specs if spec.model == model), None)
        if row is None or spec is None:
            return None
        seconds, formula = row.step_s * spec.steps_per_epoch, "median step × steps of an epoch"
        key, sources = f"timing.{model}.epoch", self.values.timed(row)
        return self.number(key, seconds, Form(unit="s"), formula, sources)

    # ------------------------------------------------------------------------- checklist

    def checklist(self) -> Table:
        """Questions about reproducibility, answered from the study."""
        values, say, listing = self.values, self.words.say, self.words.listing
        seeds = [
            Sentence((f"{arm.label}: ",) if arm.label else ()) + values.seeds_of(arm)
            for arm in values.arms
        ]
        for kind, other in (("tuning", self.data.tuning), ("precision", self.data.precision)):
            if other is None:
                continue
            declared = sorted({spec.seed for spec in other.specs})
            arm = next(iter(other.study.arms))
            sources = values.of_study("seeds", f"arm.{arm}.seeds", name=other.study.name)
            seeds.append(say(f"seeds_{kind}", seeds=values.seeds(kind, declared, sources)))
        answers: dict[str, Cell] = {
            "code": listing(values.commits),
            "fresh": self._freshness(),
            "data": self._data(),
            "seeds": sentences(*seeds, separator="; "),
            "finished": say("finished_all" if values.diverged.exact else "finished_fine",
                            done=values.done, declared=values.declared, diverged=values.diverged),
            "readings": self._readings(),
            "compute": self._compute(),
            "hardware": self._hardware(),
            "software": listing(values.packages),
            "again": say("again"),
        }  # fmt: skip
        unknown = say("none_yet" if not self.data.logs else "unknown")
        rows = [[self.words.text(f"question.{k}"), a or unknown] for k, a in answers.items()]
        return table("checklist", self.columns("question answer"), rows)

    def _freshness(self) -> Cell:
        if not self.data.logs:
            return None
        if self.data.stale:
            return self.words.say("fresh_stale", runs=self.words.listing(sorted(self.data.stale)))
        logs = [self.data.logs[path] for path in self.data.verified]
        if not logs:
            return self.words.say("fresh_all")
        headers, what = self.values.headers(logs), "runs that are fresh by verification"
        count = self.values.count("verified", len(logs), headers, what)
        return self.words.say("fresh_verified", count=count)

    def _data(self) -> Cell:
        names = [run.header.data.name for run in self.data.logs.values()]
        kind, key = ("data_name", names[0]) if any(names[:1]) else ("data_set", self.study.data.set)
        shown = self.words.label(kind, str(key))
        return self.words.say("digest", name=shown, digest=self.values.digest) or shown

    def _readings(self) -> Cell:
        readings, done = self.values.readings, self.values.done
        kind = "readings_one" if readings.exact == done.exact == 1 else "readings"
        kind = kind if readings.exact else "readings_none"
        now = self.words.say(kind, readings=readings, done=done)
        if not self.study.data.cifar10:
            return now
        before = self.values.quoted("history", "search.readings", key="history.readings")
        return self.words.say("readings_before", now=now, before=before) or now

    def _hardware(self) -> Cell:
        """Of the runs, and of the step times where these were measured."""
        logs, parts = list(self.data.logs.values()), self.values.machines()
        if self.data.logs and self.found.timing_machine:
            parts.append(self.words.say("hardware_timing", timing=self.values.timing_machine))
        threads = {None if r.header.machine.gpu else r.header.machine.threads for r in logs}
        if len(threads) == 1 and (each := threads.pop()) is not None:
            sources = self.values.headers(logs[:1])
            number = self.values.add("machine.threads", each, sources, unit="threads")
            kind = "hardware_threads_one" if each == 1 else "hardware_threads"
            parts.append(self.words.say(kind, threads=number))
        return sentences(*parts, separator="; ")

    def _compute(self) -> Cell:
        if self.found.compute_s is None or not self.data.logs:
            return None
        form, formula = Form(1, 1 / 3600, "s"), "sum of total_s over all runs, in hours"
        sources = map(self.values.result, self.data.logs)
        hours = self.number("study.compute", self.found.compute_s, form, formula, sources)
        return self.words.say("compute", hours=hours)


def _as_stated(accuracy: float) -> Form:
    """A published accuracy has the decimals of its source."""
    return PERCENT if 1e-9 < 1000 * accuracy % 1 < 1 - 1e-9 else TENTH_PERCENT
