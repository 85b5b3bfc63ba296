"""The status fits a terminal of 80 columns, tells events from ticks, and says what is unknown."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from contracts.topics import ALL_TOPICS, INPUT_TOPICS
from crmstream.commands.status_view import show_status
from crmstream.observe.lanes import LaneView
from crmstream.observe.parts import Part
from crmstream.observe.status import Status, TopicState
from crmstream.observe.warehouse import Counts, NoteCount, Reason

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
INPUTS = [topic.name for topic in INPUT_TOPICS]


def shown(status: Status, width: int = 80) -> str:
    text = StringIO()
    show_status(Console(file=text, width=width), status)
    return text.getvalue()


def status(waiting: tuple[int, int] | None = (3, 1), lag: int = 4, counts: Counts | None = None) -> Status:
    events, ticks = waiting or (None, None)
    rest = [TopicState(topic.name, 5, None, None) for topic in ALL_TOPICS if topic.name not in INPUTS]
    quiet = [TopicState(name, 16, 16, 0, 0, events and 0, ticks and 0) for name in INPUTS[1:]]
    busy = TopicState(INPUTS[0], 123_456_789, 123_456_785, lag, 123_400_000, events, ticks)
    kafka = Part("Kafka", True, "1 broker at h:1")
    return Status([kafka], [busy, *quiet, *rest], NOON, NOON, NOON, 12.0, counts or Counts())


def test_no_line_is_wider_than_80_columns_and_topics_are_whole() -> None:
    text = "properties.a_rather_long_name_of_a_field: " + "is not in the plan " * 3
    reasons = tuple(Reason(text, count) for count in (9, 4, 1))
    counts = Counts(123_456_789, 23_456_789, {}, 12_345_678, 1_234_567, reasons)
    text = shown(status(counts=counts))
    assert max(map(len, text.splitlines())) <= 80
    for topic in ALL_TOPICS:
        (line,) = [line for line in text.splitlines() if line.startswith(topic.name)]
        assert len(line.split()) > 4
    assert "1,234,567 in the last 24 hours, 12,345,678 in all" in text.replace("\n", " ")
    assert "crmstream dead-letters list" in text.replace("\n", " ")


def test_events_and_ticks_that_wait_are_told_apart() -> None:
    assert "Waiting: 3 events and 1 tick " in shown(status())
    assert "Waiting: 1 event and 2 ticks " in shown(status((1, 2), 3))
    assert "Waiting: nothing" in shown(status((0, 0), 0))


def test_of_many_waiting_records_only_the_sum_is_known() -> None:
    text = shown(status(None, 50_000))
    assert "Waiting: 50,000 records" in text
    assert "≤50,000" in text


def test_unknown_figures_are_left_out() -> None:
    text = shown(Status([Part("Kafka", False, "does not answer")], [], None, None, None, None))
    assert "down" in text
    assert not {"Waiting", "Customers", "Dead", "clock"} & set(text.replace(":", " ").split())


def test_notes_on_events_are_counted_by_source() -> None:
    note = NoteCount("web-shop", "name: resembles Order Completed", 1_234)
    text = shown(status(counts=Counts(notes=(note,))))
    assert "  1,234 × web-shop: name: resembles Order Completed" in text
    assert "Notes" not in shown(status())


def test_what_a_large_table_holds_is_shown_as_an_upper_bound() -> None:
    (exact, bound) = (TopicState(INPUTS[0], 9, 9, 0, 2_999, 0, 0, large) for large in (False, True))
    assert "  2,999  " in shown(replace(status(), topics=[exact]))
    assert "  ≤2,999  " in shown(replace(status(), topics=[bound]))


def test_lanes_say_what_they_wait_for_and_paused_topics_what_to_do() -> None:
    lanes = (LaneView(0, 0, NOON, 4, 11, 14_400.0), LaneView(11, 1, NOON, 123_456_789, paused=(INPUTS[0],)))
    text = shown(replace(status(), lanes=lanes))
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert "waits for lane 11" in words
    assert "2026-05-01 12:00:00" in words
    assert f"crmstream dead-letters resume --topic {INPUTS[0]}" in words


def test_of_many_lanes_those_that_wait_are_shown() -> None:
    lanes = [LaneView(number, 0, NOON, 0) for number in range(40)]
    lanes[33] = replace(lanes[33], waits_for=39)
    text = shown(replace(status(), lanes=tuple(lanes)))
    assert any(line.split()[:1] == ["39"] for line in text.splitlines()), "the lane that another waits for"
    assert "waits for lane 39" in text
    assert "32 more lanes" in text
