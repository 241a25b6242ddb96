"""``status``: which runs of a study are done, which are missing, what those cost, and what is next.

A cost is an estimate: from finished runs of the same network on this type of processor, else from
measured step times, else from finished runs elsewhere. Where nothing was measured it is unknown.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tabulate import tabulate

from cnnpaper import log, timings, tuning
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec, Study, load_study, run_specs, visible
from cnnpaper.fingerprint import freshness
from cnnpaper.log import LOG_NAME, LogError, Run
from cnnpaper.study.imported import read_study
from cnnpaper.timings import duration, this_processor

OPEN = ("missing", "incomplete", "damaged")  # states of runs that the study's target trains


@dataclass(frozen=True, kw_only=True)
class Row:
    """The state of one run."""

    path: str  # below the study's folder
    state: str
    """done, verified, diverged, cut off, stale, running, incomplete, missing or damaged."""
    spec: RunSpec | None = None  # None for runs that were imported
    run: Run | None = None
    remark: str = ""
    left: float = 0.0  # fraction of the steps that are still to be done


def status(root: Path, name: str) -> str:
    """The state of every run as a table, the studies that it names, and what to type next.

    Raises:
        UserError: no such study, or a mistake in its files; a damaged log is shown, not raised.
    """
    study = load_study(root, name)
    rows, costs = rows_of(root, study), Costs(root)
    lines = [_table(rows, costs), "", *dict.fromkeys(row.remark for row in rows if row.remark)]
    # the studies that it names decide its settings, so they come first
    for other in filter(None, (study.tuning, study.precision)):
        named = load_study(root, other)
        lines += _to_do(named, rows_of(root, named), costs) or [f"{other}: all runs are done"]
    done = f"{name}: all runs are done: {advice('report', STUDY=name)}"
    return "\n".join([*lines, *(_to_do(study, rows, costs) or [done])]) + "\n"


# --------------------------------------------------------------------------------- states


def rows_of(root: Path, study: Study) -> list[Row]:
    """One row a run: those that the study declares by now, or, imported, those in its folder."""
    if study.origin == "imported":
        return [_imported(run) for run in read_study(root, study).values()]
    try:
        specs = tuning.declared(root, study)
    except LogError:  # it is shown as damaged; what follows from it is not known
        specs = run_specs(root, study)
    return [_row(root, spec) for spec in specs]


def _imported(run: Run) -> Row:
    finished = run.result is not None and run.result.status == "finished"
    return Row(path=run.name, state="done" if finished else "cut off", run=run)


def _row(root: Path, spec: RunSpec) -> Row:
    path = spec.folder(root) / LOG_NAME
    row = partial(Row, path=spec.path.partition("/")[2], spec=spec)
    if not (path.exists() or path.is_symlink()):
        return row(state="missing", left=1.0)
    open_state = "running" if _is_held(path.with_name("run.lock")) else "incomplete"
    try:
        run = log.read_run(path)
    except LogError as error:
        cut_off = path.is_file() and not path.read_bytes().endswith(b"\n")
        if open_state == "running" or cut_off:
            return row(state=open_state, left=1.0)
        return row(state="damaged", left=1.0, remark=str(error))
    if run.result is None:
        done = sum(epoch.steps or 0 for epoch in run.epochs)
        return row(state=open_state, left=max(0.0, 1 - done / spec.steps), run=run)
    found = freshness(root, run, spec)
    if found.state == "stale":
        return row(state="stale", left=1.0, remark=f"stale: {'; '.join(found.why[:3])}", run=run)
    known = {("finished", "fresh"): "done", ("finished", "verified"): "verified"}
    return row(state=known.get((run.result.status, found.state), run.result.status), run=run)


def _is_held(lock: Path) -> bool:
    """Does a process hold this lock? Only Linux says so to those who do not try to take it."""
    table = Path("/proc/locks")
    if not lock.is_file() or not table.is_file():
        return False
    inode = f":{lock.stat().st_ino}"
    held = [line.split() for line in table.read_text().splitlines()]
    return any("FLOCK" in fields and fields[-3].endswith(inode) for fields in held)


# --------------------------------------------------------------------------------- costs


def estimate_s(root: Path, spec: RunSpec) -> float | None:
    """Seconds that a run takes on this machine, all in; None where nothing was measured."""
    return Costs(root).estimate_s(spec)


class Costs:
    """Estimates from all logs of the repository, which are read at the first estimate."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _finished(self) -> list[tuple[Run, RunSpec]]:
        found = []
        for path in visible(self.root / "results" / "log", f"**/{LOG_NAME}"):
            with suppress(ValueError, LogError):  # a damaged log is no base for an estimate
                run = log.read_run(path)
                if run.spec and run.result and run.result.status == "finished":
                    found.append((run, run.spec))
        return found

    def estimate_s(self, spec: RunSpec) -> float | None:
        """Seconds of a whole run: start-up, miniature, training and evaluation."""

        def work(one: RunSpec) -> tuple[str, int, str]:
            return one.builder, one.recipe.batch_size, one.recipe.precision

        alike = [run for run, own in self._finished if work(own) == work(spec)]
        here = [run for run in alike if run.header.machine.processor == this_processor()]
        measured = timings.estimate_s(self.root, spec)
        if not alike or (not here and measured is not None):
            return measured
        epochs = [epoch for run in here or alike for epoch in run.epochs]
        step_s = statistics.median((e.train_s or 0.0) / (e.steps or 1) for e in epochs)
        eval_s = statistics.median(e.eval_s or 0.0 for e in epochs)
        tests = spec.data.test_images / spec.data.validation_images
        return spec.steps * step_s + eval_s * (spec.epochs + 1 + tests)


