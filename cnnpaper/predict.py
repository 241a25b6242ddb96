"""What a trained run says about any image, and the model card that lies beside its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from cnnpaper import log, metrics, timings
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec
from cnnpaper.data.read import CLASSES
from cnnpaper.files import UserError, nearest, sha256_file, write_atomic
from cnnpaper.log import LOG_NAME, PREDICTIONS_NAME, WEIGHTS_NAME, Run

if TYPE_CHECKING:
    from torch import nn

Say = Callable[[str], None]
SIDE = 32
CARD_NAME = "MODEL_CARD.md"
CARD_TEMPLATE = Path(__file__).with_name("model_card.md")
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"}
ACROSS = 6
"""Images in a row of the plot."""
MOST_PLOTTED = 60


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image that was asked about."""

    path: Path
    pixels: npt.NDArray[np.uint8]
    """(32, 32, 3)."""
    resized: bool
    """Was the file's image of another size?"""
    truth: str | None
    """The class that the file's folder is named after."""


# ------------------------------------------------------------------------------------- the run


def find_run(root: Path, name: str) -> Run:
    """The finished run ``STUDY[/ARM]/MODEL-sSEED``, without ``results/log``.

    Raises:
        UserError: there is none of that name, or it has no result.
    """
    logs = root / "results" / "log"
    known = [path.parent.relative_to(logs).as_posix() for path in logs.glob(f"**/{LOG_NAME}")]
    name = name.removeprefix("results/log/").rstrip("/")
    if name not in known:
        hint = nearest(name, known) or f"; there are {', '.join(sorted(known)[:4]) or 'none'}"
        raise UserError(f"there is no run {name[:80]!r}{hint}\nall of them: {advice('status')}")
    run = log.read_run(logs / name / LOG_NAME)
    if run.result is None or run.result.status != "finished" or run.spec is None:
        status = "unfinished" if run.result is None else run.result.status
        raise UserError(f"{name}: {status}, so it has no weights\n{log.again(run.header)}")
    return run


def find_weights(root: Path, run: Run, say: Say) -> Path:
    """The weights of a run: beside its log, or those of ``make reproduce``.

    Raises:
        UserError: there are none, or those beside the log are not the run's.
    """
    spec, result = run.spec, run.result
    assert spec is not None
    assert result is not None
    path = run.path.with_name(WEIGHTS_NAME)
    again = root / "build" / "reproduce" / spec.path / WEIGHTS_NAME
    if path.is_file():
        if sha256_file(path) != result.weights_sha256:
            raise UserError(
                f"{path}: its SHA-256 is not that of the log, so it is not this run's\n"
                f"remove it, then train the run from scratch: {_obtain(spec)}"
            )
        return path
    if again.is_file():
        if sha256_file(again) != result.weights_sha256:
            say("the weights come from `make reproduce` and differ from the run's in their bits")
        return again
    seconds = timings.estimate_s(root, spec)
    cost = f" (about {math.ceil(seconds / 60)} minutes)" if seconds else ""
    raise UserError(
        f"{spec.path}: its weights are not here; git does not keep them\n"
        f"train them{cost}: {_obtain(spec)}"
    )


def _obtain(spec: RunSpec) -> str:
    """The command that trains the weights; the log stays where ``make reproduce`` can do it."""
    if spec.variant is not None:
        return log.again(spec, FORCE=1)
    return advice("reproduce", STUDY=spec.study, MODEL=spec.model, SEED=spec.seed, ARM=spec.arm)


def load(path: Path, spec: RunSpec) -> nn.Module:
    """The network with these weights, on the CPU, ready for evaluation.

    Raises:
        UserError: the file is damaged, or holds the weights of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from cnnpaper.engine.initialise import build

    net = build(spec.builder)
    try:
        net.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:160]
        raise UserError(f"{path}: not the weights of {spec.model}: {reason}") from None
    return net.eval()


# ---------------------------------------------------------------------------------- the images


def pictures(paths: Sequence[Path]) -> list[Picture]:
    """Read image files, and all images of folders; a subfolder named after a class labels them.

    Raises:
        UserError: a path is missing, or a file is no image.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [
                file
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in IMAGES
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            ]
            if not inside:
                raise UserError(f"{path}: no image ({', '.join(sorted(IMAGES))}) in this folder")
            files += inside
        else:
            files.append(path)
    return [_picture(path) for path in files]


