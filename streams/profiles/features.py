"""The features of a profile: recency, frequency, money, cadence, web activity and service, all on log scales.

The choice follows the classical RFM description and the customer-base literature: recency, frequency and the gap
between purchases carry most of the information (Fader, Hardie & Lee 2005, "RFM and CLV"). The mean gap is shrunk
towards :data:`PRIOR_GAP_DAYS`, so customers with one purchase have one too. People without orders have no rhythm: their
features of orders are 0, and a separate model scores them (:mod:`online_models.without_orders`).

Gaps are computed from order-free columns: their number from the orders, their sum from the first and the last order,
their spread from the times of the newest orders. Orders less than an hour apart are one purchase in parts:
among the newest orders such gaps do not count. On CDNOW (mean of five dates) AUC and log loss are within .001 of those
with the exact count and mean square of all gaps, which depend on the order of arrival: churn .810 / .713 of all / of
active customers, opportunity .813 / .705. All definitions that were compared lie within the noise (docs/adr/0011).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import RowArray
from contracts.times import DAY, HOUR, SECOND
from streams.profiles.matrices import fading, recent_orders
from streams.profiles.rows import FADING, NO_STAMP, RATING, RECENT, UNITS, times_of

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
"""The gap between purchases assumed for a customer with one purchase."""
_MONEY: Final = 10_000.0
_TAUS: Final = (7, 30, 90)
_RATES: Final = 1.0 / (np.array(_TAUS) * DAY)
_UNITS: Final = np.array([1.0 / UNITS[name] for name in FADING])
_DAY: Final = DAY // SECOND
_HOUR: Final = HOUR // SECOND


class Rhythm(NamedTuple):
    """The gaps between the orders of n customers, in days.

    ``recent`` are the newest ones (n, RECENT - 1), 0 where there is none; ``mean`` (n,) is that of all, shrunk towards
    the prior with the weight of one gap.
    """

    recent: NDArray[np.float64]
    mean: NDArray[np.float64]

    @property
    def spread(self) -> NDArray[np.float64]:
        """The root mean square distance of the newest gaps from the mean, over the mean; shrunk like it."""
        mean, known = self.mean, self.recent > 0
        squares = ((self.recent - mean[:, None]) ** 2 * known).sum(axis=1) + (PRIOR_GAP_DAYS - mean) ** 2
        spread: NDArray[np.float64] = np.sqrt(squares / (known.sum(axis=1) + 1.0)) / mean
        return spread


def rhythm_of(rows: RowArray) -> Rhythm:
    """Return the gaps between orders."""
    stamps, orders = recent_orders(rows), rows["orders"].astype(np.int64)
    gaps = stamps[:, :-1] - stamps[:, 1:]
    counted = (gaps >= _HOUR) & (stamps[:, 1:] != NO_STAMP)
    short = np.minimum(orders - 1, RECENT - 1) - counted.sum(axis=1)
    count = np.maximum(orders - 1 - np.maximum(short, 0), 0)
    span = np.where(count > 0, rows["last_order"] - rows["first_order"], 0)
    return Rhythm(np.where(counted, gaps, 0) / _DAY, (span / _DAY + PRIOR_GAP_DAYS) / (count + 1.0))


def days_since_order(rows: RowArray, now: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Return the days since the last order; 0 for people who never ordered. Never negative."""
    last = np.where(rows["orders"] > 0, times_of(rows["last_order"]), now)
    since: NDArray[np.float64] = np.maximum(now - last, 0) / DAY
    return since


def compute_features(
    rows: RowArray, now: NDArray[np.int64] | int, interval: int, rhythm: Rhythm | None = None
) -> NDArray[np.float32]:
    """Return features as of ``now`` (microseconds, one or per row), shape (rows, len(FEATURES)), float32, finite.

    Decayed counters are as of the end of each row's slot of ``interval`` microseconds and go on to ``now`` from there.
    Pass ``rhythm`` if it is already known.
    """
    rhythm = rhythm_of(rows) if rhythm is None else rhythm
    orders, satisfied = rows["orders"].astype(np.float64), rows["satisfaction_count"]
    since, some, revenue = days_since_order(rows, now), np.maximum(orders, 1.0), rows["revenue"] / _MONEY
    block = np.empty((len(rows), len(FEATURES)), np.float32)
    block[:, 0] = since
    block[:, 1] = np.maximum(now - times_of(rows["last_seen"]), 0) / DAY
    block[:, 2] = np.maximum(now - times_of(rows["first_seen"]), 0) / DAY
    block[:, 3] = orders
    block[:, 4] = np.where(orders > 0, rhythm.mean, 0.0)
    block[:, 5] = since / rhythm.mean
    block[:, 6] = rhythm.spread
    block[:, 7] = revenue
    block[:, 8] = revenue / some
    _extrapolate(block[:, 9:16], rows, now, interval)
    block[:, 18] = orders / np.maximum(rows["sessions"], 1.0)
    block[:, 19] = rows["carts"]
    block[:, 16:18] = 0.0
    np.log1p(block, out=block)
    satisfaction = rows["satisfaction_sum"] / (np.maximum(satisfied, 1) * float(RATING)) - 3.0
    block[:, 16] = np.where(satisfied > 0, satisfaction, 0.0)
    block[:, 17] = rows["refunds"] / some
    return block


def _extrapolate(
    block: NDArray[np.float32], rows: RowArray, now: NDArray[np.int64] | int, interval: int
) -> None:
    """Fill in the decayed counters of orders, web events and tickets as of ``now``."""
    ahead = ((rows["slot"].astype(np.int64) + 1) * interval - now).astype(np.float64)
    weights = np.exp(ahead[:, None] * _RATES)
    counters = fading(rows) * _UNITS
    for first in (0, len(_TAUS)):
        same = slice(first, first + len(_TAUS))
        np.multiply(counters[:, same], weights, out=block[:, same], casting="same_kind")
    block[:, 6] = counters[:, 6] * weights[:, 1]
