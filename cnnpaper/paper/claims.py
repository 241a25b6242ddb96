"""Sentences that depend on results, each bound to the condition under which it is true.

Ranking words stand only where the adjusted test of the primary contrast says so; everything else
is an estimate. Every number is a value of the ledger; the words are those of the edition's
language, and a sentence with an empty place is not said. With more networks than :data:`LISTED` a
sentence gives a range, a number, or nothing.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from cnnpaper.paper.ledger import COUNT, PERCENT, POINTS, Cite, Form, Sentence, Value
from cnnpaper.paper.values import (
    MINUTES,
    RATIO,
    SMALL_DIFFERENCE,
    TENTH_PERCENT,
    WHOLE_PERCENT,
    ArmFacts,
    Values,
)
from cnnpaper.paper.words import Phrase, sentences
from cnnpaper.study import analysis

LISTED = 6
ENOUGH_SEEDS = 5
ALIKE = 1.1  # throughputs whose ratio is smaller are called alike


class Claims:
    """Writes the sentences of one study in the language of its values."""

    def __init__(self, values: Values) -> None:
        self.values, self.words, self.found = values, values.words, values.found
        self.data, self.study = values.data, values.study
        self.number, self.name = values.number, values.name
        plan = self.study.contrast
        self.tested_arm = plan.arm if plan else None
        self.baseline = plan.baseline if plan else None
        self.record: list[tuple[str, str, str]] = []
        """Sentences said so far: kind, what they are about, and text."""

    def say(self, kind: str, **parts: Phrase | None) -> Sentence:
        """A sentence, which is recorded; none where a place of it stays empty."""
        found = self.words.say(kind, **parts)
        if found:
            subject = ", ".join(part for part in parts.values() if isinstance(part, str))
            self.record.append((kind, subject, str(found)))
        return found

    def phrases(self, kind: str, values: Mapping[str, Value | None]) -> Sentence:
        """A phrase for each value by name: ``77.61% for ResNet-18 and 65.21% for AlexNet``."""
        said = (self.words.say(kind, name=name, value=value) for name, value in values.items())
        return self.listing([phrase for phrase in said if phrase])

    def listing(self, phrases: Sequence[Sentence]) -> Sentence:
        """Phrases of a network each; nothing where they are many."""
        return self.words.listing(phrases) if len(phrases) <= LISTED else Sentence()

    def names(self, found: Iterable[Any]) -> Sentence:
        return self.words.listing(self.name(row.model) for row in found)

    def named(self, found: Iterable[Any], attribute: str) -> dict[str, Value]:
        """One value of findings by the names of their networks."""
        return {self.name(row.model): self.values.of(row)[attribute] for row in found}

    def label(self, arm: str | None) -> str:
        """What an arm is called; nothing where there is none."""
        return self.words.label("arm", arm) if arm else ""

    def ends(
        self, key: str, found: Sequence[tuple[float, Any]], form: Form, formula: str
    ) -> dict[str, Phrase]:
        """The lowest and the highest of numbers, each with its measurement."""
        ordered = sorted(found, key=lambda pair: pair[0])
        ends = ("low", "lowest", ordered[0]), ("high", "highest", ordered[-1])
        return {
            place: self.number(f"{key}.{name}", exact, form, f"{name} {formula}",
                               self.values.timed(row))
            for place, name, (exact, row) in ends
        }  # fmt: skip

    # ------------------------------------------------------------------------- abstract

    def state(self) -> Sentence:
        values, done = self.values, len(self.data.logs)
        kind = "some" if self.data.missing else "all_one" if done == 1 else "all"
        return self.say(f"state_{kind if done else 'none'}", done=values.done,
                        declared=values.declared, missing=values.missing)  # fmt: skip

    def abstract(self) -> Sentence:
        """The results of the arm of the contrast, or else of the first one that has accuracies."""
        arms = [self.tested_arm, *(arm.key for arm in self.values.arms)]
        arm = next((arm for arm in arms if self.means(arm)), None)
        if arm is None or not self.data.logs:
            kind = "abstract_partial" if self.data.logs else "abstract_none"
            return self.say(kind, done=self.values.done, declared=self.values.declared)
        return sentences(self.accuracies(arm, long=True), self.differences(), self.answer(),
                         self.elsewhere(), self.others())  # fmt: skip

    def elsewhere(self) -> Sentence:
        """That equal time is computed: no run was made on the processor of the budgets."""
        budget = self.study.budget
        found = {run.header.machine.processor for run in self.data.logs.values()}
        if budget is None or not found or budget.processor in found:
            return Sentence()
        uneven = self.uneven()
        kind = "elsewhere_uneven" if uneven else "elsewhere"
        return self.say(kind, entries=uneven)

    def others(self) -> Sentence:
        """The estimated differences of the arms that are not tested."""
        said: list[Sentence] = []
        for arm in self.values.arms:
            said.append(self._differences_of(arm, "others_also" if any(said) else "others"))
        return sentences(*said)

    def _differences_of(self, arm: ArmFacts, kind: str) -> Sentence:
        planned = self.values.seeds_planned(arm)
        whole = "" if arm.complete.exact == planned.exact else "_so_far"
        entries = self.phrases("other_of", self.named(self._distant(arm.key), "difference"))
        return self.say(f"{kind}{whole}", where=self._where(arm.key), entries=entries,
                        baseline=self.contrast_baseline(), complete=arm.complete,
                        planned=planned)  # fmt: skip

    def means(self, arm: str | None) -> dict[str, dict[str, Any]]:
        """Networks of an arm that have a mean test accuracy, with it."""
        if arm is None:
            return {}
        found = {e: self.values.mean(arm, e, "test_acc") for e in self.values.entries(arm)}
        return {entry: mean for entry, mean in found.items() if mean}

    # ------------------------------------------------------------------------- accuracy

    def accuracies(self, arm: str | None, *, long: bool = False) -> Sentence:
        """Mean test accuracy of every network of an arm, or their range where they are many; the
        ``long`` form has its minutes or epochs, for readers who do not know the arm."""
        means = self.means(arm)
        if arm is None or not means:
            return Sentence()
        n, name = next(iter(means.values()))["n"], self.values.entry_name
        entries = self.phrases("percent_for", {name(e): m["mean"] for e, m in means.items()})
        if not entries:
            low, *_, high = sorted((mean["mean"] for mean in means.values()), key=lambda v: v.exact)
            entries = self.words.say("range", low=low, high=high)
        suffix, parts = self._length(arm) if long else ("_of_arm", {"arm": self.label(arm)})
        one = "_one" if n.exact == 1 else ""
        return self.say(f"accuracies{one}{suffix if arm else ''}", n=n, **parts, entries=entries)

    def _length(self, arm: str) -> tuple[str, dict[str, Phrase]]:
        """How long the runs of an arm are: the end of a sentence's kind, and its part."""
        if arm in self.found.budget_s:
            return "_in_time", {"minutes": self._minutes(arm)}
        if arm and (epochs := self.values.arm(arm).epochs):
            return "_after", {"epochs": epochs}
        return "_of_arm", {"arm": self.label(arm)}

    def _where(self, arm: str) -> Sentence:
        """The same as the beginning of a sentence."""
        suffix, parts = self._length(arm)
        return self.words.say(f"where{suffix}", **parts)

    def arm(self, arm: ArmFacts) -> Sentence:
        """What the results say of an arm, without the primary contrast."""
        said = self._distances(arm.key) or self.accuracies(arm.key)
        return sentences(self._arm_state(arm), said, self._lost(arm), self._mixed(arm))

    def _distant(self, arm: str | None) -> list[analysis.Distance]:
        """How far networks are from the baseline where no test is made."""
        return [r for r in self.found.distances if (r.arm, r.other) == (arm, self.baseline)]

    def _distances(self, arm: str) -> Sentence:
        return self.say("distances", where=self._where(arm), baseline=self.contrast_baseline(),
                        entries=self._estimates(self._distant(arm)))  # fmt: skip

    def clock(self, arm: str) -> Sentence:
        """How long a step took in the runs of the first arm of equal time."""
        if arm != self.timed_arm:
            return Sentence()
        said = []
        for model, ratio in self._run_ratios.items():
            kind = "ratio_of" if ratio["low"] is None else "ratio_range"
            said.append(self.words.say(kind, name=self.name(model), **ratio))
        entries = self.listing(said)
        if not entries:
            return Sentence()
        logs = self.values.logs(self.values.specs(arm))
        types = {run.header.machine.processor: run for run in logs}
        sources, what = self.values.headers(types.values()), "types of processor"
        count = self.values.count(f"{arm}.processors", len(types), sources, what)
        kind = "clock" if len(types) == 1 else "clock_many"
        like = self.budget_like()
        even = self.names([r for r, _ in self._others() if r.model not in self._shares])
        uneven = self.say(f"clock_uneven{'_some' * bool(even)}", like=like, names=even,
                          entries=self.uneven())  # fmt: skip
        mixed = any(key == arm for key, _ in self.data.mixed_processors)
        alike = self.say("clock_alike") if len(types) > 1 and not mixed else Sentence()
        took = self.say(kind, like=like, count=count, entries=entries)
        return sentences(took, alike, uneven, self._at_stake())

    @property
    def timed_arm(self) -> str | None:
        return next(iter(self.found.budget_s), None)

    @cached_property
    def _run_ratios(self) -> dict[str, dict[str, Value | None]]:
        """Time of a step in the runs, relative to the network of the budget; by network: the median
        ``value`` over seeds, and the ``low`` and ``high`` of several."""
        arm, like = self.timed_arm or "", self.study.budget.like if self.study.budget else ""
        step_s, paths = {}, {}
        for spec in self.values.specs(arm):
            run = self.data.logs.get(spec.path)
            if run and run.result and run.result.status == "finished" and run.result.train_s:
                key = spec.model, spec.seed
                step_s[key], paths[key] = run.result.train_s / spec.steps, spec.path
        found = {}
        for model in self.study.networks:
            pairs = [((model, s), (like, s)) for m, s in step_s if m == model != like]
            pairs = [(own, base) for own, base in pairs if base in step_s]
            if pairs:
                ratios = [step_s[own] / step_s[base] for own, base in pairs]
                sources = [self.values.result(paths[key]) for pair in pairs for key in pair]
                places = {
                    "value": ("median", statistics.median(ratios)),
                    "low": ("smallest", min(ratios)),
                    "high": ("largest", max(ratios)),
                }
                found[model] = {
                    place: self.number(
                        f"{arm}.{model}.run_ratio.{what}", exact, RATIO,
                        f"{what} over seeds of the ratio of train_s per step", sources,
                    ) if len(ratios) > 1 or place == "value" else None
                    for place, (what, exact) in places.items()
                }  # fmt: skip
        return found

    def uneven(self) -> Sentence:
        """The steps that the same time would mean where the runs were made, of networks that were
        slower or faster there than the budgets take them to be."""
        said = []
        for row, _ in self._others():
            if share := self._shares.get(row.model):
                other = self.number(
                    f"{self.timed_arm}.{row.model}.other_steps", abs(share - 1), WHOLE_PERCENT,
                    "ratio of the budgets / ratio of the runs, minus one, without sign",
                    [*self.values.timed(row), *self._median_ratios[row.model].sources],
                )  # fmt: skip
                kind = "steps_more" if share > 1 else "steps_fewer"
                said.append(self.words.say(kind, name=self.name(row.model), value=other))
        return self.listing(said)

    @property
    def _median_ratios(self) -> dict[str, Value]:
        return {model: value for model, one in self._run_ratios.items() if (value := one["value"])}

    @cached_property
    def _shares(self) -> dict[str, float]:
        """Steps in the same time where the runs were made, over those of the budget; of networks
        for which these differ."""
        known = self._median_ratios
        shares = {r.model: ratio / _exact(known[r.model]) for r, ratio in self._others()
                  if r.model in known}  # fmt: skip
        return {model: one for model, one in shares.items() if max(one, 1 / one) > ALIKE}

    def _at_stake(self) -> Sentence:
        """What the steps of :meth:`uneven` may change in the primary comparison."""
        if self.timed_arm != self.tested_arm:
            return Sentence()
        more = [row for row in self.found.contrasts if self._shares.get(row.model, 1) > 1]
        return sentences(
            *(self.say("clock_ahead", name=self.name(row.model), baseline=self.contrast_baseline())
              for row in more if row.significant and row.difference > 0),
            *(self._with_more_steps(row.model, arm.key)
              for row in more if not row.significant for arm in self.values.arms),
        )  # fmt: skip

    def _with_more_steps(self, model: str, arm: str) -> Sentence:
        """How a network fares in an arm that gives it more steps, and the baseline as many."""
        steps = {(spec.arm, spec.model): spec.steps for spec in self.data.specs}
        tested, like = self.tested_arm, self.baseline or ""
        row = next((row for row in self._distant(arm) if row.model == model), None)
        more = steps[arm, model] / steps[tested, model] - 1
        if row is None or more <= 0 or steps[arm, like] != steps[tested, like]:
            return Sentence()
        value = self.number(f"{arm}.{model}.more_steps", more, WHOLE_PERCENT,
                            "steps in this arm / steps in the tested arm, minus one",
                            self.values.of_study(f"arm.{tested}.steps"))  # fmt: skip
        said = self.say("clock_open", name=self.name(model), arm=self.label(arm), value=value,
                        baseline=self.contrast_baseline(),
                        difference=self.values.of(row)["difference"])  # fmt: skip
        low, high = row.interval or (0.0, 0.0)
        apart = [self.say("clock_sensitive", name=self.name(model))] * (low > 0 or high < 0)
        return sentences(said, *apart)

    def accuracy_caption(self) -> Sentence:
        timed = "timed" if self.found.timing else "untimed"
        several = any(int(arm.complete.exact or 0) > 1 for arm in self.values.arms)
        say = self.words.say
        return sentences(say("accuracy_caption"), say(f"accuracy_caption_{timed}"),
                         say(f"accuracy_caption_{'many' if several else 'one'}",
                             level=self.values.level()))  # fmt: skip

    def _arm_state(self, arm: ArmFacts) -> Sentence:
        if arm.complete.exact and arm.done.exact == arm.declared.exact:
            return Sentence()
        kind = {0: "arm_none", 1: "arm_some_one"}.get(int(arm.complete.exact or 0), "arm_some")
        kind = kind if arm.done.exact else "arm_open"
        return self.say(kind, done=arm.done, declared=arm.declared, complete=arm.complete)

    def _lost(self, arm: ArmFacts) -> Sentence:
        entries = self.values.entries(arm.key)
        counts = {e: self.values.diverged_of(arm.key, e) for e in entries}
        return sentences(*(
            self.say("diverged_one" if count.exact == 1 else "diverged",
                     name=self.values.entry_name(entry), count=count)
            for entry, count in counts.items() if count.exact
        ))  # fmt: skip

    def _mixed(self, arm: ArmFacts) -> Sentence:
        """Seeds whose networks were trained on different processors."""
        seeds = [seed for key, seed in self.data.mixed_processors if key == arm.key]
        if not seeds:
            return Sentence()
        logs = self.values.logs(s for s in self.values.specs(arm.key) if s.seed in seeds)
        what = "seeds whose networks were trained on different types of processor"
        count = self.values.count(f"{arm.name}.mixed", len(seeds), self.values.headers(logs), what)
        return self.say("mixed_one" if len(seeds) == 1 else "mixed", count=count)

    def few_seeds(self) -> Sentence:
        """How little the seeds say, where they are few."""
        counts = [arm.complete for arm in self.values.arms if arm.complete.exact]
        if not counts or min(map(_exact, counts)) >= ENOUGH_SEEDS:
            return Sentence()
        least, most = min(counts, key=_exact), max(counts, key=_exact)
        kind = "range" if _exact(least) < _exact(most) else "one" if least.exact == 1 else "all"
        return self.say(f"few_seeds_{kind}", n=least, most=most)

    # ------------------------------------------------------------------------- contrast

    def contrast_arm(self) -> str:
        return self.label(self.tested_arm)

    def contrast_baseline(self) -> str:
        return self.name(self.baseline) if self.baseline else ""

    def primary(self) -> Sentence:
        """The primary contrast: it ranks where the adjusted test is significant, and only there."""
        rows = self.found.contrasts
        if not rows:
            return self.say("contrast_none", arm=self.contrast_arm())
        if len(rows) <= LISTED:
            return sentences(*map(self._contrast, rows), self.untested())
        significant, source = sum(row.significant for row in rows), self.values.of_study("contrast")
        return self.say(
            "contrast_count", baseline=self.contrast_baseline(),
            count=self.values.count("significant", significant, source, "contrasts"),
            all=self.values.count("contrasts", len(rows), source, "contrasts"),
        )  # fmt: skip

    def _better(self) -> list[analysis.Contrast]:
        return [row for row in self.found.contrasts if row.significant and row.difference > 0]

    def _behind(self) -> list[analysis.Distance]:
        """How far networks that are more accurate than the baseline are from the first of them."""
        better = {row.model for row in self._better()}
        return [row for row in self.found.distances if {row.model, row.other} <= better]

    def _foremost(self, behind: Sequence[analysis.Distance]) -> str:
        return self.name(behind[0].other) if behind else ""

    def untested(self) -> Sentence:
        """How far networks are apart that are all more accurate than the baseline."""
        rows = self._behind()
        return self.say("untested", name=self._foremost(rows), entries=self._estimates(rows))

    def _contrast(self, row: analysis.Contrast) -> Sentence:
        found = self.values.of(row)
        p: Value = found["p_holm"]
        parts = {
            "name": self.name(row.model), "baseline": self.contrast_baseline(),
            "difference": found["difference"], "size": found["size"], "level": self.values.level(),
            **vars(found["interval"]),
            "p": Sentence((p,)) if p.text.startswith("<") else Sentence(("=\N{NO-BREAK SPACE}", p)),
        }  # fmt: skip
        if row.significant:
            kind = "more" if row.difference > 0 else "less"
            return self.say(f"contrast_{kind}{'_small' * (row.size < SMALL_DIFFERENCE)}", **parts)
        if found["detectable"] is None:
            return self.say("contrast_open", **parts)
        n = self.values.arm(self.tested_arm or "").complete
        return self.say("contrast_open_power", **parts, n=n, detectable=found["detectable"],
                        power=self.values.power())  # fmt: skip

    def differences(self) -> Sentence:
        """The contrasts in one sentence; :meth:`primary` where there are none, or too many."""
        said = []
        for row in self.found.contrasts:
            found = self.values.of(row)
            said.append(self.words.say("difference_of", difference=found["difference"],
                                       name=self.name(row.model),
                                       **vars(found["interval"])))  # fmt: skip
        known = self.say("differences", baseline=self.contrast_baseline(),
                         entries=self.listing(said), level=self.values.level())  # fmt: skip
        return known or self.primary()

    def answer(self) -> Sentence:
        """Which network to train: one that the contrast singles out, or those that it leaves."""
        better, rows = self._better(), self.found.contrasts
        still_open = [row for row in rows if not row.significant]
        if not rows:
            return Sentence()
        names = [self.name(row.model) for row in better or still_open or rows]
        kind = "better" if better else "open" if still_open else "baseline"
        if kind == "open":
            names.append(self.contrast_baseline())
        in_time = self.tested_arm in self.found.budget_s
        where = self.words.say("in_time" if in_time else "in_arm", arm=self.contrast_arm())
        one, like = "_one" if len(names) == 1 else "", self.contrast_baseline()
        said = self.say(f"answer_{kind}{one}", where=where, baseline=like,
                        names=self.words.listing(names))  # fmt: skip
        if not better:
            return said
        unresolved = self.say("unresolved", names=self.names(still_open), baseline=like)
        pairs = self.say("untested_pairs", baseline=like) if len(rows) > 1 else Sentence()
        return sentences(said, unresolved, pairs)

    def conclusion(self) -> Sentence:
        """The answer, with the time for which it holds."""
        arm = self.tested_arm
        minutes = self._minutes(arm) if arm and arm in self.found.budget_s else None
        better = self._better()
        kind = "preferable_one" if len(better) == 1 else "preferable"
        return sentences(self.say("within", minutes=minutes), self.answer(),
                         self.say(kind, names=self.names(better),
                                  baseline=self.contrast_baseline()),
                         self.say("foremost", name=self._foremost(self._behind())))  # fmt: skip

    # ------------------------------------------------------------------------- time

    def _others(self) -> list[tuple[analysis.StepTime, float]]:
        """The other networks than the budget's, with their ratios to it."""
        like = self.study.budget.like if self.study.budget else None
        return [(row, row.ratio) for row in self.found.timing if row.ratio and row.model != like]

    def steps_instead(self) -> Sentence:
        """How many steps each network makes in the time of one of the budget's network."""
        formula = "1 / median of the paired ratio"
        steps = {
            self.name(row.model): self.number(f"timing.{row.model}.per_base_step", 1 / ratio, RATIO,
                                              formula, self.values.timed(row))
            for row, ratio in self._others()
        }  # fmt: skip
        entries = self.phrases("steps_for", steps)
        return self.say("steps_instead", like=self.budget_like(), entries=entries)

    def budget_steps(self) -> Sentence:
        """The steps of the budget's network in each arm of equal time."""
        form, formula = Form(unit="steps"), "as the study file says"
        sources = self.values.of_study("budget.steps")
        planned = self.study.budget.steps if self.study.budget else {}
        return self.phrases("budget_of", {
            self.label(arm): self.number(f"budget.{arm}.steps", steps, form, formula, sources)
            for arm, steps in planned.items()
        })  # fmt: skip

    def budget_like(self) -> str:
        return self.name(self.study.budget.like) if self.study.budget else ""

    def timing(self) -> Sentence:
        """Step times relative to the budget's network, ranked where the interval excludes 1,
        whether the machine was idle, and how far step times of later sessions are from these."""
        entries = []
        for row, _ in self._others():
            low, high = row.ratio_interval or (1.0, 1.0)
            kind = "ratio_open" if low <= 1 <= high else "ratio_of"
            entries.append(self.phrases(kind, self.named([row], "ratio")))
        ratios = self.say("ratios", like=self.budget_like(), entries=self.listing(entries))
        kind = "timing_contended" if self.found.timing_contended else "timing_idle"
        idle, shifts = self.say(kind, share=self.values.contended()), self.found.shifts
        if not shifts:
            return sentences(ratios, idle)
        ends = self.ends("timing.shift", [(shift.ratio, shift) for shift in shifts], RATIO,
                         "ratio to this session's step time")  # fmt: skip
        return sentences(ratios, idle, self.say("shift", **ends))

    def one_session(self) -> Sentence:
        """That nothing later checked the times."""
        alone = self.found.timing and not self.found.shifts
        return self.say("one_session") if alone else Sentence()

    def timing_caption(self) -> Sentence:
        say, sources = self.words.say, self.values.timed(self.found.timing[0])
        parts: dict[str, Phrase] = {
            name: self.number(f"timing.{name}", getattr(self.found, f"timing_{name}"), COUNT,
                              "as recorded", sources)
            for name in ("rounds", "steps", "batch", "threads")
        }  # fmt: skip
        return sentences(say("timing_caption", machine=self.values.timing_machine,
                             level=self.values.level(), **parts),
                         say("timing_caption_ratio", like=self.budget_like()))  # fmt: skip

    def budget(self) -> Sentence:
        """The time that the budget's network needs for its steps, in minutes."""
        return self.say("budget", entries=self.budget_minutes())

    def budget_minutes(self) -> Sentence:
        """The minutes of each arm of equal time."""
        minutes = {self.label(arm): self._minutes(arm) for arm in self.found.budget_s}
        return self.phrases("budget_minutes", minutes)

    def _minutes(self, arm: str) -> Value:
        assert self.study.budget is not None
        row = self.values.step_time(self.study.budget.like)
        assert row is not None
        key, formula = f"budget.{arm}.minutes", "median step × steps of the network"
        seconds, steps = self.found.budget_s[arm], self.values.of_study("budget.steps")
        return self.number(key, seconds, MINUTES, formula, [*self.values.timed(row), *steps])

    def throughput(self) -> Sentence:
        """Why step times differ: operations per second, and what takes the rest."""
        rows = [row for row in self.found.timing if row.gmac_per_s]
        if len(rows) < 2 or len(rows) > LISTED:
            return Sentence()
        speeds = {row.model: self.values.of(row)["gmac_per_s"] for row in rows}
        order = sorted(speeds, key=lambda model: speeds[model].exact)
        slow, near, fast = order[0], order[1], order[-1]
        apart = speeds[fast].exact > ALIKE * speeds[slow].exact
        out = [self.say("throughput" if apart else "throughput_alike", low=speeds[slow],
                        high=speeds[fast])]  # fmt: skip
        layers = {model: self.values.network(model)["layers"] for model in speeds}
        own, few = layers[slow], layers[near]
        if own is not None and own.exact == max(v.exact for v in layers.values() if v):
            run = self.values.log_of(slow)
            edges = run.header.network.edges if run else ()
            branches = any(end.startswith("cat") for edge in edges for end in edge)
            kind = "throughput_branches" if branches else "throughput_layers"
            source = Cite(("ma2018shufflenet",))
            out.append(self.say(kind, name=self.name(slow), layers=own, source=source))
            alike = speeds[near].exact < ALIKE * speeds[slow].exact
            if alike and few is not None and 2 * few.exact < own.exact:
                out.append(self.say("throughput_near", name=self.name(near), layers=few))
        return sentences(*out, self._optimizer({row.model: row for row in rows}))

    def sections_excess(self) -> Sentence:
        """How far the sections, measured by hooks in a round of their own, exceed the medians."""
        excess = [
            (sum(row.sections.values()) / row.step_s - 1, row)
            for row in self.found.timing if row.sections
        ]  # fmt: skip
        if not excess or min(exact for exact, _ in excess) < 0:
            return self.say("sections_differ")
        ends = self.ends("timing.sections", excess, WHOLE_PERCENT,
                         "sum of the sections / median step, minus one")  # fmt: skip
        _, most = max(excess, key=lambda pair: pair[0])
        return self.say("sections_exceed", **ends, name=self.name(most.model))

    def _optimizer(self, rows: dict[str, analysis.StepTime]) -> Sentence:
        """The network whose optimizer takes the largest share of a step."""
        shares = {
            model: row.sections["optimizer"] / sum(row.sections.values())
            for model, row in rows.items() if row.sections.get("optimizer")
        }  # fmt: skip
        if len(shares) < 2:
            return Sentence()
        model = max(shares, key=lambda name: shares[name])
        key, sources = f"timing.{model}.optimizer_share", self.values.timed(rows[model])
        formula = "optimizer / sum of the sections"
        share = self.number(key, shares[model], WHOLE_PERCENT, formula, sources)
        sizes = {name: self.values.network(name) for name in rows}
        loads = {
            name: size["parameters"].exact / size["macs"].exact
            for name, size in sizes.items() if size["parameters"] and size["macs"]
        }  # fmt: skip
        most = len(loads) == len(rows) and max(loads, key=lambda name: loads[name]) == model
        kind = "optimizer_parameters" if most else "optimizer"
        return self.say(kind, name=self.name(model), share=share)

    # ------------------------------------------------------------------------- studies named

    def search(self) -> Sentence:
        """How the rates were searched, where it was in two stages of equal time."""
        study = self.data.tuning.study if self.data.tuning else None
        if study is None or study.budget is None or len(study.grid) != 1:
            return Sentence()
        rates, steps = sorted(*study.grid.values()), study.budget.steps
        doubled = all(b == 2 * a for a, b in itertools.pairwise(rates))
        if len(steps) != 2 or len(study.arm) != 2 or not doubled:
            return Sentence()
        grid = self.values.of_study("grid.peak_learning_rate", name=study.name)
        budget = self.values.of_study("budget.steps", name=study.name)
        first, second = (
            self.number(f"tuning.steps.{stage}", count, Form(unit="steps"),
                        "as the study file says", budget)
            for stage, count in steps.items()
        )  # fmt: skip
        return self.say(
            "search", like=self.name(study.budget.like), first=first, second=second,
            count=self.values.count("rates", len(rates), grid, "rates"),
            low=self.values.add("tuning.rate.low", rates[0], grid),
            high=self.values.add("tuning.rate.high", rates[-1], grid),
        )  # fmt: skip

    def tuning(self) -> Sentence:
        trials, winners = self.found.trials, self.found.winners
        if not winners:
            return self.say("tuning_open")
        chosen, formula = {}, "best validation accuracy of the last stage"
        for model, rate in winners.items():
            own = [self.values.result(t.path) for t in trials if (t.model, t.rate) == (model, rate)]
            key = f"tuning.winner.{model}"
            chosen[self.name(model)] = self.values.add(key, rate, own, formula=formula)
        if len(chosen) > LISTED:
            return self.say("tuning_many")
        finished = len(winners) == len({trial.model for trial in trials})
        kind = "tuning" if finished else "tuning_some"
        return self.say(kind, entries=self.phrases("rate_for", chosen))

    def _scores(self, stage: str) -> dict[str, list[analysis.Trial]]:
        """The trials of a stage by network."""
        found: dict[str, list[analysis.Trial]] = {}
        for trial in self.found.trials:
            if trial.stage == stage:
                found.setdefault(trial.model, []).append(trial)
        return found

    def rates(self) -> Sentence:
        """What the rate's choice is worth, in the first stage."""
        worth, formula = {}, "largest minus smallest val_acc over the rates"
        for model, trials in self._scores(self.found.trials[0].stage).items():
            scores = [trial.val_acc for trial in trials]
            if len(scores) > 1:
                worth[self.name(model)] = self.number(
                    f"tuning.{model}.range", max(scores) - min(scores), TENTH_PERCENT, formula,
                    [self.values.result(trial.path) for trial in trials],
                )  # fmt: skip
        return sentences(self.say("rates", entries=self.phrases("points_for", worth)),
                         self._lead())  # fmt: skip

    def _lead(self) -> Sentence:
        """By how much the chosen rates are ahead in the last stage, and how exact that is."""
        rows = self.found.leads
        if not rows:
            return Sentence()
        said = [self.words.say("lead_for", name=self.name(row.model), **self.values.of(row))
                for row in rows]  # fmt: skip
        near = [row for row in rows if row.lead < 2 * row.error]
        kind = "lead_open_all" if len(near) == len(rows) else "lead_open"
        stage = self.words.label("stage", self.found.trials[-1].stage)
        return sentences(self.say("lead", stage=stage, n=self.values.images["validation"],
                                  entries=self.listing(said)),
                         self.say(kind, names=self.names(near)))  # fmt: skip

    def precision(self) -> Sentence:
        found = self.found.precision
        if found is None or found.bound is None:
            return self.say("precision_open")
        sources = [self.values.result(path) for row in found.changes for path in row.paths]
        mean = "mean over pairs, bfloat16 minus float32"
        bound = f"one-sided lower limit of the {mean}"
        decided = self.say(
            "precision_stands" if found.stands else "precision_falls",
            mean=self.number("precision.mean", found.mean, POINTS, mean, sources),
            bound=self.number("precision.bound", found.bound, PERCENT, bound, sources),
            level=self.values.level(), margin=self.values.margin(),
        )  # fmt: skip
        enough = len({row.n for row in found.changes}) == 1
        return sentences(decided, self.say("precision_enough") if enough else Sentence())

    # ------------------------------------------------------------------------- discussion

    def gain(self) -> Sentence:
        """What the longer budget buys each network."""
        return self._changes("gain", self.found.gains)

    def speed(self) -> Sentence:
        """What the steps buy that equal time gives to faster networks."""
        rows = self.found.speed
        if not rows:
            return Sentence()
        machines = [self._processors(arm) for arm in rows[0].arms]
        kind = "" if len(set().union(*machines)) == 1 else "_elsewhere"
        return sentences(self._changes("speed", rows), self._direction(rows),
                         self._changes(f"same{kind}", self.found.same),
                         self.say(f"speed_settings{kind}"))  # fmt: skip

    def _direction(self, rows: Sequence[analysis.Gain]) -> Sentence:
        """That more steps went with more accuracy, where they did for every network."""
        steps = {(spec.arm, spec.model): spec.steps for spec in self.data.specs}
        shorter, longer = rows[0].arms
        more = {row.model: steps[longer, row.model] - steps[shorter, row.model] for row in rows}
        gain, lose = ([row for row in rows if sign * more[row.model] > 0] for sign in (1, -1))
        if not (gain and lose) or any(row.difference * more[row.model] <= 0 for row in rows):
            return Sentence()
        return self.say("direction", longer=self.label(longer), gain=self.names(gain),
                        lose=self.names(lose))  # fmt: skip

    def _processors(self, arm: str) -> set[str | None]:
        """Types of processor that the runs of an arm were made on."""
        return {run.header.machine.processor for run in self.values.logs(self.values.specs(arm))}

    def _changes(self, kind: str, rows: Sequence[analysis.Gain]) -> Sentence:
        shorter, longer = map(self.label, rows[0].arms if rows else ("", ""))
        return self.say(kind, shorter=shorter, longer=longer, entries=self._estimates(rows))

    def has_intervals(self) -> bool:
        """Do the sentences on changes between arms have intervals?"""
        return any(row.interval for row in (*self.found.gains, *self.found.speed, *self.found.same))

    def _estimates(self, rows: Sequence[analysis.Gain | analysis.Distance]) -> Sentence:
        """``+5.00 points for AlexNet [4.00, 6.00]``, for each."""
        entries = []
        for row in rows:
            values, form = self.values.of(row), "change_for"
            parts = {"name": self.name(row.model), "value": values["difference"]}
            if interval := values["interval"]:
                form, parts = f"{form}_interval", parts | vars(interval)
            entries.append(self.words.say(form, **parts))
        return self.listing(entries)

    def changes(self) -> Sentence:
        """Which networks the other arms put on the other side of the baseline, as far as intervals
        go; the differences of an arm where there is none."""
        sides = {row.model: row.difference for row in self.found.contrasts if row.significant}
        said = []
        for arm in self.values.arms if len(self.found.contrasts) <= LISTED else ():
            turned = [
                row for row in self._distant(arm.key)
                if row.interval and max(end * sides.get(row.model, 0) for end in row.interval) < 0
            ]  # fmt: skip
            entries = self.phrases("turned_of", self.named(turned, "difference"))
            said.append(self.say("turned", where=self._where(arm.key), entries=entries,
                                 baseline=self.contrast_baseline())
                        or self._differences_of(arm, "others"))  # fmt: skip
        return sentences(*said)

    def longest(self) -> str:
        """The arm whose accuracies stand beside those of others."""
        return self.label(self.values.longest_arm)

    def calibration(self) -> Sentence:
        """On which side confidence errs, and what scaling does."""
        rows = self.found.calibration
        under = [row for row in rows if row.temperature < 1]
        over = [row for row in rows if row.temperature > 1]
        out = []
        for kind, side in (("underconfident", under), ("overconfident", over)):
            if side:
                whole = "_all" * (len(side) == len(rows))
                out.append(self.say(f"{kind}{whole}", names=self.names(side)))
        if self.data.recipe.label_smoothing:
            out.append(self.say(f"calibration_smoothing{'' if over else '_all'}"))
        better = [row for row in rows if row.ece_scaled < row.ece]
        kind = "all" if len(better) == len(rows) else "some" if better else "none"
        return sentences(*out, self.say(f"scaling_{kind}", names=self.names(better)))

    def screening(self) -> Sentence:
        """With how many runs of which networks the shared settings were chosen."""
        trials = self.values.history.get("search", {}).get("trials", {})
        if not trials or set(trials) - set(self.study.networks):
            return Sentence()
        counts = {
            self.name(model): self.values.quoted("history", f"search.trials.{model}",
                                                 key=f"history.trials.{model}")
            for model in sorted(trials, key=self.study.networks.index)
        }  # fmt: skip
        sources = [source for value in counts.values() if value for source in value.sources]
        total = self.number("history.trials", sum(trials.values()), COUNT, "counted", sources)
        return self.say("screening", total=total, entries=self.phrases("trials_of", counts))

    def history(self) -> Sentence:
        """How far apart the scores of one network were that only its recipe tells apart."""
        quoted, spans = partial(self.values.quoted, "history"), {}
        for model in self.study.networks:
            found = [
                value for place in self.values.superseded(model)
                if (value := quoted(f"run.{place}.test_acc", PERCENT,
                                    f"history.{model}.{place}.test_acc"))
            ]  # fmt: skip
            if len(found) > 1:
                exact = [float(value.exact or 0) for value in found]
                spans[self.name(model)] = self.number(
                    f"history.{model}.span", max(exact) - min(exact), PERCENT,
                    "largest minus smallest",
                    [source for value in found for source in value.sources],
                )  # fmt: skip
        readings = quoted("search.readings", key="history.readings")
        if not spans or readings is None:
            return Sentence()
        spanned = self.say("history_spans", entries=self.phrases("points_for", spans))
        return sentences(self.say("history_readings", readings=readings), spanned)


def _exact(value: Value) -> float:
    return float(value.exact or 0)
