"""Make a Python environment from the lock, on a bare Python, before anything is installed.

    python3 -m cnnpaper.environment .venv                # report and command line
    python3 -m cnnpaper.environment .venv-train train dev  # with torch and the tools

``uv.lock`` is the only lock: the hashes with which pip fetches uv are read from it, and uv installs
the rest by its hashes. A stamp inside the environment says what it was made from, by content. It is
written last and removed first, so an environment whose set-up was interrupted is never believed in.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from cnnpaper import files
from cnnpaper.errors import UserError

OLDEST, NEWEST = (3, 11), (3, 13)
STAMP = "cnnpaper-setup.json"
SKELETON = {"bin", "include", "lib", "lib64", "share", ".gitignore", ".lock", "CACHEDIR.TAG"}
"""What an environment consists of before it has a ``pyvenv.cfg``."""
FULL_BYTES = 1 << 24
"""A disk with less room than this is called full."""
SIZE = {".venv": "no torch, about 0.4 GB", ".venv-train": "with torch, about 5.6 GB"}


def check_python() -> None:
    """Refuse a Python that the lock has no packages for.

    Raises:
        UserError: the interpreter is too old or too new.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise UserError(
            f"this is Python {platform.python_version()} ({sys.executable}); "
            f"cnnpaper needs {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}\n"
            "name another one, for instance: make report PYTHON=python3.12"
        )


def wanted(root: Path, groups: list[str]) -> dict[str, str]:
    """What an environment is a function of: equal answers mean that there is nothing to do.

    Raises:
        UserError: ``root`` is not the repository.
    """
    project = _toml(root / "pyproject.toml")
    # the settings of ruff, mypy and pytest live in the same file, but install nothing
    parts = {key: project.get(key) for key in ("project", "dependency-groups", "build-system")}
    tool = project.get("tool")
    parts["uv"] = tool.get("uv") if isinstance(tool, dict) else None
    return {
        "uv.lock": hashlib.sha256(_bytes(root / "uv.lock")).hexdigest(),
        "pyproject.toml": hashlib.sha256(
            json.dumps(parts, sort_keys=True, default=str).encode()
        ).hexdigest(),
        "groups": " ".join(groups),
        "python": f"{platform.python_version()} {_base_python()}",
        # scripts and the editable install hold this path, so a moved repository is set up anew
        "place": os.fspath(root.resolve()),
    }


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; start in the repository's root") from None


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not TOML ({error})\nrestore it from version control") from None


def _base_python() -> str:
    """The interpreter outside of any virtual environment."""
    return os.path.realpath(sys.executable)


