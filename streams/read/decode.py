"""Bytes to columns: the records of one topic-partition become facts, profile updates and dead letters.

Pure. What does not parse or validate becomes a dead letter with its position, its bytes and the field at fault; it
never stops the rest. The judge of every body is the contract (:func:`contracts.wire.judge`); the fast reader only saves
its time on bodies that are plainly right.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import murmur2
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts import wire
from contracts.blocks import EVENT_DTYPE, EventArray, Visits
from contracts.crossings import Links, no_links
from contracts.currencies import number_of
from contracts.events import MAX_EVENT_BYTES, TICK_KEY, Event, Kind, Tick
from contracts.identity import visitor_id
from contracts.outputs import DeadLetter, TableRows
from contracts.rates import SCALE, WAITS, Rates
from contracts.refused import REFUSED_KEY, Refusal, read_refusal
from contracts.topics import Topic
from streams.read.clock import TopicClock
from streams.codes import CODE_OF_NAME, OTHER_OF_KIND
from streams.read.validation import (
    FUTURE,
    MILLISECOND,
    DecodePolicy,
    Message,
    Reading,
    decide,
    doubtful_positions,
    microseconds,
)
from streams.read.facts import Columns, Money, to_facts
from streams.read.links import links_of


@dataclass
class Decoded:
    """The yield of one read: facts, updates of known customers (with their buckets), and what was refused."""

    facts: TableRows | None
    events: EventArray
    customers: NDArray[np.object_]
    buckets: NDArray[np.int64]
    visits: Visits = field(default_factory=Visits)
    links: Links = field(default_factory=no_links)
    dead: list[DeadLetter] = field(default_factory=list)
    read: int = 0
    ticks: int = 0


def decode(
    messages: Sequence[Message], topic: Topic, partition: int, clock: TopicClock, policy: DecodePolicy
) -> Decoded:
    """Decode records in log order and move the topic's clock past them."""
    kind = _kind(topic)
    dead: list[DeadLetter] = []
    ticks: list[tuple[int, int]] = []
    reading = _read(messages, kind, ticks, lambda m, why: dead.append(_letter(m, topic, partition, "decode", why)))
    columns = _columns(reading, kind, policy.buckets)
    doubtful = doubtful_positions(columns, reading, kind, partition, policy)
    if doubtful:
        doubts = reading
        reading = _keep(
            doubts, doubtful, lambda position: decide(doubts, position, kind, partition, policy),
            lambda m, why: dead.append(_letter(m, topic, partition, "validate", why)),
        )  # fmt: skip
        columns = _columns(reading, kind, policy.buckets)
    if kind == "transaction":
        columns.money = money_of(reading.properties, columns.occurred, policy.rates)
    moving = [tick for tick in ticks if tick[1]]  # a tick at 1970 only says what its writer intends
    slot, late = clock.place(columns.occurred, columns.received, columns.offset, moving, policy.interval)
    known, unknown = np.flatnonzero(columns.customer != ""), np.flatnonzero(columns.customer == "")
    facts = to_facts(columns, kind, partition, late) if len(columns.occurred) else None
    events = _events(columns, kind, reading, slot, late)
    return Decoded(
        facts=facts,
        events=events[known],
        customers=columns.customer[known],
        buckets=columns.bucket[known],
        visits=Visits(events[unknown], _visitors(columns.anonymous[unknown]), columns.bucket[unknown]),
        links=links_of(columns, slot) if kind == "identity" else no_links(),
        dead=sorted(dead, key=lambda letter: letter.offset),
        read=len(messages),
        ticks=len(ticks),
    )


def _kind(topic: Topic) -> Kind:
    if topic.kind is None:
        raise ValueError(f"{topic.name} is no input topic")
    return topic.kind


Refuse = Callable[[Message, wire.RejectedError], None]


