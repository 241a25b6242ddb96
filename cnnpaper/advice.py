"""What a message tells the user to do: the command to type, the remedy for the system's errors.

Every remedy that names a command gets it from :func:`advice`, so that a test can enumerate them and
execute each one literally. It is always a ``make`` target with its variables, since those work from
the root of the repository in any shell, whatever environment the failed command ran in.
"""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from cnnpaper.files import memory_ran_out

FROM_ENVIRONMENT = ("DATA_DIR", "GPUS", "PYTHON")
"""Variables of the Makefile that the failed command may have been given and the next one needs."""
WITHOUT_DATA = ("report", "tex", "status", "smoke", "training-environment")
"""Targets that read no images and use no device."""
NO_LOCKS = "work in a copy on a local disk: this one has no file locks"
REMEDIES = {
    **dict.fromkeys((errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP), NO_LOCKS),
    errno.ENOSPC: "make room on this disk",
    errno.EDQUOT: "make room within your quota",
    errno.EROFS: "work in a copy on a disk that can be written",
    errno.EACCES: "give yourself the right to read and write it",
    errno.EMFILE: "allow more open files (ulimit -n 4096)",
    errno.EAGAIN: "allow more processes (ulimit -u), or close other programs,",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ESTALE: "mount the network's disk again",
}


def advice(target: str, /, **variables: object) -> str:
    """``make alexnet STUDY=full DATA_DIR='my data'``: a command that works as printed.

    Args:
        target: one or several targets of the Makefile, separated by blanks.
        variables: of the Makefile; those that are None or empty are left out. ``DATA_DIR`` and
            ``GPUS`` are carried over from the environment where they are not given.
    """
    carried = () if target in WITHOUT_DATA else FROM_ENVIRONMENT
    given = {name: os.environ[name] for name in carried if name in os.environ} | variables
    if Path(str(given.get("DATA_DIR") or "")).resolve() == Path("data").resolve():
        del given["DATA_DIR"]  # the default
    # make expands a dollar in what it is given; 0 is a seed, so only None and "" are left out
    words = [
        f"{name}={shlex.quote(str(value).replace('$', '$$'))}"
        for name, value in given.items()
        if value not in (None, "")
    ]
    return " ".join(["make", target, *words])


def trouble(error: Exception) -> str | None:
    """What the system refused, and the remedy as a line that goes on; None for anything else."""
    if memory_ran_out(error):
        return "memory ran out\nclose other programs, or give each step fewer images,"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}\n{REMEDIES.get(error.errno, 'fix the problem')}"
    return None
