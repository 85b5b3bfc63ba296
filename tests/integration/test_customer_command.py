"""``crmstream customer`` against the real servers: a person by any id, search, events of all channels."""

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import Crm, client_of_crm, crmstream_on, migrated_crm

from contracts.identity import email_key, visitor_id
from contracts.stored import score_key
from crmstream.stack.endpoints import Endpoints
from sinks.clients import redis_client

pytestmark = pytest.mark.stack
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS: Final = count(1)
COLUMNS: Final = (
    "event_id", "name", "customer_id", "anonymous_id", "occurred_at", "received_at", "source", "properties",
)  # fmt: skip


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    """Runs ``crmstream`` on the shared servers, with a database of its own, in a terminal of 80 columns."""
    return migrated_crm(stack, monkeypatch, tmp_path, "customer")


@pytest.fixture
def client(crm: Crm, stack: Endpoints) -> Iterator[Client]:
    with client_of_crm(stack) as connected:
        yield connected


def add(client: Client, table: str, name: str, customer: str, device: str = "", **more: Any) -> None:
    """Insert a fact; each is an hour after the one before."""
    number = next(NUMBERS)
    moment = NOON + timedelta(hours=number)
    properties = json.dumps(more.pop("properties", {}))
    row = [f"e-{number}", name, customer, device, moment, moment, "shop", properties]
    client.insert(table, [[*row, number, *more.values()]], column_names=[*COLUMNS, "log_offset", *more])


@pytest.fixture
def known(client: Client, stack: Endpoints) -> Iterator[str]:
    """A customer with a phone, and a tablet that belongs by an address; another customer, and a visitor."""
    address = email_key("jo@example.com")
    links = [(visitor_id("phone"), "c-1"), (address, "c-1"), (visitor_id("tablet"), address)]
    client.insert("identity_links", [[*link, "linked", NOON] for link in links],
                  column_names=["identity", "person", "outcome", "occurred_at"])  # fmt: skip
    owners = [("c-1", ""), (visitor_id("phone"), "c-1"), (visitor_id("tablet"), address), (address, "c-1"), ("c-2", ""),
              (visitor_id("lamp"), "")]  # fmt: skip
    client.insert("customers", [[name, 1, NOON, NOON, owner] for name, owner in owners],
                  column_names=["customer_id", "version", "first_seen", "last_seen", "merged_into"])  # fmt: skip
    add(client, "web_events", "Page Viewed", "", "phone", url="https://shop.example/", product_id="")
    add(client, "web_events", "Product Viewed", "", "tablet", url="https://shop.example/p", product_id="p-7")
    add(client, "identity_events", "Identify", "c-1", "phone", properties={"traits": {
        "email": "jo@example.com", "phone": "+49 151 1234567", "plan": "gold", "seats": 3}})  # fmt: skip
    add(client, "identity_events", "Identify", "", "tablet", properties={"traits": {"city": "Bonn", "plan": "trial"}})
    add(client, "transactions", "Order Completed", "c-1", order_id="o-1", amount=20, currency="EUR")
    add(client, "service_events", "Ticket Solved", "c-1", ticket_id="t-1", satisfaction=5)
    add(client, "identity_events", "Identify", "c-2", properties={"traits": {"plan": "gold", "city": "Bonn Beuel"}})
    redis = redis_client(stack.redis_url)
    redis.hset(score_key("c-1"), mapping={"churn": "0.25", "segment": "loyal", "lifecycle": "active", "version": "1"})
    yield "c-1"
    redis.delete(score_key("c-1"))


