"""Sentences that depend on results, each bound to the condition under which it is true.

Ranking words stand only where the adjusted test of the primary contrast says so; everything else
is an estimate. Every number is a value of the ledger; the words
are those of the edition's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnpaper.paper.facts import ArmFacts, Facts
from cnnpaper.paper.ledger import COUNT, PERCENT, POINTS, Cite, Form, Sentence, Value
from cnnpaper.paper.tabular import Table
from cnnpaper.paper.values import MINUTES, RATIO, TENTH_PERCENT, WHOLE_PERCENT, Values
from cnnpaper.paper.words import Phrase, Words, sentences
from cnnpaper.study import analysis

LISTED = 6
"""With more networks a sentence gives the range instead of each."""
ENOUGH_SEEDS = 5
SMALL = 0.01
"""A difference below one point is called small."""
ALIKE = 1.1
"""Throughputs whose ratio is smaller are called alike."""
MOST_TELLING = 3
"""Superseded results of one network that make its span worth a sentence."""


class Claims:
    """Writes the sentences of one study in one language."""

    def __init__(
        self, facts: Facts, values: Values, words: Words, tables: Mapping[str, Table]
    ) -> None:
        self.facts, self.values, self.words, self.tables = facts, values, words, tables
        self.data, self.study = facts.data, facts.study
        self.record: list[tuple[str, str, str]] = []
        """Sentences said so far: kind, what they are about, and text."""

    @property
    def made(self) -> list[str]:
        return [kind for kind, _, _ in self.record]

    def say(self, kind: str, **parts: Phrase) -> Sentence:
        found = self.words.say(kind, **parts)
        subject = ", ".join(part for part in parts.values() if isinstance(part, str))
        self.record.append((kind, subject, str(found)))
        return found

    def name(self, model: str) -> str:
        return self.facts.name(model)

    # ------------------------------------------------------------------------- runs

    def state(self) -> Sentence:
        """How many of the declared runs there are."""
        facts = self.facts
        counts = {"done": facts.done, "declared": facts.declared, "missing": facts.missing}
        done, missing = len(self.data.logs), len(self.data.missing)
        kind = "none" if not done else "some" if missing else "all_one" if done == 1 else "all"
        return self.say(f"state_{kind}", **counts)

    def networks(self) -> list[dict[str, Any]]:
        """Name, paper, idea and stem of each network."""
        return [
            {
                "name": self.name(model),
                "cite": Cite((self.data.experiments[model].citation,)),
                "idea": self.facts.prose(model, "idea"),
                "stem": self.facts.prose(model, "stem"),
            }
            for model in self.study.networks
        ]

    # ------------------------------------------------------------------------- abstract

    def abstract(self) -> Sentence:
        """What the abstract says of the results."""
        counts = {"done": self.facts.done, "declared": self.facts.declared}
        if self.study.origin == "imported":
            return Sentence(())
        if not self.data.logs:
            return self.say("abstract_none", **counts)
        arm = self.leading_arm()
        if arm is None:
            return self.say("abstract_partial", **counts)
        return sentences(self.accuracies(arm), self.primary(), self.ratios())

    def leading_arm(self) -> str | None:
        """The arm of the contrast, or else the first one that has accuracies."""
        arms = [arm.key for arm in self.facts.arms]
        if self.study.contrast:
            arms.insert(0, self.study.contrast.arm)
        return next((arm for arm in arms if self.tested(arm)), None)

    def tested(self, arm: str) -> list[str]:
        """Networks of an arm that have a test accuracy."""
        return [e for e in self.facts.entries(arm) if self.values.mean(arm, e, "test_acc")]

    # ------------------------------------------------------------------------- accuracy

    def accuracies(self, arm: str) -> Sentence:
        """Mean test accuracy of every network of an arm, or their range where they are many."""
        entries = self.tested(arm)
        means = [self.values.mean(arm, entry, "test_acc") for entry in entries]
        values: list[Value] = [mean["mean"] for mean in means]
        n: Value | None = means[0]["n"] if means else None
        if n is None:
            return Sentence(())
        kind = "accuracies" + ("_one" if n.exact == 1 else "")
        parts: dict[str, Phrase] = {"n": n}
        if arm:
            kind, parts["arm"] = f"{kind}_of_arm", self.words.label("arm", arm)
        if len(values) > LISTED:
            low, *_, high = sorted(values, key=lambda v: float(v.exact or 0))
            parts["entries"] = self.words.say("range", low=low, high=high)
        else:
            parts["entries"] = self.words.listing(
                self.words.say("percent_for", value=value, name=self.facts.entry_name(entry))
                for entry, value in zip(entries, values, strict=True)
            )
        return self.say(kind, **parts)

    def arms(self) -> list[dict[str, Any]]:
        """Every arm as its part of the results has it."""
        if not self.data.logs:
            return []
        return [self._arm(arm) for arm in self.facts.arms]

    def _arm(self, arm: ArmFacts) -> dict[str, Any]:
        key, plan = arm.key or "all", self.study.contrast
        tables = self.tables
        primary = plan is not None and plan.arm == arm.key
        accuracy = tables.get(f"accuracy_{key}")
        return {
            "title": self.words.label("arm_title", arm.key or "none"),
            "label": f"arm-{key}",
            "text": sentences(
                self._arm_state(arm), self.accuracies(arm.key), self._lost(arm), self._mixed(arm)
            ),
            "caption": self._accuracy_caption(arm) if accuracy else Sentence(()),
            "table": accuracy,
            "table_label": f"tab:accuracy-{key}",
            "contrast": tables.get("contrast") if primary else None,
            "primary": self.primary() if primary else Sentence(()),
            "is_primary": primary,
        }  # fmt: skip

    def _accuracy_caption(self, arm: ArmFacts) -> Sentence:
        title = self.words.say("accuracy_caption")
        if arm.key:
            title = self.words.say("accuracy_caption_arm", arm=arm.label)
        if len(arm.complete) == 1:
            return sentences(title, self.words.say("accuracy_caption_one"))
        level = self.values.level()
        return sentences(title, self.words.say("accuracy_caption_many", level=level))

    def _arm_state(self, arm: ArmFacts) -> Sentence:
        counts = {"done": arm.done, "declared": arm.declared, "complete": arm.complete_count}
        if not arm.complete:
            return self.say("arm_none", **counts)
        if arm.done.exact == arm.declared.exact:
            return Sentence(())
        return self.say("arm_some_one" if len(arm.complete) == 1 else "arm_some", **counts)

    def _lost(self, arm: ArmFacts) -> Sentence:
        """Networks of which shown runs diverged."""
        out = []
        for entry in self.facts.entries(arm.key):
            count = self.values.diverged(arm.key, entry)
            if count.exact:
                kind = "diverged_one" if count.exact == 1 else "diverged"
                out.append(self.say(kind, name=self.facts.entry_name(entry), count=count))
        return sentences(*out)

    def _mixed(self, arm: ArmFacts) -> Sentence:
        """Seeds whose networks were trained on different processors."""
        seeds = [seed for key, seed in self.data.mixed_processors if key == arm.key]
        if not seeds:
            return Sentence(())
        logs = [
            self.data.logs[spec.path] for spec in self.data.specs
            if (spec.arm or "") == arm.key and spec.seed in seeds and spec.path in self.data.logs
        ]  # fmt: skip
        count = self.facts.count(
            f"{arm.key or 'all'}.mixed", len(seeds), self.facts.headers(logs),
            "seeds whose networks were trained on different types of processor",
        )  # fmt: skip
        return self.say("mixed_one" if len(seeds) == 1 else "mixed", count=count)

    def few_seeds(self) -> Sentence:
        """How little the seeds say, where they are few."""
        counts = [arm.complete_count for arm in self.facts.arms if arm.complete]
        if not counts:
            return Sentence(())
        least = min(counts, key=lambda value: int(value.exact or 0))
        if least.exact == 1:
            return self.say("few_seeds_one")
        if int(least.exact or 0) < ENOUGH_SEEDS:
            return self.say("few_seeds", n=least)
        return Sentence(())

    # ------------------------------------------------------------------------- contrast

    def contrast_arm(self) -> str:
        assert self.study.contrast is not None
        return self.words.label("arm", self.study.contrast.arm)

    def contrast_baseline(self) -> str:
        assert self.study.contrast is not None
        return self.name(self.study.contrast.baseline)

    def primary(self) -> Sentence:
        """The primary contrast: it ranks where the adjusted test is significant, and only there."""
        if self.study.contrast is None:
            return Sentence(())
        rows = self.values.found.contrasts
        if not rows:
            return self.say("contrast_none", arm=self.contrast_arm())
        if len(rows) <= LISTED:
            return sentences(*map(self._contrast, rows))
        significant = [row for row in rows if row.significant]
        source = self.facts.of_study("contrast")
        return self.say(
            "contrast_count", baseline=self.contrast_baseline(),
            count=self.facts.count("significant", len(significant), source, "contrasts"),
            all=self.facts.count("contrasts", len(rows), source, "contrasts"),
        )  # fmt: skip

    def _contrast(self, row: analysis.Contrast) -> Sentence:
        found = self.values.of(row)
        p: Value = found["p_holm"]
        parts = {
            "name": self.name(row.model), "baseline": self.contrast_baseline(),
            "difference": found["difference"], "size": found["size"], "level": self.values.level(),
            "low": found["interval"].low, "high": found["interval"].high,
            "p": Sentence((p,)) if p.text.startswith("<") else Sentence(("=\N{NO-BREAK SPACE}", p)),
        }  # fmt: skip
        if row.significant:
            kind = "more" if row.difference > 0 else "less"
            small = row.size < SMALL
            return self.say(f"contrast_{kind}{'_small' if small else ''}", **parts)
        if found["detectable"] is None:
            return self.say("contrast_open", **parts)
        arm = self.facts.arm(self.study.contrast.arm if self.study.contrast else "")
        return self.say("contrast_open_power", **parts, n=arm.complete_count,
                        detectable=found["detectable"])  # fmt: skip

    # ------------------------------------------------------------------------- time

    def budget_steps(self) -> Sentence:
        """The steps of the budget's network in each arm of equal time."""
        assert self.study.budget is not None
        return self.words.listing(
            self.words.say("budget_of", arm=self.words.label("arm", arm), steps=self.values.number(
                f"budget.{arm}.steps", steps, Form(unit="steps"), "as the study file says",
                self.facts.of_study("budget.steps"),
            ))
            for arm, steps in self.study.budget.steps.items()
        )  # fmt: skip

    def budget_like(self) -> str:
        assert self.study.budget is not None
        return self.name(self.study.budget.like)

    def ratios(self) -> Sentence:
        """Step times relative to the budget's network; ranked where the interval excludes 1."""
        like = self.study.budget.like if self.study.budget else None
        rows = [row for row in self.values.found.timing if row.ratio and row.model != like]
        if not rows or like is None or len(rows) > LISTED:
            return Sentence(())
        entries = []
        for row in rows:
            found = self.values.of(row)
            limits = row.ratio_interval
            clear = limits is not None and not limits[0] <= 1 <= limits[1]
            kind = "ratio_of" if clear else "ratio_open"
            entries.append(self.words.say(kind, ratio=found["ratio"], name=self.name(row.model)))
        return self.say("ratios", like=self.name(like), entries=self.words.listing(entries))

    def timing(self) -> Sentence:
        """Step times, and whether the machine was idle."""
        found = self.values.found
        kind = "timing_contended" if found.timing_contended else "timing_idle"
        return sentences(self.ratios(), self.say(kind), self._shift())

    def _shift(self) -> Sentence:
        """How far step times of later sessions are from these."""
        shifts = sorted(self.values.found.shifts, key=lambda shift: shift.ratio)
        if not shifts:
            return Sentence(())
        low, high = (
            self.values.number(
                f"timing.shift.{name}", shift.ratio, RATIO,
                f"{name} ratio to this session's step time",
                [self.facts.sources.file(self.data.timing_path, shift.line)],
            )
            for name, shift in (("lowest", shifts[0]), ("highest", shifts[-1]))
        )  # fmt: skip
        return self.say("shift", low=low, high=high)

    def timing_caption(self) -> Sentence:
        """How the step times were measured."""
        found = self.values.found
        sources = self.values.of(found.timing[0])["step_s"].sources
        parts: dict[str, Phrase] = {
            name: self.values.number(f"timing.{name}", exact, COUNT, "as recorded", sources)
            for name, exact in (
                ("rounds", found.timing_rounds), ("steps", found.timing_steps),
                ("batch", found.timing_batch),
            )
        }  # fmt: skip
        machine = self.facts.add("timing.machine", found.timing_machine, sources)
        caption = self.words.say("timing_caption", machine=machine, **parts)
        if self.study.budget is None:
            return caption
        like = self.words.say("timing_caption_ratio", like=self.budget_like())
        return sentences(caption, like)

    def budget(self) -> Sentence:
        """The time that the budget's network needs for its steps, in minutes."""
        entries: list[Phrase] = []
        like = self.study.budget.like if self.study.budget else None
        for row in (row for row in self.values.found.timing if row.model == like):
            for arm, seconds in self.values.found.budget_s.items():
                minutes = self.values.number(
                    f"budget.{arm}.minutes",
                    seconds,
                    MINUTES,
                    "median step × steps of the network",
                    self.values.of(row)["step_s"].sources,
                )
                name = self.words.label("arm", arm)
                entries.append(self.words.say("budget_minutes", arm=name, minutes=minutes))
        if not entries:
            return Sentence(())
        return self.say("budget", entries=self.words.listing(entries))

    def throughput(self) -> Sentence:
        """Why step times differ: operations per second, and what takes the rest."""
        rows = [row for row in self.values.found.timing if row.gmac_per_s]
        if len(rows) < 2 or len(rows) > LISTED:
            return Sentence(())
        entries = self.words.listing(
            self.words.say("gmacs_for", value=self.values.of(row)["gmac_per_s"],
                           name=self.name(row.model))
            for row in rows
        )  # fmt: skip
        slow, *_, fast = sorted(rows, key=lambda row: row.gmac_per_s or 0.0)
        apart = (fast.gmac_per_s or 0.0) > ALIKE * (slow.gmac_per_s or 0.0)
        out = [self.say("throughput" if apart else "throughput_alike", entries=entries)]
        layers = {row.model: self.facts.network(row.model)["layers"] for row in rows}
        own = layers[slow.model]
        if own is not None and own.exact == max(int(v.exact or 0) for v in layers.values() if v):
            run = self.facts.log_of(slow.model)
            joins = {end for edge in run.header.network.edges for end in edge} if run else set()
            branches = any(end.startswith("cat") for end in joins)
            kind = "throughput_branches" if branches else "throughput_layers"
            out.append(self.say(kind, name=self.name(slow.model), layers=own))
        return sentences(*out, self._optimizer(rows))

    def _optimizer(self, rows: list[analysis.StepTime]) -> Sentence:
        """The network whose optimizer takes the largest share of a step."""
        shares = {
            row.model: row.sections["optimizer"] / sum(row.sections.values())
            for row in rows if row.sections.get("optimizer")
        }  # fmt: skip
        if len(shares) < 2:
            return Sentence(())
        model = max(shares, key=lambda name: shares[name])
        row = next(row for row in rows if row.model == model)
        share = self.values.number(
            f"timing.{model}.optimizer_share",
            shares[model],
            WHOLE_PERCENT,
            "optimizer / sum of the sections",
            self.values.of(row)["step_s"].sources,
        )
        sizes = {row.model: self.facts.network(row.model) for row in rows}
        loads = {
            name: float(size["parameters"].exact or 0) / float(size["macs"].exact or 1)
            for name, size in sizes.items() if size["parameters"] and size["macs"]
        }  # fmt: skip
        most = len(loads) == len(rows) and max(loads, key=lambda name: loads[name]) == model
        kind = "optimizer_parameters" if most else "optimizer"
        return self.say(kind, name=self.name(model), share=share)

    # ------------------------------------------------------------------------- studies named

    def tuning(self) -> Sentence:
        """Which rate was chosen for which network."""
        found = self.values.found
        if not found.winners:
            return self.say("tuning_open")
        entries = [
            self.words.say("rate_for", name=self.name(model), value=self._rate(model, rate))
            for model, rate in found.winners.items()
        ]
        if len(entries) > LISTED:
            return self.say("tuning_many")
        finished = len(entries) == len({trial.model for trial in found.trials})
        kind = "tuning" if finished else "tuning_some"
        return self.say(kind, entries=self.words.listing(entries))

    def _rate(self, model: str, rate: float) -> Value:
        trials = [t for t in self.values.found.trials if t.model == model and t.rate == rate]
        sources = [self.facts.result(trial.path) for trial in trials]
        return self.facts.add(f"tuning.winner.{model}", rate, sources,
                              formula="best validation accuracy of the last stage")  # fmt: skip

    def rates(self) -> Sentence:
        """What the rate's choice is worth, in the first stage."""
        trials = self.values.found.trials
        if not trials:
            return Sentence(())
        first = [trial for trial in trials if trial.stage == trials[0].stage]
        entries = []
        for model in dict.fromkeys(trial.model for trial in first):
            own = [trial for trial in first if trial.model == model]
            if len(own) < 2:
                continue
            scores = [trial.val_acc for trial in own]
            sources = [self.facts.result(trial.path) for trial in own]
            worth = self.values.number(
                f"tuning.{model}.range",
                max(scores) - min(scores),
                TENTH_PERCENT,
                "largest minus smallest val_acc over the rates",
                sources,
            )
            entries.append(self.words.say("points_for", value=worth, name=self.name(model)))
        if not entries or len(entries) > LISTED:
            return Sentence(())
        return self.say("rates", entries=self.words.listing(entries))

    def precision(self) -> Sentence:
        """Whether bfloat16 stands."""
        found = self.values.found.precision
        if found is None or found.bound is None:
            return self.say("precision_open")
        sources = [self.facts.result(path) for row in found.changes for path in row.paths]
        formula = "mean over pairs, bfloat16 minus float32"
        parts = {
            "mean": self.values.number("precision.mean", found.mean, POINTS, formula, sources),
            "bound": self.values.number(
                "precision.bound", found.bound, PERCENT,
                f"one-sided lower limit of the {formula}", sources,
            ),
            "level": self.values.level(),
        }  # fmt: skip
        return self.say("precision_stands" if found.stands else "precision_falls", **parts)

    # ------------------------------------------------------------------------- discussion

    def gain(self) -> Sentence:
        """What the longer budget buys each network."""
        found = self.values.found
        if not found.gains or found.gain_arms is None or len(found.gains) > LISTED:
            return Sentence(())
        entries = []
        for row in found.gains:
            values, name = self.values.of(row), self.name(row.model)
            value, limits = values["difference"], values["interval"]
            if limits is None:
                entries.append(self.words.say("change_for", value=value, name=name))
            else:
                entries.append(self.words.say("change_for_interval", value=value, name=name,
                                              low=limits.low, high=limits.high))  # fmt: skip
        shorter, longer = (self.words.label("arm", arm) for arm in found.gain_arms)
        entry = self.words.listing(entries)
        return self.say("gain", shorter=shorter, longer=longer, entries=entry)

    def calibration(self) -> Sentence:
        """On which side confidence errs, and what scaling does."""
        rows = self.values.found.calibration
        under = [self.name(row.model) for row in rows if row.temperature < 1]
        over = [self.name(row.model) for row in rows if row.temperature > 1]
        kind = "calibration_smoothing" if over else "calibration_smoothing_all"
        out = [self.say(kind)] if self.data.recipe.label_smoothing else []
        if under:
            out.append(self.say("underconfident", names=self.words.listing(under)))
        if over:
            out.append(self.say("overconfident", names=self.words.listing(over)))
        better = [row for row in rows if row.ece_scaled < row.ece]
        kind = "all" if len(better) == len(rows) else "some" if better else "none"
        names = self.words.listing(self.name(row.model) for row in better)
        return sentences(*out, self.say(f"scaling_{kind}", names=names))

    def history(self) -> Sentence:
        """How far apart the scores of one network were that only its recipe tells apart."""
        spans: dict[str, list[tuple[int, float]]] = {}
        for place, run in enumerate(self.facts.history.get("run", [])):
            if run["model"] in self.study.networks:
                spans.setdefault(run["model"], []).append((place, run["test_acc"]))
        out = []
        for model, scores in spans.items():
            if len(scores) < MOST_TELLING:
                continue
            sources = [
                source for place, _ in scores
                if (value := self.facts.quoted("history", f"history.{model}.{place}.test_acc",
                                               "run", place, "test_acc", form=PERCENT))
                for source in value.sources
            ]  # fmt: skip
            accuracies = [score for _, score in scores]
            number, key = self.values.number, f"history.{model}"
            span = number(f"{key}.span", max(accuracies) - min(accuracies), PERCENT,
                          "largest minus smallest", sources)  # fmt: skip
            recipes = number(f"{key}.recipes", len(scores), COUNT, "counted", sources)
            parts: dict[str, Phrase] = {"name": self.name(model), "span": span, "recipes": recipes}
            out.append(self.say("history_span", **parts))
        readings = self.facts.quoted("history", "history.readings", "search", "readings")
        if out and readings is not None:
            out.append(self.say("history_readings", readings=readings))
        return sentences(*out)
