"""The view preferences on the real engine: what was bought and when, decayed; visits; at most five values."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from crmstream.stack.endpoints import Endpoints

pytestmark = pytest.mark.stack
MONDAY: Final = datetime(2026, 3, 2, 10, tzinfo=UTC)
NUMBERS: Final = count(1)


@pytest.fixture(scope="module")
def migrated(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, "crm_preferences") as made:
        yield made


@pytest.fixture
def client(migrated: Client) -> Iterator[Client]:
    yield migrated
    for table in ("transactions", "order_facts", "web_events", "customers"):
        migrated.command(f"TRUNCATE TABLE {table}")


def insert(client: Client, table: str, name: str, days: float, customer: str, **more: Any) -> None:
    number, at = next(NUMBERS), MONDAY + timedelta(days=days)
    row = {
        "event_id": f"e-{number}", "name": name, "customer_id": customer, "occurred_at": at, "received_at": at,
        "source": "shop", "log_offset": number, **more,
    }  # fmt: skip
    client.insert(table, [list(row.values())], column_names=list(row))


def buy(client: Client, days: float, *categories: str, order: str = "", customer: str = "c-1") -> None:
    lines = [{"product_id": f"p-{name}", "category": name, "quantity": 1} for name in categories]
    insert(client, "transactions", "Order Completed", days, customer, order_id=order or f"o-{next(NUMBERS)}",
           properties=json.dumps({"products": lines}))  # fmt: skip


def visit(client: Client, days: float, query: str, customer: str = "", device: str = "") -> None:
    insert(client, "web_events", "Page Viewed", days, customer, anonymous_id=device, session_id=f"s-{next(NUMBERS)}",
           url=f"https://shop.example/{query}", properties="{}")  # fmt: skip


def liked(client: Client, kind: str, customer: str = "c-1") -> list[tuple[str, int, int]]:
    """Values, times and places."""
    asked = {"kind": kind, "customer": customer}
    found = client.query(
        "SELECT value, times, place FROM preferences WHERE kind = {kind:String} AND customer_id = {customer:String} "
        "ORDER BY place", parameters=asked,
    )  # fmt: skip
    return [tuple(row) for row in found.result_rows]


def test_two_recent_orders_outweigh_three_old_ones(client: Client) -> None:
    for day in (0, 0, 0):
        buy(client, day, "toys")
    buy(client, 200, "tea", "tea")
    buy(client, 201, "tea")
    assert liked(client, "category") == [("tea", 2, 1), ("toys", 3, 2)]
    assert liked(client, "product") == [("p-tea", 2, 1), ("p-toys", 3, 2)]
    assert liked(client, "brand") == []


def test_at_most_five_values_and_those_of_equal_weight_by_name(client: Client) -> None:
    buy(client, 0, *"gfedcba")
    assert [value for value, _, _ in liked(client, "category")] == ["a", "b", "c", "d", "e"]


def test_cancelled_orders_do_not_count(client: Client) -> None:
    buy(client, 0, "tea", order="o-1")
    buy(client, 0, "toys", order="o-2")
    insert(client, "transactions", "Order Cancelled", 1, "c-1", order_id="o-1", properties="{}")
    assert liked(client, "category") == [("toys", 1, 1)]
    assert liked(client, "order_weekday") == [("1", 1, 1)]


def test_when_somebody_orders_and_visits_and_through_which_channel(client: Client) -> None:
    buy(client, 0, "tea")
    buy(client, 6, "tea")
    buy(client, 7, "tea")
    visit(client, 1, "?utm_medium=email", "c-1")
    visit(client, 2.5, "?utm_medium=email", device="phone")
    visit(client, 2.5, "", device="stranger")
    client.insert("customers", [["anonymous:phone", 1, "c-1"]], column_names=["customer_id", "version", "merged_into"])
    assert liked(client, "order_weekday") == [("1", 2, 1), ("7", 1, 2)]
    assert liked(client, "order_hour") == [("10", 3, 1)]
    assert liked(client, "channel") == [("email", 2, 1)]
    assert liked(client, "weekday") == [("3", 1, 1), ("2", 1, 2)]
    assert liked(client, "hour") == [("22", 1, 1), ("10", 1, 2)]
    assert liked(client, "channel", "anonymous:stranger") == [("direct", 1, 1)]
