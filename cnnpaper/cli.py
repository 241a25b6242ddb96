"""The one command line. Each command imports what it needs when it is called."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cnnpaper.advice import advice
from cnnpaper.files import Interrupted, UserError, memory_ran_out, nearest

if TYPE_CHECKING:
    from cnnpaper.config import RunSpec, Study
    from cnnpaper.paper import Edition

ROOT = Path()
"""The current folder is the root of the repository."""
DEFAULT_EPOCHS = 25
MOST_EPOCHS = 100_000
Command = TypeVar("Command", bound=Callable[..., Any])
ONLY_FOR_TRAINING = {"torch", "torchvision", "pyarrow", "safetensors"}


def whole_number(least: int, most: int, example: str) -> Callable[[str], int]:
    """The type of an option that takes a whole number; its error says what to give instead."""

    def convert(value: str) -> int:
        # int() would also take 1_0, blanks, and digits of other scripts
        if re.fullmatch("[0-9]{1,12}", value) and least <= int(value) <= most:
            return int(value)
        raise click.BadParameter(
            f"{value[:40]!r} is not a whole number from {least} to {most}; for instance {example}"
        )

    return convert


def several_seeds(value: str) -> tuple[int, ...]:
    """The type of an option that takes seeds, separated by commas."""
    one = whole_number(0, 2**32 - 1, "--seeds 0,1,2")
    seeds = tuple(one(part.strip()) for part in value.split(","))
    if len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"{value!r} names a seed twice")
    return seeds


def clock(value: str) -> float:
    """The type of ``--until``: the next time at which the clock shows HH:MM, as ``time.time``."""
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", value)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise click.BadParameter(f"{value[:40]!r} is not a time of day; for instance 02:40")
    now = time.localtime()
    asked = time.mktime((*now[:3], int(match[1]), int(match[2]), 0, 0, 0, -1))
    return asked if asked > time.time() else asked + 86_400


def folder(value: str) -> Path:
    """The type of an option that takes a folder; ``~`` is the user's home."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise click.BadParameter(f"{value!r}: there is no such user or home folder") from None


def carried(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Let the commands of messages have this option, as :func:`cnnpaper.advice.advice` does."""
    if value != parameter.get_default(ctx) and parameter.envvar:
        os.environ[str(parameter.envvar)] = str(value)
    return value


class Commands(click.Group):
    """A group that suggests the nearest command for a wrong one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            names = self.list_commands(ctx)
            raise click.UsageError(
                f"unknown command {args[0]!r}{nearest(args[0], names)}\n"
                f"commands: {', '.join(names)}",
                ctx,
            )
        return super().resolve_command(ctx, args)


def study_option(
    default: str | None = "reference", text: str = "A study's name.", *, required: bool = False
) -> Callable[[Command], Command]:
    return click.option(
        "--study", default=default, required=required, type=composed, metavar="NAME",
        show_default=True, help=text,
    )  # fmt: skip


def composed(value: str) -> str:
    """The type of an option that takes a name: its letters composed, however they were typed."""
    return unicodedata.normalize("NFC", value)


seeds_option = click.option(
    "--seed",
    "--seeds",
    "seeds",
    type=several_seeds,
    metavar="N[,N...]",
    help="Which seeds; without it all of the study's.",
)
arm_option = click.option("--arm", metavar="NAME", help="One arm of the study; without it all.")
gpus_option = click.option(
    "--gpus",
    default="auto",
    envvar="GPUS",
    callback=carried,
    show_default=True,
    metavar="LIST",
    help="auto (GPU 0 if there is one, else the CPU), cpu, a GPU's number, or several: 0,1.",
)
data_dir_option = click.option(
    "--data-dir",
    type=folder,
    default="data",
    envvar="DATA_DIR",
    callback=carried,
    show_envvar=True,
    show_default=True,
    metavar="DIR",
    help="Where the images are.",
)
force_option = click.option(
    "--force", is_flag=True, help="Start over what is finished; the old log is kept."
)
stale_option = click.option(
    "--allow-stale",
    is_flag=True,
    help="Build although runs are not those of today's code; the first page then says so.",
)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="`make` alone lists the targets that call these commands and set up what they need.",
)
@click.version_option(package_name="cnnpaper")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")
def commands() -> None:
    """Convolutional networks on CIFAR-10: experiment files in, a paper out.

    \b
    Examples:
      cnnpaper train --model alexnet --epochs 10 --gpus 0
      cnnpaper experiments --study full --gpus 0,1
      cnnpaper status
      cnnpaper report
    """


