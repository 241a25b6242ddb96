"""What a study is and what it found, as values of the ledger: one key, one text.

Templates, tables and claims take them from here, so a number reads the same wherever it is printed.
What is computed is computed in :mod:`cnnpaper.study.analysis`; here it is rounded and given its
sources. The numbers of others are those of ``report/known.toml`` and ``report/history.toml``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partialmethod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cnnpaper.config import RunSpec, read_toml, run_name
from cnnpaper.files import UserError
from cnnpaper.log import CONTENDED, LOG_NAME, PREDICTIONS_NAME, Header, Run
from cnnpaper.paper.ledger import (
    ALPHA,
    COUNT,
    PERCENT,
    POINTS,
    Form,
    Ledger,
    Part,
    PValue,
    Sentence,
    Source,
    Sources,
    Value,
    setting,
)
from cnnpaper.paper.words import Words
from cnnpaper.study import analysis
from cnnpaper.study.imported import TextRun
from cnnpaper.study.precision import MARGIN, Change
from cnnpaper.study.stats import CALIBRATION_BINS, POWER

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

T = TypeVar("T", bound=Hashable)
NUMBER = re.compile(r"(?<![\w×-])(?<!stride )(?<!보폭이 )(?<!보폭을 )(\d+(?:[.,]\d+)*)(?![\d×])")
"""In prose; a kernel's size and stride are none: ``3×3``, ``stride 1``."""
WEIGHTED = ("Conv2d", "Linear")  # layers that the column "layers" counts
LARGE: dict[str, dict[str, tuple[str, float, int]]] = {
    "en": {"parameters": ("millions", 1e-6, 2), "macs": ("millions", 1e-6, 0)},
    "ko": {"parameters": ("10k", 1e-4, 0), "macs": ("100m", 1e-8, 2)},
}
"""In what a language counts parameters and operations (만, 억), and the decimals: the same digits
in both."""
OFF_AT_ZERO = ("clip_norm", "crop_padding")
SMALL_DIFFERENCE = 0.01
SMALL_P = PValue()
WHOLE_PERCENT, TENTH_PERCENT = Form(0, 100.0, "fraction"), Form(1, 100.0, "fraction")
MS, SECONDS, MINUTES = Form(0, 1000.0, "s"), Form(1, unit="s"), Form(1, 1 / 60, "s")
RATIO, RATIO_3, NATS = Form(2), Form(3), Form(3, unit="nats")
RUNS, STEPS, PER_S = Form(unit="runs"), Form(unit="steps"), Form(unit="images/s")
SUMMARIES = {"test_acc": PERCENT, "val_acc": PERCENT, "train_s": MINUTES}
"""Columns of the runs that are summarised, and how."""


class Field(NamedTuple):
    """One attribute of a finding: how it is printed, how it was computed, and its column in a table
    of such findings, with the words above it and its neighbours."""

    form: Form
    formula: str
    column: str = ""
    group: str = ""


def _fields(*rows: tuple[Any, ...]) -> dict[str, Field]:
    return {name: Field(*rest) for name, *rest in rows}


