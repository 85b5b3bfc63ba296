"""Servers of their own for whole-system tests, and the history that several of them read."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from support.flow import Flow, Log, NewSettings
from support.history import OUTCOMES, PARTITIONS, publish_rich_history
from support.tables import Written, read_written

from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.supervisor import LocalStack
from sinks.clients import redis_client

REDIS_DBS = 16


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Kafka with the rich history in it, ClickHouse and Redis: outside servers for installations of the tests."""
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(data_dir=tmp_path_factory.mktemp("servers"), **unset)  # type: ignore[arg-type]
    with LocalStack(settings, with_dataflow=False) as running:
        publish_rich_history(running.endpoints.kafka)
        yield running.endpoints


@pytest.fixture(scope="session")
def log(servers: Endpoints) -> Log:
    """The log with the rich history."""
    return Log(servers.kafka, PARTITIONS)


@pytest.fixture(scope="session")
def new_settings(servers: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> NewSettings:
    """Makes the settings of a fresh installation on the common servers: own folder, own database, own Redis db."""
    numbers = count(1)

    def make(**changes: object) -> Settings:
        number = next(numbers)
        fields: dict[str, object] = {
            "data_dir": tmp_path_factory.mktemp("installation"),
            "kafka_bootstrap_servers": servers.kafka,
            "clickhouse_url": servers.clickhouse_url,
            "clickhouse_database": f"crm_{number}",
            "redis_url": servers.redis_url.replace("/0", f"/{number % REDIS_DBS}"),
            "base_currency": "USD",
            "partitions": PARTITIONS,
            "outcomes": OUTCOMES,
            "training_stride_days": 3,
            "dormant_days": 60,
            "duplicate_window_events": 4_000,
            "live_backlog_events": 100,
            "heartbeat_idle_seconds": 3_600,
            "collector": False,
            "publish_traits": False,
        }
        redis_client(servers.redis_url.replace("/0", f"/{number % REDIS_DBS}")).flushdb()
        return Settings(**fields | changes)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def undisturbed(log: Log, new_settings: NewSettings) -> Written:
    """What one worker that nobody disturbs makes of the history, at full speed."""
    settings = new_settings()
    log.forget_progress()
    with Flow(settings) as flow:
        flow.drain(log)
    return read_written(settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the data of one installation."""
    return tmp_path / "crm"