def stamp_of(folder: Path) -> dict[str, str]:
    """What ``folder`` was made from; empty where no set-up of it was ever completed."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def set_up(root: Path, name: str, groups: list[str]) -> None:
    """Make the environment ``root/name``, or bring it up to date, or do nothing.

    Raises:
        UserError: the folder belongs to somebody else, or an installer failed.
    """
    want = wanted(root, groups)
    folder = root / name
    if stamp_of(folder) == want:
        return
    path = root / "build" / "setup.lock"
    with files.lock(path, what="the set-up of this repository", wait=_wait) as lock:
        have = stamp_of(folder)
        if have == want:  # another process made it while this one waited
            return
        changed = [key for key in want if have.get(key) != want[key]]
        why = f"changed: {', '.join(changed)}" if have else SIZE.get(name, "new")
        _say(f"setting up {name} ({why})")
        locked_uv(root)  # a lock that cannot be read must not cost the environment that is there
        (folder / STAMP).unlink(missing_ok=True)
        if not have or {"python", "place"} & set(changed):
            _remove_environment(folder)
        uv = _uv(root, lock)
        _run([uv, *_sync(groups)], lock, UV_PROJECT_ENVIRONMENT=name)
        files.write_atomic(folder / STAMP, json.dumps(want, indent=1).encode())


def _sync(groups: list[str]) -> list[str]:
    options = ["sync", "--frozen", "--no-default-groups", "--python", _base_python()]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    return [*options, *quiet, *(part for group in groups for part in ("--group", group))]


def locked_uv(root: Path) -> tuple[str, list[str]]:
    """Version of uv in the lock, and the hashes of its wheels.

    Raises:
        UserError: the lock is missing or damaged, or does not have uv.
    """
    path = root / "uv.lock"
    try:
        (package,) = (item for item in _toml(path)["package"] if item["name"] == "uv")
        return str(package["version"]), [str(wheel["hash"]) for wheel in package["wheels"]]
    except (LookupError, TypeError, ValueError):
        raise UserError(
            f"{path}: not a lock that has uv once\nrestore it from version control"
        ) from None


def wanted_installer(root: Path) -> dict[str, str]:
    """What ``build/uv`` is a function of."""
    version, _ = locked_uv(root)
    return {"uv": version, "python": _base_python(), "place": os.fspath(root.resolve())}


def _uv(root: Path, lock: int) -> str:
    """Path of the uv that the lock names, installed first where it is not there.

    pip is the only installer on a bare machine; it gets the version and the hashes from uv.lock.
    """
    folder, want = root / "build" / "uv", wanted_installer(root)
    if stamp_of(folder) != want:
        version, hashes = locked_uv(root)
        _say(f"fetching the installer, uv {version}")
        (folder / STAMP).unlink(missing_ok=True)
        _remove_environment(folder)
        _run([_base_python(), "-I", "-m", "venv", os.fspath(folder)], lock)
        requirement = [f"uv=={version}", *(f"--hash={digest}" for digest in hashes)]
        (folder / "requirements.txt").write_text(" ".join(requirement) + "\n", encoding="ascii")
        pip = [os.fspath(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet"]
        pip += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        pip += ["--require-hashes", "-r", os.fspath(folder / "requirements.txt")]
        _run(pip, lock, PIP_USER="0")
        files.write_atomic(folder / STAMP, json.dumps(want).encode())
    return os.fspath(folder / "bin" / "uv")


def _remove_environment(folder: Path) -> None:
    """Remove an environment that cannot be trusted, but nothing that is not one.

    ``pyvenv.cfg`` goes last, and comes after the first folders when one is made: whatever a kill
    left behind is still recognised.
    """
    if not folder.is_symlink() and not folder.exists():
        return
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name == "pyvenv.cfg")
    names = {entry.name for entry in entries}
    if folder.is_symlink() or not ("pyvenv.cfg" in names or names <= SKELETON):
        raise UserError(
            f"{folder} is in the way: it is not an environment that was made here\n"
            "move it away and run make again"
        )
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    folder.rmdir()


def _run(command: list[str], lock: int, **variables: str) -> None:
    """Run an installer; it inherits the lock, which thus outlives a killed parent."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **variables}
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_SYSTEM_PYTHON"):
        environment.pop(name, None)
    try:
        code = subprocess.run(command, env=environment, pass_fds=(lock,)).returncode
    except OSError as error:
        raise UserError(f"{command[0]}: cannot be started ({error.strerror})") from None
    if code:
        # not every installer says so
        full = "; the disk is full" if shutil.disk_usage(".").free < FULL_BYTES else ""
        name = Path(command[0]).name
        raise UserError(
            f"the set-up stopped: {name} ended with code {code} (reason above){full}\n"
            "what was begun will not be used; run the same make target again"
        )


def _wait(busy: str) -> None:
    _say(f"{busy}; waiting for it to end")


def _say(text: str) -> None:
    print(f"cnnpaper: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    try:
        check_python()
        set_up(Path.cwd(), arguments[0], arguments[1:])
    except UserError as error:
        _say(str(error))
        return 2
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}; the set-up is not complete, run it again")
        return 2
    except KeyboardInterrupt:
        _say("set-up interrupted; what was begun will not be used: run the same target again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
