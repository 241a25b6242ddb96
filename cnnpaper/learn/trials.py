"""The images of a run; those of a trial leave the study's validation and test images alone.

A trial chooses something about the recipe, so it learns from a part of the training images and is
scored on others of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnpaper.config import DataSpec
from cnnpaper.errors import UserError
from cnnpaper.learn import data
from cnnpaper.learn.cache import records_of
from cnnpaper.learn.data import DataSet


def load(spec: DataSpec, data_dir: Path, cache: Path) -> DataSet:
    """What ``spec`` asks for.

    With ``held_out = "training"`` the first ``train_images`` of the training images train, and
    the ``validation_images`` after them validate, of every class as many. They stand in for the
    test images too, so that no image of the test set is in memory.

    Raises:
        UserError: as :func:`cnnpaper.learn.data.load`.
    """
    if spec.held_out is None:
        return data.load(spec, data_dir, cache)
    if spec.set == "synthetic":
        raise UserError("held_out: synthetic images have no more than they are asked for")
    identity, records = records_of(spec, data_dir, cache)
    both = spec.model_copy(update={"train_images": spec.train_images + spec.validation_images})
    train = data.split(records[:, 0], spec)[0]
    # a smaller set is part of any larger one
    held_out = np.setdiff1d(data.split(records[:, 0], both)[0], train)
    scored = data.images_at(records, held_out)
    return DataSet(
        name=identity.name,
        digest=identity.digest,
        address=identity.address,
        synthetic=False,
        train=data.images_at(records, train),
        validation=scored,
        test=scored,
    )
