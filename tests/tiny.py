"""A network of a few thousand weights, for tests of everything around a network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnpaper import config
from cnnpaper.config import RunSpec
from cnnpaper.files import clean_environment

BUILDER = '''"""Two convolutions with batch norm, dropout, one linear layer."""

from torch import nn


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 10),
    )
'''
PARAMETERS = 8 * 27 + 16 + 16 * 72 + 32 + 170
EXPERIMENT = """
name = "Tiny"
korean = "타이니"
year = 2020
venue = "none"
citation = "none"
builder = "tiny"
idea = "A network that exists for tests alone; it has two convolutions and a linear layer."
stem = "There is nothing to change in it."
"""
STUDY = """
networks = ["tiny"]
seeds = {seeds}
steps = {steps}
threads = 1

[data]
set = "synthetic"
train_images = {images}
validation_images = 100
test_images = 100

[override.batch_size]
value = 16
why = "a test wants many steps of little work"

[override.precision]
value = "{precision}"
why = "as the test asks for it"
"""


def add_to(
    root: Path, *, steps: int, images: int = 160, precision: str = "float32", seeds: str = "[0]"
) -> RunSpec:
    """Add the network to a copy of the repository, and a study ``small`` of it; its first run."""
    (root / "cnnpaper" / "engine" / "networks" / "tiny.py").write_text(BUILDER, "utf-8")
    (root / "experiments" / "tiny.toml").write_text(EXPERIMENT, "utf-8")
    text = STUDY.format(steps=steps, images=images, precision=precision, seeds=seeds)
    (root / "experiments" / "study" / "small.toml").write_text(text, "utf-8")
    return config.run_specs(root, config.load_study(root, "small"))[0]


SLOW = """
import time
from pathlib import Path


def pause_s():
    try:
        return float(Path("slow").read_text())
    except FileNotFoundError:
        return 0.0


class Slow(nn.Module):
    def forward(self, x):
        start = time.monotonic()
        while time.monotonic() - start < pause_s():
            time.sleep(0.05)
        return x

"""


def slow_down(root: Path) -> Path:
    """Add a layer that sleeps for the seconds in the file returned, while it exists.

    A run then lasts as long as a test wants, and takes no processor for it.
    """
    network = root / "cnnpaper" / "engine" / "networks" / "tiny.py"
    edit(network, "from torch import nn\n", f"from torch import nn\n{SLOW}")
    edit(network, "nn.Sequential(", "nn.Sequential(\n        Slow(),")
    return root / "slow"


def edit(path: Path, old: str, new: str) -> None:
    """Replace ``old`` once; it must be there."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


class Forked:
    """The command line in a copy of this process, which has imported torch already.

    What the test has patched holds there too. Torch's threads do not survive a fork, so the study
    has one thread.
    """

    def __init__(self, root: Path, arguments: tuple[str, ...]) -> None:
        self._output = root.with_name(f"output-{time.monotonic_ns()}")
        self._status: int | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of threads, which have no work
            self.pid = os.fork()
        if self.pid == 0:
            self._run(root, arguments)

    def _run(self, root: Path, arguments: tuple[str, ...]) -> None:
        code = 70
        try:
            descriptor = os.open(self._output, os.O_WRONLY | os.O_CREAT)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(root)
            os.environ["SLURM_JOB_ID"] = "a test"  # no lock of the device
            from cnnpaper import cli

            code = cli.run(list(arguments))
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self) -> tuple[int, str]:
        """Exit status and output."""
        end = time.monotonic() + 240
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
            time.sleep(0.002)
        return status, self._output.read_text("utf-8") if self._output.exists() else ""


def call(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a command that comes to its end, in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "cnnpaper", *arguments],
        cwd=root,
        env={**clean_environment(), "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "a test"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


TRAIN = ("train", "--model", "tiny", "--study", "small", "--gpus", "cpu")


def wait_for(condition: Callable[[], Any], child: Forked) -> None:
    """Until ``condition`` holds, or the process has ended."""
    end = time.monotonic() + 240
    while not condition() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
