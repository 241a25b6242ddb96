"""Runs are started here: each trained once, by one process, on one device.

:func:`train_run` does one run in this process, :func:`train_study` the missing ones of a study,
each in a process of its own. Torch is imported only when a run really starts, so that everything
wrong with the input is said before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnnpaper import files, fingerprint, tuning
from cnnpaper.config import RunSpec
from cnnpaper.files import Interrupted, InUse, UserError
from cnnpaper.log import again
from cnnpaper.runs import machine
from cnnpaper.runs.progress import PLACE

if TYPE_CHECKING:
    import torch

Estimate = Callable[[RunSpec], float | None]
"""Seconds that a run takes; None where that is not known."""
Running = dict[str, tuple[RunSpec, subprocess.Popen[bytes]]]
"""Device → the run that it does, and its process."""
POLL_S = 0.1


def devices_of(gpus: str) -> list[str]:
    """The devices that ``--gpus`` names: ``auto``, ``cpu``, ``0``, ``0,1``.

    ``cpu:0,cpu:1`` lets two runs share the one CPU. A :class:`UserError` refuses anything else.
    """
    names = [part.strip() for part in gpus.split(",")]
    for name in names:
        if not re.fullmatch("auto|cpu(:[0-9]+)?|[0-9]+", name):
            remedy = "give auto, cpu, the number of a GPU, or several numbers as 0,1"
            raise UserError(f"--gpus {gpus}: {name!r} is no device; {remedy}")
    if len(set(names)) < len(names) or ("auto" in names and len(names) > 1):
        raise UserError(f"--gpus {gpus}: each device is named once, and auto stands alone")
    return names


def torch_device(name: str) -> torch.device:
    """The device behind a name of :func:`devices_of`; a :class:`UserError` where there is none."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    if name.startswith("cpu"):
        return torch.device("cpu")
    if int(name) >= count:
        found = f"there is no GPU {name} ({count} found)"
        raise UserError(f"--gpus {name}: {found}; use --gpus cpu or auto")
    return torch.device(f"cuda:{int(name)}")


