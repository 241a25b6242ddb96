"""After set-up nothing needs a network but fetching images, and nothing publishes a name.

The commands run where there is no network interface, on a host and for a user with names that are
found again wherever they go.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fabricate
from tests.learn import tiny
from tests.private import leaks, texts

REPOSITORY = Path(__file__).parents[1]
NAMES = {
    "sentinel-host": "the host's name",
    "sentinel_user": "the user's name",
    "s3ntinel-value": "the value of a variable",
}
APART = """
echo sentinel-host > /proc/sys/kernel/hostname
exec "$@"
"""
ALONE = ["unshare", "--map-root-user", "--net", "--uts", "sh", "-c", APART, "sh"]
"""A process after this has no network interface, and a host's name of its own."""


def alone(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    user = {"USER": "sentinel_user", "LOGNAME": "sentinel_user", "HOSTNAME": "sentinel-host"}
    more = {"CNNPAPER_TOKEN": "s3ntinel-value", "EMAIL": "s3ntinel-value"}
    return subprocess.run(
        [*ALONE, *command],
        cwd=root,
        env={**os.environ, **own, **user, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def permitted() -> bool:
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not permitted(), reason="needs unshare and the right to make a network namespace (Linux)"
)


def published_leaks(root: Path) -> set[str]:
    """Names in what a command left to be published."""
    named = {**NAMES, str(root): "the folder of the repository"}
    paths = [*(root / "results").rglob("*"), *(root / "report").glob("*.pdf")]
    return {
        f"{path.relative_to(root)}: {leak}"
        for path in paths
        if path.is_file() and path.suffix != ".pt"  # checkpoints are not published
        for text in texts(path)
        for leak in leaks(text, named)
    }


def test_where_the_commands_run_there_is_no_network(tmp_path: Path) -> None:
    """So that the tests below can fail."""
    code = (
        "import socket, os; print(socket.gethostname(), os.environ['USER'])\n"
        "for place in (('127.0.0.1', 9), ('192.0.2.1', 80)):\n"
        "    try: socket.create_connection(place, 2)\n"
        "    except OSError as error: print(error.errno)\n"
    )
    done = alone(tmp_path, sys.executable, "-c", code)
    assert done.stdout.split() == ["sentinel-host", "sentinel_user", *[str(errno.ENETUNREACH)] * 2]


@pytest.mark.tex
def test_the_paper_is_made_without_a_network(tmp_path: Path) -> None:
    plan = fabricate.Plan(networks=("resnet18",), images=100, epochs=1)
    root = fabricate.study(tmp_path / "copy", plan, code=True)
    done = alone(root, sys.executable, "-m", "cnnpaper", "report", "--study", plan.name)
    assert done.returncode == 0, done.stderr
    assert (root / "report" / f"CNN_report-{plan.name}.pdf").is_file()
    assert published_leaks(root) == set()


@pytest.mark.tex
@pytest.mark.train
@pytest.mark.soak
def test_a_training_and_its_paper_without_a_network(root: Path) -> None:
    tiny.add_to(root, epochs=2)
    for arguments in (["experiments", "--study", "small"], ["report", "--study", "small"]):
        done = alone(root, sys.executable, "-m", "cnnpaper", *arguments)
        assert done.returncode == 0, done.stderr
    assert (root / "report" / "CNN_report-small.pdf").is_file()
    assert (root / "results" / "log" / "small" / "tiny-s0" / "run.jsonl").is_file()
    assert published_leaks(root) == set()


@pytest.mark.tex
@pytest.mark.soak
def test_make_report_after_set_up_without_a_network(root: Path) -> None:
    """The committed logs, the real Makefile; only the set-up before has a network."""
    ignore = shutil.ignore_patterns("checkpoint-*", "*.lock")
    shutil.copytree(REPOSITORY / "results", root / "results", ignore=ignore)
    base = os.path.realpath(sys.executable)
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    made = subprocess.run(
        ["make", "environment", f"PYTHON={base}"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"the set-up itself needs a network: {made.stderr[-200:]}")
    done = alone(root, "make", "report", f"PYTHON={base}")
    assert done.returncode == 0, done.stderr
    assert "CNN_report.pdf: the paper of study 'reference'" in done.stdout
    assert published_leaks(root) == set()
