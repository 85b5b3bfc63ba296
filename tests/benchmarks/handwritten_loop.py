"""The yardstick: one process, one loop, no engine, written by hand as one would who needs it to be fast.

It consumes, decodes, checks the fields that matter, keeps an object per customer and per visitor, joins a visitor to
the customer at sign-in, scores whom events touched with two linear models in numpy, writes both hashes of each to Redis
in a pipeline, and facts, profiles and scores to ClickHouse as Arrow once a second, and commits offsets.

It does the work that readers of the stores see, as the dataflow does. It leaves out sweeps over all customers, labels,
learning, e-mail addresses, late events, exact recovery, versions, and refusals of wrong links.

Usage: python handwritten_loop.py KAFKA CLICKHOUSE_URL REDIS_URL DATABASE RECORDS; prints JSON.
"""

import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Final

import clickhouse_connect
import numpy as np
import orjson
import pyarrow as pa
from confluent_kafka import Consumer, Message, TopicPartition
from handwritten_hashes import Pipeline, profile_fields, score_fields
from handwritten_people import DAY, OUTCOMES, Event, Model, Person
from handwritten_tables import FACTS, Scored, changes, customers, facts, letters, links

from contracts.events import TICK_KEY
from contracts.topics import INPUT_TOPICS

BATCH: Final = 5_000
FLUSH_SECONDS: Final = 1.0
VISITOR: Final = "anonymous:"
VISITOR_SECONDS: Final = 90 * 86_400
TEXT: Final = (str, type(None))
NUMBER: Final = (int, float, type(None))
ENVELOPE: Final = ("event_id", "name", "source", "customer_id", "anonymous_id")


def decode(message: Message, kind: str) -> Event:
    """Read and check one event; raises ValueError or its like for an invalid one."""
    event: Event = orjson.loads(message.value() or b"")
    if event["kind"] != kind or not (event["event_id"] and event["name"] and event["source"]):
        raise ValueError("envelope")
    if not (event.get("customer_id") or event.get("anonymous_id")):
        raise ValueError("customer_id")
    for field in ENVELOPE:
        if not isinstance(event.get(field), TEXT) or len(event.get(field) or "") > 100:
            raise ValueError(field)
    event["at"] = datetime.fromisoformat(event["occurred_at"])
    event["in"] = datetime.fromisoformat(event["received_at"])
    event["seconds"] = event["at"].timestamp()
    if event["seconds"] > message.timestamp()[1] / 1e3 + DAY:
        raise ValueError("occurred_at")
    check_properties(event["properties"], kind)
    event["position"] = (message.partition(), message.offset())
    return event


def check_properties(properties: Event, kind: str) -> None:
    """Raise ValueError if a property that has a column is of another type."""
    for field in FACTS[kind][1]:
        if not isinstance(properties.get(field), TEXT):
            raise ValueError(field)
    for field in ("total", "items", "score"):
        if not isinstance(properties.get(field), NUMBER):
            raise ValueError(field)
    if kind == "transaction" and (("total" in properties) != ("currency" in properties)):
        raise ValueError("properties.currency")


