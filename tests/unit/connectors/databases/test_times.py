"""Times that a database holds and events cannot."""

import pytest

from connectors.databases.times import OUT_OF_RANGE, checked_time
from connectors.postgres.stream import as_text, plain
from connectors.rows.values import NoValue

TIMESTAMP, TIMESTAMPTZ, DATE, TEXT = 1114, 1184, 1082, 25


@pytest.mark.parametrize(
    "text",
    [
        "infinity", "-infinity", "0044-03-15 BC", "0044-03-15 10:00:00+00 BC", "0001-01-01", "0001-01-01 00:00:00+00",
        "10000-01-01 00:00:00", "294276-12-31",
    ],
)  # fmt: skip
def test_a_time_that_no_event_can_hold_keeps_its_text(text: str) -> None:
    found = checked_time(text)
    assert isinstance(found, NoValue)
    assert (found.problem, found.text) == (OUT_OF_RANGE, text)
    for oid in (TIMESTAMP, TIMESTAMPTZ, DATE):
        assert isinstance(stand_in := plain(text, oid), NoValue)
        assert as_text(stand_in) == text
    assert plain(text, TEXT) == text


@pytest.mark.parametrize("text", ["0002-01-01", "2026-05-01 10:00:00.5+00", "9999-12-31 23:59:59", "never"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert checked_time(text) == plain(text, DATE) == text
    assert plain(None, DATE) is None
