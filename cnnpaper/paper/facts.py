"""What a study is, in values of the ledger: runs, data, recipe, networks, machine, versions, and
the numbers of others that stand in ``report/*.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnpaper.config import Recipe, RunSpec, read_toml, run_name
from cnnpaper.files import UserError
from cnnpaper.log import LOG_NAME, Run
from cnnpaper.paper.ledger import Exact, Form, Ledger, Part, Sentence, Source, Value, setting
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import entry_of
from cnnpaper.study.imported import TextRun

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

WEIGHTED = ("Conv2d", "Linear")
"""Layers that the column "layers" counts."""
LISTED_SEEDS = 6
LARGE: dict[str, dict[str, tuple[str, float, int]]] = {
    "en": {"parameters": ("millions", 1e-6, 2), "macs": ("millions", 1e-6, 0)},
    "ko": {"parameters": ("10k", 1e-4, 0), "macs": ("100m", 1e-8, 2)},
}
"""In what a language counts parameters and operations (만, 억), and the decimals: the same digits
in both."""
OFF_AT_ZERO = ("clip_norm", "crop_padding")


@dataclass(frozen=True)
class ArmFacts:
    """One arm of a study, as far as it came."""

    key: str
    """As in the study file; ``""`` for a study without arms."""
    label: str
    declared: Value
    done: Value
    """Runs with a log: finished or diverged."""
    epochs: Value | None
    """Where the arm's length is a number of epochs."""
    complete: tuple[int, ...]
    """Seeds that all networks have."""
    complete_count: Value


