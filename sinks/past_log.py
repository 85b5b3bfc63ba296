"""Reads records that Kafka no longer has from ClickHouse, in the order of the log. Waits while ClickHouse is away."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from contracts.stored import FACT_TABLES
from contracts.topics import TOPIC_OF_KIND, Ends, end_of
from sinks.clients import clickhouse_client, clickhouse_is_out
from sinks.queries import query
from sinks.retries import Retrying

T = TypeVar("T")
_ARROW: Final = {"output_format_arrow_string_as_string": 1}


class PastLog:
    """The records and clocks of topic-partitions up to ``ends`` (offsets by topic and partition), from ClickHouse.

    Not for several threads.
    """

    def __init__(self, url: SecretStr | str, database: str, ends: Ends):
        self._url, self._database, self._ends = url, database, ends
        self._retrying = Retrying("ClickHouse", clickhouse_is_out, threading.Event().wait)

    def end(self, topic: str, partition: int) -> int | None:
        """Return the offset up to which ClickHouse has the records of the log; None for a partition that came later."""
        return end_of(self._ends, topic, partition)

    def records(self, kind: str, partition: int, start: int, end: int, most: int) -> pa.Table:
        """Return up to ``most`` records of offsets from ``start`` to before ``end``, by offset."""
        parameters = {"kind": kind, "partition": partition, "start": start, "end": end, "most": most}
        return self._call(lambda: self._client.query_arrow(query("log_events"), parameters, settings=_ARROW))

    def clocks(self, topic: str, partition: int) -> list[tuple[int, int]]:
        """Return the records that began a slot, as (offset, microseconds), by offset."""
        parameters = {"topic": topic, "partition": partition}
        rows = self._call(lambda: self._client.query(query("log_clocks"), parameters).result_rows)
        return [(int(offset), int(clock)) for offset, clock in rows]

    @cached_property
    def _client(self) -> Client:
        return clickhouse_client(self._url, self._database)

    def _call(self, action: Callable[[], T]) -> T:
        return self._retrying.call(action)


class Extent(NamedTuple):
    """What ClickHouse has of a topic-partition.

    ``first`` and ``last`` are the offsets of its first and last event, clock or dead letter, ``lost`` the number of
    events that the log has lost, of which the oldest was received at ``oldest``. ``unlisted`` are facts that the log
    has lost and ``log_events`` does not have. ``begins``: no event is before the first clock, as where a clock began.
    """

    topic: str
    partition: int
    first: int
    last: int
    begins: bool
    lost: int = 0
    oldest: datetime | None = None
    unlisted: int = 0


def extents(client: Client, starts: Mapping[tuple[str, int], int], partitions: int) -> Iterator[Extent]:
    """Yield what there is of each topic-partition; ``starts`` has the first offset that the log still has of each."""
    for kind, topic in TOPIC_OF_KIND.items():
        of_kind: dict[str, Any] = {
            "kind": kind, "starts": [starts[topic.name, number] for number in range(partitions)],
        }  # fmt: skip
        events = _rows(client, "log_extents", of_kind)
        clocks = _rows(client, "log_clock_extents", {"topic": topic.name})
        letters = _rows(client, "dead_letter_extents", {"topic": topic.name})
        unlisted = _rows(client, "facts_not_in_log_events", {**of_kind, "table": FACT_TABLES[kind]})
        for number in sorted({*events, *clocks, *letters, *unlisted}):
            first, last, lost, oldest = events.get(number, (None, None, 0, None))
            clock = clocks.get(number, ())
            ends = [at for at in (first, last, *clock, *letters.get(number, ())) if at is not None]
            begins = bool(clock) and (first is None or clock[0] <= first)
            if ends:
                (missing,) = unlisted.get(number, (0,))
                yield Extent(topic.name, number, min(ends), max(ends), begins, lost, oldest, missing)


def _rows(client: Client, name: str, parameters: Mapping[str, Any]) -> dict[int, tuple[Any, ...]]:
    """Return the rows of a query by partition."""
    return {partition: tuple(rest) for partition, *rest in client.query(query(name), dict(parameters)).result_rows}
