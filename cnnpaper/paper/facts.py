"""What a study is, in values of the ledger: runs, data, recipe, networks, machine, versions, and
the numbers of others that stand in ``report/*.toml``.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from cnnpaper.config import read_toml, run_name
from cnnpaper.files import UserError
from cnnpaper.log import LOG_NAME, PREDICTIONS_NAME, Header, Run
from cnnpaper.paper.ledger import Form, Ledger, Part, Sentence, Source, Sources, Value, setting
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import Findings, entry_of
from cnnpaper.study.imported import TextRun

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


class Facts:
    """Enters facts of a study into the ledger; templates and tables read them by name."""

    def __init__(
        self, data: StudyData, found: Findings, ledger: Ledger, sources: Sources, words: Words
    ) -> None:
        self.data, self.found, self.words = data, found, words
        self.ledger, self.sources = ledger, sources
        self.root, self.study = data.root, data.study
        self.add, self.number, self.cell = ledger.add, ledger.number, ledger.cell
        self.arm = cache(self._arm)
        self.study_file = self.root / "experiments" / "study" / f"{self.study.name}.toml"
        logs, missing, named = data.logs.values(), len(data.missing), self.of_study("networks")
        lost = [run for run in logs if run.result and run.result.status == "diverged"]
        read = [self.sources.file(run.path, run.line_numbers.get("reading"))
                for run in logs for _ in run.readings]  # fmt: skip
        self.declared = self.count("declared", len(data.specs), named, "runs")
        self.done = self.count("done", len(logs), self.headers(logs), "runs with a result")
        self.missing = self.count("missing", missing, named, "runs without a log")
        lines = [self.sources.log(run) for run in lost]
        self.diverged = self.count("diverged", len(lost), lines, "runs that diverged")
        self.readings = self.count("readings", len(read), read, "readings of the test images")

    # ------------------------------------------------------------------------- helpers

    @cached_property
    def protocol(self) -> str:
        """The study's file, which is its protocol."""
        return self.study_file.relative_to(self.root).as_posix()

    def count(self, key: str, number: int, sources: Iterable[Source], what: str) -> Value:
        """A number of things, counted."""
        return self.number(f"count.{key}", number, Form(unit=what), f"{what}, counted", sources)

    def of_study(self, *keys: str) -> list[Source]:
        """The line of the study file that sets the first of ``keys`` that it has."""
        return [self.sources.toml(self.study_file, *keys)]

    def of_network(self, model: str, *keys: str) -> list[Source]:
        """The same of a network's file."""
        return [self.sources.toml(self.root / "experiments" / f"{model}.toml", *keys)]

    def headers(self, logs: Iterable[Run]) -> list[Source]:
        return [self.sources.log(run, "header") for run in logs]

    def _distinct(self, of: Callable[[Header], Iterable[T | None]]) -> dict[T, list[Source]]:
        """What headers say, each thing once, and the first header that says it."""
        found: dict[T, list[Source]] = {}
        for run in self.data.logs.values():
            for item in filter(None, of(run.header)):
                found.setdefault(item, self.headers([run]))
        return found

    # ------------------------------------------------------------------------- runs

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

    def works(self, model: str) -> list[str]:
        """What a network's description cites."""
        experiment = self.data.experiments[model]
        return [key for key in (experiment.citation, experiment.variant_citation) if key]

    def entries(self, arm: str) -> list[str]:
        """The networks of an arm, with the variant of their runs where they have one:
        ``resnet18``, ``resnet18-rate0.05``."""
        specs = [spec for spec in self.data.specs if (spec.arm or "") == arm]
        return list(self.texts) or list(dict.fromkeys(entry_of(spec) for spec in specs))

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
        sources = self.of_study(f"{where}seeds", f"arm.{key}")
        specs = [spec for spec in self.data.specs if (spec.arm or "") == key]
        logs = [self.data.logs[spec.path] for spec in specs if spec.path in self.data.logs]
        made, complete = self.headers(logs), len(self.data.complete_seeds(key))
        epochs = None
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

    def seeds(self, key: str) -> Sentence:
        """The seeds of an arm, one by one."""
        prefix = key or "all"
        sources = self.of_study(f"arm.{key}.seeds" if key else "seeds", f"arm.{key}")
        return self.words.listing(
            self.add(f"{prefix}.seed.{seed}", seed, sources, text=str(seed), unit="seed")
            for seed in self.study.arms[key or None].seeds
        )

    def result(self, path: str) -> Source:
        """The result of a run, of this study or of one that it names."""
        for study in (self.data, self.data.tuning, self.data.precision):
            if study is not None and path in study.logs:
                run = study.logs[path]
                return self.sources.file(run.path, run.line_numbers.get("result"))
        return self.sources.file(self.root / "results" / "log" / path / LOG_NAME)

    def predictions(self, path: str) -> Source:
        """The predictions of a run of this study, a file without lines."""
        return self.sources.file(self.data.logs[path].path.with_name(PREDICTIONS_NAME))

    @cached_property
    def date(self) -> Value | None:
        """The day on which the last run was started; None where no log says."""
        known = self._distinct(lambda header: [header.started])
        if not known:
            return None
        last, formula = max(known), "day on which the last run was started"
        return self.add("study.date", last, known[last], text=last[:10], formula=formula)

    # ------------------------------------------------------------------------- data

    @cached_property
    def images(self) -> dict[str, Value]:
        """Numbers of images."""
        return {
            name: self.number(
                f"data.{name}", getattr(self.study.data, f"{name}_images"), Form(unit="images"),
                "as the study file says, or its default",
                self.of_study(f"data.{name}_images", "data"),
            )
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
        """Where the images can be fetched, if a log says."""
        found = self._distinct(lambda header: [header.data.address])
        return self.add("data.address", *next(iter(found.items()))) if found else None

    # ------------------------------------------------------------------------- recipe

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
        return self.add(place, value, sources, text=self.shown(key, value))

    def shown(self, key: str, value: bool | int | float | str) -> str:
        """A setting as printed; zero means that nothing is done, for those that it switches off."""
        if key in OFF_AT_ZERO and value == 0:
            return self.words.text("value.none")
        if isinstance(value, bool | str):
            return self.words.label("value", str(value).lower())
        return setting(value)

    def prose(self, model: str, name: str) -> Sentence:
        """``idea`` or ``stem`` of a network in the edition's language."""
        experiment, translated = self.data.experiments[model], f"{name}_{self.words.language}"
        field = translated if getattr(experiment, translated, "") else name
        text, sources = getattr(experiment, field), self.of_network(model, field)
        return self.quote(text, f"{model}.{name}", sources)

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

    @cached_property
    def described(self) -> bool:
        """Does a log say what a network of the study is?"""
        return any(self.log_of(model) for model in self.study.networks)

    def log_of(self, model: str) -> Run | None:
        """A log that says what the network is."""
        studies = (self.data, self.data.tuning, self.data.precision)
        runs = [run for study in studies if study is not None for run in study.logs.values()]
        return next((r for r in runs if r.header.model == model and r.header.network.layers), None)

    def network(self, model: str) -> dict[str, Any]:
        """Year, depth, layers, parameters and multiply-accumulates of one network: a value each,
        or None where it is unknown."""
        experiment = self.data.experiments[model]
        found: dict[str, Any] = dict.fromkeys(("depth", "layers", "parameters", "macs"))
        year, of_year = experiment.year, self.of_network(model, "year")
        found["year"] = self.add(f"{model}.year", year, of_year, text=str(year))
        if experiment.depth is not None:
            depth, formula = experiment.depth, "weighted layers on the longest path, by convention"
            sources = self.of_network(model, "depth")
            found["depth"] = self.add(f"{model}.depth", depth, sources, formula=formula)
        run = self.log_of(model)
        if run is None:
            return found
        sources, network = self.headers([run]), run.header.network
        layers = sum(layer.type in WEIGHTED for layer in network.layers)
        formula = "convolutions and linear layers, branches and projections included"
        found["layers"] = self.number(
            f"{model}.layers", layers, Form(unit="layers"), formula, sources
        )
        for name, (_, scale, decimals) in LARGE[self.words.language].items():
            found[name] = self.cell(
                f"{model}.{name}", getattr(network, name), Form(decimals, scale, name),
                "measured from the network", sources,
            )  # fmt: skip
        return found

    # ------------------------------------------------------------------------- machine

    @cached_property
    def machines(self) -> list[Sentence]:
        """Each kind of machine that made runs, as a phrase."""
        found = self._distinct(lambda h: [(h.machine.gpu, h.machine.cpu, h.machine.threads)])
        kinds = {(gpu or cpu, None if gpu else n): s for (gpu, cpu, n), s in found.items()}
        out: list[Sentence] = []
        for (name, threads), sources in kinds.items():
            if name is None:
                continue
            key = f"machine.{len(out) + 1}"
            named = self.add(f"{key}.name", name, sources)
            if threads is None:
                out.append(Sentence((named,)))
                continue
            value = self.add(f"{key}.threads", threads, sources, unit="threads")
            kind = "machine_one" if threads == 1 else "machine"
            out.append(self.words.say(kind, name=named, threads=value))
        return out

    @cached_property
    def packages(self) -> list[Sentence]:
        """Names and versions of the packages that made the runs, several where they differ; our own
        code is known by its commit."""
        versions: dict[str, dict[str, list[Source]]] = {}
        for (name, version), source in self._distinct(lambda h: h.packages.items()).items():
            versions.setdefault(name, {})[version] = source
        out = []
        versions.pop("cnnpaper", None)
        for name, each in versions.items():
            sources = itertools.chain(*each.values())
            value = self.add(f"version.{slug(name)}", ", ".join(each), sources)
            out.append(Sentence((f"{name} ", value)))
        return out

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
        found = self._distinct(lambda header: [header.commit])
        return [
            self.add(f"commit.{number}", commit, sources, text=commit[:12])
            for number, (commit, sources) in enumerate(found.items(), start=1)
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
        try:
            value: Any = functools.reduce(operator.getitem, path, getattr(self, file))
        except (LookupError, TypeError):
            return None
        where = self.root / "report" / f"{file}.toml"
        sources = [self.sources.toml(where, ".".join(map(str, path)))]
        formula = "as its source states it"
        if form is None:
            return self.add(key, value, sources, formula=formula)
        return self.number(key, value, form, formula, sources)


def slug(name: str) -> str:
    """A name as part of a key of the ledger."""
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name.lower())
