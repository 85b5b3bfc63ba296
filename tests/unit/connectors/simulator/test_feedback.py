"""Opinions and sales of the simulated shop: they follow from its events, and change none of them."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.simulator.config import ShopConfig
from connectors.simulator.feedback import FeedbackWriter
from connectors.simulator.shop import Shop
from contracts.events import Event

SHOP = ShopConfig(seed=3, customers=200, history_days=120, broken_share=0)
FOLLOWING = {
    "Product Reviewed", "NPS Submitted", "CES Submitted", "Complaint Received", "Lead Created", "Deal Created",
    "Deal Stage Changed", "Deal Won", "Deal Lost", "Call Logged", "Meeting Held", "Quote Sent",
}  # fmt: skip


def events(shop: Shop) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in shop.records(SHOP.end_us + 60 * 86_400_000_000)]


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    return events(Shop(SHOP))


def test_all_of_it_is_told_and_is_valid(told: list[dict[str, Any]]) -> None:
    counts = Counter(event["name"] for event in told if event["name"] in FOLLOWING)
    assert set(counts) == FOLLOWING
    assert counts["Product Reviewed"] > 20
    for event in told:
        if event["name"] in FOLLOWING:
            Event.model_validate_json(json.dumps(event))
    assert len({event["event_id"] for event in told}) > len(told) * 0.98, "a few are sent twice on purpose"


def test_the_rest_of_the_shop_is_as_without_it(told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> Iterator[object]:
        return iter(())

    monkeypatch.setattr(FeedbackWriter, "write", nothing)
    assert events(Shop(SHOP)) == [event for event in told if event["name"] not in FOLLOWING]


def test_everything_follows_from_something(told: list[dict[str, Any]]) -> None:
    """Reviews name products that the customer bought before, deals begin with their creation and end at most once."""
    bought: set[tuple[str, str]] = set()
    deals: dict[str, list[str]] = {}
    for event in sorted(told, key=lambda event: event["occurred_at"]):
        said = event["properties"]
        if event["name"] == "Order Completed":
            bought.update((event["customer_id"], line["product_id"]) for line in said["products"])
        elif event["name"] == "Product Reviewed":
            assert (event["customer_id"], said["product_id"]) in bought
            assert 1 <= said["rating"] <= 5
        elif event["name"] == "NPS Submitted":
            assert 0 <= said["rating"] <= 10
        elif event["name"] == "CES Submitted":
            assert 1 <= said["rating"] <= 7
        elif "deal_id" in said:
            deals.setdefault(said["deal_id"], []).append(event["name"])
    assert all(names[0] == "Deal Created" for names in deals.values())
    ends = [[name for name in names if name in ("Deal Won", "Deal Lost")] for names in deals.values()]
    assert {len(each) for each in ends} == {0, 1}
    assert all(not each or each[0] == names[-1] for each, names in zip(ends, deals.values(), strict=True))
