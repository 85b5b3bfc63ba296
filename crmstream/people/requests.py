"""Requests of other systems to erase somebody: events ``Delete User``."""

from clickhouse_connect.driver.client import Client

from sinks.queries import query


def requested(client: Client, source: str) -> list[str]:
    """Return the ids of whom a source has sent ``Delete User`` and who were not erased since."""
    rows = client.query(query("deletion_requests"), parameters={"source": source}).result_rows
    return [str(name) for (name,) in rows]
