"""Read the history in a file as events: every row through its mapping and the contract, oldest first.

Delivery: the same file gives the same event ids, so publishing it twice doubles nothing. Where the mapping names the
row's key, the id is made of it: a row whose content has changed is an update of the same event, and of rows with one
key in one file the last counts. Where it names none, an id is the xxh3-128 of the mapping's source and the row's
content and, for the second and later rows of the same content, their number: two equal rows are two events, one row in
two files (exports that overlap) is one, and rows added to the file later leave the ids of the others alone. A row that
is no event is reported and never ends the reading.
"""

import csv
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from xxhash import xxh3_128_hexdigest

from connectors.door.door import Door
from connectors.files.encodings import proposal
from connectors.files.groups import NOT_ENCODED, GroupSpool, RowGroup
from connectors.files.readers import BrokenRow, RawRow, Table, open_table
from connectors.files.spool import KEYED, RUN_RECORDS, TOPIC_NUMBERS, Entry, Spool
from connectors.files.updates import Updates
from connectors.protocol import Record
from connectors.rows.convert import Converted, RowConverter
from connectors.rows.mapping import Mapping
from contracts.errors import InputFileError
from contracts.topics import INPUT_TOPICS
from contracts.wire import RejectedError

MAX_REJECTIONS: Final = 10_000
"""Rejected rows that are listed one by one; beyond it they are only counted."""
_PROGRESS_EVERY: Final = 2_000
_ID_AT: Final = slice(13, 45)
"""Where the 32 hexadecimal digits of the id stand that is made of a row's content: after ``{"event_id":"``."""


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
    """What became of a file's rows: ``rows`` = ``accepted`` + ``skipped`` (left out by the mapping) + ``rejected``.

    ``events`` is how many events the accepted rows are, ``replaced`` how many more there would be if a later row with
    the same key were no update.
    """

    rows: int = 0
    accepted: int = 0
    skipped: int = 0
    rejected: int = 0
    events: int = 0
    replaced: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)

    def reject(self, line: int, problem: RejectedError, rows: int = 1) -> None:
        """Count a rejected row, or several of one event, and list the first, up to :data:`MAX_REJECTIONS`."""
        self.rejected += rows
        self.problems[problem.field, problem.problem] += rows
        if len(self.rejections) < MAX_REJECTIONS:
            self.rejections.append(Rejection(line, problem.field, problem.problem))


