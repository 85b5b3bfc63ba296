"""Time zones that stand in a time itself: offsets, names of zones, and abbreviations that mean one zone. Pure.

The machine's own zone never plays a part: an abbreviation is an offset by this table, or it is refused.
"""

import re
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

HOURS: Final = {
    "Z": 0, "UTC": 0, "GMT": 0, "UT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "MEZ": 1, "MESZ": 2, "EET": 2,
    "EEST": 3, "MSK": 3, "EST": -5, "EDT": -4, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10,
    "BRT": -3, "SAST": 2, "CAT": 2, "EAT": 3, "PKT": 5, "WIB": 7, "HKT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5,
    "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}  # fmt: skip
"""Abbreviations, and the hours by which each is ahead of UTC, summer or winter."""
AMBIGUOUS: Final = frozenset({"ADT", "AMT", "AST", "BST", "CDT", "CST", "ECT", "GST", "IST", "MST", "SST", "WST"})
"""Abbreviations that mean different zones in different countries: refused by name."""
_NAMED: Final = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*(?:/[A-Za-z]+(?:[_-][A-Za-z]+)*)+")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-5][0-9]))?", re.IGNORECASE)
_ANY: Final = r"((?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-5][0-9])?|[A-Za-z]+(?:[_/-][A-Za-z]+)*)\s*$"
_AT_END: Final = re.compile(r"(?:(?<=\d)\s*|\s+)" + _ANY)
_IN_PATTERN: Final = re.compile(r"(?:(?<=[\s\d])|(?<=%[A-Za-z]))" + _ANY)
_CLOCK: Final = re.compile(r"[0-9]:[0-5][0-9](?:\.[0-9]+)?\s*$")
_MOST_HOURS: Final = 14


class UnknownZoneError(ValueError):
    """A zone that is not known, or that means several; the text says so, and names only those that mean several."""


def zone_of(name: str) -> tzinfo:
    """Give the zone that a name or an offset means: ``CEST``, ``+02:00``, ``GMT+2``, ``Europe/Berlin``.

    Raises :class:`UnknownZoneError`.
    """
    upper = name.upper()
    if upper in HOURS:
        return UTC if HOURS[upper] == 0 else timezone(timedelta(hours=HOURS[upper]))
    if upper in AMBIGUOUS:
        raise UnknownZoneError(f"has the time zone {upper}, which means several; write an offset such as +02:00")
    if (offset := _OFFSET.fullmatch(name)) and int(offset[2]) <= _MOST_HOURS:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if _NAMED.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass
    raise UnknownZoneError("has a time zone that is not known; write an offset such as +02:00")


def split_zone(text: str) -> tuple[str, str] | None:
    """Split a time into what stands before its zone, and the zone; None if nothing like one stands at its end.

    A bare offset is one only behind hours and minutes: the end of 2026-07-01 is none.
    """
    found = _AT_END.search(text)
    if found is None or (found[1][0] in "+-" and not _CLOCK.search(text[: found.start()])):
        return None
    return text[: found.start()], found[1]


def zone_in_pattern(pattern: str) -> str | None:
    """Find a zone that stands as text in a pattern of strptime: at its end, or as a word. None if there is none."""
    words = [word for word in pattern.split()[1:] if word.upper() in HOURS or word.upper() in AMBIGUOUS]
    if words:
        return words[0]
    found = _IN_PATTERN.search(pattern)
    return found[1] if found else None
