"""Writers that are killed, or find the disk full, at a chosen operation on a file.

    python -m tests.faults PLACE FAULT=POINTS,FAULT=POINTS WRITER,WRITER

A process of its own, so that it can fork: everything is imported once, and each attempt is a child
that begins with the same folder. It counts what the writer does to files (open for writing, mkdir,
rename, remove, flock, fsync, starting a program), and puts the fault at POINTS of these operations:

``kill``      SIGKILL there; before an fsync, only a part of what was written has reached the disk.
``full``      from there on nothing can be created, renamed or synced: ENOSPC.
``disk``      a real file system (tmpfs) that is full after so many bytes; needs ``unshare -m``.
``forbidden`` the whole folder belongs to somebody else.
``group``     SIGKILL for the writer and every program that it started, when the folder holds a part
              of the files that it will hold.
``vanish``    the folder ``data`` is gone there, and soon after comes SIGKILL; the same command is
              an error until the folder is back.
``clock``     the clock runs backwards; nothing else happens.

After each fault every file is the old one or the new one; an error is one to five lines with exit
code 2; and the same command, given again, leaves the same tree of files, byte for byte, as one that
nothing disturbed. Prints a verdict for each writer and fault as a line of JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import writers

CREATING = {"open", "os.mkdir", "os.rename", "fsync"}
"""What a full disk keeps from happening."""
COUNTED = CREATING | {"os.remove", "os.rmdir", "os.truncate", "fcntl.flock", "subprocess.Popen"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NOBODY = 65534
REASON = {
    "full": "No space left on device",
    "disk": "No space left on device",
    "forbidden": "Permission denied",
    "vanish": "data: there is no such folder",
}
BIG = "size=2g"
PAGE = 4096


@dataclass(frozen=True)
class Point:
    """Where the fault strikes."""

    operation: int
    """The number of the operation, from 1."""
    share: float = 1.0
    """Of the bytes before an fsync, how many reach the disk."""


@dataclass
class Operations:
    """Counts the operations of this process on files below ``root``; the fault is at ``point``."""

    root: Path
    fault: str = "none"
    point: Point = Point(0)
    seen: list[str] = field(default_factory=list)
    creating: list[str] = field(default_factory=list)
    """Those of ``seen`` that a full disk would not let happen."""

    def install(self) -> None:
        """Cannot be undone; the process is a child that ends soon."""
        self._fsync = os.fsync
        os.fsync = self._synced
        sys.addaudithook(self._audited)

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in COUNTED or (event == "open" and not self._writes(*args)):
            return
        if event == "subprocess.Popen" or self._below(args[0]):
            # what is there can be opened on a full disk too, and a folder is not made again
            new = event == "os.rename" or not self._exists(args[0])
            self._reached(event, None, args[0], event in CREATING and new)

    def _writes(self, path: Any, _mode: Any, flags: Any) -> bool:
        return not isinstance(path, int) and isinstance(flags, int) and bool(flags & WRITING)

    def _exists(self, path: Any) -> bool:
        return isinstance(path, int) or Path(os.fsdecode(path)).exists()

    def _synced(self, descriptor: int) -> None:
        if self._below(descriptor):
            self._reached("fsync", descriptor, None, True)
        self._fsync(descriptor)

    def _below(self, path: Any) -> bool:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        # the folder itself may be a link that is to be removed, so links are not followed
        return Path.cwd().joinpath(os.fsdecode(path)).is_relative_to(self.root)

    def _reached(self, event: str, descriptor: int | None, path: Any, creating: bool) -> None:
        folder = descriptor is not None and Path(f"/proc/self/fd/{descriptor}").is_dir()
        self.seen.append("fsync of a folder" if folder else event)
        if creating:
            self.creating.append(self.seen[-1])
        number = len(self.creating if self.fault == "full" else self.seen)
        if self.fault not in ("kill", "full", "vanish") or number < self.point.operation:
            return
        if self.fault == "full" and not creating:
            return
        if self.fault == "vanish":
            self._vanish()
            return
        if descriptor is not None and not folder and number == self.point.operation:
            self._lose(descriptor)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _vanish(self) -> None:
        self.fault = "none"
        for name in ("data", "build/data"):
            if Path(name).exists():
                Path(name).rename(gone(self.root, name))
        self.fault, self.point = "kill", Point(len(self.seen) + 5)

    def _lose(self, descriptor: int) -> None:
        """Drop a part of what was written since the last fsync: of a log that is its last line."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        data = path.read_bytes()
        start = data.rfind(b"\n", 0, -1) + 1 if path.suffix == ".jsonl" else 0
        os.truncate(path, start + round((len(data) - start) * self.point.share))


def gone(root: Path, name: str) -> Path:
    """Where a folder is while it is not in its place."""
    return root.with_name(f"gone-{name.replace('/', '-')}")


