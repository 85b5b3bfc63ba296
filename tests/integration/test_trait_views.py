"""The views customer_traits and customers_360 on the real engine: newest values, owners, types, scores."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from contracts.errors import CrmError
from contracts.traits import KNOWN, Trait
from crmstream.stack.endpoints import Endpoints
from sinks.traits import declare_traits

pytestmark = pytest.mark.stack
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
OFFSETS: Final = count(1)


@pytest.fixture(scope="module")
def migrated(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, "crm_trait_views") as made:
        yield made


@pytest.fixture
def client(migrated: Client) -> Iterator[Client]:
    yield migrated
    for table in ("identity_events", "trait_facts", "account_members", "account_facts", "customers", "customer_daily"):
        migrated.command(f"TRUNCATE TABLE {table}")


def tell(client: Client, traits: Any, customer: str = "c-1", device: str = "", at: int = 0, **changes: Any) -> None:
    """Insert an Identify event, ``at`` hours after noon."""
    moment = NOON + timedelta(hours=at)
    row = {
        "event_id": f"e-{next(OFFSETS)}", "name": "Identify", "customer_id": customer, "anonymous_id": device,
        "occurred_at": moment, "received_at": moment, "source": "shop", "properties": json.dumps({"traits": traits}),
        "schema_version": 1, "is_late": 0, "log_partition": 0, "log_offset": next(OFFSETS), "previous_id": "",
        **changes,
    }  # fmt: skip
    client.insert("identity_events", [list(row.values())], column_names=list(row))


def profile(client: Client, *rows: tuple[str, str]) -> None:
    """Insert profiles: an id, and the customer whose it became, if any."""
    given = [[name, next(OFFSETS), NOON, NOON, owner] for name, owner in rows]
    client.insert("customers", given, column_names=["customer_id", "version", "first_seen", "last_seen", "merged_into"])


def read(*moment: int) -> datetime:
    """A moment as the client returns it."""
    return datetime(*moment, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type, misc]


def traits(client: Client, customer: str = "c-1") -> dict[str, tuple[str, str]]:
    query = "SELECT trait, value, type FROM customer_traits WHERE customer_id = {customer:String}"
    found = client.query(query, parameters={"customer": customer}).result_rows
    return {trait: (value, kind) for trait, value, kind in found}


def whole(client: Client, customer: str, *columns: str) -> tuple[Any, ...]:
    query = f"SELECT {', '.join(columns)} FROM customers_360 WHERE customer_id = {{customer:String}}"
    (row,) = client.query(query, parameters={"customer": customer}).result_rows
    return tuple(row)


def test_the_newest_event_counts_in_whatever_order_they_come(client: Client) -> None:
    tell(client, {"plan": "gold", "seats": 3}, at=2)
    tell(client, {"plan": "silver", "city": "Bonn"}, at=1)
    client.command("OPTIMIZE TABLE trait_facts FINAL")
    tell(client, {"plan": "bronze"}, at=0)
    assert traits(client) == {"plan": ("gold", "text"), "seats": ("3", "number"), "city": ("Bonn", "text")}


def test_of_two_values_of_one_moment_the_record_received_last_counts_and_null_removes(client: Client) -> None:
    tell(client, {"plan": "gold", "city": "Bonn"}, received_at=NOON + timedelta(hours=1))
    tell(client, {"plan": "silver"})
    tell(client, {"city": None}, at=1)
    assert traits(client) == {"plan": ("gold", "text")}


def test_of_two_values_of_one_batch_the_later_one_counts(client: Client) -> None:
    tell(client, {"plan": "first"})
    tell(client, {"plan": "second"})
    assert traits(client) == {"plan": ("second", "text")}


def test_types_follow_the_values(client: Client) -> None:
    tell(client, {"vip": True, "tags": ["a"], "address": {"city": "Bonn"}, "quote": 'say "hi"', "": 1})
    assert traits(client) == {
        "vip": ("true", "boolean"), "tags": ('["a"]', "list"), "address": ('{"city":"Bonn"}', "object"),
        "quote": ('say "hi"', "text"),
    }  # fmt: skip


def test_a_customer_has_the_traits_of_devices_but_own_ones_win(client: Client) -> None:
    """A device may belong to an address that belongs to the customer."""
    tell(client, {"country": "FR", "plan": "gold", "seats": 9}, "", "phone", at=5)
    tell(client, {"plan": "silver"}, "", "tablet", at=6)
    tell(client, {"country": "DE"}, at=1)
    tell(client, {"country": "SE"}, "", "stranger")
    profile(client, ("anonymous:phone", "c-1"), ("anonymous:tablet", "email:x"), ("email:x", "c-1"), ("c-1", ""))
    assert {trait: value for trait, (value, _) in traits(client).items()} == {
        "country": "DE", "plan": "silver", "seats": "9",
    }  # fmt: skip
    assert traits(client, "anonymous:stranger") == {"country": ("SE", "text")}
    assert traits(client, "anonymous:phone") == {}


def test_other_events_and_broken_properties_are_passed_over(client: Client) -> None:
    tell(client, {"plan": "gold"}, name="Group")
    tell(client, [1], properties='{"traits":')
    tell(client, {}, properties='{"traits": ["a"]}')
    assert traits(client) == {}


def test_declared_traits_have_columns_of_their_type(client: Client) -> None:
    profile(client, ("c-1", ""), ("c-2", ""))
    tell(client, {
        "birthday": "1950-05-17T00:00:00Z", "createdAt": 1_700_000_000, "age": "42", "firstName": "Jo",
        "company": {"name": "ACME", "employee_count": 12}, "address": {"postalCode": "01234"}, "email": "",
    })  # fmt: skip
    tell(client, {"birthday": "17.05.1980", "created_at": "2024-05-17T10:00:00+02:00", "age": "old", "company": "Bolt",
                  "address": {"city": None}, "city": "Bonn"}, "c-2")  # fmt: skip
    columns = ("birthday", "created_at", "age", "first_name", "company", "employees", "postal_code", "city", "email")
    assert whole(client, "c-1", *columns) == (
        date(1950, 5, 17), read(2023, 11, 14, 22, 13, 20), 42, "Jo", "ACME", 12, "01234", None, None,
    )  # fmt: skip
    assert whole(client, "c-2", *columns) == (
        None, read(2024, 5, 17, 8), None, None, "Bolt", None, None, "Bonn", None,
    )  # fmt: skip


def test_a_file_may_declare_others_with_any_name_in_events(client: Client) -> None:
    """Names come from a person: quotes and backslashes stay texts."""
    profile(client, ("c-1", ""))
    declare_traits(client, {
        "vip": Trait(type="boolean"), "odd": Trait(sent_as=("it's", "back\\slash"), description="what's \\ odd"),
        "milliseconds": Trait(type="time"),
    })  # fmt: skip
    try:
        tell(client, {"vip": "Yes", "back\\slash": "found", "milliseconds": 1_700_000_000_123})
        at = read(2023, 11, 14, 22, 13, 20, 123_000)
        assert whole(client, "c-1", "vip", "odd", "milliseconds") == (True, "found", at)
        about = "SELECT name, comment FROM system.columns WHERE table = 'customers_360' AND name IN ('odd', 'email')"
        assert client.query(about + " AND database = currentDatabase()").result_rows == [("odd", "what's \\ odd")]
    finally:
        declare_traits(client, KNOWN)


def test_the_first_of_several_names_that_has_a_value_of_the_type_counts(client: Client) -> None:
    profile(client, ("c-1", ""))
    tell(client, {
        "firstName": "", "first_name": "Jo", "createdAt": "yesterday", "created_at": "2024-05-17T10:00:00Z",
        "company": {"size": 3}, "employees": 7, "address": {"city": None}, "city": "Bonn",
    })  # fmt: skip
    columns = ("first_name", "created_at", "company", "employees", "city")
    assert whole(client, "c-1", *columns) == ("Jo", read(2024, 5, 17, 10), None, 7, "Bonn")


@pytest.mark.parametrize(
    "moment", ["0000-00-00 00:00:00", "2024-05-17T25:00:00Z", "2024-13-01", "2024-02-30", "12345678901"]
)
def test_what_is_no_time_is_null(moment: str, client: Client) -> None:
    profile(client, ("c-1", ""))
    tell(client, {"createdAt": moment, "birthday": "0000-00-00", "age": "NaN", "employees": "inf"})
    assert whole(client, "c-1", "created_at", "birthday", "age", "employees") == (None,) * 4


def test_two_hundred_traits_of_long_paths_make_a_view(client: Client) -> None:
    profile(client, ("c-1", ""))
    path = "a" * 40
    declare_traits(client, {
        f"t{number}": Trait(type="time", sent_as=(f"{path}.b{number}", f"{path}.c{number}")) for number in range(200)
    })  # fmt: skip
    try:
        tell(client, {path: {"c7": 1_700_000_000}})
        assert whole(client, "c-1", "t7", "t8") == (read(2023, 11, 14, 22, 13, 20), None)
    finally:
        declare_traits(client, KNOWN)


@pytest.mark.parametrize(
    "name", ["told", "customers", "scores", "version", "merged_into", "as_of", "trait", "j", "t", "v"]
)
def test_a_trait_may_have_any_name_that_no_column_has(name: str, client: Client) -> None:
    profile(client, ("c-1", ""))
    declare_traits(client, {name: Trait(description="a /* values */ b"), "other": Trait()})
    try:
        tell(client, {name: "found", "other": "too"})
        assert whole(client, "c-1", name, "other", "events") == ("found", "too", 0)
    finally:
        declare_traits(client, KNOWN)


def test_a_trait_must_not_take_the_name_of_another_column(client: Client) -> None:
    with pytest.raises(CrmError, match="has a column revenue already"):
        declare_traits(client, {"revenue": Trait(type="number")})


def test_a_row_per_customer_with_the_scores_of_the_newest_sweep_that_had_them(client: Client) -> None:
    """The newest sweep may not be complete yet; visitors and merged profiles have no row."""
    profile(client, ("c-1", ""), ("c-2", ""), ("c-3", ""), ("anonymous:d", ""), ("anonymous:e", "c-1"), ("email:x", ""))
    names = ["as_of", "customer_id", "version", "segment", "lifecycle", "probability"]
    sweeps = [
        (0, "c-1", "old", 0.1), (1, "c-1", "loyal", 0.2), (1, "c-2", "lost", 0.9), (2, "c-1", "new", 0.3),
        (0, "c-3", "x", 0.5),
    ]  # fmt: skip
    rows = [[NOON + timedelta(days=day), who, day, word, "active", {"churn": at}] for day, who, word, at in sweeps]
    client.insert("customer_daily", rows, column_names=names)
    columns = "customer_id, segment, probability['churn'], toDate(scored_at)"
    assert client.query(f"SELECT {columns} FROM customers_360 ORDER BY ALL").result_rows == [
        ("c-1", "new", 0.3, date(2026, 3, 3)), ("c-2", "lost", 0.9, date(2026, 3, 2)), ("c-3", "", 0, None),
    ]  # fmt: skip


def join(client: Client, account: str, customer: str = "", device: str = "", **said: Any) -> None:
    """Insert a Group event."""
    properties = json.dumps({"group_id": account, "group_traits": said})
    tell(client, {}, customer, device, at=next(OFFSETS), name="Group", properties=properties)


def test_an_account_has_the_newest_traits_and_the_sums_of_its_members(client: Client) -> None:
    join(client, "acme", "c-1", name="ACME", plan="free")
    join(client, "acme", "", "phone", plan="gold", owner=None)
    join(client, "acme", "", "stranger")
    join(client, "acme", "c-2")
    join(client, "bolt", "c-1")
    profile(client, ("anonymous:phone", "c-2"))
    names = ["customer_id", "version", "first_seen", "last_seen", "events", "orders", "revenue", "satisfaction_count",
             "satisfaction"]  # fmt: skip
    day = timedelta(days=1)
    people = [["c-1", 9, NOON, NOON + day, 5, 2, 30, 1, 5.0], ["c-2", 9, NOON - day, NOON, 2, 1, 12, 3, 1.0]]
    client.insert("customers", people, column_names=names)
    scores = [[NOON, "c-1", 1, {"churn": 0.2, "buys": 0.9}], [NOON, "c-2", 1, {"churn": 0.7, "buys": 0.1}]]
    client.insert("customer_daily", scores, column_names=["as_of", "customer_id", "version", "probability"])
    columns = "account_id, name, traits, customers, visitors, events, orders, toFloat64(revenue), satisfaction, highest"
    acme, bolt = client.query(f"SELECT {columns} FROM accounts ORDER BY account_id").result_rows
    told = {"name": '"ACME"', "plan": '"gold"'}
    assert acme == ("acme", "ACME", told, 2, 1, 7, 3, 42, 2, {"churn": 0.7, "buys": 0.9})
    assert bolt == ("bolt", "", {}, 1, 0, 5, 2, 30, 5, {"churn": 0.2, "buys": 0.9})
    times = client.query("SELECT first_seen, last_seen, last_order FROM accounts WHERE account_id = 'acme'").first_row
    assert times == (read(2026, 2, 28, 12), read(2026, 3, 2, 12), None)
    members = client.query("SELECT customer_id FROM memberships WHERE account_id = 'acme' ORDER BY ALL").result_rows
    assert members == [("anonymous:stranger",), ("c-1",), ("c-2",)]


def test_a_group_event_without_an_id_makes_no_account(client: Client) -> None:
    tell(client, {}, name="Group", properties='{"group_traits": {"a": 1}}')
    tell(client, {}, name="Group", properties='{"group_id": "", "group_traits": {"a": 1}}')
    assert client.query("SELECT count() FROM accounts").first_row == (0,)
