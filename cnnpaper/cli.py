"""The one command line. Each command imports what it needs when it is called."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnpaper.errors import Interrupted, UserError, nearest

if TYPE_CHECKING:
    from cnnpaper.config import RunSpec, Study

ROOT = Path()
"""The current folder is the root of the artifact."""
DEFAULT_EPOCHS = 25
MOST_EPOCHS = 100_000
ONLY_FOR_TRAINING = {"torch", "torchvision", "pyarrow"}


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


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def study_option(default: str | None, text: str) -> Decorator:
    return click.option("--study", default=default, metavar="NAME", show_default=True, help=text)


seeds_option = click.option(
    "--seed",
    "--seeds",
    "seeds",
    type=several_seeds,
    metavar="N[,N...]",
    help="Which seeds; without it all of the study's.",
)
gpus_option = click.option(
    "--gpus",
    default="auto",
    show_default=True,
    metavar="LIST",
    help="auto (GPU 0 if there is one, else the CPU), cpu, a GPU's number, or several: 0,1. "
    "One run uses one device; several runs spread over several.",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    envvar="DATA_DIR",
    show_envvar=True,
    show_default=True,
    help="Where the images are.",
)
force_option = click.option(
    "--force", is_flag=True, help="Begin anew what is finished; the old log is kept beside."
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
@data_dir_option
@click.option(
    "--batch-size",
    type=whole_number(2, 65536, "--batch-size 128"),
    metavar="N",
    help="Images per step; without it the recipe's.",
)
@click.option("--variant", metavar="NAME", help="One trial of a study that has trials.")
@force_option
def train(
    model: str,
    epochs: int | None,
    gpus: str,
    seeds: tuple[int, ...] | None,
    study: str | None,
    data_dir: Path,
    batch_size: int | None,
    variant: str | None,
    force: bool,
) -> None:
    """Train one network; finished runs are skipped, begun ones go on.

    The log goes to results/log/STUDY/MODEL-sSEED.

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
    plan = config.load_study(ROOT, study)
    _check_model(plan, model)
    chosen = _chosen_seeds(plan, seeds)
    if variant is not None or config.all_trials(plan):
        specs = _trials_of(plan, model, chosen, variant)
    else:
        specs = [config.run_spec(ROOT, plan, model, seed) for seed in chosen]
    _check_settings(specs[0], epochs, batch_size)
    _start(specs, gpus, data_dir, force, f"{model} STUDY={study}")


@commands.command()
@study_option("reference", "A study of experiments/study.")
@seeds_option
@gpus_option
@data_dir_option
@force_option
def experiments(
    study: str, seeds: tuple[int, ...] | None, gpus: str, data_dir: Path, force: bool
) -> None:
    """Do every run of a study that is missing.

    \b
    Examples:
      cnnpaper experiments --study smoke
      cnnpaper experiments --study full --gpus 0,1
    """
    from cnnpaper import config

    plan = config.load_study(ROOT, study)
    if _is_single(plan) and not (ROOT / "results" / "log" / study).is_dir():
        raise UserError(
            f"study {study!r} is made of the runs that were begun in it, and there is none yet\n"
            f"begin one: make alexnet EPOCHS={plan.epochs}"
        )
    chosen = _chosen_seeds(plan, seeds)
    specs = [spec for spec in config.run_specs(ROOT, plan) if spec.seed in chosen]
    _start(specs, gpus, data_dir, force, f"experiments STUDY={study}")


@commands.command()
@study_option("ablation", "A study with trials.")
def ablation(study: str) -> None:
    """Write the tables of a study's trials into experiments/README.md.

    \b
    Example:
      cnnpaper experiments --study ablation --gpus cpu:0,cpu:1
      cnnpaper ablation
    """
    from cnnpaper.ablation import write

    click.echo(f"written: {write(ROOT, study)}")


def _check_model(plan: Study, model: str) -> None:
    """Refuse a network that the study is not about; a study of one's own takes any."""
    if not _is_single(plan) and model not in plan.networks:
        raise UserError(
            f"study {plan.name!r} is not about {model!r}, but about {', '.join(plan.networks)}\n"
            f"train it in another study: make {model} STUDY=full; "
            f"or in one of your own: make {model} EPOCHS=10"
        )


