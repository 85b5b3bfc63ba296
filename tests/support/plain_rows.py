"""What the row of a profile should hold, in plain Python: one event and one obvious rule at a time."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from support.columns import DAY, SERVICE, WEB, Happening

from contracts.blocks import RowArray
from contracts.times import SECOND
from streams import codes
from streams.profiles.matrices import recent_orders
from streams.profiles.money import MOST_REVENUE
from streams.profiles.rows import (
    COUNTS,
    DECAYED,
    FIRST_TIMES,
    LAST_TIMES,
    MONEY,
    NEVER,
    NOT_YET,
    RECENT,
    UNITS,
    stamps_of,
    times_of,
)

Row = dict[str, int]
COUNTERS: Final = {
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
LASTS: Final = {
    codes.ORDER: "last_order",
    codes.REFUND: "last_refund",
    codes.PRODUCT_VIEW: "last_view",
    codes.PRODUCT_ADDED: "last_cart",
    codes.CHECKOUT: "last_checkout",
    codes.TICKET_OPENED: "last_ticket",
}


def by_hand(events: Sequence[Happening], slot: int) -> Row:
    """The row of somebody who did all this, as of the end of a slot."""
    row: Row = defaultdict(int, dict.fromkeys(LAST_TIMES, NEVER) | dict.fromkeys(FIRST_TIMES, NOT_YET))
    for each in events:
        row["events"] += 1
        for first in ("first_seen", *(["first_order"] if each.code == codes.ORDER else [])):
            row[first] = min(row[first], each.occurred)
        started = ["last_session"] if each.session and each.code in WEB else []
        kept = [LASTS[each.code]] if each.code in LASTS else []
        for last in ("last_seen", *kept, *started, *(["last_web"] if each.code in WEB else [])):
            row[last] = max(row[last], each.occurred)
        if each.code in COUNTERS:
            row[COUNTERS[each.code]] += 1
        row["sessions"] += len(started)
        row["web_events"] += each.code in WEB
        row["service_events"] += each.code in SERVICE
        _sums(row, each, (slot + 1) * DAY)
    return row


def _sums(row: Row, each: Happening, end: int) -> None:
    if each.code == codes.ORDER:
        row["revenue"] += each.amount
        row["items"] += each.items
        _decay(row, ("orders_7d", "orders_30d", "orders_90d"), each, end)
        _decay(row, ("revenue_90d",), each, end, each.amount / 10_000)
    if each.code == codes.REFUND:
        row["refunded"] += each.amount
    if each.code == codes.SATISFACTION:
        row["satisfaction_sum"] += round(each.score / 1_000)
    if each.code in WEB:
        _decay(row, ("web_7d", "web_30d", "web_90d"), each, end)
    if each.code == codes.TICKET_OPENED:
        _decay(row, ("tickets_30d",), each, end)


def _decay(row: Row, names: tuple[str, ...], each: Happening, end: int, amount: float = 1) -> None:
    for name in names:
        row[name] += round(math.exp(-(end - each.occurred) / (DECAYED[name] * DAY)) * amount * UNITS[name])


def assert_is(row: RowArray, events: Sequence[Happening], slot: int) -> None:
    """Check the row of somebody who did all this, as of the end of a slot.

    Decayed columns may differ by the rounding of each event and of each slot, all others by nothing.
    """
    expected = by_hand(events, slot)
    times, exact = (*FIRST_TIMES, *LAST_TIMES), (*MONEY, "satisfaction_sum", *COUNTS)
    assert {name: int(row[name][0]) for name in exact} == {name: expected[name] for name in exact}
    stamps = {name: int(stamps_of(np.array([expected[name]]))[0]) for name in times}
    assert {name: int(row[name][0]) for name in times} == stamps
    reached_the_end = expected["revenue"] / 10_000 * UNITS["revenue_90d"] > MOST_REVENUE  # and faded from there
    for name in DECAYED:
        found, tolerance = int(row[name][0]), 2 * len(events) + slot + 2
        if name == "revenue_90d" and reached_the_end:
            assert found <= expected[name] + tolerance
        else:
            assert found == pytest.approx(expected[name], abs=tolerance), name
    orders = sorted((each.occurred for each in events if each.code == codes.ORDER), reverse=True)
    assert times_of(recent_orders(row))[0].tolist() == whole_seconds((orders + [NEVER] * RECENT)[:RECENT])


def whole_seconds(times: Sequence[int]) -> list[int]:
    """Times as a row holds them."""
    return [time if time == NEVER else time // SECOND * SECOND for time in times]
