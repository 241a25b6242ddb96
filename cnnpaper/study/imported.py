"""Text logs of the 2023 program as runs of a study; :mod:`cnnpaper.study.adopt` puts them there.

The study's folder holds the text files byte for byte and they are read each time, so every value
leads to its file and line, and nothing is said that they do not say. Values are taken as they
stand: a NaN stays one, a log that was cut off is called so.
"""

from __future__ import annotations

import codecs
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cnnpaper import log
from cnnpaper.config import ImportedLog, Study, visible
from cnnpaper.files import UserError

ENDINGS = (".log", ".txt")
ROUNDING = 0.51e-4  # between the last line's accuracy, of six decimals, and an epoch's, of four
REMEDY = "restore the log from where it came, or leave it out"
PartT = TypeVar("PartT", bound=log.Part)


@dataclass(frozen=True, kw_only=True)
class TextRun(log.Run):
    """A run of a text log, whose ``path`` and ``line_numbers`` are those of the text: an epoch's
    line is the one of its validation metrics; ``duration`` and ``best`` are the last ones."""

    planned: int  # epochs that the run was to have
    best_val_acc: float | None  # as the last line has it; None where it is missing

    @property
    def label(self) -> str:
        """As printed, no two alike: ``ResNet-18 (imagenet_V1) pre``."""
        return str(self.header.variant)

    name = label

    @property
    def is_incomplete(self) -> bool:
        return "duration" not in self.line_numbers or len(self.epochs) < self.planned


# ------------------------------------------------------------------------------------- the text

_NUMBER = r"([+-]?(?:\d{1,30}(?:\.\d{1,20})?(?:e[+-]?\d{1,3})?|nan|inf))"
_FORMS = {
    "start": r"학습\s*시작",
    "epoch": r"Epoch\s+(\d{1,6})\s*/\s*(\d{1,6})",
    "train": rf"train\s+Loss:\s*{_NUMBER}\s+Acc:\s*{_NUMBER}",
    "val": rf"val\s+Loss:\s*{_NUMBER}\s+Acc:\s*{_NUMBER}",
    "duration": r"Training complete in\s+(\d{1,9})m\s*(\d{1,5}(?:\.\d+)?)s",
    "best": rf"Best val Acc:\s*{_NUMBER}",
}
_LINE = re.compile("|".join(f"(?P<{kind}>{form})" for kind, form in _FORMS.items()), re.IGNORECASE)
_GRAMMAR = re.compile("s?(etv)*(et?|d?b?)")
"""First letters of the kinds of line that a run has, whole or cut off after any of them."""
_MEANT = re.compile(r"Epoch\s+\d+\s*/|(train|val)\s+Loss|Training complete|Best val", re.IGNORECASE)
"""How a line begins that must be one of these; others are remarks of somebody's."""
_UNCUT = {"duration": "s$", "best": r"\.\d{6,}$", "epoch": "(?!)"}
"""How a line ends that is whole although the file ends within it."""


class Line(NamedTuple):
    number: int
    kind: str
    values: tuple[str, ...]


