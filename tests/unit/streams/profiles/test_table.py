"""The laws of profiles: order-free, equal to a plain loop over the events, and the same after pickling."""

import math
import pickle
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR, MINUTE, Happening, columns, cut, happenings, interleave

from contracts.events import MAX_AMOUNT
from streams import codes
from streams.profiles.money import MOST_MONEY
from streams.profiles.table import (
    DECAYED,
    NEVER,
    NOT_YET,
    ONE,
    ROW_DTYPE,
    ProfileTable,
    apply_events,
    fade,
)

DAYS = 3
END = DAYS * DAY
STARTS = {"last_seen": NEVER, "last_order": NEVER, "last_web": NEVER, "last_ticket": NEVER}
STARTS |= {"first_seen": NOT_YET, "first_order": NOT_YET, "first_web": NOT_YET}
COUNTERS = {
    codes.ORDER: "orders",
    codes.REFUND: "refunds",
    codes.CANCELLATION: "cancelled",
    codes.PRODUCT_VIEW: "product_views",
    codes.PRODUCT_ADDED: "carts",
    codes.CART_VIEW: "cart_views",
    codes.CHECKOUT: "checkouts",
    codes.TICKET_OPENED: "tickets",
    codes.TICKET_SOLVED: "tickets_solved",
    codes.SATISFACTION: "satisfaction_count",
}
Row = dict[str, int]


def build(pieces: Sequence[Sequence[Happening]]) -> ProfileTable:
    table = ProfileTable()
    for piece in pieces:
        customers, events = columns(piece)
        apply_events(table, customers, events, END)
    return table


def in_order(table: ProfileTable) -> tuple[list[str], bytes]:
    """Everything that a table says, whatever the order in which its customers came."""
    order = table.in_order()
    return table.names[order].tolist(), table.used[order].tobytes()


def by_hand(events: Sequence[Happening]) -> dict[str, Row]:
    """What the table should hold, one event and one obvious rule at a time."""
    rows: dict[str, Row] = defaultdict(lambda: defaultdict(int, STARTS))
    for each in events:
        row = rows[each.customer]
        row["events"] += 1
        row["first_seen"] = min(row["first_seen"], each.occurred)
        row["last_seen"] = max(row["last_seen"], each.occurred)
        if each.code in COUNTERS:
            row[COUNTERS[each.code]] += 1
        _transaction(row, each)
        _web(row, each)
        _service(row, each)
    return rows


def _decay(row: Row, names: tuple[str, ...], each: Happening, unit: float = ONE) -> None:
    for name in names:
        row[name] += round(math.exp(-(END - each.occurred) / (DECAYED[name] * DAY)) * unit)


