"""The collector and a real broker: what an answer means, and what becomes of it when the broker is gone.

The tests share one broker and run in this order.
"""

import asyncio
import http.client
import signal
import time
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from support.collecting import PARTITIONS, CollectorProcess, basic, read_records
from support.deliver_contract import keeps_the_contract
from support.flow import wait_until

from connectors.collector.delivery import DeliveryLimits, KafkaDelivery
from connectors.kafka.topics import ensure_topics
from contracts.topics import INPUT_TOPICS
from crmstream.stack.parts import KafkaPart
from crmstream.stack.process import stop_all

pytestmark = pytest.mark.stack


def values(kafka: str) -> set[bytes]:
    """The values of all records."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "t", "enable.partition.eof": True})
    places = [TopicPartition(topic.name, number, 0) for topic in INPUT_TOPICS for number in range(PARTITIONS)]
    consumer.assign(places)
    found, left = set(), len(places)
    while left:
        for message in consumer.consume(100, 0.1):
            left -= message.error() is not None
            if message.error() is None:
                found.add(message.value())
    consumer.close()
    return found


def restart(broker: KafkaPart) -> None:
    broker.start()
    broker.wait_ready()


def test_the_real_deliver_keeps_its_contract(broker: KafkaPart) -> None:
    kafka = broker.endpoint()

    async def go_away() -> None:
        broker.process.signal(signal.SIGKILL)
        broker.process.wait(10)

    async def whole() -> None:
        limits = DeliveryLimits(1.5)
        delivery = KafkaDelivery(kafka, PARTITIONS, lambda: ensure_topics(kafka, PARTITIONS), limits)
        delivery.start()
        try:
            async with asyncio.timeout(20):
                while not delivery.available:
                    await asyncio.sleep(0.05)
            await keeps_the_contract(delivery.deliver, lambda: values(kafka), go_away)
        finally:
            await delivery.close()

    asyncio.run(whole())
    restart(broker)


def track(name: str, number: int) -> dict[str, object]:
    return {"type": "track", "event": name, "userId": f"c-{number}", "messageId": f"{name}-{number}"}


def tracked(broker: KafkaPart, name: str) -> list[str]:
    """The ids of the events of one name in Kafka."""
    return sorted(event["event_id"] for event in read_records(broker.endpoint())[0] if event.get("name") == name)


def test_what_is_answered_with_200_is_in_kafka(broker: KafkaPart, collector: CollectorProcess) -> None:
    assert collector.send("/v1/batch", {"batch": [track("Taken", number) for number in range(200)]})[0] == 200
    assert len(set(tracked(broker, "Taken"))) == 200


def test_the_sender_s_address_is_what_a_trusted_proxy_says(broker: KafkaPart, collector: CollectorProcess) -> None:
    assert collector.send("/v1/track", track("Before", 1))[0] == 200
    proxy = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=20, source_address=("127.0.0.2", 0))
    headers = {"Authorization": basic("wk_shop"), "X-Forwarded-For": "203.0.113.9"}
    proxy.request("POST", "/v1/track", orjson.dumps(track("Forwarded", 1)), headers)
    assert proxy.getresponse().status == 200
    proxy.close()
    (event,) = (event for event in read_records(broker.endpoint())[0] if event.get("name") == "Forwarded")
    assert event["properties"]["context"]["ip"] == "203.0.113.0"  # cut, as the rules say


def test_a_broker_that_is_gone_is_503_at_once_and_200_when_it_is_back(
    broker: KafkaPart, collector: CollectorProcess
) -> None:
    stop_all([broker.process], 20)
    wait_until(lambda: collector.get("/ready")[0] == 503, "it is known that Kafka is away", 20)
    began = time.monotonic()
    for _ in range(20):
        status, body = collector.post("/v1/track", track("Refused", 1))
        assert (status, orjson.loads(body)["code"]) == (503, "unavailable")
    assert time.monotonic() - began < 20 * 1.5 / 2  # nobody waits for a broker that is known to be away
    assert collector.get("/health")[0] == 200
    restart(broker)
    wait_until(lambda: collector.get("/ready")[0] == 200, "it takes events again", 30)
    assert collector.send("/v1/track", track("Back", 1))[0] == 200
    assert set(tracked(broker, "Back")) == {"shop:Back-1"}


def test_a_broker_that_hangs_is_503_within_the_time_allowed(broker: KafkaPart, collector: CollectorProcess) -> None:
    broker.process.signal(signal.SIGSTOP)
    try:
        assert collector.post("/v1/track", track("Hanging", 1))[0] == 503
        wait_until(lambda: collector.get("/ready")[0] == 503, "it is known that Kafka is away", 20)
    finally:
        broker.process.signal(signal.SIGCONT)
    wait_until(lambda: collector.get("/ready")[0] == 200, "it takes events again", 30)
    assert collector.send("/v1/track", track("Hanging", 1))[0] == 200  # the client's retry
    assert set(tracked(broker, "Hanging")) == {"shop:Hanging-1"}


def test_a_collector_starts_while_kafka_is_away_and_stops_cleanly(broker: KafkaPart, tmp_path: Path) -> None:
    broker.process.signal(signal.SIGSTOP)
    alone = CollectorProcess(tmp_path, broker.endpoint(), collector_delivery_seconds=1)
    try:
        alone.start("/health")
        assert alone.get("/ready")[0] == 503
    finally:
        broker.process.signal(signal.SIGCONT)
    wait_until(lambda: alone.get("/ready")[0] == 200, "it takes events", 30)
    alone.stop()


def test_a_port_that_is_taken_is_told(collector: CollectorProcess, broker: KafkaPart, tmp_path: Path) -> None:
    second = CollectorProcess(tmp_path, broker.endpoint(), collector_port=collector.port)
    with pytest.raises(AssertionError, match=f"port {collector.port}.*CRM_COLLECTOR_PORT"):
        second.start("/nowhere")
