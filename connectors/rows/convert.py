"""Turn one row of a file into the records of its events, by its mapping and then through the door of its source.

A row goes in and records come out, or :class:`contracts.wire.RejectedError` with the field and the problem. No value of
the row is ever part of a problem, for rows are personal data.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import datetime
from typing import Final

from connectors.door.door import Door
from connectors.protocol import Record
from connectors.rows.columns import Columns, Row
from connectors.rows.drafts import DraftReader
from connectors.rows.mapping import Mapping
from connectors.rows.values import instant
from connectors.sources.source import Source
from contracts.wire import RejectedError

_BYTES: Final = re.compile("[\ud800-\udfff]")
"""Stand in a text for bytes that are none."""
Converted = tuple[Record, str]
"""The record of an event, and its id if that is made of the row's key: a later row with it is an update. Else ""."""


class RowConverter:
    """Convert the rows of one file, in the file's order; ``columns`` names the values of each row.

    ``received_at`` is the time of arrival where the mapping names no column for it. ``steady``: rows that can't change,
    because their content gives them their ids, arrive when they happened, so reading them again gives the same records.
    ``door`` is that of the mapping's source; without one no rules hold. The rules of names may remember what came
    before, so a converter is for one reading of one file. Rows of a mapping with a group are those of
    :mod:`connectors.rows.groups`.
    """

    def __init__(
        self, mapping: Mapping, columns: Sequence[str], received_at: datetime, door: Door | None = None,
        *, steady: bool = False,
    ):  # fmt: skip
        values = Columns(mapping, columns)
        self._door = door or Door(Source(name=mapping.source))
        self._passes = values.holds(mapping.only) if mapping.only else None
        keys = self._door.row_keys() if mapping.names_keys else None
        hashed = None if keys is None else lambda digest: str(keys.hash(digest))
        events = zip(mapping.every_event, _positions(mapping), strict=True)
        self._readers = [DraftReader(mapping, event, values, position, hashed) for event, position in events]
        self._only = self._readers[0] if not mapping.events else None
        self._is_plain = self._door.is_plain
        self._is_null = values.is_null
        self._now = instant(received_at)
        self._steady = steady and not self._readers[0].names_key

    def convert(self, row: Row, content: bytes) -> list[Converted]:
        """Make the records of a row's events: none where the mapping's ``only`` leaves the row out.

        ``content`` is the row as it stands in the file: it gives an event its id where the mapping names no key. Raises
        :class:`RejectedError` if one of the events is rejected: then none of them counts.
        """
        if self._passes and not self._passes(row):
            return []
        if self._only is not None:
            return [self._converted(self._only, row, content)]
        return [self._converted(reader, row, content) for reader in self._readers if reader.applies(row)]

    def convert_group(self, rows: Sequence[Row]) -> list[Converted]:
        """Make the records of the events that the rows of a group are together.

        Of each column the first value counts that is there in one of the rows. Raises :class:`RejectedError`.
        """
        return self.convert([*self._merged(rows), rows], b"")

    def at_fault(self, rows: Sequence[Row], problem: RejectedError) -> Set[int]:
        """Find the rows of a group that have this problem by themselves; empty where only all of them together do.

        What is read of every row (items, sums) is looked at row by row; if that tells nothing, each row is one alone.
        """
        merged = self._merged(rows)
        items = {at for at, row in enumerate(rows) if self._has([*merged, [row]], problem)}
        if 0 < len(items) < len(rows):
            return items
        return {at for at, row in enumerate(rows) if self._has([*self._merged([row]), [row]], problem)}

    def _has(self, row: Row, problem: RejectedError) -> bool:
        for reader in self._readers:
            try:
                if reader.applies(row):
                    reader.draft(row, b"", self._now)
            except RejectedError as found:
                return (found.field, found.problem) == (problem.field, problem.problem)
        return False

    def _merged(self, rows: Sequence[Row]) -> list[object]:
        """Give of each column the first value that is there in one of the rows."""
        columns = zip(*rows, strict=True)
        return [next((value for value in values if not self._is_null(value)), None) for values in columns]

    def draft(self, row: Row) -> dict[str, object] | None:
        """Give the fields of the first event of a row but no ``event_id``, not yet judged by the contract.

        None where the mapping leaves the row out. Raises :class:`RejectedError`.
        """
        if self._passes and not self._passes(row):
            return None
        event = self._readers[0].draft(row, b"", self._now)
        del event["event_id"]
        return event

    def arrive(self, received_at: datetime) -> None:
        """Take another time of arrival for the rows that come now."""
        self._now = instant(received_at)

    def _converted(self, reader: DraftReader, row: Row, content: bytes) -> Converted:
        draft = reader.draft(row, content, self._now, steady=self._steady)
        key = str(draft["event_id"]) if reader.names_key else ""
        try:
            if self._is_plain and reader.is_whole(draft):
                return self._door.plain_event(reader.kind_of(draft), draft), key
            return self._door.event(draft), key
        except RejectedError as why:
            if why.field == "body" and _is_no_text(row):
                raise RejectedError("row", "is not in the mapping's encoding") from None
            raise


def _is_no_text(row: Row) -> bool:
    """Whether a row holds bytes that are no text in the mapping's encoding."""
    return any(isinstance(value, str) and _BYTES.search(value) for value in row)


def _positions(mapping: Mapping) -> Iterator[str]:
    """Tell the events of one row apart: by their names, and those with one name by their number among them."""
    seen: Counter[tuple[str, ...]] = Counter()
    for event in mapping.every_event:
        names = event.name.names
        number = seen[names]
        seen[names] += 1
        yield "" if not mapping.events else "\x1f".join(names) + (f"\x1f{number}" if number else "")
