"""Poll tables for rows that are new or have been updated, in the order of a watermark column.

Delivery: every committed row version that is still there when a look comes by is taken exactly once; how is told in
:mod:`connectors.postgres.windows`. A row that is updated twice between two looks is seen once, one that is deleted
before it was seen, never. All tables are read in one snapshot; the position is the window of each, and within a round
the watermark and key of the last row.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Event as StopEvent
from typing import Final

from psycopg2 import sql

from connectors.databases.changes import Change
from connectors.databases.pump import Step
from connectors.kafka.positions import Position
from connectors.postgres.catalog import TableFacts, server_facts, table_facts
from connectors.postgres.config import PostgresConnection, watermark_of
from connectors.postgres.identity import checked, identity_of
from connectors.postgres.rows import as_insert, identifiers, key_of, pages, select
from connectors.postgres.server import Connection, Server, ask, explained
from connectors.postgres.stream import as_text
from connectors.postgres.windows import MOST_AWAY, TableWindow
from contracts.errors import LogMismatchError

REST: Final = 3
"""The pause is at least so many times the time that the last look took, so that large tables are not read all day."""
_NOW: Final = {
    "timestamp with time zone": "now()",
    # Without a zone nobody knows whose clock it is: the time that is the same or earlier everywhere.
    "timestamp without time zone": "(now() AT TIME ZONE interval '-12:00')",
    "date": "(now() AT TIME ZONE interval '-12:00')::date",
}
"""Types of times, and the latest that a watermark of theirs counts for: a row from 2099 must not hide later ones."""


class WatermarkSource:
    """The tables of one connection, polled. ``once``: end instead of pausing."""

    def __init__(self, server: Server, connection: PostgresConnection, stop: StopEvent):
        self.reached = False
        self._server = server
        self._connection = connection
        self._stop = stop
        self._database: Connection | None = None
        self._windows: dict[str, TableWindow] = {}
        self._waiting = ""

    def steps(self, position: Position | None, *, again: bool) -> Iterator[Step]:  # noqa: ARG002 - that of all sources
        """Connect and poll from a position on, for ever."""
        with explained():
            database = self._database = self._server.connect()
            self.reached = True
            server = server_facts(database)
            found = checked(position, server, mode="watermark")
            tables = [table_facts(database, spec, self._connection) for spec in self._connection.tables]
            self._windows = {name: TableWindow.from_json(window) for name, window in found.get("tables", {}).items()}
            database.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
            while True:
                yield from self._round(database, tables, identity_of(server, "watermark"))

    def confirm(self, position: Position) -> None:
        """Nothing to do: the database keeps nothing for who polls."""

    def told(self) -> str:
        """Say how far the watermarks have come."""
        newest = [f"{name} to {window.newest}" for name, window in self._windows.items() if window.newest]
        return ", ".join(newest) + self._waiting

    def close(self) -> None:
        """Leave the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _round(self, database: Connection, tables: list[TableFacts], identity: Position) -> Iterator[Step]:
        """Take what is new in all tables as of one moment, then pause."""
        began = time.monotonic()
        (row,) = ask(database, "horizon")
        horizon, following = int(row["horizon"]), int(row["next"])
        for facts in tables:
            for changes in self._take(database, facts, horizon, following):
                yield Step(changes, self._position(identity))
        caught_up = all(window.start == horizon for window in self._windows.values())
        self._waiting = self._held_back(database) if horizon < following else ""
        database.commit()
        yield Step((), self._position(identity), caught_up)
        if caught_up:
            self._stop.wait(max(self._connection.poll_seconds, REST * (time.monotonic() - began)))

    def _take(self, database: Connection, facts: TableFacts, horizon: int, following: int) -> Iterator[list[Change]]:
        name = facts.spec.full_name
        window = self._windows.get(name) or self._first_window(horizon)
        if window.start == horizon and window.below is None:
            self._windows[name] = window
            return
        window = window.opened(horizon)
        _check_distance(window, horizon)
        statement, values = window_query(facts, window, following)
        watermark = watermark_of(facts.spec) or ""
        for rows in pages(database, statement, values):
            window = window.moved((as_text(rows[-1][watermark]), *key_of(facts, rows[-1])))
            self._windows[name] = window
            yield [as_insert(facts, row) for row in rows]
        if facts.spec.lookback is not None and window.newest is not None:
            window = replace(window, newest=_held(database, facts.types[watermark], window.newest))
        self._windows[name] = window.closed()

    def _first_window(self, horizon: int) -> TableWindow:
        return TableWindow() if self._connection.snapshot == "initial" else TableWindow(start=horizon)

    def _position(self, identity: Position) -> Position:
        return {**identity, "tables": {name: window.to_json() for name, window in self._windows.items()}}

    def _held_back(self, database: Connection) -> str:
        for row in ask(database, "holding_back"):
            return f"; rows wait for the transaction of process {row['pid']}, open for {row['seconds']} s"
        return ""


