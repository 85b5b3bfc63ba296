"""How far the tails of partitions are read, over logs in memory."""

from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.kafka import tail
from connectors.kafka.publisher import tick_body
from connectors.kafka.tail import LOOK_BACK, MOST_LOOK_BACK, Place, TailReader
from contracts.events import TICK_KEY

AT = 1_700_000_000
ONE, OTHER, EMPTY = ("crm-web-events", 0), ("crm-web-events", 1), ("crm-identities", 0)
BROKEN = (b"c", b"broken")
TICK = (TICK_KEY, tick_body(AT * 1_000_000, "heartbeat"))
NOTE = (TICK_KEY, tick_body(0, "replay", "open"))


@dataclass
class Message:
    place: Place
    at: int
    record: tuple[bytes, bytes] | None

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return None if self.record is None else self.record[0]

    def value(self) -> bytes | None:
        return None if self.record is None else self.record[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, AT * 1_000

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self.record is None else None


@dataclass
class Log:
    """Stands for the client: it gives what lies from the assigned offsets on, and then the ends."""

    logs: dict[Place, list[tuple[bytes, bytes]]]
    endless: set[Place] = field(default_factory=set)
    stuck: set[Place] = field(default_factory=set)
    looks: list[dict[Place, int]] = field(default_factory=list)
    left: list[Message] = field(default_factory=list)

    def assign(self, places: list[TopicPartition]) -> None:
        self.looks.append({(each.topic, each.partition): len(self.logs[each.topic, each.partition]) - each.offset
                           for each in places})  # fmt: skip
        self.left = []
        for each in places:
            place = (each.topic, each.partition)
            if place not in self.stuck:
                log = self.logs[place]
                self.left += [Message(place, at, log[at]) for at in range(each.offset, len(log))]
                self.left.append(Message(place, len(log), None))

    def consume(self, most: int, _seconds: float) -> list[Message]:
        found, self.left = self.left[:most], self.left[most:]
        return found or [Message(place, len(self.logs[place]), BROKEN) for place in self.endless]

    def unassign(self) -> None:
        self.left = []

    def close(self) -> None:
        pass


def reader(log: Log, monkeypatch: pytest.MonkeyPatch) -> TailReader:
    monkeypatch.setattr(tail, "Consumer", lambda _settings: log)
    return TailReader({}, partitions=2)


def ends(log: Log) -> dict[Place, int]:
    return {place: len(records) for place, records in log.logs.items()}


def test_a_clock_behind_invalid_records_is_found_and_other_partitions_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log({ONE: [TICK, *[BROKEN] * 1_500], OTHER: [BROKEN] * 20 + [TICK], EMPTY: []})
    one, other, empty = reader(log, monkeypatch).read(ends(log))
    assert (one.clock_us, other.clock_us, empty.clock_us) == (AT * 1_000_000, AT * 1_000_000, None)
    assert (one.invalid, other.invalid) == (1_500, LOOK_BACK - 1)
    assert [sorted(look) for look in log.looks] == [sorted(log.logs), [ONE], [ONE]]
    assert log.looks[-1][ONE] == 1_501


def test_a_partition_whose_clock_is_known_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log({ONE: [TICK, *[BROKEN] * 300], OTHER: [TICK, *[NOTE] * 300]})
    states = reader(log, monkeypatch).read(ends(log), known={ONE, OTHER})
    assert [state.clock_us for state in states] == [None, None]
    assert states[1].intent == (AT * 1_000_000, True)
    assert [set(look.values()) for look in log.looks] == [{LOOK_BACK}]


def test_a_look_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log({ONE: [TICK, *[BROKEN] * MOST_LOOK_BACK]})
    assert reader(log, monkeypatch).read(ends(log))[0].clock_us is None
    assert [look[ONE] for look in log.looks] == [LOOK_BACK, 128, 2_048, MOST_LOOK_BACK]


def test_a_partition_that_does_not_answer_is_an_error_though_others_never_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_TIMEOUT_SECONDS", 0.05)
    log = Log({ONE: [TICK], OTHER: [TICK]}, endless={ONE}, stuck={OTHER})
    with pytest.raises(KafkaException):
        reader(log, monkeypatch).read(ends(log))
