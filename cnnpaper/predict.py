"""What a trained run says about any image, and the model card that lies beside its weights."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from cnnpaper import log, metrics, timings
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec, visible
from cnnpaper.data.read import CLASSES
from cnnpaper.files import UserError, nearest, sha256_file, write_atomic

Say = Callable[[str], None]
SIDE = 32
CARD_NAME = "MODEL_CARD.md"
CARD_TEMPLATE = Path(__file__).with_name("model_card.md")
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"}
ACROSS, MOST_PLOTTED = 6, 60  # images in a row of the plot, and in all of it


@dataclass(kw_only=True)
class Picture:
    """One image that was asked about."""

    path: Path
    pixels: npt.NDArray[np.uint8]  # (32, 32, 3)
    resized: bool  # the file's image has another size
    truth: str | None  # the class that the file's folder is named after
    classes: dict[str, float] = field(default_factory=dict)
    """The three likeliest ones and their probabilities, the likeliest first; empty at first."""

    @property
    def answer(self) -> str:
        return next(iter(self.classes))


def predict(
    root: Path, name: str, paths: Sequence[Path], *, as_json: bool, plot: Path | None, say: Say,
    note: Say,
) -> None:  # fmt: skip
    """Print the three likeliest classes of each image.

    Args:
        name: of the run, ``reference/short/resnet18-s0``.
        paths: image files, or folders of them.
        plot: draw the images with their answers into this file.
        say, note: print a line of the answer, and a line about it.

    Raises:
        UserError: no such run, no weights, no image.
    """
    run, spec = find_run(root, name)
    weights = find_weights(root, run, spec, note)
    pictures = read_pictures(paths)
    if other := sum(one.resized for one in pictures):
        note(f"{other} of {len(pictures)} images were resized and centre-cropped to 32 x 32")
    stack = np.stack([one.pixels for one in pictures])  # (N, 32, 32, 3)
    answers = softmax(logits(weights, spec, stack) / temperature(run), axis=1)  # (N, 10)
    for picture, p in zip(pictures, answers, strict=True):
        picture.classes = {CLASSES[k]: float(p[k]) for k in np.argsort(-p, kind="stable")[:3]}
    if as_json:
        rows = [{"image": str(p.path), "classes": p.classes, "truth": p.truth} for p in pictures]
        say(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        say(table(pictures))
    if plot is not None:
        draw(pictures[:MOST_PLOTTED], plot)
        note(f"{plot}: {min(len(pictures), MOST_PLOTTED)} of {len(pictures)} images")


# ------------------------------------------------------------------------------------- the run


def find_run(root: Path, name: str) -> tuple[log.Run, RunSpec]:
    """The finished run ``STUDY[/ARM]/MODEL-sSEED``.

    Raises:
        UserError: there is none of that name, or it has no result.
    """
    logs = root / "results" / "log"
    name = name.removeprefix("results/log/").rstrip("/")
    found = visible(logs, f"**/{log.LOG_NAME}")
    known = [path.parent.relative_to(logs).as_posix() for path in found]
    if name not in known:
        hint = nearest(name, known) or f"; there are {', '.join(known[:4]) or 'none'}"
        raise UserError(f"there is no run {name[:80]!r}{hint}\nall of them: {advice('status')}")
    run = log.read_run(logs / name / log.LOG_NAME)
    if run.result is None or run.result.status != "finished" or run.spec is None:
        status = "unfinished" if run.result is None else run.result.status
        raise UserError(f"{name}: {status}, so it has no weights\n{log.again(run.header)}")
    return run, run.spec


def find_weights(root: Path, run: log.Run, spec: RunSpec, note: Say) -> Path:
    """The weights of a run: beside its log, or those of ``make reproduce``.

    Raises:
        UserError: there are none, or those beside the log are not the run's.
    """
    train = log.again(spec, FORCE=1)
    if not spec.variant:  # make reproduce leaves the log as it is, but knows no points of a grid
        train = advice(
            "reproduce", STUDY=spec.study, MODEL=spec.model, SEED=spec.seed, ARM=spec.arm
        )
    own = run.path.with_name(log.WEIGHTS_NAME)
    again = root / "build" / "reproduce" / spec.path / log.WEIGHTS_NAME
    found = own if own.is_file() else again
    if not found.is_file():
        seconds = timings.estimate_s(root, spec)
        cost = f" (about {math.ceil(seconds / 60)} minutes)" if seconds else ""
        raise UserError(
            f"{spec.path}: its weights are not here; git does not keep them\n"
            f"train them{cost}: {train}"
        )
    if run.result is not None and sha256_file(found) == run.result.weights_sha256:
        return found
    if found == own:
        raise UserError(
            f"{own}: its SHA-256 is not that of the log, so it is not this run's\n"
            f"remove it, then train the run from scratch: {train}"
        )
    note("the weights come from `make reproduce` and differ from the run's in their bits")
    return found


def logits(weights: Path, spec: RunSpec, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Logits (N, 10) of images (N, 32, 32, 3), on the CPU."""
    import torch
    from safetensors.torch import load_file

    from cnnpaper.engine import evaluate
    from cnnpaper.engine.initialise import build

    net = build(spec.builder)
    net.load_state_dict(load_file(weights))
    found = evaluate.logits(net, torch.from_numpy(pixels), spec.recipe.memory_format)
    return found.astype(np.float64)


