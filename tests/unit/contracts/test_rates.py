"""Exchange rates: what an amount is worth depends on its currency and its day, and on nothing else."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.currencies import CODES, code_of, number_of
from contracts.events import MAX_AMOUNT
from contracts.rates import SCALE, WAITS, Rates, rates_of_json, steps_of
from contracts.times import DAY

RATES = Rates("EUR", {"USD": ((10, 0.9), (20, 0.8)), "JPY": ((0, 0.0061),)})


def worth(code: str, day: int, amount: int, rates: Rates = RATES) -> int:
    number = number_of(code) if code else 0
    (found,) = rates.worth(np.array([number], np.int16), np.array([day * DAY]), np.array([amount])).tolist()
    return int(found)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3))
def test_a_code_has_a_number_that_fits_a_column(code: str) -> None:
    assert code_of(number_of(code)) == code
    assert 0 < number_of(code) < 2**15
    assert code_of(0) == ""


def test_the_codes_are_those_of_iso_4217() -> None:
    assert all(len(code) == 3 and code.isupper() and code.isascii() for code in CODES)
    assert {"EUR", "USD", "JPY", "KWD", "XXX", "DEM"} <= CODES
    assert not {"BTC", "EURO", "QQQ"} & CODES


def test_the_newest_rate_that_is_not_after_the_day_holds_and_before_the_first_the_first() -> None:
    assert [worth("USD", day, 100_000) for day in (0, 9, 10, 19, 20, 30_000)] == [90_000] * 4 + [80_000] * 2
    assert worth("USD", 20, 100_000) == worth("USD", 20, 100_000, rates_of_json(RATES.as_json()))


def test_without_a_rate_or_a_base_currency_amounts_wait() -> None:
    assert (worth("GBP", 0, 5), worth("XXX", 0, 5), worth("EUR", 0, 5), worth("", 0, 0)) == (WAITS, WAITS, 5, 0)
    assert (worth("EUR", 0, 5, Rates()), worth("", 0, 0, Rates())) == (WAITS, 0)


def test_an_amount_of_nothing_waits_for_no_rate() -> None:
    assert (worth("GBP", 0, 0), worth("XXX", 0, 0), worth("EUR", 0, 0, Rates())) == (0, 0, 0)


def test_what_is_worth_more_than_an_event_may_be_waits() -> None:
    most = MAX_AMOUNT * SCALE
    assert worth("EUR", 0, most) == most
    assert worth("QAR", 0, most, Rates("EUR", {"QAR": ((0, 1.0001),)})) == WAITS


@given(st.lists(st.tuples(st.sampled_from(["EUR", "USD", "JPY", "GBP", ""]), st.integers(0, 40),
                          st.integers(0, 10**12)), max_size=30))  # fmt: skip
def test_columns_are_converted_like_single_amounts(rows: list[tuple[str, int, int]]) -> None:
    codes = np.array([number_of(code) if code else 0 for code, _, _ in rows], np.int16)
    days, amounts = np.array([day for _, day, _ in rows], np.int64), np.array([one for *_, one in rows], np.int64)
    found = RATES.worth(codes, days * DAY, amounts).tolist()
    assert found == [worth(code, day, amount if code else 0) for code, day, amount in rows]
    for (code, day, amount), one in zip(rows, found, strict=True):
        if code == "USD":
            exact = amount * Fraction(0.8 if day >= 20 else 0.9)
            assert abs(one - exact) <= Fraction(1, 2) + amount * Fraction(1, 2**52)


def test_steps_are_in_order_of_their_days() -> None:
    assert steps_of([("USD", None, 1.0)]) == {"USD": ((0, 1.0),)}
