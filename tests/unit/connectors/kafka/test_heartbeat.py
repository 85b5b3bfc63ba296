"""What the heartbeat reads from the last records of a partition. No broker needed."""

import json
import logging
from collections.abc import Sequence
from functools import reduce
from threading import Event as StopEvent
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka import heartbeat
from connectors.kafka.at_work import Intent
from connectors.kafka.publisher import tick_body
from connectors.kafka.tail import after, joined
from connectors.kafka.tick_plan import PartitionState, TimePolicy, plan_ticks
from contracts.errors import StoreUnavailableError
from contracts.events import TICK_KEY
from contracts.refused import REFUSED_KEY
from contracts.settings import Settings

PLACE = ("crm-service-events", 1)
PARTITIONS = 2
HERE, ELSEWHERE = "c-3", "c-0"
"""Customers of partition 1, and of the other one."""
AT = 1_700_000_000


class FakeMessage:
    """What a consumer hands over."""

    def __init__(self, key: bytes, value: bytes | None, written: int = AT):
        self._key, self._value, self._written = key, value, written

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, self._written * 1_000


def event(
    occurred: str, received: str = "2023-11-14T22:13:20Z", written: int = AT, customer: str = HERE, key: bytes = b"c"
) -> FakeMessage:
    body = {
        "event_id": "e", "kind": "service", "name": "Ticket Opened", "customer_id": customer, "source": "s",
        "occurred_at": occurred, "received_at": received, "properties": {"ticket_id": "t"},
    }  # fmt: skip
    return FakeMessage(key, json.dumps(body).encode(), written)


def tick(at: int, source: str, written: int = AT) -> FakeMessage:
    return FakeMessage(TICK_KEY, tick_body(at * 1_000_000, source), written)


def state_of(messages: Sequence[FakeMessage]) -> PartitionState:
    return reduce(lambda state, message: after(state, message, PARTITIONS), messages, PartitionState(*PLACE))  # type: ignore[arg-type]


