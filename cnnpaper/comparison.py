"""Ours beside a plain training loop: the tables of ``make bench-peer``, from logs alone.

Accuracy is that on the validation images. Where it is known of each image whether both answered it
rightly, the difference has the paired interval; otherwise that of two independent samples, which is
wider, and the table says which it is.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from cnnpaper import config, records, timings
from cnnpaper.config import Study, run_folder
from cnnpaper.errors import UserError
from cnnpaper.files import write_atomic
from cnnpaper.paper.stats import newcombe_paired, wilson
from cnnpaper.records import LOG_NAME, Run
from cnnpaper.timings import Profile, Speed

RIGHT_NAME = "validation-right.npy"
"""(N,) bool: was each validation image answered rightly in the best epoch?"""
BEGIN, END = "<!-- make bench-peer writes from here -->", "<!-- to here -->"
"""Between these lines of the README stands what :func:`report` gives."""

Right = npt.NDArray[np.bool_]


def study_name(study: str) -> str:
    """Of the plain loop's logs: ``peer`` beside study reference."""
    return "peer" if study == "reference" else f"peer-{study}"


def ours_right_path(root: Path, study: str, run: str) -> Path:
    """Where it is kept which validation images a run of ours answered rightly."""
    return root / "results" / "log" / study_name(study) / f"{run}.{RIGHT_NAME}"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One network, trained by both."""

    name: str
    """As printed."""
    ours: Run
    plain: Run
    """The best on validation of the rates that were tried."""
    tried: tuple[tuple[str, float | None], ...]
    """Every rate with its validation accuracy; None where the run diverged."""
    right: tuple[Right, Right] | None
    """Of ours and of the plain loop, if both are known."""
    images: int
    """Validation images."""

    @property
    def difference(self) -> float:
        """Ours less the plain loop's, best validation accuracies."""
        return _best(self.ours) - _best(self.plain)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference over images."""
        if self.right is None:
            return independent_interval(_best(self.ours), _best(self.plain), self.images)
        ours, plain = self.right
        return newcombe_paired(
            int((ours & plain).sum()),
            int((ours & ~plain).sum()),
            int((~ours & plain).sum()),
            int((~ours & ~plain).sum()),
        )


def independent_interval(first: float, second: float, n: int) -> tuple[float, float]:
    """Interval for the difference of two shares of n objects each (Newcombe 1998, method 10)."""
    (low_1, high_1), (low_2, high_2) = wilson(first, n), wilson(second, n)
    difference = first - second
    return (
        difference - math.hypot(first - low_1, high_2 - second),
        difference + math.hypot(high_1 - first, second - low_2),
    )


def _best(run: Run) -> float:
    assert run.result is not None
    assert run.result.best_val_acc is not None
    return run.result.best_val_acc


# ------------------------------------------------------------------------------- reading


def pairs(root: Path, study: Study) -> tuple[list[Pair], list[str]]:
    """The networks that both trained to the end for as many epochs, and what is missing of others.

    Raises:
        UserError: a log cannot be believed, or the answers kept beside it are not its own.
    """
    found, missing = [], []
    for model in study.networks:
        plain = _plain_runs(root, study, model)
        if not plain:
            continue
        name = config.load_experiment(root, model).name
        ours = _finished(run_folder(root, study.name, f"{model}-s{study.seeds[0]}") / LOG_NAME)
        done = [run for run in plain if run.result and run.result.status == "finished"]
        if not done:
            missing.append(f"{name}: the plain loop diverged")
            continue
        best = max(done, key=_best)
        if ours is None or ours.result is None or ours.result.best_val_acc is None:
            missing.append(f"{name}: ours is not finished (make {model} STUDY={study.name})")
        elif len(ours.epochs) != len(best.epochs):
            missing.append(
                f"{name}: {_counted(len(ours.epochs))} of ours, {len(best.epochs)} of the plain "
                f"loop (make {model} STUDY={study.name} FORCE=1)"
            )
        else:
            found.append(_pair(root, study, name, ours, best, plain))
    return found, missing


def _pair(root: Path, study: Study, name: str, ours: Run, best: Run, plain: list[Run]) -> Pair:
    ours_right = read_right(ours_right_path(root, study.name, ours.name), ours)
    plain_right = read_right(best.path.with_name(RIGHT_NAME), best)
    known = ours_right is not None and plain_right is not None
    return Pair(
        name=name,
        ours=ours,
        plain=best,
        tried=tuple(
            (
                (run.header.variant or "").removeprefix("rate"),
                _best(run) if run.result and run.result.status == "finished" else None,
            )
            for run in plain
        ),
        right=(ours_right, plain_right) if known else None,  # type: ignore[arg-type]
        images=study.data.validation_images,
    )


def _plain_runs(root: Path, study: Study, model: str) -> list[Run]:
    """The runs of the plain loop that have ended, every rate."""
    folder = root / "results" / "log" / study_name(study.name)
    paths = sorted(folder.glob(f"{model}-rate*/{LOG_NAME}"))
    return [run for path in paths if (run := _finished(path)) is not None]


def _finished(path: Path) -> Run | None:
    run = records.read_run(path) if path.exists() else None
    return run if run is not None and run.result is not None else None


def read_right(path: Path, run: Run) -> Right | None:
    """Which validation images ``run`` answered rightly; None where that was not kept.

    Raises:
        UserError: the file is none of this kind, or not of this run: its share is another.
    """
    if not path.exists():
        return None
    try:
        right = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception as error:  # numpy raises half a dozen kinds for damaged bytes
        reason = str(error).partition("\n")[0][:160] or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); remove it") from None
    if not isinstance(right, np.ndarray):
        raise UserError(f"{path}: not an array; remove it")
    if right.dtype != np.bool_ or right.ndim != 1 or not len(right):
        raise UserError(f"{path}: {right.dtype} of shape {right.shape}, not (N,) bool; remove it")
    if int(right.sum()) / len(right) != _best(run):
        raise UserError(
            f"{path}: {right.mean():.4f} of the images are right, but the log of {run.name} says "
            f"{_best(run):.4f}\nremove the file; make bench-peer makes it again where it can"
        )
    found: Right = right
    return found


# ------------------------------------------------------------------------------- text


def report(root: Path, study: Study) -> str:
    """Both comparisons as Markdown.

    Raises:
        UserError: a log or a file of measurements cannot be believed.
    """
    found, missing = pairs(root, study)
    path = root / "results" / "log" / study_name(study.name) / timings.SPEED_NAME
    measured = [line for _, line in timings.read(path).values()]
    speeds = [line for line in measured if isinstance(line, Speed)]
    speeds.sort(key=lambda line: study.networks.index(line.model))
    profiles = [line for line in measured if isinstance(line, Profile)]
    parts = [
        *(_accuracy_text(found) if found else []),
        *(f"Not compared: {text}." for text in missing),
        *(_speed_text(root, speeds) if speeds else []),
        *(part for line in profiles for part in _profile_text(root, line)),
    ]
    return "\n\n".join(parts or ["Nothing was measured yet."]) + "\n"


def write(root: Path, study: Study) -> str:
    """Write :func:`report` to ``build/bench-peer.md`` and, where its marks are, into the README."""
    text = report(root, study)
    write_atomic(root / "build" / "bench-peer.md", text.encode())
    readme = root / "README.md"
    if study.name == "reference" and readme.exists():
        before = readme.read_text("utf-8")
        if (after := with_block(before, text)) != before:
            write_atomic(readme, after.encode())
    return text


def with_block(readme: str, text: str) -> str:
    """``readme`` with ``text`` between the marks; unchanged where it has none."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n{END}", readme)


