"""What every connector is: something that yields records, in the order in which they belong into the log.

Delivery: a connector promises nothing by itself. Its records carry stable event ids, so that publishing
them twice doubles nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One record for Kafka: where it goes, and what it holds.

    ``occurred_at`` is the event time in microseconds since 1970 UTC, or None where the body tells none. ``headers`` are
    those of the record; only what is refused at the door has any (:mod:`contracts.refused`).
    """

    topic: str
    key: bytes | None
    value: bytes | None
    occurred_at: int | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Connector(Protocol):
    """A source of events."""

    def records(self) -> Iterator[Record]:
        """Yield the records, oldest first."""
        ...