# ------------------------------------------------------------------------------------ training


@commands.command()
@click.option("--model", required=True, metavar="NAME", help="A network: alexnet, resnet18, ...")
@click.option(
    "--epochs",
    type=whole_number(1, MOST_EPOCHS, "--epochs 10"),
    metavar="N",
    help=f"Without --study: {DEFAULT_EPOCHS}.",
)
@gpus_option
@seeds_option
@study_option(None, "A study of experiments/study. Without it: single-EPOCHSep.")
@arm_option
@click.option("--variant", metavar="NAME", help="One point of the study's grid.")
@data_dir_option
@click.option(
    "--batch-size",
    type=whole_number(2, 65536, "--batch-size 128"),
    metavar="N",
    help="Images per step, without --study; else the recipe's.",
)
@force_option
def train(
    model: str,
    epochs: int | None,
    gpus: str,
    seeds: tuple[int, ...] | None,
    study: str | None,
    arm: str | None,
    variant: str | None,
    data_dir: Path,
    batch_size: int | None,
    force: bool,
) -> None:
    """Train one network; finished runs are skipped, interrupted ones resume.

    The log goes to results/log/STUDY[/ARM]/MODEL-sSEED.

    \b
    Examples:
      cnnpaper train --model alexnet --epochs 10 --gpus 0
      cnnpaper train --model resnet18 --study full --seeds 0,1,2
      cnnpaper train --model vgg16 --batch-size 128 --data-dir ~/cifar10
    """
    from cnnpaper import config

    config.load_experiment(ROOT, model)
    if study is None:
        study = f"single-{epochs or DEFAULT_EPOCHS}ep" + (f"-b{batch_size}" if batch_size else "")
    elif epochs or batch_size:
        raise UserError(
            "--epochs and --batch-size make a study of your own, so leave out --study\n"
            f"with make: {advice(model, EPOCHS=epochs or 10)}"
        )
    plan = config.load_study(ROOT, study)
    if _is_single(plan):
        plan = plan.model_copy(update={"networks": (model,), "seeds": seeds or plan.seeds})
    elif model not in plan.networks:
        raise config.missing_network(study, model, plan.networks)

    def asked() -> list[RunSpec]:
        return [
            spec
            for spec in _declared(plan, arm, seeds)
            if spec.model == model and variant in (None, spec.variant)
        ]

    if not asked():
        raise UserError(f"study {study!r} has no such run of {model}: variant {variant!r}")
    options = {"ARM": arm, "SEEDS": _listed(seeds), "VARIANT": variant}
    _start(plan, asked, gpus, data_dir, force, need=(model, options))


@commands.command()
@study_option()
@arm_option
@seeds_option
@gpus_option
@data_dir_option
@force_option
@click.option("--until", type=clock, metavar="HH:MM", help="Start no run that would end later.")
def experiments(
    study: str,
    arm: str | None,
    seeds: tuple[int, ...] | None,
    gpus: str,
    data_dir: Path,
    force: bool,
    until: float | None,
) -> None:
    """Train the missing runs of a study; finished ones are skipped, interrupted ones resume.

    \b
    Examples:
      cnnpaper experiments --study smoke
      cnnpaper experiments --arm short --until 02:40
      cnnpaper experiments --study full --gpus 0,1
    """
    from cnnpaper import config

    plan = config.load_study(ROOT, study)
    if _is_single(plan) and not (ROOT / "results" / "log" / study).is_dir():
        raise UserError(
            f"study {study!r} is made of the runs that were started in it, and there is none yet\n"
            f"start one: {advice('alexnet', EPOCHS=plan.epochs)}"
        )
    options = {"ARM": arm, "SEEDS": _listed(seeds)}
    need = ("experiments", options)
    _start(plan, lambda: _declared(plan, arm, seeds), gpus, data_dir, force, until, need=need)


