"""The shipped mappings turn exports of shops and services into the right events."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.door.door import Door
from connectors.files.replay import FileConnector, Report
from connectors.rows.mapping import load_mapping
from connectors.sources.source import Source

SAMPLES = Path(__file__).parents[4] / "docs" / "sources" / "samples"
_RANK = ["Completed", "Refunded", "Cancelled", "Identify"]
GREEN_TEA = ("TEA-1", 2)


def convert(name: str, path: Path | None = None) -> tuple[Report, list[dict[str, Any]]]:
    mapping = load_mapping(name)
    door = Door(Source(name=mapping.source, currency="EUR"))
    connector = FileConnector(path or SAMPLES / f"{name}.csv", mapping, door=door)
    return connector.report, [json.loads(record.value or b"") for record in connector.records()]


def read(name: str) -> list[tuple[object, ...]]:
    """Give each event as: day, name without "Order", customer, total, items, currency."""
    _, events = convert(name)
    found = []
    for event in events:
        of = event["properties"]
        day, short = event["occurred_at"][5:10], event["name"].removeprefix("Order ")
        found.append((day, short, event["customer_id"], of.get("total"), of.get("items"), of.get("currency")))
    return sorted(found, key=lambda one: (str(one[0]), _RANK.index(str(one[1]))))


def test_shopify() -> None:
    assert read("shopify-orders") == [
        ("03-02", "Completed", "ana@example.com", 59.9, 3, "EUR"),
        ("03-03", "Completed", "5002", 24.0, 4, "EUR"),
        ("03-05", "Completed", "ben@example.com", 58.9, 5, "EUR"),
        ("03-05", "Refunded", "ben@example.com", 24.0, None, "EUR"),
        ("03-06", "Completed", "cleo@example.com", 25.0, 2, "EUR"),
        ("03-08", "Refunded", "cleo@example.com", 25.0, None, "EUR"),
        ("03-08", "Cancelled", "cleo@example.com", None, None, None),
        ("03-09", "Cancelled", "ana@example.com", None, None, None),
    ]


@pytest.mark.parametrize(
    ("name", "guest", "others"),
    [
        ("woocommerce-orders", "+49 30 1234", ("ana@example.com", "ben@example.com", "cleo@example.com")),
        ("magento-orders", "guest@example.com", ("ana@example.com", "ben@example.com", "cleo@example.com")),
    ],
)
def test_shops_that_name_no_time_of_a_refund(name: str, guest: str, others: tuple[str, ...]) -> None:
    ana, ben, cleo = others
    items = (3, 4, 5, 2) if name == "woocommerce-orders" else (None,) * 4
    assert read(name) == [
        ("03-02", "Completed", ana, 59.9, items[0], "EUR"),
        ("03-03", "Completed", guest, 24.0, items[1], "EUR"),
        ("03-05", "Completed", ben, 58.9, items[2], "EUR"),
        ("03-05", "Refunded", ben, 24.0, None, "EUR"),
        ("03-06", "Completed", cleo, 25.0, items[3], "EUR"),
        ("03-06", "Refunded", cleo, 25.0, None, "EUR"),
        ("03-09", "Cancelled", ana, None, None, None),
    ]


def test_woocommerce_with_numbers_of_customers() -> None:
    found = [one for one in read("woocommerce-items") if one[1] != "Identify"]
    assert found == [
        ("03-02", "Completed", "17", 59.9, 3, "EUR"),
        ("03-03", "Completed", "guest@example.com", 24.0, 4, "EUR"),
        ("03-05", "Completed", "18", 58.9, 5, "EUR"),
        ("03-05", "Refunded", "18", 24.0, None, "EUR"),
        ("03-06", "Completed", "cleo@example.com", 25.0, 2, "EUR"),
        ("03-06", "Refunded", "cleo@example.com", 25.0, None, "EUR"),
        ("03-09", "Cancelled", "17", None, None, None),
    ]


def test_prestashop() -> None:
    found = [one for one in read("prestashop-orders") if one[1] != "Identify"]
    assert found == [
        ("03-02", "Completed", "17", 59.9, 3, "EUR"),
        ("03-03", "Completed", "guest@example.com", 24.0, 4, "EUR"),
        ("03-05", "Completed", "18", 58.9, 5, "EUR"),
        ("03-06", "Completed", "19", 25.0, 2, "EUR"),
        ("03-07", "Refunded", "18", 24.0, None, "EUR"),
        ("03-08", "Refunded", "19", 25.0, None, "EUR"),
        ("03-09", "Cancelled", "17", None, None, None),
    ]


def test_stripe() -> None:
    found = [one for one in read("stripe-payments") if one[1] != "Identify"]
    assert found == [
        ("03-02", "Completed", "cus_1", 59.9, None, "EUR"),
        ("03-03", "Completed", "guest@example.com", 24.0, None, "EUR"),
        ("03-05", "Completed", "cus_2", 58.9, None, "EUR"),
        ("03-06", "Completed", "cus_3", 25.0, None, "EUR"),
        ("03-07", "Refunded", "cus_2", 24.0, None, "EUR"),
        ("03-08", "Refunded", "cus_3", 25.0, None, "EUR"),
        ("03-10", "Completed", "cus_4", 5000.0, None, "JPY"),
    ]


def test_zendesk() -> None:
    _, events = convert("zendesk-tickets")
    found = [(e["occurred_at"][5:16], e["name"], e["customer_id"], e["properties"].get("score")) for e in events]
    assert found == [
        ("03-02T09:15", "Ticket Opened", "17", None),
        ("03-03T10:00", "Ticket Solved", "17", None),
        ("03-03T18:00", "Ticket Opened", "guest@example.com", None),
        ("03-05T11:00", "Ticket Opened", "18", None),
        ("03-06T09:00", "CSAT Submitted", "17", 5),
        ("03-07T10:00", "Ticket Solved", "18", None),
        ("03-08T12:00", "CSAT Submitted", "18", 1),
        ("03-09T09:15", "Ticket Opened", "19", None),  # and merged into another
    ]


ORDERS = ["shopify-orders", "woocommerce-orders", "woocommerce-items", "prestashop-orders"]
ALL = [*ORDERS, "magento-orders", "stripe-payments", "zendesk-tickets"]


@pytest.mark.parametrize("name", ORDERS)
def test_the_items_of_an_order_are_one_list(name: str) -> None:
    _, events = convert(name)
    first = next(event["properties"] for event in events if event["name"] == "Order Completed")
    assert (first["products"][0]["sku"], first["products"][0]["quantity"]) == GREEN_TEA
    assert len(first["products"]) == 2


@pytest.mark.parametrize("name", ALL)
def test_no_row_of_a_sample_is_rejected(name: str) -> None:
    assert convert(name)[0].rejections == []


@pytest.mark.parametrize("name", ALL)
def test_tomorrows_export_updates_the_events_of_todays(name: str, tmp_path: Path) -> None:
    """An order whose state or note has changed since keeps the ids of its events."""
    _, today = convert(name)
    delimiter = ";" if name == "prestashop-orders" else ","
    with (SAMPLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    tomorrow = tmp_path / "tomorrow.csv"
    with tomorrow.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([[*rows[0], "Tags 2"], *([*row, "vip"] for row in rows[1:])])
    assert [event["event_id"] for event in convert(name, tomorrow)[1]] == [event["event_id"] for event in today]
    assert len({event["event_id"] for event in today}) == len(today)
