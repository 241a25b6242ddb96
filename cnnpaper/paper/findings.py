"""What a study found, as the paper reads it; computed in :mod:`cnnpaper.study.analysis`."""

from cnnpaper.study.analysis import (
    Budget,
    Calibration,
    Change,
    Contrast,
    Findings,
    Gain,
    Limits,
    Precision,
    StepTime,
    Summary,
    Trial,
)
from cnnpaper.study.analysis import analyse as find

__all__ = [
    "Budget",
    "Calibration",
    "Change",
    "Contrast",
    "Findings",
    "Gain",
    "Limits",
    "Precision",
    "StepTime",
    "Summary",
    "Trial",
    "find",
]