def _listed(seeds: tuple[int, ...] | None) -> str | None:
    return None if seeds is None else ",".join(map(str, seeds))


def _declared(plan: Study, arm: str | None, seeds: tuple[int, ...] | None) -> list[RunSpec]:
    """The runs of a study that were asked for."""
    from cnnpaper import tuning

    if plan.origin == "imported":
        raise UserError(
            f"study {plan.name!r} was imported from logs of another program; it cannot be trained"
        )
    if arm is not None and arm not in plan.arms:
        known = ", ".join(name for name in plan.arms if name) or "none"
        raise UserError(f"study {plan.name!r} has no arm {arm!r}; its arms: {known}")
    specs = [spec for spec in tuning.declared(ROOT, plan) if arm in (None, spec.arm)]
    has = {seed for name, one in plan.arms.items() if arm in (None, name) for seed in one.seeds}
    for seed in seeds or ():
        if seed not in has:
            raise UserError(
                f"study {plan.name!r} has no seed {seed}; it has {', '.join(map(str, sorted(has)))}"
                f"\nadd it to experiments/study/{plan.name}.toml: the paper is about all of them"
            )
    return [spec for spec in specs if seeds is None or spec.seed in seeds]


def _is_single(plan: Study) -> bool:
    """Is it a study without a file, which ``train`` makes for itself?"""
    from cnnpaper.config import SINGLE

    return SINGLE.match(plan.name) is not None


def _start(
    plan: Study,
    asked: Callable[[], list[RunSpec]],
    gpus: str,
    data_dir: Path,
    force: bool,
    until: float | None = None,
    *,
    need: tuple[str, dict[str, str | None]],
) -> None:
    """Check what can be checked without torch, then train.

    Args:
        plan: the study.
        asked: the runs that were asked for; a tuning study decides by what is there.
        gpus, data_dir, force, until: the options.
        need: target and variables of make that do the same, for where torch is missing.
    """
    from cnnpaper import data
    from cnnpaper.runs import launch
    from cnnpaper.study.status import estimate_s

    specs = asked()
    devices = launch.devices_of(gpus)
    if len(specs) == 1 and len(devices) > 1:
        raise UserError(
            f"--gpus {gpus}: one run uses one device, so name one\n"
            "several devices serve several runs of a study"
        )
    if plan.data.set not in ("synthetic", "unknown"):
        data.find(data_dir, plan.data.set)
    target, options = need
    launch.need_torch(target, STUDY=plan.name, **options, FORCE=1 if force else None)
    if len(specs) == 1:
        launch.train_run(specs[0], root=ROOT, data_dir=data_dir, device=devices[0], force=force)
        return
    missing = [spec for spec in specs if force or not launch.finished(ROOT, spec)]
    click.echo(f"{plan.name}: {len(missing)} of {len(specs)} runs to train")
    launch.train_study(
        missing,
        root=ROOT,
        data_dir=data_dir,
        devices=devices,
        force=force,
        until=until,
        estimate=lambda spec: estimate_s(ROOT, spec),
        plan=lambda: [spec for spec in asked() if not launch.finished(ROOT, spec)],
    )


@commands.command()
@study_option()
@gpus_option
@data_dir_option
def timing(study: str, gpus: str, data_dir: Path) -> None:
    """Measure how long a step of each network takes, and its peak memory, on an idle machine.

    Twelve rounds of twenty steps of every network in turn. The lines go to
    results/log/STUDY/timing.jsonl, from where the paper takes them.

    \b
    Example:
      cnnpaper timing --study reference
    """
    from cnnpaper import config
    from cnnpaper.runs import launch

    plan = config.load_study(ROOT, study)
    launch.need_torch("timing", STUDY=study)
    from cnnpaper.runs.timing import time_session

    arm, first = next(iter(plan.arms.items()))
    specs = [config.run_spec(ROOT, plan, model, first.seeds[0], arm=arm) for model in plan.networks]
    with launch.device_lock(gpus, launch.torch_device(gpus)):
        time_session(ROOT, specs, data_dir=data_dir, device=gpus, say=click.echo)


