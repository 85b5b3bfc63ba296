"""Reading positions takes as long as it must while it goes on, and tells when it does not."""

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from connectors.kafka import positions
from connectors.kafka.topics import new_topic
from contracts.errors import StoreUnavailableError
from contracts.topics import POSITIONS


class Message:
    """A record of a position, or the end of the log."""

    def __init__(self, offset: int, *, is_end: bool = False):
        self._offset = offset
        self._is_end = is_end

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._is_end else None

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"mine"

    def value(self) -> bytes:
        return f'{{"at":{self._offset}}}'.encode()


class SlowConsumer:
    """Gives a record each time it is asked, while seconds pass; then the end, or nothing any more."""

    def __init__(self, records: int, clock: list[float], *, ends: bool):
        self._left = [Message(number) for number in range(records)] + [Message(records, is_end=True)] * ends
        self._clock = clock

    def assign(self, _places: object) -> None:
        pass

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        self._clock[0] += positions.TIMEOUT_SECONDS / 2
        return [self._left.pop(0)] if self._left else []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("connectors.kafka.positions.time.monotonic", lambda: now[0])
    return now


def read(consumer: Any) -> positions.Position | None:
    return positions._newest(cast(Consumer, consumer), b"mine", 10)


def test_a_long_topic_is_read_to_its_end_however_long_that_takes(clock: list[float]) -> None:
    assert read(SlowConsumer(10, clock, ends=True)) == {"at": 9}


def test_a_topic_that_gives_nothing_any_more_is_not_waited_for_for_ever(clock: list[float]) -> None:
    with pytest.raises(KafkaException, match="no records in time"):
        read(SlowConsumer(10, clock, ends=False))


def test_an_answer_that_does_not_come_is_told_as_kafka_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_admin: object) -> int:
        raise TimeoutError

    monkeypatch.setattr(positions, "_end", late)
    with pytest.raises(StoreUnavailableError, match=r"nowhere:1 does not answer \(no answer in time\)"):
        positions.read_position("nowhere:1", "mine")


def test_what_is_read_whole_at_each_start_is_compacted_soon() -> None:
    config = new_topic(POSITIONS, 4, 1).config
    assert config["cleanup.policy"] == "compact"
    assert int(config["segment.bytes"]) <= 1 << 20
    assert int(config["segment.ms"]) <= 3_600_000
