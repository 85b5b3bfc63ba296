"""Draft one event of a row: its ids, times and properties, as a mapping asks. Pure.

No value of the row is ever part of a problem or a note, for rows are personal data.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from xxhash import xxh3_128_hexdigest

from connectors.door.door import TREATED
from connectors.door.draft import Draft
from connectors.rows.columns import Columns, Reader, Row
from connectors.rows.mapping import Mapping
from connectors.rows.parts import EVENT, Event, EventId
from connectors.rows.properties import Field, PropertyReaders, fitting_items, rows_of
from connectors.rows.values import BadValueError, Instant, TooLargeError, UnreadableError
from contracts.currencies import is_code
from contracts.events import EVENT_TYPES, MAX_COUNT, ORDER_COMPLETED, Kind
from contracts.identity import EMAIL_ADDRESS
from contracts.notes import Note
from contracts.wire import RejectedError

_COUNT: Final = "items"
"""The property whose bounds the contract sets, but which no event needs."""
_LEFT_OUT: Final = "is a number that no event can hold, and is left out"
_encode: Final = msgspec.json.Encoder().encode
_Hash = Callable[[str], str]


class DraftReader:
    """Reads one event of a mapping. ``position`` is its number among the mapping's events, if there are several.

    ``hashed`` changes ids that are made of a row's key, where the source's rules ask for that. ``names_key``: the id is
    made of the row's key, so a later row with the same key is an update.
    """

    def __init__(
        self, mapping: Mapping, event: Event, columns: Columns, position: str = "", hashed: _Hash | None = None
    ):
        kinds = {name: EVENT_TYPES.get(name, (event.kind, ()))[0] for name in event.name.names}
        self._kinds: dict[str, Kind] = {name: kind for name, kind in kinds.items() if kind is not None}
        self._when = columns.holds(event.when) if event.when else None
        self._unless = columns.holds(event.unless) if event.unless else None
        self._name = columns.name(event.name)
        specs = [spec for spec in (event.customer_id, event.anonymous_id) if spec is not None]
        self._id_texts = [columns.first_text(spec.columns) for spec in specs]
        self._customer = columns.identifier(event.customer_id) if event.customer_id else None
        self._visitor = columns.identifier(event.anonymous_id) if event.anonymous_id else None
        self._occurred = columns.time(event.occurred_at)
        self._received = columns.time(event.received_at) if event.received_at else None
        self._read_properties(mapping, event, PropertyReaders(mapping, columns))
        by = (*mapping.group.by, EVENT) if mapping.group else ()
        key = event.event_id or (EventId.model_validate({"from": by}) if by else None)
        self._key = None if key is None else _KeyReader(mapping.source, key, columns, hashed)
        self._salt = mapping.source.encode() + b"\x00"
        self._position = f"\x00{position}".encode() if position else b""
        self.names_key: Final = self._key is not None

    def _read_properties(self, mapping: Mapping, event: Event, readers: PropertyReaders) -> None:
        group = mapping.group if "identity" not in self._kinds.values() else None
        self._properties = [(name, f"properties.{name}", read) for name, read in readers.fields(event.properties)]
        self._required = _required(event.name.names)
        self._traits = readers.fields(event.traits)
        self._items = group.items if group else ""
        self._each = readers.fields(group.each) if group else []
        names = {name for name, _, _ in self._properties} | {self._items}
        self._is_whole = not names & TREATED and all(name in EVENT_TYPES for name in event.name.names)
        self._is_money = "total" in names

    def applies(self, row: Row) -> bool:
        """Whether the row is this event."""
        return (self._when is None or self._when(row)) and not (self._unless is not None and self._unless(row))

    def is_whole(self, draft: Draft) -> bool:
        """Whether the door of a plain source has nothing to add to a draft, and nothing to look at."""
        if not self._is_whole or "notes" in draft:
            return False
        properties = draft["properties"]
        return not self._is_money or (isinstance(properties, dict) and is_code(properties.get("currency")))

    def kind_of(self, draft: Draft) -> Kind:
        """The kind of a draft."""
        return self._kinds[str(draft["name"])]

    def draft(self, row: Row, content: bytes, now: Instant, *, steady: bool = False) -> Draft:
        """Give the fields of a row's event; ``now`` is the time of arrival of rows that hold none.

        ``steady``: what happened before ``now`` arrived when it happened.
        ``content`` is the row as it stands in the file: it gives the event its id if the mapping names no key. The name
        comes last: only rows without fault count as a rule's first. Raises :class:`RejectedError`.
        """
        event: Draft = {"event_id": ""}
        notes: list[Note] = []
        field = "customer_id" if self._visitor is None else "anonymous_id"
        try:
            self._add_ids(row, event)
            field = "occurred_at"
            occurred = self._occurred(row)
            event[field] = occurred[1]
            field = "received_at"
            arrived = min(occurred, now) if steady else now
            event[field] = self._received(row)[1] if self._received else arrived[1]
            properties = self._add_properties(row, notes)
            field = "name"
            event[field] = name = self._name(row)
            field = "event_id"
            event[field] = self._event_id(row, content, name)
        except BadValueError as problem:
            raise RejectedError(field, str(problem)) from None
        event["kind"] = kind = self._kinds[name]
        if kind == "transaction":
            bound_count(properties, notes)
            if self._is_money and name == ORDER_COMPLETED:
                properties.setdefault("total", None)  # so that the door does not take the order for one without money
        event["properties"] = properties
        if notes:
            event["notes"] = notes
        return event

    def _add_ids(self, row: Row, event: Draft) -> None:
        customer = self._customer(row) if self._customer else None
        visitor = self._visitor(row) if self._visitor else None
        if customer is not None:
            event["customer_id"] = customer
        if visitor is not None:
            event["anonymous_id"] = visitor
        elif customer is None:
            raise BadValueError(self._why_nobody(row))

    def _add_properties(self, row: Row, notes: list[Note]) -> dict[str, object]:
        properties: dict[str, object] = {}
        for name, path, read in self._properties:
            try:
                value = read(row)
            except BadValueError as problem:
                if name in self._required or not isinstance(problem, TooLargeError | UnreadableError):
                    raise RejectedError(path, str(problem)) from None
                notes.append(_note(name, problem))
                continue
            if value is not None:
                properties[name] = value
        if self._traits or self._each:
            self._add_parts(row, properties, notes)
        return properties

    def _event_id(self, row: Row, content: bytes, name: str) -> str:
        if self._key is None:
            return xxh3_128_hexdigest(self._salt + content + self._position)
        return self._key.read(row, name, str(self._kinds[name]))

    def _add_parts(self, row: Row, properties: dict[str, object], notes: list[Note]) -> None:
        """Add traits, and the list of a group's items: of each row those values that are there."""
        if traits := _read_all(self._traits, "properties.traits", row, notes):
            properties["traits"] = traits
        if not self._each:
            return
        path = f"properties.{self._items}"
        items = [item for one in rows_of(row) if (item := _read_all(self._each, path, one, notes))]
        if kept := fitting_items(self._items, items, notes):
            properties[self._items] = kept

    def _why_nobody(self, row: Row) -> str:
        """Say why a row has no customer: its id is empty, or a placeholder."""
        return "is a placeholder, and there is no other id" if any(read(row) for read in self._id_texts) else "is empty"


