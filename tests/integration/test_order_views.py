"""The views over facts on the real engine: orders that come again, are paid back, cancelled; lines, visits, tickets."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from crmstream.stack.endpoints import Endpoints
from sinks.order_sources import declare_order_sources

pytestmark = pytest.mark.stack
DATABASE: Final = "crm_order_views"
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
READ: Final = NOON.replace(tzinfo=None)
"""Noon as the client returns it."""
OFFSETS: Final = count(1)


@pytest.fixture(scope="module")
def migrated(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, DATABASE) as made:
        yield made


@pytest.fixture
def client(migrated: Client) -> Iterator[Client]:
    yield migrated
    for table in ("web_events", "transactions", "order_facts", "service_events", "customers"):
        migrated.command(f"TRUNCATE TABLE {table}")


def insert(client: Client, table: str, **changes: Any) -> None:
    """A fact, as the dataflow writes it; its money counts one to one in the base currency."""
    given = changes.pop("properties", {})
    at = changes.pop("at", 0)
    row = {
        "event_id": f"e-{next(OFFSETS)}", "customer_id": "c-1", "anonymous_id": "", "source": "shop",
        "occurred_at": NOON + timedelta(hours=at), "received_at": NOON + timedelta(hours=at),
        "properties": given if isinstance(given, str) else json.dumps(given), "schema_version": 1, "is_late": 0,
        "log_partition": 0, "log_offset": next(OFFSETS), **changes,
    }  # fmt: skip
    client.insert(table, [list(row.values())], column_names=list(row))


def tell(client: Client, name: str, order_id: str = "o-1", money: float = 0, **changes: Any) -> None:
    """Insert an event of an order."""
    amount = Decimal(str(money))
    common = {"amount": amount, "currency": "EUR" if money else "", "amount_base": amount, "order_id": order_id}
    insert(client, "transactions", name=name, **common | changes)


def orders(client: Client, *columns: str) -> list[tuple[Any, ...]]:
    found = client.query(f"SELECT {', '.join(columns)} FROM orders ORDER BY source, order_id")
    return [tuple(row) for row in found.result_rows]


def revenue(client: Client) -> list[tuple[str, float]]:
    found = client.query("SELECT kind, amount_base FROM revenue ORDER BY occurred_at, kind")
    return [(kind, float(amount)) for kind, amount in found.result_rows]


def test_an_order_under_other_event_ids_counts_once_with_what_was_received_last(client: Client) -> None:
    """A thank-you page that is loaded twice, and the export of the next night with another total."""
    tell(client, "Order Completed", money=50, items=2)
    tell(client, "Order Completed", money=50, items=2, at=1)
    late = NOON + timedelta(days=1)
    tell(client, "Order Completed", money=45, items=1, received_at=late)
    assert orders(client, "order_id", "total", "items", "state", "completed_at") == [
        ("o-1", Decimal(45), 1, "completed", READ)
    ]
    assert revenue(client) == [("sale", 45.0)]


def test_a_correction_that_was_received_before_counts_less(client: Client) -> None:
    tell(client, "Order Completed", money=45, received_at=NOON + timedelta(days=1))
    tell(client, "Order Completed", money=50)
    assert orders(client, "total") == [(Decimal(45),)]


def test_another_source_is_another_order(client: Client) -> None:
    tell(client, "Order Completed", money=50)
    tell(client, "Order Completed", money=50, source="stripe")
    assert orders(client, "source", "order_id") == [("shop", "o-1"), ("stripe", "o-1")]


@pytest.fixture
def leading(client: Client) -> Iterator[Client]:
    """Two shops: ``shop`` leads before ``sdk`` and ``stripe``, and ``store`` before ``till``."""
    declare_order_sources(client, (("shop", "sdk", "stripe"), ("store", "till")))
    yield client
    declare_order_sources(client, ())


def test_an_order_of_several_sources_counts_once_from_the_one_that_leads(leading: Client) -> None:
    tell(leading, "Order Completed", money=50, source="stripe", customer_id="", anonymous_id="guest")
    tell(leading, "Order Completed", money=48, source="sdk", at=1)
    assert orders(leading, "source", "customer_id", "net_base") == [("sdk", "c-1", Decimal(48))]
    tell(leading, "Order Completed", money=49, source="shop", at=2)
    assert orders(leading, "source", "order_id", "net_base", "state") == [("shop", "o-1", Decimal(49), "completed")]
    assert revenue(leading) == [("sale", 49.0)]
    lines = leading.query("SELECT source, count() FROM order_events GROUP BY source").result_rows
    assert lines == [("shop", 1)]


def test_what_the_leading_source_does_not_report_counts_from_the_next(leading: Client) -> None:
    """A refund that was made at the payment provider, and an order that only the till knows."""
    tell(leading, "Order Completed", money=50)
    tell(leading, "Order Completed", money=50, source="stripe")
    tell(leading, "Order Refunded", money=20, source="stripe", at=1)
    tell(leading, "Order Refunded", money=5, source="stripe", at=2)
    tell(leading, "Order Completed", "o-2", money=7, source="till", at=-1)
    assert orders(leading, "source", "order_id", "state", "net_base") == [
        ("shop", "o-1", "refunded_in_part", Decimal(25)), ("till", "o-2", "completed", Decimal(7)),
    ]  # fmt: skip
    told = leading.query("SELECT name, source, customer_id FROM order_events WHERE order_id = 'o-1' ORDER BY name")
    assert told.result_rows == [
        ("Order Completed", "shop", "c-1"), ("Order Refunded", "shop", "c-1"), ("Order Refunded", "shop", "c-1"),
    ]  # fmt: skip
    assert revenue(leading) == [("sale", 7.0), ("sale", 50.0), ("refund", -20.0), ("refund", -5.0)]
    tell(leading, "Order Refunded", money=24, at=3)
    assert orders(leading, "net_base")[0] == (Decimal(25),), "the provider has paid back more"
    tell(leading, "Order Refunded", money=6, at=4)
    assert orders(leading, "net_base")[0] == (Decimal(20),)
    assert [row for row in revenue(leading) if row[0] == "refund"] == [("refund", -24.0), ("refund", -6.0)]


def test_an_order_that_is_called_otherwise_elsewhere_is_the_same(leading: Client) -> None:
    """A shop's export knows the name of an order, its webhooks number and name."""
    tell(leading, "Order Completed", "#1001", money=50, source="stripe")
    tell(leading, "Order Completed", "820982", money=50, source="shop", properties={"order_name": "#1001"})
    tell(leading, "Order Refunded", "#1001", money=20, source="stripe", at=1)
    tell(leading, "Order Refunded", "820982", money=20, source="shop", at=1, properties={"order_name": "#1001"})
    tell(leading, "Order Completed", "#1001", money=50, source="fair")
    assert orders(leading, "source", "order_id", "net_base") == [
        ("fair", "#1001", Decimal(50)), ("shop", "820982", Decimal(30)),
    ]  # fmt: skip


