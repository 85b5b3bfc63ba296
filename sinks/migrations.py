"""Brings the ClickHouse database to the shape that the writers expect.

Delivery: every statement says IF NOT EXISTS and a migration is noted after its last one, so it does no harm
to run this twice, twice at once, or again after it died half-way.
"""

from hashlib import sha256

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from contracts.errors import StoreRefusedError
from sinks.queries import migrations, query, statements


def migrate(client: Client, database: str) -> list[str]:
    """Apply what is missing, in order, and return the names. Leaves ``client`` in ``database``.

    Raises StoreRefusedError, before it applies anything, if an applied migration's text is another one today,
    or if the database was shaped by a newer version of crmstream.
    """
    client.command(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(database)}", use_database=False)
    client.database = database
    client.command(query("create_schema_migrations"))
    scripts = migrations()
    applied = _applied(client)
    _check(scripts, applied, database)
    missing = [name for name in scripts if name not in applied]
    for name in missing:
        _apply(client, name, scripts[name])
    return missing


def _apply(client: Client, name: str, script: str) -> None:
    """Run one migration, then note it: what dies in between is run again."""
    for statement in statements(script):
        client.command(statement)
    client.command(query("note_migration"), parameters={"name": name, "sha256": _digest(script)})


def _applied(client: Client) -> dict[str, str]:
    """Read the digest of every migration noted in the database."""
    return {str(name): str(digest) for name, digest in client.query(query("applied_migrations")).result_rows}


def _check(scripts: dict[str, str], applied: dict[str, str], database: str) -> None:
    """Refuse a database whose migrations are not a part of ours, text by text."""
    for name, digest in applied.items():
        if name not in scripts:
            problem = "is unknown to this version: update crmstream"
        elif digest != _digest(scripts[name]):
            problem = "was applied with another text: leave applied migrations as they were and add a new one"
        else:
            continue
        other = "or name another database by CRM_CLICKHOUSE_DATABASE"
        raise StoreRefusedError(f"migration {name} of database {database} {problem}, {other}", migration=name)


def _digest(script: str) -> str:
    return sha256(script.encode()).hexdigest()
