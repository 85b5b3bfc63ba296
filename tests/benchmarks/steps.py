"""What each step costs by itself: the dataflow's own functions on a real log, one after the other, CPU time only.

Every figure is the least of a few repetitions of this process's CPU time, per thing that the step handles.
"""

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from contracts.blocks import BucketBatch, CustomerBlock, LaneBatch, SweepBlock
from contracts.outputs import HashWrites, TableRows
from contracts.settings import Settings
from contracts.topics import INPUT_TOPICS
from crmstream.stack.endpoints import Endpoints
from online_models.labels import LabelState, label
from online_models.learner import Learner
from online_models.trainer import TrainerPolicy, new_trainer, offer
from sinks.clickhouse import ClickHouseWriter
from sinks.redis import RedisWriter
from streams.dataflow import Stores, bucket_policy, source_config, trainer_policy
from streams.identity.handover import nothing_handed
from streams.profiles.bucket import ProfileBlock, Tally
from streams.profiles.customers import CustomersState, advance, new_bucket
from streams.profiles.features import FEATURES
from streams.profiles.table import ProfileTable, apply_events
from streams.publish.hashes import profile_hashes, score_hashes
from streams.publish.tables import change_rows, daily_rows
from streams.read.clock import TopicClock
from streams.read.decode import Decoded, decode
from streams.steps import split_by_bucket

T = TypeVar("T")
REPETITIONS: Final = 3
BATCH: Final = 5_000


class Step(NamedTuple):
    """One step's cost in microseconds of CPU per ``unit``."""

    name: str
    microseconds: float
    unit: str


@dataclass
class Meter:
    """Collects the steps."""

    steps: list[Step]

    def measure(self, name: str, unit: str, count: int, work: Callable[[], T], repetitions: int = REPETITIONS) -> T:
        """Run ``work`` a few times; note the least CPU time per unit and return what it returned last."""
        least = float("inf")
        for _ in range(repetitions):
            began = time.process_time()
            result = work()
            least = min(least, time.process_time() - began)
        self.steps.append(Step(name, least / max(1, count) * 1e6, unit))
        return result


def measure_steps(settings: Settings, endpoints: Endpoints) -> list[Step]:
    """Take the log of a loaded stack through every step."""
    meter = Meter([])
    groups = _consume(meter, endpoints.kafka, settings.partitions)
    lanes = _decode(meter, groups, settings, endpoints)
    parts = _route(meter, lanes, settings)
    sweeps, live, profiles = _profiles(meter, parts, settings)
    scored = _models(meter, sweeps, live, settings)
    daily, hashes = _texts_and_rows(meter, scored, profiles, settings)
    _store(meter, daily, [rows for lane in lanes for rows in lane.facts], hashes, settings, endpoints)
    return meter.steps


Groups = dict[tuple[int, str], list[Message]]


def _consume(meter: Meter, kafka: str, partitions: int) -> Groups:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench", "enable.partition.eof": False})
    places = [TopicPartition(topic.name, partition) for topic in INPUT_TOPICS for partition in range(partitions)]
    marks = [consumer.get_watermark_offsets(place) for place in places]
    total = sum(high - low for low, high in marks)
    consumer.assign([TopicPartition(p.topic, p.partition, low) for p, (low, _) in zip(places, marks, strict=True)])
    messages = meter.measure("consume", "record", total, lambda: _read(consumer, total), 1)
    consumer.close()
    groups: Groups = defaultdict(list)
    for message in messages:
        groups[int(message.partition() or 0), str(message.topic())].append(message)
    return groups


def _read(consumer: Consumer, total: int) -> list[Message]:
    messages: list[Message] = []
    while len(messages) < total:
        messages += [message for message in consumer.consume(BATCH, 0.05) if message.error() is None]
    return messages


def _decode(meter: Meter, groups: Groups, settings: Settings, endpoints: Endpoints) -> list[LaneBatch]:
    stores = Stores(endpoints.kafka, endpoints.clickhouse_url, endpoints.redis_url)
    policy = source_config(settings, stores, lambda: False).decoding
    topics = {topic.name: topic for topic in INPUT_TOPICS}

    def work() -> list[tuple[int, Decoded]]:
        done = []
        for (partition, name), messages in groups.items():
            clock = TopicClock()
            for batch in _batches(messages):
                done.append((partition, decode(batch, topics[name], partition, clock, policy)))  # noqa: PERF401
        return done

    decoded = meter.measure("decode, with rows of facts", "record", sum(map(len, groups.values())), work)
    times = [int(each.events["occurred"].min()) for _, each in decoded if len(each.events)]
    start = min(times) // policy.interval
    return [_lane(partition, each, start, policy.interval) for partition, each in decoded]


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for first in range(0, len(messages), BATCH):
        yield messages[first : first + BATCH]


def _lane(partition: int, decoded: Decoded, start: int, interval: int) -> LaneBatch:
    facts = () if decoded.facts is None else (decoded.facts,)
    clock = start * interval
    return LaneBatch(partition, decoded.events, decoded.customers, decoded.buckets, start, clock, True, facts)


def _route(meter: Meter, lanes: list[LaneBatch], settings: Settings) -> list[BucketBatch]:
    def work() -> list[BucketBatch]:
        return [part for lane in lanes for _, part in split_by_bucket(lane, settings.buckets, settings.partitions)]

    return meter.measure("route to buckets", "event", sum(len(lane.events) for lane in lanes), work)


