"""What is told of a server that cannot be used, without its password."""

import pytest

from connectors.databases.connections import parse_connection
from connectors.postgres.catalog import MissingError, ServerFacts, TableFacts, check_identity, check_replication
from connectors.postgres.config import PostgresConnection
from connectors.postgres.server import LostContactError, Server, quoted
from contracts.errors import CrmError, SettingsError

FACTS = ServerFacts(150_018, "logical", "shop", "shop", "1", True, False)


@pytest.mark.parametrize(
    "url", ["postgresql://shop:hush@hush@db/shop", "postgresql://shop:hu/sh@db/shop", "hush", "postgresql://[hush/d"]
)
def test_a_wrong_connection_string_is_told_without_what_it_holds(url: str) -> None:
    with pytest.raises(SettingsError, match="SHOP_URL") as error:
        Server(url, "SHOP_URL", "shop")
    assert "hu" not in str(error.value)


def test_a_server_that_does_not_answer_is_told_without_the_password() -> None:
    with pytest.raises(LostContactError, match=r"Is it running, and is SHOP_URL right\?") as error:
        Server("postgresql://shop:hush@127.0.0.1:1/shop", "SHOP_URL", "shop").connect()
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"wal_level": "replica"}, "ALTER SYSTEM SET wal_level = logical"), ({"may_replicate": False}, "REPLICATION;")],
)
def test_what_replication_lacks_is_told_with_what_to_do(change: dict[str, object], told: str) -> None:
    check_replication(FACTS)
    with pytest.raises(MissingError, match=told) as error:
        check_replication(ServerFacts(**{**vars(FACTS), **change}))  # type: ignore[arg-type]
    assert isinstance(error.value, CrmError)


def test_identifiers_are_quoted_in_what_is_to_be_run() -> None:
    assert quoted("public", 'My "own" orders') == '"public"."My ""own"" orders"'
    with pytest.raises(MissingError, match='ALTER ROLE "A ""role""" REPLICATION;'):
        check_replication(ServerFacts(150_018, "logical", "shop", 'A "role"', "1", False, False))
    event = {"on": "delete", "name": "Ticket Solved", "customer_id": "c", "occurred_at": "at"}
    tables = {"sales.My Orders": event}
    connection = parse_connection({"source": "s", "mode": "replication", "tables": tables}, PostgresConnection)
    with pytest.raises(MissingError, match=r'ALTER TABLE "sales"\."My Orders" REPLICA IDENTITY FULL;'):
        check_identity(TableFacts(connection.tables[0], {}, ("id",), "d", 0))