def points(seen: list[str], count: int) -> list[Point]:
    """``count`` points, evenly over the operations; where there are fewer, within the writing."""
    shares = [0.5, 0.0, 1.0, *(number / 16 for number in range(1, 16) if number != 8)]
    if len(seen) >= count:
        chosen = [1 + (2 * number + 1) * len(seen) // (2 * count) for number in range(count)]
        return [Point(at, shares[number % 3]) for number, at in enumerate(chosen)]
    syncs = [number for number, event in enumerate(seen, 1) if event == "fsync"]
    extra = [Point(at, share) for share in shares for at in syncs]
    whole = [Point(number) for number in range(1, len(seen) + 1) if number not in syncs]
    return [*whole, *extra][:count]


# ------------------------------------------------------------------------------------ attempts


@dataclass(frozen=True)
class Answer:
    """How a child ended."""

    code: int
    """Exit code, or minus the signal."""
    said: str
    seen: list[str]
    creating: list[str]


class Trial:
    """One writer in one folder, again and again."""

    def __init__(self, writer: writers.Writer, place: Path) -> None:
        self.writer, self.place = writer, place
        self.pristine, self.work = place / "pristine", place / "work"
        writer.prepare(self.pristine)
        for name in writer.imports:
            importlib.import_module(name)
        self.restore()
        self.before, room = self.tree(), used(self.work)
        self.undisturbed = self.attempt()
        assert self.undisturbed.code == 0, self.undisturbed.said
        self.after = self.tree()
        """What a command that nothing disturbs leaves."""
        self.need = used(self.work) - room
        """Bytes that the writer adds to its folder."""
        self.files = sum(1 for _ in self.work.rglob("*"))

    def restore(self) -> None:
        """Begin with the prepared folder."""
        self.work.mkdir(exist_ok=True)
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self.pristine, self.work, symlinks=True, dirs_exist_ok=True)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.work.is_mount():
            mount("umount", str(self.work))
        shutil.rmtree(self.place)

    def attempt(
        self, fault: str = "none", point: Point = Point(0), user: int | None = None
    ) -> Answer:
        """Run the writer's command in a child."""
        log, counts = self.place / "said", self.place / "seen"
        for path in (log, counts):
            path.write_text("")
            path.chmod(0o666)
        child = os.fork()
        if child == 0:
            os._exit(self._child(fault, point, user, log, counts))
        if fault == "group":
            self._kill_group(child, point)
        _, status = os.waitpid(child, 0)
        seen, creating = json.loads(counts.read_text() or "[[], []]")
        return Answer(os.waitstatus_to_exitcode(status), log.read_text("utf-8"), seen, creating)

    def _child(self, fault: str, point: Point, user: int | None, log: Path, counts: Path) -> int:
        os.chdir(self.work)
        said = os.open(log, os.O_WRONLY)
        os.dup2(said, 1)
        os.dup2(said, 2)
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        operations = Operations(self.work, fault, point)
        if fault == "clock":
            run_backwards()
        elif fault == "group":
            os.setsid()
        operations.install()
        try:
            return self.writer.run()
        except BaseException:
            import traceback

            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            operations.fault = "none"
            counts.write_text(json.dumps([operations.seen, operations.creating]))

    def _kill_group(self, child: int, point: Point) -> None:
        """Wait until the folder has so many files, then kill the child and all that it began."""
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if sum(1 for _ in self.work.rglob("*")) >= point.operation:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                return
            time.sleep(0.001)

    def tree(self) -> dict[str, str]:
        """Every file below the folder, with the digest of what matters in it."""
        found = {}
        for path in sorted(self.work.rglob("*")):
            name = path.relative_to(self.work).as_posix()
            if path.is_file() and not name.startswith(self.writer.ignored):
                # a lock says who holds it or held it, which is for people only
                data = b"" if writers.is_lock(path) else self.writer.normal(path)
                found[name] = hashlib.sha256(data).hexdigest()
        return found


@dataclass
class Verdict:
    """What a series of faults showed."""

    operations: int = 0
    points: int = 0
    survived: int = 0
    events: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def series(trial: Trial, fault: str, count: int) -> Verdict:
    """Strike ``count`` times, each time in the prepared folder, and repair."""
    seen = trial.undisturbed.creating if fault == "full" else trial.undisturbed.seen
    verdict = Verdict(operations=len(seen))
    for point in chosen(trial, fault, count, seen):
        answer = strike(trial, fault, point)
        verdict.points += 1
        where = f"{fault} at {point} of {len(seen)}"
        wrong = [*judged(fault, answer), *torn(trial), *repaired(trial)]
        verdict.failures += [f"{where}: {reason}" for reason in wrong]
        verdict.survived += not wrong
        if fault in ("kill", "full", "vanish"):
            verdict.events.append(seen[point.operation - 1])
    return verdict