_DIFFERENCE = "difference of mean test_acc, network minus baseline"
_CHANGE = "mean val_acc, bfloat16 minus float32"
_GAIN = "mean test_acc, second arm minus first"
FIELDS: dict[type, dict[str, Field]] = {
    analysis.Contrast: _fields(
        ("difference", POINTS, _DIFFERENCE, "difference_points:difference"),
        ("size", PERCENT, "size of the difference"),
        ("interval", PERCENT, f"simultaneous interval, {_DIFFERENCE}",
         "difference_points_interval:simultaneous"),
        ("p", SMALL_P, "t test over seeds and images", "p"),
        ("p_holm", SMALL_P, "Holm over the contrasts", "p_holm"),
        ("p_welch", SMALL_P, "Welch's t test over seeds, these images", "p_welch"),
        ("detectable", TENTH_PERCENT, "difference detected with the stated power"),
    ),
    analysis.StepTime: _fields(
        ("step_s", MS, "median over rounds of the median step", "step_ms"),
        ("interval", MS, "third and tenth round", "step_ms_interval:interval"),
        ("ratio", RATIO_3, "median of the paired ratio", "ratio"),
        ("ratio_interval", RATIO_3, "third and tenth round of the paired ratio",
         "ratio_interval:interval"),
        ("images_per_s", PER_S, "batch size / median step", "images_per_s:images_s"),
        ("gmac_per_s", Form(unit="GMAC/s"), "3 × MACs of the forward pass × images per s",
         "gmac_per_s:gmacs"),
        ("peak_memory", Form(2, 2.0**-30, "bytes"), "peak memory of the process, in GiB",
         "memory_gib:memory"),
        ("startup_s", SECONDS, "images read, network built, first step done", "startup_s:startup"),
        ("eval_s", SECONDS, "evaluation of the validation images", "evaluation_s:evaluation"),
    ),
    analysis.Budget: _fields(
        ("residual_s", Form(1, unit="s", signed=True), "predicted training time minus budget"),
    ),
    analysis.Trial: _fields(("val_acc", TENTH_PERCENT, "val_acc of the trial")),
    analysis.Lead: _fields(
        ("lead", TENTH_PERCENT, "largest minus second largest val_acc of the last stage"),
        ("error", TENTH_PERCENT, "standard error of that difference over the validation images"),
    ),
    Change: _fields(
        ("n", COUNT, "seeds, counted", "seeds"),
        ("change", POINTS, _CHANGE, "change_points:change"),
        ("interval", PERCENT, _CHANGE, "change_points_interval:interval"),
    ),
    analysis.Calibration: _fields(
        ("temperature", RATIO, "fitted on validation images", "temperature"),
        ("ece", PERCENT, "top-label error, equal-mass bins", "ece_percent:before", "table.ece"),
        ("ece_scaled", PERCENT, "the same after scaling", "ece_scaled_percent:after", "table.ece"),
        ("nll", NATS, "mean negative log-likelihood", "nll_nats:before", "table.nll"),
        ("nll_scaled", NATS, "the same after scaling", "nll_scaled_nats:after", "table.nll"),
    ),
    analysis.Gain: _fields(("difference", POINTS, _GAIN), ("interval", PERCENT, _GAIN)),
    analysis.Distance: _fields(
        ("difference", POINTS, _DIFFERENCE), ("interval", PERCENT, _DIFFERENCE)
    ),
}  # fmt: skip
"""What is printed of each kind of finding."""


@dataclass(frozen=True)
class ArmFacts:
    """One arm of a study, as far as it came."""

    key: str  # as in the study file; "" for a study without arms
    name: str  # of its values and tables; "all" for a study without arms
    label: str
    declared: Value
    done: Value  # runs with a log: finished or diverged
    complete: Value  # seeds that all networks have
    epochs: Value | None  # where its length is a number of epochs


