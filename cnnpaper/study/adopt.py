"""``import-logs``: text logs of the 2023 program become a study, as they are.

Everything is read and checked before anything is written, the study's file last. What stands in a
file's name, or was given instead, becomes the label of its runs there, where it can be edited.
"""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnpaper import config
from cnnpaper.config import Imported, ImportedLog, visible
from cnnpaper.files import UserError, write_atomic
from cnnpaper.study.imported import ENDINGS, TextRun, nfc, numbered, read_log, text_files


def import_logs(
    root: Path, given: Sequence[Path], study: str, labels: Sequence[str], said: Imported
) -> list[TextRun]:
    """Copy text logs into ``results/log/STUDY``, write the study's file, and return the runs.

    Args:
        given: files, or folders of files.
        labels: ``FILE=NAME`` each; FILE may be a pattern.
        said: title, authors, name of the images.

    Raises:
        UserError: no log, one that cannot be read or names no network, a label for none of them,
            or a study that exists; nothing was written then.
    """
    study = nfc(study)
    files = _files(given)
    study_file = root / "experiments" / "study" / f"{study}.toml"
    _check_name(study, study_file)
    chosen = _labels(labels, files)
    declared = _declared({f: _named(root, path, chosen.get(f)) for f, path in files.items()})
    runs = [run for file, path in files.items() for run in read_log(path, study, declared[file])]
    text = _toml(study, said.model_copy(update={"log": declared}))
    config.validated(config.Study, tomllib.loads(text) | {"name": study}, f"--study {study}")
    folder = root / "results" / "log" / study
    content = {folder / file: path.read_bytes() for file, path in files.items()}
    for there in visible(folder, "*"):
        if there not in content or there.read_bytes() != content[there]:
            raise UserError(f"{there}: in the way of study {study!r}; move it, or name another one")
    for path, data in {**content, study_file: text.encode()}.items():
        write_atomic(path, data)
    return numbered(runs)


def _files(given: Iterable[Path]) -> dict[str, Path]:
    """Composed name → text log; names that begin with a dot are no input."""
    found: dict[str, Path] = {}
    ends = f"ends in {' or '.join(ENDINGS)}"
    for place in given:
        paths = text_files(place) if place.is_dir() else [place]
        if not paths:
            raise UserError(f"{place}: no file in it {ends}")
        for path in paths:
            if path.name.startswith(".") or path.suffix.lower() not in ENDINGS:
                told = f"the name of a text log {ends} and does not begin with a dot"
                raise UserError(f"{path}: {told}")
            other = found.setdefault(nfc(path.name), path)
            if other.resolve() != path.resolve():
                raise UserError(f"{path}: called like {other}; rename one of them")
    return dict(sorted(found.items()))


def _check_name(study: str, study_file: Path) -> None:
    if config.SINGLE.match(study):
        raise UserError(f"--study {study}: a name of what `cnnpaper train` makes; choose another")
    for there in visible(study_file.parent, "*.toml"):
        if nfc(there.name) == study_file.name:
            again = (
                f"; to import it again, remove this file and results/log/{study}; labels, authors "
                "and data can be edited in it"
            )
            imported = config.read_toml(there).get("origin") == "imported"
            choose = "choose another name: STUDY=…" + again * imported
            raise UserError(f"{there}: study {study!r} exists\n{choose}")


