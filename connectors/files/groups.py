"""Rows of one file that are one event together, wherever in the file they stand.

In bounded memory: rows are sorted by their group, on disk if there are many, and at most :data:`MOST_ROWS` of a group
are held at once. A group is whole or it is rejected: one row of it that is rejected takes the others along, and so
does a line that cannot be read among them or next to them, for it may be one of them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from connectors.files.readers import RawRow
from connectors.files.spool import RUN_RECORDS, Spooled
from connectors.rows.columns import Columns
from connectors.rows.mapping import Mapping
from connectors.rows.values import BadValueError
from contracts.errors import InputFileError
from contracts.wire import RejectedError

MOST_ROWS: Final = 10_000
"""Most rows of one group."""
MOST_BROKEN: Final = 100_000
"""Most lines without a group in one file; with more it is no file of rows."""
NOT_ENCODED: Final = "is not in the mapping's encoding"
_SIGNED: Final = 1 << 63
_encode: Final = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode: Final = msgspec.msgpack.Decoder().decode


class RowGroup(NamedTuple):
    """The rows of one event: their lines, their values by wanted column, and why they are none, if so.

    ``at_fault`` are the positions of the rows that have the problem; ``more`` counts the rows beyond :data:`MOST_ROWS`.
    """

    lines: Sequence[int]
    rows: Sequence[Sequence[object]]
    problem: RejectedError | None
    at_fault: Set[int]
    more: int = 0


class GroupSpool(Spooled):
    """Takes the rows of a file and gives them back by group. Use it as a context manager."""

    def __init__(self, mapping: Mapping, columns: Sequence[str], run_records: int = RUN_RECORDS):
        names = Columns(mapping, columns)
        self.wanted = mapping.all_columns()
        self._at = [names.at(column) for column in self.wanted]
        self._keys = [(column, names.text(column)) for column in (mapping.group.by if mapping.group else ())]
        super().__init__(run_records)
        self._count = 0
        self._broken: list[int] = []

    def add(self, row: RawRow) -> None:
        """Take a row. Raises :class:`RejectedError` for one that belongs to no group."""
        key = self._key(row)
        values, problem = [row.values[at] for at in self._at], ""
        try:
            body = _encode([row.line, values, problem])
        except UnicodeEncodeError:
            body = _encode([row.line, [], NOT_ENCODED])
        self._spool.add((xxh3_64_intdigest(key) - _SIGNED, self._count, 0, key, body))
        self._count += 1

    def skip(self) -> None:
        """Take note of a line that belongs to no group. Raises :class:`InputFileError` if there are too many."""
        self._broken.append(self._count)
        self._count += 1
        if len(self._broken) > MOST_BROKEN:
            raise InputFileError(f"More than {MOST_BROKEN:,} of its lines belong to no group: is it the right mapping?")

    def groups(self) -> Iterator[RowGroup]:
        """Yield the groups, in no order that means anything; the rows of each in the file's order."""
        for _, entries in groupby(self._spool.in_order(), key=lambda entry: entry[0]):
            found: dict[bytes, list[tuple[int, Any]]] = {}  # two keys may have one digest
            for _, number, _, key, body in entries:
                found.setdefault(key, []).append(
                    (number, _decode(body) if len(found.get(key, ())) < MOST_ROWS else None)
                )
            yield from map(self._group, found.values())

    def _key(self, row: RawRow) -> bytes:
        parts = []
        for column, read in self._keys:
            try:
                text = read(row.values)
            except BadValueError as problem:
                raise RejectedError(column, str(problem)) from None
            if text is None:
                raise RejectedError(column, "is empty, so the row belongs to no group")
            parts.append(text)
        try:
            return "\x1f".join(parts).encode()
        except UnicodeEncodeError:
            raise RejectedError("row", NOT_ENCODED) from None

    def _group(self, members: Sequence[tuple[int, Any]]) -> RowGroup:
        whole = [row for _, row in members if row is not None]
        lines = [row[0] for row in whole]
        problem = self._problem(members, whole)
        unreadable = {at for at, row in enumerate(whole) if row[2]}
        at_fault = unreadable or set(range(len(whole))) if problem else set[int]()
        return RowGroup(lines, [row[1] for row in whole], problem, at_fault, len(members) - len(whole))

    def _problem(self, members: Sequence[tuple[int, Any]], whole: Sequence[Any]) -> RejectedError | None:
        if len(whole) < len(members):
            return RejectedError("group", f"has more than {MOST_ROWS:,} rows")
        if told := next((row[2] for row in whole if row[2]), None):
            return RejectedError("row", told)
        first, last = members[0][0], members[-1][0]
        at = bisect_left(self._broken, first - 1)
        if at < len(self._broken) and self._broken[at] <= last + 1:
            return RejectedError("group", "stands beside a line that could not be read and may be one of its rows")
        return None
