"""Servers of a test's own, and stores that are emptied as after a loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr
from support.tables import KEYS

from connectors.kafka.topics import ensure_topics
from contracts.settings import Settings
from contracts.stored import FACT_TABLES
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.supervisor import LocalStack
from sinks.clients import redis_client


@contextmanager
def fresh_servers(data_dir: Path, partitions: int) -> Iterator[Endpoints]:
    """Servers in a folder, with empty topics, whatever servers the environment names."""
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(data_dir=data_dir, **unset)  # type: ignore[arg-type]
    with LocalStack(settings, with_dataflow=False) as running:
        ensure_topics(running.endpoints.kafka, partitions)
        yield running.endpoints


def lose_results(client: Client, redis_url: SecretStr | str) -> None:
    """Delete everything that a rebuild makes: tables other than facts and dead letters, and all of Redis."""
    for table in sorted(set(KEYS) - set(FACT_TABLES.values()) - {"dead_letters"}):
        client.command(f"TRUNCATE TABLE {table}")
    with redis_client(redis_url) as redis:
        redis.flushdb()
