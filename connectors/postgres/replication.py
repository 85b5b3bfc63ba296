"""Follow the changes of tables by logical replication (pgoutput).

Delivery: every committed change exactly once, in the order of the commits, by the position in the server's log;
rolled-back ones never. The server keeps its log until Kafka holds what is in it (:meth:`ReplicationSource.confirm`).
Large transactions are taken in parts, so memory stays bounded; the rows that are there already come first
(:mod:`connectors.postgres.initial`).
"""

import select
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import psycopg2

from connectors.databases.changes import Change
from connectors.databases.pump import Step
from connectors.kafka.positions import Position
from connectors.postgres.catalog import (
    ServerFacts,
    TableFacts,
    check_identity,
    check_replication,
    server_facts,
    slot_of,
    table_facts,
)
from connectors.postgres.config import PostgresConnection
from connectors.postgres.identity import ANEW, checked, identity_of
from connectors.postgres.initial import read_tables
from connectors.postgres.server import Connection, Server, ask, explained
from connectors.postgres.slots import SlotMaker, drop_slot, ensure_publication, free_slot
from connectors.postgres.stream import StreamPosition, TransactionReader, lsn_number
from contracts.errors import LogMismatchError, StoreRefusedError

MOST_CHANGES: Final = 1_000
MOST_MESSAGES: Final = 10_000
MOST_BYTES: Final = 8 << 20
"""What one step may hold."""
WAIT_SECONDS: Final = 0.5
STATUS_SECONDS: Final = 10
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
        self._confirmed = 0

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
            self._confirmed = lsn_number(position["start"])
            with explained():
                self._cursor.send_feedback(flush_lsn=self._confirmed)

    def told(self) -> str:
        """Say how much of its log the server still keeps for this connector."""
        now = time.monotonic()
        if self._database is not None and self._phase == "stream" and now - self._lag[0] > LOOK_SECONDS:
            with explained():
                slot = slot_of(self._database, self._connection.slot)
            self._lag = (now, f"{_size(slot.lag_bytes)} of log behind" if slot else "")
        return self._lag[1] if self._phase == "stream" else self._phase

    def close(self) -> None:
        """Leave the server; the slot stays. What is confirmed by then, the server is told at once."""
        if self._cursor is not None:
            with suppress(psycopg2.Error):
                self._cursor.send_feedback(flush_lsn=self._confirmed, force=True)
        for connection in (self._stream, self._database):
            if connection is not None:
                connection.close()
        self._stream = self._cursor = self._database = None

    def _check(self, database: Connection, server: ServerFacts) -> list[TableFacts]:
        check_replication(server)
        tables = [table_facts(database, spec, self._connection) for spec in self._connection.tables]
        for facts in tables:
            check_identity(facts)
        ensure_publication(database, self._connection)
        return tables

    def _begin(
        self, database: Connection, found: Position, tables: list[TableFacts], identity: Position, *, take_over: bool
    ) -> Generator[Step, None, StreamPosition]:
        """Get the slot ready; returns the position from which to follow it."""
        name = self._connection.slot
        slot = free_slot(database, name, take_over=take_over)
        if found.get("slot", name) != name:
            raise LogMismatchError(f"The connector has read the slot {found['slot']} so far. {ANEW}")
        if found.get("phase") == "stream":
            if slot is None or slot.is_lost:
                raise StoreRefusedError(
                    f"The slot {name} is gone, and with it the changes since the connector stopped. {ANEW}"
                )
            return StreamPosition.from_json(found)
        if not found and slot is not None and self._connection.snapshot == "initial":
            raise StoreRefusedError(
                f"There is a slot {name} already, but Kafka has no position for it. Drop it with --drop, or name "
                "another `slot`; with `snapshot: never` it is followed from where it stands."
            )
        if self._connection.snapshot == "never":
            begins_at = slot.confirmed if slot else (yield from self._make_slot({**identity, "phase": "snapshot"}))[0]
        else:
            begins_at = yield from self._read_tables(database, tables, found.get("runs", []), identity)
        begin = StreamPosition(lsn_number(begins_at))
        yield Step((), _position(identity, begin), durable=True)
        return begin

    def _read_tables(
        self, database: Connection, tables: list[TableFacts], runs: list[Any], identity: Position
    ) -> Generator[Step, None, str]:
        """Make a new slot and read all rows as of its beginning; returns the log position of that."""
        snapshot = {**identity, "phase": "snapshot"}
        yield Step((), {**snapshot, "runs": runs}, durable=True)  # from here on the slot is known to be ours
        drop_slot(database, self._connection.slot)
        begins_at, exported = yield from self._make_slot({**snapshot, "runs": runs})
        self._phase = "reading the rows that are there"
        reader = self._server.connect()
        try:
            for changes, now in read_tables(reader, exported, tables, runs):
                yield Step(changes, {**snapshot, "runs": now}, durable=True)
        finally:
            reader.close()
        return begins_at

    def _make_slot(self, position: Position) -> Generator[Step, None, tuple[str, str]]:
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
            changes, quiet = _gather(cursor, reader)
            caught_up = quiet and not reader.in_transaction and (cursor.wal_end or 0) >= end
            yield Step(changes, _position(identity, reader.position), caught_up)
            if quiet and not caught_up:
                cursor.send_feedback(reply=True)


def _gather(cursor: Any, reader: TransactionReader) -> tuple[list[Change], bool]:
    """Take what has come, or wait a moment for it; tells also whether nothing came."""
    changes: list[Change] = []
    messages = size = 0
    waited = False
    while len(changes) < MOST_CHANGES and messages < MOST_MESSAGES and size < MOST_BYTES:
        message = cursor.read_message()
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
    return {**identity, "phase": "stream", **replace(position).to_json()}


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 10_000:
            return f"{count:,} {unit}"
        count //= 1_000
    return f"{count:,} GB"
