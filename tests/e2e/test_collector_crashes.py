"""Events over HTTP while the collector is killed and Kafka is stopped: every acknowledged one is in ClickHouse, once.

``COLLECTOR_CRASH_EVENTS=200000 pytest tests/e2e/test_collector_crashes.py`` is the full size.
"""

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from support.collecting import basic, write_sources
from support.flow import Flow, wait_until

from contracts.settings import Settings
from crmstream.stack.parts import KafkaPart
from crmstream.stack.ports import free_port
from crmstream.stack.process import stop_all
from sinks.clients import clickhouse_client

EVENTS = int(os.environ.get("COLLECTOR_CRASH_EVENTS", "6000"))
BATCH = 125
CLIENTS = 4
CUSTOMERS = 2_000
DOWN_SECONDS = 2
PATIENCE_SECONDS = 120 + EVENTS / 500


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaPart]:
    """A broker of the test's own, to be stopped."""
    part = KafkaPart(tmp_path / "broker", free_port(), free_port())
    part.start()
    part.wait_ready()
    yield part
    stop_all([part.process], 20)


def batch(first: int) -> bytes:
    """A batch of views and orders; the ids are those of the numbers from ``first``."""
    return orjson.dumps({"batch": [message(number) for number in range(first, first + BATCH)]})


def message(number: int) -> dict[str, object]:
    order = {"order_id": str(number), "total": 10, "currency": "USD"}
    return {
        "type": "track", "messageId": f"m-{number}", "userId": f"c-{number % CUSTOMERS}",
        "event": "Order Completed" if number % 10 == 0 else "Product Viewed",
        "properties": order if number % 10 == 0 else {"product_id": "p"},
    }  # fmt: skip


class Client:
    """What an SDK does: send a batch until it is acknowledged, however often that takes."""

    def __init__(self, url: str):
        self._url = url
        self._lock = threading.Lock()
        self.acknowledged = self.refused = self.broken = 0

    def send(self, first: int) -> None:
        """Send one batch until there is a 200."""
        content = batch(first)
        headers = {"Authorization": basic("wk_shop"), "Content-Type": "application/json"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, content, headers), timeout=30):
                    self._count("acknowledged", BATCH)
                    return
            except urllib.error.HTTPError as error:
                if error.code != 503 or not error.headers["Retry-After"]:
                    raise
                self._count("refused")
            except OSError:
                self._count("broken")
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def _count(self, what: str, number: int = 1) -> None:
        with self._lock:
            setattr(self, what, getattr(self, what) + number)


def kill_collector(flow: Flow) -> None:
    """Kill it with -9; the supervisor starts another."""
    before = flow.collector_pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: flow.collector_pid not in (0, before), "the supervisor has started the collector again")


def stop_and_start(broker: KafkaPart) -> None:
    """Stop Kafka for a while."""
    stop_all([broker.process], 20)
    time.sleep(DOWN_SECONDS)
    broker.start()
    broker.wait_ready()


def test_every_acknowledged_event_is_stored_once(broker: KafkaPart, tmp_path: Path) -> None:
    folder = tmp_path / "crm"
    write_sources(folder, {"shop": "wk_shop"})
    settings = Settings(
        data_dir=folder, kafka_bootstrap_servers=broker.endpoint(), clickhouse_url=None, redis_url=None,
        collector_port=0, collector_delivery_seconds=3,
    )  # fmt: skip
    with Flow(settings) as flow:
        client = Client(f"{flow.endpoints.collector_url}/v1/batch")
        blows: list[tuple[float, Callable[[], None]]] = [
            (0.15, lambda: kill_collector(flow)),
            (0.4, lambda: stop_and_start(broker)),
            (0.7, lambda: kill_collector(flow)),
        ]
        with ThreadPoolExecutor(CLIENTS) as pool:
            sent = [pool.submit(client.send, first) for first in range(0, EVENTS, BATCH)]
            for moment, blow in blows:
                wait_until(lambda moment=moment: client.acknowledged >= moment * EVENTS, f"{moment:.0%} is sent", 120)  # type: ignore[misc]
                assert client.acknowledged < EVENTS
                blow()
            for one in sent:
                one.result()
        assert client.acknowledged == EVENTS
        assert client.refused  # Kafka was away
        assert client.broken  # the collector was
        store = clickhouse_client(flow.endpoints.clickhouse_url, settings.clickhouse_database)

        def stored() -> list[tuple[int, int]]:
            select = "SELECT count(), uniqExact(event_id) FROM {} FINAL WHERE source = 'shop'"
            return [store.query(select.format(table)).result_rows[0] for table in ("web_events", "transactions")]

        expected = [(EVENTS * 9 // 10, EVENTS * 9 // 10), (EVENTS // 10, EVENTS // 10)]
        flow.await_that(lambda: stored() == expected or sum(row[0] for row in stored()) > EVENTS, "all is stored", 120)
        assert stored() == expected
        print(f"{EVENTS:,} acknowledged; {client.refused} times 503, {client.broken} broken connections")
