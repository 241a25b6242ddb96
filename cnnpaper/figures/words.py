"""What the figures say, in English; another edition gives its own mapping with the same keys.

No number stands here: they fill the places in braces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ENGLISH: Mapping[str, str] = {
    # axes and legends
    "test_accuracy": "Test accuracy (%)",
    "validation_accuracy": "Validation accuracy (%)",
    "validation_loss": "Validation loss (nats)",
    "train_accuracy": "Training accuracy (%)",
    "train_loss": "Training loss (nats)",
    "cut": "{label}, axis cut",
    "minutes": "Training time (minutes)",
    "hours": "Training time (hours)",
    "seconds": "Training time (seconds)",
    "epoch": "Epoch",
    "seed": "one seed",
    "mean": "mean with its interval over seeds",
    "own_time": "equal epochs, at its own time",
    "separately": "trained separately, not a learning curve",
    "diverged": "diverged",
    "difference": "Difference (points)",
    "difference_from": "Difference from {name} (points)",
    "peak_rate": "Peak learning rate",
    "chosen": "chosen rate",
    "predicted": "predicted",
    "true": "true",
    "confidence": "Confidence (%)",
    "accuracy": "Accuracy (%)",
    "before": "before temperature scaling",
    "after": "after temperature scaling",
    "step_time": "Milliseconds per step",
    "data": "data",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "other": "other",
    "precision_change": "bfloat16 minus float32 (points of validation accuracy)",
    # architecture
    "conv": "convolution",
    "pointwise": "pointwise convolution",
    "depthwise": "depthwise convolution (dw)",
    "pool": "pooling",
    "linear": "linear layer",
    "max": "max",
    "average": "avg",
    "pooled": "pool",
    "linear_short": "linear",
    "halves": "↓: stride two",
    "add": "addition",
    "cat": "concatenation",
    "optional": "first block only",
    "repeated": "repeated block (× count)",
    "range": "a–b: range over the repeated blocks",
    "above": "above a panel: output pixels; below: parameters",
    # alternative texts
    "comma": ", ",
    "semicolon": "; ",
    "percent": "{value} %",
    "points": "{value} points",
    "interval": "{value} [{low}, {high}]",
    "alt_accuracy": "Test accuracy by training time, one point for each seed, and means. {arms}",
    "alt_arm": "{arm}: {means}.",
    "alt_contrasts": "Differences from {name} with their intervals, in points: {entries}.",
    "alt_rates": "Validation accuracy against peak learning rate. Chosen: {entries}.",
    "alt_best": "{name} {rate} ({accuracy})",
    "alt_curves": "Learning curves. Validation accuracy at the end: {entries}.",
    "alt_diverged": "Diverged runs: {entries}.",
    "alt_confusion": "Matrix of counts, true class by row, predicted class by column; "
    "correct: {entries}.",
    "alt_calibration": "Accuracy against confidence, with the diagonal where both are equal: "
    "{entries}.",
    "alt_steps": "Bars of the milliseconds of a training step: {entries}.",
    "alt_forest": "Differences with their intervals, in points: {entries}.",
    "alt_architecture": "{name}, from input to output: {stages}.",
    "alt_stage": "output {pixels} pixels, {parameters} parameters ({units})",
    "alt_block": "block of {branches}",
    "alt_blocks": "{count} blocks of {branches}",
    "alt_identity": "the input itself",
    "alt_add": " added to ",
    "alt_cat": " concatenated with ",
    "alt_then": " then ",
}


def entry(name: str, value: str) -> str:
    """One of a list in an alternative text."""
    return f"{name} {value}"


def listing(items: Iterable[str], words: Mapping[str, str]) -> str:
    """Items of an alternative text in a row; a dash where there is none."""
    return words["comma"].join(items) or "–"
