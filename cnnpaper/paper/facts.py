"""What a study is, in values of the ledger: counts, data, recipe, machine, versions, dates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from cnnpaper.config import Recipe, load_recipe, read_toml, resolve_recipe, validated
from cnnpaper.errors import UserError
from cnnpaper.paper.frames import Frames
from cnnpaper.paper.grammar import plural
from cnnpaper.paper.ledger import Exact, Ledger, Part, Sentence, Source, Value, listing, whole
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.tex import prose
from cnnpaper.records import Layer, Machine, Run

WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
KOREAN_COUNTS = [
    "영",
    "한",
    "두",
    "세",
    "네",
    "다섯",
    "여섯",
    "일곱",
    "여덟",
    "아홉",
    "열",
    "열한",
    "열두",
]
MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
"""Not strftime's, which change with the locale."""
CLASS_NAMES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
"""Of CIFAR-10, in the order of its labels."""
OFF_AT_ZERO = ("clip_norm", "ema_decay", "crop_padding")
WEIGHTED = ("Conv2d", "Linear")
"""Layers that count towards depth."""


def counted(count: int) -> str:
    """A count in running text: words up to twelve, digits beyond."""
    return WORDS[count] if 0 <= count < len(WORDS) else whole(count)


def counted_korean(count: int) -> str:
    """A native Korean numeral before a counter up to twelve, digits beyond: ``네`` of ``네 개``."""
    return KOREAN_COUNTS[count] if 0 < count < len(KOREAN_COUNTS) else whole(count)


