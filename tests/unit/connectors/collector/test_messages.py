"""Messages of the tracking API, as SDKs write them, and the drafts that they become."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.collector.batch import Item
from connectors.collector.ids import EventIds, event_ids
from connectors.collector.messages import Arrival, draft_of
from connectors.door.door import Door
from connectors.privacy.rules import PrivacyRules
from connectors.sources.source import Source
from contracts.notes import NOTES
from contracts.refused import REFUSED_KEY, read_refusal
from contracts.wire import RejectedError, judge

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ARRIVAL = Arrival(NOW)
IDS = EventIds("shop")
MERGED = [{"type": "user_id", "value": "c-1"}, {"type": "anonymous_id", "value": "a-1"}]
DOOR = Door(Source(name="shop", privacy=PrivacyRules(ip="keep")))


def draft(arrival: Arrival = ARRIVAL, **message: Any) -> dict[str, Any]:
    """The draft of a message of customer c-1, which the contract takes, with the properties of its event."""
    made = draft_of({"type": "track", "userId": "c-1", "messageId": "m-1"} | message, IDS, lambda: "made", arrival)
    record = DOOR.admit(made, message)
    assert record.key != REFUSED_KEY, read_refusal(record.headers)
    event = json.loads(record.value or b"")
    return made | {field: event[field] for field in ("name", "kind", "properties")}


def properties(**message: Any) -> dict[str, Any]:
    return draft(**message)["properties"]


def refused(**message: Any) -> tuple[str, str]:
    with pytest.raises(RejectedError) as error:
        draft_of({"userId": "c-1"} | message, IDS, lambda: "made", ARRIVAL)
    return error.value.field, error.value.problem


def test_a_tracked_order() -> None:
    products = [{"quantity": 2}, {"quantity": "3"}, {}]
    order = {"order_id": 17, "total": "59.90", "currency": "eur", "products": products}
    made = draft(event="Order Completed", properties=order)
    assert (made["event_id"], made["name"], made["customer_id"]) == ("shop:m-1", "Order Completed", "c-1")
    assert made["properties"] == {
        "order_id": "17", "total": 59.9, "currency": "EUR", "items": 6, "products": products,
        "crm_notes": ["currency: was not written in capital letters"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "name", "expected"),
    [
        ({"type": "page", "name": "Shoes", "category": "shop"}, "Page Viewed", {"name": "Shoes", "category": "shop"}),
        ({"type": "screen", "name": "Start"}, "Screen Viewed", {"name": "Start"}),
        ({"type": "identify", "traits": {"plan": "gold"}}, "Identify", {"traits": {"plan": "gold"}}),
        ({"type": "alias", "previousId": 7}, "Alias", {"previous_id": "7"}),
        (
            {"type": "group", "groupId": 7, "traits": {"name": "x"}},
            "Group",
            {"group_id": "7", "group_traits": {"name": "x"}},
        ),
        ({"type": "TRACK", "event": " Search "}, "Search", {}),
        (
            {"type": "merge", "userId": None, "mergeProperties": [
                {"type": "anonymous_id", "value": "a-1"}, {"type": "user_id", "value": "c-1"}]},
            "Alias",
            {"previous_id": "a-1"},
        ),
    ],
)  # fmt: skip
def test_every_type_has_its_name_and_properties(message: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    made = draft(**message)
    assert (made["name"], made["properties"], made["customer_id"]) == (name, expected, "c-1")


def test_the_context_is_kept_whole_and_completes_a_view() -> None:
    context = {"page": {"url": "https://x/1"}, "sessionId": 42, "consent": {"categoryPreferences": {"Ads": False}}}
    made = properties(type="page", context=context, integrations={"All": False})
    assert made == {"url": "https://x/1", "session_id": "42", "context": context, "integrations": {"All": False}}
    assert properties(type="page", properties={"url": "/own"}, context=context)["url"] == "/own"


def test_the_connection_s_address_is_kept_where_it_is_allowed_and_lacking() -> None:
    near = Arrival(NOW, ip="10.0.0.1")
    assert draft(near, event="x")["properties"]["context"] == {"ip": "10.0.0.1"}
    assert draft(near, event="x", context={"ip": "10.0.0.2"})["properties"]["context"] == {"ip": "10.0.0.2"}
    assert "context" not in draft(event="x")["properties"]


@pytest.mark.parametrize("kind", ["track", "page", "identify", "group"])
def test_empty_lists_are_the_empty_objects_of_php(kind: str) -> None:
    empty: dict[str, Any] = {field: [] for field in ("properties", "traits", "context", "integrations")}
    made = draft(type=kind, event="x", groupId="g", **empty)
    assert made["properties"] == draft(type=kind, event="x", groupId="g")["properties"]


def test_traits_in_the_context_are_traits_too() -> None:
    made = properties(type="identify", traits={"a": 1}, context={"traits": {"a": 0, "b": 2}})
    assert made["traits"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("event", "given", "expected"),
    [
        ("Product Viewed", {"sku": 5}, {"sku": 5, "product_id": "5"}),
        ("Product Viewed", {"product_id": "p", "session_id": {"a": 1}},
         {"product_id": "p", "original_session_id": {"a": 1}}),
        ("x", {"url": 5}, {"original_url": 5}),
        ("x", {"url": "u" * 4_001}, {"url": "u" * 4_000, "original_url": "u" * 4_001}),
        ("x", {"session_id": 1.5}, {"session_id": "1.5"}),
        ("x", {"session_id": "s" * 501}, {"original_session_id": "s" * 501}),
        ("Order Completed", {"revenue": 5, "currency": "EUR"}, {"revenue": 5, "total": 5, "currency": "EUR"}),
        ("Order Completed", {"total": 1, "currency": "EUR", "items": "2"}, {"total": 1, "currency": "EUR", "items": 2}),
        ("Order Completed", {"total": 1, "currency": "EUR", "items": [{"quantity": 4}]},
         {"total": 1, "currency": "EUR", "items": 4, "original_items": [{"quantity": 4}]}),
        ("Order Completed", {"total": 1, "currency": "EUR", "items": -1},
         {"total": 1, "currency": "EUR", "original_items": -1}),
        ("Order Refunded", {"total": "-5", "currency": "EUR"}, {"total": 5, "currency": "EUR"}),
        ("Order Cancelled", {"order_id": 9, "currency": "EUR"}, {"order_id": "9", "original_currency": "EUR"}),
        ("Order Cancelled", {"order_id": 9, "total": "none"}, {"order_id": "9", "original_total": "none"}),
        ("CSAT Submitted", {"score": "4"}, {"score": 4}),
        ("Ticket Opened", {"ticket_id": 4, "score": 11}, {"ticket_id": "4", "original_score": 11}),
    ],
)  # fmt: skip
def test_careless_properties_are_converted_or_set_aside(
    event: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = properties(event=event, properties=given)
    notes = made.pop(NOTES, [])
    assert made == expected
    aside = [name.removeprefix("original_") for name in expected if name.startswith("original_")]
    silent = {"currency", "items"} if event == "Order Cancelled" or "items" in expected else set()
    assert [note.partition(":")[0] for note in notes] == [name for name in aside if name not in silent]


@pytest.mark.parametrize(
    ("event", "given", "field"),
    [
        ("Order Completed", {"total": "much", "currency": "EUR"}, "properties.total"),
        ("Order Completed", {"total": -1, "currency": "EUR"}, "properties.total"),
        ("CSAT Submitted", {"score": 11}, "properties.score"),
        ("Product Viewed", {}, "properties.product_id"),
    ],
)
def test_what_an_event_cannot_do_without_is_refused_by_its_name(event: str, given: dict[str, Any], field: str) -> None:
    message = {"type": "track", "userId": "c", "event": event, "properties": given}
    made = draft_of(message, IDS, lambda: "made", ARRIVAL)
    refusal = read_refusal(DOOR.admit(made, {}).headers)
    assert refusal is not None
    assert refusal.field == field


def test_a_sender_s_property_of_our_name_is_set_aside() -> None:
    made = properties(event="x", properties={"context": "mine"}, context={"locale": "de"})
    assert made == {"context": {"locale": "de"}, "original_context": "mine"}


@pytest.mark.parametrize(("given", "kept"), [(42, "42"), (42.0, "42"), (" c-9 ", "c-9"), (2**60, str(2**60))])
def test_ids_become_text(given: object, kept: str) -> None:
    assert draft(event="x", userId=given)["customer_id"] == kept


def test_an_empty_id_is_none_and_the_other_counts() -> None:
    made = draft(event="x", userId="", anonymousId="a-1")
    assert (made.get("customer_id"), made["anonymous_id"]) == (None, "a-1")
    header = Arrival(NOW, anonymous_id="a-2")
    assert draft(header, event="x", userId=None)["anonymous_id"] == "a-2"
    assert "anonymous_id" not in draft(header, event="x")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({}, "type"),
        ({"type": "videotape"}, "type"),
        ({"type": 5}, "type"),
        ({"type": "track"}, "event"),
        ({"type": "track", "event": "Unlink"}, "event"),
        ({"type": "track", "event": " Identify "}, "event"),
        ({"type": "track", "event": "Alias"}, "event"),
        ({"type": "track", "event": {"name": "x"}}, "event"),
        ({"type": "track", "event": "x", "userId": None}, "userId"),
        ({"type": "track", "event": "x", "userId": True}, "userId"),
        ({"type": "track", "event": "x", "userId": "c" * 101}, "userId"),
        ({"type": "track", "event": "x", "properties": ["a"]}, "properties"),
        ({"type": "track", "event": "x", "context": "here"}, "context"),
        ({"type": "identify", "traits": 5}, "traits"),
        ({"type": "alias"}, "previousId"),
        ({"type": "alias", "userId": None, "anonymousId": "a", "previousId": "b"}, "userId"),
        ({"type": "group"}, "groupId"),
        ({"type": "merge", "mergeProperties": [{"type": "email", "value": "x"}]}, "mergeProperties"),
    ],
)
def test_what_is_no_message_is_refused_by_the_field_at_fault(message: dict[str, Any], field: str) -> None:
    found, problem = refused(**message)
    assert found == field
    assert "c-1" not in problem


def test_message_ids_that_the_contract_does_not_take_still_tell_repeats() -> None:
    long = [draft(event="x", messageId="m" * 200 + end)["event_id"] for end in ("a", "b", "a")]
    assert long[0] == long[2] != long[1]
    assert draft(event="x", messageId=9)["event_id"] == "shop:9"
    assert draft(event="x", messageId=None)["event_id"] == "shop:made"
    assert draft(event="x", messageId={"a": 1})["event_id"] == "shop:made"


def test_an_id_made_of_the_content_is_the_same_when_it_comes_again() -> None:
    assert Item(b"{}", 0).fallback_id() == Item(b"{}", 0).fallback_id()
    assert len({Item(b"{}", 0).fallback_id(), Item(b"{}", 1).fallback_id(), Item(b"{ }", 0).fallback_id()}) == 3


@pytest.mark.parametrize("rules", [{"hash": ["email"]}, {"drop": ["traits.phone"]}])
@pytest.mark.parametrize("key", [SecretStr("k" * 32), None])
def test_where_a_source_has_privacy_rules_ids_do_not_tell_the_messages_own(
    rules: dict[str, Any], key: SecretStr | None
) -> None:
    ids, again = (event_ids(Source.model_validate({"name": "shop", "privacy": rules}), key) for _ in range(2))
    own = ("signup-jane@x.com", "jane@x.com", "Jane@x.com", "j" * 200, "made-1")
    found = [ids.id_of(text) for text in own]
    assert [again.id_of(text) for text in own] == found
    assert len(set(found)) == len(own)
    assert all(re.fullmatch("shop:[0-9a-f]{32}", one) for one in found)
    assert event_ids(Source(name="shop"), key).id_of("jane@x.com") == "shop:jane@x.com"
    other = event_ids(Source.model_validate({"name": "shop", "privacy": rules}), SecretStr("l" * 32))
    assert other.id_of("jane@x.com") != found[1]  # nobody without the key can find out whose it is


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("userId", "anonymousId", "messageId", "timestamp", "sentAt", "originalTimestamp", "properties", "traits",
          "context", "integrations", "event", "name", "groupId", "previousId", "mergeProperties")  # fmt: skip
NAMES = st.sampled_from(["Order Completed", "Order Cancelled", "Product Viewed", "CSAT Submitted", "Search"])
COLUMNS = ("total", "currency", "items", "order_id", "url", "session_id", "product_id", "score", "sku", "revenue")


@given(
    st.sampled_from(["track", "page", "identify", "alias", "group", "merge"]),
    NAMES,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
    st.dictionaries(st.sampled_from(COLUMNS), JSON, max_size=5),
)
def test_any_message_is_an_event_or_a_refusal(
    kind: str, name: str, fields: dict[str, Any], columns: dict[str, Any]
) -> None:
    message = {"userId": "c", "event": name, "properties": columns, "type": kind} | fields
    try:
        made = draft_of(message, IDS, lambda: "made", ARRIVAL)
    except RejectedError:
        return
    record = DOOR.admit(made, message)
    if record.key != REFUSED_KEY:
        kinds = {"crm-web-events": "web", "crm-transactions": "transaction", "crm-service-events": "service"}
        judge(kinds.get(record.topic, "identity"), record.value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"type": "group", "groupId": "g"}, "identity"),
        ({"type": "GROUP", "groupId": 7, "traits": {"name": "x"}}, "identity"),
        ({"type": "identify"}, "identity"),
        ({"type": "alias", "previousId": "a"}, "identity"),
        ({"type": "merge", "mergeProperties": MERGED}, "identity"),
        ({"type": "track", "event": "Group"}, "web"),
        ({"type": "page"}, "web"),
        ({"type": "screen"}, "web"),
    ],
)
def test_only_what_somebody_did_is_web_activity(message: dict[str, Any], kind: str) -> None:
    assert draft(**message)["kind"] == kind


SENT = {"timestamp": "2026-11-22T11:00:00Z", "sentAt": "2026-11-22T11:30:00Z"}
"""Sent half an hour ago, by a right clock."""


def happened(clock: Any = None, arrival: Arrival = ARRIVAL, **message: Any) -> datetime:
    made = draft_of({"type": "page", "userId": "c"} | message, IDS, lambda: "made", arrival, clock)
    assert isinstance(made["occurred_at"], datetime)
    return made["occurred_at"]


@pytest.mark.parametrize(
    ("clock", "library", "minutes"),
    [
        (None, "analytics-python", 0),
        (None, "@segment/analytics-node", 0),
        (None, "Analytics-Ruby", 0),
        (None, "analytics.js", 30),
        (None, "analytics-ios", 30),
        (None, None, 30),
        ("trusted", "analytics.js", 0),
        ("trusted", None, 0),
        ("corrected", "analytics-python", 30),
    ],
)
def test_whose_clock_is_trusted(clock: str | None, library: str | None, minutes: int) -> None:
    context = {"context": {"library": {"name": library}}} if library else {}
    assert happened(clock, **SENT, **context) == datetime(2026, 11, 22, 11, minutes, tzinfo=UTC)


@pytest.mark.parametrize("context", [{"library": "analytics-python"}, {"library": {"name": 5}}, {"library": None}])
def test_a_library_without_a_name_is_corrected(context: dict[str, Any]) -> None:
    assert happened(**SENT, context=context) == datetime(2026, 11, 22, 11, 30, tzinfo=UTC)


def test_the_batch_s_time_of_sending_beats_an_item_s_own() -> None:
    history = {"timestamp": "2024-02-01T10:00:00Z", "sentAt": "2024-02-01T10:00:05Z"}
    batch = Arrival(NOW, sent_at=NOW)
    assert happened(arrival=batch, **history) == datetime(2024, 2, 1, 10, tzinfo=UTC)
    alone = happened(**history)  # the clock of the sender may stand in 2024
    assert alone == datetime(2026, 11, 22, 11, 59, 55, tzinfo=UTC)
