"""The format of a column is decided over all of its values; what stays open is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.guess.amounts import code_in, currency_of, number_form
from connectors.guess.dates import is_clock, time_format
from connectors.guess.words import plain, state_of
from connectors.rows.numbers import format_of, plain_parser, sample_parser


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["2026-05-01", "2026-05-13"], "iso"),
        (["2026-05-01T10:00:00Z", "2026-05-13T10:00:00+02:00"], "iso"),
        (["2026-05-01 10:00", "2026-05-13 10:00"], "iso"),
        (["01.05.2026 10:15", "13.05.2026 23:00"], "%d.%m.%Y %H:%M"),
        (["05/31/2026 2:15 PM", "6/1/2026 11:00 AM"], "%m/%d/%Y %I:%M %p"),
        (["31/05/26", "01/06/26"], "%d/%m/%y"),
        (["Mar 2, 2026 09:15:00 AM"], "%b %d, %Y %I:%M:%S %p"),
        (["2 March 2026", "13 March 2026"], "%d %B %Y"),
        (["1767225600", "1767312000"], "unix"),
        (["1767225600123"], "unix_ms"),
    ],
)
def test_times(texts: list[str], pattern: str) -> None:
    found = time_format(texts)
    assert found is not None
    assert (found.format, found.other) == (pattern, None)


@pytest.mark.parametrize("wrong", ["31.02.2026", "none", "2026-05-01"])
def test_a_value_that_is_no_date_does_not_hide_the_format_of_the_others(wrong: str) -> None:
    days = [f"{day:02d}.05.2026" for day in range(10, 15)]
    found = time_format([*days, wrong])
    assert found is not None
    assert (found.format, found.misfits) == ("%d.%m.%Y", 1)
    assert time_format([*days, wrong, "never"]) is None


@pytest.mark.parametrize("texts", [[], ["17850", "13047"], ["yesterday"], ["2026-05-01", "01.05.2026"], ["1,5"]])
def test_what_is_no_column_of_times(texts: list[str]) -> None:
    assert time_format(texts) is None


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["01/02/2026", "05/02/2026", "03/03/2026"], "%d/%m/%Y"),
        (["01/02/2026", "01/05/2026", "02/03/2026"], "%m/%d/%Y"),
        (["05/06/2026"], "%d/%m/%Y"),
    ],
)
def test_day_and_month_are_told_apart_by_the_order_of_rows_and_doubted(texts: list[str], pattern: str) -> None:
    found = time_format(texts)
    assert found is not None
    assert found.format == pattern
    assert found.other is not None


def test_one_broken_date_of_few_does_not_hide_the_format() -> None:
    days = ["2026-05-01", "2026-05-01", "2026-05-02", "yesterday", "2026-05-02", "2026-05-02"]
    found = time_format(days)
    assert found is not None
    assert (found.format, found.misfits) == ("iso", 1)
    assert time_format(["paid", "paid", "paid", "paid", "2026-05-01"]) is None, "states, and one stray date"


def test_times_of_the_day() -> None:
    assert is_clock(["10:15", "23:59"]) == "%H:%M"
    assert is_clock(["2026-05-01"]) is None
    assert is_clock([]) is None


@pytest.mark.parametrize(
    ("texts", "decimal", "thousands", "symbol"),
    [
        (["12.50", "1249.00"], ".", "", ""),
        (["12,50", "1.249,00"], ",", ".", ""),
        (["1,249.00", "12.50"], ".", ",", ""),
        (["1.249,00 €", "12,50 €", "0,00 €"], ",", ".", "€"),
        (["CHF 1’249.50", "CHF 12.00"], ".", "'", "CHF"),
        (["1\u00a0249,50 zł"], ",", " ", "zł"),
        (["$1,249.50", "-$12.00"], ".", ",", "$"),
        (["(12,00)", "3,5"], ",", "", ""),
        (["1.249.000"], ",", ".", ""),
        (["12", "1500"], ".", "", ""),
        (["0.125"], ".", "", ""),
        (["1e-02", "1.249", "3"], ".", "", ""),
        (["1.2999999999999998", "2.500"], ".", "", ""),
    ],
)
def test_numbers(texts: list[str], decimal: str, thousands: str, symbol: str) -> None:
    form = number_form(texts)
    assert form is not None
    assert (form.decimal, form.thousands, form.symbol, form.is_sure) == (decimal, thousands, symbol, True)


@pytest.mark.parametrize("texts", [["a lot"], ["12,50", "12.50"], ["1.249,00", "1,249.00"], ["10 €", "10 $"], [""]])
def test_what_is_no_column_of_numbers(texts: list[str]) -> None:
    assert number_form(texts) is None


def test_three_digits_after_the_only_sign_are_doubted() -> None:
    form = number_form(["1.249", "2.500"])
    assert form is not None
    assert not form.is_sure


@given(
    numbers=st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    signs=st.sampled_from([(",", "."), (".", ","), (".", "'"), (",", " "), (",", "")]),
    symbol=st.sampled_from(["", " €", " EUR"]),
)
def test_what_is_guessed_reads_the_numbers(numbers: list[int], signs: tuple[str, str], symbol: str) -> None:
    """The declared format gives the numbers back, whatever signs they are written with."""
    decimal, thousands = signs
    texts = [_written(number, decimal, thousands) + symbol for number in numbers]
    form = number_form(texts)
    assert form is not None
    needs_sample = form.symbol or form.thousands
    parse = sample_parser(format_of(form.sample)) if needs_sample else plain_parser(form.decimal)
    assert [parse(text) for text in texts] == [number / 100 for number in numbers]


def _written(cents: int, decimal: str, thousands: str) -> str:
    return f"{cents // 100:,}".replace(",", thousands) + f"{decimal}{cents % 100:02}"


@pytest.mark.parametrize(
    ("symbol", "code", "is_sure"),
    [("€", "EUR", True), ("CHF", "CHF", True), ("$", "USD", False), ("kr", "SEK", False), ("", None, True)],
)
def test_currencies_beside_numbers(symbol: str, code: str | None, is_sure: bool) -> None:
    assert currency_of(symbol, [f"12 {symbol}"]) == (code, is_sure)


def test_currencies_in_names_of_columns() -> None:
    names = ("Total (EUR)", "total_usd", "Betrag in €", "Total")
    assert [code_in(name) for name in names] == ["EUR", "USD", "EUR", None]


def test_words() -> None:
    assert [plain(name) for name in ("Bestell-Nr.", "orderId", "N° commande", "Größe", "Order #")] == [
        "bestell nr", "order id", "n commande", "grosse", "order",
    ]  # fmt: skip
    states = ["Completed", "wc-processing", "Storniert", "Remboursée", "Partially Refunded", "On hold", "Bilge"]
    assert [state_of(text) for text in states] == [
        "paid", "paid", "cancelled", "refunded", "refunded", "open", None,
    ]  # fmt: skip
