"""Decoded events of one kind as columns, with the profiles that they concern and where these are kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, repeat
from operator import sub
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import wire
from contracts.events import ALIAS, EARLIEST, Kind
from contracts.identity import is_no_customer
from streams.codes import CODE_OF_NAME, OTHER_OF_KIND
from streams.read.places import buckets_of

WITH_DEVICE: Final = frozenset(("web", "identity"))
"""The kinds whose records are keyed by device."""
_FEW: Final = 8
"""Up to this many times are cheaper as plain numbers."""
_DAY: Final = 86_400
_SINCE: Final = pa.duration("us")


class Message(Protocol):
    """The methods of a Kafka message that decoding uses."""

    def value(self) -> bytes | None: ...  # noqa: D102 - confluent_kafka's own names
    def key(self) -> bytes | None: ...  # noqa: D102
    def offset(self) -> int: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...  # noqa: D102


@dataclass
class Reading:
    """Parsed bodies, in log order, with their messages."""

    messages: list[Message] = field(default_factory=list)
    envelopes: list[wire.Envelope] = field(default_factory=list)
    properties: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Money:
    """Money of n events in 1/10,000: in its own currency and in the base currency.

    ``waits_in`` is the number of the currency where there is no rate yet (``base`` is 0 there), else 0.
    """

    amount: NDArray[np.int64]
    base: NDArray[np.int64]
    waits_in: NDArray[np.int16]


class Stamps(NamedTuple):
    """When n events happened and were received (microseconds), their offsets, and when they entered Kafka (ms)."""

    occurred: NDArray[np.int64]
    received: NDArray[np.int64]
    offset: NDArray[np.int64]
    entered: NDArray[np.int64]


class Where(NamedTuple):
    """The place of records in the log, and the numbers of partitions and buckets."""

    kind: Kind
    partition: int
    partitions: int
    buckets: int


@dataclass
class Columns:
    """Columns of n events. ``device`` is '' where an event is not tied to one.

    ``home`` is the bucket of the device, else of the customer, and negative if the record is in the partition of
    neither. ``unfit`` marks events with a placeholder or reserved id. Times in microseconds, ``entered`` in
    milliseconds.
    """

    envelopes: Sequence[wire.Envelope]
    properties: Sequence[Any]
    name: list[str]
    customer: list[str]
    anonymous: list[str]
    device: list[str]
    home: NDArray[np.int64]
    customer_bucket: NDArray[np.int64]
    unfit: NDArray[np.bool_]
    occurred: NDArray[np.int64]
    received: NDArray[np.int64]
    offset: NDArray[np.int64]
    entered: NDArray[np.int64]
    code: NDArray[np.int8]
    money: Money | None = None

    def __len__(self) -> int:
        return len(self.envelopes)

    def without(self, positions: Iterable[int]) -> "Columns":
        """Return the columns without the events at some positions; ``money`` is not yet known."""
        stays = np.ones(len(self), np.bool_)
        stays[list(positions)] = False
        chosen = stays.tolist()
        columns: dict[str, Any] = {name: list(compress(getattr(self, name), chosen)) for name in _LISTS}
        columns |= {name: getattr(self, name)[stays] for name in _ARRAYS}
        return Columns(**columns)


_LISTS: Final = ("envelopes", "properties", "name", "customer", "anonymous", "device")
_ARRAYS: Final = ("home", "customer_bucket", "unfit", "occurred", "received", "offset", "entered", "code")


def to_columns(reading: Reading, kind: Kind, partition: int, partitions: int, buckets: int) -> Columns:
    """Make columns of the bodies of a partition; ``buckets`` is a multiple of ``partitions``."""
    envelopes, messages, count = reading.envelopes, reading.messages, len(reading.messages)
    return columns_of(
        envelopes,
        reading.properties,
        Stamps(
            occurred=_times([event.occurred_at for event in envelopes]),
            received=_times([event.received_at for event in envelopes]),
            offset=np.fromiter([message.offset() for message in messages], np.int64, count),
            entered=np.fromiter([message.timestamp()[1] for message in messages], np.int64, count),
        ),
        Where(kind, partition, partitions, buckets),
    )


def columns_of(
    envelopes: Sequence[wire.Envelope], properties: Sequence[Any], stamps: Stamps, where: Where
) -> Columns:
    """Make columns of parsed events. Of the envelopes only ids and names are used: ``stamps`` has the times."""
    kind, partition, partitions, buckets = where
    names = [event.name for event in envelopes]
    customer = [event.customer_id or "" for event in envelopes]
    anonymous = [event.anonymous_id or "" for event in envelopes]
    device = _devices(kind, names, customer, anonymous, properties)
    places = buckets_of(buckets)
    device_bucket, customer_bucket = places.of(device), places.of(customer)
    tied = (device_bucket >= 0) & (device_bucket % partitions == partition)
    direct = (customer_bucket >= 0) & (customer_bucket % partitions == partition)
    if not tied.all():
        device = [one if is_tied else "" for one, is_tied in zip(device, tied.tolist(), strict=True)]
    unfit = (customer_bucket < -1) | ((device_bucket if kind == "web" else places.of(anonymous)) < -1)
    return Columns(
        envelopes=envelopes,
        properties=properties,
        name=names,
        customer=customer,
        anonymous=anonymous,
        device=device,
        home=np.where(tied, device_bucket, np.where(direct, customer_bucket, -1)),
        customer_bucket=customer_bucket,
        unfit=unfit,
        occurred=stamps.occurred,
        received=stamps.received,
        offset=stamps.offset,
        entered=stamps.entered,
        code=_codes(names, kind),
    )


def _devices(
    kind: Kind, names: list[str], customer: list[str], anonymous: list[str], properties: Sequence[Any]
) -> list[str]:
    """Return the device of each event; the device of an alias is its previous id."""
    if kind not in WITH_DEVICE:
        return ["" if known else device for known, device in zip(customer, anonymous, strict=True)]
    if ALIAS not in names or kind == "web":
        return anonymous
    return [
        each.previous_id if name == ALIAS and known and _is_fit(each.previous_id) else device
        for name, known, device, each in zip(names, customer, anonymous, properties, strict=True)
    ]


def _is_fit(previous_id: str | None) -> bool:
    return previous_id is not None and not is_no_customer(previous_id)


def _codes(names: list[str], kind: Kind) -> NDArray[np.int8]:
    other = OTHER_OF_KIND[kind]
    codes = {name: CODE_OF_NAME.get(name, other) for name in set(names)}
    return np.fromiter(map(codes.__getitem__, names), np.int8, len(names))


def _times(times: list[datetime]) -> NDArray[np.int64]:
    """Microseconds since the Unix epoch. Differences in time zone UTC are exact, and cheaper than ``timestamp``."""
    if len(times) <= _FEW:
        spans = [time - EARLIEST for time in times]
        return np.array([(span.days * _DAY + span.seconds) * 1_000_000 + span.microseconds for span in spans], np.int64)
    since = pa.array(list(map(sub, times, repeat(EARLIEST))), _SINCE)
    microseconds: NDArray[np.int64] = since.view(pa.int64()).to_numpy()
    return microseconds


def texts(values: Iterable[str]) -> NDArray[np.object_]:
    """Make an array of texts."""
    return np.array(list(values), object)
