"""The commands of ``python -m tests.bench.plain``: the plain loop beside ours, as JSON lines."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from tabulate import tabulate

from cnnpaper import cli, tuning
from cnnpaper.config import RunSpec, Study, load_study, run_spec
from cnnpaper.files import UserError, append_line
from cnnpaper.runs import launch, machine, provenance
from cnnpaper.runs.dataset import load_images
from cnnpaper.runs.timing import ROUNDS, Worker, rounds, timed
from cnnpaper.study.stats import median_interval
from cnnpaper.timings import this_processor, without_bfloat16
from tests.bench import plain
from tests.bench.plain import CELLS, Cell

ROOT = Path()
"""The current folder is the root of the repository, as for ``cnnpaper``."""
PLACE = ROOT / "results" / "bench"
ARM = "short"
"""Of the study: every network has the same minutes, T."""
WORKERS = (0, 1, 2)
WORKER_ROUNDS = 3
"""Rounds that choose the number of workers of a cell; they do not count afterwards."""
STEPS, WORKER_STEPS, WARMUP = 10, 5, 2
"""Steps of a round, of one that chooses workers, and those before either that do not count."""
SEEDS = 3
TRAINED = ("resnet18", "vgg16")
"""Networks whose accuracy is compared."""
OURS = "ours"
Line = dict[str, Any]


def lines(kind: str) -> list[Line]:
    """The results of ``speed`` or ``accuracy`` so far."""
    path = PLACE / f"{kind}.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def write(kind: str, line: Line) -> None:
    append_line(PLACE / f"{kind}.jsonl", json.dumps({"kind": kind, **line}))


def our_run(study: Study, model: str, seed: int | None = None) -> RunSpec:
    """Our run of a network in the arm of equal time; by default of its first seed."""
    if ARM not in study.arms or study.tuning is None:
        raise UserError(f"study {study.name!r} has no arm {ARM!r}, or names no tuning study")
    return run_spec(ROOT, study, model, study.arms[ARM].seeds[0] if seed is None else seed, arm=ARM)


# ------------------------------------------------------------------------------------- speed


def measure(spec: RunSpec, data_dir: Path) -> Line:
    """One network: the best number of workers for each cell, then all cells beside ours.

    On a processor without bfloat16 both loops compute in float32 alone.
    """
    cells, best = CELLS, list[Cell]()
    if without_bfloat16():
        cells = tuple(cell for cell in CELLS if cell.precision == "float32")
        recipe = spec.recipe.model_copy(update={"precision": "float32"})
        spec = spec.model_copy(update={"recipe": recipe})
    for cell in cells:
        each = [replace(cell, workers=count) for count in WORKERS]
        with contextlib.ExitStack() as stack:
            loops = (_process(spec, data_dir, one, WORKER_STEPS) for one in each)
            processes = [stack.enter_context(loop) for loop in loops]
            found = medians(processes, WORKER_ROUNDS, f"{spec.model}, workers for {cell.name}")
        seconds = dict(zip(each, map(statistics.median, found), strict=True))
        best.append(min(each, key=lambda one, seconds=seconds: seconds[one]))
    with contextlib.ExitStack() as stack:
        given = spec, ROOT, data_dir, "cpu", 1, ROUNDS, STEPS, WARMUP
        ours = stack.enter_context(Worker(timed, *given))
        others = [stack.enter_context(_process(spec, data_dir, cell, STEPS)) for cell in best]
        found = medians([ours, *others], ROUNDS, f"{spec.model}, all beside ours")
        timing = ours.answer()
    kept = {"model", "started", "commit", "machine", "packages", "batch_size", "warmup"}
    return {
        **timing.model_dump(mode="json", include=kept | {"precision", "memory_format"}),
        "contended": timing.contended,
        "steps": STEPS,
        "workers": {cell.name: cell.workers for cell in best},
        "round_s": dict(zip((OURS, *(cell.name for cell in best)), found, strict=True)),
    }


def _process(spec: RunSpec, data_dir: Path, cell: Cell, steps: int) -> Worker:
    return Worker(plain.timed, spec, data_dir, cell, steps, WARMUP)


def medians(processes: Sequence[Worker], count: int, what: str) -> list[list[float]]:
    """Seconds a step of each process, round by round."""
    found = []
    for number, each in enumerate(rounds(processes, count), start=1):
        found.append([round(statistics.median(seconds), 6) for seconds in each])
        click.echo(f"{what}: round {number} of {count}")
    return [list(one) for one in zip(*found, strict=True)]


def measured(processor: str | None) -> dict[str, Line]:
    """Network → its newest line of speed on this type of processor."""
    found = [line for line in lines("speed") if line["machine"]["processor"] == processor]
    return {line["model"]: line for line in found}


def fastest(speed: Line) -> Cell:
    """The cell with the shortest step, with its workers."""
    workers = speed["workers"]
    cells = [replace(one, workers=workers[one.name]) for one in CELLS if one.name in workers]
    return min(cells, key=lambda cell: statistics.median(speed["round_s"][cell.name]))


def ratio(speed: Line, cell: str) -> tuple[float, tuple[float, float]]:
    """Step time of a cell over ours, round by round: the median and its interval."""
    both = zip(speed["round_s"][cell], speed["round_s"][OURS], strict=True)
    return median_interval([a / b for a, b in both])


# ---------------------------------------------------------------------------------- accuracy


def planned(study: Study, model: str, speed: Line) -> list[Line]:
    """The runs that two stages and the seeds ask for by now; finished ones as they were written.

    A run has the steps of ours in the same arm over the ratio of the step times: the same minutes.
    """
    done = {line["run"]: line for line in lines("accuracy")}
    cell = fastest(speed)

    search = load_study(ROOT, str(study.tuning))
    arms = {**search.arms, ARM: study.arms[ARM]}

    def run(name: str | None, rate: float, seed: int | None = None) -> Line:
        steps, seed = arms[name].steps, arms[name].seeds[0] if seed is None else seed
        assert isinstance(steps, dict)
        count = max(1, round(steps[model] / ratio(speed, cell.name)[0]))
        run = f"{model}/{name}/rate{rate:g}-s{seed}, {count} steps, {cell.name}"
        values = {"run": run, "model": model, "stage": name, "rate": rate, "seed": seed}
        return done.get(run, {**values, "steps": count})

    stage1, stage2 = search.arms
    scores = [lambda rate, stage=stage: _score(run(stage, rate)) for stage in (stage1, stage2)]
    grid = [float(rate) for rate in search.grid["peak_learning_rate"]]
    near, won = tuning.plan(grid, *scores)
    found = [*(run(stage1, rate) for rate in grid), *(run(stage2, rate) for rate in near)]
    return found + [run(ARM, won, s) for s in arms[ARM].seeds[:SEEDS] if won is not None]


def _score(line: Line) -> float | None:
    """None: not done; a run that diverged guesses."""
    return (line["val_acc"] or tuning.GUESSING) if "val_acc" in line else None


def do_run(spec: RunSpec, wanted: Line, cell: Cell, data_dir: Path) -> Line:
    """Train the plain loop once and evaluate it on the validation images."""
    at, begin = provenance.now_utc(), time.monotonic()
    torch.set_num_threads(spec.threads or machine.physical_cores())
    data = load_images(spec.data, data_dir)
    chosen = {name: wanted[name] for name in ("rate", "steps", "seed")}
    accuracy = plain.validation_accuracy(spec, data, cell=cell, **chosen)
    click.echo(f"validation accuracy: {'diverged' if accuracy is None else f'{accuracy:.2%}'}")
    return {
        **wanted,
        "val_acc": accuracy,
        "images": len(data.validation.labels),
        "batch_size": spec.recipe.batch_size,
        "workers": cell.workers,
        "total_s": round(time.monotonic() - begin, 1),
        "started": at,
        "commit": provenance.commit(ROOT),
        "machine": machine.describe_machine(torch.device("cpu")).model_dump(mode="json"),
        "packages": provenance.packages(),
    }


# -------------------------------------------------------------------------------------- show


def tables(study: Study) -> str:
    """What was measured, as Markdown, each type of processor in a table of its own."""
    processors = dict.fromkeys(line["machine"]["processor"] for line in lines("speed"))
    if not processors:
        raise UserError("nothing was measured yet: python -m tests.bench.plain speed")
    return "\n\n".join(table(study, measured(processor)) for processor in processors)


def table(study: Study, speeds: dict[str, Line]) -> str:
    """Speed; where our loop was that of the study, also what the recipe makes of the same time."""
    rows, notes = [], []
    for model in study.networks:
        if (speed := speeds.get(model)) is None:
            continue
        ours = our_run(study, model)
        as_in_study = speed["precision"] == ours.recipe.precision
        ms = {k: f"{1000 * statistics.median(s):.0f}" for k, s in speed["round_s"].items()}
        name = "ours: {precision} {memory_format}".format(**speed)
        end = [ours.steps, _ours(study, model)] if as_in_study else []
        rows.append([model, name, "", ms[OURS], "1", *end])
        for cell, count in speed["workers"].items():
            times, (low, high) = ratio(speed, cell)
            score = ""
            if as_in_study and cell == fastest(speed).name and model in TRAINED:
                runs = planned(study, model, speed)
                score = _mean([_score(line) for line in runs if line["stage"] == ARM])
            interval = f"{times:.2f} ({low:.2f} to {high:.2f})"
            end = [round(ours.steps / times), score] if as_in_study else []
            rows.append([model, f"plain: {cell}", count, ms[cell], interval, *end])
        notes.append(_note(speed))
    head = ["network", "loop", "workers", "speed: ms a step", "over ours", "steps in T",
            "recipe: validation accuracy after T"]  # fmt: skip
    text = tabulate(rows, head[: max(map(len, rows))], tablefmt="github", disable_numparse=True)
    return "\n".join([text, "", *dict.fromkeys(notes)])


def _note(line: Line) -> str:
    where, packages = line["machine"], line["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("python", "torch", "torchvision"))
    return (
        f"{where['cpu']} ({where['processor']}, {where['isa']}), {where['threads']} threads, "
        f"batches of {line['batch_size']}, {versions}; "
        f"medians of {ROUNDS} rounds of {line['steps']} steps, in brackets the 3rd to the 10th "
        f"ratio of a round{'; the machine was shared' if line['contended'] else ''}"
    )


def _ours(study: Study, model: str) -> str:
    specs = [our_run(study, model, seed) for seed in study.arms[ARM].seeds[:SEEDS]]
    runs = [tuning.finished(spec.folder(ROOT)) for spec in specs]
    return _mean([run.result.val_acc if run and run.result else None for run in runs])


def _mean(scores: list[float | None]) -> str:
    """Mean and each value, once all seeds are there."""
    known = [score for score in scores if score is not None]
    if len(known) < SEEDS:
        return "not yet"
    return f"{statistics.mean(known):.2%} ({', '.join(f'{score:.2%}' for score in known)})"


# ----------------------------------------------------------------------------------- commands


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
def commands() -> None:
    """A plain PyTorch loop beside ours: how fast, and how accurate in the same minutes.

    Results are JSON lines in results/bench; to repeat a measurement, remove its line. Start in the
    root of the repository, in this order:

    \b
      python -m tests.bench.plain speed       # on an idle machine
      python -m tests.bench.plain accuracy    # any time
      python -m tests.bench.plain show        # the table for README.md
    """


@commands.command()
@cli.study_option()
@cli.data_dir_option
def speed(study: str, data_dir: Path) -> None:
    """How long a step takes, on an idle machine.

    Four cells of the plain loop (float32 or bfloat16, contiguous or channels_last) beside ours,
    each in a process of its own, in turn: twelve rounds of ten steps. Where the processor has no
    bfloat16, both loops compute in float32 and two cells are left. Before that, three rounds
    choose for each cell between 0, 1 and 2 workers of the DataLoader. A network is measured as a
    whole or not at all.
    """
    plan = load_study(ROOT, study)
    for model in plan.networks:
        if model in measured(this_processor()):
            click.echo(f"{model}: measured already")
            continue
        with launch.device_lock("cpu", torch.device("cpu")):
            write("speed", measure(our_run(plan, model), data_dir))


@commands.command()
@cli.study_option()
@cli.data_dir_option
def accuracy(study: str, data_dir: Path) -> None:
    """Validation accuracy of the plain loop after the minutes of arm short, three seeds.

    ResNet-18 and VGG-16, in the cell that is fastest for them. The rate is found as ours is, by the
    two stages of study tuning: the same rates, the same minutes. No test image is read.
    """
    plan = load_study(ROOT, study)
    for model in TRAINED:
        if (known := measured(this_processor()).get(model)) is None:
            raise UserError(f"{model}: its speed comes first: python -m tests.bench.plain speed")
        if known["precision"] != (wanted := our_run(plan, model).recipe.precision):
            raise UserError(
                f"{model}: speed was measured in {known['precision']}, the study is in {wanted}\n"
                "measure both on a processor with bfloat16 (avx512_bf16, amx_bf16)"
            )
        while missing := [run for run in planned(plan, model, known) if "val_acc" not in run]:
            click.echo(missing[0]["run"])
            with launch.device_lock("cpu", torch.device("cpu")):
                write(
                    "accuracy", do_run(our_run(plan, model), missing[0], fastest(known), data_dir)
                )
        click.echo(f"{model}: complete")


@commands.command()
@cli.study_option()
def show(study: str) -> None:
    """Print the table for README.md: speed and recipe in columns of their own."""
    click.echo(tables(load_study(ROOT, study)))


def main() -> None:
    """Run the command line; a user's mistake is a message and exit code 2."""
    try:
        commands(prog_name="python -m tests.bench.plain")
    except UserError as error:
        click.echo(f"tests.bench.plain: {error}", err=True)
        sys.exit(2)
