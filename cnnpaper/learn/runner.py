"""Runs: each trained once, by one process, on one device, with a log that nothing can break.

:func:`train_run` does one run, :func:`train_study` all the missing ones of a study. Torch is
imported only when a run really starts, so that everything wrong with the input is said before.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnpaper import files, fingerprint
from cnnpaper.config import RunSpec, Study, run_folder
from cnnpaper.errors import Interrupted, UserError
from cnnpaper.records import LOG_NAME, Run, read_run
from cnnpaper.status import memory_remark

if TYPE_CHECKING:
    import torch

SLOT = re.compile(r"^(cpu|[0-9]+)(:[0-9]+)?$")


def devices_of(gpus: str) -> list[str]:
    """The devices that ``--gpus`` names: ``auto``, ``cpu``, ``0``, ``0,1``.

    ``cpu:0,cpu:1`` are two slots of the one CPU, for two runs at a time.

    Raises:
        UserError: not such a list, or a name twice.
    """
    names = [part.strip() for part in gpus.split(",")]
    for name in names:
        if name != "auto" and not SLOT.match(name):
            raise UserError(
                f"--gpus {gpus}: {name!r} is no device; "
                "give auto, cpu, the number of a GPU, or several numbers as 0,1"
            )
    if len(set(names)) < len(names) or ("auto" in names and len(names) > 1):
        raise UserError(f"--gpus {gpus}: each device is named once, and auto stands alone")
    return names


def torch_device(name: str) -> torch.device:
    """The device behind a name of :func:`devices_of`.

    Raises:
        UserError: there is no such GPU.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    if name.startswith("cpu"):
        return torch.device("cpu")
    if int(name) >= count:
        found = f"GPUs 0 to {count - 1} are there" if count > 1 else f"{count} found"
        raise UserError(f"--gpus {name}: there is no GPU {name} ({found}); use --gpus cpu or auto")
    return torch.device(f"cuda:{int(name)}")


