"""Decides links between ids, in the order of their slots and of their log within a slot. The first link wins.

- A device or address keeps its customer: a link to a second customer is refused. An e-mail address that a visitor typed
  is a weaker owner of a device: a later link to a customer replaces it.
- An id that was used as a customer id is only linked to this same customer.
- A customer may own at most ``most_merges`` devices of one bucket.
- A link to :data:`contracts.blocks.NOBODY` is an unlink: it undoes the link in force if that is the one it names. Links
  that happened up to its time, or were read before it, never count again: a history that is sent again changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Final

import numpy as np

from contracts.blocks import NOBODY, VERSION_SHIFT, Departures, Link, Verdict, Verdicts
from contracts.entries import Queue
from contracts.identity import EMAIL, home_of
from contracts.ids import Texts
from contracts.metrics import IDENTITIES, labelled
from contracts.state import Columns
from streams.identity.histories import NO_MOVES, Moves
from streams.identity.known_customers import KnownCustomers
from streams.identity.owned import Owned, route_of
from streams.identity.owners import NO_OWNER, NO_ROUTE
from streams.identity.policy import FULL, KNOWN, LINKED, TAKEN, UNLINKED, IdentityPolicy

_LAST_OF_SLOT: Final = (1 << VERSION_SHIFT) - 1
"""The largest number of events in a version."""


def last_version(slot: int) -> int:
    """Return a version that no profile of its own exceeds in a slot."""
    return (slot << VERSION_SHIFT) + _LAST_OF_SLOT


class WaitingLinks(Queue[Link]):
    """Links that wait for their slot, in the order of arrival. A part: each link is stored once."""

    def __init__(self) -> None:
        super().__init__(Link)
        self._first: int | None = None
        """The earliest slot of all links; None if there are none."""

    def put(self, links: Iterable[Link]) -> None:
        """Add links."""
        for link in links:
            self.append(link)
            self._first = link.slot if self._first is None else min(self._first, link.slot)

    def apply(self, columns: Columns) -> None:
        """Apply stored links."""
        super().apply(columns)
        self._find_first()

    def forget(self, people: Set[str]) -> None:
        """Remove links that name any of these people."""
        self.remove(lambda link: not people.isdisjoint((link.identity, link.person, link.undoes)))
        self._find_first()

    def is_due(self, slot: int) -> bool:
        """Return whether there are links up to a slot."""
        return self._first is not None and self._first <= slot

    def due(self, slot: int, least: int) -> list[Link]:
        """Remove and return links up to a slot, ordered by slot; earlier slots than ``least`` count as ``least``."""
        if not self.is_due(slot):
            return []
        due = self.remove(lambda link: link.slot <= slot)
        self._find_first()
        due = [link if link.slot >= least else link._replace(slot=least) for link in due]
        return sorted(due, key=lambda link: link.slot)

    def _find_first(self) -> None:
        self._first = min((link.slot for link in self.data.values()), default=None)


class Decisions:
    """Decides the links of one activation and keeps the results. ``customers`` is None for addresses.

    All lookups of customer ids and of the table, for all links, are made at once.
    """

    def __init__(
        self, owned: Owned, policy: IdentityPolicy, links: Sequence[Link], customers: KnownCustomers | None = None
    ):
        self._owned, self._policy, self._customers = owned, policy, customers
        identities = [link.identity for link in links]
        self._positions = dict(zip(identities, owned.locate(identities).tolist(), strict=True)) if links else {}
        homes = [home_of(each) for each in identities]
        self._known = customers.among(homes) if customers is not None and homes else set()
        """Ids of these devices that are customers' ids, as known before the activation."""
        self.verdicts: list[Verdict] = []
        self._moves: list[tuple[int, int, str, int, int]] = []
        self._departures: list[dict[str, tuple[str, int]]] = [{}]
        """By profile id: the new owner, '' after an unlink, and the version. A second change is in the next one."""

    def decide(self, link: Link) -> None:
        """Decide one of the links."""
        owned, position = self._owned, self._positions[link.identity]
        if link.occurred <= owned.undone_until(link.identity):
            return
        before = owned.owner(position)
        if link.person == NOBODY:
            self._undo(position, link, before)
            return
        owned.ask(position, link.occurred)
        outcome = self._outcome(before, link)
        if outcome is None:
            return
        self.verdicts.append(Verdict(link.identity, link.person, outcome, link.occurred))
        if outcome == LINKED:
            self._assign(position, link)

    def _undo(self, position: int, link: Link, before: str) -> None:
        if before not in (NO_OWNER, link.undoes):
            self._owned.ignore(link.identity, link.occurred)
            return
        until = self._owned.undo(link.identity, position, link.occurred)
        if before:
            self.verdicts.append(Verdict(link.identity, before, UNLINKED, until))
            self._assign(position, link)

    def _assign(self, position: int, link: Link) -> None:
        person, policy = link.person, self._policy
        route = route_of(person, policy.bucket_of(person), policy.buckets) if person else NO_ROUTE
        if self._owned.assign(position, person, route, link.slot) and person:
            self._moves.append((position, link.slot, person, route, link.entered))
        if link.identity in self._departures[-1]:
            self._departures.append({})
        self._departures[-1][link.identity] = (person, last_version(link.slot))

    def _outcome(self, before: str, link: Link) -> str | None:
        """Return the outcome of a link; None if it changes nothing."""
        person = link.person
        typed, weak = person.startswith(EMAIL), before.startswith(EMAIL)
        if person == before:
            return None
        if before and not (weak and not typed):
            return None if typed and not weak else TAKEN
        return LINKED if self._customers is None else self._of_device(link, self._customers)

    def _of_device(self, link: Link, customers: KnownCustomers) -> str:
        """Return the outcome of a link for a device without an owner, or owned by a typed address."""
        own = home_of(link.identity)
        if own != link.person and (own in self._known or customers.is_new(own)):
            return KNOWN
        return FULL if self._owned.is_full(link.person, self._policy.most_merges) else LINKED

    def moves(self) -> Moves:
        """Return the rows that move, as columns."""
        if not self._moves:
            return NO_MOVES
        at, slots, owners, routes, entered = zip(*self._moves, strict=True)
        position, slot, route, time = (np.array(column, np.int64) for column in (at, slots, routes, entered))
        return Moves(position, slot, np.array(owners, object), route, time)

    def blocks(self, bucket: int, *, guarded: bool) -> list[Verdicts | Departures]:
        """Return the verdicts, and the departures of visitors who got an owner, in the order of the changes."""
        if not self.verdicts:
            return []
        for outcome, count in Counter(verdict.outcome for verdict in self.verdicts).items():
            labelled(IDENTITIES, outcome).inc(count)
        blocks: list[Verdicts | Departures] = [Verdicts(bucket, self.verdicts)]
        for changed in filter(None, self._departures):
            persons, versions = zip(*changed.values(), strict=True)
            ids: Texts = np.array(list(changed), object)
            blocks.append(Departures(bucket, ids, np.array(persons, object), np.array(versions, np.int64), guarded))
        return blocks
