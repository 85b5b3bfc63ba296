"""Why a score is what it is, in words: the features that moved it most, and by how much (log-odds)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import OutcomeScores
from streams.features import FEATURES

SHOWN: Final = 3
WORDS: Final = {
    "log_days_since_order": "days since last order",
    "log_days_since_seen": "days since last seen",
    "log_tenure_days": "time as a customer",
    "log_orders": "orders",
    "log_mean_gap_days": "days between orders",
    "log_overdue": "overdue against own rhythm",
    "gap_spread": "unsteady rhythm",
    "log_revenue": "revenue",
    "log_average_order": "average order",
    "log_orders_7d": "orders this week",
    "log_orders_30d": "orders this month",
    "log_orders_90d": "orders this quarter",
    "log_web_7d": "visits this week",
    "log_web_30d": "visits this month",
    "log_web_90d": "visits this quarter",
    "log_tickets_30d": "tickets this month",
    "satisfaction": "satisfaction",
    "refund_rate": "refunds per order",
    "conversion": "orders per visit",
    "log_carts": "products put in carts",
}


def reasons_of(scores: OutcomeScores, features: NDArray[np.float32]) -> list[str]:
    """One line per customer, the strongest reason first: ``days since last order +0.82; orders -0.31``.

    Empty where no feature moves the score, as before the first examples.
    """
    effects = scores.explainer.effects(features)
    strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :SHOWN]
    sizes = np.take_along_axis(effects, strongest, axis=1)
    words = [WORDS[name] for name in FEATURES]
    return [
        "; ".join(f"{words[at]} {size:+.2f}" for at, size in zip(row, values, strict=True) if abs(size) >= 0.005)
        for row, values in zip(strongest.tolist(), sizes.tolist(), strict=True)
    ]