def unfinished(root: Path, specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Those runs whose log does not end with a result."""
    return [spec for spec in specs if tuning.finished(spec.folder(root)) is None]


def need_torch() -> None:
    """Refuse before several processes do so each for itself; the command line has the remedy."""
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError(name="torch")


def train_run(
    spec: RunSpec, *, root: Path, data_dir: Path, device: str = "auto", force: bool = False
) -> None:
    """Do one run: start it, resume it, or say that it is finished.

    Args:
        spec, root, data_dir: what to train, in which repository, with which images.
        device: a name of :func:`devices_of`.
        force: start over; the old log is kept as ``run.jsonl.N``.

    Raises:
        UserError: wrong data, a device that is not there, a log of another configuration.
        Interrupted: a signal asked to stop; the state is saved.
    """
    if not force and _said_finished(root, spec):
        return
    fingerprint.of_spec(root, spec)
    machine.prepare_process()
    where = torch_device(device)
    with (
        files.lock(spec.folder(root) / "run.lock", what=f"the run {spec.path}"),
        device_lock(device, where),
    ):
        # another process may have finished it while this one waited for the device
        if not force and _said_finished(root, spec):
            return
        from cnnpaper.runs.recorder import record

        record(spec, root=root, data_dir=data_dir, device=where, force=force)


def _said_finished(root: Path, spec: RunSpec) -> bool:
    """Is there nothing to do? Then how to do it again is printed."""
    run = tuning.finished(spec.folder(root))
    if run is None or run.result is None:
        return False
    found = fingerprint.freshness(root, run, spec)
    stale = f", but stale ({found.why[0]})" if found.state == "stale" else ""
    over = again(spec, FORCE=1)
    _say(f"{spec.path}: {run.result.status}{stale}; to start over (the old log is kept): {over}")
    return True


@contextlib.contextmanager
def device_lock(name: str, device: torch.device) -> Iterator[None]:
    """Wait until the device is free: one run, or one measurement, at a time uses it.

    The lock is of this host, not of the repository, which a cluster's nodes may share; inside a
    Slurm job the device has been given to the job alone.
    """
    if os.environ.get("SLURM_JOB_ID"):
        yield
        return
    slot = f"gpu{device.index}" if device.type == "cuda" else name.replace("auto", "cpu")
    folder = Path(tempfile.gettempdir()) / f"cnnpaper-{os.getuid()}-{socket.gethostname()}"
    lock = partial(files.lock, folder / f"{slot.replace(':', '-')}.lock", what=f"device {slot}")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock())
        except InUse as busy:
            _say(f"{str(busy).splitlines()[0]}; waiting for it")
            stack.enter_context(lock(wait=True))
        yield


def train_study(
    missing: Sequence[RunSpec],
    *,
    root: Path,
    data_dir: Path,
    devices: Sequence[str] = ("auto",),
    force: bool = False,
    until: float | None = None,
    estimate: Estimate = lambda _: None,
    more: Callable[[], Sequence[RunSpec]] = tuple,
) -> None:
    """Do the runs that are missing, in order, each on the first device that is free.

    Args:
        missing, root, data_dir, force: as for :func:`train_run`.
        devices: names of :func:`devices_of`.
        until: time (as ``time.time``) after which no run may end, by its estimate.
        estimate: of a run.
        more: asked for more runs when all are done, as a tuning study decides by what is there.

    Raises:
        UserError: some runs failed; the others were done all the same.
        Interrupted: a signal asked to stop; every run under way saved its state.
    """
    need_torch()
    waiting, known = list(missing), {spec.path for spec in missing}
    running: Running = {}
    failed: list[str] = []
    asked: list[int] = []
    """The signals that asked to stop."""
    told = 0

    def start(spec: RunSpec, device: str) -> None:
        needs = estimate(spec)
        if until is not None and time.time() + (needs or 0) > until:
            _say(f"{spec.path}: not started, since it would end too late")
            return
        number, total = len(known) - len(waiting), len(known)
        cost = f", about {needs / 60:.0f} minutes" if needs else ""
        _say(f"run {number} of {total}: {spec.path}{cost}")
        after = work_after(spec, waiting, estimate) / len(devices)
        place = {PLACE: f"{number} {total} {after:.3f}"}
        call = command(spec, data_dir, device, force)
        running[device] = spec, subprocess.Popen(call, cwd=root, env=os.environ | place)

    with machine.stopped_by(lambda number, _: asked.append(number)):
        while running or (waiting and not asked):
            for device in devices:
                while waiting and not asked and device not in running:
                    spec = waiting.pop(0)
                    try:
                        start(spec, device)
                    except (UserError, OSError) as error:  # the other runs are done all the same
                        failed.append(f"{spec.path}: {error}")
            stop, told = told < len(asked), len(asked)
            for spec, status in _ended(running, stop):
                if status and not asked:
                    failed.append(f"{spec.path}: {why_ended(status, force)}")
            if not (running or waiting or asked or failed):
                waiting = [spec for spec in more() if spec.path not in known]
                known |= {spec.path for spec in waiting}
    if asked:
        raise Interrupted(asked[-1], f"stopped; {_resumes(force)}")
    if failed:
        raise UserError("\n".join([f"{len(failed)} runs not finished:", *failed[:4]]))


def _ended(running: Running, stop: bool) -> Iterator[tuple[RunSpec, int]]:
    """Wait a moment; the runs that have ended leave ``running``, with their exit status."""
    for _, child in running.values() if stop else ():
        # Ctrl-C reaches the whole foreground group; a second signal does no harm
        child.send_signal(signal.SIGTERM)
    time.sleep(POLL_S)
    for device, (spec, child) in list(running.items()):
        if (status := child.poll()) is not None:
            del running[device]
            yield spec, status


def work_after(spec: RunSpec, later: Sequence[RunSpec], estimate: Estimate) -> float:
    """As much work as how many runs like this one comes after it? One each where times fail."""
    times = [estimate(one) or 0.0 for one in (spec, *later)]
    return sum(times[1:]) / times[0] if all(times) else len(later)


def _say(text: str) -> None:
    """A line for people; a reader that has gone away is no reason to stop."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _resumes(force: bool) -> str:
    return f"the same command {'without force ' * force}resumes"


def why_ended(status: int, force: bool = False) -> str:
    """What the exit status of a run means, with a remedy."""
    if status == -signal.SIGKILL:
        return (
            "killed (signal 9), as the system does when memory runs out; close other programs, "
            "or give each step fewer images (batch_size) in a study of your own"
        )
    if status < 0:
        return f"ended by signal {-status} ({signal.strsignal(-status)}); {_resumes(force)}"
    return f"exit status {status}; its message is above"


def command(spec: RunSpec, data_dir: Path, device: str, force: bool) -> list[str]:
    """A process of its own for each run: its memory and threads are its own."""
    return [
        *(sys.executable, "-m", "cnnpaper", "train"),
        *("--study", spec.study, "--model", spec.model, "--seeds", str(spec.seed)),
        *("--gpus", device, "--data-dir", str(data_dir.resolve())),
        *(("--arm", spec.arm) if spec.arm else ()),
        *(("--variant", spec.variant) if spec.variant else ()),
        *(("--force",) if force else ()),
    ]
