"""Events over HTTP while parts are killed, frozen or out of room: every acknowledged one is in ClickHouse, once.

``COLLECTOR_CRASH_EVENTS=200000 pytest tests/e2e/test_collector_crashes.py`` is the full size.
"""

import os
import shutil
import signal
import subprocess
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
from support.flow import CRMSTREAM, Flow, wait_until

from contracts.settings import Settings
from crmstream.stack.health_file import read_health
from crmstream.stack.parts import KafkaPart
from crmstream.stack.ports import free_port
from crmstream.stack.process import stop_all
from sinks.clients import clickhouse_client

EVENTS = int(os.environ.get("COLLECTOR_CRASH_EVENTS", "6000"))
BATCH = 125
CLIENTS = 4
CUSTOMERS = 2_000
DOWN_SECONDS = 2
BALLAST_BYTES = 4 << 30
"""So much of the disk is taken to make it full; others on the machine write less meanwhile."""
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
                if error.code not in {503, 507} or not error.headers["Retry-After"]:
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


def kill_server(flow: Flow, title: str) -> None:
    """Kill a server of the stack with -9; the supervisor starts it again."""
    os.kill(server_pid(flow, title), signal.SIGKILL)
    wait_until(lambda: f"{title} is back" in flow.told(), f"{title} is back")


def server_pid(flow: Flow, title: str) -> int:
    return next(part.pid or 0 for part in read_health(flow.settings.data_dir) or [] if part.name == title)


def freeze_kafka(flow: Flow) -> None:
    """Stop Kafka until that is noticed, and let it go on."""
    pid = server_pid(flow, "Kafka")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: f"(process {pid} is stopped)" in flow.told(), "the silence of Kafka is noticed")
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "Kafka answers again" in flow.told(), "Kafka answers again")
    assert server_pid(flow, "Kafka") == pid


def fill_the_disk(flow: Flow) -> None:
    """Take the room away until it is noticed; meanwhile nothing else begins to publish either."""
    ballast = flow.settings.data_dir.parent / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    wait_until(lambda: "DISK FULL: the disk of " in flow.told(), "the full disk is noticed")
    headers = {"Authorization": basic("wk_shop"), "Content-Type": "application/json"}
    for path, content in (("/ready", None), ("/v1/batch", batch(0)), ("/v1/batch", batch(EVENTS))):
        with pytest.raises(urllib.error.HTTPError, match="507") as refused:
            urllib.request.urlopen(
                urllib.request.Request(f"{flow.endpoints.collector_url}{path}", content, headers), timeout=30
            )
        assert refused.value.headers["Retry-After"]
    for command in (["simulate"], ["watch", str(flow.settings.data_dir.parent), "--mapping", "cdnow", "--once"]):
        done = subprocess.run(
            [CRMSTREAM, *command], env=flow.environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert f"the disk of {flow.settings.data_dir}" in " ".join(done.stderr.split())
        assert "are needed (CRM_DISK_STOP_BYTES)" in " ".join(done.stderr.split())
    ballast.unlink()
    wait_until(lambda: "events are taken again" in flow.told(), "the room is noticed")


def stop_and_start(broker: KafkaPart) -> None:
    """Stop Kafka for a while."""
    stop_all([broker.process], 20)
    time.sleep(DOWN_SECONDS)
    broker.start()
    broker.wait_ready()


Blow = tuple[float, Callable[[], None]]
"""What happens once so much of the events is acknowledged."""


def send_all(flow: Flow, blows: list[Blow]) -> Client:
    """Send all events, with the blows meanwhile; return when every event is acknowledged."""
    client = Client(f"{flow.endpoints.collector_url}/v1/batch")
    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = [pool.submit(client.send, first) for first in range(0, EVENTS, BATCH)]
        for moment, blow in blows:
            wait_until(lambda moment=moment: client.acknowledged >= moment * EVENTS, f"{moment:.0%} is sent", 120)  # type: ignore[misc]
            blow()
        for one in sent:
            one.result()
    assert client.acknowledged == EVENTS
    return client


def await_all_stored(flow: Flow) -> None:
    """Wait until each event is in ClickHouse, once."""
    store = clickhouse_client(flow.endpoints.clickhouse_url, flow.settings.clickhouse_database)

    def stored() -> list[tuple[int, int]]:
        select = "SELECT count(), uniqExact(event_id) FROM {} FINAL WHERE source = 'shop'"
        return [store.query(select.format(table)).result_rows[0] for table in ("web_events", "transactions")]

    expected = [(EVENTS * 9 // 10, EVENTS * 9 // 10), (EVENTS // 10, EVENTS // 10)]
    flow.await_that(lambda: stored() == expected or sum(row[0] for row in stored()) > EVENTS, "all is stored", 120)
    assert stored() == expected


def test_every_acknowledged_event_is_stored_once(broker: KafkaPart, tmp_path: Path) -> None:
    folder = tmp_path / "crm"
    write_sources(folder, {"shop": "wk_shop"})
    settings = Settings(
        data_dir=folder, kafka_bootstrap_servers=broker.endpoint(), clickhouse_url=None, redis_url=None,
        collector_port=0, collector_delivery_seconds=3,
    )  # fmt: skip
    with Flow(settings) as flow:
        blows: list[Blow] = [
            (0.15, lambda: kill_collector(flow)),
            (0.4, lambda: stop_and_start(broker)),
            (0.7, lambda: kill_collector(flow)),
        ]
        client = send_all(flow, blows)
        assert client.refused  # Kafka was away
        assert client.broken  # the collector was
        await_all_stored(flow)
        print(f"{EVENTS:,} acknowledged; {client.refused} times 503, {client.broken} broken connections")


def test_every_acknowledged_event_is_stored_once_whatever_becomes_of_the_own_servers(tmp_path: Path) -> None:
    folder = tmp_path / "crm"
    write_sources(folder, {"shop": "wk_shop", "cdnow": "wk_cdnow"})
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    free = shutil.disk_usage(tmp_path).free
    settings = Settings(
        data_dir=folder, **unset, collector_port=0, collector_delivery_seconds=3,  # type: ignore[arg-type]
        disk_warn_bytes=free, disk_stop_bytes=free - BALLAST_BYTES // 2,
    )  # fmt: skip
    with Flow(settings) as flow:
        blows: list[Blow] = [
            (0.1, lambda: kill_server(flow, "Kafka")),
            (0.3, lambda: kill_server(flow, "ClickHouse")),
            (0.4, lambda: kill_server(flow, "Redis")),
            (0.6, lambda: freeze_kafka(flow)),
            (0.8, lambda: fill_the_disk(flow)),
        ]
        client = send_all(flow, blows)
        assert client.refused  # Kafka was away
        await_all_stored(flow)
        told = flow.told()
        for part in ("Kafka", "ClickHouse", "Redis"):
            assert f"{part} was killed by signal 9: starting it again" in told
            assert f"{part} is back" in told
        flow.stop()
