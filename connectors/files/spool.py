"""Put records in event-time order when there are more of them than memory holds.

Sorted runs go to temporary files and are merged while they are read. The files live in one temporary
folder, which goes away with the spool.
"""

import heapq
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from contracts.topics import INPUT_TOPICS

RUN_RECORDS: Final = 250_000
"""Records per sorted run: some 200 MB of memory. Each run is one open file while they are merged."""
_HEAD: Final = struct.Struct("<qqBII")


Entry = tuple[int, int, int, bytes, bytes]
"""A record on its way: event time (microseconds since 1970 UTC), line, topic number, key, body."""

KEYED: Final = 0x80
"""Added to the topic's number of a record whose id is made of the row's key: it is never numbered."""

TOPIC_NUMBERS: Final = {topic.name: number for number, topic in enumerate(INPUT_TOPICS)}


class Spool:
    """Takes entries in any order and gives them back by time, then line. Use it as a context manager."""

    def __init__(self, run_records: int = RUN_RECORDS):
        self._run_records = run_records
        self._entries: list[Entry] = []
        self._runs: list[IO[bytes]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._runs:
            run.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, entry: Entry) -> None:
        """Take one entry; no two may have the same time and line."""
        self._entries.append(entry)
        if len(self._entries) >= self._run_records:
            self._spill()

    def in_order(self) -> Iterator[Entry]:
        """Yield everything by (time, line)."""
        self._entries.sort()
        runs = [_read(run) for run in self._runs]
        return heapq.merge(*runs, self._entries) if runs else iter(self._entries)

    def _spill(self) -> None:
        """Write a sorted run to a file and forget it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="crmstream-spool-")
        run = (Path(self._folder.name) / str(len(self._runs))).open("w+b", buffering=1 << 18)
        self._runs.append(run)
        for at, line, topic, key, body in sorted(self._entries):
            run.write(_HEAD.pack(at, line, topic, len(key), len(body)) + key + body)
        run.seek(0)
        self._entries = []


def _read(run: IO[bytes]) -> Iterator[Entry]:
    while head := run.read(_HEAD.size):
        at, line, topic, key_size, body_size = _HEAD.unpack(head)
        yield at, line, topic, run.read(key_size), run.read(body_size)


class Spooled:
    """Whatever keeps its records in a spool of its own, at most ``run_records`` of them in memory.

    Use it as a context manager.
    """

    def __init__(self, run_records: int = RUN_RECORDS):
        self._spool = Spool(run_records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.__exit__(kind, error, trace)