CAPS = {"avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}}
"""What libraries read, when they are loaded, to hold them to an instruction set."""


def set_environment(spec: RunSpec) -> None:
    """Everything of the process that is set before torch is loaded."""
    set_libraries(spec)
    keep_freed_memory()


def set_libraries(spec: RunSpec) -> None:
    """What libraries read when they are loaded: the cap on instructions, and CUDA's needs."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products
    if spec.isa_cap == "avx2":
        if "torch" in sys.modules and os.environ.get("ATEN_CPU_CAPABILITY") != "avx2":
            raise UserError("the cap on the instruction set must be set before torch is loaded")
        os.environ.update(CAPS[spec.isa_cap])


def keep_freed_memory() -> None:
    """Let the C library keep what tensors give back, instead of returning it to the system.

    A step frees and asks for the same hundreds of megabytes; glibc maps each large block anew, and
    the system clears every page of it. Kept, AlexNet's step takes 0.87 of the time and GoogLeNet's
    0.88 (one thread, Linux 6, glibc 2.36); the bits are the same.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        # glibc before 2.35 refuses more than 32 MiB, and any setting ends its own adapting
        if mallopt(mmap_threshold, 2**31 - 1) or mallopt(mmap_threshold, 2**25):
            mallopt(trim_threshold, 2**31 - 1)


def environment_of(spec: RunSpec) -> dict[str, str]:
    """The environment of a process that executes ``spec``, whatever that of this one is."""
    own = {name for cap in CAPS.values() for name in cap} | {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    kept.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return kept | CAPS.get(spec.isa_cap or "", {})


# ------------------------------------------------------------------------------- what is there


def finished(root: Path, spec: RunSpec) -> Run | None:
    """The run's log where it ends with a result, else None; a log that is cut off is unfinished."""
    path = run_folder(root, spec.study, spec.run) / LOG_NAME
    if not path.exists() or not path.read_bytes().endswith(b"\n"):
        return None
    run = read_run(path)
    return run if run.result is not None else None


def explain_finished(root: Path, spec: RunSpec, run: Run) -> str:
    """Why there is nothing to do, and how to do it again."""
    assert run.result is not None
    status = run.result.status
    again = "FORCE=1 trains it anew and keeps the old log"
    if changed := fingerprint.run_differences(root, run):
        return f"{spec.study}/{spec.run} is {status}, but stale ({changed[0]}); {again}"
    return f"{spec.study}/{spec.run} is {status}; {again}"


# ------------------------------------------------------------------------------------- one run


def train_run(
    spec: RunSpec, *, root: Path, data_dir: Path, device: str = "auto", force: bool = False
) -> None:
    """Do one run: begin it, go on with it, or say that it is finished.

    Args:
        spec: what to train.
        root: of the repository; the log goes to ``results/log/STUDY/RUN``.
        data_dir: where the images are.
        device: a name of :func:`devices_of`.
        force: begin anew; the old log is kept as ``run.jsonl.N``.

    Raises:
        UserError: wrong data, a device that is not there, a log of another configuration.
        Interrupted: a signal asked to stop; the state is saved.
    """
    if not force and (run := finished(root, spec)) is not None:
        print(explain_finished(root, spec, run))
        return
    folder = run_folder(root, spec.study, spec.run)
    set_environment(spec)
    where = torch_device(device)
    with (
        files.lock(folder / "run.lock", what=f"the run {spec.study}/{spec.run}"),
        turn(root, slot_of(device, where), spec.run),
    ):
        # another process may have finished it while this one waited for the device
        if not force and (run := finished(root, spec)) is not None:
            print(explain_finished(root, spec, run))
            return
        if where.type == "cpu":
            print(memory_remark(root, spec), flush=True)
        from cnnpaper.learn.recorder import record

        record(spec, root=root, data_dir=data_dir, device=where, force=force)


def slot_of(name: str, device: torch.device) -> str:
    """What of the machine a run on ``device``, called ``name``, takes for itself."""
    return f"gpu{device.index}" if device.type == "cuda" else name.replace("auto", "cpu")


@contextlib.contextmanager
def turn(root: Path, slot: str, run: str) -> Iterator[None]:
    """Wait until the device is free: one run, or one measurement, at a time uses it.

    Args:
        root: of the repository.
        slot: ``cpu``, ``cpu:1``, ``gpu0``.
        run: who waits, for the message.
    """
    path = root / "build" / "locks" / f"{slot.replace(':', '-')}.lock"
    said = False
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(files.lock(path, what=f"device {slot}"))
            except UserError as busy:
                if not said:
                    owner = str(busy).split("\n", 1)[0]
                    print(f"{run}: {owner}; waiting for it", flush=True)
                    said = True
            else:
                yield
                return
        time.sleep(1)


# ----------------------------------------------------------------------------------- all of them


def train_study(
    specs: Sequence[RunSpec],
    *,
    root: Path,
    data_dir: Path,
    devices: Sequence[str] = ("auto",),
    force: bool = False,
) -> None:
    """Do the runs of a study that are not finished, each on the first device that is free.

    Raises:
        UserError: some runs failed; the others were done all the same.
        Interrupted: a signal asked to stop; every run under way saved its state.
    """
    waiting: queue.SimpleQueue[RunSpec] = queue.SimpleQueue()
    for spec in specs:
        if not force and (run := finished(root, spec)) is not None:
            print(explain_finished(root, spec, run))
        else:
            waiting.put(spec)
    failed: list[str] = []
    with Children() as children:

        def work(device: str) -> None:
            with contextlib.suppress(queue.Empty):
                while not children.stopped:
                    spec = waiting.get_nowait()
                    if children.run(_command(spec, data_dir, device, force), cwd=root) != 0:
                        failed.append(spec.run)

        threads = [threading.Thread(target=work, args=(device,)) for device in devices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if children.stopped:
        raise Interrupted(children.stopped, "stopped; the same command goes on from here")
    if failed:
        raise UserError(f"not finished: {', '.join(failed)}; the messages above say why")


def _command(spec: RunSpec, data_dir: Path, device: str, force: bool) -> list[str]:
    """A process of its own for each run: its memory, threads and instruction set are its own."""
    command = [
        *(sys.executable, "-m", "cnnpaper", "train"),
        *("--study", spec.study, "--model", spec.model, "--seed", str(spec.seed)),
        *("--gpus", device, "--data-dir", str(data_dir.resolve())),
        *(("--variant", spec.variant) if spec.variant else ()),
    ]
    return [*command, "--force"] if force else command


def time_study(plan: Study, *, root: Path, data_dir: Path, device: str, repetitions: int) -> None:
    """Measure every network of a study, each in a process of its own: its peak memory is its own.

    Raises:
        UserError: some network could not be measured; the others were all the same.
        Interrupted: a signal asked to stop.
    """
    failed = []
    with Children() as children:
        for model in plan.networks:
            command = [
                *(sys.executable, "-m", "cnnpaper", "timing", "--study", plan.name),
                *("--model", model, "--repetitions", str(repetitions)),
                *("--gpus", device, "--data-dir", str(data_dir.resolve())),
            ]
            if children.run(command, cwd=root) != 0:
                failed.append(model)
    if children.stopped:
        raise Interrupted(children.stopped, "stopped; what was measured is kept")
    if failed:
        raise UserError(f"not measured: {', '.join(failed)}; the messages above say why")


class Children:
    """Processes that are told to stop when this one is."""

    def __init__(self) -> None:
        self.stopped = 0
        """The signal that asked to stop, or 0."""
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.RLock()  # the handler may come while the main thread holds it

    def __enter__(self) -> Children:
        self._before = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        self.stopped = number
        with self._lock:
            for child in self._running:
                # Ctrl-C reaches the whole foreground group; a second signal does no harm
                child.send_signal(signal.SIGTERM)

    def run(self, command: list[str], cwd: Path) -> int:
        """Start a process, wait for it, and return its exit status."""
        with self._lock:
            if self.stopped:
                return 0
            child = subprocess.Popen(command, cwd=cwd)
            self._running.add(child)
        status = child.wait()
        with self._lock:
            self._running.discard(child)
        return status
