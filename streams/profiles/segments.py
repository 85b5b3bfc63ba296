"""Lifecycle and RFM segment of customers, as small integers with names.

The lifecycle compares the days since the last order with the customer's own rhythm; the segment is the usual grid of
recency against frequency. Both are fixed rules over a profile's columns, so they are the same for live and replayed
customers and need no second pass over the population.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import RowArray
from contracts.times import DAY
from streams.profiles.features import Rhythm, days_since_order, rhythm_of
from streams.profiles.rows import times_of

LIFECYCLES: Final = ("prospect", "new", "active", "at_risk", "lapsed")
SEGMENTS: Final = (
    "prospects", "newcomers", "promising", "loyal", "champions", "needs_attention", "cannot_lose", "hibernating",
)  # fmt: skip

PROSPECT, NEW, ACTIVE, AT_RISK, LAPSED = range(len(LIFECYCLES))
NEW_DAYS: Final = 30.0
"""A first order makes a customer new for this long."""
LATE_FACTOR: Final = 2.0
"""At risk: silent for this many times the customer's own gap, and at least 30 days."""
LAPSED_FACTOR: Final = 4.0
"""Lapsed: silent for this many times the customer's own gap, and at least 90 days."""
FREQUENT_ORDERS: Final = 4
"""Orders that make a customer a frequent one."""
REPEAT_ORDERS: Final = 2

_SEGMENT_OF: Final = np.array([[0, 0, 0], [1, 1, 1], [2, 3, 4], [5, 5, 6], [7, 7, 6]], np.int8)
"""The segment by lifecycle and frequency: one order, :data:`REPEAT_ORDERS`, :data:`FREQUENT_ORDERS`."""


def lifecycle_of(
    rows: RowArray, now: NDArray[np.int64] | int, rhythm: Rhythm | None = None
) -> NDArray[np.int8]:
    """Return the position in :data:`LIFECYCLES` of each customer as of ``now`` (microseconds)."""
    gap = (rhythm_of(rows) if rhythm is None else rhythm).mean
    since, orders = days_since_order(rows, now), rows["orders"]
    tenure = np.maximum(now - times_of(rows["first_order"]), 0) / DAY
    stage = np.full(len(rows), ACTIVE, np.int8)
    stage[since > np.maximum(30.0, LATE_FACTOR * gap)] = AT_RISK
    stage[since > np.maximum(90.0, LAPSED_FACTOR * gap)] = LAPSED
    stage[(orders == 1) & (tenure <= NEW_DAYS)] = NEW
    stage[orders == 0] = PROSPECT
    return stage


def segment_of(rows: RowArray, lifecycle: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the position in :data:`SEGMENTS` of each customer: lifecycle (recency) against orders (frequency)."""
    orders = rows["orders"]
    frequency = (orders >= REPEAT_ORDERS).astype(np.int8) + (orders >= FREQUENT_ORDERS)
    segment: NDArray[np.int8] = _SEGMENT_OF[lifecycle, frequency]
    return segment
