"""Runs executed again: ``make verify`` in small, ``make reproduce`` in full.

``verify`` executes a run's miniature and first steps with today's engine and, where the engine has
changed, also with that of the run's commit, taken from git, both on this machine. Equal bits mean
that the change did not change a number, whatever the processor: ``verified.json`` beside the log
says so, and the run is fresh. Where processor and packages are those of the run, the recorded bits
must come out too; elsewhere the losses of the first steps are compared within a tolerance.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnpaper import data, files, fingerprint, log, tuning
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec, load_study
from cnnpaper.files import UserError, append_line, sha256_file, write_atomic
from cnnpaper.fingerprint import VERIFIED_NAME
from cnnpaper.log import LOG_NAME, Part, Run
from cnnpaper.runs import launch, machine, provenance

TOLERANCE = {"float32": 0.02, "bfloat16": 0.05}
"""Largest relative difference of a first step's loss between processors. Kernels add the same
numbers in another order there, and a step amplifies that, up to a hundred times with batch norm."""
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
EXECUTED = ("network", "miniature", "steps")
MEASURED = {
    *("train_s", "train_cpu_s", "other_cpu_s", "eval_s", "suspended_s", "contended", "total_s"),
    *("peak_memory", "at", "started", "commit", "packages", "machine", "spec", "fingerprint"),
}
"""Fields of a log that another execution may have otherwise."""
REPRODUCED_NAME = "reproduced.jsonl"
Say = Callable[[str], None]


# ------------------------------------------------------------------------------------- execute


def execute(root: Path, request: str) -> str:
    """One run's miniature and first steps with the code of ``root``.

    Args:
        root: of the repository, or of a checkout of another commit.
        request: JSON with ``spec``, ``data_dir`` and ``gpu``.

    Returns:
        JSON with ``network``, ``machine``, ``packages``, ``miniature`` and ``steps``.
    """
    asked = json.loads(request)
    spec = RunSpec.model_validate_json(json.dumps(asked["spec"]))
    machine.prepare_process()
    import torch

    from cnnpaper.engine.initialise import build
    from cnnpaper.runs.dataset import load_images
    from cnnpaper.runs.describe import describe
    from cnnpaper.runs.miniature import first_steps, miniature

    device = launch.torch_device("0" if asked["gpu"] else "cpu")
    torch.set_num_threads(spec.threads or machine.physical_cores())
    images = load_images(spec.data, Path(asked["data_dir"]))
    found = {
        "network": describe(build(spec.builder)),
        "miniature": miniature(spec, images, device),
        "steps": first_steps(spec, images, device),
        "machine": machine.describe_machine(device),
        "packages": provenance.packages(),
    }
    return json.dumps(found, default=lambda part: part.model_dump(mode="json"))


def _executed(folder: Path, root: Path, run: Run, spec: RunSpec, data_dir: Path) -> dict[str, Any]:
    """What a process of its own, with the code of ``folder``, gives."""
    request = {
        "spec": spec.model_dump(mode="json") | {"threads": run.header.machine.threads},
        "data_dir": str(data_dir.resolve()),
        "cache_root": str(root.resolve()),  # earlier commits read it
        "gpu": run.header.machine.gpu is not None,
    }
    done = subprocess.run(
        [sys.executable, "-m", "cnnpaper", "replay"],
        cwd=folder, input=json.dumps(request), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{run.name} could not be executed by the code of {folder}: {said}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _engine_of(root: Path, run: Run, spec: RunSpec, checkouts: Path) -> Path:
    """A checkout of the package as it was when the run was made.

    Raises:
        UserError: git does not have it, or it is not what the run's header describes.
    """
    commit = (run.header.commit or "").rstrip("+")
    folder, over = checkouts / commit, f"train it again: {log.again(run.header, FORCE=1)}"
    if not COMMIT.fullmatch(commit):  # it becomes a folder's name and git's argument
        raise UserError(f"{run.name}: its log names no commit that made it\n{over}")
    if not folder.is_dir():
        command = ["git", "-C", str(root), "archive", commit, "cnnpaper", "uv.lock"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise UserError(
                f"{run.name}: commit {commit[:12]}, which made it, is not in this repository\n"
                f"fetch its history (git fetch --unshallow), or {over}"
            )
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            tar.extractall(folder, filter="data")
    assert run.header.fingerprint is not None
    if fingerprint.of_spec(folder, spec).code != run.header.fingerprint.code:
        raise UserError(
            f"{run.name}: its engine was not that of commit {commit[:12]} (uncommitted changes)\n"
            f"{over}"
        )
    return folder


# -------------------------------------------------------------------------------------- verify


def verify_study(root: Path, name: str, data_dir: Path, say: Say) -> None:
    """Verify every finished run of a study and of the studies that it names.

    Raises:
        UserError: the images are not there; or a run differs, or cannot be verified, when the
            others were verified all the same.
    """
    study = load_study(root, name)
    if study.origin == "imported":
        raise UserError(f"study {name!r} was imported from logs of another program: nothing to run")
    launch.need_torch()
    others = [load_study(root, other) for other in (study.tuning, study.precision) if other]
    specs = [spec for one in (study, *others) for spec in tuning.declared(root, one)]
    specs = [spec for spec in specs if (spec.folder(root) / LOG_NAME).exists()]
    if not specs:
        say(f"{name}: no run has been trained yet")
    for which in {(spec.data.set, spec.data.digest) for spec in specs}:
        if which[0] != "synthetic":
            data.load(*which, data_dir)  # refuses once, not for every run
    failed = []
    place = root / "build" / "verify"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as checkouts:
        for number, spec in enumerate(specs, start=1):
            try:
                run = log.read_run(spec.folder(root) / LOG_NAME)
                verdict = verify(root, run, spec, data_dir, Path(checkouts))
            except UserError as error:
                verdict = f"not verified: {error}"
            say(f"{number} of {len(specs)}, {spec.path}: {verdict}")
            if not verdict.startswith("verified"):
                failed.append(spec.path)
    if failed:
        raise UserError(f"not verified: {', '.join(failed)} ({len(failed)} of {len(specs)} runs)")


def verify(root: Path, run: Run, spec: RunSpec, data_dir: Path, checkouts: Path) -> str:
    """``verified …`` or the first thing that differs; writes ``verified.json`` where that helps."""
    recorded = run.header.fingerprint
    assert recorded is not None
    if run.result is None:
        return f"incomplete; train it first: {log.again(run.header)}"
    today = fingerprint.of_spec(root, spec, data=recorded.data)
    changed = fingerprint.code_differences(recorded, today)
    if other := [why for why in fingerprint.differences(recorded, today) if why not in changed]:
        return f"stale: {other[0]}; train it again: {log.again(run.header, FORCE=1)}"
    now = _executed(root, root, run, spec, data_dir)
    if changed:
        before = _executed(_engine_of(root, run, spec, checkouts), root, run, spec, data_dir)
        then, executed = ({key: each[key] for key in EXECUTED} for each in (before, now))
        if found := _differences(then, executed):
            return f"differs between its engine and today's ({'; '.join(changed)}): {found[0]}"
    verdict = _against_recorded(run, now)
    if changed and verdict.startswith("verified"):
        values = {
            "fingerprint": fingerprint.digest(today),
            "log_sha256": sha256_file(run.path),
            "commit": run.header.commit,
            "processor": now["machine"]["processor"],
            "changed": changed,
        }
        text = json.dumps(values, indent=1) + "\n"
        write_atomic(run.path.with_name(VERIFIED_NAME), text.encode())
        verdict += "; its engine and today's give the same bits"
    return verdict


def _against_recorded(run: Run, now: dict[str, Any]) -> str:
    """Compare what came out now with what the log recorded."""
    if run.miniature is None or not run.steps:
        return "its log has no miniature or first steps to compare"
    recorded = {"network": run.header.network, "miniature": run.miniature, "steps": run.steps}
    verdict, tolerance = "verified, reproduced bit for bit", None
    if provenance.elsewhere(run.header, now["machine"] | now["packages"]):
        tolerance, then = TOLERANCE[run.header.precision or "float32"], run.header.machine
        made = f"made on {then.processor}, {then.threads} threads"
        verdict = f"verified within {tolerance:.0%} ({made})"
    found = _differences(recorded, {key: now[key] for key in EXECUTED}, tolerance)
    return f"differs from its log: {found[0]}" if found else verdict


def _differences(expected: Any, actual: Any, tolerance: float | None = None) -> list[str]:
    """``miniature.metrics.val_loss: 1.2 -> 1.3`` of everything that is not the same.

    Args:
        tolerance: compare what other kernels do not touch, and losses of steps within this.
    """
    old, new = _flat(expected), _flat(actual)
    return [
        f"{key}: {str(old.get(key))[:40]} -> {str(new.get(key))[:40]}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
        and (tolerance is None or not _within(tolerance, key, old.get(key), new.get(key)))
    ]


def _within(tolerance: float, key: str, old: Any, new: Any) -> bool:
    """May another processor give this?"""
    if key.startswith("steps.") and key.endswith(".loss"):  # None where it was not finite
        return None not in (old, new) and abs(new / old - 1) <= tolerance
    return not key.startswith(("network.", "miniature.images_", "miniature.schedule_"))


def _flat(values: Any, key: str = "") -> dict[str, Any]:
    """Dotted key → value of everything in lines of a log, dictionaries and lists."""
    if isinstance(values, Part):
        values = values.model_dump(mode="json", exclude=MEASURED)
    if isinstance(values, list | tuple):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        return {key: values}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{key}.{name}".lstrip("."))
    return flat


# ----------------------------------------------------------------------------------- reproduce


def reproduce(root: Path, spec: RunSpec, data_dir: Path, say: Say) -> None:
    """Train a finished run from scratch below ``build/reproduce`` and compare every logged value.

    It reads the test images once more, to give the published numbers again; that reading is listed
    in the study's ``reproduced.jsonl``, not among the study's own.

    Raises:
        UserError: the run is not there, or a value differs.
    """
    recorded = tuning.finished(spec.folder(root))
    if recorded is None:
        raise UserError(f"{spec.path} is not finished; train it first: {log.again(spec)}")
    machine.prepare_process()
    name = "0" if recorded.header.machine.gpu else "cpu"
    device = launch.torch_device(name)
    folder = root / "build" / "reproduce" / spec.path
    resume = advice("reproduce", STUDY=spec.study, MODEL=spec.model, SEED=spec.seed, ARM=spec.arm)
    with (
        files.lock(folder / "run.lock", what=f"the reproduction of {spec.path}"),
        launch.device_lock(name, device),
    ):
        from cnnpaper.runs.recorder import record  # imports torch, which the process is ready for

        record(
            spec.model_copy(update={"threads": recorded.header.machine.threads}),
            root=root, data_dir=data_dir, device=device, folder=folder, again=resume,
            force=tuning.finished(folder) is not None,
        )  # fmt: skip
    again = log.read_run(folder / LOG_NAME)
    lines = _differences(_logged(recorded), _logged(again))
    entry = {"run": spec.path, "at": provenance.now_utc(), "identical": not lines}
    append_line(root / "results" / "log" / spec.study / REPRODUCED_NAME, json.dumps(entry))
    if lines:
        shown = "\n".join(lines[:20])
        raise UserError(f"{spec.path} differs in {len(lines)} logged values\n{shown}")
    say(f"{spec.path}: identical in every logged value and all predictions")


def _logged(run: Run) -> dict[str, Any]:
    """The lines that are compared."""
    return {kind: getattr(run, kind) for kind in ("header", *EXECUTED[1:], "epochs", "result")}
