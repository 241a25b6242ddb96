"""Writers that are killed, or find the disk full, at a chosen operation on a file.

    python -m tests.faults PLACE POINTS FAULT,FAULT WRITER,WRITER

A process of its own, so that it can fork: everything is imported once, and each attempt is a child
that begins with the same folder. It counts what the writer does to files (open for writing, mkdir,
rename, remove, flock, fsync, starting a program), and puts the fault at POINTS of these operations:

``kill``      SIGKILL there; before an fsync, only a part of what was written has reached the disk.
``full``      from there on nothing can be created, renamed or synced: ENOSPC.
``disk``      a real file system (tmpfs) that is full after so many bytes; needs ``unshare -m``.
``forbidden`` the whole folder belongs to somebody else.

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
import json
import os
import re
import shutil
import signal
import subprocess
import sys
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

    def install(self) -> None:
        """Cannot be undone; the process is a child that ends soon."""
        self._fsync = os.fsync
        os.fsync = self._synced
        sys.addaudithook(self._audited)

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in COUNTED or (event == "open" and not self._writes(*args)):
            return
        if event == "subprocess.Popen" or self._below(args[0]):
            self._reached(event, None, args[0])

    def _writes(self, path: Any, _mode: Any, flags: Any) -> bool:
        if not isinstance(flags, int) or not flags & WRITING:
            return False
        # a file that is there can be opened on a full disk too
        return self.fault != "full" or not Path(os.fsdecode(path)).exists()

    def _synced(self, descriptor: int) -> None:
        if self._below(descriptor):
            self._reached("fsync", descriptor, None)
        self._fsync(descriptor)

    def _below(self, path: Any) -> bool:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        # the folder itself may be a link that is to be removed, so links are not followed
        return Path.cwd().joinpath(os.fsdecode(path)).is_relative_to(self.root)

    def _reached(self, event: str, descriptor: int | None, path: Any) -> None:
        if self.fault == "full" and event not in CREATING:
            return
        folder = descriptor is not None and Path(f"/proc/self/fd/{descriptor}").is_dir()
        self.seen.append("fsync of a folder" if folder else event)
        if self.fault == "none" or len(self.seen) < self.point.operation:
            return
        if descriptor is not None and not folder and len(self.seen) == self.point.operation:
            self._lose(descriptor)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _lose(self, descriptor: int) -> None:
        """Drop a part of what was written since the last fsync: of a log that is its last line."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        data = path.read_bytes()
        start = data.rfind(b"\n", 0, -1) + 1 if path.suffix == ".jsonl" else 0
        os.truncate(path, start + round((len(data) - start) * self.point.share))


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


class Trial:
    """One writer in one folder, again and again."""

    def __init__(self, writer: writers.Writer, place: Path) -> None:
        self.writer, self.place = writer, place
        self.pristine, self.work = place / "pristine", place / "work"
        self.need = 0
        """Bytes that the writer adds to its folder."""
        writer.prepare(self.pristine)
        for name in writer.imports:
            importlib.import_module(name)

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
        _, status = os.waitpid(child, 0)
        seen = json.loads(counts.read_text() or "[]")
        return Answer(os.waitstatus_to_exitcode(status), log.read_text("utf-8"), seen)

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
            counts.write_text(json.dumps(operations.seen))

    def tree(self) -> dict[str, str]:
        """Every file below the folder, with the digest of what matters in it."""
        found = {}
        for path in sorted(self.work.rglob("*")):
            name = path.relative_to(self.work).as_posix()
            if path.is_file() and not name.startswith(self.writer.ignored):
                found[name] = hashlib.sha256(self.writer.normal(path)).hexdigest()
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
    trial.restore()
    before = trial.tree()
    room = used(trial.work)
    first = trial.attempt("full" if fault == "full" else "none", Point(10**9))
    trial.need = used(trial.work) - room
    verdict = Verdict(operations=len(first.seen))
    if first.code != 0:
        verdict.failures.append(f"undisturbed: code {first.code}: {first.said}")
        return verdict
    after = trial.tree()
    for point in chosen(trial, fault, count, first.seen):
        answer = strike(trial, fault, point)
        verdict.points += 1
        where = f"{fault} at {point} of {len(first.seen)}"
        wrong = [*judged(fault, answer), *torn(before, trial.tree(), after)]
        wrong += repaired(trial, after)
        verdict.failures += [f"{where}: {reason}" for reason in wrong]
        verdict.survived += not wrong
        if point.operation:
            verdict.events.append(first.seen[point.operation - 1])
    return verdict


def chosen(trial: Trial, fault: str, count: int, seen: list[str]) -> Iterable[Point]:
    """Where to strike; for ``disk``, a share of the bytes that the writer needs."""
    if fault == "forbidden":
        return [Point(0)]
    if fault == "disk":
        return [Point(0, (number + 0.5) / count) for number in range(count)]
    return points(seen, count)


def strike(trial: Trial, fault: str, point: Point) -> Answer:
    if fault == "disk":
        return on_a_small_disk(trial, point.share)
    trial.restore()
    if fault == "forbidden":
        return trial.attempt(user=NOBODY)
    return trial.attempt(fault, point)


def judged(fault: str, answer: Answer) -> Iterable[str]:
    """Did the process end as it should?"""
    if fault == "kill":
        if answer.code != -signal.SIGKILL:
            yield f"was not killed, code {answer.code}: {answer.said}"
        return
    if answer.code == 0 and fault != "forbidden":
        return  # it could do without what failed
    lines = answer.said.strip().splitlines()
    message = [line for line in lines if line.startswith("cnnpaper: ")]
    said = "Permission denied" if fault == "forbidden" else "No space left on device"
    if answer.code != 2:
        yield f"code {answer.code}: {answer.said}"
    elif len(message) != 1 or len(lines) - lines.index(message[0]) > 5:
        yield f"not one message of at most five lines: {answer.said}"
    elif said not in answer.said and "the disk is full" not in answer.said:
        yield f"the reason is missing: {answer.said}"
    elif not re.search(r"[\w-]+[./]\w", answer.said):
        yield f"no file is named: {answer.said}"


def torn(before: dict[str, str], found: dict[str, str], after: dict[str, str]) -> Iterable[str]:
    """Files that are neither the old nor the new ones."""
    for name, digest in found.items():
        known = {before.get(name), after.get(name)} - {None}
        if known and digest not in known and not writers.grows(name):
            yield f"{name}: half of a file"


def repaired(trial: Trial, after: dict[str, str]) -> Iterable[str]:
    """The same command again, undisturbed, gives what it would have given."""
    again = trial.attempt()
    if again.code != 0:
        yield f"again: code {again.code}: {again.said}"
    found = trial.tree()
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


def main(place: str, count: str, faults: str, names: str) -> None:
    """Print the verdicts."""
    for name in names.split(","):
        folder = Path(place).resolve() / name.replace(" ", "-")
        folder.mkdir()
        folder.chmod(0o755)
        with contextlib.redirect_stdout(sys.stderr):
            trial = Trial(writers.WRITERS[name], folder)
        for fault in faults.split(","):
            verdict = series(trial, fault, int(count))
            print(json.dumps({"writer": name, "fault": fault, **dataclasses.asdict(verdict)}))
        trial.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
