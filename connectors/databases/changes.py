"""A change of a row in a database, and the records that it becomes.

Delivery: the id of an event follows from the row alone (``row``: each row becomes each event once), or from the row and
its change, so a change that is read again has the same ids (:mod:`connectors.databases.ids`). Pure; moves no data
itself.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Lookup
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from connectors.databases.connections import OLD, EventSpec, Outbox, TableSpec
from connectors.databases.ids import EventIds
from connectors.door.door import Door
from connectors.door.draft import Draft
from connectors.protocol import Record
from connectors.rows.columns import Columns, Predicate, Row
from connectors.rows.convert import RowConverter
from connectors.rows.mapping import Mapping
from connectors.rows.parts import Name
from connectors.rows.values import BadValueError, NoValue, time_parser
from contracts.identity import EMAIL_ADDRESS
from contracts.wire import RejectedError

Operation = Literal["insert", "update", "delete"]
Values = Lookup[str, object]
LONGEST_KEPT: Final = 10_000
"""Characters of one value that a dead letter keeps."""
MOST_KEPT: Final = 400_000
"""Characters of all values beyond which a dead letter keeps only the beginning of each."""
SHORTENED: Final = 200

_decode = msgspec.json.Decoder().decode
_time: Final = time_parser("iso", "UTC")


UNSENT: Final = NoValue("is stored out of line and was not changed, so it was not sent: set REPLICA IDENTITY FULL")


class Change(NamedTuple):
    """One change of one row.

    ``row`` holds the values by column after the change, of a deleted row those before; ``old`` those before an update,
    as far as the database tells them. ``key`` is the row's primary key as texts, ``key_columns`` are its columns.
    ``version`` tells one change of a row from its others, and is the same whenever this change is read.
    """

    table: str
    operation: Operation
    key: tuple[str, ...]
    version: str
    row: Values
    old: Values | None = None
    key_columns: tuple[str, ...] = ()


class Mapper(Protocol):
    """Makes records of the changes of one table."""

    def records(self, change: Change, received_at: datetime) -> Iterator[Record]:
        """Give the record of every event that a change is; none for what the mapping leaves out."""
        ...


def mapper_of(table: TableSpec, door: Door, ids: EventIds) -> Mapper:
    """Make the mapper of a table or an outbox."""
    return OutboxMapper(table, table.outbox, door, ids) if table.outbox else TableMapper(table, door, ids)


class TableMapper:
    """Makes events of rows, as the mapping says."""

    def __init__(self, table: TableSpec, door: Door, ids: EventIds):
        self._events = [_EventMapper(table, spec, door, ids) for spec in table.events]

    def records(self, change: Change, received_at: datetime) -> Iterator[Record]:
        """Give the record of every event that a change is."""
        for event in self._events:
            record = event.record(change, received_at)
            if record is not None:
                yield record


class _EventMapper:
    """One event of a table: which changes it is made of, and how."""

    def __init__(self, table: TableSpec, spec: EventSpec, door: Door, event_ids: EventIds):
        columns = spec.mapping.all_columns()
        self._columns = columns
        self._on = frozenset(spec.on)
        self._by_change = table.id == "change"
        self._key = table.key
        self._door = door
        self._event_ids = event_ids
        self._kept = frozenset((*spec.columns, *table.key))
        event = spec.mapping.every_event[0]
        ids = (("customer_id", event.customer_id), ("anonymous_id", event.anonymous_id))
        self._ids = {field: column.columns for field, column in ids if column is not None}
        self._deciding = (*(spec.mapping.only or {}), *event.name.columns)
        self._is_event = _is_event(Columns(spec.mapping, columns), spec.mapping)
        self._converter = RowConverter(spec.mapping, columns, datetime.now().astimezone())

    def record(self, change: Change, received_at: datetime) -> Record | None:
        if change.operation not in self._on:
            return None
        try:
            draft = self._draft(change, received_at)
        except RejectedError as why:
            ids = {field: _first_found(change, columns) for field, columns in self._ids.items()}
            return self._door.refuse(_original(change, self._kept), why.field, why.problem, ids)
        return None if draft is None else self._door.admit(draft, _original(change, self._kept))

    def _draft(self, change: Change, received_at: datetime) -> Draft | None:
        row = [_value(change, column) for column in self._columns]
        self._need(row, self._deciding)
        if not self._is_event(row):
            return None
        _check_key(change, self._key)
        self._converter.arrive(received_at)
        draft = self._converter.draft(row)
        if draft is not None:
            version = change.version if self._by_change else ""
            draft["event_id"] = self._event_ids.id_of(change.table, change.key, str(draft["name"]), version)
        return draft

    def _need(self, row: Row, columns: Sequence[str]) -> None:
        """Refuse a row that lacks the value of one of ``columns``, and its text."""
        for column, value in zip(self._columns, row, strict=True):
            if isinstance(value, NoValue) and value.text is None and column in columns:
                raise RejectedError(f"row.{column}", value.problem)


class OutboxMapper:
    """Makes events of the rows of an outbox, which hold them ready-made."""

    def __init__(self, table: TableSpec, outbox: Outbox, door: Door, event_ids: EventIds):
        self._table = table
        self._outbox = outbox
        self._kept = frozenset((*outbox.columns, *table.key))
        self._door = door
        self._event_ids = event_ids

    def records(self, change: Change, received_at: datetime) -> Iterator[Record]:
        """Give the record of an inserted row; rows that are updated or taken away again are no events."""
        if change.operation != "insert":
            return
        try:
            draft = self._draft(change)
        except RejectedError as why:
            yield self._door.refuse(_original(change, self._kept), why.field, why.problem, self._ids(change))
            return
        draft["received_at"] = received_at
        yield self._door.admit(draft, _original(change, self._kept))

    def _draft(self, change: Change) -> Draft:
        outbox = self._outbox
        for column in outbox.columns:
            if isinstance(value := change.row.get(column), NoValue):
                raise RejectedError(f"row.{column}", value.problem)
        if outbox.event is not None:
            return _json_object(change.row.get(outbox.event), outbox.event)
        draft = {
            field: value
            for field in ("name", "customer_id", "anonymous_id", "occurred_at")
            if (column := getattr(outbox, field)) and (value := change.row.get(column)) is not None
        }
        draft["event_id"] = self._event_id(str(change.row.get(outbox.event_id) or ""))
        draft["properties"] = _json_object(change.row.get(outbox.properties), "properties")
        if "occurred_at" in draft:
            draft["occurred_at"] = _zoned(str(draft["occurred_at"]))
        return draft

    def _ids(self, change: Change) -> Draft:
        columns = {"customer_id": self._outbox.customer_id, "anonymous_id": self._outbox.anonymous_id}
        return {field: _found(change, column) for field, column in columns.items() if column is not None}

    def _event_id(self, found: str) -> str:
        """A number is unique in its table only, and an address is nothing that an id may tell."""
        is_own = not found.isdecimal() and EMAIL_ADDRESS.search(found) is None
        return found if is_own else self._event_ids.id_of(self._table.full_name, [found], "")


def _is_event(columns: Columns, mapping: Mapping) -> Predicate:
    """Ask whether the mapping takes a row in and has a name for it."""
    passes, named = columns.holds(mapping.only), _is_named(columns, mapping.every_event[0].name)

    def is_event(row: Row) -> bool:
        try:
            return passes(row) and named(row)
        except BadValueError as problem:
            raise RejectedError("row", str(problem)) from None

    return is_event


def _is_named(columns: Columns, name: Name) -> Predicate:
    if name.column is not None:
        return columns.holds({name.column: tuple(name.values)})
    if not name.rules:
        return lambda _row: True
    tests = [(columns.holds(rule.when), columns.holds(rule.unless) if rule.unless else None) for rule in name.rules]
    return lambda row: any(when(row) and not (unless and unless(row)) for when, unless in tests)


def _value(change: Change, column: str) -> object:
    if column.startswith(OLD):
        return (change.old or {}).get(column.removeprefix(OLD))
    if column not in change.row:
        raise RejectedError(f"row.{column}", "is not there: the table has no such column any more")
    return change.row[column]


def _check_key(change: Change, key: Sequence[str]) -> None:
    """Refuse a row without a value in the key that the file names: all such rows would be one event."""
    for column in key:
        value = change.row.get(column)
        if value is None or (isinstance(value, NoValue) and value.text is None):
            raise RejectedError(f"row.{column}", "has no value, but the file names it as part of the row's `key`")


def _json_object(value: object, field: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return dict(value)
    if value is None:
        return {}
    try:
        found = _decode(value) if isinstance(value, str) else None
    except RecursionError:
        raise RejectedError(field, "is nested too deep") from None
    except msgspec.DecodeError:
        found = None
    if not isinstance(found, dict):
        raise RejectedError(field, "is not a JSON object")
    return found


def _zoned(text: str) -> str:
    """Write a time as ISO 8601; one without a zone is UTC."""
    try:
        return _time(text)[1]
    except BadValueError as problem:
        raise RejectedError("occurred_at", str(problem)) from None


def _found(change: Change, column: str) -> object:
    """A value as far as it is there."""
    values = (change.old or {}) if column.startswith(OLD) else change.row
    return values.get(column.removeprefix(OLD))


def _first_found(change: Change, columns: Sequence[str]) -> object:
    """The first of several values that is there."""
    values = (_found(change, column) for column in columns)
    return next((value for value in values if value is not None and not isinstance(value, NoValue)), None)


def _original(change: Change, columns: frozenset[str]) -> dict[str, object]:
    """What the dead letters keep of a change: the columns that are read, and the key."""
    kept = columns.union(change.key_columns)
    row = _kept(change.row, kept)
    original: dict[str, object] = {"table": change.table, "operation": change.operation, "row": row}
    return original if change.old is None else {**original, "old": _kept(change.old, kept)}


def _kept(values: Values, columns: frozenset[str]) -> dict[str, object]:
    found = {name: _written(value) for name, value in values.items() if name in columns}
    texts = {name: value for name, value in found.items() if not isinstance(value, NoValue)}
    whole = sum(len(value) for value in texts.values() if isinstance(value, str))
    longest = LONGEST_KEPT if whole <= MOST_KEPT else SHORTENED
    return {name: _cut(value, longest) for name, value in texts.items()}


def _written(value: object) -> object:
    return value.text if isinstance(value, NoValue) and value.text is not None else value


def _cut(value: object, longest: int) -> object:
    if isinstance(value, str) and len(value) > longest:
        return f"{value[:longest]} ... ({len(value):,} characters)"
    return value
