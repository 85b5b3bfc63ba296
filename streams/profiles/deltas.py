"""Turns events into delta rows and adds rows to profiles. Moving a device's history is the same addition.

A *delta* is a profile row of only the events of one slot, as of the slot's end. Deltas are made for a whole batch at
once, however many slots it spans; then they are added to the table slot by slot. Decay is lazy: a row fades in one step
when something is added to it in a later slot, so rounding does not depend on how batches were cut. All additions are
order-free. Pure.

A fading counter is rounded up or down, so that it fades as much as it should over many slots: rounding to the nearest
would hold a small one for ever. Whether up or down depends on the slot only, in the sequence of multiples of the golden
ratio, which fill the space between two whole numbers evenly.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import take
from contracts.blocks import Entries, EventArray, RowArray
from contracts.times import DAY
from streams import codes
from streams.profiles.matrices import (
    fading,
    few,
    first_stamps,
    last_stamps,
    long_sums,
    money,
    recent_orders,
    short_sums,
)
from streams.profiles.money import MOST_MONEY, MOST_REVENUE, add_capped, add_money, quarterly, set_aside
from streams.profiles.rows import (
    DECAYED,
    FADING,
    FAR_STAMP,
    FEW,
    MARKED,
    MOST_FEW,
    NO_STAMP,
    RATING,
    RECENT,
    UNITS,
    blank_rows,
    stamps_of,
)

T = TypeVar("T", bound=np.unsignedinteger)
NO_SLOT: Final = -1
"""Before the first slot."""
_CODES: Final = 64
_WEB: Final = range(codes.PAGE_VIEW, codes.TICKET_OPENED)
_SERVICE: Final = range(codes.TICKET_OPENED, codes.IDENTITY)
_TAUS: Final = tuple(sorted(set(DECAYED.values())))
_TAU_OF: Final = np.array([_TAUS.index(days) for days in FADING.values()])
_QUARTER: Final = _TAUS.index(DECAYED["revenue_90d"])
_RATES: Final = -1.0 / (np.array(_TAUS) * DAY)
"""The change per microsecond of a decayed counter's logarithm, for each time constant."""
_SCORE: Final = 10_000
"""What one point of a rating counts in an event."""
_GOLDEN: Final = (5**0.5 - 1) / 2
_SESSIONS, _SESSION = FEW.index("sessions"), MARKED.index("last_session")
_LANES: Final = 16
"""Counters of 16 bits that are added up as four numbers of 64."""

_COUNTERS: Final[Mapping[str, Sequence[int]]] = {
    "orders": (codes.ORDER,),
    "refunds": (codes.REFUND,),
    "cancelled": (codes.CANCELLATION,),
    "web_events": _WEB,
    "product_views": (codes.PRODUCT_VIEW,),
    "carts": (codes.PRODUCT_ADDED,),
    "cart_views": (codes.CART_VIEW,),
    "checkouts": (codes.CHECKOUT,),
    "service_events": _SERVICE,
    "tickets": (codes.TICKET_OPENED,),
    "tickets_solved": (codes.TICKET_SOLVED,),
    "satisfaction_count": (codes.SATISFACTION,),
}
"""The codes that each counter counts."""
_MARKED: Final[Mapping[str, Sequence[int]]] = {
    "last_seen": range(_CODES),
    "last_web": _WEB,
    "last_view": (codes.PRODUCT_VIEW,),
    "last_cart": (codes.PRODUCT_ADDED,),
    "last_checkout": (codes.CHECKOUT,),
    "last_refund": (codes.REFUND,),
    "last_ticket": (codes.TICKET_OPENED,),
}
"""The codes whose newest time each column keeps."""
_FADED: Final[Mapping[str, Sequence[int]]] = {
    "orders_7d": (codes.ORDER,), "orders_30d": (codes.ORDER,), "orders_90d": (codes.ORDER,),
    "web_7d": _WEB, "web_30d": _WEB, "web_90d": _WEB,
    "tickets_30d": (codes.TICKET_OPENED,),
}  # fmt: skip


