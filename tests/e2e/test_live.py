"""Live events, as any Kafka producer would write them: no ticks, no history, and scores at once."""

import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
from confluent_kafka import Producer
from support.flow import Flow, wait_until

from contracts.settings import Settings
from sinks.clients import redis_client

CUSTOMERS = [f"live-{number}" for number in range(5)]


def purchase(number: int, customer: str) -> bytes:
    """An order of this moment."""
    now = datetime.now(UTC).isoformat()
    return orjson.dumps({
        "event_id": f"order-{number}", "kind": "transaction", "name": "Order Completed", "customer_id": customer,
        "occurred_at": now, "received_at": now, "source": "till", "schema_version": 1,
        "properties": {"order_id": str(number), "total": 12.5, "currency": "USD", "items": 1},
    })  # fmt: skip


def test_events_of_now_have_scores_at_once_and_move_them(folder: Path) -> None:
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(data_dir=folder, collector=False, **unset)  # type: ignore[arg-type]
    with Flow(settings) as flow, redis_client(flow.endpoints.redis_url) as redis:
        producer = Producer({"bootstrap.servers": flow.endpoints.kafka, "partitioner": "murmur2_random"})

        def publish(number: int) -> str:
            customer = CUSTOMERS[number % len(CUSTOMERS)]
            producer.produce("crm-transactions", purchase(number, customer), customer.encode())
            assert producer.flush(20) == 0
            return f"crm:score:{{{customer}}}"

        keys = [publish(number) for number in range(20)]
        flow.await_that(lambda: all(redis.exists(key) for key in keys), "every customer has a score")
        before = redis.hgetall(keys[0])
        assert before["opportunity"] == "0.500000"  # nothing has been learned yet
        assert before["lifecycle"] == "new" or before["lifecycle"] == "active"
        began = time.monotonic()
        publish(20)
        wait_until(lambda: redis.hget(keys[0], "version") != before["version"], "the score follows", pause=0.002)
        print(f"from the producer to Redis: {(time.monotonic() - began) * 1000:.0f} ms")
        after = redis.hgetall(keys[0])
        assert int(after["version"]) > int(before["version"])
        assert after["as_of"] >= before["as_of"]
        profile = f"crm:profile:{{{CUSTOMERS[0]}}}"
        flow.await_that(lambda: redis.hget(profile, "orders") == "5", "the profile follows")
