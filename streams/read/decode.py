"""Decodes the records of one topic-partition into facts, events of people, links and dead letters. Pure.

Invalid records become dead letters with their position, their bytes and the invalid field; they never stop the others.
The contract (:func:`contracts.wire.judge`) has the last word on every body; the fast parser only saves time on bodies
that are clearly valid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts import wire
from contracts.blocks import EVENT_DTYPE, EventArray, Link, PeopleEvents
from contracts.currencies import number_of
from contracts.events import TICK_KEY, Kind, Tick
from contracts.identity import ANONYMOUS
from contracts.outputs import DeadLetter, FewRows, TableRows
from contracts.rates import SCALE, WAITS, Rates
from contracts.refused import REFUSED_KEY, Refusal, read_refusal
from contracts.topics import Topic
from streams.read.bodies import read_bodies
from streams.read.clock import TopicClock
from streams.read.columns import Columns, Message, Money, Reading, texts, to_columns
from streams.read.facts import to_clocks, to_facts
from streams.read.left_out import is_left_out, kept
from streams.read.links import links_of
from streams.read.order_numbers import order_numbers
from streams.read.places import buckets_of
from streams.read.validation import FUTURE, MILLISECOND, DecodePolicy, Stand, judge, suspect_positions


@dataclass
class Decoded:
    """The result of one read of a topic: facts, events of people, links with their buckets, and dead letters.

    ``clocks`` are rows of the records that began a slot. Events that are read from the warehouse have no facts.
    """

    facts: TableRows | FewRows | None = None
    clocks: TableRows | None = None
    people: PeopleEvents = field(default_factory=PeopleEvents)
    links: list[Link] = field(default_factory=list)
    link_buckets: list[int] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    read: int = 0
    ticks: int = 0

    @property
    def yields(self) -> bool:
        """Whether there is anything but ticks."""
        return self.clocks is not None or len(self.people) > 0 or bool(self.dead)


def decode(
    messages: Sequence[Message], topic: Topic, partition: int, clock: TopicClock, policy: DecodePolicy
) -> Decoded:
    """Decode records in log order and move the topic's clock past them."""
    stand = Stand(kind_of(topic), partition, policy)
    dead: list[DeadLetter] = []

    def refuse(stage: str, message: Message, why: wire.RejectedError) -> None:
        if not is_left_out(message, policy.forgotten):
            dead.append(_letter(message, topic, partition, stage, why))

    ticks: list[tuple[int, int]] = []
    bodies = _without_marks(messages, ticks, refuse)
    reading = read_bodies(bodies, stand.kind, partial(refuse, "decode"), policy.chunk)
    columns = to_columns(reading, stand.kind, partition, policy.partitions, policy.buckets)
    refused = _refused(reading, columns, stand)
    if refused:
        for at, why in refused.items():
            refuse("validate", reading.messages[at], why)
        columns = columns.without(refused)
    moving = [tick for tick in ticks if tick[1]]  # a tick at 1970 only carries its writer's note
    slot, late = clock.place(columns.occurred, columns.received, columns.offset, moving, policy.interval)
    columns, slot, late = without_left_out(columns, stand, slot, late)
    dead.sort(key=lambda letter: letter.offset)
    decoded = Decoded(dead=dead, read=len(messages), ticks=len(ticks))
    if clock.turns:
        decoded.clocks = to_clocks(clock.turns, topic.name, partition)
    if len(columns):
        fill(decoded, columns, stand, slot, late)
        decoded.facts = to_facts(columns, stand.kind, partition, late)
    return decoded


def without_left_out(
    columns: Columns, stand: Stand, slot: NDArray[np.int64], late: NDArray[np.bool_]
) -> tuple[Columns, NDArray[np.int64], NDArray[np.bool_]]:
    """Return columns, slots and lateness without the events of people who were forgotten."""
    stays = kept(columns, stand.kind, stand.policy.forgotten)
    if stays is None:
        return columns, slot, late
    return columns.without(np.flatnonzero(~stays).tolist()), slot[stays], late[stays]


def fill(decoded: Decoded, columns: Columns, stand: Stand, slot: NDArray[np.int64], late: NDArray[np.bool_]) -> None:
    """Add the events and links of columns with at least one event, and the money to the columns."""
    kind, _, policy = stand
    if kind == "transaction":
        columns.money = money_of(columns.properties, columns.occurred, policy.rates)
    decoded.people = PeopleEvents(
        events=_events(columns, stand, slot, late),
        customers=texts(columns.customer),
        devices=texts(columns.device),
        home=columns.home,
        customer_buckets=columns.customer_bucket,
    )
    if kind == "identity":
        decoded.links, decoded.link_buckets = links_of(columns, slot, buckets_of(policy.buckets))


def kind_of(topic: Topic) -> Kind:
    """Return the kind of an input topic."""
    if topic.kind is None:
        raise ValueError(f"{topic.name} is not an input topic")
    return topic.kind


