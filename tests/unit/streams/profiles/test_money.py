"""Money that waits for a rate adds what it would have added with its event, whenever it is converted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR, Happening, columns

from contracts.blocks import UNCONVERTED_DTYPE, Entries
from contracts.currencies import number_of
from contracts.rates import Rates
from streams import codes
from streams.profiles.deltas import add_rows, deltas, fade
from streams.profiles.money import MOST_MONEY, add_money, convert_events, settle
from streams.profiles.rows import blank_rows
from streams.profiles.unconverted import Unconverted, entries_of, join_entries

EURO, POUND = number_of("EUR"), number_of("GBP")
RATES = Rates("USD", {"EUR": ((0, 1.1), (2, 2.0))})


def entries(*rows: int) -> Entries:
    found = np.zeros(len(rows), UNCONVERTED_DTYPE)
    found["row"], found["amount"] = rows, np.arange(1, len(rows) + 1)
    return found


@pytest.mark.parametrize("code", [codes.ORDER, codes.REFUND])
def test_money_converted_later_is_what_it_would_have_been(code: int) -> None:
    happened = [Happening("a", day * DAY + HOUR, code, amount=10_000 + day, currency=EURO) for day in range(4)]
    _, events = columns(happened)
    at = np.zeros(4, np.int64)
    _, expected, _ = deltas(at, convert_events(events, RATES), DAY, least=5)
    _, rows, waiting = deltas(at, events, DAY, least=5)
    assert (rows["revenue"].tolist(), rows["refunded"].tolist(), len(waiting)) == ([0], [0], 4)
    rest, changed = settle(rows, waiting, RATES, DAY)
    assert (len(rest), changed.tolist()) == (0, [0])
    assert rows.tobytes() == expected.tobytes()


def test_money_counts_with_its_age_in_the_slot_in_which_it_is_converted() -> None:
    _, events = columns([Happening("a", 0, amount=10_000, currency=EURO)])
    _, rows, waiting = deltas(np.zeros(1, np.int64), events, DAY)
    fade(rows, 89, DAY)
    settle(rows, waiting, RATES, DAY)
    assert (rows["revenue"].tolist(), rows["revenue_90d"].tolist()) == ([11_000], [round(11 * np.exp(-1))])


def test_other_currencies_wait_on() -> None:
    waiting = entries(0, 1)
    waiting["currency"] = EURO, POUND
    rest, changed = settle(blank_rows(2), waiting, RATES, DAY)
    assert (rest["currency"].tolist(), changed.tolist()) == ([POUND], [0])


@given(st.lists(st.integers(0, MOST_MONEY), max_size=20))
def test_sums_are_capped(amounts: list[int]) -> None:
    column = np.zeros(1, np.int64)
    for amount in amounts:
        add_money(column, np.zeros(1, np.int64), np.array([amount]))
    assert column.tolist() == [min(sum(amounts), MOST_MONEY)]
    rows, more = blank_rows(1), blank_rows(1)
    rows["revenue"], more["revenue"] = column, MOST_MONEY
    add_rows(rows, more, DAY)
    assert rows["revenue"].tolist() == [MOST_MONEY]


def test_entries_leave_with_their_rows() -> None:
    waiting = Unconverted()
    waiting.add(entries(3, 1))
    waiting.add(entries(3, 7))
    taken = waiting.take(np.array([9, 3, 7]))
    assert taken[["row", "amount"]].tolist() == [(1, 1), (1, 1), (2, 2)]
    assert waiting.entries[["row", "amount"]].tolist() == [(1, 2)]
    assert len(waiting.take(np.array([3]))) == 0
    assert len(Unconverted().take(np.array([3]))) == 0


def test_entries_follow_the_rows_that_are_kept() -> None:
    kept = np.array([True, False, True])
    assert entries_of(entries(2, 1, 0), kept)[["row", "amount"]].tolist() == [(1, 1), (0, 3)]
    assert len(entries_of(entries(), kept)) == 0
    assert len(join_entries([])) == 0
