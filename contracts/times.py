"""Spans of time in microseconds, the unit of all times in the core."""

from typing import Final

SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
