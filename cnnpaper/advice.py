"""The command that a message tells the user to type.

Every remedy that names a command gets it from :func:`advice`, so that a test can enumerate them and
execute each one literally. It is always a ``make`` target with its variables, since those work from
the root of the repository in any shell, whatever environment the failed command ran in.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

FROM_ENVIRONMENT = ("DATA_DIR", "GPUS", "PYTHON")
"""Variables of the Makefile that the failed command may have been given and the next one needs."""
WITHOUT_DATA = ("report", "tex", "status", "smoke", "training-environment")
"""Targets that read no images and use no device."""


def advice(target: str, /, **variables: object) -> str:
    """``make alexnet STUDY=full DATA_DIR='my data'``: a command that works as printed.

    Args:
        target: one or several targets of the Makefile, separated by blanks.
        variables: of the Makefile; those that are None or empty are left out. ``DATA_DIR`` and
            ``GPUS`` are carried over from the environment where they are not given.
    """
    carried = {name: os.environ[name] for name in FROM_ENVIRONMENT if os.environ.get(name)}
    needed = {name: value for name, value in carried.items() if target not in WITHOUT_DATA}
    given = {**needed, **variables}
    if Path(str(given.get("DATA_DIR", ""))).resolve() == Path("data").resolve():
        del given["DATA_DIR"]  # the default
    # make expands a dollar in what it is given; 0 is a seed, so only None and "" are left out
    texts = {name: str(value).replace("$", "$$") for name, value in given.items() if value != ""}
    words = [f"{name}={shlex.quote(texts[name])}" for name in texts if given[name] is not None]
    return " ".join(["make", target, *words])
