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
