"""The views of feedback, tickets and service levels on the real engine."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from crmstream.stack.endpoints import Endpoints

pytestmark = pytest.mark.stack
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
OFFSETS: Final = count(1)


@pytest.fixture(scope="module")
def migrated(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, "crm_feedback") as made:
        yield made


@pytest.fixture
def client(migrated: Client) -> Iterator[Client]:
    yield migrated
    for table in ("web_events", "service_events", "customers"):
        migrated.command(f"TRUNCATE TABLE {table}")


def tell(
    client: Client, name: str, at: float = 0, *, kind: str = "service", person: str = "c-1", since: datetime = NOON,
    **properties: Any,
) -> None:  # fmt: skip
    """A fact, as the dataflow writes it."""
    visitor = person.removeprefix("anonymous:") if person.startswith("anonymous:") else ""
    row = {
        "event_id": f"e-{next(OFFSETS)}", "name": name, "customer_id": "" if visitor else person,
        "anonymous_id": visitor, "source": "desk", "occurred_at": since + timedelta(hours=at),
        "received_at": since + timedelta(hours=at), "properties": json.dumps(properties), "schema_version": 1,
        "is_late": 0, "log_partition": 0, "log_offset": next(OFFSETS),
    }  # fmt: skip
    if kind == "service":
        row |= {"ticket_id": properties.get("ticket_id", ""), "satisfaction": properties.get("score")}
    client.insert(f"{kind}_events", [list(row.values())], column_names=list(row))


def feedback(client: Client, *columns: str) -> list[tuple[Any, ...]]:
    found = client.query(f"SELECT {', '.join(columns)} FROM feedback ORDER BY occurred_at, event_id")
    return [tuple(row) for row in found.result_rows]


def tickets(client: Client, *columns: str) -> list[tuple[Any, ...]]:
    found = client.query(f"SELECT {', '.join(columns)} FROM tickets ORDER BY ticket_id")
    return [tuple(row) for row in found.result_rows]


def test_each_kind_of_feedback(client: Client) -> None:
    tell(client, "CSAT Submitted", 1, score=4.1, ticket_id="t-1", agent="ann", team="blue", comment="fine")
    tell(client, "NPS Submitted", 2, rating=9, order_id="o-1")
    tell(client, "CES Submitted", 3, rating="6", ticket_id="t-1")
    tell(client, "Complaint Received", 4, comment={"a": 1}, text="came open", ticket_id="t-1", rating=3)
    tell(client, "Ticket Opened", 5, category="Complaint", subject="late", ticket_id="t-2")
    tell(client, "Ticket Opened", 6, category="question", subject="when", ticket_id="t-3")
    tell(client, "Product Reviewed", 7, kind="web", product_id=17, rating=2, review_body="thin", text="no")
    assert feedback(client, "kind", "rating", "text", "product_id", "order_id", "ticket_id", "agent", "team") == [
        ("csat", 4.1, "fine", "", "", "t-1", "ann", "blue"),
        ("nps", 9, "", "", "o-1", "", "", ""),
        ("ces", 6, "", "", "", "t-1", "", ""),
        ("complaint", None, "came open", "", "", "t-1", "", ""),
        ("complaint", None, "late", "", "", "t-2", "", ""),
        ("review", 2, "thin", "17", "", "", "", ""),
    ]


@pytest.mark.parametrize(
    ("name", "kept", "left_out"),
    [
        ("NPS Submitted", (0, 10, "7", 6.5), (-1, 11, "many", None, "nan", "inf", [5], {"of": 5}, True)),
        ("CES Submitted", (1, 7), (0, 8)),
        ("Product Reviewed", (1, 5, "4.5"), (0, 5.1, 90)),
    ],
)
def test_a_rating_off_the_scale_is_none(
    name: str, kept: tuple[object, ...], left_out: tuple[object, ...], client: Client
) -> None:
    kind = "web" if name == "Product Reviewed" else "service"
    for at, rating in enumerate((*kept, *left_out)):
        tell(client, name, at, kind=kind, rating=rating)
    tell(client, name, 99, kind=kind)
    wanted = [*map(float, kept), *[None] * (len(left_out) + 1)]  # type: ignore[arg-type]
    assert [rating for (rating,) in feedback(client, "rating")] == wanted


def test_feedback_of_a_visitor_who_signs_in_is_the_customers(client: Client) -> None:
    tell(client, "NPS Submitted", person="anonymous:a-1", rating=9)
    tell(client, "Product Reviewed", 1, kind="web", person="anonymous:a-2", rating=4)
    merged = ["anonymous:a-1", 1, "c-7"]
    client.insert("customers", [merged], column_names=["customer_id", "version", "merged_into"])
    assert feedback(client, "customer_id") == [("c-7",), ("anonymous:a-2",)]


def test_tickets_know_who_worked_on_them_by_the_newest_event(client: Client) -> None:
    tell(client, "Ticket Opened", ticket_id="t-1", agent="ann", team="blue", channel="mail", subject="late", priority=2)
    tell(client, "Ticket Updated", 2, ticket_id="t-1", agent=7, team="", priority="high")
    assert tickets(client, "agent", "team", "channel", "subject", "priority", "category") == [
        ("7", "blue", "mail", "late", "high", "")
    ]


@pytest.mark.parametrize(
    ("update", "hours"),
    [
        ({}, 1), ({"by_staff": True, "public": True, "change": "comment"}, 1), ({"by_staff": False}, 3),
        ({"public": False}, 3), ({"change": "priority"}, 3), ({"by_staff": None, "change": None}, 1),
        ({"by_staff": "false"}, 3), ({"by_staff": 0}, 3), ({"public": "No"}, 3), ({"by_staff": {"is": 1}}, 1),
    ],
)  # fmt: skip
def test_an_answer_is_a_public_comment_of_the_staff_else_the_solution(
    update: dict[str, Any], hours: float, client: Client
) -> None:
    tell(client, "Ticket Opened", ticket_id="t-1")
    tell(client, "Ticket Updated", 1, ticket_id="t-1", **update)
    tell(client, "Ticket Solved", 3, ticket_id="t-1")
    tell(client, "Ticket Updated", 5, ticket_id="t-1")
    tell(client, "Ticket Opened", ticket_id="t-2")
    assert tickets(client, "hours_to_answer", "hours_to_solve") == [(hours, 3), (None, None)]


def test_service_levels_count_what_is_known(client: Client) -> None:
    """Answered at once, solved late; open for ever; opened just now; answered just now; without a beginning."""
    for ticket, agent in (("t-1", "ann"), ("t-2", "ann")):
        tell(client, "Ticket Opened", ticket_id=ticket, agent=agent, team="blue")
    tell(client, "Ticket Updated", 0.5, ticket_id="t-1")
    tell(client, "Ticket Solved", 30, ticket_id="t-1")
    tell(client, "Ticket Updated", ticket_id="t-9")
    found = client.query(
        "SELECT hours, agent, team, tickets, answered, solved FROM service_levels WHERE hours IN (1, 24, 48) "
        "ORDER BY hours"
    )
    assert found.result_rows == [
        (1, "ann", "blue", 2, 1, 0), (24, "ann", "blue", 2, 1, 0), (48, "ann", "blue", 2, 1, 1),
    ]  # fmt: skip
    client.command("TRUNCATE TABLE service_events")
    now = datetime.now(UTC) - timedelta(minutes=90)
    for ticket in ("t-3", "t-4"):
        tell(client, "Ticket Opened", since=now, ticket_id=ticket)
    tell(client, "Ticket Updated", 0.1, since=now, ticket_id="t-4")
    found = client.query(
        "SELECT hours, sum(tickets), sum(answered), sum(solved) FROM service_levels WHERE hours IN (1, 4) "
        "GROUP BY hours ORDER BY hours"
    )
    assert found.result_rows == [(1, 2, 1, 0)], "of 4 hours nobody knows yet"


def test_what_happened_before_a_ticket_was_opened_is_no_answer(client: Client) -> None:
    tell(client, "Ticket Updated", -2, ticket_id="t-1")
    tell(client, "Ticket Solved", -1, ticket_id="t-1")
    tell(client, "Ticket Opened", ticket_id="t-1")
    assert tickets(client, "hours_to_answer", "hours_to_solve") == [(None, None)]
    tell(client, "Ticket Updated", 2, ticket_id="t-1")
    assert tickets(client, "hours_to_answer") == [(2,)]


def test_feedback_that_came_as_a_web_event_counts_too(client: Client) -> None:
    """As it did before its names were known."""
    tell(client, "NPS Submitted", kind="web", rating=9)
    tell(client, "Complaint Received", 1, kind="web", message="broken")
    assert feedback(client, "kind", "rating", "text") == [("nps", 9, ""), ("complaint", None, "broken")]
