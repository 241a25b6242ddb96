"""One archive of everything: sources, logs, predictions, papers, and the digests of all of them."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tomllib
from pathlib import Path

from cnnpaper.advice import advice
from cnnpaper.files import UserError, tar_gz, write_atomic


def release(root: Path) -> Path:
    """Write ``build/release/cnnpaper-VERSION.tar.gz`` and its identifier; the same bytes each time.

    The archive holds what git has committed, with ``SHA256SUMS``.
    Beside it lies ``….swhid``, the Software Heritage identifier of the committed tree.

    Raises:
        UserError: no git repository, or files differ from the commit.
    """
    if changed := _git(root, "status", "--porcelain", "--untracked-files=no").decode():
        raise UserError(
            f"not committed: {', '.join(line[3:] for line in changed.splitlines()[:4])}\n"
            f"commit what belongs to the release, then: {advice('release')}"
        )
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    name = f"cnnpaper-{version}"
    tree = _git(root, "rev-parse", "HEAD^{tree}").decode().strip()
    when = int(_git(root, "log", "-1", "--format=%ct", "HEAD"))
    files = {}
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "--format=tar", "HEAD"))) as source:
        for member in source:
            if content := source.extractfile(member):  # a folder has none
                files[member.name] = content.read(), 0o755 if member.mode & 0o100 else 0o644
    sums = "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, (d, _) in sorted(files.items()))
    files["SHA256SUMS"] = sums.encode(), 0o644
    target = root / "build" / "release" / f"{name}.tar.gz"
    write_atomic(target, tar_gz({f"{name}/{p}": file for p, file in files.items()}, when))
    write_atomic(target.with_name(f"{name}.swhid"), f"swh:1:dir:{tree}\n".encode())
    return target


def _git(root: Path, *arguments: str) -> bytes:
    call = ["git", "-c", "core.quotePath=false", *arguments]
    done = subprocess.run(call, cwd=root, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:200]
        raise UserError(f"git {arguments[0]}: {said}\na release is made in a git repository")
    return done.stdout
