"""Metrics of logits, for training and paper alike; numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

Labels = npt.NDArray[np.integer]
Logits = npt.NDArray[np.floating]


def correct(labels: Labels, logits: Logits) -> npt.NDArray[np.bool_]:
    """Which images are classified correctly; the first of equal logits counts.

    Args:
        labels: (N,).
        logits: (N, C).
    """
    answers: npt.NDArray[np.bool_] = logits.argmax(axis=1) == labels
    return answers


def accuracy(labels: Labels, logits: Logits) -> float:
    """Top-1 accuracy, from 0 to 1; labels (N,), logits (N, C)."""
    return int(correct(labels, logits).sum()) / len(labels)


def cross_entropy(labels: Labels, logits: Logits, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood in nats, computed in float64; labels (N,), logits (N, C)."""
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)  # (N, C)
    return float(-np.mean(log_p[np.arange(len(labels)), labels]))


def temperature(labels: Labels, logits: Logits) -> float:
    """The divisor of the logits that minimises the cross-entropy (Guo et al. 2017, section 4.2)."""
    found = minimize_scalar(
        lambda log_t: cross_entropy(labels, logits, float(np.exp(log_t))),
        bounds=(-3.0, 3.0),
        method="bounded",
    )
    return float(np.exp(found.x))