class _KeyReader:
    """Reads an event's id from the row's key."""

    def __init__(self, source: str, key: EventId, columns: Columns, hashed: _Hash | None):
        self._source = source
        self._column = key.column
        self._hashed = hashed
        self._readers: list[tuple[str, Reader]] = [(column, columns.text(column)) for column in key.columns]
        self._of = key.from_

    def read(self, row: Row, name: str, kind: str) -> str:
        """Give the id of an event of this name and kind."""
        values = {EVENT: name}
        for column, read in self._readers:
            if (text := read(row)) is None:
                raise BadValueError(f"needs a value in column {column}, which is part of the row's key")
            values[column] = text
        if self._column is not None:
            found = values[self._column]
            # A number is unique in its shop only, and an address is nothing that an id may tell.
            return self._digest([found]) if found.isdecimal() or EMAIL_ADDRESS.search(found) else found
        return self._digest([kind, *(values[column] for column in self._of)])

    def _digest(self, parts: Sequence[str]) -> str:
        digest = xxh3_128_hexdigest(_encode([self._source, *parts]))
        return digest if self._hashed is None else self._hashed(digest)


def _note(name: str, problem: BadValueError) -> Note:
    return Note(name, _LEFT_OUT if isinstance(problem, TooLargeError) else f"left out, it {problem}")


def _required(names: Sequence[str]) -> frozenset[str]:
    """List the properties that no event of these names can do without; money in a wrong currency is worse than none."""
    return frozenset({"currency"}.union(*(EVENT_TYPES[name][1] for name in names if name in EVENT_TYPES)))


def bound_count(properties: dict[str, object], notes: list[Note]) -> None:
    """Leave out a count that the contract refuses: the order counts without it."""
    count = properties.get(_COUNT)
    if isinstance(count, int) and not isinstance(count, bool) and not 0 <= count <= MAX_COUNT:
        del properties[_COUNT]
        notes.append(Note(_COUNT, _LEFT_OUT))


def _read_all(fields: Sequence[Field], path: str, row: Row, notes: list[Note]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, read in fields:
        try:
            value = read(row)
        except (TooLargeError, UnreadableError) as problem:
            notes.append(_note(f"{path.removeprefix('properties.')}.{name}", problem))
            continue
        except BadValueError as problem:
            raise RejectedError(f"{path}.{name}", str(problem)) from None
        if value is not None:
            found[name] = value
    return found
