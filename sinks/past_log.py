"""Reads records that Kafka no longer has from a copy of the facts in the order of the log, and makes that copy.

The copy is complete before its name is told to anyone, and never changes then. Reading waits while ClickHouse is away.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from contracts.stored import FACT_TABLES
from contracts.topics import TOPIC_OF_KIND
from sinks.clients import clickhouse_client, clickhouse_is_out
from sinks.queries import query
from sinks.retries import Retrying

T = TypeVar("T")
PREFIX: Final = "past_log_"
"""The name of a copy begins so."""
_ARROW: Final = {"output_format_arrow_string_as_string": 1}


class PastLog:
    """The records and clocks of topic-partitions, from ClickHouse. Not for several threads."""

    def __init__(self, url: SecretStr | str, database: str, table: str):
        self._url, self._database, self._table = url, database, table
        self._retrying = Retrying("ClickHouse", clickhouse_is_out, threading.Event().wait)

    def records(self, kind: str, partition: int, start: int, end: int, most: int) -> pa.Table:
        """Return up to ``most`` records of offsets from ``start`` to before ``end``, by offset."""
        parameters = {
            "table": self._table, "kind": kind, "partition": partition, "start": start, "end": end, "most": most,
        }  # fmt: skip
        return self._call(lambda: self._client.query_arrow(query("past_records"), parameters, settings=_ARROW))

    def clocks(self, topic: str, partition: int) -> list[tuple[int, int]]:
        """Return the records that began a slot, as (offset, microseconds), by offset."""
        parameters = {"topic": topic, "partition": partition}
        rows = self._call(lambda: self._client.query(query("past_clocks"), parameters).result_rows)
        return [(int(offset), int(clock)) for offset, clock in rows]

    @cached_property
    def _client(self) -> Client:
        return clickhouse_client(self._url, self._database)

    def _call(self, action: Callable[[], T]) -> T:
        return self._retrying.call(action)


class Extent(NamedTuple):
    """The facts of a topic-partition: their number, the last offset, those that the log has lost, the oldest's time."""

    topic: str
    partition: int
    facts: int
    last: int
    lost: int
    oldest: datetime


def extents(client: Client, starts: Mapping[tuple[str, int], int], partitions: int) -> Iterator[Extent]:
    """Yield what facts there are. ``starts`` is the first offset of each topic-partition that the log still has."""
    for kind, topic in TOPIC_OF_KIND.items():
        parameters: dict[str, Any] = {
            "facts": FACT_TABLES[kind], "starts": [starts[topic.name, number] for number in range(partitions)],
        }  # fmt: skip
        for row in client.query(query("facts_of_kind"), parameters).result_rows:
            yield Extent(topic.name, *row)


def copy_facts(client: Client, table: str) -> None:
    """Make the copy ``table``. It may take minutes; :func:`rows_copied` tells how far it is."""
    client.command(query("create_past_log"), parameters={"table": table})
    for kind, facts in FACT_TABLES.items():
        client.command(query("copy_to_past_log"), parameters={"copy": table, "kind": kind, "facts": facts})


def rows_copied(client: Client, table: str) -> int:
    """Return how many rows a copy has so far; 0 where there is none."""
    found = client.query(query("rows_of_table"), {"table": table}).result_rows
    return int(found[0][0] or 0) if found else 0


def past_logs(client: Client) -> list[str]:
    """Return the copies in the database, complete or not."""
    return [str(name) for (name,) in client.query(query("past_logs"), {"prefix": PREFIX}).result_rows]


def drop_past_log(client: Client, table: str) -> None:
    """Remove a copy."""
    client.command("DROP TABLE IF EXISTS {table:Identifier}", parameters={"table": table})
