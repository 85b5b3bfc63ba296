"""Lanes over one consumer: progress, positions, ends of logs, from records in memory."""

import itertools
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st
from support.consumer import FakeConsumer, FakeMessage, Place
from support.records import DAY, NOW, POLICY, Record, event

from contracts.blocks import LaneBatch
from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.events import TICK_KEY
from contracts.rates import Rates
from contracts.topics import IDENTITIES, INPUT_TOPICS, TRANSACTIONS, WEB_EVENTS
from streams.read import start
from streams.read.clock import TopicClock
from streams.read.config import SourceConfig
from streams.read.consumer import Bound, SharedConsumer
from streams.read.epoch_rest import PART
from streams.read.lane import MOST_BOUNDARIES, LanePolicy, LaneState, TopicPosition
from streams.read.source import LaneReader
from streams.read.validation import DecodePolicy

READING = LanePolicy(step=7 * DAY, epoch_allowance=90 * DAY, max_batch=100)
NOW_SLOT = int(NOW.timestamp() * 1e6) // DAY
WEB = (WEB_EVENTS.name, 0)


def config(**changes: Any) -> SourceConfig:
    return replace(SourceConfig("", POLICY, READING, live_backlog_events=10, stopping=lambda: False), **changes)


def tick(days: float = 0) -> Record:
    time = (NOW + timedelta(days=days)).isoformat()
    return Record(json.dumps({"kind": "tick", "occurred_at": time, "source": "t"}).encode(), record_key=TICK_KEY)


def visit(number: int, days: float = 0, **changes: Any) -> Record:
    time = (NOW + timedelta(days=days)).isoformat()
    return Record(json.dumps(event(event_id=f"e-{number}", occurred_at=time, received_at=time) | changes).encode())


def logs(*records: Record, first_day: float = 0) -> dict[Place, list[Record]]:
    """A web log with these records; every topic starts with a tick."""
    return {(topic.name, 0): [tick(first_day)] for topic in INPUT_TOPICS} | {WEB: [tick(first_day), *records]}


class Moving:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def reader(fake: FakeConsumer, resume: Mapping[str, Any] | None = None, **changes: Any) -> LaneReader:
    shared = SharedConsumer(fake, Bound(), Moving())
    return LaneReader(0, config(**changes), shared, resume)


def drain(lane: LaneReader, rounds: int = 12) -> list[LaneBatch]:
    return [batch for _ in range(rounds) for batch in lane.next_batch()]


def ids(batches: Iterable[LaneBatch]) -> list[str]:
    return [one for batch in batches for rows in batch.facts for one in rows.render([]).column("event_id").to_pylist()]


# What is emitted


def test_a_busy_lane_rests_at_the_end_of_an_epoch_if_other_workers_end_it_too() -> None:
    records = [visit(number) for number in range(5_000)]
    alone, one_of_two = (reader(FakeConsumer(logs(*records)), epoch_seconds=seconds) for seconds in (inf, 0.0))
    for lane in (alone, one_of_two):
        for _ in range(3):
            assert list(lane.next_batch())
            lane.snapshot()
            time.sleep(0.01)
        assert list(lane.next_batch())
    asked, awake = datetime.now(UTC), one_of_two.next_awake()
    assert alone.next_awake() is None
    assert awake is not None
    assert awake - asked >= timedelta(seconds=0.01 * PART)


def test_nothing_is_read_while_the_lane_is_held_and_then_all_is() -> None:
    held = [True]
    lane = reader(FakeConsumer(logs(visit(1), visit(2))), is_held=lambda: held[0])
    assert drain(lane) == []
    assert lane.next_awake() is None
    held[0] = False
    assert ids(drain(lane)) == ["e-1", "e-2"]


def test_all_that_the_log_holds_is_read_and_then_nothing_is_emitted() -> None:
    lane = reader(FakeConsumer(logs(visit(1), visit(2))))
    batches = drain(lane)
    assert ids(batches) == ["e-1", "e-2"]
    assert batches[-1].progress == (0, NOW_SLOT, NOW_SLOT, True, False)
    assert drain(lane) == []
    assert lane.next_awake() is not None


def test_a_batch_says_whether_anything_turned() -> None:
    fake = FakeConsumer(logs(visit(1)))
    lane = reader(fake)
    drain(lane)
    fake.logs[WEB] += [visit(2)]
    assert [batch.turned for batch in drain(lane)] == [False]
    for log in fake.logs.values():
        log.append(tick(1))
    assert [(batch.turned, batch.progress.slot) for batch in drain(lane)] == [(True, NOW_SLOT + 1)]


