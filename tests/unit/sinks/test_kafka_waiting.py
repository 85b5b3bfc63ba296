"""A writer to Kafka that waits says so, so that a process that is asked to stop need not wait for it."""

from contracts.outages import stores_waited_for
from sinks.kafka import KafkaWriter, Record


class Producer:
    """One that still holds so many records after each try, and notes what was waited for meanwhile."""

    def __init__(self, *left: int):
        self._left = list(left)
        self.waited: list[list[str]] = []

    def flush(self, _seconds: float) -> int:
        self.waited.append(stores_waited_for())
        return self._left.pop(0)


def waited(*left: int) -> list[list[str]]:
    producer = Producer(*left)
    KafkaWriter[bytes](producer, "t", lambda value: Record(None, value)).flush()  # type: ignore[arg-type]
    return producer.waited


def test_a_broker_that_takes_its_time_is_not_waited_for() -> None:
    assert waited(0) == [[]]
    assert waited(5, 3, 1, 0) == [[]] * 4


def test_a_broker_that_takes_nothing_is() -> None:
    assert waited(5, 5, 5, 0) == [[], [], ["Kafka"], ["Kafka"]]
    assert stores_waited_for() == []


class FullProducer:
    """One whose queue is full until it has been polled so many times."""

    def __init__(self, polls: int):
        self._polls = polls
        self.produced: list[bytes] = []
        self.waited: list[list[str]] = []

    def produce(self, _topic: str, value: bytes, **_: object) -> None:
        if len(self.waited) < self._polls:
            raise BufferError
        self.produced.append(value)

    def poll(self, _seconds: float) -> None:
        if not self.produced:
            self.waited.append(stores_waited_for())


def test_a_full_queue_is_waited_for_and_nothing_is_dropped() -> None:
    """A worker that waits here is not ended as one that hangs."""
    producer = FullProducer(3)
    KafkaWriter[bytes](producer, "t", lambda value: Record(None, value)).write([b"a", b"b"])  # type: ignore[arg-type]
    assert producer.produced == [b"a", b"b"]
    assert producer.waited == [["Kafka"]] * 3
    assert stores_waited_for() == []
