"""The order of events and ticks in a published history, and failures that are never silent."""

import json
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.at_work import Intent
from connectors.kafka.publisher import HOUR_US, Publisher, Summary, publish_history, tick_body
from connectors.protocol import Record
from contracts.errors import StoreUnavailableError
from contracts.events import Tick

DAY = 24 * HOUR_US


class Recorder(Publisher):
    """Writes down what would go to Kafka."""

    def __init__(self, sweep_hours: int = 24):
        super().__init__("nowhere:1", partitions=2, sweep_hours=sweep_hours)
        self.log: list[str] = []
        self.intents: list[Intent] = []

    def publish(self, record: Record) -> None:
        self.log.append("broken" if record.occurred_at is None else f"e{record.occurred_at / DAY:g}")

    def tick(self, time_us: int) -> None:
        self.log.append(f"T{time_us / DAY:g}")

    def say(self, intent: Intent) -> None:
        self.intents.append(intent)

    def remind(self) -> None:
        self.intents.append("open")


class Story:
    """A connector with events at the given days; None is a broken record."""

    def __init__(self, *days: float | None):
        self.days = days

    def records(self) -> Iterator[Record]:
        for day in self.days:
            yield Record("crm-transactions", b"c", b"{}", None if day is None else round(day * DAY))


def log_of(*days: float | None, until: float | None = None, sweep_hours: int = 24) -> str:
    recorder = Recorder(sweep_hours)
    publish_history(Story(*days), recorder, until=None if until is None else round(until * DAY))
    return " ".join(recorder.log)


@pytest.mark.parametrize(
    ("days", "until", "log"),
    [
        ((), None, ""),
        ((), 5, ""),
        ((1.5,), None, "T1 e1.5 T1.5"),
        ((1.5, 1.6, 2.5), None, "T1 e1.5 e1.6 T2 e2.5 T2.5"),
        ((1.5, 4.25), None, "T1 e1.5 T4 e4.25 T4.25"),
        ((1, 2), None, "T1 e1 T2 e2"),
        ((1.5,), 3.5, "T1 e1.5 T3 T3.5"),
        ((1.5,), 3, "T1 e1.5 T3"),
        ((1.5,), 1, "T1 e1.5 T1.5"),
        ((None, 1.5, None, 2.5), None, "broken T1 e1.5 broken T2 e2.5 T2.5"),
        ((2.5, 1.5, 3.5), None, "T2 e2.5 e1.5 T3 e3.5 T3.5"),
    ],
)
def test_ticks_stand_where_boundaries_are_crossed(
    days: tuple[float | None, ...], until: float | None, log: str
) -> None:
    assert log_of(*days, until=until) == log


def test_boundaries_follow_the_sweep_hours() -> None:
    assert log_of(1.3, 1.8, sweep_hours=12) == "T1 e1.3 T1.5 e1.8 T1.8"


@given(st.lists(st.floats(0, 40), min_size=1).map(sorted))
def test_no_event_stands_behind_a_tick_of_a_later_time(days: list[float]) -> None:
    clock = 0.0
    for item in log_of(*days).split():
        at = float(item[1:])
        if item[0] == "T":
            assert at >= clock
            clock = at
        else:
            assert at >= clock or at == pytest.approx(clock)
    assert clock == pytest.approx(days[-1], abs=1e-4)


def test_the_summary_counts() -> None:
    seen: list[Summary] = []
    summary = publish_history(Story(1.5, None, 2.5), Recorder(), on_progress=seen.append)
    assert (summary.events, summary.ticks) == (3, 3)
    assert (summary.first_us, summary.last_us) == (round(1.5 * DAY), round(2.5 * DAY))
    assert seen == [summary]


def test_the_rate_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("connectors.kafka.publisher.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("connectors.kafka.publisher.time.sleep", lambda s: clock.__setitem__(0, clock[0] + s))
    assert publish_history(Story(*[1.0] * 100), Recorder(), rate=50).seconds == pytest.approx(2)


def test_a_tick_is_one_by_the_contract() -> None:
    tick = Tick.model_validate_json(tick_body(1_500_000, "replay"))
    assert (tick.occurred_at.timestamp(), tick.source) == (1.5, "replay")
    assert json.loads(tick_body(0, "x"))["kind"] == "tick"


def test_a_failed_delivery_raises_at_the_next_call() -> None:
    publisher = Publisher("127.0.0.1:1", 1)
    record = Record("crm-transactions", b"c", b"{}", 0)
    publisher.publish(record)
    publisher._on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError, match="did not take a record"):
        publisher.publish(record)
    with pytest.raises(StoreUnavailableError):
        publisher.poll()


def test_kafka_that_is_away_fails_the_flush() -> None:
    publisher = Publisher("127.0.0.1:1", 1, delivery_timeout_seconds=0.5)
    publisher.publish(Record("crm-transactions", b"c", b"{}", 0))
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1"):
        publisher.flush()


def test_a_history_is_announced_and_ends_unless_more_follows() -> None:
    whole, part = Recorder(), Recorder()
    publish_history(Story(1.0), whole)
    publish_history(Story(1.0), part, more_follows=True)
    assert (whole.intents[0], whole.intents[-1]) == ("open", "finished")
    assert set(part.intents) == {"open"}


def test_a_note_is_a_tick_at_1970_and_a_plain_tick_has_no_note() -> None:
    note = Tick.model_validate_json(tick_body(0, "replay", "finished"))
    assert (note.occurred_at.year, note.history) == (1970, "finished")
    assert "history" not in json.loads(tick_body(5, "replay"))
