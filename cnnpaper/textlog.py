"""The log of a run as text: drawn from ``run.jsonl``, and read as the 2023 program wrote it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnpaper import records
from cnnpaper.errors import UserError

START = "############학습 시작############"
END = "############학습 끝############"
RULE = "----------"
SHARED = "(other processes slowed this epoch)"


def render(run: records.Run) -> str:
    """The text form of a run, which may be unfinished.

    Losses and accuracies have four decimals, the best validation accuracy has six; a value that
    was not finite is written as ``nan``, ``inf`` or ``-inf``. A run without a result line, or one
    whose source was cut off, ends after its last epoch. Epochs are counted from 0: ``Epoch 0/24``.
    An epoch that shared the machine says so.
    """
    last = planned_epochs(run) - 1
    lines = [START]
    for epoch in run.epochs:
        lines += [f"Epoch {epoch.epoch}/{last}", RULE]
        for phase in ("train", "val"):
            loss, acc = _decimals(epoch, f"{phase}_loss"), _decimals(epoch, f"{phase}_acc")
            lines.append(f"{phase} Loss: {loss} Acc: {acc}")
        if records.is_shared(epoch, run):
            lines.append(SHARED)
    if run.result is not None and run.result.status != "cut off":
        lines += [END, *_summary(run.result)]
    return "\n".join(lines) + "\n"


def planned_epochs(run: records.Run) -> int:
    """How many epochs the run was to have: of its spec, or as its imported log said."""
    values = run.header.spec or run.header.model_extra or {}
    epochs = values.get("epochs")
    return epochs if isinstance(epochs, int) else len(run.epochs)


def _summary(result: records.Result) -> list[str]:
    """The lines after the end of training; only what is known."""
    word = "complete" if result.status == "finished" else "diverged"
    lines = []
    if result.total_s is not None:
        minutes, seconds = divmod(round(result.total_s), 60)
        lines.append(f"Training {word} in {minutes}m {seconds}s")
    if result.best_val_acc is not None:
        lines.append(f"Best val Acc: {result.best_val_acc:.6f}")
    if result.test_acc is not None:
        lines.append(f"test Loss: {_decimals(result, 'test_loss')} Acc: {result.test_acc:.4f}")
    if result.test_acc_tta is not None:
        lines.append(f"test Acc with flip averaging: {result.test_acc_tta:.4f}")
    return lines


def _decimals(line: records.Line, name: str) -> str:
    """Field ``name`` with four decimals; what is not known says so."""
    value = line.exact(name)
    return "unknown" if value is None else f"{value:.4f}"


# ------------------------------------------------------------ text logs of the 2023 program


@dataclass(frozen=True, kw_only=True)
class TextEpoch:
    """One epoch of a text log, with the four decimals that are printed there."""

    train_loss: float
    """May be NaN or infinite, as ``val_loss`` may."""
    train_acc: float
    val_loss: float
    val_acc: float


@dataclass(frozen=True, kw_only=True)
class TextLog:
    """What a text log says; an epoch that lacks one of its lines is no epoch."""

    planned: int
    """Epochs that the run was to have."""
    epochs: tuple[TextEpoch, ...]
    """At least one."""
    total_s: int | None = None
    """Seconds of training and evaluation in all; None where the log was cut off before."""
    best_val_acc: float
    """With six decimals where the log says it, else the largest of the epochs."""

    @property
    def best_epoch(self) -> int:
        """The first epoch with the largest validation accuracy, from 0."""
        accuracies = [epoch.val_acc for epoch in self.epochs]
        return accuracies.index(max(accuracies))


_METRICS = r"Loss: ([0-9]{1,30}\.[0-9]{4}|nan|inf) Acc: ([0-9]\.[0-9]{4})"
_SHAPES = {
    "start": re.compile(r"#+ ?학습 시작 ?#+"),
    "epoch": re.compile(r"Epoch ([0-9]{1,6})/([0-9]{1,6})"),
    "train": re.compile(f"train {_METRICS}"),
    "val": re.compile(f"val {_METRICS}"),
    "end": re.compile(r"#+ ?학습 끝 ?#+"),
    "time": re.compile(r"Training complete in ([0-9]{1,9})m ([0-9]{1,2})s"),
    "best": re.compile(r"Best val Acc: ([0-9]\.[0-9]{6})"),
}
_FOLLOWS = {
    "": ("start",),
    "start": ("epoch",),
    "epoch": ("train",),
    "train": ("val",),
    "val": ("epoch", "end"),
    "end": ("time",),
    "time": ("best",),
    "best": (),
}
"""Which kinds of line may come after which; blank lines and dashes may come anywhere."""


def read_bytes(data: bytes, path: Path) -> TextLog:
    """A log of the 2023 program from its bytes: UTF-8, or UTF-16 or CP949 as Windows writes them.

    Raises:
        UserError: not a text, or not such a log; see :func:`parse`.
    """
    if len(data) > 10_000_000:
        raise UserError(f"{path}: larger than 10 MB, which no log of the 2023 program is")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8", "cp949"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return parse(text, path)
    raise UserError(f"{path}: not a text file; a log of the 2023 program is UTF-8")


def parse(text: str, path: Path) -> TextLog:
    """A log of the 2023 program, in any of the forms that its versions wrote.

    Blank lines, lines of dashes and :data:`SHARED` may stand anywhere, lines may end in CRLF, and
    the end may be cut off, in the middle of a line too. ``path`` is for the messages only.

    Raises:
        UserError: a line that does not belong where it stands, values that contradict each other,
            or no complete epoch.
    """
    planned, total_s, best = 0, None, None
    train, epochs = (0.0, 0.0), list[TextEpoch]()
    for number, kind, groups in _lines_of(text, path):
        where = f"{path}:{number}"
        if kind == "epoch":
            planned = _planned(groups, len(epochs), planned, where)
        elif kind == "train":
            train = _metrics(groups, where)
        elif kind == "val":
            loss, acc = _metrics(groups, where)
            epochs.append(
                TextEpoch(train_loss=train[0], train_acc=train[1], val_loss=loss, val_acc=acc)
            )
        elif kind == "end" and len(epochs) < planned:
            raise UserError(f"{where}: training ends after {len(epochs)} of {planned} epochs")
        elif kind == "time":
            total_s = 60 * int(groups[0]) + int(groups[1])
        elif kind == "best":
            best = _best(float(groups[0]), epochs, where)
    if not epochs:
        raise UserError(
            f"{path}:{text.count(chr(10)) + 1}: the log ends before its first epoch is complete\n"
            "remove the file, or restore it from where it came"
        )
    if best is None:
        best = max(epoch.val_acc for epoch in epochs)
    return TextLog(planned=planned, epochs=tuple(epochs), total_s=total_s, best_val_acc=best)


def _lines_of(text: str, path: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Number, kind and values of every line that says something, in the order of _FOLLOWS."""
    lines = text.removeprefix("\ufeff").split("\n")
    last = ""
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line.strip("-") or line == SHARED:
            continue
        for kind in _FOLLOWS[last]:
            if match := _SHAPES[kind].fullmatch(line):
                break
        else:
            if number == len(lines):
                return  # a last line without its end: what the program wrote when it was stopped
            expected = " or ".join(f"a {kind!r} line" for kind in _FOLLOWS[last]) or "the end"
            raise UserError(f"{path}:{number}: {line[:60]!r} where {expected} should be")
        if kind == "epoch" and number == len(lines):
            return  # its digits may be cut
        yield number, kind, match.groups()
        last = kind


def _planned(groups: tuple[str, ...], done: int, planned: int, where: str) -> int:
    """The planned number of epochs, from ``Epoch 0/24``."""
    epoch, total = int(groups[0]), int(groups[1]) + 1
    if epoch != done or epoch >= total or planned not in (0, total):
        expected = f"{done}/{(planned or total) - 1}" if done < (planned or total) else "the end"
        raise UserError(f"{where}: 'Epoch {epoch}/{total - 1}' where {expected} should be")
    return total


def _metrics(groups: tuple[str, ...], where: str) -> tuple[float, float]:
    """Loss and accuracy of one line."""
    loss, acc = float(groups[0]), float(groups[1])
    if acc > 1:
        raise UserError(f"{where}: Acc = {acc}: an accuracy is at most 1")
    return loss, acc


def _best(best: float, epochs: list[TextEpoch], where: str) -> float:
    """``best``, which must be the largest validation accuracy but for the rounding of that."""
    largest = max(epoch.val_acc for epoch in epochs)
    if abs(best - largest) > 0.000_051:
        raise UserError(
            f"{where}: 'Best val Acc: {best:.6f}', but the largest of the epochs is {largest:.4f}"
        )
    return best
