"""Read rows of a table in order, a page at a time, as changes that insert them. Reads only."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from psycopg2 import sql

from connectors.databases.changes import Change
from connectors.postgres.catalog import TableFacts
from connectors.postgres.config import watermark_of
from connectors.postgres.server import Connection
from connectors.postgres.stream import AS_READ, as_text, plain

PAGE: Final = 1_000
_CURSOR: Final = "crmstream_rows"

Values = dict[str, Any]


def identifiers(names: tuple[str, ...]) -> sql.Composed:
    """Write the names of columns, quoted, with commas."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def read_columns(facts: TableFacts) -> tuple[str, ...]:
    """Every column that is read of a table, the key and the watermark among them."""
    watermark = watermark_of(facts.spec)
    return tuple(dict.fromkeys([*facts.spec.columns, *facts.key, *([watermark] if watermark else [])]))


def select(facts: TableFacts, more: sql.Composable, condition: sql.Composable, order: sql.Composable) -> sql.Composed:
    """Write the query of a table's rows; ``more`` are columns behind those that are read, with a comma before each."""
    return sql.SQL("SELECT {columns}{more} FROM {table} WHERE {condition} ORDER BY {order}").format(
        columns=identifiers(read_columns(facts)),
        more=more,
        table=sql.Identifier(facts.spec.schema_name, facts.spec.name),
        condition=condition,
        order=order,
    )


def pages(database: Connection, statement: sql.Composable, values: Mapping[str, object]) -> Iterator[list[Values]]:
    """Run a query in the transaction that is open and yield its rows; no more than a page is in memory."""
    with database.cursor(_CURSOR) as cursor:
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(PAGE):
            described = [(column.name, column.type_code) for column in cursor.description or ()]
            yield [{name: plain(value, oid) for (name, oid), value in zip(described, row, strict=True)} for row in rows]


def key_of(facts: TableFacts, row: Values) -> tuple[str, ...]:
    """The key of a row, as texts."""
    return tuple(str(as_text(row[column])) for column in facts.key)


def as_insert(facts: TableFacts, row: Values) -> Change:
    """Take a row as one that was inserted; its version is its watermark."""
    watermark = watermark_of(facts.spec)
    version = str(as_text(row[watermark])) if watermark else AS_READ
    values = {column: row[column] for column in read_columns(facts)}
    return Change(facts.spec.full_name, "insert", key_of(facts, row), version, values, None, facts.key)
