"""The door: what becomes an event, what a refusal, and that nothing else can come of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from connectors.door.door import LARGEST_REFUSED, Door
from connectors.door.plain import fits_together, microseconds, read_plain
from connectors.plan.plan import Plan
from connectors.protocol import Record
from connectors.sources.source import PlanFile, Source
from contracts.events import EVENT_TYPES, KINDS, Kind, key_of
from contracts.notes import NOTES, Note
from contracts.refused import REFUSED_KEY, Refusal, read_refusal
from contracts.wire import RejectedError, judge

AT = "2026-05-01T10:00:00Z"
DOOR = Door(Source(name="shop"))


def draft(**changes: object) -> dict[str, object]:
    return {
        "event_id": "e-1", "name": "Product Viewed", "customer_id": "c-1", "occurred_at": AT, "received_at": AT,
        "properties": {"product_id": "p-1"}, **changes,
    }  # fmt: skip


def order(**properties: object) -> dict[str, object]:
    return draft(name="Order Completed", properties=properties)


def refused(record: Record) -> Refusal:
    assert record.key == REFUSED_KEY
    refusal = read_refusal(record.headers)
    assert refusal is not None
    return refusal


def body(record: Record) -> dict[str, Any]:
    return dict(json.loads(record.value or b""))


def test_an_event_leaves_under_its_customer_with_its_source() -> None:
    record = DOOR.admit(draft(), {})
    assert (record.topic, record.key) == ("crm-web-events", b"c-1")
    assert record.occurred_at == 1_777_629_600_000_000
    assert judge("web", record.value).source == "shop"


def test_a_visitor_without_a_customer_is_the_key() -> None:
    assert DOOR.admit(draft(customer_id=None, anonymous_id="v-1"), {}).key == b"v-1"


@pytest.mark.parametrize("placeholder", ["null", "undefined", "0", "00000000-0000-0000-0000-000000000000", "Guest"])
def test_a_placeholder_beside_an_id_is_left_out(placeholder: str) -> None:
    visitor = DOOR.admit(draft(customer_id=placeholder, anonymous_id="a-1"), {})
    assert (visitor.key, "customer_id" in body(visitor)) == (b"a-1", False)
    customer = DOOR.admit(draft(customer_id="c-1", anonymous_id=placeholder), {})
    assert (customer.key, "anonymous_id" in body(customer)) == (b"c-1", False)
    nobody = DOOR.admit(draft(customer_id=placeholder), {})
    assert refused(nobody).field == "customer_id"


def test_times_may_be_datetimes_and_nothing_is_left_out() -> None:
    now = datetime(2026, 5, 1, 10, tzinfo=UTC)
    record = DOOR.admit(draft(occurred_at=now, received_at=now, anonymous_id=None), {})
    assert record == DOOR.admit(draft(), {})


def test_the_kind_comes_from_the_draft_the_name_or_the_plan() -> None:
    plan = Plan.model_validate({"events": {"Wishlist Opened": {"kind": "service"}}})
    planned = Door(Source(name="shop", plan=PlanFile(path=Path("plan.yaml"), plan=plan)))
    assert DOOR.admit(draft(name="Wishlist Opened"), {}).topic == "crm-web-events"
    assert DOOR.admit(draft(name="Wishlist Opened", kind="identity"), {}).topic == "crm-identities"
    assert planned.admit(draft(name="Wishlist Opened"), {}).topic == "crm-service-events"
    assert DOOR.admit(order(total=1, currency="EUR"), {}).topic == "crm-transactions"


@pytest.mark.parametrize(
    ("given", "currency"),
    [({"total": 5}, "EUR"), ({"total": 5, "currency": None}, "EUR"), ({"total": 5, "currency": "USD"}, "USD")],
)
def test_money_without_a_currency_has_the_sources(given: dict[str, object], currency: str) -> None:
    door = Door(Source(name="shop", currency="EUR"))
    assert body(door.admit(order(**given), {}))["properties"]["currency"] == currency


def test_no_currency_comes_without_money() -> None:
    door = Door(Source(name="shop", currency="EUR"))
    assert "currency" not in body(door.admit(draft(), {}))["properties"]
    assert refused(door.admit(order(), {})).field == "properties.total"


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event_id": None}, "event_id"),
        ({"event_id": "e\ud800"}, "body"),
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": True}, "customer_id"),
        ({"customer_id": ["42"]}, "customer_id"),
        ({"customer_id": float("nan")}, "customer_id"),
        ({"customer_id": float("nan"), "anonymous_id": "v-1"}, "customer_id"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "", "anonymous_id": ""}, "customer_id"),
        ({"customer_id": "a\x00b"}, "customer_id"),
        ({"name": ["Product Viewed"]}, "name"),
        ({"name": None}, "name"),
        ({"kind": "transaction"}, "kind"),
        ({"kind": "money"}, "kind"),
        ({"kind": ["web"]}, "kind"),
        ({"occurred_at": "2026-05-01T10:00:00"}, "occurred_at"),
        ({"occurred_at": "2026-05-03T10:00:00Z"}, "occurred_at"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at"),
        ({"occurred_at": datetime(2026, 5, 1)}, "occurred_at"),  # noqa: DTZ001
        ({"occurred_at": float("nan")}, "occurred_at"),
        ({"received_at": object()}, "body"),
        ({"colour": "red"}, "colour"),
        ({"properties": []}, "properties"),
        ({"properties": {}}, "properties.product_id"),
        ({"properties": {"product_id": "p", "price": float("nan")}}, "properties.price"),
        ({"properties": {"product_id": "p", "all": [{"x": float("-inf")}]}}, "properties.all.x"),
        ({"properties": {"product_id": "p", "n": 10**5_000}}, "body"),
        ({"properties": {"product_id": "p", "x": "\udfff"}}, "body"),
        ({"properties": {"product_id": "p", "x": deep(250)}}, "body"),
        ({"properties": {"product_id": "p", "x": deep(50_000)}}, "body"),
        ({"properties": {"product_id": "p", "x": "y" * 33_000}}, "body"),
        ({"properties": {"product_id": "p", ("a", "b"): 1}}, "body"),
    ],
)
def test_what_is_no_event_is_refused_with_the_field_at_fault(changes: dict[str, object], field: str) -> None:
    given = draft(**changes)
    record = DOOR.admit(given, given)
    assert refused(record).field == field
    assert (refused(record).stage, refused(record).source) == ("collect", "shop")
    assert record.occurred_at is None
    json.loads(record.value or b"")


@pytest.mark.parametrize(
    ("original", "kept"),
    [
        ({"a": 1}, {"a": 1}),
        ([1, "x"], [1, "x"]),
        (None, None),
        ('{"broken": ', '{"broken": '),
        (b'{"broken": ', '{"broken": '),
        (["\ud83d"], ["\ud83d"]),
        (deep(50_000), {"withheld": "it cannot be written as JSON"}),
        ({"n": 10**5_000}, {"withheld": "it cannot be written as JSON"}),
        ({"x": object()}, {"withheld": "it cannot be written as JSON"}),
        ("x" * 600_000, {"withheld": "it is too large to be kept", "bytes": 600_002}),
    ],
)
def test_whatever_is_refused_can_be_kept(original: object, kept: object) -> None:
    record = DOOR.refuse(original, "body", "is not valid JSON")
    assert json.loads(record.value or b"") == kept
    assert len(record.value or b"") <= LARGEST_REFUSED


def test_the_name_of_a_field_is_bounded() -> None:
    record = DOOR.admit(draft(properties={"x" * 900: float("nan")}), {})
    assert len(refused(record).field) == 300


def test_an_event_raises_where_no_refusal_is_wanted() -> None:
    with pytest.raises(RejectedError, match="customer_id"):
        DOOR.event(draft(customer_id=None))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
wild_texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
names = st.sampled_from(["Product Viewed", "Order Completed", "CSAT Submitted", "Alias", "Anything"]) | wild_texts
given_ids = st.sampled_from(["c-1", "", "x" * 101, "null", "0000", "anonymous:a", "email:e"])
ids = st.none() | given_ids | wild_texts | st.integers()
times = st.sampled_from([AT, "2026-05-02T10:00:00.0000001Z", "2026-05-03T10:00:00Z", "1969-12-31T23:59:59.9Z", "x", ""])
known = st.fixed_dictionaries(
    {},
    optional={
        "total": st.floats() | st.integers() | st.none(),
        "currency": st.sampled_from(["EUR", "eur", ""]),
        "product_id": json_values,
        "score": st.integers(-1, 7),
        "previous_id": ids,
        "traits": json_values,
        "session_id": json_values,
        "consent": json_values,
        "context": st.fixed_dictionaries({}, optional={"consent": json_values, "ip": json_values}),
    },
)
drafts = st.fixed_dictionaries(
    {"event_id": ids, "name": names, "occurred_at": times, "received_at": times},
    optional={
        "customer_id": ids,
        "anonymous_id": ids,
        "kind": st.sampled_from(KINDS) | st.just("x"),
        "properties": st.builds(lambda a, b: {**a, **b}, st.dictionaries(wild_texts, json_values, max_size=3), known),
    },
)


@given(drafts)
def test_whatever_comes_leaves_as_a_good_event_or_as_a_refusal(given_draft: dict[str, object]) -> None:
    record = DOOR.admit(given_draft, given_draft)
    if record.key == REFUSED_KEY:
        assert refused(record).field
        json.loads(record.value or b"")
        return
    kind: Kind = next(kind for kind in KINDS if kind == body(record)["kind"])
    event = judge(kind, record.value)
    assert key_of(event, event.properties).encode() == record.key
    assert record.occurred_at is not None
    assert abs(record.occurred_at - microseconds(event.occurred_at)) <= 1


@given(drafts)
def test_what_the_quick_verdict_accepts_the_contract_accepts(given_draft: dict[str, object]) -> None:
    name = given_draft["name"]
    kind, _ = EVENT_TYPES.get(name, ("web", ())) if isinstance(name, str) else ("web", ())
    try:
        text = msgspec.json.encode({"kind": kind, "source": "shop", **given_draft})
    except (ValueError, OverflowError):
        return
    found = read_plain(kind, text)
    if found is None:
        return
    event, properties = found
    if fits_together(kind, event, properties) and event.kind == kind:
        judge(kind, text)


@pytest.mark.parametrize(("levels", "plain"), [(100, True), (198, False), (400, False)])
def test_what_is_nested_deeply_is_left_to_the_contract(levels: int, plain: bool) -> None:
    text = msgspec.json.encode(draft(kind="web", source="shop", properties={"product_id": "p", "x": deep(levels)}))
    assert (read_plain("web", text) is not None) == plain


@pytest.fixture
def counted() -> Callable[[str, dict[str, str]], float]:
    return lambda name, labels: REGISTRY.get_sample_value(name, labels) or 0.0


def test_events_and_refusals_are_counted_by_source(counted: Callable[[str, dict[str, str]], float]) -> None:
    door = Door(Source(name="counting"), stage="webhook")
    door.admit(draft(), {})
    door.admit(draft(event_id=None), {})
    door.refuse("x", "body", "is not valid JSON")
    assert counted("crm_door_events_total", {"source": "counting"}) == 1
    assert counted("crm_door_refused_total", {"source": "counting", "stage": "webhook"}) == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [(17850, "17850"), (17850.0, "17850"), ("17850.0", "17850"), (" Ann@Shop.example ", "ann@shop.example")],
)
def test_an_id_has_one_form_whatever_brought_it(given: object, kept: str) -> None:
    record = DOOR.admit(draft(customer_id=given), None)
    assert record.key == kept.encode()
    assert json.loads(record.value or b"")["customer_id"] == kept


def test_a_placeholder_beside_another_id_is_left_out() -> None:
    record = DOOR.admit(draft(customer_id=0, anonymous_id="guest-7"), None)
    event = json.loads(record.value or b"")
    assert (record.key, "customer_id" in event, event["anonymous_id"]) == (b"guest-7", False, "guest-7")


def test_notes_of_a_connector_stand_in_the_event_and_those_of_a_sender_do_not() -> None:
    properties = {"product_id": "p-1", NOTES: ["forged"]}
    given = draft(properties=properties)
    plain = json.loads(DOOR.admit(given, None).value or b"")
    noted = json.loads(DOOR.admit({**given, "notes": [Note("items", "is left out")]}, None).value or b"")
    assert NOTES not in plain["properties"]
    assert noted["properties"][NOTES] == ["items: is left out"]
    assert "notes" not in noted
