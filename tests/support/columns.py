"""Event columns for tests of the pure core, made from short tuples, and hypothesis strategies of them."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.blocks import EVENT_DTYPE, EventArray
from streams import codes

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TRANSACTIONS = (codes.ORDER, codes.REFUND, codes.CANCELLATION, codes.OTHER_TRANSACTION)
WEB = (codes.PAGE_VIEW, codes.PRODUCT_VIEW, codes.PRODUCT_ADDED, codes.CART_VIEW, codes.CHECKOUT, codes.OTHER_WEB)
SERVICE = (codes.TICKET_OPENED, codes.TICKET_SOLVED, codes.SATISFACTION, codes.OTHER_SERVICE)
_OWN_IDS = itertools.count(1 << 40)
TOPICS = (TRANSACTIONS, WEB, SERVICE, (codes.IDENTITY,))


@dataclass(frozen=True)
class Happening:
    """One event as profiles see it. Times in microseconds, money in 1/10,000, ``score`` too."""

    customer: str
    occurred: int
    code: int = codes.ORDER
    amount: int = 0
    items: int = 0
    score: int = 0
    order: int = 0
    """The number of an order, 0 for none."""
    id: int | None = None
    slot: int | None = None
    late: bool = False
    entered: int = 0
    currency: int = 0
    """The number of the currency in which ``amount`` waits for a rate; 0: it is in the base currency."""
    session: bool = False
    """Whether the event, if it is a web event, starts a session."""


def columns(happenings: Sequence[Happening], interval: int = DAY) -> tuple[NDArray[np.object_], EventArray]:
    """Customers and events; an event without a slot counts in its own, one without an id gets one of its own."""
    events = np.zeros(len(happenings), EVENT_DTYPE)
    for row, each in zip(events, happenings, strict=True):
        row["id_hash"] = each.id if each.id is not None else next(_OWN_IDS)
        row["slot"] = each.slot if each.slot is not None else each.occurred // interval
        for name in ("occurred", "code", "amount", "items", "score", "late", "entered", "currency"):
            row[name] = getattr(each, name)
        if each.code == codes.ORDER:
            row["score"] = each.order
        row["session"] = each.session and each.code in WEB
    return np.array([each.customer for each in happenings], object), events


def happenings(days: int, customers: str = "abcd", max_size: int = 40) -> st.SearchStrategy[list[Happening]]:
    """Lists of events of all kinds within some days from the epoch; seconds are whole or not."""
    times = st.one_of(st.integers(0, days * DAY - 1), st.integers(0, days * 24 * 60 - 1).map(lambda at: at * MINUTE))
    one: Any = st.builds(
        Happening,
        customer=st.sampled_from(customers),
        occurred=times,
        code=st.sampled_from([code for topic in TOPICS for code in topic]),
        amount=st.integers(0, 10**13),
        items=st.integers(0, 1_000),
        score=st.integers(10_000, 50_000),
        session=st.booleans(),
    )
    return st.lists(one, max_size=max_size)


def cut(events: Sequence[Happening], at: Iterable[int]) -> list[list[Happening]]:
    """The same events in pieces, cut before the given positions."""
    bounds = [0, *sorted({position for position in at if 0 < position < len(events)}), len(events)]
    return [list(events[start:stop]) for start, stop in itertools.pairwise(bounds)]
