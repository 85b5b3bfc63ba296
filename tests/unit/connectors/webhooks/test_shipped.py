"""Every shipped mapping on samples of what its provider sends, and on anything else."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.door.door import Door
from connectors.webhooks.mapping import load_webhook_mapping, shipped_mappings
from connectors.webhooks.receiver import BodyError, Received, Receiver
from connectors.webhooks.trial import event_names, events_of, trial_source
from contracts.events import MAX_EVENT_BYTES
from contracts.refused import REFUSED_KEY

SAMPLES = Path(__file__).parents[4] / "docs" / "sources" / "samples"
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
TOPICS = {
    "shopify-customer-created": "customers/create",
    "shopify-customer-redact": "customers/redact",
    "shopify-order-cancelled": "orders/cancelled",
    "shopify-order-paid": "orders/paid",
    "shopify-order-test": "orders/paid",
    "shopify-order-updated": "orders/updated",
    "shopify-refund-created": "refunds/create",
    "woocommerce-customer-created": "customer.created",
    "woocommerce-order-cancelled": "order.updated",
    "woocommerce-order-created": "order.created",
    "woocommerce-order-guest": "order.updated",
    "woocommerce-order-pending": "order.created",
    "woocommerce-order-refunded": "order.updated",
}
NOW = datetime(2026, 5, 2, tzinfo=UTC)
RECEIVERS = {name: Receiver(Door(trial_source(name), "webhook")) for name in shipped_mappings()}
SECRET = "personal-data-7f3a"


def receive(sample: str) -> Received:
    content = (SAMPLES / f"{sample}.json").read_bytes()
    return RECEIVERS[sample.partition("-")[0]].receive(content, named(TOPICS.get(sample, "")), NOW)


def named(topic: str) -> dict[str, str]:
    """The headers in which providers name what they send."""
    return {"x-shopify-topic": topic, "x-wc-webhook-topic": topic} if topic else {}


def outcome(sample: str) -> dict[str, Any]:
    received = receive(sample)
    events = [{k: v for k, v in event.items() if k != "received_at"} for event in events_of(received)]
    return received.told() | {"events": events}


def test_every_sample_has_a_golden_result_and_the_other_way_round() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(GOLDEN)


@pytest.mark.parametrize("sample", GOLDEN)
def test_a_sample_becomes_its_golden_result(sample: str) -> None:
    assert outcome(sample) == GOLDEN[sample]


@pytest.mark.parametrize("mapping", shipped_mappings())
def test_every_event_of_a_mapping_is_in_a_sample(mapping: str) -> None:
    made = {event["name"] for sample in GOLDEN for event in GOLDEN[sample]["events"] if sample.startswith(mapping)}
    assert set(event_names(load_webhook_mapping(mapping))) - {"any that a body names"} <= made


def test_one_payment_told_in_several_ways_is_one_order() -> None:
    """What Stripe sends of a payment by a payment intent: only the charge counts."""
    told = [receive(name) for name in ("stripe-charge-succeeded", "stripe-payment-intent-succeeded")]
    assert [one.events for one in told] == [1, 0]
    assert [receive(f"stripe-charge-{name}").events for name in ("authorised", "captured")] == [0, 1]


def test_a_refund_told_in_several_ways_is_one_event() -> None:
    (refund,) = outcome("shopify-refund-created")["events"]
    updated = outcome("shopify-order-updated")["events"]
    assert refund["event_id"] == updated[0]["event_id"]
    assert [event["properties"]["total"] for event in updated] == [89.99, 139.98]


def refunded(topic: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    received = RECEIVERS["shopify"].receive(json.dumps(body).encode(), {"x-shopify-topic": topic}, NOW)
    assert received.problems == []
    return [event for event in events_of(received) if event["name"] == "Order Refunded"]


@pytest.mark.parametrize("codes", [["EUR", "USD", "EUR"], ["USD", "EUR"], ["JPY", None, "jpy"], ["USD", "USD"]])
def test_a_refund_in_several_currencies_is_one_event_for_each(codes: list[str | None]) -> None:
    refund = json.loads((SAMPLES / "shopify-refund-created.json").read_text())
    (sample,) = refund["transactions"]
    refund["transactions"] = [
        {**sample, "currency": code, "amount": f"{10 ** number}.00"} for number, code in enumerate(codes)
    ]
    order = json.loads((SAMPLES / "shopify-order-updated.json").read_text()) | {"refunds": [refund]}
    events = refunded("orders/updated", order)
    wanted: dict[str, float] = {}
    for number, code in enumerate(codes):
        currency = (code or order["currency"]).upper()
        wanted[currency] = wanted.get(currency, 0) + 10**number
    assert {event["properties"]["currency"]: event["properties"]["total"] for event in events} == wanted
    assert len({event["event_id"] for event in events}) == len(events) == len(wanted)
    (alone,) = refunded("refunds/create", {**refund, "transactions": [sample]})
    assert events[0]["event_id"] == alone["event_id"]  # however many currencies: the refund's own id is there
    assert refunded("orders/updated", order) == events


@pytest.mark.parametrize("previous", ["NEW", "OPEN", "PENDING", "HOLD"])
@pytest.mark.parametrize("current", ["SOLVED", "CLOSED"])
@pytest.mark.parametrize("tags", [["closed_by_merge"], ["vip", "closed_by_merge"], ["vip"], [], None])
def test_a_ticket_that_is_merged_is_not_solved(previous: str, current: str, tags: list[str] | None) -> None:
    body = json.loads((SAMPLES / "zendesk-ticket-merged.json").read_text())
    body["event"] = {"previous": previous, "current": current}
    body["detail"]["tags"] = tags
    received = RECEIVERS["zendesk"].receive(json.dumps(body).encode(), {}, NOW)
    is_merged = "closed_by_merge" in (tags or [])
    assert (received.names, received.problems) == (["Ticket Updated" if is_merged else "Ticket Solved"], [])


def woo(**changes: Any) -> list[dict[str, Any]]:
    body = json.loads((SAMPLES / "woocommerce-order-guest.json").read_text()) | changes
    received = RECEIVERS["woocommerce"].receive(json.dumps(body).encode(), named("order.updated"), NOW)
    assert received.problems == []
    return events_of(received)


@pytest.mark.parametrize("nobody", [0, "0", None, 0.0, ""])
def test_a_guest_is_known_by_the_address_or_else_by_the_order(nobody: object) -> None:
    (guest,) = woo(customer_id=nobody)
    assert (guest["customer_id"], "anonymous_id" in guest) == ("grace@example.com", False)
    (other,) = woo(customer_id=nobody, billing={"email": "ada@example.com"})
    assert other["customer_id"] == "ada@example.com"
    (unnamed,) = woo(customer_id=nobody, billing={"email": ""})
    assert (unnamed["anonymous_id"], "customer_id" in unnamed) == ("order-728", False)


@pytest.mark.parametrize("number", [17850, 17850.0, "17850", "17850.0", " 17850 "])
def test_a_customers_number_is_one_customer_however_it_is_written(number: object) -> None:
    assert [event["customer_id"] for event in woo(customer_id=number)] == ["17850"]


@pytest.mark.parametrize(
    ("ids", "customer", "anonymous"),
    [
        ({"customer_id": 0, "guest_id": "g-7"}, None, "g-7"),
        ({"customer_id": 0, "guest_id": "g-8", "email": "ada@example.com"}, None, "g-8"),
        ({"customer_id": 0, "guest_id": 0, "email": " Ada@Example.com"}, "ada@example.com", None),
        ({"customer_id": "0", "properties": {"email": "grace@example.com"}}, "grace@example.com", None),
        ({"customer_id": 0, "anonymous_id": "v", "email": "ada@example.com"}, None, "v"),
        ({"customer_id": 0, "userId": 17850.0, "email": "ada@example.com"}, "17850", None),
        ({"customerId": 5, "userId": 17850}, "17850", None),
    ],
)
def test_a_guest_of_any_system_is_known_by_its_number_or_else_by_the_address(
    ids: dict[str, Any], customer: str | None, anonymous: str | None
) -> None:
    event = {"name": "Page Viewed", "occurred_at": "2026-05-01T10:00:00Z", **ids}
    for body in (event, [event]):
        (found,) = events_of(RECEIVERS["generic"].receive(json.dumps(body).encode(), {}, NOW))
        assert (found.get("customer_id"), found.get("anonymous_id")) == (customer, anonymous)


def test_an_order_that_changes_is_one_order() -> None:
    told = [woo(status=status)[0] for status in ("processing", "completed", "refunded")]
    (created,) = outcome("woocommerce-order-created")["events"]
    updated, *refunds = outcome("woocommerce-order-refunded")["events"]
    assert len({event["event_id"] for event in told}) == 1
    assert created["event_id"] == updated["event_id"]
    assert [event["properties"]["total"] for event in refunds] == [17.0, 13.75]
    assert [woo(status=status) for status in ("pending", "on-hold", "failed", "trash")] == [[]] * 4


@pytest.mark.parametrize(("quantity", "items"), [(1.5, 2), ("2", 2), (2.0, 2), ("0.5", 1)])
def test_goods_that_are_sold_by_length_or_weight_are_whole_items(quantity: object, items: int) -> None:
    (order,) = woo(line_items=[{"quantity": quantity}, {"quantity": None}])
    assert order["properties"]["items"] == items


@pytest.mark.parametrize(
    ("quantity", "items"), [(5_000_000_000, 1_000_000), (-3, 0), (2**70, 1_000_000), (1_000, 1_000)]
)
def test_a_quantity_that_no_order_has_is_bounded_and_noted(quantity: int, items: int) -> None:
    body = json.loads((SAMPLES / "woocommerce-order-guest.json").read_text())
    (order,) = woo(line_items=[{**body["line_items"][0], "quantity": quantity}])
    assert order["properties"]["items"] == items
    notes = order["properties"].get("crm_notes", [])
    assert bool(notes) == (quantity != items)
    assert not any("left out" in note for note in notes)


@pytest.mark.parametrize("letter", ["n", "ä", "茶"])
def test_an_order_of_many_lines_is_kept_with_as_many_as_an_event_has_room_for(letter: str) -> None:
    body = json.loads((SAMPLES / "woocommerce-order-guest.json").read_text())
    line = {**body["line_items"][0], "name": letter * 255, "sku": "s" * 100, "quantity": 1}
    (order,) = woo(line_items=[line] * 500)
    assert order["name"] == "Order Completed"
    assert order["properties"]["items"] == 500
    kept = order["properties"]["products"]
    assert 10 < len(kept) < 500
    assert kept[0]["name"] == letter * 255
    assert order["properties"]["crm_notes"] == [f"products: holds only the first {len(kept)} of 500"]
    assert len(json.dumps(order, ensure_ascii=False).encode()) < MAX_EVENT_BYTES


def test_stripes_second_refund_counts_its_own_amount_only() -> None:
    (event,) = outcome("stripe-charge-refunded")["events"]
    assert event["properties"]["total"] == 4.0  # 600 cents of refunds in all, 200 of them from before


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        ({}, None),
        ({"api_version": "2025-02-24.acacia"}, None),
        ({"api_version": "2025-03-31.basil"}, 0.99),  # there nothing is refunded by a capture: somebody has refunded it
        ({"amount_refunded": 599, "before": 99}, 5.0),
        ({"amount_captured": 1099}, 0.99),
    ],
)
def test_what_a_partial_capture_leaves_is_no_refund(changes: dict[str, Any], total: float | None) -> None:
    event = json.loads((SAMPLES / "stripe-charge-partly-released.json").read_text())
    event["api_version"] = changes.get("api_version", event["api_version"])
    event["data"]["previous_attributes"]["amount_refunded"] = changes.get("before", 0)
    event["data"]["object"] |= {name: value for name, value in changes.items() if name.startswith("amount")}
    received = RECEIVERS["stripe"].receive(json.dumps(event).encode(), {}, NOW)
    assert [one["properties"]["total"] for one in events_of(received)] == ([] if total is None else [total])
    assert received.problems == []


def test_a_renewal_is_of_the_visitor_whom_identify_joins_with_the_customer() -> None:
    """Stripe's number is never a customer id: two of those are never merged."""
    (renewal,) = outcome("stripe-charge-succeeded")["events"]
    (identify,) = outcome("stripe-customer-created")["events"]
    assert "customer_id" not in renewal
    assert renewal["anonymous_id"] == identify["anonymous_id"]
    assert (identify["customer_id"], "email" in identify["properties"]["traits"]) == ("c-000042", True)


