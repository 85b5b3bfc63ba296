"""The yardstick: one process, one loop, no engine, written by hand as one would who needs it to be fast.

It consumes, decodes, checks the fields that matter, keeps a dict per customer, scores touched customers with two linear
models in numpy, writes facts and scores to ClickHouse as Arrow and to Redis in a pipeline, and commits offsets. What it
leaves out of what the dataflow does: sweeps, labels, learning, reasons, exact recovery, order-free profiles, versions.

Usage: python handwritten_loop.py KAFKA CLICKHOUSE_URL REDIS_URL DATABASE RECORDS; prints JSON.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp
from typing import Any, Final

import clickhouse_connect
import numpy as np
import orjson
import pyarrow as pa
import redis
from confluent_kafka import Consumer, Message, TopicPartition

from contracts.events import TICK_KEY
from contracts.topics import INPUT_TOPICS

BATCH: Final = 5_000
DAY: Final = 86_400.0
FLUSH_SECONDS: Final = 1.0
TIME: Final = pa.timestamp("us", tz="UTC")
TABLES: Final = {
    "web": ("web_events", ("session_id", "url", "product_id")),
    "transaction": ("transactions", ("order_id", "currency")),
    "service": ("service_events", ("ticket_id", "conversation_id")),
    "identity": ("identity_events", ("previous_id",)),
}
TEXT: Final = (str, type(None))
NUMBER: Final = (int, float, type(None))
ENVELOPE: Final = ("event_id", "name", "source", "customer_id", "anonymous_id")
FEATURES: Final = 20
Event = dict[str, Any]
Profile = dict[str, float]


@dataclass
class Model:
    """A linear model on standardised features."""

    mean: np.ndarray[Any, Any]
    deviation: np.ndarray[Any, Any]
    weight: np.ndarray[Any, Any]

    def predict(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Probabilities, one per row."""
        return 1 / (1 + np.exp(-((features - self.mean) / self.deviation) @ self.weight))


def decode(message: Message, kind: str) -> Event:
    """Read and check one event; raises ValueError or its like for what is none."""
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
    if event["at"].timestamp() > message.timestamp()[1] / 1e3 + DAY:
        raise ValueError("occurred_at")
    check_properties(event["properties"], kind)
    event["position"] = (message.partition(), message.offset())
    return event


def check_properties(properties: Event, kind: str) -> None:
    """Raise ValueError if a property that has a column is of another type."""
    for field in TABLES[kind][1]:
        if not isinstance(properties.get(field), TEXT):
            raise ValueError(field)
    for field in ("total", "items", "score"):
        if not isinstance(properties.get(field), NUMBER):
            raise ValueError(field)
    if kind == "transaction" and (("total" in properties) != ("currency" in properties)):
        raise ValueError("properties.currency")


def update(profile: Profile, event: Event) -> None:
    """Count one event in a profile."""
    now, name = event["at"].timestamp(), event["name"]
    gap = max(0.0, now - profile["last_seen"]) if profile["events"] else 0.0
    profile["first_seen"] = min(profile["first_seen"] or now, now)
    profile["last_seen"] = max(profile["last_seen"], now)
    profile["events"] += 1
    for days in (7, 30, 90):
        fading = exp(-gap / (days * DAY))
        profile[f"web_{days}"] = profile[f"web_{days}"] * fading + (event["kind"] == "web")
        profile[f"orders_{days}"] = profile[f"orders_{days}"] * fading + (name == "Order Completed")
    profile[name] += 1
    if event["kind"] == "web":
        profile["sessions"] += gap > 1_800
    elif name == "Order Completed":
        profile["revenue"] += event["properties"].get("total") or 0.0
        if profile["last_order"]:
            between = (now - profile["last_order"]) / DAY
            profile["gaps"] += between
            profile["squares"] += between * between
        profile["last_order"] = now


