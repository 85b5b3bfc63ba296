"""What each step costs, the dataflow's own machines on a real log: python steps.py BATCH fresh|behind.

The machines are fed as the engine feeds them: one read of every lane, ``BATCH`` records each, then every step with all
that reached its bucket. CPU time only, of this process; waiting for servers costs none. Prints JSON, a list of steps.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, Message, TopicPartition
from publishing import Publishing

from contracts.blocks import CustomerBatch, DeviceBatch, Forwarded, LaneBatch, PeopleBlock, Progress
from contracts.settings import Settings
from contracts.topics import INPUT_TOPICS
from online_models.scoring import Score
from online_models.trainer import Learn
from streams.dataflow import (
    MODELS,
    Stores,
    customers_policy,
    identity_policy,
    labeller,
    models_policy,
    source_config,
)
from streams.identity.addresses import Addresses
from streams.identity.devices import Devices
from streams.profiles.customers import Customers
from streams.publish.reasons import explain, explain_briefly
from streams.read.batch import ReportedCustomers, lane_batch
from streams.read.clock import TopicClock, lane_clock, lane_start
from streams.read.decode import Decoded, decode
from streams.read.split import split_lane

T = TypeVar("T")
CONSUME: Final = 5_000
TOPICS: Final = {topic.name: topic for topic in INPUT_TOPICS}


@dataclass
class Step:
    """One step: CPU seconds in all, and how many things of a kind it handled."""

    name: str
    thing: str
    seconds: float = 0.0
    things: int = 0


class Meter:
    """Adds up CPU time by step. A step inside another is taken off the outer one."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self._inner = 0.0

    def run(self, name: str, thing: str, count: int, work: Callable[[], T]) -> T:
        """Run ``work``, which handles so many things."""
        outer, self._inner = self._inner, 0.0
        began = time.process_time()
        result = work()
        took = time.process_time() - began
        step = self.steps.setdefault(name, Step(name, thing))
        step.seconds += took - self._inner
        step.things += count
        self._inner = outer + took
        return result