def _picture(path: Path) -> Picture:
    """Shorter side resized to 32 pixels, then the centre cropped to 32 x 32, in RGB."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        fitted = ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.BICUBIC)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except Exception as error:  # Pillow raises a dozen kinds for damaged or enormous images
        raise UserError(f"{path}: not an image that can be read ({str(error)[:120]})") from None
    folder = path.absolute().parent.name
    return Picture(
        path=path,
        pixels=np.asarray(fitted if upright.size != (SIDE, SIDE) else upright, dtype=np.uint8),
        resized=upright.size != (SIDE, SIDE),
        truth=folder if folder in CLASSES else None,
    )


# ------------------------------------------------------------------------------------ answers


def temperature_of(run: Run) -> float:
    """Divisor of the logits that calibrates the run, fitted on its validation images."""
    arrays = log.read_predictions(run.path.with_name(PREDICTIONS_NAME))
    return metrics.temperature(arrays.val_labels, arrays.val_logits)


def probabilities(
    net: nn.Module, pixels: npt.NDArray[np.uint8], memory_format: str, temperature: float
) -> npt.NDArray[np.float64]:
    """Calibrated probabilities (N, 10) of images (N, 32, 32, 3)."""
    import torch

    from cnnpaper.engine.evaluate import logits

    found = logits(net, torch.from_numpy(pixels), memory_format)  # (N, 10)
    answers: npt.NDArray[np.float64] = softmax(found.astype(np.float64) / temperature, axis=1)
    return answers


def predict(
    root: Path,
    name: str,
    paths: Sequence[Path],
    *,
    as_json: bool = False,
    plot: Path | None = None,
    say: Say,
    note: Say,
) -> None:
    """Print the three likeliest classes of each image.

    Args:
        root: of the repository.
        name: of the run, ``reference/short/resnet18-s0``.
        paths: image files, or folders of them.
        as_json: print JSON instead of a table.
        plot: draw the images with their answers into this file.
        say, note: print a line of the answer, and a line about it.

    Raises:
        UserError: no such run, no weights, no image.
    """
    run = find_run(root, name)
    weights = find_weights(root, run, note)
    asked = pictures(paths)
    spec = run.spec
    assert spec is not None
    if other := sum(one.resized for one in asked):
        note(f"{other} of {len(asked)} images were resized and centre-cropped to 32 x 32 pixels")
    stack = np.stack([one.pixels for one in asked])  # (N, 32, 32, 3)
    net = load(weights, spec)
    found = probabilities(net, stack, spec.recipe.memory_format, temperature_of(run))
    rows = [_row(picture, p) for picture, p in zip(asked, found, strict=True)]
    if as_json:
        say(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        for row in rows:
            likeliest = ", ".join(f"{c} {100 * p:.1f}%" for c, p in row["classes"].items())
            say(f"{row['image']}: {likeliest}")
        labelled = [row for row in rows if row["truth"]]
        if labelled:
            right = sum(row["truth"] == next(iter(row["classes"])) for row in labelled)
            say(f"{right} of {len(labelled)} labelled images predicted correctly")
    if plot is not None:
        draw(asked, rows, plot)
        note(f"{plot}: {min(len(asked), MOST_PLOTTED)} images")


def _row(picture: Picture, p: npt.NDArray[np.float64]) -> dict[str, Any]:
    likeliest = np.argsort(-p, kind="stable")[:3]
    return {
        "image": str(picture.path),
        "classes": {CLASSES[k]: float(p[k]) for k in likeliest},
        "truth": picture.truth,
    }


def draw(asked: Sequence[Picture], rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the images, six a row, with predicted and, where it is known, true class."""
    import io

    from matplotlib.figure import Figure

    shown = list(zip(asked, rows, strict=True))[:MOST_PLOTTED]
    down = math.ceil(len(shown) / ACROSS)
    figure = Figure(figsize=(1.5 * ACROSS, 1.9 * down), layout="constrained")
    axes = figure.subplots(down, ACROSS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (picture, row) in zip(axes.flat, shown, strict=False):
        answer, p = next(iter(row["classes"].items()))
        axis.imshow(picture.pixels, interpolation="nearest")
        truth = f"\ntrue: {row['truth']}" if row["truth"] else ""
        wrong = row["truth"] not in (None, answer)
        # not by colour alone: the true class is written below
        colour = "#D55E00" if wrong else "black"
        axis.set_title(f"{answer} {100 * p:.0f}%{truth}", fontsize=9, color=colour)
    kind = path.suffix.lstrip(".").lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise UserError(
            f"--plot {path}: no file type {kind!r}; for instance --plot predictions.png"
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150)
    write_atomic(path, buffer.getvalue())


# -------------------------------------------------------------------------------- model card


def model_card(run: Run) -> str:
    """Markdown about a finished run: its numbers, its licence, and how to load its weights."""
    from cnnpaper.engine.images import MEAN, STD

    template = CARD_TEMPLATE.read_text("utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, from a log of our own
    )
    return environment.from_string(template).render(
        run=run,
        header=run.header,
        spec=run.spec,
        result=run.result,
        temperature=temperature_of(run),
        classes=CLASSES,
        mean=MEAN,
        std=STD,
    )
