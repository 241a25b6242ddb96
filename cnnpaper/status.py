"""``status``: which runs of a study are done, which are missing, and what those will cost.

A cost is an estimate from epochs that were logged before, in this order: of the same network on
this kind of machine; of other networks on it, scaled by what networks cost relative to each other;
the same from any machine. Where nothing was logged the cost is unknown, and said to be.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tabulate import tabulate

from cnnpaper import config, fingerprint, records, schedule, textlog

RELATIVE_COST = {
    "alexnet": 400,
    "vgg16": 580,
    "googlenet": 1000,
    "resnet18": 1030,
    "resnet50": 2950,
    "densenet121": 2490,
    "mobilenet_v2": 520,
}
"""Training seconds of the networks relative to each other: those of one epoch of 45,000 images at
32 pixels on two cores with AVX2, once measured. A network that is not here costs unknown."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What decides how much memory the training of a network takes."""

    activations: int
    """Bytes that one image of 32 x 32 pixels leaves for the backward pass."""
    parameters: int


NEEDS = {
    "alexnet": Need(activations=1_020_209, parameters=28_711_754),
    "vgg16": Need(activations=2_615_857, parameters=14_728_266),
    "googlenet": Need(activations=13_220_337, parameters=5_602_474),
    "resnet18": Need(activations=4_719_409, parameters=11_173_962),
    "resnet50": Need(activations=25_620_273, parameters=23_520_842),
    "inception_v3": Need(activations=8_303_921, parameters=21_806_058),
    "mobilenet_v2": Need(activations=19_137_201, parameters=2_236_682),
    "densenet121": Need(activations=40_455_601, parameters=6_956_426),
}
"""Counted from the networks; a test counts them again."""
PROCESS_BYTES = 1.2 * 2**30
"""A process with torch in it, its work space included; seen in the runs of four networks."""
IMAGE_BYTES = 12_000
"""Of one training image: as it was read, and padded, with what making both takes."""
LEAST_BATCH = 128
"""Runs with smaller batches were not seen to need less: evaluation takes more images at once."""
PARAMETER_BYTES = 16
"""Weight, gradient, momentum and the best epoch's weight, float32."""


def incomplete_message(study: str, run: str, model: str, done: int, planned: int) -> str:
    """The sentence for a run without a result, with the target that finishes it."""
    epochs = "epoch" if planned == 1 else "epochs"
    return f"{run} is incomplete ({done} of {planned} {epochs}): make {model} STUDY={study}"


