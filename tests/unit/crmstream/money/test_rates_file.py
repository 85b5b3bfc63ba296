"""The file of exchange rates: what a person writes wrongly is named with its line, and the rest of the file with it."""

from datetime import date
from pathlib import Path

import pytest

from contracts.errors import InputFileError
from contracts.rates import day_number
from crmstream.money.rates_file import read_rates, write_rates


def test_rates_have_a_first_day_or_hold_always(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("\ufeff# of the bank\nCurrency,from,rate\nUSD,2026-01-01,0.95\nUSD,,0.92\n\nJPY,,0.0061\n")
    new_year = day_number(date(2026, 1, 1))
    assert read_rates(path) == {"USD": ((0, 0.92), (new_year, 0.95)), "JPY": ((0, 0.0061),)}


def test_the_columns_come_in_any_order_and_the_day_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("rate,currency\n0.92,USD\n")
    assert read_rates(path) == {"USD": ((0, 0.92),)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("EUR,1.08\n", "line 1: the header must be currency,from,rate"),
        ("currency;from;rate\nUSD;;1\n", "line 1: the header must be"),
        ("currency,from,rate\nUSD,,1\nusd,,2\n", "line 3: currency: currency codes are three capital letters"),
        ("currency,from,rate\nEURO,,1\n", "line 2: currency: is not an ISO 4217 currency code"),
        ("currency,from,rate\nUSD,01.02.2026,1\n", "line 2: from: must be a day like 2026-01-31"),
        ("currency,from,rate\nUSD,1969-12-31,1\n", "line 2: from: lies before 1970"),
        ('currency,from,rate\nUSD,,"1,08"\n', "line 2: rate: must be a number like 1.08"),
        ("currency,from,rate\nUSD,,0\n", "line 2: rate: must be above 0"),
        ("currency,from,rate\nUSD,,nan\n", "line 2: rate: must be above 0"),
        ("currency,from,rate\nUSD,,inf\n", "line 2: rate: must be above 0"),
        ("currency,from,rate\nUSD,1\n", "line 2: has not as many values as the header"),
        ("currency,from,rate\nUSD,,1\n\nUSD,,2\n", "line 4: USD has a rate for that day in line 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(text)
    with pytest.raises(InputFileError) as error:
        read_rates(path)
    assert problem in str(error.value)


def test_all_lines_at_fault_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("currency,from,rate\n" + "ABC,,1\n" * 14)
    with pytest.raises(InputFileError, match=r"line 2: .*line 11: .*; and 4 more\."):
        read_rates(path)


def test_what_is_written_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    steps = {"USD": ((0, 0.1 + 0.2), (20_000, 1 / 3)), "JPY": ((5, 1e-9),)}
    write_rates(tmp_path / "new" / "rates.csv", steps)
    assert read_rates(tmp_path / "new" / "rates.csv") == steps
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["rates.csv"]


def test_without_a_file_there_are_no_rates(tmp_path: Path) -> None:
    assert read_rates(tmp_path / "rates.csv") == {}