def test_an_order_of_a_customer_by_a_visitor_joins_the_two() -> None:
    told = {event["name"]: event for event in outcome("shopify-order-paid")["events"]}
    order, identify = told["Order Completed"], told["Identify"]
    for field in ("customer_id", "anonymous_id"):
        assert identify[field] == order[field]


@pytest.mark.parametrize("missing", ["customer", "note_attributes"])
def test_an_order_of_somebody_with_one_id_joins_nothing(missing: str) -> None:
    order = json.loads((SAMPLES / "shopify-order-paid.json").read_text()) | {missing: None}
    received = RECEIVERS["shopify"].receive(json.dumps(order).encode(), {"x-shopify-topic": "orders/paid"}, NOW)
    assert (received.names, received.problems) == (["Order Completed"], [])


def mangled(value: Any, draw: Any) -> Any:
    """A sample in which parts are something else."""
    if draw(st.integers(0, 11)) == 0:
        return draw(st.sampled_from([None, SECRET, {SECRET: SECRET}, [SECRET], True, -1, 2**70, 1.5, "9" * 60, []]))
    if isinstance(value, dict):
        return {key: mangled(one, draw) for key, one in value.items()}
    if isinstance(value, list):
        return [mangled(one, draw) for one in value]
    return value


@given(st.data())
def test_whatever_a_sample_holds_it_is_an_event_or_a_refusal_that_tells_no_value(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(sorted(GOLDEN)))
    body = mangled(json.loads((SAMPLES / f"{sample}.json").read_text()), data.draw)
    check(sample.partition("-")[0], msgspec.json.encode(body), TOPICS.get(sample, ""))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(shipped_mappings()), JSON | st.binary(), st.sampled_from(["", *TOPICS.values()]))
