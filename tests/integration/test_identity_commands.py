"""``crmstream identity`` and ``crmstream score`` of ids that are linked, against the real servers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, TopicPartition
from support.installation import Crm, client_of_crm, migrated_crm

from contracts.identity import email_key, visitor_id
from contracts.stored import profile_key, score_key
from contracts.topics import TOPIC_OF_KIND
from crmstream.stack.endpoints import Endpoints
from sinks.clients import redis_client

pytestmark = pytest.mark.stack
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EMAIL = email_key("c@example.com")
TOPIC = TOPIC_OF_KIND["identity"].name


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    """Runs ``crmstream`` on the shared servers, with a database of its own, in a terminal of 80 columns."""
    return migrated_crm(stack, monkeypatch, tmp_path, "identity")


@pytest.fixture
def client(crm: Crm, stack: Endpoints) -> Iterator[Client]:
    with client_of_crm(stack) as connected:
        yield connected


def decide(client: Client, *rows: tuple[str, str, str], minutes: int = 0) -> None:
    """Write decisions as the dataflow does."""
    given = [[*row, NOON + timedelta(minutes=minutes)] for row in rows]
    client.insert("identity_links", given, column_names=["identity", "person", "outcome", "occurred_at"])


@pytest.fixture
def linked(client: Client) -> str:
    """A customer with two devices and an address to which a third device belongs, and a device of somebody else."""
    customer = f"c-{uuid4().hex[:8]}"
    decide(
        client,
        *((name, customer, "linked") for name in (visitor_id("phone"), visitor_id("laptop"), EMAIL)),
        (visitor_id("tablet"), EMAIL, "linked"),
        (visitor_id("shared"), customer, "belongs_to_another"),
        (visitor_id("shared"), "d-1", "linked"),
    )
    profiles = [[customer, 7, NOON, NOON, 12, 3, ""], [visitor_id("phone"), 9, NOON, NOON, 0, 0, customer]]
    columns = ["customer_id", "version", "first_seen", "last_seen", "events", "orders", "merged_into"]
    client.insert("customers", profiles, column_names=columns)
    return customer


def shown(crm: Crm, asked: str) -> dict[str, Any]:
    answer = crm("identity", "show", asked, "--json")
    assert answer.exit_code == 0, answer.output
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def test_show_finds_one_customer_by_each_of_the_ids(linked: str, crm: Crm, stack: Endpoints) -> None:
    ids = {visitor_id(name) for name in ("phone", "laptop", "tablet")} | {EMAIL}
    for asked in ("phone", visitor_id("phone"), visitor_id("laptop"), "tablet", "C@example.com "):
        found = shown(crm, asked)
        assert found["person"] == linked
        assert {each["identity"] for each in found["links"] if each["outcome"] == "linked"} >= ids
        assert {name for name, owner in found["owners"].items() if owner in (linked, EMAIL)} == ids
    assert shown(crm, "tablet")["address"] == EMAIL
    told = crm("identity", "show", linked).stdout
    assert f"{linked} is a customer." in told
    assert "two known customers are never merged" in told
    assert "12 events, 3 orders" in told
    assert visitor_id("tablet") in told
    assert "is customer d-1" in crm("identity", "show", "shared").stdout
    unknown = crm("identity", "show", "nobody")
    assert (unknown.exit_code, "Nothing is known of 'nobody'" in unknown.output) == (1, True)


def test_show_and_score_follow_redis_over_two_hops(linked: str, crm: Crm, stack: Endpoints) -> None:
    new, address = uuid4().hex, email_key("new@example.com")
    with redis_client(stack.redis_url) as redis:
        redis.hset(score_key(visitor_id(new)), "merged_into", address)
        assert shown(crm, new)["address"] == address
        assert "which is no customer's yet" in crm("identity", "show", new).stdout
        redis.hset(score_key(address), "merged_into", linked)
        redis.hset(profile_key(linked), "orders", "3")
        assert shown(crm, new)["person"] == linked
        for asked in (new, visitor_id(new), "new@example.com", linked):
            assert json.loads(crm("score", asked, "--json").stdout)["customer_id"] == linked
        redis.delete(score_key(address), score_key(visitor_id(new)), profile_key(linked))


def test_show_tells_what_was_undone(linked: str, crm: Crm, client: Client) -> None:
    decide(client, (visitor_id("phone"), linked, "unlinked"), minutes=5)
    assert shown(crm, visitor_id("phone"))["person"] is None
    text = crm("identity", "show", linked).stdout
    assert f"unlinked from {linked}, at 2024-05-01 12:05" in text.split("Earlier")[1]
    decide(client, (visitor_id("phone"), "d-2", "linked"), minutes=6)
    assert shown(crm, "phone")["person"] == "d-2"
    decide(client, (EMAIL, linked, "unlinked"), minutes=7)
    assert shown(crm, "tablet")["person"] is None
    assert visitor_id("tablet") in {each["identity"] for each in shown(crm, "c@example.com")["links"]}


def ends(stack: Endpoints) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": uuid4().hex})
    found = {at: consumer.get_watermark_offsets(TopicPartition(TOPIC, at), timeout=10)[1] for at in range(4)}
    consumer.close()
    return found


def published(stack: Endpoints, before: dict[int, int]) -> list[dict[str, Any]]:
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": uuid4().hex})
    found = []
    for partition, end in ends(stack).items():
        consumer.assign([TopicPartition(TOPIC, partition, before[partition])])
        if end > before[partition]:
            found += [json.loads(each.value()) for each in consumer.consume(end - before[partition], 10)]
    consumer.close()
    return found


def test_unlink_publishes_an_event_after_a_question(linked: str, crm: Crm, stack: Endpoints) -> None:
    before = ends(stack)
    refused = crm("identity", "unlink", "phone", input="n\n")
    assert (refused.exit_code, published(stack, before)) == (1, [])
    assert "What was merged stays with the customer" in refused.stdout
    assert f"Unlink phone from {linked}?" in refused.output
    done = crm("identity", "unlink", "phone", input="y\n")
    assert done.exit_code == 0, done.output
    assert "The dataflow does not run" in done.stdout
    assert crm("identity", "unlink", "C@example.com", "--yes").exit_code == 0
    assert crm("identity", "unlink", visitor_id("tablet"), "--yes").exit_code == 0
    device, address, by_address = sorted(published(stack, before), key=lambda one: one["received_at"])
    assert (device["name"], device["anonymous_id"], device["source"]) == ("Unlink", "phone", "crmstream")
    assert (address["customer_id"], address["properties"]["traits"]["email"]) == (linked, "C@example.com")
    assert by_address["anonymous_id"] == "tablet"
    assert [one["properties"]["previous_id"] for one in (device, address)] == [linked, linked]
    assert by_address["properties"]["previous_id"].startswith("email:")
    assert device["occurred_at"] > NOON.isoformat()


@pytest.mark.parametrize("asked", ["customer", "nobody", EMAIL])
def test_unlink_refuses_ids_that_are_not_linked(asked: str, linked: str, crm: Crm, stack: Endpoints) -> None:
    before = ends(stack)
    answer = crm("identity", "unlink", linked if asked == "customer" else asked, "--yes")
    assert (answer.exit_code, published(stack, before)) == (1, [])
    assert answer.stderr.startswith("Error:")
