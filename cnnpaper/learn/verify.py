"""``make verify`` and ``make certify``: the runs of a study executed again and compared.

Each run gets a process of its own (:mod:`cnnpaper.learn.replay`), with the recorded number of
threads and cap on instructions. Where processor type, instruction set, threads and versions of
torch, torchvision and numpy are those that the run was made with, every bit must agree. Elsewhere
what does not depend on the last bits must agree (network, images, schedule), and the losses of the
first steps within a tolerance that was measured for the network (:mod:`cnnpaper.learn.spread`).

No torch here: this process only starts the others and compares.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnnpaper import certificate, config, files, fingerprint, predictions, records
from cnnpaper.certificate import Replay, Request
from cnnpaper.config import RunSpec, Study
from cnnpaper.errors import UserError
from cnnpaper.learn import provenance, runner, tolerance
from cnnpaper.records import LOG_NAME, PREDICTIONS_NAME, Header, Machine, Run

Say = Callable[[str], None]
HARDWARE = ("cpu_family", "cpu_model", "isa", "isa_cap", "threads", "gpu")
PACKAGES = ("torch", "torchvision", "numpy")
"""What must be as recorded for the same bits to be demanded, beside :data:`HARDWARE`."""


@dataclass(frozen=True)
class Deviation:
    """One value that was not the recorded one again."""

    name: str
    """``miniature: epochs.0.train_loss``."""
    logged: Any
    again: Any

    def __str__(self) -> str:
        return f"{self.name}: recorded {shown(self.logged)}, now {shown(self.again)}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What verifying one run gave."""

    run: Run
    result: Literal["verified", "verified within tolerance", "differs"]
    elsewhere: tuple[str, ...] = ()
    """Why the bits may be others: what is not as it was when the run was made."""
    deviations: tuple[Deviation, ...] = ()
    """Beyond what is allowed, the first one first."""
    changes: tuple[fingerprint.Difference, ...] = ()
    """What has changed in the repository since the run was made."""
    replay: Replay | None = None
    """None where nothing had to be executed to know the result."""
    seconds: float = 0.0
    largest: float = 0.0
    """Largest relative difference of a compared loss, where bits may be others."""


