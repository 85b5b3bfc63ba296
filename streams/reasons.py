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
    lines = np.full(len(effects), "", object)
    for place in range(SHOWN):
        strongest = np.abs(effects).argmax(axis=1)[:, None]
        sizes = np.take_along_axis(effects, strongest, axis=1)
        lines += _phrases(strongest.ravel(), sizes.ravel(), "; " if place else "")
        np.put_along_axis(effects, strongest, 0.0, axis=1)
    texts: list[str] = lines.tolist()
    return texts


def _phrases(features: NDArray[np.int64], sizes: NDArray[np.float64], before: str) -> NDArray[np.object_]:
    """``<before><words> <size>`` for each feature and its size, empty where the size rounds to nothing.

    Many customers share a phrase, so each is written once and then picked.
    """
    hundredths = np.rint(sizes * 100).astype(np.int64)
    known, at = np.unique(hundredths * len(FEATURES) + features, return_inverse=True)
    phrases = [
        f"{before}{WORDS[FEATURES[feature]]} {size / 100:+.2f}" if size else ""
        for size, feature in (divmod(pair, len(FEATURES)) for pair in known.tolist())
    ]
    return np.array(phrases, object)[at]
