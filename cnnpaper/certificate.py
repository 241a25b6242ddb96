"""Certificates: a run whose code has changed since, but whose replay gave the recorded bits.

``make certify`` executes a run's miniature and first steps with today's code and, where every bit
is as recorded, writes ``certificate.json`` beside the log. A certificate makes a stale run fresh
only where :func:`objection` has none: nothing but code has changed; every changed or added unit is
a function that today's replay entered, every removed one a function that the recorded one entered;
and what was not executed of those functions is what was not executed when the run was recorded, so
that no change hides in a branch that the short replay does not take. It is bound to the last line
of the log and to today's fingerprint: any further change, and it vouches for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnpaper.codeunits import EFFECTS
from cnnpaper.config import RunSpec
from cnnpaper.errors import UserError
from cnnpaper.files import write_atomic
from cnnpaper.records import Data, Fingerprint, Machine, Miniature, Network, Run, Step

if TYPE_CHECKING:
    from cnnpaper.fingerprint import Difference

CERTIFICATE_NAME = "certificate.json"
SCHEMA = 1


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Request(_Strict):
    """What a process is asked to execute again."""

    spec: RunSpec
    """Threads and cap are those to execute with."""
    gpu: bool
    data_dir: str


class Planned(_Strict):
    """What an epoch's line says whatever is learnt."""

    learning_rate: float
    """At the last step."""
    resolution: int


class Replay(_Strict):
    """What came out when a run was executed again, in small and in its first steps."""

    fingerprint: Fingerprint
    """Of the code that was executed."""
    machine: Machine
    packages: dict[str, str]
    data: Data
    network: Network
    miniature: Miniature
    steps: tuple[Step, ...]
    epochs: tuple[Planned, ...]
    test_labels_sha256: str


class Certificate(_Strict):
    """That a run's replay gave the recorded bits, with which code, where and when."""

    schema_: Literal[1] = Field(alias="schema")
    study: str
    run: str
    log_digest: str
    """Of the log's last line."""
    made: str
    """UTC, ISO 8601, seconds."""
    vouches_for: tuple[str, ...]
    """Units of code that have changed since the run was made."""
    miniature: str
    """Digest of the state that the miniature ended in."""
    steps: int
    """First full-size steps that were executed."""
    steps_state: str | None
    """Digest of the state after them."""
    machine: Machine
    packages: dict[str, str]
    functions: tuple[str, ...]
    """That the replay entered."""
    unexecuted: dict[str, tuple[str, ...]]
    """Of those, the parts that it did not execute (see :mod:`cnnpaper.codeparts`)."""
    fingerprint: Fingerprint
    digest: str
    """SHA-256 over all fields before this one."""


def make(run: Run, replay: Replay, found: Sequence[Difference], made: str) -> Certificate:
    """The certificate of a replay that gave every recorded bit."""
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "study": run.header.study,
        "run": run.name,
        "log_digest": run.digest,
        "made": made,
        "vouches_for": [item.name for item in found],
        "miniature": replay.miniature.state_digest,
        "steps": len(replay.steps),
        "steps_state": replay.steps[-1].state_digest if replay.steps else None,
        "machine": replay.machine.model_dump(mode="json"),
        "packages": replay.packages,
        "functions": list(replay.miniature.functions),
        "unexecuted": {k: list(v) for k, v in (replay.miniature.unexecuted or {}).items()},
        "fingerprint": replay.fingerprint.model_dump(mode="json"),
    }
    return Certificate.model_validate_json(json.dumps({**fields, "digest": _digest(fields)}))


def write(folder: Path, certificate: Certificate) -> Path:
    """Write it into a run's folder, whole or not at all; returns its path."""
    path = folder / CERTIFICATE_NAME
    text = json.dumps(certificate.model_dump(mode="json", by_alias=True), indent=1)
    write_atomic(path, text.encode() + b"\n")
    return path


def read(run: Run) -> Certificate | None:
    """The certificate that lies beside a run's log; None where there is none.

    Raises:
        UserError: it is damaged, was changed, is of another schema or of another run.
    """
    path = run.path.with_name(CERTIFICATE_NAME)
    if not path.exists():
        return None
    remedy = f"delete it, or certify again: make certify STUDY={run.header.study}"
    try:
        data = path.read_bytes()
        fields = json.loads(data)
        if isinstance(fields, dict) and fields.get("schema") != SCHEMA:
            raise UserError(
                f"{path}: schema = {str(fields.get('schema'))[:40]}, "
                f"this version of cnnpaper reads {SCHEMA}\n{remedy}"
            )
        certificate = Certificate.model_validate_json(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})\n{remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a certificate ({_reason(error)})\n{remedy}") from None
    digest = fields.pop("digest")
    if _digest(fields) != digest:
        raise UserError(f"{path}: was changed after it was written\n{remedy}")
    if (certificate.study, certificate.run) != (run.header.study, run.name):
        raise UserError(
            f"{path}: is that of {certificate.run} of study {certificate.study!r}\n{remedy}"
        )
    return certificate


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:120]
    return str(error)[:120]


def _digest(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


# ---------------------------------------------------------------------------------- what it covers


def covers(
    certificate: Certificate, run: Run, today: Fingerprint, found: Sequence[Difference]
) -> bool:
    """Does the certificate make the run fresh, in a repository of fingerprint ``today``?

    Args:
        certificate: beside the run.
        run: whose code has changed.
        today: the run's fingerprint in today's repository.
        found: what has changed since the run was made.
    """
    recorded = run.miniature
    return (
        certificate.log_digest == run.digest
        and recorded is not None
        and certificate.miniature == recorded.state_digest
        and certificate.steps_state == (run.steps[-1].state_digest if run.steps else None)
        and certificate.fingerprint == today
        and objection(run, found, certificate.functions, certificate.unexecuted) is None
    )


def objection(
    run: Run,
    found: Iterable[Difference],
    functions: Iterable[str],
    unexecuted: Mapping[str, Sequence[str]],
) -> str | None:
    """Why a replay that gave every recorded bit does not vouch for these changes; None if it does.

    Args:
        run: whose log has the recorded replay.
        found: what has changed since.
        functions: that today's replay entered.
        unexecuted: of those, the digests of the parts that it did not execute.
    """
    recorded = run.miniature
    if recorded is None:
        return "the log has no miniature"
    entered, entered_before = set(functions), set(recorded.functions)
    found = list(found)
    removed = [item.name for item in found if item.new is None]
    before = recorded.unexecuted or {}
    for item in found:
        if item.kind != "code":
            return f"{item}: only changes of code can be certified"
        needed = [entered_before] if item.new is None else [entered]
        if item.old is not None and item.new is not None:
            needed = [entered, entered_before]
        if not all(item.name in names for names in needed):
            return f"{item}: {_not_entered(item)}"
        known = {part for name in (item.name, *removed) for part in before.get(name, ())}
        if item.new is not None and set(unexecuted.get(item.name, ())) - known:
            return f"{item}: the replay does not execute all of it"
    return None


def _not_entered(item: Difference) -> str:
    name = item.name.partition(":")[2]
    if name == EFFECTS or name.endswith("]"):
        return "not a function, so no replay enters it"
    return "not a function that the replay enters"
