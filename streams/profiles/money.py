"""Money in the profiles: sums of amounts, and the conversion of amounts that wait for an exchange rate. Pure.

Money is held in 1/10,000 of the base currency; ``revenue_90d``, a figure that fades, in tenths. A waiting amount adds
to ``revenue`` and ``refunded`` exactly as much as it would have added with its event. ``revenue_90d`` gets it with the
weight of the event's age, like a late event; its last digits may differ, because each change of slot rounds.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import UNCONVERTED_DTYPE, Entries, EventArray, RowArray, no_entries
from contracts.rates import WAITS, Rates
from contracts.times import DAY
from streams import codes
from streams.profiles.rows import UNITS

MOST_MONEY: Final = 10**18 - 1
"""Sums of money stop here: what ClickHouse's Decimal(18, 4) holds."""
MOST_REVENUE: Final = 2**32 - 1
"""``revenue_90d`` stops here, in tenths."""
REVENUE_DAYS: Final = 90
"""The time constant of ``revenue_90d``."""
MONEY_UNIT: Final = 10_000
"""One unit of the base currency."""
_PORTION: Final = 8_000
"""The number of largest possible amounts whose sum fits 64 bits."""


def add_money(column: NDArray[np.int64], at: NDArray[np.int64], amounts: NDArray[np.int64]) -> None:
    """Add amounts (none below zero) to a column at positions, up to :data:`MOST_MONEY`: so capped it is order-free."""
    for start in range(0, len(at), _PORTION):
        some = at[start : start + _PORTION]
        np.add.at(column, some, amounts[start : start + _PORTION])
        column[some] = np.minimum(column[some], MOST_MONEY)


def add_capped(column: NDArray[np.unsignedinteger], at: NDArray[np.int64], more: NDArray[Any], most: int) -> None:
    """Add whole numbers (none below zero) to a narrow column at positions, up to ``most``: it is order-free."""
    places, index = np.unique(at, return_inverse=True)
    sums = column[places].astype(np.int64)
    add_money(sums, index, more.astype(np.int64))
    column[places] = np.minimum(sums, most)


def quarterly(amounts: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what amounts of these weights add to ``revenue_90d``."""
    tenths: NDArray[np.float64] = np.rint(amounts * weights * (UNITS["revenue_90d"] / MONEY_UNIT))
    return tenths


def convert_events(events: EventArray, rates: Rates) -> EventArray:
    """Return the events with their amounts converted if there is a rate now."""
    waiting = events["currency"] != 0
    if not waiting.any():
        return events
    worth = rates.worth(events["currency"], events["occurred"], events["amount"])
    converted = waiting & (worth != WAITS)
    if not converted.any():
        return events
    events = events.copy()
    events["amount"] = np.where(converted, worth, events["amount"])
    events["currency"][converted] = 0
    return events


def set_aside(events: EventArray, at: NDArray[np.int64]) -> tuple[EventArray, Entries]:
    """Return the events without the amounts that wait, and these amounts as entries for the rows ``at``."""
    waiting = events["currency"] != 0
    if not waiting.any():
        return events, no_entries()
    counted = waiting & np.isin(events["code"], (codes.ORDER, codes.REFUND)) & (events["amount"] != 0)
    entries = np.zeros(int(counted.sum()), UNCONVERTED_DTYPE)
    for name in ("occurred", "amount", "currency"):
        entries[name] = events[name][counted]
    entries["row"], entries["refund"] = at[counted], events["code"][counted] == codes.REFUND
    events = events.copy()
    events["amount"][waiting] = 0
    return events, entries


def settle(
    rows: RowArray, entries: Entries, rates: Rates, interval: int
) -> tuple[Entries, NDArray[np.int64]]:
    """Add the waiting amounts that have a rate to their rows; return the other entries, and the rows that changed.

    The caller has faded the rows to the slot in which the money counts (:func:`streams.profiles.deltas.fade`).
    """
    if not len(entries):
        return entries, np.empty(0, np.int64)
    worth = rates.worth(entries["currency"], entries["occurred"], entries["amount"])
    due = worth != WAITS
    at, amounts, refund = entries["row"][due].astype(np.int64), worth[due], entries["refund"][due]
    add_money(rows["refunded"], at[refund], amounts[refund])
    at, amounts, occurred = at[~refund], amounts[~refund], entries["occurred"][due][~refund]
    add_money(rows["revenue"], at, amounts)
    age = (rows["slot"][at].astype(np.int64) + 1) * interval - occurred
    weight = np.exp(-np.maximum(age, 0) / (REVENUE_DAYS * DAY))
    add_capped(rows["revenue_90d"], at, quarterly(amounts, weight), MOST_REVENUE)
    return entries[~due], np.unique(entries["row"][due]).astype(np.int64)
