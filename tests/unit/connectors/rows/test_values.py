"""Values are read exactly or refused, and a refusal never repeats the value."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.rows.numbers import plain_parser
from connectors.rows.values import BadValueError, TooLargeError, as_text, boolean, instant, integer, money, time_parser

AMOUNTS = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=4)


@given(AMOUNTS)
def test_money_keeps_four_decimals_exactly(amount: Decimal) -> None:
    assert Decimal(repr(money(plain_parser(".")(str(amount))))) == amount


@pytest.mark.parametrize(
    ("decimal", "text", "value"), [(".", "12.50", 12.5), (".", "-3", -3.0), (".", "1e3", 1000.0), (",", "12,50", 12.5)]
)
def test_numbers(decimal: str, text: str, value: float) -> None:
    assert plain_parser(decimal)(text) == value


@pytest.mark.parametrize(
    ("decimal", "text"),
    [(".", "1,5"), (".", "nan"), (".", "inf"), (".", "1_000"), (".", "EUR 5"), (",", "1.5"), (",", "1.234,50")],
)
def test_what_is_no_number_is_refused_without_its_value(decimal: str, text: str) -> None:
    with pytest.raises(BadValueError) as error:
        plain_parser(decimal)(text)
    assert text not in str(error.value)


def test_whole_numbers_and_booleans() -> None:
    assert integer(5.0) == 5
    assert [boolean(t) for t in ("TRUE", "no", "1", "0")] == [True, False, True, False]
    with pytest.raises(BadValueError, match="whole"):
        integer(5.5)
    with pytest.raises(TooLargeError, match="larger"):
        integer(1e300)
    with pytest.raises(BadValueError, match="true or false"):
        boolean("maybe")


def test_structures_are_no_text() -> None:
    assert [as_text(v) for v in (" a ", True, 5, b"x", datetime(2020, 1, 1, tzinfo=UTC))] == [
        "a", "true", "5", "x", "2020-01-01T00:00:00+00:00",
    ]  # fmt: skip
    with pytest.raises(BadValueError, match="structure"):
        as_text({"a": 1})


@pytest.mark.parametrize(
    ("pattern", "zone", "text", "utc"),
    [
        ("iso", "UTC", "1997-01-01", "1997-01-01T00:00:00Z"),
        ("iso", "Europe/Berlin", "2024-01-15 12:00:00", "2024-01-15T11:00:00Z"),
        ("iso", "Europe/Berlin", "2024-07-15 12:00:00", "2024-07-15T10:00:00Z"),
        ("iso", "Europe/Berlin", "2024-07-15T12:00:00-05:00", "2024-07-15T17:00:00Z"),
        # Clocks went back on 2024-10-27 at 03:00: half past two came twice, and the first is meant.
        ("iso", "Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27T00:30:00Z"),
        # Clocks went forward on 2024-03-31 at 02:00: half past two never was.
        ("iso", "Europe/Berlin", "2024-03-31 02:30:00", "2024-03-31T01:30:00Z"),
        ("%d/%m/%Y %H:%M", "UTC", "9/3/2016 07:05", "2016-03-09T07:05:00Z"),
        ("%Y%m%d", "UTC", "19970101", "1997-01-01T00:00:00Z"),
        ("unix", "Asia/Tokyo", "86400.25", "1970-01-02T00:00:00.250000Z"),
        ("unix_ms", "UTC", "1700000000123", "2023-11-14T22:13:20.123000Z"),
    ],
)
def test_times(pattern: str, zone: str, text: str, utc: str) -> None:
    micros, written = time_parser(pattern, zone)(text)
    assert written == utc
    assert instant(datetime.fromisoformat(utc)) == (micros, utc)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("iso", "31.12.2024"), ("%Y%m%d", "19971301"), ("unix", "soon"), ("unix", "1e30"), ("unix", "NaN")],
)
def test_what_is_no_time_is_refused_without_its_value(pattern: str, text: str) -> None:
    with pytest.raises(BadValueError, match="is not a time in the format") as error:
        time_parser(pattern, "UTC")(text)
    assert text not in str(error.value)
