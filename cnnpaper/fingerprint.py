"""What a run depends on, read from the repository without torch, and what has changed since.

A run records its fingerprint before its first step: the code that it executes (see
:mod:`cnnpaper.codeunits`), its resolved configuration, the data digest that its study names, and
the locked versions of torch and torchvision. The paper is built from runs whose fingerprint is
today's. Processor, threads and Python are no part of it: they are recorded beside it and decide how
exactly a replay must agree.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from cnnpaper import certificate, config, records
from cnnpaper.codeunits import EFFECTS, code_units
from cnnpaper.config import RunSpec
from cnnpaper.errors import UserError
from cnnpaper.records import Fingerprint

FINGERPRINT_VERSION = 1
"""Of the rules by which fingerprints are made; raise it when the same sources give another one."""
ENTRIES = (
    "cnnpaper.learn.train:Training",
    "cnnpaper.learn.train:fit",
    "cnnpaper.learn.data:load",
)
"""What decides a run's numbers: the training from initial weights to predictions, and which images
it gets. What only writes down or shows (log, checkpoint files, progress, command line) is not
reached: :func:`cnnpaper.learn.train.fit` reports to it through a listener that is passed in."""
BESIDE = ("cnnpaper.learn.sources", "cnnpaper.learn.cache", "cnnpaper.errors")
"""Not followed: readers of data formats, since the data's digest says what they gave, and the texts
of errors, which end a run."""
BUILDERS = "cnnpaper.learn.models:BUILDERS"
"""Followed for the run's own network alone: it depends on no other's builder."""
PACKAGES = ("torch", "torchvision")

__all__ = [
    "FINGERPRINT_VERSION",
    "Difference",
    "changes",
    "code_units",
    "differences",
    "of_run",
    "run_differences",
    "short",
    "spec_today",
    "stale_message",
]


def of_run(root: Path, spec: RunSpec, *, entries: Sequence[str] = ENTRIES) -> Fingerprint:
    """The fingerprint that a run of ``spec`` has in today's repository.

    Raises:
        UserError: a source file or ``uv.lock`` is missing or cannot be parsed.
    """
    return Fingerprint(
        version=FINGERPRINT_VERSION,
        code=code_units(
            root, [*entries, f"{BUILDERS}[{spec.builder}]"], beside=[BUILDERS, *BESIDE]
        ),
        config=spec.identity(),
        data=spec.data.digest,
        packages=locked_versions(root / "uv.lock"),
    )


def locked_versions(lock: Path) -> dict[str, str]:
    """Versions of :data:`PACKAGES` in uv's lock.

    Raises:
        UserError: the lock is missing, damaged, or does not have one of them.
    """
    try:
        return dict(_versions_in(lock.read_bytes()))
    except OSError as error:
        raise UserError(f"{lock}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(
            f"{lock}: not a lock of uv ({error}); restore it from version control"
        ) from None


@lru_cache(maxsize=4)
def _versions_in(lock: bytes) -> tuple[tuple[str, str], ...]:
    packages = tomllib.loads(lock.decode("utf-8"))["package"]
    found = {
        name: sorted(item["version"] for item in packages if item["name"] == name)
        for name in PACKAGES
    }
    if missing := [name for name, versions in found.items() if not versions]:
        raise KeyError(f"no package {missing[0]}")
    return tuple((name, ", ".join(versions)) for name, versions in found.items())


def short(fingerprint: Fingerprint) -> str:
    """Twelve hexadecimal digits that name a fingerprint, for people."""
    text = json.dumps(fingerprint.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


# --------------------------------------------------------------------------------- differences


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is no longer as it was when the run was made."""

    kind: Literal["version", "code", "config", "data", "packages"]
    name: str
    """A unit of code, a key as in ``recipe.weight_decay``, a package."""
    old: Any
    """As recorded; None where today's repository has something new."""
    new: Any
    """As it is today; None where it is gone."""
    file: str | None = None
    """Where a unit of code is defined."""

    def __str__(self) -> str:
        if self.kind == "code":
            return self._code()
        if self.kind == "version":
            return f"fingerprints are made by rules {self.new} now, this one by rules {self.old}"
        name = f"digest of the {self.name}" if self.kind == "data" else self.name
        return f"{name}: {_shown(self.old)} -> {_shown(self.new)}"

    def _code(self) -> str:
        unit = self.name.partition(":")[2]
        what = "what is done on import" if unit == EFFECTS else unit
        change = "added" if self.old is None else "removed" if self.new is None else "changed"
        return f"{self.file}: {what} {change}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def differences(recorded: Fingerprint, today: Fingerprint) -> list[Difference]:
    """What separates two fingerprints: configuration first, then data, packages and code.

    Where the rules differ by which they were made, code cannot be compared, and that is said.
    """
    found = _unequal("config", _flat(recorded.config), _flat(today.config))
    found = [item for item in found if item.name != "data.digest"]  # said once, as data
    if recorded.data != today.data:
        found.append(Difference(kind="data", name="data", old=recorded.data, new=today.data))
    found += _unequal("packages", recorded.packages, today.packages)
    if recorded.version != today.version:
        old, new = recorded.version, today.version
        return [*found, Difference(kind="version", name="version", old=old, new=new)]
    modules = {name.partition(":")[0] for name in (*recorded.code, *today.code)}
    return found + [
        replace(item, file=_file_of(item.name.partition(":")[0], modules))
        for item in _unequal("code", recorded.code, today.code)
    ]