def write_rejections(path: Path, rejections: Iterable[Rejection]) -> None:
    """List rejected rows as CSV: line, field, problem. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "field", "problem"))
        writer.writerows((one.line, one.field, one.problem) for one in rejections)


_BESIDE: Final = RejectedError("row", "belongs to an event that is rejected because of another row")
_Take = Callable[[int, list[Converted]], None]


class FileConnector:
    """A file and its mapping, as a connector.

    ``report`` is complete as soon as :meth:`records` yields its first record. ``on_progress`` is called
    every few thousand rows while the file is read. ``received_at`` is the arrival time of rows whose mapping has no
    column for it; default: now where the mapping names a key, so that a changed row is newer, else the event's own
    time. ``door`` is that of the mapping's source, if it is a configured one: a row that its plan refuses is reported
    like any other. At most ``run_records`` records are held in memory; more are sorted on disk, as they go to Kafka.
    ``most_rows`` ends the reading early, for a preview.
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
        most_rows: int | None = None,
    ):
        self._path = Path(path)
        self._most_rows = most_rows
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
        with Spool(self._run_records) as spool, Updates(self._run_records) as updates:
            self._read_into(spool, updates)
            for entry in updates.last():
                spool.add(entry)
            self.report.replaced = updates.replaced
            self.report.events -= updates.replaced
            yield from _numbered(spool.in_order())

    def _read_into(self, spool: Spool, updates: Updates) -> None:
        report = self.report

        def take(line: int, found: list[Converted]) -> None:
            for record, event_id in found:
                if event_id:
                    updates.add(line, event_id, record)
                else:
                    spool.add(_entry(line, record))
            report.events += len(found)

        total = _size(self._path)
        with open_table(self._path, self._mapping, self._mapping.all_columns()) as table:
            chosen = table._replace(rows=itertools.islice(table.rows, self._most_rows))
            if self._mapping.group is None:
                self._read_rows(chosen, take, total)
            else:
                self._read_groups(chosen, take, total)
            self._tell(total, total)

    def _read_rows(self, table: Table, take: _Take, total: int) -> None:
        report, convert = self.report, self._converter(table.columns).convert
        for row in table.rows:
            report.rows += 1
            try:
                if isinstance(row, BrokenRow):
                    raise row.problem
                found = convert(row.values, row.content)
            except RejectedError as problem:
                report.reject(row.line, self._reason(problem, *([row.values] if isinstance(row, RawRow) else [])))
            else:
                if found:
                    report.accepted += 1
                    take(row.line, found)
                else:
                    report.skipped += 1
            if not report.rows % _PROGRESS_EVERY:
                self._tell(table.bytes_read(), total)

    def _read_groups(self, table: Table, take: _Take, total: int) -> None:
        with GroupSpool(self._mapping, table.columns, self._run_records) as groups:
            for row in table.rows:
                self.report.rows += 1
                try:
                    if isinstance(row, BrokenRow):
                        raise row.problem
                    groups.add(row)
                except RejectedError as problem:
                    self.report.reject(row.line, self._reason(problem))
                    groups.skip()
                if not self.report.rows % _PROGRESS_EVERY:
                    self._tell(table.bytes_read(), total)
            converter = self._converter(groups.wanted)
            for group in groups.groups():
                self._take_group(group, converter, take)
        self.report.rejections.sort(key=lambda one: one.line)

    def _take_group(self, group: RowGroup, converter: RowConverter, take: _Take) -> None:
        try:
            if group.problem is not None:
                raise group.problem
            found = converter.convert_group(group.rows)
        except RejectedError as problem:
            at_fault = group.at_fault or converter.at_fault(group.rows, problem) or {0}
            why = self._reason(problem, *group.rows)
            for at, line in enumerate(group.lines):
                rows = 1 if at else 1 + group.more
                self.report.reject(line, why if at in at_fault else _BESIDE, rows)
            return
        self.report.accepted += len(group.lines) * bool(found)
        self.report.skipped += len(group.lines) * (not found)
        take(group.lines[0], found)

    def _converter(self, columns: Sequence[str]) -> RowConverter:
        now = self._received_at or datetime.now(UTC)
        return RowConverter(self._mapping, columns, now, self._door, steady=self._received_at is None)

    def _reason(self, problem: RejectedError, *rows: Sequence[object]) -> RejectedError:
        """Name the encoding that the file seems to have, where that is what is wrong; it is looked at once."""
        if problem.problem != NOT_ENCODED and all(map(_is_text, rows)):
            return problem
        if self._encoding_problem is None:
            self._encoding_problem = RejectedError("row", proposal(self._path, self._mapping.encoding))
        return self._encoding_problem

    def _tell(self, bytes_read: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(self.report.rows, min(bytes_read, total), total))


def _is_text(values: Sequence[object]) -> bool:
    """Whether no text among the values holds bytes that could not be decoded."""
    try:
        "".join([value for value in values if isinstance(value, str)]).encode()
    except UnicodeEncodeError:
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
        if topic & KEYED:
            yield Record(INPUT_TOPICS[topic ^ KEYED].name, key, body, at)
            continue
        digest = body[_ID_AT]
        number = seen[digest] = seen.get(digest, -1) + 1
        if number:
            changed = xxh3_128_hexdigest(digest + b"\x00%d" % number).encode()
            body = body[: _ID_AT.start] + changed + body[_ID_AT.stop :]  # noqa: PLW2901 - the same row, renamed
        yield Record(INPUT_TOPICS[topic].name, key, body, at)
