"""From the records of a Debezium topic to changes of rows. Pure.

It reads Debezium's envelope (``op``, ``before``, ``after``, ``source``) and its flattened form (ExtractNewRecordState),
each with or without ``schema`` and ``payload`` around it. Tombstones, truncations and messages are no changes. Columns
may have any name: the types of an envelope's fields tell it from a row with such columns.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from connectors.databases.changes import Change, Operation
from connectors.databases.connections import TableSpec
from connectors.databases.pump import Unreadable
from connectors.debezium.values import Schema, number_without_schema, plain
from connectors.rows.values import NoValue
from contracts.wire import RejectedError

OPERATIONS: Final[dict[str, Operation]] = {"c": "insert", "r": "insert", "u": "update", "d": "delete"}
NOT_OF_ROWS: Final = ("t", "m")
"""Operations that change no row: a table was emptied, or the log holds a message."""
ENVELOPE: Final = frozenset({"before", "after", "source", "op", "ts_ms", "ts_us", "ts_ns", "transaction", "message"})
"""The fields of an envelope."""
CHANGE_FIELDS: Final = (
    ("lsn",),  # PostgreSQL
    ("server_id", "file", "pos", "row"),  # MySQL and MariaDB: one event of their log holds many rows
    ("commit_lsn", "change_lsn", "event_serial_no"),  # SQL Server
)
"""What Debezium says of a change's place in the log of a database, where that tells all changes of a row apart."""
_LONGEST_KEPT: Final = 10_000
_decode = msgspec.json.Decoder().decode
Json = Mapping[str, Any]


class RawRecord(NamedTuple):
    """A record as it stands in its topic.

    ``topic_id`` tells the topic from others of its name, before it and after it; empty where Kafka has no such ids.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    topic_id: str = ""

    @property
    def place(self) -> str:
        """Where it stands, as no other record does."""
        return f"{self.topic_id or self.topic}-{self.partition}-{self.offset}"


class Tables(NamedTuple):
    """The tables that are read, by full name, and their columns that become numbers."""

    specs: Mapping[str, TableSpec]
    numeric: Mapping[str, frozenset[str]]


class _Parts(NamedTuple):
    """What a value says, in whichever form: the operation, rows before and after, and whence."""

    operation: Operation
    before: Json | None
    after: Json | None
    origin: Json


def to_change(record: RawRecord, tables: Tables) -> Change | Unreadable | None:
    """Read one record; None if it is no change, or one of a table that is not read."""
    if not record.value:
        return None
    try:
        return _read(record, record.value, tables)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _unreadable(record, "is not valid JSON")
    except RecursionError:
        return _unreadable(record, "is nested too deep")
    except RejectedError as why:
        return _unreadable(record, why.problem, why.field)
    except TypeError:
        return _unreadable(record, "is neither an envelope of Debezium nor a flattened one")


def _read(record: RawRecord, value: bytes, tables: Tables) -> Change | Unreadable | None:
    content, schema = _unwrapped(_decode(value))
    if content is None:  # a tombstone, as Kafka Connect's JSON converter writes it
        return None
    parts = _parts(content)
    name = _table(parts.origin, record.topic)
    if parts is _NOTHING or name not in tables.specs:
        return None
    return _change(record, parts, schema, tables.specs[name], tables.numeric[name])


def _change(
    record: RawRecord, parts: _Parts, schema: Schema | None, spec: TableSpec, numeric: frozenset[str]
) -> Change | Unreadable:
    before = _row(parts.before, _field(schema, "before", schema), numeric)
    after = _row(parts.after, _field(schema, "after", schema), numeric)
    row = before if parts.operation == "delete" else after
    if row is None:
        return _unreadable(record, "has no row")
    key = _key(record, spec, row)
    values = tuple(key.values()) or (record.place,)
    old = before if parts.operation == "update" else None
    return Change(spec.full_name, parts.operation, values, _version(record, parts.origin), row, old, tuple(key))


def _version(record: RawRecord, origin: Json) -> str:
    """The change's place in the database's log, the same however often Debezium writes it; else the record's place."""
    for fields in CHANGE_FIELDS:
        values = [origin.get(field) for field in fields]
        if None not in values:
            return "-".join(map(str, values))
    return record.place


