"""A tar archive read in one pass, nothing extracted: names and bytes of its plain files.

Links, devices, absolute paths and ``..`` are refused, as is an archive that unpacks to more files
or bytes than the images need; whatever the headers claim, no more is held than is asked for.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from cnnpaper.errors import UserError

BLOCK = 512
CHUNK = 1 << 20
MAX_MEMBERS = 70_000  # the images are 60,000
MAX_UNPACKED = 512 << 20  # bytes; the largest archive of the set unpacks to 187 MB

PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
# folders, and headers that say more about the file that follows: nothing in them is needed
PASSED_OVER = (
    tarfile.DIRTYPE,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def members(path: Path, largest: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every plain file in the archive that is wanted.

    Args:
        path: a tar archive, compressed by gzip or not.
        largest: for a name, the most bytes that it may have; 0 where it is not wanted.

    Raises:
        UserError: the archive is damaged, cut off or hostile.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = _Bounded(gzip.GzipFile(fileobj=raw) if packed else raw)
            yield from _plain_files(stream, largest)
            stream.skip_rest()  # gzip's checksum stands at the end
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise UserError(
            f"{path}: the archive is damaged or cut off ({error})\n"
            "delete it and fetch it again: make data"
        ) from None
    except Hostile as error:
        raise UserError(
            f"{path}: refused: {error}\nthis is no archive of CIFAR-10; delete it"
        ) from None


class Hostile(Exception):
    """Something that no archive of the images holds."""


class _Bounded:
    """A stream that gives exactly what is asked for, and ends at the limit."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile) -> None:
        self.stream = cast(BinaryIO, stream)
        self.left = MAX_UNPACKED

    def read(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise Hostile(f"it unpacks to more than {MAX_UNPACKED >> 20} MB")
        data = self.stream.read(count)
        if len(data) < count:
            raise EOFError("it ends too early")
        return data

    def skip(self, count: int) -> None:
        while count > 0:
            count -= len(self.read(min(count, CHUNK)))

    def skip_rest(self) -> None:
        while data := self.stream.read(CHUNK):
            self.left -= len(data)
            if self.left < 0:
                raise Hostile(f"it unpacks to more than {MAX_UNPACKED >> 20} MB")


def _plain_files(stream: _Bounded, largest: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    for _ in range(MAX_MEMBERS):
        header = stream.read(BLOCK)
        if not header.strip(b"\0"):
            return
        member = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        padding = -member.size % BLOCK
        if member.size < 0:
            raise Hostile("a file of negative size")
        if member.type in PASSED_OVER:
            stream.skip(member.size + padding)
            continue
        _refuse_hostile(member)
        limit = largest(member.name)
        if limit and member.size > limit:
            raise Hostile(f"{member.name!r} is larger than {limit:,} bytes")
        if limit:
            yield member.name, stream.read(member.size)
        else:
            stream.skip(member.size)
        stream.skip(padding)
    raise Hostile(f"it holds more than {MAX_MEMBERS:,} files")


def _refuse_hostile(member: tarfile.TarInfo) -> None:
    if member.type not in PLAIN:
        raise Hostile(f"{member.name!r} is a link, a device or something else that is no file")
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts:
        raise Hostile(f"{member.name!r} points out of the archive")