def features_of(profile: Profile) -> list[float]:
    """What the models see of a profile."""
    now, orders = profile["last_seen"], profile["Order Completed"]
    return [
        (now - profile["last_order"]) / DAY, (now - profile["first_seen"]) / DAY, orders, profile["gaps"],
        profile["squares"], profile["revenue"], profile["revenue"] / (orders or 1), profile["orders_7"],
        profile["orders_30"], profile["orders_90"], profile["web_7"], profile["web_30"], profile["web_90"],
        profile["Ticket Opened"], profile["CSAT Submitted"], profile["Order Refunded"], profile["sessions"],
        profile["Product Added"], profile["Checkout Started"], profile["events"],
    ]  # fmt: skip


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
        self._redis = redis.Redis.from_url(redis_url)
        self._profiles: dict[str, Profile] = defaultdict(lambda: defaultdict(float))
        self._seen: set[str] = set()
        random = np.random.default_rng(1)
        self._models = [Model(*(random.random(FEATURES) + 1 for _ in range(3))) for _ in range(2)]
        self._rows: dict[str, list[pa.Table]] = defaultdict(list)
        self._flushed = time.monotonic()
        self._committed = self.read = 0

    def step(self) -> None:
        """Take one batch through everything."""
        messages = [message for message in self._consumer.consume(BATCH, 0.02) if message.error() is None]
        self.read += len(messages)
        by_kind: dict[str, list[Event]] = defaultdict(list)
        dead: list[tuple[Message, str]] = []
        touched: dict[str, Event] = {}
        for message in messages:
            self._take(message, by_kind, dead, touched)
        for kind, events in by_kind.items():
            self._rows[TABLES[kind][0]].append(facts(kind, events))
        if dead:
            self._rows["dead_letters"].append(letters(dead))
        if touched:
            self._score(touched)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def _take(
        self, message: Message, by_kind: dict[str, list[Event]], dead: list[tuple[Message, str]],
        touched: dict[str, Event],
    ) -> None:  # fmt: skip
        if message.key() == TICK_KEY:
            return
        kind = self._kinds[message.topic() or ""]
        try:
            event = decode(message, kind)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            dead.append((message, str(error)))
            return
        by_kind[kind].append(event)
        customer = event.get("customer_id")
        if customer and event["event_id"] not in self._seen:
            self._seen.add(event["event_id"])
            update(self._profiles[customer], event)
            touched[customer] = event

    def flush(self) -> None:
        """Write rows out, then commit offsets."""
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

    def _score(self, touched: dict[str, Event]) -> None:
        profiles = [self._profiles[customer] for customer in touched]
        features = np.array([features_of(profile) for profile in profiles])
        churn, opportunity = (model.predict(features) for model in self._models)
        self._rows["score_changes"].append(changes(touched, profiles, churn, opportunity))
        pipeline = self._redis.pipeline(transaction=False)
        columns = zip(touched.items(), profiles, churn.tolist(), opportunity.tolist(), strict=True)
        for (customer, event), profile, leaving, buying in columns:
            pipeline.hset("crm:score:{" + customer + "}", mapping={
                "as_of": event["occurred_at"], "model_version": "handwritten", "churn": f"{leaving:.6f}",
                "opportunity": f"{buying:.6f}",
            })  # fmt: skip
            pipeline.hset("crm:profile:{" + customer + "}", mapping={
                "last_seen": event["occurred_at"], "events": int(profile["events"]),
                "orders": int(profile["Order Completed"]), "revenue": f"{profile['revenue']:.2f}",
                "sessions": int(profile["sessions"]), "carts": int(profile["Product Added"]),
            })  # fmt: skip
        pipeline.zadd("crm:top:churn", dict(zip(touched, churn.tolist(), strict=True)))
        pipeline.zadd("crm:top:opportunity", dict(zip(touched, opportunity.tolist(), strict=True)))
        pipeline.execute()


def facts(kind: str, events: Sequence[Event]) -> pa.Table:
    """Events as rows of their fact table."""
    properties = [event["properties"] for event in events]
    columns: dict[str, Any] = {
        "event_id": [event["event_id"] for event in events],
        "name": [event["name"] for event in events],
        "customer_id": [event.get("customer_id") or "" for event in events],
        "anonymous_id": [event.get("anonymous_id") or "" for event in events],
        "occurred_at": pa.array([event["at"] for event in events], TIME),
        "received_at": pa.array([event["in"] for event in events], TIME),
        "source": [event["source"] for event in events],
        "properties": [orjson.dumps(each) for each in properties],
        "schema_version": np.ones(len(events), np.uint8),
        "is_late": np.zeros(len(events), np.uint8),
        "log_partition": np.array([event["position"][0] for event in events], np.uint16),
        "log_offset": np.array([event["position"][1] for event in events], np.uint64),
    }
    columns |= {name: [each.get(name) or "" for each in properties] for name in TABLES[kind][1]}
    if kind == "transaction":
        amount = pa.array([round(each.get("total") or 0.0, 4) for each in properties]).cast(pa.decimal128(18, 4))
        columns |= {"amount": amount, "amount_base": amount}
        columns["items"] = np.array([each.get("items") or 0 for each in properties], np.uint32)
    if kind == "service":
        columns["satisfaction"] = pa.array([each.get("score") for each in properties], pa.float32())
    return pa.table(columns)


def letters(dead: Sequence[tuple[Message, str]]) -> pa.Table:
    """Refused records as rows of ``dead_letters``."""
    entered = [datetime.fromtimestamp(message.timestamp()[1] / 1e3, UTC) for message, _ in dead]
    return pa.table({
        "topic": [message.topic() for message, _ in dead],
        "log_partition": np.array([message.partition() for message, _ in dead], np.uint16),
        "log_offset": np.array([message.offset() for message, _ in dead], np.uint64),
        "entered_at": pa.array(entered, pa.timestamp("ms", tz="UTC")),
        "stage": ["decode"] * len(dead),
        "field": [reason for _, reason in dead],
        "reason": [reason for _, reason in dead],
        "body": [message.value() or b"" for message, _ in dead],
    })


def changes(
    touched: dict[str, Event], profiles: Sequence[Profile], churn: np.ndarray[Any, Any],
    opportunity: np.ndarray[Any, Any],
) -> pa.Table:  # fmt: skip
    """Scores as rows of ``score_changes``."""
    offsets = np.arange(0, 2 * len(touched) + 1, 2, dtype=np.int32)
    both = pa.array(np.stack((churn, opportunity), axis=1).ravel())
    names = pa.DictionaryArray.from_arrays(
        np.tile(np.array([0, 1], np.int32), len(touched)), pa.array(["churn", "opportunity"])
    )
    return pa.table({
        "customer_id": list(touched),
        "as_of": pa.array([event["at"] for event in touched.values()], TIME),
        "version": np.array([profile["events"] for profile in profiles], np.uint64),
        "model_version": ["handwritten"] * len(touched),
        "probability": pa.MapArray.from_arrays(pa.array(offsets), names.cast(pa.string()), both),
    })


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
    loop = Loop(kafka, clickhouse_url, redis_url, database)
    figures = measured(loop.step, lambda: loop.read >= int(records), loop.flush)
    loop.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