def run_backwards() -> None:
    """Every look at the clock of this process is an hour before the last one."""
    looks = itertools.count(int(time.time()), -3600)
    time.time = lambda: float(next(looks))
    time.time_ns = lambda: next(looks) * 10**9
    if "cnnpaper.learn.recorder" in sys.modules:
        from cnnpaper.learn import provenance

        provenance.now_utc = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(next(looks)))


def chosen(trial: Trial, fault: str, count: int, seen: list[str]) -> Iterable[Point]:
    """Where to strike; for ``disk``, a share of the bytes that the writer needs."""
    if fault in ("forbidden", "clock"):
        return [Point(0)]
    if fault == "group":
        least = sum(1 for _ in trial.pristine.rglob("*"))
        return [
            Point(least + (number + 1) * (trial.files - least) // (count + 1))
            for number in range(count)
        ]
    if fault == "disk":
        return [Point(0, (number + 0.5) / count) for number in range(count)]
    return points(seen, count)


def strike(trial: Trial, fault: str, point: Point) -> Answer:
    if fault == "disk":
        return on_a_small_disk(trial, point.share)
    trial.restore()
    if fault == "forbidden":
        return trial.attempt(user=NOBODY)
    answer = trial.attempt(fault, point)
    if fault != "vanish":
        return answer
    assert answer.code == -signal.SIGKILL, answer.said
    before = trial.tree()
    answer = trial.attempt()
    assert trial.tree() == before, "an error changed something"
    for name in ("data", "build/data"):
        if gone(trial.work, name).exists():
            gone(trial.work, name).rename(trial.work / name)
    return answer


def judged(fault: str, answer: Answer) -> Iterable[str]:
    """Did the process end as it should?"""
    if fault == "kill" or (fault == "group" and answer.code):
        if answer.code != -signal.SIGKILL:
            yield f"was not killed, code {answer.code}: {answer.said}"
        return
    if answer.code == 0 and fault not in ("forbidden", "vanish"):
        return  # it could do without what failed
    lines = answer.said.strip().splitlines()
    message = [line for line in lines if line.startswith("cnnpaper: ")]
    said = REASON[fault]
    if answer.code != 2:
        yield f"code {answer.code}: {answer.said}"
    elif not message or len(lines) - lines.index(message[-1]) > 5:  # progress comes before
        yield f"not one message of at most five lines: {answer.said}"
    elif said not in answer.said and "the disk is full" not in answer.said:
        yield f"the reason is missing: {answer.said}"
    elif not re.search(r"^cnnpaper: \S+: |\w/\w", answer.said, re.MULTILINE):
        yield f"no file is named: {answer.said}"


def torn(trial: Trial) -> Iterable[str]:
    """Files that are neither the old nor the new ones."""
    for name, digest in trial.tree().items():
        known = {trial.before.get(name), trial.after.get(name)} - {None}
        free = writers.grows(name) or name.startswith(trial.writer.unbelieved)
        if known and digest not in known and not free:
            yield f"{name}: half of a file"


def repaired(trial: Trial) -> Iterable[str]:
    """The same command again, undisturbed, gives what it would have given."""
    again = trial.attempt()
    if again.code != 0:
        yield f"again: code {again.code}: {again.said}"
    found, after = trial.tree(), trial.after
    for name in sorted(found.keys() | after.keys()):
        if found.get(name) != after.get(name):
            state = "is debris" if name not in after else "is missing"
            yield f"again: {name}: {'differs' if name in found.keys() & after.keys() else state}"


def on_a_small_disk(trial: Trial, share: float) -> Answer:
    """Run on a tmpfs that has ``share`` of the room that is needed; then it gets larger."""
    if trial.work.is_mount():
        mount("umount", str(trial.work))
    mount("mount", "-t", "tmpfs", "-o", BIG, "tmpfs", str(trial.work))
    trial.restore()
    pages = os.statvfs(trial.work)
    taken = (pages.f_blocks - pages.f_bfree) * pages.f_frsize
    room = int(trial.need * share / PAGE) * PAGE
    mount("mount", "-o", f"remount,size={taken + room}", str(trial.work))
    answer = trial.attempt()
    mount("mount", "-o", f"remount,{BIG}", str(trial.work))
    return answer


def used(folder: Path) -> int:
    """Bytes of all files in whole pages."""
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return sum(-(-size // PAGE) * PAGE for size in sizes)


def mount(*command: str) -> None:
    subprocess.run(command, check=True)


def main(place: str, faults: str, names: str) -> None:
    """Print the verdicts."""
    for name in names.split(","):
        folder = Path(place).resolve() / name.replace(" ", "-")
        folder.mkdir()
        folder.chmod(0o755)
        with contextlib.redirect_stdout(sys.stderr):
            trial = Trial(writers.WRITERS[name], folder)
        for fault, count in (part.split("=") for part in faults.split(",")):
            verdict = series(trial, fault, int(count))
            print(json.dumps({"writer": name, "fault": fault, **dataclasses.asdict(verdict)}))
        trial.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
