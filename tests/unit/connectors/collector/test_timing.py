"""When an event happened, whatever clocks say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.collector.timing import FURTHEST_AHEAD, moment_of, read_time

RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)
FIVE_AGO = datetime(2026, 11, 22, 11, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("2026-11-22T11:55:00Z", "2026-11-22T12:00:00Z"),  # a right clock
        ("2026-11-22T14:55:00Z", "2026-11-22T15:00:00Z"),  # three hours ahead
        ("2099-01-01T00:00:00Z", "2099-01-01T00:05:00Z"),  # years ahead
        ("1970-01-01T00:00:00Z", "1970-01-01T00:05:00Z"),  # never set
        ("2026-11-22T12:55:00+01:00", "2026-11-22T12:00:00"),  # zones; none is UTC
        (1795348500, 1795348800000),  # seconds, milliseconds
        ("1795348500", " 1795348800000 "),
        ("1795348500.0", "1795348800"),
        ("Sun, 22 Nov 2026 11:55:00 GMT", "22 Nov 2026 14:00:00 +0200"),
        ("20261122T115500Z", None),
        ("2026-11-22T11:55:00Z", None),
        ("2026-11-22T11:55:00Z", "yesterday"),
    ],
)
def test_the_time_between_happening_and_sending_is_what_counts(said: object, sent: object) -> None:
    assert moment_of(said, sent, RECEIVED) == (FIVE_AGO, None)


def test_without_a_time_it_is_when_it_came() -> None:
    assert moment_of(None, "2026-11-22T12:00:00Z", RECEIVED) == (RECEIVED, None)


@pytest.mark.parametrize(
    ("said", "sent", "problem"),
    [
        ("soon", None, "unreadable"),
        ("2026", None, "unreadable"),
        ("9" * 5_000, None, "unreadable"),
        ("Sun, 99 Nov 2026 11:55:00 GMT", None, "unreadable"),
        ("Sun, 22 Xxx 2026 11:55:00 GMT", None, "unreadable"),
        (True, None, "unreadable"),
        ({}, None, "unreadable"),
        (1e300, None, "unreadable"),
        ("0001-01-01T00:00:00+14:00", None, "unreadable"),
        ("0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "unreadable"),
        ("2099-01-01T00:00:00Z", None, "in the future"),
        ("2026-11-24T00:00:00Z", "2026-11-22T12:00:00Z", "in the future"),
        ("1969-12-31T00:00:00Z", None, "before 1970"),
    ],
)
def test_a_time_that_cannot_be_is_when_it_came_and_says_so(said: object, sent: object, problem: str) -> None:
    assert moment_of(said, sent, RECEIVED) == (RECEIVED, problem)


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    ahead = RECEIVED + timedelta(hours=22)
    assert moment_of(ahead.isoformat(), None, RECEIVED) == (ahead, None)


@given(st.text() | st.integers() | st.floats(), st.text() | st.floats() | st.datetimes().map(str))
def test_no_time_breaks_or_lies_outside(said: object, sent: object) -> None:
    occurred_at = moment_of(said, sent, RECEIVED).occurred_at
    assert datetime(1970, 1, 1, tzinfo=UTC) <= occurred_at <= RECEIVED + FURTHEST_AHEAD


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_times_are_read_back(moment: datetime) -> None:
    assert read_time(moment.isoformat()) == moment
    assert read_time(moment.isoformat().replace("+00:00", "z")) == moment


@pytest.mark.parametrize(
    "said",
    ["2026-11-22T11:55:00Z", "2020-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:55:00+01:00"],
)
def test_the_time_of_a_trusted_clock_stands_however_long_it_took_to_send(said: str) -> None:
    for sent in (None, "2026-11-22T11:30:00Z", "2026-11-22T11:59:30Z"):
        moment = moment_of(said, sent, RECEIVED, trusted=True)
        assert moment == (datetime.fromisoformat(said), None)


def test_a_trusted_time_in_the_future_is_corrected_as_others_are() -> None:
    assert moment_of("2026-11-22T12:00:01Z", "2026-11-22T12:05:01Z", RECEIVED, trusted=True) == (FIVE_AGO, None)
    assert moment_of("2099-01-01T00:00:00Z", None, RECEIVED, trusted=True) == (RECEIVED, "in the future")


def test_a_time_that_was_read_already_is_taken() -> None:
    assert moment_of("2026-11-22T11:50:00Z", FIVE_AGO, RECEIVED) == (FIVE_AGO, None)
