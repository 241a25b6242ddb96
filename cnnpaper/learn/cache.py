"""The decoded images, kept so that they are decoded once.

A cached set is a file of 60,000 records of one label byte and 3,072 pixel bytes, in the order of
the binary distribution. Its name is its SHA-256, the digest of the data, and it is hashed each time
it is used. A small note beside it says which files it was decoded from.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from cnnpaper.config import DataSpec
from cnnpaper.errors import UserError
from cnnpaper.files import write_atomic
from cnnpaper.learn import sources
from cnnpaper.learn.sources import JPEG75, ORIGINAL, RE_ENCODED, RECORD, Bytes, Identity


def records_of(spec: DataSpec, data_dir: Path, cache: Path) -> tuple[Identity, Bytes]:
    """The first source in ``data_dir`` that is what ``spec`` asks for, with its records.

    Where the study names its data, a source that is damaged or other is passed over for one that
    fits; with ``any`` the first one counts.
    """
    refused: UserError | None = None
    for source in sources.find(data_dir):
        try:
            identity, records = _cached(source, cache) or _decode(source, cache)
            _refuse_other_set(spec, identity, source)
            return identity, records
        except UserError as error:
            refused = refused or error
            if spec.set == "any" and spec.digest is None:
                break
    assert refused is not None, "find() gives at least one source"
    raise refused


def _refuse_other_set(spec: DataSpec, identity: Identity, source: sources.Source) -> None:
    place = f"{source.place} ({source.form})"
    refuse_other_digest(spec, identity.digest, place)
    wanted = {"original": ORIGINAL, "jpeg75": RE_ENCODED}.get(spec.set, identity.name)
    if identity.name != wanted or (spec.set == "jpeg75" and identity.digest != JPEG75.digest):
        raise UserError(
            f"{place}: these images are '{identity.name}', digest {identity.digest}\n"
            f"the study is about the set '{spec.set}' ({wanted})\n"
            f"get it: make data SET={spec.set}; or name this digest in a study file of your own"
        )


def refuse_other_digest(spec: DataSpec, digest: str, what: str) -> None:
    if spec.digest is not None and digest != spec.digest:
        known = f"make data SET={spec.set}" if spec.set in ("original", "jpeg75") else "that data"
        raise UserError(
            f"{what}: digest {digest}\n"
            f"the study is about data with digest {spec.digest}\n"
            f"get it: {known}; or name this digest in a study file of your own"
        )


def _cached(source: sources.Source, cache: Path) -> tuple[Identity, Bytes] | None:
    """What ``source`` was decoded to before, if its files and the cache are unchanged since."""
    stamp = sources.stamp(source)
    try:
        note = json.loads(_note(source, cache).read_bytes())
        identity = Identity(name=note["name"], digest=note["digest"], address=note["address"])
        if note["stamp"] != stamp:
            return None
        records = np.memmap(
            cache / f"{identity.digest}.bin",
            dtype=np.uint8,
            mode="r",
            shape=(6 * sources.BATCH, RECORD),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    # hashing 184 MB costs a tenth of a second; a flipped byte in the cache would cost a study
    if hashlib.sha256(records.data).hexdigest() != identity.digest:
        return None
    return identity, records


def _decode(source: sources.Source, cache: Path) -> tuple[Identity, Bytes]:
    """Decode ``source`` and leave the result in ``cache``."""
    before = sources.stamp(source)
    records = sources.read(source)
    identity = sources.identify(records)
    note = {
        "name": identity.name,
        "digest": identity.digest,
        "address": identity.address,
        "stamp": before,
    }
    try:
        write_atomic(cache / f"{identity.digest}.bin", records.tobytes())
        write_atomic(_note(source, cache), json.dumps(note).encode())
    except OSError as error:
        raise UserError(
            f"{cache}: the decoded images (184 MB) cannot be kept there ({error.strerror})\n"
            "make room or make the folder writable, then start again"
        ) from None
    return identity, records


def _note(source: sources.Source, cache: Path) -> Path:
    """The small file that remembers what became of ``source``."""
    place = hashlib.sha256(str(source.place.resolve()).encode()).hexdigest()
    return cache / f"source-{place[:16]}-{source.form.replace(' ', '-')}.json"
