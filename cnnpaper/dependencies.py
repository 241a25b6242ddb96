"""What the artifact rests on: the licence of every package, and what is known against it.

    .venv-train/bin/python -m cnnpaper.dependencies licences
    .venv-train/bin/python -m cnnpaper.dependencies audit

Both are about ``uv.lock``, which has every package with the hashes of its files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from cnnpaper.errors import UserError

SERVICE = "https://api.osv.dev/"
"""The public data base of vulnerabilities."""
SILENT = {
    "cuda-toolkit": "not stated; a list of NVIDIA's packages, which are proprietary",
}
"""Packages whose metadata have no licence."""


def locked(root: Path) -> list[tuple[str, str]]:
    """Name and version of every package in the lock but this one; some have one for each Python.

    Raises:
        UserError: ``root`` is not the repository.
    """
    try:
        lock = tomllib.loads((root / "uv.lock").read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; start in the repository's root") from None
    found = lock["package"]
    return [(p["name"], p["version"]) for p in found if p["source"] != {"editable": "."}]


def licence(name: str) -> str | None:
    """What the metadata of an installed package say of its licence; None where it is not there.

    The expression of SPDX if there is one, else the licence field where it is a name and not a
    text, else the classifiers.
    """
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    fields = [*about.get_all("License-Expression", []), *about.get_all("License", [])]
    names = [
        field for field in map(str.strip, fields) if 0 < len(field) <= 200 and "\n" not in field
    ]
    if names:
        return names[0]
    kinds = [c for c in about.get_all("Classifier", []) if c.startswith("License ::")]
    return "; ".join(kind.rpartition(" :: ")[2] for kind in kinds) or SILENT.get(name, "")


def licences(root: Path) -> str:
    """One line for each package of the lock: name, version, licence.

    Raises:
        UserError: an installed package states none.
    """
    lines = []
    for name, version in locked(root):
        stated = licence(name)
        if stated == "":
            raise UserError(
                f"{name} {version}: its metadata state no licence\n"
                "look it up and enter it in SILENT of cnnpaper/dependencies.py"
            )
        stated = "(not installed here: for another system)" if stated is None else stated
        lines.append(f"{name:24} {version:16} {stated}")
    return "\n".join(lines)


def audit(root: Path, service: str = SERVICE) -> int:
    """Ask the data base about every package of the lock and print what it knows.

    Returns:
        0 for nothing known, 1 for vulnerabilities, 2 where no answer came.
    """
    uv = Path(sys.executable).with_name("uv")
    command = [os.fspath(uv), "audit", "--frozen", "--service-url", service]
    command += ["--preview-features", "audit-command"]
    given_up_soon = {"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "15", "UV_NO_PROGRESS": "1"}
    done = subprocess.run(command, cwd=root, env={**os.environ, **given_up_soon}, check=False)
    if done.returncode not in (0, 1):
        raise UserError(
            f"the data base of vulnerabilities, {service}, gave no answer (reason above)\n"
            f"so nothing is known about the {len(locked(root))} packages of uv.lock; "
            "try again with a network"
        )
    return done.returncode


def main(arguments: list[str]) -> int:
    """Exit code: as :func:`audit`; 2 for what the user can mend."""
    try:
        if arguments == ["audit"]:
            return audit(Path())
        print(licences(Path()))
    except UserError as error:
        print(f"cnnpaper: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