Refuse = Callable[[str, Message, wire.RejectedError], None]
_MARKS: Final = frozenset((TICK_KEY, REFUSED_KEY))


def _without_marks(messages: Sequence[Message], ticks: list[tuple[int, int]], refuse: Refuse) -> Sequence[Message]:
    """Remove ticks, collected as (offset, time), and records that connectors refused from the messages."""
    keys = [message.key() for message in messages]
    if _MARKS.isdisjoint(keys):
        return messages
    marks = [(message, key) for message, key in zip(messages, keys, strict=True) if key in _MARKS]
    for message, key in marks:
        if key == REFUSED_KEY:
            refuse("decode", message, wire.RejectedError("body", "was refused by a connector"))
            continue
        try:
            ticks.append((message.offset(), _tick(message)))
        except wire.RejectedError as why:
            refuse("decode", message, why)
    return [message for message, key in zip(messages, keys, strict=True) if key not in _MARKS]


def _tick(message: Message) -> int:
    """Return the time of a tick in microseconds. Raises ``RejectedError`` if it is invalid or in the future."""
    time = _time_of_tick(message.value() or b"")
    if time > message.timestamp()[1] * MILLISECOND + FUTURE:
        raise wire.RejectedError("occurred_at", "lies more than 24 hours after the record entered Kafka")
    return time


@lru_cache(256)
def _time_of_tick(body: bytes) -> int:
    """Return the time in the body of a tick. Cached, because a writer sends the same one to all partitions."""
    try:
        tick = Tick.model_validate_json(body)
    except ValueError:
        raise wire.RejectedError("body", "is no tick, though its key says so") from None
    time = round(tick.occurred_at.timestamp() * 1e6)
    if time < 0:
        raise wire.RejectedError("occurred_at", "lies before 1970")
    return time


def _refused(reading: Reading, columns: Columns, stand: Stand) -> dict[int, wire.RejectedError]:
    """The positions of events that break a rule across fields, with the reasons."""
    refused = {}
    for at in suspect_positions(columns, stand.kind):
        try:
            judge(reading, columns, at, stand)
        except wire.RejectedError as why:
            refused[at] = why
    return refused


def money_of(properties: Sequence[wire.Transaction], occurred: NDArray[np.int64], rates: Rates) -> Money:
    """Return amounts in their own and in the base currency. An amount without a rate counts 0 until it has one."""
    total = np.array([each.total or 0.0 for each in properties], np.float64)
    amount = np.rint(total * SCALE).astype(np.int64)
    names = [each.currency for each in properties]
    numbers = {name: number_of(name) if name else 0 for name in set(names)}
    currency = np.array([numbers[name] for name in names], np.int16)
    worth = rates.worth(currency, occurred, amount)
    waits = worth == WAITS
    return Money(amount, np.where(waits, 0, worth), np.where(waits, currency, 0).astype(np.int16))


def _events(columns: Columns, stand: Stand, slot: NDArray[np.int64], late: NDArray[np.bool_]) -> EventArray:
    kind = stand.kind
    events = np.zeros(len(slot), EVENT_DTYPE)
    # The fact tables identify an event by the same three values; no id contains a control character.
    events["id_hash"] = np.fromiter([
        xxh3_64_intdigest(f"{kind}\0{customer or ANONYMOUS + device}\0{event.event_id}".encode())
        for customer, device, event in zip(columns.customer, columns.anonymous, columns.envelopes, strict=True)
    ], np.uint64, len(slot))  # fmt: skip
    events["occurred"], events["slot"], events["late"] = columns.occurred, slot, late
    events["entered"], events["code"] = columns.entered, columns.code
    if columns.money is not None:
        waits = columns.money.waits_in
        events["amount"], events["currency"] = np.where(waits, columns.money.amount, columns.money.base), waits
        events["items"] = [each.items or 0 for each in columns.properties]
        events["score"] = order_numbers(columns, stand.policy.shops)
    if kind == "service":
        events["score"] = [round((each.score or 0) * SCALE) for each in columns.properties]
    return events


def _letter(message: Message, topic: Topic, partition: int, stage: str, why: wire.RejectedError) -> DeadLetter:
    refused = read_refusal(message.headers()) if message.key() == REFUSED_KEY else None
    reason = refused or Refusal(stage, why.field, why.problem, _source(message))
    return DeadLetter(
        topic=topic.name, partition=partition, offset=message.offset(), timestamp_ms=message.timestamp()[1],
        key=message.key(), body=message.value(),
        stage=reason.stage, field=reason.field, problem=reason.problem, source=reason.source,
    )  # fmt: skip


def _source(message: Message) -> str:
    """Return the source of an invalid record. A record refused by a connector may name any source, so it has none."""
    return "" if message.key() == REFUSED_KEY else wire.source_of(message.value())