def _accuracy_text(found: Sequence[Pair]) -> list[str]:
    rows = [row for pair in found for row in _epoch_rows(pair)]
    curves = _table(
        ["network", "epoch", "plain: s", "plain: val acc", "cnnpaper: s", "cnnpaper: val acc"],
        rows,
    )
    ends = _table(
        ["network", "plain loop", "cnnpaper", "difference, points", "95 % interval", "n"],
        [_end_row(pair) for pair in found],
    )
    tried = [_tried_note(pair) for pair in found if len(pair.tried) > 1]
    notes = [
        "Validation accuracy by seconds of training, summed over epochs; the same network, split, "
        "threads and epochs, one run of each (n = 1): another seed would give other figures.",
        *tried,
        _interval_note(found),
        *_hardware_note(found),
    ]
    return [curves, ends, " ".join(notes)]


def _tried_note(pair: Pair) -> str:
    gave = [
        f"rate {rate} {'diverged' if accuracy is None else f'gave {_percent(accuracy)}'}"
        for rate, accuracy in pair.tried
    ]
    return f"Plain loop, {pair.name}: {', '.join(gave)}; the better one counts."


def _epoch_rows(pair: Pair) -> list[list[str]]:
    """One row an epoch; after it each loop has trained for so many seconds, with such accuracy."""
    seconds = [
        list(itertools.accumulate(epoch.train_s or 0.0 for epoch in run.epochs))
        for run in (pair.plain, pair.ours)
    ]
    rows = []
    for place, (plain, ours) in enumerate(zip(pair.plain.epochs, pair.ours.epochs, strict=True)):
        rows.append(
            [
                pair.name,
                str(place + 1),
                f"{seconds[0][place]:.0f}{_mark(plain, pair.plain)}",
                _percent(plain.val_acc),
                f"{seconds[1][place]:.0f}{_mark(ours, pair.ours)}",
                _percent(ours.val_acc),
            ]
        )
    return rows


