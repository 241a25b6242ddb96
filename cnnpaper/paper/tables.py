"""The tables of the paper, made of the ledger's values; a table without rows is absent."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal

from cnnpaper.config import Recipe
from cnnpaper.paper.facts import LARGE, WEIGHTED
from cnnpaper.paper.ledger import COUNT, PERCENT, Cite, Form, Sentence
from cnnpaper.paper.tabular import Cell, Column, Marked, Row, Table, table
from cnnpaper.paper.texts import Texts
from cnnpaper.paper.values import FIELDS, MS, TENTH_PERCENT, Values
from cnnpaper.paper.words import joined
from cnnpaper.study.analysis import Calibration, Contrast, StepTime, Trial
from cnnpaper.study.precision import Change

SIDE_BY_SIDE, LONGEST_HEAD = 5, 16
"""With more networks, or with names of more characters, the recipe has no column for each."""

ARM_COLUMNS = (("steps", "steps"), ("epochs", "epochs"), ("runs", "runs"),
               ("residual_s", "residual"))  # fmt: skip


class Tables:
    """Makes the tables of one study."""

    def __init__(self, values: Values) -> None:
        self.values, self.words, self.found = values, values.words, values.found
        self.data, self.study = values.data, values.study
        self.number, self.name = values.number, values.name
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

    # ------------------------------------------------------------------------- helpers

    def col(
        self, key: str, name: str = "", group: str = "", *,
        kind: Literal["text", "number", "wrap"] = "number",
    ) -> Column:  # fmt: skip
        """A column of numbers; ``name`` is its entry among the words, ``key`` that of the CSV."""
        head = self.words.text(f"table.{name or key}")
        return Column(key=key, head=head, kind=kind, group=group)

    def text(self, key: str) -> Column:
        """A column of texts."""
        return self.col(key, kind="text")

    def _of(self, name: str, kind: type, found: Iterable[Any]) -> Table:
        """A row for each finding of a kind, of one network each."""
        columns = {attribute: f for attribute, f in FIELDS[kind].items() if f.column}
        heads = [
            self.col(f.column, f.head, self.words.text(f"table.{f.group}") if f.group else "")
            for f in columns.values()
        ]
        rows: list[Row] = []
        for row in found:
            values = self.values.of(row)
            rows.append([self.name(row.model), *(values[attribute] for attribute in columns)])
        return table(name, [self.text("network"), *heads], rows)

    # ------------------------------------------------------------------------- set-up

    def networks(self) -> Table:
        """Year, paper, depth, layers, parameters and multiply-accumulates."""
        rows: list[Row] = []
        for model in self.models:
            found = self.values.network(model)
            cite = Cite((self.data.experiments[model].citation,), textual=True)
            sizes = [found[key] for key in ("depth", "layers", "parameters", "macs")]
            rows.append([self.name(model), cite, *sizes])
        large = LARGE[self.words.language].items()
        columns = [
            self.text("network"), self.text("paper"), self.col("depth"), self.col("layers"),
            *(self.col(f"{name}_{unit}", name) for name, (unit, _, _) in large),
        ]  # fmt: skip
        return table("networks", columns, rows)

    def recipe(self) -> Table:
        """Every setting: a column for each network, or, where they are many, the shared ones."""
        short = all(len(self.name(model)) <= LONGEST_HEAD for model in self.models)
        models: list[str | None] = [None]
        columns = [self.col("value")]
        if len(self.models) <= SIDE_BY_SIDE and short:
            models = [*self.models]
            columns = [Column(key=model, head=self.name(model)) for model in self.models]
        rows: list[Row] = [
            [self.words.label("setting", k), *(self.values.recipe_value(k, m) for m in models)]
            for k in Recipe.model_fields
        ]
        return table("recipe", [self.text("setting"), *columns], rows)

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
        columns = [self.text("network"), self.text("setting"), self.col("value"),
                   self.col("reason", kind="wrap")]  # fmt: skip
        return table("departures", columns, rows)

    def arms(self) -> Table:
        """Steps, epochs and runs of each network in each arm, and how far steps miss a budget."""
        arms = self.values.arms if self.study.arm else []
        missed = {(row.arm, row.model): row for row in self.found.budgets}
        timed = {arm for arm, _ in missed}
        columns = [self.text("network")] + [
            self.col(f"{arm.key}_{key}", name, arm.label)
            for arm in arms for key, name in ARM_COLUMNS
            if arm.key in timed or key != "residual_s"
        ]  # fmt: skip
        rows: list[list[Cell]] = []
        for model in self.models if arms else ():
            row: list[Cell] = [self.name(model)]
            for arm in arms:
                row += self._arm(arm.key, model)
                if arm.key in timed:
                    found = missed.get((arm.key, model))
                    row.append(self.values.of(found)["residual_s"] if found else None)
            rows.append(row)
        return table("arms", columns, rows)

    def _arm(self, arm: str, model: str) -> list[Cell]:
        specs = [s for s in self.data.specs if (s.arm or "") == arm and s.model == model]
        if not specs:
            return [None, None, None]
        keys = f"arm.{arm}.steps", f"arm.{arm}.epochs", f"arm.{arm}"
        spec, sources, key = specs[0], self.values.of_study(*keys), f"{arm}.{model}"
        done = [self.data.logs[s.path] for s in specs if s.path in self.data.logs]
        epochs, done_in = spec.steps / spec.steps_per_epoch, self.values.headers(done)
        return [
            self.number(f"{key}.steps", spec.steps, Form(unit="steps"), "as declared", sources),
            self.number(f"{key}.epochs", epochs, Form(2), "steps / steps of an epoch", sources),
            self.number(f"{key}.runs", len(done), COUNT, "runs with a result", done_in),
        ]

    # ------------------------------------------------------------------------- results

    def accuracy(self) -> Table:
        """Test and validation accuracy of every network in every arm, with training time."""
        rows: list[Row] = []
        for arm in self.values.arms:
            for entry in self.values.entries(arm.key):
                mean = partial(self.values.mean, arm.key, entry)
                test, validation = mean("test_acc"), mean("val_acc")
                if test or validation:
                    rows.append([
                        self.values.entry_name(entry), *[arm.label][: bool(self.study.arm)],
                        (test or validation)["n"], test.get("mean"), test.get("interval"),
                        test.get("sd"), validation.get("mean"),
                        self.values.minutes(arm.key, entry),
                        self.values.diverged_of(arm.key, entry),
                    ])  # fmt: skip
        columns = [
            self.text("network"), *[self.text("arm")][: bool(self.study.arm)], self.col("seeds"),
            self.col("test_acc_percent", "test"),
            self.col("test_acc_percent_interval", "interval"),
            self.col("test_acc_points_sd", "spread"), self.col("val_acc_percent", "validation"),
            self.col("train_minutes", "minutes"), self.col("diverged"),
        ]  # fmt: skip
        return table("accuracy", columns, rows)

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
        group = self.words.text("table.milliseconds")
        columns = [self.text("network"), *(self.col(f"{n}_ms", n, group) for n in names)]
        return table("sections", columns, rows)

    def tuning(self) -> Table:
        """Validation accuracy by rate and stage."""
        trials = self.found.trials
        rates = sorted({trial.rate for trial in trials})
        by = {(trial.stage, trial.model, trial.rate): trial for trial in trials}
        rows: list[Row] = []
        for model in dict.fromkeys(trial.model for trial in trials):
            for stage in dict.fromkeys(trial.stage for trial in trials):
                cells = [self._trial(by.get((stage, model, rate))) for rate in rates]
                if any(cells):
                    rows.append([self.name(model), self.words.label("stage", stage), *cells])
        group = self.words.text("table.peak_rate")
        columns = [self.text("network"), self.text("stage")]
        columns += [Column(key=f"rate_{rate:g}", head=f"{rate:g}", group=group) for rate in rates]
        return table("tuning", columns, rows)

    def _trial(self, trial: Trial | None) -> Cell:
        if trial is None:
            return None
        value = self.values.of(trial)["val_acc"]
        chosen = self.found.winners.get(trial.model) == trial.rate
        last = trial.stage == self.found.trials[-1].stage
        return Marked(value, "*") if chosen and last else value

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
        columns = [Column(key=key, kind="text") for key in ("layer", "type", "output")]
        return table(f"layers_{model}", columns + [Column(key=key) for key in sizes], rows)

    # ------------------------------------------------------------------------- others' numbers

    def _of_others(self) -> Iterator[Table]:
        """Tables that are about CIFAR-10, whatever study asks."""
        if self.study.data.set in ("original", "jpeg75"):
            yield from (self.published(), self.history(), self.report2023())

    def _known(self, table: str, model: str, name: str, form: Form | None = None) -> Cell:
        return self.values.quoted("known", f"{table}.{model}.{name}", table, model, name, form=form)

    def history(self) -> Table:
        """Superseded results of version 0.1.0."""
        names = {"batch_size": None, "peak_learning_rate": None, "epochs": None,
                 "test_acc": PERCENT, "commit": None}  # fmt: skip
        rows: list[Row] = []
        runs = self.values.history.get("run", [])
        for model, (place, run) in itertools.product(self.models, enumerate(runs)):
            if run["model"] == model:
                rows.append([self.name(model), *(
                    self.values.quoted("history", f"history.{model}.{place}.{name}", "run", place,
                                       name, form=form)
                    for name, form in names.items()
                )])  # fmt: skip
        columns = [
            self.text("network"), self.col("batch_size"), self.col("peak_learning_rate", "rate"),
            self.col("epochs"), self.col("test_acc_percent", "test"), self.text("commit"),
        ]  # fmt: skip
        return table("history", columns, rows)

    def _ours(self, model: str) -> Cell:
        """This study's accuracy beside that of others: of its longest arm that has any."""
        found = [self.values.mean(a.key, model, "test_acc").get("mean") for a in self.values.arms]
        return next(filter(None, reversed(found)), None)

    def published(self) -> Table:
        """Accuracies of public repositories."""
        known = self.values.known.get("published", {})
        rows: list[Row] = [
            [self.name(model), self._known("published", model, "accuracy", self._as_stated(model)),
             self._known("published", model, "epochs"),
             Cite((known[model]["source"],), textual=True), self._ours(model)]
            for model in self.models if model in known
        ]  # fmt: skip
        columns = [
            self.text("network"), self.col("published_percent", "published"), self.col("epochs"),
            self.text("source"), self.col("this_study_percent"),
        ]  # fmt: skip
        return table("published", columns, rows)

    def _as_stated(self, model: str) -> Form:
        """A published accuracy has the decimals of its source."""
        tenths = (1000 * self.values.known["published"][model]["accuracy"]) % 1
        return PERCENT if 1e-9 < tenths < 1 - 1e-9 else TENTH_PERCENT

    def report2023(self) -> Table:
        """The report's table beside this study's."""
        rows: list[Row] = [
            [self.name(model), self._known("report2023", model, "epoch_s"),
             self._known("report2023", model, "accuracy", PERCENT), self._epoch(model),
             self._ours(model)]
            for model in self.models if model in self.values.known.get("report2023", {})
        ]  # fmt: skip
        theirs, ours = self.words.text("table.report2023"), self.words.text("table.this_study")
        columns = [
            self.text("network"), self.col("report2023_epoch_s", "epoch_s", theirs),
            self.col("report2023_accuracy_percent", "accuracy", theirs),
            self.col("this_study_epoch_s", "epoch_s", ours),
            self.col("this_study_accuracy_percent", "accuracy", ours),
        ]  # fmt: skip
        return table("report2023", columns, rows)

    def _epoch(self, model: str) -> Cell:
        """Seconds of an epoch, from the step times."""
        row = next((row for row in self.found.timing if row.model == model), None)
        spec = next((spec for spec in self.data.specs if spec.model == model), None)
        if row is None or spec is None:
            return None
        seconds, formula = row.step_s * spec.steps_per_epoch, "median step × steps of an epoch"
        key, sources = f"timing.{model}.epoch", self.values.timed(row)
        return self.number(key, seconds, Form(unit="s"), formula, sources)

    # ------------------------------------------------------------------------- checklist

    def checklist(self) -> Table:
        """Questions about reproducibility, answered from the study."""
        facts, say, listing = self.values, self.words.say, self.words.listing
        seeds = (
            Sentence((f"{arm.label}: ",) if arm.label else ()) + facts.seeds(arm.key)
            for arm in facts.arms
        )
        answers: dict[str, Cell] = {
            "code": listing(facts.commits),
            "fresh": self._freshness(),
            "data": self._data(),
            "seeds": joined(seeds, "; "),
            "finished": say(
                "finished_all", done=facts.done, declared=facts.declared, diverged=facts.diverged
            ),
            "readings": self._readings(),
            "compute": self._compute(),
            "hardware": self._hardware(),
            "software": listing(facts.packages),
            "again": say("again"),
        }
        unknown = say("none_yet" if not self.data.logs else "unknown")
        rows = [[self.words.text(f"question.{k}"), a or unknown] for k, a in answers.items()]
        return table("checklist", [self.text("question"), self.col("answer", kind="wrap")], rows)

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
        shown, digest = self.words.label(kind, str(key)), self.values.digest
        return shown if digest is None else self.words.say("digest", name=shown, digest=digest)

    def _readings(self) -> Cell:
        readings, done = self.values.readings, self.values.done
        kind = "readings_one" if readings.exact == done.exact == 1 else "readings"
        return self.words.say(
            kind if readings.exact else "readings_none", readings=readings, done=done
        )

    def _hardware(self) -> Cell:
        """Of the runs, and of the step times where these were measured."""
        runs, timed = self.words.listing(self.values.machines), self.found.timing_machine
        if not self.data.logs or not timed:
            return runs
        machine = self.values.add("timing.machine", timed, self.values.timed(self.found.timing[0]))
        return self.words.say("hardware", runs=runs, timing=machine)

    def _compute(self) -> Cell:
        seconds = self.found.compute_s
        if seconds is None or not self.data.logs:
            return None
        form, formula = Form(1, 1 / 3600, "s"), "sum of total_s over all runs, in hours"
        sources = map(self.values.result, self.data.logs)
        hours = self.number("study.compute", seconds, form, formula, sources)
        return self.words.say("compute", hours=hours)