def number(value: bool | int | float | str) -> str:
    """A setting as printed: ``0.0005``, ``256``, ``yes``, ``channels_last``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:.10f}".rstrip("0").rstrip(".")
            if abs(value) >= 1e-9 or not value
            else (f"{value:g}")
        )
    return whole(value) if isinstance(value, int) else value


def setting(key: str, value: bool | int | float | str) -> str:
    """A setting of the recipe as printed; zero means ``none`` for those that it switches off."""
    return "none" if key in OFF_AT_ZERO and value == 0 else number(value)


def date_text(moment: str) -> str:
    """The day of an ISO 8601 time as printed: ``24 November 2026``."""
    day = datetime.date.fromisoformat(moment[:10])
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


@dataclass(frozen=True)
class Setting:
    """One key of the recipe as one network has it."""

    key: str
    value: Value
    why: Sentence | None
    """The reason for a departure from the shared recipe; None for the shared value."""


class Facts:
    """Enters facts of a study into the ledger; templates read them by name.

    Args:
        root: of the repository.
    """

    def __init__(self, root: Path, frames: Frames, ledger: Ledger, sources: Sources) -> None:
        self.root, self.frames, self.ledger, self.sources = root, frames, ledger, sources
        self.study_file = root / "experiments" / "study" / f"{frames.study.name}.toml"

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
        """Enter a value whose text is the plain number unless given."""
        shown = number(exact) if text is None and exact is not None else text
        assert shown is not None
        return self.ledger.add(key, exact, text=shown, unit=unit, formula=formula, sources=sources)

    def header(self, run: Run) -> Source:
        return self.sources.log(run, "header")

    def headers(self) -> list[Source]:
        return [self.header(run) for run in self.frames.logs.values()]

    def of_study(self, key: str) -> list[Source]:
        """The line of the study file that sets ``key``; where it sets none, the runs' headers."""
        try:
            return [self.sources.toml(self.study_file, key)]
        except (KeyError, FileNotFoundError):
            return self.headers()[:1]

    # ------------------------------------------------------------------------- study

    def study(self) -> dict[str, Value]:
        """Counts of networks, seeds, runs and epochs, in words and digits, and the date."""
        study, logs = self.frames.study, self.frames.logs
        counts = {
            "networks": (len(study.networks), self.of_study("networks"), "networks"),
            "seeds": (len(study.seeds), self.of_study("seeds"), "seeds"),
            "epochs": (study.epochs, self.of_study("epochs"), "epochs"),
            "runs": (len(logs), self.headers(), "runs"),
        }
        values: dict[str, Value] = {}
        for name, (count, sources, unit) in counts.items():
            if name == "seeds" and not count:
                continue
            formula = "as the study file says" if name == "epochs" else "counted"
            for form, text in (
                ("", whole(count)),
                ("_word", counted(count)),
                ("_korean", counted_korean(count)),
            ):
                values[name + form] = self.add(
                    f"study.{name}{form}", count, sources, text=text, unit=unit, formula=formula
                )
        if dated := self.date():
            values["date"] = dated
        return values

    def date(self) -> Value | None:
        """The day on which the last run was started; None where no log says."""
        dated = [(run.header.started, run) for run in self.frames.logs.values()]
        known = [(started, run) for started, run in dated if started]
        if not known:
            return None
        last, run = max(known, key=lambda pair: pair[0])
        return self.add(
            "study.date",
            last,
            [self.header(run)],
            text=date_text(last),
            formula="day on which the last run was started",
        )

    def seed_list(self) -> Sentence:
        """The seeds, one by one up to six, else the first and the last."""
        seeds, source = self.frames.study.seeds, self.of_study("seeds")
        shown = seeds if len(seeds) <= 6 else (seeds[0], seeds[-1])
        values = [
            self.add(f"study.seed.{seed}", seed, source, text=str(seed), unit="seed")
            for seed in shown
        ]
        if len(seeds) <= 6:
            return listing(values)
        consecutive = seeds == tuple(range(seeds[0], seeds[-1] + 1))
        return Sentence((values[0], " to " if consecutive else ", …, ", values[-1]))

    # ------------------------------------------------------------------------- data

    def data(self) -> dict[str, Any]:
        """Numbers of images and the digest; name and address as strings."""
        study = self.frames.study
        run = next(iter(self.frames.logs.values()))
        values: dict[str, Any] = {"name": run.header.data.name, "set": study.data.set}
        for name in ("train_images", "validation_images", "test_images"):
            values[name] = self.add(
                f"data.{name}",
                getattr(study.data, name),
                self._data_sources(name, run),
                unit="images",
                formula="as the study file says, or its default",
            )
        digest = run.header.data.digest
        values["digest"] = digest and self.add("data.digest", digest, [self.header(run)])
        address = (run.header.data.model_extra or {}).get("address")
        values["address"] = address and self.add("data.address", address, [self.header(run)])
        return values

    def _data_sources(self, name: str, run: Run) -> list[Source]:
        try:
            return [self.sources.toml(self.study_file, f"data.{name}")]
        except (KeyError, FileNotFoundError):
            return [self.header(run)]

    # ------------------------------------------------------------------------- recipe

    @cached_property
    def recipe(self) -> Recipe:
        """What all networks share."""
        override = self.frames.study.override
        return resolve_recipe(load_recipe(self.root), override, path=self.study_file)

    def shared_recipe(self) -> list[Setting]:
        """Every key of the recipe as all networks have it unless their own files say otherwise."""
        path = self.root / "experiments" / "recipe.toml"
        study = self.frames.study
        settings = []
        for key in Recipe.model_fields:
            if not _has_effect(key, self.recipe):
                continue
            own = study.override.get(key)
            where, name = (self.study_file, f"override.{key}") if own else (path, key)
            value = getattr(self.recipe, key)
            source = [self.sources.toml(where, name)]
            entered = self.add(f"recipe.{key}", value, source, text=setting(key, value))
            why = self.quoted(own.why, f"recipe.{key}.why", source) if own else None
            settings.append(Setting(key, entered, why))
        return settings

    def overrides(self, model: str) -> list[Setting]:
        """Where one network departs from the shared recipe."""
        path = self.root / "experiments" / f"{model}.toml"
        settings = []
        own = self.frames.experiments[model].override
        recipe = resolve_recipe(self.recipe, own, path=path)
        for name, entry in own.items():
            if not _has_effect(name, recipe):
                continue
            key, source = f"{model}.recipe.{name}", [self.sources.toml(path, f"override.{name}")]
            value = self.add(key, entry.value, source, text=setting(name, entry.value))
            settings.append(Setting(name, value, self.quoted(entry.why, f"{key}.why", source)))
        return settings

    def quoted(self, text: str, key: str, sources: Iterable[Source]) -> Sentence:
        """Prose of an experiment file; a numeral in it is a value with the file's line."""
        parts: list[Part] = []
        for place, part in enumerate(re.split(r"(\d+(?:[.,]\d+)*)", prose(text))):
            if place % 2:
                name = f"{key}.{place // 2 + 1}"
                parts.append(self.add(name, part, sources, text=part, formula="as the file says"))
            elif part:
                parts.append(part)
        return Sentence(tuple(parts))

    def description(self, model: str, name: str) -> Sentence:
        """``idea`` or ``stem`` of a network."""
        source = self.sources.toml(self.root / "experiments" / f"{model}.toml", name)
        text: str = getattr(self.frames.experiments[model], name)
        return self.quoted(text, f"{model}.{name}", [source])

    def test_evaluations(self) -> Sentence:
        """How often the test images were read, as the study's own log of it says."""
        folder = self.root / "results" / "log" / self.frames.study.name
        path = folder / "test-evaluations.jsonl"
        if not path.is_file():
            return Sentence(("not recorded",))
        lines = [self.sources.file(path, n + 1) for n in range(path.read_bytes().count(b"\n"))]
        times = self.add("study.test_evaluations", len(lines), lines, formula="counted")
        count = len(self.frames.predictions)
        tested = self.add("study.tested", count, self.headers(), formula="counted")
        runs = plural(count, "run", "runs")
        more = len(lines) - count
        again = f"; {plural(more, 'a run was', 'runs were')} made again" if more > 0 else ""
        return Sentence(
            (times, " in all, for ", tested, f" {runs}, after the epoch was chosen{again}")
        )

    # ------------------------------------------------------------------------- networks

    def depth(self, model: str) -> Value | None:
        """Convolutions and linear layers, counted one by one; None where no run tells."""
        layers = self.frames.layers.get(model)
        if layers is None:
            return None
        return self.add(
            f"{model}.depth",
            sum(layer.type in WEIGHTED for layer in layers),
            [self.layers_source(model)],
            unit="layers",
            formula="convolutions and linear layers, counted one by one",
        )

    def layers_source(self, model: str) -> Source:
        run = next(
            run
            for run in self.frames.logs.values()
            if run.header.model == model and run.header.network.layers
        )
        return self.header(run)

    def year(self, model: str) -> Value:
        path = self.root / "experiments" / f"{model}.toml"
        year = self.frames.experiments[model].year
        return self.add(
            f"{model}.year", year, [self.sources.toml(path, "year")], text=str(year), unit="year"
        )

    # ------------------------------------------------------------------------- machine

    def machines(self) -> list[Sentence]:
        """Each kind of machine that made runs, as a phrase."""
        found: dict[str, Sentence] = {}
        for run in self.frames.logs.values():
            machine = run.header.machine
            name = machine.gpu or machine.cpu
            if name is None:
                continue
            identity = machine.model_dump_json()
            number_ = len(found) + 1
            if identity not in found:
                key, source = f"machine.{number_}", self.header(run)
                found[identity] = self.machine(machine, [source], key, name)
        return list(found.values())

    def machine(self, machine: Machine, source: list[Source], key: str, name: str) -> Sentence:
        """One machine as a phrase, under keys that begin with ``key``."""
        parts: list[Any] = [self.add(f"{key}.name", name, source)]
        if machine.threads is not None:
            unit = "thread" if machine.threads == 1 else "threads"
            threads = self.add(f"{key}.threads", machine.threads, source, unit="threads")
            parts += [" with ", threads, f" {unit}"]
        if machine.isa and not machine.gpu:
            parts += [", instruction set ", self.add(f"{key}.isa", machine.isa, source)]
            if machine.isa_cap:
                cap = self.add(f"{key}.isa_cap", machine.isa_cap, source)
                parts += [" (capped at ", cap, ")"]
        if machine.memory is not None:
            memory = self.add(
                f"{key}.memory",
                machine.memory,
                source,
                text=f"{machine.memory / 2**30:.0f}",
                unit="bytes",
                formula="as recorded, in GiB",
            )
            parts += [", ", memory, " GiB of memory"]
        return Sentence(tuple(parts))

    def packages(self) -> list[tuple[str, Value]]:
        """Versions of the packages that made the runs; several where they differ."""
        versions: dict[str, dict[str, Source]] = {}
        for run in self.frames.logs.values():
            for name, version in run.header.packages.items():
                versions.setdefault(name, {}).setdefault(version, self.header(run))
        return [
            (name, self.add(f"version.{name}", shown, found.values(), text=shown))
            for name, found in versions.items()
            for shown in [", ".join(found)]
        ]

    def version(self) -> Value:
        """Of this artifact."""
        path = self.root / "pyproject.toml"
        project = read_toml(path).get("project")
        version = project.get("version") if isinstance(project, dict) else None
        if not isinstance(version, str):
            raise UserError(f"{path}: project.version is missing, or no text")
        return self.add(
            "artifact.version", version, [self.sources.toml(path, "project.version")], text=version
        )

    def commits(self) -> list[Value]:
        """Commits of the code that made the runs, twelve digits each."""
        found: dict[str, Source] = {}
        for run in self.frames.logs.values():
            if run.header.commit:
                found.setdefault(run.header.commit, self.header(run))
        return [
            self.add(f"commit.{number_}", commit, [source], text=commit[:12])
            for number_, (commit, source) in enumerate(found.items(), start=1)
        ]

    # ------------------------------------------------------------------------- layers

    def layer_rows(self, model: str) -> list[tuple[Layer, dict[str, Value]]]:
        """Convolutions and linear layers of one network with their sizes as values."""
        source = [self.layers_source(model)]
        rows = []
        layers = [layer for layer in self.frames.layers[model] if layer.type in WEIGHTED]
        for number_, layer in enumerate(layers, start=1):
            key = f"{model}.layer.{number_}"
            values = {
                "out": self.add(
                    f"{key}.out",
                    " × ".join(map(str, layer.out)),
                    source,
                    formula="shape of the output for one image",
                ),
                "parameters": self.add(f"{key}.parameters", layer.parameters, source),
                "macs": self.add(f"{key}.macs", layer.macs, source),
            }
            for name in ("kernel", "stride", "groups"):
                if (size := getattr(layer, name)) is not None:
                    values[name] = self.add(f"{key}.{name}", size, source)
            if is_number(layer.name):
                values["name"] = self.add(f"{key}.name", layer.name, source, text=layer.name)
            rows.append((layer, values))
        return rows


def is_number(name: str) -> bool:
    """Is a layer called by its place, as in ``nn.Sequential``: ``3`` or ``0.1``?

    Such a name is a value, or every numeral like it would pass for a name.
    """
    return re.fullmatch(r"[\d.]+", name) is not None


class _Duplicates(BaseModel):
    share: float = Field(ge=0, le=1, allow_inf_nan=False)
    source: str


class _Theirs(BaseModel):
    """One network in a report of others; their text has other things beside."""

    epoch_s: float = Field(gt=0, allow_inf_nan=False)
    accuracy: float = Field(ge=0, le=1, allow_inf_nan=False)


class _Known(BaseModel):
    duplicates: _Duplicates
    report2023: dict[str, _Theirs | str | int]


def read_known(root: Path) -> dict[str, Any]:
    """``report/known.toml``: numbers of others.

    Raises:
        UserError: it is missing, no TOML, or a number is missing or none.
    """
    path = root / "report" / "known.toml"
    values = read_toml(path)
    validated(_Known, values, path)
    return values


def _has_effect(key: str, recipe: Recipe) -> bool:
    """The size of small images has none where no epoch has such images."""
    return key != "low_resolution" or recipe.low_resolution_share > 0