def shown(value: Any) -> str:
    """A value for people, a digest by its first digits."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"{text[:12]}…" if len(text) == 64 else text[:60]


# ------------------------------------------------------------------------------------- commands


def verify_study(root: Path, study: str, data_dir: Path, say: Say = print) -> list[Outcome]:
    """Execute every finished run of a study again and say what came out.

    Nothing is written but below ``build/``.

    Args:
        root: of the repository.
        study: its name.
        data_dir: where the images are.
        say: prints lines for people.

    Raises:
        UserError: a run differs; or there is no run, no data, no such device.
    """
    outcomes = _verify(root, study, data_dir, say)
    if differing := [item.run.name for item in outcomes if item.result == "differs"]:
        raise UserError(
            f"{', '.join(differing)}: not what this code gives\n"
            f"make reproduce STUDY={study} MODEL=... SEED=... shows how far the numbers are apart"
        )
    return outcomes


def certify_study(root: Path, study: str, data_dir: Path, say: Say = print) -> list[Outcome]:
    """Verify, then write ``certificate.json`` beside every run that gave each recorded bit.

    Raises:
        UserError: as :func:`verify_study`; or a stale run cannot be certified.
    """
    outcomes = _verify(root, study, data_dir, say)
    refused = []
    for item in outcomes:
        reason = _certify(item)
        if reason is None:
            say(f"{item.run.name}: certified, {certificate.CERTIFICATE_NAME} is written")
        elif item.changes or item.result == "differs":
            refused.append(item.run.name)
            say(f"{item.run.name}: no certificate: {reason}")
        else:
            say(f"{item.run.name}: no certificate: {reason}; it is fresh without one")
    if refused:
        raise UserError(
            f"{', '.join(refused)}: cannot be certified; what is stale stays so until it is "
            f"trained anew: make experiments STUDY={study} FORCE=1"
        )
    return outcomes


def _certify(item: Outcome) -> str | None:
    """Write the certificate, or say why there is none."""
    if item.result != "verified" or item.replay is None:
        return f"the result is '{item.result}', and only the same bits count"
    line = item.replay.miniature
    reason = certificate.objection(item.run, item.changes, line.functions, line.unexecuted or {})
    if reason is None:
        made = certificate.make(item.run, item.replay, item.changes, provenance.now_utc())
        certificate.write(item.run.path.parent, made)
    return reason


def _verify(root: Path, study: str, data_dir: Path, say: Say) -> list[Outcome]:
    plan = config.load_study(root, study)
    if plan.origin == "imported":
        raise UserError(
            f"study {study!r} was imported from logs of another program: there is no code to "
            "execute again"
        )
    runs = list(finished_runs(root, plan))
    if not runs:
        raise UserError(f"study {study!r} has no finished run yet: make experiments STUDY={study}")
    with files.lock(root / "build" / "verify" / study / "lock", what=f"verifying {study!r}"):
        outcomes = []
        for number, run in enumerate(runs, start=1):
            say(f"{number} of {len(runs)}: {run.name} is executed again")
            outcomes.append(verify_run(root, run, data_dir))
            say(_line(outcomes[-1]))
    return outcomes


def finished_runs(root: Path, plan: Study) -> Iterator[Run]:
    """The finished runs of a trained study: in its order, then what else lies in its folder."""
    named = [spec.run for spec in config.run_specs(root, plan)]
    place = root / "results" / "log" / plan.name
    there = sorted(path.parent.name for path in place.glob(f"*/{LOG_NAME}"))
    for name in dict.fromkeys([*named, *there]):
        if name in there:
            run = records.read_run(place / name / LOG_NAME)
            if run.result is not None and run.header.fingerprint is not None:
                yield run


def _line(item: Outcome) -> str:
    """The outcome of one run for people: result, seconds, reasons, what differs first."""
    lines = [f"  {item.result} ({item.seconds:.0f} s)"]
    if item.elsewhere and item.replay is not None:
        lines.append(f"  not the same bits, since other than recorded: {'; '.join(item.elsewhere)}")
        lines.append(f"  largest relative difference of a loss: {item.largest:.1e}")
    code = [change for change in item.changes if change.kind == "code"]
    if code and item.replay is not None:
        names = "; ".join(map(str, code[:3])) + (" …" if len(code) > 3 else "")
        lines.append(f"  its code has changed since: {names}")
    if item.deviations:
        first, more = item.deviations[0], len(item.deviations) - 1
        lines.append(f"  {first}" + (f" (and {more} more)" if more else ""))
    return "\n".join(lines)


# -------------------------------------------------------------------------------------- one run


def verify_run(root: Path, run: Run, data_dir: Path) -> Outcome:
    """Execute one finished run again and compare."""
    began = time.monotonic()
    changes = tuple(fingerprint.changes(root, run))
    settings = [item for item in changes if item.kind in ("config", "data")]
    if settings:
        # other settings are another experiment: nothing has to be executed to know that it differs
        found = tuple(Deviation(f"setting {item.name}", item.old, item.new) for item in settings)
        return Outcome(run=run, result="differs", deviations=found, changes=changes)
    spec = as_recorded(fingerprint.spec_today(root, run.header), run.header)
    gpu = run.header.machine.gpu is not None
    folder = root / "build" / "verify" / spec.study / run.name
    replay = execute(root, Request(spec=spec, gpu=gpu, data_dir=str(data_dir.resolve())), folder)
    elsewhere = tuple(not_as_recorded(run.header, replay.machine, replay.packages))
    deviations = list(_always(run, replay))
    largest = 0.0
    if not elsewhere:
        deviations += _bit_for_bit(run, replay)
    else:
        for step, again in zip(run.steps, replay.steps, strict=False):
            old, new = step.exact("loss"), again.exact("loss")
            apart, allowed = relative(old, new), tolerance.of(spec.model, step.step)
            largest = max(largest, apart)
            if apart > allowed:
                name = f"step {step.step}: loss (relative tolerance {allowed:.1e})"
                deviations.append(Deviation(name, old, new))
    same = "verified within tolerance" if elsewhere else "verified"
    return Outcome(
        run=run,
        result="differs" if deviations else same,  # type: ignore[arg-type]
        elsewhere=elsewhere,
        deviations=tuple(deviations),
        changes=changes,
        replay=replay,
        seconds=time.monotonic() - began,
        largest=largest,
    )


def as_recorded(spec: RunSpec, header: Header) -> RunSpec:
    """``spec`` on the threads and with the cap that the run had."""
    machine = header.machine
    return spec.model_copy(update={"threads": machine.threads, "isa_cap": machine.isa_cap})


def execute(root: Path, request: Request, folder: Path) -> Replay:
    """Execute a run again in a process of its own; ``folder`` holds question and answer.

    Raises:
        UserError: what that process says: no data, no such device.
    """
    asked, answer = folder / "request.json", folder / "replay.json"
    files.write_atomic(asked, request.model_dump_json().encode())
    answer.unlink(missing_ok=True)
    paths = [str(path.resolve()) for path in (asked, answer)]
    command = [sys.executable, "-m", "cnnpaper.learn.replay", *paths]
    done = subprocess.run(
        command,
        cwd=root,
        env=runner.environment_of(request.spec),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 2:
        raise UserError(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{request.spec.run} could not be executed again\n{done.stderr}")
    return Replay.model_validate_json(answer.read_bytes())


def not_as_recorded(header: Header, now: Machine, packages: dict[str, str]) -> Iterator[str]:
    """What decides the last bits and is not what it was when the run was made."""
    then = header.machine
    if then.cpu_family is None and now.cpu_family is None and then.cpu != now.cpu:
        yield f"processor {then.cpu} -> {now.cpu}"
    for name in HARDWARE:
        if (old := getattr(then, name)) != (new := getattr(now, name)):
            yield f"{name} {old} -> {new}"
    for name in PACKAGES:
        if (before := header.packages.get(name)) != (today := packages.get(name)):
            yield f"{name} {before} -> {today}"


# -------------------------------------------------------------------------------------- compare


def _unequal(name: str, logged: Any, again: Any) -> Iterator[Deviation]:
    if logged != again:
        yield Deviation(name, logged, again)


def _always(run: Run, replay: Replay) -> Iterator[Deviation]:
    """What must agree wherever it is executed: nothing here depends on a last bit."""
    header, line = run.header, replay.miniature
    yield from _unequal("network", _flat(header.network), _flat(replay.network))
    yield from _unequal("digest of the data", header.data.digest, replay.data.digest)
    if run.miniature is not None and run.miniature.images_sha256 is not None:
        yield from _unequal("images", run.miniature.images_sha256, line.images_sha256)
    yield from _predictions(run, replay)
    assert run.result is not None
    complete = run.epochs if run.result.status == "finished" else run.epochs[:-1]
    for epoch, plan in zip(complete, replay.epochs, strict=False):
        where = f"epoch {epoch.epoch}"
        yield from _unequal(f"{where}: learning_rate", epoch.learning_rate, plan.learning_rate)
        yield from _unequal(f"{where}: resolution", epoch.resolution, plan.resolution)


def _flat(network: records.Network) -> dict[str, Any]:
    return network.model_dump(mode="json")


def _predictions(run: Run, replay: Replay) -> Iterator[Deviation]:
    """The file of predictions is the recorded one, of these images, and gives the metrics."""
    result, path = run.result, run.path.with_name(PREDICTIONS_NAME)
    if result is None or result.predictions_sha256 is None:
        return
    if not path.is_file():
        raise UserError(f"{path}: not there; restore it from version control")
    if found := list(
        _unequal(PREDICTIONS_NAME, result.predictions_sha256, files.sha256_file(path))
    ):
        yield from found
        return
    saved = predictions.load(path)
    labels = hashlib.sha256(saved.labels.tobytes()).hexdigest()
    yield from _unequal("labels of the test images", labels, replay.test_labels_sha256)
    for name, value in (
        ("test_acc", predictions.accuracy(saved.labels, saved.logits)),
        ("test_acc_tta", predictions.accuracy(saved.labels, saved.logits_tta)),
    ):
        yield from _unequal(name, result.exact(name), value)
    loss, logged = predictions.cross_entropy(saved.labels, saved.logits), result.exact("test_loss")
    # a sum of many terms, which another numpy may add in another order
    if logged is None or not math.isclose(loss, logged, rel_tol=1e-9):
        yield Deviation("test_loss", logged, loss)


def _bit_for_bit(run: Run, replay: Replay) -> Iterator[Deviation]:
    """Everything else that was recorded of the miniature and of the first steps, in its order."""
    recorded, again = run.miniature, replay.miniature
    if recorded is None:
        yield Deviation("miniature", None, "executed")
        return
    logged, found = leaves(recorded.metrics), leaves(again.metrics)
    for name in dict.fromkeys([*logged, *found]):
        yield from _unequal(f"miniature: {name}", logged.get(name), found.get(name))
    yield from _unequal("miniature: state_digest", recorded.state_digest, again.state_digest)
    if recorded.schedule_sha256 is not None:
        yield from _unequal("schedule", recorded.schedule_sha256, again.schedule_sha256)
    yield from _unequal("first steps: how many", len(run.steps), len(replay.steps))
    for step, new in zip(run.steps, replay.steps, strict=False):
        where = f"step {step.step}"
        yield from _unequal(f"{where}: loss", step.exact("loss"), new.exact("loss"))
        yield from _unequal(f"{where}: state_digest", step.state_digest, new.state_digest)


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dictionaries and lists as one, with dotted names; empty ones are absent."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in items:
        found |= leaves(item, f"{name}.{key}" if name else str(key))
    return found


def relative(logged: float | None, again: float | None) -> float:
    """Distance of two losses relative to the first; infinite where one alone is not finite."""
    if logged is None or again is None or not (math.isfinite(logged) and math.isfinite(again)):
        return 0.0 if str(logged) == str(again) else math.inf
    return abs(again - logged) / max(abs(logged), 1e-12)
