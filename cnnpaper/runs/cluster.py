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
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from cnnpaper import config
from cnnpaper.advice import advice
from cnnpaper.config import RunSpec
from cnnpaper.files import UserError, clean_environment, write_atomic
from cnnpaper.runs.launch import command

SETTINGS = Path("experiments") / "cluster.toml"
SCRIPT = Path("experiments") / "job.sh"
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "PREEMPTED"}
SLURM_SAYS = re.compile("(srun|slurmstepd|sbatch|scontrol)[^ ]*: ")
RUNNING = {"RUNNING", "COMPLETING", "CONFIGURING", "SIGNALING", "STAGE_OUT"}


class Cluster(config.Model):
    """``experiments/cluster.toml``: what each job asks for; None leaves it to the cluster."""

    partition: str | None = None
    account: str | None = None
    time: str | None = None
    constraint: str | None = None
    memory: str | None = None
    gpus: int = Field(default=0, ge=0, le=16)
    threads: int = Field(default=1, ge=1, le=1024)
    """Cores of each job."""
    at_once: int = Field(default=8, ge=1, le=10_000)
    setup: tuple[str, ...] = ()
    """Lines of shell that each job runs first."""

    def options(self) -> list[str]:
        """For ``sbatch``."""
        names = {"partition", "account", "time", "constraint"}
        given = {name: getattr(self, name) for name in sorted(names)} | {"mem": self.memory}
        options = [f"--{name}={value}" for name, value in given.items() if value is not None]
        options += [f"--gpus-per-node={self.gpus}"] if self.gpus else []
        return [*options, f"--cpus-per-task={self.threads}"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of the queue, which knows recently ended ones too."""

    id: str
    state: str
    """``PENDING``, ``RUNNING``, ``COMPLETED``, ``FAILED``, ..."""
    run: str
    """``STUDY/ARM/MODEL-sSEED``."""

    @property
    def alive(self) -> bool:
        return self.state in WAITING | RUNNING


def settings(root: Path) -> Cluster:
    """What ``experiments/cluster.toml`` says; the defaults where there is none.

    Raises:
        UserError: a mistake in the file.
    """
    path = root / SETTINGS
    return config.validated(Cluster, config.read_toml(path), path) if path.exists() else Cluster()


def job_name(root: Path, study: str) -> str:
    """One name for all jobs of a study of this repository, by which the queue is asked."""
    return f"cnnpaper-{study}-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"


def submit(
    root: Path, study: str, commands: Sequence[tuple[str, list[str]]], *, dry_run: bool = False
) -> str:
    """Submit (run, command)s as one array of jobs; returns what there is to say.

    Args:
        root: of the repository, on a disk that all nodes see.
        study: for the jobs' name.
        commands: each run's path and the command that trains it.
        dry_run: submit nothing; return the command, the lines and the script.

    Raises:
        UserError: Slurm is not there, or refused.
    """
    cluster = settings(root)
    base = (root / "build" / "cluster" / study).resolve()
    number = 1 + max((int(p.name) for p in base.glob("*") if p.name.isdigit()), default=0)
    folder = base / str(number)
    lines = "".join(f"{shlex.join(command)} # {run}\n" for run, command in commands)
    call = [
        *("sbatch", "--parsable", f"--job-name={job_name(root, study)}", f"--comment={number}"),
        *(f"--array=1-{len(commands)}%{cluster.at_once}", f"--output={folder}/%a.out"),
        f"--export=ALL,COMMANDS={folder}/commands,SETUP={folder}/setup",
        *(*cluster.options(), str(SCRIPT)),
    ]
    if dry_run:
        script = (root / SCRIPT).read_text("utf-8")
        setup = "\n".join(cluster.setup)
        return f"{shlex.join(call)}\n\n# commands\n{lines}\n# setup\n{setup}\n\n{script}"
    _need("sbatch")
    write_atomic(folder / "commands", lines.encode())
    write_atomic(folder / "setup", "".join(f"{line}\n" for line in cluster.setup).encode())
    job = _slurm(call, root).strip().partition(";")[0]
    warning = (
        ""
        if cluster.constraint
        else f"\nno constraint in {SETTINGS}: a job that is queued again and gets another type of "
        "processor or GPU cannot resume its run, and fails with a message that says so"
    )
    more = advice("status", STUDY=study)
    return f"job {job}: {len(commands)} runs submitted; what becomes of them: {more}{warning}"


def submit_runs(
    root: Path, study: str, missing: Sequence[RunSpec], data_dir: Path, force: bool, dry_run: bool
) -> str:
    """Submit the missing runs that are not in the queue already."""
    queued = {} if dry_run else queue(root, study)
    alive = {job.run for job in queued.values() if job.alive}
    new = [spec for spec in missing if spec.path not in alive]
    if not new:
        return f"{study}: nothing to submit; {len(alive)} runs are in the queue"
    commands = [(spec.path, command(spec, data_dir, "auto", force)) for spec in new]
    return submit(root, study, commands, dry_run=dry_run)


def queue(root: Path, study: str) -> dict[str, Job]:
    """The newest job of each run of a study: waiting, running or recently ended.

    Raises:
        UserError: Slurm is not there, or does not answer.
    """
    _need("squeue")
    call = ["squeue", "--noheader", "--array", "--states=all", f"--name={job_name(root, study)}"]
    found: dict[str, Job] = {}
    rows = [line.split("|") for line in _slurm([*call, "--format=%F|%K|%T|%k"], root).splitlines()]
    for job, task, state, number in sorted(rows, key=lambda row: int(row[0])):
        path = root / "build" / "cluster" / study / number.strip() / "commands"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if task.isdigit() and 0 < int(task) <= len(lines):
            run = lines[int(task) - 1].rpartition(" # ")[2]
            found[run] = Job(id=f"{job}_{task}", state=state, run=run)
    return found


def queue_text(root: Path, study: str, finished: set[str]) -> str:
    """What waits, what runs, what ended without a result; empty where nothing was submitted."""
    base = root / "build" / "cluster" / study
    if not base.is_dir() or shutil.which("squeue") is None:
        return ""
    jobs = queue(root, study)
    counts = {
        "waiting": sum(job.state in WAITING for job in jobs.values()),
        "running": sum(job.state in RUNNING for job in jobs.values()),
    }
    lines = [f"Slurm: {', '.join(f'{count} {word}' for word, count in counts.items())}"]
    for run, output in sorted(outputs(base).items()):
        job = jobs.get(run)
        if run in finished or (job and job.alive):
            continue
        state = f"{job.id} {job.state}" if job else "ended without a result"
        lines.append(f"  {run}: {state}; {output}{_last_words(output)}")
    return "\n".join(lines)


def _last_words(output: Path) -> str:
    """The last line of the run's own; what Slurm says about its end comes after it."""
    text = output.read_text("utf-8", "replace") if output.exists() else ""
    own = [line for line in text.splitlines() if line.strip() and not SLURM_SAYS.match(line)]
    return f": {own[-1].strip()[:160]}" if own else ""


def outputs(base: Path) -> dict[str, Path]:
    """Each run's newest output file."""
    found = {}
    for folder in sorted(
        (p for p in base.glob("*") if p.name.isdigit()), key=lambda p: int(p.name)
    ):
        path = folder / "commands"
        for task, line in enumerate(path.read_text("utf-8").splitlines() if path.exists() else []):
            found[line.rpartition(" # ")[2]] = folder / f"{task + 1}.out"
    return found


def cancel(root: Path, study: str) -> str:
    """Cancel all jobs of a study; running ones save their state."""
    alive = [job for job in queue(root, study).values() if job.alive]
    if alive:
        _slurm(["scancel", f"--name={job_name(root, study)}"], root)
    return f"{study}: {len(alive)} jobs cancelled; running ones save their state first"


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise UserError(
            f"Slurm's {program} is not on this machine\n"
            "log in to a node that has it, or train here: leave out CLUSTER=slurm"
        )


def _slurm(call: list[str], root: Path) -> str:
    done = subprocess.run(call, cwd=root, env=clean_environment(), capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{call[0]}: {done.stderr.strip()[:400]}\ncheck {SETTINGS}")
    return done.stdout