def test_ticks_within_a_slot_emit_nothing() -> None:
    fake = FakeConsumer(logs(visit(1)))
    lane = reader(fake)
    drain(lane)
    for log in fake.logs.values():
        log.append(tick(0.1))
    assert drain(lane) == []
    assert lane._state.clock == int((NOW + timedelta(days=0.1)).timestamp() * 1e6)


def test_a_jump_is_announced_in_parts_before_more_is_read() -> None:
    fake = FakeConsumer({
        place: [*log, tick(0)] for place, log in logs(first_day=-2 * MOST_BOUNDARIES - 3).items()
    })  # fmt: skip
    fake.logs[WEB].append(visit(1))
    batches = drain(reader(fake, reading=LanePolicy(1_000 * DAY, 1_000 * DAY, 100)))
    slots = [batch.progress.slot or 0 for batch in batches]
    assert slots == sorted(slots)
    assert all(later - slot <= MOST_BOUNDARIES for slot, later in itertools.pairwise(slots))
    assert slots[-1] == NOW_SLOT
    assert [batch.progress.fresh for batch in batches] == [slot == NOW_SLOT for slot in slots]


def test_a_lane_is_fresh_when_little_waits() -> None:
    fake = FakeConsumer(logs(*(visit(number) for number in range(300))))
    batches = drain(reader(fake))
    assert len(ids(batches)) == 300
    fresh = [batch.progress.fresh for batch in batches]
    assert (fresh[0], fresh[-1], fresh) == (False, True, sorted(fresh))


# What an earlier run may have published


def test_the_log_behind_the_start_is_guarded() -> None:
    """After a resume; a first run has published nothing."""
    records = [visit(number) for number in range(150)]
    first = reader(FakeConsumer(logs(*records)))
    saved = first.snapshot()
    assert not any(batch.progress.guarded for batch in drain(first))
    fake = FakeConsumer(logs(*records))
    lane = reader(fake, saved)
    fake.logs[WEB] += [visit(number) for number in range(150, 160)]
    batches = drain(lane)
    assert batches[0].progress.guarded
    assert not batches[-1].progress.guarded
    through = [batch.progress.guarded for batch in batches]
    assert through == sorted(through, reverse=True)


def test_a_first_run_is_not_guarded() -> None:
    fake = FakeConsumer(logs(*(visit(number) for number in range(150))))
    assert not any(batch.progress.guarded for batch in drain(reader(fake)))


def test_a_lane_with_nothing_behind_it_is_not_guarded() -> None:
    fake = FakeConsumer(logs(visit(1)))
    lane = reader(fake)
    drain(lane)
    again = reader(FakeConsumer(fake.logs), lane.snapshot())
    assert not any(batch.progress.guarded for batch in drain(again))
    assert not again._is_guarded()


def test_a_log_that_ends_in_records_for_kafka_alone_is_read_to_its_end() -> None:
    fake = FakeConsumer(logs(visit(1)), hidden={WEB: 3})
    lane = reader(fake)
    assert drain(lane)[-1].progress == (0, NOW_SLOT, NOW_SLOT, True, False)
    assert lane.snapshot()["topics"][WEB_EVENTS.name]["offset"] == 5


# Positions


def test_positions_are_those_of_decoded_messages() -> None:
    """The web topic is ahead by more than a step: its second batch waits in its buffer."""
    ahead = [visit(number, days=number) for number in range(1, 40)]
    fake = FakeConsumer(logs(*ahead))
    fake.logs[TRANSACTIONS.name, 0] += [
        Record(json.dumps(event("transaction", "Gift", event_id=f"g-{number}")).encode()) for number in range(300)
    ]
    lane = reader(fake, reading=LanePolicy(step=2 * DAY, epoch_allowance=90 * DAY, max_batch=10))
    lane.next_batch()
    lane.next_batch()
    offset = lane.snapshot()["topics"][WEB_EVENTS.name]["offset"]
    assert offset < fake.at[WEB] == 40
    assert lane._consumer.held(WEB_EVENTS.name, 0) >= 40 - offset


@given(stop=st.integers(1, 12), count=st.integers(0, 60))
def test_a_resumed_lane_goes_on_where_the_snapshot_was(stop: int, count: int) -> None:
    records = [visit(number, days=number / 4) for number in range(count)]
    whole = ids(drain(reader(FakeConsumer(logs(*records))), 40))
    fake = FakeConsumer(logs(*records))
    small = LanePolicy(step=DAY, epoch_allowance=90 * DAY, max_batch=7)
    lane = reader(fake, reading=small)
    before = drain(lane, stop)
    saved = lane.snapshot()
    drain(lane, 3)  # what comes after the snapshot is read again
    after = drain(reader(FakeConsumer(fake.logs), saved, reading=small), 80)
    assert ids(before) + ids(after) == whole


