"""``import-logs``: the 2023 program's text logs become run logs and a study file.

What those logs do not say (seed, machine, data, test accuracy, seconds of an epoch) is null.
Everything is read and checked before anything is written, and the study appears at once or not at
all: its runs are written beside their place, then renamed into it, the study file last.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnpaper import config, records, textlog
from cnnpaper.errors import UserError, nearest
from cnnpaper.files import fsync_folder, lock, sha256_bytes, write_atomic

_NAME = re.compile(
    r"(?:(?P<time>[0-9][0-9T:. _-]*)_)?(?P<model>[A-Za-z][\w-]*?)_(?P<epochs>[0-9]{1,6})epoch"
    r"(?P<pre>_pre)?_train\.log",
    re.ASCII,
)
_FORM = "[TIME_]MODEL_Nepoch[_pre]_train.log, such as 20231031-101500_resnet18_25epoch_train.log"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One text log: what its name says, what it holds."""

    path: Path
    model: str
    """As ``experiments/`` calls the network."""
    pretrained: bool
    """With ImageNet weights (``_pre``)."""
    time: str | None
    """The time stamp of its name, with ``_`` between the digits."""
    digest: str
    """SHA-256 of the file."""
    log: textlog.TextLog


def import_logs(root: Path, folder: Path, study: str, *, force: bool = False) -> list[records.Run]:
    """Read all logs of ``folder`` into study ``study`` and return its runs.

    Args:
        folder: holds ``[TIME_]MODEL_Nepoch[_pre]_train.log`` files; other names ending in ``.log``
            are refused, all else is left alone.
        force: replace a study that was imported before.

    Raises:
        UserError: no log, one that cannot be read, a network that is not known, or a study that
            exists; nothing was written then.
    """
    sources = _sources(root, folder)
    runs = dict(_named(sources))
    plan = _study(root, study, sources)
    with lock(root / "build" / f"import-{study}.lock", what=f"the import of study {study!r}"):
        _check_place(root, study, force)
        return _write(root, plan, runs)


# ------------------------------------------------------------------------------------- reading


def _sources(root: Path, folder: Path) -> list[Source]:
    """Every log of the folder, by file name."""
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; give the one that holds the text logs")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".log")
    if not paths:
        raise UserError(f"{folder}: no log in it; their names are {_FORM}")
    known = config.known_models(root)
    return [_source(path, known) for path in paths]