def test_two_numbers_of_one_source_for_an_order_count_once(leading: Client) -> None:
    """A webhook and an export under one source."""
    tell(leading, "Order Completed", "7", money=50, properties={"order_number": "#7"})
    tell(leading, "Order Completed", "#7", money=50, at=1)
    assert orders(leading, "order_id", "net_base") == [("#7", Decimal(50))]


def test_orders_of_other_shops_and_sources_are_their_own(leading: Client) -> None:
    for source in ("shop", "store", "fair", "sdk"):
        tell(leading, "Order Completed", money=50, source=source)
    tell(leading, "Order Completed", "", money=1, source="sdk", event_id="x")
    tell(leading, "Order Completed", "", money=1, source="shop", event_id="x")
    assert orders(leading, "source", "order_id") == [
        ("fair", "o-1"), ("shop", "o-1"), ("shop", "x c-1"), ("store", "o-1"),
    ]  # fmt: skip


def test_a_name_of_a_source_may_hold_anything(client: Client) -> None:
    odd = "it's \\ a {shop}; DROP"
    declare_order_sources(client, ((odd, "shop"),))
    try:
        for source in (odd, "shop"):
            tell(client, "Order Completed", money=50, source=source)
        assert orders(client, "source") == [(odd,)]
    finally:
        declare_order_sources(client, ())