def test_the_end_of_an_epoch_is_told() -> None:
    told: list[str] = []
    lane = reader(FakeConsumer(logs(visit(1))), on_epoch_end=lambda live: told.append("end" if live else "catching up"))
    drain(lane)
    assert told == []
    lane.snapshot()
    assert told == ["end"]


def test_a_position_is_committed_as_soon_as_its_epoch_has_completed_with_one_call() -> None:
    fake = FakeConsumer(logs(visit(1), visit(2)))
    lane = reader(fake)
    drain(lane)
    lane.snapshot()
    assert fake.committed == []
    fake.logs[WEB] += [visit(3)]
    lane.next_batch()  # only now the epoch has completed
    assert [{name: offset for name, _, offset in call} for call in fake.committed] == [
        {WEB_EVENTS.name: 3, TRANSACTIONS.name: 1, IDENTITIES.name: 1, "crm-service-events": 1}
    ]


def test_stopping_ends_the_lane() -> None:
    with pytest.raises(StopIteration):
        reader(FakeConsumer(logs()), stopping=lambda: True).next_batch()


def test_currencies_are_reported_while_the_base_currency_is_open() -> None:
    money = event("transaction", "Order Completed", properties={"total": 5, "currency": "CHF"})
    fake = FakeConsumer(logs())
    fake.logs[TRANSACTIONS.name, 0].append(Record(json.dumps(money).encode()))
    said: list[str] = []
    drain(reader(fake, on_money=said.append, decoding=DecodePolicy(DAY, 1, 4, Rates(None))))
    assert "CHF" in said


# Logs that are other ones


@pytest.mark.parametrize("offset", [1, 9])
def test_a_log_without_the_position_is_refused(offset: int) -> None:
    positions = {topic.name: TopicPosition(offset, TopicClock()) for topic in INPUT_TOPICS}
    fake = FakeConsumer(logs(), first={(topic.name, 0): 3 for topic in INPUT_TOPICS})
    with pytest.raises(LogMismatchError, match="stopped at offset"):
        reader(fake, LaneState("cluster", positions).to_plain())


def test_the_log_of_another_cluster_is_refused() -> None:
    positions = {topic.name: TopicPosition(0, TopicClock()) for topic in INPUT_TOPICS}
    with pytest.raises(LogMismatchError, match="Ways on"):
        reader(FakeConsumer(logs()), LaneState("another", positions).to_plain())


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE])
def test_a_log_that_is_truncated_under_the_reader_ends_it(code: int) -> None:
    fake = FakeConsumer(logs())
    lane = reader(fake)
    fake.notices = [FakeMessage(None, 0, None, 0, (), *WEB, KafkaError(code))]
    with pytest.raises(LogMismatchError, match="no longer holds"):
        drain(lane)


def test_other_notices_are_logged_at_most(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeConsumer(logs(visit(1)))
    lane = reader(fake)
    fake.notices = [FakeMessage(None, 0, None, 0, (), *WEB, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))]
    with caplog.at_level(logging.WARNING):
        assert ids(drain(lane)) == ["e-1"]
    assert len(caplog.records) == 1


# Starting while no broker answers


class AwayConsumer(FakeConsumer):
    """Raises these errors, one per question, before it answers."""

    def __init__(self, *codes: int):
        super().__init__(logs())
        self.codes = list(codes)

    def list_topics(self, timeout: float) -> Any:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return super().list_topics(timeout)


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
def test_a_broker_that_hangs_is_waited_for_with_one_warning(
    code: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.read.start.AGAIN_SECONDS", 0.001)
    with caplog.at_level(logging.WARNING):
        lane = reader(AwayConsumer(code, code, code))
    assert drain(lane)
    told = [record.levelname for record in caplog.records if record.name == start.__name__]
    assert told == ["WARNING"]


def test_a_reader_that_is_asked_to_stop_waits_no_more() -> None:
    with pytest.raises(StoreUnavailableError, match="Kafka does not answer"):
        reader(AwayConsumer(KafkaError._TIMED_OUT), stopping=lambda: True)


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_what_does_not_pass_by_itself_is_an_error(code: int) -> None:
    with pytest.raises(StoreUnavailableError):
        reader(AwayConsumer(code))