def _source(path: Path, known: list[str]) -> Source:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise UserError(f"{path}: not the name of a log of the 2023 program\nthe form is {_FORM}")
    model = _known_model(match["model"], known, path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    log = textlog.read_bytes(data, path)
    if log.planned != int(match["epochs"]):
        raise UserError(
            f"{path}: its name says {match['epochs']} epochs, its lines say {log.planned}\n"
            "give the file the name that it had"
        )
    time = match["time"] and "_".join(re.findall(r"[0-9]+", match["time"]))
    return Source(
        path=path,
        model=model,
        pretrained=match["pre"] is not None,
        time=time,
        digest=sha256_bytes(data),
        log=log,
    )


def _known_model(name: str, known: list[str], path: Path) -> str:
    """The network called ``name``, in our spelling: ``ResNet-18`` is ``resnet18``."""
    plain = {re.sub(r"[_-]", "", model): model for model in known}
    found = plain.get(re.sub(r"[_-]", "", name.lower()))
    if found is None:
        raise UserError(
            f"{path}: unknown network {name!r}{nearest(name.lower(), known)}\n"
            f"known networks: {', '.join(known) or 'none'} (files in experiments/)\n"
            "give the file the name of the network that was trained, or describe the network there"
        )
    return found


def _named(sources: list[Source]) -> Iterable[tuple[str, Source]]:
    """Each log with the variant that tells it apart from others of its network.

    The only log of a network has none, with ImageNet weights it is ``pretrained``; where several
    are of one kind, the time stamp of the name is added, then the number of epochs.
    """
    seen: dict[str, Path] = {}
    for source in sources:
        alike = [
            other
            for other in sources
            if (other.model, other.pretrained) == (source.model, source.pretrained)
        ]
        parts = ["pretrained"] if source.pretrained else []
        if len(alike) > 1 and source.time is not None:
            parts.append(source.time)
        if sum(other.time == source.time for other in alike) > 1:
            parts.append(f"{source.log.planned}ep")
        variant = "_".join(parts) or None
        run = config.run_name(source.model, variant, None)
        if run in seen:
            raise UserError(
                f"{source.path}: the same network and time as {seen[run].name}; remove one of them"
            )
        if variant is not None and len(variant) > 60:
            raise UserError(f"{source.path}: its time stamp is too long")
        seen[run] = source.path
        yield run, source


# ------------------------------------------------------------------------------------- writing


def _study(root: Path, name: str, sources: list[Source]) -> config.Study:
    """The study of these logs: networks in the order of study ``full``, others after them."""
    found = {source.model for source in sources}
    order = dict.fromkeys([*_order(root), *sorted(found)])
    values = {
        "name": name,
        "origin": "imported",
        "networks": [model for model in order if model in found],
        "epochs": max(source.log.planned for source in sources),
        "data": {"set": "unknown"},
    }
    return config.validated(config.Study, values, f"study {name!r}")


def _order(root: Path) -> tuple[str, ...]:
    path = root / "experiments" / "study" / "full.toml"
    return config.load_study(root, "full").networks if path.is_file() else ()


def _check_place(root: Path, study: str, force: bool) -> None:
    """A study that exists is replaced only if it was imported too, and on request."""
    path = _study_file(root, study)
    if config.SINGLE.match(study):
        raise UserError(f"the name {study!r} is kept for `cnnpaper train`; choose another one")
    trained = path.is_file() and config.load_study(root, study).origin == "trained"
    for log in (root / "results" / "log" / study).glob(f"*/{records.LOG_NAME}"):
        trained = trained or records.read_run(log).header.origin == "trained"
    if trained:
        raise UserError(f"study {study!r} is one of trained runs; choose another name")
    if path.exists() and not force:
        raise UserError(f"{path}: study {study!r} exists; --force imports it anew")


def _study_file(root: Path, study: str) -> Path:
    return root / "experiments" / "study" / f"{study}.toml"


def _write(root: Path, plan: config.Study, runs: dict[str, Source]) -> list[records.Run]:
    """Write the runs beside their place, move them there, then write the study file.

    What stood there before comes back where anything fails on the way; where the process was
    killed in between, the next import brings it back first.
    """
    place = root / "results" / "log" / plan.name
    new, old = place.with_name(f".{plan.name}.new"), place.with_name(f".{plan.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    _bring_back(old, place)
    in_place = False
    try:
        for run, source in runs.items():
            _write_run(new / run, plan.name, source)
        if place.exists():
            place.rename(old)
        new.rename(place)
        in_place = True
        fsync_folder(place.parent)
        write_atomic(_study_file(root, plan.name), _toml(plan).encode())
    except BaseException:
        if in_place:
            shutil.rmtree(place)
        shutil.rmtree(new, ignore_errors=True)
        _bring_back(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return [records.read_run(place / run / records.LOG_NAME) for run in runs]


def _bring_back(old: Path, place: Path) -> None:
    """Undo half a replacement: ``old`` goes back to ``place`` unless something stands there."""
    if old.exists() and not place.exists():
        old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _toml(plan: config.Study) -> str:
    names = ", ".join(f'"{model}"' for model in plan.networks)
    return (
        "# Runs of another program, read from its text logs by `cnnpaper import-logs`.\n"
        "# What those logs do not say stays unknown: seeds, data, hardware, test accuracy.\n\n"
        f'origin = "imported"\nnetworks = [{names}]\nepochs = {plan.epochs}\n\n'
        '[data]\nset = "unknown"\n'
    )


def _write_run(folder: Path, study: str, source: Source) -> None:
    """``run.jsonl`` and ``train.log`` of one text log."""
    variant = folder.name.partition("-")[2] or None
    log = source.log
    writer = records.LogWriter(folder / records.LOG_NAME)
    writer.append(_header(study, variant, source))
    for number, epoch in enumerate(log.epochs):
        writer.append(_epoch(number, epoch))
    writer.append(
        records.Result(
            status="cut off" if log.total_s is None else "finished",
            best_epoch=log.best_epoch,
            best_val_acc=log.best_val_acc,
            test_acc=None,
            test_loss=None,
            test_acc_tta=None,
            total_s=None if log.total_s is None else float(log.total_s),
            predictions_sha256=None,
        )
    )
    text = textlog.render(records.read_run(writer.path))
    write_atomic(folder / "train.log", text.encode())


def _header(study: str, variant: str | None, source: Source) -> records.Header:
    more: dict[str, Any] = {
        "epochs": source.log.planned,
        "source": {"file": source.path.name, "sha256": source.digest},
    }
    return records.Header(
        schema=records.SCHEMA,
        origin="imported",
        study=study,
        model=source.model,
        variant=variant,
        seed=None,
        spec=None,
        fingerprint=None,
        data=records.Data(name=None, digest=None),
        machine=records.Machine(),
        packages={},
        commit=None,
        started=None,
        network=records.Network(parameters=None, macs=None),
        **more,
    )


def _epoch(number: int, epoch: textlog.TextEpoch) -> records.Epoch:
    losses = records.finite(train_loss=epoch.train_loss, val_loss=epoch.val_loss)
    return records.Epoch(
        epoch=number,
        train_acc=epoch.train_acc,
        val_acc=epoch.val_acc,
        weights=None,
        resolution=None,
        train_s=None,
        train_cpu_s=None,
        eval_s=None,
        other_cpu_s=None,
        learning_rate=None,
        **losses,
    )
