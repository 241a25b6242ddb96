"""The machine: what it is, what this process may use of it, and how long things take on it."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnpaper.log import CONTENDED, Machine

if TYPE_CHECKING:
    import torch

# ------------------------------------------------------------------------- before torch is loaded


def prepare_process() -> None:
    """Everything of the process that is set before torch is loaded."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let the C library keep what tensors give back, instead of returning it to the system.

    A step frees and asks for the same hundreds of megabytes; glibc maps each large block again, and
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


# ------------------------------------------------------------------------------ cores and memory


def physical_cores() -> int:
    """Physical cores that this process may use: affinity and cgroup quota respected."""
    allowed = (
        os.sched_getaffinity(0)
        if hasattr(os, "sched_getaffinity")
        else set(range(os.cpu_count() or 1))
    )
    siblings = set()
    for cpu in allowed:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(path.read_text().strip() if path.is_file() else str(cpu))
    quota = cgroup_limits()[0]
    return max(1, len(siblings) if quota is None else min(len(siblings), int(quota)))


def memory_limit() -> int:
    """Bytes that this process may use: the machine's memory or a smaller limit of its cgroup."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(there, cgroup_limits()[1] or there)


def cgroup_limits(
    proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> tuple[float | None, int | None]:
    """(cores, bytes of memory) that this process's cgroup allows; None for no limit.

    Each level up to the root counts, in version 2 and in version 1.
    """
    cores: list[float] = []
    memory: list[int] = []
    text = proc.read_text() if proc.is_file() else ""
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        for folder in _levels(path):
            if number == "0" and not controllers:
                quota = _words(mount / folder / "cpu.max")
                if len(quota) == 2 and quota[0] != "max":
                    cores.append(int(quota[0]) / int(quota[1]))
                memory += _number(mount / folder / "memory.max")
            if "cpu" in names:
                limit = _number(mount / "cpu" / folder / "cpu.cfs_quota_us")
                period = _number(mount / "cpu" / folder / "cpu.cfs_period_us")
                if limit and period and limit[0] > 0:
                    cores.append(limit[0] / period[0])
            if "memory" in names:
                memory += _number(mount / "memory" / folder / "memory.limit_in_bytes")
    return min(cores, default=None), min((m for m in memory if m < 2**60), default=None)


def _levels(path: str) -> list[str]:
    """``/a/b`` → ``a/b``, ``a`` and the root."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _number(path: Path) -> list[int]:
    return [int(word) for word in _words(path)[:1] if re.fullmatch(r"-?\d+", word)]


# ---------------------------------------------------------------------------------- what it is


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {"model name": platform.processor() or platform.machine()}
    first = path.read_text().split("\n\n")[0]
    return {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in first.splitlines())
    }


def describe_machine(device: torch.device) -> Machine:
    """The hardware that a run uses; no name of a host or a user."""
    import torch

    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    known = "vendor_id" in info and "cpu family" in info and "model" in info
    return Machine(
        cpu=info.get("model name"),
        processor=f"{info['vendor_id']} {info['cpu family']}-{info['model']}"
        if known
        else info.get("model name"),
        isa=torch.backends.cpu.get_cpu_capability(),
        native_bfloat16=bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
        threads=torch.get_num_threads(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    )


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far: on the GPU where it trains there."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    text = status.read_text() if status.is_file() else ""
    # not getrusage where that can be helped: after exec it still counts the program before
    if found := re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE):
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --------------------------------------------------------------------------------- how long


def _busy_s() -> float | None:
    """CPU seconds that all processes of the machine have used, from /proc/stat."""
    words = _words(Path("/proc/stat"))[1:9]
    if len(words) < 8:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, words)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


SUSPENDED_S = 2.0
SUSPENDED_CPU = 0.1
"""A lap of more seconds in which this process used less CPU than this fraction was suspended
(SIGSTOP, a debugger); while the machine sleeps, the clock does not run at all."""


@dataclass(kw_only=True)
class Stopwatch:
    """Adds up the spans between :meth:`start` and :meth:`stop`, in seconds."""

    wall_s: float = 0.0
    """Suspension left out."""
    cpu_s: float = 0.0
    """CPU seconds of this process, all threads."""
    other_cpu_s: float | None = 0.0
    """CPU seconds of all other processes; None where the system does not tell."""
    suspended_s: float = 0.0

    def start(self) -> None:
        """A span starts."""
        self._busy = _busy_s()
        self._lap()
        self._cpu = self._last_cpu

    def _lap(self) -> None:
        # CLOCK_MONOTONIC stands still while the machine sleeps, CLOCK_BOOTTIME does not
        self._last, self._last_cpu = time.monotonic(), time.process_time()
        self._boot = time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else 0.0

    def lap(self) -> None:
        """A step of the span ends; called often, so that a suspension shows."""
        last, cpu, boot = self._last, self._last_cpu, self._boot
        self._lap()
        wall, used = self._last - last, self._last_cpu - cpu
        asleep = max(0.0, self._boot - boot - wall) if sys.platform == "linux" else 0.0
        stopped = wall - used if wall > SUSPENDED_S and used < SUSPENDED_CPU * wall else 0.0
        self.wall_s += wall - stopped
        self.suspended_s += stopped + (asleep if asleep > 0.1 else 0.0)

    def stop(self) -> None:
        """The span ends."""
        self.lap()
        self.cpu_s += (cpu := self._last_cpu - self._cpu)
        busy = _busy_s()
        if busy is None or self._busy is None or self.other_cpu_s is None:
            self.other_cpu_s = None
        else:
            # clock ticks are coarse, so a single span may come out a little below zero
            self.other_cpu_s += (busy - self._busy) - cpu

    @property
    def contended(self) -> bool:
        """Did other processes take more of the CPU than can be neglected?"""
        return bool(self.cpu_s) and (self.other_cpu_s or 0.0) > CONTENDED * self.cpu_s
