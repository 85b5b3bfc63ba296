"""Which known event a name means, and what becomes of events whose name only resembles one."""

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from connectors.door.door import Door
from connectors.door.name_table import ORIGINS, OTHERS
from connectors.door.names import LONGEST_NAME, meaning_of
from connectors.plan.plan import Plan
from connectors.sources.source import PlanFile, Source
from contracts.events import DELETE_USER, EVENT_TYPES
from contracts.notes import NOTES
from contracts.refused import REFUSED_KEY, read_refusal

AT = "2026-05-01T10:00:00Z"
DOOR = Door(Source(name="shop", currency="EUR"))
ORDER = {"order_id": "17", "total": 5}


def admitted(name: str, door: Door = DOOR, properties: object = None, **changes: Any) -> dict[str, Any]:
    draft = {
        "event_id": "e-1", "name": name, "customer_id": "c-1", "occurred_at": AT, "received_at": AT,
        "properties": properties or {}, **changes,
    }  # fmt: skip
    record = door.admit(draft, {})
    assert record.key != REFUSED_KEY, read_refusal(record.headers)
    return dict(json.loads(record.value or b""))


def planned(**plan: Any) -> Door:
    return Door(Source(name="shop", plan=PlanFile(path=Path("p.yaml"), plan=Plan.model_validate(plan))))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Completed Order", "Order Completed"),
        ("order completed", "Order Completed"),
        ("order_completed", "Order Completed"),
        ("orderCompleted", "Order Completed"),
        (" ORDER-COMPLETED ", "Order Completed"),
        ("purchase", "Order Completed"),
        ("Purchase", "Order Completed"),
        ("checkout_completed", "Order Completed"),
        ("orders/create", "Order Completed"),
        ("order.created", "Order Completed"),
        ("Placed Order", "Order Completed"),
        ("refund", "Order Refunded"),
        ("Viewed Product", "Product Viewed"),
        ("view_item", "Product Viewed"),
        ("product_viewed", "Product Viewed"),
        ("Added Product", "Product Added"),
        ("add_to_cart", "Product Added"),
        ("Add to Cart", "Product Added"),
        ("Started Order", "Checkout Started"),
        ("begin_checkout", "Checkout Started"),
        ("view_cart", "Cart Viewed"),
        ("page_view", "Page Viewed"),
        ("ticket solved", "Ticket Solved"),
    ],
)
def test_known_aliases_are_sure(name: str, known: str) -> None:
    assert meaning_of(name) == (known, True)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Order Complete", "Order Completed"),
        ("Ordr Completed", "Order Completed"),
        ("Orders Completed", "Order Completed"),
        ("Complete Order", "Order Completed"),
        ("Order Created", "Order Completed"),  # a shop may send it beside "Order Completed"
        ("order placed", "Order Completed"),
        ("Purchased", "Order Completed"),
        ("Order Refund", "Order Refunded"),
        ("View Products", "Product Viewed"),
    ],
)
def test_near_misses_are_not_sure(name: str, known: str) -> None:
    assert meaning_of(name) == (known, False)


@pytest.mark.parametrize(
    "name", [*OTHERS, "Newsletter Opened", "Video Viewed", "identify", "Alias", "", "--", "日本", "x"]
)
def test_other_names_mean_nothing_but_themselves(name: str) -> None:
    assert meaning_of(name) is None


def test_every_alias_means_a_known_event_that_is_no_statement_about_ids() -> None:
    for origin in ORIGINS:
        for name, known in origin.names.items():
            assert EVENT_TYPES[known][0] != "identity" or known == DELETE_USER
            assert meaning_of(name) == (known, True)


def test_an_alias_gets_the_known_name_and_kind_and_keeps_its_own() -> None:
    event = admitted("Completed Order", properties=ORDER)
    assert (event["name"], event["kind"]) == ("Order Completed", "transaction")
    assert event["properties"] == {**ORDER, "currency": "EUR", "original_name": "Completed Order"}


def test_a_purchase_of_google_analytics_is_an_order() -> None:
    items = [{"item_id": "p-1", "price": 10, "quantity": 2}, {"item_id": "p-2", "price": 5}]
    event = admitted("purchase", properties={"transaction_id": "T-1", "value": 25, "currency": "USD", "items": items})
    assert event["name"] == "Order Completed"
    properties = event["properties"]
    assert (properties["order_id"], properties["total"], properties["currency"]) == ("T-1", 25, "USD")
    assert (properties["items"], properties["original_items"]) == (3, items)


def test_a_view_of_google_analytics_names_its_product() -> None:
    event = admitted("view_item", properties={"items": [{"item_id": "p-1"}]})
    assert (event["name"], event["properties"]["product_id"]) == ("Product Viewed", "p-1")


@pytest.mark.parametrize("name", ["Order Complete", "Ordr Completed", "Order Placed"])
def test_a_near_miss_keeps_its_name_and_is_noted_and_counted(name: str) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("crm_unknown_names_total", {"source": "shop"}) or 0.0

    before = count()
    event = admitted(name, properties=ORDER)
    assert (event["name"], event["kind"]) == (name, "web")
    assert event["properties"] == {**ORDER, NOTES: ["name: resembles Order Completed"]}
    assert count() == before + 1


@pytest.mark.parametrize(
    ("name", "properties", "missing"),
    [
        ("purchase", {"transaction_id": "1", "value": None}, "means Order Completed, which needs total"),
        ("view_item", {}, "means Product Viewed, which needs product_id"),
        ("ticket_solved", {}, "means Ticket Solved, which needs ticket_id"),
    ],
)
def test_an_alias_that_lacks_what_the_known_event_needs_stays_and_says_so(
    name: str, properties: dict[str, object], missing: str
) -> None:
    event = admitted(name, properties=properties)
    assert (event["name"], event["kind"]) == (name, "web")
    assert event["properties"] == {**properties, NOTES: [f"name: {missing}"]}


def test_a_name_in_the_plan_stays_and_one_of_another_kind_too() -> None:
    event = admitted("purchase", planned(events={"purchase": {"kind": "web"}}), ORDER | {"currency": "EUR"})
    assert (event["name"], event["kind"]) == ("purchase", "web")
    assert event["properties"][NOTES] == ["name: means Order Completed, but is in the plan under its own name"]
    near = admitted("Order Placed", planned(events={"Order Placed": {"kind": "web"}}))
    assert near["properties"] == {}
    other = admitted("refund", kind="service")
    assert (other["name"], other["kind"]) == ("refund", "service")


def test_the_plan_is_held_to_the_known_name() -> None:
    events = {"Order Completed": {"properties": {"order_id": {"type": "string"}}}}
    plan = {"events": events, "unplanned_events": "refuse", "unplanned_properties": "drop"}
    event = admitted("Completed Order", planned(**plan), ORDER | {"currency": "EUR", "colour": "red"})
    assert event["properties"]["original_name"] == "Completed Order"
    assert "colour" not in event["properties"]


def test_a_sender_s_original_name_is_set_aside() -> None:
    event = admitted("Completed Order", properties=ORDER | {"original_name": "Ada"})
    assert event["properties"]["original_name"] == "Completed Order"
    assert event["properties"]["original_original_name"] == "Ada"


def test_long_names_are_not_remembered() -> None:
    before = meaning_of.cache_info().misses
    record = DOOR.admit({"event_id": "e", "name": "n" * (LONGEST_NAME + 1), "customer_id": "c", "occurred_at": AT,
                         "received_at": AT}, {})  # fmt: skip
    assert (record.key, meaning_of.cache_info().misses) == (REFUSED_KEY, before)
