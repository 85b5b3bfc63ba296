"""A shop's own export becomes scores with ``crmstream import`` alone, and decides the base currency."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.flow import Flow, Log
from support.woo import Export, Truth, woo_export

from contracts.settings import Settings
from sinks.clients import clickhouse_client, redis_client


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """A fresh installation, as ``crmstream up`` makes it in an empty folder."""
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    folder = tmp_path_factory.mktemp("shop")
    with Flow(Settings(data_dir=folder, collector=False, **unset)) as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture(scope="module")
def export() -> Export:
    return woo_export(datetime.now(UTC) - timedelta(days=4))


@pytest.fixture(scope="module")
def imported(flow: Flow, export: Export, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, after one command of a person."""
    path = tmp_path_factory.mktemp("person") / "woo.csv"
    path.write_bytes(export.content)
    flow.run("import", str(path), "--yes", "--time-zone", "Europe/Berlin")
    return path


def rows(flow: Flow, query: str) -> list[Any]:
    client = clickhouse_client(flow.endpoints.clickhouse_url, flow.settings.clickhouse_database)
    return list(client.query(query).result_rows)


def found(flow: Flow) -> dict[str, Truth]:
    told = rows(flow, "SELECT customer_id, orders, revenue, refunds, refunded FROM customers FINAL WHERE orders > 0")
    return {customer: Truth(*map(Decimal, others)) for customer, *others in told}  # type: ignore[arg-type]


def test_customers_have_the_revenue_and_the_refunds_of_the_file(flow: Flow, imported: Path, export: Export) -> None:
    flow.await_that(lambda: found(flow) == export.truth, "revenue and refunds are those of the file")
    guests = {customer for customer in found(flow) if "@" in customer}
    assert len(guests) > 5
    assert len(found(flow)) - len(guests) > 20


def test_no_event_is_a_dead_letter(flow: Flow, imported: Path, export: Export) -> None:
    flow.await_that(lambda: found(flow) == export.truth, "everything is in")
    assert rows(flow, "SELECT count() FROM dead_letters") == [(0,)]


def test_every_buyer_has_scores_and_the_list_has_rows(flow: Flow, imported: Path, export: Export) -> None:
    with redis_client(flow.endpoints.redis_url) as redis:
        keys = [f"crm:score:{{{customer}}}" for customer in export.truth]
        flow.await_that(lambda: redis.exists(*keys) == len(keys), "every customer has a score")
        assert all(0 < float(redis.hget(key, "churn") or -1) < 1 for key in keys)
    top = json.loads(flow.run("top", "churn", "--json"))
    assert top
    assert {one["customer_id"] for one in top} <= set(export.truth)


def test_importing_it_again_doubles_nothing(flow: Flow, imported: Path, export: Export) -> None:
    flow.await_that(lambda: found(flow) == export.truth, "everything is in")
    before = rows(flow, "SELECT count(), sum(amount) FROM transactions FINAL")
    flow.run("import", str(imported), "--yes", "--time-zone", "Europe/Berlin")
    flow.run("replay", str(imported), "--mapping", str(imported.with_suffix(".yaml")))
    flow.drain(Log(flow.endpoints.kafka, flow.settings.partitions))
    assert rows(flow, "SELECT count(), sum(amount) FROM transactions FINAL") == before
    assert found(flow) == export.truth
