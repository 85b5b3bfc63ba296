"""From the bytes of a log to profiles, sweeps, decisions, examples: the same for any cuts, interleaving and resumes."""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
import pytest
from confluent_kafka import murmur2
from support.consumer import FakeConsumer, Place
from support.records import Record
from support.restarting import STEPS, Restarting

from connectors.kafka.publisher import tick_body
from contracts.blocks import CustomerBatch, Departures, Forwarded, PeopleBlock, ProfileBlock, Verdicts
from contracts.events import TICK_KEY, Kind
from contracts.identity import placing_id
from contracts.machine import Machine
from contracts.model_blocks import Released
from contracts.outcomes import Outcome
from contracts.settings import Settings
from contracts.topics import INPUT_TOPICS, TOPIC_OF_KIND
from streams.dataflow import Stores, customers_policy, identity_policy, labeller, source_config
from streams.identity.addresses import Addresses
from streams.identity.devices import Devices
from streams.profiles.customers import Customers
from streams.profiles.rows import versions_of
from streams.read.consumer import Bound, SharedConsumer
from streams.read.source import LaneReader
from streams.read.split import split_lane

PARTITIONS, EVENTS, DAYS = 4, 700, 45
DAY = 86_400_000_000
START = int(datetime(2026, 1, 10, tzinfo=UTC).timestamp() * 1e6)
ENTERED = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1e3)
SOON = (Outcome(name="churn", within_days=4, happens=False, of="buyers"),)
SETTLED = 80
"""So many steps in a row without work mean that there is none left."""


def event(number: int, at: int, kind: Kind, name: str, **fields: Any) -> tuple[Kind, str, bytes]:
    """An event with the key that places it."""
    time = datetime.fromtimestamp(at / 1e6, UTC).isoformat()
    body = {"event_id": f"e-{number}", "kind": kind, "name": name, "occurred_at": time, "received_at": time,
            "source": "test", "properties": {}} | fields  # fmt: skip
    previous = body["properties"].get("previous_id") if name == "Alias" else None
    return kind, placing_id(kind, fields.get("customer_id"), fields.get("anonymous_id"), previous), orjson.dumps(body)


