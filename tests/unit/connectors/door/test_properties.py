"""Properties under other names, totals from their parts, and numbers of pieces."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.door.door import Door
from connectors.door.values import as_number, as_text
from connectors.privacy.rules import PrivacyRules
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.events import MAX_AMOUNT
from contracts.notes import NOTES
from contracts.refused import REFUSED_KEY, Refusal, read_refusal

AT = "2026-05-01T10:00:00Z"
DOOR = Door(Source(name="shop", currency="EUR"))


def admit(name: str, properties: dict[str, Any], door: Door = DOOR) -> Record:
    draft = {"event_id": "e-1", "name": name, "customer_id": "c-1", "occurred_at": AT, "received_at": AT}
    return door.admit({**draft, "properties": properties}, properties)


def properties(name: str, given: dict[str, Any], door: Door = DOOR) -> dict[str, Any]:
    before = json.dumps(given)
    record = admit(name, given, door)
    assert record.key != REFUSED_KEY, read_refusal(record.headers)
    assert json.dumps(given) == before, "the draft is the caller's"
    return dict(json.loads(record.value or b"")["properties"])


def refusal(name: str, given: dict[str, Any]) -> Refusal:
    record = admit(name, given)
    assert record.key == REFUSED_KEY
    found = read_refusal(record.headers)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "given", "column", "value"),
    [
        ("Product Viewed", {"id": "p1"}, "product_id", "p1"),
        ("Product Viewed", {"productId": 7}, "product_id", "7"),
        ("Product Viewed", {"sku": "s", "id": "p"}, "product_id", "s"),
        ("Product Added", {"item_id": "p1"}, "product_id", "p1"),
        ("Product Viewed", {"product": {"id": "p1"}}, "product_id", "p1"),
        ("Product Added", {"products": [{"product_id": "p1"}]}, "product_id", "p1"),
        ("Product Added", {"items": [{"item_id": "p1"}]}, "product_id", "p1"),
        ("Product Viewed", {"product_id": " ", "productId": "p1"}, "product_id", "p1"),
        ("Product Viewed", {"productVariant": {"product": {"id": "p1"}}}, "product_id", "p1"),
        ("Newsletter Opened", {"sessionId": 5}, "session_id", "5"),
        ("Page Viewed", {"page_location": "https://a.b/"}, "url", "https://a.b/"),
        ("Page Viewed", {"context": {"page": {"url": "https://a.b/"}}}, "url", "https://a.b/"),
        ("Page Viewed", {"context": {"sessionId": 17}}, "session_id", "17"),
        ("Order Completed", {"orderId": 1, "total": 5}, "order_id", "1"),
        ("Order Completed", {"id": 1, "total": 5}, "order_id", "1"),
        ("Order Completed", {"transaction_id": "T", "value": 5}, "total", 5),
        ("Order Completed", {"revenue": 4, "value": 5}, "total", 4),
        ("Order Completed", {"total": "", "revenue": "4"}, "total", 4),
        ("Order Completed", {"total": 5, "currencyCode": "usd"}, "currency", "USD"),
        ("Order Completed", {"total": 5, "currency": ""}, "currency", "EUR"),
        ("Order Completed", {"checkout": {"order": {"id": 9}, "totalPrice": {"amount": 5}}}, "order_id", "9"),
        ("Order Cancelled", {"orderNumber": 8}, "order_id", "8"),
        ("Ticket Opened", {"ticketId": 3}, "ticket_id", "3"),
        ("Ticket Solved", {"id": 3}, "ticket_id", "3"),
        ("Live Chat Message Sent", {"conversationId": "k"}, "conversation_id", "k"),
        ("Live Chat Conversation Started", {"id": "k"}, "conversation_id", "k"),
        ("CSAT Submitted", {"rating": "4"}, "score", 4),
        ("Alias", {"previousId": 12}, "previous_id", "12"),
    ],
)
def test_properties_are_found_under_their_other_names(
    name: str, given: dict[str, Any], column: str, value: object
) -> None:
    found = properties(name, given)
    assert found[column] == value
    kept = {key: each for key, each in given.items() if key not in (column, "items")}
    assert found | kept == found, "what the sender wrote stays"


def test_an_id_means_nothing_in_events_of_other_names() -> None:
    assert properties("Newsletter Opened", {"id": 5, "value": 3}) == {"id": 5, "value": 3}
    assert "total" not in properties("Order Cancelled", {"order_id": "1", "tip": 3})


def test_of_several_products_the_first_counts_and_that_is_noted() -> None:
    found = properties("Product Added", {"items": [{"item_id": "a"}, {"item_id": "b"}]})
    assert (found["product_id"], found[NOTES]) == ("a", ["product_id: is that of the first of several products"])


@pytest.mark.parametrize("products", [5, [], [None], [[]], {"id": {}}, [{"id": None}]])
def test_a_product_that_is_nowhere_is_refused_with_its_field(products: object) -> None:
    assert refusal("Product Viewed", {"products": products}).field == "properties.product_id"


SUM = "total: is the sum of the products"


@pytest.mark.parametrize(
    ("given", "total", "note"),
    [
        ({"products": [{"price": 10, "quantity": 2}, {"price": "2.50"}]}, 22.5, SUM),
        ({"products": [{"price": 10, "quantity": 0.5}], "discount": 1}, 4, SUM),
        ({"products": [{"price": 0.1, "quantity": 3}]}, 0.3, SUM),
        ({"items": [{"price": 3, "quantity": "2"}]}, 6, SUM),
        ({"subtotal": 10, "tax": 1.9, "shipping": "4.10", "discount": 1}, 15,
         "total: is the sum of subtotal, tax and shipping, less the discount"),
        ({"subtotal": 10, "products": [{"price": 99}]}, 10,
         "total: is the sum of subtotal, tax and shipping, less the discount"),
    ],
)  # fmt: skip
def test_a_total_is_computed_from_its_parts_and_noted(given: dict[str, Any], total: float, note: str) -> None:
    found = properties("Order Completed", given)
    assert (found["total"], found["currency"]) == (total, "EUR")
    assert note in found[NOTES]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"products": []},
        {"products": [{"price": 5}, {"quantity": 2}]},
        {"order_id": "1", "products": [{"price": 5}, {"quantity": 2}]},
        {"order_id": "1", "total": None},
        {"order_id": "1", "total": ""},
        {"order_id": "1", "orderAmount": 5},
        {"order_id": "1", "revenue": {"amount": 5}},
        {"order_id": " "},
        {"products": [{"price": -5}]},
        {"products": [{"price": 5, "quantity": -1}]},
        {"products": [{"price": 5, "quantity": "many"}]},
        {"products": [{"price": 5}], "discount": 6},
        {"products": [{"price": 5}], "discount": "some"},
        {"products": [{"price": MAX_AMOUNT, "quantity": 2}]},
        {"products": [{"price": 1e308, "quantity": 1e308}]},
        {"total": "a lot"},
        {"total": "1,249"},
        {"total": -5},
        {"total": MAX_AMOUNT + 1},
        {"total": 10**400},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_total_that_nobody_can_tell_is_refused(given: dict[str, Any]) -> None:
    assert refusal("Order Completed", given).field == "properties.total"


@pytest.mark.parametrize(
    "given", [{"order_id": "1"}, {"orderId": 1, "tax": 2}, {"products": [{"product_id": "p", "quantity": 2}]}]
)
def test_an_order_that_names_no_money_anywhere_counts_as_one_of_nothing(given: dict[str, Any]) -> None:
    found = properties("Order Completed", given)
    assert (found["total"], found["currency"]) == (0, "EUR")
    assert "total: is missing and counts as 0" in found[NOTES]


@pytest.mark.parametrize(
    ("given", "code", "note"),
    [
        ("€", "EUR", "currency: was a sign"),
        (" £ ", "GBP", "currency: was a sign"),
        ("$", "XXX", "currency: is no code"),
        ("euros", "XXX", "currency: is no code"),
        (978, "XXX", "currency: is no code"),
        ({"code": "EUR"}, "XXX", "currency: is no code"),
    ],
)
def test_money_whose_currency_is_no_code_is_kept_and_the_event_counts(given: object, code: str, note: str) -> None:
    found = properties("Order Completed", {"total": 5, "currency": given})
    assert (found["total"], found["currency"], found["original_currency"]) == (5, code, given)
    assert found[NOTES][0].startswith(note)
    assert properties("Order Cancelled", {"order_id": "1", "currency": given})["original_currency"] == given


def test_a_refund_without_money_counts_as_a_refund_of_nothing() -> None:
    found = properties("Order Refunded", {"order_id": "1"})
    assert (found["total"], found[NOTES]) == (0, ["total: is missing and counts as 0"])
    assert refusal("Order Refunded", {}).field == "properties.total"
    assert properties("Order Refunded", {"order_id": "1", "products": [{"price": 5}]})["total"] == 5
    assert properties("Order Refunded", {"value": "-5"})["total"] == 5


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.50", 12.5), (" 1e3 ", 1000), ("-5", -5), ("1,249.00", 1249), ("1.249,00", 1249), ("12,50", 12.5),
        ("1,249,000", 1_249_000), ("1.249.000", 1_249_000), ("1,249", None), ("12,345,6", None), ("€5", None),
        ("", None), ("1e999", None), ("NaN", None), ("١٢", 12), ("1 249", None), ("0x10", None),
    ],
)  # fmt: skip
def test_numbers_in_texts(text: str, number: float | None) -> None:
    assert as_number(text) == number


def test_numbers_of_many_digits_become_the_same_text() -> None:
    assert as_text(10**30) == "1" + "0" * 30
    assert as_text(True) is None


LARGE = "products.quantity: is more than 1,000,000 and counts as that"


@pytest.mark.parametrize(
    ("quantities", "items", "notes"),
    [
        ([5_000_000_000], 1_000_000, [LARGE]),
        (["5000000000"], 1_000_000, [LARGE]),
        ([10**400], 1_000_000, [LARGE]),
        ([-2], 0, ["products.quantity: is negative and counts as 0"]),
        ([2.5], 3, ["products.quantity: is a fraction and counts as the next whole number"]),
        (["two"], 1, ["products.quantity: is no number and counts as 1"]),
        ([True], 1, ["products.quantity: is no number and counts as 1"]),
        ([[3]], 1, ["products.quantity: is no number and counts as 1"]),
        ([None, "", 2, "3", 4.0, 0], 11, None),
        ([600_000, 600_000], 1_000_000, ["items: is more than 1,000,000 and counts as that"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_pieces_of_products(quantities: list[object], items: int, notes: list[str] | None) -> None:
    given = {"total": 1, "products": [{"quantity": one} for one in quantities]}
    found = properties("Order Completed", given)
    assert (found["items"], found.get(NOTES)) == (items, notes)


@pytest.mark.parametrize(
    ("items", "kept", "note"),
    [
        (5_000_000_000, 1_000_000, "items: is more than 1,000,000 and counts as that"),
        (10**400, 1_000_000, "items: is more than 1,000,000 and counts as that"),
        ("5000000000", 1_000_000, "items: is more than 1,000,000 and counts as that"),
        ("7", 7, None),
        (3.0, 3, None),
        (2.5, None, "items: is no number of pieces, and kept as original_items"),
        (-1, None, "items: is no number of pieces, and kept as original_items"),
        (True, None, "items: is no number of pieces, and kept as original_items"),
    ],
)
def test_a_number_of_pieces(items: object, kept: int | None, note: str | None) -> None:
    found = properties("Order Completed", {"total": 1, "items": items})
    assert found.get("items") == kept
    assert found.get(NOTES) == (None if note is None else [note])


@pytest.mark.parametrize("name", ["Order Refunded", "Order Cancelled"])
def test_the_products_of_what_goes_back_are_not_counted(name: str) -> None:
    given = {"order_id": "1", "total": 5, "products": [{"quantity": 3}]}
    assert "items" not in properties(name, given)
    assert properties(name, given | {"items": "2"})["items"] == 2


def test_a_rule_for_the_sender_s_name_holds_for_the_property_that_is_added() -> None:
    key = SecretStr("0123456789abcdef0123456789abcdef")
    rules = PrivacyRules(drop=("conversationId", "context.page.url"), hash=("transaction_id",))
    door = Door(Source(name="shop", currency="EUR", privacy=rules), privacy_key=key)
    chat = properties("Live Chat Message Sent", {"conversation_id": "k", "conversationId": "k"}, door)
    assert chat == {"conversation_id": "k"}, "of its own"
    view = properties("Page Viewed", {"context": {"page": {"url": "https://a.b/?email=c"}}}, door)
    assert "url" not in view
    order = properties("Order Completed", {"transaction_id": "T-1", "value": 5}, door)
    assert order["order_id"] == order["transaction_id"] != "T-1"


def test_a_product_whose_source_is_dropped_is_missing_and_the_event_is_refused() -> None:
    door = Door(Source(name="shop", privacy=PrivacyRules(drop=("productId",))))
    record = admit("Product Viewed", {"productId": "p1"}, door)
    assert record.key == REFUSED_KEY
    assert b"p1" not in (record.value or b"")
