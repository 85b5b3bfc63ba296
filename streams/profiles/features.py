"""What the models see of a profile: recency, frequency, money, cadence, web activity and service, all on log scales.

The choice follows the classical RFM description and the customer-base literature (recency, frequency and the gap
between purchases carry nearly all there is to know; Fader, Hardie & Lee 2005, "RFM and CLV"). The mean gap is shrunk
towards :data:`PRIOR_GAP_DAYS`, so customers with one purchase have one. People without orders have no rhythm: all
features of orders are 0 for them, and models of their own read the others (:mod:`online_models.without_orders`).

Gaps are read off order-free columns: their number from the orders, their sum from the first and the last order, and
their spread from the few newest orders, whose times a row keeps. Orders less than an hour apart are one purchase in
parts: among the newest orders such gaps are left out.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import RowArray
from contracts.rates import DAY_US
from streams.profiles.matrices import decayed, recent_orders
from streams.profiles.rows import DECAYED, NEVER, ONE

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
_HOUR: Final = 3_600_000_000
_TAUS: Final = tuple(sorted(set(DECAYED.values())))
_TAU_OF: Final = np.array([_TAUS.index(days) for days in list(DECAYED.values())[:-1]])
"""The time constant of each decayed counter but ``revenue_90d``, which is no feature."""
_RATES: Final = 1.0 / (np.array(_TAUS) * DAY_US)


def recent_gaps(rows: RowArray) -> NDArray[np.float64]:
    """Return the days between the newest orders, shape (rows, RECENT - 1); 0 where there is no gap of an hour."""
    times = recent_orders(rows)
    gaps = times[:, :-1] - times[:, 1:]
    return np.where((gaps >= _HOUR) & (times[:, 1:] != NEVER), gaps, 0) / DAY_US


def mean_gap_days(rows: RowArray) -> NDArray[np.float64]:
    """Return the mean days between a customer's orders, shrunk towards the prior with the weight of one gap."""
    return (_span_days(rows) + PRIOR_GAP_DAYS) / (_gap_count(rows, recent_gaps(rows)) + 1.0)


def days_since_order(rows: RowArray, now: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Return the days since the last order; 0 for people who never ordered. Never negative."""
    last = np.where(rows["last_order"] == NEVER, now, rows["last_order"])
    since: NDArray[np.float64] = np.maximum(now - last, 0) / DAY_US
    return since


def compute_features(rows: RowArray, now: NDArray[np.int64] | int, interval: int) -> NDArray[np.float32]:
    """Return features as of ``now`` (microseconds, one or per row), shape (rows, len(FEATURES)), float32, finite.

    Decayed counters are as of the end of each row's slot of ``interval`` microseconds and go on to ``now`` from there.
    """
    gaps, span = recent_gaps(rows), _span_days(rows)
    count = _gap_count(rows, gaps)
    gap, since = (span + PRIOR_GAP_DAYS) / (count + 1.0), days_since_order(rows, now)
    orders = rows["orders"].astype(np.float64)
    some = np.maximum(orders, 1.0)
    revenue, satisfied = rows["revenue"] / _MONEY, rows["satisfaction_count"]
    block = np.empty((len(rows), len(FEATURES)))
    block[:, 0] = since
    block[:, 1] = np.maximum(now - rows["last_seen"], 0) / DAY_US
    block[:, 2] = np.maximum(now - rows["first_seen"], 0) / DAY_US
    block[:, 3] = orders
    block[:, 4] = np.where(orders > 0, gap, 0.0)
    block[:, 5] = since / gap
    block[:, 6] = _spread(gaps, count, span, gap)
    block[:, 7] = revenue
    block[:, 8] = revenue / some
    block[:, 9:16] = _extrapolated(rows, now, interval)
    block[:, 18] = orders / np.maximum(rows["sessions"], 1.0)
    block[:, 19] = rows["carts"]
    block[:, 16:18] = 0.0
    features = np.log1p(block.astype(np.float32))
    features[:, 16] = np.where(
        satisfied > 0, rows["satisfaction_sum"] / (np.maximum(satisfied, 1) * _MONEY) - 3.0, 0.0)  # fmt: skip
    features[:, 17] = rows["refunds"] / some
    return features


def _extrapolated(rows: RowArray, now: NDArray[np.int64] | int, interval: int) -> NDArray[np.float64]:
    """Return the decayed counters of events as of ``now``, shape (rows, 7)."""
    ahead = ((rows["slot"].astype(np.int64) + 1) * interval - now).astype(np.float64)
    fading = np.exp(ahead[:, None] * _RATES) / ONE
    counted: NDArray[np.float64] = decayed(rows)[:, :-1] * fading[:, _TAU_OF]
    return counted


def _span_days(rows: RowArray) -> NDArray[np.float64]:
    """Return the days from the first to the last order; 0 if these are less than an hour apart."""
    span = np.where(rows["orders"] > 1, rows["last_order"] - rows["first_order"], 0)
    return np.where(span >= _HOUR, span, 0) / DAY_US


def _gap_count(rows: RowArray, gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the number of gaps between orders: without those among the newest orders that are shorter than an hour."""
    known = np.minimum(rows["orders"] - 1, gaps.shape[1])
    short = np.maximum(known - np.count_nonzero(gaps, axis=1), 0)
    count: NDArray[np.float64] = np.maximum(rows["orders"] - 1.0, 0.0) - short
    return count


def _spread(
    gaps: NDArray[np.float64], count: NDArray[np.float64], span: NDArray[np.float64], gap: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the standard deviation of the gaps over their mean, shrunk like it."""
    earlier = np.maximum(count - np.count_nonzero(gaps, axis=1), 0.0)
    older = np.maximum(span - gaps.sum(axis=1), 0.0)
    squares = (gaps**2).sum(axis=1) + older**2 / np.maximum(earlier, 1.0) + PRIOR_GAP_DAYS**2
    spread: NDArray[np.float64] = np.sqrt(np.maximum(squares / (count + 1.0) - gap**2, 0.0)) / gap
    return spread