class People:
    """Everybody's profile, and which visitor is which customer."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._owners: dict[str, str] = {}
        self._seen: set[str] = set()
        self.touched: dict[str, Person] = {}
        self.merged: dict[str, str] = {}
        self.verdicts: list[tuple[str, str, str, datetime]] = []

    def take(self, event: Event) -> None:
        """Count one event for its person, once, and join visitors who sign in."""
        if event["event_id"] in self._seen:
            return
        self._seen.add(event["event_id"])
        customer, device = event.get("customer_id"), event.get("anonymous_id")
        if event["kind"] == "identity" and customer:
            device = event["properties"].get("previous_id") if event["name"] == "Alias" else device
            if device and device != customer:
                self._link(device, customer, event["at"])
        device = event.get("anonymous_id")
        name = customer or self._owners.get(device or "") or f"{VISITOR}{device}"
        self._touch(name).count(event)

    def _touch(self, name: str) -> Person:
        person = self._people.get(name)
        if person is None:
            person = self._people[name] = Person()
        self.touched[name] = person
        return person

    def _link(self, device: str, customer: str, at: datetime) -> None:
        owner, visitor = self._owners.get(device), VISITOR + device
        outcome = "linked" if owner in {None, customer} else "belongs_to_another"
        self.verdicts.append((visitor, customer, outcome, at))
        if owner is not None:
            return
        self._owners[device] = self.merged[visitor] = customer
        history = self._people.pop(visitor, None)
        if history is not None:
            self._touch(customer).join(history)
            self.touched.pop(visitor, None)


class Loop:
    """The loop and what it remembers."""

    def __init__(self, kafka: str, clickhouse_url: str, redis_url: str, database: str):
        self._consumer = Consumer({
            "bootstrap.servers": kafka, "group.id": "handwritten", "enable.auto.commit": False,
            "auto.offset.reset": "error", "fetch.wait.max.ms": 100, "queued.max.messages.kbytes": 65_536,
        })  # fmt: skip
        self._kinds = {topic.name: str(topic.kind) for topic in INPUT_TOPICS}
        self._assign()
        self._clickhouse = clickhouse_connect.get_client(dsn=clickhouse_url, database=database)
        self._redis = Pipeline(redis_url)
        self._people = People()
        self._models = [Model(seed) for seed, _ in enumerate(OUTCOMES)]
        self._rows: dict[str, list[pa.Table]] = defaultdict(list)
        self._changed: dict[str, Person] = {}
        self._scored: dict[str, Scored] = {}
        self._merged: dict[str, str] = {}
        self._flushed = time.monotonic()
        self._committed = self.read = 0

    def step(self) -> None:
        """Take one batch through everything."""
        messages = [message for message in self._consumer.consume(BATCH, 0.02) if message.error() is None]
        self.read += len(messages)
        by_kind: dict[str, list[Event]] = defaultdict(list)
        dead: list[tuple[Message, str]] = []
        for message in messages:
            self._take(message, by_kind, dead)
        for kind, events in by_kind.items():
            self._rows[FACTS[kind][0]].append(facts(kind, events))
        if dead:
            self._rows["dead_letters"].append(letters(dead))
        self._publish()
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def _take(self, message: Message, by_kind: dict[str, list[Event]], dead: list[tuple[Message, str]]) -> None:
        if message.key() == TICK_KEY:
            return
        kind = self._kinds[message.topic() or ""]
        try:
            event = decode(message, kind)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            dead.append((message, str(error)))
            return
        by_kind[kind].append(event)
        self._people.take(event)

    def flush(self) -> None:
        """Write rows out, then commit offsets."""
        if self._changed or self._merged:
            self._rows["customers"].append(customers(self._changed, self._merged))
            self._changed, self._merged = {}, {}
        if self._scored:
            self._rows["score_changes"].append(changes(self._scored))
            self._scored = {}
        for table, pieces in self._rows.items():
            self._clickhouse.insert_arrow(table, pa.concat_tables(pieces), settings={"async_insert": 0})
        self._rows.clear()
        if self.read > self._committed:
            self._consumer.commit(asynchronous=False)
            self._committed = self.read
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def _assign(self) -> None:
        places = []
        for name in self._kinds:
            for partition in self._consumer.list_topics(name).topics[name].partitions:
                low, _ = self._consumer.get_watermark_offsets(TopicPartition(name, partition))
                places.append(TopicPartition(name, partition, low))
        self._consumer.assign(places)

    def _publish(self) -> None:
        """Score whom the batch touched, and write what readers look up."""
        known = self._people
        if known.verdicts:
            self._rows["identity_links"].append(links(known.verdicts))
        for visitor, customer in known.merged.items():
            self._point(visitor, customer)
        if known.touched:
            self._score(known.touched)
        self._redis.execute()
        self._merged |= known.merged
        for visitor in known.merged:
            self._changed.pop(visitor, None)
        known.touched, known.merged, known.verdicts = {}, {}, []

    def _point(self, visitor: str, customer: str) -> None:
        """Leave a pointer to the customer under a visitor's id."""
        keys = ("crm:score:{" + visitor + "}", "crm:profile:{" + visitor + "}")
        self._redis.add("DEL", *keys)
        for key in keys:
            self._redis.add("HSET", key, "merged_into", customer)
            self._redis.add("EXPIRE", key, VISITOR_SECONDS)

    def _score(self, touched: dict[str, Person]) -> None:
        ids, people = list(touched), list(touched.values())
        features = np.array([person.features() for person in people])
        scores = [model.score(features) for model in self._models]
        lifecycles = [person.lifecycle() for person in people]
        where = [(stage, person.segment(stage)) for stage, person in zip(lifecycles, people, strict=True)]
        self._changed |= touched
        for at, (name, person) in enumerate(touched.items()):
            self._scored[name] = Scored(person, *where[at], scores, at)
            self._redis.add("HSET", "crm:score:{" + name + "}", *score_fields(person, where[at], scores, at))
            self._redis.add("HSET", "crm:profile:{" + name + "}", *profile_fields(person))
            if name.startswith(VISITOR):
                self._redis.add("EXPIRE", "crm:score:{" + name + "}", VISITOR_SECONDS)
                self._redis.add("EXPIRE", "crm:profile:{" + name + "}", VISITOR_SECONDS)
        for outcome, each in zip(OUTCOMES, scores, strict=True):
            pairs = zip(each.probability, ids, strict=True)
            ranks = [part for pair in pairs if not pair[1].startswith(VISITOR) for part in pair]
            if ranks:
                self._redis.add("ZADD", f"crm:top:{outcome}", *ranks)


def measured(step: Callable[[], None], done: Callable[[], bool], finish: Callable[[], None]) -> dict[str, float]:
    """Repeat ``step`` until ``done``, then ``finish``; return wall-clock and CPU seconds of this process."""
    wall, cpu = time.monotonic(), time.process_time()
    while not done():
        step()
    finish()
    return {"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}


def main() -> None:
    """Work off the log once."""
    kafka, clickhouse_url, redis_url, database, records = sys.argv[1:]
    gc.set_threshold(50_000, 20, 50)  # as the dataflow's worker does: batches make many short-lived objects, no cycles
    loop = Loop(kafka, clickhouse_url, redis_url, database)
    figures = measured(loop.step, lambda: loop.read >= int(records), loop.flush)
    loop.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
