"""Joins the decoded topics of a read into one batch of the lane."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import LaneBatch, PeopleEvents, Progress, no_texts
from contracts.caches import Cache
from contracts.ids import Texts
from streams.read.decode import Decoded

REMEMBERED: Final = 100_000
_NEVER: Final = 2**62


class ReportedCustomers:
    """Remembers which customers of device events have been reported to their own bucket, with the earliest slot.

    An event of an earlier slot may be read later; then its customer is reported again. Cleared when full.
    """

    def __init__(self, most: int = REMEMBERED):
        self._reported: Cache[str, int] = Cache(most)

    def unreported(self, people: PeopleEvents) -> tuple[Texts, NDArray[np.int64], NDArray[np.int64]]:
        """Return customers, with buckets and first slots, whose events go to another bucket, unless reported lately."""
        elsewhere = np.flatnonzero((people.customer_buckets >= 0) & (people.customer_buckets != people.home))
        customers = people.customers[elsewhere].tolist()
        slots, known = people.events["slot"][elsewhere].tolist(), self._reported.get
        new: dict[str, int] = {}
        places: dict[str, int] = {}
        for at, (customer, slot) in enumerate(zip(customers, slots, strict=True)):
            if slot < known(customer, _NEVER) and slot < new.get(customer, _NEVER):
                new[customer], places[customer] = slot, int(people.customer_buckets[elsewhere[at]])
        if not new:
            return no_texts(), np.empty(0, np.int64), np.empty(0, np.int64)
        self._reported.remember(new)
        return (np.array(list(new), object), np.array(list(places.values()), np.int64),
                np.array(list(new.values()), np.int64))  # fmt: skip


def lane_batch(parts: Sequence[Decoded], progress: Progress, known: ReportedCustomers, *, turned: bool) -> LaneBatch:
    """Join what was read of a lane's topics."""
    people = _joined([decoded.people for decoded in parts if len(decoded.people)])
    customers, buckets, slots = known.unreported(people)
    return LaneBatch(
        progress=progress,
        people=people,
        links=tuple(link for decoded in parts for link in decoded.links),
        link_buckets=tuple(bucket for decoded in parts for bucket in decoded.link_buckets),
        known_customers=customers,
        known_buckets=buckets,
        known_slots=slots,
        facts=tuple(decoded.facts for decoded in parts if decoded.facts is not None),
        clocks=tuple(decoded.clocks for decoded in parts if decoded.clocks is not None),
        dead=tuple(letter for decoded in parts for letter in decoded.dead),
        turned=turned,
    )


def _joined(parts: Sequence[PeopleEvents]) -> PeopleEvents:
    if len(parts) < 2:
        return parts[0] if parts else PeopleEvents()
    columns = ("events", "customers", "devices", "home", "customer_buckets")
    return PeopleEvents(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
