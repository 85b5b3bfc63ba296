"""Sessions: a web event starts one when its device had no web event in the last 30 minutes, as in web analytics.

The previous event is the newest one before it in the log: a running maximum, which does not depend on how batches are
cut. A previous event counts only if it is too recent for the device to be forgotten, so forgetting changes no session.
"""

from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import EventArray
from streams import codes
from streams.identity.owned import LONG_AGO
from streams.identity.policy import IdentityPolicy
from streams.profiles.texts import one_text, texts_of

SECOND: Final = 1_000_000
_SMALLEST: Final = 64
Slots = TypeVar("Slots", int, NDArray[np.int64])


def web_events(events: EventArray) -> NDArray[np.int64]:
    """Return the positions of web events."""
    code = events["code"]
    return np.flatnonzero((code >= codes.PAGE_VIEW) & (code < codes.TICKET_OPENED))


class Visits(NamedTuple):
    """Web events: their times in microseconds, and their slots."""

    occurred: NDArray[np.int64]
    slots: NDArray[np.int64]


def visits_of(events: EventArray, chosen: NDArray[np.int64]) -> Visits:
    """Return the web events at positions."""
    return Visits(events["occurred"][chosen], events["slot"][chosen].astype(np.int64))


def starts(at: NDArray[np.int64], visits: Visits, last: NDArray[np.int64], policy: IdentityPolicy) -> NDArray[np.bool_]:
    """Return which web events start a session, and move ``last`` on.

    ``at[i]`` is the row of event i in ``last`` (seconds). Events are in the order of their slots, and of their log
    within a slot.
    """
    second = visits.occurred // SECOND
    before = _previous(at, second, last[at])
    np.maximum.at(last, at, second)
    forgotten = before < silent_before(visits.slots, policy)
    found: NDArray[np.bool_] = (second - before > policy.session_gap) | forgotten
    return found


def silent_before(slot: Slots, policy: IdentityPolicy) -> Slots:
    """Return the second before which a last event is too old to be remembered in a slot (one, or one per event)."""
    return (slot * policy.interval - policy.visitors_forgotten_after) // SECOND


def _previous(
    at: NDArray[np.int64], second: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the newest second before each event of its row, ``last`` before the batch: a running maximum per row."""
    if len(at) == 1:
        return last
    order = np.argsort(at, kind="stable")
    row, time = at[order], second[order]
    first = np.empty(len(at), np.bool_)
    first[0] = True
    np.not_equal(row[1:], row[:-1], out=first[1:])
    if first.all():
        return last
    base = int(time.min())
    shift = (np.cumsum(first) - 1) * (int(time.max()) - base + 1) - base
    newest = np.maximum.accumulate(time + shift) - shift
    before = np.empty_like(time)
    before[1:] = newest[:-1]
    before[first] = LONG_AGO
    found = np.empty_like(before)
    found[order] = before
    return np.maximum(found, last)


class CustomerVisits:
    """The newest web event of customers whose web events have no device. Customers silent for long are forgotten."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._last = np.full(_SMALLEST, LONG_AGO, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {"customers": one_text(list(self._rows)), "last": self._last[: len(self._rows)]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        customers = texts_of(state["customers"], len(state["last"]))
        self._rows = {customer: row for row, customer in enumerate(customers)}
        self._last = state["last"].copy()

    def starts(self, customers: list[str], visits: Visits, policy: IdentityPolicy) -> NDArray[np.bool_]:
        """Return which web events of customers start a session."""
        rows = self._rows
        at = np.fromiter([rows.setdefault(customer, len(rows)) for customer in customers], np.int64, len(customers))
        if len(rows) > len(self._last):
            grown = np.full(2 * len(rows), LONG_AGO, np.int64)
            grown[: len(self._last)] = self._last
            self._last = grown
        return starts(at, visits, self._last, policy)

    def forget(self, before: int) -> None:
        """Forget customers without a web event since ``before`` (seconds)."""
        kept = self._last[: len(self._rows)] >= before
        if not kept.all():
            names = np.array(list(self._rows), object)[kept].tolist()
            self.__setstate__({"customers": one_text(names), "last": self._last[: len(kept)][kept]})