def _file_of(module: str, modules: Iterable[str]) -> str:
    """Path of a module's file; one that holds other modules is a package."""
    is_package = any(other.startswith(f"{module}.") for other in modules)
    return module.replace(".", "/") + ("/__init__.py" if is_package else ".py")


def _unequal(
    kind: Literal["config", "packages", "code"], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[Difference]:
    return [
        Difference(kind=kind, name=name, old=old.get(name), new=new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)  # an option that is not set is as good as one not there
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def run_differences(root: Path, run: records.Run) -> list[Difference]:
    """What separates a run from today's repository; empty for a fresh or an imported one.

    A run is fresh, too, where its certificate covers what has changed.

    Raises:
        UserError: the repository's files cannot be read, the study of the run is gone, or there is
            a certificate that cannot be believed.
    """
    found = changes(root, run)
    if not found or (held := certificate.read(run)) is None:
        return found
    today = of_run(root, spec_today(root, run.header))
    return [] if certificate.covers(held, run, today, found) else found


def changes(root: Path, run: records.Run) -> list[Difference]:
    """What has changed since a run was made, whether or not a certificate covers it.

    A run of a variant is compared with the configuration in its own header, since no study file
    describes it.
    """
    header = run.header
    recorded = header.fingerprint
    if header.origin == "imported" or recorded is None:
        return []
    found = differences(recorded, of_run(root, spec_today(root, header)))
    if recorded.data is not None and header.data.digest != recorded.data:
        old, new = header.data.digest, recorded.data
        found.insert(0, Difference(kind="data", name="data trained on", old=old, new=new))
    return found


def spec_today(root: Path, header: records.Header) -> RunSpec:
    """What the run would be today; of a variant, which no study file describes, what it was."""
    if header.variant is not None or header.seed is None:
        return config.validated(RunSpec, header.spec or {}, f"header of {header.model}")
    return config.run_spec(root, config.load_study(root, header.study), header.model, header.seed)


def stale_message(
    runs: Sequence[records.Run], stale: Mapping[str, Sequence[Difference]], *, limit: int = 3
) -> str:
    """At most five lines: which runs are stale, what changed, and the target to run.

    Args:
        runs: all runs of the paper.
        stale: name of each stale run → what changed.
        limit: how many changes are shown; the rest is counted.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, found in stale.items():
        groups.setdefault(tuple(dict.fromkeys(map(str, found))), []).append(name)
    lines = []
    for changes, names in list(groups.items())[:limit]:
        are = "are" if len(names) > 1 else "is"
        lines.append(f"{_listed(names, 4)} {are} stale: {_listed(changes, limit, '; ')}")
    if len(groups) > limit:
        others = sum(len(names) for names in list(groups.values())[limit:])
        lines.append(f"and {others} more")
    remedy = f"train anew: {_remedy(runs, stale)}"
    if all(item.kind == "code" for found in stale.values() for item in found):
        study = runs[0].header.study
        remedy += f"; or, if the change does not change the numbers: make certify STUDY={study}"
    return "\n".join([*lines, remedy])


def _listed(items: Sequence[str], limit: int, between: str = ", ") -> str:
    rest = len(items) - limit
    return between.join([*items[:limit], *([f"and {rest} more"] if rest > 0 else [])])


def _remedy(runs: Sequence[records.Run], stale: Mapping[str, Any]) -> str:
    """``make resnet18 STUDY=reference FORCE=1``; with SEEDS where fresh runs would be lost."""
    headers = [run.header for run in runs if run.name in stale]
    with_fresh = {run.header.model for run in runs if run.name not in stale}
    commands: dict[str, list[str]] = {}
    for model in dict.fromkeys(header.model for header in headers):
        seeds = ",".join(str(header.seed) for header in headers if header.model == model)
        commands.setdefault(f" SEEDS={seeds}" if model in with_fresh else "", []).append(model)
    return "; ".join(
        f"make {' '.join(models)} STUDY={headers[0].study}{seeds} FORCE=1"
        for seeds, models in commands.items()
    )
