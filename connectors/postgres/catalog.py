"""What a database must have for a connection, and what of it is missing. Reads only."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from connectors.databases.connections import TableSpec
from connectors.postgres.config import PostgresConnection, watermark_of
from connectors.postgres.server import OLDEST_VERSION, Connection, Row, ask, quoted
from contracts.errors import StoreRefusedError

LARGE_TABLE: Final = 1_000_000
"""Rows beyond which polling all of a table is worth a warning."""
OPERATIONS: Final = ("insert", "update", "delete")
_TABLE_KINDS: Final = ("r", "p")


@dataclass(frozen=True)
class ServerFacts:
    """The server and the role that is connected."""

    version: int
    wal_level: str
    database: str
    role: str
    system_identifier: str
    may_replicate: bool
    is_standby: bool


@dataclass(frozen=True)
class Identity:
    """What the log tells of a row before a change, in a table or one of its partitions; no columns: nothing.

    ``kind`` is d, n, f or i, as in ``pg_class.relreplident``.
    """

    table: str
    kind: str
    columns: frozenset[str]


@dataclass(frozen=True)
class TableFacts:
    """A table as it is: the types of its columns in order, its key, and what is sent of rows before a change."""

    spec: TableSpec
    types: dict[str, str]
    key: tuple[str, ...]
    identities: tuple[Identity, ...]
    rows: int


@dataclass(frozen=True)
class Slot:
    """A replication slot: how much of the log it keeps for its reader."""

    active_pid: str | None
    is_lost: bool
    confirmed: str
    lag_bytes: int


class MissingError(StoreRefusedError):
    """Something that a connection needs is not there; ``remedy`` says what to do."""

    def __init__(self, problem: str, remedy: str):
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy


def server_facts(database: Connection) -> ServerFacts:
    """Ask who is there. Raises :class:`MissingError` where the server is too old."""
    (row,) = ask(database, "server")
    facts = ServerFacts(
        int(row["version"]), row["wal_level"], row["database"], row["role"], row["system_identifier"],
        row["may_replicate"] == "t", row["is_standby"] == "t",
    )  # fmt: skip
    if facts.version < OLDEST_VERSION:
        raise MissingError(f"PostgreSQL {facts.version // 10_000} is too old.", "Use version 13 or newer.")
    return facts


def check_replication(facts: ServerFacts) -> None:
    """Make sure that logical replication can be had."""
    if facts.wal_level != "logical":
        raise MissingError(
            f"wal_level is {facts.wal_level}, but replication needs logical.",
            "As a superuser: ALTER SYSTEM SET wal_level = logical; then restart PostgreSQL. Or use mode watermark.",
        )
    if not facts.may_replicate:
        raise MissingError(
            f"The role {facts.role} may not replicate.", f"As a superuser: ALTER ROLE {quoted(facts.role)} REPLICATION;"
        )


def table_facts(database: Connection, spec: TableSpec, connection: PostgresConnection) -> TableFacts:
    """Look a table up. Raises :class:`MissingError` for the first thing that is missing."""
    found = ask(database, "table", schema=spec.schema_name, name=spec.name)
    if not found:
        raise MissingError(f"There is no table {spec.full_name}.", "Mind the schema; names are as they are stored.")
    (row,) = found
    if row["relkind"] not in _TABLE_KINDS:
        raise MissingError(f"{spec.full_name} is no table.", "Views and foreign tables cannot be followed.")
    if row["is_inherited"] == "t" and connection.mode == "replication":  # published too, under their own names
        raise MissingError(
            f"Other tables inherit from {spec.full_name}.", "Use mode watermark if no two of their rows share a key."
        )
    columns = ask(database, "columns", oid=row["oid"])
    facts = TableFacts(
        spec,
        {column["name"]: column["type"] for column in columns},
        spec.key or _primary_key(columns),
        tuple(map(_identity, ask(database, "identities", oid=row["oid"]))),
        int(row["rows"]),
    )
    _check_columns(facts, watermark_of(spec) if connection.mode == "watermark" else None)
    needed = {*spec.columns, *facts.key, *filter(None, [watermark_of(spec)])}
    denied = [column["name"] for column in columns if column["readable"] != "t" and column["name"] in needed]
    if denied or row["reachable"] != "t":
        raise MissingError(
            f"The role may not read {spec.full_name}.",
            _grants(spec, database.info.user),
        )
    return facts


def check_identity(facts: TableFacts, published: frozenset[str]) -> None:
    """Make sure that updates and deletions of a table can be ``published``, and tell what the events ask for.

    PostgreSQL refuses its owner every update and deletion of a table that publishes them and has no replica identity.
    """
    name = facts.spec.full_name
    without = [identity for identity in facts.identities if not identity.columns]
    if without and published & {"update", "delete"}:
        raise MissingError(
            f"{name} has no replica identity: once it is published, PostgreSQL refuses its updates and deletions.",
            _full_identity(without),
        )
    narrow = [identity for identity in facts.identities if not _tells_enough(identity, facts)]
    if narrow:
        raise MissingError(
            f"The events of {name} read values from before a change, which are not sent.", _full_identity(narrow)
        )


def published(database: Connection, connection: PostgresConnection) -> frozenset[str]:
    """Which operations the publication publishes; all of them where it is still to be made, or to be widened."""
    found = ask(database, "publication", name=connection.publication)
    told = frozenset(operation for operation in OPERATIONS if found and found[0][operation] == "t")
    return told if found and _wanted(connection) <= told else frozenset(OPERATIONS)


def slot_of(database: Connection, name: str) -> Slot | None:
    """Look a replication slot up. Raises :class:`MissingError` where it is not one of ours."""
    found = ask(database, "slot", name=name)
    if not found:
        return None
    (row,) = found
    if row["plugin"] != "pgoutput":
        raise MissingError(f"The slot {name} is not one of pgoutput.", "Name another `slot`.")
    return Slot(
        row["active_pid"],
        row["wal_status"] == "lost",
        row["confirmed_flush_lsn"] or "0/0",
        int(row["lag_bytes"] or 0),
    )


def missing_in_publication(database: Connection, connection: PostgresConnection) -> list[str] | None:
    """Say what a publication lacks, as the statements that mend it; None if there is no such publication."""
    found = ask(database, "publication", name=connection.publication)
    if not found:
        return None
    return [f"ALTER PUBLICATION {quoted(connection.publication)} {end};" for end in _lacking(found[0], connection)]


def _identity(found: Row) -> Identity:
    return Identity(quoted(found["schema"], found["name"]), found["identity"], frozenset(json.loads(found["columns"])))


def _tells_enough(identity: Identity, facts: TableFacts) -> bool:
    """Whether the rows before a change have what the events ask of them; the key is asked of those that are deleted."""
    if identity.kind == "f":
        return True
    deleted = {column for event in facts.spec.events if "delete" in event.on for column in (*event.columns, *facts.key)}
    return not facts.spec.reads_old and deleted <= identity.columns


def _full_identity(identities: list[Identity]) -> str:
    return "As its owner: " + " ".join(f"ALTER TABLE {found.table} REPLICA IDENTITY FULL;" for found in identities)


def _grants(spec: TableSpec, role: str) -> str:
    schema, table, role = quoted(spec.schema_name), quoted(spec.schema_name, spec.name), quoted(role)
    return f"As its owner: GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {table} TO {role};"


def _lacking(facts: Row, connection: PostgresConnection) -> Iterator[str]:
    published = set(json.loads(facts["tables"]))
    tables = [table for table in connection.tables if table.full_name not in published]
    if tables:
        yield f"ADD TABLE {', '.join(quoted(table.schema_name, table.name) for table in tables)}"
    if any(facts[operation] != "t" for operation in _wanted(connection)):
        yield "SET (publish = 'insert, update, delete')"


def _wanted(connection: PostgresConnection) -> set[str]:
    return {operation for table in connection.tables for operation in table.operations}


def _primary_key(columns: list[Row]) -> tuple[str, ...]:
    places = [(int(column["place_in_key"]), column["name"]) for column in columns]
    return tuple(name for place, name in sorted(places) if place >= 0)


def _check_columns(facts: TableFacts, watermark: str | None) -> None:
    spec = facts.spec
    missing = [name for name in (*spec.columns, *spec.key, *filter(None, [watermark])) if name not in facts.types]
    if missing:
        raise MissingError(
            f"The table {spec.full_name} has no column {missing[0]}.", f"It has {', '.join(facts.types)}."
        )
    if not facts.key:
        raise MissingError(
            f"The table {spec.full_name} has no primary key.",
            "Name the columns that no two rows share, and that are never NULL, as its `key`.",
        )
