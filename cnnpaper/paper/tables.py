"""The tables of the paper, made of the ledger's values; a table without rows is absent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cnnpaper.config import Recipe
from cnnpaper.paper.facts import LARGE, WEIGHTED, Facts
from cnnpaper.paper.ledger import COUNT, PERCENT, Cite, Form, Sentence
from cnnpaper.paper.tabular import Cell, Column, Marked, Table, table
from cnnpaper.paper.texts import Texts
from cnnpaper.paper.values import MS, Values
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import Trial

SIDE_BY_SIDE = 5
"""With more networks, or longer names, the recipe has no column for each."""
LONGEST_HEAD = 16
"""Characters."""


class Tables:
    """Makes the tables of one study."""

    def __init__(self, facts: Facts, values: Values, words: Words) -> None:
        self.facts, self.values, self.words = facts, values, words
        self.data, self.study = facts.data, facts.study
        self.models = list(self.study.networks)

    def all(self) -> dict[str, Table]:
        """Every table that has something to show, by name."""
        if self.study.origin == "imported":
            texts = Texts(self.facts, self.words)
            found: list[Table | None] = [texts.results(), texts.files()]
        else:
            arms = [arm.key for arm in self.facts.arms]
            found = [
                self.networks(), self.recipe(), self.arms(), self.timing(), self.sections(),
                self.budget(), self.tuning(), self.precision(), *map(self.accuracy, arms),
                self.contrast(), self.calibration(), self.published(), self.history(),
                self.report2023(), self.checklist(), self.departures(),
                *map(self.layers, self.models),
            ]  # fmt: skip
        return {item.name: item for item in found if item is not None and item.cells}

    # ------------------------------------------------------------------------- helpers

    def text(self, key: str, name: str | None = None, group: str = "") -> Column:
        """A column of texts."""
        return self._column(key, name, "text", group)

    def wrap(self, key: str, name: str | None = None) -> Column:
        return self._column(key, name, "wrap", "")

    def col(self, key: str, name: str | None = None, group: str = "") -> Column:
        """A column of numbers; ``name`` is its entry among the words, ``key`` that of the CSV."""
        return self._column(key, name, "number", group)

    def _column(self, key: str, name: str | None, kind: str, group: str) -> Column:
        head = self.words.text(f"table.{name or key}")
        return Column(key=key, head=head, kind=kind, group=group)  # type: ignore[arg-type]

    def _of(
        self, name: str, found: Iterable[Any], columns: dict[str, tuple[str, ...]]
    ) -> Table | None:
        """A row for each finding, of one network each: attribute → the arguments of its column."""
        rows: list[Sequence[Cell]] = []
        for row in found:
            values = self.values.of(row)
            rows.append([self.name(row.model), *(values[attribute] for attribute in columns)])
        return table(name, [self.text("network"), *(self.col(*c) for c in columns.values())], rows)

    @property
    def _cifar(self) -> bool:
        return self.study.data.set in ("original", "jpeg75")

    def name(self, model: str) -> str:
        return self.facts.name(model)

    # ------------------------------------------------------------------------- set-up

    def networks(self) -> Table:
        """Year, paper, depth, layers, parameters and multiply-accumulates."""
        rows: list[Sequence[Cell]] = []
        large = LARGE[self.words.language]
        for model in self.models:
            found = self.facts.network(model)
            cite = Cite((self.data.experiments[model].citation,), textual=True)
            sizes = [found[key] for key in ("depth", "layers", "parameters", "macs")]
            rows.append([self.name(model), cite, *sizes])
        columns = [
            self.text("network"), self.text("paper"), self.col("depth"), self.col("layers"),
            *(self.col(f"{name}_{unit}", name) for name, (unit, _, _) in large.items()),
        ]  # fmt: skip
        return table("networks", columns, rows)

    def recipe(self) -> Table:
        """Every setting: a column for each network, or, where they are many, the departures."""
        label = self.words.label
        keys = list(Recipe.model_fields)
        short = all(len(self.name(model)) <= LONGEST_HEAD for model in self.models)
        if len(self.models) <= SIDE_BY_SIDE and short:
            columns = [self.text("setting")]
            columns += [Column(key=m, head=self.name(m), kind="number") for m in self.models]
            rows: list[Sequence[Cell]] = [
                [label("setting", k), *(self.facts.recipe_value(k, m) for m in self.models)]
                for k in keys
            ]
            return table("recipe", columns, rows)
        columns = [self.text("setting"), self.col("value")]
        rows = [[label("setting", key), self.facts.recipe_value(key)] for key in keys]
        return table("recipe", columns, rows)

    def departures(self) -> Table | None:
        """Departures of networks from the recipe, with reasons."""
        rows = [
            [self.name(model), self.words.label("setting", key), value, reason]
            for model, key, value, reason in self.facts.departures()
        ]
        columns = [self.text("network"), self.text("setting"), self.col("value"),
                   self.wrap("reason")]  # fmt: skip
        return table("departures", columns, rows)

    def arms(self) -> Table | None:
        """Steps, epochs and runs of each network in each arm."""
        if not self.study.arm:
            return None
        columns = [self.text("network")]
        for arm in self.facts.arms:
            for name in ("steps", "epochs", "runs"):
                columns.append(self.col(f"{arm.key}_{name}", name, arm.label))
        rows = [
            [self.name(m), *(cell for arm in self.facts.arms for cell in self._arm(arm.key, m))]
            for m in self.models
        ]
        return table("arms", columns, rows)

    def _arm(self, arm: str, model: str) -> list[Cell]:
        specs = [s for s in self.data.specs if (s.arm or "") == arm and s.model == model]
        if not specs:
            return [None, None, None]
        spec, sources = specs[0], self.facts.of_study(f"arm.{arm}.steps", f"arm.{arm}.epochs",
                                                      f"arm.{arm}")  # fmt: skip
        number, key = self.values.number, f"{arm}.{model}"
        done = [self.data.logs[s.path] for s in specs if s.path in self.data.logs]
        epochs, done_in = spec.steps / spec.steps_per_epoch, self.facts.headers(done)
        return [
            number(f"{key}.steps", spec.steps, Form(unit="steps"), "as declared", sources),
            number(f"{key}.epochs", epochs, Form(2), "steps / steps of an epoch", sources),
            number(f"{key}.runs", len(done), COUNT, "runs with a result", done_in),
        ]

    # ------------------------------------------------------------------------- results

    def accuracy(self, arm: str) -> Table | None:
        """Test and validation accuracy of one arm, with training time."""
        rows: list[Sequence[Cell]] = []
        for model in self.facts.entries(arm):
            test = self.values.mean(arm, model, "test_acc")
            validation = self.values.mean(arm, model, "val_acc")
            minutes = self.values.mean(arm, model, "train_s")
            if not test and not validation:
                continue
            rows.append([
                self.facts.entry_name(model), (test or validation)["n"], test.get("mean"),
                test.get("interval"), test.get("sd"), validation.get("mean"), minutes.get("mean"),
                self.values.diverged(arm, model),
            ])  # fmt: skip
        columns = [
            self.text("network"), self.col("seeds"), self.col("test_acc_percent", "test"),
            self.col("test_acc_percent_interval", "interval"),
            self.col("test_acc_points_sd", "spread"), self.col("val_acc_percent", "validation"),
            self.col("train_minutes", "minutes"), self.col("diverged"),
        ]  # fmt: skip
        return table(f"accuracy_{arm or 'all'}", columns, rows)

    def contrast(self) -> Table | None:
        """The primary contrast."""
        return self._of("contrast", self.values.found.contrasts, {
            "difference": ("difference_points", "difference"),
            "interval": ("difference_points_interval", "simultaneous"),
            "p": ("p",), "p_holm": ("p_holm",), "p_welch": ("p_welch",),
        })  # fmt: skip

    def timing(self) -> Table | None:
        """Step time, ratio, throughput, memory, start-up and evaluation."""
        return self._of("timing", self.values.found.timing, {
            "step_s": ("step_ms",), "interval": ("step_ms_interval", "interval"),
            "ratio": ("ratio",), "ratio_interval": ("ratio_interval", "interval"),
            "images_per_s": ("images_per_s", "images_s"), "gmac_per_s": ("gmac_per_s", "gmacs"),
            "peak_memory": ("memory_gib", "memory"), "startup_s": ("startup_s", "startup"),
            "eval_s": ("evaluation_s", "evaluation"),
        })  # fmt: skip

    def sections(self) -> Table | None:
        """Where the time of a step goes."""
        timed = self.values.found.timing
        names = list(timed[0].sections) if timed else []
        rows: list[Sequence[Cell]] = []
        for row in timed:
            sources = [self.facts.sources.file(self.data.timing_path, row.line)]
            rows.append([self.name(row.model), *(
                self.values.number(f"timing.{row.model}.section.{name}", row.sections[name], MS,
                                   f"median over rounds of {name}", sources)
                for name in names
            )])  # fmt: skip
        group = self.words.text("table.milliseconds")
        columns = [self.text("network"), *(self.col(f"{n}_ms", n, group) for n in names)]
        return table("sections", columns, rows)

    def budget(self) -> Table | None:
        """How the steps of each network fill the budgets."""
        found = self.values.found.budgets
        arms = list(dict.fromkeys(row.arm for row in found))
        by = {(row.arm, row.model): row for row in found}
        rows: list[Sequence[Cell]] = []
        for model in dict.fromkeys(row.model for row in found):
            cells: list[Cell] = [self.name(model)]
            for arm in arms:
                row = by.get((arm, model))
                values = self.values.of(row) if row else {}
                cells += [values.get("steps"), values.get("residual_s")]
            rows.append(cells)
        columns = [self.text("network")]
        for arm in arms:
            label = self.words.label("arm", arm)
            columns += [self.col(f"{arm}_steps", "steps", label),
                        self.col(f"{arm}_residual_s", "residual", label)]  # fmt: skip
        return table("budget", columns, rows)

    def tuning(self) -> Table | None:
        """Validation accuracy by rate and stage."""
        trials = self.values.found.trials
        rates = sorted({trial.rate for trial in trials})
        by = {(trial.stage, trial.model, trial.rate): trial for trial in trials}
        rows: list[Sequence[Cell]] = []
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
        chosen = self.values.found.winners.get(trial.model) == trial.rate
        last = trial.stage == self.values.found.trials[-1].stage
        return Marked(value, "*") if chosen and last else value

    def precision(self) -> Table | None:
        """What bfloat16 changes."""
        found = self.values.found.precision
        return self._of("precision", found.changes if found else (), {
            "n": ("seeds",), "change": ("change_points", "change"),
            "interval": ("change_points_interval", "interval"),
        })  # fmt: skip

    def calibration(self) -> Table | None:
        """Calibration error and likelihood before and after temperature scaling."""
        ece, nll = self.words.text("table.ece"), self.words.text("table.nll")
        return self._of("calibration", self.values.found.calibration, {
            "temperature": ("temperature",),
            "ece": ("ece_percent", "before", ece),
            "ece_scaled": ("ece_scaled_percent", "after", ece),
            "nll": ("nll_nats", "before", nll), "nll_scaled": ("nll_scaled_nats", "after", nll),
        })  # fmt: skip

    def layers(self, model: str) -> Table | None:
        """Convolutions and linear layers in the order of execution; attached only."""
        run = self.facts.log_of(model)
        if run is None:
            return None
        source, rows = self.facts.headers([run]), []
        for place, layer in enumerate(la for la in run.header.network.layers
                                      if la.type in WEIGHTED):  # fmt: skip
            key = f"{model}.layer.{place + 1}"
            sizes = [
                self.facts.ledger.cell(f"{key}.{name}", getattr(layer, name), COUNT,
                                       formula="as recorded", sources=source)
                for name in ("kernel", "stride", "channels_in", "parameters", "macs")
            ]  # fmt: skip
            rows.append([layer.name, layer.type, " × ".join(map(str, layer.out)), *sizes])
        keys = ("layer", "type", "output", "kernel", "stride", "channels_in", "parameters", "macs")
        columns = [Column(key=k, kind="text" if k in keys[:3] else "number") for k in keys]
        return table(f"layers_{model}", columns, rows)

    # ------------------------------------------------------------------------- others' numbers

    def history(self) -> Table | None:
        """Superseded results of version 0.1.0; for studies of CIFAR-10 alone."""
        if not self._cifar:
            return None
        rows: list[Sequence[Cell]] = []
        for place, run in enumerate(self.facts.history.get("run", [])):
            if run.get("model") not in self.models:
                continue
            key = f"history.{run['model']}.{place}"

            def get(name: str, place: int = place, key: str = key, **how: object) -> Cell:
                return self.facts.quoted("history", f"{key}.{name}", "run", place, name, **how)  # type: ignore[arg-type]

            rows.append(
                [self.name(run["model"]), get("batch_size"), get("peak_learning_rate"),
                 get("epochs"), get("test_acc", form=PERCENT),
                 get("commit")]
            )  # fmt: skip
        columns = [
            self.text("network"), self.col("batch_size"), self.col("peak_learning_rate", "rate"),
            self.col("epochs"), self.col("test_acc_percent", "test"), self.text("commit"),
        ]  # fmt: skip
        return table("history", columns, rows)

    def _ours(self, model: str) -> Cell:
        """This study's accuracy beside that of others: of its longest arm that has any."""
        found = [self.values.mean(a.key, model, "test_acc").get("mean") for a in self.facts.arms]
        return next(filter(None, reversed(found)), None)

    def published(self) -> Table | None:
        """Accuracies of public repositories; for studies of CIFAR-10 alone."""
        if not self._cifar:
            return None
        rows: list[Sequence[Cell]] = []
        for model in self.models:
            own = self.facts.known.get("published", {}).get(model)
            if own is None:
                continue
            path = ("published", model)
            rows.append([
                self.name(model),
                self.facts.quoted("known", f"published.{model}.accuracy", *path, "accuracy",
                                  form=PERCENT),
                self.facts.quoted("known", f"published.{model}.epochs", *path, "epochs"),
                Cite((own["source"],), textual=True), self._ours(model),
            ])  # fmt: skip
        columns = [
            self.text("network"), self.col("published_percent", "published"), self.col("epochs"),
            self.text("source"), self.col("this_study_percent"),
        ]  # fmt: skip
        return table("published", columns, rows)

    def report2023(self) -> Table | None:
        """The report's table beside this study's; for studies of CIFAR-10 alone."""
        if not self._cifar:
            return None
        rows: list[Sequence[Cell]] = []
        for model in self.models:
            if model not in self.facts.known.get("report2023", {}):
                continue
            key = f"report2023.{model}"
            path = ("report2023", model)
            seconds = self.facts.quoted("known", f"{key}.epoch_s", *path, "epoch_s")
            accuracy = self.facts.quoted(
                "known", f"{key}.accuracy", *path, "accuracy", form=PERCENT
            )
            rows.append([self.name(model), seconds, accuracy, self._epoch(model),
                         self._ours(model)])  # fmt: skip
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
        row = next((row for row in self.values.found.timing if row.model == model), None)
        spec = next((spec for spec in self.data.specs if spec.model == model), None)
        if row is None or spec is None:
            return None
        sources = [self.facts.sources.file(self.data.timing_path, row.line)]
        seconds = row.step_s * spec.steps_per_epoch
        formula = "median step × steps of an epoch"
        return self.values.number(f"timing.{model}.epoch", seconds, Form(unit="s"), formula,
                                  sources)  # fmt: skip

    # ------------------------------------------------------------------------- checklist

    def checklist(self) -> Table:
        """Questions about reproducibility, answered from the study."""
        facts, words = self.facts, self.words
        many = words.listing
        answers: dict[str, Cell] = {
            "code": many(facts.commits) if facts.commits else None,
            "fresh": self._freshness(),
            "data": self._data(),
            "seeds": self._seeds(),
            "finished": words.say(
                "finished_all", done=facts.done, declared=facts.declared, diverged=facts.diverged
            ),
            "readings": self._readings(),
            "compute": self._compute(),
            "hardware": many(facts.machines) if facts.machines else None,
            "software": many(facts.packages) if facts.packages else None,
            "again": words.say("again"),
            "tags": words.say("tags"),
        }
        unknown = words.say("none_yet" if not self.data.logs else "unknown")
        rows = [[words.text(f"question.{k}"), a or unknown] for k, a in answers.items()]
        return table("checklist", [self.text("question"), self.wrap("answer")], rows)

    def _freshness(self) -> Cell:
        if not self.data.logs:
            return None
        if self.data.stale:
            return self.words.say("fresh_stale", runs=self.words.listing(sorted(self.data.stale)))
        if not self.data.verified:
            return self.words.say("fresh_all")
        logs = [self.data.logs[path] for path in self.data.verified]
        count = self.facts.count(
            "verified", len(logs), self.facts.headers(logs), "runs that are fresh by verification"
        )
        return self.words.say("fresh_verified", count=count)

    def _data(self) -> Cell:
        run = next(iter(self.data.logs.values()), None)
        name = run.header.data.name if run else None
        shown = self.words.label("data_name", name) if name else self.words.label(
            "data_set", self.study.data.set)  # fmt: skip
        if self.facts.digest is None:
            return shown
        return self.words.say("digest", name=shown, digest=self.facts.digest)

    def _seeds(self) -> Cell:
        parts = []
        for arm in self.facts.arms:
            label = [f"{arm.label}: "] if arm.label else []
            parts.append(Sentence((*label, *self.facts.seeds(arm.key).parts)))
        out = Sentence(())
        for part in parts:
            out += part if not out.parts else Sentence(("; ", *part.parts))
        return out if out.parts else None

    def _readings(self) -> Cell:
        if not any(run.readings for run in self.data.logs.values()):
            return self.words.say("readings_none")
        one = self.facts.readings.exact == 1 and self.facts.done.exact == 1
        kind = "readings_one" if one else "readings"
        return self.words.say(kind, readings=self.facts.readings, done=self.facts.done)

    def _compute(self) -> Cell:
        seconds = self.values.found.compute_s
        if seconds is None or not self.data.logs:
            return None
        hours = self.values.number(
            "study.compute", seconds, Form(1, 1 / 3600, "s"),
            "sum of total_s over all runs, in hours", map(self.facts.result, self.data.logs),
        )  # fmt: skip
        return self.words.say("compute", hours=hours)
