"""A broker and a PostgreSQL server that the tests of this folder share: use databases and sources of your own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from support.broker import fresh_broker
from support.connector import Connector
from support.postgres import PostgresServer

from connectors.postgres.server import Connection


@pytest.fixture(scope="package")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh broker."""
    with fresh_broker(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.fixture(scope="package")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> str:
    """The name of a fresh database that belongs to the shop."""
    name = f"shop_{uuid4().hex[:8]}"
    server.create_database(name)
    return name


@pytest.fixture
def shop(server: PostgresServer, database: str) -> Iterator[Connection]:
    connection = server.connect(database)
    yield connection
    connection.close()


@pytest.fixture
def connector(
    kafka: str, server: PostgresServer, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connector]:
    """Runs ``crmstream connect`` on the database."""
    made = Connector(kafka, server.url(database), tmp_path_factory.mktemp("connector"))
    yield made
    made.kill()
