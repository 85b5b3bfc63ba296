"""Writes rows to ClickHouse in few large inserts, in threads of its own.

Delivery: when :meth:`ClickHouseWriter.flush` returns, ClickHouse has acknowledged everything written before. A block
may be inserted twice: an insert with an unknown outcome is repeated, and a crash causes a replay. The tables replace
rows of the same key, so queries with FINAL see one of each. While ClickHouse is down, a bounded number of rows wait
here; then the caller waits.

Blocks are rendered as Arrow columns once per insert. A table has one insert at a time. At a flush several tables are
written at once, because an insert mostly waits for the server.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, Self

import pyarrow as pa
from pydantic import SecretStr

from contracts.errors import CrmError, StoreRefusedError
from contracts.metrics import ROWS_WRITTEN, labelled
from contracts.outputs import TableBlock
from sinks.clients import clickhouse_is_out
from sinks.quick_inserts import QuickInserts
from sinks.retries import Retrying, first_line

_CLOSE_SECONDS: Final = 10.0
LONG_AGO: Final = 0.0
"""A moment of the monotonic clock that makes rows due."""
_INSERT_SETTINGS: Final = {"async_insert": 0, "optimize_on_insert": 0}
"""Settings of an insert: the writer batches, so the server must not; it answers when the block is stored. Nor does the
server look for rows of equal keys within the block: there are hardly any, and merges and FINAL find them."""


Split = Callable[[Any], Iterable[TableBlock]]
"""Makes blocks of rows from an output of the dataflow."""


def as_it_is(block: TableBlock) -> list[TableBlock]:
    """Return a block of rows unchanged."""
    return [block]


class Client(Protocol):
    """What inserts: the driver's client, or :class:`sinks.quick_inserts.QuickInserts`."""

    def insert_arrow(self, table: str, rows: pa.Table, *, settings: dict[str, Any]) -> object:
        """Insert rows; return when ClickHouse has stored them."""
        ...


@dataclass(frozen=True)
class Limits:
    """When rows are inserted, and how many may wait.

    An insert has at most about ``block_rows``. A table with ``due_rows`` is inserted without waiting for more, while
    the dataflow continues. ``max_waiting_rows`` bounds the rows of all tables in memory.
    """

    block_rows: int = 100_000
    due_rows: int = 20_000
    max_wait_seconds: float = 3.0
    max_waiting_rows: int = 500_000
    threads: int = 3


@dataclass
class _Queue:
    """The rows that wait for one table, and since when (monotonic seconds)."""

    pieces: deque[TableBlock] = field(default_factory=deque)
    rows: int = 0
    since: float = 0.0

    def put(self, piece: TableBlock, now: float) -> None:
        if not self.pieces:
            self.since = now
        self.pieces.append(piece)
        self.rows += len(piece)

    def take(self, limit: int, now: float) -> list[TableBlock]:
        """Take the oldest pieces that fit together, until they have ``limit`` rows or more; the rest waits on."""
        taken = [self.pieces.popleft()]
        rows = len(taken[0])
        while self.pieces and rows < limit and taken[0].fits(self.pieces[0]):
            taken.append(self.pieces.popleft())
            rows += len(taken[-1])
        self.rows -= rows
        self.since = now
        return taken


