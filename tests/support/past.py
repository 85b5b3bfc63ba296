"""A warehouse in memory of what was decoded, as :class:`streams.read.warehouse.PastLog` asks it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from contracts.events import Kind
from contracts.topics import TOPIC_OF_KIND
from streams.read.decode import Decoded
from streams.read.warehouse import PastLog

NEEDED = (
    "log_offset", "event_id", "name", "source", "customer_id", "anonymous_id", "occurred_at", "received_at",
    "properties",
)  # fmt: skip


class Facts:
    """The warehouse's rows of what was decoded, as ``sinks/sql/migrations/012_log_events.sql`` makes them."""

    def __init__(self, parts: Sequence[Decoded], kind: Kind):
        facts = [part.facts.render([]) for part in parts if part.facts is not None]
        self.turns = [
            turn for part in parts if part.clocks is not None
            for turn in zip(
                part.clocks.rows.column("log_offset").to_pylist(),
                part.clocks.rows.column("clock").cast(pa.int64()).to_pylist(), strict=True)
        ]  # fmt: skip
        rows = pa.concat_tables(facts) if facts else pa.table({name: pa.array([]) for name in NEEDED})
        texts = [b"{}" if kind == "web" else each for each in rows.column("properties").to_pylist()]
        self.rows = pa.table({
            **{name: rows.column(name) for name in NEEDED[:6]},
            "occurred": rows.column("occurred_at").cast(pa.int64()),
            "received": rows.column("received_at").cast(pa.int64()),
            "properties": pa.array([each.decode() for each in texts], pa.string()),
        })  # fmt: skip

    def records(self, kind: Kind, partition: int, start: int, end: int, most: int) -> pa.Table:
        offsets = np.asarray(self.rows.column("log_offset").to_pylist(), np.int64)
        return self.rows.filter(pa.array((offsets >= start) & (offsets < end))).slice(0, most)

    def end(self, topic: str, partition: int) -> int:
        return 1_000

    def clocks(self, topic: str, partition: int) -> list[tuple[int, int]]:
        return self.turns


class Warehouse:
    """The rows of several topics of one partition, up to ``end``."""

    def __init__(self, topics: Mapping[str, PastLog], end: int = 1_000_000):
        self._topics, self._end = topics, end
        self.later: set[str] = set()
        """Topics that came after the rebuild."""

    def end(self, topic: str, partition: int) -> int | None:
        return None if topic in self.later else self._end

    def records(self, kind: Kind, partition: int, start: int, end: int, most: int) -> pa.Table:
        return self._topics[TOPIC_OF_KIND[kind].name].records(kind, partition, start, end, most)

    def clocks(self, topic: str, partition: int) -> list[tuple[int, int]]:
        return self._topics[topic].clocks(topic, partition)
