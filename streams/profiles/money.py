"""Money in the profiles: sums of amounts, and the conversion of amounts that wait for an exchange rate. Pure.

Money is held in 1/10,000 of the base currency. A waiting amount adds to ``revenue`` and ``refunded`` exactly as much as
it would have added with its event. ``revenue_90d`` gets it with the weight of the event's age, like a late event; its
last digits may differ, because each change of slot rounds.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import UNCONVERTED_DTYPE, Entries, EventArray, RowArray, no_entries
from contracts.rates import DAY_US, WAITS, Rates
from streams import codes

MOST_MONEY: Final = 10**18 - 1
"""Sums of money stop here: what ClickHouse's Decimal(18, 4) holds."""
REVENUE_DAYS: Final = 90
"""The time constant of ``revenue_90d``."""
_PORTION: Final = 8_000
"""The number of largest possible amounts whose sum fits 64 bits."""


def add_money(column: NDArray[np.int64], at: NDArray[np.int64], amounts: NDArray[np.int64]) -> None:
    """Add amounts (none below zero) to a column at positions, up to :data:`MOST_MONEY`: so capped it is order-free."""
    for start in range(0, len(at), _PORTION):
        some = at[start : start + _PORTION]
        np.add.at(column, some, amounts[start : start + _PORTION])
        column[some] = np.minimum(column[some], MOST_MONEY)


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
    weight = np.exp(-age / (REVENUE_DAYS * DAY_US))
    add_money(rows["revenue_90d"], at, np.rint(amounts * weight).astype(np.int64))
    return entries[~due], np.unique(entries["row"][due]).astype(np.int64)
