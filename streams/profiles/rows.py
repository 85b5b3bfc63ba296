"""The row of one profile. Every column is *order-free*: a sum of integers, a maximum, a minimum, or a few newest times.

So the result is the same wherever batches are cut, however lanes interleave, and whenever a device's row is added to a
customer's. Money is in 1/10,000 of the base currency; decayed counters are in fixed point
(:data:`ONE`), since sums of floats depend on their order. Times are microseconds since the Unix epoch.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import VERSION_SHIFT, RowArray

NEVER: Final = -(2**62)
"""The last time of an event that never happened."""
NOT_YET: Final = 2**62
"""The first time of an event that never happened."""
ONE: Final = 1 << 20
"""One event in the fixed point of decayed counters."""
RECENT: Final = 4
"""The number of newest order times in a row, for the spread of the gaps between orders."""

FIRST_TIMES: Final = ("first_seen", "first_order")
LAST_TIMES: Final = (
    "last_seen", "last_order", "last_web", "last_session", "last_view", "last_cart", "last_checkout", "last_refund",
    "last_ticket",
)  # fmt: skip
SUMS: Final = ("revenue", "refunded", "satisfaction_sum")
DECAYED: Final = {
    "orders_7d": 7, "orders_30d": 30, "orders_90d": 90,
    "web_7d": 7, "web_30d": 30, "web_90d": 90,
    "tickets_30d": 30, "revenue_90d": 90,
}  # fmt: skip
"""Decayed counters and their time constants in days: ``sum(exp(-(b - t) / tau))``, as of the end ``b`` of ``slot``."""
COUNTS: Final = (
    "events", "orders", "items", "refunds", "cancelled", "web_events", "sessions", "product_views", "carts",
    "cart_views", "checkouts", "service_events", "tickets", "tickets_solved", "satisfaction_count",
)  # fmt: skip

ROW_DTYPE: Final = np.dtype(
    [("key", "u8")]
    + [(name, "i8") for name in (*FIRST_TIMES, *LAST_TIMES)]
    + [("recent_orders", "i8", (RECENT,))]
    + [(name, "i8") for name in (*SUMS, *DECAYED)]
    + [(name, "i4") for name in COUNTS]
    + [("slot", "i4")],
    align=True,
)
"""One profile. ``key`` is xxh3_64 of the profile id, in whose order rows leave a table; ``slot`` is the newest slot in
which something changed: decayed counters are as of its end. ``recent_orders`` are the newest order times, newest first,
:data:`NEVER` where there are fewer."""

LAST_OF_COUNTER: Final = {
    "orders": "last_order", "refunds": "last_refund", "sessions": "last_session", "carts": "last_cart",
    "checkouts": "last_checkout", "tickets": "last_ticket", "product_views": "last_view",
}  # fmt: skip
"""The column that holds the time of the newest event behind each counter of :data:`contracts.outcomes.Counter`."""


def blank_rows(count: int) -> RowArray:
    """Return empty rows without events. Their ``slot`` is -1."""
    rows: RowArray = np.empty(count, ROW_DTYPE)
    rows.getfield(_PLAIN, 0)[:] = _BLANK.getfield(_PLAIN, 0)
    return rows


def _blank_row() -> RowArray:
    row: RowArray = np.zeros(1, ROW_DTYPE)
    for name in (*LAST_TIMES, "recent_orders"):
        row[name] = NEVER
    for name in FIRST_TIMES:
        row[name] = NOT_YET
    row["slot"] = -1
    return row


_BLANK: Final = _blank_row()
_PLAIN: Final = np.dtype(f"V{ROW_DTYPE.itemsize}")
"""A row as plain bytes: numpy copies structured rows field by field otherwise."""


def versions_of(slot: NDArray[np.integer] | int, rows: RowArray) -> NDArray[np.int64]:
    """Return the versions of profiles in a slot (one, or one per row)."""
    version: NDArray[np.int64] = (np.asarray(slot, np.int64) << VERSION_SHIFT) + rows["events"].astype(np.int64)
    return version
