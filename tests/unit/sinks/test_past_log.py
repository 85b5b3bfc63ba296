"""What ClickHouse has of the log, by its own answers: from the embedded engine."""

from collections.abc import Iterator
from datetime import datetime

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from contracts.topics import INPUT_TOPICS, TRANSACTIONS, WEB_EVENTS
from sinks.migrations import migrate
from sinks.past_log import Extent, extents

AT = "toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + log_offset"
WEB, ORDERS = WEB_EVENTS.name, TRANSACTIONS.name


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("engine")
    with clickhouse_connect.get_client(dsn=f"chdb://{folder}", database="default") as client:
        client.command("CREATE DATABASE crm")
    with clickhouse_connect.get_client(dsn=f"chdb://{folder}", database="crm") as client:
        migrate(client, "crm")
        yield client


@pytest.fixture
def client(engine: Client) -> Client:
    for table in ("web_events", "transactions", "log_events", "log_clocks", "dead_letters"):
        engine.command(f"TRUNCATE TABLE {table}")
    return engine


def facts(client: Client, table: str, partition: int, first: int, end: int) -> None:
    """Insert facts of offsets; the views fill log_events."""
    client.command(
        f"INSERT INTO {table} (event_id, name, received_at, log_partition, log_offset) SELECT "
        f"toString(log_offset), 'x', {AT}, {partition}, {first} + number AS log_offset FROM numbers({end - first})"
    )


def clocks(client: Client, topic: str, partition: int, *offsets: int) -> None:
    client.command(
        f"INSERT INTO log_clocks SELECT '{topic}', {partition}, arrayJoin({list(offsets)}) AS log_offset, {AT}"
    )


def found(client: Client, low: int = 0) -> list[Extent]:
    return list(extents(client, {(topic.name, number): low for topic in INPUT_TOPICS for number in range(2)}, 2))


def received(offset: int) -> datetime:
    return datetime(2026, 1, 1, 0, offset // 60, offset % 60)  # noqa: DTZ001 - as the engine gives them


def test_an_empty_warehouse_has_nothing(client: Client) -> None:
    assert found(client, 100) == []


def test_events_and_clocks_say_how_far_it_goes(client: Client) -> None:
    facts(client, "web_events", 0, 5, 50)
    facts(client, "web_events", 0, 5, 50)
    clocks(client, WEB, 0, 0, 20, 60)
    clocks(client, WEB, 1, 3)
    client.command(f"INSERT INTO dead_letters (topic, log_partition, log_offset, body) VALUES ('{WEB}', 1, 2, 'x')")
    facts(client, "transactions", 1, 2, 4)
    assert found(client, 10) == [
        Extent(WEB, 0, 0, 60, True, 5, received(5)), Extent(WEB, 1, 2, 3, True),
        Extent(ORDERS, 1, 2, 3, False, 2, received(2)),
    ]  # fmt: skip


def test_facts_that_log_events_lost_are_counted_where_the_log_lost_them_too(client: Client) -> None:
    facts(client, "web_events", 0, 0, 50)
    facts(client, "web_events", 1, 0, 50)
    client.command("ALTER TABLE log_events DELETE WHERE log_partition = 0 AND log_offset BETWEEN 10 AND 29",
                   settings={"mutations_sync": 1})  # fmt: skip
    assert [each.unlisted for each in found(client, 20)] == [10, 0]
    assert [each.unlisted for each in found(client, 0)] == [0, 0]
    client.command("TRUNCATE TABLE log_events")
    clocks(client, WEB, 0, 0, 40)
    assert found(client, 20)[0] == Extent(WEB, 0, 0, 40, True, unlisted=20)

