"""Makes views that depend on settings."""

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.errors import StoreRefusedError


def make_view(client: Client, name: str, statement: str, settings: Mapping[str, Any] | None = None) -> None:
    """Run the statement that makes a view. Raises :class:`StoreRefusedError` if ClickHouse does not take it."""
    try:
        client.command(statement, settings=None if settings is None else dict(settings))
    except ClickHouseError as error:
        raise StoreRefusedError(f"ClickHouse refused the view {name}: {str(error).splitlines()[0][:300]}") from error
