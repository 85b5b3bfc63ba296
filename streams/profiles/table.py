"""The profiles of one bucket of customers: one row of a numpy table each, updated a batch at a time.

Every column is *order-free*: a sum of integers, a maximum or a minimum, so a batch may be cut anywhere and topics may
interleave in any way, and the table is the same to the last bit. Money is held in 1/10,000 of the base currency and
decayed counters in fixed point (:data:`ONE`), because sums of floats would depend on their order. The two columns
that compare neighbours (sessions, gaps between orders) each follow a single topic, whose order the log fixes.

Decayed counters follow ``sum(exp(-(b - t) / tau))`` over the events at times ``t``, as of the boundary ``b`` that ends
the current slot, so a late event adds exactly what it would have added in time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.blocks import EventArray
from streams import codes
from streams.profiles.money import REVENUE_DAYS, add_money, add_revenue, set_aside
from streams.profiles.unconverted import Unconverted, carried

NEVER: Final = -(2**62)
"""A last time that has not happened yet."""
NOT_YET: Final = 2**62
"""A first time that has not happened yet."""
SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
NONE_BEFORE: Final = -NEVER // SECOND
"""Seconds since a previous event that is not there are at least this many; no event lies before 1970."""
SESSION_GAP_SECONDS: Final = 1_800
"""A web event starts a new session when nothing came for 30 minutes: the usual definition in web analytics."""
ONE: Final = 1 << 20
"""One event in the fixed point of decayed counters."""

FIRST_TIMES: Final = ("first_seen", "first_order", "first_web")
LAST_TIMES: Final = ("last_seen", "last_order", "last_web", "last_ticket")
MONEY: Final = ("revenue", "refunded")
SUMS: Final = ("revenue", "refunded", "satisfaction_sum", "gap_sum_squares")
COUNTS: Final = (
    "events", "orders", "items", "refunds", "cancelled", "web_events", "sessions", "product_views", "carts",
    "cart_views", "checkouts", "service_events", "tickets", "tickets_solved", "satisfaction_count", "gap_count",
)  # fmt: skip
DECAYED: Final = {
    "orders_7d": 7, "orders_30d": 30, "orders_90d": 90,
    "web_7d": 7, "web_30d": 30, "web_90d": 90,
    "tickets_30d": 30, "revenue_90d": REVENUE_DAYS,
}  # fmt: skip
"""Decayed counters and their time constants in days."""

ROW_DTYPE: Final = np.dtype(
    [("key", "u8"), ("slot_end", "i8")]
    + [(name, "i8") for name in (*FIRST_TIMES, *LAST_TIMES, *SUMS, *DECAYED)]
    + [(name, "i4") for name in COUNTS]
    + [("unpublished", "?")],
    align=True,
)
"""One customer: 240 bytes. ``key`` is a hash of the id, in whose order customers leave the table; ``slot_end`` is the
end of the slot in which the newest event counted."""

_COUNTER_OF_CODE: Final = {
    codes.ORDER: "orders",
    codes.REFUND: "refunds",
    codes.CANCELLATION: "cancelled",
    codes.PRODUCT_VIEW: "product_views",
    codes.PRODUCT_ADDED: "carts",
    codes.CART_VIEW: "cart_views",
    codes.CHECKOUT: "checkouts",
    codes.TICKET_OPENED: "tickets",
    codes.TICKET_SOLVED: "tickets_solved",
    codes.SATISFACTION: "satisfaction_count",
}


@dataclass
class ProfileTable:
    """The customers of one bucket. Row ``i`` belongs to ``ids[i]`` for ever; rows are only added."""

    ids: list[str] = field(default_factory=list)
    rows: NDArray[np.void] = field(default_factory=lambda: np.empty(0, ROW_DTYPE))
    unconverted: Unconverted = field(default_factory=Unconverted)
    """The amounts that wait for an exchange rate."""
    _index: dict[str, int] = field(default_factory=dict, repr=False)
    _names: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object), repr=False)
    _order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {"ids": self.ids, "rows": self.used, "unconverted": self.unconverted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.ids, self.rows, self.unconverted = state["ids"], state["rows"].copy(), state["unconverted"]
        self._index = {customer: row for row, customer in enumerate(self.ids)}
        self._names, self._order = np.empty(0, object), np.empty(0, np.int64)

    @property
    def used(self) -> NDArray[np.void]:
        """The rows in use, as a view."""
        return self.rows[: len(self.ids)]

    def locate(self, customers: Iterable[str]) -> NDArray[np.int64]:
        """Return the row of each customer; new customers get the next free rows, in order of appearance."""
        index, ids = self._index, self.ids
        located = np.fromiter((index.setdefault(customer, len(index)) for customer in customers), np.int64)
        if len(index) > len(ids):
            new = list(islice(reversed(index), len(index) - len(ids)))[::-1]
            self._grow(len(index))
            self.rows["key"][len(ids) : len(index)] = [xxh3_64_intdigest(customer.encode()) for customer in new]
            ids.extend(new)
        return located

    def find(self, customer: str) -> int | None:
        """Return the row of somebody; None if there is none."""
        return self._index.get(customer)

    def without(self, positions: NDArray[np.int64]) -> "ProfileTable":
        """Return a table of all others, in their order. Their positions are new."""
        keep = np.ones(len(self.ids), np.bool_)
        keep[positions] = False
        rest, left = ProfileTable(), Unconverted()
        left.add(carried(self.unconverted.entries, np.flatnonzero(keep), len(self.ids)))
        rest.__setstate__({"ids": self.names[keep].tolist(), "rows": self.used[keep], "unconverted": left})
        return rest

    @property
    def names(self) -> NDArray[np.object_]:
        """The ids as an array, for taking many at once."""
        if len(self._names) != len(self.ids):
            self._names = np.array(self.ids, object)
        return self._names

    def in_order(self) -> NDArray[np.int64]:
        """All rows in the order of their keys: the same however the topics interleaved."""
        if len(self._order) != len(self.ids):
            self._order = np.argsort(self.used["key"], kind="stable")
        return self._order

    def _grow(self, size: int) -> None:
        """Make room for ``size`` rows; capacity doubles, so growth costs a constant per customer."""
        used = len(self.rows)
        if size <= used:
            return
        rows = blank_rows(max(64, 2 * size))
        rows[:used] = self.rows
        self.rows = rows


def blank_rows(count: int) -> NDArray[np.void]:
    """Rows of nobody to whom nothing has happened."""
    rows = np.zeros(count, ROW_DTYPE)
    for name in LAST_TIMES:
        rows[name] = NEVER
    for name in FIRST_TIMES:
        rows[name] = NOT_YET
    return rows


def apply_events(table: ProfileTable, customers: Iterable[str], events: EventArray, boundary_at: int) -> None:
    """Add events, in the order of their log, to the profiles of their customers.

    ``boundary_at`` (microseconds) ends the current slot; no event may lie after it. The caller has dropped duplicates.
    """
    if not len(events):
        return
    at = table.locate(customers)
    events, waiting = set_aside(events, at)
    table.unconverted.add(waiting)
    rows, code, time = table.rows, events["code"], events["occurred"]
    np.add.at(rows["events"], at, 1)
    np.maximum.at(rows["last_seen"], at, time)
    np.minimum.at(rows["first_seen"], at, time)
    rows["slot_end"][at] = boundary_at
    rows["unpublished"][at] = True
    for each, counter in _COUNTER_OF_CODE.items():
        hit = at[code == each]
        if len(hit):
            np.add.at(rows[counter], hit, 1)
    for select, apply in (
        (code < codes.PAGE_VIEW, _apply_transactions),
        ((code >= codes.PAGE_VIEW) & (code < codes.TICKET_OPENED), _apply_web),
        ((code >= codes.TICKET_OPENED) & (code < codes.IDENTITY), _apply_service),
    ):
        if select.any():
            apply(rows, at[select], events[select], boundary_at)


def _apply_transactions(rows: NDArray[np.void], at: NDArray[np.int64], events: EventArray, boundary_at: int) -> None:
    refund = events["code"] == codes.REFUND
    add_money(rows["refunded"], at[refund], events["amount"][refund])
    order = events["code"] == codes.ORDER
    if not order.any():
        return
    at, events = at[order], events[order]
    amount, time = events["amount"], events["occurred"]
    add_revenue(rows, at, amount, boundary_at - time)
    np.add.at(rows["items"], at, events["items"])
    since = _since_previous(at, time, rows["last_order"])
    hours, repeat = since // 3_600, (since >= 3_600) & (since < NONE_BEFORE)
    np.add.at(rows["gap_count"], at[repeat], 1)
    np.add.at(rows["gap_sum_squares"], at[repeat], hours[repeat] ** 2)
    np.maximum.at(rows["last_order"], at, time)
    np.minimum.at(rows["first_order"], at, time)
    _add_decayed(rows, ("orders_7d", "orders_30d", "orders_90d"), at, boundary_at - time)


def _apply_web(rows: NDArray[np.void], at: NDArray[np.int64], events: EventArray, boundary_at: int) -> None:
    time = events["occurred"]
    np.add.at(rows["web_events"], at, 1)
    since = _since_previous(at, time, rows["last_web"])
    np.add.at(rows["sessions"], at[since > SESSION_GAP_SECONDS], 1)
    np.maximum.at(rows["last_web"], at, time)
    np.minimum.at(rows["first_web"], at, time)
    _add_decayed(rows, ("web_7d", "web_30d", "web_90d"), at, boundary_at - time)


def _apply_service(rows: NDArray[np.void], at: NDArray[np.int64], events: EventArray, boundary_at: int) -> None:
    np.add.at(rows["service_events"], at, 1)
    np.add.at(rows["satisfaction_sum"], at, events["score"])
    opened = events["code"] == codes.TICKET_OPENED
    at, time = at[opened], events["occurred"][opened]
    np.maximum.at(rows["last_ticket"], at, time)
    _add_decayed(rows, ("tickets_30d",), at, boundary_at - time)


def _add_decayed(rows: NDArray[np.void], names: tuple[str, ...], at: NDArray[np.int64], age: NDArray[np.int64]) -> None:
    """Add one event of each ``age`` (microseconds before the boundary) to decayed counters."""
    for name in names:
        weight = np.exp(age * (-1.0 / (DECAYED[name] * DAY)))
        np.add.at(rows[name], at, np.rint(weight * ONE).astype(np.int64))


def _since_previous(at: NDArray[np.int64], time: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds from the newest earlier event of the same row to each event, in log order.

    At least :data:`NONE_BEFORE` where there is none; not positive where the event is older than its predecessor. Works
    as a loop over the events would, with a running maximum per row: rows are told apart by a multiple of the whole
    range of times.
    """
    order = np.argsort(at, kind="stable")
    row, second = at[order], time[order] // SECOND
    first = np.r_[True, row[1:] != row[:-1]]
    base = int(second.min())
    span = int(second.max()) - base + 1
    group = np.cumsum(first) - 1
    newest = np.maximum.accumulate(group * span + (second - base)) - group * span + base
    before = np.where(first, NEVER // SECOND, np.r_[0, newest[:-1]])
    before = np.maximum(before, last[row] // SECOND)
    since = np.empty_like(second)
    since[order] = second - before
    return since


def fade(table: ProfileTable, interval: int) -> None:
    """Move all decayed counters on by one slot of ``interval`` microseconds."""
    rows = table.used
    for name, days in DECAYED.items():
        column = rows[name]
        alive = column != 0
        if alive.any():
            column[alive] = np.rint(column[alive] * np.exp(-interval / (days * DAY))).astype(np.int64)
