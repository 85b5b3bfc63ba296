"""One file of the outbox: frames of rows on their way to a table, and notes of what has arrived.

    file    8 bytes "crmoutbx" | u32 format (1) | u32 0 | u64 xxh3_64 of the 16 bytes before | frames
    frame   4 bytes "rows" or "done" | u32 0 | u64 number | u64 synced | u64 length of the body | u64 xxh3_64 | body
    rows    u32 length of the list | MessagePack [[table, rows, bytes], ...] | a stream of Arrow IPC for each
    done    MessagePack [[number, place], ...]: that piece of that frame of rows is stored

``synced`` is how many bytes of the file were on the disk when the frame was begun. So a broken frame behind all of them
is the end of a run that died while it wrote, and any other one is damage. The checksum is that of the four fields
before it and the body. Numbers are little-endian.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_intdigest

from contracts.errors import StateError, UnreadableStateError

MAGIC: Final = b"crmoutbx"
FORMAT: Final = 1
HEAD: Final = struct.Struct("<8sIIQ")
ROWS: Final = b"rows"
DONE: Final = b"done"
_START: Final = struct.Struct("<4sIQQQQ")
_CHECKED: Final = _START.size - 8
_LIST: Final = struct.Struct("<I")
MOST_VIEWS: Final = 1_000
"""So many parts can be written in one call."""


class Piece(NamedTuple):
    """Rows for one table in a frame: which frame and place in it, and where the stream of Arrow is in the file."""

    frame: int
    place: int
    table: str
    rows: int
    start: int
    bytes: int


class Contents(NamedTuple):
    """What a file holds: the pieces that are not noted as stored, and the number of broken bytes at its end."""

    pieces: list[Piece]
    broken: int


def head() -> bytes:
    """Return the first bytes of a file."""
    start = HEAD.pack(MAGIC, FORMAT, 0, 0)[:-8]
    return start + xxh3_64_intdigest(start).to_bytes(8, "little")


def rows_frame(number: int, synced: int, streams: Sequence[tuple[str, int, pa.Buffer]]) -> list[bytes | pa.Buffer]:
    """Return a frame of tables, numbers of rows and streams, as pieces to be written together."""
    listed = msgspec.msgpack.encode([(table, rows, stream.size) for table, rows, stream in streams])
    return _frame(ROWS, number, synced, [_LIST.pack(len(listed)), listed, *(stream for _, _, stream in streams)])


def done_frame(number: int, synced: int, stored: Sequence[tuple[int, int]]) -> list[bytes | pa.Buffer]:
    """Return a frame that notes pieces as stored, each by its frame and place."""
    return _frame(DONE, number, synced, [msgspec.msgpack.encode(stored)])


def _frame(kind: bytes, number: int, synced: int, body: Sequence[bytes | pa.Buffer]) -> list[bytes | pa.Buffer]:
    start = _START.pack(kind, 0, number, synced, sum(map(_size, body)), 0)[:_CHECKED]
    checksum = xxh3_64(start)
    for part in body:
        checksum.update(memoryview(part))
    return [start + checksum.intdigest().to_bytes(8, "little"), *body]


def _size(part: bytes | pa.Buffer) -> int:
    return len(part) if isinstance(part, bytes) else int(part.size)


def stream_of(rows: pa.Table) -> pa.Buffer:
    """Return rows as a stream of Arrow IPC."""
    sink = pa.BufferOutputStream()
    with pa.RecordBatchStreamWriter(sink, rows.schema) as writer:
        writer.write(rows)
    return sink.getvalue()


def read_rows(path: Path, piece: Piece) -> pa.Table:
    """Return the rows of a piece."""
    with path.open("rb") as file:
        file.seek(piece.start)
        return pa.ipc.open_stream(file.read(piece.bytes)).read_all()


def read(path: Path) -> Contents:
    """Read what is not stored yet in a file.

    Raises :class:`UnreadableStateError` if bytes are damaged that were on the disk once, or if the file is of another
    format, :class:`StateError` if the disk gives none, and ``FileNotFoundError``.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}. {WAYS_ON}") from error
    if len(data) < HEAD.size:
        return Contents([], len(data))
    _, form, _, _ = HEAD.unpack_from(data)
    if data[: HEAD.size] != head():
        if data.startswith(MAGIC) and form != FORMAT:
            raise UnreadableStateError(
                f"{path} is of format {form}; this crmstream reads format {FORMAT}. Run the one that wrote it."
            )
        raise _damaged(path, 0)
    return _contents(path, data)


def _contents(path: Path, data: bytes) -> Contents:
    waiting: dict[tuple[int, int], Piece] = {}
    at = HEAD.size
    while at < len(data):
        length = _length(data, at)
        if length is None:
            if _was_synced(data, at):
                raise _damaged(path, at)
            break
        kind, _, number, _, _, _ = _START.unpack_from(data, at)
        body = at + _START.size
        if kind == DONE:
            for frame, place in msgspec.msgpack.decode(data[body : body + length]):
                waiting.pop((frame, place), None)
        else:
            waiting |= {(number, piece.place): piece for piece in _pieces(data, number, body)}
        at = body + length
    return Contents(list(waiting.values()), len(data) - at)


def _pieces(data: bytes, number: int, body: int) -> Iterator[Piece]:
    (size,) = _LIST.unpack_from(data, body)
    start = body + _LIST.size + size
    for place, (table, rows, length) in enumerate(msgspec.msgpack.decode(data[body + _LIST.size : start])):
        yield Piece(number, place, table, rows, start, length)
        start += length


def _length(data: bytes, at: int) -> int | None:
    """The length of the body of a frame; None if the frame is not whole."""
    if len(data) - at < _START.size:
        return None
    kind, _, _, _, length, checksum = _START.unpack_from(data, at)
    end = at + _START.size + length
    if kind not in (ROWS, DONE) or end > len(data):
        return None
    with memoryview(data) as view:
        found = xxh3_64(view[at : at + _CHECKED])
        found.update(view[at + _START.size : end])
    return int(length) if found.intdigest() == checksum else None


def _was_synced(data: bytes, at: int) -> bool:
    """Whether a whole frame behind a broken one says that the broken one was on the disk."""
    for kind in (ROWS, DONE):
        found = data.find(kind, at + 1)
        while found >= 0:
            if _length(data, found) is not None and _START.unpack_from(data, found)[3] > at:
                return True
            found = data.find(kind, found + 1)
    return False


def _damaged(path: Path, at: int) -> UnreadableStateError:
    return UnreadableStateError(
        f"{path} is damaged at byte {at}: rows that ClickHouse may not have are lost there. {WAYS_ON}"
    )


WAYS_ON: Final = (
    "Ways on: (1) restore the folder `recovery` in CRM_DATA_DIR, all of it, from a backup; (2) move that file away, "
    "and run `crmstream rebuild`: what the log still holds is written to ClickHouse again."
)


def write_all(handle: int, parts: Sequence[bytes | pa.Buffer]) -> int:
    """Write parts at the end of a file, all or none; return the number of bytes."""
    views = [memoryview(part) for part in parts]
    before, whole = os.fstat(handle).st_size, sum(map(len, views))
    try:
        written = os.writev(handle, views) if len(views) <= MOST_VIEWS else 0
        if written < whole:  # a full disk says so at the next call
            rest = memoryview(b"".join(views))[written:]
            while len(rest):
                rest = rest[os.write(handle, rest) :]
    except BaseException:
        with suppress(OSError):
            os.ftruncate(handle, before)
        raise
    return whole
