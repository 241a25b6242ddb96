"""Measured times: ``results/log/STUDY/timing.jsonl``, steps of equal time, what a run costs.

``make timing`` measures in sessions of twelve rounds and writes a line for each network: what was
measured, not its summary; medians and intervals are computed by those who read. No torch here.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from cnnpaper.advice import advice
from cnnpaper.config import Budget, RunSpec, Study, load_study, visible
from cnnpaper.files import UserError
from cnnpaper.log import CONTENDED, LOG_NAME, LogError, Machine, Part, Run, read_run

TIMING_NAME = "timing.jsonl"
SECTIONS = ("data", "forward", "backward", "optimizer", "other")
"""Of a step, in order: cropping, mirroring and standardising its images; the network; loss,
gradients and their clipping; the update of the weights; running sums."""

Seconds = tuple[Annotated[float, Field(gt=0)], ...]


class Timing(Part):
    """Steps of one network in one session, its real training loop."""

    line: int = Field(default=0, exclude=True)  # of the file, once it was read
    kind: Literal["timing"] = "timing"
    study: str
    session: int  # from 1; its networks were measured in turn, each in a process of its own
    model: str
    started: str  # UTC, ISO 8601, seconds
    commit: str | None
    fingerprint: str  # short name of the one that the network's run has with this code
    machine: Machine
    packages: dict[str, str]
    batch_size: int
    precision: str
    memory_format: str
    warmup: int  # steps before each round that do not count
    round_s: tuple[Seconds, ...]  # round by round, wall-clock seconds of each step
    sections: dict[str, tuple[float, ...]]
    """Of each of :data:`SECTIONS`, the mean seconds a step in one more round, with hooks."""
    startup_s: float  # to read the images, build the network and do the first step
    eval_s: float  # evaluation of the validation images
    miniature_s: float
    cpu_s: float  # CPU seconds that this process took for the rounds
    other_cpu_s: float | None  # CPU seconds of all other processes meanwhile
    peak_memory: int  # most bytes that the process held, images included; on a GPU, of its memory
    macs: int  # of one image, forward

    @property
    def rounds(self) -> tuple[float, ...]:
        """Seconds a step in each round: the median of its steps."""
        return tuple(statistics.median(steps) for steps in self.round_s)

    @property
    def step_s(self) -> float:
        """Seconds a step: the median over rounds."""
        return statistics.median(self.rounds)

    @property
    def contended(self) -> bool:
        """Did other processes take a part of the machine meanwhile?"""
        return (self.other_cpu_s or 0.0) > CONTENDED * self.cpu_s


Session = Mapping[str, Timing]
"""By network."""
Finished = Sequence[tuple[Run, RunSpec]]


def path_of(root: Path, study: Study) -> Path:
    """``timing.jsonl`` of the study that the budget names, else of this one."""
    name = study.budget.timing if study.budget else study.name
    return root / "results" / "log" / name / TIMING_NAME


def read(path: Path) -> dict[int, Session]:
    """The sessions by number; empty without a file, LogError where a line is none."""
    found: dict[int, dict[str, Timing]] = {}
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, raw in enumerate(lines, start=1):
        try:
            one = Timing.model_validate_json(raw).model_copy(update={"line": number})
        except ValidationError as error:
            first = error.errors()[0]
            raise LogError(
                f"{path}:{number}: {'.'.join(map(str, first['loc']))}: {first['msg']}\n"
                "restore the file from version control, or remove it and measure again"
            ) from None
        found.setdefault(one.session, {})[one.model] = one
    return dict(found)


# ---------------------------------------------------------------------------------- equal time


def ratios(session: Session, like: str) -> dict[str, tuple[float, ...]]:
    """Network → its step time over that of network ``like``, round by round, so that what slows a
    whole round cancels."""
    base = session[like].rounds
    return {
        model: tuple(a / b for a, b in zip(one.rounds, base, strict=True))
        for model, one in session.items()
    }


def equal_time(session: Session, like: str, steps: int) -> dict[str, tuple[int, float]]:
    """Network → steps that take as long as ``steps`` steps of network ``like``, to the nearest by
    the median of the paired ratio, and the seconds by which they are longer."""
    found = {}
    for model, each in ratios(session, like).items():
        ratio = statistics.median(each)
        own = max(1, round(steps / ratio))
        found[model] = own, (own * ratio - steps) * session[like].step_s
    return found


def budget_session(root: Path, study: Study) -> tuple[Budget, Session]:
    """A study's budget and the session of step times that it names.

    Raises:
        UserError: it has no budget, or that session is not there or from another processor.
    """
    file, budget = _file(study), study.budget
    if budget is None:
        raise UserError(f"{file}: no [budget]: no arm of this study is one of equal time")
    path = path_of(root, study)
    session = read(path).get(budget.session, {})
    if lacking := [model for model in (*study.networks, budget.like) if model not in session]:
        raise UserError(
            f"{file}: budget.session = {budget.session}: {path} has no time of {lacking[0]} in it\n"
            "name a session that has all networks, or measure one: "
            f"{advice('timing', STUDY=budget.timing)}"
        )
    for one in session.values():
        if one.machine.processor != budget.processor:
            raise UserError(
                f"{file}: budget.processor = {budget.processor!r}, but session {budget.session} "
                f"was measured on {one.machine.processor!r} ({path}:{one.line})\n"
                "name that processor, or another session"
            )
    return budget, session


def check_budget(root: Path, study: Study, specs: Sequence[RunSpec]) -> None:
    """Refuse arms of equal time that do not follow from the step times, where these were measured.

    Raises:
        UserError: their steps are others, or were timed in another precision; see
            :func:`budget_session` as well.
    """
    path = path_of(root, study)
    if study.budget is None or not path.exists():
        return
    budget, session = budget_session(root, study)
    where = f"({path}, session {budget.session})"
    for spec in specs:
        if spec.arm not in budget.steps:
            continue
        timed, count = session[spec.model].precision, budget.steps[spec.arm]
        if spec.recipe.precision != timed:
            raise UserError(
                f"{_file(study)}: budget.session: {spec.path} is in {spec.recipe.precision}, "
                f"but steps were timed in {timed} {where}\n"
                f"measure a session and name it: {advice('timing', STUDY=budget.timing)}"
            )
        steps, _ = equal_time(session, budget.like, count)[spec.model]
        if spec.steps != steps:
            raise UserError(
                f"{_file(study)}: arm.{spec.arm}.steps: {spec.model} = {spec.steps}, but "
                f"{count} steps of {budget.like} take as long as {steps} of {spec.model} {where}\n"
                f"write what this prints: {advice('budget', STUDY=study.name)}"
            )


def _file(study: Study) -> str:
    return f"experiments/study/{study.name}.toml"


def budget_text(root: Path, name: str) -> str:
    """The steps of each arm of equal time as lines of the study file, with what they leave over.

    Raises:
        UserError: the study has no budget, or its session was not measured.
    """
    study = load_study(root, name)
    budget, session = budget_session(root, study)
    lines = [f"# session {budget.session} of study {budget.timing}, {budget.processor}"]
    for arm, count in budget.steps.items():
        found = equal_time(session, budget.like, count)
        values = ", ".join(f"{model} = {found[model][0]}" for model in study.networks)
        over = ", ".join(f"{model} {found[model][1]:+.2f} s" for model in study.networks)
        lines += [
            f"[arm.{arm}] # {duration(count * session[budget.like].step_s)} of training",
            f"steps = {{ {values} }}",
            f"# predicted minus budget: {over}",
        ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Two figures that people read at a glance: ``42 s``, ``3 min 28 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


# ------------------------------------------------------------------------------- what a run costs


def cpuinfo() -> dict[str, str]:
    """The first processor as Linux describes it; elsewhere its name alone."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {"model name": platform.processor() or platform.machine()}
    pairs = (line.partition(":") for line in path.read_text().split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def this_processor() -> str | None:
    """Vendor, family and model, where it has these, else its name: what timings hold for."""
    info = cpuinfo()
    if info.keys() >= {"vendor_id", "cpu family", "model"}:
        return f"{info['vendor_id']} {info['cpu family']}-{info['model']}"
    return info.get("model name")


def native_bfloat16() -> bool:
    """Does the processor compute in bfloat16 by instructions of its own?"""
    return bool(_features() & {"avx512_bf16", "amx_bf16", "bf16"})


def _features() -> set[str]:
    info = cpuinfo()
    return set(info.get("flags", info.get("Features", "")).split())


def without_bfloat16() -> str | None:
    """What to expect of a step in bfloat16 where the processor has none; None where it has, or
    where the system does not say.

    Measured beside float32: 1.4 to 2 times with AVX-512; without (AMD 25-1) 14 times for ResNet-18
    and 23 for AlexNet, a step of which then takes half a minute.
    """
    features = _features()
    if not features or native_bfloat16():
        return None
    times = "1.4 to 2" if "avx512f" in features else "10 to 30"
    return (
        "this processor has no bfloat16 (avx512_bf16, amx_bf16), so a step takes about "
        f"{times} times as long as in float32"
    )


def finished_runs(root: Path) -> Finished:
    """The finished runs of all studies."""
    found = []
    for path in visible(root / "results" / "log", f"**/{LOG_NAME}"):
        with suppress(ValueError, LogError):  # a damaged log is no base for an estimate
            run = read_run(path)
            if run.spec and run.result and run.result.status == "finished":
                found.append((run, run.spec))
    return found


def estimate_s(root: Path, spec: RunSpec, finished: Finished | None = None) -> float | None:
    """Seconds that a run takes on this machine, all in; None where nothing was measured.

    From finished runs of the same network on this type of processor, else from the newest session
    that timed it, else from finished runs elsewhere.

    Args:
        finished: the repository's finished runs, where they were read already.
    """

    finished = finished_runs(root) if finished is None else finished
    alike = [run for run, own in finished if _work(own) == _work(spec)]
    here = [run for run in alike if run.header.machine.processor == this_processor()]
    files = visible(root / "results" / "log", f"*/{TIMING_NAME}")
    sessions = [session for path in files for session in read(path).values()]
    timed = [session[spec.model] for session in sessions if spec.model in session]
    if timed and not here:
        return _from_steps(max(timed, key=lambda one: one.started), spec)
    epochs = [epoch for run in here or alike for epoch in run.epochs]
    if not epochs:
        return None
    step_s = statistics.median((e.train_s or 0.0) / (e.steps or 1) for e in epochs)
    eval_s = statistics.median(e.eval_s or 0.0 for e in epochs)
    tests = spec.data.test_images / spec.data.validation_images
    return spec.steps * step_s + eval_s * (spec.epochs + 1 + tests)


def timed_here(spec: RunSpec, finished: Finished) -> bool:
    """Was such a run finished on this type of processor?"""
    return any(
        _work(own) == _work(spec) and run.header.machine.processor == this_processor()
        for run, own in finished
    )


def _work(spec: RunSpec) -> tuple[str, int, str]:
    """What a step's time depends on, beside the machine."""
    return spec.builder, spec.recipe.batch_size, spec.recipe.precision


def _from_steps(one: Timing, spec: RunSpec) -> float:
    """A float32 run is taken to need twice the time of one in bfloat16."""
    factor = {("bfloat16", "float32"): 2.0, ("float32", "bfloat16"): 0.5}
    step_s = one.step_s * factor.get((one.precision, spec.recipe.precision), 1.0)
    step_s *= spec.recipe.batch_size / one.batch_size
    evaluation = one.eval_s * (spec.epochs + spec.data.test_images / 5_000)
    return one.startup_s + one.miniature_s + spec.steps * step_s + evaluation
