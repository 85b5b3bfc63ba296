"""URLs become clients, and what is wrong with one is said without its secret."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError
from pydantic import SecretStr

from contracts.errors import SettingsError, StoreUnavailableError
from sinks.clients import clickhouse_client, clickhouse_is_out, redis_client


@pytest.mark.parametrize(
    "url",
    ["", "secret", "ftp://u:secret@host:1", "http://", "http://u:secret@host:99999", "redis://u:secret@h:1"],
)
def test_a_wrong_clickhouse_url_names_the_setting_and_not_the_secret(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^CRM_CLICKHOUSE_URL must have the form http\(s\)") as caught:
        clickhouse_client(SecretStr(url), "crm")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "host:6379", "http://u:secret@host:1", "redis://"])
def test_a_wrong_redis_url_names_the_setting_and_not_the_secret(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^CRM_REDIS_URL must have the form redis\(s\)") as caught:
        redis_client(url)
    assert "secret" not in str(caught.value)


def test_nobody_at_the_address_is_a_clear_error() -> None:
    with pytest.raises(StoreUnavailableError, match=r"ClickHouse at 127.0.0.1:1 does not answer: check") as caught:
        clickhouse_client("http://u:secret@127.0.0.1:1", "crm")
    assert "secret" not in str(caught.value)


def test_redis_url_parts_are_used() -> None:
    arguments = redis_client(SecretStr("rediss://u:p%40ss@host:7/3")).connection_pool.connection_kwargs
    assert [arguments[name] for name in ("host", "port", "db", "username", "password")] == [
        "host",
        7,
        3,
        "u",
        "p@ss",
    ]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OperationalError("refused"), True),
        (DatabaseError("HTTP status 502"), True),
        (DatabaseError("TOO_MANY_PARTS", code=252), True),
        (DatabaseError("UNKNOWN_TABLE", code=60), False),
        (DatabaseError("AUTHENTICATION_FAILED", code=516), False),
        (ProgrammingError("closed", code=1), False),
        (ConnectionResetError(), True),
        (StoreUnavailableError("down"), True),
        (ValueError("ours"), False),
    ],
)
def test_outages_are_told_from_refusals(error: Exception, passes: bool) -> None:
    assert clickhouse_is_out(error) is passes
