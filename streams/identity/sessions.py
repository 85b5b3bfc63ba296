"""Sessions: a web event starts one when its device had no web event in the last 30 minutes, as in web analytics.

The previous event is the newest one before it in the log: a running maximum, which does not depend on how batches are
cut. A previous event counts only if it is too recent for the device to be forgotten, so forgetting changes no session.
"""

from collections.abc import Set
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import EventArray
from contracts.state import Columns
from contracts.times import SECOND
from streams import codes
from streams.identity.owners import LONG_AGO
from streams.identity.policy import IdentityPolicy
from streams.profiles.texts import packed, unpacked
from streams.profiles.touched import Touched

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
    """The newest web event of customers whose web events have no device. Customers silent for long are forgotten.

    A part: its changes are the customers seen, or all customers after some were forgotten.
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._last = np.full(_SMALLEST, LONG_AGO, np.int64)
        self._seen = Touched()
        self._stored = 0
        """The number of rows in the stored state; -1 if they have other places there."""

    def starts(self, customers: list[str], visits: Visits, policy: IdentityPolicy) -> NDArray[np.bool_]:
        """Return which web events of customers start a session."""
        rows = self._rows
        at = np.fromiter([rows.setdefault(customer, len(rows)) for customer in customers], np.int64, len(customers))
        self._grow()
        self._seen.note(at)
        return starts(at, visits, self._last, policy)

    def forget(self, before: int) -> None:
        """Forget customers without a web event since ``before`` (seconds)."""
        kept = self._last[: len(self._rows)] >= before
        if not kept.all():
            self._keep(kept)

    def remove(self, people: Set[str]) -> None:
        """Forget some customers."""
        kept = np.fromiter((name not in people for name in self._rows), np.bool_, len(self._rows))
        if not kept.all():
            self._keep(kept)

    def changes(self) -> Columns:
        """Return the customers seen since the last call, with the names of new ones; or all if some were forgotten."""
        if self._stored < 0:
            return self.whole()
        at = self._seen.positions()
        if not len(at):
            return {}
        new = [*islice(reversed(self._rows), len(self._rows) - self._stored)][::-1]
        self._stored = len(self._rows)
        self._seen.clear()
        return {"at": at.astype(np.int32), "last": self._last[at], **_names(new)}

    def whole(self) -> Columns:
        """Return all customers."""
        self._stored = len(self._rows)
        self._seen.clear()
        return {"last": self._last[: len(self._rows)], **_names(list(self._rows))}

    def apply(self, columns: Columns) -> None:
        """Set customers: all, or those at positions."""
        found: dict[str, Any] = dict(columns)
        new = unpacked(found["names"], int(found["count"][0])).tolist()
        if "at" in found:
            self._rows.update(zip(new, range(len(self._rows), len(self._rows) + len(new)), strict=True))
            self._grow()
            self._last[found["at"]] = found["last"]
        else:
            self._set(new, found["last"])
        self._stored = len(self._rows)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        names = [name for name, stays in zip(self._rows, kept.tolist(), strict=True) if stays]
        self._set(names, self._last[: len(kept)][kept])
        self._stored = -1

    def _grow(self) -> None:
        if len(self._rows) > len(self._last):
            grown = np.full(2 * len(self._rows), LONG_AGO, np.int64)
            grown[: len(self._last)] = self._last
            self._last = grown

    def _set(self, customers: list[str], last: NDArray[np.int64]) -> None:
        """Replace all customers."""
        self._rows = {customer: row for row, customer in enumerate(customers)}
        self._last = np.full(max(_SMALLEST, len(last)), LONG_AGO, np.int64)
        self._last[: len(last)] = last
        self._seen.clear()


def _names(customers: list[str]) -> dict[str, Any]:
    return {"names": packed(customers), "count": np.array([len(customers)], np.int64)}
