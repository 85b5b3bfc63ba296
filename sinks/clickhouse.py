"""Writes rows to ClickHouse in large blocks, in a thread of its own.

Delivery: what was handed over before a :meth:`ClickHouseWriter.flush` is acknowledged by ClickHouse when it
returns. A block may be inserted twice (an insert whose outcome is unknown is repeated, and a crash brings a
replay): the tables replace rows of the same key, so readers that say FINAL see one of each. While ClickHouse
is down, rows wait here up to a bound, and beyond it the caller waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from contracts.errors import CrmError, StoreRefusedError
from contracts.metrics import ROWS_WRITTEN
from contracts.outputs import TableRows
from sinks.clients import clickhouse_client, clickhouse_is_out
from sinks.retries import Retrying, first_line

BLOCK_ROWS: Final = 50_000
DUE_ROWS: Final = 10_000
"""So many rows do not wait for more while nothing else is being inserted: the dataflow goes on meanwhile."""
MAX_WAIT_SECONDS: Final = 1.0
MAX_WAITING_ROWS: Final = 500_000
_CLOSE_SECONDS: Final = 10.0
_INSERT_SETTINGS: Final = {"async_insert": 0}
"""The block is made here; the server must not gather it once more, and must answer when it is stored."""


@dataclass
class _Queue:
    """The rows that wait for one table, and since when (monotonic seconds)."""

    pieces: deque[pa.Table] = field(default_factory=deque)
    rows: int = 0
    since: float = 0.0

    def put(self, piece: pa.Table, now: float) -> None:
        if not self.pieces:
            self.since = now
        self.pieces.append(piece)
        self.rows += piece.num_rows

    def take(self, limit: int, now: float) -> list[pa.Table]:
        """Take the oldest pieces of one shape, up to ``limit`` rows or a piece more; the rest waits anew."""
        taken = [self.pieces.popleft()]
        rows = taken[0].num_rows
        while self.pieces and rows < limit and self.pieces[0].schema.equals(taken[0].schema):
            taken.append(self.pieces.popleft())
            rows += taken[-1].num_rows
        self.rows -= rows
        self.since = now
        return taken


class ClickHouseWriter:
    """Gathers rows per table and inserts a table's when they are many or a second old, one block at a time.

    ``connect`` is called in the writer's thread, at the first rows, and again until ClickHouse answers.
    ``max_waiting_rows`` bounds the rows held in memory, in rows of all tables: :meth:`write` waits when they
    are more.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        *,
        block_rows: int = BLOCK_ROWS,
        due_rows: int = DUE_ROWS,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        max_waiting_rows: int = MAX_WAITING_ROWS,
    ):
        self._connect = connect
        self._block_rows = block_rows
        self._due_rows = min(due_rows, block_rows)
        self._max_wait_seconds = max_wait_seconds
        self._max_waiting_rows = max_waiting_rows
        self._queues: dict[str, _Queue] = {}
        self._unwritten_rows = 0  # waiting or in the insert that is under way
        self._flushing = 0
        self._failure: CrmError | None = None
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._retrying = Retrying("ClickHouse", clickhouse_is_out, self._closed.wait)
        self._thread: threading.Thread | None = None

    @classmethod
    def to(cls, url: SecretStr | str, database: str) -> Self:
        """Make a writer to the database at ``url``; it connects when it has something to write."""
        return cls(partial(clickhouse_client, url, database))

    def write(self, batch: Sequence[TableRows]) -> None:
        """Take rows over. Waits only while more than ``max_waiting_rows`` are not yet in ClickHouse.

        Raises StoreRefusedError if ClickHouse refused these or earlier rows for good, or the writer is
        closed.
        """
        with self._changed:
            self._raise_failure()
            self._start()
            for output in batch:
                self._changed.wait_for(self._has_room)
                self._raise_failure()
                self._put(output)
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when ClickHouse has acknowledged all rows handed over; for as long as it is down, wait.

        Raises StoreRefusedError as :meth:`write` does.
        """
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._failure or not self._unwritten_rows)
            finally:
                self._flushing -= 1
            self._raise_failure()

    def close(self) -> None:
        """Stop the thread, after the insert that is under way. Rows that were not flushed are dropped."""
        with self._changed:
            self._closed.set()
            self._failure = self._failure or StoreRefusedError("this ClickHouse writer is closed")
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join(_CLOSE_SECONDS)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="clickhouse-writer", daemon=True)
            self._thread.start()

    def _has_room(self) -> bool:
        return self._unwritten_rows < self._max_waiting_rows or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure

    def _put(self, output: TableRows) -> None:
        rows = output.rows.num_rows
        if not rows:
            return
        queue = self._queues.setdefault(output.table, _Queue())
        queue.put(output.rows, time.monotonic())
        self._unwritten_rows += rows
        if queue.rows >= self._due_rows:
            self._changed.notify_all()

    def _run(self) -> None:
        """Insert what is due until closed: the thread. Its failure is raised by write and flush."""
        try:
            client = self._retrying.call(self._connect)
            while block := self._next_block():
                self._insert(client, *block)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other thread must learn of it)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            message = f"writing to ClickHouse failed: {type(error).__name__}: {first_line(error)}"
            failure = error if isinstance(error, CrmError) else StoreRefusedError(message)
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _next_block(self) -> tuple[str, list[pa.Table]] | None:
        """Wait for the block that is due next and take it; None when closed."""
        with self._changed:
            while not self._closed.is_set():
                now = time.monotonic()
                waiting = [name for name, queue in self._queues.items() if queue.pieces]
                due = [name for name in waiting if self._due_in(self._queues[name], now) <= 0]
                if due:
                    table = min(due, key=lambda name: self._queues[name].since)
                    return table, self._queues[table].take(self._block_rows, now)
                pauses = [self._due_in(self._queues[name], now) for name in waiting]
                self._changed.wait(min(pauses, default=None))
            return None

    def _due_in(self, queue: _Queue, now: float) -> float:
        """Seconds until the rows of a table should be inserted."""
        if self._flushing or queue.rows >= self._due_rows:
            return 0.0
        return queue.since + self._max_wait_seconds - now

    def _insert(self, client: Client, table: str, pieces: list[pa.Table]) -> None:
        """Insert pieces as one block; repeat it while ClickHouse is down."""
        # Arrow's file format wants one dictionary per column; chunks from several batches have one each.
        rows = pa.concat_tables(pieces).unify_dictionaries()
        try:
            self._retrying.call(lambda: client.insert_arrow(table, rows, settings=_INSERT_SETTINGS))
        except CrmError:
            raise
        except Exception as error:
            raise StoreRefusedError(
                f"ClickHouse refused {rows.num_rows} rows for table {table}: {first_line(error)}", table=table
            ) from error
        ROWS_WRITTEN.labels(table).inc(rows.num_rows)
        with self._changed:
            self._unwritten_rows -= rows.num_rows
            self._changed.notify_all()
