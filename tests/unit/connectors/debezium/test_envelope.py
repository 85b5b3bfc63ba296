"""Debezium's records, as its documentation shows them, become changes of rows."""

import base64
import json
from typing import Any

import pytest

from connectors.databases.changes import UNSENT, Change
from connectors.databases.connections import parse_connection
from connectors.databases.pump import Unreadable
from connectors.databases.times import OUT_OF_RANGE
from connectors.debezium.config import DebeziumConnection
from connectors.debezium.envelope import RawRecord, Tables, to_change
from connectors.debezium.values import NO_DECIMAL, UNREADABLE, decimal, plain
from connectors.rows.values import NoValue
from contracts.errors import InputFileError

FIELDS = "schema.fields"
EVENT = {
    "name": "Order Completed",
    "customer_id": "customer",
    "occurred_at": "at",
    "properties": {"total": {"column": "total", "type": "money", "currency": "EUR"}},
}
CONNECTION = parse_connection({"source": "shop", "tables": {"public.orders": EVENT}}, DebeziumConnection)
TABLES = Tables({table.full_name: table for table in CONNECTION.tables}, CONNECTION.numeric_columns())
ROW = {"id": 7, "customer": "c1", "total": "12.50", "at": "2026-11-22T09:00:00Z"}
SOURCE = {"version": "3.0.0.Final", "connector": "postgresql", "db": "shop", "schema": "public", "table": "orders",
          "lsn": 24023128, "ts_ms": 1559033904863, "snapshot": "false"}  # fmt: skip


def read(value: Any, key: Any = None, topic: str = "shop.public.orders") -> Change | Unreadable | None:
    body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return to_change(RawRecord(topic, 2, 41, None if key is None else json.dumps(key).encode(), body), TABLES)


def change(value: Any, key: Any = None, topic: str = "shop.public.orders") -> Change:
    found = read(value, key, topic)
    assert isinstance(found, Change)
    return found


def envelope(op: str, before: Any = None, after: Any = None) -> dict[str, Any]:
    return {"before": before, "after": after, "source": SOURCE, "op": op, "ts_ms": 1559033904900, "transaction": None}


@pytest.mark.parametrize(("op", "operation"), [("c", "insert"), ("r", "insert"), ("u", "update"), ("d", "delete")])
def test_operations(op: str, operation: str) -> None:
    before, after = (ROW, None) if op == "d" else ({**ROW, "total": "1"} if op == "u" else None, ROW)
    found = change(envelope(op, before, after), {"id": 7})
    assert (found.table, found.operation, found.key, found.version) == ("public.orders", operation, ("7",), "24023128")
    assert found.row == ROW
    assert found.old == (before if op == "u" else None)


def test_a_topic_that_was_made_anew_has_places_of_its_own() -> None:
    body = json.dumps(envelope("c", None, ROW)).encode()
    records = [RawRecord("shop.public.orders", 2, 41, None, body, topic_id) for topic_id in ("one", "other", "")]
    changes = [to_change(record, TABLES) for record in records]
    assert len({change.key for change in changes if isinstance(change, Change)}) == 3


MYSQL = {"connector": "mysql", "server_id": 223344, "gtid": None, "file": "mysql-bin.000003", "pos": 484, "row": 0}
SQL_SERVER = {"connector": "sqlserver", "commit_lsn": "00000027:00000758:0005",
              "change_lsn": "00000027:00000758:0003", "event_serial_no": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "others"),
    [
        ({"lsn": 24023128}, {"lsn": 24023129}),
        (MYSQL, {"row": 1}),
        (MYSQL, {"pos": 485}),
        (MYSQL, {"file": "mysql-bin.000004"}),
        (MYSQL, {"server_id": 223345}),
        (SQL_SERVER, {"event_serial_no": 2}),
        (SQL_SERVER, {"change_lsn": "00000027:00000758:0004"}),
    ],
)
def test_a_change_that_is_written_twice_is_one_and_another_one_is_not(
    origin: dict[str, Any], others: dict[str, Any]
) -> None:
    def version(told: dict[str, Any], offset: int, *, flat: bool) -> str:
        told = {"schema": "public", "table": "orders", **told}
        flattened = {**ROW, **{f"__{name}": value for name, value in told.items()}}
        body = flattened if flat else {**envelope("u", None, ROW), "source": told}
        found = to_change(RawRecord("shop.public.orders", 2, offset, None, json.dumps(body).encode()), TABLES)
        assert isinstance(found, Change)
        return found.version

    for flat in (False, True):
        assert version(origin, 41, flat=flat) == version(origin, 97, flat=flat)
        assert version(origin, 41, flat=flat) != version({**origin, **others}, 41, flat=flat)
    assert version({**origin, **dict.fromkeys(others)}, 41, flat=False) == "shop.public.orders-2-41", "all or nothing"


