"""Read single values of files: texts, numbers, money, booleans and times.

Pure. A value that does not fit raises :class:`BadValueError`, whose text never holds the value itself.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from connectors.rows.zones import AMBIGUOUS, UnknownZoneError, split_zone, zone_in_pattern, zone_of

Instant = tuple[int, str]
"""A time: microseconds since 1970 UTC, and the same in ISO 8601 with a Z."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
_BEFORE_OFFSET: Final = -len("+00:00")
_EXACT_INTEGERS: Final = 2**53
_CACHED_TIMES: Final = 65_536
UNIX_US: Final = {"unix": 1_000_000, "unix_ms": 1_000, "unix_us": 1, "unix_days": 86_400_000_000}
"""Formats of times that count from 1970 UTC, and the microseconds in one unit of each."""
_TOLD: Final = {"iso": "ISO 8601, like 2024-05-31 or 2024-05-31T10:00:00Z"}


class BadValueError(Exception):
    """What is wrong with one value; it does not say which value."""


class TooLargeError(BadValueError):
    """A whole number that no event can hold."""


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
        case float() if value.is_integer() and abs(value) < _EXACT_INTEGERS:
            return str(int(value))  # 17850.0 is what a column of whole numbers becomes when it has gaps
        case int() | float() | Decimal():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "surrogateescape").strip()
        case NoValue():
            raise UnreadableError(value.problem)
    raise BadValueError("is a structure, not a plain value")


def money(value: float) -> float:
    """Round to four decimals, which a double holds exactly enough up to the largest amount allowed."""
    return round(value, 4)


def integer(value: float) -> int:
    """Accept a whole number that a double holds exactly. Raises :class:`TooLargeError` for a larger one."""
    if not value.is_integer():
        raise BadValueError("is not a whole number")
    if abs(value) > _EXACT_INTEGERS:
        raise TooLargeError("is a larger number than an event can hold")
    return int(value)


def boolean(text: str) -> bool:
    """Read true, false, yes, no, 1 or 0, in any case of letters."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise BadValueError("is not true or false") from None


def instant(moment: datetime) -> Instant:
    """Give a zoned time as microseconds and as text."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    since = utc - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return micros, utc.isoformat()[:_BEFORE_OFFSET] + "Z"


def time_parser(pattern: str, zone: str) -> Callable[[str], Instant]:
    """Make a reader of times in ``pattern`` (iso, one of :data:`UNIX_US`, or strptime's); it remembers recent answers.

    A zone in the time itself counts (:mod:`connectors.rows.zones`), or one in the pattern; a time without one is in
    ``zone``. Where clocks go back, an hour that comes twice is the first of the two; where they go forward, a time that
    never was counts from before the jump.
    """
    unit_us = UNIX_US.get(pattern)
    parse = _zoned_reader(pattern, ZoneInfo(zone)) if unit_us is None else _unix_reader(unit_us)

    @lru_cache(_CACHED_TIMES)
    def read(text: str) -> Instant:
        try:
            return instant(parse(text))
        except UnknownZoneError as error:
            raise BadValueError(str(error)) from None
        except (ValueError, ArithmeticError):
            raise BadValueError(f"is not a time in the format {_TOLD.get(pattern, pattern)}") from None

    return read


def check_pattern(pattern: str) -> None:
    """Raise ``ValueError`` for a pattern whose zone could not be read."""
    if "%Z" in pattern.replace("%%", "") and "%Z" not in pattern.split() and not pattern.endswith("%Z"):
        raise ValueError("format: put %Z at the end, or between blanks")
    _own_zone(pattern)


def _unix_reader(unit_us: int) -> Callable[[str], datetime]:
    return lambda text: _EPOCH + int(Decimal(text) * unit_us) * _MICROSECOND


def _zoned_reader(pattern: str, zone: tzinfo) -> Callable[[str], datetime]:
    """Read a time and its zone. strptime's %Z drops the zone, and knows the machine's own; so it is not used."""
    of_pattern = _own_zone(pattern)
    if of_pattern is not None:
        return _pattern_reader(pattern, of_pattern)
    if "%Z" in pattern.split() and not pattern.endswith("%Z"):
        return _inner_zone_reader(pattern, zone)
    plain = _pattern_reader(pattern.removesuffix("%Z").rstrip(), zone)
    bare = pattern.removesuffix("%Z").removesuffix("%z").rstrip()

    def parse(text: str) -> datetime:
        try:
            return plain(text)
        except ValueError:
            found = split_zone(text)
            if found is None:
                raise
        moment = _naive(bare, found[0])
        return moment.replace(tzinfo=zone_of(found[1]))

    return parse


def _inner_zone_reader(pattern: str, zone: tzinfo) -> Callable[[str], datetime]:
    """Read a time whose zone stands between blanks: ``Wed Jul 1 10:00:00 CEST 2026``."""
    words = pattern.split()
    at = words.index("%Z")
    bare = " ".join(words[:at] + words[at + 1 :])

    def parse(text: str) -> datetime:
        found = text.split()
        if len(found) < len(words):
            return _naive(bare, text).replace(tzinfo=zone)
        return _naive(bare, " ".join(found[:at] + found[at + 1 :])).replace(tzinfo=zone_of(found[at]))

    return parse


def _pattern_reader(pattern: str, zone: tzinfo) -> Callable[[str], datetime]:
    def parse(text: str) -> datetime:
        moment = datetime.fromisoformat(text) if pattern == "iso" else datetime.strptime(text, pattern)  # noqa: DTZ007
        return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment

    return parse


def _naive(pattern: str, text: str) -> datetime:
    """Read a time that has no zone; one that has still another is refused."""
    moment = datetime.fromisoformat(text) if pattern == "iso" else datetime.strptime(text, pattern)  # noqa: DTZ007
    if moment.tzinfo is not None:
        raise UnknownZoneError("has two time zones")
    return moment


def _own_zone(pattern: str) -> tzinfo | None:
    """Give the zone that a pattern holds as text: ``%Y-%m-%dT%H:%M:%SZ``. Raises ``ValueError`` if it means several."""
    name = zone_in_pattern(pattern) if pattern not in ("iso", *UNIX_US) else None
    if name is None:
        return None
    if name.upper() in AMBIGUOUS:
        raise ValueError(f"format: the time zone {name} means several; use time_zone, or an offset such as +02:00")
    try:
        return zone_of(name)
    except UnknownZoneError:
        return None