class Facts:
    """Enters facts of a study into the ledger; templates and tables read them by name.

    Args:
        data: the study, read and checked.
        words: of the edition's language.
    """

    def __init__(self, data: StudyData, ledger: Ledger, sources: Sources, words: Words) -> None:
        self.data, self.ledger, self.sources, self.words = data, ledger, sources, words
        self.root, self.study = data.root, data.study
        self.arm = cache(self._arm)
        self.study_file = self.root / "experiments" / "study" / f"{self.study.name}.toml"

    # ------------------------------------------------------------------------- helpers

    def add(
        self,
        key: str,
        exact: Exact,
        sources: Iterable[Source],
        *,
        text: str | None = None,
        unit: str | None = None,
        formula: str = "as recorded",
    ) -> Value:
        """Enter a value whose text is the plain setting unless given."""
        assert exact is not None or text is not None
        shown = setting(exact) if text is None and exact is not None else text
        assert shown is not None
        return self.ledger.add(key, exact, text=shown, unit=unit, formula=formula, sources=sources)

    def count(self, key: str, number: int, sources: Iterable[Source], what: str) -> Value:
        """A number of things, counted."""
        formula = f"{what}, counted"
        return self.ledger.number(
            f"count.{key}", number, Form(unit=what), formula=formula, sources=sources
        )

    def of_study(self, *keys: str) -> list[Source]:
        """The line of the study file that sets the first of ``keys`` that it has."""
        return [self.sources.toml(self.study_file, *keys)]

    def headers(self, logs: Iterable[Run] | None = None) -> list[Source]:
        runs = self.data.logs.values() if logs is None else logs
        return [self.sources.log(run, "header") for run in runs]

    # ------------------------------------------------------------------------- runs

    @cached_property
    def declared(self) -> Value:
        return self.count("declared", len(self.data.specs), self.of_study("networks"), "runs")

    @cached_property
    def done(self) -> Value:
        return self.count("done", len(self.data.logs), self.headers(), "runs with a result")

    @cached_property
    def missing(self) -> Value:
        count = len(self.data.missing)
        return self.count("missing", count, self.of_study("networks"), "runs without a log")

    @cached_property
    def diverged(self) -> Value:
        logs = [run for run in self.data.logs.values() if _status(run) == "diverged"]
        sources = [self.sources.log(run) for run in logs]
        return self.count("diverged", len(logs), sources, "runs that diverged")

    @cached_property
    def networks(self) -> Value:
        sources = self.of_study("networks")
        return self.count("networks", len(self.study.networks), sources, "networks")

    @cached_property
    def texts(self) -> dict[str, TextRun]:
        """Imported logs by entry."""
        runs = [run for run in self.data.logs.values() if isinstance(run, TextRun)]
        return {run_name(run.header.model, run.label, None): run for run in runs}

    @cached_property
    def names(self) -> Sentence:
        return self.words.listing(self.name(m) for m in self.study.networks)

    def name(self, model: str, variant: str = "") -> str:
        """A network's name, with the variant of its run."""
        known = self.data.experiments.get(model)  # imported logs may be of others
        name = model if known is None else known.name
        return f"{name} {variant}" if variant else name

    def entries(self, arm: str) -> list[str]:
        """The networks of an arm, with the variant of their runs where they have one:
        ``resnet18``, ``resnet18-rate0.05``."""
        specs = [spec for spec in self.data.specs if (spec.arm or "") == arm]
        return list(self.texts) or list(dict.fromkeys(entry_of(spec) for spec in specs))

    def entry_name(self, entry: str) -> str:
        if entry in self.texts:
            return self.texts[entry].label
        model, _, variant = entry.partition("-")
        return self.name(model, variant)

    @cached_property
    def arms(self) -> list[ArmFacts]:
        return [self.arm(key or "") for key in self.study.arms]

    def _arm(self, key: str) -> ArmFacts:
        """One arm; ``""`` is the one of a study without arms."""
        arm = self.study.arms[key or None]
        prefix = key or "all"
        where = f"arm.{key}." if key else ""
        sources = self.of_study(f"{where}seeds", f"arm.{key}")
        specs = [spec for spec in self.data.specs if (spec.arm or "") == key]
        logs = [self.data.logs[spec.path] for spec in specs if spec.path in self.data.logs]
        complete = tuple(self.data.complete_seeds(key))
        epochs = None
        if arm.epochs is not None:
            length = self.of_study(f"{where}epochs", f"arm.{key}")
            epochs = self.add(f"{prefix}.epochs", arm.epochs, length, unit="epochs")
        return ArmFacts(
            key=key,
            label=self.words.label("arm", key) if key else "",
            declared=self.count(f"{prefix}.declared", len(specs), sources, "runs"),
            done=self.count(f"{prefix}.done", len(logs), self.headers(logs), "runs with a result"),
            epochs=epochs,
            complete=complete,
            complete_count=self.count(
                f"{prefix}.complete", len(complete), self.headers(logs),
                "seeds that all networks have",
            ),
        )  # fmt: skip

    def seeds(self, key: str) -> Sentence:
        """The seeds of an arm, one by one up to six, else the first and the last."""
        seeds, prefix = self.study.arms[key or None].seeds, key or "all"
        sources = self.of_study(f"arm.{key}.seeds" if key else "seeds", f"arm.{key}")
        shown = seeds if len(seeds) <= LISTED_SEEDS else (seeds[0], seeds[-1])
        values = [
            self.add(f"{prefix}.seed.{s}", s, sources, text=str(s), unit="seed") for s in shown
        ]
        if len(seeds) <= LISTED_SEEDS:
            return self.words.listing(values)
        consecutive = seeds == tuple(range(seeds[0], seeds[-1] + 1))
        kind = "seeds_from_to" if consecutive else "seeds_between"
        return self.words.say(kind, first=values[0], last=values[1])

    def result(self, path: str) -> Source:
        """The result of a run, of this study or of one that it names."""
        for study in (self.data, self.data.tuning, self.data.precision):
            if study is not None and path in study.logs:
                run = study.logs[path]
                return self.sources.file(run.path, run.line_numbers.get("result"))
        return self.sources.file(self.root / log_name(path))

    def predictions(self, path: str) -> Source:
        """The predictions of a run of this study."""
        return self.sources.predictions(self.data.logs[path])

    @cached_property
    def date(self) -> Value | None:
        """The day on which the last run was started; None where no log says."""
        known = [(r.header.started, r) for r in self.data.logs.values() if r.header.started]
        if not known:
            return None
        last, run = max(known, key=lambda pair: pair[0])
        formula = "day on which the last run was started"
        return self.add("study.date", last, self.headers([run]), text=last[:10], formula=formula)

    @cached_property
    def readings(self) -> Value:
        """How often test images were read: lines of the logs."""
        sources = [
            self.sources.file(run.path, run.line_numbers.get("reading"))
            for run in self.data.logs.values()
            for _ in run.readings
        ]
        return self.count("readings", len(sources), sources, "readings of the test images")

    # ------------------------------------------------------------------------- data

    @cached_property
    def images(self) -> dict[str, Value]:
        """Numbers of images."""
        return {
            name: self.ledger.number(
                f"data.{name}", getattr(self.study.data, f"{name}_images"), Form(unit="images"),
                formula="as the study file says, or its default",
                sources=self.of_study(f"data.{name}_images", "data"),
            )
            for name in ("train", "validation", "test")
        }  # fmt: skip

    @cached_property
    def digest(self) -> Value | None:
        """The first twelve digits of the digest of the images."""
        digest, sources = self.study.data.digest, self.of_study("data.digest")
        for run in self.data.logs.values():
            if digest is None and run.header.data.digest:
                digest, sources = run.header.data.digest, self.headers([run])
        if digest is None:
            return None
        return self.add("data.digest", digest, sources, text=digest[:12])

    @cached_property
    def address(self) -> Value | None:
        """Where the images can be fetched, if a log says."""
        run = next((r for r in self.data.logs.values() if r.header.data.address), None)
        if run is None or run.header.data.address is None:
            return None
        return self.add("data.address", run.header.data.address, self.headers([run]))

    # ------------------------------------------------------------------------- recipe

    def recipe_of(self, model: str) -> Recipe:
        """As the model's first run has it, or would."""
        spec: RunSpec | None = next((s for s in self.data.specs if s.model == model), None)
        if spec is not None and not self.study.grid:
            return spec.recipe
        values = self.data.recipe.model_dump()
        for override in (self.study.override, self.data.experiments[model].override):
            values.update({key: entry.value for key, entry in override.items()})
        return Recipe.model_validate(values)

    def recipe_value(self, key: str, model: str | None = None) -> Value:
        """One key of the recipe, as one network has it, with the file that decides it."""
        own = self.data.experiments[model].override if model else {}
        recipe = self.recipe_of(model) if model else self.data.recipe
        value = getattr(recipe, key)
        if key in own:
            path, name = self.root / "experiments" / f"{model}.toml", f"override.{key}"
        elif key in self.study.override:
            path, name = self.study_file, f"override.{key}"
        else:
            path, name = self.root / "experiments" / "recipe.toml", key
        shared = f"recipe.{key}"
        place = f"{model}.{shared}" if key in own else shared
        return self.add(place, value, [self.sources.toml(path, name)], text=self.shown(key, value))

    def shown(self, key: str, value: bool | int | float | str) -> str:
        """A setting as printed; zero means that nothing is done, for those that it switches off."""
        if key in OFF_AT_ZERO and value == 0:
            return self.words.text("value.none")
        if isinstance(value, bool | str):
            return self.words.label("value", str(value).lower())
        return setting(value)

    def prose(self, model: str, name: str) -> Sentence:
        """``idea`` or ``stem`` of a network in the edition's language."""
        experiment = self.data.experiments[model]
        translated = f"{name}_{self.words.language}"
        field = translated if getattr(experiment, translated, "") else name
        path = self.root / "experiments" / f"{model}.toml"
        source = self.sources.toml(path, field)
        return self.quote(getattr(experiment, field), f"{model}.{name}", source)

    def quote(self, text: str, key: str, source: Source) -> Sentence:
        """Prose of a TOML file, with typographic signs; a number in it is a value of that line,
        but for the size of a kernel, ``3×3``."""
        text = " ".join(text.split()).replace("'", "’").replace(" -- ", " – ")
        parts: list[Part] = []
        for place, part in enumerate(re.split(r"(?<![\w×-])(\d+(?:[.,]\d+)*)(?![\d×])", text)):
            if place % 2:
                name = f"{key}.{place // 2 + 1}"
                parts.append(self.add(name, part, [source], text=part, formula="as the file says"))
            elif part:
                parts.append(part)
        return Sentence(tuple(parts))

    def departures(self) -> list[tuple[str, str, Value, Sentence | str]]:
        """Departures of networks from the recipe: model, key, value and reason."""
        found: list[tuple[str, str, Value, Sentence | str]] = []
        for model, experiment in self.data.experiments.items():
            path = self.root / "experiments" / f"{model}.toml"
            for key, entry in experiment.override.items():
                value = self.recipe_value(key, model)
                why: Sentence | str = self.words.text("value.tuned")
                if entry.why:
                    place = self.sources.toml(path, f"override.{key}.why", f"override.{key}")
                    why = self.quote(entry.why, f"{value.key}.why", place)
                found.append((model, key, value, why))
        return found

    # ------------------------------------------------------------------------- networks

    def log_of(self, model: str) -> Run | None:
        """A log that says what the network is."""
        studies = (self.data, self.data.tuning, self.data.precision)
        runs = [run for study in studies if study is not None for run in study.logs.values()]
        return next((r for r in runs if r.header.model == model and r.header.network.layers), None)

    def network(self, model: str) -> dict[str, Value | None]:
        """Year, depth, layers, parameters and multiply-accumulates of one network."""
        path, experiment = self.root / "experiments" / f"{model}.toml", self.data.experiments[model]
        found: dict[str, Value | None] = dict.fromkeys(("depth", "layers", "parameters", "macs"))
        found["year"] = self.add(
            f"{model}.year", experiment.year, [self.sources.toml(path, "year")],
            text=str(experiment.year),
        )  # fmt: skip
        if experiment.depth is not None:
            found["depth"] = self.add(
                f"{model}.depth", experiment.depth, [self.sources.toml(path, "depth")],
                formula="weighted layers on the longest path, by convention",
            )  # fmt: skip
        run = self.log_of(model)
        if run is None:
            return found
        sources, network = self.headers([run]), run.header.network
        layers = sum(layer.type in WEIGHTED for layer in network.layers)
        formula = "convolutions and linear layers, branches and projections included"
        found["layers"] = self.ledger.number(
            f"{model}.layers", layers, Form(unit="layers"), formula=formula, sources=sources
        )
        for name, (_, scale, decimals) in LARGE[self.words.language].items():
            found[name] = self.ledger.cell(
                f"{model}.{name}", getattr(network, name), Form(decimals, scale, name),
                formula="measured from the network", sources=sources,
            )  # type: ignore[assignment]  # fmt: skip
        return found

    # ------------------------------------------------------------------------- machine

    @cached_property
    def machines(self) -> list[Sentence]:
        """Each kind of machine that made runs, as a phrase."""
        found: dict[str, Sentence] = {}
        for run in self.data.logs.values():
            machine = run.header.machine
            name = machine.gpu or machine.cpu
            identity = f"{name} {machine.threads}"
            if name is None or identity in found:
                continue
            key, source = f"machine.{len(found) + 1}", self.headers([run])
            named = self.add(f"{key}.name", name, source)
            if machine.threads is None or machine.gpu:
                found[identity] = Sentence((named,))
                continue
            threads = self.add(f"{key}.threads", machine.threads, source, unit="threads")
            kind = "machine_one" if machine.threads == 1 else "machine"
            found[identity] = self.words.say(kind, name=named, threads=threads)
        return list(found.values())

    @cached_property
    def packages(self) -> list[Sentence]:
        """Names and versions of the packages that made the runs; several where they differ."""
        versions: dict[str, dict[str, Source]] = {}
        for run in self.data.logs.values():
            for name, version in run.header.packages.items():
                versions.setdefault(name, {}).setdefault(version, self.headers([run])[0])
        return [
            Sentence((f"{name} ", self.add(f"version.{slug(name)}", text, found.values())))
            for name, found in versions.items()
            for text in [", ".join(found)]
        ]

    @cached_property
    def version(self) -> Value:
        """Of this artifact."""
        path = self.root / "pyproject.toml"
        version = read_toml(path).get("project", {}).get("version")
        if not isinstance(version, str):
            raise UserError(f"{path}: project.version is missing, or no text")
        return self.add("artifact.version", version, [self.sources.toml(path, "project.version")])

    @cached_property
    def commits(self) -> list[Value]:
        """Commits of the code that made the runs, twelve digits each."""
        found: dict[str, Source] = {}
        for run in self.data.logs.values():
            if run.header.commit:
                found.setdefault(run.header.commit, self.headers([run])[0])
        return [
            self.add(f"commit.{number}", commit, [source], text=commit[:12])
            for number, (commit, source) in enumerate(found.items(), start=1)
        ]

    # ------------------------------------------------------------------------- others

    @cached_property
    def known(self) -> dict[str, Any]:
        """``report/known.toml``: numbers of others."""
        return read_toml(self.root / "report" / "known.toml")

    @cached_property
    def history(self) -> dict[str, Any]:
        """``report/history.toml``: superseded results of version 0.1.0."""
        return read_toml(self.root / "report" / "history.toml")

    def quoted(
        self, file: str, key: str, *path: str | int, form: Form | None = None
    ) -> Value | None:
        """A number of ``report/FILE.toml``, as it stands there unless a form is given; None where
        it is not there."""
        value: Any = getattr(self, file)
        for part in path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return None
        where = self.root / "report" / f"{file}.toml"
        if any(isinstance(part, int) for part in path):
            source = self.sources.file(where, _line_of_table(where, path))
        else:
            source = self.sources.toml(where, ".".join(map(str, path)))
        formula = "as its source states it"
        if form is None:
            return self.add(key, value, [source], formula=formula)
        return self.ledger.number(key, value, form, formula=formula, sources=[source])


def _status(run: Run) -> str | None:
    return None if run.result is None else run.result.status


def slug(name: str) -> str:
    """A name as part of a key of the ledger."""
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name.lower())


def _line_of_table(path: Path, keys: tuple[str | int, ...]) -> int | None:
    """The line of ``[[name]]`` number ``keys[1]``, or of its key ``keys[2]``."""
    text = path.read_text("utf-8").split("\n")
    starts = [n for n, line in enumerate(text, 1) if line.strip() == f"[[{keys[0]}]]"]
    index = keys[1]
    assert isinstance(index, int)
    if index >= len(starts):
        return None
    for number in range(starts[index], len(text)):
        if text[number].split("=")[0].strip() == str(keys[-1]):
            return number + 1
    return starts[index]


def log_name(path: str) -> str:
    """A run's log, as the ledger names it."""
    return f"results/log/{path}/{LOG_NAME}"