def test_tombstones_truncations_and_messages_are_no_changes() -> None:
    assert read(None, {"id": 7}) is None
    assert read(envelope("t")) is None
    assert read({"op": "m", "source": SOURCE, "message": {}}) is None


@pytest.mark.parametrize(
    "value", [None, b"", b"null", {"schema": None, "payload": None}, {"schema": {}, "payload": None}]
)
def test_a_tombstone_is_nothing_in_each_of_its_forms(value: Any) -> None:
    assert read(value, {"schema": None, "payload": {"id": 7}}) is None


def test_other_tables_are_left_out() -> None:
    assert read({**envelope("c", None, ROW), "source": {**SOURCE, "table": "carts"}}) is None
    assert read({"ts_ms": 1}, topic="__debezium-heartbeat.shop") is None


def test_a_flattened_record_tells_its_operation_or_is_an_insertion() -> None:
    assert change(ROW, {"id": 7}).operation == "insert"
    found = change({**ROW, "__op": "u", "__table": "orders", "__lsn": 9, "__deleted": "false"}, {"id": 7})
    assert (found.operation, found.version, found.row) == ("update", "9", ROW)
    assert change(ROW, {"id": 7}, "orders").table == "public.orders"
    assert change({**ROW, "__op": None}, {"id": 7}).operation == "insert"


@pytest.mark.parametrize("marks", [{"__deleted": "true"}, {"__deleted": True}, {"__op": "d"}, {"__deleted": "True"}])
def test_a_flattened_deletion_is_one_in_each_of_its_forms(marks: dict[str, Any]) -> None:
    found = change({**ROW, **marks}, {"id": 7})
    assert (found.operation, found.row) == ("delete", ROW)
    for kept in ({"__deleted": False}, {"__deleted": "false"}, {"__deleted": None}):
        assert change({**ROW, **kept}, {"id": 7}).operation == "insert"


@pytest.mark.parametrize(
    "columns",
    [
        {"op": "sale", "source": "web"},
        {"op": "c", "source": None},
        {"op": "d", "before": "noon", "after": "dusk"},
        {"op": None, "source": "web"},
        {"op": 5, "before": None, "after": None, "ts_ms": 7},
        {"op": "u", "before": None, "after": None, "source": "web"},
        {"schema": "public", "payload": "text"},
    ],
)
def test_a_flattened_row_may_have_columns_called_as_the_fields_of_an_envelope(columns: dict[str, Any]) -> None:
    row = {**ROW, **columns}
    assert change({**row, "__op": "u"}, {"id": 7}) == change(row, {"id": 7})._replace(operation="update")
    assert change(row, {"id": 7}).row == row
    assert change({"schema": None, "payload": row}, {"id": 7}).row == row


def test_a_table_may_have_no_other_columns_than_schema_and_payload() -> None:
    assert change({"schema": "public", "payload": "text"}).row == {"schema": "public", "payload": "text"}


@pytest.mark.parametrize("value", [{**ROW, "__op": "x"}, {"op": "x", "source": SOURCE, "before": None, "after": ROW}])
def test_an_unknown_operation_is_refused(value: Any) -> None:
    found = read(value)
    assert isinstance(found, Unreadable)
    assert (found.field, found.problem[:35]) in {
        ("op", "is none of Debezium's operations (c"), ("__op", "is none of Debezium's operations (c")
    }  # fmt: skip


