"""Reads records that Kafka no longer has from the warehouse: the same columns as decoding gave when it had them.

Profiles that are rebuilt from the warehouse (``crmstream rebuild --from-warehouse``) need the records before the start
of the log. The warehouse has all events in the order of the log, but no ticks. Its table of clocks says where in the
log a slot began, so each event counts in the slot in which it counted before. The facts are not written again. Pure but
for :class:`PastLog`.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import wire
from contracts.events import Kind
from contracts.topics import Topic
from streams.read.clock import TopicClock
from streams.read.columns import Columns, Stamps, Where, columns_of
from streams.read.decode import Decoded, fill, kind_of, without_left_out
from streams.read.validation import MILLISECOND, DecodePolicy, Stand

BLOCK_ROWS: Final = 8_000
"""Records of one question to the warehouse: about as many as ClickHouse reads at least. All lanes and topics may hold
so many at once, some 50 MB for 8 lanes."""
_UNUSED_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)


class PastLog(Protocol):
    """Gives the records of a topic-partition from the warehouse, in the order of the log."""

    def records(self, kind: Kind, partition: int, start: int, end: int, most: int) -> pa.Table:
        """Return up to ``most`` records of offsets from ``start`` to before ``end``, once each, by offset.

        Columns: ``log_offset``, ``event_id``, ``name``, ``customer_id``, ``anonymous_id`` ('' without one),
        ``occurred`` and ``received`` (microseconds), ``properties`` (JSON, ``{}`` where nothing in it counts).
        """
        ...

    def end(self, topic: str, partition: int) -> int | None:
        """Return the offset up to which the warehouse has what was in the log; None where no rebuild knows of it."""
        ...

    def clocks(self, topic: str, partition: int) -> list[tuple[int, int]]:
        """Return the records that began a slot, as (offset, time) pairs, by offset."""
        ...


class PastTopic:
    """The records of one topic-partition from ``offset`` up to ``start``, where its log begins."""

    def __init__(self, past: PastLog, topic: Topic, partition: int, offset: int, start: int):
        self._past, self._partition = past, partition
        self._most = past.end(topic.name, partition) or 0
        self.offset, self._end = offset, min(start, self._most)
        self.found = 0
        """The records that the warehouse had so far."""
        self._kind = kind_of(topic)
        self._clocks = past.clocks(topic.name, partition)
        self._block = pa.table({})
        self._asked = offset
        """The offset from which the next block is asked for."""

    @property
    def is_done(self) -> bool:
        """Whether all records before ``end`` have been taken."""
        return self.offset >= self._end

    def reach(self, start: int) -> None:
        """Read on to ``start``, where the log begins now."""
        self._end = max(self._end, min(start, self._most))

    def take(self, most: int, clock: TopicClock, policy: DecodePolicy) -> Decoded:
        """Return the next records, ``most`` at most, and move the topic's clock past them."""
        if not len(self._block) and self._asked < self._end:
            self._ask()
        rows = self._block.slice(0, most)
        self.found += len(rows)
        self._block = self._block.slice(most)
        start = self.offset
        all_taken = not len(self._block) and self._asked >= self._end
        self.offset = self._end if all_taken else rows.column("log_offset")[-1].as_py() + 1
        turns = [turn for turn in self._clocks if start <= turn[0] < self.offset]
        return decode_past(rows, turns, Stand(self._kind, self._partition, policy), clock)

    def _ask(self) -> None:
        self._block = self._past.records(self._kind, self._partition, self._asked, self._end, BLOCK_ROWS)
        full = len(self._block) == BLOCK_ROWS
        self._asked = self._block.column("log_offset")[-1].as_py() + 1 if full else self._end


def decode_past(rows: pa.Table, turns: list[tuple[int, int]], stand: Stand, clock: TopicClock) -> Decoded:
    """Return events as decoding gave them, without facts. ``turns`` are the clocks between them, by offset."""
    columns = _columns(rows, stand)
    astray = columns.home < 0
    if astray.any():
        log.warning("%d facts of partition %d belong to another one: left out", int(astray.sum()), stand.partition)
        columns = _columns(rows.filter(pa.array(~astray)), stand)
    slot, late = clock.place(columns.occurred, columns.received, columns.offset, turns, stand.policy.interval)
    decoded = Decoded(read=len(columns))
    columns, slot, late = without_left_out(columns, stand, slot, late)
    if len(columns):
        fill(decoded, columns, stand, slot, late)
    return decoded


def _columns(rows: pa.Table, stand: Stand) -> Columns:
    """Make the columns of facts. They do not say when a record entered Kafka: when it was received stands for it."""
    kind, partition, policy = stand
    where = Where(kind, partition, policy.partitions, policy.buckets)
    if not len(rows):
        nothing = np.empty(0, np.int64)
        return columns_of([], [], Stamps(nothing, nothing, nothing, nothing), where)
    ids = (rows.column(name).to_pylist() for name in ("event_id", "name", "source", "customer_id", "anonymous_id"))
    envelopes = [
        wire.Envelope(event, kind, name, _UNUSED_TIME, _UNUSED_TIME, source, customer or None, anonymous or None)
        for event, name, source, customer, anonymous in zip(*ids, strict=True)
    ]
    received = _numbers(rows, "received")
    stamps = Stamps(_numbers(rows, "occurred"), received, _numbers(rows, "log_offset"), received // MILLISECOND)
    return columns_of(envelopes, _properties(rows.column("properties").to_pylist(), kind), stamps, where)


def _numbers(rows: pa.Table, name: str) -> NDArray[np.int64]:
    return np.ascontiguousarray(rows.column(name).to_numpy(), np.int64)


def _properties(texts: Sequence[str], kind: Kind) -> list[Any]:
    """Parse properties, once for equal ones such as ``{}``."""
    decode = wire.PROPERTIES[kind].decode
    parsed = {text: decode(text) for text in set(texts)}
    return [parsed[text] for text in texts]
