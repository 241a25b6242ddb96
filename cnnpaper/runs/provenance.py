"""When, by which code and with which packages something was made."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cnnpaper.log import Header


def now_utc() -> str:
    """ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def packages() -> dict[str, str]:
    """Installed versions of what decides numbers, and of Python."""
    names = ("torch", "torchvision", "numpy", "scipy", "pillow", "cnnpaper")
    return {"python": platform.python_version()} | {n: metadata.version(n) for n in names}


def elsewhere(header: Header, here: Mapping[str, Any]) -> str:
    """What decides bits and is not as it was when the run was started; empty where all is.

    ``here`` are the fields of the machine and the packages of now.
    """
    then = header.machine.model_dump() | header.packages
    names = ("processor", "isa", "threads", "gpu", "torch", "torchvision", "numpy")
    changed = [name for name in names if then.get(name) != here[name]]
    return ", ".join(f"{name}: {then.get(name)} -> {here[name]}" for name in changed)


def commit(root: Path) -> str | None:
    """The commit of the repository, with ``+`` where files differ from it; None outside of one."""

    def git(*arguments: str) -> str:
        call = ["git", "-C", str(root), *arguments]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    try:
        head = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--", "cnnpaper", "experiments", "uv.lock")
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None
    return f"{head}+" if changed else head
