"""Single rules and values: what a mapping says is what comes out, and what does not fit is told without its value."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from connectors.webhooks.convert import Conversion, WebhookConverter
from connectors.webhooks.mapping import WebhookMapping

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORDER = {"name": "Order Cancelled", "properties": {"order_id": {"value": "o"}}}


def convert(body: object, mapping: dict[str, Any], *, currency: str | None = None, **headers: str) -> Conversion:
    made = WebhookMapping.model_validate({"customer_id": {"value": "c"}, **mapping})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookConverter(made, "shop", currency).convert(body, msgspec.json.encode(body), named, NOW)


def event_id(*parts: str) -> str:
    return sha256("\0".join(("shop", *parts)).encode()).hexdigest()[:32]


def read(body: object, spec: object, *, currency: str | None = None, **more: Any) -> tuple[object, object]:
    """The property ``x`` that ``spec`` makes of a body, and the problem."""
    rule = {**ORDER, "properties": {"order_id": {"value": "o"}, "x": spec}}
    done = convert(body, {"rules": [rule], **more}, currency=currency)
    (problem,) = [(one.field, one.problem) for one in done.problems] or [None]
    return (done.drafts[0]["properties"].get("x") if done.drafts else None), problem  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "spec", "found"),
    [
        ("a", "v", "a"),
        (["a", 1], "v", ["a", 1]),
        ("", "v", None),
        (None, "v", None),
        (7, {"path": "v", "type": "string"}, "7"),
        (7, {"path": "v", "prefix": "n-"}, "n-7"),
        ("12.5", {"path": "v", "type": "number"}, 12.5),
        ("12", {"path": "v", "type": "integer"}, 12),
        (-12, {"path": "v", "type": "integer", "absolute": True}, 12),
        (5, {"path": "v", "type": "integer", "minus": "`2`"}, 3),
        ("yes", {"path": "v", "type": "boolean"}, True),
        (1_700_000_000, {"path": "v", "type": "time", "format": "unix"}, "2023-11-14T22:13:20Z"),
        ("2025-01-08T10:12:07.672717030Z", {"path": "v", "type": "time"}, "2025-01-08T10:12:07.672717Z"),
        ("31.12.2025", {"path": "v", "type": "time", "format": "%d.%m.%Y"}, "2025-12-31T00:00:00Z"),
        ("GOOD", {"path": "v", "values": {"GOOD": 5}, "type": "integer"}, 5),
        ({"a": None, "b": 3}, {"first": ["v.a", {"path": "v.b", "prefix": "b"}]}, "b3"),
        ("x", {"value": "always"}, "always"),
        ([{"n": 1}, {"n": 2}], "sum(v[].n)", 3),
    ],
)
def test_values(value: object, spec: object, found: object) -> None:
    assert read({"v": value}, spec) == (found, None)


@pytest.mark.parametrize(
    ("amount", "currency", "units", "found"),
    [
        (1099, "usd", "minor", 10.99),
        (500, "jpy", "minor", 500.0),
        (5120, "KWD", "minor", 5.12),
        (12345, "CLF", "minor", 1.2345),
        ("369.97", "USD", "major", 369.97),
        (0.1 + 0.2, "EUR", "major", 0.3),
        (0, "EUR", "minor", 0.0),
    ],
)
def test_money(amount: object, currency: str, units: str, found: float) -> None:
    spec = {"path": "v", "type": "money", "units": units, "currency": "c", "currency_property": "y"}
    assert read({"v": amount, "c": currency}, spec) == (found, None)


def test_a_providers_own_minor_units_go_before_those_of_iso_4217() -> None:
    spec = {"path": "v", "type": "money", "units": "minor", "currency": "UGX", "currency_property": "y"}
    assert read({"v": 500}, spec)[0] == 500
    assert read({"v": 500}, spec, minor_units={"UGX": 2})[0] == 5


def test_money_brings_its_currency_or_takes_that_of_the_source() -> None:
    total: dict[str, object] = {"path": "v", "type": "money", "currency": "c"}
    rule = {"name": "Order Completed", "properties": {"total": total}}
    for body, properties in [
        ({"v": 1, "c": "eur"}, {"total": 1.0, "currency": "EUR"}),
        ({"v": 1}, {"total": 1.0, "currency": "CHF"}),
        ({"v": 1, "c": "euros"}, {"total": 1.0, "currency": "euros"}),
        ({"c": "eur"}, {"total": None}),
    ]:
        assert convert(body, {"rules": [rule]}, currency="CHF").drafts[0]["properties"] == properties
    (draft,) = convert({"v": 1}, {"rules": [rule]}).drafts
    assert draft["properties"] == {"total": 1.0}  # the door has a default


@pytest.mark.parametrize(("base", "total"), [(None, 12.5), ("EUR", 12.5), ("JPY", 1250), ("KWD", 1.25)])
def test_minor_units_without_a_currency_are_those_of_the_base_currency(base: str | None, total: float) -> None:
    spec = {"path": "v", "type": "money", "units": "minor", "currency": "c"}
    rule = {"name": "Order Completed", "properties": {"total": spec}}
    made = WebhookMapping.model_validate({"customer_id": {"value": "c"}, "rules": [rule]})
    (draft,) = WebhookConverter(made, "shop", None, lambda: base).convert({"v": 1250}, b"", {}, NOW).drafts
    assert draft["properties"] == {"total": total}


@pytest.mark.parametrize(
    ("value", "spec", "problem"),
    [
        ("SECRET", {"path": "v", "type": "number"}, "is not a number"),
        ("1,000.00", {"path": "v", "type": "number"}, "is not a number"),
        ("1_000", {"path": "v", "type": "number"}, "is not a finite number, or too long"),
        ("9" * 50, {"path": "v", "type": "number"}, "is not a finite number, or too long"),
        ("1e30", {"path": "v", "type": "number"}, "is too large"),
        (True, {"path": "v", "type": "number"}, "is not a number"),
        (1.5, {"path": "v", "type": "integer"}, "is not a whole number"),
        ({"SECRET": 1}, {"path": "v", "type": "string"}, "is a structure, not a plain value"),
        ("SECRET", {"path": "v", "type": "time"}, "is not a time in the format ISO 8601"),
        ("SECRET", {"path": "v", "values": {"GOOD": 5}}, "is none of the values that the mapping knows"),
        (["SECRET", 1], "sum(v)", "cannot be computed from what the body holds"),
        (1, {"path": "v", "type": "integer", "minus": "w"}, "is a difference, but what is to be subtracted is missing"),
    ],
)
def test_what_does_not_fit_is_told_without_its_value(value: object, spec: object, problem: str) -> None:
    _, told = read({"v": value}, spec)
    assert isinstance(told, tuple)
    assert told[0] == "properties.x"
    assert told[1].startswith(problem)
    assert "SECRET" not in told[1]


def test_conditions_and_types_choose_the_rules() -> None:
    rules = [
        {**ORDER, "on": "order.*", "when": {"state": ["off", None]}, "event_id": {"value": 1}},
        {**ORDER, "on": ["order.cancelled"], "unless": {"test": True}, "event_id": {"value": 2}},
    ]
    mapping = {"type": {"header": "X-Topic"}, "rules": rules, "ignore": {"cart.*": "a cart is no order"}}

    def ids(body: object, topic: str) -> list[object]:
        return [draft["event_id"] for draft in convert(body, mapping, x_topic=topic).drafts]

    one, two = event_id("1", "Order Cancelled"), event_id("2", "Order Cancelled")
    assert ids({}, "order.cancelled") == [one, two]
    assert ids({"state": "off"}, "order.gone") == [one]
    assert ids({"state": "on", "test": False}, "order.cancelled") == [two]
    assert ids({"state": "on", "test": True}, "order.cancelled") == []
    assert convert({}, mapping, x_topic="cart.made").reason == "a cart is no order"
    assert convert({"state": "on"}, mapping, x_topic="order.gone").reason == (
        "nothing in it meets the conditions of the rules for it"
    )
    unknown = convert({}, mapping, x_topic="else")
    assert (unknown.known, unknown.reason) == (False, "no rule is for this type")
    (problem,) = convert({}, {**mapping, "unknown": "refuse"}, x_topic="else").problems
    assert problem.field == "type"


def test_each_element_is_an_event_with_an_id_of_its_own() -> None:
    rule = {
        "each": "lines",
        "when": {"item.kind": "good"},
        "name": "Product Viewed",
        "event_id": {"path": "id"},
        "item_id": "item.n",
        "properties": {"product_id": "item.p", "order": "id"},
    }
    lines = [{"n": 4, "p": "a", "kind": "good"}, {"n": 5, "p": "b", "kind": "fee"}, {"p": "c", "kind": "good"}]
    done = convert({"id": "o1", "lines": lines}, {"rules": [rule]})
    assert [draft["event_id"] for draft in done.drafts] == [
        event_id("o1", "Product Viewed", "4"),
        event_id("o1", "Product Viewed", "2"),
    ]
    assert [draft["properties"] for draft in done.drafts] == [
        {"product_id": "a", "order": "o1"},
        {"product_id": "c", "order": "o1"},
    ]
    assert convert({"id": "o1", "lines": []}, {"rules": [rule]}).reason is not None
    assert convert({"lines": 5}, {"rules": [rule]}).problems[0].field == "each"
    (problem,) = convert({"lines": [{}] * 1_001}, {"rules": [rule]}).problems
    assert problem.problem == "holds more than 1,000 elements"


def test_one_element_that_does_not_fit_leaves_the_others_alone() -> None:
    rule = {**ORDER, "each": "lines", "properties": {"order_id": "item.id", "n": {"path": "item.n", "type": "integer"}}}
    done = convert({"lines": [{"id": "a", "n": 1}, {"id": "b", "n": "SECRET"}]}, {"rules": [rule]})
    assert [draft["properties"] for draft in done.drafts] == [{"order_id": "a", "n": 1}]
    assert [(one.field, one.problem) for one in done.problems] == [
        ("properties.n", "is not a number (in element 1 of the list)")
    ]


def test_two_events_of_one_id_are_not_both_made() -> None:
    done = convert({}, {"event_id": {"value": "x"}, "rules": [ORDER, ORDER]})
    assert len(done.drafts) == 1
    assert done.problems[0].field == "event_id"


def test_without_an_id_the_bodys_bytes_make_it() -> None:
    def id_of(body: object, **more: object) -> object:
        return convert(body, {"rules": [{**ORDER, **more}]}).drafts[0]["event_id"]

    assert id_of({"a": 1}) == id_of({"a": 1}) != id_of({"a": 2})
    assert id_of({"id": 1, "a": 1}, event_id="id") == id_of({"id": 1, "a": 2}, event_id="id")
    assert id_of({"id": "x" * 500}, event_id="id") != id_of({"id": "x" * 501}, event_id="id")


def test_ids_of_people() -> None:
    mapping = {"customer_id": "c", "anonymous_id": "a", "guest_id": {"path": "g", "prefix": "g-"}, "rules": [ORDER]}

    def ids(body: object) -> tuple[object, object]:
        (draft,) = convert(body, mapping).drafts
        return draft.get("customer_id"), draft.get("anonymous_id")

    assert ids({"c": 820982911946154508, "g": 1}) == ("820982911946154508", None)
    assert ids({"c": "c", "a": "v", "g": 1}) == ("c", "v")
    assert ids({"g": 1}) == (None, "g-1")
    for nobody in (0, "0", "guest", "null", 0.0, "", None):
        assert ids({"c": nobody, "g": 1}) == (None, "g-1")
        assert ids({"c": nobody, "a": "v", "g": 1}) == (None, "v")
    for number in (17850, 17850.0, "17850", " 17850.0 "):
        assert ids({"c": number}) == ("17850", None)
    assert ids({"c": " Ada@Example.com "}) == ("ada@example.com", None)
    for wrong in (True, {"SECRET": 1}, []):
        (problem,) = convert({"c": wrong}, mapping).problems
        assert problem.field == "customer_id"
        assert "SECRET" not in problem.problem


def test_traits_and_whole_objects() -> None:
    rule = {
        "name": "Identify", "traits_from": "person", "traits": {"email": "mail"}, "properties_from": "extra",
    }  # fmt: skip
    (draft,) = convert({"person": {"age": 4}, "mail": "a@example.com", "extra": {"k": 1}}, {"rules": [rule]}).drafts
    assert draft["properties"] == {"k": 1, "traits": {"age": 4, "email": "a@example.com"}}
    assert convert({"person": 5}, {"rules": [rule]}).problems[0].field == "properties.traits"


def test_a_body_without_a_time_happened_when_it_came() -> None:
    (draft,) = convert({}, {"occurred_at": "at", "rules": [ORDER]}).drafts
    assert draft["occurred_at"] == draft["received_at"] == "2026-05-01T12:00:00Z"


def test_a_long_list_is_converted_in_turns_also_if_nothing_comes_of_it() -> None:
    rule = {"name": "Identify", "each": "lines", "when": {"item": [1]}}
    made = WebhookMapping.model_validate({"customer_id": "who", "rules": [rule]})
    body = {"who": "c-1", "lines": [0] * 99 + [1]}
    turns = WebhookConverter(made, "shop").turns(body, b"", {}, NOW)
    assert sum(1 for _ in turns) >= 10


@pytest.mark.parametrize("key", ["first_of", "first"])
def test_the_first_id_that_is_none_of_the_placeholders(key: str) -> None:
    choice = {key: ["c", {"path": "card", "prefix": "card:"}, {"path": "mail", "lower": True}]}

    def customer(body: object) -> object:
        (draft,) = convert(body, {"customer_id": choice, "guest_id": {"value": "g"}, "rules": [ORDER]}).drafts
        return draft.get("customer_id")

    assert customer({"c": 0, "card": 7, "mail": "a@b.example"}) == "card:7"
    assert customer({"c": "none", "card": 0, "mail": " A@B.example "}) == "a@b.example"
    assert customer({"c": 5.0, "card": 7}) == "5"
    assert customer({"c": 0, "card": "n/a", "mail": "-"}) is None
    assert customer({"c": 0, "mail": "X"}) == "x"


@pytest.mark.parametrize(
    ("text", "pattern", "wanted"),
    [
        ("2026-07-01 10:00:00 UTC", "%Y-%m-%d %H:%M:%S %Z", "2026-07-01T10:00:00Z"),
        ("2026-07-01 10:00:00 GMT", "%Y-%m-%d %H:%M:%S %Z", "2026-07-01T10:00:00Z"),
        ("2026-07-01 10:00:00 CEST", "%Y-%m-%d %H:%M:%S %Z", "2026-07-01T08:00:00Z"),
        ("2026-07-01 10:00:00 +0530", "%Y-%m-%d %H:%M:%S %z", "2026-07-01T04:30:00Z"),
        ("2026-07-01T10:00:00Z", "iso", "2026-07-01T10:00:00Z"),
        ("2026-07-01 10:00:00 UTC", "iso", "2026-07-01T10:00:00Z"),
        ("2026-07-01 10:00:00", "iso", "2026-07-01T08:00:00Z"),
        ("2026-07-01 10:00:00 NOWHERE", "%Y-%m-%d %H:%M:%S %Z", None),
        ("2026-07-01 10:00:00 NOWHERE", "iso", None),
    ],
)
def test_a_zone_in_a_time_counts_and_an_unknown_one_is_refused(text: str, pattern: str, wanted: str | None) -> None:
    mapping = {"time_zone": "Europe/Berlin", "occurred_at": {"path": "at", "format": pattern}, "rules": [ORDER]}
    done = convert({"at": text}, mapping)
    assert [draft["occurred_at"] for draft in done.drafts] == ([] if wanted is None else [wanted])
    assert [problem.field for problem in done.problems] == (["occurred_at"] if wanted is None else [])


GROUPED = {
    "name": "Order Refunded",
    "group": {"of": "payments", "by": "c"},
    "properties": {"total": {"path": "sum(group[].n)", "type": "money", "currency": "group[0].c || 'CHF'"}},
}


def test_elements_of_a_group_are_one_event() -> None:
    payments = [{"c": "EUR", "n": 1}, {"c": None, "n": 2}, {"c": "eur", "n": 4}, {"c": "USD", "n": 8}]
    done = convert({"payments": payments}, {"event_id": {"value": "x"}, "rules": [GROUPED]})
    assert [draft["properties"] for draft in done.drafts] == [
        {"currency": "EUR", "total": 5.0}, {"currency": "CHF", "total": 2.0}, {"currency": "USD", "total": 8.0},
    ]  # fmt: skip
    assert len({draft["event_id"] for draft in done.drafts}) == 3
    without = {name: part for name, part in GROUPED.items() if name != "group"} | {"properties": {
        "total": {"value": 1, "type": "money", "currency": "EUR"}}}  # fmt: skip
    (plain,) = convert({}, {"event_id": {"value": "x"}, "rules": [without]}).drafts
    assert done.drafts[0]["event_id"] == plain["event_id"]


@pytest.mark.parametrize("payments", [None, []])
def test_a_group_of_nothing_is_no_event(payments: object) -> None:
    assert convert({"payments": payments}, {"rules": [GROUPED]}).drafts == []


@pytest.mark.parametrize("payments", ["SECRET", {"SECRET": 1}, [{"c": {"SECRET": 1}}], [{"c": "EUR"}] * 1_001])
def test_what_cannot_be_grouped_is_refused(payments: object) -> None:
    done = convert({"payments": payments}, {"rules": [GROUPED]})
    assert [problem.field for problem in done.problems] == ["group"]
    assert "SECRET" not in done.problems[0].problem
