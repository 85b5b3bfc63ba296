"""What the hand-written loop knows of one person, customer or visitor, and how it is scored."""

from dataclasses import dataclass
from math import exp, log1p
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DAY: Final = 86_400.0
SESSION: Final = 1_800.0
GAP: Final = 60.0
"""Days between orders of a customer of whom only one order is known."""
OUTCOMES: Final = ("churn", "opportunity")
FEATURES: Final = (
    "days since last order", "days since last seen", "days known", "orders", "days between orders",
    "spread of the gaps", "revenue", "average order", "orders in a week", "orders in a month", "orders in a quarter",
    "visits in a week", "visits in a month", "visits in a quarter", "tickets in a month", "satisfaction", "refunds",
    "orders per visit", "carts", "events",
)  # fmt: skip
SHOWN: Final = 3
KNOWN_SCORES: Final = 1_000
"""So many scores of the last batches say which percentile a score is."""
Event = dict[str, Any]
Array = NDArray[np.float64]

COUNTERS: Final = {
    "Order Completed": "orders", "Order Refunded": "refunds", "Order Cancelled": "cancelled",
    "Product Viewed": "product_views", "Product Added": "carts", "Cart Viewed": "cart_views",
    "Checkout Started": "checkouts", "Ticket Opened": "tickets", "Ticket Solved": "tickets_solved",
}  # fmt: skip
COUNTS: Final = (
    "events", "orders", "items", "refunds", "cancelled", "web_events", "sessions", "product_views", "carts",
    "cart_views", "checkouts", "service_events", "tickets", "tickets_solved", "satisfaction_count",
)  # fmt: skip
DECAYED: Final = {
    "orders_7d": 7, "orders_30d": 30, "orders_90d": 90, "web_7d": 7, "web_30d": 30, "web_90d": 90, "tickets_30d": 30,
    "revenue_90d": 90,
}  # fmt: skip
MONEY: Final = ("revenue", "refunded", "satisfaction_sum")
FIRST: Final = ("first_seen", "first_order")
LAST: Final = (
    "last_seen", "last_order", "last_web", "last_session", "last_view", "last_cart", "last_checkout", "last_refund",
    "last_ticket",
)  # fmt: skip
LAST_OF: Final = {
    "Order Refunded": "last_refund", "Product Viewed": "last_view", "Product Added": "last_cart",
    "Checkout Started": "last_checkout", "Ticket Opened": "last_ticket",
}  # fmt: skip