def _unwrapped(value: Any) -> tuple[Json | None, Schema | None]:
    """Take ``schema`` and ``payload`` apart where they stand around the content; a table may have such columns too."""
    if value is None:
        return None, None
    if not isinstance(value, dict):
        raise TypeError
    if value.keys() != {"schema", "payload"}:
        return value, None
    schema, payload = value["schema"], value["payload"]
    if payload is None or isinstance(payload, dict):
        return payload, _object(schema, "schema")
    if isinstance(schema, dict):
        raise TypeError
    return value, None


def _object(value: object, field: str) -> Json | None:
    """Take an object that may be missing."""
    if value is not None and not isinstance(value, dict):
        raise RejectedError(field, "is not an object")
    return value or None


def _parts(body: Json) -> _Parts:
    return _enveloped(body) if _is_envelope(body) else _flattened(body)


def _is_envelope(body: Json) -> bool:
    """Whether a body is an envelope: its rows and its source are objects, which no column of a flattened row is."""
    if not isinstance(body.get("op"), str):
        return False
    if any(isinstance(body.get(field), dict) for field in ("before", "after", "source")):
        return True
    return body.keys() <= ENVELOPE and {"before", "after"} <= body.keys() and body["before"] is body["after"] is None


def _enveloped(body: Json) -> _Parts:
    operation = _operation(body["op"], "op")
    rows = body.get("before"), body.get("after")
    if any(row is not None and not isinstance(row, dict) for row in rows):
        raise TypeError
    return _NOTHING if operation is None else _Parts(operation, *rows, _object(body.get("source"), "source") or {})


def _flattened(body: Json) -> _Parts:
    origin = {name.removeprefix("__"): value for name, value in body.items() if name.startswith("__")}
    row = {name: value for name, value in body.items() if not name.startswith("__")}
    operation = _operation(origin.get("op") or "c", "__op")
    if str(origin.get("deleted")).lower() == "true" or operation == "delete":
        return _Parts("delete", row, None, origin)
    return _NOTHING if operation is None else _Parts(operation, None, row, origin)


def _operation(found: object, field: str) -> Operation | None:
    """Read an operation; None for one that changes no row."""
    operation = OPERATIONS.get(str(found))
    if operation is None and found not in NOT_OF_ROWS:
        raise RejectedError(field, f"is none of Debezium's operations ({', '.join((*OPERATIONS, *NOT_OF_ROWS))})")
    return operation


_NOTHING: Final = _Parts("insert", None, None, {})


def _table(origin: Json, topic: str) -> str:
    """The full name of the table: as the record says, else as the topic is called (``prefix.schema.table``)."""
    *_, schema, name = ("", "public", *topic.split(".")) if "." not in topic else ("", *topic.split("."))
    return f"{origin.get('schema') or origin.get('db') or schema}.{origin.get('table') or name}"


def _row(row: Json | None, schema: Schema | None, numeric: frozenset[str]) -> dict[str, object] | None:
    if row is None:
        return None
    fields = _fields(schema)
    values = {name: plain(value, fields.get(name)) for name, value in row.items()}
    if schema is None:
        values |= {name: number_without_schema(values[name]) for name in numeric & values.keys()}
    return values


def _fields(schema: Schema | None) -> dict[str, Schema]:
    found = (schema or {}).get("fields")
    if found is None:
        return {}
    if not isinstance(found, list):
        raise RejectedError("schema.fields", "is not a list")
    return {field["field"]: field for field in found if isinstance(field, dict) and isinstance(field.get("field"), str)}


def _field(schema: Schema | None, name: str, default: Schema | None) -> Schema | None:
    """The schema of the row in an envelope; that of a flattened one is the row's itself."""
    return _fields(schema).get(name, default)


def _key(record: RawRecord, spec: TableSpec, row: Json) -> dict[str, str]:
    """The row's key by column: the columns that the file names, else the record's key."""
    if spec.key:
        return {column: _text(row.get(column)) for column in spec.key}
    try:
        body, schema = _unwrapped(_decode(record.key or b""))
        fields = _fields(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RejectedError, TypeError):
        return {}
    columns = {name: value for name, value in (body or {}).items() if not name.startswith("__")}
    values = {name: plain(value, fields.get(name)) for name, value in columns.items()}
    for name, value in values.items():
        if isinstance(value, NoValue) and value.text is None:
            raise RejectedError(f"key.{name}", value.problem)
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    found = value.text if isinstance(value, NoValue) else value
    return "" if found is None else str(found)


def _unreadable(record: RawRecord, problem: str, field: str = "body") -> Unreadable:
    text = (record.value or b"")[:_LONGEST_KEPT].decode("utf-8", "replace")
    original = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "value": text}
    return Unreadable(original, field, problem)
