"""Follow the changes of tables by logical replication (pgoutput).

Delivery: every committed change exactly once, in the order of the commits, by the position in the server's log;
rolled-back ones never. The server keeps its log until Kafka holds what is in it (:meth:`ReplicationSource.confirm`).
Large transactions are taken in parts, so memory stays bounded; the rows that are there already come first
(:mod:`connectors.postgres.initial`).

The slot never stands beyond the position in Kafka, so one that does was moved by somebody else
(:func:`connectors.postgres.identity.check_slot`). The driver of itself confirms as much of its log as an idle server
says it has sent; hence the position moves along with that, and the server is told nothing before Kafka is.
"""

import select
import time
from collections.abc import Generator, Iterator
from typing import Any, Final

import psycopg2

from connectors.databases.changes import Change
from connectors.databases.pump import Step
from connectors.kafka.positions import Position
from connectors.postgres.catalog import (
    ServerFacts,
    Slot,
    TableFacts,
    check_identity,
    check_replication,
    published,
    server_facts,
    slot_of,
    table_facts,
)
from connectors.postgres.config import PostgresConnection
from connectors.postgres.identity import check_slot, checked, identity_of
from connectors.postgres.initial import beyond_doubt, open_snapshot, read_tables
from connectors.postgres.server import Connection, Server, ask, explained
from connectors.postgres.slots import SlotMaker, ensure_publication, free_slot
from connectors.postgres.stream import Shown, StreamPosition, TransactionReader, lsn_number

MOST_CHANGES: Final = 1_000
MOST_MESSAGES: Final = 10_000
MOST_BYTES: Final = 8 << 20
"""What one step may hold."""
WAIT_SECONDS: Final = 0.5
STATUS_SECONDS: Final = 86_400
"""How often the driver would tell the server by itself how far it is: it is told when Kafka has it."""
LOOK_SECONDS: Final = 5.0


