"""Rows on their way into a table: blocks, then inserts (columns of Arrow), which may be in the outbox too; limits."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import pyarrow as pa

from contracts.outputs import TableBlock
from sinks.outbox import Ticket


class Client(Protocol):
    """What inserts: the driver's client, or :class:`sinks.quick_inserts.QuickInserts`."""

    def insert_arrow(self, table: str, rows: pa.Table, *, settings: dict[str, Any]) -> object:
        """Insert rows; return when ClickHouse has stored them."""
        ...


@dataclass(frozen=True)
class Limits:
    """When rows are inserted, and how many may wait.

    An insert has at most about ``block_rows``. A table with ``due_rows`` is inserted without waiting for more, while
    the dataflow continues. ``max_waiting_rows`` bounds the rows of all tables that wait, ``max_waiting_bytes`` those in
    the outbox; up to ``kept_bytes`` of them stay in memory as well. A flush of up to ``few_rows`` waits
    ``grace_seconds`` for ClickHouse before it puts them into the outbox: most often they are stored by then.
    """

    block_rows: int = 100_000
    due_rows: int = 20_000
    max_wait_seconds: float = 3.0
    max_waiting_rows: int = 500_000
    threads: int = 3
    max_waiting_bytes: int = 256 << 20
    kept_bytes: int = 32 << 20
    few_rows: int = 200
    grace_seconds: float = 0.01


@dataclass(eq=False)
class Insert:
    """Rows that can be sent. ``count`` is how many were handed over for them; superseded ones are left out.

    ``ticket`` is their place in the outbox, if they are there; ``rows`` is None while they are nowhere else.
    """

    table: str
    count: int
    rows: pa.Table | None
    ticket: Ticket | None = None
    stored: bool = False

    @classmethod
    def of_blocks(cls, blocks: Sequence[TableBlock]) -> "Insert":
        """Render blocks that fit together."""
        return cls(blocks[0].table, sum(map(len, blocks)), blocks[0].render(blocks[1:]))

    @classmethod
    def left_over(cls, ticket: Ticket) -> "Insert":
        """Return what an earlier run has left in the outbox."""
        return cls(ticket.piece.table, ticket.piece.rows, None, ticket)

    def columns(self) -> pa.Table:
        """Return the rows; read them from the outbox if they are only there."""
        rows = self.rows  # another thread may drop them
        if rows is not None:
            return rows
        if self.ticket is None:
            raise RuntimeError("rows that are nowhere")
        return self.ticket.read()


@dataclass
class Work:
    """What a thread takes for one table: blocks to be rendered, or inserts. ``inserts`` is None until they are."""

    table: str
    blocks: Sequence[TableBlock]
    inserts: Sequence[Insert] | None

    def rendered(self) -> Sequence[Insert]:
        """Return the inserts."""
        return [Insert.of_blocks(self.blocks)] if self.inserts is None else self.inserts


def joined(inserts: Sequence[Insert]) -> Iterator[tuple[pa.Table, Sequence[Insert]]]:
    """Yield rows to be sent at once, and the inserts they are of: neighbours with the same columns."""
    found = [(insert.columns(), insert) for insert in inserts]
    for _, group in groupby(found, lambda each: each[0].schema):
        tables, members = zip(*group, strict=True)
        yield tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries(), members


@dataclass
class TableQueue:
    """What waits for one table, and since when (monotonic seconds): inserts, then blocks."""

    inserts: deque[Insert] = field(default_factory=deque)
    blocks: deque[TableBlock] = field(default_factory=deque)
    rows: int = 0
    since: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.inserts or self.blocks)

    def put(self, block: TableBlock, now: float) -> None:
        """Add a block."""
        if not self:
            self.since = now
        self.blocks.append(block)
        self.rows += len(block)

    def put_insert(self, insert: Insert, since: float) -> None:
        """Add an insert: it comes before all blocks."""
        self.inserts.append(insert)
        self.rows += insert.count
        self.since = since

    def take(self, table: str, limit: int, now: float) -> Work:
        """Take the oldest that can be inserted together, until they have ``limit`` rows or more; the rest waits on."""
        self.since = now
        if not self.inserts:
            return Work(table, self.take_blocks(limit), None)
        taken = [self.inserts.popleft()]
        rows = taken[0].count
        while self.inserts and rows + self.inserts[0].count <= limit:
            taken.append(self.inserts.popleft())
            rows += taken[-1].count
        self.rows -= rows
        return Work(table, [], taken)

    def take_blocks(self, limit: int) -> list[TableBlock]:
        """Take the oldest blocks that fit together, until they have ``limit`` rows or more."""
        taken = [self.blocks.popleft()]
        rows = len(taken[0])
        while self.blocks and rows < limit and taken[0].fits(self.blocks[0]):
            taken.append(self.blocks.popleft())
            rows += len(taken[-1])
        self.rows -= rows
        return taken
