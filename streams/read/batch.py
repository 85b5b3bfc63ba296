"""Joins the decoded topics of a read into one batch of the lane."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import LaneBatch, PeopleEvents, Progress, Texts, no_texts
from streams.read.decode import Decoded

REMEMBERED: Final = 100_000


class KnownCustomers:
    """Remembers which customers of device events have been reported to their own bucket. Cleared when full."""

    def __init__(self, most: int = REMEMBERED):
        self._reported: set[str] = set()
        self._most = most

    def unreported(self, people: PeopleEvents) -> tuple[Texts, NDArray[np.int64]]:
        """Return customers (with their buckets) whose events go to another bucket, without those reported lately."""
        elsewhere = np.flatnonzero((people.customer_buckets >= 0) & (people.customer_buckets != people.home))
        customers, buckets = people.customers[elsewhere].tolist(), people.customer_buckets[elsewhere].tolist()
        found = dict(zip(customers, buckets, strict=True))
        new = [customer for customer in found if customer not in self._reported]
        if len(self._reported) + len(new) > self._most:
            self._reported.clear()
        self._reported.update(new)
        return np.array(new, object) if new else no_texts(), np.array([found[one] for one in new], np.int64)


def lane_batch(parts: Sequence[Decoded], progress: Progress, known: KnownCustomers, *, turned: bool) -> LaneBatch:
    """Join what was read of a lane's topics."""
    people = _joined([decoded.people for decoded in parts if len(decoded.people)])
    customers, buckets = known.unreported(people)
    return LaneBatch(
        progress=progress,
        people=people,
        links=tuple(link for decoded in parts for link in decoded.links),
        link_buckets=tuple(bucket for decoded in parts for bucket in decoded.link_buckets),
        known_customers=customers,
        known_buckets=buckets,
        facts=tuple(decoded.facts for decoded in parts if decoded.facts is not None),
        dead=tuple(letter for decoded in parts for letter in decoded.dead),
        turned=turned,
    )


def _joined(parts: Sequence[PeopleEvents]) -> PeopleEvents:
    if len(parts) < 2:
        return parts[0] if parts else PeopleEvents()
    columns = ("events", "customers", "devices", "home", "customer_buckets")
    return PeopleEvents(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