def test_orders_know_channel_and_payment(client: Client) -> None:
    tell(client, "Order Completed", money=1, properties={"channel": "app", "payment_method": "card"})
    tell(client, "Order Refunded", money=1, properties={"channel": "phone", "payment_method": "cash"}, at=9)
    tell(client, "Order Completed", money=1, at=5)
    tell(client, "Order Completed", "o-2", money=1, properties={"channel": 7, "payment_method": None})
    tell(client, "Order Completed", "o-3", money=1, at=60)
    tell(client, "Order Completed", "o-4", money=1, customer_id="c-2")
    visit = {"name": "Page Viewed", "session_id": "s-1", "url": "https://a.example/?utm_medium=email&utm_campaign=may"}
    insert(client, "web_events", at=-2, **visit)
    insert(client, "web_events", at=-1, **visit | {"session_id": "s-2"}, properties={"referrer": "https://b.example/"})
    assert orders(client, "order_id", "channel", "payment_method") == [
        ("o-1", "app", "card"), ("o-2", "7", ""), ("o-3", "", ""), ("o-4", "", ""),
    ]  # fmt: skip
    columns = "order_id, channel, told_by, visit_channel, campaign, session_id"
    assert client.query(f"SELECT {columns} FROM order_channels ORDER BY order_id").result_rows == [
        ("o-1", "app", "order", "email", "may", "s-2"), ("o-2", "7", "order", "email", "may", "s-2"),
        ("o-3", "unknown", "nobody", "", "", ""), ("o-4", "unknown", "nobody", "", "", ""),
    ]  # fmt: skip


def test_what_the_leading_source_does_not_know_of_an_order_another_one_says(leading: Client) -> None:
    tell(leading, "Order Completed", money=50)
    tell(leading, "Order Completed", money=50, source="stripe", properties={"payment_method": "card", "channel": "x"})
    assert orders(leading, "source", "channel", "payment_method") == [("shop", "x", "card")]


@pytest.mark.parametrize(
    ("refunds", "state", "net"),
    [
        ([], "completed", 50),
        ([{"money": 20}], "refunded_in_part", 30),
        ([{"money": 20}, {"money": 30}], "refunded", 0),
        ([{"money": 20, "properties": {"refund_id": "r-1"}}] * 2, "refunded_in_part", 30),
        ([{"money": 20, "properties": {"refund_id": number}} for number in (7, 8)], "refunded_in_part", 10),
        ([{"money": 60}], "refunded", -10),
        ([{}], "refunded", 0),
        ([{"money": 20}, {}, {}], "refunded", 0),
        ([{"money": 20, "properties": {"refund_id": "r"}},
          {"money": 22, "currency": "USD", "amount_base": Decimal(20), "properties": {"refund_id": "r"}}],
         "refunded_in_part", 10),
    ],
)  # fmt: skip
def test_refunds(refunds: list[dict[str, Any]], state: str, net: float, client: Client) -> None:
    tell(client, "Order Completed", money=50)
    for hours, refund in enumerate(refunds, 1):
        tell(client, "Order Refunded", at=hours, **refund)
    assert orders(client, "state", "net_base") == [(state, Decimal(net))]
    assert sum(amount for _, amount in revenue(client)) == net


def test_a_cancellation_takes_back_what_refunds_have_left(client: Client) -> None:
    tell(client, "Order Completed", money=50)
    tell(client, "Order Refunded", money=20, at=1)
    tell(client, "Order Cancelled", at=2)
    tell(client, "Order Cancelled", at=3)
    assert orders(client, "state", "net_base", "cancelled_at") == [("cancelled", Decimal(0), READ + timedelta(hours=2))]
    assert revenue(client) == [("sale", 50.0), ("refund", -20.0), ("cancellation", -30.0)]


def test_a_cancelled_order_that_was_paid_back_without_a_sum_is_taken_back_once(client: Client) -> None:
    tell(client, "Order Completed", money=50)
    tell(client, "Order Cancelled", at=1)
    tell(client, "Order Refunded", at=2)
    assert orders(client, "state", "refunded_base", "net_base") == [("cancelled", Decimal(50), Decimal(0))]
    assert revenue(client) == [("sale", 50.0), ("refund", -50.0)]


