"""The tables of the paper, built of the ledger's values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from cnnpaper import fingerprint
from cnnpaper.config import Experiment
from cnnpaper.paper.analysis import Analysis, Network
from cnnpaper.paper.facts import CLASS_NAMES, Facts, Setting, read_known
from cnnpaper.paper.frames import Frames, timing_path
from cnnpaper.paper.ledger import (
    Cite,
    Sentence,
    Source,
    Value,
    duration,
    fixed,
    listing,
    percent,
    sentence,
    whole,
)
from cnnpaper.paper.stats import Calibration, most_confused
from cnnpaper.paper.tabular import ABSENT, Cell, Table, table
from cnnpaper.paper.tex import breakable
from cnnpaper.paper.values import PairValues, Values, seconds_text
from cnnpaper.timings import SECTIONS, Timing, quartiles

DAGGER = "†"
CONFUSED_PAIRS = 5
LETTERS = "abcdefghijklmnop"
"""Marks of hardware, where runs were made on several kinds."""


class Tables:
    """Makes the tables of one study.

    Args:
        root: of the repository.
    """

    def __init__(
        self, root: Path, frames: Frames, analysis: Analysis, facts: Facts, values: Values
    ) -> None:
        self.root, self.frames, self.analysis = root, frames, analysis
        self.facts, self.values = facts, values

    def experiment(self, network: Network) -> Experiment:
        return self.frames.experiments[model_of(network)]

    def networks(self) -> Table:
        """Year, venue, paper, depth, parameters and multiply-accumulates of each network."""
        rows = []
        for network in self.analysis.networks:
            model, experiment = model_of(network), self.experiment(network)
            rows.append(
                [
                    network.name,
                    self.facts.year(model),
                    experiment.venue,
                    Cite(experiment.citation, textual=True),
                    self.facts.depth(model),
                    known(self.values.parameters, network),
                    known(self.values.macs, network),
                ]
            )
        columns = [
            "Network",
            "Year",
            "Venue",
            "Paper",
            "Depth",
            "Parameters|million",
            "MACs|million",
        ]
        return table("networks", "lrllrrr", columns, rows, names=(18, "32mm"))

    def results(self) -> Table:
        """Accuracies with intervals, seeds, seconds, parameters and MACs of each network."""
        columns = [
            "Network",
            "Test|%",
            "Interval|%",
            "Flip-averaged|%",
            "Validation|%",
            "n",
            "Training|s",
            "Per epoch|s",
            "Param.|million",
            "MACs|million",
        ]
        rows = [self._result_row(network) for network in self.analysis.networks]
        return table("results", "lrrrrrrrrr", columns, rows, names=(15, "24mm"))

    def _result_row(self, network: Network) -> list[Cell]:
        test: Cell = self.state(network)
        interval: Cell = None
        flipped: Cell = None
        if network.accuracy is not None:
            found = self.values.accuracy(network)
            test, interval = found.value, sentence("{a} to {b}", a=found.low, b=found.high)
            flipped = self.values.accuracy_tta(network).value
        return [
            network.name,
            test,
            interval,
            flipped,
            known(self.values.validation, network),
            self.seeds(network),
            self._timed(network, self.training_seconds(network), "any_shared"),
            self._timed(network, known(self.values.epoch_seconds, network), "shared"),
            known(self.values.parameters, network),
            known(self.values.macs, network),
        ]

    def state(self, network: Network) -> str:
        """Why a network has no accuracy."""
        return "diverged" if network.diverged else "not run" if network.missing else ABSENT

    def seeds(self, network: Network) -> Cell:
        """Number of finished runs, and of how many where some did not finish."""
        count = self.values.count(
            f"{network.key}.n", len(network.finished), what="finished runs", sources=network.results
        )
        planned = len(network.planned)
        if planned == len(network.finished):
            return count
        study = self.facts.of_study("seeds")
        whole = self.values.count(f"{network.key}.planned", planned, what="runs", sources=study)
        return sentence("{n} of {planned}", n=count, planned=whole)

    def training_seconds(self, network: Network) -> Value | None:
        """Seconds of training in all, mean over finished runs."""
        if network.times is None or network.times.train_s is None:
            return None
        return self.values.ledger.add(
            f"{network.key}.train_s",
            network.times.train_s,
            text=seconds_text(network.times.train_s),
            unit="s",
            formula="mean over runs of the sum over epochs of train_s",
            sources=network.times.sources,
        )

    def _timed(self, network: Network, value: Value | None, shared: str) -> Cell:
        """``value`` with the marks of its hardware, where there are several, and of sharing.

        Args:
            shared: which of the flags of :class:`~cnnpaper.paper.analysis.Times` is about it.
        """
        times = network.times
        if value is None or times is None:
            return value
        kinds = self.hardware()
        own = [LETTERS[kinds.index(kind)] for kind in kinds if kind in times.hardware]
        marks = "".join(own) if len(kinds) > 1 else ""
        marks += DAGGER if getattr(times, shared) else ""
        return Sentence((value, f" {marks}")) if marks else value

    def hardware(self) -> list[str]:
        """Every kind of hardware that finished runs were made on, in the order of the networks."""
        found: dict[str, None] = {}
        for network in self.analysis.networks:
            if network.times is not None:
                found.update(dict.fromkeys(sorted(network.times.hardware)))
        return list(found)

    def timing(self) -> Table | None:
        """Time of a step by section, and memory; None where nothing was measured."""
        columns = [
            "Network",
            "Batch|images",
            "Step|ms",
            "Quartiles|ms",
            *(f"{name.capitalize()}|ms" for name in SECTIONS),
            "Images|per s",
            "Memory|GiB",
        ]
        rows = [
            self._timing_row(self.frames.experiments[model].name, line, self.timing_source(model))
            for model, (_, line) in self.frames.timings.items()
        ]
        return table("timing", "l" + "r" * 10, columns, rows, names=(15, "24mm")) if rows else None

    def timing_source(self, model: str) -> list[Source]:
        """The line of a network's measurement."""
        path = timing_path(self.root, self.frames.study.name)
        return [self.facts.sources.file(path, self.frames.timings[model][0])]

    def _timing_row(self, name: str, line: Timing, source: list[Source]) -> list[Cell]:
        def add(key: str, exact: float, text: str, unit: str, formula: str) -> Value:
            return self.facts.add(
                f"{line.model}.{key}", exact, source, text=text, unit=unit, formula=formula
            )

        def milliseconds(key: str, seconds: float, formula: str) -> Value:
            return add(key, seconds, seconds_text(1000 * seconds), "s", f"{formula}, in ms")

        step = quartiles(line.step_s)
        median = milliseconds("step", step.median, "median over steps of the sum of its sections")
        low = milliseconds("step.low", step.low, "lower quartile over steps")
        high = milliseconds("step.high", step.high, "upper quartile over steps")
        rate = line.batch_size / step.median
        memory = line.peak_memory
        return [
            name,
            add(
                "step.batch_size", line.batch_size, whole(line.batch_size), "images", "as recorded"
            ),
            Sentence((median, f" {DAGGER}")) if line.shared else median,
            sentence("{low} to {high}", low=low, high=high),
            *(
                milliseconds(f"step.{section}", quartiles(seconds).median, "median over steps")
                for section, seconds in line.sections.items()
            ),
            add("images_per_s", rate, seconds_text(rate), "images/s", "batch size / median step"),
            add("memory", memory, fixed(memory / 2**30, 2), "bytes", "peak_memory, in GiB"),
        ]

    def pairs(self) -> Table | None:
        """Every comparison; None where there is none."""
        rows = [
            [
                self.analysis.network(pair.first).name,
                self.analysis.network(pair.second).name,
                pair.difference,
                sentence("{low} to {high}", low=pair.low, high=pair.high),
                pair.p,
                "yes" if separated else "no",
            ]
            for pair, separated in self._pair_values()
        ]
        columns = [
            "First", "Second", "Difference|points", "Simultaneous|interval", "Adjusted|p",
            "Separated",
        ]  # fmt: skip
        return table("pairs", "llrrrl", columns, rows, names=(16, "28mm")) if rows else None

    def _pair_values(self) -> list[tuple[PairValues, bool]]:
        networks = {network.key: network for network in self.analysis.networks}
        return [
            (self.values.pair(pair, networks[pair.first], networks[pair.second]), pair.separated)
            for pair in self.analysis.comparisons
        ]

    def classes(self) -> Table | None:
        """Test accuracy by class and network, in percent with one decimal."""
        tested = [network for network in self.analysis.networks if network.by_class]
        rows = [[network.name, *self.class_values(network)] for network in tested]
        columns = ["Network", *CLASS_NAMES]
        return table("classes", "l" + "r" * len(CLASS_NAMES), columns, rows) if rows else None

    def class_values(self, network: Network) -> list[Value | None]:
        """Accuracy by class; None for a class without test images."""
        sources = self._predictions(network)
        return [
            None
            if accuracy is None
            else self.values.ledger.add(
                f"{network.key}.class.{label}",
                accuracy.mean,
                text=percent1(accuracy.mean),
                unit="fraction",
                formula=f"mean over seeds: share of {label} images classified rightly",
                sources=sources,
            )
            for label, accuracy in zip(CLASS_NAMES, network.by_class, strict=True)
        ]

    def calibration(self) -> Table | None:
        """Calibration error with its interval, Brier score, negative log-likelihood."""
        rows = [
            self._calibration_row(network, network.calibration)
            for network in self.analysis.networks
            if network.calibration is not None
        ]
        columns = ["Network", "ECE|%", "Interval|%", "Brier|score", "NLL|nats"]
        return table("calibration", "lrrrr", columns, rows) if rows else None

    def _calibration_row(self, network: Network, found: Calibration) -> list[Cell]:
        sources = self._predictions(network)

        def add(name: str, exact: float, text: str, formula: str) -> Value:
            return self.values.ledger.add(
                f"{network.key}.{name}", exact, text=text, formula=formula, sources=sources
            )

        low = add("ece.low", found.ece_low, percent(found.ece_low), "lower limit, bootstrap")
        high = add("ece.high", found.ece_high, percent(found.ece_high), "upper limit, bootstrap")
        return [
            network.name,
            self.ece(network),
            sentence("{low} to {high}", low=low, high=high),
            add("brier", found.brier, fixed(found.brier, 3), "mean Brier score"),
            add("nll", found.nll, fixed(found.nll, 3), "mean negative log-likelihood"),
        ]

    def ece(self, network: Network) -> Value:
        """Calibration error in percent, two decimals."""
        assert network.calibration is not None
        return self.values.ledger.add(
            f"{network.key}.ece",
            network.calibration.ece,
            text=percent(network.calibration.ece),
            unit="fraction",
            formula="top-label error, equal-mass bins",
            sources=self._predictions(network),
        )

    def _predictions(self, network: Network) -> list[Source]:
        return [self.facts.sources.predictions(self.frames.logs[run]) for run in network.tested]

    def confused(self) -> Table | None:
        """Classes most often taken for each other by the network that is best on validation."""
        best = self.analysis.best_on_validation
        if not best or best[0].confusion is None:
            return None
        counts = self.confusion_values(best[0])
        rows = [
            [CLASS_NAMES[a], CLASS_NAMES[b], counts[a][b], counts[b][a]]
            for a, b in most_confused(best[0].confusion, CONFUSED_PAIRS)
        ]
        columns = ["Class A", "Class B", "A taken for B", "B taken for A"]
        return table("confused", "llrr", columns, rows) if rows else None

    def confusion_values(self, network: Network) -> list[list[Value]]:
        """How often each class (row) was taken for each class (column), summed over seeds."""
        assert network.confusion is not None
        sources = self._predictions(network)
        return [
            [
                self.values.ledger.add(
                    f"{network.key}.confusion.{true}.{said}",
                    count,
                    text=f"{count:,}",
                    unit="images",
                    formula=f"{true} images taken for {said}, all seeds",
                    sources=sources,
                )
                for said, count in zip(CLASS_NAMES, row, strict=True)
            ]
            for true, row in zip(CLASS_NAMES, network.confusion.tolist(), strict=True)
        ]

    # --------------------------------------------------------------------------- settings

    def recipe(self) -> Table:
        """Every setting as all networks have it, and the networks that depart from it."""
        departures: dict[str, list[Sentence]] = {}
        for model, experiment in self.frames.experiments.items():
            for own in self.facts.overrides(model):
                said = sentence("{value} for {name}", value=own.value, name=experiment.name)
                departures.setdefault(own.key, []).append(said)
        rows = [
            [recipe_label(s.key), s.value, listing(departures.get(s.key, [])) or ""]
            for s in self.facts.shared_recipe()
        ]
        if not departures:
            return table("recipe", "lr", ["Setting", "Value"], [row[:2] for row in rows])
        return table("recipe", "lrl", ["Setting", "Value", "Except"], rows, widths={2: "42mm"})

    def departures(self) -> Table | None:
        """Every departure from the recipe with its reason; None where there is none."""
        path = [(None, setting) for setting in self.facts.shared_recipe() if setting.why]
        found: list[tuple[str | None, Setting]] = [*path]
        for model, experiment in self.frames.experiments.items():
            found += [(experiment.name, setting) for setting in self.facts.overrides(model)]
        rows = [
            [name or "all (study)", recipe_label(setting.key), setting.value, setting.why]
            for name, setting in found
        ]
        columns = ["Network", "Setting", "Value", "Reason"]
        if not rows:
            return None
        widths, names = {3: "66mm"}, (16, "28mm")
        return table("departures", "llrl", columns, rows, widths=widths, names=names)

    def runs(self) -> Table:
        """Every run with its fingerprint; above twenty runs, one line a network."""
        columns = [
            "Run", "Status", "Epochs", "Best|epoch", "Validation|%", "Test|%", "Training|s",
            "Started", "Fingerprint",
        ]  # fmt: skip
        rows = [self._run_row(row) for row in rows_of(self.frames.runs)]
        return table("runs", "llrrrrrll", columns, rows)

    def runs_by_network(self) -> Table:
        """Runs counted, with the fingerprints that they have."""
        columns = ["Network", "Planned", "Finished", "Diverged", "Missing", "Fingerprints"]
        rows = [self._runs_row(network) for network in self.analysis.networks]
        return table("runs_by_network", "lrrrrr", columns, rows)

    def _runs_row(self, network: Network) -> list[Cell]:
        logs = [self.frames.logs[run] for run in network.planned if run in self.frames.logs]
        headers = [self.facts.header(log) for log in logs]
        prints = {fingerprint.short(p) for log in logs if (p := log.header.fingerprint)}
        counts = {
            "planned": len(network.planned),
            "finished": len(network.finished),
            "diverged": len(network.diverged),
            "missing": len(network.missing),
            "fingerprints": len(prints),
        }
        add = self.values.count
        return [network.name] + [
            add(f"{network.key}.runs.{name}", count, what="runs", sources=headers)
            for name, count in counts.items()
        ]

    def _run_row(self, row: Any) -> list[Cell]:
        log = self.frames.logs[row.run]
        result, header = self.facts.sources.log(log), self.facts.header(log)
        epochs = [self.facts.sources.log(log, f"epoch {epoch.epoch}") for epoch in log.epochs]
        printed = log.header.fingerprint and fingerprint.short(log.header.fingerprint)
        best = None if pd.isna(row.best_epoch) else int(row.best_epoch) + 1
        return [
            breakable(row.run),
            row.status,
            self._of_run(row.run, "epochs", int(row.epochs), str, header),
            self._of_run(row.run, "best_epoch", best, str, result, formula=FROM_ONE),
            self._of_run(row.run, "best_val_acc", row.best_val_acc, percent, result),
            self._of_run(row.run, "test_acc", row.test_acc, percent, result),
            self._of_run(row.run, "train_s", row.train_s, seconds_text, *epochs, formula=SUMMED),
            self._of_run(row.run, "started", row.started, _to_the_minute, header),
            self._of_run(row.run, "fingerprint", printed, str, header, formula=SHORTENED),
        ]

    def _of_run(
        self,
        run: str,
        name: str,
        exact: Any,
        text: Callable[[Any], str],
        *sources: Source,
        formula: str = "as recorded",
    ) -> Value | None:
        """A field of one run as a value; None where it is unknown."""
        if exact is None or pd.isna(exact):
            return None
        return self.facts.add(
            f"run.{run}.{name}", exact, sources, text=text(exact), formula=formula
        )

    def layers(self, model: str) -> Table:
        """Convolutions and linear layers of one network, in the order of execution."""
        rows = []
        for layer, values in self.facts.layer_rows(model):
            kind = "linear" if layer.type == "Linear" else "conv"
            rows.append(
                [
                    values.get("name", breakable(layer.name)),
                    kind,
                    values.get("kernel"),
                    values.get("stride"),
                    values.get("groups"),
                    values["out"],
                    values["parameters"],
                    values["macs"],
                ]
            )
        columns = ["Layer", "Kind", "Kernel", "Stride", "Groups", "Output", "Parameters", "MACs"]
        return table(f"layers_{model}", "llrrrrrr", columns, rows)

    # --------------------------------------------------------------------------- 2023

    def report2023(self) -> Table | None:
        """The table of the 2023 report beside ours, for the networks that both have."""
        theirs = read_known(self.root)["report2023"]
        both = [n for n in self.analysis.networks if isinstance(theirs.get(model_of(n)), dict)]
        rows = [self._row2023(network, theirs[model_of(network)]) for network in both]
        columns = [
            "Network", "2023:|seconds per epoch", "2023:|accuracy, %", "Here:|seconds per epoch",
            "Here:|test accuracy, %",
        ]  # fmt: skip
        return table("report2023", "lrrrr", columns, rows) if rows else None

    def _row2023(self, network: Network, theirs: dict[str, Any]) -> list[Cell]:
        path, place = self.root / "report" / "known.toml", f"report2023.{model_of(network)}"

        def add(name: str, text: str) -> Value:
            source = self.facts.sources.toml(path, f"{place}.{name}")
            return self.facts.add(f"{place}.{name}", theirs[name], [source], text=text)

        return [
            network.name,
            add("epoch_s", str(theirs["epoch_s"])),
            add("accuracy", percent(theirs["accuracy"])),
            known(self.values.epoch_seconds, network),
            known(lambda n: self.values.accuracy(n).value, network),
        ]

    def imported(self) -> Table:
        """What the logs of the 2023 program say: best validation accuracy and total time."""
        rows = [self._imported_row(row) for row in rows_of(self.frames.runs)]
        columns = [
            "Network",
            "Status",
            "Epochs",
            "Best validation|accuracy, %",
            "Best|epoch",
            "Total time",
        ]
        return table("results", "llrrrr", columns, rows)

    def _imported_row(self, row: Any) -> list[Cell]:
        log = self.frames.logs[row.run]
        source, header = self.facts.sources.log(log), self.facts.header(log)
        best = None if pd.isna(row.best_epoch) else int(row.best_epoch) + 1
        return [
            row.name_,
            row.status,
            self._of_run(row.run, "epochs", int(row.epochs), str, header),
            self._of_run(row.run, "best_val_acc", row.best_val_acc, percent1, source),
            self._of_run(row.run, "best_epoch", best, str, source, formula=FROM_ONE),
            self._of_run(row.run, "total_s", row.total_s, duration, source),
        ]