def status(root: Path, study: str) -> str:
    """The state of every run of a study as a table, and the make target that does the rest.

    Raises:
        UserError: no such study, or a mistake in its files; a damaged log is shown, not raised.
    """
    plan = config.load_study(root, study)
    rows, costs = study_rows(root, plan), Costs(root)
    return "\n".join([_table(rows, costs), "", *_remarks(plan, rows, costs)]) + "\n"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The state of one run."""

    run: str
    model: str
    state: str
    """``done``, ``diverged``, ``cut off``, ``stale``, ``running``, ``incomplete``, ``missing`` or
    ``damaged``."""
    progress: str = ""
    """``1 of 3`` epochs, of a run without a result."""
    remark: str | None = None
    """A sentence for people, where the state needs one."""
    changes: tuple[fingerprint.Difference, ...] = ()
    """What changed since a stale run was made."""
    log: records.Run | None = None
    to_do: tuple[int, ...] = ()
    """Side in pixels of the training images of each epoch that is still to be trained."""
    spec: config.RunSpec | None = None
    """None for runs that were imported."""


# ----------------------------------------------------------------------------------- states


def study_rows(root: Path, plan: config.Study) -> list[Row]:
    """One row a run: of a trained study those that it names, else those in its folder."""
    if plan.origin == "imported":
        folder = root / "results" / "log" / plan.name
        rows = [_imported_row(path) for path in sorted(folder.glob(f"*/{records.LOG_NAME}"))]
        place = {model: number for number, model in enumerate(plan.networks)}
        return sorted(rows, key=lambda row: place.get(row.model, len(place)))
    return [_trained_row(root, spec) for spec in config.run_specs(root, plan)]


def _imported_row(path: Path) -> Row:
    name = path.parent.name
    model = name.partition("-")[0]
    try:
        log = records.read_run(path)
    except records.LogError as error:
        return Row(run=name, model=model, state="damaged", remark=str(error))
    state = "incomplete" if log.result is None else log.result.status
    return Row(run=name, model=model, state="done" if state == "finished" else state, log=log)


def _trained_row(root: Path, spec: config.RunSpec) -> Row:
    path = config.run_folder(root, spec.study, spec.run) / records.LOG_NAME
    sides = _sides(spec)
    if not os.path.lexists(path):
        return Row(run=spec.run, model=spec.model, state="missing", to_do=sides, spec=spec)
    try:
        log = records.read_run(path)
        _check_place(log, spec)
    except records.LogError as error:
        return Row(run=spec.run, model=spec.model, state="damaged", remark=str(error), spec=spec)
    row = Row(run=spec.run, model=spec.model, state="done", log=log, spec=spec)
    if log.result is None:
        done, planned = len(log.epochs), textlog.planned_epochs(log)
        progress = f"{done} of {planned}"
        if _is_running(path.with_name("run.lock")):
            return replace(row, state="running", progress=progress, to_do=sides[done:])
        remark = incomplete_message(spec.study, spec.run, spec.model, done, planned)
        return replace(
            row, state="incomplete", progress=progress, remark=remark, to_do=sides[done:]
        )
    if changes := tuple(fingerprint.run_differences(root, log)):
        return replace(row, state="stale", changes=changes, to_do=sides)
    return row if log.result.status == "finished" else replace(row, state=log.result.status)


def _check_place(log: records.Run, spec: config.RunSpec) -> None:
    header = log.header
    name = config.run_name(header.model, header.variant, header.seed)
    if (header.study, name) != (spec.study, spec.run):
        raise records.LogError(
            f"{log.path}:1: the log of {name} of study {header.study!r} lies in the folder of "
            f"{spec.run} of study {spec.study!r}"
        )


def _is_running(lock: Path) -> bool:
    """Does a process hold this lock? Only Linux says so to those who do not try to take it."""
    table = Path("/proc/locks")
    if not lock.is_file() or not table.is_file():
        return False
    inode = f":{lock.stat().st_ino}"
    held = [line.split() for line in table.read_text().splitlines()]
    return any("FLOCK" in fields and fields[-3].endswith(inode) for fields in held)


def _sides(spec: config.RunSpec) -> tuple[int, ...]:
    """Side of the training images in pixels, epoch by epoch, as the recipe has it."""
    return tuple(schedule.resolution(spec, epoch) for epoch in range(spec.epochs))


# ----------------------------------------------------------------------------------- costs


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds per image that were logged for one network: training at 32 pixels, evaluation."""

    train_s: float
    eval_s: float


