"""Classes of any image by a trained run, and its model card."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnpaper import config, log
from cnnpaper.engine import images as synthetic_images
from tests import tiny

pytestmark = pytest.mark.train
RUN = "small/tiny-s0"


def validation(root: Path, count: int) -> tuple[list[Path], log.Predictions]:
    """The run's first validation images as files in folders of their classes."""
    from PIL import Image

    from cnnpaper.data.read import CLASSES

    spec = config.run_specs(root, config.load_study(root, "small"))[0]
    part = synthetic_images.synthetic(spec.data).validation
    paths = []
    for number in range(count):
        path = root / "pictures" / CLASSES[part.labels[number]] / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(part.pixels[number].transpose(1, 2, 0)).save(path)
        paths.append(path)
    return paths, log.read_predictions(root / "results" / "log" / RUN / "predictions.npz")


def test_the_run_s_own_validation_images_get_its_own_answers(copy: Path) -> None:
    from scipy.special import softmax

    from cnnpaper.data.read import CLASSES

    paths, predicted = validation(copy, 100)
    code, said = tiny.call(copy, "predict", *map(str, paths), "--run", RUN, "--json")
    assert code == 0, said
    rows = json.loads(said)
    # a grid search, independent of the package's optimiser
    logits = predicted.val_logits.astype(float)
    right = np.arange(100), predicted.val_labels
    grid = np.exp(np.linspace(-3, 3, 3001))
    t = min(grid, key=lambda t: -np.log(softmax(logits / t, axis=1)[right]).mean())
    expected = softmax(logits / t, axis=1)
    for row, p in zip(rows, expected, strict=True):
        order = np.argsort(-p)[:3]
        assert list(row["classes"]) == [CLASSES[k] for k in order]
        assert list(row["classes"].values()) == pytest.approx(p[order], abs=2e-3)
    accuracy = np.mean([row["truth"] == next(iter(row["classes"])) for row in rows])
    assert accuracy == log.read_run(copy / "results" / "log" / RUN / "run.jsonl").result.val_acc


def test_other_sizes_are_resized_and_the_plot_is_written(copy: Path) -> None:
    from PIL import Image

    Image.new("L", (300, 200), 90).save(copy / "grey.jpg")
    Image.new("RGBA", (40, 90), (9, 200, 30, 128)).save(copy / "clear.png")
    code, said = tiny.call(
        copy, "predict", "grey.jpg", "clear.png", "--run", RUN, "--plot", "out.png"
    )
    assert code == 0, said
    assert "2 of 2 images were resized and centre-cropped" in said
    assert re.search(r"grey.jpg: \w+ [0-9.]+%, \w+ [0-9.]+%, \w+ [0-9.]+%", said)
    with Image.open(copy / "out.png") as drawn:
        assert drawn.width == 1350


def test_pixels_of_odd_images(tmp_path: Path) -> None:
    """Crop, orientation, transparency, grey, animation: colours that follow by hand."""
    from PIL import Image

    from cnnpaper.files import UserError
    from cnnpaper.predict import read_pictures

    red, green, blue, white = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    wide = Image.new("RGB", (96, 32), red)
    wide.paste(green, (32, 0, 64, 32))
    wide.save(tmp_path / "wide.png")
    turned = Image.new("RGB", (32, 32), blue)
    turned.paste(red, (0, 0, 32, 16))
    orientation = Image.Exif()
    orientation[0x112] = 3  # to be shown upside down
    turned.save(tmp_path / "turned.png", exif=orientation)
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("L", (50, 70), 90).save(tmp_path / "grey.png")
    frames = [Image.new("RGB", (40, 40), colour) for colour in (blue, red)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    expected = {"wide.png": green, "clear.png": white, "grey.png": (90, 90, 90), "moving.gif": blue}
    for name, colour in expected.items():
        (picture,) = read_pictures([tmp_path / name])
        assert (picture.pixels == colour).all(), name
        assert picture.resized == (name != "clear.png")
    (picture,) = read_pictures([tmp_path / "turned.png"])
    assert (picture.pixels[:16] == blue).all()
    assert (picture.pixels[16:] == red).all()
    Image.fromarray(np.full((32, 32), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match="more than 8 bits"):
        read_pictures([tmp_path / "deep.png"])


def test_mistakes_and_missing_weights(copy: Path) -> None:
    def refused(image: str, run: str, expected: str) -> None:
        code, said = tiny.call(copy, "predict", image, "--run", run)
        assert (code, expected in said) == (2, True), said

    (copy / "text.png").write_text("no image")
    (copy / "empty").mkdir()
    refused("text.png", RUN, "not an image")
    refused("absent.png", RUN, "no such file")
    refused("empty", RUN, "no image")
    refused("text.png", "small/tiny-s1", "did you mean 'small/tiny-s0'?")
    refused("text.png", "../../etc", "there is no run")
    weights = copy / "results" / "log" / RUN / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    refused("text.png", RUN, "SHA-256")
    weights.unlink()
    refused("text.png", RUN, "make reproduce STUDY=small MODEL=tiny SEED=0")


def test_model_card_loads_the_weights(copy: Path) -> None:
    """The code of the card is executed as it is printed."""
    folder = copy / "results" / "log" / RUN
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    result = log.read_run(folder / "run.jsonl").result
    assert f"{100 * result.test_acc:.2f}%" in card
    assert str(result.weights_sha256) in card
    assert "cifar10" not in card  # the images are synthetic
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code
    assert len(code[1].strip().splitlines()) <= 12
    text = code[1].replace("weights.safetensors", str(folder / "weights.safetensors"))
    script = (
        "from PIL import Image\nimage = Image.new('L', (64, 48), 70)\n"
        + text
        + "\nassert probabilities.shape == (1, 10)\nprint(float(probabilities.sum()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1, abs=1e-5)
