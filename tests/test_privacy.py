"""Nothing is fetched after set-up; what is published names no person and no machine."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pikepdf
import pytest

from tests import artifact, tiny
from tests.conftest import REPOSITORY

GUARD = """
def guard(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        os.write(2, f"the network was used: {event} {arguments}".encode())
        os._exit(99)
sys.addaudithook(guard)
"""
"""Nothing that a program catches hides this."""
PLACES = re.compile(rb"/(?:home|Users|root|tmp|work|mnt)/[\w.]|[A-Z]:\\Users\\|pytest-of-")


def laid_open(pdf: bytes) -> bytes:
    """Everything in a PDF, attachments too, uncompressed; strings of its metadata as UTF-8."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as document:
        document.save(
            out,
            qdf=True,
            object_stream_mode=pikepdf.ObjectStreamMode.disable,
            stream_decode_level=pikepdf.StreamDecodeLevel.all,
        )
        strings = "\n".join(str(value) for value in document.docinfo.values())
    return out.getvalue() + strings.encode()


@pytest.mark.parametrize(
    "command",
    [
        "make report EDITION=html",
        pytest.param("make tiny STUDY=small", marks=pytest.mark.train),
    ],
)
def test_report_and_training_use_no_network(root: Path, command: str) -> None:
    tiny.add_to(root, steps=4)
    artifact.set_up(root, before=GUARD)
    done = artifact.shell(command, root, SLURM_JOB_ID="a test", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr


def test_what_fetches_is_noticed(root: Path) -> None:
    artifact.set_up(root, before=GUARD)
    done = artifact.shell("make data SET=original", root)
    assert "the network was used" in done.stderr


def test_what_is_committed_names_no_place() -> None:
    """Papers, logs and measurements, every stream of the PDF uncompressed."""
    papers = list((REPOSITORY / "report").glob("CNN_report.*"))
    assert papers
    for path in (*papers, *(REPOSITORY / "results").rglob("*.jsonl")):
        data = path.read_bytes()
        found = PLACES.search(laid_open(data) if path.suffix == ".pdf" else data)
        assert found is None, f"{path}: {found}"
