"""State and the older part of the log are lost: `crmstream rebuild --from-warehouse` gives the same results."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from support.flow import Flow, Log
from support.history import OUTCOMES, PARTITIONS, SHOP, SLOWLY, RichHistory
from support.servers import fresh_servers, lose_results
from support.tables import differences, read_written

from connectors.kafka.publisher import Publisher, publish_history
from connectors.protocol import Record
from connectors.simulator.config import DAY_US
from contracts.settings import Settings
from contracts.stored import FACT_TABLES
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from streams.rebuild import saved_ends


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Servers of its own: this test deletes records of the log."""
    with fresh_servers(tmp_path_factory.mktemp("servers"), PARTITIONS) as running:
        with Publisher(running.kafka, PARTITIONS) as publisher:
            publish_history(MoreKinds(), publisher, until=SHOP.end_us + DAY_US)
        yield running


class MoreKinds:
    """The rich history, with a third of its money and all refunds in euros."""

    def records(self) -> Iterator[Record]:
        for number, record in enumerate(RichHistory().records()):
            foreign = number % 3 == 0 or b"Order Refunded" in (record.value or b"")
            yield record._replace(value=in_euros(record.value)) if foreign else record


def in_euros(body: bytes | None) -> bytes | None:
    return body and body.replace(b'"USD"', b'"EUR"')


def test_a_rebuild_gives_what_the_log_gave(own_servers: Endpoints, folder: Path) -> None:
    settings = Settings(
        data_dir=folder, kafka_bootstrap_servers=own_servers.kafka, clickhouse_url=own_servers.clickhouse_url,  # type: ignore[arg-type]
        redis_url=own_servers.redis_url, base_currency="USD", exchange_rates={"EUR": 1.25}, partitions=PARTITIONS,  # type: ignore[arg-type]
        outcomes=OUTCOMES, training_stride_days=3, dormant_days=60, duplicate_window_events=4_000,
        live_backlog_events=100, heartbeat_idle_seconds=3_600, collector=False,
    )  # fmt: skip
    log, flow = Log(own_servers.kafka, PARTITIONS), Flow(settings)
    with flow:
        flow.drain(log)
        assert "already" in flow.refuses("rebuild", "--from-warehouse", "--yes"), "workers run"
        flow.stop()
        expected = read_written(settings)

        log.delete_older_part(2 / 3)
        client = clickhouse_client(own_servers.clickhouse_url, settings.clickhouse_database)
        assert_worth_comparing(client)
        for table in FACT_TABLES.values():
            client.command(f"OPTIMIZE TABLE {table} FINAL")  # records that were replaced are gone for good
        lose_results(client, own_servers.redis_url)

        assert_refuses_gaps(flow, client, folder)

        told = flow.run("rebuild", "--from-warehouse", "--yes")
        assert "recovery-" in told, told
        assert len(list(folder.glob("recovery-*"))) == 1
        assert not (folder / "recovery").exists()
        assert saved_ends(folder) is not None

        flow.start(**SLOWLY)
        flow.await_that(lambda: client.query("SELECT count() FROM customers").result_rows[0][0] > 50, "it rebuilds")
        flow.kill()
        assert log.progress() < 2 / 3, "it was killed while it read from ClickHouse"
        flow.start(epoch_seconds=1, replay_epoch_days=90, max_batch_events=5_000)
        flow.drain(log)
        flow.await_that(lambda: saved_ends(folder) is None, "the note of the rebuild is removed")
        flow.stop()
        found = differences(expected, read_written(settings))
        assert not found, "\n".join(found)


def assert_refuses_gaps(flow: Flow, client: Client, folder: Path) -> None:
    """Without the events that Kafka has deleted, a rebuild is refused, and nothing is moved or noted."""
    client.command("CREATE TABLE no_events AS log_events")
    client.command("EXCHANGE TABLES log_events AND no_events")
    told = flow.refuses("rebuild", "--from-warehouse", "--yes")
    assert "neither in ClickHouse nor in Kafka" in told, told
    assert "--accept-loss" in told, told
    assert "What is lost" in flow.run("rebuild", "--from-warehouse", "--dry-run")
    assert (folder / "recovery").exists()
    assert saved_ends(folder) is None
    client.command("EXCHANGE TABLES log_events AND no_events")
    client.command("DROP TABLE no_events")
    told = flow.run("rebuild", "--from-warehouse", "--dry-run")
    assert "have the whole log" in told, told
    assert (folder / "recovery").exists()


def assert_worth_comparing(client: Client) -> None:
    for condition in (
        "web_events FINAL WHERE is_late", "transactions FINAL WHERE currency = 'EUR' AND name = 'Order Refunded'",
        "identity_links FINAL WHERE outcome = 'unlinked'",
        "(SELECT kind, customer_id, anonymous_id, event_id FROM log_events FINAL GROUP BY ALL HAVING count() > 1)",
    ):  # fmt: skip
        assert client.query(f"SELECT count() FROM {condition}").result_rows[0][0] > 2, condition
