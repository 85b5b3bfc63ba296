"""What is told of a server that cannot be used, without its password."""

import pytest

from connectors.postgres.catalog import MissingError, ServerFacts, check_replication
from connectors.postgres.server import LostContactError, Server
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