def _transaction(row: Row, each: Happening) -> None:
    if each.code == codes.REFUND:
        row["refunded"] += each.amount
    if each.code != codes.ORDER:
        return
    row["revenue"] += each.amount
    row["items"] += each.items
    hours = (each.occurred // 1_000_000 - row["last_order"] // 1_000_000) // 3_600
    if row["last_order"] != NEVER and hours > 0:
        row["gap_count"] += 1
        row["gap_sum_squares"] += hours**2
    row["first_order"] = min(row["first_order"], each.occurred)
    row["last_order"] = max(row["last_order"], each.occurred)
    _decay(row, ("orders_7d", "orders_30d", "orders_90d"), each)
    _decay(row, ("revenue_90d",), each, each.amount)


def _web(row: Row, each: Happening) -> None:
    if not codes.PAGE_VIEW <= each.code <= codes.OTHER_WEB:
        return
    row["web_events"] += 1
    if row["last_web"] == NEVER or each.occurred // 1_000_000 - row["last_web"] // 1_000_000 > 1_800:
        row["sessions"] += 1
    row["last_web"] = max(row["last_web"], each.occurred)
    row["first_web"] = min(row["first_web"], each.occurred)
    _decay(row, ("web_7d", "web_30d", "web_90d"), each)


def _service(row: Row, each: Happening) -> None:
    if not codes.TICKET_OPENED <= each.code <= codes.OTHER_SERVICE:
        return
    row["service_events"] += 1
    row["satisfaction_sum"] += each.score
    if each.code == codes.TICKET_OPENED:
        row["last_ticket"] = max(row["last_ticket"], each.occurred)
        _decay(row, ("tickets_30d",), each)


@given(events=happenings(DAYS), cuts=st.sets(st.integers(1, 40)), draws=st.lists(st.integers(0, 3), max_size=40))
def test_cutting_and_interleaving_change_nothing(events: list[Happening], cuts: set[int], draws: list[int]) -> None:
    whole = build([events])
    assert in_order(build(cut(events, cuts))) == in_order(whole)
    assert in_order(build(cut(interleave(events, draws), cuts))) == in_order(whole)


@given(happenings(DAYS))
def test_the_table_is_what_a_loop_over_the_events_gives(events: list[Happening]) -> None:
    """All columns are equal; decayed sums of money within the last unit, for ``exp`` is another one here."""
    table, expected = build([events]), by_hand(events)
    assert set(table.ids) == set(expected)
    for customer, row in zip(table.ids, table.used, strict=True):
        for name in set(ROW_DTYPE.names or ()) - {"key", "slot_end", "unpublished", *DECAYED}:
            assert row[name] == expected[customer][name], name
        for name in DECAYED:
            slack = 1e-12 * abs(int(row[name])) + len(events)
            assert abs(int(row[name]) - expected[customer][name]) <= slack, name


def test_sums_of_money_stop_at_what_the_tables_hold() -> None:
    orders = [Happening("a", HOUR, codes.ORDER, amount=MAX_AMOUNT * 10_000) for _ in range(20_000)]
    orders += [Happening("b", HOUR, codes.ORDER, amount=5), Happening("b", HOUR, codes.REFUND, amount=3)]
    for pieces in ([orders], cut(orders, range(0, 20_000, 700))):
        table = build(pieces)
        assert dict(zip(table.ids, table.used["revenue"].tolist(), strict=True)) == {"a": MOST_MONEY, "b": 5}
        assert table.used["refunded"].tolist() == [0, 3]


def test_sessions_break_after_thirty_minutes_of_silence() -> None:
    """Drawn on a line: views at 0, 30 (same session), 61 (new one), and one of minute 40 that came late."""
    views = [Happening("a", minute * MINUTE, codes.PAGE_VIEW) for minute in (0, 30, 61, 40)]
    assert build([views]).used["sessions"].tolist() == [2]


def test_gaps_between_orders_are_whole_hours() -> None:
    orders = [Happening("a", hour * HOUR) for hour in (0, 10, 10, 34)]
    row = build([orders]).used[0]
    assert (row["gap_count"], row["gap_sum_squares"]) == (2, 10**2 + 24**2)


@pytest.mark.parametrize(("name", "days"), [(name, days) for name, days in DECAYED.items() if name != "revenue_90d"])
def test_a_decayed_counter_holds_exp_minus_age_by_tau(name: str, days: int) -> None:
    code = {"o": codes.ORDER, "w": codes.PAGE_VIEW, "t": codes.TICKET_OPENED}[name[0]]
    table = build([[Happening("a", END - 2 * DAY, code)]])
    assert table.used[name][0] / ONE == pytest.approx(math.exp(-2 / days), abs=1e-6)
    for _ in range(10):
        fade(table, DAY)
    assert table.used[name][0] / ONE == pytest.approx(math.exp(-12 / days), abs=1e-5)


def test_fading_goes_down_to_nothing() -> None:
    table = build([[Happening("a", 0, codes.ORDER, amount=10**13)]])
    assert table.used["slot_end"].tolist() == [END]
    for _ in range(20):
        fade(table, 365 * DAY)
    assert [table.used[name][0] for name in DECAYED] == [0] * len(DECAYED)


@given(happenings(DAYS), happenings(DAYS))
def test_a_pickled_table_goes_on_like_the_original(before: list[Happening], after: list[Happening]) -> None:
    table = build([before])
    restored = pickle.loads(pickle.dumps(table))
    for each in (table, restored):
        customers, events = columns(after)
        apply_events(each, customers, events, END)
    assert in_order(restored) == in_order(table)
    assert restored.ids == table.ids


def test_rows_keep_their_places_while_the_table_grows() -> None:
    table = ProfileTable()
    first = table.locate(["b", "a", "b"]).tolist()
    table.locate([f"c{number}" for number in range(1_000)])
    assert first == [0, 1, 0]
    assert table.locate(["a", "c999", "b"]).tolist() == [1, 1_001, 0]
    assert len(table) == 1_002
    assert table.ids[1_001] == "c999"
    assert table.used["last_order"].tolist() == [NEVER] * 1_002


def test_nothing_changes_nothing() -> None:
    table = build([[]])
    assert len(table) == 0
    assert table.in_order().tolist() == []


def test_memory_per_customer_is_as_documented() -> None:
    assert ROW_DTYPE.itemsize == 240
    assert np.dtype(ROW_DTYPE).isalignedstruct
