"""A store that is down slows the flow and loses nothing; when it is back, the flow catches up by itself."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.flow import Flow, Log, NewSettings, wait_until
from support.history import EVEN_SLOWER
from support.tables import Written, differences, read_written

from crmstream.stack.parts import ClickHousePart, RedisPart, ServerPart
from crmstream.stack.ports import free_port
from crmstream.stack.process import stop_all

DOWN_SECONDS = 2
"""Much of the history must be left when ClickHouse is killed."""


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[ServerPart, ServerPart]]:
    """A ClickHouse and a Redis of the test's own, to be killed."""
    parts = (ClickHousePart(tmp_path, free_port()), RedisPart(tmp_path, free_port()))
    for part in parts:
        part.start()
    for part in parts:
        part.wait_ready()
    yield parts
    stop_all([part.process for part in parts], 20)


def test_stores_that_were_down_end_up_the_same(
    stores: tuple[ServerPart, ServerPart], undisturbed: Written, log: Log, new_settings: NewSettings
) -> None:
    clickhouse, redis = stores
    settings = new_settings(clickhouse_url=clickhouse.endpoint(), redis_url=redis.endpoint(), **EVEN_SLOWER)
    log.forget_progress()
    with Flow(settings) as flow:
        flow.await_that(lambda: log.progress() > 0.15, "a part is done")
        _kill(redis)
        time.sleep(DOWN_SECONDS)
        assert log.progress() < 1
        redis.start()
        redis.wait_ready()
        _stop_while_away(flow, log, clickhouse)
        flow.drain(log)
        assert flow.is_alive()
    assert differences(undisturbed, read_written(settings)) == []


def _stop_while_away(flow: Flow, log: Log, store: ServerPart) -> None:
    """Stop the installation while ClickHouse is away: workers end by themselves, and the next ones send the rows."""
    flow.await_that(lambda: log.progress() > 0.3, "more is done")
    _kill(store)
    flow.await_that(lambda: away(flow), "a worker waits")
    time.sleep(DOWN_SECONDS)  # the flow goes on reading meanwhile
    assert log.progress() < 1
    flow.stop()
    assert "for ClickHouse: the next start sends them" in worker_log(flow)
    store.start()
    store.wait_ready()
    flow.start()


def _kill(store: ServerPart) -> None:
    store.process.signal(signal.SIGKILL)
    wait_until(lambda: not store.process.alive, "the store is down")


def away(flow: Flow) -> bool:
    """Whether the last that a worker says of ClickHouse is that it is away."""
    lines = [line for line in worker_log(flow).splitlines() if "ClickHouse" in line]
    return bool(lines) and "does not answer" in lines[-1]


def worker_log(flow: Flow) -> str:
    return (flow.settings.data_dir / "logs" / "worker-0.log").read_text(errors="replace")