def test_schemas_say_what_values_mean() -> None:
    fields = [
        {"field": "id", "type": "int32"},
        {"field": "customer", "type": "string"},
        {
            "field": "total",
            "type": "bytes",
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "2"},
        },
        {"field": "at", "type": "int64", "name": "io.debezium.time.MicroTimestamp"},
        {"field": "day", "type": "int32", "name": "io.debezium.time.Date"},
        {"field": "seen", "type": "string", "name": "io.debezium.time.ZonedTimestamp"},
    ]
    row = {
        "id": 7,
        "customer": "c1",
        "total": "BOI=",
        "at": 1559033904863123,
        "day": 18044,
        "seen": "2019-05-28T08:58:24Z",
    }
    wanted = {**row, "total": "12.50", "at": "2019-05-28 08:58:24.863123", "day": "2019-05-28"}
    key = {"schema": {"type": "struct", "fields": fields[:1]}, "payload": {"id": 7}}
    schema = {
        "type": "struct",
        "fields": [{"field": part, "type": "struct", "fields": fields} for part in ("before", "after")],
    }
    found = change({"schema": schema, "payload": envelope("c", None, row)}, key)
    assert (found.row, found.key) == (wanted, ("7",))
    flattened = {"schema": {"type": "struct", "fields": fields}, "payload": row}
    assert change(flattened, key).row == wanted
    unwrapped = change({"schema": None, "payload": envelope("c", None, ROW)}, key)
    assert unwrapped.row == ROW


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("io.debezium.time.Timestamp", 1_559_033_904_863, "2019-05-28 08:58:24.863000"),
        ("io.debezium.time.NanoTimestamp", 1_559_033_904_863_123_456, "2019-05-28 08:58:24.863123"),
        ("io.debezium.time.MicroTime", 3_661_000_000, "01:01:01"),
        ("org.apache.kafka.connect.data.Timestamp", 0, "1970-01-01 00:00:00"),
        ("org.apache.kafka.connect.data.Date", -1, "1969-12-31"),
        ("io.debezium.data.VariableScaleDecimal", {"scale": 3, "value": "/w=="}, "-0.001"),
        ("io.debezium.data.Json", '{"a": 1}', '{"a": 1}'),
        ("org.apache.kafka.connect.data.Decimal", 12.5, 12.5),
        ("org.apache.kafka.connect.data.Decimal", -7, -7),
        ("io.debezium.time.Date", "never", UNREADABLE),
        ("org.apache.kafka.connect.data.Decimal", "BOI=", UNREADABLE),
        ("io.debezium.time.Date", None, None),
        ("io.debezium.time.Year", 2026, 2026),
        ("io.debezium.time.MicroTime", -3_600_500_000, "-01:00:00.500000"),
        ("io.debezium.time.MicroTime", 108_000_000_000, "30:00:00"),
        ("io.debezium.data.Enum", "__debezium_unavailable_value", UNSENT),
        ("io.debezium.data.Bits", base64.b64encode(b"__debezium_unavailable_value").decode(), UNSENT),
        ("", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", UNSENT),
        ("", "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565", UNSENT),
        ("", ["__debezium_unavailable_value"], UNSENT),
        ("", list(b"__debezium_unavailable_value"), UNSENT),
        ("", {"__debezium_unavailable_value": "__debezium_unavailable_value"}, UNSENT),
        ("io.debezium.data.Json", '{"__debezium_unavailable_value":"__debezium_unavailable_value"}', UNSENT),
    ],
)
def test_encodings(name: str, value: object, wanted: object) -> None:
    assert plain(value, {"name": name}) == wanted


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("io.debezium.time.MicroTimestamp", 9_223_372_036_825_200_000, "infinity"),
        ("io.debezium.time.MicroTimestamp", -9_223_372_036_832_400_000, "-infinity"),
        ("io.debezium.time.Timestamp", 9_223_372_036_825_200_000, "infinity"),
        ("", 9_223_372_036_825_200_000, "infinity"),
        ("io.debezium.time.ZonedTimestamp", "+294247-01-10T04:00:25.200Z", "infinity"),
        ("io.debezium.time.ZonedTimestamp", "-290308-12-21T19:59:27.600Z", "-infinity"),
        ("io.debezium.time.ZonedTimestamp", "+10000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z"),
        ("io.debezium.time.ZonedTimestamp", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("io.debezium.time.Date", 2_147_483_647, "2147483647"),
        ("io.debezium.time.Date", 2_932_897, "2932897"),  # 10000-01-01
        ("io.debezium.time.MicroTimestamp", -62_135_596_800_000_000, "-62135596800000000"),  # year 1
        ("io.debezium.time.Timestamp", -63_000_000_000_000, "-63000000000000"),  # before Christ
        ("org.apache.kafka.connect.data.Date", -719_164, "-719164"),
    ],
)
def test_times_that_no_event_can_hold(name: str, value: object, text: str) -> None:
    found = plain(value, {"name": name})
    assert isinstance(found, NoValue)
    assert (found.problem, found.text) == (OUT_OF_RANGE, text)