class Person:
    """The profile of a customer or a visitor: counts, sums, times in seconds (0: never) and decayed counts."""

    def __init__(self) -> None:
        self.events = self.orders = self.items = self.refunds = self.cancelled = self.web_events = self.sessions = 0
        self.product_views = self.carts = self.cart_views = self.checkouts = self.service_events = self.tickets = 0
        self.tickets_solved = self.satisfaction_count = 0
        self.revenue = self.refunded = self.satisfaction_sum = self.gaps = self.squares = 0.0
        self.first_seen = self.first_order = self.last_seen = self.last_order = self.last_web = self.last_ticket = 0.0
        self.last_session = self.last_view = self.last_cart = self.last_checkout = self.last_refund = 0.0
        self.orders_7d = self.orders_30d = self.orders_90d = self.web_7d = self.web_30d = self.web_90d = 0.0
        self.tickets_30d = self.revenue_90d = 0.0

    def fade(self, now: float) -> None:
        """Let the decayed counts fade until ``now``."""
        gap = (now - self.last_seen) / DAY
        if gap <= 0.0 or not self.last_seen:
            return
        week, month, quarter = exp(-gap / 7), exp(-gap / 30), exp(-gap / 90)
        self.orders_7d *= week
        self.web_7d *= week
        self.orders_30d *= month
        self.web_30d *= month
        self.tickets_30d *= month
        self.orders_90d *= quarter
        self.web_90d *= quarter
        self.revenue_90d *= quarter

    def count(self, event: Event) -> None:
        """Count one event."""
        now, name, kind = event["seconds"], event["name"], event["kind"]
        self.fade(now)
        self.first_seen = min(self.first_seen or now, now)
        self.last_seen = max(self.last_seen, now)
        self.events += 1
        counter = COUNTERS.get(name)
        if counter is not None:
            setattr(self, counter, getattr(self, counter) + 1)
        last = LAST_OF.get(name)
        if last is not None and getattr(self, last) < now:
            setattr(self, last, now)
        if kind == "web":
            self._visit(now)
        elif name == "Order Completed":
            self._order(now, event["properties"])
        elif name == "Order Refunded":
            self.refunded += event["properties"].get("total") or 0.0
        elif kind == "service":
            self._service(now, name, event["properties"])

    def _visit(self, now: float) -> None:
        self.web_events += 1
        if now - self.last_web > SESSION:
            self.sessions += 1
            self.last_session = max(self.last_session, now)
        self.last_web = max(self.last_web, now)
        self.web_7d += 1
        self.web_30d += 1
        self.web_90d += 1

    def _order(self, now: float, properties: Event) -> None:
        total = properties.get("total") or 0.0
        self.items += properties.get("items") or 0
        self.revenue += total
        self.revenue_90d += total
        self.orders_7d += 1
        self.orders_30d += 1
        self.orders_90d += 1
        if self.last_order:
            between = (now - self.last_order) / DAY
            self.gaps += between
            self.squares += between * between
        self.first_order = min(self.first_order or now, now)
        self.last_order = max(self.last_order, now)

    def _service(self, now: float, name: str, properties: Event) -> None:
        self.service_events += 1
        if name == "Ticket Opened":
            self.tickets_30d += 1
        elif name == "CSAT Submitted":
            self.satisfaction_count += 1
            self.satisfaction_sum += properties.get("score") or 0.0

    def join(self, visitor: "Person") -> None:
        """Take over what a visitor did, who turns out to be this person."""
        now = max(self.last_seen, visitor.last_seen)
        self.fade(now)
        visitor.fade(now)
        for name in (*COUNTS, *DECAYED, *MONEY, "gaps", "squares"):
            setattr(self, name, getattr(self, name) + getattr(visitor, name))
        for name in LAST:
            setattr(self, name, max(getattr(self, name), getattr(visitor, name)))
        for name in FIRST:
            times = [time for time in (getattr(self, name), getattr(visitor, name)) if time]
            setattr(self, name, min(times, default=0.0))

    def mean_gap(self) -> float:
        """Days between orders."""
        return (self.gaps + GAP) / max(1, self.orders)

    def satisfaction(self) -> float | None:
        """The mean of the ratings, 1 to 5."""
        return self.satisfaction_sum / self.satisfaction_count if self.satisfaction_count else None

    def lifecycle(self) -> str:
        """Where the person stands, by the last order against the person's own rhythm."""
        if not self.orders:
            return "prospect"
        since, gap = (self.last_seen - self.last_order) / DAY, self.mean_gap()
        if self.orders == 1 and (self.last_seen - self.first_order) / DAY <= 30:
            return "new"
        if since > max(90.0, 4 * gap):
            return "lapsed"
        return "at_risk" if since > max(30.0, 2 * gap) else "active"

    def segment(self, lifecycle: str) -> str:
        """Recency against frequency."""
        if lifecycle == "prospect":
            return "prospects"
        if lifecycle == "new":
            return "newcomers"
        if lifecycle == "active":
            return "champions" if self.orders >= 4 else "loyal" if self.orders > 1 else "promising"
        if self.orders >= 4:
            return "cannot_lose"
        return "needs_attention" if lifecycle == "at_risk" else "hibernating"

    def features(self) -> list[float]:
        """What the models see, in the order of :data:`FEATURES`."""
        now, orders, gap = self.last_seen, self.orders, self.mean_gap()
        spread = max(0.0, (self.squares + GAP * GAP) / max(1, orders) - gap * gap) ** 0.5 / gap
        satisfaction = (self.satisfaction() or 3.0) - 3.0
        return [
            log1p((now - self.last_order) / DAY) if orders else 0.0, 0.0, log1p((now - self.first_seen) / DAY),
            log1p(orders), log1p(gap), spread, log1p(self.revenue), log1p(self.revenue / (orders or 1)),
            log1p(self.orders_7d), log1p(self.orders_30d), log1p(self.orders_90d), log1p(self.web_7d),
            log1p(self.web_30d), log1p(self.web_90d), log1p(self.tickets_30d), satisfaction,
            self.refunds / (orders or 1), log1p(orders / (self.sessions or 1)), log1p(self.carts), log1p(self.events),
        ]  # fmt: skip


@dataclass
class Scores:
    """The scores of one outcome for n people."""

    probability: list[float]
    percentile: list[float]
    reasons: list[str]


class Model:
    """A linear model on standardised features, with the ranks of its latest scores. It does not learn."""

    def __init__(self, seed: int):
        draw = np.random.default_rng(seed)
        self._mean, self._deviation, self._weight = (draw.random(len(FEATURES)) + 0.5 for _ in range(3))
        self._latest = np.zeros(0)

    def score(self, features: Array) -> Scores:
        """Probabilities, percentiles among the latest scores, and reasons in words."""
        effects = (features - self._mean) / self._deviation * self._weight
        probability = 1 / (1 + np.exp(-effects.sum(axis=1)))
        self._latest = np.sort(np.concatenate((self._latest, probability)))
        if len(self._latest) > KNOWN_SCORES:
            self._latest = self._latest[np.linspace(0, len(self._latest) - 1, KNOWN_SCORES).astype(int)]
        percentile = 100 / len(self._latest) * np.searchsorted(self._latest, probability)
        return Scores(probability.tolist(), percentile.tolist(), self._reasons(features, effects))

    def _reasons(self, features: Array, effects: Array) -> list[str]:
        strongest = np.argsort(-np.abs(effects), axis=1)[:, :SHOWN]
        values = np.expm1(np.take_along_axis(features, strongest, axis=1)).tolist()
        signs = np.take_along_axis(effects, strongest, axis=1).tolist()
        usual = np.expm1(self._mean).tolist()
        return [
            "; ".join(
                f"{'+' if sign > 0 else '-'} {FEATURES[at]}: {value:.0f}, usually {usual[at]:.1f}"
                for at, value, sign in zip(which, row, row_signs, strict=True)
            )
            for which, row, row_signs in zip(strongest.tolist(), values, signs, strict=True)
        ]