FROM_ONE = "as recorded, but counted from 1"
SUMMED = "sum over epochs of train_s"
SHORTENED = "first digits of the SHA-256 of the fingerprint that is recorded"
"""Formulas of a run's fields."""


def _to_the_minute(started: str) -> str:
    """``2026-11-24 10:23`` of ``2026-11-24T10:23:55Z``."""
    return started[:16].replace("T", " ")


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """The rows as named tuples, column ``name`` as ``name_``."""
    return list(frame.rename(columns={"name": "name_"}).itertuples(index=False))


def percent1(fraction: float) -> str:
    return percent(fraction, 1)


def model_of(network: Network) -> str:
    """``resnet18`` of ``resnet18-pretrained``: a model's name holds no hyphen."""
    return network.key.partition("-")[0]


def known(make: Callable[[Network], Value], network: Network) -> Value | None:
    """``make(network)``, or None where what it needs is not known."""
    try:
        return make(network)
    except ValueError:
        return None


LABELS = {
    "batch_size": "batch size, images",
    "peak_learning_rate": "peak learning rate",
    "warmup_share": "warm-up, share of all steps",
    "momentum": "momentum",
    "nesterov": "Nesterov’s form",
    "weight_decay": "weight decay",
    "weight_decay_on": "weight decay on",
    "label_smoothing": "label smoothing",
    "crop_padding": "crop padding, pixels",
    "crop_mode": "padding mode",
    "flip": "horizontal flip",
    "low_resolution": "low resolution, pixels",
    "low_resolution_share": "epochs at low resolution, share",
    "ema_decay": "decay of averaged weights",
    "clip_norm": "limit of the gradient’s norm",
    "memory_format": "memory format",
}
"""Settings of the recipe in words; a new key is printed as it is."""


def recipe_label(key: str) -> str:
    return LABELS.get(key, key.replace("_", " "))
