"""The connection to ClickHouse of commands that read one of its tables."""

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.errors import CrmError
from contracts.settings import Settings, load_settings
from crmstream.stack.endpoints import Endpoints, resolve_endpoints
from sinks.clients import clickhouse_client


@contextmanager
def warehouse(table: str) -> Iterator[tuple[Settings, Endpoints, Client]]:
    """Yield the settings, the servers and a connection to ClickHouse. Errors of ClickHouse become one line.

    ``table`` is the table that the command reads: an error names it if it is missing.
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    client = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
    try:
        yield settings, endpoints, client
    except ClickHouseError as error:
        if "UNKNOWN_DATABASE" in str(error) or "UNKNOWN_TABLE" in str(error):
            raise CrmError(f"The table {table} is not there: run `crmstream migrate`.") from None
        raise CrmError(f"ClickHouse refused: {str(error).splitlines()[0][:300]}") from None
    finally:
        client.close()
