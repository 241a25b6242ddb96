"""One study in memory, from its logs to the text of its paper; nothing is written."""

from __future__ import annotations

import datetime
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from cnnpaper import config, fingerprint
from cnnpaper.errors import UserError
from cnnpaper.paper.analysis import analyse
from cnnpaper.paper.checks import check_schedule
from cnnpaper.paper.compose import Composer, Paper, Stale
from cnnpaper.paper.drawings import Drawing, drawings
from cnnpaper.paper.facts import Facts
from cnnpaper.paper.frames import Frames, read_frames, timing_path
from cnnpaper.paper.ledger import Ledger
from cnnpaper.paper.sources import Sources
from cnnpaper.paper.state import build_folder
from cnnpaper.paper.tables import Tables
from cnnpaper.paper.values import Values
from cnnpaper.records import Run


class StudyPaper:
    """Reads a study and makes its figures, tables and text when they are asked for.

    Args:
        root: of the repository.
        study: name of the study.
        allow_stale: go on where runs are not those of today's repository.

    Raises:
        UserError: the study cannot be read, or a run is stale and that is not allowed.
    """

    def __init__(self, root: Path, study: str, *, allow_stale: bool = False) -> None:
        self.root = root
        self.folder = build_folder(root, study)
        self.frames = read_frames(root, study)
        self.stale = find_stale(root, self.frames)
        if self.stale and not allow_stale:
            raise UserError(
                f"{self.stale.message}\nor build with the fact on its first page: "
                f"make report STUDY={study} ALLOW_STALE=1"
            )
        for run in self.frames.logs.values():
            if self.stale is None or run.name not in self.stale.runs:
                _check_schedule(root, run)
        self.frames = _with_todays_timings(root, self.frames, allow_stale)
        self.sources = Sources(root)
        self.ledger = Ledger()
        self.analysis = analyse(self.frames, self.sources)

    @cached_property
    def drawings(self) -> dict[str, Drawing]:
        """The figures, by name."""
        facts = Facts(self.root, self.frames, self.ledger, self.sources)
        tables = Tables(self.root, self.frames, self.analysis, facts, Values(self.ledger))
        return drawings(self.frames, self.analysis, tables)

    @cached_property
    def composer(self) -> Composer:
        return Composer(
            self.root,
            self.frames,
            self.analysis,
            self.ledger,
            self.sources,
            self.drawings,
            self.stale,
        )

    @cached_property
    def text(self) -> Paper:
        """Files of TeX, and tables."""
        return self.composer.compose()

    @property
    def epoch(self) -> int | None:
        """Seconds since 1970 of the day on which the last run was started; None where unknown."""
        started = [run.header.started for run in self.frames.logs.values() if run.header.started]
        if not started:
            return None
        day = datetime.date.fromisoformat(max(started)[:10])
        return int(datetime.datetime(*day.timetuple()[:3], tzinfo=datetime.UTC).timestamp())

    def summary(self, output: Path) -> str:
        """The line that ends a build: what was built, from what, where, and how to cite it."""
        runs, networks = len(self.frames.logs), len(set(self.frames.runs["model"]))
        parts = [f"{runs} {'run' if runs == 1 else 'runs'}"]
        parts.append(f"of {networks} {'network' if networks == 1 else 'networks'}")
        if self.frames.missing:
            parts.append(f"({len(self.frames.missing)} missing)")
        date = self.composer.facts.date()
        year = f", {date.text.rpartition(' ')[2]}" if date else ""
        version = self.composer.facts.version().text
        return (
            f"{output}: the paper of study {self.frames.study.name!r} from {' '.join(parts)}; "
            f"cite: cnnpaper contributors, “{self.composer.titles['english']}”, "
            f"version {version}{year}"
        )


def _check_schedule(root: Path, run: Run) -> None:
    """A run of today's code follows the recipe; a stale one followed the code of its time."""
    if run.header.origin == "trained":
        check_schedule(run, fingerprint.spec_today(root, run.header))


def _with_todays_timings(root: Path, frames: Frames, allow_stale: bool) -> Frames:
    """``frames`` without times of other code or configuration than today's, if that is allowed.

    Raises:
        UserError: there are some, and it is not.
    """
    fresh = {}
    for model, (number, line) in frames.timings.items():
        spec = config.run_spec(root, frames.study, model, frames.study.seeds[0])
        if line.fingerprint == fingerprint.short(fingerprint.of_run(root, spec)):
            fresh[model] = (number, line)
        elif not allow_stale:
            path, study = timing_path(root, frames.study.name), frames.study.name
            raise UserError(
                f"{path}:{number}: {model} was timed with other code or another configuration\n"
                f"measure again: make timing STUDY={study}; or remove the file: then the paper "
                "has no table of step times"
            )
    return replace(frames, timings=fresh)


def find_stale(root: Path, frames: Frames) -> Stale | None:
    """The runs that are not those of today's repository; None where all are."""
    runs = list(frames.logs.values())
    found = {
        run.name: differences
        for run in runs
        if (differences := fingerprint.run_differences(root, run))
    }
    if not found:
        return None
    changes = list(dict.fromkeys(str(item) for items in found.values() for item in items))
    shown = "; ".join(changes[:3]) + (f"; and {len(changes) - 3} more" if len(changes) > 3 else "")
    return Stale(
        runs=tuple(found),
        changes=shown,
        files=frozenset(
            part.relative_to(root).as_posix()
            for name in found
            for part in frames.logs[name].path.parent.iterdir()
        ),
        message=fingerprint.stale_message(runs, found),
    )