def temperature(run: log.Run) -> float:
    """Divisor of the logits that calibrates the run, fitted on its validation images."""
    arrays = log.read_predictions(run.path.with_name(log.PREDICTIONS_NAME))
    return metrics.temperature(arrays.val_labels, arrays.val_logits)


# ---------------------------------------------------------------------------------- the images


def read_pictures(paths: Sequence[Path]) -> list[Picture]:
    """Read image files, and all images of folders; a subfolder named after a class labels them.

    Raises:
        UserError: a path is missing, or a file is no image.
    """
    files: list[Path] = []
    for path in paths:
        inside = [one for one in visible(path, "**/*") if one.suffix.lower() in IMAGES]
        if path.is_dir() and not inside:
            raise UserError(f"{path}: no image ({', '.join(sorted(IMAGES))}) in this folder")
        files += inside or [path]
    return [_picture(file) for file in files]


def _picture(path: Path) -> Picture:
    """Upright, in RGB on white, shorter side resized to 32 pixels, the centre cropped.

    Of an animation, its first frame.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # Pillow would clip them
                raise ValueError("more than 8 bits a channel; convert it to 8 bits")
            upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            colours = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
        size = upright.size
        fitted = ImageOps.fit(upright.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except Exception as error:  # Pillow raises a dozen kinds for damaged or enormous images
        raise UserError(f"{path}: not an image that can be read ({str(error)[:120]})") from None
    folder = path.absolute().parent.name
    truth = folder if folder in CLASSES else None
    resized = size != (SIDE, SIDE)
    return Picture(path=path, pixels=np.asarray(fitted), resized=resized, truth=truth)


# ------------------------------------------------------------------------------------ answers


def table(pictures: Sequence[Picture]) -> str:
    """A line for each image, and how many labelled ones were predicted correctly."""
    lines = []
    for one in pictures:
        likeliest = ", ".join(f"{name} {100 * p:.1f}%" for name, p in one.classes.items())
        lines.append(f"{one.path}: {likeliest}" + (f" (true: {one.truth})" if one.truth else ""))
    if labelled := [one for one in pictures if one.truth]:
        right = sum(one.truth == one.answer for one in labelled)
        lines.append(f"{right} of {len(labelled)} labelled images predicted correctly")
    return "\n".join(lines)


def draw(pictures: Sequence[Picture], path: Path) -> None:
    """Draw the images, six a row, with predicted and, where it is known, true class."""
    from matplotlib.figure import Figure

    down = math.ceil(len(pictures) / ACROSS)
    figure = Figure(figsize=(1.5 * ACROSS, 1.9 * down), layout="constrained")
    kind = path.suffix.lstrip(".").lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise UserError(
            f"--plot {path}: no file type {kind!r}; for instance --plot predictions.png"
        )
    axes = figure.subplots(down, ACROSS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, one in zip(axes.flat, pictures, strict=False):
        axis.imshow(one.pixels, interpolation="nearest")
        # not by colour alone: the true class is written below
        colour = "black" if one.truth in (None, one.answer) else "#D55E00"
        truth = f"\ntrue: {one.truth}" if one.truth else ""
        text = f"{one.answer} {100 * one.classes[one.answer]:.0f}%{truth}"
        axis.set_title(text, fontsize=9, color=colour)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150)
    write_atomic(path, buffer.getvalue())


def model_card(run: log.Run) -> str:
    """Markdown about a finished run: its numbers, its licence, and how to load its weights."""
    from cnnpaper.engine.images import MEAN, STD

    template = jinja2.Template(  # Markdown, from a log of our own
        CARD_TEMPLATE.read_text("utf-8"), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    text: str = template.render(
        header=run.header, spec=run.spec, result=run.result, run=run, classes=CLASSES,
        temperature=temperature(run), mean=MEAN, std=STD,
    )  # fmt: skip
    return text
