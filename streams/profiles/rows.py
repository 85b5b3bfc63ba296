"""The row of one profile. Every column is *order-free*: a sum of integers, a maximum, a minimum, or a few newest times.

So the result is the same wherever batches are cut, however lanes interleave, and whenever a device's row is added to a
customer's. Sums stop at the largest number that their column holds: a sum of numbers that are not negative is
order-free with such an end too. Decayed counters are in fixed point, since sums of floats depend on their order.

A row takes 128 bytes. Money is in 1/10,000 of the base currency and exact; times are *stamps* in whole seconds
(:func:`stamps_of`, :func:`times_of`). Sweeps happen at whole seconds, so nothing that compares times with them depends
on the fractions.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import VERSION_SHIFT, RowArray
from contracts.times import SECOND

NEVER: Final = -(2**62)
"""The last time (microseconds) of an event that never happened."""
NOT_YET: Final = 2**62
"""The first time (microseconds) of an event that never happened."""
RECENT: Final = 4
"""The number of newest order times in a row, for the spread of the gaps between orders."""

FIRST_TIMES: Final = ("first_seen", "first_order")
MARKED: Final = (
    "last_seen", "last_web", "last_session", "last_view", "last_cart", "last_checkout", "last_refund", "last_ticket",
)  # fmt: skip
"""The newest times of events, but for orders."""
LAST_TIMES: Final = (*MARKED, "last_order")
MONEY: Final = ("revenue", "refunded")
FADING: Final = {
    "orders_7d": 7, "orders_30d": 30, "orders_90d": 90,
    "web_7d": 7, "web_30d": 30, "web_90d": 90,
    "tickets_30d": 30,
}  # fmt: skip
DECAYED: Final = FADING | {"revenue_90d": 90}
"""Decayed counters and their time constants in days: ``sum(exp(-(b - t) / tau))``, as of the end ``b`` of ``slot``."""
UNITS: Final = dict.fromkeys(FADING, 64) | dict.fromkeys(("orders_7d", "orders_30d", "orders_90d"), 256)
UNITS["revenue_90d"] = 10
"""The fixed point of decayed counters: what one event, or one unit of the base currency, counts in them. So the decayed
orders reach 255, web events and tickets 1,023, and ``revenue_90d`` 429 million."""
FEW: Final = (
    "orders", "items", "refunds", "cancelled", "web_events", "sessions", "product_views", "carts", "cart_views",
    "checkouts", "service_events", "tickets", "tickets_solved", "satisfaction_count",
)  # fmt: skip
"""Counters that stop at :data:`MOST_FEW`."""
COUNTS: Final = ("events", *FEW)
MOST_FEW: Final = 2**16 - 1
RATING: Final = 10
"""What one point of a rating counts in ``satisfaction_sum``, which holds tenths up to :data:`MOST_FEW`."""

ROW_DTYPE: Final = np.dtype(
    [(name, "i8") for name in MONEY]
    + [(name, "u4") for name in LAST_TIMES]
    + [("earlier_orders", "u4", (RECENT - 1,))]
    + [(name, "u4") for name in (*FIRST_TIMES, "revenue_90d", "events")]
    + [("slot", "i4")]
    + [(name, "u2") for name in (*FADING, *FEW, "satisfaction_sum")]
)
"""One profile. ``slot`` is the newest slot in which something changed: decayed counters are as of its end.
``last_order`` and ``earlier_orders`` are the newest order times, newest first."""

LAST_OF_COUNTER: Final = {
    "orders": "last_order", "refunds": "last_refund", "sessions": "last_session", "carts": "last_cart",
    "checkouts": "last_checkout", "tickets": "last_ticket", "product_views": "last_view",
}  # fmt: skip
"""The column that holds the time of the newest event behind each counter of :data:`contracts.outcomes.Counter`."""

NO_STAMP: Final = np.uint32(0)
"""The stamp of the last time of an event that never happened."""
FAR_STAMP: Final = np.uint32(2**32 - 1)
"""The stamp of the first time of an event that never happened. It lies in the year 2106."""


def stamps_of(times: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return times (microseconds since the Unix epoch, :data:`NEVER` or :data:`NOT_YET`) as stamps of a row."""
    return np.clip(times // SECOND + 1, 0, int(FAR_STAMP)).astype(np.uint32)


def times_of(stamps: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the times of stamps in microseconds, :data:`NEVER` or :data:`NOT_YET` where nothing happened."""
    seconds = stamps.astype(np.int64)  # a column of rows is scattered in memory: it is read once
    times = (seconds - 1) * SECOND
    np.copyto(times, NEVER, where=seconds == int(NO_STAMP))
    np.copyto(times, NOT_YET, where=seconds == int(FAR_STAMP))
    return times


def reach_of(stamps: NDArray[np.uint32], time: int) -> NDArray[np.bool_]:
    """Return which last times, as stamps, are at ``time`` (microseconds) or later: ``times_of(stamps) >= time``."""
    least = -(-time // SECOND) + 1
    reached: NDArray[np.bool_] = stamps >= np.uint32(min(max(least, 1), int(FAR_STAMP)))
    return reached


def blank_rows(count: int) -> RowArray:
    """Return empty rows without events. Their ``slot`` is -1."""
    rows: RowArray = np.empty(count, ROW_DTYPE)
    rows.getfield(_PLAIN, 0)[:] = _BLANK.getfield(_PLAIN, 0)
    return rows


def _blank_row() -> RowArray:
    row: RowArray = np.zeros(1, ROW_DTYPE)
    for name in FIRST_TIMES:
        row[name] = FAR_STAMP
    row["slot"] = -1
    return row


_BLANK: Final = _blank_row()
_PLAIN: Final = np.dtype(f"V{ROW_DTYPE.itemsize}")
"""A row as plain bytes: numpy copies structured rows field by field otherwise."""


def versions_of(slot: NDArray[np.integer] | int, rows: RowArray) -> NDArray[np.int64]:
    """Return the versions of profiles in a slot (one, or one per row)."""
    version: NDArray[np.int64] = (np.asarray(slot, np.int64) << VERSION_SHIFT) + rows["events"].astype(np.int64)
    return version
