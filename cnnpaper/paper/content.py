"""The content of arguments as a digest: equal content gives equal digests, in every process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from cnnpaper.paper.state import digest


def content_digest(thing: Any) -> str:
    """SHA-256 of what ``thing`` holds: frames, arrays, dataclasses, models, mappings, sequences.

    Raises:
        TypeError: a kind of object whose content is not defined here.
    """
    kind = type(thing).__name__
    if thing is None or isinstance(thing, str | int | float | bool | np.generic):
        return digest(kind, repr(thing))
    if isinstance(thing, pd.DataFrame):
        return _frame_digest(thing)
    if isinstance(thing, np.ndarray):
        return digest(
            kind, str(thing.dtype), repr(thing.shape), np.ascontiguousarray(thing).tobytes()
        )
    if isinstance(thing, BaseModel):
        return digest(kind, thing.model_dump_json())
    if is_dataclass(thing):
        parts = [(field.name, getattr(thing, field.name)) for field in fields(thing)]
        return digest(kind, *(content_digest(part) for part in parts))
    if isinstance(thing, Mapping):
        return digest("mapping", *(content_digest(item) for item in thing.items()))
    if isinstance(thing, list | tuple):
        return digest("sequence", *(content_digest(item) for item in thing))
    raise TypeError(f"{kind}: no digest of its content is defined")


def _frame_digest(frame: pd.DataFrame) -> str:
    """Columns, types, categories in their order, and values."""
    parts = []
    for name in frame.columns:
        column = frame[name]
        order = list(column.cat.categories) if isinstance(column.dtype, pd.CategoricalDtype) else []
        values = [None if pd.isna(value) else value for value in column.tolist()]
        parts.append(digest(str(name), str(column.dtype), repr(order), repr(values)))
    return digest("frame", *parts)
