"""What tests share that run on the common servers: a migrated database of their own, and ``crmstream`` on it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result

from connectors.kafka.topics import ensure_topics
from contracts.traits import KNOWN
from crmstream import cli
from crmstream.commands import shared
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from sinks.migrations import migrate
from sinks.traits import declare_traits

Crm = Callable[..., Result]


@contextmanager
def migrated_database(stack: Endpoints, name: str) -> Iterator[Client]:
    """A client of a migrated database, which is dropped at the end."""
    made = clickhouse_client(stack.clickhouse_url, name)
    migrate(made, name)
    declare_traits(made, KNOWN)
    yield made
    made.command(f"DROP DATABASE {name}", use_database=False)
    made.close()


def migrated_crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> Crm:
    """What runs ``crmstream`` on the servers, with topics and tables, in a terminal of 80 columns.

    The tests of a process share the database, whose tables are empty: to migrate a new one takes seconds.
    """
    run = crmstream_on(stack, monkeypatch, folder, name)
    database = f"{name}_{os.getpid()}"
    monkeypatch.setenv("CRM_CLICKHOUSE_DATABASE", database)
    _empty(stack, database)
    ensure_topics(stack.kafka, partitions=4)
    monkeypatch.setattr(shared.console, "width", 80)
    assert run("migrate").exit_code == 0
    return run


@contextmanager
def client_of_crm(stack: Endpoints) -> Iterator[Client]:
    """A client of the database of ``crmstream``."""
    connected = clickhouse_client(stack.clickhouse_url, os.environ["CRM_CLICKHOUSE_DATABASE"])
    yield connected
    connected.close()


def crmstream_on(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> Crm:
    """What runs ``crmstream`` on the servers, with a data folder and a database of its own, which are not made yet."""
    monkeypatch.setenv("CRM_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("CRM_KAFKA_BOOTSTRAP_SERVERS", stack.kafka)
    monkeypatch.setenv("CRM_CLICKHOUSE_URL", stack.clickhouse_url)
    monkeypatch.setenv("CRM_REDIS_URL", stack.redis_url)
    monkeypatch.setenv("CRM_CLICKHOUSE_DATABASE", f"{name}_{uuid4().hex[:8]}")
    runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"})
    return lambda *given, **more: runner.invoke(cli.app, [str(one) for one in given], **more)


def _empty(stack: Endpoints, database: str) -> None:
    """Empty the tables of a database, if there is one."""
    client = clickhouse_client(stack.clickhouse_url, "default")
    query = """
        SELECT name FROM system.tables
        WHERE database = {database:String} AND engine LIKE '%MergeTree' AND name != 'schema_migrations'
            AND total_rows > 0
    """
    for (table,) in client.query(query, parameters={"database": database}).result_rows:
        named = {"database": database, "table": table}
        client.command("TRUNCATE TABLE {database:Identifier}.{table:Identifier}", named)
    client.close()
