"""Look whether a connection would work, and what its rows would become. Reads only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from psycopg2 import errors, sql

from connectors.databases.changes import mapper_of
from connectors.databases.ids import EventIds
from connectors.door.door import Door
from connectors.postgres.catalog import (
    LARGE_TABLE,
    MissingError,
    TableFacts,
    check_identity,
    check_replication,
    missing_in_publication,
    published,
    server_facts,
    slot_of,
    table_facts,
)
from connectors.postgres.config import PostgresConnection, watermark_of
from connectors.postgres.rows import as_insert, identifiers, pages, select
from connectors.postgres.server import Connection, Server, explained
from connectors.postgres.slots import publication_statement
from connectors.postgres.watermark import window_query
from connectors.postgres.windows import TableWindow
from connectors.protocol import Record

SAMPLES: Final = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is well, and what to do if not."""

    well: bool
    text: str


@dataclass(frozen=True)
class Sample:
    """What a row of a table would become; no records where the mapping leaves it out."""

    table: str
    records: tuple[Record, ...]


def check(server: Server, connection: PostgresConnection, door: Door, ids: EventIds) -> Iterator[Finding | Sample]:
    """Look at everything that the connection needs, and at some rows of each table. Raises where none can be had."""
    with explained():
        database = server.connect()
        try:
            yield from _check(database, connection, door, ids)
        finally:
            database.close()


def _check(
    database: Connection, connection: PostgresConnection, door: Door, ids: EventIds
) -> Iterator[Finding | Sample]:
    facts = server_facts(database)
    version = f"{facts.version // 10_000}.{facts.version % 10_000}"
    yield Finding(True, f"PostgreSQL {version}, database {facts.database}, role {facts.role}.")
    replicated = connection.mode == "replication"
    if replicated:
        yield from _tried(lambda: check_replication(facts), f"wal_level is logical, and {facts.role} may replicate.")
        yield from _publication(database, connection)
        yield from _slot(database, connection)
    for spec in connection.tables:
        try:
            table = table_facts(database, spec, connection)
        except MissingError as missing:
            yield Finding(False, str(missing))
            continue
        yield Finding(True, f"{spec.full_name}: about {max(table.rows, 0):,} rows, key {', '.join(table.key)}.")
        yield from _identity(database, connection, table) if replicated else _polling(database, table)
        for row in _rows(database, table):
            change = as_insert(table, row)
            records = mapper_of(spec, door, ids).records(change, datetime.now(UTC))
            yield Sample(spec.full_name, tuple(records))


def _identity(database: Connection, connection: PostgresConnection, table: TableFacts) -> Iterator[Finding]:
    yield from _tried(lambda: check_identity(table, published(database, connection)), "")


def _tried(look: Callable[[], None], well: str) -> Iterator[Finding]:
    try:
        look()
    except MissingError as missing:
        yield Finding(False, str(missing))
    else:
        if well:
            yield Finding(True, well)


def _publication(database: Connection, connection: PostgresConnection) -> Iterator[Finding]:
    name = connection.publication
    lacking = missing_in_publication(database, connection)
    if lacking is None:
        statement = publication_statement(connection).as_string(database)
        yield Finding(True, f"There is no publication {name} yet: the start makes it, by {statement}.")
    elif lacking:
        yield Finding(False, f"The publication {name} lacks something. Run {' '.join(lacking)}")
    else:
        yield Finding(True, f"The publication {name} has all tables.")


def _slot(database: Connection, connection: PostgresConnection) -> Iterator[Finding]:
    name = connection.slot
    try:
        slot = slot_of(database, name)
    except MissingError as missing:
        yield Finding(False, str(missing))
        return
    if slot is None:
        yield Finding(True, f"There is no slot {name} yet: the start makes it.")
    elif slot.is_lost:
        yield Finding(False, f"The slot {name} has lost its place in the log: drop it with --drop, and start anew.")
    else:
        used = f"in use by process {slot.active_pid}" if slot.active_pid else "not in use"
        yield Finding(True, f"The slot {name} is there, {used}, {slot.lag_bytes:,} bytes of log behind.")


def _polling(database: Connection, table: TableFacts) -> Iterator[Finding]:
    """Try the query of a look, so that a wrong `lookback` shows, and warn where a look would read very much."""
    name = table.spec.full_name
    if table.spec.lookback is None and table.rows > LARGE_TABLE:
        yield Finding(True, f"{name} is large: without `lookback` a look reads all of it (docs/sources/postgres.md).")
    statement, values = window_query(table, TableWindow(1, 1, newest=_some_watermark(database, table)), 1)
    try:
        with database.cursor() as cursor:
            cursor.execute(sql.SQL("EXPLAIN ") + statement, values)
    except (errors.DataError, errors.ProgrammingError) as error:
        yield Finding(False, f"{name}: `lookback` does not fit the watermark ({type(error).__name__}).")


def _some_watermark(database: Connection, table: TableFacts) -> str | None:
    column = watermark_of(table.spec) or ""
    with database.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {} FROM {} WHERE {} IS NOT NULL LIMIT 1").format(
                sql.Identifier(column), sql.Identifier(table.spec.schema_name, table.spec.name), sql.Identifier(column)
            )
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def _rows(database: Connection, table: TableFacts) -> list[dict[str, object]]:
    order = identifiers(table.key) + sql.SQL(f" LIMIT {SAMPLES}")
    statement = select(table, sql.SQL(""), sql.SQL("true"), order)
    database.autocommit = False
    try:
        return next(pages(database, statement, {}), [])
    finally:
        database.rollback()
        database.autocommit = True