def read(*messages: FakeMessage) -> tuple[int | None, int | None, tuple[int, int] | None]:
    """Clock, when it last moved, and evidence, in seconds."""
    state = state_of(messages)
    seconds = [None if t is None else t // 1_000_000 for t in (state.clock_us, state.advanced_us)]
    evidence = state.evidence and (state.evidence[0] // 1_000_000, state.evidence[1] // 1_000_000)
    return seconds[0], seconds[1], evidence


def test_nothing_tells_nothing() -> None:
    assert read() == (None, None, None)


def test_an_event_moves_the_clock_and_is_evidence() -> None:
    assert read(event("2023-11-14T22:13:10Z")) == (AT - 10, AT, (AT, AT - 10))


def test_an_event_from_far_ahead_is_refused() -> None:
    assert read(event("2023-11-14T22:13:10Z"), event("2099-01-01T00:00:00Z", written=AT + 1)) == (
        AT - 10, AT, (AT, AT - 10),
    )  # fmt: skip


@pytest.mark.parametrize("ahead", [event("2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"), tick(4_070_908_800, "x")])
def test_what_claims_to_be_from_long_after_it_entered_kafka_has_no_time(ahead: FakeMessage) -> None:
    """Else the heartbeat would take all clocks there, and every event of today would be late."""
    assert read(event("2023-11-14T22:13:10Z"), ahead) == (AT - 10, AT, (AT, AT - 10))


def test_an_event_moves_the_clock_a_little_beyond_its_receipt_at_most() -> None:
    assert read(event("2023-11-15T20:00:00Z"))[0] == AT + 300


def test_invalid_records_do_not_move_the_clock() -> None:
    broken = [FakeMessage(b"c", b"{", AT + 1), FakeMessage(TICK_KEY, b"{}", AT + 2), FakeMessage(b"c", None, AT + 3)]
    records = [event("2023-11-14T22:13:10Z"), *broken]
    assert read(*records) == (AT - 10, AT, (AT, AT - 10))
    assert state_of([*records, tick(AT, "heartbeat")]).invalid == 3
    assert state_of([*records, event("2023-11-14T22:13:10Z")]).invalid == 0


@pytest.mark.parametrize("change", [{"key": REFUSED_KEY}, {"customer": ELSEWHERE}])
def test_what_a_connector_refused_or_stands_in_a_wrong_partition_is_invalid(change: dict[str, Any]) -> None:
    """The dataflow makes dead letters of both, so they move no clock there."""
    assert read(event("2023-11-14T22:13:10Z"), event("2023-11-14T22:13:15Z", written=AT + 1, **change))[0] == AT - 10


def test_old_events_do_not_move_the_clock() -> None:
    """The moment at which it moved last stays, however many come."""
    old = [event("2023-11-14T20:00:00Z", written=AT + number) for number in range(1, 9)]
    assert read(event("2023-11-14T22:13:10Z"), *old)[:2] == (AT - 10, AT)


def test_ticks_move_the_clock_and_only_live_heartbeats_are_evidence() -> None:
    assert read(tick(AT - 5, "replay")) == (AT - 5, AT, None)
    assert read(tick(AT - 5, "heartbeat")) == (AT - 5, AT, (AT, AT - 5))
    assert read(tick(AT - 90_000, "heartbeat")) == (AT - 90_000, AT, None)


def test_notes_of_publishers_move_no_clock_and_the_last_one_counts() -> None:
    intents: list[Intent] = ["open", "finished"]
    note = [FakeMessage(TICK_KEY, tick_body(0, "replay", intent), AT + n) for n, intent in enumerate(intents)]
    open_, finished = (state_of([tick(AT - 5, "replay"), *note[:n]]) for n in (1, 2))
    assert (open_.clock_us, open_.intent) == ((AT - 5) * 1_000_000, (AT * 1_000_000, True))
    assert finished.intent == ((AT + 1) * 1_000_000, False)
    assert finished.said_us == (AT + 1) * 1_000_000
    assert state_of(note).clock_us is None


def test_neither_ticks_of_a_heartbeat_nor_broken_records_break_the_silence() -> None:
    records = [event("2023-11-14T22:13:10Z"), tick(AT - 5, "heartbeat", AT + 9), FakeMessage(b"c", b"{", AT + 10)]
    assert state_of(records).said_us == AT * 1_000_000


def test_what_was_known_stays_known_though_all_last_records_are_older_or_invalid() -> None:
    """A history that is published anew into a live stream hides the stream's own records from the tail."""
    live = PartitionState(*PLACE, AT, AT + 1, (AT, AT), AT + 1, (AT, True))
    old = PartitionState(*PLACE, AT - 10, AT + 5, (AT + 5, AT - 10), AT + 5)
    assert joined(live, old) == PartitionState(*PLACE, AT, AT + 1, (AT + 5, AT - 10), AT + 5, (AT, True))
    assert joined(old, live) == joined(live, old)
    assert joined(live, PartitionState(*PLACE)) == live


LIVE = TimePolicy("live", 2_000_000, 86_400_000_000, 60_000_000, 730 * 86_400_000_000)


@pytest.mark.parametrize("what", ["broken", "refused", "misplaced", "old", "silent"])
def test_a_partition_whose_records_move_no_clock_is_ticked_like_a_silent_one(what: str) -> None:
    """One such record per second for two minutes: its clock is never more than 7 s behind, and ticked every 5 s."""
    bad = {
        "broken": lambda at: FakeMessage(b"c", b"{", at),
        "refused": lambda at: event("2023-11-14T22:13:15Z", written=at, key=REFUSED_KEY),
        "misplaced": lambda at: event("2023-11-14T22:13:15Z", written=at, customer=ELSEWHERE),
        "old": lambda at: event("2023-11-14T20:00:00Z", written=at),
    }  # fmt: skip
    log, state, ticks = [event("2023-11-14T22:13:20Z")], PartitionState(*PLACE), []
    for now in range(AT + 1, AT + 120):
        if what != "silent":
            log.append(bad[what](now))
        state = joined(state, state_of(log[-8:]))
        for _, _, time_us in plan_ticks([state], now * 1_000_000, LIVE):
            ticks.append(time_us // 1_000_000)
            log.append(tick(ticks[-1], "heartbeat", now))
        assert now - max([AT, *ticks]) < 2 + 6
    assert len(ticks) == pytest.approx(117 / 6, abs=1)


def test_the_clock_is_the_furthest_of_the_last_records() -> None:
    assert read(tick(AT, "replay"), event("2023-11-14T20:00:00Z"))[0] == AT


@pytest.mark.parametrize(
    "error", [KafkaException(KafkaError(KafkaError._TRANSPORT)), TimeoutError(), StoreUnavailableError("away")]
)
def test_a_broker_that_is_away_or_hangs_is_tried_again_and_told_once(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, calls = StopEvent(), []

    class Away:
        def __init__(self, *_: object) -> None:
            calls.append("connect")

        def once(self, _now: int) -> None:
            if len(calls) < 4:
                raise error
            stop.set()

        def close(self) -> None:
            calls.append("close")

    monkeypatch.setattr(heartbeat, "Heartbeat", Away)
    monkeypatch.setattr(heartbeat, "_POLL_SECONDS", 0.001)
    with caplog.at_level(logging.INFO):
        heartbeat.run(Settings(), "nowhere:1", stop)
    assert calls == ["connect", "close"] * 2 + ["connect", "close"][: len(calls) - 4]
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
