"""``status``: which runs of a study are done, which are missing, what they cost, what is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnnpaper import log, tuning
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec, Study, load_study, run_specs
from cnnpaper.fingerprint import freshness
from cnnpaper.log import LOG_NAME, LogError, Run
from cnnpaper.study.imported import read_study
from cnnpaper.timings import (
    Finished,
    duration,
    estimate_s,
    finished_runs,
    timed_here,
    without_bfloat16,
)

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
    cost_s: float | None = None  # of these; None where nothing was measured


def status(root: Path, name: str) -> str:
    """The state of every run as a table, the studies that it names, and what to type next.

    Raises:
        UserError: no such study, or a mistake in its files; a damaged log is shown, not raised.
    """
    study, finished = load_study(root, name), finished_runs(root)
    rows = _rows(root, study, finished)
    lines = [_table(rows), "", *dict.fromkeys(row.remark for row in rows if row.remark)]
    # the studies that it names decide its settings, so they come first
    for other in filter(None, (study.tuning, study.precision)):
        named = load_study(root, other)
        lines += _to_do(named, _rows(root, named, finished)) or [f"{other}: all runs are done"]
    done = f"{name}: all runs are done: {advice('report', STUDY=name)}"
    lines += _to_do(study, rows) or [done]
    if any(row.cost_s and row.spec and not timed_here(row.spec, finished) for row in rows):
        lines.append(
            "no such run was made on this type of processor, so times are those of another; a "
            "run's progress tells its own"
        )
    slow = any(row.left and row.spec and row.spec.recipe.precision == "bfloat16" for row in rows)
    if slow and (told := without_bfloat16()):
        lines.append(f"without a GPU, they take longer here: {told}")
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------- states


def _rows(root: Path, study: Study, finished: Finished) -> list[Row]:
    """One row a run: those that the study declares by now, or, imported, those in its folder."""
    if study.origin == "imported":
        done = {True: "done", False: "cut off"}  # by whether it has its last lines
        return [
            Row(path=run.name, state=done["duration" in run.line_numbers], run=run)
            for run in read_study(root, study).values()
        ]
    try:
        specs = tuning.declared(root, study)
    except LogError:  # it is shown as damaged; what follows from it is not known
        specs = run_specs(root, study)
    rows = []
    for spec in specs:
        found = _state(root, spec)
        whole = estimate_s(root, spec, finished) if found.get("left") else None
        cost = None if whole is None else whole * found["left"]
        rows.append(Row(path=spec.path.partition("/")[2], spec=spec, cost_s=cost, **found))
    return rows


def _state(root: Path, spec: RunSpec) -> dict[str, Any]:
    """What there is of a run: fields of its row."""
    path = spec.folder(root) / LOG_NAME
    if not (path.exists() or path.is_symlink()):
        return {"state": "missing", "left": 1.0}
    open_state = "running" if _is_held(path.with_name("run.lock")) else "incomplete"
    try:
        run = log.read_run(path)
    except LogError as error:
        cut_off = path.is_file() and not path.read_bytes().endswith(b"\n")
        if open_state == "running" or cut_off:
            return {"state": open_state, "left": 1.0}
        return {"state": "damaged", "left": 1.0, "remark": str(error)}
    if run.result is None:
        done = sum(epoch.steps or 0 for epoch in run.epochs)
        return {"state": open_state, "left": max(0.0, 1 - done / spec.steps), "run": run}
    found = freshness(root, run, spec)
    if found.state == "stale":
        remark = f"stale: {'; '.join(found.why[:3])}"
        return {"state": "stale", "left": 1.0, "remark": remark, "run": run}
    known = {("finished", "fresh"): "done", ("finished", "verified"): "verified"}
    return {"state": known.get((run.result.status, found.state), run.result.status), "run": run}


def _is_held(lock: Path) -> bool:
    """Does a process hold this lock? Only Linux says so to those who do not try to take it."""
    table = Path("/proc/locks")
    if not lock.is_file() or not table.is_file():
        return False
    inode = f":{lock.stat().st_ino}"
    held = [line.split() for line in table.read_text().splitlines()]
    return any("FLOCK" in fields and fields[-3].endswith(inode) for fields in held)


# --------------------------------------------------------------------------------- text


def _table(rows: Sequence[Row]) -> str:
    return tabulate(
        [_cells(row) for row in rows],
        headers=["run", "state", "val acc", "test acc", "training", "still to do"],
        colalign=("left", "left", *["right"] * 4) if rows else None,
        disable_numparse=True,
    )


def _cells(row: Row) -> list[str]:
    result = row.run.result if row.run else None
    trained = sum(epoch.train_s or 0.0 for epoch in row.run.epochs) if row.run else 0.0
    planned = row.spec.epochs if row.spec else 0
    scores = (result.val_acc, result.test_acc) if result else (None, None)
    cost = "unknown" if row.cost_s is None else f"about {duration(row.cost_s)}"
    return [
        row.path,
        row.state + (f" ({len(row.run.epochs)} of {planned})" if row.run and not result else ""),
        *("" if score is None else f"{100 * score:.2f} %" for score in scores),
        duration(trained) if trained else "",
        cost if row.left else "",
    ]


def _to_do(study: Study, rows: Sequence[Row]) -> list[str]:
    """What is left of a study, and the command; empty where nothing is."""
    stale = [row.spec for row in rows if row.state == "stale" and row.spec]
    todo = [row for row in rows if row.state in OPEN and row.spec]
    lines = []
    if stale:
        lines.append(
            f"{study.name}: {len(stale)} of {len(rows)} runs are stale: "
            f"{advice('verify', STUDY=study.name)} where only code has changed and no bit, else "
            f"train again: {log.again(stale[0], FORCE=1)}"
        )
    if todo:
        known = [row.cost_s for row in todo if row.cost_s is not None]
        time = f"about {duration(sum(known))}" if known else "time unknown"
        if known and len(known) < len(todo):
            time += f" and {len(todo) - len(known)} of unknown time"
        so_far = " so far" if any(arm.refines for arm in study.arm.values()) else ""
        command = advice("experiments", STUDY=study.name)
        count = f"{len(todo)} of {len(rows)} runs to train{so_far}"
        lines.append(f"{study.name}: {count}, {time}: {command}")
    damaged = [row.spec for row in todo if row.state == "damaged" and row.spec]
    return lines + [f"  damaged, from scratch: {log.again(spec, FORCE=1)}" for spec in damaged]
