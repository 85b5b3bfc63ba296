"""Validates rules across fields: a vectorised pre-check flags suspect events, then the contract judges each of them.

The pre-check may flag valid events; it must not miss invalid ones. The judge checks one event against the contract and
the rules of its partition, and has the last word.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts import wire
from contracts.events import EVENT_TYPES, FUTURE_TOLERANCE, UNLINK, Kind, key_of
from contracts.forgotten import Forgotten
from contracts.rates import Rates
from streams.codes import CODE_OF_NAME
from streams.read.columns import Columns, Reading
from streams.read.places import place_of

MILLISECOND: Final = 1_000
FUTURE: Final = int(FUTURE_TOLERANCE.total_seconds() * 1e6)


@dataclass(frozen=True)
class DecodePolicy:
    """Settings of decoding; ``interval`` is the sweep interval in microseconds."""

    interval: int
    partitions: int
    buckets: int
    rates: Rates
    chunk: int = 256
    """Number of bodies parsed at once."""
    forgotten: Forgotten = field(default_factory=Forgotten)
    """People whose events are left out."""
    shops: Mapping[str, str] = field(default_factory=dict)
    """By source: a name of the shop whose orders it reports. A source that is not in it has its own orders."""


class Stand(NamedTuple):
    """The place of records in the log, and the settings of decoding."""

    kind: Kind
    partition: int
    policy: DecodePolicy


_FEW: Final = 8
"""Up to this many names are cheaper to compare one by one."""
_REQUIRED: Final = {name: fields for name, (_, fields) in EVENT_TYPES.items() if fields}


def suspect_positions(columns: Columns, kind: Kind) -> list[int]:
    """Positions of events that may break a rule across fields, ascending."""
    wrong = (columns.home < 0) | columns.unfit | _suspect_times(columns)
    marked = [*_of_another_kind(columns, kind), *_incomplete(columns, kind)]
    if kind == "identity":
        marked += [at for at, name in enumerate(columns.name) if name == UNLINK]
    if marked:
        wrong[marked] = True
    return np.flatnonzero(wrong).tolist()


def _of_another_kind(columns: Columns, kind: Kind) -> list[int]:
    foreign = {name for name in set(columns.name) if name in EVENT_TYPES and EVENT_TYPES[name][0] != kind}
    kinds = [event.kind for event in columns.envelopes]
    if not foreign and kinds.count(kind) == len(kinds):
        return []
    return [at for at, name in enumerate(columns.name) if name in foreign or kinds[at] != kind]


def _incomplete(columns: Columns, kind: Kind) -> list[int]:
    """Return events that lack a property required by their name, or have an amount without a currency or vice versa."""
    properties = columns.properties
    required = {name: _REQUIRED[name] for name in set(columns.name) if name in _REQUIRED}
    found = []
    for name, fields in required.items():
        places = _places_of(name, columns)
        found += [at for field in fields for at in places if getattr(properties[at], field, None) is None]
    if kind == "transaction":
        found += [at for at, each in enumerate(properties) if (each.total is None) != (each.currency is None)]
    return found


def _places_of(name: str, columns: Columns) -> list[int]:
    """Return the positions of the events of a name; most names have a code of their own."""
    code = CODE_OF_NAME.get(name)
    if code is None or len(columns) <= _FEW:
        return [at for at, each in enumerate(columns.name) if each == name]
    return np.flatnonzero(columns.code == code).tolist()


def _suspect_times(columns: Columns) -> NDArray[np.bool_]:
    occurred, received = columns.occurred, columns.received
    entered = columns.entered * MILLISECOND
    wrong: NDArray[np.bool_] = (occurred < 0) | (occurred > received + FUTURE) | (received > entered + FUTURE)
    return wrong


def judge(reading: Reading, columns: Columns, at: int, stand: Stand) -> None:
    """Raise :class:`~contracts.wire.RejectedError` if the event breaks the contract or cannot be used here."""
    wire.judge(stand.kind, reading.messages[at].value())
    if columns.received[at] > columns.entered[at] * MILLISECOND + FUTURE:
        raise wire.RejectedError("received_at", "lies more than 24 hours after the record entered Kafka")
    if columns.home[at] < 0:
        event = reading.envelopes[at]
        key = key_of(event, reading.properties[at])
        fields = {event.customer_id: "customer_id", event.anonymous_id: "anonymous_id"}
        home = place_of(key, stand.policy.partitions)
        problem = f"belongs in partition {home}, not {stand.partition}: key records by it, with murmur2"
        raise wire.RejectedError(fields.get(key, "properties.previous_id"), problem)