def window_query(facts: TableFacts, window: TableWindow, following: int) -> tuple[sql.Composed, dict[str, object]]:
    """Write the query of the rows in a window that is open; ``following`` is the next transaction's number."""
    watermark = watermark_of(facts.spec) or ""
    column = sql.Identifier(watermark)
    values: dict[str, object] = {"newest": window.newest, "lookback": facts.spec.lookback}
    conditions = [_in_window(window, following, values)]
    if facts.spec.lookback is not None and window.start is not None and window.newest is not None:
        conditions.append(_looks_back(facts.types[watermark], column))
    if window.after is not None:
        conditions.append(_comes_after(facts, window.after, column, values))
    order = sql.SQL("{} NULLS FIRST, {}").format(column, identifiers(facts.key))
    return select(facts, sql.SQL(""), sql.SQL(" AND ").join(conditions), order), values


def _in_window(window: TableWindow, following: int, values: dict[str, object]) -> sql.Composable:
    """The transaction's number lies from the window's start to below its end; without a start, anywhere below it."""
    below = window.below or 0
    first, end = (below, following) if window.start is None else (window.start, below)
    values |= {"first": first, "length": end - first}
    inside = "((xmin::text::bigint - %(first)s) & 4294967295) < %(length)s"
    return sql.SQL(f"NOT ({inside})" if window.start is None else inside)


def _looks_back(kind: str, column: sql.Identifier) -> sql.Composable:
    span = sql.SQL("interval" if kind in _NOW else "numeric")
    return sql.SQL("({0} IS NULL OR {0} >= {1} - %(lookback)s::{2})").format(column, newest_of(kind), span)


def newest_of(kind: str) -> sql.Composed:
    """Write the newest watermark, ``newest``, of a type; one of a time is no later than the server's clock."""
    newest = sql.SQL("%(newest)s::{}").format(sql.SQL(kind))
    return sql.SQL("least({}, {})").format(newest, sql.SQL(_NOW[kind])) if kind in _NOW else newest


def _held(database: Connection, kind: str, newest: str) -> str:
    """Hold the newest watermark to the server's clock: what lies beyond it is no measure of what is new."""
    if kind not in _NOW:
        return newest
    with database.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT ({})::text").format(newest_of(kind)), {"newest": newest})
        return str(next(iter(cursor))[0])


def _comes_after(
    facts: TableFacts, after: tuple[str | None, ...], column: sql.Identifier, values: dict[str, object]
) -> sql.Composable:
    names = [f"after_{number}" for number in range(len(after))]
    values |= dict(zip(names, after, strict=True))
    marks = list(map(sql.Placeholder, names))
    key = identifiers(facts.key)
    if after[0] is None:
        last = sql.SQL(", ").join(marks[1:])
        return sql.SQL("({0} IS NOT NULL OR ({1}) > ({2}))").format(column, key, last)
    return sql.SQL("({0}, {1}) > ({2})").format(column, key, sql.SQL(", ").join(marks))


def _check_distance(window: TableWindow, horizon: int) -> None:
    if window.start is not None and not 0 <= horizon - window.start < MOST_AWAY:
        raise LogMismatchError(
            "The database counts its transactions otherwise than when the connector stopped: it was restored from a "
            "backup, or two billion transactions have gone by. Start anew with --drop; event ids stay the same."
        )
