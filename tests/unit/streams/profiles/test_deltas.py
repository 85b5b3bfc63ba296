"""The algebra of profiles: order-free, equal to a plain loop over the events, whoever did what under which id."""

import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR, Happening, columns, cut, happenings
from support.laws import law
from support.plain_rows import assert_is

from contracts.blocks import RowArray
from contracts.events import MAX_AMOUNT
from contracts.times import SECOND
from streams import codes
from streams.profiles.deltas import add_rows, deltas, fade, in_turns
from streams.profiles.money import MOST_MONEY
from streams.profiles.rows import (
    DECAYED,
    FADING,
    FEW,
    MOST_FEW,
    ROW_DTYPE,
    UNITS,
    blank_rows,
    times_of,
)
from streams.profiles.table import ProfileTable

DAYS = 4
ONE = UNITS["orders_7d"]


def build(pieces: Sequence[Sequence[Happening]]) -> ProfileTable:
    """A table that took pieces in, each of any number of slots."""
    table = ProfileTable()
    for piece in pieces:
        customers, events = columns(piece)
        at, rows, _ = deltas(table.locate(customers), events, DAY)
        for slot in np.unique(rows["slot"]):
            mine = rows["slot"] == slot
            table.add(at[mine], rows[mine], DAY, distinct=True)
    return table


def content(table: ProfileTable) -> tuple[list[str], bytes]:
    """Everything that a table says, whatever the order in which its customers came."""
    order = table.in_order()
    return table.names.take(order).tolist(), table.rows[order].tobytes()


