"""What the figures say, in English; another edition gives its own mapping with the same keys.

No number stands here: they fill the places in braces.
"""

from __future__ import annotations

from collections.abc import Mapping

ENGLISH: Mapping[str, str] = {
    # axes and legends
    "test_accuracy": "Test accuracy (%)",
    "validation_accuracy": "Validation accuracy (%)",
    "validation_loss": "Validation loss (nats)",
    "cut": "{label}, axis cut",
    "minutes": "Training time (minutes)",
    "epoch": "Epoch",
    "seed": "one seed",
    "mean": "mean with interval",
    "own_time": "equal epochs, own time",
    "separately": "trained separately, not a learning curve",
    "diverged": "diverged",
    "difference_from": "Difference from {name} (points)",
    "peak_rate": "Peak learning rate",
    "chosen": "chosen rate",
    "accuracy": "Accuracy (%)",
    "step_time": "Milliseconds per step",
    "data": "data",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "other": "other",
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
    "repeated": "×: repeated block",
    "range": "a–b: range over the repeated blocks",
    "above": "above a panel: output pixels; below: parameters",
    # alternative texts
    "comma": ", ",
    "semicolon": "; ",
    "percent": "{value} %",
    "interval": "{value} [{low}, {high}]",
    "alt_accuracy": "Test accuracy by training time, one point for each seed, and means. {arms}",
    "alt_arm": "{arm}: {means}.",
    "alt_contrasts": "Differences from {name} with their intervals, in points: {entries}.",
    "alt_rates": "Validation accuracy against peak learning rate. Chosen: {entries}.",
    "alt_best": "{name} {rate} ({accuracy})",
    "alt_curves": "Learning curves. Validation accuracy at the end: {entries}.",
    "alt_diverged": "Diverged runs: {entries}.",
    "alt_steps": "Bars of the milliseconds of a training step: {entries}.",
    "alt_architecture": "{name}, from input to output: {stages}.",
    "alt_stage": "output {pixels} pixels, {parameters} parameters ({units})",
    "alt_block": "block of {branches}",
    "alt_blocks": "{count} blocks of {branches}",
    "alt_identity": "the input itself",
    "alt_add": " added to ",
    "alt_cat": " concatenated with ",
    "alt_then": " then ",
}