class ClickHouseWriter:
    """Gathers rows per table and inserts them when there are many or they are three seconds old.

    ``split`` makes blocks of rows from each output. Each of the writer's threads calls ``connect`` when it has the
    first rows, and again until ClickHouse answers.
    """

    def __init__(self, connect: Callable[[], Client], split: Split = as_it_is, limits: Limits | None = None):
        self._connect = connect
        self._split = split
        self._limits = limits or Limits()
        self._queues: dict[str, _Queue] = {}
        self._busy: set[str] = set()  # tables with an insert under way
        self._unwritten_rows = 0  # waiting or in the insert that is under way
        self._flushing = 0
        self._failure: CrmError | None = None
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._retrying = Retrying("ClickHouse", clickhouse_is_out, self._closed.wait)
        self._threads: list[threading.Thread] = []

    @classmethod
    def to(cls, url: SecretStr | str, database: str, split: Split = as_it_is) -> Self:
        """Make a writer to the database at ``url``. It connects at the first rows."""
        return cls(partial(QuickInserts.to, url, database), split)

    def write(self, batch: Sequence[Any]) -> None:
        """Accept outputs. Waits only while more than ``max_waiting_rows`` are not yet in ClickHouse.

        Raises StoreRefusedError if ClickHouse refused these or earlier rows for good, or if the writer is closed.
        """
        blocks = [block for item in batch for block in self._split(item) if len(block)]
        with self._changed:
            self._raise_failure()
            self._start()
            for block in blocks:
                self._changed.wait_for(self._has_room)
                self._raise_failure()
                self._put(block)
            self._changed.notify_all()

    def begin_flush(self) -> None:
        """Insert what waits as soon as may be, and return at once: a flush that follows then waits less.

        May be called from another thread.
        """
        with self._changed:
            for queue in self._queues.values():
                queue.since = LONG_AGO
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when ClickHouse has acknowledged all rows written so far; wait while it is down.

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
        """Stop the threads after their running inserts. Drops rows that were not flushed."""
        with self._changed:
            self._closed.set()
            self._failure = self._failure or StoreRefusedError("this ClickHouse writer is closed")
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_CLOSE_SECONDS)

    def _start(self) -> None:
        while len(self._threads) < self._limits.threads:
            thread = threading.Thread(target=self._run, name="clickhouse-writer", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _has_room(self) -> bool:
        return self._unwritten_rows < self._limits.max_waiting_rows or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure

    def _put(self, block: TableBlock) -> None:
        queue = self._queues.setdefault(block.table, _Queue())
        queue.put(block, time.monotonic())
        self._unwritten_rows += len(block)
        if queue.rows >= self._limits.due_rows:
            self._changed.notify_all()

    def _run(self) -> None:
        """Insert due rows until closed. Runs in each thread; write and flush raise its failure."""
        client: Client | None = None
        try:
            while pieces := self._next_pieces():
                if client is None:
                    client = self._retrying.call(self._connect)
                self._insert(client, pieces)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other thread must learn of it)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            message = f"writing to ClickHouse failed: {type(error).__name__}: {first_line(error)}"
            failure = error if isinstance(error, CrmError) else StoreRefusedError(message)
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _next_pieces(self) -> list[TableBlock] | None:
        """Wait for the table that is due next and take its rows; None when closed or another thread has failed."""
        with self._changed:
            while not self._closed.is_set() and self._failure is None:
                now = time.monotonic()
                waiting = [name for name, queue in self._queues.items() if queue.pieces and name not in self._busy]
                due = [name for name in waiting if self._due_in(self._queues[name], now) <= 0]
                if due:
                    table = min(due, key=self._urgency)
                    self._busy.add(table)
                    return self._queues[table].take(self._limits.block_rows, now)
                pauses = [self._due_in(self._queues[name], now) for name in waiting]
                self._changed.wait(min(pauses, default=None))
            return None

    def _urgency(self, table: str) -> float:
        """Rank tables: at a flush the largest insert first, so that small ones run beside it; else the oldest."""
        return -self._queues[table].rows if self._flushing else self._queues[table].since

    def _due_in(self, queue: _Queue, now: float) -> float:
        """Seconds until the rows of a table should be inserted."""
        if self._flushing or queue.rows >= self._limits.due_rows:
            return 0.0
        return queue.since + self._limits.max_wait_seconds - now

    def _insert(self, client: Client, pieces: Sequence[TableBlock]) -> None:
        """Insert pieces as one block; repeat it while ClickHouse is down."""
        table, rows = pieces[0].table, pieces[0].render(pieces[1:])
        try:
            self._retrying.call(lambda: client.insert_arrow(table, rows, settings=_INSERT_SETTINGS))
        except CrmError:
            raise
        except Exception as error:
            raise StoreRefusedError(
                f"ClickHouse refused {rows.num_rows} rows for table {table}: {first_line(error)}", table=table
            ) from error
        labelled(ROWS_WRITTEN, table).inc(rows.num_rows)
        with self._changed:
            self._busy.discard(table)
            self._unwritten_rows -= sum(map(len, pieces))
            self._changed.notify_all()
