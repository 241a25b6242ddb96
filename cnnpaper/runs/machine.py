"""The machine: what it is, what this process may use of it, and how long things take on it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cnnpaper.log import CONTENDED, Machine
from cnnpaper.timings import cpuinfo, native_bfloat16, this_processor

if TYPE_CHECKING:
    import torch

LINUX = sys.platform == "linux"


def prepare_process() -> None:
    """Everything of the process that is set before torch computes.

    The C library keeps what tensors give back: returned to the system, the hundreds of megabytes of
    a step are mapped and cleared again in the next one. Kept, AlexNet's step takes 0.87 of the time
    and GoogLeNet's 0.88 (one thread, Linux 6, glibc 2.36); the bits are the same.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if LINUX else None
    if mallopt is not None:  # musl has none
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        # glibc before 2.35 refuses more than 32 MiB, and any setting ends its own adapting
        if mallopt(mmap_threshold, 2**31 - 1) or mallopt(mmap_threshold, 2**25):
            mallopt(trim_threshold, 2**31 - 1)


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that save the state of a run and stop it."""


@contextlib.contextmanager
def stopped_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let ``handler`` have the signals that stop a run.

    A signal that is ignored stays ignored: nohup wants no end at a hang-up, and a job in the
    background none at Ctrl-C.
    """
    heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def physical_cores() -> int:
    """Physical cores that this process may use: affinity and cgroup quota respected."""
    siblings = set()
    for cpu in os.sched_getaffinity(0) if LINUX else range(os.cpu_count() or 1):
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(path.read_text().strip() if path.is_file() else str(cpu))
    quota = cgroup_cores()
    return max(1, len(siblings) if quota is None else min(len(siblings), int(quota)))


QUOTA = {"": ("cpu.max",), "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us")}
"""Controller of a cgroup, empty in version 2 → the files with quota and period."""


def cgroup_cores(
    proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Cores that this process's cgroup allows, at each level up to the root; None for no limit."""
    found: list[float] = []
    for line in proc.read_text().splitlines() if proc.is_file() else ():
        _, controllers, path = line.split(":", 2)
        parts = (part for part in path.split("/") if part not in ("", ".."))
        for controller in QUOTA.keys() & set(controllers.split(",")):
            group = mount.joinpath(controller, *parts)
            for folder in (group, *group.parents):
                quota = _numbers(*(folder / name for name in QUOTA[controller]))
                if len(quota) == 2 and quota[0] > 0:
                    found.append(quota[0] / quota[1])
    return min(found, default=None)


def _numbers(*files: Path) -> list[int]:
    """The whole numbers in these files; one that is not there has none."""
    found: list[int] = []
    for path in files:
        with contextlib.suppress(OSError):
            found += map(int, re.findall(r"(?<!\S)-?\d+(?!\S)", path.read_text()))
    return found


def describe_machine(device: torch.device) -> Machine:
    """The hardware that a run uses; no name of a host or a user."""
    import torch

    return Machine(
        cpu=cpuinfo().get("model name"),
        processor=this_processor(),
        isa=torch.backends.cpu.get_cpu_capability(),
        native_bfloat16=native_bfloat16(),
        threads=torch.get_num_threads(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    )


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far: on the GPU where it trains there."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _busy_s() -> float | None:
    """CPU seconds that all processes of the machine have used, from /proc/stat."""
    numbers = _numbers(Path("/proc/stat"))
    if len(numbers) < 8:
        return None
    idle, waiting = numbers[3:5]
    return (sum(numbers[:8]) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _clocks() -> tuple[float, float, float]:
    """Seconds of the wall, of this process's CPU, and of the machine's sleep."""
    wall = time.monotonic()
    # CLOCK_MONOTONIC stands still while the machine sleeps, CLOCK_BOOTTIME does not
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - wall if LINUX else 0.0
    return wall, time.process_time(), asleep


SUSPENDED_S = 2.0
SUSPENDED_CPU = 0.1
"""A lap of more seconds in which this process used less CPU than this fraction was suspended
(SIGSTOP, a debugger); while the machine sleeps, the clock does not run at all."""


@dataclass(kw_only=True)
class Stopwatch:
    """Adds up the spans between :meth:`start` and :meth:`stop`, in seconds."""

    wall_s: float = 0.0  # suspension left out
    cpu_s: float = 0.0  # of this process, all threads
    other_cpu_s: float | None = 0.0  # of all other processes; None where the system does not tell
    suspended_s: float = 0.0

    def start(self) -> None:
        """A span starts."""
        self._busy, self._cpu, self._last = _busy_s(), self.cpu_s, _clocks()

    def lap(self) -> None:
        """A step of the span ends; called often, so that a suspension shows."""
        before, self._last = self._last, _clocks()
        wall, used, asleep = (now - then for now, then in zip(self._last, before, strict=True))
        stopped = wall - used if wall > SUSPENDED_S and used < SUSPENDED_CPU * wall else 0.0
        self.wall_s += wall - stopped
        self.cpu_s += used
        self.suspended_s += stopped + (asleep if asleep > 0.1 else 0.0)

    def stop(self) -> None:
        """The span ends."""
        self.lap()
        busy = _busy_s()
        if busy is None or self._busy is None or self.other_cpu_s is None:
            self.other_cpu_s = None
        else:
            # clock ticks are coarse, so a single span may come out a little below zero
            self.other_cpu_s += busy - self._busy - (self.cpu_s - self._cpu)

    @property
    def contended(self) -> bool:
        """Did other processes take more of the CPU than can be neglected?"""
        return bool(self.cpu_s) and (self.other_cpu_s or 0.0) > CONTENDED * self.cpu_s
