"""When, by which code and with which packages something was made."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path


def now_utc() -> str:
    """ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def packages() -> dict[str, str]:
    """Installed versions of what decides numbers, and of Python."""
    names = ("torch", "torchvision", "numpy", "scipy", "pillow", "cnnpaper")
    versions = {name: metadata.version(name) for name in names}
    return {"python": ".".join(map(str, sys.version_info[:3])), **versions}


def commit(root: Path) -> str | None:
    """The commit of the repository, with ``+`` where files differ from it; None outside of one."""
    head = git(root, "rev-parse", "HEAD")
    if not head:
        return None
    changed = git(root, "status", "--porcelain", "--", "cnnpaper", "experiments", "uv.lock")
    return f"{head}+" if changed else head


def git(root: Path, *arguments: str) -> str | None:
    """What a git command prints; None where it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
