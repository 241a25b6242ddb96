"""``make reproduce``: one run trained anew from nothing, and every logged value compared.

The new log, predictions and checkpoints lie below ``build/reproduce/STUDY/RUN``; results are never
touched. The new run reads the test images again. By design it gets the numbers that were published,
from an epoch chosen in the same way, so nothing can be chosen by that: it is written into the
scratch place's own list of test evaluations and is not counted as one of the study's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from cnnpaper import config, files, fingerprint, predictions, records
from cnnpaper.config import RunSpec
from cnnpaper.errors import Interrupted, UserError
from cnnpaper.learn import runner
from cnnpaper.learn.verify import Deviation, as_recorded, leaves, not_as_recorded, shown
from cnnpaper.records import LOG_NAME, PREDICTIONS_NAME, Run

TIMES = frozenset(
    {"train_s", "train_cpu_s", "eval_s", "other_cpu_s", "total_s", "probe_gflops", "peak_memory"}
)
"""Fields that say how long something took and how much it needed: never compared."""
PROVENANCE = frozenset(
    {"fingerprint", "machine", "packages", "commit", "started", "spec", "functions", "unexecuted"}
)
"""Fields about code and place; what of them decides bits is said apart."""
LATER = frozenset({"images_sha256", "schedule_sha256"})
"""Fields that older logs do not have."""
ROWS = 20
"""Differences that are shown; the rest is counted."""


def reproduce(
    root: Path, study: str, model: str, seed: int, data_dir: Path, say: Callable[[str], None]
) -> None:
    """Train one finished run anew, on its threads and with its cap, and compare.

    Stopped, it goes on with the same command; finished, the next call begins from nothing.

    Raises:
        UserError: a value differs; or the run is not finished, or was made with other settings.
        Interrupted: a signal asked to stop; the state is saved in the scratch place.
    """
    spec = config.run_spec(root, config.load_study(root, study), model, seed)
    run = _recorded(root, spec)
    spec = as_recorded(spec, run.header)
    folder = root / "build" / "reproduce" / study / run.name
    again = f"make reproduce STUDY={study} MODEL={model} SEED={seed}"
    _train(root, spec, folder, data_dir, gpu=run.header.machine.gpu is not None, again=again)
    new = records.read_run(folder / LOG_NAME)
    found = list(compare(run, new))
    if not found:
        count = len(_values(run))
        say(f"{study}/{run.name}: identical in {count} logged values and all predictions")
        return
    say(_table(found))
    machine, packages = new.header.machine, new.header.packages
    elsewhere = "; ".join(not_as_recorded(run.header, machine, packages))
    if elsewhere:
        say(f"other than recorded, so last digits may differ: {elsewhere}")
    raise UserError(
        f"{study}/{run.name}: {len(found)} of {len(_values(run))} logged values differ\n"
        f"the new log is {folder / LOG_NAME}"
    )


def _recorded(root: Path, spec: RunSpec) -> Run:
    """The log that is to be reproduced."""
    run = runner.finished(root, spec)
    if run is None:
        raise UserError(
            f"{spec.study}/{spec.run} is not finished, so there is nothing to compare with\n"
            f"make {spec.model} STUDY={spec.study} SEEDS={spec.seed}"
        )
    changed = [str(item) for item in fingerprint.changes(root, run) if item.kind != "code"]
    if changed:
        raise UserError(
            f"{spec.study}/{spec.run} was made with something else: {changed[0]}\n"
            f"that is another experiment: make {spec.model} STUDY={spec.study} FORCE=1 begins it"
        )
    return run


def _train(
    root: Path, spec: RunSpec, folder: Path, data_dir: Path, *, gpu: bool, again: str
) -> None:
    """Train ``spec`` in ``folder``: go on with what was stopped there, else from nothing."""
    runner.set_environment(spec)
    device = runner.torch_device("0" if gpu else "cpu")
    from cnnpaper.learn.recorder import record

    with (
        files.lock(folder.with_name(f"{spec.run}.lock"), what=f"reproducing {spec.run}"),
        runner.turn(root, "gpu0" if gpu else "cpu", spec.run),
    ):
        if not _can_go_on(root, spec, folder):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            record(spec, root=root, data_dir=data_dir, device=device, force=False, folder=folder)
        except Interrupted as stopped:
            raise Interrupted(
                stopped.signal, f"{spec.run}: stopped, its state is saved; go on with: {again}"
            ) from None


def _can_go_on(root: Path, spec: RunSpec, folder: Path) -> bool:
    """Does the scratch place hold a begun run of today's code?"""
    try:
        begun = records.read_run(folder / LOG_NAME)
    except records.LogError:
        # cut off in the middle of a line, or not there: the recorder finds out
        return (folder / LOG_NAME).exists()
    recorded = begun.header.fingerprint
    if begun.result is not None or recorded is None:
        return False
    return not fingerprint.differences(recorded, fingerprint.of_run(root, spec))


# -------------------------------------------------------------------------------------- compare


def compare(run: Run, new: Run) -> Iterator[Deviation]:
    """Every logged value but times and provenance that is another one in the new log."""
    old_values, new_values = _values(run), _values(new)
    for name in dict.fromkeys([*old_values, *new_values]):
        old, again = old_values.get(name), new_values.get(name)
        unknown = old is None and name.rpartition(" ")[2] in LATER
        if old != again and not unknown:
            yield Deviation(name, old, again)
    yield from _arrays(run, new)


def _values(run: Run) -> dict[str, Any]:
    """Every compared field of every line, by a name for people."""
    found: dict[str, Any] = {}
    lines: list[tuple[str, records.Line | None]] = [
        ("header", run.header),
        ("miniature", run.miniature),
        *((f"step {step.step}", step) for step in run.steps),
        *((f"epoch {epoch.epoch}", epoch) for epoch in run.epochs),
        ("result", run.result),
    ]
    # the digest of the file of predictions is left out, since its arrays are compared
    left_out = TIMES | PROVENANCE | {"predictions_sha256"}
    for where, line in lines:
        fields = {} if line is None else records.fields_of(line)
        for name, value in leaves(fields).items():
            if name.partition(".")[0] not in left_out:
                found[f"{where}: {name}"] = value
    return found


def _arrays(run: Run, new: Run) -> Iterator[Deviation]:
    """The arrays of both files of predictions; how many of the values differ, and by how much."""
    paths = [item.path.with_name(PREDICTIONS_NAME) for item in (run, new)]
    if not paths[0].exists() and not paths[1].exists():
        return
    old, again = (predictions.load(path) for path in paths)
    for name in ("labels", "logits", "logits_tta"):
        a, b = getattr(old, name), getattr(again, name)
        if a.shape != b.shape:
            yield Deviation(f"predictions {name}", f"shape {a.shape}", f"shape {b.shape}")
        elif not np.array_equal(a, b):
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
            yield Deviation(
                f"predictions {name}",
                f"{a.size:,} values",
                f"{int((apart > 0).sum()):,} others, by up to {apart.max():.2g}",
            )


def _table(found: list[Deviation]) -> str:
    rows = [(item.name, shown(item.logged), shown(item.again)) for item in found[:ROWS]]
    text = tabulate(rows, headers=["field", "logged", "again"], disable_numparse=True)
    return text + (f"\nand {len(found) - ROWS} more" if len(found) > ROWS else "")