def as_json(crm: Crm, *given: str) -> Any:
    answer = crm("customer", *given, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@pytest.mark.parametrize("asked", ["c-1", "phone", "anonymous:phone", "tablet", "Jo@Example.com", "+49 151 1234567"])
def test_show_finds_the_person_by_any_id(asked: str, known: str, crm: Crm) -> None:
    found = as_json(crm, "show", asked)
    assert found["customer_id"] == known
    assert found["traits"] == {
        "email": "jo@example.com", "phone": "+49 151 1234567", "plan": "gold", "seats": 3, "city": "Bonn",
    }  # fmt: skip
    assert found["outcomes"]["churn"]["probability"] == 0.25
    assert [event["name"] for event in found["last_events"]] == [
        "Ticket Solved", "Order Completed", "Identify", "Identify", "Product Viewed", "Page Viewed",
    ]  # fmt: skip
    assert set(found["ids"]) == {"c-1", "anonymous:phone", "anonymous:tablet", email_key("jo@example.com")}


def test_show_prints_a_page_for_a_person(known: str, crm: Crm) -> None:
    told = crm("customer", "show", known).stdout
    for words in ("Customer c-1", "churn: 25.0%", "plan", "gold", "anonymous:tablet", "Order Completed",
                  "20 EUR order o-1", "rated 5 ticket t-1", "p-7"):  # fmt: skip
        assert words in told, told
    assert all(len(line) <= 80 for line in told.splitlines()), told


def test_show_of_a_visitor_and_of_nobody(known: str, crm: Crm) -> None:
    assert as_json(crm, "show", "lamp")["customer_id"] == "anonymous:lamp"
    nobody = crm("customer", "show", "nobody")
    assert nobody.exit_code == 1
    assert "Nothing is known of 'nobody'" in nobody.output


def test_a_trait_of_several_people_names_them(known: str, crm: Crm) -> None:
    told = " ".join(crm("customer", "show", "gold").output.split())
    assert "'gold' is of several people: c-1, c-2. Ask with one of these ids." in told


def test_search_finds_parts_the_whole_value_first(known: str, crm: Crm) -> None:
    assert [row["customer_id"] for row in as_json(crm, "search", "bonn")] == ["c-1", "c-2"]
    assert [row["customer_id"] for row in as_json(crm, "search", "BEUEL")] == ["c-2"]
    assert as_json(crm, "search", "table"[:3])[0]["found"] == "id: anonymous:tablet"
    (found,) = as_json(crm, "search", "0151/1234567")
    assert found == {"customer_id": "c-1", "found": "phone: +49 151 1234567", "lifecycle": "active", "segment": "loyal"}
    assert [row["customer_id"] for row in as_json(crm, "search", "c-", "--limit", "1")] == ["c-1"]
    told = crm("customer", "search", "example.com").stdout
    assert "email: jo@example.com" in told
    nobody = crm("customer", "search", "%")
    assert (nobody.exit_code, "Nobody has '%'" in nobody.output) == (1, True)


def test_a_person_known_by_an_address_only_has_all_its_devices(client: Client, crm: Crm) -> None:
    address = email_key("news@x.example")
    links = [[visitor_id(device), address, "linked", NOON] for device in ("zeta", "tab")]
    client.insert("identity_links", links, column_names=["identity", "person", "outcome", "occurred_at"])
    people = [[address, 1, NOON, 3, ""], *([visitor_id(device), 1, NOON, 0, address] for device in ("zeta", "tab"))]
    client.insert("customers", people, column_names=["customer_id", "version", "first_seen", "events", "merged_into"])
    add(client, "identity_events", "Identify", "", "zeta", properties={"traits": {"phone": "+49 151 555555"}})
    add(client, "identity_events", "Identify", "", "tab", properties={"traits": {"plan": "gold"}})
    for asked in ("news@x.example", address, "zeta", "tab", "anonymous:tab", "+49 151 555555"):
        found = as_json(crm, "show", asked)
        assert found["customer_id"] == address, asked
        assert found["traits"] == {"phone": "+49 151 555555", "plan": "gold"}
        assert len(found["last_events"]) == 2


@pytest.mark.parametrize("asked", ["+491511234567", "0151 1234567", "+49-151-1234567", "0049 151 1234567"])
def test_a_phone_number_is_found_however_it_is_written(asked: str, known: str, crm: Crm) -> None:
    assert as_json(crm, "show", asked)["customer_id"] == known


def test_pages_hold_every_event_once_also_of_one_moment(client: Client, crm: Crm) -> None:
    client.insert("customers", [["c-9", 1, NOON]], column_names=["customer_id", "version", "first_seen"])
    rows = [[f"e{at}", "Order Completed", "c-9", "", NOON, NOON, "shop", "{}", at] for at in range(6)]
    rows += [[f"f{at}", "Order Completed", "c-9", "", NOON + timedelta(milliseconds=at), NOON, "shop", "{}", 9]
             for at in (500, 700)]  # fmt: skip
    client.insert("transactions", rows, column_names=[*COLUMNS, "log_offset"])
    seen: list[str] = []
    before: list[str] = []
    for _ in range(3):
        page = as_json(crm, "events", "c-9", "--limit", "3", *before)
        seen += [each["event_id"] for each in page]
        told = crm("customer", "events", "c-9", "--limit", "3", *before).output
        before = shlex.split(told.partition("Older ones: ")[2])
    assert seen == ["f700", "f500", "e5", "e4", "e3", "e2", "e1", "e0"]
    assert before == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["show", " "], "an empty text is in everything"),
        (["search", ""], "an empty text is in everything"),
        (["show", "\udcff"], "not UTF-8"),
        (["events", "c-1", "--before", "soon"], "'soon' is no time; write one as 2026-11-01"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(given: list[str], said: str, known: str, crm: Crm) -> None:
    answer = crm("customer", *given)
    assert answer.exit_code == 1
    assert said in " ".join(answer.output.split())


def test_broken_properties_are_shown_as_text(client: Client, known: str, crm: Crm) -> None:
    row = ["e-broken", "Page Viewed", "c-1", "", NOON + timedelta(days=99), NOON, "shop", '{"a":', 1]
    client.insert("web_events", [row], column_names=[*COLUMNS, "log_offset"])
    assert as_json(crm, "show", known)["last_events"][0]["properties"] == '{"a":'


def test_events_come_newest_first_in_pages_and_by_kind(known: str, crm: Crm) -> None:
    some = as_json(crm, "events", "tablet", "--kind", "service", "--kind", "transaction")
    assert [each["kind"] for each in some] == ["service", "transaction"]
    page = as_json(crm, "events", known, "--limit", "4")
    assert page[-1]["occurred_at"].endswith("Z")
    rest = as_json(crm, "events", known, "--before", page[-1]["occurred_at"])
    assert [each["name"] for each in rest] == ["Product Viewed", "Page Viewed"]
    assert page[1]["properties"] == {}
    assert page[2]["properties"]["traits"]["city"] == "Bonn"
    told = crm("customer", "events", known, "--limit", "2")
    assert "Older ones: --before '2026-" in told.output
    assert "has no such events" in crm("customer", "events", "lamp").output


def test_what_comes_from_outside_is_one_line(client: Client, known: str, crm: Crm) -> None:
    traits = {"note": "a\x1b[2Jb\n" + "x" * 100, "\x1b]0;owned\x07": "v", "one\ntwo": "w"}
    add(client, "identity_events", "Identify", "c-1", properties={"traits": traits})
    add(client, "web_events", "View\x9bed\u202e", "c-1", url="", product_id="")
    told = crm("customer", "show", "c-1").stdout
    assert not [each for each in told if not each.isprintable() and each != "\n"]
    assert "a\\x1b[2Jb\\nxxx" in told
    assert "one\\ntwo" in told
    assert "View\\x9bed\\u202e" in told


def test_without_tables_it_says_what_to_do(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = crmstream_on(stack, monkeypatch, tmp_path, "none")
    answer = run("customer", "search", "x")
    assert answer.exit_code == 1
    assert "run `crmstream migrate`" in " ".join(answer.output.split())