def _chosen_seeds(plan: Study, seeds: tuple[int, ...] | None) -> tuple[int, ...]:
    """The seeds that were asked for, which must be the study's; a study of one's own takes any."""
    if plan.origin == "imported":
        raise UserError(
            f"study {plan.name!r} was imported from logs of another program; it cannot be trained"
        )
    for seed in seeds or ():
        if not _is_single(plan) and seed not in plan.seeds:
            raise UserError(
                f"study {plan.name!r} has no seed {seed}; it has {', '.join(map(str, plan.seeds))}"
                f"\nadd it to experiments/study/{plan.name}.toml: the paper is about all of them"
            )
    return seeds or plan.seeds


def _trials_of(
    plan: Study, model: str, seeds: tuple[int, ...], variant: str | None
) -> list[RunSpec]:
    """The trials of one network in a study that has trials; one of them where it is named."""
    from cnnpaper import config

    specs = [spec for spec in config.run_specs(ROOT, plan) if spec.model == model]
    known = list(dict.fromkeys(spec.variant for spec in specs if spec.variant))
    if variant is not None and variant not in known:
        has = ", ".join(known) or "none"
        raise UserError(
            f"--variant {variant}: study {plan.name!r} has no such trial of {model}"
            f"{nearest(variant, known)}\nits trials: {has}"
        )
    return [s for s in specs if s.seed in seeds and variant in (None, s.variant)]


def _is_single(plan: Study) -> bool:
    """Is it a study without a file, which ``train`` writes for itself?"""
    from cnnpaper.config import SINGLE

    return SINGLE.match(plan.name) is not None


def _check_settings(spec: RunSpec, epochs: int | None, batch_size: int | None) -> None:
    """Refuse settings other than the study's: its paper says that all its runs have them."""
    for option, given, has in (
        ("epochs", epochs, spec.epochs),
        ("batch-size", batch_size, spec.recipe.batch_size),
    ):
        if given not in (None, has):
            raise UserError(
                f"--{option} {given}: study {spec.study!r} sets it to {has} for {spec.model}\n"
                "leave out --study for a study of your own (make: EPOCHS without STUDY), "
                "or write a study file"
            )


def _start(specs: list[RunSpec], gpus: str, data_dir: Path, force: bool, target: str) -> None:
    """Check what can be checked without torch, then train."""
    from cnnpaper.learn import runner, sources

    devices = runner.devices_of(gpus)
    if len(specs) == 1 and len(devices) > 1:
        raise UserError(
            f"--gpus {gpus}: one run uses one device, so name one\n"
            "several devices serve several runs: make experiments GPUS=0,1"
        )
    if any(spec.data.set not in ("synthetic", "unknown") for spec in specs):
        sources.find(data_dir)
    need_torch(target)
    if len(specs) == 1:
        runner.train_run(specs[0], root=ROOT, data_dir=data_dir, device=devices[0], force=force)
    else:
        runner.train_study(specs, root=ROOT, data_dir=data_dir, devices=devices, force=force)