@commands.command(name="timing-worker", hidden=True)
def timing_worker() -> None:
    """The process of one network while ``timing`` measures."""
    from cnnpaper.runs.timing import worker

    worker(ROOT, sys.stdin.readline, lambda line: print(line, flush=True))


@commands.command()
@study_option()
def budget(study: str) -> None:
    """Print the steps of each arm of equal time, from the study's timing.

    \b
    Example:
      cnnpaper budget --study reference
    """
    from cnnpaper.study.plans import budget_text

    click.echo(budget_text(ROOT, study))


@commands.command()
@study_option("tuning")
def tune(study: str) -> None:
    """Print what a tuning study has decided, and what it still has to try.

    \b
    Example:
      cnnpaper experiments --study tuning
      cnnpaper tune
    """
    from cnnpaper.study.plans import tuning_text

    click.echo(tuning_text(ROOT, study))


@commands.command()
@click.option(
    "--set",
    "wanted",
    type=click.Choice(["original", "jpeg75"]),
    help="Fetch this one unless it is there: the original, or the re-encoded set of study "
    "reference. Without it: check what is there; where nothing is, fetch the original.",
)
@data_dir_option
def data(wanted: str | None, data_dir: Path) -> None:
    """Find, fetch and check the images.

    The folder may hold the python or the binary archive, packed or unpacked, parquet files, or
    images as train/CLASS/NNNN.png. Whatever it is, the pixels decide what it is called.

    \b
    Examples:
      cnnpaper data --set jpeg75
      cnnpaper data --data-dir ~/cifar10
    """
    from cnnpaper import data as images

    try:
        images.find(data_dir, wanted)
    except UserError:
        if data_dir.exists() and not data_dir.is_dir():
            raise
        wanted = wanted or "original"
    if wanted is not None:
        images.fetch(wanted, data_dir, click.echo)
    click.echo(images.check(data_dir))


# -------------------------------------------------------------------------------- executed again


@commands.command()
@study_option(text="The study whose runs are executed again.")
@data_dir_option
def verify(study: str, data_dir: Path) -> None:
    """Execute the miniature and first steps of every run again, and compare.

    Where only code of the engine has changed, both its old and its present version are executed
    here; equal bits make the run fresh (verified.json beside its log).

    \b
    Example:
      cnnpaper verify --study reference
    """
    from cnnpaper.replay import verify_study
    from cnnpaper.runs.launch import need_torch

    need_torch("verify", STUDY=study)
    verify_study(ROOT, study, data_dir, click.echo)


@commands.command()
@click.option("--model", required=True, metavar="NAME", help="A network of the study.")
@seeds_option
@study_option(text="The study of the run.")
@arm_option
@data_dir_option
def reproduce(
    model: str, seeds: tuple[int, ...] | None, study: str, arm: str | None, data_dir: Path
) -> None:
    """Train a finished run from scratch below build/reproduce, and compare every logged value.

    \b
    Example:
      cnnpaper reproduce --model alexnet --seed 0 --arm short
    """
    from cnnpaper import config
    from cnnpaper.replay import reproduce as train_and_compare
    from cnnpaper.runs.launch import need_torch

    seed = (seeds or (0,))[0]
    need_torch("reproduce", STUDY=study, MODEL=model, SEED=seed, ARM=arm)
    plan = config.load_study(ROOT, study)
    if model not in plan.networks:
        raise config.missing_network(study, model, plan.networks)
    specs = [spec for spec in _declared(plan, arm, seeds or (0,)) if spec.model == model]
    train_and_compare(ROOT, specs[0], data_dir, click.echo)


@commands.command(hidden=True)
def replay() -> None:
    """Execute one run's miniature and first steps; a request on standard input, JSON out."""
    from cnnpaper.replay import execute

    print(execute(ROOT, sys.stdin.read()))


# -------------------------------------------------------------------------------------- papers