def visits(draw: random.Random) -> Iterator[tuple[int, int]]:
    """Times and devices: a device is there a few times within an hour or so, then days later."""
    for _ in range(EVENTS // 2):
        at, device = START + draw.randrange(DAYS * DAY), draw.randrange(40)
        for _ in range(draw.randint(1, 3)):
            yield at, device
            at += draw.randrange(DAY // 40)


def something(draw: random.Random, number: int, at: int, one: int) -> tuple[Kind, str, bytes]:
    """Anything that visitors and customers do; a device's links name one customer only, as an address's do."""
    device, owner, anybody = f"d{one}", f"c{one % 15}", f"c{draw.randrange(15)}"
    address = {"traits": {"email": f"c{one % 15}@shop.example"}}
    undone = {"properties": {"previous_id": owner}}
    order = {"total": 10.5, "currency": draw.choice(["USD", "EUR"])}
    choices: list[tuple[int, Kind, str, dict[str, Any]]] = [
        (50, "web", "Page Viewed", {"anonymous_id": device}),
        (10, "web", "Page Viewed", {"anonymous_id": device, "customer_id": anybody}),
        (12, "transaction", "Order Completed", {"customer_id": anybody, "properties": order}),
        (4, "transaction", "Order Completed", {"anonymous_id": device, "properties": order}),
        (4, "identity", "Identify", {"anonymous_id": device, "customer_id": owner}),
        (2, "identity", "Alias", {"customer_id": owner, "properties": {"previous_id": device}}),
        (3, "identity", "Identify", {"anonymous_id": device, "properties": address}),
        (3, "identity", "Identify", {"customer_id": owner, "properties": address}),
        (3, "identity", "Unlink", {"anonymous_id": device, "source": "crmstream", **undone}),
    ]
    weights = [weight for weight, *_ in choices]
    _, kind, name, fields = draw.choices(choices, weights)[0]
    return event(number, at, kind, name, **fields)


def logs(seed: int) -> dict[Place, list[Record]]:
    """A log of a few weeks with repeats and ticks. Nothing ever happens on the topic of service events."""
    draw = random.Random(seed)
    places: dict[Place, list[Record]] = {(topic.name, each): [] for topic in INPUT_TOPICS for each in range(PARTITIONS)}
    slot = 0
    for number, (at, device) in enumerate(sorted(visits(draw))):
        if at // DAY > slot:
            slot = at // DAY
            tick(places, slot * DAY)
        kind, key, body = something(draw, number, at, device)
        record = Record(body, record_key=key.encode(), entered_ms=ENTERED)
        place = (TOPIC_OF_KIND[kind].name, murmur2(key.encode(), PARTITIONS))
        places[place] += [record] * draw.choice([1] * 20 + [2])
    tick(places, START + (DAYS + 2) * DAY)
    return places


def tick(places: dict[Place, list[Record]], at: int) -> None:
    """Mark all partitions."""
    for log in places.values():
        log.append(Record(tick_body(at, "test"), record_key=TICK_KEY, entered_ms=ENTERED))


@dataclass
class Written:
    """What the flow has given out: the newest of each key, as what must not depend on the schedule."""

    profiles: dict[str, tuple[int, object]] = field(default_factory=dict)
    sweeps: dict[tuple[str, int], object] = field(default_factory=dict)
    decisions: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    examples: dict[tuple[int, int], object] = field(default_factory=dict)

    def take(self, item: object) -> None:  # noqa: C901 - one branch per kind of block
        """Note a block."""
        if isinstance(item, ProfileBlock) or (isinstance(item, PeopleBlock) and item.kind == "live"):
            assert item.rows is not None
            versions = versions_of(item.rows["slot"], item.rows).tolist()
            for each, version, row in zip(item.ids, versions, item.rows, strict=True):
                self._note(each, version, row.tobytes())
        elif isinstance(item, Departures):
            for each, version, person in zip(item.ids, item.versions.tolist(), item.persons, strict=True):
                self._note(each, version, person)
        elif isinstance(item, PeopleBlock) and item.kind == "sweep":
            columns = zip(item.ids, item.boundaries.tolist(), item.features, item.lifecycle, item.segment, strict=True)
            for each, boundary, features, lifecycle, segment in columns:
                assert (each, boundary) not in self.sweeps, "swept twice"
                self.sweeps[each, boundary] = features.tobytes(), int(lifecycle), int(segment)
        elif isinstance(item, Verdicts):
            for verdict in item.verdicts:
                key, told = (verdict.identity, verdict.person), (verdict.occurred, verdict.outcome)
                self.decisions[key] = max(told, self.decisions.get(key, told))
        elif isinstance(item, Released):
            for boundary, examples in zip(item.boundaries, item.examples, strict=True):
                parts = {name: (each.features.tobytes(), each.labels.tobytes()) for name, each in examples.items()}
                if any(labels for _, labels in parts.values()):
                    self.examples[item.bucket, boundary] = parts

    def _note(self, each: str, version: int, what: object) -> None:
        if version < self.profiles.get(each, (-1, None))[0]:
            return
        if what == "":  # removed; with which version depends on how many boundaries are crossed at once
            self.profiles.pop(each, None)
        else:
            self.profiles[each] = version, what


Queues = dict[int, dict[int, deque[Any]]]
"""By receiver and sender: what is under way, in its order."""


class Step:
    """The machines of one step, one per bucket, with what is under way to them."""

    def __init__(self, make: Callable[[], Machine[Any, Any]], buckets: int, draw: random.Random):
        self._draw = draw
        self._machines = {bucket: Restarting(make) for bucket in range(buckets)}
        self.waiting: Queues = {bucket: defaultdict(deque) for bucket in range(buckets)}

    @property
    def ready(self) -> list[int]:
        """The buckets for which something waits."""
        return [bucket for bucket, queues in self.waiting.items() if any(queues.values())]

    def slices(self) -> list[Any]:
        """Let each bucket do a slice of its work; return what they give out."""
        return [item for each in self._machines.values() if each.machine.has_work() for item in each.machine.work()]

    def work(self, *, at_once: bool) -> Iterator[tuple[int, Any]]:
        """Let one bucket take some of what waits for it, perhaps after a resume. Yield what it gives out."""
        ready = self.ready
        bucket = self._draw.choice(ready)
        items = []
        for _ in range(1_000_000 if at_once else self._draw.randint(1, 6)):
            queues = [queue for queue in self.waiting[bucket].values() if queue]
            if not queues:
                break
            items.append(self._draw.choice(queues).popleft())
        if not at_once and self._draw.random() < 0.1:
            self._machines[bucket].step(self._draw.randrange(STEPS))
        for item in self._machines[bucket].machine.take(items):
            yield bucket, item


def consumer_of(places: dict[Place, list[Record]], partition: int) -> SharedConsumer:
    """A consumer of one lane, with a clock that goes on with each look."""
    mine = {place: log for place, log in places.items() if place[1] == partition}
    return SharedConsumer(FakeConsumer(mine), Bound(), map(float, count()).__next__)


def run(places: dict[Place, list[Record]], seed: int, **changes: Any) -> Written:
    """Read a log to its end on a schedule; seed 0 is the plain one: large reads, everything at once."""
    draw, plain = random.Random(seed), seed == 0
    reads: dict[str, Any] = {"max_batch_events": 10_000, "live_backlog_events": 0} if plain else {
        "max_batch_events": draw.choice([60, 200]), "live_backlog_events": draw.choice([0, 50, 100_000]),
        "most_waiting_events": draw.choice([1, 100])}  # fmt: skip
    settings = Settings(partitions=PARTITIONS, base_currency="USD", training_stride_days=3, **reads, **changes)
    config, buckets = source_config(settings, Stores("", "", ""), lambda: False), settings.buckets
    lanes = [LaneReader(each, config, consumer_of(places, each), None) for each in range(PARTITIONS)]
    identity, people, labels = identity_policy(settings), customers_policy(settings), labeller(settings)
    if not plain:
        identity = replace(identity, portion=draw.choice([1, 2, 1_000]))
        sizes = {"slice": draw.choice([1, 2, 1_000]), "most": draw.choice([3, 20, 1_000])}
        people = replace(people, sweeps=replace(people.sweeps, **sizes))
    devices = Step(lambda: Devices(identity), buckets, draw)
    addresses = Step(lambda: Addresses(identity), buckets, draw)
    customers = Step(lambda: Customers(people, labels), buckets, draw)
    written, idle = Written(), 0
    while idle < SETTLED:
        lane = draw.randrange(PARTITIONS)
        batches = list(lanes[lane].next_batch())
        for batch in batches:
            for key, part in split_lane(batch, buckets, PARTITIONS):
                devices.waiting[int(key)][lane].append(part)
        ready = [step for step in (devices, addresses, customers) if step.ready]
        steps = (devices, addresses, customers) if draw.random() < 0.5 else ()
        worked = [item for step in steps for item in step.slices()]
        idle = 0 if batches or ready or worked else idle + 1
        for item in worked:
            written.take(item)
        for bucket, item in draw.choice(ready).work(at_once=plain) if ready else ():
            if isinstance(item, Forwarded | CustomerBatch):
                target = addresses if isinstance(item, Forwarded) else customers
                target.waiting[item.bucket][bucket].append(item)
            else:
                written.take(item)
    return written


@pytest.mark.parametrize(
    ("seed", "changes"),
    [
        (1, {}),
        (2, {"buckets": 8}),
        (3, {"sweep_hours": 6}),
        (4, {"dormant_days": 6, "outcomes": SOON}),
        (5, {"visitor_days": 4}),
    ],
    ids=["as it is", "eight buckets", "a sweep every six hours", "soon dormant", "visitors soon forgotten"],
)
def test_the_schedule_changes_nothing(seed: int, changes: dict[str, Any]) -> None:
    places = logs(seed)
    expected = run(places, 0, **changes)
    assert len(expected.profiles) > 40
    assert len(expected.sweeps) > 400
    assert {outcome for _, outcome in expected.decisions.values()} == {"linked", "unlinked"}
    assert expected.examples
    for schedule in (1, 2):
        assert run(places, schedule, **changes) == expected