class Values:
    """Enters values of a study into the ledger; the same value may be entered twice."""

    def __init__(
        self, data: StudyData, found: analysis.Findings, ledger: Ledger, sources: Sources,
        words: Words,
    ) -> None:  # fmt: skip
        self.data, self.found, self.words = data, found, words
        self.ledger, self.sources = ledger, sources
        self.root, self.study = data.root, data.study
        self.add, self.number, self.cell = ledger.add, ledger.number, ledger.cell
        self.arm = cache(self._arm)
        logs = data.logs.values()
        lost = [run for run in logs if run.result and run.result.status == "diverged"]
        read = [self.sources.file(run.path, run.line_numbers.get("reading"))
                for run in logs for _ in run.readings]  # fmt: skip
        named, lines = self.of_study("networks"), [self.sources.log(run) for run in lost]
        self.declared = self.count("declared", len(data.specs), named, "runs")
        self.done = self.count("done", len(logs), self.headers(logs), "runs with a result")
        self.missing = self.count("missing", len(data.missing), named, "runs without a log")
        self.diverged = self.count("diverged", len(lost), lines, "runs that diverged")
        self.readings = self.count("readings", len(read), read, "readings of the test images")

    # ------------------------------------------------------------------------- sources

    @property
    def protocol(self) -> str:
        """The study's file, which is its protocol."""
        return f"experiments/study/{self.study.name}.toml"

    def count(self, key: str, number: int, sources: Iterable[Source], what: str) -> Value:
        sources = list(sources) or self.of_study("networks")  # none of those that are declared
        return self.number(f"count.{key}", number, Form(unit=what), f"{what}, counted", sources)

    def of_study(self, *keys: str, name: str = "") -> list[Source]:
        """The line of a study's file that sets the first of ``keys`` that it has."""
        path = self.root / "experiments" / "study" / f"{name or self.study.name}.toml"
        return [self.sources.toml(path, *keys)]

    def of_network(self, model: str, *keys: str) -> list[Source]:
        """The same of a network's file."""
        return [self.sources.toml(self.root / "experiments" / f"{model}.toml", *keys)]

    def headers(self, logs: Iterable[Run]) -> list[Source]:
        return [self.sources.log(run, "header") for run in logs]

    def result(self, path: str) -> Source:
        """The result of a run, of this study or of one that it names."""
        run = next((study.logs[path] for study in self._studies if path in study.logs), None)
        if run is None:
            return self.sources.file(self.root / "results" / "log" / path / LOG_NAME)
        return self.sources.file(run.path, run.line_numbers.get("result"))

    def predictions(self, path: str) -> Source:
        """The predictions of a run of this study, a file without lines."""
        return self.sources.file(self.data.logs[path].path.with_name(PREDICTIONS_NAME))

    def timed(self, row: analysis.StepTime | analysis.Shift) -> list[Source]:
        return [self.sources.file(self.data.timing_path, row.line)]

    @property
    def _studies(self) -> list[StudyData]:
        return [s for s in (self.data, self.data.tuning, self.data.precision) if s is not None]

    def _distinct(self, of: Callable[[Header], Iterable[T | None]]) -> dict[T, list[Source]]:
        """What headers say, each thing once, and the first header that says it."""
        found: dict[T, list[Source]] = {}
        for run in self.data.logs.values():
            for item in filter(None, of(run.header)):
                found.setdefault(item, self.headers([run]))
        return found

    # ------------------------------------------------------------------------- runs

    def specs(self, arm: str) -> list[RunSpec]:
        return [spec for spec in self.data.specs if (spec.arm or "") == arm]

    def logs(self, specs: Iterable[RunSpec]) -> list[Run]:
        return [self.data.logs[spec.path] for spec in specs if spec.path in self.data.logs]

    @cached_property
    def texts(self) -> dict[str, TextRun]:
        """Imported logs by entry."""
        runs = [run for run in self.data.logs.values() if isinstance(run, TextRun)]
        return {run_name(run.header.model, run.label, None): run for run in runs}

    @cached_property
    def names(self) -> Sentence:
        return self.words.listing(self.name(m) for m in self.study.networks)

    def name(self, model: str) -> str:
        known = self.data.experiments.get(model)  # imported logs may be of others
        return model if known is None else known.name

    def entries(self, arm: str) -> list[str]:
        """The networks of an arm, with the variant of their runs where they have one:
        ``resnet18``, ``resnet18-rate0.05``."""
        return list(self.texts) or list(dict.fromkeys(map(analysis.entry_of, self.specs(arm))))

    def entry_name(self, entry: str) -> str:
        if entry in self.texts:
            return self.texts[entry].label
        model, _, variant = entry.partition("-")
        return f"{self.name(model)} {variant}" if variant else self.name(model)

    @cached_property
    def arms(self) -> list[ArmFacts]:
        return [self.arm(key or "") for key in self.study.arms]

    def _arm(self, key: str) -> ArmFacts:
        """One arm; ``""`` is the one of a study without arms."""
        arm, prefix, where = self.study.arms[key or None], key or "all", f"arm.{key}." * bool(key)
        sources = self._of_seeds(key)
        specs, complete, epochs = self.specs(key), len(self.data.complete_seeds(key)), None
        logs = self.logs(specs)
        made = self.headers(logs)
        if arm.epochs is not None:
            length = self.of_study(f"{where}epochs", f"arm.{key}")
            epochs = self.add(f"{prefix}.epochs", arm.epochs, length, unit="epochs")
        return ArmFacts(
            key, prefix, self.words.label("arm", key) if key else "",
            declared=self.count(f"{prefix}.declared", len(specs), sources, "runs"),
            done=self.count(f"{prefix}.done", len(logs), made, "runs with a result"),
            complete=self.count(f"{prefix}.complete", complete, made,
                                "seeds that all networks have"),
            epochs=epochs,
        )  # fmt: skip

    def _of_seeds(self, arm: str) -> list[Source]:
        return self.of_study(f"arm.{arm}.seeds" if arm else "seeds", f"arm.{arm}")

    def seeds(self, place: str, seeds: Iterable[int], sources: list[Source]) -> Sentence:
        return self.words.listing(
            self.add(f"{place}.seed.{seed}", seed, sources, text=str(seed), unit="seed")
            for seed in seeds
        )

    def seeds_of(self, arm: ArmFacts) -> Sentence:
        """The seeds that an arm declares."""
        seeds = self.study.arms[arm.key or None].seeds
        return self.seeds(arm.name, seeds, self._of_seeds(arm.key))

    def seeds_planned(self, arm: ArmFacts) -> Value:
        """How many these are."""
        seeds, what = self.study.arms[arm.key or None].seeds, "declared seeds"
        return self.count(f"{arm.name}.declared_seeds", len(seeds), self._of_seeds(arm.key), what)

    def epoch_steps(self) -> Value | None:
        """Steps of an epoch, where all networks have as many."""
        counts = {spec.steps_per_epoch for spec in self.data.specs}
        if len(counts) != 1:
            return None
        formula = "training images / batch size, rounded up"
        return self.number("epoch.steps", counts.pop(), COUNT, formula, self.of_study("data"))

    @property
    def longest_arm(self) -> str | None:
        """The arm with the most steps, all networks together, of those that have accuracies."""
        known = {arm for arm, _, column in self.found.summaries if column == "test_acc"}
        steps = {arm: [spec.steps for spec in self.specs(arm)] for arm in sorted(known)}
        return max(steps, key=lambda arm: sum(steps[arm]) / len(steps[arm]), default=None)

    @property
    def curves_arm(self) -> str:
        """The arm with the most epochs, whose learning curves are drawn; while runs are made, of
        the arms that have a seed of all networks."""
        longest = self.data.epochs.groupby("arm", observed=True)["epoch"].max()
        whole = [arm for arm in longest.index if self.data.complete_seeds(str(arm))]
        return str((longest.loc[whole] if whole else longest).idxmax())

    @property
    def curves_of_one_seed(self) -> bool:
        """Is every learning curve that of a single run?"""
        runs = [spec for spec in self.specs(self.curves_arm) if spec.path in self.data.logs]
        return len(runs) == len({analysis.entry_of(spec) for spec in runs})

    @cached_property
    def date(self) -> Value | None:
        """The day on which the last run was started; None where no log says."""
        known = self._distinct(lambda header: [header.started])
        if not known:
            return None
        last, formula = max(known), "day on which the last run was started"
        return self.add("study.date", last, known[last], text=last[:10], formula=formula)

    # ------------------------------------------------------------------------- data, recipe

    @cached_property
    def images(self) -> dict[str, Value]:
        form, formula = Form(unit="images"), "as the study file says, or its default"
        return {
            name: self.number(f"data.{name}", getattr(self.study.data, f"{name}_images"), form,
                              formula, self.of_study(f"data.{name}_images", "data"))
            for name in ("train", "validation", "test")
        }  # fmt: skip

    @cached_property
    def digest(self) -> Value | None:
        """The first twelve digits of the digest of the images."""
        found = self._distinct(lambda header: [header.data.digest])
        if self.study.data.digest is not None:
            found = {self.study.data.digest: self.of_study("data.digest")}
        given = next(iter(found.items()), None)
        return self.add("data.digest", *given, text=given[0][:12]) if given else None

    @cached_property
    def address(self) -> Value | None:
        """Where the images can be fetched, if a log says; twelve digits of a commit are printed."""
        found = self._distinct(lambda header: [header.data.address])
        if not found:
            return None
        address, sources = next(iter(found.items()))
        text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", address)
        return self.add("data.address", address, sources, text=text)

    def recipe_value(self, key: str, model: str | None = None) -> Value:
        """One key of the recipe, as one network has it, with the file that decides it."""
        own = self.data.experiments[model].override if model else {}
        value, place = getattr(self.data.recipe, key), f"recipe.{key}"
        sources = [self.sources.toml(self.root / "experiments" / "recipe.toml", key)]
        if model and key in own:
            value, place = own[key].value, f"{model}.{place}"
            sources = self.of_network(model, f"override.{key}")
        elif key in self.study.override:
            value, sources = self.study.override[key].value, self.of_study(f"override.{key}")
        if key in OFF_AT_ZERO and value == 0:
            text = self.words.text("value.none")
        elif isinstance(value, bool | str):
            text = self.words.label("value", str(value).lower())
        else:
            text = setting(value)
        return self.add(place, value, sources, text=text)

    def prose(self, model: str, name: str) -> Sentence:
        """``idea`` or ``stem`` of a network in the edition's language."""
        experiment, field = self.data.experiments[model], f"{name}_{self.words.language}"
        field = field if getattr(experiment, field, "") else name
        sources = self.of_network(model, field)
        return self.quote(getattr(experiment, field), f"{model}.{name}", sources)

    def quote(self, text: str, key: str, sources: list[Source]) -> Sentence:
        """Prose of a TOML file, with typographic signs; a number in it is a value of that line,
        by :data:`NUMBER`."""
        text = " ".join(text.split()).replace("'", "’").replace(" -- ", " – ")
        parts: list[Part] = []
        for place, part in enumerate(NUMBER.split(text)):
            if place % 2:
                name = f"{key}.{place // 2 + 1}"
                parts.append(self.add(name, part, sources, formula="as the file says"))
            elif part:
                parts.append(part)
        return Sentence(tuple(parts))

    # ------------------------------------------------------------------------- networks

    def works(self, model: str) -> list[str]:
        experiment = self.data.experiments[model]
        return [key for key in (experiment.citation, experiment.variant_citation) if key]

    @property
    def described(self) -> bool:
        """Does a log say what a network of the study is?"""
        return any(map(self.log_of, self.study.networks))

    def log_of(self, model: str) -> Run | None:
        """A log that says what the network is."""
        runs = [run for study in self._studies for run in study.logs.values()]
        return next((r for r in runs if r.header.model == model and r.header.network.layers), None)

    def network(self, model: str) -> dict[str, Any]:
        """Year, depth, layers, parameters and multiply-accumulates of one network: a value each,
        or None where it is unknown."""
        experiment, run = self.data.experiments[model], self.log_of(model)
        found: dict[str, Any] = dict.fromkeys(("depth", "layers", "parameters", "macs"))
        year, of_year = experiment.year, self.of_network(model, "year")
        found["year"] = self.add(f"{model}.year", year, of_year, text=str(year))
        if experiment.depth is not None:
            depth, formula = experiment.depth, "weighted layers on the longest path, by convention"
            sources = self.of_network(model, "depth")
            found["depth"] = self.add(f"{model}.depth", depth, sources, formula=formula)
        if run is None:
            return found
        sources, network = self.headers([run]), run.header.network
        layers = sum(layer.type in WEIGHTED for layer in network.layers)
        formula = "convolutions and linear layers, branches and projections included"
        form = Form(unit="layers")
        found["layers"] = self.number(f"{model}.layers", layers, form, formula, sources)
        formula = "measured from the network"
        for name, (_, scale, decimals) in LARGE[self.words.language].items():
            exact, form = getattr(network, name), Form(decimals, scale, name)
            found[name] = self.cell(f"{model}.{name}", exact, form, formula, sources)
        return found

    # ------------------------------------------------------------------------- machine

    def machines(self) -> list[Sentence]:
        """Each kind of machine that made runs, with their number in each arm and in the studies
        that chose rates and precision."""
        search = [run for study in self._studies[1:] for run in study.logs.values()]
        places = {arm.name: (arm.label, self.logs(self.specs(arm.key))) for arm in self.arms}
        places["search"] = self.words.text("table.search_runs"), search if self.data.logs else []
        kinds: dict[str, dict[str, list[Run]]] = {}
        for place, (_, runs) in places.items():
            for run in runs:
                if name := analysis.machine_name(run.header.machine, brief=True):
                    kinds.setdefault(name, {}).setdefault(place, []).append(run)
        found = []
        for number, (name, made) in enumerate(kinds.items(), start=1):
            entries = []
            for place, runs in made.items():
                label, key = places[place][0], f"{place}.machine.{number}"
                count = self.count(key, len(runs), self.headers(runs), "runs of a machine")
                kind = "runs_of" if label else "runs_alone"
                entries.append(self.words.say(kind, label=label, count=count))
            sources = self.headers(next(iter(made.values()))[:1])
            shown = Sentence((self.add(f"machine.{number}.name", name, sources),))
            found.append(self.words.say("machine_runs", name=shown,
                                        entries=self.words.listing(entries)))  # fmt: skip
        return found

    @cached_property
    def packages(self) -> list[Sentence]:
        """Names and versions of the packages that made the runs, several where they differ; our own
        code is known by its commit."""
        versions: dict[str, dict[str, list[Source]]] = {}
        for (name, version), source in self._distinct(lambda h: h.packages.items()).items():
            versions.setdefault(name, {})[version] = source
        versions.pop("cnnpaper", None)
        return [
            Sentence((f"{name} ", self.add(f"version.{slug(name)}", ", ".join(each),
                                           itertools.chain(*each.values()))))
            for name, each in versions.items()
        ]  # fmt: skip

    @cached_property
    def version(self) -> Value:
        path = self.root / "pyproject.toml"
        version = read_toml(path).get("project", {}).get("version")
        if not isinstance(version, str):
            raise UserError(f"{path}: project.version is missing, or no text")
        return self.add("artifact.version", version, [self.sources.toml(path, "project.version")])

    @cached_property
    def commits(self) -> list[Value]:
        """Commits of the code that made the runs, twelve digits each."""
        found = self._distinct(lambda header: [header.commit])
        return [
            self.add(f"commit.{number}", commit, sources, text=commit[:12])
            for number, (commit, sources) in enumerate(found.items(), start=1)
        ]

    # ------------------------------------------------------------------------- findings

    def of(self, row: Any) -> dict[str, Any]:
        """The printed values of a finding by attribute; an interval has two, None stays None."""
        key, sources = self._place(row)
        return {
            name: self.cell(f"{key}.{name}", getattr(row, name), form, formula, sources)
            for name, (form, formula, *_) in FIELDS[type(row)].items()
        }

    def _place(self, row: Any) -> tuple[str, list[Source]]:
        """The ledger's key of a finding, and the lines it came from."""
        match row:
            case analysis.StepTime():
                return f"timing.{row.model}", self.timed(row)
            case analysis.Budget():
                lines = self.of_study(f"arm.{row.arm}.steps", f"arm.{row.arm}")
                like = self.study.budget.like if self.study.budget else row.model
                timed = map(self.step_time, dict.fromkeys((row.model, like)))
                lines += [line for each in timed if each for line in self.timed(each)]
                return f"budget.{row.arm}.{row.model}", lines
            case analysis.Trial():
                key = f"tuning.{row.stage}.{row.model}.{row.rate:g}"
                return key, [self.result(row.path)]
            case analysis.Lead():
                return f"tuning.{row.model}", [*map(self.result, row.paths)]
            case Change():
                return f"precision.{row.model}", [*map(self.result, row.paths)]
            case analysis.Calibration():
                return f"calibration.{row.model}", [*map(self.predictions, row.paths)]
            case analysis.Gain():
                paths = [path for arm in row.arms for path in self.paths(arm, row.model)]
                key = f"gain.{'.'.join(row.arms)}.{row.model}"
                return key, [*map(self.result, paths)]
            case analysis.Distance():
                return self._pair(f"distance.{row.arm}", row.arm, row.model, row.other)
        plan = self.study.contrast
        assert plan is not None
        return self._pair("contrast", plan.arm, row.model, plan.baseline)

    def _pair(self, kind: str, arm: str, model: str, other: str) -> tuple[str, list[Source]]:
        """The same of a difference between two networks of an arm."""
        paths = [path for m in (model, other) for path in self.paths(arm, m)]
        lines = [*map(self.result, paths), *map(self.predictions, paths)]
        return f"{kind}.{model}.{other}", lines

    @cached_property
    def _shown(self) -> dict[str, dict[str, list[str]]]:
        return {arm or "": analysis.shown(self.data, arm or "") for arm in self.study.arms}

    def paths(self, arm: str, entry: str) -> list[str]:
        """The runs of one network (and variant) in one arm, of the seeds that all networks have."""
        return self._shown.get(arm, {}).get(entry, [])

    def mean(self, arm: str, entry: str, column: str) -> dict[str, Any]:
        """Mean over seeds of a column of the runs: ``mean``, ``n``, and, with several seeds, the
        limits of Student's ``interval`` and the standard deviation ``sd``; nothing where no run
        has the number. A diverged run counts with the accuracy of chance.
        """
        found = self.found.summaries.get((arm, entry, column))
        if found is None:
            return {}
        sources = [*map(self.result, self.paths(arm, entry))]
        key, form = f"{arm or 'all'}.{slug(entry)}.{column}", SUMMARIES[column]
        over = f"over seeds of {column}"
        rows = (
            ("mean", key, form, f"mean {over}"),
            ("n", f"{key}.n", Form(unit="seeds"), "seeds, counted"),
            ("interval", f"{key}.interval", form, f"Student's interval {over}"),
            ("sd", f"{key}.sd", form, f"standard deviation {over}"),
        )
        return {
            name: self.cell(place, getattr(found, name), how, formula, sources)
            for name, place, how, formula in rows
        }

    def minutes(self, arm: str, entry: str) -> Value | None:
        """Training time of a network's steps by its measured step time, the same for every seed;
        where steps were not timed, the runs' own mean."""
        specs = [spec for spec in self.data.specs if spec.path in self.paths(arm, entry)]
        if not specs or not self.found.timing:
            return self.mean(arm, entry, "train_s").get("mean")
        row = self.step_time(specs[0].model)
        if row is None:
            return None
        key, seconds = f"{arm or 'all'}.{slug(entry)}.timed", row.paired_s * specs[0].steps
        return self.number(key, seconds, MINUTES, "paired step time × steps", self.timed(row))

    def diverged_of(self, arm: str, entry: str) -> Value:
        paths = self.paths(arm, entry)
        results = [self.data.logs[path].result for path in paths]
        count = sum(result is not None and result.status == "diverged" for result in results)
        key = f"{arm or 'all'}.{slug(entry)}.diverged"
        return self.number(key, count, RUNS, "runs that diverged", map(self.result, paths))

    @cached_property
    def timing_machine(self) -> Value:
        name, row = self.found.timing_machine, self.found.timing[0]
        return self.add("timing.machine", name, self.timed(row))

    def step_time(self, model: str) -> analysis.StepTime | None:
        return next((row for row in self.found.timing if row.model == model), None)

    # ------------------------------------------------------------------------- constants, others

    def chosen(
        self, key: str, exact: float, form: Form = WHOLE_PERCENT, formula: str = "chosen in advance"
    ) -> Value:
        return self.number(key, exact, form, formula, [])

    alpha_percent = partialmethod(chosen, "test.alpha", ALPHA, formula="chosen for all tests")
    level = partialmethod(chosen, "interval.level", 1 - ALPHA, formula="chosen for intervals")
    small = partialmethod(chosen, "test.small", SMALL_DIFFERENCE)
    power = partialmethod(chosen, "test.power", POWER)
    contended = partialmethod(chosen, "timing.contended", CONTENDED)
    bins = partialmethod(chosen, "calibration.bins", CALIBRATION_BINS, COUNT)
    margin = partialmethod(chosen, "precision.margin", MARGIN)
    """What the mean change by bfloat16 must be shown to exceed."""

    @cached_property
    def known(self) -> dict[str, Any]:
        """``report/known.toml``: numbers of others."""
        return read_toml(self.root / "report" / "known.toml")

    @cached_property
    def history(self) -> dict[str, Any]:
        """``report/history.toml``: superseded results of version 0.1.0."""
        return read_toml(self.root / "report" / "history.toml")

    def superseded(self, model: str) -> list[int]:
        """The places of a network's runs in it."""
        runs = self.history.get("run", [])
        return [place for place, run in enumerate(runs) if run["model"] == model]

    def quoted(self, file: str, path: str, form: Form | None = None, key: str = "") -> Value | None:
        """A number of ``report/FILE.toml``, as it stands there unless a form is given; None where
        it is not there."""
        value: Any = getattr(self, file)
        try:
            for part in path.split("."):
                value = value[int(part) if isinstance(value, list) else part]
        except (LookupError, TypeError, ValueError):
            return None
        sources = [self.sources.toml(self.root / "report" / f"{file}.toml", path)]
        formula = "as its source states it"
        if form is None:
            return self.add(key or path, value, sources, formula=formula)
        return self.number(key or path, value, form, formula, sources)

    def jpeg_quality(self) -> Value | None:
        """Of the re-encoded copy of the images."""
        return self.quoted("known", "jpeg75.quality", key="known.jpeg_quality")

    def duplicates(self) -> Value | None:
        """Share of test images with a near-duplicate among the training images, as published."""
        return self.quoted("known", "duplicates.share", TENTH_PERCENT, "known.duplicates")


def slug(name: str) -> str:
    """A name as part of a key of the ledger."""
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name.lower())
