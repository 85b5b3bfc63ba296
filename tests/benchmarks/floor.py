"""The floor: consume the log and decode it into columns, and nothing else: python floor.py RECORDS; prints JSON.

It uses the dataflow's own decoding with rows of facts, so the difference to the dataflow is what profiles, identity,
models and both stores cost.
"""

import gc
import json
import sys
import time
from collections import defaultdict

from confluent_kafka import Consumer, Message, TopicPartition

from contracts.settings import Settings
from contracts.topics import INPUT_TOPICS
from streams.dataflow import Stores, source_config
from streams.read.clock import TopicClock
from streams.read.decode import decode

BATCH = 5_000


def main() -> None:
    """Work off the log once."""
    settings, left = Settings(), int(sys.argv[1])
    policy = source_config(settings, Stores("", "", ""), lambda: False).decoding
    topics = {topic.name: topic for topic in INPUT_TOPICS}
    clocks: dict[tuple[str, int], TopicClock] = defaultdict(TopicClock)
    gc.set_threshold(50_000, 20, 50)  # as crmstream.worker does
    consumer = Consumer({
        "bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "floor", "enable.auto.commit": False,
        "queued.max.messages.kbytes": 65_536,
    })  # fmt: skip
    consumer.assign([TopicPartition(name, partition, 0) for name in topics for partition in range(settings.partitions)])
    wall, cpu = time.monotonic(), time.process_time()
    while left > 0:
        messages = [message for message in consumer.consume(BATCH, 0.02) if message.error() is None]
        left -= len(messages)
        read: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for message in messages:
            read[message.topic() or "", message.partition() or 0].append(message)
        for (name, partition), batch in read.items():
            decode(batch, topics[name], partition, clocks[name, partition], policy)
    figures = {"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
    consumer.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