def need_torch(target: str) -> None:
    """Refuse where torch is missing.

    Args:
        target: of make, which sets it up and does the same.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            f"this needs torch, which this environment does not hold: make {target}\n"
            "sets it up first; .venv-train/bin/cnnpaper is the command line that has it"
        )


def one_device(gpus: str) -> str:
    """The one device that a measurement uses.

    Raises:
        UserError: several are named.
    """
    from cnnpaper.learn import runner

    devices = runner.devices_of(gpus)
    if len(devices) > 1:
        raise UserError(f"--gpus {gpus}: a measurement uses one device, so name one")
    return devices[0]


@commands.command()
@study_option("reference", "A study of experiments/study; its networks are measured.")
@click.option("--model", metavar="NAME", help="This network alone, in this process.")
@click.option(
    "--repetitions",
    type=whole_number(1, 10_000, "--repetitions 20"),
    default="20",
    show_default=True,
    metavar="N",
    help="Steps that are timed.",
)
@gpus_option
@data_dir_option
def timing(study: str, model: str | None, repetitions: int, gpus: str, data_dir: Path) -> None:
    """Measure how long a step of each network takes, by section, and its peak memory.

    The lines go to results/log/STUDY/timing.jsonl, from where the paper takes them. Nothing else
    trains meanwhile.

    \b
    Examples:
      cnnpaper timing
      cnnpaper timing --study smoke --model alexnet --repetitions 5
    """
    from cnnpaper import config
    from cnnpaper.learn import runner

    plan = config.load_study(ROOT, study)
    seed = _chosen_seeds(plan, None)[0]
    device = one_device(gpus)
    need_torch(f"timing STUDY={study}")
    if model is None:
        runner.time_study(
            plan, root=ROOT, data_dir=data_dir, device=device, repetitions=repetitions
        )
        return
    _check_model(plan, model)
    spec = config.run_spec(ROOT, plan, model, seed)
    runner.set_environment(spec)
    from cnnpaper.learn.timing import summary, time_network

    line = time_network(ROOT, spec, data_dir=data_dir, device=device, repetitions=repetitions)
    click.echo(summary(line))


@commands.command()
@study_option("reference", "Whose networks, split, threads and first seed are used.")
@click.option(
    "--models",
    default="alexnet,resnet18",
    show_default=True,
    metavar="NAME[,NAME...]",
    help="Networks that the plain loop trains.",
)
@click.option(
    "--epochs",
    type=whole_number(1, MOST_EPOCHS, "--epochs 3"),
    metavar="N",
    help="Epochs of the plain loop; without it the study's.",
)
@click.option(
    "--pairs",
    type=whole_number(0, 100, "--pairs 5"),
    default="5",
    show_default=True,
    metavar="N",
    help="How often both loops are timed, for each network of the study; 0: no speed.",
)
@click.option(
    "--steps",
    type=whole_number(1, 10_000, "--steps 12"),
    default="12",
    show_default=True,
    metavar="N",
    help="Steps of each timing.",
)
@data_dir_option
def peer(
    study: str, models: str, epochs: int | None, pairs: int, steps: int, data_dir: Path
) -> None:
    """Compare our training with a plain loop: accuracy and images per second, on the CPU.

    The plain loop has the recipe of kuangliu/pytorch-cifar. Its runs go to results/log/peer; those
    that are finished are skipped, begun ones go on at their last epoch. The tables go to
    build/bench-peer.md.

    \b
    Examples:
      cnnpaper peer
      cnnpaper peer --models resnet18 --pairs 0
    """
    from cnnpaper import config

    plan = config.load_study(ROOT, study)
    _chosen_seeds(plan, None)
    networks = [name.strip() for name in models.split(",")]
    for model in networks:
        _check_model(plan, model)
    need_torch(f"bench-peer STUDY={study}")
    from cnnpaper.learn import runner

    # not set_environment: what else ours does to its process is none of a plain loop's
    runner.set_libraries(config.run_spec(ROOT, plan, networks[0], plan.seeds[0]))
    from cnnpaper.learn.bench import bench

    text = bench(
        ROOT,
        plan,
        data_dir=data_dir,
        networks=networks,
        epochs=epochs or plan.epochs,
        pairs=pairs,
        steps=steps,
        say=click.echo,
    )
    click.echo("\n" + text)


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
    from cnnpaper.learn import data as images
    from cnnpaper.learn import download, sources

    try:
        sources.find(data_dir)
    except UserError:
        if data_dir.exists() and not data_dir.is_dir():
            raise
        wanted = wanted or "original"
    if wanted is not None:
        download.fetch(wanted, data_dir)
    click.echo(images.check(data_dir))


# -------------------------------------------------------------------------------- executed again


@commands.command()
@study_option("reference", "The study whose runs are executed again.")
@data_dir_option
def verify(study: str, data_dir: Path) -> None:
    """Execute the runs of a study again, in small and in their first steps, and compare.

    Every bit must agree on the processor type and packages that made the run, elsewhere what does
    not depend on last bits, and losses within a measured tolerance. Writes to build/ only.

    \b
    Example:
      cnnpaper verify --study reference
    """
    _check_images(study, data_dir, f"verify STUDY={study}")
    from cnnpaper.learn.verify import verify_study

    verify_study(ROOT, study, data_dir, click.echo)


@commands.command()
@study_option("reference", "The study whose runs are executed again.")
@data_dir_option
def certify(study: str, data_dir: Path) -> None:
    """Verify, and write a certificate beside every run that gave each recorded bit.

    It makes a run fresh whose code has changed since, if the replay executed all that changed.

    \b
    Example:
      cnnpaper certify --study reference
    """
    _check_images(study, data_dir, f"certify STUDY={study}")
    from cnnpaper.learn.verify import certify_study

    certify_study(ROOT, study, data_dir, click.echo)


@commands.command()
@click.option("--model", required=True, metavar="NAME", help="A network of the study.")
@click.option(
    "--seed",
    type=whole_number(0, 2**32 - 1, "--seed 0"),
    default="0",
    show_default=True,
    metavar="N",
    help="A seed of the study.",
)
@study_option("reference", "The study of the run.")
@data_dir_option
def reproduce(model: str, seed: int, study: str, data_dir: Path) -> None:
    """Train a finished run anew, below build/reproduce, and compare every logged value.

    \b
    Example:
      cnnpaper reproduce --model alexnet --seed 0
    """
    from cnnpaper import config

    config.load_experiment(ROOT, model)
    plan = config.load_study(ROOT, study)
    _check_model(plan, model)
    _chosen_seeds(plan, (seed,))
    _check_images(study, data_dir, f"reproduce STUDY={study} MODEL={model} SEED={seed}")
    from cnnpaper.learn.reproduce import reproduce as train_and_compare

    train_and_compare(ROOT, study, model, seed, data_dir, click.echo)


def _check_images(study: str, data_dir: Path, target: str) -> None:
    """Say what is missing before anything is executed: the study, the images, torch."""
    from cnnpaper import config
    from cnnpaper.learn import sources

    plan = config.load_study(ROOT, study)
    if plan.data.set not in ("synthetic", "unknown"):
        sources.find(data_dir)
    need_torch(target)


# -------------------------------------------------------------------------------------- papers


@commands.command()
@study_option("reference", "The study that the paper is about.")
@stale_option
def report(study: str, allow_stale: bool) -> None:
    """Write the paper of a study: report/CNN_report.pdf, or CNN_report-STUDY.pdf.

    Only what has changed, by content, is built again.

    \b
    Examples:
      cnnpaper report
      cnnpaper report --study smoke
    """
    from cnnpaper.paper.build import build_report

    build_report(ROOT, study, allow_stale=allow_stale, say=click.echo)


@commands.command()
@study_option("reference", "The study that the figures are about.")
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
@study_option("reference", "The study that the tables are about.")
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
@study_option("reference", "The study that the paper is about.")
def status(study: str) -> None:
    """Say what is done, what is missing, and what each missing run will cost.

    \b
    Example:
      cnnpaper status --study full
    """
    from cnnpaper.status import status as status_of

    click.echo(status_of(ROOT, study), nl=False)


@commands.command()
@click.argument("key")
@study_option("reference", "The study that the paper is about.")
def explain(key: str, study: str) -> None:
    """Follow a number of the paper back: formula, file and line, run, fingerprint, command.

    KEY is a key of the ledger, or a text as the paper prints it.

    \b
    Examples:
      cnnpaper explain resnet18.test_acc
      cnnpaper explain 77.61 --study smoke
    """
    from cnnpaper.paper.explain import explain as explanation

    click.echo(explanation(ROOT, study, key))


@commands.command(name="import-logs")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--study", required=True, metavar="NAME", help="Name of the new study.")
@click.option("--force", is_flag=True, help="Replace a study that was imported before.")
def import_logs(folder: Path, study: str, force: bool) -> None:
    """Read the text logs of the 2023 program in FOLDER into a new study.

    Their names are [TIME_]MODEL_Nepoch[_pre]_train.log. What they do not say, such as seed and
    machine, stays unknown.

    \b
    Example:
      cnnpaper import-logs ~/old/results/log --study course2023
      make report STUDY=course2023
    """
    from cnnpaper.imported import import_logs as read_logs

    runs = read_logs(ROOT, folder, study, force=force)
    many = "run" if len(runs) == 1 else "runs"
    click.echo(f"study {study}: {len(runs)} {many} imported; next: make report STUDY={study}")


# --------------------------------------------------------------------------------------- start


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Carry out one command and return its exit code.

    0; 2 for what the user can mend; 128 + the signal where a run was stopped and saved its state.
    Other exceptions are mistakes of this program and show their traceback.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    try:
        return commands.main(arguments, prog_name="cnnpaper", standalone_mode=False) or 0
    except Exception as error:
        if debug:
            raise
        code, message = _explained(error)
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
            "make training-environment sets it up; then call .venv-train/bin/cnnpaper"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return 2, f"{where}{error.strerror}\nmend the cause and give the same command again"
    raise error
