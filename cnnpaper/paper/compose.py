"""The paper's text: facts, tables, claims and figures of a study put into the templates.

Nothing is written here. :func:`compose` returns every file of TeX by name, with the ledger and the
tables behind it; :mod:`cnnpaper.paper.build` writes them and runs TeX.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnnpaper import certificate, fingerprint
from cnnpaper.certificate import CERTIFICATE_NAME, Certificate
from cnnpaper.paper import stats
from cnnpaper.paper.analysis import BOOTSTRAP_FROM, Analysis
from cnnpaper.paper.claims import ARCHITECTURE_SEEDS, PAIRS_LISTED, Claims
from cnnpaper.paper.drawings import Drawing
from cnnpaper.paper.facts import Facts, counted, date_text, is_number, read_known
from cnnpaper.paper.frames import Frames
from cnnpaper.paper.ledger import Cite, Ledger, Sentence, Value, listing, percent, sentence
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.tables import DAGGER, LETTERS, Tables, model_of
from cnnpaper.paper.tabular import Table, booktabs, table
from cnnpaper.paper.tex import Printer, Tex, breakable, environment, render
from cnnpaper.paper.values import Values
from cnnpaper.records import Run

MANY_RUNS = 20
"""Above so many runs the appendix lists them by network."""
SHORT_EPOCHS = 10
"""Below so many epochs the paper says that the schedule is short."""
BODY = (
    "title",
    "introduction",
    "networks",
    "experiment",
    "statistics",
    "results",
    "discussion",
    "reproducibility",
)
"""Templates whose numbers are links; the appendix is where the links lead."""
IMPORTED_BODY = ("imported",)


TITLE = (
    "A comparison of representative convolutional neural networks",
    "대표적인 합성곱 신경망 모델의 비교",
)
INITIAL = {
    "he_normal_fan_in": "normal with a variance of two over the fan in",
    "he_normal_fan_out": "normal with a variance of two over the fan out",
    "truncated_normal": "normal with one small deviation",
    "pytorch": "uniform as PyTorch draws them by default",
}
"""What the schemes of :func:`cnnpaper.learn.models.initialise` do to a convolution."""
AGAIN = (
    "yes: make verify executes every run again in small, with its first steps; "
    "make reproduce trains one from nothing and compares every value"
)


@dataclass(frozen=True)
class Stale:
    """Runs that are shown although the repository has changed since."""

    runs: tuple[str, ...]
    changes: str
    files: frozenset[str]
    """Files of these runs, as the ledger names them: their numbers are marked."""
    message: str = ""
    """For the command line: which runs, what changed, and the target that mends it."""


@dataclass(frozen=True)
class Paper:
    """Everything that TeX reads but the figures, and what the numbers are."""

    files: dict[str, str]
    """Name → text: ``paper.tex``, ``results.tex``, …"""
    ledger: Ledger
    tables: dict[str, Table]
    names: tuple[str, ...]
    """Printed names that hold numerals of their own: ``VGG-16``."""


class Composer:
    """Puts one study into the templates.

    Args:
        drawings: the figures by name, already drawn; the text refers to those that there are.
        stale: runs that are not today's, where that was allowed.
    """

    def __init__(
        self,
        root: Path,
        frames: Frames,
        analysis: Analysis,
        ledger: Ledger,
        sources: Sources,
        drawings: Mapping[str, Drawing],
        stale: Stale | None = None,
    ) -> None:
        self.root, self.frames, self.analysis = root, frames, analysis
        self.ledger, self.sources, self.drawings, self.stale = ledger, sources, drawings, stale
        self.values = Values(ledger)
        self.facts = Facts(root, frames, ledger, sources)
        self.tables = Tables(root, frames, analysis, self.facts, self.values)
        self.printer = Printer(stale.files if stale else frozenset())

    def compose(self) -> Paper:
        """All files of the paper."""
        imported = self.frames.study.origin == "imported"
        env = environment(self.root / "report", self.printer)
        env.globals.update(plural=_plural, defined=bool)
        body = IMPORTED_BODY if imported else BODY
        main = "imported_paper" if imported else "paper"
        context = self._imported_context() if imported else self._context()
        files = {f"{name}.tex": render(env, f"{name}.tex.j2", context) for name in body}
        self.printer.links = False
        if not imported:
            files["appendix.tex"] = render(env, "appendix.tex.j2", self._appendix_context())
        files["provenance.tex"] = render(env, "provenance.tex.j2", self._provenance_context())
        files["paper.tex"] = render(env, f"{main}.tex.j2", context)
        return Paper(files, self.ledger, self._made, tuple(self._names_with_numerals()))

    # ------------------------------------------------------------------------- pieces

    @cached_property
    def _made(self) -> dict[str, Table]:
        """Tables by name; those that have nothing to show are absent."""
        made = self.tables
        if self.frames.study.origin == "imported":
            every: list[Table | None] = [made.imported()]
        else:
            every = [
                made.networks(), made.recipe(), made.results(), made.timing(), made.pairs(),
                made.classes(), made.calibration(), made.confused(), made.departures(), made.runs(),
                made.report2023(), self._checklist(),
                *(made.layers(model) for model in self.frames.layers),
            ]  # fmt: skip
        return {item.name: item for item in every if item is not None}

    def _set(self, *names: str) -> dict[str, Tex | None]:
        """Tables by name as TeX; None for those that are absent."""
        return {
            name: booktabs(self._made[name], self.printer) if name in self._made else None
            for name in names
        }

    def _flags(self) -> dict[str, bool]:
        study, runs = self.frames.study, self.frames.runs
        name = next(iter(self.frames.logs.values())).header.data.name or ""
        kind = study.data.set
        return {
            "several_networks": len(study.networks) > 1,
            "synthetic": "synthetic" in name.lower() or kind == "synthetic",
            "reencoded": "re-encoded" in name,
            "unnamed": "CIFAR-10" not in name,
            "one_epoch": study.epochs == 1,
            "short": study.epochs < SHORT_EPOCHS,
            "one_seed": len(study.seeds) == 1,
            "few_seeds": 1 < len(study.seeds) < ARCHITECTURE_SEEDS,
            "bootstrap": len(study.seeds) >= BOOTSTRAP_FROM,
            "diverged": bool((runs["status"] == "diverged").any()),
            "shared": bool(runs["shared"].any()),
            "departures": "departures" in self._made,
            "smoothing": self.facts.recipe.label_smoothing > 0,
            "alternating": self.facts.recipe.flip == "alternating",
            "small_images": self.facts.recipe.low_resolution_share > 0,
            "trials": (self.root / "results" / "log" / "ablation").is_dir(),
        }

    @cached_property
    def titles(self) -> dict[str, str]:
        synthetic = self._flags()["synthetic"]
        imported = self.frames.study.origin == "imported"
        more = "synthetic images" if synthetic else "logs of 2023" if imported else ""
        more_korean = (
            "합성 이미지에 대한 시험" if synthetic else "2023년의 기록" if imported else ""
        )
        main, main_korean = TITLE
        return {
            "main": main,
            "main_korean": main_korean,
            "more": f"{more_korean} / {more}" if more else "",
            "english": f"{main}: {more}" if more else main,
            "korean": f"{main_korean}: {more_korean}" if more else main_korean,
            "keywords": "convolutional neural networks, image classification, "
            + ("synthetic images" if synthetic else "CIFAR-10")
            + ", reproducibility",
            "keywords_korean": "합성곱 신경망, 이미지 분류, 재현성",
        }

    def _names(self) -> dict[str, Any]:
        study = self.frames.study
        networks = list(dict.fromkeys(network.name for network in self.analysis.networks))
        drawn = [
            f"fig:{model}" for model in study.networks if f"architecture_{model}" in self.drawings
        ]
        folder = breakable(f"results/log/{study.name}/")
        experiments = self.frames.experiments.values()
        return {
            "study": study.name,
            "networks": listing(networks),
            "networks_korean": ", ".join(networks),
            "seeds": self.facts.seed_list() if study.seeds else None,
            "dagger": DAGGER,
            "logs": folder,
            "vgg": next((e.name for e in experiments if e.builder == "vgg16"), None),
            "drawings_ref": _figure_range(drawn),
        }

    def _context(self) -> dict[str, Any]:
        """What the templates of the body read."""
        facts, data = self.facts, self.facts.data()
        nets = [self._net(model) for model in self.frames.study.networks]
        machines = facts.machines()
        packages = facts.packages()
        names = self._names()
        names["machine"] = listing(machines) if machines else "unknown hardware"
        names["torch"] = next(
            (_named("PyTorch", v) for n, v in packages if n == "torch"), "PyTorch"
        )
        best = self.analysis.best_on_validation
        pairs = max(1, len(self.analysis.comparisons))
        return {
            "study": facts.study(),
            "flags": self._flags(),
            "titles": self.titles,
            "names": names,
            "data": data,
            "nets": nets,
            "initial": self._initial(),
            "runs": list(self.frames.logs),
            "machines": machines,
            "artifact": {
                "version": facts.version(),
                "commits": facts.commits(),
                "packages": [_named(name, version) for name, version in packages],
            },
            "stale": self.stale,
            "claims": self._claims(),
            "tables": self._set(
                "networks", "recipe", "results", "timing", "pairs", "confused", "calibration",
                "checklist", "report2023",
            ),
            "figures": self.drawings,
            "hardware": self._hardware(),
            "timing": self._timing(),
            "best": {"name": best[0].name} if best else {},
            "counts": {
                "pairs": facts.add(
                    "study.pairs", pairs, facts.of_study("networks"), text=counted(pairs),
                    unit="pairs", formula="pairs of networks that are compared",
                ),
            },
            "method": self._method(),
            "report2023": self._report2023(),
        }  # fmt: skip

    def _initial(self) -> Sentence:
        """Which initial weights the convolutions of which networks have."""
        names: dict[str, list[str]] = defaultdict(list)
        for experiment in self.frames.experiments.values():
            names[experiment.initialisation].append(experiment.name)
        return listing(
            sentence(f"{INITIAL[scheme]} for {{nets}}", nets=listing(nets))
            for scheme, nets in names.items()
        )

    def _net(self, model: str) -> dict[str, Any]:
        experiment = self.frames.experiments[model]
        drawing = self.drawings.get(f"architecture_{model}")
        claims = Claims(self.analysis, self.ledger)
        keys = [n.key for n in self.analysis.networks if model_of(n) == model]
        return {
            "name": experiment.name,
            "label": model.replace("_", "-"),
            "idea": self.facts.description(model, "idea"),
            "stem": self.facts.description(model, "stem"),
            "cite": Cite(experiment.citation),
            "drawing": drawing,
            "claims": [claim for key in keys for claim in claims.network(key)],
        }

    def _claims(self) -> dict[str, Sequence[Sentence]]:
        english = Claims(self.analysis, self.ledger)
        korean = Claims(self.analysis, self.ledger, "ko")
        return {
            "abstract": english.abstract(),
            "abstract_korean": korean.abstract(),
            "accuracies": english.accuracies(),
            "runs": english.runs(),
            "pairs": self._pair_claims(english),
            "rounding": english.rounding(),
            "check": english.check(),
            "costs": [*english.sizes(), *english.seconds()],
        }

    def _pair_claims(self, claims: Claims) -> list[Sentence]:
        """What the results say of pairs; the table beside them has every difference."""
        found: list[Sentence] = [*claims.pairs()]
        if 1 < len(self.analysis.comparisons) <= PAIRS_LISTED:
            unclear = [claim for claim in claims.pairs() if not claim.asserts]
            found = [claims.separated(), *unclear]
        return [*found, *claims.most_accurate()]

    def _hardware(self) -> list[tuple[str, str]]:
        """Marks of the results table and what they stand for, where there are several."""
        kinds = self.tables.hardware()
        return list(zip(LETTERS, kinds, strict=False)) if len(kinds) > 1 else []

    def _timing(self) -> dict[str, Any]:
        """What the caption of the step times says: how many steps, and on what."""
        machines: dict[str, Sentence] = {}
        counts: dict[int, Value] = {}
        for model, (_, line) in self.frames.timings.items():
            source, steps = self.tables.timing_source(model), len(line.step_s)
            name = line.machine.gpu or line.machine.cpu
            identity = line.machine.model_dump_json()
            if identity not in machines and name is not None:
                key = f"timing.machine.{len(machines) + 1}"
                machines[identity] = self.facts.machine(line.machine, source, key, name)
            if steps not in counts:
                counts[steps] = self.facts.add(
                    f"timing.steps.{len(counts) + 1}", steps, source, unit="steps",
                    formula="steps that were timed",
                )  # fmt: skip
        return {
            "machines": listing(machines.values()) if machines else None,
            "steps": listing(counts.values(), conjunction="or"),
            "shared": any(line.shared for _, line in self.frames.timings.values()),
        }

    def _method(self) -> dict[str, Value]:
        """Constants of the method that the text names."""
        known, path = read_known(self.root), self.root / "report" / "known.toml"
        share = known["duplicates"]["share"]
        smoothing = next(s.value for s in self.facts.shared_recipe() if s.key == "label_smoothing")
        return {
            "level": self.values.level(),
            "bins": self.facts.add("method.bins", stats.CALIBRATION_BINS, [], unit="bins"),
            "smoothing": smoothing,
            "duplicates": self.facts.add(
                "known.duplicates",
                share,
                [self.sources.toml(path, "duplicates.share")],
                text=percent(share, 1),
                unit="fraction",
                formula="as published",
            ),
        }

    def _report2023(self) -> dict[str, Value]:
        """Settings of the 2023 report."""
        path = self.root / "report" / "known.toml"
        return {
            key: self.facts.add(
                f"report2023.{key}", value, [self.sources.toml(path, f"report2023.{key}")],
                formula="as its text gives it",
            )
            for key, value in read_known(self.root)["report2023"].items()
            if not isinstance(value, dict) and key != "source"
        }  # fmt: skip

    # ------------------------------------------------------------------------- checklist

    def _checklist(self) -> Table:
        """Questions about reproducibility, answered from the study."""
        facts, names = self.facts, self._names()
        machines, commits = facts.machines(), facts.commits()
        versions = [_named(name, version) for name, version in facts.packages()]
        rows = [
            ["Which code made the runs?", _or_unknown(commits, "commit ")],
            ["Is it today’s code?", self._freshness()],
            ["Which data?", self._data_answer()],
            ["Which seeds?", names["seeds"]],
            ["What does a seed vary?", "weights, order, augmentation, dropout; not the split"],
            ["Did every run finish?", self._runs_answer()],
            ["How often were the test images read?", facts.test_evaluations()],
            ["Which hardware?", _or_unknown(machines)],
            ["Which software?", _or_unknown(versions)],
            ["Can a run be executed again?", AGAIN],
            ["Which runs have a certificate?", self._certificates()],
        ]  # fmt: skip
        return table(
            "checklist", "ll", ["Question", "Answer"], rows, widths={0: "44mm", 1: "108mm"}
        )

    def _freshness(self) -> Any:
        if self.stale is not None:
            return sentence("not for {runs}", runs=listing(self.stale.runs))
        changed = [r.name for r, _ in self._certified if fingerprint.changes(self.root, r)]
        if not changed:
            return "yes: the fingerprints of all runs are those of the repository"
        return sentence(
            "by certificate for {runs}: the code has changed, and gave the same bits again",
            runs=listing(changed),
        )

    def _data_answer(self) -> Sentence:
        data = self.facts.data()
        if data["digest"] is None:
            return Sentence((data["name"] or "not known",))
        return sentence("{name}, SHA-256 {digest}", name=data["name"], digest=data["digest"])

    def _runs_answer(self) -> Any:
        runs = self.frames.runs
        troubles = [*runs.loc[runs["status"] == "diverged", "run"]]
        answer = ["yes"] if not troubles and not self.frames.missing else []
        if troubles:
            answer.append(f"diverged: {', '.join(troubles)}")
        if self.frames.missing:
            answer.append(f"missing: {', '.join(self.frames.missing)}")
        return "; ".join(answer)

    @cached_property
    def _certified(self) -> list[tuple[Run, Certificate]]:
        """Runs that have a certificate."""
        read = [(run, certificate.read(run)) for run in self.frames.logs.values()]
        return [(run, found) for run, found in read if found is not None]

    def _certificates(self) -> str | Sentence:
        """How many runs were certified, which, and when the last time."""
        held = self._certified
        if not held:
            return "none" if self.stale else "none, and none is needed: no run is stale"
        sources = [self.sources.file(run.path.with_name(CERTIFICATE_NAME)) for run, _ in held]
        last = max(found.made for _, found in held)
        return sentence(
            "{count} of {runs}: {names}, on {day}",
            count=self.facts.add("certificates.count", len(held), sources, formula="counted"),
            runs=self.facts.study()["runs"],
            names=listing([run.name for run, _ in held]),
            day=self.facts.add(
                "certificates.date", last, sources, text=date_text(last),
                formula="day on which the last certificate was made",
            ),
        )  # fmt: skip

    # ------------------------------------------------------------------------- appendix

    def _appendix_context(self) -> dict[str, Any]:
        printer = self.printer
        return {
            "names": self._names(),
            "runs": list(self.frames.logs),
            "flags": {"many_runs": len(self.frames.logs) > MANY_RUNS},
            "tables": {
                **self._set("departures"),
                "runs": booktabs(self._shown_runs(), printer, long=True),
            },
            "layers": [
                (
                    self.frames.experiments[model].name,
                    booktabs(self._made[f"layers_{model}"], printer, long=True),
                )
                for model in self.frames.layers
            ],
        }

    def _shown_runs(self) -> Table:
        many = len(self.frames.logs) > MANY_RUNS
        return self.tables.runs_by_network() if many else self._made["runs"]

    def _provenance_context(self) -> dict[str, Any]:
        return {
            "names": self._names(),
            "provenance": [
                {
                    "target": Tex(value.key),
                    "key": breakable(value.key, plain=True),
                    "value": value,
                    "formula": value.formula,
                    "source": _source_cell(value, self._log_prefix),
                }
                for value in self.printer.printed.values()
            ],
        }

    @property
    def _log_prefix(self) -> str:
        return f"results/log/{self.frames.study.name}/"

    def _names_with_numerals(self) -> list[str]:
        names = {network.name for network in self.analysis.networks}
        names |= {experiment.name for experiment in self.frames.experiments.values()}
        names |= {*self.frames.logs, *self.frames.missing, self.frames.study.name}
        layers = (layer.name for layers in self.frames.layers.values() for layer in layers)
        names |= {name for name in layers if not is_number(name)}
        for value in self.printer.printed.values():
            first, more = _first_source(value, self._log_prefix)
            names |= {value.key, value.formula, first, more}
        if self.stale:
            names.add(self.stale.changes)
        return sorted(names - {""})

    def _imported_context(self) -> dict[str, Any]:
        """What the templates of a paper about imported logs read."""
        status = self.frames.runs["status"]
        return {
            "study": self.facts.study(),
            "titles": self.titles,
            "names": self._names(),
            "runs": list(self.frames.logs),
            "flags": {
                "one_epoch": int(self.frames.curves["epoch"].max()) == 0,
                "cut_off": bool((status == "cut off").any()),
                "diverged": bool((status == "diverged").any()),
            },
            "artifact": {"version": self.facts.version()},
            "tables": self._set("results"),
            "figures": self.drawings,
        }


def _first_source(value: Value, prefix: str) -> tuple[str, str]:
    """The first source, and how many more there are."""
    if not value.sources:
        return "the code", ""
    more = len(value.sources) - 1
    return str(value.sources[0]).removeprefix(prefix), f"(+{more})" if more else ""


def _source_cell(value: Value, prefix: str) -> Tex:
    first, more = _first_source(value, prefix)
    return Tex(breakable(first, plain=True) + (f" {more}" if more else ""))


def _figure_range(labels: Sequence[str]) -> Tex:
    """``; Figures 1 to 4 draw them``, as references."""
    if not labels:
        return Tex("")
    if len(labels) == 1:
        return Tex(rf"; Figure~\ref{{{labels[0].replace('_', '-')}}} draws it")
    first, last = (label.replace("_", "-") for label in (labels[0], labels[-1]))
    between = "and" if len(labels) == 2 else "to"
    return Tex(rf"; Figures~\ref{{{first}}} {between}~\ref{{{last}}} draw them")


def _named(name: str, version: Value) -> Sentence:
    return Sentence((f"{name} ", version))


def _or_unknown(items: Sequence[Value | Sentence], before: str = "") -> Sentence:
    return Sentence((before,)) + listing(items) if items else Sentence(("not known",))


def _plural(count: Any, one: str, many: str) -> str:
    """``one`` or ``many`` for a number or a collection."""
    number = count if isinstance(count, int) else len(count)
    return one if number == 1 else many
