"""The phrases of reasons: a feature's value beside its usual value."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

SINGLE: Final = 0
"""The rhythm of people with at most one order, who have none."""
_FEW: Final = 10.0
_NEARLY_NONE: Final = 0.05


class Observed(NamedTuple):
    """One value to phrase, rounded as its feature requires, with the usual value of people of the same kind.

    ``rhythm`` is the person's own gap between orders in days for features of recency, else any positive number; it is
    :data:`SINGLE` for people with one order at most.
    """

    value: int
    usual: float
    rhythm: int


Phrase = Callable[[Observed], str]


def number(value: float) -> str:
    """A usual value: ``none``, ``1.4``, ``12``."""
    if value < _NEARLY_NONE:
        return "none"
    return f"{value:.1f}".removesuffix(".0") if value < _FEW else f"{value:.0f}"


def _counted(noun: str) -> Phrase:
    """``few orders: 1, usually 4``."""

    def phrase(seen: Observed) -> str:
        usual = number(seen.usual)
        if not seen.value:
            return f"no {noun}, usually {usual}" if usual != "none" else f"no {noun}"
        beside = "" if usual == "none" else _compared(seen, "few ", "many ")
        return f"{beside}{noun}: {seen.value}, usually {usual}"

    return phrase


def _compared(seen: Observed, less: str, more: str) -> str:
    """The word for a value beside the usual one, as both are shown."""
    if number(seen.value) == number(seen.usual):
        return ""
    return more if seen.value > seen.usual else less


def _since_order(seen: Observed) -> str:
    if seen.rhythm == SINGLE:
        return f"{_days(seen.value)} since the only order" if seen.value else "first order today"
    if not seen.value:
        return f"ordered today, usually every {_days(seen.rhythm)}"
    return f"{_days(seen.value)} since last order, usually {seen.rhythm}"


def _since_seen(seen: Observed) -> str:
    return f"{_days(seen.value)} since last seen, usually {seen.usual:.0f}" if seen.value else "seen today"


def _known_for(seen: Observed) -> str:
    return f"known for {_days(seen.value)}, usually {seen.usual:.0f}" if seen.value else "first seen today"


def _gap(seen: Observed) -> str:
    if seen.rhythm == SINGLE:
        return "only one order, so no rhythm yet"
    return f"{_compared(seen, 'often: ', 'seldom: ')}orders every {_days(seen.value)}, usually {seen.usual:.0f}"


def _spread(seen: Observed) -> str:
    if seen.rhythm == SINGLE:
        return "only one order, so no rhythm yet"
    even = "even" if seen.value <= 100 * seen.usual else "uneven"
    return f"{even} gaps between orders: ±{seen.value} %"


def _money(less: str, more: str, noun: str, end: str = "") -> Phrase:
    def phrase(seen: Observed) -> str:
        return f"{_compared(seen, less, more)}{noun}: {seen.value}{end}, usually {number(seen.usual)}"

    return phrase


def _satisfaction(seen: Observed) -> str:
    if seen.value == 30:
        return "no good or poor rating"
    return f"{'high' if seen.value > 30 else 'low'} satisfaction: {seen.value / 10:g} of 5"


def _refunds(seen: Observed) -> str:
    if seen.rhythm == SINGLE and seen.value > 100:
        return "more refunds than orders"
    usual = f"usually {100 * seen.usual:.0f} %"
    if not seen.value:
        return f"no refunds, {usual}" if seen.usual >= _NEARLY_NONE / 10 else "no refunds"
    return f"{'many' if seen.value > 100 * seen.usual else 'few'} refunds: {seen.value} % of orders, {usual}"


def _conversion(seen: Observed) -> str:
    # Where most orders come without visits, as by telephone, the usual value is above 1 and says nothing of visits.
    usual = f", usually {seen.usual:.2g}" if seen.usual <= 1 else ""
    if not seen.value:
        return f"no orders per visit{usual}"
    return f"{'many' if seen.value > 100 * seen.usual else 'few'} orders per visit: {seen.value / 100:g}{usual}"


PHRASES: Final[Mapping[str, Phrase]] = {
    "log_days_since_order": _since_order,
    "log_days_since_seen": _since_seen,
    "log_tenure_days": _known_for,
    "log_orders": _counted("orders"),
    "log_mean_gap_days": _gap,
    "log_overdue": _since_order,
    "gap_spread": _spread,
    "log_revenue": _money("low ", "high ", "revenue"),
    "log_average_order": _money("small ", "large ", "orders", " on average"),
    "log_orders_7d": _counted("orders this week"),
    "log_orders_30d": _counted("orders this month"),
    "log_orders_90d": _counted("orders this quarter"),
    "log_web_7d": _counted("web events this week"),
    "log_web_30d": _counted("web events this month"),
    "log_web_90d": _counted("web events this quarter"),
    "log_tickets_30d": _counted("tickets this month"),
    "satisfaction": _satisfaction,
    "refund_rate": _refunds,
    "conversion": _conversion,
    "log_carts": _counted("products in carts"),
}
"""For each feature the words for a value."""


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
