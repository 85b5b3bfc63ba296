"""Real histories, replayed as a user would: ``crmstream up`` in one terminal, ``crmstream replay`` in another."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from support.data import real
from support.flow import Flow, Log
from support.history import PARTITIONS

from contracts.settings import Settings
from sinks.clients import clickhouse_client, redis_client

CDNOW, INCIDENTS = "data/cdnow/CDNOW_master.txt", "data/incidents/incident_event_log.csv.gz"
PURCHASES, CUSTOMERS, MONEY = 69_659, 23_570, Decimal("2500315.63")
WAIT_SECONDS = 230


@pytest.fixture
def flow(folder: Path) -> Iterator[Flow]:
    """An installation with all its servers of its own."""
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(data_dir=folder, sweep_hours=672, partitions=PARTITIONS, **unset)  # type: ignore[arg-type]
    with Flow(settings) as running:
        yield running


def test_cdnow_is_there_exactly_and_once(flow: Flow) -> None:
    log = Log(flow.endpoints.kafka, PARTITIONS)
    client = clickhouse_client(flow.endpoints.clickhouse_url, "crm")
    for _ in range(2):  # the second time doubles nothing
        assert "69,659" in flow.run("replay", str(real(CDNOW)), "--mapping", "cdnow")
        flow.drain(log, WAIT_SECONDS)
        facts = client.query("SELECT count(), uniqExact(customer_id), sum(amount) FROM transactions FINAL")
        assert facts.result_rows == [(PURCHASES, CUSTOMERS, MONEY)]
        profiles = client.query("SELECT count(), sum(orders), sum(revenue) FROM customers FINAL")
        assert profiles.result_rows == [(CUSTOMERS, PURCHASES, MONEY)]
    newest = client.query("SELECT customer_id, version, probability, percentile FROM newest_scores").result_rows
    assert len(newest) == CUSTOMERS
    assert client.query("SELECT count() FROM dead_letters").result_rows == [(0,)]
    with redis_client(flow.endpoints.redis_url) as redis:
        for customer, version, probability, percentile in newest:
            found = redis.hgetall(f"crm:score:{{{customer}}}")
            assert int(found["version"]) == version
            assert {name: float(found[name]) for name in probability} == probability
            assert {name: float(found[f"{name}_percentile"]) for name in percentile} == pytest.approx(percentile)
        assert len(list(redis.scan_iter("crm:score:*", count=5_000))) == CUSTOMERS


def test_incidents_become_service_events_and_broken_rows_are_told(flow: Flow, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    told = flow.run("replay", str(real(INCIDENTS)), "--mapping", "incidents", "--rejects", str(rejects))
    assert "141,712" in told
    lines = rejects.read_text().splitlines()
    assert lines[0] == "line,field,problem"
    assert len(lines) - 1 == 39
    assert {line.partition(",")[0] for line in lines[1:]} >= {"330", "115643", "124511"}
    flow.drain(Log(flow.endpoints.kafka, PARTITIONS), WAIT_SECONDS)
    client = clickhouse_client(flow.endpoints.clickhouse_url, "crm")
    counts = dict(client.query("SELECT name, count() FROM service_events FINAL GROUP BY name").result_rows)
    assert sum(counts.values()) == 141_673
    assert counts["Ticket Opened"] == 24_915
    callers = client.query("SELECT uniqExact(customer_id) FROM service_events").first_row[0]
    profiles = client.query("SELECT count(), sum(events), sum(tickets) FROM customers FINAL").result_rows
    assert profiles == [(callers, 141_673, 24_915)]
