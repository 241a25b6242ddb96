"""The one command line. Each command imports what it needs when it is called."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import time
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnpaper.advice import advice, trouble
from cnnpaper.files import Interrupted, UserError

if TYPE_CHECKING:
    from cnnpaper.config import RunSpec, Study
    from cnnpaper.paper import Edition

ROOT = Path()
"""The current folder is the root of the repository."""
DEFAULT_EPOCHS = 25
Decorator = Callable[[Callable[..., Any]], Any]
Seeds = tuple[int, ...] | None
ONLY_FOR_TRAINING = {"torch", "torchvision", "pyarrow", "safetensors"}

# ------------------------------------------------------------------------------------- options


def several_seeds(value: str) -> tuple[int, ...]:
    """The type of an option that takes seeds, separated by commas."""
    seeds = [int(part) for part in value.split(",") if re.fullmatch(" *[0-9]{1,10} *", part)]
    if len(seeds) <= value.count(",") or max(seeds) >= 2**32:
        text = "is not a list of whole numbers below 2**32; for instance 0,1,2"
        raise click.BadParameter(f"{value[:40]!r} {text}")
    return tuple(dict.fromkeys(seeds))


def clock(value: str) -> float:
    """The type of ``--until``: the next time at which the clock shows HH:MM, as ``time.time``."""
    try:
        at = time.strptime(value, "%H:%M")
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time of day; for instance 02:40") from None
    asked = time.mktime((*time.localtime()[:3], at.tm_hour, at.tm_min, 0, 0, 0, -1))
    return asked if asked > time.time() else asked + 86_400


def folder(value: str) -> Path:
    """The type of an option that takes a path; ``~`` is the user's home."""
    return Path(os.path.expanduser(value))  # noqa: PTH111 - Path's own raises for an unknown user


def composed(value: str) -> str:
    """The type of an option that takes a name: its letters composed, however they were typed."""
    return unicodedata.normalize("NFC", value)