class Flow:
    """The machines of all buckets, and what they pass on."""

    def __init__(self, settings: Settings, meter: Meter, publishing: Publishing):
        self._settings, self._meter, self._publishing = settings, meter, publishing
        labels = labeller(settings)
        measured = type(labels)(labels.new_state, self._label(labels.label))
        models = models_policy(settings)
        identity, customers = identity_policy(settings), customers_policy(settings)
        self._makers: dict[str, Callable[[], Any]] = {
            "Devices.take": lambda: Devices(identity),
            "Addresses.take": lambda: Addresses(identity),
            "Customers.take": lambda: Customers(customers, measured),
            "Learn.take": lambda: Learn(models),
            "Score.take": lambda: Score(models, *map(self._explain, (explain, explain_briefly))),
        }
        self.machines: dict[tuple[str, str], Any] = {}
        self.awake: set[tuple[str, str]] = set()
        """The machines that took something in the last activation."""

    def take(self, lanes: Sequence[LaneBatch]) -> None:
        """Pass one activation through everything."""
        self.awake.clear()
        events = sum(len(lane.people) for lane in lanes)
        run = self._meter.run
        parts: list[tuple[str, DeviceBatch]] = run("split", "event", events, lambda: [
            part for lane in lanes for part in split_lane(lane, self._settings.buckets, self._settings.partitions)
        ])  # fmt: skip
        from_devices = self._step("Devices.take", "event", parts, lambda item: len(item.people))
        from_addresses = self._step(
            "Addresses.take", "event", _of(from_devices, Forwarded), lambda item: len(item.customers.events)
        )
        from_customers = self._step(
            "Customers.take", "event", _of(from_addresses, CustomerBatch), lambda item: len(item.parcel.events)
        )
        made = [*from_devices, *from_addresses, *from_customers]
        learned = self._step(
            "Learn.take", "boundary", [(MODELS, item) for item in made if _name(item) in {"Released", "VisitorSample"}],
            lambda item: len(getattr(item, "boundaries", ())),
        )  # fmt: skip
        models = [(str(item.bucket), item) for item in learned if _name(item) == "BoundaryModels"]
        scored = self._step(
            "Score.take", "person", [*models, *_of(made, PeopleBlock)],
            lambda item: len(item) if isinstance(item, PeopleBlock) else 0,
        )  # fmt: skip
        self._publishing.take(lanes, made, learned, scored)

    def _step(
        self, name: str, thing: str, items: Iterable[tuple[str, Any]], count: Callable[[Any], int]
    ) -> list[Any]:
        """Hand each bucket all that came for it; return what all of them gave out."""
        by_key: dict[str, list[Any]] = defaultdict(list)
        for key, item in items:
            by_key[key].append(item)
        outputs: list[Any] = []
        for key, together in by_key.items():
            machine = self.machines.get((name, key))
            if machine is None:
                machine = self.machines[name, key] = self._makers[name]()
            self.awake.add((name, key))
            things = sum(map(count, together))
            outputs += self._meter.run(name, thing, things, partial(machine.take, together))
        return outputs

    def _label(self, label: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda state, swept: self._meter.run(
            "labels (within customers)", "customer", len(swept.buyers), lambda: label(state, swept)
        )

    def _explain(self, explain: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any) -> Any:
            return self._meter.run("explain (within score)", "person", len(arguments[0]), lambda: explain(*arguments))

        return measured


def _name(item: object) -> str:
    return type(item).__name__


def _of(items: Iterable[Any], kind: type[T]) -> list[tuple[str, T]]:
    return [(str(item.bucket), item) for item in items if isinstance(item, kind)]  # type: ignore[attr-defined]


def consume(meter: Meter, kafka: str, partitions: int) -> dict[int, list[Message]]:
    """Read the whole log, by lane, in the order in which it was published."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench", "queued.max.messages.kbytes": 65_536})
    places = [TopicPartition(name, partition) for name in TOPICS for partition in range(partitions)]
    marks = [consumer.get_watermark_offsets(place) for place in places]
    total = sum(high - low for low, high in marks)
    consumer.assign([TopicPartition(p.topic, p.partition, low) for p, (low, _) in zip(places, marks, strict=True)])
    messages = meter.run("consume", "record", total, lambda: _read(consumer, total))
    consumer.close()
    lanes: dict[int, list[Message]] = defaultdict(list)
    for message in sorted(messages, key=lambda message: message.timestamp()[1]):
        lanes[message.partition() or 0].append(message)
    return lanes


def _read(consumer: Consumer, total: int) -> list[Message]:
    messages: list[Message] = []
    while len(messages) < total:
        messages += [message for message in consumer.consume(CONSUME, 0.05) if message.error() is None]
    return messages


class Lane:
    """One lane's clocks, as the reader keeps them."""

    def __init__(self, partition: int, meter: Meter, settings: Settings, *, fresh: bool):
        self._partition, self._meter, self._fresh = partition, meter, fresh
        self._policy = source_config(settings, Stores("", "", ""), lambda: False).decoding
        self._clocks = {name: TopicClock() for name in TOPICS}
        self._known = ReportedCustomers()
        self._slot: int | None = None

    def batch(self, messages: Sequence[Message]) -> LaneBatch:
        """Decode one read."""
        return self._meter.run("decode, with rows of facts", "record", len(messages), lambda: self._decode(messages))

    def _decode(self, messages: Sequence[Message]) -> LaneBatch:
        by_topic: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            by_topic[message.topic() or ""].append(message)
        got: list[Decoded] = [
            decode(some, TOPICS[name], self._partition, self._clocks[name], self._policy)
            for name, some in by_topic.items()
        ]
        clocks, interval = list(self._clocks.values()), self._policy.interval
        clock = lane_clock(clocks)
        slot = None if clock is None else clock // interval
        turned, self._slot = slot != self._slot, slot
        progress = Progress(self._partition, slot, lane_start(clocks, interval), self._fresh, guarded=False)
        return lane_batch(got, progress, self._known, turned=turned)


def drive(settings: Settings, batch: int, *, fresh: bool) -> Mapping[str, Step]:
    """Take the log through all steps."""
    meter, kafka = Meter(), str(settings.kafka_bootstrap_servers)
    records = consume(meter, kafka, settings.partitions)
    publishing = Publishing(settings, meter.run)
    flow = Flow(settings, meter, publishing)
    lanes = {partition: Lane(partition, meter, settings, fresh=fresh) for partition in sorted(records)}
    for first in range(0, max(map(len, records.values())), batch):
        flow.take([lane.batch(records[at][first : first + batch]) for at, lane in lanes.items()])
    publishing.close()
    return meter.steps


def main() -> None:
    """Measure, and print the steps."""
    steps = drive(Settings(), int(sys.argv[1]), fresh=sys.argv[2] == "fresh")
    print(json.dumps([asdict(step) for step in steps.values()]))


if __name__ == "__main__":
    main()
