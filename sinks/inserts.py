"""Rows on their way into a table: blocks, then inserts (columns of Arrow), which may be in the outbox too."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow as pa

from contracts.outputs import TableBlock
from sinks.outbox import Ticket


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
