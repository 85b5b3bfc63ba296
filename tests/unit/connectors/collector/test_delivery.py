"""What is under way to Kafka, over a producer that is none."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.collector.delivery import DeliveryLimits, KafkaDelivery
from connectors.protocol import Record
from contracts.errors import LogMismatchError, StoreUnavailableError

RECORD = Record("crm-web-events", b"c", b"value", 0)


class Broker:
    """What all producers of a test share: what is queued, and how the next polls turn out."""

    def __init__(self) -> None:
        self.queued: list[Callable[..., None]] = []
        self.producers = 0
        self.up = True
        self.answers = True
        self.refusal: Exception | None = None
        self.outcome: KafkaError | None = None

    def producer(self, _config: dict[str, Any]) -> "Producer":
        self.producers += 1
        return Producer(self)


class Producer:
    """A producer of confluent-kafka's, as far as it is needed."""

    def __init__(self, broker: Broker):
        self.broker = broker

    def produce(self, topic: str, **record: Any) -> None:
        if self.broker.refusal is not None:
            raise self.broker.refusal
        self.broker.queued.append(record["on_delivery"])

    def poll(self, timeout: float) -> int:
        time.sleep(0.002)
        queued, self.broker.queued = (self.broker.queued, []) if self.broker.answers else ([], self.broker.queued)
        for settle in queued:
            settle(self.broker.outcome, None)
        return len(queued)

    def purge(self) -> None:
        self.broker.outcome, self.broker.answers = KafkaError(KafkaError._PURGE_QUEUE), True

    def flush(self, timeout: float) -> int:
        self.poll(timeout)
        self.broker.outcome = None
        return 0

    def list_topics(self, *, timeout: float) -> None:
        if not self.broker.up:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def run(broker: Broker, act: Callable[[KafkaDelivery], Any], check: Callable[[], None] = lambda: None) -> None:
    """Start a delivery, wait until it is available (if the broker is up), act, and close."""

    async def whole() -> None:
        delivery = KafkaDelivery("none:1", 4, check, DeliveryLimits(0.2, 10_000), broker.producer)
        delivery.start()
        try:
            if broker.up:
                await until(lambda: delivery.available)
            await act(delivery)
        finally:
            await delivery.close()
        assert delivery.bytes_in_flight == 0

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_it_returns_when_the_last_record_is_acknowledged() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        broker.answers = False
        call = asyncio.create_task(delivery.deliver([RECORD] * 3))
        await until(lambda: len(broker.queued) == 3)
        assert delivery.bytes_in_flight > 3 * len(b"value")
        broker.queued.pop()(None, None)
        await asyncio.sleep(0.02)
        assert not call.done()
        broker.answers = True
        await call

    run(broker, act)


def test_one_record_that_failed_fails_the_call_when_all_are_settled() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        broker.answers = False
        call = asyncio.create_task(delivery.deliver([RECORD] * 2))
        await until(lambda: len(broker.queued) == 2)
        broker.queued.pop()(KafkaError(KafkaError._MSG_TIMED_OUT), None)
        broker.answers = True
        with pytest.raises(StoreUnavailableError, match="did not take"):
            await call

    run(broker, act)


def test_more_than_may_be_under_way_is_put_off_at_once() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        with pytest.raises(StoreUnavailableError, match="does not keep up"):
            await delivery.deliver([RECORD] * 100)
        await delivery.deliver([RECORD])
        await delivery.deliver([])

    run(broker, act)


def test_a_full_queue_fails_the_call_and_not_the_next() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        broker.refusal = BufferError()
        with pytest.raises(StoreUnavailableError):
            await delivery.deliver([RECORD] * 2)
        broker.refusal = None
        await delivery.deliver([RECORD])

    run(broker, act)


def test_while_it_is_away_nothing_is_queued_and_when_it_is_back_it_is_checked_first() -> None:
    broker, checks = Broker(), []
    broker.up = False

    async def act(delivery: KafkaDelivery) -> None:
        with pytest.raises(StoreUnavailableError, match="is away"):
            await delivery.deliver([RECORD])
        assert (broker.queued, checks) == ([], [])
        broker.up = True
        await until(lambda: delivery.available)
        assert checks == [True]
        await delivery.deliver([RECORD])

    run(broker, act, lambda: checks.append(True))


def test_a_log_that_does_not_fit_or_answer_is_not_written_to() -> None:
    broker, attempts = Broker(), []

    def check() -> None:
        attempts.append(True)
        if len(attempts) < 4:
            raise (TimeoutError, LogMismatchError, StoreUnavailableError)[len(attempts) - 1]("not yet")

    async def act(delivery: KafkaDelivery) -> None:
        await delivery.deliver([RECORD])

    run(broker, act, check)
    assert len(attempts) == 4


def test_silence_is_not_waited_for_for_ever() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        broker.answers = False
        with pytest.raises(StoreUnavailableError, match="Timed out"):
            await delivery.deliver([RECORD])
        broker.answers = True

    run(broker, act)


def test_a_producer_that_is_beyond_help_is_replaced() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        broker.answers = False
        waiting = asyncio.create_task(delivery.deliver([RECORD]))
        await until(lambda: len(broker.queued) == 1)
        broker.refusal = KafkaException(KafkaError(KafkaError._FATAL, "fenced", True))
        with pytest.raises(StoreUnavailableError):
            await delivery.deliver([RECORD])
        broker.refusal = None
        with pytest.raises(StoreUnavailableError):  # what the broken one had has failed
            await waiting
        await until(lambda: delivery.available)
        await delivery.deliver([RECORD])
        assert broker.producers == 2

    run(broker, act)


def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    broker = Broker()

    async def act(delivery: KafkaDelivery) -> None:
        broker.answers = False
        call = asyncio.create_task(delivery.deliver([RECORD]))
        await until(lambda: len(broker.queued) == 1)
        call.cancel()
        broker.answers = True
        await until(lambda: delivery.bytes_in_flight == 0)

    run(broker, act)
