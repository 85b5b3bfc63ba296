"""Time goes on after a history: on a stack that is fed by files only, somebody who falls silent becomes at risk."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer
from support.flow import Flow

from contracts.settings import Settings
from contracts.topics import WEB_EVENTS
from crmstream.stack.supervisor import LocalStack
from sinks.clients import redis_client

NOW = datetime.now(UTC)
SILENT_DAYS = 40
"""How long ago the history ends."""
HEADER = "customer_id,kind,ts,amount,items\n"


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """An installation on a fresh log, whose histories settle late: a test starts it again with another time."""
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    folder = tmp_path_factory.mktemp("time")
    servers = Settings(data_dir=folder / "servers", **unset)  # type: ignore[arg-type]
    with LocalStack(servers, with_dataflow=False) as running:
        settings = Settings(
            data_dir=folder / "stack",
            kafka_bootstrap_servers=running.endpoints.kafka,
            clickhouse_url=running.endpoints.clickhouse_url,  # type: ignore[arg-type]
            redis_url=running.endpoints.redis_url,  # type: ignore[arg-type]
            partitions=2, buckets=2, collector=False, history_settles_seconds=3_600,
        )  # fmt: skip
        with Flow(settings) as flow:
            yield flow


def order(customer: str, days_ago: float) -> str:
    return f"{customer},purchase,{NOW - timedelta(days=days_ago):%Y-%m-%dT%H:%M:%S}Z,20.00,1\n"


def import_night(flow: Flow, folder: Path, name: str, rows: list[str]) -> None:
    """What cron does: a file appears in the folder, and ``watch --once`` takes it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(HEADER + "".join(rows))
    flow.run("watch", str(folder), "--mapping", "purchases", "--once", "--settle", "0")


def profile(flow: Flow, customer: str) -> dict[str, str]:
    """What Redis says of a customer."""
    with redis_client(flow.endpoints.redis_url) as redis:
        return {**redis.hgetall(f"crm:profile:{{{customer}}}"), **redis.hgetall(f"crm:score:{{{customer}}}")}


def told(flow: Flow) -> dict[str, str]:
    """What ``crmstream status`` says about time."""
    found: dict[str, str] = json.loads(flow.run("status", "--json"))["time"]
    return found


@contextmanager
def garbage(flow: Flow) -> Iterator[None]:
    """Break the web topic of one partition: a hundred invalid records per second, and nothing else there."""
    producer, over = Producer({"bootstrap.servers": flow.settings.kafka_bootstrap_servers}), Event()

    def publish() -> None:
        while not over.wait(0.1):
            for _ in range(10):
                producer.produce(WEB_EVENTS.name, b"broken", b"c", 0)
            producer.poll(0)

    thread = Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        assert producer.flush(30) == 0


def test_a_history_settles_and_the_silent_become_at_risk_also_after_a_restart(flow: Flow, tmp_path: Path) -> None:
    """Forty midnights pass while one partition gets nothing but invalid records: they hold no clock."""
    rows = [order(f"c-{n}", SILENT_DAYS + 7 * week + n / 24) for n in range(5) for week in range(20)]
    import_night(flow, tmp_path / "inbox", "history.csv", rows)
    end = f"{NOW - timedelta(days=SILENT_DAYS):%Y-%m-%d}"
    flow.await_that(lambda: profile(flow, "c-0").get("lifecycle") == "active", "the history is worked off")
    assert told(flow)["reason"] == "settling"
    assert end in told(flow)["why"]

    flow.stop()
    with garbage(flow):
        flow.start(history_settles_seconds=2)
        flow.await_that(lambda: profile(flow, "c-0").get("lifecycle") == "at_risk", "the silent are at risk")
        flow.await_that(lambda: told(flow)["reason"] == "live", "the clock follows time")

        import_night(flow, tmp_path / "inbox", "tonight.csv", [order("c-1", 1)])
        flow.await_that(lambda: profile(flow, "c-1").get("orders") == "21", "yesterday's order counts")
        assert profile(flow, "c-0")["lifecycle"] == "at_risk"
        flow.await_that(lambda: told(flow)["reason"] == "live", "the night's file does not stop the clock for good")
        assert "crm-web-events-0" in told(flow)["why"]
