"""When an event happened: the sender's time, corrected by how wrong its clock is.

A sender says when the event was and when it sent it, both by its own clock; what lies between is true, so the event was
so long before it was received. Pure; moves no data.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

FURTHEST_AHEAD: Final = timedelta(hours=23)
"""An event that is further in the future gets the time at which it was received."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A number at least so great counts milliseconds since 1970 (from 1973 on), a smaller one seconds."""


class Moment(NamedTuple):
    """When an event happened, and what was wrong with the time that came with it, if anything."""

    occurred_at: datetime
    problem: str | None = None


def read_time(value: object) -> datetime | None:
    """Read ISO 8601, or seconds or milliseconds since 1970; None if it is neither. A time without a zone is UTC."""
    try:
        match value:
            case str():
                moment = datetime.fromisoformat(value.strip().upper())
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
            case bool():
                return None
            case int() | float():
                seconds = value / 1_000 if abs(value) >= _MILLISECONDS_FROM else value
                return _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
    return None


def moment_of(said: object, sent: object, received_at: datetime) -> Moment:
    """Tell when an event happened from the time that is ``said`` of it and the time at which it was ``sent``."""
    if said is None:
        return Moment(received_at)
    original = read_time(said)
    if original is None:
        return Moment(received_at, "unreadable")
    sent_at = read_time(sent)
    try:
        occurred_at = original if sent_at is None else received_at - (sent_at - original)
    except OverflowError:
        return Moment(received_at, "unreadable")
    if occurred_at - received_at > FURTHEST_AHEAD:
        return Moment(received_at, "in the future")
    if occurred_at < _EPOCH:
        return Moment(received_at, "before 1970")
    return Moment(occurred_at)