def decoded(data: bytes) -> str:
    """A text as editors and shells of Linux and Windows write it; its lines end in ``\\n``."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if marked else "utf-8")
    except UnicodeDecodeError:  # what matters is ASCII in any case
        text = data.decode("utf-16" if marked else "cp949", "replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _bad(path: Path, number: int, text: str) -> UserError:
    return UserError(f"{path}:{number}: {text}\n{REMEDY}")


def _lines(path: Path, text: str) -> Iterator[Line]:
    """Every line that says something; blank lines, dashes and remarks may stand anywhere."""
    raw = text.split("\n")
    for number, line in enumerate(raw, start=1):
        line = line.strip(" \t-=#*\0")
        if begun := re.search(_FORMS["start"], line):
            line = begun[0]  # it may follow on half a line of a run that was killed
        match = _LINE.fullmatch(line)
        kind = str(match.lastgroup) if match else ""
        uncut = _UNCUT.get(kind, r"\.\d{4,}$|nan$|inf$|작$")
        if number == len(raw) and not (match and re.search(uncut, line, re.IGNORECASE)):
            return  # the program was stopped while it wrote this
        if match:
            yield Line(number, kind, tuple(each for each in match.groups() if each)[1:])
        elif _MEANT.match(line):
            raise _bad(path, number, f"a damaged line: {line[:60]!r}")


def read_text(path: Path) -> list[list[Line]]:
    """The runs that were written into one text file, one after the other; a UserError names a line
    that cannot be where it stands."""
    runs: list[list[Line]] = [[]]
    for line in _lines(path, decoded(path.read_bytes())):
        zero = line.kind == "epoch" and int(line.values[0]) == 0
        if line.kind == "start" or (zero and any(old.kind == "epoch" for old in runs[-1])):
            runs.append([])
        runs[-1].append(line)
        if not _GRAMMAR.fullmatch("".join(line.kind[0] for line in runs[-1])):
            before = runs[-1][-2].kind if runs[-1][1:] else "no other"
            raise _bad(path, line.number, f"a {line.kind!r} line after {before!r}: lines are lost")
    # a start alone is no run
    runs = [run for run in runs if any(line.kind == "epoch" for line in run)]
    if not runs:
        text = "no line like 'Epoch 0/24' in it, so it is no log of the 2023 program"
        raise UserError(f"{path}: {text}\nleave it out")
    return runs


def _epochs(path: Path, lines: Sequence[Line]) -> list[log.Epoch]:
    """The epochs of a run that have both their lines."""
    body = [line for line in lines if line.kind in ("epoch", "train", "val")]
    last = int(body[0].values[1])
    for place, line in enumerate(body[::3]):
        if tuple(map(int, line.values)) != (place, last) or place > last:
            told = f"'Epoch {'/'.join(line.values)}' where 'Epoch {place}/{last}' is expected"
            raise _bad(path, line.number, told)
    found = []
    for place, both in enumerate(zip(body[1::3], body[2::3], strict=False)):
        values: dict[str, float] = {}
        for line in both:
            loss, acc = map(float, line.values)
            if acc < 0 or acc > 1:
                raise _bad(path, line.number, f"Acc = {acc}: an accuracy is a fraction from 0 to 1")
            values |= {f"{line.kind}_loss": loss, f"{line.kind}_acc": acc}
        found.append(_part(log.Epoch, epoch=place, **log.finite(**values)))
    return found


def _part(kind: type[PartT], **known: Any) -> PartT:
    """A line of a log of which only these fields are known."""
    fields = kind.model_fields.items()
    unknown = {f.alias or name: None for name, f in fields if f.is_required()}
    return kind.model_validate(unknown | known)


def _text_run(path: Path, lines: Sequence[Line], study: str, declared: ImportedLog) -> TextRun:
    """One run; what its log does not say is None."""
    epochs = _epochs(path, lines)
    ends = {line.kind: line for line in lines if line.kind in ("duration", "best")}
    known: dict[str, Any] = {"status": "cut off"}
    if "duration" in ends:
        minutes, seconds = map(float, ends["duration"].values)
        known = {"status": "finished", "total_s": 60 * minutes + seconds}
    for last in epochs[-1:]:
        known |= log.finite(val_loss=last.exact("val_loss"), val_acc=last.exact("val_acc"))
    best = float(ends["best"].values[0]) if "best" in ends else math.nan
    largest = max((epoch.val_acc or 0.0 for epoch in epochs), default=0.0)
    if math.isfinite(best) and abs(best - largest) > ROUNDING:
        told = f"Best val Acc: {best}, but the largest of its epochs is {largest}"
        raise _bad(path, ends["best"].number, told)
    numbers = {kind: line.number for kind, line in ends.items()}
    numbers |= {"header": lines[0].number, "result": lines[-1].number}
    vals = (line.number for line in lines if line.kind == "val")
    return TextRun(
        path=path, epochs=tuple(epochs), result=_part(log.Result, **known),
        header=_part(log.Header, schema=log.SCHEMA, origin="imported", study=study,
                     model=declared.network, variant=declared.label, packages={},
                     data=_part(log.Data), network=_part(log.Network), machine=log.Machine()),
        line_numbers=numbers | {f"epoch {place}": number for place, number in enumerate(vals)},
        planned=next(int(line.values[1]) + 1 for line in lines if line.kind == "epoch"),
        best_val_acc=best if math.isfinite(best) else None,
    )  # fmt: skip


# ------------------------------------------------------------------------------------ the study


def text_files(folder: Path) -> list[Path]:
    """The text logs of a folder."""
    paths = visible(folder, "*")
    return [path for path in paths if path.suffix.lower() in ENDINGS and path.is_file()]


def read_log(path: Path, study: str, log_of: ImportedLog) -> list[TextRun]:
    """The runs of one text log; a UserError names the line of what cannot be."""
    return [_text_run(path, lines, study, log_of) for lines in read_text(path)]


def numbered(runs: Sequence[TextRun]) -> list[TextRun]:
    """The same with a number in labels that several have, as runs of one file do."""
    alike, seen = Counter(run.label for run in runs), Counter[str]()
    new = []
    for run in runs:
        seen[run.label] += 1
        number = f" #{seen[run.label]}" if alike[run.label] > 1 else ""
        header = run.header.model_copy(update={"variant": run.label + number})
        new.append(replace(run, header=header))
    return new


def read_study(root: Path, study: Study) -> dict[str, TextRun]:
    """The runs of an imported study, by file (and line, where it holds several), networks in the
    study's order.

    Raises:
        UserError: a log cannot be read, is missing, or is not declared.
    """
    declared = study.imported.log if study.imported else {}
    folder, file = root / "results" / "log" / study.name, f"experiments/study/{study.name}.toml"
    files = {nfc(path.name): path for path in text_files(folder)}
    for name in {**declared, **files}:
        if name not in files:
            raise UserError(f"{folder / name}: missing; put it back, or remove it from {file}")
        if name not in declared:
            raise UserError(f"{files[name]}: declare it in [imported.log] of {file}, or move it")
    runs = [run for name, one in declared.items() for run in read_log(files[name], study.name, one)]
    found: dict[str, TextRun] = {}
    for run in sorted(numbered(runs), key=lambda run: study.networks.index(run.header.model)):
        key = f"{study.name}/{nfc(run.path.name)}"
        found[f"{key}:{run.line_numbers['header']}" if key in found else key] = run
    return found


def nfc(text: str) -> str:
    """Letters composed; a file's name that an archive of Windows wrote in CP949 is read as such."""
    raw = os.fsencode(text)
    try:
        return unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        return raw.decode("cp949", "replace")