def test_refunds_belong_to_the_owner_of_the_order(client: Client) -> None:
    """The shop's refund names nobody, and its connector makes a visitor of the order."""
    tell(client, "Order Completed", money=50, customer_id="c-7")
    tell(client, "Order Refunded", money=20, customer_id="", anonymous_id="order-1", at=1)
    tell(client, "Order Cancelled", customer_id="", anonymous_id="order-1", at=2)
    owners = client.query("SELECT DISTINCT customer_id FROM revenue").result_rows
    assert owners == client.query("SELECT DISTINCT customer_id FROM order_events").result_rows == [("c-7",)]
    assert orders(client, "customer_id") == [("c-7",)]
    assert sum(amount for _, amount in revenue(client)) == 0


def test_money_that_is_converted_later_counts_then(client: Client) -> None:
    waiting = {"money": 70, "currency": "JPY", "event_id": "yen", "log_offset": 9}
    tell(client, "Order Completed", **waiting, amount_base=Decimal(0), amount_waits=1)
    assert orders(client, "total", "total_base", "amount_waits") == [(Decimal(70), Decimal(0), 1)]
    tell(client, "Order Completed", **waiting, amount_base=Decimal(7), amount_waits=0)
    assert orders(client, "total", "total_base", "amount_waits") == [(Decimal(70), Decimal(7), 0)]


def test_what_is_known_of_an_order_without_its_completion_is_kept(client: Client) -> None:
    tell(client, "Order Refunded", "o-7", money=20)
    tell(client, "Order Cancelled", "o-8")
    assert orders(client, "order_id", "state", "completed_at", "net_base") == [
        ("o-7", "refunded", None, Decimal(-20)), ("o-8", "cancelled", None, Decimal(0)),
    ]  # fmt: skip
    assert revenue(client) == [("refund", -20.0)]


def test_events_without_an_order_id_are_orders_of_their_own(client: Client) -> None:
    tell(client, "Order Completed", "", money=5, event_id="a")
    tell(client, "Order Completed", "", money=6, event_id="b")
    tell(client, "Order Completed", "", money=7, event_id="a", customer_id="", anonymous_id="v")
    assert orders(client, "order_id", "total") == [
        ("a anonymous:v", Decimal(7)), ("a c-1", Decimal(5)), ("b c-1", Decimal(6)),
    ]  # fmt: skip


def test_other_currencies_and_money_that_waits(client: Client) -> None:
    """A refund in another currency is part of the base amounts only."""
    tell(client, "Order Completed", money=50)
    tell(client, "Order Refunded", money=22, currency="USD", amount_base=Decimal(20), at=1)
    tell(client, "Order Completed", "o-2", money=70, currency="JPY", amount_base=Decimal(0), amount_waits=1)
    tell(client, "Order Refunded", "o-2", money=30, currency="JPY", amount_base=Decimal(0), amount_waits=1, at=1)
    columns = ("state", "currency", "total", "refunded", "refunded_base", "net_base", "amount_waits")
    assert orders(client, *columns) == [
        ("refunded_in_part", "EUR", Decimal(50), Decimal(0), Decimal(20), Decimal(30), 0),
        ("refunded_in_part", "JPY", Decimal(70), Decimal(30), Decimal(0), Decimal(0), 1),
    ]


def test_facts_of_a_visitor_belong_to_the_owner(client: Client) -> None:
    tell(client, "Order Completed", money=50, customer_id="", anonymous_id="v-1")
    tell(client, "Order Completed", "o-2", money=50, customer_id="", anonymous_id="v-2")
    columns = ["customer_id", "version", "merged_into"]
    tell(client, "Order Completed", "o-3", money=50, customer_id="", anonymous_id="v-3")
    merged = [["anonymous:v-1", 1, "c-9"], ["c-9", 1, ""], ["anonymous:v-3", 1, "email:h"], ["email:h", 1, "c-9"]]
    client.insert("customers", merged, column_names=columns)
    assert orders(client, "customer_id") == [("c-9",), ("anonymous:v-2",), ("c-9",)]
    for setting in (0, 1):
        owners = client.query("SELECT customer_id FROM revenue ORDER BY order_id", settings={"join_use_nulls": setting})
        assert owners.result_rows == [("c-9",), ("anonymous:v-2",), ("c-9",)]