@commands.command()
@study_option(text="The study that the paper is about.")
@click.option(
    "--edition",
    type=click.Choice(["en", "ko", "html", "ko.html"]),
    default="en",
    show_default=True,
    help="English or Korean PDF, English or Korean HTML.",
)
@stale_option
def report(study: str, edition: Edition, allow_stale: bool) -> None:
    """Write the paper of a study: report/CNN_report.pdf, or CNN_report-STUDY.pdf.

    \b
    Examples:
      cnnpaper report
      cnnpaper report --study smoke --edition html
    """
    from cnnpaper.paper.build import build_report

    build_report(ROOT, study, edition=edition, allow_stale=allow_stale, say=click.echo)


@commands.command()
@study_option(text="The study that the figures are about.")
@stale_option
def figures(study: str, allow_stale: bool) -> None:
    """Write every figure of a study's paper as PDF, PNG and SVG.

    \b
    Example:
      cnnpaper figures --study smoke
    """
    from cnnpaper.paper.build import build_figures

    build_figures(ROOT, study, allow_stale=allow_stale, say=click.echo)


@commands.command()
@study_option(text="The study that the tables are about.")
@stale_option
def tables(study: str, allow_stale: bool) -> None:
    """Write every table of a study's paper as CSV and Markdown.

    \b
    Example:
      cnnpaper tables --study smoke
    """
    from cnnpaper.paper.build import build_tables

    build_tables(ROOT, study, allow_stale=allow_stale, say=click.echo)


@commands.command()
@study_option()
def status(study: str) -> None:
    """Say what is done, what is missing, and what each missing run will cost.

    \b
    Example:
      cnnpaper status --study full
    """
    from cnnpaper.study.status import status as status_of

    click.echo(status_of(ROOT, study), nl=False)
    if (ROOT / "build" / "cluster" / study).is_dir() and (text := _jobs(study)):
        click.echo(text)


@commands.command()
@click.argument("key")
@study_option(text="The study that the paper is about.")
def explain(key: str, study: str) -> None:
    """Trace a number of the paper to its source: formula, file and line, run, command.

    KEY is a key of the ledger, or a text as the paper prints it.

    \b
    Examples:
      cnnpaper explain resnet18.test_acc
      cnnpaper explain 77.61 --study smoke
    """
    from cnnpaper.paper.explain import explain as explanation

    click.echo(explanation(ROOT, study, key))


@commands.command()
@study_option(text="The study that the paper is about.")
@stale_option
def bundle(study: str, allow_stale: bool) -> None:
    """Pack the sources of a study's paper for a publisher, and set them once to try them.

    \b
    Example:
      cnnpaper bundle
    """
    from cnnpaper.paper.bundle import bundle as pack

    pack(ROOT, study, allow_stale=allow_stale, say=click.echo)


@commands.command()
@click.argument("old", type=folder, metavar="OLD.pdf")
@click.argument("new", type=folder, metavar="NEW.pdf")
def diff(old: Path, new: Path) -> int:
    """Compare two papers: values, claims, tables and figures that differ, as Markdown.

    Only the ledgers inside the PDFs are read. The exit code is 1 where something differs.

    \b
    Example:
      cnnpaper diff old.pdf report/CNN_report.pdf
    """
    from cnnpaper.paper.diff import diff as compare

    text = compare(old, new)
    click.echo(text or "No value, claim, table or figure differs.\n", nl=False)
    return int(bool(text))


@commands.command(name="import-logs")
@click.argument("logs", nargs=-1, required=True, type=folder, metavar="FILE...")
@study_option(None, "The new study's name.", required=True)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="FILE=NAME",
    help="What a log is called, where its name does not say; FILE may be a pattern.",
)
@click.option("--title", default="", help="Of the paper.")
@click.option("--authors", default="", metavar="NAME[,NAME...]", help="Of the paper.")
@click.option("--data", "images", default="", metavar="NAME", help="What the images are.")
def import_logs(
    logs: tuple[Path, ...],
    study: str,
    labels: tuple[str, ...],
    title: str,
    authors: str,
    images: str,
) -> None:
    """Make a study of text logs of the 2023 program, whose paper is typeset like any other.

    FILE is a log, or a folder of logs. Their names have a network in them, as in
    tutorial_resnet18(imagenet_V1)_25epoch_pre_train.log; what stands after it tells runs apart.

    \b
    Examples:
      cnnpaper import-logs logs/ --study cards --authors "A. Student, B. Student"
      cnnpaper import-logs run3.log --study cards --label "run3.log=resnet18 long run"
    """
    from cnnpaper.config import Imported
    from cnnpaper.study.adopt import import_logs as adopt

    names = tuple(name.strip() for name in authors.split(",") if name.strip())
    said = Imported(title=title, authors=names, data=images)
    runs = adopt(ROOT, logs, study, labels, said)
    for run in runs:
        cut = f", incomplete ({len(run.epochs)} of {run.planned} epochs)" * run.is_incomplete
        click.echo(f"{run.path}:{run.line_numbers['header']}: {run.label}{cut}")
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    click.echo(f"{count} in study {study}; the paper: {advice('report', STUDY=study)}")


