"""Read single values of files: texts, numbers, money, booleans and times.

Pure. A value that does not fit raises :class:`BadValueError`, whose text never holds the value itself.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

Instant = tuple[int, str]
"""A time: microseconds since 1970 UTC, and the same in ISO 8601 with a Z."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
_EXACT_INTEGERS: Final = 2**53
_CACHED_TIMES: Final = 65_536
UNIX_US: Final = {"unix": 1_000_000, "unix_ms": 1_000, "unix_us": 1, "unix_days": 86_400_000_000}
"""Formats of times that count from 1970 UTC, and the microseconds in one unit of each."""
_TOLD: Final = {"iso": "ISO 8601, like 2024-05-31 or 2024-05-31T10:00:00Z"}


class BadValueError(Exception):
    """What is wrong with one value; it does not say which value."""


class UnreadableError(BadValueError):
    """A value that no mapping could read: its source did not send it, or it lies outside what events can hold."""


class NoValue:
    """Stands for a value that exists in the database but cannot be used here.

    ``problem`` says why, and what to do. ``text`` is the value as the database writes it, where it is known: keys and
    conditions go by it.
    """

    def __init__(self, problem: str, text: str | None = None):
        self.problem = problem
        self.text = text


def as_text(value: object) -> str:
    """Make text of a plain value, without the blanks around it; structures are refused."""
    match value:
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "surrogateescape").strip()
        case NoValue():
            raise UnreadableError(value.problem)
    raise BadValueError("is a structure, not a plain value")


def number_parser(decimal: str) -> Callable[[str], float]:
    """Make a reader of numbers whose decimal sign is ``decimal``; thousands separators are refused."""

    def parse(text: str) -> float:
        if decimal != ".":
            if "." in text:
                raise BadValueError("is not a number with a decimal comma")
            text = text.replace(decimal, ".")
        try:
            value = float(text)
        except ValueError:
            raise BadValueError("is not a number") from None
        if not math.isfinite(value) or "_" in text:
            raise UnreadableError("is not a finite number")
        return value

    return parse


def money(value: float) -> float:
    """Round to four decimals, which a double holds exactly enough up to the largest amount allowed."""
    return round(value, 4)


def integer(value: float) -> int:
    """Accept a whole number that a double holds exactly."""
    if not value.is_integer() or abs(value) > _EXACT_INTEGERS:
        raise BadValueError("is not a whole number")
    return int(value)


def boolean(text: str) -> bool:
    """Read true, false, yes, no, 1 or 0, in any case of letters."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise BadValueError("is not true or false") from None


def instant(moment: datetime) -> Instant:
    """Give a zoned time as microseconds and as text."""
    utc = moment.astimezone(UTC)
    return (utc - _EPOCH) // _MICROSECOND, utc.isoformat().replace("+00:00", "Z")


def time_parser(pattern: str, zone: str) -> Callable[[str], Instant]:
    """Make a reader of times in ``pattern`` (iso, one of :data:`UNIX_US`, or strptime's); it remembers recent answers.

    A time without a zone is in ``zone``. Where clocks go back, an hour that comes twice is the first of the
    two; where they go forward, a time that never was counts from before the jump.
    """
    unit_us = UNIX_US.get(pattern)
    parse = _pattern_reader(pattern, ZoneInfo(zone)) if unit_us is None else _unix_reader(unit_us)

    @lru_cache(_CACHED_TIMES)
    def read(text: str) -> Instant:
        try:
            return instant(parse(text))
        except (ValueError, ArithmeticError):
            raise BadValueError(f"is not a time in the format {_TOLD.get(pattern, pattern)}") from None

    return read


def _unix_reader(unit_us: int) -> Callable[[str], datetime]:
    return lambda text: _EPOCH + int(Decimal(text) * unit_us) * _MICROSECOND


def _pattern_reader(pattern: str, zone: ZoneInfo) -> Callable[[str], datetime]:
    def parse(text: str) -> datetime:
        # The zone, if any, is in the pattern or in the mapping.
        moment = datetime.fromisoformat(text) if pattern == "iso" else datetime.strptime(text, pattern)  # noqa: DTZ007
        return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment

    return parse