def test_a_key_with_such_a_time_still_tells_rows_apart() -> None:
    field = {"field": "until", "type": "int64", "name": "io.debezium.time.MicroTimestamp"}
    until = {"type": "struct", "fields": [field]}
    values = (9_223_372_036_825_200_000, -9_223_372_036_832_400_000, 10**18)
    keys = [change(envelope("c", None, ROW), {"schema": until, "payload": {"until": value}}).key for value in values]
    assert keys == [("infinity",), ("-infinity",), (str(10**18),)]


@pytest.mark.parametrize(("number", "scale"), [(0, 0), (1250, 2), (-1, 4), (10**30, 10), (-128, 0)])
def test_decimals_are_exact(number: int, scale: int) -> None:
    data = number.to_bytes(16, "big", signed=True)
    text = decimal(base64.b64encode(data).decode(), scale)
    assert int(text.replace(".", "")) == number
    assert len(text.partition(".")[2]) == scale


def test_a_decimal_without_schema_is_told_to_be_sent_as_text() -> None:
    found = change(envelope("c", None, {**ROW, "total": "BOI="}))
    assert found.row["total"] is NO_DECIMAL
    assert "decimal.handling.mode=string" in NO_DECIMAL.problem
    for number in ("12.50", 12.5, 3, None, " 7 "):
        assert change(envelope("c", None, {**ROW, "total": number})).row["total"] == number
    scaled = {"scale": 2, "value": "BOI="}
    assert change(envelope("c", None, {**ROW, "total": scaled})).row["total"] == "12.50"
    assert change(envelope("c", None, {**ROW, "total": {**scaled, "value": "?"}})).row["total"] is UNREADABLE


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[1]", "is neither an envelope of Debezium nor a flattened one"),
        ({"schema": {}, "payload": 5}, "is neither an envelope of Debezium nor a flattened one"),
        (envelope("c", None, "x"), "is neither an envelope of Debezium nor a flattened one"),
        (envelope("c"), "has no row"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(value: object, problem: str) -> None:
    found = read(value)
    assert isinstance(found, Unreadable)
    assert found.problem == problem
    assert isinstance(found.original, dict)
    assert found.original["offset"] == 41


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"op": "c", "after": {}, "source": "shop"}, "source"),
        ({"schema": ["x"], "payload": envelope("c", None, ROW)}, "schema"),
        ({"schema": {"fields": 5}, "payload": envelope("c", None, ROW)}, "schema.fields"),
        ({"schema": {"fields": [{"field": "after", "fields": 5}]}, "payload": {"op": "c", "after": {}}}, FIELDS),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "body"),
    ],
)
def test_what_has_another_shape_is_refused_with_its_field(value: object, field: str) -> None:
    found = read(value)
    assert isinstance(found, Unreadable)
    assert found.field == field


def test_a_key_whose_values_cannot_be_read_is_refused() -> None:
    """Rows would have one id otherwise, and count as one event."""
    day = {"type": "struct", "fields": [{"field": "day", "type": "int32", "name": "io.debezium.time.Date"}]}
    found = read(envelope("c", None, ROW), {"schema": day, "payload": {"day": "never"}})
    assert isinstance(found, Unreadable)
    assert found.field == "key.day"


def test_a_key_of_another_shape_is_none() -> None:
    for key in ({"schema": ["x"], "payload": {"id": 7}}, {"schema": {"fields": 5}, "payload": {"id": 7}}):
        assert change(envelope("c", None, ROW), key).key == ("shop.public.orders-2-41",)
    fields = {"fields": [{"field": []}, {"field": "id"}]}
    assert change(envelope("c", None, ROW), {"schema": fields, "payload": {"id": 7}}).key == ("7",)
    deep = RawRecord("t", 0, 0, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, json.dumps(envelope("c", None, ROW)).encode())
    found = to_change(deep, TABLES)
    assert isinstance(found, Change)
    assert found.key == ("t-0-0",)


def test_without_a_key_a_record_is_known_by_its_place() -> None:
    assert change(envelope("c", None, ROW)).key == ("shop.public.orders-2-41",)
    named = parse_connection({"source": "shop", "tables": {"orders": {"key": "id", **EVENT}}}, DebeziumConnection)
    tables = Tables({table.full_name: table for table in named.tables}, named.numeric_columns())
    found = to_change(RawRecord("t", 0, 0, None, json.dumps(envelope("c", None, ROW)).encode()), tables)
    assert isinstance(found, Change)
    assert found.key == ("7",)


def test_what_is_for_polling_is_refused() -> None:
    with pytest.raises(InputFileError, match=r"watermark: is for `connect postgres` only"):
        parse_connection({"source": "shop", "tables": {"orders": {"watermark": "at", **EVENT}}}, DebeziumConnection)