def _table(names: tuple[str, ...], codes_of: Mapping[str, Sequence[int]], value: int) -> NDArray[np.int64]:
    """Return the amount that an event of each code adds to each column."""
    table = np.zeros((_CODES, len(names)), np.int64)
    for name, chosen in codes_of.items():
        table[list(chosen), names.index(name)] = value
    return table


_COUNTED: Final = np.zeros((_CODES, _LANES), np.uint16)
_COUNTED[:, : len(FEW)] = _table(FEW, _COUNTERS, 1)
_KEPT: Final = np.where(_table(MARKED, _MARKED, 1), FAR_STAMP, NO_STAMP).astype(np.uint32)
"""A bound for the stamp that an event of each code leaves in each column."""
_WEIGHT: Final = _table(tuple(FADING), _FADED, 1) * np.array([float(UNITS[name]) for name in FADING])


def deltas(
    at: NDArray[np.int64], events: EventArray, interval: int, least: int = NO_SLOT
) -> tuple[NDArray[np.int64], RowArray, Entries]:
    """Return delta rows, one per slot and position in that order, with their positions, and the amounts that wait.

    ``at`` is the position of each event's profile, which is also the ``row`` of a waiting amount. An event of a slot
    before ``least`` counts in ``least``. The caller has dropped duplicates.
    """
    events, entries = set_aside(events, at)
    slot = np.maximum(events["slot"], least).astype(np.int64)
    order, start = _groups(slot, at)
    rows = blank_rows(len(start))
    first = order[start]
    rows["slot"] = slot[first]
    _fill(rows, start, take(events, order), slot[order], interval)
    return at[first], rows, entries


