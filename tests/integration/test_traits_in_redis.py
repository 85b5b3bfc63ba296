"""Traits and accounts in Redis, on the real engine and a real server: what they show, whom, and when they follow."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from redis import Redis
from support.installation import migrated_database

from contracts.stored import ACCOUNTS_KEY, PUBLISHED_KEY, account_key, traits_key
from contracts.traits import KNOWN, Trait
from crmstream.stack.endpoints import Endpoints
from crmstream.stores import Stores
from crmstream.traits import people, rounds
from crmstream.traits.accounts import publish_accounts
from crmstream.traits.people import PeoplesTraits
from crmstream.traits.rounds import TraitRounds
from sinks.clients import redis_client

pytestmark = pytest.mark.stack
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS: Final = count(1)
DECLARED: Final = KNOWN | {
    "seats": Trait(type="number", sent_as=("seats", "plan.seats")),
    "vip": Trait(type="boolean"),
}
TABLES: Final = (
    "identity_events", "identity_links", "trait_facts", "trait_changes", "known_ids", "account_members",
    "account_facts", "customers", "customer_daily",
)  # fmt: skip


@pytest.fixture(scope="module")
def migrated(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, "crm_traits_in_redis") as made:
        yield made


@pytest.fixture
def stores(stack: Endpoints, migrated: Client) -> Iterator[Stores]:
    for table in TABLES:
        migrated.command(f"TRUNCATE TABLE {table}")
    redis = redis_client(stack.redis_url.replace("/0", "/13"))
    redis.flushdb()
    yield Stores(migrated, redis)
    redis.flushdb()
    redis.close()


class List:
    """The list of people who are being erased. ``changes`` are what happens at the next looks at it, if anything."""

    def __init__(self, *people: str):
        self.people, self.number = set(people), 0
        self.changes: list[Callable[[], None] | None] = []

    def look(self) -> int:
        change = self.changes.pop(0) if self.changes else None
        if change is not None:
            change()
            self.number += 1
        return self.number

    def ids(self) -> set[str]:
        return self.people


def new_rounds(declared: Mapping[str, Trait] = DECLARED, pending: List | None = None) -> TraitRounds:
    return TraitRounds(PeoplesTraits(declared, 3_600, pending or List()))


def tell(stores: Stores, traits: Any, customer: str = "c-1", device: str = "", at: int = 0, **changes: Any) -> None:
    """Insert an Identify event, ``at`` hours after noon."""
    moment = NOON + timedelta(hours=at)
    row = {
        "event_id": f"e-{next(NUMBERS)}", "name": "Identify", "customer_id": customer, "anonymous_id": device,
        "occurred_at": moment, "received_at": moment, "source": "shop", "properties": json.dumps({"traits": traits}),
        "schema_version": 1, "log_offset": next(NUMBERS), **changes,
    }  # fmt: skip
    stores.clickhouse.insert("identity_events", [list(row.values())], column_names=list(row))


def link(stores: Stores, identity: str, person: str, outcome: str = "linked") -> None:
    """Insert a decision, and the profile that says whose the identity is now."""
    owner = person if outcome == "linked" else ""
    stores.clickhouse.insert(
        "customers", [[identity, next(NUMBERS), owner]], column_names=["customer_id", "version", "merged_into"]
    )
    stores.clickhouse.insert(
        "identity_links", [[identity, person, outcome, NOON + timedelta(seconds=next(NUMBERS))]],
        column_names=["identity", "person", "outcome", "occurred_at"],
    )  # fmt: skip


def shown(redis: Redis, person: str) -> Any:
    return redis.hgetall(traits_key(person))


def test_declared_traits_have_their_type_and_others_are_as_they_were_sent(stores: Stores) -> None:
    sent = {
        "firstName": "Ada", "address": {"city": "Bonn", "floor": 3}, "birthday": "1980-05-17T00:00:00Z", "seats": "a",
        "plan": {"seats": 12.5}, "vip": "YES", "createdAt": 1_700_000_000, "colour": "red", "tags": ["a", "b"], "n": 7,
        "empty": None, "odd\"' \\name": "x", "age": 41,
    }  # fmt: skip
    tell(stores, sent)
    new_rounds().once(stores)
    assert shown(stores.redis, "c-1") == {
        "first_name": "Ada", "city": "Bonn", "birthday": "1980-05-17", "seats": "12.5", "vip": "true", "age": "41",
        "created_at": "2023-11-14T22:13:20Z", "colour": "red", "tags": '["a","b"]', "n": "7", "odd\"' \\name": "x",
    }  # fmt: skip
    assert stores.redis.ttl(traits_key("c-1")) == -1


def test_they_follow_changes_and_removals(stores: Stores) -> None:
    each = new_rounds()
    tell(stores, {"colour": "red", "size": "L"})
    tell(stores, {"colour": "blue"}, "c-2")
    each.once(stores)
    tell(stores, {"colour": None, "size": "M"}, at=1)
    tell(stores, {"colour": "old"}, "c-2", at=-1)
    each.once(stores)
    assert (shown(stores.redis, "c-1"), shown(stores.redis, "c-2")) == ({"size": "M"}, {"colour": "blue"})
    tell(stores, {"size": None}, at=2)
    each.once(stores)
    assert not stores.redis.exists(traits_key("c-1"))


def test_visitors_have_their_own_until_they_belong_to_somebody(stores: Stores) -> None:
    """A device may belong to an address, and that to a customer; what the customer said itself counts more."""
    each = new_rounds()
    tell(stores, {"colour": "red", "size": "L"}, "", "phone")
    tell(stores, {"colour": "blue"}, at=-5)
    each.once(stores)
    assert shown(stores.redis, "anonymous:phone") == {"colour": "red", "size": "L"}
    assert 0 < int(stores.redis.ttl(traits_key("anonymous:phone"))) <= 3_600
    link(stores, "anonymous:phone", "email:1")
    each.once(stores)
    assert shown(stores.redis, "anonymous:phone") == {}
    assert shown(stores.redis, "email:1") == {"colour": "red", "size": "L"}
    link(stores, "email:1", "c-1")
    each.once(stores)
    assert shown(stores.redis, "email:1") == {}
    assert shown(stores.redis, "c-1") == {"colour": "blue", "size": "L"}
    link(stores, "anonymous:phone", "email:1", "unlinked")
    each.once(stores)
    assert shown(stores.redis, "c-1") == {"colour": "blue"}
    assert shown(stores.redis, "anonymous:phone") == {"colour": "red", "size": "L"}


def test_a_redis_that_lost_everything_gets_everybody_and_other_declarations_too(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "PAGE", 3)
    monkeypatch.setattr(people, "PART", 4)
    for number in range(11):
        tell(stores, {"colour": number}, f"c-{number}")
        tell(stores, {"size": number}, "", f"d-{number}")
        link(stores, f"anonymous:d-{number}", f"c-{number}")
    tell(stores, {"size": 7}, "", "stranger")
    expected = {f"c-{number}": {"colour": str(number), "size": str(number)} for number in range(11)}
    expected["anonymous:stranger"] = {"size": "7"}
    each = new_rounds()
    for _ in range(2):
        each.once(stores)
        assert {key[12:-1]: stores.redis.hgetall(key) for key in stores.redis.keys("crm:traits:*")} == expected
        assert stores.redis.ttl(traits_key("anonymous:stranger")) > 0
        stores.redis.flushdb()
    each.once(stores)
    monkeypatch.setattr(rounds, "MOST_IDS", 4)
    monkeypatch.setattr(rounds, "PART", 4)
    for number in range(11):
        tell(stores, {"colour": 5}, f"c-{number}", at=1)
    link(stores, "anonymous:stranger", "c-1")
    tell(stores, {"colour": None}, "c-3", at=2)
    tell(stores, {"size": None}, "", "d-3", at=2)
    each.once(stores)
    assert {stores.redis.hget(traits_key(f"c-{number}"), "colour") for number in range(11)} == {"5", None}
    assert not stores.redis.exists(traits_key("anonymous:stranger"), traits_key("c-3"))
    assert shown(stores.redis, "c-1") == {"colour": "5", "size": "7"}
    new_rounds(DECLARED | {"tone": Trait(sent_as=("colour",))}).once(stores)
    assert shown(stores.redis, "c-4") == {"tone": "5", "size": "4"}


@pytest.mark.parametrize(
    "noted",
    ["", "{}", "[1]", '{"until": "x", "declared": "y"}', '{"until": 3, "declared": "y"}',
     '{"until": "2026-01-01 00:00:00", "declared": "y"}'],
)  # fmt: skip
def test_a_note_that_cannot_be_read_is_none(stores: Stores, noted: str) -> None:
    tell(stores, {"colour": "red"})
    stores.redis.set(PUBLISHED_KEY, noted)
    new_rounds().once(stores)
    assert shown(stores.redis, "c-1") == {"colour": "red"}


def test_changes_wait_while_very_many_come_but_not_for_ever(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BUSY_IDS", 1)
    each = new_rounds()
    each.once(stores)
    tell(stores, {"colour": "red"})
    tell(stores, {"colour": "red"}, "c-2")
    each.once(stores)
    assert shown(stores.redis, "c-1") == {}
    monkeypatch.setattr(rounds, "MOST_WAIT", timedelta(0))
    each.once(stores)
    assert shown(stores.redis, "c-1") == {"colour": "red"}


class Noting(PeoplesTraits):
    """Notes whom it should publish."""

    def __init__(self) -> None:
        super().__init__(DECLARED, 1, List())
        self.told: list[str] = []

    def publish(self, stores: Stores, ids: Any) -> None:
        self.told += ids

    def publish_part(self, stores: Stores, part: int, parts: int) -> None:
        self.told.append(f"{part} of {parts}")


def test_changes_are_read_once_and_again_when_they_have_settled_or_after_a_restart(stores: Stores) -> None:
    """A row whose insert took long carries a time before the round that could not see it."""

    def back_by(seconds: float) -> None:
        now = stores.clickhouse.query("SELECT now64(6, 'UTC')").first_row[0].replace(tzinfo=UTC)
        noted = json.loads(stores.redis.get(PUBLISHED_KEY))
        until = (now - timedelta(seconds=seconds)).isoformat()
        stores.redis.set(PUBLISHED_KEY, json.dumps(noted | {"until": until}))

    noting = Noting()
    each = TraitRounds(noting)
    each.once(stores)
    for name, ago in (("new", 5), ("settles", 65), ("read", 30), ("settled", 75)):
        stores.clickhouse.command(f"INSERT INTO trait_changes SELECT now64(3) - INTERVAL {ago} SECOND, '{name}'")
    each.once(stores)
    noting.told.clear()
    back_by(10)
    each.once(stores)
    assert noting.told == ["new", "settles"]
    noting.told.clear()
    back_by(10)
    TraitRounds(noting).once(stores)
    assert noting.told == ["new", "read", "settles"]


def test_people_who_are_being_erased_are_left_alone(stores: Stores) -> None:
    tell(stores, {"colour": "red"})
    tell(stores, {"colour": "red"}, "c-2")
    new_rounds(pending=List("c-1")).once(stores)
    assert (shown(stores.redis, "c-1"), shown(stores.redis, "c-2")) == ({}, {"colour": "red"})


@pytest.mark.parametrize("all_at_once", [True, False])
def test_somebody_who_is_erased_while_traits_are_read_does_not_come_back(stores: Stores, *, all_at_once: bool) -> None:
    """Listed, erased and done between the question and the writing."""
    listed = List()
    each = new_rounds(pending=listed)
    if not all_at_once:
        each.once(stores)
    tell(stores, {"colour": "red"})
    tell(stores, {"colour": "red"}, "c-2")

    def erase() -> None:
        stores.clickhouse.command("ALTER TABLE trait_facts DELETE WHERE person = 'c-1'", settings={"mutations_sync": 2})

    listed.changes = [None, erase]
    each.once(stores)
    assert (shown(stores.redis, "c-1"), shown(stores.redis, "c-2")) == ({}, {"colour": "red"})
    assert listed.number == 1


def test_a_device_that_leaves_an_address_for_a_customer_takes_its_traits_along(stores: Stores) -> None:
    """Nothing is unlinked then: the former owner is known by its link only."""
    each = new_rounds()
    link(stores, "email:1", "c-1")
    link(stores, "anonymous:phone", "email:1")
    tell(stores, {"colour": "red"}, "", "phone")
    each.once(stores)
    assert shown(stores.redis, "c-1") == {"colour": "red"}
    link(stores, "anonymous:phone", "c-2")
    each.once(stores)
    assert (shown(stores.redis, "c-1"), shown(stores.redis, "c-2")) == ({}, {"colour": "red"})


def test_everybody_is_published_on_from_the_part_where_it_was_interrupted(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "PART", 1)
    for number in range(3):
        tell(stores, {"colour": "red"}, f"c-{number}")

    class Failing(Noting):
        def publish_part(self, stores: Stores, part: int, parts: int) -> None:
            super().publish_part(stores, part, parts)
            if part == 1 and len(self.told) == 2:
                raise ConnectionResetError

    noting = Failing()
    with pytest.raises(ConnectionResetError):
        TraitRounds(noting).once(stores)
    tell(stores, {"colour": "red"}, "c-9")
    TraitRounds(noting).once(stores)
    assert noting.told == ["0 of 3", "1 of 3", "1 of 3", "2 of 3"]
    TraitRounds(noting).once(stores)
    assert "c-9" in noting.told, "what came meanwhile"


def test_people_with_long_ids_and_with_many_ids_are_published_too(stores: Stores) -> None:
    """ClickHouse takes 128 KiB in a parameter."""
    long = [f"{number}" + "\N{GRINNING FACE}" * 95 for number in range(300)]
    for name in long:
        tell(stores, {"colour": name[:3]}, name)
    events = [
        [f"m-{number}", "Identify", "", f"d-{number}", NOON, json.dumps({"traits": {f"t{number}": number}})]
        for number in range(2_000)
    ]
    names = ["event_id", "name", "customer_id", "anonymous_id", "occurred_at", "properties"]
    stores.clickhouse.insert("identity_events", events, column_names=names)
    visitors = [f"anonymous:d-{number}" for number in range(2_000)]
    stores.clickhouse.insert(
        "customers", [[name, 1, "c-many"] for name in visitors], column_names=["customer_id", "version", "merged_into"]
    )
    stores.clickhouse.insert(
        "identity_links", [[name, "c-many", "linked", NOON] for name in visitors],
        column_names=["identity", "person", "outcome", "occurred_at"],
    )  # fmt: skip
    PeoplesTraits(DECLARED, 60, List()).publish(stores, [*long, "anonymous:d-7"])
    assert [shown(stores.redis, name)["colour"] for name in long] == [name[:3] for name in long]
    assert len(shown(stores.redis, "c-many")) == 2_000


def join(stores: Stores, account: str, customer: str = "", device: str = "", **said: Any) -> None:
    """Insert a Group event."""
    properties = json.dumps({"group_id": account, "group_traits": said})
    tell(stores, {}, customer, device, at=next(NUMBERS), name="Group", properties=properties)


def test_accounts_have_sums_and_traits_and_only_those_that_changed_are_written(stores: Stores) -> None:
    join(stores, "acme", "c-1", name="ACME", plan="gold")
    join(stores, "acme", "", "phone")
    join(stores, "bolt", "c-2")
    profiles = [["c-1", 1, NOON, NOON, 5, 2, 30], ["c-2", 1, NOON, NOON, 1, 0, 0]]
    names = ["customer_id", "version", "first_seen", "last_seen", "events", "orders", "revenue"]
    stores.clickhouse.insert("customers", profiles, column_names=names)
    scores = [[NOON, "c-1", 1, {"churn": 0.7}], [NOON, "c-3", 1, {"churn": 0.9}]]
    stores.clickhouse.insert("customer_daily", scores, column_names=["as_of", "customer_id", "version", "probability"])
    assert publish_accounts(stores) == 2
    acme: Any = stores.redis.hgetall(account_key("acme"))
    assert json.loads(acme.pop("traits")) == {"name": "ACME", "plan": "gold"}
    assert acme == {
        "name": "ACME", "customers": "1", "visitors": "1", "events": "5", "orders": "2", "revenue": "30.00",
        "refunded": "0.00", "tickets": "0", "highest_churn": "0.7", "first_seen": "2026-03-01T12:00:00Z",
        "last_seen": "2026-03-01T12:00:00Z",
    }  # fmt: skip
    assert publish_accounts(stores) == 0
    stores.clickhouse.insert("customers", [["c-2", 2, NOON, NOON, 2, 1, 9.5]], column_names=names)
    assert publish_accounts(stores) == 1
    assert stores.redis.hget(account_key("bolt"), "revenue") == "9.50"
    stores.clickhouse.command("TRUNCATE TABLE account_members")
    assert publish_accounts(stores) == 2
    assert not stores.redis.exists(account_key("acme"), account_key("bolt"), ACCOUNTS_KEY)
