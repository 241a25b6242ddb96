"""The images of a study, wherever they come from."""

from __future__ import annotations

from pathlib import Path

from cnnpaper import data
from cnnpaper.config import DataSpec
from cnnpaper.engine import images
from cnnpaper.engine.images import DataSet


def load_images(spec: DataSpec, data_dir: Path) -> DataSet:
    """The images that ``spec`` asks for, divided into training, validation and test images.

    Raises:
        UserError: nothing is there, it is damaged, or it is not what the study is about.
    """
    if spec.set == "synthetic":
        return images.synthetic(spec)
    found = data.load(spec.set, spec.digest, data_dir)
    train, validation, test = images.chosen(found.pixels, found.labels, spec)
    return DataSet(
        name=found.name, digest=found.digest, address=found.address,
        train=train, validation=validation, test=test,
    )  # fmt: skip
