"""Connection files: wrong ones are refused with the place, right ones say which columns and changes they need."""

import re
from pathlib import Path
from typing import Any

import pytest

from connectors.databases.connections import load_connection, parse_connection
from connectors.postgres.config import PostgresConnection, slot_name
from contracts.errors import InputFileError

EVENT: dict[str, Any] = {
    "name": "Order Completed",
    "customer_id": "customer",
    "occurred_at": "at",
    "properties": {"total": {"column": "total", "type": "money", "currency": "EUR"}},
}
GOOD: dict[str, Any] = {"source": "web-shop", "mode": "replication", "tables": {"orders": EVENT}}
POLLED = {**GOOD, "mode": "watermark", "tables": {"orders": {"watermark": "updated", **EVENT}}}


def test_defaults() -> None:
    connection = parse_connection(GOOD, PostgresConnection)
    (table,) = connection.tables
    assert (connection.name, connection.slot, connection.publication) == ("web-shop", *[slot_name("web-shop")] * 2)
    assert (connection.dsn_from, connection.position_name) == ("CRM_POSTGRES_URL", "postgres-web-shop")
    assert (table.full_name, table.id, table.operations) == ("public.orders", "row", {"insert"})
    assert table.columns == ("at", "customer", "total")


def test_no_two_names_have_the_same_slot() -> None:
    names = ["shop", "shop-a", "shop_a", "s-h-op_a", "s_h-op_a", *(f"{'x' * 61}{end}" for end in "12"), "y" * 53]
    slots = [slot_name(name) for name in names]
    assert slots[0] == "crmstream_shop"
    assert len(set(slots)) == len(names)
    assert all(re.fullmatch("[a-z0-9_]{1,63}", slot) for slot in slots)
    reached = slot_name("shop-a").removeprefix("crmstream_")
    with pytest.raises(InputFileError, match="name: "):
        parse_connection({**GOOD, "name": reached}, PostgresConnection)


def test_a_table_may_have_several_events_and_an_outbox_stands_beside() -> None:
    more = {**EVENT, "on": "update", "name": {"rules": [{"name": "Order Refunded", "unless": {"old.state": "x"}}]}}
    tables = {"sales.orders": {"key": "number", "id": "change", "events": [EVENT, more]}}
    connection = parse_connection({**GOOD, "tables": tables, "outbox": {"anonymous_id": "visitor"}}, PostgresConnection)
    orders, outbox = connection.tables
    assert (orders.full_name, orders.key, orders.operations) == ("sales.orders", ("number",), {"insert", "update"})
    assert orders.reads_old
    assert "state" in orders.columns
    assert outbox.full_name == "public.outbox"
    assert outbox.columns == ("id", "type", "key", "visitor", "created_at", "payload")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({**GOOD, "mode": "both"}, "mode: "),
        ({**GOOD, "dsn": "postgresql://u:p@h/d"}, "dsn: unknown key; did you mean dsn_from?"),
        ({**GOOD, "source": "Web Shop"}, "source: "),
        ({"source": "s", "mode": "replication"}, "name at least one table"),
        ({**GOOD, "slot": "My-Slot"}, "slot: "),
        ({**GOOD, "tables": {"orders": {**EVENT, "name": "Coffee"}}}, "tables.orders.events.0: kind: is required"),
        ({**GOOD, "tables": {"orders": {**EVENT, "delimiter": ","}}}, "tables.orders.delimiter: is for mapping files"),
        ({**GOOD, "tables": {"orders": {**EVENT, "source": "x"}}}, "tables.orders.source: is for mapping files only"),
        ({**GOOD, "tables": {"orders": {**EVENT, "on": "upsert"}}}, "tables.orders.events.0.on.0: "),
        ({**GOOD, "tables": {"orders": {**EVENT, "events": [EVENT]}}}, "the keys of an event stand there"),
        ({**GOOD, "tables": {"orders": {**EVENT, "watermark": "at"}}}, "watermark: is for mode watermark"),
        ({**GOOD, "tables": {"orders": EVENT, "public.orders": EVENT}}, "each table may be named once"),
        ({**GOOD, "tables": {"orders": {**EVENT, "customer_id": "old.customer"}}}, "are there for updates only"),
        ({**POLLED, "tables": {"orders": EVENT}}, "tables.public.orders.watermark: is required"),
        ({**POLLED, "tables": {"orders": {"watermark": "a", "on": "delete", **EVENT}}}, "use mode replication"),
        ({**POLLED, "tables": {}, "outbox": {"event": "body"}}, "watermark: is required"),
        ({**GOOD, "tables": {}, "outbox": {"colour": "x"}}, "outbox.colour: unknown key"),
    ],
)
def test_what_is_wrong_is_named(content: dict[str, Any], told: str) -> None:
    with pytest.raises(InputFileError) as error:
        parse_connection(content, PostgresConnection, "shop.yaml")
    assert str(error.value).startswith("Connection shop.yaml: ")
    assert told in str(error.value)


def test_rules_that_remember_are_for_files() -> None:
    rules = {"rules": [{"name": "Order Completed", "first": ["id"]}]}
    with pytest.raises(InputFileError, match="`first` is for files only"):
        parse_connection({**GOOD, "tables": {"orders": {**EVENT, "name": rules}}}, PostgresConnection)


@pytest.mark.parametrize("text", ["a: [", "- list", "", "plain"])
def test_a_file_that_is_no_connection_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=r"Connection .*shop\.yaml"):
        load_connection(path, PostgresConnection)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        load_connection(tmp_path / "none.yaml", PostgresConnection)