def _groups(slot: NDArray[np.int64], at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of slots and positions, and where in it each group of equal ones starts."""
    if len(at) < 2:
        return np.arange(len(at)), np.arange(len(at))
    group = slot * (int(at.max()) + 1) + at
    order = np.argsort(group)
    group = group[order]
    new = np.empty(len(at), np.bool_)
    new[0] = True
    np.not_equal(group[1:], group[:-1], out=new[1:])
    return order, np.flatnonzero(new)


def _fill(
    rows: RowArray, start: NDArray[np.int64], events: EventArray, slot: NDArray[np.int64], interval: int
) -> None:
    """Fill the delta rows of groups of events; group i starts at ``start[i]``.

    What a device whose clock is ahead dates after its slot counts at the end of the slot: no score knows what is later.
    """
    if not len(events):
        return
    code, session = events["code"], events["session"]
    time = np.minimum(events["occurred"], (events["slot"].astype(np.int64) + 1) * interval - 1)
    stamps = stamps_of(time)
    rows["first_seen"] = np.minimum.reduceat(stamps, start)
    kept = np.minimum(_KEPT.take(code, axis=0), stamps[:, None])
    kept[:, _SESSION] = np.where(session, stamps, NO_STAMP)
    last_stamps(rows)[:] = np.maximum.reduceat(kept, start, axis=0)
    rows["events"][:-1], rows["events"][-1] = np.diff(start), len(code) - start[-1]
    few(rows)[:] = _counted(code, session, start)
    age = ((slot + 1) * interval - time).astype(np.float64)
    weights = np.exp(age[:, None] * _RATES)
    weight = _WEIGHT.take(code, axis=0)
    weight *= weights.take(_TAU_OF, axis=1)
    fading(rows)[:] = np.minimum(np.add.reduceat(np.rint(weight, out=weight), start, axis=0), MOST_FEW)
    if code.min() < codes.PAGE_VIEW:
        _add_transactions(rows, start, events, time, weights[:, _QUARTER])
    if code.max() >= codes.TICKET_OPENED:
        points = np.rint(np.where(code == codes.SATISFACTION, events["score"], 0) * (RATING / _SCORE))
        rows["satisfaction_sum"] = np.minimum(np.add.reduceat(points, start), MOST_FEW)


def _counted(
    code: NDArray[np.int8], session: NDArray[np.bool_], start: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    """Return :data:`FEW` of groups but for the items. Four counters of 16 bits are added up as one number."""
    counted = _COUNTED.take(code, axis=0)
    counted[:, _SESSIONS] = session
    if len(code) <= MOST_FEW:
        totals = np.add.reduceat(counted.view(np.int64), start, axis=0).view(np.uint16)
    else:
        totals = np.minimum(np.add.reduceat(counted, start, axis=0, dtype=np.uint32), MOST_FEW)
    return totals[:, : len(FEW)]


def _add_transactions(
    rows: RowArray, start: NDArray[np.int64], events: EventArray, time: NDArray[np.int64], weights: NDArray[np.float64]
) -> None:
    """Set money, items and the times of orders; ``weights`` are the weights of the events in ``revenue_90d``."""
    code = events["code"]
    refunds = np.flatnonzero(code == codes.REFUND)
    if len(refunds):
        add_money(rows["refunded"], np.searchsorted(start, refunds, "right") - 1, events["amount"][refunds])
    orders = np.flatnonzero(code == codes.ORDER)
    group = np.searchsorted(start, orders, "right") - 1
    amount, time = events["amount"][orders], time[orders]
    add_money(rows["revenue"], group, amount)
    add_capped(rows["revenue_90d"], group, quarterly(amount, weights[orders]), MOST_REVENUE)
    add_capped(rows["items"], group, events["items"][orders], MOST_FEW)
    newest = np.lexsort((-time, group))
    group, stamps = group[newest], stamps_of(time[newest])
    np.minimum.at(rows["first_order"], group, stamps)
    rank = np.arange(len(group)) - np.searchsorted(group, group)
    kept = rank < RECENT
    recent_orders(rows)[group[kept], rank[kept]] = stamps[kept]


def fade(rows: RowArray, slots: NDArray[np.integer] | int, interval: int) -> None:
    """Move rows on to the ends of later slots (one, or one per row): their decayed counters fade."""
    behind = slots - rows["slot"]
    if not np.count_nonzero(behind):
        return
    rows["slot"] = slots
    factors, up = np.exp((behind * float(interval))[:, None] * _RATES), np.asarray(slots * _GOLDEN % 1.0)
    faded = factors.take(_TAU_OF, axis=1)
    faded *= fading(rows)
    faded += up[..., None]
    fading(rows)[:] = faded  # cuts off the fractions
    rows["revenue_90d"] = rows["revenue_90d"] * factors[:, _QUARTER] + up


def add_rows(into: RowArray, added: RowArray, interval: int) -> None:
    """Add row i of ``added`` to row i of ``into``, as of the later of their slots. ``into`` is an array of its own."""
    slots = np.maximum(into["slot"], added["slot"])
    if np.count_nonzero(added["slot"] != slots):  # costs a third of any() here
        added = added.copy()
        fade(added, slots, interval)
    fade(into, slots, interval)
    total = money(into)
    total += money(added)
    np.minimum(total, MOST_MONEY, out=total)
    _add_up(long_sums(into), long_sums(added), MOST_REVENUE)
    _add_up(short_sums(into), short_sums(added), MOST_FEW)
    first, last = first_stamps(into), last_stamps(into)
    np.minimum(first, first_stamps(added), out=first)
    np.maximum(last, last_stamps(added), out=last)
    _add_recent(into, added)


def _add_up(into: NDArray[T], added: NDArray[T], most: int) -> None:
    """Add numbers without a sign, up to the largest that their columns hold."""
    into += added
    over = into < added
    if np.count_nonzero(over):
        into[over] = most


def _add_recent(into: RowArray, added: RowArray) -> None:
    """Keep the newest order times of both."""
    fresh = recent_orders(added)
    ordered = np.flatnonzero(fresh[:, 0])
    if not len(ordered):
        return
    both = np.concatenate((recent_orders(into)[ordered], fresh[ordered]), axis=1)
    both.sort(axis=1)
    recent_orders(into)[ordered] = both[:, : RECENT - 1 : -1]


def in_turns(at: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut positions into runs in which none comes twice: the first of each, then the second, and so on."""
    order = np.argsort(at, kind="stable")
    sorted_at = at[order]
    turn = np.arange(len(at)) - np.searchsorted(sorted_at, sorted_at)
    for number in range(int(turn.max()) + 1 if len(at) else 0):
        yield order[turn == number]