def test_lines_of_orders(client: Client) -> None:
    """Numbers may be texts and ids may be numbers; what cannot be read is empty, and never an error."""
    lines = [
        {"product_id": 17, "sku": "S", "name": 'A "pan"', "category": "kitchen", "brand": "B", "quantity": "2",
         "price": 9.99, "discount": "1.50", "coupon": "MAY"},
        {"product_id": "p-2", "price": "5"},
        {"quantity": None, "price": "free", "name": None},
        "no line", 5, None,
        {"product_id": "p-3", "price": 1e300, "quantity": 1e300},
        {"product_id": "p-4", "price": 5, "quantity": "nan"},
        {"product_id": "p-5", "price": "inf", "quantity": "inf"},
    ]  # fmt: skip
    tell(client, "Order Completed", money=50, properties={"products": lines})
    for number, broken in enumerate(("", "[", '{"products": 5}', '{"products": {"a": 1}}', "{}", "null")):
        tell(client, "Order Completed", f"broken-{number}", money=1, properties=broken)
    found = client.query(
        "SELECT line, product_id, sku, name, category, brand, quantity, price, discount, coupon, amount, currency "
        "FROM order_items WHERE order_id = 'o-1' ORDER BY line"
    ).result_rows
    assert found[:3] == [
        (1, "17", "S", 'A "pan"', "kitchen", "B", 2.0, Decimal("9.99"), Decimal("1.5"), "MAY", Decimal("18.48"), "EUR"),
        (2, "p-2", "", "", "", "", 1.0, Decimal(5), Decimal(0), "", Decimal(5), "EUR"),
        (3, "", "", "", "", "", 1.0, Decimal(0), Decimal(0), "", Decimal(0), "EUR"),
    ]
    assert [row[0] for row in found] == list(range(1, len(lines) + 1))
    assert [row[6:8] + row[10:11] for row in found[6:]] == [
        (1e300, Decimal(0), Decimal(0)), (0.0, Decimal(5), Decimal(0)), (0.0, Decimal(0), Decimal(0)),
    ]  # fmt: skip
    assert client.query("SELECT count() FROM order_items WHERE order_id != 'o-1'").first_row == (0,)


def visit(client: Client, hours: float, name: str, url: str, **changes: Any) -> None:
    insert(client, "web_events", name=name, url=url, session_id="s-1", at=hours, **changes)


def test_a_visit_belongs_to_the_customer_who_signed_in_on_the_way(client: Client) -> None:
    anonymous = {"customer_id": "", "anonymous_id": "v-1"}
    parameters = "utm_source=x&utm_medium=CPC&utm_campaign=may%20sale+1"
    visit(client, 0, "Page Viewed", f"https://shop.example/?{parameters}", **anonymous)
    visit(client, 0.1, "Product Viewed", "https://shop.example/p")
    visit(client, 0.2, "Product Added", "https://shop.example/p", **anonymous)
    visit(client, 9, "Page Viewed", "https://shop.example/", source="app")
    insert(client, "web_events", name="Page Viewed", session_id="")
    found = client.query(
        "SELECT source, customer_id, events, seconds, product_views, carts, utm_source, utm_medium, utm_campaign, "
        "channel, exit_url FROM sessions ORDER BY source"
    ).result_rows
    assert found == [
        ("app", "c-1", 1, 0.0, 0, 0, "", "", "", "direct", "https://shop.example/"),
        ("shop", "c-1", 3, 720.0, 1, 1, "x", "CPC", "may sale 1", "paid", "https://shop.example/p"),
    ]