# ------------------------------------------------------------- clusters, inference, other tools


@commands.command()
@study_option()
@arm_option
@seeds_option
@click.option("--model", metavar="NAME", help="The runs of one network; without it all.")
@data_dir_option
@force_option
@click.option("--dry-run", is_flag=True, help="Submit nothing; print what would be submitted.")
def submit(
    study: str,
    arm: str | None,
    seeds: tuple[int, ...] | None,
    model: str | None,
    data_dir: Path,
    force: bool,
    dry_run: bool,
) -> None:
    """Submit the missing runs of a study to Slurm, each as a job, and return.

    Options of the jobs: experiments/cluster.toml; their script: experiments/job.sh.

    \b
    Examples:
      cnnpaper submit --study full --dry-run
      cnnpaper submit --arm short --model resnet18
    """
    from cnnpaper import config
    from cnnpaper import data as images
    from cnnpaper.runs import cluster, launch

    plan = config.load_study(ROOT, study)
    if model is not None and model not in plan.networks:
        raise config.missing_network(study, model, plan.networks)
    specs = [spec for spec in _declared(plan, arm, seeds) if model in (None, spec.model)]
    if plan.data.set not in ("synthetic", "unknown") and not dry_run:
        images.find(data_dir, plan.data.set)
    launch.need_torch("experiments", CLUSTER="slurm", STUDY=study, ARM=arm, SEEDS=_listed(seeds))
    missing = [spec for spec in specs if force or not launch.finished(ROOT, spec)]
    click.echo(cluster.submit_runs(ROOT, study, missing, data_dir, force, dry_run))
    if any(one.refines for one in plan.arms.values()):
        click.echo("this study decides further runs by what is finished: then submit again")


@commands.command()
@study_option()
def jobs(study: str) -> None:
    """Say which jobs of a study wait, run, or have failed in Slurm.

    \b
    Example:
      cnnpaper jobs --study full
    """
    if text := _jobs(study):
        click.echo(text)


def _jobs(study: str) -> str:
    from cnnpaper import config
    from cnnpaper.runs import cluster, launch

    specs = _declared(config.load_study(ROOT, study), None, None)
    done = {spec.path for spec in specs if launch.finished(ROOT, spec)}
    return cluster.queue_text(ROOT, study, done)


@commands.command()
@study_option()
def cancel(study: str) -> None:
    """Cancel a study's jobs in Slurm; running ones save their state first.

    \b
    Example:
      cnnpaper cancel --study full
    """
    from cnnpaper.runs import cluster

    click.echo(cluster.cancel(ROOT, study))


@commands.command()
@click.argument("images", nargs=-1, required=True, type=folder, metavar="IMAGE...")
@click.option("--run", "name", required=True, metavar="NAME", help="STUDY[/ARM]/MODEL-sSEED.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plot", type=folder, metavar="FILE", help="Draw images and answers into this file.")
def predict(images: tuple[Path, ...], name: str, as_json: bool, plot: Path | None) -> None:
    """Classify images by a trained run: the three likeliest classes, calibrated.

    IMAGE is a file, or a folder; its subfolders may be named after the true classes. Other sizes
    are resized and centre-cropped to 32 x 32 pixels.

    \b
    Examples:
      cnnpaper predict cat.jpg --run reference/short/resnet18-s0
      cnnpaper predict pictures --run full/vgg16-s1 --plot predictions.png
    """
    from cnnpaper.predict import find_run
    from cnnpaper.predict import predict as classify
    from cnnpaper.runs.launch import need_torch

    find_run(ROOT, name)  # a wrong name is said before an environment is asked for
    need_torch("predict", IMAGE=images[0], RUN=name)

    def note(text: str) -> None:
        click.echo(text, err=True)

    classify(ROOT, name, images, as_json=as_json, plot=plot, say=click.echo, note=note)


