"""``crmstream export-person`` against the real servers: every table's rows about one person, and nobody else's."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import Crm, client_of_crm, migrated_crm
from support.person_rows import ADDRESS, add_person

from contracts.identity import email_key, visitor_id
from contracts.stored import TABLES, profile_key, score_key, traits_key
from crmstream.people.personal import NOT_PERSONAL, PERSONAL
from crmstream.stack.endpoints import Endpoints
from sinks.clients import redis_client

pytestmark = pytest.mark.stack


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    return migrated_crm(stack, monkeypatch, tmp_path, "export_person")


@pytest.fixture
def client(crm: Crm, stack: Endpoints) -> Iterator[Client]:
    with client_of_crm(stack) as connected:
        yield connected


def test_every_table_is_about_people_or_not() -> None:
    assert PERSONAL.keys() | NOT_PERSONAL == TABLES.keys()
    assert not PERSONAL.keys() & NOT_PERSONAL


def test_the_file_has_every_row_about_the_person_and_none_about_others(
    client: Client, crm: Crm, stack: Endpoints, tmp_path: Path
) -> None:
    add_person(client, "c-17", "phone", ADDRESS)
    add_person(client, "stranger", "tv", email_key("other@example.com"))
    redis = redis_client(stack.redis_url)
    hashes = {score_key("c-17"): {"churn": "0.5"}, profile_key("c-17"): {"orders": "2"},
              score_key(visitor_id("phone")): {"merged_into": "c-17"}, traits_key("c-17"): {"note": "x"}}  # fmt: skip
    for key, fields in hashes.items():
        redis.hset(key, mapping=fields)
    file = tmp_path / "person.json"
    answer = crm("export-person", "Jo@Example.com", "--out", file)
    redis.delete(*hashes)
    assert answer.exit_code == 0, answer.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = json.loads(file.read_text())
    assert found["person"] == {"id": "c-17", "ids": ["c-17", visitor_id("phone"), ADDRESS]}
    assert found["redis"] == hashes
    counts = {table: len(rows) for table, rows in found["clickhouse"].items()}
    assert counts == {
        "customers": 2, "identity_links": 2, "trait_facts": 2, "account_members": 1, "trait_changes": 4,
        "known_ids": 2, "web_events": 2,
        "transactions": 2, "service_events": 2, "identity_events": 3, "order_facts": 2, "customer_daily": 1,
        "score_changes": 1, "log_events": 9, "dead_letters": 1,
    }  # fmt: skip
    assert counts.keys() == PERSONAL.keys()
    assert f"Wrote {sum(counts.values())} rows about c-17 to" in " ".join(answer.output.split())
    assert "stranger" not in file.read_text()
    assert json.loads(found["clickhouse"]["web_events"][0]["properties"])["traits"]["note"] == "of\nc-17"
    again = crm("export-person", "c-17", "--out", file)
    assert again.exit_code == 1
    assert "exists already" in again.output
    assert json.loads(crm("export-person", "phone", "--out", "-").stdout)["person"] == found["person"]


def test_nobody_and_a_failure_leave_no_file(client: Client, crm: Crm, tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    assert crm("export-person", "nobody", "--out", file).exit_code == 1
    client.insert("customers", [["c-18", 1]], column_names=["customer_id", "version"])
    client.command("RENAME TABLE score_changes TO hidden")
    try:
        answer = crm("export-person", "c-18", "--out", file)
    finally:
        client.command("RENAME TABLE hidden TO score_changes")
    assert answer.exit_code == 1
    assert "score_changes" in answer.output
    assert list(tmp_path.glob("*person*")) == []
