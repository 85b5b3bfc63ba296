"""A throw-away stack whose log holds a workload, in a process of its own: python stack_holder.py WORKLOAD.

It imports what PYTHONPATH names first, so that the same program holds the stack of an older commit, with that commit's
topics, migrations and publisher. It prints one line of JSON when the log is full, then serves commands, one line each:

    load RATE SECONDS [CLOCK]   send the shop's next events at a steady rate; answer when they are prepared, and
                                with the time of sending of each probe when all are sent

With CLOCK (Unix seconds) events happen from that time on instead of now, and ticks twice a second say so in all
partitions: a midnight can be crossed at any time of day. Such loads need a stack without a heartbeat.

and ends when its standard input is closed.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from workload import Compact, Workload, probe, publish, workload_named

from connectors.kafka.publisher import partition_of, tick_body
from connectors.kafka.topics import ensure_topics
from connectors.protocol import Record
from contracts.events import TICK_KEY
from contracts.settings import Settings
from contracts.stored import TABLES
from contracts.topics import INPUT_TOPICS
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.environment import dataflow_environment
from crmstream.stack.supervisor import LocalStack
from sinks.clients import clickhouse_client
from sinks.migrations import migrate

MOST_PROBES_PER_SECOND: Final = 50
TICK_SECONDS: Final = 0.5
NOW: Final = "2000-01-01T00:00:00.000000Z"
"""Stands in a body where the time of sending goes."""
PRODUCER: Final = {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "compression.type": "lz4"}
"""As the collector's producer."""


def main() -> None:
    """Hold a stack until nobody needs it."""
    workload, folder = workload_named(sys.argv[1]), Path(tempfile.mkdtemp(prefix="crm-bench-"))
    settings = Settings(
        base_currency="USD",
        data_dir=folder, kafka_bootstrap_servers=None, clickhouse_url=None, redis_url=None, workers=1,
        live_backlog_events=workload.live_backlog_events,
    )  # fmt: skip
    try:
        with LocalStack(settings, with_dataflow=False) as stack:
            _serve(workload, settings, stack.endpoints)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(workload: Workload | Compact, settings: Settings, endpoints: Endpoints) -> None:
    database, shop = settings.clickhouse_database, workload.shop()
    ensure_topics(endpoints.kafka, settings.partitions)
    migrate(clickhouse_client(endpoints.clickhouse_url, database), database)
    events = publish(shop, endpoints.kafka, settings, probes=workload.probes * workload.recent)
    answer({
        "kafka": endpoints.kafka, "clickhouse_url": endpoints.clickhouse_url, "redis_url": endpoints.redis_url,
        "database": database, "data_dir": str(settings.data_dir), "tables": list(TABLES), "events": events,
        "workload": workload.name, "ends": shop.config.end_us // 1_000_000,
        "records": records_in(endpoints.kafka), "environment": dataflow_environment(settings, endpoints, []),
    })  # fmt: skip
    for line in sys.stdin:
        _, rate, seconds, *clock = line.split()
        load = Load(shop, endpoints.kafka, settings.partitions, workload.probes)
        answer(load.send(float(rate), float(seconds), *map(float, clock)))


def answer(what: dict[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps(what), flush=True)


class Load:
    """Sends a shop's next events, their times set to now, with probes among them."""

    def __init__(self, shop: Any, kafka: str, partitions: int, probes: int):
        self._records = shop.records()
        self._partitions = partitions
        self._probes = probes
        self._ticked = 0.0
        self._producer = Producer(PRODUCER | {"bootstrap.servers": kafka})

    def send(self, rate: float, seconds: float, clock: float | None = None) -> dict[str, Any]:
        """Send for so long; return what was sent, and the second at which each probe was handed to the producer.

        ``shift`` in the answer is how many seconds the events' times are ahead of the time of sending.
        """
        total = int(rate * seconds)
        every = max(4, round(rate / MOST_PROBES_PER_SECOND))
        events = [self._event(next(self._records)) for _ in range(total)]
        answer({"ready": total})
        probes: list[tuple[str, float]] = []
        produce, began, sent = self._producer.produce, time.time(), 0
        shift = 0.0 if clock is None else clock - began
        while sent < total:
            now = time.time()
            due = min(total, int((now - began) * rate) + 1)
            text = _text(now + shift)
            for number in range(sent, due):
                if number % every == 0:
                    probes.append(self._probe(number // every % self._probes, shift))
                    continue
                topic, key, partition, head, middle, tail = events[number]
                produce(topic, head + text + middle + text + tail if middle else head, key, partition)
            sent = due
            if clock is not None:
                self._tick(now + shift)
            self._producer.poll(0)
            if (ahead := began + sent / rate - time.time()) > 0:
                time.sleep(min(ahead, 0.05))
        elapsed = time.time() - began
        self._producer.flush()
        return {"sent": total, "seconds": elapsed, "probes": probes, "began": began, "shift": shift}

    def _tick(self, now: float) -> None:
        """Say in all partitions that all events before ``now`` stand before it; at most twice a second."""
        if now - self._ticked < TICK_SECONDS:
            return
        self._ticked = now
        body = tick_body(int(now * 1e6), "benchmark")
        for topic in INPUT_TOPICS:
            for partition in range(self._partitions):
                self._producer.produce(topic.name, body, TICK_KEY, partition)

    def _event(self, record: Record) -> tuple[str, bytes | None, int, bytes, bytes, bytes]:
        """One record, its body cut where the times go; a broken one stays whole."""
        place = (record.topic, record.key, partition_of(record, self._partitions))
        try:
            body = orjson.loads(record.value or b"")
            body["occurred_at"] = body["received_at"] = NOW
            head, middle, tail = orjson.dumps(body).split(NOW.encode())
        except (ValueError, TypeError):
            return (*place, record.value or b"", b"", b"")
        return (*place, head, middle, tail)

    def _probe(self, number: int, shift: float) -> tuple[str, float]:
        now = time.time()
        record = probe(number, f"{now:.6f}-{number}", datetime.fromtimestamp(now + shift, UTC))
        self._producer.produce(record.topic, record.value, record.key, partition_of(record, self._partitions))
        return f"probe-{number:05}", now


def _text(now: float) -> bytes:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def records_in(kafka: str) -> int:
    """All records of the input topics, ticks too."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench"})
    marks = [consumer.get_watermark_offsets(place) for place in _places(consumer)]
    consumer.close()
    return sum(high - low for low, high in marks)


def _places(consumer: Consumer) -> Iterator[TopicPartition]:
    known = consumer.list_topics().topics
    return (TopicPartition(topic.name, part) for topic in INPUT_TOPICS for part in known[topic.name].partitions)


if __name__ == "__main__":
    main()
