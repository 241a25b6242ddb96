"""Runs as jobs of Slurm: a list of commands becomes one array of jobs, by plain ``sbatch``.

The job is ``experiments/job.sh``, which whoever prefers ``sbatch`` uses by hand. What was submitted
lies in ``build/cluster/STUDY/N``: the commands, one a line, and each task's output.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from cnnpaper import config, tuning
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec
from cnnpaper.files import UserError, write_atomic
from cnnpaper.runs.launch import command

SETTINGS = Path("experiments") / "cluster.toml"
SCRIPT = Path("experiments") / "job.sh"
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "PREEMPTED"}
RUNNING = {"RUNNING", "COMPLETING", "CONFIGURING", "SIGNALING", "STAGE_OUT"}
NO_CONSTRAINT = (
    f"no constraint in {SETTINGS}: a job that is queued again and gets another type of processor "
    "or GPU cannot resume its run, and fails with a message that says so"
)
SLURM_SAYS = re.compile("(srun|slurmstepd|sbatch|scontrol)[^ ]*: ")


class Cluster(config.Model):
    """``experiments/cluster.toml``: what each job asks for; None leaves it to the cluster."""

    partition: str | None = None
    account: str | None = None
    time: str | None = None
    constraint: str | None = None
    memory: str | None = None
    gpus: int = Field(default=0, ge=0, le=16)
    threads: int = Field(default=1, ge=1, le=1024)  # cores of each job
    at_once: int = Field(default=8, ge=1, le=10_000)
    setup: tuple[str, ...] = ()  # lines of shell that each job runs first

    def options(self) -> list[str]:
        """For ``sbatch``."""
        asked = self.model_dump(include={"partition", "account", "time", "constraint"})
        asked |= {"mem": self.memory, "gpus-per-node": self.gpus, "cpus-per-task": self.threads}
        return [f"--{name}={value}" for name, value in asked.items() if value]


class Job(NamedTuple):
    """A job of the queue, which knows recently ended ones too."""

    id: str
    state: str  # `PENDING`, `RUNNING`, `COMPLETED`, `FAILED`, ...

    @property
    def alive(self) -> bool:
        return self.state in WAITING | RUNNING


def settings(root: Path) -> Cluster:
    """What ``experiments/cluster.toml`` says; the defaults where there is none."""
    path = root / SETTINGS
    return config.validated(Cluster, config.read_toml(path), path) if path.exists() else Cluster()


def job_name(root: Path, study: str) -> str:
    """One name for all jobs of a study of this repository, by which the queue is asked."""
    return f"cnnpaper-{study}-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"


def submit(
    root: Path, study: str, missing: Sequence[RunSpec], data_dir: Path, force: bool, dry_run: bool
) -> str:
    """Submit the runs that are not in the queue already as one array; returns what is to be said.

    With ``dry_run`` that is the command, the lines and the script, and nothing is submitted. The
    repository lies on a disk that all nodes see.
    """
    alive = set() if dry_run else _alive(root, study)
    new = [spec for spec in missing if spec.path not in alive]
    if not new:
        return f"{study}: nothing to submit; {len(alive)} runs are in the queue"
    cluster = settings(root)
    number = 1 + max((int(number) for number, _ in _places(root, study).values()), default=0)
    folder = (root / "build" / "cluster" / study / str(number)).resolve()
    calls = ((spec.path, command(spec, data_dir, "auto", force)) for spec in new)
    lines = "".join(f"{shlex.join(call)} # {run}\n" for run, call in calls)
    setup = "".join(f"{line}\n" for line in cluster.setup)
    call = [
        *("sbatch", "--parsable", f"--job-name={job_name(root, study)}", f"--comment={number}"),
        *(f"--array=1-{len(new)}%{cluster.at_once}", f"--output={folder}/%a.out"),
        f"--export=ALL,COMMANDS={folder}/commands,SETUP={folder}/setup",
        *(*cluster.options(), str(SCRIPT)),
    ]
    if dry_run:
        script = (root / SCRIPT).read_text("utf-8")
        return f"{shlex.join(call)}\n\n# commands\n{lines}\n# setup\n{setup}\n{script}"
    write_atomic(folder / "commands", lines.encode())
    write_atomic(folder / "setup", setup.encode())
    job = _slurm(call, root).strip().partition(";")[0]
    more = advice("status", STUDY=study)
    said = f"job {job}: {len(new)} runs submitted; what becomes of them: {more}"
    return said if cluster.constraint else f"{said}\n{NO_CONSTRAINT}"


def _places(root: Path, study: str) -> dict[str, tuple[str, str]]:
    """Run → number of the array with which it was submitted last, and its task there."""
    files = (root / "build" / "cluster" / study).glob("*/commands")
    return {
        line.rpartition(" # ")[2]: (path.parent.name, str(task))
        for path in sorted(files, key=lambda path: int(path.parent.name))
        for task, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
    }


def queue(root: Path, study: str) -> dict[str, Job]:
    """The newest job of each run of a study: waiting, running or recently ended."""
    call = ["squeue", "--noheader", "--array", "--states=all", f"--name={job_name(root, study)}"]
    rows = [line.split("|") for line in _slurm([*call, "--format=%F|%K|%T|%k"], root).splitlines()]
    jobs = {
        (number.strip(), task): Job(id=f"{job}_{task}", state=state)
        for job, task, state, number in sorted(rows, key=lambda row: int(row[0]))
    }
    return {run: jobs[place] for run, place in _places(root, study).items() if place in jobs}


def _alive(root: Path, study: str) -> set[str]:
    """Runs whose jobs wait or run."""
    return {run for run, job in queue(root, study).items() if job.alive}


def outputs(root: Path, study: str) -> dict[str, Path]:
    """Each run's newest output file."""
    base = root / "build" / "cluster" / study
    places = _places(root, study).items()
    return {run: base / number / f"{task}.out" for run, (number, task) in places}


