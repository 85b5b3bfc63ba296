"""Lanes whose log has lost its beginning read it from the warehouse, then go on in Kafka: no gap, nothing twice."""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.consumer import FakeConsumer, Place
from support.past import Facts, Warehouse
from support.records import DAY, NOW, POLICY, Record, event

from contracts.blocks import LaneBatch
from contracts.errors import LogMismatchError
from contracts.events import TICK_KEY
from contracts.topics import INPUT_TOPICS, SERVICE_EVENTS, TOPIC_OF_KIND, TRANSACTIONS, WEB_EVENTS
from streams.read import warehouse
from streams.read.clock import TopicClock
from streams.read.config import SourceConfig
from streams.read.consumer import Bound, SharedConsumer
from streams.read.decode import decode
from streams.read.lane import LanePolicy
from streams.read.source import LaneReader

WEB: Place = (WEB_EVENTS.name, 0)
ORDERS: Place = (TRANSACTIONS.name, 0)
READING = LanePolicy(step=7 * DAY, epoch_allowance=3 * DAY, max_batch=20)
ENTERED_MS = int((NOW + timedelta(days=90)).timestamp() * 1_000)


def tick(days: float) -> Record:
    time = (NOW + timedelta(days=days)).isoformat()
    body = json.dumps({"kind": "tick", "occurred_at": time, "source": "t"}).encode()
    return Record(body, record_key=TICK_KEY, entered_ms=ENTERED_MS)


def happening(kind: str, name: str, number: int, days: float) -> Record:
    time = (NOW + timedelta(days=days)).isoformat()
    body = event(kind, name, event_id=f"{kind}-{number}", occurred_at=time, received_at=time)
    return Record(json.dumps(body).encode(), entered_ms=ENTERED_MS)


def whole_log() -> dict[Place, list[Record]]:
    """Sixty days of visits, some of them late, and of orders; ticks only in the other topics."""
    visits = [happening("web", "Page Viewed", at, at / 4 - 3 * (at % 7 == 0)) for at in range(240)]
    orders = [happening("transaction", "Order Cancelled Later", at, at * 1.5) for at in range(40)]
    ticks = [tick(days) for days in range(0, 61, 5)]
    return {(topic.name, 0): [tick(0), *ticks] for topic in INPUT_TOPICS} | {
        WEB: [tick(0), *visits, tick(60)], ORDERS: [tick(0), *orders, tick(60)],
    }  # fmt: skip


def warehouse_of(log: Mapping[Place, list[Record]]) -> Warehouse:
    found = {}
    for kind, topic in TOPIC_OF_KIND.items():
        records = log[topic.name, 0]
        for at, record in enumerate(records):
            record.at = at
        found[topic.name] = Facts([decode(records, topic, 0, TopicClock(), POLICY)], kind)
    return Warehouse(found)


class Moving:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def reader(fake: FakeConsumer, resume: Mapping[str, Any] | None = None, **changes: Any) -> LaneReader:
    config = SourceConfig("", POLICY, READING, live_backlog_events=10, stopping=lambda: False, **changes)
    return LaneReader(0, config, SharedConsumer(fake, Bound(), Moving()), resume)


def drain(lane: LaneReader, rounds: int = 300) -> list[LaneBatch]:
    """Read through, with a snapshot every third call: a lane waits for the next epoch where it has read enough."""
    found = []
    for at in range(rounds):
        found += lane.next_batch()
        if at % 3 == 2:
            lane.snapshot()
    return found


def events(batches: Iterable[LaneBatch]) -> list[tuple[int, int, bool]]:
    """All events, in an order of their own: topics may interleave in any way."""
    parts = [batch.people.events for batch in batches if len(batch.people)]
    return sorted(np.concatenate(parts)[["id_hash", "slot", "late"]].tolist())


def cut(log: Mapping[Place, list[Record]], lows: Mapping[Place, int]) -> FakeConsumer:
    return FakeConsumer({place: records[lows[place]:] for place, records in log.items()}, first=dict(lows))


