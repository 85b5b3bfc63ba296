"""What tests share that run on the common servers: a migrated database of their own, and ``crmstream`` on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result

from crmstream import cli
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from sinks.migrations import migrate

Crm = Callable[..., Result]


@contextmanager
def migrated_database(stack: Endpoints, name: str) -> Iterator[Client]:
    """A client of a migrated database, which is dropped at the end."""
    made = clickhouse_client(stack.clickhouse_url, name)
    migrate(made, name)
    yield made
    made.command(f"DROP DATABASE {name}", use_database=False)
    made.close()


def crmstream_on(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> Crm:
    """What runs ``crmstream`` on the servers, with a data folder and a database of its own, which are not made yet."""
    monkeypatch.setenv("CRM_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("CRM_KAFKA_BOOTSTRAP_SERVERS", stack.kafka)
    monkeypatch.setenv("CRM_CLICKHOUSE_URL", stack.clickhouse_url)
    monkeypatch.setenv("CRM_REDIS_URL", stack.redis_url)
    monkeypatch.setenv("CRM_CLICKHOUSE_DATABASE", f"{name}_{uuid4().hex[:8]}")
    runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"})
    return lambda *given, **more: runner.invoke(cli.app, [str(one) for one in given], **more)
