"""From changes of rows to records."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.databases.changes import UNSENT, Change, mapper_of
from connectors.databases.connections import Connection, parse_connection
from connectors.databases.ids import EventIds
from connectors.databases.times import out_of_range
from connectors.door.door import Door
from connectors.privacy.rules import PrivacyRules
from connectors.protocol import Record
from connectors.rows.values import NoValue
from connectors.sources.source import Source
from contracts.refused import REFUSED_KEY, read_refusal

IDS = EventIds("shop", "shop")
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "customer_id": "customer",
    "occurred_at": "at",
    "properties": {"order_id": "id", "total": {"column": "total", "type": "money", "currency": "EUR"}, "note": "note"},
}
ROW: dict[str, object] = {"id": "7", "customer": "c1", "at": "2026-11-01 10:00:00+00", "total": "1.50", "note": None}


def records(event: dict[str, Any], change: Change, **table: Any) -> list[Record]:
    connection = parse_connection({"source": "shop", "tables": {"orders": {**table, "events": [event]}}}, Connection)
    return list(mapper_of(connection.tables[0], Door(Source(name="shop")), IDS).records(change, NOW))


def insert(**changes: object) -> Change:
    return Change("public.orders", "insert", ("7",), "0/1-1", {**ROW, **changes})


def test_a_row_becomes_an_event() -> None:
    (record,) = records({"name": "Order Completed", **EVENT}, insert())
    body = json.loads(record.value or b"")
    assert record.topic == "crm-transactions"
    assert body["received_at"] == "2026-11-22T09:00:00Z"
    assert body["properties"] == {"order_id": "7", "total": 1.5, "currency": "EUR"}


def test_the_id_is_that_of_the_row_and_the_name_or_of_the_change() -> None:
    def id_of(change: Change, **more: Any) -> str:
        (record,) = records({"name": "Order Completed", "on": ["insert", "update"], **EVENT}, change, **more)
        return str(json.loads(record.value or b"")["event_id"])

    update = insert()._replace(operation="update", version="0/2-1")
    assert id_of(insert()) == id_of(update) == id_of(insert(total="9"))
    assert id_of(insert()._replace(key=("8",))) != id_of(insert())
    assert id_of(insert(), id="change") != id_of(update, id="change")
    assert id_of(insert(), id="change") == id_of(insert(), id="change")


def test_rows_without_a_name_are_left_out() -> None:
    rules = {"rules": [{"name": "Order Completed", "when": {"note": "gift"}}]}
    assert records({"name": rules, **EVENT}, insert()) == []
    assert len(records({"name": rules, **EVENT}, insert(note="gift"))) == 1
    values = {"column": "note", "values": {"gift": "Order Completed"}}
    assert records({"name": values, **EVENT}, insert(note="loan")) == []


def test_other_operations_are_left_out() -> None:
    assert records({"name": "Order Completed", **EVENT}, insert()._replace(operation="delete")) == []


@pytest.mark.parametrize("value", [UNSENT, out_of_range("infinity"), out_of_range("0044-03-15 BC")])
def test_an_optional_column_that_is_unreadable_is_left_out_and_noted(value: NoValue) -> None:
    event = {"name": "Order Completed", "only": {"customer": "c2"}, **EVENT}
    assert records(event, insert(note=value)) == []
    (record,) = records({"name": "Order Completed", **EVENT}, insert(note=value))
    properties = json.loads(record.value or b"")["properties"]
    assert properties == {
        "order_id": "7", "total": 1.5, "currency": "EUR", "crm_notes": [f"note: left out, it {value.problem}"],
    }  # fmt: skip


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_an_optional_number_that_is_none_is_left_out_and_noted(number: str) -> None:
    properties = {**EVENT["properties"], "discount": {"column": "discount", "type": "number"}}
    event = {"name": "Order Completed", **EVENT, "properties": properties}
    (record,) = records(event, insert(discount=number))
    found = json.loads(record.value or b"")["properties"]
    assert found["crm_notes"] == ["discount: left out, it is not a finite number"]


@pytest.mark.parametrize(
    ("column", "field"), [("at", "occurred_at"), ("customer", "customer_id"), ("total", "properties.total")]
)
def test_a_required_column_that_is_unreadable_refuses_the_row_by_its_field(column: str, field: str) -> None:
    for value in (UNSENT, out_of_range("-infinity")):
        (record,) = records({"name": "Order Completed", **EVENT}, insert(**{column: value}))
        refusal = read_refusal(record.headers)
        assert refusal is not None
        assert (refusal.field, refusal.problem, record.key) == (field, value.problem, REFUSED_KEY)
        assert json.loads(record.value or b"")["row"].get(column) == value.text


def test_conditions_compare_the_text_of_an_unreadable_value_where_it_is_known() -> None:
    event = {"name": "Order Completed", **EVENT, "only": {"note": "infinity"}}
    (record,) = records(event, insert(note=out_of_range("infinity")))
    assert record.key != REFUSED_KEY
    assert records(event, insert(note=out_of_range("-infinity"))) == []
    (unknown,) = records(event, insert(note=UNSENT))
    refusal = read_refusal(unknown.headers)
    assert refusal is not None
    assert refusal.field == "row.note"


def test_rows_without_a_value_in_the_key_that_the_file_names_are_refused() -> None:
    """They would all have one id, and count as one event."""
    event = {"name": "Order Completed", **EVENT}
    for missing in (insert(number=None), insert(number=UNSENT), insert()):
        (record,) = records(event, missing._replace(key=("",)), key="number")
        refusal = read_refusal(record.headers)
        assert refusal is not None
        assert refusal.field == "row.number"
        assert records(event, missing._replace(operation="delete"), key="number") == []
        assert records({**event, "only": {"customer": "c2"}}, missing, key="number") == []
    (taken,) = records(event, insert(number=""), key="number")
    assert taken.key != REFUSED_KEY


def test_a_column_that_has_gone_is_named() -> None:
    row = {name: value for name, value in ROW.items() if name != "note"}
    (record,) = records({"name": "Order Completed", **EVENT}, insert()._replace(row=row))
    assert b"has no such column any more" in dict(record.headers)["crm-refused-problem"]


def test_a_refused_row_is_kept_without_its_bulk() -> None:
    (record,) = records({"name": "Order Completed", **EVENT}, insert(total="much", note="x" * 1_000_000))
    assert len(record.value or b"") < 2_000
    assert b"(1,000,000 characters)" in (record.value or b"")
    (structure,) = records({"name": "Order Completed", "only": {"note": "x"}, **EVENT}, insert(note={"a": 1}))
    assert b"structure" in dict(structure.headers)["crm-refused-problem"]


def test_an_outbox_row() -> None:
    connection = parse_connection({"source": "shop", "outbox": {}}, Connection)
    mapper = mapper_of(connection.tables[0], Door(Source(name="shop")), IDS)
    row: dict[str, object] = {"id": "3", "type": "Ticket Opened", "key": "c1", "created_at": "2026-11-01 10:00:00",
                              "payload": '{"ticket_id": "9"}'}  # fmt: skip
    (record,) = mapper.records(Change("public.outbox", "insert", ("3",), "v", row), NOW)
    body = json.loads(record.value or b"")
    assert (body["event_id"], body["occurred_at"]) == (
        IDS.id_of("public.outbox", ["3"], ""), "2026-11-01T10:00:00Z"
    )  # fmt: skip
    (own,) = mapper.records(Change("public.outbox", "insert", ("3",), "v", {**row, "id": "ab-12"}), NOW)
    assert json.loads(own.value or b"")["event_id"] == "ab-12"
    (late,) = mapper.records(Change("public.outbox", "insert", ("3",), "v", {**row, "created_at": "soon"}), NOW)
    assert dict(late.headers)["crm-refused-field"] == b"occurred_at"
    assert list(mapper.records(Change("public.outbox", "delete", ("3",), "v", row), NOW)) == []


@pytest.mark.parametrize("column", ["id", "created_at", "payload", "key"])
def test_an_outbox_row_without_one_of_its_values_is_refused_by_its_column(column: str) -> None:
    connection = parse_connection({"source": "shop", "outbox": {}}, Connection)
    mapper = mapper_of(connection.tables[0], Door(Source(name="shop")), IDS)
    row: dict[str, object] = {"id": "3", "type": "Ticket Opened", "key": "c1", "created_at": "2026-11-01 10:00:00",
                              "payload": '{"ticket_id": "t1"}', column: UNSENT}  # fmt: skip
    (record,) = mapper.records(Change("public.outbox", "insert", ("3",), "v", row), NOW)
    refusal = read_refusal(record.headers)
    assert refusal is not None
    assert (refusal.field, refusal.problem) == (f"row.{column}", UNSENT.problem)


def test_a_refused_outbox_row_is_protected_in_its_payload() -> None:
    connection = parse_connection({"source": "shop", "outbox": {}}, Connection)
    source = Source(name="shop", privacy=PrivacyRules(drop=("email",)))
    row: dict[str, object] = {"id": "3", "type": "Ticket Opened", "key": "c1", "created_at": "soon",
                              "payload": '{"ticket_id": "9", "email": "ann@example.com"}'}  # fmt: skip
    (record,) = mapper_of(connection.tables[0], Door(source), IDS).records(
        Change("public.outbox", "insert", ("3",), "v", row), NOW
    )
    assert json.loads(record.value or b"")["row"]["payload"] == '{"ticket_id":"9"}'


def test_an_outbox_payload_that_is_nested_too_deep_is_refused() -> None:
    connection = parse_connection({"source": "shop", "outbox": {}}, Connection)
    row: dict[str, object] = {"id": "3", "type": "Ticket Opened", "key": "c1", "created_at": "2026-11-01 10:00:00",
                              "payload": '{"a":' * 5_000 + "1" + "}" * 5_000}  # fmt: skip
    (record,) = mapper_of(connection.tables[0], Door(Source(name="shop")), IDS).records(
        Change("public.outbox", "insert", ("3",), "v", row), NOW
    )
    refusal = read_refusal(record.headers)
    assert refusal is not None
    assert (refusal.field, refusal.problem) == ("properties", "is nested too deep")


def test_a_dead_letter_keeps_the_columns_that_are_read_and_the_key() -> None:
    change = insert(total="much", number="7", secret="of nobody's concern")._replace(key_columns=("number",))
    (record,) = records({"name": "Order Completed", **EVENT}, change._replace(old={"note": "x", "secret": "y"}))
    kept = json.loads(record.value or b"")
    assert kept["row"].keys() == {*ROW, "number"}
    assert kept["old"] == {"note": "x"}
    (named,) = records({"name": "Order Completed", **EVENT}, insert(total="much", number="7"), key="number")
    assert "number" in json.loads(named.value or b"")["row"]


def test_rules_on_ids_protect_their_columns_before_there_is_a_draft() -> None:
    source = Source(name="shop", privacy=PrivacyRules(drop=("customer_id",)))
    table = {"source": "shop", "tables": {"orders": {"name": "Order Completed", **EVENT}}, "outbox": {}}
    connection = parse_connection(table, Connection)
    change = insert(customer="someone", total="much", note=UNSENT)
    outbox = {"id": "3", "type": "Ticket Opened", "key": "someone", "created_at": "soon", "payload": "{}"}
    for spec in connection.tables:
        row = outbox if spec.outbox else change.row
        (record,) = mapper_of(spec, Door(source), IDS).records(change._replace(row=row), NOW)
        assert record.key == REFUSED_KEY
        assert b"someone" not in (record.value or b"")
