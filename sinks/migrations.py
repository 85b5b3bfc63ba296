"""Migrates the ClickHouse database to the tables that the writers expect.

Delivery: idempotent, also for concurrent runs and after a crash. Statements use IF NOT EXISTS or work on a copy of
their own run, and a migration is recorded after its last statement. Stop writers of an older version first: rows that
they insert while a table is copied are lost.
"""

from hashlib import sha256
from secrets import token_hex
from typing import Final

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from contracts.errors import StoreRefusedError
from sinks.queries import migrations, query, statements

ANSWER_SECONDS: Final = 24 * 3_600
"""Timeout of a statement, for the client passed to :func:`migrate`: a migration may copy a large table."""
REPLACING: Final = ("EXCHANGE TABLES", "CREATE OR REPLACE TABLE")
"""How statements begin that replace a table with all its rows."""
RUN: Final = "{run}"
"""Placeholder in a migration for a name that is unique to a run, so that runs do not share their copies of tables."""


def migrate(client: Client, database: str) -> list[str]:
    """Apply missing migrations in order and return their names. Leaves ``client`` in ``database``.

    Raises StoreRefusedError, before it applies anything, if the text of an applied migration has changed since, or if
    the database was migrated by a newer version of crmstream.
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
    _drop_leftovers(client)
    return missing


def _apply(client: Client, name: str, script: str) -> None:
    """Run one migration, then record it. After a crash it runs again from its start.

    If another run has finished the same migration meanwhile, this one stops before its next statement that replaces a
    table: writers may have started by then, and their rows would be replaced by an older copy.
    """
    run = token_hex(4)
    for statement in statements(script):
        if statement.startswith(REPLACING) and name in _applied(client):
            return
        client.command(statement.replace(RUN, run))
    client.command(query("note_migration"), parameters={"name": name, "sha256": _digest(script)})


def _drop_leftovers(client: Client) -> None:
    """Drop copies that crashed runs left more than a day ago."""
    for (name,) in client.query(query("leftover_copies")).result_rows:
        client.command(f"DROP TABLE IF EXISTS {quote_identifier(str(name))}")


def _applied(client: Client) -> dict[str, str]:
    """Read the digests of the recorded migrations, by name."""
    return {str(name): str(digest) for name, digest in client.query(query("applied_migrations")).result_rows}


def _check(scripts: dict[str, str], applied: dict[str, str], database: str) -> None:
    """Raise if the database has a migration that is unknown to this version, or was applied with another text."""
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
