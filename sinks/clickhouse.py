"""Writes rows to ClickHouse in few large inserts, in threads of its own.

Delivery: when :meth:`ClickHouseWriter.flush` returns, everything written before is acknowledged by ClickHouse or on the
disk in the outbox (:mod:`sinks.outbox`), from which this run, or the next one, sends it. A block may be inserted twice:
an insert with an unknown outcome is repeated, and a crash causes a replay. The tables replace rows of the same key, so
queries with FINAL see one of each. Rows of one table are sent in the order in which they were written, those that
earlier runs left first. While ClickHouse is down, a bounded number of rows wait; then the caller waits.

Blocks are rendered as Arrow columns once per insert. A table has one insert at a time. At a flush several tables are
written at once, because an insert mostly waits for the server.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pydantic import SecretStr

from contracts.errors import CrmError, StoreRefusedError
from contracts.metrics import ROWS_WRITTEN, labelled
from contracts.outages import is_away, waiting_for
from contracts.outputs import TableBlock
from sinks.clients import clickhouse_is_out
from sinks.inserts import Client, Insert, Limits, TableQueue, Work, joined
from sinks.outbox import Outbox, Ticket
from sinks.quick_inserts import QuickInserts
from sinks.retries import Retrying, first_line

log = logging.getLogger(__name__)
STORE: Final = "ClickHouse"
_CLOSE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.2
"""How often a wait looks whether ClickHouse is away."""
LONG_AGO: Final = 0.0
"""A moment of the monotonic clock that makes rows due."""
INSERT_SETTINGS: Final = {"async_insert": 0, "optimize_on_insert": 0}
"""Settings of an insert: the writer batches, so the server must not; it answers when the block is stored. Nor does the
server look for rows of equal keys within the block: there are hardly any, and merges and FINAL find them."""


Split = Callable[[Any], Iterable[TableBlock]]
"""Makes blocks of rows from an output of the dataflow."""


def as_it_is(block: TableBlock) -> list[TableBlock]:
    """Return a block of rows unchanged."""
    return [block]


class ClickHouseWriter:
    """Gathers rows per table and inserts them when there are many or they are three seconds old.

    ``split`` makes blocks of rows from each output. Each of the writer's threads calls ``connect`` when it has the
    first rows, and again until ClickHouse answers. What earlier runs have left in ``outbox`` is sent first, and the
    writer closes the outbox. Without one, a flush waits for ClickHouse.
    """

    def __init__(
        self, connect: Callable[[], Client], split: Split = as_it_is, limits: Limits | None = None,
        outbox: Outbox | None = None,
    ):  # fmt: skip
        self._connect = connect
        self._split = split
        self._limits = limits or Limits()
        self._outbox = outbox
        self._queues: dict[str, TableQueue] = {}
        self._works: dict[str, Work] = {}  # of tables with an insert under way
        self._unwritten_rows = 0  # waiting or in the insert that is under way
        self._flushing = 0
        self._patient = self._was_patient = False
        self._one_flush = threading.Lock()
        self._failure: CrmError | None = None
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._retrying = Retrying(STORE, clickhouse_is_out, self._closed.wait, aside=outbox is not None)
        self._threads: list[threading.Thread] = []
        if outbox is not None and outbox.left_over:
            self._send_left_over(outbox.left_over)

    @classmethod
    def to(cls, url: SecretStr | str, database: str, split: Split = as_it_is, outbox: Path | None = None) -> Self:
        """Make a writer to the database at ``url``. It connects at the first rows.

        ``outbox`` is the folder of the outbox; what earlier runs have left there is sent.
        """
        return cls(partial(QuickInserts.to, url, database), split, outbox=None if outbox is None else Outbox(outbox))

    def write(self, batch: Sequence[Any]) -> None:
        """Accept outputs. Waits only while more than may wait is not yet in ClickHouse.

        Raises StoreRefusedError if ClickHouse refused these or earlier rows for good, or if the writer is closed.
        """
        blocks = [block for item in batch for block in self._split(item) if len(block)]
        with self._changed:
            self._raise_failure()
            self._start()
            for block in blocks:
                self._wait_for_room()
                self._raise_failure()
                self._put(block)
            self._changed.notify_all()

    def begin_flush(self, *, patient: bool = False) -> None:
        """Insert what waits as soon as may be, and return at once: a flush that follows then waits less.

        A patient one waits for ClickHouse unless it is away: in a catch-up no reader waits for scores, and to write and
        sync many rows costs more. The one after it is patient too, since most of its rows are of the catch-up. Call it
        once for each epoch; another thread may do that.
        """
        with self._changed:
            self._patient, self._was_patient = patient or self._was_patient, patient
            for queue in self._queues.values():
                queue.since = LONG_AGO
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all rows written so far are in ClickHouse or in the outbox.

        Raises StoreRefusedError as :meth:`write` does, and StateError if the disk does not take the rows.
        """
        with self._one_flush:
            self._set_flushing(1)
            try:
                self._give_time()
                if self._outbox is not None:
                    self._spill(self._outbox)
            finally:
                self._set_flushing(-1)

    @property
    def waiting(self) -> int:
        """The number of rows that ClickHouse does not yet have."""
        return self._unwritten_rows

    def last_put(self) -> int:
        """Return a number for :meth:`is_stored`: that of the last flush that put rows into the outbox."""
        return 0 if self._outbox is None else self._outbox.last_put

    def is_stored(self, put: int) -> bool:
        """Whether ClickHouse has all rows of the flush with that number, of those before it, and of earlier runs."""
        return self._outbox is None or self._outbox.is_stored(put)

    def close(self) -> None:
        """Stop the threads after their running inserts. Drops rows that were not flushed.

        Rows in the outbox are sent first, unless ClickHouse is away or slow: then they stay for the next run.
        """
        with self._changed:
            if self._outbox is not None:
                self._send_rest(self._outbox)
            self._closed.set()
            self._failure = self._failure or StoreRefusedError("this ClickHouse writer is closed")
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_CLOSE_SECONDS)
        if self._outbox is not None:
            self._outbox.close()

    def _set_flushing(self, more: int) -> None:
        with self._changed:
            self._flushing += more
            self._changed.notify_all()

    def _give_time(self) -> None:
        """Wait until ClickHouse has all rows: without an outbox as long as it takes, else as long as is worth it."""
        if self._outbox is None:
            self._wait_until_stored(None)
            return
        limits = self._limits
        is_stored = self._wait_until_stored(limits.grace_seconds if self._unwritten_rows <= limits.few_rows else 0)
        while self._patient and not is_stored and not is_away(STORE):
            is_stored = self._wait_until_stored(_LOOK_SECONDS)

    def _wait_until_stored(self, seconds: float | None) -> bool:
        """Wait; return whether ClickHouse has all rows by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._unwritten_rows, seconds)
            self._raise_failure()
            return not self._unwritten_rows

    def _spill(self, outbox: Outbox) -> None:
        """Put all rows into the outbox that neither are there nor in ClickHouse."""
        rendered = [Insert.of_blocks(blocks) for blocks in self._take_blocks()]
        with self._changed:
            for insert in rendered:
                self._queues[insert.table].put_insert(insert, LONG_AGO)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._failure or all(work.inserts is not None for work in self._works.values())
            )
            self._raise_failure()
            queued = [insert for queue in self._queues.values() for insert in queue.inserts]
            under_way = [insert for work in self._works.values() for insert in work.inserts or ()]
            spilled = [insert for insert in (*under_way, *queued) if not (insert.stored or insert.ticket)]
            pieces = [(insert.table, insert.columns()) for insert in spilled]
        tickets = outbox.put(pieces)
        with self._changed:
            keep = outbox.bytes <= self._limits.kept_bytes
            for insert, ticket in zip(spilled, tickets, strict=True):
                insert.ticket = ticket
                insert.rows = insert.rows if keep else None
            stored = [ticket for insert, ticket in zip(spilled, tickets, strict=True) if insert.stored]
        if stored:
            outbox.done(stored)

    def _take_blocks(self) -> list[list[TableBlock]]:
        """Take all blocks, together as inserts. The caller adds no others meanwhile."""
        taken = []
        with self._changed:
            for queue in self._queues.values():
                while queue.blocks:
                    taken.append(queue.take_blocks(self._limits.block_rows))
        return taken

    def _send_left_over(self, tickets: Sequence[Ticket]) -> None:
        with self._changed:
            for ticket in tickets:
                queue = self._queues.setdefault(ticket.piece.table, TableQueue())
                queue.put_insert(Insert.left_over(ticket), LONG_AGO)
                self._unwritten_rows += ticket.piece.rows
            self._start()

    def _send_rest(self, outbox: Outbox) -> None:
        """Wait until the outbox is empty; give up when ClickHouse is away, or after ten seconds."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._unwritten_rows and self._failure is None and time.monotonic() < deadline:
            self._changed.wait(_LOOK_SECONDS)
            if is_away(STORE):
                break
        if outbox.rows:
            log.warning("%d rows wait in %s for ClickHouse: the next start sends them", outbox.rows, outbox.folder)

    def _start(self) -> None:
        while len(self._threads) < self._limits.threads:
            thread = threading.Thread(target=self._run, name="clickhouse-writer", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _wait_for_room(self) -> None:
        """Wait while too much waits. If ClickHouse is away, the process waits for it from now on."""
        while not self._changed.wait_for(self._has_room, _LOOK_SECONDS):
            if is_away(STORE):
                with waiting_for(STORE):
                    self._changed.wait_for(self._has_room)

    def _has_room(self) -> bool:
        limits, failed = self._limits, self._failure is not None
        fits = self._outbox is None or self._outbox.bytes < limits.max_waiting_bytes
        return failed or (fits and self._unwritten_rows < limits.max_waiting_rows)

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure

    def _put(self, block: TableBlock) -> None:
        queue = self._queues.setdefault(block.table, TableQueue())
        queue.put(block, time.monotonic())
        self._unwritten_rows += len(block)
        if queue.rows >= self._limits.due_rows:
            self._changed.notify_all()

    def _run(self) -> None:
        """Insert due rows until closed. Runs in each thread; write and flush raise its failure."""
        client: Client | None = None
        try:
            while work := self._next_work():
                inserts = work.rendered()  # before anything that waits for ClickHouse: a flush waits for it
                with self._changed:
                    work.inserts = inserts
                    self._changed.notify_all()
                if client is None:
                    client = self._retrying.call(self._connect)
                for rows, members in joined(inserts):
                    self._insert(client, work.table, rows, members)
                with self._changed:
                    del self._works[work.table]
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 (whatever it is, the other thread must learn of it)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            message = f"writing to ClickHouse failed: {type(error).__name__}: {first_line(error)}"
            failure = error if isinstance(error, CrmError) else StoreRefusedError(message)
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _next_work(self) -> Work | None:
        """Wait for the table that is due next and take its rows; None when closed or another thread has failed."""
        with self._changed:
            while not self._closed.is_set() and self._failure is None:
                now = time.monotonic()
                waiting = [name for name, queue in self._queues.items() if queue and name not in self._works]
                due = [name for name in waiting if self._due_in(self._queues[name], now) <= 0]
                if due:
                    table = min(due, key=self._urgency)
                    self._works[table] = self._queues[table].take(table, self._limits.block_rows, now)
                    return self._works[table]
                pauses = [self._due_in(self._queues[name], now) for name in waiting]
                self._changed.wait(min(pauses, default=None))
            return None

    def _urgency(self, table: str) -> float:
        """Rank tables: at a flush the largest insert first, so that small ones run beside it; else the oldest."""
        return -self._queues[table].rows if self._flushing else self._queues[table].since

    def _due_in(self, queue: TableQueue, now: float) -> float:
        """Seconds until the rows of a table should be inserted."""
        if self._flushing or queue.inserts or queue.rows >= self._limits.due_rows:
            return 0.0
        return queue.since + self._limits.max_wait_seconds - now

    def _insert(self, client: Client, table: str, rows: pa.Table, inserts: Sequence[Insert]) -> None:
        """Send rows as one block; repeat it while ClickHouse is down."""
        try:
            self._retrying.call(lambda: client.insert_arrow(table, rows, settings=INSERT_SETTINGS))
        except CrmError:
            raise
        except Exception as error:
            raise self._refused(error, table, rows.num_rows, inserts) from error
        labelled(ROWS_WRITTEN, table).inc(rows.num_rows)
        with self._changed:
            for insert in inserts:
                insert.stored = True
            tickets = [insert.ticket for insert in inserts if insert.ticket is not None]
        if self._outbox is not None and tickets:
            self._outbox.done(tickets)
        with self._changed:
            self._unwritten_rows -= sum(insert.count for insert in inserts)
            self._changed.notify_all()

    @staticmethod
    def _refused(error: Exception, table: str, rows: int, inserts: Sequence[Insert]) -> StoreRefusedError:
        files = sorted({str(insert.ticket) for insert in inserts if insert.ticket is not None})
        where = f" They are in {' and '.join(files)} and are sent again at the next start." if files else ""
        return StoreRefusedError(
            f"ClickHouse refused {rows} rows for table {table}: {first_line(error)}.{where}", table=table
        )