@commands.command()
@study_option()
@click.option("--tensorboard", is_flag=True, required=True, help="As TensorBoard's event files.")
@click.option("--out", type=folder, metavar="DIR", help="Without it: build/tensorboard.")
@click.option("--follow", is_flag=True, help="Go on while runs train; Ctrl-C ends it.")
def export(study: str, tensorboard: bool, out: Path | None, follow: bool) -> None:
    """Write a study's logs in a form that other tools read; the logs may be growing.

    \b
    Example:
      cnnpaper export --tensorboard --study full --follow
    """
    from cnnpaper import config
    from cnnpaper.export import export as write

    if config.load_study(ROOT, study).origin == "imported":
        raise UserError(f"study {study!r} was imported; its logs are text files and stay so")
    write(ROOT, study, out, 5.0 if follow else None, click.echo)


@commands.command()
def release() -> None:
    """Pack sources, logs, predictions and papers into one archive with their digests.

    \b
    Example:
      cnnpaper release
    """
    from cnnpaper.release import release as pack

    click.echo(pack(ROOT))


# --------------------------------------------------------------------------------------- start


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a closed one is None
            # a Latin-1 terminal shows a question mark where it lacks a letter
            stream.reconfigure(errors="replace")
    code = run(sys.argv[1:])
    with contextlib.suppress(OSError, AttributeError):
        sys.stdout.flush()
        sys.stderr.flush()
        sys.exit(code)
    # the reader has gone away: nothing that is still buffered can be printed at the end
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.exit(code or 141)


def run(arguments: list[str]) -> int:
    """Carry out one command and return its exit code.

    0; 1 where two papers differ; 2 for what the user can fix; 128 + the signal where a run was
    stopped and saved its state. Other exceptions are mistakes of this program and show their
    traceback.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    try:
        return commands.main(arguments, prog_name="cnnpaper", standalone_mode=False) or 0
    except SystemExit:  # what click makes of a reader that has gone away
        return 141
    except Exception as error:
        if debug:
            raise
        code, message = _explained(error)
        with contextlib.suppress(OSError):
            click.echo(f"cnnpaper: {message}", err=True)
        return code


def _explained(error: Exception) -> tuple[int, str]:
    """Exit code and message for an error of the user's or of the system; others are raised."""
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, Interrupted):
        return 128 + error.signal, str(error)
    if isinstance(error, click.Abort):  # what click makes of Ctrl-C
        return 130, "interrupted"
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "cnnpaper"
        return 2, f"{error.format_message()}\nexamples and options: {path} --help"
    if isinstance(error, click.ClickException):
        return 2, error.format_message()
    if isinstance(error, ModuleNotFoundError) and error.name in ONLY_FOR_TRAINING:
        return 2, (
            f"this needs {error.name}, which this environment does not hold\n"
            f"set it up: {advice('training-environment')}\nthen call .venv-train/bin/cnnpaper"
        )
    if memory_ran_out(error):
        return 2, "memory ran out; close other programs, or give each step fewer images"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return 2, f"{where}{error.strerror}\n{REMEDIES.get(error.errno, 'fix that')} and rerun"
    raise error


REMEDIES = {
    errno.ENOSPC: "make room on this disk",
    errno.EDQUOT: "make room within your quota",
    errno.EROFS: "work in a copy on a disk that can be written",
    errno.EACCES: "give yourself the right to read and write it",
    errno.EPERM: "give yourself the right to do this",
    errno.EMFILE: "allow more open files (ulimit -n 4096)",
    errno.EAGAIN: "allow more processes (ulimit -u), or close other programs,",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EIO: "check the disk, or work in a copy on another one,",
    errno.ESTALE: "mount the network's disk again",
}
"""What helps against an error of the system."""