def _mark(epoch: records.Epoch, run: Run) -> str:
    return " †" if records.is_shared(epoch, run) else ""


def _end_row(pair: Pair) -> list[str]:
    low, high = pair.interval
    kind = "paired" if pair.right is not None else "unpaired"
    return [
        pair.name,
        _percent(_best(pair.plain)),
        _percent(_best(pair.ours)),
        f"{100 * pair.difference:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f} ({kind})",
        "1",
    ]


def _interval_note(found: Sequence[Pair]) -> str:
    texts = ["Intervals are over the validation images, not over seeds"]
    if any(pair.right is not None for pair in found):
        texts.append("paired: both loops answered the same images (Newcombe 1998)")
    if any(pair.right is None for pair in found):
        texts.append(
            "unpaired: the answers of one run to single images are not kept, so the two accuracies "
            "count as independent samples, which is wider than need be"
        )
    return "; ".join(texts) + "."


def _hardware_note(found: Iterable[Pair]) -> list[str]:
    """What was executed where, if that is not one kind of machine; and what the dagger means."""
    notes = []
    for pair in found:
        ours, plain = (_machine(run.header.machine) for run in (pair.ours, pair.plain))
        if ours != plain:
            notes.append(f"{pair.name}: seconds are not comparable, ours are of {ours}, the plain "
                         f"loop's of {plain}.")  # fmt: skip
    if any(
        records.is_shared(epoch, run)
        for pair in found
        for run in (pair.ours, pair.plain)
        for epoch in run.epochs
    ):
        notes.append("†: other processes took part of the machine in this epoch.")
    return notes


def _speed_text(root: Path, speeds: Sequence[Speed]) -> list[str]:
    rows = [_speed_row(config.load_experiment(root, line.model).name, line) for line in speeds]
    headings = [
        "network", "cnnpaper, images/s", "plain, images/s", "times as fast",
        "lowest pair", "order in memory", "GFLOP/s", "sgemm, GFLOP/s", "share",
    ]  # fmt: skip
    where = "; ".join(dict.fromkeys(_machine(line.machine) for line in speeds))
    counts = {(len(line.ours), line.steps, line.batch_size, line.resolution) for line in speeds}
    how = "; ".join(
        f"{n} alternating pairs of {steps} steps, batch {batch}, {side} pixels"
        for n, steps, batch, side in sorted(counts)
    )
    return [
        _table(headings, rows),
        f"Whole loops (choosing, moving and learning images), in turn, on {where}: {how}. "
        "Images per second are medians (lowest to highest); times as fast is the ratio of the "
        "medians, lowest pair the smallest ratio within a pair. GFLOP/s: three times the forward "
        "pass, two for each multiply-accumulate, at our median; sgemm: two 4096 × 4096 matrices, "
        "measured before each pair.",
    ]


def _speed_row(name: str, line: Speed) -> list[str]:
    return [
        name,
        _spread(line.ours),
        _spread(line.plain),
        f"{statistics.median(line.ours) / statistics.median(line.plain):.2f}",
        f"{min(line.ratios):.2f}",
        line.memory_format,
        f"{line.gflops:.0f}",
        f"{statistics.median(line.sgemm_gflops):.0f}",
        f"{line.share_of_sgemm:.0%}",
    ]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _profile_text(root: Path, line: Profile) -> list[str]:
    total = sum(line.seconds.values())
    rows = [
        [kind, f"{seconds / total:.1%}"]
        for kind, seconds in sorted(line.seconds.items(), key=lambda item: -item[1])
    ]
    name = config.load_experiment(root, line.model).name
    return [
        _table([f"a training step of {name}", "share of its time"], rows),
        f"By torch.profiler, {_counted(line.steps, 'step')} of {line.batch_size} images, on "
        f"{_machine(line.machine)}.",
    ]


def _machine(machine: records.Machine) -> str:
    threads = _counted(machine.threads or 0, "thread")
    return f"{machine.gpu or machine.cpu} ({machine.isa}, {threads})"


def _counted(count: int, what: str = "epoch") -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def _table(headings: list[str], rows: list[list[str]]) -> str:
    sides = ["left", *["right"] * (len(headings) - 1)]
    return tabulate(rows, headings, tablefmt="pipe", colalign=sides, disable_numparse=True)
