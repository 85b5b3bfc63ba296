"""When an event happened: the sender's time, corrected by how wrong its clock is.

A sender says when the event was and when it sent it, both by its own clock. The difference is right even where the
clock is wrong, so the event was that long before it was received. But SDKs write the time of sending once for a batch,
and send the batch again after failures, which shifts every time: so the times of a trusted clock stand as they are.
Pure; moves no data.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

FURTHEST_AHEAD: Final = timedelta(hours=23)
"""An event that is further in the future gets the time at which it was received."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A number at least so great counts milliseconds since 1970 (from 1973 on), a smaller one seconds."""
_NUMBER: Final = re.compile(r"\d{9,13}(\.\d{1,9})?")
"""Seconds or milliseconds as a text. Fewer digits may be a date, more a date and time, of both of which some are read
as ISO 8601."""
_MAIL_DATE: Final = re.compile(r"([A-Z]{3}, ?)?\d{1,2} [A-Z]{3} \d{4} \d{2}:\d{2}(:\d{2})? [A-Z0-9+-]{1,5}")


class Moment(NamedTuple):
    """When an event happened, and what was wrong with the time that came with it, if anything."""

    occurred_at: datetime
    problem: str | None = None


def read_time(value: object) -> datetime | None:
    """Read ISO 8601, seconds or milliseconds since 1970 (as a number or a text), or a date as e-mails have it.

    None if it is none of them. A time without a zone is UTC.
    """
    try:
        match value:
            case str():
                return _in_text(value.strip().upper())
            case datetime():
                return value
            case bool():
                return None
            case int() | float():
                return _counted(value)
    except (ValueError, OverflowError):
        return None
    return None


def _in_text(text: str) -> datetime | None:
    if text.isascii() and _NUMBER.fullmatch(text):
        return _counted(float(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        if not _MAIL_DATE.fullmatch(text):
            return None
        moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _counted(value: float) -> datetime:
    seconds = value / 1_000 if abs(value) >= _MILLISECONDS_FROM else value
    return _EPOCH + timedelta(seconds=seconds)


def moment_of(said: object, sent: object, received_at: datetime, *, trusted: bool = False) -> Moment:
    """Return when an event happened, by the time that the sender gives it (``said``) and the time of sending.

    ``sent`` may be read already.
    ``trusted`` says that the sender's clock is right: its time stands, unless it lies in the future.
    """
    if said is None:
        return Moment(received_at)
    original = read_time(said)
    if original is None:
        return Moment(received_at, "unreadable")
    sent_at = None if trusted and original <= received_at else read_time(sent)
    try:
        occurred_at = original if sent_at is None else received_at - (sent_at - original)
    except OverflowError:
        return Moment(received_at, "unreadable")
    if occurred_at - received_at > FURTHEST_AHEAD:
        return Moment(received_at, "in the future")
    if occurred_at < _EPOCH:
        return Moment(received_at, "before 1970")
    return Moment(occurred_at)
