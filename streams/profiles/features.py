"""What the models see of a profile: recency, frequency, money, cadence, web activity and service, all on log scales.

The choice follows the classical RFM description and the customer-base literature (recency, frequency and the gap
between purchases carry nearly all there is to know; Fader, Hardie & Lee 2005, "RFM and CLV"). The mean gap is shrunk
towards :data:`PRIOR_GAP_DAYS`, so customers with one purchase have one. People without orders have no rhythm: all
features of orders are 0 for them, and models of their own read the others (:mod:`online_models.without_orders`).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.profiles.table import DAY, DECAYED, NEVER, ONE

FEATURES: Final = (
    "log_days_since_order", "log_days_since_seen", "log_tenure_days", "log_orders", "log_mean_gap_days",
    "log_overdue", "gap_spread", "log_revenue", "log_average_order", "log_orders_7d", "log_orders_30d",
    "log_orders_90d", "log_web_7d", "log_web_30d", "log_web_90d", "log_tickets_30d", "satisfaction",
    "refund_rate", "conversion", "log_carts",
)  # fmt: skip
"""The features, in the order of the columns; part of the stored shape of ``customer_daily``."""

LOGARITHMIC: Final = [i for i, name in enumerate(FEATURES) if name not in ("satisfaction", "refund_rate")]
"""The columns that hold the logarithm of one plus the value."""

PRIOR_GAP_DAYS: Final = 60.0
"""The gap between purchases assumed of a customer of whom only one is known."""
_MONEY: Final = 10_000.0


def mean_gap_days(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Mean days between a customer's orders, shrunk towards the prior with the weight of one gap."""
    gaps = rows["gap_count"]
    span = np.where(gaps > 0, rows["last_order"] - rows["first_order"], 0) / DAY
    shrunk: NDArray[np.float64] = (span + PRIOR_GAP_DAYS) / (gaps + 1.0)
    return shrunk


def days_since_order(rows: NDArray[np.void], now: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Days since the last order; 0 for people who never ordered. Never negative."""
    last = np.where(rows["last_order"] == NEVER, now, rows["last_order"])
    since: NDArray[np.float64] = np.maximum(now - last, 0) / DAY
    return since


def compute_features(rows: NDArray[np.void], now: NDArray[np.int64] | int, boundary_at: int) -> NDArray[np.float32]:
    """Features as of ``now`` (microseconds), shape (rows, len(FEATURES)), float32, finite.

    ``boundary_at`` is the moment as of which the decayed counters are kept: the end of the current slot.
    """
    ahead = (boundary_at - np.asarray(now)) / DAY
    gap, since = mean_gap_days(rows), days_since_order(rows, now)
    orders = rows["orders"].astype(np.float64)
    some = np.maximum(orders, 1.0)
    revenue = rows["revenue"] / _MONEY
    count = rows["satisfaction_count"]
    decayed = {name: rows[name] * (np.exp(ahead / days) / ONE) for name, days in DECAYED.items()}
    spread = np.sqrt(np.maximum(_mean_square_gap(rows) - gap**2, 0.0)) / gap
    columns = (
        since,
        np.maximum(now - rows["last_seen"], 0) / DAY,
        np.maximum(now - rows["first_seen"], 0) / DAY,
        orders,
        np.where(orders > 0, gap, 0.0),
        since / gap,
        spread,
        revenue,
        revenue / some,
        *(decayed[name] for name in ("orders_7d", "orders_30d", "orders_90d", "web_7d", "web_30d", "web_90d")),
        decayed["tickets_30d"],
        np.where(count > 0, rows["satisfaction_sum"] / (np.maximum(count, 1) * _MONEY) - 3.0, 0.0),
        rows["refunds"] / some,
        orders / np.maximum(rows["sessions"], 1.0),
        rows["carts"].astype(np.float64),
    )
    block = np.empty((len(rows), len(FEATURES)), np.float32)
    for position, column in enumerate(columns):
        block[:, position] = column
    logs = LOGARITHMIC
    block[:, logs] = np.log1p(block[:, logs])
    return block


def _mean_square_gap(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Mean squared gap in days squared, shrunk like the mean."""
    squares: NDArray[np.float64] = (rows["gap_sum_squares"] / 576.0 + PRIOR_GAP_DAYS**2) / (rows["gap_count"] + 1.0)
    return squares
