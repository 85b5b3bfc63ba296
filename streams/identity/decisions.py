"""Decides links between ids, in the order of their slots and of their log within a slot. The first link wins.

- A device or address that belongs to a customer stays with that customer: a second one is refused. An address that a
  visitor typed is weaker: a later link to a customer upgrades it.
- An id that was used as a customer's own id is never given away, unless to this very customer.
- A customer takes over at most ``most_merges`` devices of one bucket.
- A link to nobody undoes the link in force.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from contracts.blocks import NOBODY, Departures, Link, Texts, Verdict, Verdicts
from contracts.identity import EMAIL, home_of
from contracts.metrics import IDENTITIES
from streams.identity.histories import Moves
from streams.identity.known_customers import KnownCustomers
from streams.identity.owned import NO_ROUTE, Owned, route_of
from streams.identity.policy import FULL, KNOWN, LINKED, TAKEN, UNLINKED, IdentityPolicy
from streams.profiles.rows import VERSION_SHIFT

_LAST_OF_SLOT: Final = (1 << VERSION_SHIFT) - 1
"""In its slot, no profile's own version is above this."""


def last_version(slot: int) -> int:
    """Return a version above all that a profile has in a slot."""
    return (slot << VERSION_SHIFT) + _LAST_OF_SLOT


@dataclass
class WaitingLinks:
    """Links that wait for their slot, in the order in which they came."""

    links: list[Link] = field(default_factory=list)

    def put(self, links: Iterable[Link]) -> None:
        """Let links wait."""
        self.links.extend(links)

    def due(self, slot: int, least: int) -> list[Link]:
        """Remove and return links up to a slot, by slot; those of a slot before ``least`` count in ``least``."""
        if not self.links:
            return []
        due = [link for link in self.links if link.slot <= slot]
        self.links = [link for link in self.links if link.slot > slot]
        due = [link if link.slot >= least else link._replace(slot=least) for link in due]
        return sorted(due, key=lambda link: link.slot)


class Decisions:
    """Decides the links of one activation, and keeps what they come to. ``customers`` is None for addresses.

    What the activation's links ask of the customers' ids and of the table is looked up at once.
    """

    def __init__(
        self, owned: Owned, policy: IdentityPolicy, links: Sequence[Link], customers: KnownCustomers | None = None
    ):
        self._owned, self._policy, self._customers = owned, policy, customers
        identities = [link.identity for link in links]
        self._positions = dict(zip(identities, owned.locate(identities).tolist(), strict=True)) if links else {}
        self._known = set() if customers is None else customers.among([home_of(each) for each in identities])
        """Ids of these devices that are customers' ids, as known before the activation."""
        self.verdicts: list[Verdict] = []
        self._moves: list[tuple[int, int, str, int, int]] = []
        self._departures: list[dict[str, tuple[str, int]]] = [{}]
        """By profile id: the new owner, '' after an unlink, and the version. A second change is in the next one."""

    def decide(self, link: Link) -> None:
        """Decide one of the links."""
        position = self._positions[link.identity]
        before = self._owned.owner(position)
        outcome = self._outcome(before, link)
        if outcome is None:
            return
        person = before if outcome == UNLINKED else link.person
        self.verdicts.append(Verdict(link.identity, person, outcome, link.occurred))
        if outcome in (LINKED, UNLINKED):
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
        """Return the outcome of a link; None if it says nothing new."""
        person = link.person
        typed, weak = person.startswith(EMAIL), before.startswith(EMAIL)
        if person in (NOBODY, before):
            return UNLINKED if before and person != before else None
        if before and not (weak and not typed):
            return None if typed and not weak else TAKEN
        return LINKED if self._customers is None else self._of_device(link, self._customers)

    def _of_device(self, link: Link, customers: KnownCustomers) -> str:
        """Return the outcome for a device that nobody owns, or an address that somebody typed."""
        own = home_of(link.identity)
        if own != link.person and (own in self._known or customers.is_new(own)):
            return KNOWN
        return FULL if self._owned.merges(link.person) >= self._policy.most_merges else LINKED

    def moves(self) -> Moves:
        """Return the rows that move, as columns."""
        if not self._moves:
            return Moves()
        at, slots, owners, routes, entered = zip(*self._moves, strict=True)
        position, slot, route, time = (np.array(column, np.int64) for column in (at, slots, routes, entered))
        return Moves(position, slot, np.array(owners, object), route, time)

    def blocks(self, bucket: int, *, guarded: bool) -> list[Verdicts | Departures]:
        """Return the verdicts, and the visitors who got another owner, change by change."""
        for outcome, count in Counter(verdict.outcome for verdict in self.verdicts).items():
            IDENTITIES.labels(outcome).inc(count)
        blocks: list[Verdicts | Departures] = [Verdicts(bucket, self.verdicts)] if self.verdicts else []
        for changed in filter(None, self._departures):
            persons, versions = zip(*changed.values(), strict=True)
            ids: Texts = np.array(list(changed), object)
            blocks.append(Departures(bucket, ids, np.array(persons, object), np.array(versions, np.int64), guarded))
        return blocks