def _read(messages: Iterable[Message], kind: Kind, ticks: list[tuple[int, int]], refuse: Refuse) -> Reading:
    """Read bodies with the fast reader; what it refuses goes to the judge, ticks to ``ticks`` as (offset, time)."""
    reading = Reading()
    for message in messages:
        body = message.value()
        try:
            key = message.key()
            if key == TICK_KEY:
                ticks.append((message.offset(), _tick(message)))
                continue
            if key == REFUSED_KEY:
                raise wire.RejectedError("body", "was refused by a connector")
            if not body or len(body) > MAX_EVENT_BYTES:
                raise wire.RejectedError(*_size_problem(body))
            try:
                envelope, properties = wire.read(kind, body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                envelope, properties = to_wire(wire.judge(kind, body))
        except wire.RejectedError as why:
            refuse(message, why)
            continue
        reading.messages.append(message)
        reading.envelopes.append(envelope)
        reading.properties.append(properties)
        reading.entered.append(message.timestamp()[1])
    return reading


def _size_problem(body: bytes | None) -> tuple[str, str]:
    if not body:
        return "body", "is empty"
    return "body", f"has {len(body):,} bytes; the limit is {MAX_EVENT_BYTES:,}"


def _tick(message: Message) -> int:
    """The time of a tick in microseconds. Raises ``RejectedError`` if it is none, or lies ahead."""
    try:
        tick = Tick.model_validate_json(message.value() or b"")
    except ValueError:
        raise wire.RejectedError("body", "is no tick, though its key says so") from None
    time = microseconds(tick.occurred_at)
    if time < 0:
        raise wire.RejectedError("occurred_at", "lies before 1970")
    if time > message.timestamp()[1] * MILLISECOND + FUTURE:
        raise wire.RejectedError("occurred_at", "lies more than 24 hours after the record entered Kafka")
    return time


def to_wire(event: Event) -> tuple[wire.Envelope, Any]:
    """An event of the contract as the fast reader would have given it."""
    properties = event.properties.model_dump_json(exclude_unset=True).encode()
    names = wire.Envelope.__struct_fields__
    fields = {name: getattr(event, name) for name in names if name != "properties"}
    return wire.Envelope(properties=msgspec.Raw(properties), **fields), wire.PROPERTIES[event.kind].decode(properties)


def _keep(reading: Reading, doubtful: set[int], decide: Callable[[int], None], refuse: Refuse) -> Reading:
    """Have ``decide`` refuse or pass the doubtful positions; return what stays."""
    kept = Reading()
    for position, message in enumerate(reading.messages):
        if position in doubtful:
            try:
                decide(position)
            except wire.RejectedError as why:
                refuse(message, why)
                continue
        kept.messages.append(message)
        kept.envelopes.append(reading.envelopes[position])
        kept.properties.append(reading.properties[position])
        kept.entered.append(reading.entered[position])
    return kept


def _columns(reading: Reading, kind: Kind, buckets: int) -> Columns:
    envelopes, other = reading.envelopes, OTHER_OF_KIND[kind]
    names = [event.name for event in envelopes]
    customers = [event.customer_id or "" for event in envelopes]
    keys = [event.customer_id or event.anonymous_id or "" for event in envelopes]
    bucket_of = {one: murmur2(one.encode(), buckets) if one else -1 for one in set(keys)}
    return Columns(
        envelopes=envelopes,
        properties=reading.properties,
        name=names,
        customer=np.array(customers, object),
        anonymous=np.array([event.anonymous_id or "" for event in envelopes], object),
        bucket=np.array([bucket_of[one] for one in keys], np.int64),
        occurred=_times([event.occurred_at for event in envelopes]),
        received=_times([event.received_at for event in envelopes]),
        offset=np.array([message.offset() for message in reading.messages], np.int64),
        code=np.array([CODE_OF_NAME.get(name, other) for name in names], np.int8),
    )


def _visitors(anonymous: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.array([visitor_id(one) for one in anonymous.tolist()], object)


def _times(times: Iterable[datetime]) -> NDArray[np.int64]:
    """Microseconds since the Unix epoch."""
    return np.rint(np.array([time.timestamp() for time in times], np.float64) * 1e6).astype(np.int64)


def money_of(properties: Sequence[wire.Transaction], occurred: NDArray[np.int64], rates: Rates) -> Money:
    """Read amounts and their worth. An amount without a rate is worth nothing yet: it waits."""
    total = np.array([each.total or 0.0 for each in properties], np.float64)
    amount = np.rint(total * SCALE).astype(np.int64)
    currency = np.array([number_of(each.currency) if each.currency else 0 for each in properties], np.int16)
    worth = rates.worth(currency, occurred, amount)
    waits = worth == WAITS
    return Money(amount, np.where(waits, 0, worth), np.where(waits, currency, 0).astype(np.int16))


def _events(
    columns: Columns, kind: Kind, reading: Reading, slot: NDArray[np.int64], late: NDArray[np.bool_]
) -> EventArray:
    events = np.zeros(len(slot), EVENT_DTYPE)
    # what the fact tables know an event by; no id holds a control character
    events["id_hash"] = [
        xxh3_64_intdigest(f"{kind}\0{_owner(event)}\0{event.event_id}".encode()) for event in columns.envelopes
    ]
    events["occurred"], events["slot"], events["late"] = columns.occurred, slot, late
    events["entered"], events["code"] = reading.entered, columns.code
    if columns.money is not None:
        waits = columns.money.waits_in
        events["amount"], events["currency"] = np.where(waits, columns.money.amount, columns.money.base), waits
        events["items"] = [each.items or 0 for each in columns.properties]
    if columns.code.size and columns.properties and isinstance(columns.properties[0], wire.Service):
        events["score"] = [round((each.score or 0) * SCALE) for each in columns.properties]
    return events


def _owner(event: wire.Envelope) -> str:
    return event.customer_id or visitor_id(event.anonymous_id or "")


def _letter(message: Message, topic: Topic, partition: int, stage: str, why: wire.RejectedError) -> DeadLetter:
    refused = read_refusal(message.headers()) if message.key() == REFUSED_KEY else None
    reason = refused or Refusal(stage, why.field, why.problem, _source(message))
    return DeadLetter(
        topic=topic.name, partition=partition, offset=message.offset(), timestamp_ms=message.timestamp()[1],
        key=message.key(), body=message.value(),
        stage=reason.stage, field=reason.field, problem=reason.problem, source=reason.source,
    )  # fmt: skip


def _source(message: Message) -> str:
    """The source that a record names; what a connector refused is no event, and a sender may write anything there."""
    return "" if message.key() == REFUSED_KEY else wire.source_of(message.value())
