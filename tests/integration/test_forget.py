"""``crmstream forget`` and ``suppress`` on the real servers, without workers: every row goes, and nobody else's."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import Crm, client_of_crm, migrated_crm
from support.person_rows import ADDRESS, NOON, add_person

from contracts.forgotten import change_forgotten, read_forgotten
from contracts.identity import email_key, visitor_id
from contracts.stored import TABLES, profile_key, score_key, top_key, traits_key
from crmstream.people.erase import ERASED
from crmstream.people.forget import linked_to
from crmstream.people.personal import PERSONAL
from crmstream.stack.endpoints import Endpoints
from crmstream.stores import Stores
from sinks.clients import redis_client

pytestmark = pytest.mark.stack


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    return migrated_crm(stack, monkeypatch, tmp_path, "forget")


@pytest.fixture
def client(crm: Crm, stack: Endpoints) -> Iterator[Client]:
    with client_of_crm(stack) as connected:
        yield connected


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "data" / "forgotten.json"


def rows(client: Client) -> dict[str, int]:
    counts = {table: client.query(f"SELECT count() FROM {table} FINAL").first_row[0] for table in PERSONAL}
    return {table: count for table, count in counts.items() if count}


def test_every_row_and_key_goes_and_nobody_elses(client: Client, crm: Crm, stack: Endpoints, listed: Path) -> None:
    add_person(client, "stranger", "tv", email_key("other@example.com"))
    others = rows(client)
    assert others.keys() == PERSONAL.keys()
    add_person(client, "c-17", "phone", ADDRESS)
    redis = redis_client(stack.redis_url)
    for name in ("c-17", visitor_id("phone"), "stranger"):
        redis.hset(score_key(name), "churn", "0.5")
        redis.hset(profile_key(name), "events", "1")
    redis.hset(traits_key("c-17"), "note", "x")
    redis.zadd(top_key("churn"), {"c-17": 5, "stranger": 4})
    asked = crm("forget", "Jo@Example.com", input="n\n")
    assert asked.exit_code == 1
    assert "c-17, with 3 ids in all" in asked.output
    assert len(rows(client)) == len(others)
    assert not listed.exists()

    answer = crm("forget", "Jo@Example.com", "--yes")
    assert answer.exit_code == 0, answer.output
    assert "Forgot 3 ids: 36 rows of 15 tables, 5 keys of Redis." in answer.output, answer.output
    assert "The dataflow does not run." in answer.output
    assert rows(client) == others
    kept = {key for key in redis.scan_iter("crm:*") if "c-17" in key or "phone" in key}
    assert kept == set()
    assert redis.hget(score_key("stranger"), "churn") == "0.5"
    assert redis.zrange(top_key("churn"), 0, -1) == ["stranger"]
    redis.delete(score_key("stranger"), profile_key("stranger"), top_key("churn"))
    left = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'people_new%'")
    assert left.result_rows == []
    mutations = client.query("SELECT command FROM system.mutations WHERE database = currentDatabase()").result_rows
    assert mutations
    assert not any("c-17" in command or "phone" in command for (command,) in mutations)

    found = read_forgotten(listed)
    assert found.pending == {"c-17", visitor_id("phone"), ADDRESS}, "until workers have removed them from the state"
    assert all(found.until(each) > 0 for each in found.pending)
    unknown = crm("forget", "nobody", "--yes")
    assert unknown.exit_code == 0, unknown.output
    assert "0 rows of 0 tables" in unknown.output
    again = crm("forget", "--pending", "--yes")
    assert again.exit_code == 0
    assert rows(client) == others
    assert len(crm("forget", "--log").output.splitlines()) == 3 + 2


def test_rejected_records_of_others_stay(client: Client, crm: Crm) -> None:
    """A short id, and a name that others have: only the fields of ids count, and contacts."""
    columns = ["topic", "log_partition", "log_offset", "entered_at", "key", "body"]
    bodies = {
        1: '{"customer_id": "17"}', 2: '{"total": "17", "customer_id": "18"}', 3: '{"userId": "17"',
        4: '{"anonymous_id": "phone"}', 5: '{"note": "jo@example.com"}', 6: '{"name": "Jo Doe"}', 7: "no json",
    }  # fmt: skip
    letters = [
        ["crm-web-events", 0, number, NOON, "17" if number == 7 else "", body] for number, body in bodies.items()
    ]
    client.insert("dead_letters", letters, column_names=columns)
    common = {"event_id": "e", "occurred_at": NOON, "received_at": NOON, "name": "Identify", "customer_id": "17",
              "anonymous_id": "phone", "log_offset": 1}  # fmt: skip
    said = json.dumps({"traits": {"email": "jo@example.com", "name": "Jo Doe"}})
    client.insert("identity_events", [[*common.values(), said]], column_names=[*common, "properties"])
    client.insert("customers", [["17", 1, ""]], column_names=["customer_id", "version", "merged_into"])
    link = [visitor_id("phone"), "17", "linked", NOON]
    client.insert("identity_links", [link], column_names=["identity", "person", "outcome", "occurred_at"])
    assert crm("forget", "17", "--yes").exit_code == 0
    left = client.query("SELECT log_offset FROM dead_letters FINAL ORDER BY 1").result_rows
    assert left == [(2,), (3,), (6,)]


def test_ids_that_were_linked_meanwhile_are_found_and_those_of_others_are_not(
    client: Client, crm: Crm, stack: Endpoints
) -> None:
    """A device that went from the person's address to another customer is that customer's."""
    columns = ["identity", "person", "outcome", "occurred_at"]
    client.insert("identity_links", [
        ["anonymous:new", "c-17", "linked", NOON], ["anonymous:sold", ADDRESS, "linked", NOON],
        ["anonymous:sold", "c-18", "linked", NOON + timedelta(hours=1)], ["anonymous:lost", "c-17", "linked", NOON],
        ["anonymous:lost", "c-17", "unlinked", NOON + timedelta(hours=1)], [ADDRESS, "c-17", "linked", NOON],
    ], column_names=columns)  # fmt: skip
    stores = Stores(client, redis_client(stack.redis_url))
    assert linked_to(stores, {"c-17", ADDRESS}) == ["anonymous:new"]
    assert linked_to(stores, {"c-17"}) == sorted(["anonymous:new", ADDRESS])
    assert linked_to(stores, {"nobody"}) == []


def test_a_request_for_an_unknown_id_erases_nobody_who_has_it_as_a_trait(client: Client, crm: Crm) -> None:
    add_person(client, "c-17", "phone", ADDRESS)
    columns = ["event_id", "occurred_at", "received_at", "name", "customer_id", "source", "properties", "log_offset"]
    card = ["card", NOON, NOON, "Identify", "c-17", "shop", '{"traits": {"loyalty_no": "1001"}}', 900]
    wanted = ["gone", NOON, NOON, "Delete User", "1001", "shop", "{}", 901]
    client.insert("identity_events", [card, wanted], column_names=columns)
    before = rows(client)
    assert "nobody to forget" in crm("forget", "--requested-by", "other", "--yes").output
    assert "Forgot 1 id:" in crm("forget", "--requested-by", "shop", "--yes").output
    gone = {table: count - rows(client).get(table, 0) for table, count in before.items()}
    assert {table: count for table, count in gone.items() if count} == {"identity_events": 1, "log_events": 1}


def test_people_of_the_list_who_are_there_again_are_erased_and_those_who_came_back_stay(
    client: Client, crm: Crm, listed: Path
) -> None:
    crm("forget", "c-17", "c-18", "--yes")
    change_forgotten(listed, lambda found: setattr(found, "pending", frozenset()))  # as workers would
    columns = ["customer_id", "version", "merged_into", "last_seen"]
    later = datetime.now(UTC) + timedelta(hours=1)
    people = [["c-17", 1, "", NOON], ["c-18", 1, "", later], ["c-19", 1, "", NOON]]
    client.insert("customers", people, column_names=columns)
    answer = crm("forget", "--listed", "--yes")
    assert answer.exit_code == 0, answer.output
    assert "1 id of the list came back" in answer.output
    assert client.query("SELECT customer_id FROM customers FINAL ORDER BY 1").result_rows == [("c-18",), ("c-19",)]
    assert read_forgotten(listed).pending >= {"c-17"}


def test_every_table_with_rows_about_people_is_emptied_of_them() -> None:
    assert ERASED.keys() == PERSONAL.keys() <= TABLES.keys()


def test_wrong_questions_are_told(crm: Crm, listed: Path) -> None:
    nobody = crm("forget", "--yes")
    assert nobody.exit_code == 1
    assert "Name ids" in " ".join(nobody.output.split())
    assert crm("forget", " ", "--yes").exit_code == 1
    assert "There is nobody to forget." in crm("forget", "--pending", "--yes").output
    assert "Nobody was forgotten" in crm("forget", "--log").output
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("{")
    damaged = crm("forget", "c-1", "--yes")
    assert damaged.exit_code == 1
    assert "damaged" in damaged.output


def test_suppressed_people_are_listed_with_all_their_ids_and_lifted(client: Client, crm: Crm, listed: Path) -> None:
    add_person(client, "c-17", "phone", ADDRESS)
    answer = crm("suppress", "phone", "new@example.com")
    assert answer.exit_code == 0, answer.output
    found = read_forgotten(listed)
    ids = ("c-17", visitor_id("phone"), ADDRESS, "new@example.com", email_key("new@example.com"))
    assert all(found.people[found.hash_of(each)].is_for_ever for each in ids)
    assert not found.pending
    assert "suppressed" in crm("forget", "--log").output
    lifted = crm("suppress", "c-17", "--lift")
    assert "Took 3 ids" in lifted.output
    assert crm("suppress", "c-17", "--lift").exit_code == 1
    assert not any(read_forgotten(listed).people[found.hash_of(each)].is_for_ever for each in ids[:3])
    assert rows(client)["customers"] == 2
    assert json.loads(listed.read_text())["version"] == 1
