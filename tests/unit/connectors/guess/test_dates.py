"""Formats of times: shapes rule patterns out, and never one that the texts have."""

from datetime import UTC, datetime

import pytest

from connectors.guess import dates
from connectors.guess.dates import time_format

MOMENTS = (datetime(2024, 3, 1, 0, 5, 9, tzinfo=UTC), datetime(1998, 12, 31, 23, 59, 59, tzinfo=UTC))


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in dates._SHAPES])
def test_a_pattern_stays_for_what_is_written_in_it(pattern: str) -> None:
    written = [moment.strftime(pattern) for moment in MOMENTS]
    assert pattern in dates._patterns(written)
    assert pattern in dates._patterns([*written, "no time"], 1)
    assert pattern not in dates._patterns([*written, "no time"])


@pytest.mark.parametrize("text", ["", "name", "Shipping Address 2", "1.2.3.4.5", "v2", "order-17"])
def test_what_is_no_time_has_no_format(text: str) -> None:
    assert time_format([text] if text else []) is None


def test_single_digits_and_several_blanks_are_read_too() -> None:
    found = time_format(["1.2.2024  9:05", "28.11.2024 10:15"])
    assert found is not None
    assert (found.format, found.has_clock, found.has_zone) == ("%d.%m.%Y %H:%M", True, False)
