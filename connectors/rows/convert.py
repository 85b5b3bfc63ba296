"""Turn one row of a file into one record, by its mapping and then by the event contract.

A row goes in and a record comes out, or :class:`contracts.wire.RejectedError` with the field and the problem. No
value of the row is ever part of a problem, for rows are personal data.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from xxhash import xxh3_128_hexdigest

from connectors.door.door import Door
from connectors.door.plain import fits_together, read_plain
from connectors.protocol import Record
from connectors.rows.columns import Columns, Row
from connectors.rows.mapping import Mapping
from connectors.rows.values import BadValueError, UnreadableError, instant
from contracts.events import EVENT_TYPES, Kind
from contracts.notes import Note
from contracts.topics import TOPIC_OF_KIND
from contracts.wire import RejectedError, judge

ID_AT: Final = slice(13, 45)
"""Where the 32 hexadecimal digits of the event id stand in every body: after ``{"event_id":"``."""

_encode: Final = msgspec.json.Encoder().encode


class RowConverter:
    """Convert the rows of one file, in the file's order; ``columns`` names the values of each row.

    ``received_at`` is the time of arrival where the mapping names no column for it. ``door`` is that of the mapping's
    source, if it is a configured one: its rules then hold for the rows. The rules of names may remember what came
    before, so a converter is for one reading of one file.
    """

    def __init__(self, mapping: Mapping, columns: Sequence[str], received_at: datetime, door: Door | None = None):
        values = Columns(mapping, columns)
        self._salt = mapping.source.encode() + b"\x00"
        self._source = mapping.source
        self._door = door
        self._kinds = _kinds(mapping)
        self._passes = values.holds(mapping.only) if mapping.only else None
        self._name = values.name(mapping.name)
        specs = (("customer_id", mapping.customer_id), ("anonymous_id", mapping.anonymous_id))
        self._ids = [(field, values.identifier(spec)) for field, spec in specs if spec is not None]
        self._occurred = values.time(mapping.occurred_at)
        self._received = values.time(mapping.received_at) if mapping.received_at else None
        self._now = instant(received_at)
        self._properties = [pair for item in mapping.properties.items() for pair in values.properties(*item)]
        self._required = _required(mapping)

    def convert(self, row: Row, content: bytes) -> Record | None:
        """Make the record of a row, or None where the mapping's ``only`` leaves the row out.

        ``content`` is the row as it stands in the file: it gives the event its id. Raises :class:`RejectedError`.
        """
        if self._passes and not self._passes(row):
            return None
        event, occurred_us, received_us = self._event(row, content, None)
        if self._door is not None:
            return self._door.event(event)
        name = str(event["name"])
        try:
            body = _encode(event)
            key = str(event.get("customer_id") or event["anonymous_id"]).encode()
        except UnicodeEncodeError:
            raise RejectedError("row", "is not in the mapping's encoding") from None
        kind = self._kinds[name]
        plain = read_plain(kind, body)
        if plain is None or not fits_together(kind, name, plain[1], occurred_us, received_us):
            judge(kind, body)
        return Record(TOPIC_OF_KIND[kind].name, key, body, occurred_us)

    def draft(self, row: Row) -> dict[str, object] | None:
        """Give the fields of a row's event but no ``event_id``, not yet judged by the contract.

        Optional properties that are unreadable are left out and noted. None where the mapping's ``only`` leaves the
        row out. Raises :class:`RejectedError`.
        """
        if self._passes and not self._passes(row):
            return None
        notes: list[Note] = []
        event, _, _ = self._event(row, b"", notes)
        del event["event_id"]
        return {**event, "notes": notes} if notes else event

    def arrive(self, received_at: datetime) -> None:
        """Take another time of arrival for the rows that come now."""
        self._now = instant(received_at)

    def _event(self, row: Row, content: bytes, notes: list[Note] | None) -> tuple[dict[str, object], int, int]:
        """Read all fields. The name comes last: only rows without fault count as a rule's first."""
        event: dict[str, object] = {"event_id": xxh3_128_hexdigest(self._salt + content)}
        properties: dict[str, object] = {}
        field = "row"
        try:
            for field, identifier in self._ids:
                if (identity := identifier(row)) is not None:
                    event[field] = identity
            if len(event) == 1:
                raise BadValueError("is empty")
            field = "occurred_at"
            occurred_us, event[field] = self._occurred(row)
            field = "received_at"
            received_us, event[field] = self._received(row) if self._received else self._now
            for name, read in self._properties:
                field = name
                if (found := self._property(name, read, row, notes)) is not None:
                    properties[name] = found
            field = "name"
            event[field] = name = self._name(row)
        except BadValueError as problem:
            path = f"properties.{field}" if "received_at" in event and field != "name" else field
            raise RejectedError(path, str(problem)) from None
        event["kind"] = self._kinds[name]
        event["source"] = self._source
        event["properties"] = properties
        event["schema_version"] = 1
        return event, occurred_us, received_us


    def _property(
        self, name: str, read: Callable[[Row], object], row: Row, notes: list[Note] | None
    ) -> object:
        """Read a property. Without ``notes``, an unreadable one refuses the row."""
        try:
            return read(row)
        except UnreadableError as problem:
            if notes is None or name in self._required:
                raise
            notes.append(Note(name, f"left out, it {problem}"))
            return None


def _required(mapping: Mapping) -> frozenset[str]:
    """List the properties that no event of the mapping can do without; money in a wrong currency is worse than none."""
    names = [EVENT_TYPES[name][1] for name in mapping.name.names if name in EVENT_TYPES]
    return frozenset({"currency"}.union(*names))


def _kinds(mapping: Mapping) -> dict[str, Kind]:
    """Give each name its kind; the mapping's own check makes sure that there is one."""
    kinds = {name: EVENT_TYPES.get(name, (mapping.kind, ()))[0] for name in mapping.name.names}
    return {name: kind for name, kind in kinds.items() if kind is not None}