ENDS = {(topic.name, 0): 14 for topic in INPUT_TOPICS} | {WEB: 242, ORDERS: 42}
LOWS = st.fixed_dictionaries({(topic.name, 0): st.integers(0, 14) for topic in INPUT_TOPICS} | {
    WEB: st.integers(0, 242), ORDERS: st.integers(0, 42),
})  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(LOWS, st.integers(0, 60))
@example(ENDS, 0)
def test_wherever_the_log_begins_and_a_run_is_stopped_all_is_read_once(lows: dict[Place, int], stop: int) -> None:
    log = whole_log()
    past = warehouse_of(log)
    expected = drain(reader(FakeConsumer(whole_log())))
    with patch.object(warehouse, "BLOCK_ROWS", 16):
        first = reader(cut(log, lows), past=past)
        found = [batch for at in range(stop) for batch in first.next_batch()]
        found += drain(reader(cut(log, lows), first.snapshot(), past=past))
    assert events(found) == events(expected)
    assert found[-1].progress[1:3] == expected[-1].progress[1:3]
    lost = sum(lows.values())
    facts = [rows for batch in found for rows in batch.facts]
    assert sum(map(len, facts)) + lost >= 280, "what Kafka gives is written as facts"
    offsets = {offset for rows in facts if rows.table == "web_events"
               for offset in rows.render([]).column("log_offset").to_pylist()}  # fmt: skip
    assert not offsets & set(range(lows[WEB])), "what the warehouse gives is not"


def test_a_lane_that_waits_for_its_next_epoch_goes_on_without_messages_from_kafka() -> None:
    log = {
        (topic.name, 0): [happening(kind, "Odd", at, at / 4) for at in range(200)]
        for kind, topic in TOPIC_OF_KIND.items()
    }
    expected = drain(reader(FakeConsumer({place: list(each) for place, each in log.items()})))
    found = drain(reader(cut(log, dict.fromkeys(log, 200)), past=warehouse_of(log)))
    assert len(events(found)) == 800
    assert events(found) == events(expected)


def test_a_log_that_loses_more_while_it_is_read_is_followed() -> None:
    log = whole_log()
    lows = dict.fromkeys(log, 0) | {WEB: 50}
    fake = cut(log, lows)
    lane = reader(fake, past=warehouse_of(log))
    found = [batch for _ in range(2) for batch in lane.next_batch()]
    fake.first[WEB], fake.logs[WEB] = 120, log[WEB][120:]
    found += drain(lane)
    assert events(found) == events(drain(reader(FakeConsumer(whole_log()))))


def test_what_neither_has_is_an_error() -> None:
    """The log lost records that no run had read: the warehouse ends before it begins."""
    log = whole_log()
    past = warehouse_of(log)
    past._end = 100
    with pytest.raises(LogMismatchError, match=r"up to offset 100, but Kafka now begins at 150.*--from-warehouse"):
        reader(cut(log, dict.fromkeys(log, 0) | {WEB: 150}), past=past)


def test_a_log_that_loses_what_was_not_stored_while_it_is_read_is_an_error() -> None:
    log = whole_log()
    past = warehouse_of(log)
    past._end = 100
    lows = dict.fromkeys(log, 0) | {WEB: 90}
    fake = cut(log, lows)
    lane = reader(fake, past=past)
    fake.first[WEB], fake.logs[WEB] = 120, log[WEB][120:]
    with pytest.raises(LogMismatchError, match=r"up to offset 100, but Kafka now begins at 120"):
        drain(lane)


@pytest.mark.parametrize("stop", [3, 30, 200])
def test_a_topic_that_came_later_is_read_from_the_start_of_its_log(stop: int) -> None:
    """No rebuild knows of it, so nothing of it is in ClickHouse only."""
    log = whole_log()
    past = warehouse_of(log)
    past.later = {ORDERS[0]}
    lows = dict.fromkeys(log, 0) | {ORDERS: 5, WEB: 50}
    first = reader(cut(log, lows), past=past)
    found = [batch for _ in range(stop) for batch in first.next_batch()]
    found += drain(reader(cut(log, lows), first.snapshot(), past=past))
    expected = {ident for ident, *_ in events(drain(reader(FakeConsumer(whole_log()))))}
    assert len(expected - {ident for ident, *_ in events(found)}) == 4, "the orders before the start of their log"


def test_after_a_rebuild_a_truncated_log_is_an_error_as_ever() -> None:
    log = whole_log()
    past = warehouse_of(log)
    past._end = 13
    lane = reader(cut(log, dict.fromkeys(log, 0)), past=past)
    drain(lane, 9)
    saved = lane.snapshot()
    assert saved["topics"][SERVICE_EVENTS.name]["offset"] >= 13
    with pytest.raises(LogMismatchError, match="crmstream rebuild --from-warehouse"):
        reader(cut(log, dict.fromkeys(log, 0) | {WEB: 241}), saved, past=past)