def this_machine() -> tuple[str | None, frozenset[str]]:
    """Names of the processor and of the GPUs, as far as they are known without torch."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    gpus = Path("/proc/driver/nvidia/gpus").glob("*/information")
    lines = [line for path in gpus for line in path.read_text().splitlines()]
    return cpu, frozenset(
        line.partition(":")[2].strip() for line in lines if line.startswith("Model:")
    )


@dataclass
class Costs:
    """Estimates from the logs of all studies, which are read at the first estimate."""

    root: Path
    here: tuple[str | None, frozenset[str]] = field(default_factory=this_machine)
    """Processor and GPUs of this machine."""

    def estimate(self, row: Row) -> float | None:
        """Seconds that the rest of a run will take, or None where nothing is known."""
        spec = row.spec
        if spec is None or not row.to_do:
            return None
        near = [log for log in self._logs if self._alike(log, spec)]
        pace = _pace(spec.model, near) or _pace(spec.model, self._logs)
        if pace is None:
            return None
        # the time of a convolution grows with the area of the image
        train = sum((side / 32) ** 2 for side in row.to_do) * spec.data.train_images * pace.train_s
        return train + len(row.to_do) * spec.data.validation_images * pace.eval_s

    @cached_property
    def _logs(self) -> list[records.Run]:
        paths = sorted((self.root / "results" / "log").glob(f"*/*/{records.LOG_NAME}"))
        return [log for path in paths if (log := _readable(path)) is not None]

    def memory(self, spec: config.RunSpec) -> float | None:
        """Bytes that a run on the CPU will hold at most, or None where nothing is known.

        As much as its network took before with as many images and steps as large, else an estimate
        from what the network keeps for the backward pass.
        """
        peaks = [peak for log in self._logs if (peak := _peak_of(log, spec)) is not None]
        if peaks:
            return max(peaks)
        need = NEEDS.get(spec.builder)
        if need is None:
            return None
        side = max(_sides(spec)) / 32
        return (
            PROCESS_BYTES
            + IMAGE_BYTES * spec.data.train_images
            + PARAMETER_BYTES * need.parameters
            + need.activations * side**2 * max(spec.recipe.batch_size, LEAST_BATCH)
        )

    def _alike(self, log: records.Run, spec: config.RunSpec) -> bool:
        """Was the log written on a machine like this one, as the run would use it?"""
        machine, (cpu, gpus) = log.header.machine, self.here
        if machine.gpu is not None or gpus:
            return machine.gpu in gpus
        return machine.cpu == cpu and spec.threads in (None, machine.threads)


def _peak_of(log: records.Run, spec: config.RunSpec) -> int | None:
    """Peak memory of a run that took as much as ``spec`` will."""
    said = log.header.spec or {}
    same = (
        said.get("builder") == spec.builder
        and (said.get("recipe") or {}).get("batch_size") == spec.recipe.batch_size
        and (said.get("data") or {}).get("train_images") == spec.data.train_images
        and log.header.machine.gpu is None
    )
    return _recorded_peak(log.result) if same else None


def memory_remark(root: Path, spec: config.RunSpec) -> str:
    """What a run on the CPU needs, for a person who starts it; with a remedy if it is not there."""
    needed = Costs(root).memory(spec)
    if needed is None:
        return f"{spec.run}: how much memory it needs is not known"
    text = f"{spec.run}: needs about {_gib(needed)} of memory"
    free = _free_memory()
    if free is None or free >= needed:
        return text
    return (
        f"{text}, and {_gib(free)} are free; should it be killed, a smaller batch may need less: "
        f"cnnpaper train --model {spec.model} --batch-size {max(2, spec.recipe.batch_size // 4)}"
    )


def _free_memory() -> int | None:
    """Bytes that a new process can have without swapping; None where the system does not tell."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return None
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _readable(path: Path) -> records.Run | None:
    """A log of a run that was trained, or None; a damaged one is no base for an estimate.

    Nor is one of the plain loop that ``make bench-peer`` trains: it is another program.
    """
    try:
        log = records.read_run(path)
    except records.LogError:
        return None
    plain = (log.header.model_extra or {}).get("loop") == "plain"
    return log if log.header.origin == "trained" and not plain else None


def _pace(model: str, logs: Iterable[records.Run]) -> Pace | None:
    """The pace of ``model``: its own where there is one, else scaled from other networks'."""
    found: dict[str, list[Pace]] = defaultdict(list)
    for log in logs:
        found[log.header.model] += _paces(log)
    if found[model]:
        return _median(found[model])
    if model not in RELATIVE_COST:
        return None
    scaled = []
    for other, paces in found.items():
        if paces and other in RELATIVE_COST:
            ratio = RELATIVE_COST[model] / RELATIVE_COST[other]
            pace = _median(paces)
            scaled.append(Pace(train_s=ratio * pace.train_s, eval_s=ratio * pace.eval_s))
    return _median(scaled) if scaled else None


