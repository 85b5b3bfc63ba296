"""Read the history in a file as events: every row through its mapping and the contract, oldest first.

Delivery: the same file gives the same event ids, so publishing it twice doubles nothing; two equal rows are
two events, and rows added to the file later leave the ids of the others alone. An id is the xxh3-128 of the
mapping's source and the row's content and, for the second and later rows of the same content, their number.
Hence one row in two files (exports that overlap) is one event too. A row that is no event is reported and
never ends the reading.
"""

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from xxhash import xxh3_128_hexdigest

from connectors.door.door import Door
from connectors.files.encodings import proposal
from connectors.files.readers import BrokenRow, RawRow, open_table
from connectors.files.spool import RUN_RECORDS, TOPIC_NUMBERS, Entry, Spool
from connectors.protocol import Record
from connectors.rows.convert import ID_AT, RowConverter
from connectors.rows.mapping import Mapping
from contracts.errors import InputFileError
from contracts.topics import INPUT_TOPICS
from contracts.wire import RejectedError

MAX_REJECTIONS: Final = 10_000
"""Rejected rows that are listed one by one; beyond it they are only counted."""
_PROGRESS_EVERY: Final = 2_000


@dataclass(frozen=True)
class Rejection:
    """A row that is no event: its line, the event's field at fault and the problem, but no value."""

    line: int
    field: str
    problem: str


@dataclass(frozen=True)
class Progress:
    """How far the reading is: rows, and bytes of the file (packed, if it is packed)."""

    rows: int
    bytes_read: int
    bytes_total: int


@dataclass
class Report:
    """What became of a file's rows: ``rows`` = ``accepted`` + ``skipped`` (by ``only``) + ``rejected``."""

    rows: int = 0
    accepted: int = 0
    skipped: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)

    def reject(self, line: int, problem: RejectedError) -> None:
        """Count a rejected row and, up to :data:`MAX_REJECTIONS`, list it."""
        self.rejected += 1
        self.problems[problem.field, problem.problem] += 1
        if len(self.rejections) < MAX_REJECTIONS:
            self.rejections.append(Rejection(line, problem.field, problem.problem))


def write_rejections(path: Path, rejections: Iterable[Rejection]) -> None:
    """List rejected rows as CSV: line, field, problem. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "field", "problem"))
        writer.writerows((one.line, one.field, one.problem) for one in rejections)


class FileConnector:
    """A file and its mapping, as a connector.

    ``report`` is complete as soon as :meth:`records` yields its first record. ``on_progress`` is called
    every few thousand rows while the file is read. ``received_at`` (default: now) is the arrival time of
    rows whose mapping has no column for it. ``door`` is that of the mapping's source, if it is a configured one: a row
    that its plan refuses is reported like any other. At most ``run_records`` records are held in memory; more are
    sorted on disk, as they go to Kafka.
    """

    def __init__(  # noqa: PLR0913 - each but the first two has a default
        self,
        path: str | os.PathLike[str],
        mapping: Mapping,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        received_at: datetime | None = None,
        run_records: int = RUN_RECORDS,
        door: Door | None = None,
    ):
        self._path = Path(path)
        self._mapping = mapping
        self._on_progress = on_progress
        self._received_at = received_at
        self._run_records = run_records
        self._door = door
        self._encoding_problem: RejectedError | None = None
        self.report = Report()

    def records(self) -> Iterator[Record]:
        """Yield the records by event time, equal times in the file's order.

        The whole file is read before the first record comes. Raises :class:`InputFileError` if it can't be
        read, is cut off, or lacks a column that the mapping names; nothing has been yielded then.
        """
        self.report = Report()
        with Spool(self._run_records) as spool:
            self._read_into(spool)
            yield from _numbered(spool.in_order())

    def _read_into(self, spool: Spool) -> None:
        total = _size(self._path)
        received_at = self._received_at or datetime.now(UTC)
        with open_table(self._path, self._mapping, self._mapping.all_columns()) as table:
            converter = RowConverter(self._mapping, table.columns, received_at, self._door)
            for row in table.rows:
                self._take(row, converter, spool)
                if not self.report.rows % _PROGRESS_EVERY:
                    self._tell(table.bytes_read(), total)
            self._tell(total, total)

    def _take(self, row: RawRow | BrokenRow, converter: RowConverter, spool: Spool) -> None:
        report = self.report
        report.rows += 1
        if isinstance(row, BrokenRow):
            report.reject(row.line, row.problem)
            return
        try:
            record = converter.convert(row.values, row.content)
        except RejectedError as problem:
            report.reject(row.line, problem if _is_text(row.content) else self._not_encoded())
            return
        if record is None:
            report.skipped += 1
            return
        report.accepted += 1
        spool.add(_entry(row.line, record))

    def _not_encoded(self) -> RejectedError:
        """Say which encoding the file seems to have; it is looked at once."""
        if self._encoding_problem is None:
            self._encoding_problem = RejectedError("row", proposal(self._path, self._mapping.encoding))
        return self._encoding_problem

    def _tell(self, bytes_read: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(self.report.rows, min(bytes_read, total), total))


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputFileError(f"{path} can't be read: {error.strerror}.", path=str(path)) from None


def _entry(line: int, record: Record) -> Entry:
    at, topic = record.occurred_at or 0, TOPIC_NUMBERS[record.topic]
    return at, line, topic, record.key or b"", record.value or b""


def _numbered(entries: Iterator[Entry]) -> Iterator[Record]:
    """Give equal rows ids of their own. They have one time: only its ids are kept."""
    now, seen = None, dict[bytes, int]()
    for at, _, topic, key, body in entries:
        if at != now:
            now, seen = at, {}
        digest = body[ID_AT]
        number = seen[digest] = seen.get(digest, -1) + 1
        if number:
            changed = xxh3_128_hexdigest(digest + b"\x00%d" % number).encode()
            body = body[: ID_AT.start] + changed + body[ID_AT.stop :]  # noqa: PLW2901 - the same row, renamed
        yield Record(INPUT_TOPICS[topic].name, key, body, at)