def _labels(given: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """File → label, from ``FILE=NAME``; FILE is a name or a pattern, and both may hold ``=``."""
    found: dict[str, str] = {}
    for text in given:
        composed = nfc(text)
        for cut in re.finditer("=", composed):
            wanted, name = Path(composed[: cut.start()]).name, composed[cut.end() :].strip()
            hits = [file for file in files if file == wanted] or fnmatch.filter(files, wanted)
            if hits and name:
                found |= dict.fromkeys(hits, name)
                break
        else:
            raise UserError(
                f"--label {text!r}: none of the logs has this name\nthe form is FILE=NAME, and "
                f"the files are {', '.join(files)}"
            )
    return found


def _declared(names: Mapping[str, Name]) -> dict[str, ImportedLog]:
    """Network and label of each file; what its name begins with tells it from its like."""
    alike = Counter(name.label for name in names.values())
    found = {}
    for file, name in names.items():
        prefix = name.prefix if alike[name.label] > 1 else ""
        found[file] = ImportedLog(network=name.model, label=f"{name.label} {prefix}".strip())
    return found


def _toml(study: str, said: Imported) -> str:
    """The study's file. A JSON string is one of TOML, too."""

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    networks = text(list(dict.fromkeys(one.network for one in said.log.values())))
    values = said.model_dump(exclude={"log"}, exclude_defaults=True)
    logs = {
        text(file): f"{{ network = {text(one.network)}, label = {text(one.label)} }}"
        for file, one in said.log.items()
    }
    return "\n".join([
        f"# Text logs of another program, as they lie in results/log/{study}; made by",
        "# `cnnpaper import-logs`, and may be edited. What the logs do not say is not said.",
        "", 'origin = "imported"', f"networks = {networks}", 'data = { set = "unknown" }',
        "", "[imported]", *(f"{key} = {text(value)}" for key, value in values.items()),
        "", "[imported.log]", *(f"{file} = {one}" for file, one in logs.items()), "",
    ])  # fmt: skip


# ------------------------------------------------------------------------------------ the names

# of torchvision, which the 2023 program trains
_FAMILIES = """alexnet convnext densenet efficientnet googlenet inception maxvit mnasnet mobilenet
regnet resnet resnext shufflenet squeezenet swin vgg vit"""


class Name(NamedTuple):
    """What a file is called: ``PREFIX_MODEL REMARK_Nepoch_pre_train.log``."""

    prefix: str  # a word or a time
    model: str  # `resnet18`; empty where no network is named, or several are
    network: str  # as printed
    remark: str  # what else stands after the network, but for the number of epochs

    @property
    def label(self) -> str:
        return f"{self.network} {self.remark}".strip()


def name_of(root: Path, stem: str) -> Name:
    """Find the network, outside of brackets, and what stands around it."""
    models = {_plain(model): model for model in config.known_models(root)}
    own = "|".join("[_ -]?".join(name) for name in sorted(models, key=len, reverse=True))
    family = rf"(?:wide[_ -])?(?:{'|'.join(_FAMILIES.split())})(?:[_ -]?[a-z]?\d+)?"
    outside = re.sub(r"[(\[{][^)\]}]*", lambda match: "\0" * len(match[0]), stem)
    found = list(re.finditer(rf"(?<![a-z])(?:(?:{own})(?!\d)|{family})", outside, re.IGNORECASE))
    if len({_plain(match[0]) for match in found}) != 1:
        return Name(stem, "", "", "")
    spelled, (start, end) = found[0][0], found[0].span()
    model = models.get(_plain(spelled))
    network = config.load_experiment(root, model).name if model else spelled
    parts = re.split(r"[_ -]*\d{1,6}[_ -]?epochs?(?![a-z])|[_ -]*train(?=$| ?\()", stem[end:])
    remark = " ".join(filter(None, (part.strip("_ -") for part in parts)))
    model = model or re.sub("[ -]", "_", spelled.lower())
    return Name(stem[:start].strip("_ -"), model, network, remark)


def _plain(name: str) -> str:
    return re.sub("[_ -]", "", name.lower())


def _named(root: Path, path: Path, given: str | None) -> Name:
    """What the file's name says, or the label that was given instead."""
    name = name_of(root, nfc(path.stem))
    label = name if given is None else name_of(root, given)
    if label.model:
        return label
    if given is None:
        raise UserError(
            f"{path}: no network that is known stands in this name, or several do\n"
            f"say what was trained: --label '{path.name}=resnet18', "
            f"with make LABEL='{path.name}=resnet18'"
        )
    if name.model:
        return name._replace(remark=given)
    own = re.sub("[^a-z0-9]+", "_", given.lower()).strip("_")[:40]
    return Name(name.prefix, own or "network", given, "")
