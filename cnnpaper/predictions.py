"""The predictions of a run on the test images, and the figures that anybody computes from them.

No torch here: training writes the file, the paper reads it, and both compute accuracy and loss with
the functions of this module.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnpaper.errors import UserError

CLASSES = 10
MOST_BYTES = 1_000_000
"""Of one array, unpacked: the logits of 10,000 images take 400 kB."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one trained network says of N test images.

    Attributes:
        labels: true classes, (N,) uint8.
        logits: (N, 10) float32.
        logits_tta: mean of the logits of an image and of its mirror image, (N, 10) float32.
    """

    labels: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.float32]
    logits_tta: npt.NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """The file ``predictions.npz``; the same arrays give the same bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, labels=self.labels, logits=self.logits, logits_tta=self.logits_tta)
        return buffer.getvalue()


def accuracy(labels: npt.NDArray[np.uint8], logits: npt.NDArray[np.float32]) -> float:
    """Share of images whose largest logit is their label's; the first of equal logits counts.

    Args:
        labels: (N,).
        logits: (N, 10).
    """
    return int((logits.argmax(axis=1) == labels).sum()) / len(labels)


def cross_entropy(labels: npt.NDArray[np.uint8], logits: npt.NDArray[np.float32]) -> float:
    """Mean negative log-likelihood in nats, computed in float64.

    Args:
        labels: (N,).
        logits: (N, 10).
    """
    shifted = logits.astype(np.float64)  # (N, 10)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))  # (N,)
    return float(np.mean(log_sum - shifted[np.arange(len(labels)), labels]))


def load(path: Path) -> Predictions:
    """Read ``predictions.npz`` strictly; nothing in it can execute.

    Raises:
        UserError: the file is missing, no npz, or an array is absent, of another shape or type, has
            a label above 9 or a logit that is not finite.
    """
    remedy = f"restore it from version control, or train {path.parent.name} anew with FORCE=1"
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _array(archive, name) for name in ("labels", "logits", "logits_tta")}
        _check(arrays)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be read ({reason})\n{remedy}") from None
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        reason = str(error).partition("\n")[0][:160] or type(error).__name__
        raise UserError(f"{path}: not the predictions of a run: {reason}\n{remedy}") from None
    return Predictions(**arrays)


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """One array, whose size is looked at before it is unpacked."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > MOST_BYTES:
        raise ValueError(f"{name} has {member.file_size} bytes, more than 10,000 images need")
    array: npt.NDArray[Any] = np.lib.format.read_array(
        io.BytesIO(archive.read(member)), allow_pickle=False
    )
    return array


def _check(arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Refuse arrays that no run writes, by ValueError."""
    count = len(arrays["labels"]) if arrays["labels"].ndim == 1 else -1
    for name, dtype, shape in (
        ("labels", np.uint8, (count,)),
        ("logits", np.float32, (count, CLASSES)),
        ("logits_tta", np.float32, (count, CLASSES)),
    ):
        array = arrays[name]
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(
                f"{name} is {str(array.dtype)[:40]} of shape {array.shape}, "
                f"expected {np.dtype(dtype)} of shape (N,{'' if name == 'labels' else ' 10'})"
            )
        if dtype is np.float32 and not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not finite")
    if count < 1:
        raise ValueError("no image")
    if (highest := arrays["labels"].max()) >= CLASSES:
        raise ValueError(f"labels holds {highest}; classes are 0 to {CLASSES - 1}")
