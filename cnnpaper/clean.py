"""Remove what can be made again: ``build/`` and the tools' caches.

    python3 -m cnnpaper.clean

Never a log, a checkpoint, an image or an environment; and nothing at all while somebody works on
it. Runs on a bare Python.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

from cnnpaper.errors import UserError
from cnnpaper.files import lock

CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")


def clean(root: Path) -> None:
    """Remove ``build/`` but for its lock files, and the caches.

    A lock file is a few bytes. Removing one that another process waits for would let two in. What
    comes into being while this runs is left alone: its lock is not among those held here.

    Raises:
        UserError: a training, a report or a set-up is under way; the message names its process.
    """
    build = root / "build"
    entries = sorted(build.rglob("*"), reverse=True)
    locks = sorted(path for path in entries if _is_lock(path))
    runs = sorted((root / "results" / "log").glob("*/*/run.lock"))
    with contextlib.ExitStack() as held:
        for path in locks:
            held.enter_context(lock(path, what=f"{path} (so nothing was removed)"))
        for path in runs:
            what = f"the run {path.parent} (so nothing was removed)"
            held.enter_context(lock(path, what=what))
        for path in entries:
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # it still holds a lock
                    path.rmdir()
            elif not _is_lock(path):
                path.unlink(missing_ok=True)
        for name in CACHES:
            shutil.rmtree(root / name, ignore_errors=True)


def _is_lock(path: Path) -> bool:
    return path.name == "lock" or path.suffix == ".lock"


def main() -> int:
    """Exit code: 0, or 2 where something is in use."""
    try:
        clean(Path())
    except UserError as error:
        print(f"cnnpaper: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cnnpaper: {error.filename}: {error.strerror}; clean again", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
