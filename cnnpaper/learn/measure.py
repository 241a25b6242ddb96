"""The machine: what it is, how fast it is now, and how long things take on it."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from cnnpaper.records import Machine

PROBE_SIDE = 2048


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
    return max(1, min(len(siblings), _cgroup_cores() or len(siblings)))


def _cgroup_cores() -> int | None:
    """Whole cores of the cgroup's quota, or None where there is none."""
    path = Path("/sys/fs/cgroup/cpu.max")
    if not path.is_file():
        return None
    quota, period = path.read_text().split()
    return None if quota == "max" else max(1, int(quota) // int(period))


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {"model name": platform.processor() or platform.machine()}
    first = path.read_text().split("\n\n")[0]
    return {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in first.splitlines())
    }


def machine(device: torch.device, isa_cap: str | None) -> Machine:
    """The hardware that a run uses; no name of a host or a user."""
    info = _cpuinfo()

    def number(key: str) -> int | None:
        return int(info[key]) if re.fullmatch(r"\d+", info.get(key, "")) else None

    return Machine(
        cpu=info.get("model name"),
        cpu_family=number("cpu family"),
        cpu_model=number("model"),
        cpu_stepping=number("stepping"),
        isa=torch.backends.cpu.get_cpu_capability(),
        isa_cap=isa_cap,
        threads=torch.get_num_threads(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    )


def probe_gflops(side: int = PROBE_SIDE) -> float:
    """Speed of a product of two square float32 matrices in 10^9 FLOP a second, the best of three.

    Args:
        side: rows and columns of either matrix.
    """
    a = torch.full((side, side), 0.5)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far: on the GPU where it trains there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    text = status.read_text() if status.is_file() else ""
    # not getrusage where that can be helped: after exec it still counts the program before
    if found := re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE):
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _busy_s() -> float | None:
    """CPU seconds that all processes of the machine have used, from /proc/stat."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(
        int, path.read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@dataclass(kw_only=True)
class Stopwatch:
    """Adds up the spans between :meth:`start` and :meth:`stop`, in seconds."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """CPU seconds of this process, all threads."""
    other_cpu_s: float | None = 0.0
    """CPU seconds of all other processes; None where the system does not tell."""

    def start(self) -> None:
        self._wall, self._cpu, self._busy = time.perf_counter(), time.process_time(), _busy_s()

    def stop(self) -> None:
        busy, cpu, wall = _busy_s(), time.process_time(), time.perf_counter()
        self.wall_s += wall - self._wall
        self.cpu_s += cpu - self._cpu
        if busy is None or self._busy is None or self.other_cpu_s is None:
            self.other_cpu_s = None
        else:
            # clock ticks are coarse, so a single span may come out a little below zero
            self.other_cpu_s += (busy - self._busy) - (cpu - self._cpu)
