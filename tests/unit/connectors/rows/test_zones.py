"""A zone in a time counts, whatever zone the mapping or the machine has; one that means several is refused."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.rows.mapping import parse_mapping
from connectors.rows.values import BadValueError, time_parser
from connectors.rows.zones import AMBIGUOUS, HOURS, UnknownZoneError, zone_of
from contracts.errors import InputFileError

SPACED = "%Y-%m-%d %H:%M:%S %Z"
UNIX = "%a %b %d %H:%M:%S %Z %Y"


@pytest.fixture(params=["UTC", "America/New_York", "Europe/Berlin"])
def _machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize(
    ("pattern", "text", "hour"),
    [
        (SPACED, "2026-07-01 10:00:00 UTC", 10),
        (SPACED, "2026-07-01 10:00:00 GMT", 10),
        (SPACED, "2026-07-01 10:00:00 CEST", 8),
        (SPACED, "2026-07-01 10:00:00 CET", 9),
        (SPACED, "2026-07-01 10:00:00 EST", 15),
        (SPACED, "2026-07-01 10:00:00 +0530", 4.5),
        (SPACED, "2026-07-01 10:00:00", 8),
        ("%Y-%m-%d %H:%M:%S%Z", "2026-07-01 10:00:00Z", 10),
        ("%Y-%m-%d %H:%M:%S %z", "2026-07-01 10:00:00 UTC", 10),
        (UNIX, "Wed Jul 01 10:00:00 PDT 2026", 17),
        ("iso", "2026-07-01 10:00:00 UTC", 10),
        ("iso", "2026-07-01T10:00:00 Asia/Tokyo", 1),
        ("iso", "2026-07-01 10:00 GMT+2", 8),
        ("iso", "2026-07-01 10:00:00", 8),
        ("%d.%m.%Y %H:%M", "01.07.2026 10:00 utc", 10),
        ("%Y-%m-%dT%H:%M:%SZ", "2026-07-01T10:00:00Z", 10),
        ("%Y-%m-%d %H:%M:%S UTC", "2026-07-01 10:00:00 UTC", 10),
        ("%Y-%m-%d %H:%M:%S+00:00", "2026-07-01 10:00:00+00:00", 10),
        ("%d.%m.%Y %H:%M Uhr", "01.07.2026 10:00 Uhr", 8),
    ],
)
def test_a_zone_in_the_time_counts(pattern: str, text: str, hour: float) -> None:
    micros, _ = time_parser(pattern, "Europe/Berlin")(text)
    assert micros == time_parser("iso", "UTC")("2026-07-01")[0] + hour * 3_600_000_000


@pytest.mark.parametrize("pattern", ["iso", SPACED, "%Y-%m-%d %H:%M:%S"])
@pytest.mark.parametrize(
    ("zone", "told"), [("IST", "IST, which means several"), ("CST", "CST, which"), ("XYZ", "not known")]
)
def test_a_zone_that_is_not_one_rejects(pattern: str, zone: str, told: str) -> None:
    with pytest.raises(BadValueError, match=told):
        time_parser(pattern, "Europe/Berlin")(f"2026-07-01 10:00:00 {zone}")


@pytest.mark.parametrize(("pattern", "text"), [("%Y-%m", "2026-07-01"), ("%d.%m.%Y", "1.7.2026 x")])
def test_the_end_of_a_date_is_no_zone(pattern: str, text: str) -> None:
    with pytest.raises(BadValueError):
        time_parser(pattern, "UTC")(text)


def test_two_zones_reject() -> None:
    with pytest.raises(BadValueError, match="two time zones"):
        time_parser("iso", "UTC")("2026-07-01T10:00:00+02:00 UTC")


def test_the_table_of_names() -> None:
    assert not AMBIGUOUS & set(HOURS)
    assert zone_of("acst").utcoffset(None) == timedelta(hours=9.5)
    with pytest.raises(UnknownZoneError):
        zone_of("Mars/Base")


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M:%S CST", "%H:%M_%Z_%Y"])
def test_a_pattern_whose_zone_cannot_be_read_is_refused(pattern: str) -> None:
    mapping = {"source": "s", "name": "Identify", "customer_id": "c", "occurred_at": {"column": "t", "format": pattern}}
    with pytest.raises(InputFileError, match="occurred_at: format: "):
        parse_mapping(mapping)
