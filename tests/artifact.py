"""A copy of the artifact whose environments are stand-ins: make works in it, nothing is fetched."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

from cnnpaper.files import UNWANTED

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
VARIABLES = re.search(r"^export (.*)$", MAKEFILE.read_text("utf-8"), re.MULTILINE)[1].split()  # type: ignore[index]
"""Of the Makefile, as a user gives them."""
ENVIRONMENTS = {".venv": "", ".venv-train": "train dev"}


def executable(path: Path, text: str) -> None:
    """Write a script that can be started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def set_up(root: Path, *, record: Path | None = None, before: str = "") -> Path:
    """Give ``root`` environments that are complete, and whose Python is that of this process.

    Args:
        root: of a copy of the repository.
        record: a file that gets what each call of Python was given, which then does nothing.
        before: statements that each call of Python executes first.
    """
    start = root / "stand_in.py"
    start.write_text(
        f"""import json, os, runpy, sys
record, names = {os.fspath(record) if record else None!r}, {VARIABLES!r}
if record:
    given = {{n: os.environ[n] for n in names if os.environ.get(n)}}
    with open(record, 'a') as file:
        print(json.dumps({{'arguments': sys.argv[1:], 'variables': given}}), file=file)
    sys.exit(0)
sys.path[0] = os.getcwd()
{before}
assert sys.argv[1] == '-m'
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
""",
        "utf-8",
    )
    python = f'#!/bin/sh\nexec "{sys.executable}" "{start}" "$@"\n'
    for name, groups in ENVIRONMENTS.items():
        executable(root / name / "bin" / "python", python)
        made_from = f"{root.resolve()}\n{groups}\n" + (root / "uv.lock").read_text("utf-8")
        (root / name / "made-from").write_text(made_from, "utf-8")
    executable(root / "report" / "install-tex.sh", "")
    return root


def outside(**more: str) -> dict[str, str]:
    """This process's environment without variables of make, as a user's shell has it."""
    unwanted = {*VARIABLES, *UNWANTED, "FORCE", "ALLOW_STALE"}
    unwanted |= {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
    return {k: v for k, v in os.environ.items() if k not in unwanted} | more


def shell(command: str, root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Type ``command`` into a shell that stands in ``root``."""
    return subprocess.run(
        ["sh", "-c", command], cwd=root, env=outside(**more), capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Git in ``root``, with nobody's settings and nobody as author."""
    nobody = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER")
              for what in ("NAME", "EMAIL")}  # fmt: skip
    return subprocess.run(
        ["git", "-C", str(root), *arguments], env=outside(GIT_CONFIG_GLOBAL=os.devnull, **nobody),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def recorded(path: Path) -> list[dict[str, object]]:
    """What :func:`set_up` recorded."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def commands_in(message: str) -> list[str]:
    """The commands that a message tells its reader to type: ``make`` and what belongs to it."""
    word = r"(?:'[^']*'|[^\s;,')]+)+"
    return re.findall(
        rf"(?:mkdir -p {word} && )?\bmake [a-z][a-z0-9_-]*(?: [A-Z_]+={word})*", message
    )
