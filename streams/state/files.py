"""The files of a bucket's state: their names, their first bytes, and how they reach the disk.

A name is ``<number>-<run>.base`` or ``.log``. Numbers grow within the folder; the run is that of the process that wrote
the file, so that no process ever writes a file of another one.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from contracts.errors import REBUILD, RESTORE_OR_REBUILD, UnreadableStateError
from contracts.whole_files import sync
from streams.state.frames import TornFrameError, decode
from streams.state.migrations import VERSION, Frame, migrated, oldest

BASE: Final = "base"
LOG: Final = "log"
MAGIC: Final = b"crmstate"
FORMAT: Final = 1
"""The format of frames and file names."""
HEAD: Final = struct.Struct("<8sIIQ")
"""Magic, format, version, and the checksum of these: damage must not look like another version."""
_NAME: Final = re.compile(rf"(\d+)-([0-9a-f]+)\.({BASE}|{LOG})")
_PIECE: Final = 8 << 20


class DamagedError(Exception):
    """A file is missing, too short, or not what was written."""

    def __init__(self, path: Path, what: str):
        super().__init__(f"{path} {what}")


class FileName(NamedTuple):
    """The parts of a file's name."""

    number: int
    run: str
    kind: str

    def __str__(self) -> str:
        """Return the name."""
        return f"{self.number:08d}-{self.run}.{self.kind}"


def named(name: str) -> FileName:
    """Return the parts of a name that :class:`FileName` made."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise UnreadableStateError(f"{name!r} is not the name of a file of state. {RESTORE_OR_REBUILD}")
    return FileName(int(found[1]), found[2], found[3])


def files_in(folder: Path) -> list[FileName]:
    """Return the files of state in a folder."""
    return [named(name) for name in os.listdir(folder) if _NAME.fullmatch(name)]


def head(form: int = FORMAT, version: int | None = None) -> bytes:
    """Return the first bytes of a new file."""
    start = HEAD.pack(MAGIC, form, VERSION if version is None else version, 0)[:-8]
    return start + xxh3_64_intdigest(start).to_bytes(8, "little")


def write(handle: int, data: bytes | bytearray) -> None:
    """Write all the bytes, in pieces, so that other threads can run."""
    with memoryview(data) as view:
        at = 0
        while at < len(view):
            at += os.write(handle, view[at : at + _PIECE])


def write_whole(path: Path, data: bytearray) -> None:
    """Write a new file, and wait until it is on the disk with its name."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write(handle, head())
        write(handle, data)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    sync(path.parent)


def read(path: Path, length: int, step: str) -> Iterator[Frame]:
    """Yield the frames in the first ``length`` bytes of a file, as the version in force would have written them.

    Raises :class:`DamagedError`, or :class:`contracts.errors.UnreadableStateError` for a version that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(length)
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    except OSError as error:
        raise DamagedError(path, f"cannot be read ({error.strerror})") from error
    if len(data) < length:
        raise DamagedError(path, f"holds {len(data):,} bytes of {length:,}")
    written = _version(path, data)
    try:
        for frame in decode(memoryview(data)[HEAD.size :]):
            yield migrated(step, frame, written)
    except TornFrameError:
        raise DamagedError(path, "is damaged: a checksum differs") from None


def _version(path: Path, data: bytes) -> int:
    start = data[: HEAD.size]
    _, form, version, _ = HEAD.unpack(start) if len(start) == HEAD.size else (b"", 0, 0, 0)
    if start != head(form, version):
        raise DamagedError(path, "is damaged: it does not start as a file of state does")
    if form != FORMAT or not oldest() <= version <= VERSION:
        raise UnreadableStateError(
            f"{path} holds state of format {form}, version {version}; this crmstream reads format {FORMAT}, versions "
            f"{oldest()} to {VERSION}. Run the crmstream that wrote it, or {REBUILD}."
        )
    return int(version)
