"""``crmstream forget`` and ``suppress`` on the real servers, without workers: every row goes, and nobody else's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import Crm, client_of_crm, migrated_crm
from support.person_rows import ADDRESS, add_person

from contracts.forgotten import read_forgotten
from contracts.identity import email_key, visitor_id
from contracts.stored import TABLES, profile_key, score_key, top_key
from crmstream.people.personal import PERSONAL
from crmstream.stack.endpoints import Endpoints
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
    redis.zadd(top_key("churn"), {"c-17": 5, "stranger": 4})
    asked = crm("forget", "Jo@Example.com", input="n\n")
    assert asked.exit_code == 1
    assert "c-17, with 3 ids in all" in asked.output
    assert len(rows(client)) == len(others)
    assert not listed.exists()

    answer = crm("forget", "Jo@Example.com", "--yes")
    assert answer.exit_code == 0, answer.output
    assert "Forgot 3 ids: 30 rows of 13 tables, 4 keys of Redis." in answer.output, answer.output
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


def test_every_table_with_rows_about_people_is_emptied_of_them() -> None:
    assert PERSONAL.keys() <= TABLES.keys()


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
    assert not any(read_forgotten(listed).people[found.hash_of(each)].is_for_ever for each in ids[:3])
    assert rows(client)["customers"] == 2
    assert json.loads(listed.read_text())["version"] == 1
