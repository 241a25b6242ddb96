"""The tables of the paper, made of the ledger's values; a table without rows is absent."""

from __future__ import annotations

from collections.abc import Sequence

from cnnpaper.config import Recipe
from cnnpaper.paper.facts import Facts
from cnnpaper.paper.ledger import Cite, Sentence
from cnnpaper.paper.tabular import Cell, Column, Table, table
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Words

SIDE_BY_SIDE = 5
"""With more networks the recipe lists departures instead of a column for each."""


class Tables:
    """Makes the tables of one study."""

    def __init__(self, facts: Facts, values: Values, words: Words) -> None:
        self.facts, self.values, self.words = facts, values, words
        self.data, self.study = facts.data, facts.study
        self.models = list(self.study.networks)

    def all(self) -> dict[str, Table]:
        """Every table that has something to show, by name."""
        makers = [
            self.networks, self.recipe, self.arms, self.departures, self.checklist, self.history,
        ]  # fmt: skip
        found = [make() for make in makers]
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

    def name(self, model: str) -> str:
        return self.data.experiments[model].name

    # ------------------------------------------------------------------------- set-up

    def networks(self) -> Table:
        """Year, paper, depth, layers, parameters and multiply-accumulates."""
        rows: list[Sequence[Cell]] = []
        for model in self.models:
            found = self.facts.network(model)
            cite = Cite((self.data.experiments[model].citation,), textual=True)
            sizes = [found[key] for key in ("depth", "layers", "parameters", "macs")]
            rows.append([self.name(model), cite, *sizes])
        columns = [
            self.text("network"), self.text("paper"), self.col("depth"), self.col("layers"),
            self.col("parameters_millions", "parameters"), self.col("macs_millions", "macs"),
        ]  # fmt: skip
        return table("networks", columns, rows)

    def recipe(self) -> Table:
        """Every setting: a column for each network, or, where they are many, the departures."""
        label = self.words.label
        keys = list(Recipe.model_fields)
        if len(self.models) <= SIDE_BY_SIDE:
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
        per_epoch = spec.steps_per_epoch
        return [
            number(f"{key}.steps", spec.steps, 0, "as declared", sources, unit="steps"),
            number(f"{key}.epochs", spec.steps / per_epoch, 2, "steps / steps of an epoch", sources),
            number(f"{key}.runs", len(done), 0, "runs with a result", self.facts.headers(done)),
        ]

    # ------------------------------------------------------------------------- others' numbers

    def history(self) -> Table | None:
        """Superseded results of version 0.1.0; for the study of this repository."""
        rows: list[Sequence[Cell]] = []
        for place, run in enumerate(self.facts.history.get("run", [])):
            if run.get("model") not in self.models:
                continue
            key = f"history.{run['model']}.{place}"

            def get(name: str, place: int = place, key: str = key, **how: object) -> Cell:
                return self.facts.quoted("history", f"{key}.{name}", "run", place, name, **how)  # type: ignore[arg-type]

            rows.append(
                [self.name(run["model"]), get("batch_size"), get("peak_learning_rate"),
                 get("epochs"), get("test_acc", decimals=2, scale=100.0, unit="fraction"),
                 get("commit")]
            )  # fmt: skip
        columns = [
            self.text("network"), self.col("batch_size"), self.col("peak_learning_rate", "rate"),
            self.col("epochs"), self.col("test_acc_percent", "test"), self.text("commit"),
        ]  # fmt: skip
        return table("history", columns, rows)

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
            "hardware": many(facts.machines) if facts.machines else None,
            "software": many(facts.packages) if facts.packages else None,
            "again": words.say("again"),
            "tags": words.say("tags"),
        }
        unknown = words.say("none_yet" if not self.data.logs else "unknown")
        rows = [[words.text(f"question.{k}"), a or unknown] for k, a in answers.items()]
        return table("checklist", [self.wrap("question"), self.wrap("answer")], rows)

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
        shown = name or self.words.label("data_set", self.study.data.set)
        if self.facts.digest is None:
            return shown
        return self.words.say("digest", name=shown, digest=self.facts.digest)

    def _seeds(self) -> Cell:
        parts = []
        for arm in self.facts.arms:
            label = [f"{arm.label}: "] if arm.label else []
            parts.append(Sentence((*label, *arm.seeds.parts)))
        out = Sentence(())
        for part in parts:
            out += part if not out.parts else Sentence(("; ", *part.parts))
        return out if out.parts else None

    def _readings(self) -> Cell:
        if not any(run.readings for run in self.data.logs.values()):
            return self.words.say("readings_none")
        return self.words.say("readings", readings=self.facts.readings, done=self.facts.done)