def test_any_body_at_all_is_an_event_a_refusal_or_no_json(mapping: str, body: object, topic: str) -> None:
    check(mapping, body if isinstance(body, bytes) else json.dumps(body).encode(), topic)


def check(mapping: str, content: bytes, topic: str) -> None:
    try:
        received = RECEIVERS[mapping].receive(content, named(topic), NOW)
    except BodyError:
        return
    told = received.told()
    assert told["events"] or told["ignored"] or told["refused"]
    assert SECRET not in json.dumps(told.get("problems", "")) + (received.reason or "")
    refusals = [record for record in received.records if record.key == REFUSED_KEY]
    assert len(refusals) == min(1, len(received.problems))
    assert all(SECRET.encode() not in header for record in refusals for _, header in record.headers)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 200 + b"1" + b"}" * 200, b'"\\ud800"']
)
def test_what_is_no_body_is_said_so(content: bytes) -> None:
    with pytest.raises(BodyError):
        RECEIVERS["generic"].receive(content, {}, NOW)


def test_dead_letters_keep_a_body_once_with_the_header_that_names_it() -> None:
    order = json.loads((SAMPLES / "shopify-order-updated.json").read_text())
    for refund in order["refunds"]:
        refund["processed_at"] = "never"
    received = RECEIVERS["shopify"].receive(json.dumps(order).encode(), {"x-shopify-topic": "orders/updated"}, NOW)
    assert (received.events, len(received.problems)) == (0, 2)
    (refusal,) = received.records
    assert json.loads(refusal.value or b"") == {"headers": {"X-Shopify-Topic": "orders/updated"}, "body": order}
