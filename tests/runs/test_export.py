"""Event files of growing logs, and the release archive."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest

from cnnpaper import export, release
from cnnpaper.files import UserError

EPOCH = (
    '{"kind":"epoch","epoch":%d,"steps":4,"train_loss":null,"train_acc":0.5,"val_loss":1.5,'
    '"val_acc":0.25,"learning_rate":0.1,"train_s":2.0,"train_cpu_s":null,"other_cpu_s":null,'
    '"eval_s":1.0,"suspended_s":null,"contended":null,"nonfinite":{"train_loss":"nan"}}\n'
)


def test_crc_and_framing_by_known_values() -> None:
    """CRC-32C of 32 zero bytes is 8a9136aa (RFC 3720, appendix B.4); masked as LevelDB does."""
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert export._masked_crc(bytes(32)) == masked.to_bytes(4, "little")
    assert export.record(b"abc")[:8] == (3).to_bytes(8, "little")


def test_growing_log(tmp_path: Path) -> None:
    """A cut-off last line waits; what is appended is appended; what was cut back is rewritten."""
    log, target = tmp_path / "run.jsonl", tmp_path / "events"
    written: dict[Path, list[export.Scalars]] = {}
    log.write_text(EPOCH % 0 + (EPOCH % 1)[:30])
    export._update(log, target, written)
    first = target.read_bytes()
    assert [one[1] for one in written[log]] == [4]
    log.write_text(EPOCH % 0 + EPOCH % 1)
    export._update(log, target, written)
    assert target.read_bytes().startswith(first)
    assert [(one[0], one[1]) for one in written[log]] == [(3.0, 4), (6.0, 8)]
    assert target.read_bytes() == export.event_file(written[log], 0.0)
    log.write_text((EPOCH % 0).replace("0.25", "0.75"))
    export._update(log, target, written)
    assert len(target.read_bytes()) == len(first)
    log.write_text("{}\n")
    with pytest.raises(UserError, match=r"run.jsonl:1: not a line of a log"):
        export._update(log, target, written)


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    call = ["git", *identity, *arguments]
    return subprocess.run(call, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_release_is_the_committed_tree_with_its_digests(tmp_path: Path) -> None:
    root = tmp_path / "r"
    (root / "report").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (root / "한글 name.txt").write_text("text")
    (root / "report" / "CNN_report-x.html").write_text("<p>")
    (root / ".gitignore").write_text("report/CNN_report-*\nbuild/\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    target = release.release(root)
    first = target.read_bytes()
    assert target.name == "cnnpaper-1.2.3.tar.gz"
    assert release.release(root).read_bytes() == first
    tree = git(root, "rev-parse", "HEAD^{tree}")
    assert target.with_name("cnnpaper-1.2.3.swhid").read_text() == f"swh:1:dir:{tree}\n"
    with tarfile.open(target) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    unpacked = tmp_path / "out" / "cnnpaper-1.2.3"
    sums = (unpacked / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == 4
    for line in sums:
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest
    (root / "pyproject.toml").write_text("changed")
    with pytest.raises(UserError, match=r"not committed: pyproject.toml"):
        release.release(root)
