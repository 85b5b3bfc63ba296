"""What is told of a server that cannot be used, without its password."""

import pytest

from connectors.databases.connections import parse_connection
from connectors.postgres.catalog import (
    Identity,
    MissingError,
    ServerFacts,
    TableFacts,
    check_identity,
    check_replication,
    published,
)
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


ALL = frozenset({"insert", "update", "delete"})
IDENTITY = '"sales"."My Orders"'


def table(identities: tuple[Identity, ...], event: dict[str, object], key: tuple[str, ...] = ("id",)) -> TableFacts:
    entry = {"name": "Ticket Solved", "customer_id": "id", "occurred_at": "id", **event}
    content = {"source": "s", "mode": "replication", "tables": {"sales.My Orders": entry}}
    return TableFacts(parse_connection(content, PostgresConnection).tables[0], {}, key, identities, 0)


@pytest.mark.parametrize(
    ("kind", "columns", "event", "key", "told"),
    [
        ("d", "", {}, "id", "has no replica identity"),
        ("n", "", {}, "id", "has no replica identity"),
        ("d", "id", {"on": "delete", "customer_id": "c"}, "id", "read values from before a change"),
        ("d", "id", {"on": "delete"}, "number", "read values from before a change"),
        ("i", "number", {"on": "delete"}, "id", "read values from before a change"),
        ("d", "id", {"on": "update", "only": {"old.id": "7"}}, "id", "read values from before a change"),
    ],
)
def test_what_a_table_does_not_tell_is_asked_of_its_owner(
    kind: str, columns: str, event: dict[str, object], key: str, told: str
) -> None:
    found = Identity(IDENTITY, kind, frozenset(columns.split()))
    with pytest.raises(MissingError, match=told) as error:
        check_identity(table((found,), event, (key,)), ALL)
    assert error.value.remedy == f"As its owner: ALTER TABLE {IDENTITY} REPLICA IDENTITY FULL;"
    check_identity(table((Identity(IDENTITY, "f", frozenset({"id"})),), event, (key,)), ALL)


def test_a_table_that_tells_enough_or_publishes_only_what_it_may_is_taken() -> None:
    check_identity(table((Identity(IDENTITY, "d", frozenset({"id"})),), {"on": ["update", "delete"]}), ALL)
    check_identity(table((Identity(IDENTITY, "d", frozenset()),), {}), frozenset({"insert"}))
    check_identity(table((Identity(IDENTITY, "d", frozenset({"id"})),), {"on": "update", "customer_id": "c"}), ALL)


def test_every_partition_is_named_that_tells_too_little() -> None:
    parts = [Identity(f'"sales"."{name}"', kind, frozenset({"id"})) for name, kind in (("a", "f"), ("b", "d"))]
    with pytest.raises(MissingError) as error:
        check_identity(table((*parts, Identity('"sales"."c"', "n", frozenset())), {"only": {"id": "1"}}), ALL)
    assert error.value.remedy == 'As its owner: ALTER TABLE "sales"."c" REPLICA IDENTITY FULL;'


@pytest.mark.parametrize(
    ("on", "found", "told"),
    [
        ("insert", [], ALL),
        ("insert", [{"insert": "t", "update": "f", "delete": "f"}], {"insert"}),
        ("delete", [{"insert": "f", "update": "f", "delete": "t"}], {"delete"}),
        ("update", [{"insert": "t", "update": "f", "delete": "f"}], ALL),
    ],
)
def test_a_publication_that_must_be_made_or_widened_counts_as_it_will_be(
    on: str, found: list[dict[str, str]], told: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.postgres.catalog.ask", lambda *_, **__: found)
    entry = {"on": on, "name": "Ticket Solved", "customer_id": "id", "occurred_at": "id"}
    content = {"source": "s", "mode": "replication", "tables": {"orders": entry}}
    connection = parse_connection(content, PostgresConnection)
    assert published(object(), connection) == told  # type: ignore[arg-type]
