"""Events that read well but may break a rule across fields: which to doubt, by columns, and what to say of each.

Doubting looks at whole columns and may be wrong; deciding looks at one event, by the contract and by what can be used
here, and has the last word.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np
from confluent_kafka import murmur2
from numpy.typing import NDArray

from contracts import wire
from contracts.events import EVENT_TYPES, FUTURE_TOLERANCE, Kind
from contracts.identity import is_no_customer
from contracts.rates import Rates
from streams.read.facts import Columns

MILLISECOND: Final = 1_000
FUTURE: Final = int(FUTURE_TOLERANCE.total_seconds() * 1e6)


class Message(Protocol):
    """What is needed of a Kafka message."""

    def value(self) -> bytes | None: ...  # noqa: D102 - confluent_kafka's own names
    def key(self) -> bytes | None: ...  # noqa: D102
    def offset(self) -> int: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...  # noqa: D102


@dataclass(frozen=True)
class DecodePolicy:
    """What decoding must know of the settings; ``interval`` is the sweep interval in microseconds."""

    interval: int
    partitions: int
    buckets: int
    rates: Rates


@dataclass
class Reading:
    """Bodies that read well so far, in log order, with the messages they came in."""

    messages: list[Message] = field(default_factory=list)
    envelopes: list[wire.Envelope] = field(default_factory=list)
    properties: list[Any] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)


_REQUIRED: Final = {name: fields for name, (_, fields) in EVENT_TYPES.items() if fields}


def doubtful_positions(
    columns: Columns, reading: Reading, kind: Kind, partition: int, policy: DecodePolicy
) -> set[int]:
    """Positions that may break a rule across fields; the judge then says which, or lets them pass."""
    names, properties = columns.name, columns.properties
    foreign = {name for name in set(names) if name in EVENT_TYPES and EVENT_TYPES[name][0] != kind}
    required = {name: () if name in foreign else _REQUIRED.get(name, ()) for name in set(names)}
    doubtful = {at for at, event in enumerate(columns.envelopes) if event.kind != kind or event.name in foreign}
    doubtful.update(
        at for at, (name, each) in enumerate(zip(names, properties, strict=True))
        for field in required[name] if getattr(each, field) is None
    )  # fmt: skip
    if kind == "transaction":
        doubtful.update(at for at, each in enumerate(properties) if (each.total is None) != (each.currency is None))
    # As buckets are a multiple of partitions, the bucket also tells the partition.
    nobody = (columns.customer == "") & (columns.anonymous == "")
    ids = [*columns.customer.tolist(), *columns.anonymous.tolist()]
    unfit = {one for one in set(ids) if one and is_no_customer(one)}
    if unfit:
        doubtful.update(at % len(names) for at, one in enumerate(ids) if one in unfit)
    misplaced = (columns.bucket >= 0) & (columns.bucket % policy.partitions != partition)
    wrong = nobody | misplaced | _doubtful_times(columns, reading)
    return doubtful.union(np.flatnonzero(wrong).tolist())


def _doubtful_times(columns: Columns, reading: Reading) -> NDArray[np.bool_]:
    occurred, received = columns.occurred, columns.received
    entered = np.array(reading.entered, np.int64) * MILLISECOND
    wrong: NDArray[np.bool_] = (occurred < 0) | (occurred > received + FUTURE) | (received > entered + FUTURE)
    return wrong


def decide(reading: Reading, position: int, kind: Kind, partition: int, policy: DecodePolicy) -> None:
    """Raise :class:`~contracts.wire.RejectedError` if the event breaks the contract or cannot be used here."""
    message, event = reading.messages[position], reading.envelopes[position]
    wire.judge(kind, message.value())
    if microseconds(event.received_at) > message.timestamp()[1] * MILLISECOND + FUTURE:
        raise wire.RejectedError("received_at", "lies more than 24 hours after the record entered Kafka")
    field = "anonymous_id" if event.customer_id is None else "customer_id"
    home = murmur2((event.customer_id or event.anonymous_id or "").encode(), policy.partitions)
    if home != partition:
        problem = f"belongs in partition {home}, not {partition}: key records by it, with murmur2"
        raise wire.RejectedError(field, problem)


def microseconds(time: datetime) -> int:
    """Microseconds since the Unix epoch."""
    return round(time.timestamp() * 1e6)