@pytest.mark.parametrize(
    ("parameters", "referrer", "channel"),
    [
        ("", "", "direct"),
        ("", "https://www.shop.example/before", "direct"),
        ("", "https://www.google.co.uk/search?q=x", "search"),
        ("", "https://l.facebook.com/", "social"),
        ("", "https://t.co/abc", "social"),
        ("", "https://blog.example/", "referral"),
        ("", "https://notgoogle.example/", "referral"),
        ("?utm_medium=email", "https://www.google.com/", "email"),
        ("?utm_medium=paid_social", "", "paid"),
        ("?utm_medium=social-media", "", "social"),
        ("?utm_medium=organic", "", "search"),
        ("?utm_medium=e%2Dmail", "", "email"),
        ("?utm_medium=affiliate", "", "affiliate"),
    ],
)
def test_channels(parameters: str, referrer: str, channel: str, client: Client) -> None:
    visit(client, 0, "Page Viewed", f"https://shop.example/{parameters}", properties={"referrer": referrer})
    visit(client, 1, "Page Viewed", "https://shop.example/?utm_medium=email", properties={"referrer": "https://x.com/"})
    assert client.query("SELECT channel FROM sessions").result_rows == [(channel,)]


def test_tickets(client: Client) -> None:
    def happens(hours: float, name: str, ticket: str = "t-1", **changes: Any) -> None:
        insert(client, "service_events", name=name, ticket_id=ticket, at=hours, **changes)

    happens(0, "Ticket Opened")
    happens(1, "Ticket Updated")
    happens(2, "Ticket Solved")
    happens(3, "Ticket Reopened")
    happens(5, "Ticket Solved")
    happens(6, "CSAT Submitted", satisfaction=2.0)
    happens(7, "CSAT Submitted", satisfaction=4.0)
    happens(0, "Ticket Opened", "t-2")
    happens(2, "Ticket Solved", "t-2")
    happens(3, "Ticket Reopened", "t-2")
    happens(2, "Ticket Updated", "t-3")
    insert(client, "service_events", name="Live Chat Message Sent", ticket_id="")
    found = client.query(
        "SELECT ticket_id, customer_id, opened_at, solved_at, hours_to_solve, updates, reopened, satisfaction, "
        "first_update_at FROM tickets ORDER BY ticket_id"
    ).result_rows
    assert found == [
        ("t-1", "c-1", READ, READ + timedelta(hours=5), 5.0, 1, 1, 4.0, READ + timedelta(hours=1)),
        ("t-2", "c-1", READ, None, None, 0, 1, None, None),
        ("t-3", "c-1", None, None, None, 1, 0, None, READ + timedelta(hours=2)),
    ]


def test_the_newest_record_counts_in_whatever_order_and_however_often_records_come(client: Client) -> None:
    """Each record is a part of its own, as long as ClickHouse has not merged them."""
    random = Random(7)
    records = [
        {"order_id": f"o-{random.randrange(12)}", "money": number, "items": number, "at": random.randrange(-9, 9),
         "received_at": NOON + timedelta(minutes=random.randrange(10_000)), "event_id": f"r-{number}"}
        for number in range(1, 61)
    ]  # fmt: skip
    for record in random.sample([*records, *records[:30]], 90):
        tell(client, "Order Completed", log_offset=record["money"], **record)
    newest: dict[str, dict[str, Any]] = {}
    for record in sorted(records, key=lambda each: each["received_at"]):
        earliest = min(record["at"], newest.get(record["order_id"], record)["at"])
        newest[record["order_id"]] = record | {"at": earliest}
    assert orders(client, "order_id", "total", "items", "completed_at") == [
        (name, Decimal(record["money"]), record["items"], READ + timedelta(hours=record["at"]))
        for name, record in sorted(newest.items())
    ]
    client.command("OPTIMIZE TABLE order_facts FINAL")
    assert sum(total for (total,) in orders(client, "total")) == sum(record["money"] for record in newest.values())


def test_the_orders_of_a_person_can_be_deleted(client: Client) -> None:
    """Also records that a later one has replaced, merged or not."""
    for money in (50, 45):
        tell(client, "Order Completed", money=money, customer_id="c-7")
    tell(client, "Order Completed", "o-2", money=5)
    client.command("DELETE FROM order_facts WHERE identity(newest).person = 'c-7'")
    assert orders(client, "order_id", "customer_id") == [("o-2", "c-1")]
    assert client.query("SELECT count() FROM order_facts").first_row == (1,)