# --------------------------------------------------------------------------------- text


def _table(rows: Sequence[Row], costs: Costs) -> str:
    return tabulate(
        [_cells(row, costs) for row in rows],
        headers=["run", "state", "val acc", "test acc", "training", "still to do"],
        colalign=("left", "left", *["right"] * 4) if rows else None,
        disable_numparse=True,
    )


def _cells(row: Row, costs: Costs) -> list[str]:
    result = row.run.result if row.run else None
    trained = sum(epoch.train_s or 0.0 for epoch in row.run.epochs) if row.run else 0.0
    planned = row.spec.epochs if row.spec else 0
    cost = _left(row, costs)
    scores = (result.val_acc, result.test_acc) if result else (None, None)
    return [
        row.path,
        row.state + (f" ({len(row.run.epochs)} of {planned})" if row.run and not result else ""),
        *("" if score is None else f"{100 * score:.2f} %" for score in scores),
        duration(trained) if trained else "",
        "" if not row.left else "unknown" if cost is None else f"about {duration(cost)}",
    ]


def _left(row: Row, costs: Costs) -> float | None:
    whole = costs.estimate_s(row.spec) if row.spec and row.left else None
    return None if whole is None else whole * row.left


def _to_do(study: Study, rows: Sequence[Row], costs: Costs) -> list[str]:
    """What is left of a study, and the command; empty where nothing is."""
    if study.origin == "imported":
        return []
    todo = [row for row in rows if row.state in OPEN]
    stale = [row.spec for row in rows if row.state == "stale" and row.spec]
    count = f"of {len(rows)} runs"
    lines = []
    if stale:
        lines.append(
            f"{study.name}: {len(stale)} {count} are stale: "
            f"{advice('verify', STUDY=study.name)} where no bit has changed, else train again: "
            f"{log.again(stale[0], FORCE=1)}"
        )
    if todo:
        known = [cost for row in todo if (cost := _left(row, costs)) is not None]
        time = f"about {duration(sum(known))}" if known else "time unknown"
        unknown = len(todo) - len(known) if known else 0
        more = f" and {unknown} of unknown time" if unknown else ""
        so_far = " so far" if any(arm.refines for arm in study.arm.values()) else ""
        command = advice("experiments", STUDY=study.name)
        lines.append(f"{study.name}: {len(todo)} {count} to train{so_far}, {time}{more}: {command}")
    damaged = [row.spec for row in todo if row.state == "damaged" and row.spec]
    return lines + [f"  damaged, from scratch: {log.again(spec, FORCE=1)}" for spec in damaged]