class ReplicationSource:
    """The tables of one connection, followed through a replication slot."""

    def __init__(self, server: Server, connection: PostgresConnection):
        self.reached = False
        self._server = server
        self._connection = connection
        self._database: Connection | None = None
        self._stream: Any = None
        self._cursor: Any = None
        self._lag: tuple[float, str] = (0.0, "")
        self._phase = "looking at the server"
        self._passed = 0

    def steps(self, position: Position | None, *, again: bool) -> Iterator[Step]:
        """Connect and follow from a position on, for ever; without one, begin with a new slot."""
        with explained():
            database = self._database = self._server.connect()
            server = server_facts(database)
            tables = self._check(database, server)
            found = checked(position, server, "replication")
            self._stream = self._server.connect_stream()
            self.reached = True
            identity = {**identity_of(server, "replication"), "slot": self._connection.slot}
            begin = yield from self._begin(database, found, tables, identity, take_over=not again)
            yield from self._follow(database, begin, tables, identity)

    def confirm(self, position: Position) -> None:
        """Tell the server up to where Kafka holds everything, so that it can let go of its log."""
        if self._cursor is not None and position.get("phase") == "stream":
            with explained():
                self._cursor.send_feedback(flush_lsn=lsn_number(position["start"]), force=True)

    def told(self) -> str:
        """Say how much of its log the server still keeps for this connector."""
        now = time.monotonic()
        if self._database is not None and self._phase == "stream" and now - self._lag[0] > LOOK_SECONDS:
            with explained():
                slot = slot_of(self._database, self._connection.slot)
            self._lag = (now, f"{_size(slot.lag_bytes)} of log behind" if slot else "")
        return self._lag[1] if self._phase == "stream" else self._phase

    def close(self) -> None:
        """Leave the server; the slot stays."""
        for connection in (self._stream, self._database):
            if connection is not None:
                connection.close()
        self._stream = self._cursor = self._database = None

    def _check(self, database: Connection, server: ServerFacts) -> list[TableFacts]:
        check_replication(server)
        tables = [table_facts(database, spec, self._connection) for spec in self._connection.tables]
        operations = published(database, self._connection)
        for facts in tables:
            check_identity(facts, operations)  # before there is a publication, which would stop the owner's changes
        ensure_publication(database, self._connection)
        return tables

    def _begin(
        self, database: Connection, found: Position, tables: list[TableFacts], identity: Position, *, take_over: bool
    ) -> Generator[Step, None, StreamPosition]:
        """Get the slot ready; returns the position from which to follow it."""
        slot = self._own_slot(database, found, take_over=take_over)
        if found.get("phase") == "stream":
            return StreamPosition.from_json(found)
        snapshot = {**identity, "phase": "snapshot", "runs": found.get("runs", [])}
        exported = None
        if slot is None:
            begins_at, exported = yield from self._make_slot(snapshot)
        else:  # ours, and never followed: it still stands at its beginning
            begins_at = found.get("begins_at") or slot.confirmed
        begin = StreamPosition(lsn_number(begins_at))
        if self._connection.snapshot == "initial":
            begin = yield from self._read_tables(database, tables, {**snapshot, "begins_at": begins_at}, exported)
        yield Step((), _position(identity, begin), durable=True)
        return begin

    def _own_slot(self, database: Connection, found: Position, *, take_over: bool) -> Slot | None:
        """Give the slot, free to be read; nobody is cut off unless Kafka says that it is ours."""
        name = self._connection.slot
        check_slot(found, slot_of(database, name), name, self._passed)
        return free_slot(database, name, take_over=take_over) if found else None

    def _read_tables(
        self, database: Connection, tables: list[TableFacts], position: Position, exported: str | None
    ) -> Generator[Step, None, StreamPosition]:
        """Read all rows as of the slot's beginning or, if that snapshot is gone, of now; returns where to follow it."""
        yield Step((), position, durable=True)  # a slot whose beginning is known is never given up
        self._phase = "reading the rows that are there"
        begins_at = lsn_number(position["begins_at"])
        reader = self._server.connect()
        try:
            seen = open_snapshot(reader, exported)
            shown = None if exported else Shown(seen, lsn_number(ask(database, "end_of_log")[0]["written"]))
            run = seen if exported else beyond_doubt(seen)
            for changes, now in read_tables(reader, run, tables, position["runs"]):
                yield Step(changes, {**position, "runs": now}, durable=True)
        finally:
            reader.close()
        return StreamPosition(begins_at, shown=shown)

    def _make_slot(self, position: Position) -> Generator[Step, None, tuple[str, str]]:
        yield Step((), position, durable=True)  # from here on a slot of this name is known to be ours
        self._phase = "making the slot (the server waits for the transactions that are open)"
        with SlotMaker(self._stream, self._connection.slot) as maker:
            while maker.waits(WAIT_SECONDS):
                yield Step((), position)
            return maker.made()

    def _follow(
        self, database: Connection, begin: StreamPosition, tables: list[TableFacts], identity: Position
    ) -> Iterator[Step]:
        self._phase = "stream"
        keys = {facts.spec.full_name: facts.key for facts in tables}
        reader = TransactionReader(begin, keys)
        end = lsn_number(ask(database, "end_of_log")[0]["lsn"])
        cursor = self._cursor = self._stream.cursor()
        cursor.start_replication(
            slot_name=self._connection.slot,
            start_lsn=begin.start,
            options={"proto_version": "1", "publication_names": f'"{self._connection.publication}"'},
            decode=False,
            status_interval=STATUS_SECONDS,
        )
        while True:
            try:
                changes, quiet = _gather(cursor, reader)
            except psycopg2.Error:  # a server that shuts down is answered first, and that moves the slot
                yield Step((), _position(identity, self._pass_to(reader, cursor)), durable=True)
                raise
            position = _position(identity, self._pass_to(reader, cursor))
            caught_up = quiet and not reader.in_transaction and (cursor.wal_end or 0) >= end
            waits = quiet and not caught_up
            yield Step(changes, position, caught_up, durable=waits)
            if waits:
                cursor.send_feedback(reply=True)

    def _pass_to(self, reader: TransactionReader, cursor: Any) -> StreamPosition:
        """Move the position to where the server has come: all that it sent before has been read."""
        reader.pass_to(cursor.wal_end or 0)
        self._passed = reader.position.start
        return reader.position


def _gather(cursor: Any, reader: TransactionReader) -> tuple[list[Change], bool]:
    """Take what has come, or wait a moment for it; tells also whether nothing came.

    Raises what psycopg2 does when contact is lost, but not before it has given what came until then.
    """
    changes: list[Change] = []
    messages = size = 0
    waited = False
    while len(changes) < MOST_CHANGES and messages < MOST_MESSAGES and size < MOST_BYTES:
        try:
            message = cursor.read_message()
        except psycopg2.Error:
            if messages:
                break
            raise
        if message is None:
            if messages or waited:
                break
            select.select([cursor], [], [], WAIT_SECONDS)
            waited = True
            continue
        messages += 1
        size += message.data_size
        change = reader.read(message.payload)
        if change is not None:
            changes.append(change)
    return changes, not messages


def _position(identity: Position, position: StreamPosition) -> Position:
    return {**identity, "phase": "stream", **position.to_json()}


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 10_000:
            return f"{count:,} {unit}"
        count //= 1_000
    return f"{count:,} GB"
