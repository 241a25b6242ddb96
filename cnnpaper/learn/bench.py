"""``make bench-peer``: train the plain loop, keep which images both had right, measure speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cnnpaper import comparison, config, predictions, timings
from cnnpaper.config import RunSpec, Study, run_folder
from cnnpaper.errors import UserError
from cnnpaper.learn import checkpoint, data, evaluate, models, peer, runner, speed
from cnnpaper.learn.data import DataSet
from cnnpaper.learn.train import configure_torch
from cnnpaper.records import LOG_NAME, Run

Say = Callable[[str], None]
PROFILED = "resnet18"


def bench(
    root: Path,
    study: Study,
    *,
    data_dir: Path,
    networks: Sequence[str],
    epochs: int,
    pairs: int,
    steps: int,
    say: Say,
) -> str:
    """Do what is missing of the comparison, measure speed, and write the tables.

    Args:
        root: of the repository.
        study: whose networks, split, threads and first seed are used.
        data_dir: where its images are.
        networks: that the plain loop trains.
        epochs: of the plain loop.
        pairs: of timed halves for each network of the study; 0 measures no speed.
        steps: timed in each half of a pair.
        say: prints a line of progress.

    Returns:
        The tables, as Markdown.
    """
    with runner.turn(root, "cpu", "bench-peer"):
        for model in networks:
            for spec in peer.specs(root, study, model, epochs):
                peer.train(root, spec, data_dir, say)
        images = data.load(study.data, data_dir, root / "build" / "data")
        for model in networks:
            keep_right(root, config.run_spec(root, study, model, study.seeds[0]), images, say)
        if pairs:
            _measure(root, study, images, data_dir, pairs, steps, say)
    return comparison.write(root, study)


def _measure(
    root: Path, study: Study, images: DataSet, data_dir: Path, pairs: int, steps: int, say: Say
) -> None:
    """Speed of every network of the study, and the profile of one."""
    most = speed.most_steps(images)
    if steps > most:
        raise UserError(
            f"--steps {steps}: {len(images.train.labels)} images give {max(most, 0)} steps of "
            f"{speed.BATCH} to time; 0 pairs measure no speed"
        )
    path = root / "results" / "log" / comparison.study_name(study.name) / timings.SPEED_NAME
    for model in study.networks:
        spec = config.run_spec(root, study, model, study.seeds[0])
        line = speed.compare(root, spec, images, data_dir, pairs=pairs, steps=steps)
        timings.append(path, line)
        ratios = ", ".join(f"{ratio:.2f}" for ratio in line.ratios)
        say(f"{model}: times as fast as the plain loop: {ratios}")
    if PROFILED in study.networks:
        spec = config.run_spec(root, study, PROFILED, study.seeds[0])
        with speed.OurProcess(root, spec, data_dir) as ours:
            timings.append(path, ours.profile())


def keep_right(root: Path, spec: RunSpec, images: DataSet, say: Say) -> None:
    """Write which validation images our finished run answered rightly, if its weights are here.

    They are in the last checkpoint, which is not committed: on another machine nothing is written,
    and what lies there stays.
    """
    run = runner.finished(root, spec)
    path = comparison.ours_right_path(root, spec.study, spec.run)
    if run is None or run.result is None or run.result.best_val_acc is None:
        return
    if (right := _right_of(root, spec, run, images, say)) is not None:
        peer.write_array(path, right)
    elif not path.exists():
        say(f"{spec.run}: its weights are not here, so its interval is not the paired one")


def _right_of(
    root: Path, spec: RunSpec, run: Run, images: DataSet, say: Say
) -> comparison.Right | None:
    """(N,) bool from the newest checkpoint that gives the accuracy of the log; None without one."""
    folder = run_folder(root, spec.study, spec.run)
    configure_torch(spec, torch.device("cpu"))
    net = models.build(spec.builder, spec.initialisation, spec.initialisation_std)
    layout = (
        torch.channels_last
        if spec.recipe.memory_format == "channels_last"
        else torch.contiguous_format
    )
    net = net.to(memory_format=layout)
    pixels = torch.from_numpy(images.validation.pixels.transpose(0, 2, 3, 1).copy())
    labels = images.validation.labels
    assert run.result is not None
    for state in checkpoint.load_newest(folder, torch.device("cpu"), say):
        best = state["training"]["best"]
        if best is None:
            continue
        net.load_state_dict(best)
        logits = evaluate.logits(net, pixels, spec.recipe.memory_format)
        if predictions.accuracy(labels, logits) == run.result.best_val_acc:
            return logits.argmax(axis=1) == labels
        say(f"{folder / LOG_NAME}: the checkpoint beside it gives another validation accuracy")
    return None
