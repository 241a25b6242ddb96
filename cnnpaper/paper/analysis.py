"""All statistics of a study, computed once from its frames: what tables, figures and claims use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from cnnpaper.config import run_name
from cnnpaper.paper import stats
from cnnpaper.paper.frames import FULL_RESOLUTION, Frames
from cnnpaper.paper.ledger import Source
from cnnpaper.paper.sources import Sources
from cnnpaper.predictions import CLASSES
from cnnpaper.records import Run

BOOTSTRAP_FROM = 10
"""Seeds from which on the multi-bootstrap is a check."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Mean seconds over the finished runs of a network, and whether they can be compared."""

    epoch_s: float | None
    """Per epoch at full resolution."""
    train_s: float | None
    hardware: frozenset[str]
    """One entry for each kind of machine and number of threads that the runs had."""
    shared: bool
    """Some run had no epoch at full resolution with the machine to itself."""
    any_shared: bool
    """Some epoch of some run, at any resolution, had not."""
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of the study (an imported one for each of its variants) and its figures."""

    key: str
    """In the ledger: ``resnet18``, ``resnet18-pretrained``."""
    name: str
    """As printed: ``ResNet-18``."""
    reading: str
    """Korean reading of the name."""
    planned: tuple[str, ...]
    """Runs by name, in the order of their seeds."""
    finished: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    """Finished runs whose predictions on the test images are known."""
    validation: float | None = None
    """Mean over finished runs of the best validation accuracy."""
    parameters: int | None = None
    macs: int | None = None
    times: Times | None = None
    correct: stats.Booleans | None = None
    """(S, n): is image i answered rightly by tested run s?"""
    accuracy: stats.Accuracy | None = None
    accuracy_tta: stats.Accuracy | None = None
    """With flip averaging."""
    gap: stats.Gap | None = None
    """Validation less test accuracy."""
    by_class: tuple[stats.Accuracy | None, ...] = ()
    """By class, of ten; None where the test images have none of it."""
    confusion: npt.NDArray[np.int64] | None = None
    """Summed over runs, (10, 10), rows are the true classes."""
    calibration: stats.Calibration | None = None
    results: tuple[Source, ...] = ()
    """Result lines of the finished runs."""
    header: tuple[Source, ...] = ()
    """Header line that the layer table, parameters and MACs come from."""

    @property
    def complete(self) -> bool:
        """Every planned run finished and was tested: only then is the network compared."""
        return bool(self.planned) and self.tested == self.planned


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The statistics of one study."""

    networks: tuple[Network, ...]
    """In the order of the study."""
    epochs: int = 1
    """Planned for each run."""

    def network(self, key: str) -> Network:
        """The network of that key.

        Raises:
            KeyError: there is none.
        """
        return {network.key: network for network in self.networks}[key]

    @cached_property
    def compared(self) -> tuple[Network, ...]:
        """The networks whose planned runs all finished."""
        return tuple(network for network in self.networks if network.complete)

    @cached_property
    def comparisons(self) -> tuple[stats.Comparison, ...]:
        """Every pair of the compared networks, by key, in the order of the study."""
        return stats.compare_all({n.key: n.correct for n in self.compared if n.correct is not None})

    @cached_property
    def bootstrap_p(self) -> dict[tuple[str, str], float]:
        """Multi-bootstrap p by pair, not adjusted; empty below ten seeds."""
        if not self.compared or self.seeds < BOOTSTRAP_FROM:
            return {}
        drawn = stats.multibootstrap(
            {n.key: n.correct for n in self.compared if n.correct is not None}
        )
        return {
            (pair.first, pair.second): stats.multibootstrap_p(drawn[pair.first], drawn[pair.second])
            for pair in self.comparisons
        }

    @cached_property
    def seeds(self) -> int:
        """Planned runs of each network; the largest number where they differ."""
        return max((len(network.planned) for network in self.networks), default=0)

    @cached_property
    def best_on_validation(self) -> tuple[Network, ...]:
        """The network of the highest mean validation accuracy; several where they tie."""
        known = {n.key: n.validation for n in self.networks if n.validation is not None}
        best = max(known.values(), default=None)
        return tuple(n for n in self.networks if n.key in known and known[n.key] == best)