def jobs_text(root: Path, study: str) -> str:
    """What waits, what runs, what ended without a result; empty where nothing was submitted."""
    files = outputs(root, study)
    if not files or shutil.which("squeue") is None:
        return ""
    jobs = queue(root, study)
    waiting, running = (sum(j.state in kind for j in jobs.values()) for kind in (WAITING, RUNNING))
    lines = [f"Slurm: {waiting} waiting, {running} running"]
    for run, output in sorted(files.items()):
        job = jobs.get(run)
        if not (job and job.alive) and not tuning.finished(root / "results" / "log" / run):
            state = f"{job.id} {job.state}" if job else "ended without a result"
            lines.append(f"  {run}: {state}; {output}{_last_words(output)}")
    return "\n".join(lines)


def _last_words(output: Path) -> str:
    """The last line of the run's own; what Slurm says about its end comes after it."""
    text = output.read_text("utf-8", "replace") if output.exists() else ""
    own = [line for line in text.splitlines() if line.strip() and not SLURM_SAYS.match(line)]
    return f": {own[-1].strip()[:160]}" if own else ""


def cancel(root: Path, study: str) -> str:
    """Cancel all jobs of a study; running ones save their state."""
    alive = _alive(root, study)
    if alive:
        _slurm(["scancel", f"--name={job_name(root, study)}"], root)
    return f"{study}: {len(alive)} jobs cancelled; running ones save their state first"


def _slurm(call: list[str], root: Path) -> str:
    """The output of one of Slurm's commands; a :class:`UserError` where that fails."""
    if shutil.which(call[0]) is None:
        raise UserError(
            f"Slurm's {call[0]} is not on this machine\n"
            "log in to a node that has it, or train here: leave out CLUSTER=slurm"
        )
    done = subprocess.run(call, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{call[0]}: {done.stderr.strip()[:400]}\ncheck {SETTINGS}")
    return done.stdout
