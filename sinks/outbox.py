"""The outbox: rows on the disk that ClickHouse has not acknowledged yet. The flow goes on without waiting for it.

Delivery: at least once. Rows are on the disk when :meth:`Outbox.put` returns; :meth:`Outbox.done` notes that they are
stored. A run that starts takes over the files of runs that have died: who holds the lock of a file (``flock``) owns it.
Rows that were stored, but not noted as such, are sent again; tables keep one of equal rows. The notes are on the disk
with the next :meth:`Outbox.put`, so rows that are sent again never come after newer ones of a committed epoch.

A file is deleted when all of its rows are stored. A run writes to one file at a time, and to a new one when that is
large.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple
from uuid import uuid4

import pyarrow as pa

from contracts.errors import StateError
from contracts.metrics import OUTBOX_BYTES, OUTBOX_ROWS
from contracts.whole_files import sync
from sinks import outbox_file
from sinks.outbox_file import HEAD, Piece
from sinks.outbox_folder import SUFFIX, files_in, is_locked, number_of

log = logging.getLogger(__name__)
FILE_BYTES: Final = 16 << 20
"""A larger file is followed by a new one."""
LEFT_OVER: Final = 0
"""The number of the put of all rows that earlier runs left."""


@dataclass(eq=False)
class _File:
    """A file whose lock is held, and the tickets of its pieces that are not stored, by frame and place."""

    path: Path
    handle: int
    length: int = HEAD.size
    synced: int = 0
    changed: bool = True
    waiting: dict[tuple[int, int], "Ticket"] = field(default_factory=dict)


class Ticket(NamedTuple):
    """The place of rows in the outbox. ``put`` numbers the calls of :meth:`Outbox.put`."""

    file: _File
    piece: Piece
    put: int

    def read(self) -> pa.Table:
        """Return the rows."""
        return outbox_file.read_rows(self.file.path, self.piece)

    def __str__(self) -> str:
        """Return the path of the file."""
        return str(self.file.path)


def sync_all(handles: Sequence[int]) -> None:
    """Wait until open files are on the disk."""
    for handle in handles:
        os.fdatasync(handle)


class Outbox:
    """The files of one run in a folder that all runs share. For several threads.

    The run first owns what dead runs have left (:attr:`left_over`). ``file_bytes`` is how large a file grows.
    """

    def __init__(
        self, folder: Path, file_bytes: int = FILE_BYTES, sync_files: Callable[[Sequence[int]], None] = sync_all
    ):
        self._folder, self._file_bytes, self._sync = folder, file_bytes, sync_files
        self._run = uuid4().hex[:12]
        self._lock = Lock()
        self._number = 0
        self._files = max((number_of(path) for path in files_in(folder)), default=0)
        self._puts = LEFT_OVER
        self._current: _File | None = None
        self._owned: list[_File] = []
        self._folder_changed = False
        self._broken: StateError | None = None
        self.bytes = 0
        """Of rows that are not stored yet."""
        self.left_over = self._take_over()

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    @property
    def rows(self) -> int:
        """How many rows are not stored yet."""
        with self._lock:
            return sum(ticket.piece.rows for ticket in self._tickets())

    @property
    def last_put(self) -> int:
        """The number of the last call of :meth:`put`."""
        return self._puts

    def is_stored(self, put: int) -> bool:
        """Whether all rows of a put, and of those before it, are stored."""
        with self._lock:
            return all(ticket.put > put for ticket in self._tickets())

    def put(self, pieces: Sequence[tuple[str, pa.Table]]) -> list[Ticket]:
        """Return when the rows of tables are on the disk, together or not at all, and all notes of stored rows too.

        Raises :class:`StateError` if the disk does not take them.
        """
        streams = [(table, rows.num_rows, outbox_file.stream_of(rows)) for table, rows in pieces]
        with self._lock:
            if self._broken is not None:  # what the kernel could not write may be lost: a second try would not say so
                raise self._broken
            try:
                tickets = self._append(streams) if streams else []
                self._sync_changed()
            except OSError as error:
                self._broken = self._not_written(error)
                raise self._broken from error
        return tickets

    def done(self, tickets: Iterable[Ticket]) -> None:
        """Note that rows are stored, and delete the files that are no longer needed."""
        by_file: dict[_File, list[Ticket]] = {}
        for ticket in tickets:
            by_file.setdefault(ticket.file, []).append(ticket)
        with self._lock:
            try:
                for file, stored in by_file.items():
                    self._note(file, stored)
            except OSError as error:
                self._broken = self._not_written(error)
                raise self._broken from error

    def close(self) -> None:
        """Let go of all files. What is not stored stays for the next run."""
        with self._lock:
            self._current = None
            for file in list(self._owned):
                if file.waiting:
                    self._drop(file, list(file.waiting))
                    os.close(file.handle)
                else:
                    self._delete(file)
            self._owned.clear()
            if self._folder_changed:
                sync(self._folder)

    def _tickets(self) -> Iterator[Ticket]:
        """Yield the tickets of all rows that are not stored."""
        return chain.from_iterable(file.waiting.values() for file in self._owned)

    def _append(self, streams: Sequence[tuple[str, int, pa.Buffer]]) -> list[Ticket]:
        file = self._writable()
        self._number += 1
        self._puts += 1
        parts = outbox_file.rows_frame(self._number, file.synced, streams)
        end = file.length + outbox_file.write_all(file.handle, parts)
        start = end - sum(stream.size for _, _, stream in streams)
        tickets = []
        for place, (table, rows, stream) in enumerate(streams):
            tickets.append(Ticket(file, Piece(self._number, place, table, rows, start, stream.size), self._puts))
            start += stream.size
        file.length, file.changed = end, True
        self._keep(tickets)
        return tickets

    def _keep(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            file, piece, _ = ticket
            file.waiting[piece.frame, piece.place] = ticket
            self.bytes += piece.bytes
            OUTBOX_ROWS.inc(piece.rows)
            OUTBOX_BYTES.inc(piece.bytes)

    def _note(self, file: _File, stored: Sequence[Ticket]) -> None:
        places = [(ticket.piece.frame, ticket.piece.place) for ticket in stored]
        self._drop(file, places)
        if file not in self._owned:  # closed by now
            return
        if not file.waiting and file is not self._current:
            self._delete(file)
            return
        self._number += 1
        file.length += outbox_file.write_all(file.handle, outbox_file.done_frame(self._number, file.synced, places))
        file.changed = True

    def _drop(self, file: _File, places: Sequence[tuple[int, int]]) -> None:
        """Count pieces no more."""
        for place in places:
            ticket = file.waiting.pop(place, None)
            if ticket is not None:
                self.bytes -= ticket.piece.bytes
                OUTBOX_ROWS.dec(ticket.piece.rows)
                OUTBOX_BYTES.dec(ticket.piece.bytes)

    def _delete(self, file: _File) -> None:
        file.path.unlink(missing_ok=True)
        os.close(file.handle)
        with suppress(ValueError):
            self._owned.remove(file)
        self._folder_changed = True

    def _sync_changed(self) -> None:
        changed = [file for file in self._owned if file.changed]
        if changed:
            self._sync([file.handle for file in changed])
        for file in changed:
            file.changed, file.synced = False, file.length
        if self._folder_changed:
            sync(self._folder)
            self._folder_changed = False

    def _writable(self) -> _File:
        file = self._current
        if file is not None and file.length < self._file_bytes:
            return file
        self._current = self._new_file()
        if file is not None and not file.waiting:
            self._delete(file)
        return self._current

    def _new_file(self) -> _File:
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync(self._folder.parent)
        while True:
            self._files += 1
            path = self._folder / f"{self._files:08d}-{self._run}{SUFFIX}"
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            if is_locked(path, handle):
                break
            os.close(handle)  # another run took it over before it was locked
        self._folder_changed = True
        self._owned.append(_File(path, handle))
        outbox_file.write_all(handle, [outbox_file.head()])
        return self._owned[-1]

    def _take_over(self) -> list[Ticket]:
        """Take the files whose owners have died; return their rows in the order in which they were put."""
        tickets = []
        for path in files_in(self._folder):
            try:
                handle = os.open(path, os.O_RDWR | os.O_APPEND)
            except FileNotFoundError:
                continue
            if not is_locked(path, handle):
                os.close(handle)
                continue
            tickets += self._take(path, handle)
        self._keep(tickets)
        if tickets:
            log.info(
                "%d rows wait in %s for ClickHouse: an earlier run left them",
                sum(ticket.piece.rows for ticket in tickets), self._folder,
            )  # fmt: skip
        return tickets

    def _take(self, path: Path, handle: int) -> list[Ticket]:
        try:
            pieces, broken = outbox_file.read(path)
        except BaseException:
            os.close(handle)
            raise
        length = os.fstat(handle).st_size - broken
        if broken:
            log.info("%s ends with %d bytes of an epoch that was not committed: they are left out", path, broken)
            os.ftruncate(handle, length)
        file = _File(path, handle, length, synced=length)
        self._owned.append(file)
        if not pieces:
            self._delete(file)
        self._number = max([self._number, *(piece.frame for piece in pieces)])
        return [Ticket(file, piece, LEFT_OVER) for piece in pieces]

    def _not_written(self, error: OSError) -> StateError:
        return StateError(
            f"the outbox in {self._folder} cannot be written: {error.strerror}. The dataflow resumes from its last "
            "snapshot once that works again.",
            errno=error.errno,
        )
