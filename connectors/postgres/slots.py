"""Make, check and drop the publication and the replication slot of a connection.

A slot makes the server keep its log until the slot's reader has confirmed it: a slot that nobody reads fills the disk.
"""

import threading
import time
from typing import Any, Final, Self

import psycopg2
from psycopg2 import errors, sql

from connectors.postgres.catalog import MissingError, Slot, missing_in_publication, slot_of
from connectors.postgres.config import PostgresConnection
from connectors.postgres.server import Connection, LostContactError, query, run
from contracts.errors import StoreRefusedError

TAKE_OVER_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.1


def ensure_publication(database: Connection, connection: PostgresConnection) -> None:
    """Make the publication, or see to it that it has all tables. Raises :class:`MissingError` with what to do."""
    lacking = missing_in_publication(database, connection)
    name = connection.publication
    if lacking is None:
        _create_publication(database, connection)
    elif lacking:
        raise MissingError(
            f"The publication {name} does not have all that the connection reads.", f"Run {' '.join(lacking)}"
        )


def publication_statement(connection: PostgresConnection) -> sql.Composed:
    """Write the statement that makes the publication."""
    tables = [sql.Identifier(table.schema_name, table.name) for table in connection.tables]
    return sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)").format(
        sql.Identifier(connection.publication), sql.SQL(", ").join(tables)
    )


def _create_publication(database: Connection, connection: PostgresConnection) -> None:
    statement = publication_statement(connection)
    try:
        run(database, statement)
    except errors.InsufficientPrivilege:
        raise MissingError(
            f"There is no publication {connection.publication}, and the role may not make it.",
            f"As the owner of the tables: {statement.as_string(database)};",
        ) from None


def free_slot(database: Connection, name: str, *, take_over: bool) -> Slot | None:
    """Give the slot if there is one, free to be read.

    With ``take_over``, an older connector of the same name that still reads it is cut off. Raises
    :class:`LostContactError` while it is in use.
    """
    deadline = time.monotonic() + (TAKE_OVER_SECONDS if take_over else 0)
    slot = slot_of(database, name)
    while slot is not None and slot.active_pid is not None:
        if take_over:
            _cut_off(database, slot.active_pid)
        if time.monotonic() > deadline:
            raise LostContactError(f"The slot {name} is in use by process {slot.active_pid} of the server.")
        time.sleep(_PAUSE_SECONDS)
        slot = slot_of(database, name)
    return slot


def _cut_off(database: Connection, pid: str) -> None:
    try:
        query(database, sql.SQL("SELECT pg_terminate_backend(%(pid)s)"), {"pid": int(pid)})
    except errors.InsufficientPrivilege:
        raise StoreRefusedError(
            f"The slot is in use by process {pid} of the server, which belongs to another role. Stop it first."
        ) from None


class SlotMaker:
    """Makes a slot, for which the server first waits for the transactions that are open.

    It waits in a thread, so that the caller can be stopped meanwhile. Use it as a context manager, which gives up what
    is not done. ``stream`` is a connection for replication.
    """

    def __init__(self, stream: Any, name: str):
        self._stream = stream
        self._statement = sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput EXPORT_SNAPSHOT").format(
            sql.Identifier(name)
        )
        self._made: tuple[str, str] | None = None
        self._error: psycopg2.Error | None = None
        self._thread = threading.Thread(target=self._make, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._stream.cancel()
            self._thread.join(TAKE_OVER_SECONDS)

    def waits(self, seconds: float) -> bool:
        """Wait so long; tell whether the slot is not there yet."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def made(self) -> tuple[str, str]:
        """Give the log position at which the slot begins, and the name of the snapshot of that moment.

        The snapshot lasts until the connection is used again. Raises what PostgreSQL did.
        """
        if self._made is None:
            raise _explained(self._error or psycopg2.InterfaceError("no slot was made"))
        return self._made

    def _make(self) -> None:
        try:
            with self._stream.cursor() as cursor:
                cursor.execute(self._statement)
                _, begins_at, snapshot, _ = cursor.fetchone()
            self._made = begins_at, snapshot
        except psycopg2.Error as error:
            self._error = error


def _explained(error: psycopg2.Error) -> Exception:
    if "max_replication_slots" in str(error) or isinstance(error, errors.ConfigurationLimitExceeded):
        return MissingError("All replication slots of the server are in use.", "Raise max_replication_slots.")
    return error


def drop_slot(database: Connection, name: str) -> bool:
    """Drop the slot, whoever reads it; tells whether there was one."""
    if free_slot(database, name, take_over=True) is None:
        return False
    query(database, sql.SQL("SELECT pg_drop_replication_slot(%(name)s)::text"), {"name": name})
    return True