def _paces(log: records.Run) -> list[Pace]:
    """The pace of every epoch of one log that says enough."""
    data = (log.header.spec or {}).get("data") or {}
    images, evaluated = data.get("train_images"), data.get("validation_images")
    if not isinstance(images, int) or not isinstance(evaluated, int):
        return []
    return [
        Pace(
            train_s=epoch.train_s / images / (epoch.resolution / 32) ** 2,
            eval_s=(epoch.eval_s or 0.0) / evaluated,
        )
        for epoch in log.epochs
        if epoch.train_s is not None and epoch.resolution
    ]


def _median(paces: list[Pace]) -> Pace:
    return Pace(
        train_s=statistics.median(pace.train_s for pace in paces),
        eval_s=statistics.median(pace.eval_s for pace in paces),
    )


# ----------------------------------------------------------------------------------- text


def _table(rows: list[Row], costs: Costs) -> str:
    return tabulate(
        [_cells(row, costs) for row in rows],
        headers=["run", "state", "val acc", "test acc", "training", "still to do", "memory"],
        colalign=("left", "left", "right", "right", "right", "right", "right"),
        disable_numparse=True,
    )


def _cells(row: Row, costs: Costs) -> list[str]:
    result = row.log.result if row.log else None
    seconds = [epoch.train_s for epoch in row.log.epochs] if row.log else []
    known = [value for value in seconds if value is not None]
    return [
        row.run,
        f"{row.state} ({row.progress})" if row.progress else row.state,
        _percent(result.best_val_acc if result else None),
        _percent(result.test_acc if result else None),
        duration(sum(known)) if known else "",
        _cost(costs.estimate(row)) if row.to_do else "",
        _memory(row, result, costs),
    ]


def _remarks(plan: config.Study, rows: list[Row], costs: Costs) -> list[str]:
    """Sentences below the table; the last one says what to type next."""
    lines = [row.remark for row in rows if row.remark]
    if not rows:
        return [f"study {plan.name!r} has no runs: import its logs again (cnnpaper import-logs)"]
    stale = {row.run: row.changes for row in rows if row.state == "stale"}
    if stale:
        logs = [row.log for row in rows if row.log and row.log.result]
        lines.append(fingerprint.stale_message(logs, stale))
    if all(row.state in ("done", "diverged", "cut off") for row in rows):
        lines.append(f"all runs are done: make report STUDY={plan.name}")
    open_rows = [row for row in rows if row.state in ("missing", "incomplete", "damaged")]
    if not open_rows or plan.origin == "imported":
        return lines
    estimates = [costs.estimate(row) for row in open_rows]
    models = {row.model for row in open_rows}
    target = models.pop() if len(models) == 1 else "experiments"
    known = [seconds for seconds in estimates if seconds is not None]
    cost = _cost(sum(known)) if known else "cost unknown"
    if 0 < len(known) < len(estimates):
        cost += f" without the {len(estimates) - len(known)} of unknown cost"
    lines.append(
        f"{len(open_rows)} of {len(rows)} runs to do, {cost}: make {target} STUDY={plan.name}"
    )
    return lines


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _cost(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"about {duration(seconds)}"


def duration(seconds: float) -> str:
    """Two figures that people read at a glance: ``42 s``, ``3 min 28 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _memory(row: Row, result: records.Result | None, costs: Costs) -> str:
    """Peak memory where the run recorded it, in GiB; of a run that is to be done, what it needs."""
    peak = _recorded_peak(result)
    if peak is not None:
        return _gib(peak)
    needed = costs.memory(row.spec) if row.spec and row.to_do and not costs.here[1] else None
    return "" if needed is None else f"about {_gib(needed)}"


def _recorded_peak(result: records.Result | None) -> int | None:
    peak = (result.model_extra or {}).get("peak_memory") if result else None
    return peak if isinstance(peak, int) else None


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
