"""The view deals on the real engine: stages, money, what was won and lost, and the work on it."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from crmstream.stack.endpoints import Endpoints

pytestmark = pytest.mark.stack
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS: Final = count(1)


@pytest.fixture(scope="module")
def migrated(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, "crm_deals") as made:
        yield made


@pytest.fixture
def client(migrated: Client) -> Iterator[Client]:
    yield migrated
    for table in ("service_events", "customers"):
        migrated.command(f"TRUNCATE TABLE {table}")


def tell(client: Client, event: str, day: float, *, customer: str = "c-1", device: str = "", **said: Any) -> None:
    """Insert an event, so many days after noon."""
    number, at = next(NUMBERS), NOON + timedelta(days=day)
    row = {
        "event_id": f"e-{number}", "name": event, "customer_id": customer, "anonymous_id": device, "occurred_at": at,
        "received_at": at, "source": "sales", "properties": json.dumps({"deal_id": "d-1"} | said), "log_offset": number,
    }  # fmt: skip
    client.insert("service_events", [list(row.values())], column_names=list(row))


def deal(client: Client, *columns: str, number: str = "d-1") -> tuple[Any, ...]:
    query = f"SELECT {', '.join(columns)} FROM deals WHERE deal_id = {{number:String}}"
    (row,) = client.query(query, parameters={"number": number}).result_rows
    return tuple(row)


def day(number: float) -> datetime:
    return (NOON + timedelta(days=number)).replace(tzinfo=None)


def test_the_newest_value_of_each_property_counts_in_whatever_order_events_come(client: Client) -> None:
    tell(client, "Deal Stage Changed", 5, stage="offer", amount="11500.50")
    tell(client, "Deal Created", 0, name="Fleet", stage="qualified", amount=12_000, currency="EUR", owner="s-3",
         expected_close="2026-06-30T00:00:00Z")  # fmt: skip
    tell(client, "Deal Stage Changed", 7, stage="offer", owner="")
    assert deal(client, "state", "name", "stage", "amount", "currency", "owner", "expected_close") == (
        "open", "Fleet", "offer", Decimal("11500.5"), "EUR", "s-3", date(2026, 6, 30),
    )  # fmt: skip
    assert deal(client, "created_at", "stage_since", "closed_at", "stages") == (day(0), day(5), None, 2)
    assert deal(client, "days")[0] > 30


def test_a_deal_that_comes_back_to_a_stage_is_in_it_since_then(client: Client) -> None:
    for at, stage in ((0, "a"), (1, "b"), (2, "a"), (3, "a")):
        tell(client, "Deal Stage Changed", at, stage=stage)
    assert deal(client, "stage", "stage_since") == ("a", day(2))


def test_won_lost_and_open_again(client: Client) -> None:
    tell(client, "Deal Created", 0)
    tell(client, "Deal Won", 4, amount=10)
    tell(client, "Deal Created", 0, deal_id="d-2")
    tell(client, "Deal Lost", 2, deal_id="d-2", reason="price")
    assert deal(client, "state", "closed_at", "days", "amount") == ("won", day(4), 4, Decimal(10))
    assert deal(client, "state", "reason", number="d-2") == ("lost", "price")
    tell(client, "Deal Stage Changed", 3, deal_id="d-2", stage="offer")
    assert deal(client, "state", "closed_at", number="d-2") == ("open", None)


def test_the_work_on_a_deal_is_counted_and_alone_makes_none(client: Client) -> None:
    tell(client, "Deal Created", 0, owner="s-3")
    for name in ("Quote Sent", "Call Logged", "Call Logged", "Meeting Held", "Task Done"):
        tell(client, name, 9, owner="s-4", stage="x", amount=1)
    tell(client, "Call Logged", 1, deal_id="d-9")
    assert deal(client, "quotes", "calls", "meetings", "tasks", "last_activity_at") == (1, 2, 1, 1, day(9))
    assert deal(client, "owner", "stage", "amount") == ("s-3", "", None)
    assert client.query("SELECT count() FROM deals").first_row == (1,)


def test_a_deal_belongs_to_the_owner_of_its_visitor_and_garbage_is_passed_over(client: Client) -> None:
    tell(client, "Deal Created", 0, customer="", device="phone", amount="much", expected_close="soon")
    tell(client, "Deal Created", 0, deal_id="")
    client.insert("customers", [["anonymous:phone", 1, "c-7"]], column_names=["customer_id", "version", "merged_into"])
    assert deal(client, "customer_id", "amount", "expected_close") == ("c-7", None, None)
    assert client.query("SELECT count() FROM deals").first_row == (1,)