def by_slot(events: Sequence[Happening]) -> list[Happening]:
    return sorted(events, key=lambda each: each.occurred // DAY)


def one_row(events: Sequence[Happening]) -> RowArray:
    """The row of somebody who did all this, faded to the last slot."""
    table = build([by_slot(events)])
    rows = table.rows.copy() if len(table) else blank_rows(1)
    fade(rows, np.full(1, DAYS), DAY)
    return rows


@law()
@given(happenings(DAYS, "a"))
def test_a_row_is_what_a_loop_over_the_events_gives(events: list[Happening]) -> None:
    assert_is(one_row(events), events, DAYS)


@pytest.mark.parametrize("code", [codes.ORDER, codes.PRODUCT_VIEW])
def test_what_claims_to_be_later_than_its_slot_counts_at_the_end_of_the_slot(code: int) -> None:
    """Else the score of a boundary would know, and its label count, what happens after it."""
    claims, ends = (
        one_row([Happening("a", at, code=code, amount=30_000, slot=2)]) for at in (3 * DAY + DAY // 2, 3 * DAY - 1)
    )  # fmt: skip
    assert claims.tobytes() == ends.tobytes()
    assert times_of(claims["last_seen"])[0] == 3 * DAY - SECOND


@law()
@given(events=happenings(DAYS), cuts=st.sets(st.integers(1, 40)), data=st.data())
def test_cuts_and_the_order_within_a_slot_change_nothing(
    events: list[Happening], cuts: set[int], data: st.DataObject
) -> None:
    ordered = by_slot(events)
    whole = content(build([ordered]))
    assert content(build(cut(ordered, cuts))) == whole
    assert content(build(cut(by_slot(data.draw(st.permutations(events))), cuts))) == whole


@law()
@given(mine=happenings(DAYS, "a", max_size=20), device=happenings(DAYS, "a", max_size=20))
def test_a_device_and_a_customer_together_are_one_person_who_did_everything(
    mine: list[Happening], device: list[Happening]
) -> None:
    into, added = one_row(mine), one_row(device)
    other = added.copy()
    add_rows(other, into, DAY)
    add_rows(into, added, DAY)
    assert into.tobytes() == other.tobytes()
    assert_is(into, mine + device, DAYS)


@law()
@given(st.lists(happenings(DAYS, "a", max_size=8), min_size=3, max_size=3))
def test_adding_rows_of_one_slot_does_not_depend_on_their_order(parts: list[list[Happening]]) -> None:
    one, two, three = (one_row(part) for part in parts)
    left, right = one.copy(), two.copy()
    add_rows(left, two, DAY)
    add_rows(left, three, DAY)
    add_rows(right, three, DAY)
    add_rows(right, one, DAY)
    assert left.tobytes() == right.tobytes()


@law()
@given(happenings(DAYS, "a"))
def test_adding_nobody_changes_nothing(events: list[Happening]) -> None:
    row = one_row(events)
    same = row.copy()
    add_rows(same, blank_rows(1), DAY)
    assert same.tobytes() == row.tobytes()


def test_a_row_is_faded_in_one_step_to_the_later_slot() -> None:
    row, later = one_row([Happening("a", 0)]), blank_rows(1)
    row["slot"], later["slot"] = 0, 1_000
    row["orders_7d"], row["orders_90d"], row["web_90d"] = 3 * ONE, 3 * ONE, 2**16 - 1
    add_rows(row, later, DAY)
    assert row["orders_7d"].tolist() == [0]
    assert row["orders_90d"].tolist() == [0]
    assert abs(row["web_90d"][0] - (2**16 - 1) * math.exp(-1_000 / 90)) < 1
    assert row["slot"].tolist() == [1_000]


def test_events_that_come_late_count_in_a_later_slot() -> None:
    _, events = columns([Happening("a", HOUR), Happening("a", 5 * DAY + HOUR)])
    at, rows, _ = deltas(np.zeros(2, np.int64), events, DAY, least=3)
    assert (at.tolist(), rows["slot"].tolist()) == ([0, 0], [3, 5])
    assert times_of(rows["last_order"]).tolist() == [HOUR, 5 * DAY + HOUR]
    assert rows["orders_7d"][0] == round(math.exp(-(4 * DAY - HOUR) / (7 * DAY)) * ONE)


@pytest.mark.parametrize("count", [3, 12_000])
def test_sums_of_money_stop_at_what_the_tables_hold(count: int) -> None:
    most = MAX_AMOUNT * 10_000
    _, events = columns([Happening("a", 0, code, amount=most) for code in (codes.ORDER, codes.REFUND)] * count)
    _, rows, _ = deltas(np.zeros(len(events), np.int64), events, DAY)
    expected = min(count * most, MOST_MONEY)
    assert (rows["revenue"].tolist(), rows["refunded"].tolist()) == ([expected], [expected])
    add_rows(rows, rows.copy(), DAY)
    assert rows["revenue"].tolist() == [min(2 * expected, MOST_MONEY)]


def test_money_that_waits_is_an_entry_of_its_own() -> None:
    _, events = columns([
        Happening("a", 0, amount=5, currency=7), Happening("b", 0, codes.REFUND, amount=6, currency=8),
        Happening("b", 0, amount=1), Happening("b", 0, codes.PAGE_VIEW, currency=9),
    ])  # fmt: skip
    at, rows, entries = deltas(np.array([4, 9, 9, 9]), events, DAY)
    assert (at.tolist(), rows["revenue"].tolist(), rows["orders"].tolist()) == ([4, 9], [0, 1], [1, 1])
    assert entries[["row", "currency", "refund", "amount"]].tolist() == [(4, 7, False, 5), (9, 8, True, 6)]


@law()
@given(st.lists(st.integers(0, 4), max_size=20))
def test_turns_hold_each_position_once_in_its_order(at: list[int]) -> None:
    turns = [turn.tolist() for turn in in_turns(np.array(at, np.int64))]
    assert sorted(index for turn in turns for index in turn) == list(range(len(at)))
    for turn in turns:
        assert len({at[index] for index in turn}) == len(turn)
    for position in set(at):
        mine = [index for turn in turns for index in turn if at[index] == position]
        assert mine == sorted(mine)


def test_no_events_make_no_rows() -> None:
    at, rows, entries = deltas(np.empty(0, np.int64), columns([])[1], DAY)
    assert (len(at), len(rows), len(entries)) == (0, 0, 0)


def test_a_row_takes_128_bytes() -> None:
    assert ROW_DTYPE.itemsize == 128


@law()
@given(happenings(DAYS, "a", max_size=10), st.integers(1, 3), st.randoms())
def test_sums_that_reach_the_end_of_their_column_stop_there_in_any_order(
    events: list[Happening], copies: int, random: Random
) -> None:
    full = one_row(events)
    for name in (*FEW, *FADING, "satisfaction_sum"):
        full[name] = np.minimum(full[name].astype(np.int64) * 30_000, MOST_FEW)
    full["revenue_90d"] = 2**32 - 5
    parts = [full] * copies + [one_row([event]) for event in events]
    totals = []
    for _ in range(2):
        random.shuffle(parts)
        total = blank_rows(1)
        total["slot"] = DAYS
        for part in parts:
            add_rows(total, part, DAY)
        totals.append(total.tobytes())
    assert totals[0] == totals[1]


@pytest.mark.parametrize("every", [1, 3, 7])
@pytest.mark.parametrize("interval", [HOUR, DAY])
@pytest.mark.parametrize("start", [1, 40, 300, 20_000])
def test_a_counter_fades_as_it_should_however_often_its_row_is_touched(start: int, interval: int, every: int) -> None:
    row, steps = blank_rows(1), 180 * DAY // interval
    row["slot"], row["orders_90d"], row["web_30d"], row["revenue_90d"] = 0, start, start, start
    for slot in range(every, steps + 1, every):
        fade(row, slot, interval)
        days = slot * interval / DAY
        for name in ("orders_90d", "web_30d", "revenue_90d"):
            assert abs(int(row[name][0]) - start * math.exp(-days / DECAYED[name])) <= 5 + 0.002 * start