def analyse(frames: Frames, sources: Sources) -> Analysis:
    """Compute everything; reads each run's predictions once.

    Args:
        frames: the study.
        sources: where its lines stand.
    """
    networks: list[Network] = []
    for model in frames.study.networks:
        rows = frames.runs[frames.runs["model"] == model]
        variants = list(dict.fromkeys(rows["variant"])) or [None]
        networks += [_network(frames, sources, model, variant) for variant in variants]
    return Analysis(networks=tuple(networks), epochs=frames.study.epochs)


def _network(frames: Frames, sources: Sources, model: str, variant: str | None) -> Network:
    experiment = frames.experiments[model]
    here = frames.runs["variant"].isna() if variant is None else frames.runs["variant"] == variant
    rows = frames.runs[(frames.runs["model"] == model) & here]
    planned = tuple(rows["run"])
    if frames.study.origin == "trained":
        planned = tuple(run_name(model, None, seed) for seed in frames.study.seeds)
    done = rows[rows["status"] == "finished"]
    finished = tuple(done["run"])
    tested = tuple(run for run in finished if run in frames.predictions)
    suffix = "" if variant is None else f" ({variant})"
    base = Network(
        key=model if variant is None else f"{model}-{variant}",
        name=experiment.name + suffix,
        reading=experiment.korean + suffix,
        planned=planned,
        finished=finished,
        diverged=tuple(rows[rows["status"] == "diverged"]["run"]),
        missing=tuple(run for run in planned if run in frames.missing),
        tested=tested,
        validation=_mean(done["best_val_acc"]),
        parameters=_same(rows["parameters"]),
        macs=_same(rows["macs"]),
        times=_times(frames, sources, done),
        results=tuple(sources.log(frames.logs[run], "result") for run in finished),
        header=tuple(sources.log(frames.logs[run], "header") for run in rows["run"][:1]),
    )
    return _tested(frames, base, done) if tested else base


def _tested(frames: Frames, base: Network, done: pd.DataFrame) -> Network:
    """``base`` with what its predictions give."""
    correct, flipped, calibrations = [], [], []
    confusion = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for run in base.tested:
        found = frames.predictions[run]
        labels = found.labels
        correct.append(found.logits.argmax(axis=1) == labels)
        flipped.append(found.logits_tta.argmax(axis=1) == labels)
        calibrations.append(stats.calibrate(labels, found.logits))
        confusion += stats.confusion(labels, found.logits)
    right = np.array(correct)  # (S, n)
    validation = done.set_index("run").loc[list(base.tested), "best_val_acc"].to_numpy(float)
    return replace(
        base,
        correct=right,
        accuracy=stats.accuracy(right),
        accuracy_tta=stats.accuracy(np.array(flipped)),
        gap=stats.selection_gap(validation, frames.study.data.validation_images, right),
        by_class=tuple(
            stats.accuracy(right[:, labels == label]) if (labels == label).any() else None
            for label in range(len(confusion))
        ),
        confusion=confusion,
        calibration=stats.calibration(calibrations),
    )


def _mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) and len(known) == len(values) else None


def _same(values: pd.Series) -> int | None:
    """The one value of all runs; None where it is unknown."""
    known = Counter(int(value) for value in values.dropna())
    return next(iter(known)) if len(known) == 1 else None


def _times(frames: Frames, sources: Sources, done: pd.DataFrame) -> Times | None:
    if done.empty:
        return None
    logs = [frames.logs[run] for run in done["run"]]
    curves = frames.curves[frames.curves["run"].isin(done["run"])]
    full = curves[curves["resolution"] == FULL_RESOLUTION]
    alone = set(full[~full["shared"]]["run"])
    return Times(
        epoch_s=_mean(done["epoch_s"]),
        train_s=_mean(done["train_s"]),
        hardware=frozenset(hardware(run) for run in logs),
        shared=any(run not in alone for run in done["run"]),
        any_shared=bool(done["shared"].any()),
        sources=tuple(
            sources.log(run, f"epoch {epoch.epoch}") for run in logs for epoch in run.epochs
        ),
    )


def hardware(run: Run) -> str:
    """The machine as far as it decides how long an epoch takes; ``unknown`` for imported logs."""
    machine = run.header.machine
    parts = (machine.gpu, machine.cpu, machine.isa, machine.isa_cap, machine.threads)
    known = [str(part) for part in parts if part is not None]
    return ", ".join(known) if machine.gpu or machine.cpu else "unknown"