def carried(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Let the commands of messages have this option, as :func:`cnnpaper.advice.advice` does."""
    if value != parameter.get_default(ctx):
        os.environ[str(parameter.envvar)] = str(value)
    return value


def study_option(default: str | None = "reference", **more: Any) -> Decorator:
    """``--study``, by default the reference study."""
    settings: dict[str, Any] = {"show_default": True, "help": "A study's name."} | more
    return click.option("--study", default=default, type=composed, metavar="NAME", **settings)


seeds_option = click.option(
    "--seed", "--seeds", "seeds", type=several_seeds, metavar="N[,N...]",
    help="Which seeds; without it all of the study's.",
)  # fmt: skip
model_option = click.option(
    "--model", required=True, metavar="NAME", help="A network: alexnet, resnet18, ..."
)
arm_option = click.option("--arm", metavar="NAME", help="One arm of the study; without it all.")
gpus_option = click.option(
    "--gpus", default="auto", envvar="GPUS", callback=carried, show_default=True, metavar="LIST",
    help="auto (GPU 0 if there is one, else the CPU), cpu, a GPU's number, or several: 0,1.",
)  # fmt: skip
data_dir_option = click.option(
    "--data-dir", type=folder, default="data", envvar="DATA_DIR", callback=carried,
    show_envvar=True, show_default=True, metavar="DIR", help="Where the images are.",
)  # fmt: skip
force_option = click.option(
    "--force", is_flag=True, help="Start over what is finished; the old log is kept."
)
stale_option = click.option(
    "--allow-stale", is_flag=True,
    help="Build although runs are not those of today's code; the first page then says so.",
)  # fmt: skip


def declared(plan: Study, arm: str | None, seeds: Seeds, model: str | None = None) -> list[RunSpec]:
    """The runs of a study that are asked for, by now: a tuning study decides by what is there."""
    from cnnpaper import tuning

    if plan.origin == "imported":
        raise UserError(
            f"study {plan.name!r} was imported from logs of another program; it has no training"
        )
    arms = {name: one for name, one in plan.arms.items() if arm in (None, name)}
    all_seeds = sorted({seed for one in arms.values() for seed in one.seeds})
    add = f"add it to experiments/study/{plan.name}.toml: the paper is about all of them"
    for what, asked, known, remedy in (
        ("network", {model}, plan.networks,
         f"train it in a study of your own: {advice(model or '', EPOCHS=10)}"),
        ("arm", {arm}, [name for name in plan.arms if name], add),
        ("seed", {*(seeds or ())}, all_seeds, add),
    ):  # fmt: skip
        if unknown := asked - {None, *known}:
            has = ", ".join(map(str, known)) or "none"
            text = f"study {plan.name!r} has no {what} {unknown.pop()!r}; it has {has}"
            raise UserError(f"{text}\n{remedy}")
    return [
        spec for spec in tuning.declared(ROOT, plan)
        if spec.arm in arms and spec.seed in (seeds or all_seeds) and model in (None, spec.model)
    ]  # fmt: skip


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="`make` alone lists the targets that call these commands and set up what they need.",
)
@click.version_option(package_name="cnnpaper")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")
def commands() -> None:
    """Convolutional networks on CIFAR-10: experiment files in, a paper out."""


def command(*examples: str) -> Decorator:
    """A command whose help ends with examples."""
    lines = "\n".join(f"  cnnpaper {example}" for example in examples)
    return commands.command(epilog=f"\b\nExamples:\n{lines}" if lines else None)


# ------------------------------------------------------------------------------------ training


@command(
    "train --model alexnet --epochs 10 --gpus 0",
    "train --model resnet18 --study full --seeds 0,1,2",
    "train --model vgg16 --batch-size 128 --data-dir ~/cifar10",
    "train --model resnet18 --epochs 5 --precision float32",
)
@study_option(None, help="A study of experiments/study. Without it: single-EPOCHSep.")
@model_option
@click.option(
    "--epochs",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help=f"Without --study: {DEFAULT_EPOCHS}.",
)
@click.option(
    "--batch-size", type=click.IntRange(2, 65_536), metavar="N",
    help="Images per step, without --study; else the recipe's.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]),
    help="Without --study; else the recipe's. Ask for float32 if the processor has no bfloat16.",
)  # fmt: skip
@arm_option
@seeds_option
@click.option("--variant", metavar="NAME", help="One point of the study's grid.")
@data_dir_option
@gpus_option
@force_option
def train(
    study: str | None, model: str, epochs: int | None, batch_size: int | None,
    precision: str | None, arm: str | None, seeds: Seeds, variant: str | None, data_dir: Path,
    gpus: str, force: bool,
) -> None:  # fmt: skip
    """Train one network; finished runs are skipped, interrupted ones resume.

    The log goes to results/log/STUDY[/ARM]/MODEL-sSEED.
    """
    from cnnpaper import config

    config.load_experiment(ROOT, model)
    own = {"EPOCHS": epochs or 10, "BATCH_SIZE": batch_size, "PRECISION": precision}
    if study and (epochs or batch_size or precision):
        raise UserError(
            "--epochs, --batch-size and --precision make a study of your own: leave out --study\n"
            f"with make: {advice(model, **own)}"
        )
    name = f"single-{epochs or DEFAULT_EPOCHS}ep"
    name += (f"-b{batch_size}" if batch_size else "") + (f"-{precision}" if precision else "")
    plan = config.load_study(ROOT, study or name)
    if config.SINGLE.match(plan.name):
        plan = plan.model_copy(update={"networks": (model,), "seeds": seeds or plan.seeds})

    def specs() -> list[RunSpec]:
        found = declared(plan, arm, seeds, model)
        return [spec for spec in found if variant in (None, spec.variant)]

    if not specs():
        name = f"study {plan.name!r} has no run of {model}"
        if found := declared(plan, arm, seeds, model):
            known = ", ".join(sorted({spec.variant for spec in found if spec.variant})) or "none"
            raise UserError(f"{name} with --variant {variant}; it has {known}")
        text = f"{name} yet: runs that are still missing decide which there will be"
        raise UserError(f"{text}\nmake them: {advice('experiments', STUDY=plan.name)}")
    _start(plan, specs, data_dir, gpus, force)


@command(
    "experiments --study smoke",
    "experiments --arm short --until 02:40",
    "experiments --study full --gpus 0,1",
)
@study_option()
@arm_option
@seeds_option
@data_dir_option
@gpus_option
@click.option(
    "--until", type=clock, metavar="HH:MM", help="Skip runs that are estimated to end later."
)
@force_option
def experiments(
    study: str, arm: str | None, seeds: Seeds, data_dir: Path, gpus: str, until: float | None,
    force: bool,
) -> None:  # fmt: skip
    """Train the missing runs of a study; finished ones are skipped, interrupted ones resume."""
    from cnnpaper import config

    plan = config.load_study(ROOT, study)
    if config.SINGLE.match(plan.name) and not (ROOT / "results" / "log" / plan.name).is_dir():
        raise UserError(
            f"study {plan.name!r} is made of the runs that were started in it, and there is none "
            f"yet\nstart one: {advice('alexnet', EPOCHS=plan.epochs)}"
        )
    _start(plan, partial(declared, plan, arm, seeds), data_dir, gpus, force, until)


def _start(
    plan: Study, specs: Callable[[], list[RunSpec]], data_dir: Path, gpus: str, force: bool,
    until: float | None = None,
) -> None:  # fmt: skip
    """Check what can be checked without torch, then train; ``specs`` gives the runs by then."""
    from cnnpaper.runs import launch
    from cnnpaper.timings import estimate_s

    first, devices = specs(), launch.devices_of(gpus)
    if len(first) == 1 and len(devices) > 1:
        text = "several devices serve several runs of a study"
        raise UserError(f"--gpus {gpus}: one run uses one device, so name one\n{text}")
    _find_images(plan, data_dir)
    where: Any = {"root": ROOT, "data_dir": data_dir, "force": force}
    if len(first) == 1:
        return launch.train_run(first[0], device=devices[0], **where)
    missing = first if force else launch.unfinished(ROOT, first)
    click.echo(f"{plan.name}: {len(missing)} of {len(first)} runs to train")
    launch.train_study(
        missing, devices=devices, until=until, estimate=partial(estimate_s, ROOT),
        more=lambda: launch.unfinished(ROOT, specs()), **where,
    )  # fmt: skip


def _find_images(plan: Study, data_dir: Path) -> None:
    """Refuse, before torch is imported, where the images are missing."""
    from cnnpaper import data

    if plan.data.set != "synthetic":
        data.find(data_dir, plan.data.set)


@command("submit --study full --dry-run", "submit --arm short --model resnet18")
@study_option()
@arm_option
@seeds_option
@click.option("--model", metavar="NAME", help="The runs of one network; without it all.")
@data_dir_option
@click.option("--dry-run", is_flag=True, help="Submit nothing; print what would be submitted.")
@force_option
def submit(
    study: str, arm: str | None, seeds: Seeds, model: str | None, data_dir: Path, dry_run: bool,
    force: bool,
) -> None:  # fmt: skip
    """Submit the missing runs of a study to Slurm, each as a job, and return.

    Options of the jobs: experiments/cluster.toml; their script: experiments/job.sh.
    """
    from cnnpaper import config
    from cnnpaper.runs import cluster, launch

    plan = config.load_study(ROOT, study)
    specs = declared(plan, arm, seeds, model)
    if not dry_run:
        _find_images(plan, data_dir)
    launch.need_torch()
    missing = specs if force else launch.unfinished(ROOT, specs)
    click.echo(cluster.submit(ROOT, plan.name, missing, data_dir, force, dry_run))
    if any(one.refines for one in plan.arms.values()):
        click.echo("this study decides further runs by what is finished: then submit again")


@command()
@study_option()
def cancel(study: str) -> None:
    """Cancel a study's jobs in Slurm; running ones save their state first."""
    from cnnpaper.runs import cluster

    click.echo(cluster.cancel(ROOT, study))


@command("status --study full")
@study_option()
def status(study: str) -> None:
    """Say what is done, what is missing, what that will cost, and which jobs wait, run or failed.

    Jobs are those of Slurm, where some were submitted.
    """
    from cnnpaper.runs import cluster
    from cnnpaper.study.status import status as status_of

    click.echo(status_of(ROOT, study), nl=False)
    if text := cluster.jobs_text(ROOT, study):
        click.echo(text)


@command()
@study_option()
@gpus_option
@data_dir_option
def timing(study: str, gpus: str, data_dir: Path) -> None:
    """Measure how long a step of each network takes, and its peak memory, on an idle machine.

    Twelve rounds of twenty steps of every network in turn. The lines go to
    results/log/STUDY/timing.jsonl, from where the paper takes them.
    """
    from cnnpaper import config
    from cnnpaper.runs import launch

    plan = config.load_study(ROOT, study)
    declared(plan, None, None)  # refuses one that was imported
    if len(launch.devices_of(gpus)) > 1:
        raise UserError(f"--gpus {gpus}: steps are timed on one device, so name one")
    device = launch.torch_device(gpus)
    from cnnpaper.runs.timing import time_session

    arm, first = next(iter(plan.arms.items()))
    specs = [config.run_spec(ROOT, plan, model, first.seeds[0], arm=arm) for model in plan.networks]
    with launch.device_lock(gpus, device):
        time_session(ROOT, specs, data_dir=data_dir, device=gpus, say=click.echo)


@command()
@study_option()
def budget(study: str) -> None:
    """Print the steps of each arm of equal time, from the study's timing."""
    from cnnpaper.timings import budget_text

    click.echo(budget_text(ROOT, study))


@command()
@study_option("tuning")
def tune(study: str) -> None:
    """Print what a tuning study has decided, and what it still has to try."""
    from cnnpaper.tuning import tuning_text

    click.echo(tuning_text(ROOT, study))


@command("data --set jpeg75", "data --data-dir ~/cifar10")
@click.option(
    "--set", "wanted", type=click.Choice(["original", "jpeg75"]),
    help="Fetch this one unless it is there: the original, or the re-encoded set of study "
    "reference. Without it: check what is there; where nothing is, fetch the original.",
)  # fmt: skip
@data_dir_option
def data(wanted: str | None, data_dir: Path) -> None:
    """Find, fetch and check the images.

    The folder may hold the python or the binary archive, packed or unpacked, parquet files, or
    images as train/CLASS/NNNN.png. Whatever it is, the pixels decide what it is called.
    """
    from cnnpaper import data as images

    if wanted is None:
        try:
            images.find(data_dir)
        except UserError:
            wanted = "original"
    if wanted is not None:
        images.fetch(wanted, data_dir, click.echo)
    click.echo(images.check(data_dir))


# -------------------------------------------------------------------------------- executed again


@command()
@study_option()
@data_dir_option
def verify(study: str, data_dir: Path) -> None:
    """Execute the miniature and first steps of every run again, and compare.

    Where only code of the engine has changed, both its old and its present version are executed
    here; equal bits make the run fresh (verified.json beside its log).
    """
    from cnnpaper.replay import verify_study

    verify_study(ROOT, study, data_dir, click.echo)


@command("reproduce --model alexnet --seed 0 --arm short")
@study_option()
@arm_option
@seeds_option
@model_option
@data_dir_option
def reproduce(study: str, arm: str | None, seeds: Seeds, model: str, data_dir: Path) -> None:
    """Train a finished run from scratch below build/reproduce, and compare every logged value."""
    from cnnpaper import config
    from cnnpaper.replay import reproduce as train_and_compare

    specs = declared(config.load_study(ROOT, study), arm, seeds, model)
    if len(specs) != 1:
        found = ", ".join(spec.path for spec in specs) or "none, which is not decided yet"
        raise UserError(f"--model, --arm and --seed must name one run, and they name {found}")
    train_and_compare(ROOT, specs[0], data_dir, click.echo)


@commands.command(hidden=True)
def replay() -> None:
    """Execute one run's miniature and first steps; a request on standard input, JSON out."""
    from cnnpaper.replay import execute

    print(execute(ROOT, sys.stdin.read()))


# -------------------------------------------------------------------------------------- papers


@command("report", "report --study smoke --edition html")
@study_option()
@click.option(
    "--edition", type=click.Choice(["en", "ko", "html", "ko.html"]), default="en",
    show_default=True, help="English or Korean PDF, English or Korean HTML.",
)  # fmt: skip
@stale_option
def report(study: str, edition: Edition, allow_stale: bool) -> None:
    """Write the paper of a study: report/CNN_report.pdf, or CNN_report-STUDY.pdf."""
    from cnnpaper.paper.build import build_report

    build_report(ROOT, study, edition=edition, allow_stale=allow_stale, say=click.echo)


@command()
@study_option()
@stale_option
def figures(study: str, allow_stale: bool) -> None:
    """Write every figure of a study's paper as PDF, PNG and SVG."""
    from cnnpaper.paper.build import build_figures

    build_figures(ROOT, study, allow_stale=allow_stale, say=click.echo)


@command()
@study_option()
@stale_option
def tables(study: str, allow_stale: bool) -> None:
    """Write every table of a study's paper as CSV and Markdown."""
    from cnnpaper.paper.build import build_tables

    build_tables(ROOT, study, allow_stale=allow_stale, say=click.echo)


@command("explain short.resnet18.test_acc", "explain 78.92")
@click.argument("key")
@study_option()
def explain(key: str, study: str) -> None:
    """Trace a number of the paper to its source: formula, file and line, run, command.

    KEY is a key of the ledger, or a text as the paper prints it.
    """
    from cnnpaper.paper.explain import explain as explanation

    click.echo(explanation(ROOT, study, key))


@command()
@study_option()
@stale_option
def bundle(study: str, allow_stale: bool) -> None:
    """Pack the sources of a study's paper for a publisher, and set them once to try them."""
    from cnnpaper.paper.bundle import bundle as pack

    pack(ROOT, study, allow_stale=allow_stale, say=click.echo)


@command("diff old.pdf report/CNN_report.pdf")
@click.argument("old", type=folder, metavar="OLD.pdf")
@click.argument("new", type=folder, metavar="NEW.pdf")
def diff(old: Path, new: Path) -> int:
    """Compare two papers: values, claims, tables and figures that differ, as Markdown.

    Only the ledgers inside the PDFs are read. The exit code is 1 where something differs.
    """
    from cnnpaper.paper.diff import diff as compare

    text = compare(old, new)
    click.echo(text or "No value, claim, table or figure differs.\n", nl=False)
    return int(bool(text))


@command(
    'import-logs logs/ --study cards --authors "A. Student, B. Student"',
    'import-logs run3.log --study cards --label "run3.log=resnet18 long run"',
)
@click.argument("logs", nargs=-1, required=True, type=folder, metavar="FILE...")
@study_option(None, help="The new study's name.", required=True)
@click.option(
    "--label", "labels", multiple=True, metavar="FILE=NAME",
    help="What a log is called, where its name does not say; FILE may be a pattern.",
)  # fmt: skip
@click.option("--title", default="", help="Of the paper.")
@click.option("--authors", default="", metavar="NAME[,NAME...]", help="Of the paper.")
@click.option("--data", "images", default="", metavar="NAME", help="What the images are.")
def import_logs(
    logs: tuple[Path, ...], study: str, labels: tuple[str, ...], title: str, authors: str,
    images: str,
) -> None:  # fmt: skip
    """Make a study of text logs of the 2023 program, whose paper is typeset like any other.

    FILE is a log, or a folder of logs. Their names have a network in them, as in
    tutorial_resnet18(imagenet_V1)_25epoch_pre_train.log; what stands after it tells runs apart.
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


# ------------------------------------------------------------------------ inference, other tools


@command(
    "predict cat.jpg --run reference/short/resnet18-s0",
    "predict pictures --run full/vgg16-s1 --plot predictions.png",
)
@click.argument("images", nargs=-1, required=True, type=folder, metavar="IMAGE...")
@click.option("--run", "name", required=True, metavar="NAME", help="STUDY[/ARM]/MODEL-sSEED.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plot", type=folder, metavar="FILE", help="Draw images and answers into this file.")
def predict(images: tuple[Path, ...], name: str, as_json: bool, plot: Path | None) -> None:
    """Classify images by a trained run: the three likeliest classes, calibrated.

    IMAGE is a file, or a folder; its subfolders may be named after the true classes. Other sizes
    are resized and centre-cropped to 32 x 32 pixels.
    """
    from cnnpaper.predict import predict as classify

    note = partial(click.echo, err=True)
    classify(ROOT, name, images, as_json=as_json, plot=plot, say=click.echo, note=note)


@command("export --tensorboard --study full --follow")
@study_option()
@click.option("--tensorboard", is_flag=True, required=True, help="As TensorBoard's event files.")
@click.option("--out", type=folder, metavar="DIR", help="Without it: build/tensorboard.")
@click.option("--follow", is_flag=True, help="Go on while runs train; Ctrl-C ends it.")
def export(study: str, tensorboard: bool, out: Path | None, follow: bool) -> None:
    """Write a study's logs as event files, which TensorBoard, Aim and others read."""
    from cnnpaper import config
    from cnnpaper.export import export as write

    if config.load_study(ROOT, study).origin == "imported":
        raise UserError(f"study {study!r} was imported; its logs are text files and stay so")
    write(ROOT, study, out, click.echo)
    while follow:
        time.sleep(5)
        write(ROOT, study, out, lambda _: None)


@command()
def release() -> None:
    """Pack sources, logs, predictions and papers into one archive with their digests."""
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
        code, message = _explained(error, arguments)
        with contextlib.suppress(OSError):
            click.echo(f"cnnpaper: {message}", err=True)
        return code


def _explained(error: Exception, arguments: list[str]) -> tuple[int, str]:
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
    if isinstance(error, ModuleNotFoundError) and error.name in ONLY_FOR_TRAINING:
        again = shlex.join([".venv-train/bin/cnnpaper", *arguments])
        return 2, (
            f"this needs {error.name}, which this environment does not have\n"
            f"set it up: {advice('training-environment')}\nthen: {again}"
        )
    if message := trouble(error):
        return 2, f"{message} and rerun"
    raise error
