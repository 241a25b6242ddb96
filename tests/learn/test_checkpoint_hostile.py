"""Checkpoints of somebody else, with the right checksum: passed over, nothing executed or unpacked.

Whoever can write a checkpoint can write its first line too, so the checksum protects from accidents
only. What protects from the rest is that no object but tensors, numbers and texts is ever built.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnpaper.learn import checkpoint  # noqa: E402
from tests.learn.test_data_hostile import Run  # noqa: E402

pytestmark = pytest.mark.train
CPU = torch.device("cpu")
TOUCH = "touch executed"


def saved(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def legacy(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def packed_bomb(mebibytes: int) -> bytes:
    """A state of zeros, compressed: what torch writes it stores as it is."""
    source = io.BytesIO(saved({"w": torch.zeros(mebibytes << 20, dtype=torch.uint8)}))
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return packed.getvalue()


def large_claim() -> bytes:
    """A ``bytearray`` of 16 GiB, which torch's own reader admits, in a few bytes."""
    return saved({"x": Run(bytearray, 16 << 30)})


HOSTILE: dict[str, Callable[[], bytes]] = {
    "os.system": lambda: saved(Run(os.system, TOUCH)),
    "os.system, as a part": lambda: saved({"training": Run(os.system, TOUCH), "log_lines": 1}),
    "os.system, old format": lambda: legacy(Run(os.system, TOUCH)),
    "os.system, plain pickle": lambda: pickle.dumps(Run(os.system, TOUCH), protocol=2),
    "builtins.eval": lambda: saved({"x": Run(builtins.eval, "open('executed', 'w')")}),
    "builtins.exec": lambda: saved({"x": Run(builtins.exec, "open('executed', 'w')")}),
    "builtins.getattr": lambda: saved({"x": Run(builtins.getattr, Path, "touch")}),
    "subprocess.Popen": lambda: saved({"x": Run(subprocess.Popen, ["touch", "executed"])}),
    "pathlib.Path.touch": lambda: saved({"x": Run(Path.touch, Path("executed"))}),
    "numpy object array": lambda: saved({"x": np.array([Run(os.system, TOUCH)], dtype=object)}),
    "a module": lambda: saved(torch.nn.Linear(2, 2)),
    "no dictionary": lambda: saved([1, 2]),
    "cut off": lambda: saved({"w": torch.zeros(1000)})[:-100],
    "empty": lambda: b"",
    "text": lambda: b"cos\nsystem\n(S'touch executed'\ntR.",
    "compressed": lambda: packed_bomb(1),
}


def write(folder: Path, payload: bytes, epoch: int) -> Path:
    """A checkpoint with the checksum that its payload has."""
    head = checkpoint.MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    path = folder / f"checkpoint-{epoch:06d}-0000000.pt"
    path.write_bytes(head + payload)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_passed_over(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good: dict[str, Any] = {"training": {"w": torch.arange(3)}, "log_lines": 4}
    checkpoint.save(tmp_path, good, epoch=1, step=0)
    hostile = write(tmp_path, HOSTILE[name](), epoch=2)
    said: list[str] = []
    states = list(checkpoint.load_newest(tmp_path, CPU, said.append))
    assert [state["log_lines"] for state in states] == [4]
    assert said == [f"{hostile}: damaged, falling back to the checkpoint before it"]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_payloads_would_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above can fail: without ``weights_only`` the file is there."""
    monkeypatch.chdir(tmp_path)
    torch.load(io.BytesIO(HOSTILE["os.system, as a part"]()), weights_only=False)
    assert (tmp_path / "executed").exists()


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import torch
from cnnpaper.learn import checkpoint
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (128 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
folder = Path(sys.argv[1])
assert list(checkpoint.load_newest(folder, torch.device("cpu"), print)) == []
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is set as Linux has it")
def test_bombs_are_refused_in_little_memory(tmp_path: Path) -> None:
    """128 MiB more than torch itself has; unpacked they would be 256 MiB and 16 GiB."""
    bombs = [packed_bomb(256), large_claim()]
    assert max(map(len, bombs)) < 2 << 20
    paths = [write(tmp_path, bomb, epoch) for epoch, bomb in enumerate(bombs)]
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        str(path) for path in reversed(paths)
    ]
