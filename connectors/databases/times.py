"""Dates and times that databases hold and events cannot: ``infinity``, years before Christ and beyond 9999. Pure."""

import re
from datetime import MAXYEAR
from typing import Final

from connectors.rows.values import NoValue

EARLIEST_YEAR: Final = 2
"""Year 1 means "no date" in many programs, and a time zone can move it before Christ."""
OUT_OF_RANGE: Final = f"lies outside the years {EARLIEST_YEAR} to {MAXYEAR} (infinity, or no real date)"
_YEAR: Final = re.compile(r"([+-]?\d+)-\d")


def out_of_range(text: str) -> NoValue:
    """Stand in for a time that ``text`` writes as the database does."""
    return NoValue(OUT_OF_RANGE, text)


def checked_time(text: str) -> str | NoValue:
    """Return the text of a date or time, or a stand-in where no event can hold it."""
    year = _YEAR.match(text)
    fits = year is not None and EARLIEST_YEAR <= int(year[1]) <= MAXYEAR and not text.endswith(" BC")
    is_infinite = text.lstrip("+-").startswith("inf")
    return out_of_range(text) if is_infinite or (year and not fits) else text