def _profiles(
    meter: Meter, parts: list[BucketBatch], settings: Settings
) -> tuple[list[SweepBlock], list[CustomerBlock], list[ProfileBlock]]:
    policy, events = bucket_policy(settings), sum(len(part.events) for part in parts)
    end = max(int(part.events["occurred"].max()) for part in parts if len(part.events)) // policy.interval + 1

    def apply() -> None:
        tables: dict[int, ProfileTable] = defaultdict(ProfileTable)
        for part in parts:
            apply_events(tables[part.bucket], part.customers, part.events, end * policy.interval)

    meter.measure("apply to profiles", "event", events, apply)
    states = {bucket: new_bucket(bucket, policy) for bucket in range(settings.buckets)}
    start = min(int(part.events["slot"].min()) for part in parts if len(part.events))
    outputs = []
    for part in parts:
        done = replace(part, clock=end * policy.interval, fresh=False)
        for item in (nothing_handed(part.bucket, end, start), done):
            outputs += list(advance(states[part.bucket], item, policy, Tally()))
    customers = sum(len(state.table) for state in states.values())
    sweeps = meter.measure("sweep, with features", "customer", customers, lambda: _sweep(states, end, settings))
    blocks = [output for output in outputs if isinstance(output, ProfileBlock) and len(output.ids)]
    return sweeps, [replace(sweep.customers, sweep=False, recorded=False) for sweep in sweeps], blocks


def _sweep(states: dict[int, CustomersState], end: int, settings: Settings) -> list[SweepBlock]:
    """One more boundary for every bucket; their slots stay where they are, so that it can be repeated."""
    policy, sweeps = bucket_policy(settings), []
    for bucket, state in states.items():
        nothing = BucketBatch(bucket, _NO_EVENTS, np.empty(0, object), (end + 1) * policy.interval, False)
        once = copy.copy(state)
        for item in (nothing_handed(bucket, end + 1), nothing):
            sweeps += [each for each in advance(once, item, policy, Tally()) if isinstance(each, SweepBlock)]
    return sweeps


_NO_EVENTS: Final = np.empty(0, "u1")


def _models(meter: Meter, sweeps: list[SweepBlock], live: list[CustomerBlock], settings: Settings) -> list[Any]:
    outcomes, hours = settings.outcomes, settings.sweep_hours
    customers = sum(len(sweep.rows) for sweep in sweeps)
    trained = [replace(sweep, trainable=np.ones(len(sweep.rows), np.bool_)) for sweep in sweeps]
    meter.measure("label: take a snapshot", "customer", customers, lambda: [
        label(LabelState(), sweep, outcomes, hours) for sweep in trained])  # fmt: skip
    features = np.concatenate([block.features for block in live])
    labels = features[:, 0] > np.median(features[:, 0])
    learner = meter.measure("learn, per outcome", "example", len(labels), lambda: _learn(features, labels))
    policy = trainer_policy(settings)
    return meter.measure("score, both outcomes", "customer", customers, lambda: _score(live, learner, policy))


def _learn(features: Any, labels: Any) -> Learner:
    learner = Learner(FEATURES)
    learner.learn(features, labels)
    return learner


def _score(live: list[CustomerBlock], learner: Learner, policy: TrainerPolicy) -> list[Any]:
    state = new_trainer(policy.outcomes, FEATURES)
    state.boundary = max(block.boundary for block in live)
    for model in state.models.values():
        model.buyers = learner
        model.quantiles = np.linspace(0, 1, 1_000)
    return list(offer(state, live, policy))


Hashes = dict[str, list[HashWrites]]


def _texts_and_rows(
    meter: Meter, scored: list[Any], profiles: list[ProfileBlock], settings: Settings
) -> tuple[list[TableRows], Hashes]:
    customers, changed = sum(len(block.customers.ids) for block in scored), sum(len(block.ids) for block in profiles)
    interval, currency = bucket_policy(settings).interval, settings.base_currency
    daily = meter.measure("rows of a sweep", "customer", customers, lambda: [
        daily_rows(block, interval) for block in scored])  # fmt: skip
    meter.measure("rows of live scores, with reasons", "customer", customers, lambda: list(map(change_rows, scored)))
    scores = meter.measure("score hashes as text, with reasons", "customer", customers, lambda: [
        writes for block in scored for writes in score_hashes(block, 0)])  # fmt: skip
    known = meter.measure("profile hashes as text", "customer", changed, lambda: [
        profile_hashes(block, currency, 0) for block in profiles])  # fmt: skip
    return daily, {"score hashes": scores, "profile hashes": known}


def _store(
    meter: Meter, daily: list[TableRows], facts: list[TableRows], hashes: Hashes, settings: Settings, to: Endpoints
) -> None:
    for name, rows in (("facts", facts), ("a sweep", daily)):
        _insert(meter, f"insert {name} into ClickHouse", rows, settings, to)
    for name, blocks in hashes.items():
        _write(meter, f"write {name} to Redis", blocks, to)


def _insert(meter: Meter, name: str, rows: list[TableRows], settings: Settings, endpoints: Endpoints) -> None:
    writer = ClickHouseWriter.to(endpoints.clickhouse_url, settings.clickhouse_database)

    def work() -> None:
        writer.write(rows)
        writer.flush()

    meter.measure(name, "row", sum(each.rows.num_rows for each in rows), work)
    writer.close()


def _write(meter: Meter, name: str, hashes: list[HashWrites], endpoints: Endpoints) -> None:
    writer = RedisWriter.to(endpoints.redis_url)

    def work() -> None:
        writer.write(hashes)
        writer.flush()

    meter.measure(name, "hash", sum(len(each.ids) for each in hashes), work)
    writer.close()
