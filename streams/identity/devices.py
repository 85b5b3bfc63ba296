"""One bucket of devices: a device has a history of its own until it has an owner; then its events go to the owner.

Events with a customer id go to that customer at once, whoever owns the device. Events and links of later slots wait
here until the bucket's lane has reached their slot. Pure: no engine, no client, no clock.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import compress, take
from contracts.blocks import DeviceBatch, EventArray, Forwarded, Link, Parcel, Verdicts, no_events, no_texts
from contracts.identity import ANONYMOUS, EMAIL
from contracts.ids import Texts, among
from contracts.machine import Machine
from contracts.metrics import DUPLICATES, TOO_LATE, VISITORS, labelled
from contracts.state import Part
from streams.identity.decisions import Decisions
from streams.identity.histories import NO_ADDITIONS, Additions
from streams.identity.keeper import Block, Keeper, advance
from streams.identity.kept import Kept
from streams.identity.known_customers import KnownCustomers
from streams.identity.outflow import Outflow
from streams.identity.policy import IdentityPolicy
from streams.identity.sessions import CustomerVisits, silent_before, visits_of, web_events
from streams.profiles.known_ids import KnownIds
from streams.profiles.known_orders import admit, ids_in
from streams.profiles.waiting import Columns, Waiting

Output = Forwarded | Verdicts | Block
_NOTHING = Parcel()


@dataclass
class DevicesState(Kept):
    """The state of a bucket of devices."""

    table: Literal["devices", "addresses"] = "devices"
    waiting: Waiting = field(default_factory=Waiting)
    known_ids: KnownIds = field(default_factory=lambda: KnownIds(1))
    known_customers: KnownCustomers = field(default_factory=KnownCustomers)
    notices: Waiting = field(default_factory=Waiting)
    """Ids of customers that are known from a later slot on."""
    visits: CustomerVisits = field(default_factory=CustomerVisits)

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name."""
        return super().parts() | {
            "waiting": self.waiting,
            "known_ids": self.known_ids,
            "known_customers": self.known_customers,
            "notices": self.notices,
            "visits": self.visits,
        }

    def forget(self, people: Set[str]) -> None:
        """Remove people from everything: an event belongs to its customer, else to its device."""
        super().forget(people)

        def theirs(columns: Columns) -> NDArray[np.bool_]:
            _, customers, devices, _ = columns
            pairs = zip(customers.tolist(), devices.tolist(), strict=True)
            return np.array([(customer or ANONYMOUS + device) in people for customer, device in pairs], np.bool_)

        self.waiting.remove(theirs)
        self.notices.remove(lambda columns: among(columns[1], people))
        self.visits.remove(people)


@dataclass(frozen=True)
class _Due:
    """Events that are due, in the order of their slots."""

    events: EventArray
    customers: Texts
    devices: Texts
    customer_buckets: NDArray[np.int64]

    def pick(self, kept: NDArray[np.int64]) -> "_Due":
        return _Due(take(self.events, kept), self.customers[kept], self.devices[kept], self.customer_buckets[kept])


class Devices(Keeper[DevicesState], Machine[DeviceBatch, Output]):
    """The machine of one bucket of devices."""

    def __init__(self, policy: IdentityPolicy):
        super().__init__(DevicesState(known_ids=KnownIds(policy.known_ids)), policy)

    def take(self, items: Sequence[DeviceBatch]) -> list[Output]:
        """Take batches of lanes; return what goes on, and blocks of visitors."""
        state = self._state
        for item in items:
            self._put(item)
        progress = state.progress
        if progress is None or progress.slot is None or progress.start is None:
            return []
        first = progress.start if state.slot is None else state.slot
        if progress.slot < first:
            raise RuntimeError(f"the clock of lane {progress.source} went back from slot {first} to {progress.slot}")
        due = _due(state, progress.slot, first)
        links = state.links.due(progress.slot, first)
        due = self._without_duplicates(due, first, progress.slot)
        of_devices = [link for link in links if link.identity.startswith(ANONYMOUS)]
        outflow, decisions = Outflow(), Decisions(state.owned, self._policy, of_devices, state.known_customers)
        additions = self._sort(due, links, outflow, decisions, progress.slot)
        sent, blocks = advance(state, progress, additions, decisions.moves(), self._policy)
        outflow.put_moved(sent)
        if progress.slot != first:
            state.visits.forget(silent_before(progress.slot, self._policy))
        labelled(VISITORS, state.bucket).set(state.owned.visitors)
        decided = decisions.blocks(state.bucket, guarded=progress.guarded)
        claims = [link for link in links if link.identity.startswith(EMAIL)]
        return [*self._forwarded(outflow, claims), *decided, *blocks]

    def _put(self, item: DeviceBatch) -> None:
        state, people = self._state, item.people
        state.bucket = item.bucket
        state.progress = item.progress or state.progress
        if len(people):
            columns = (people.events, people.customers, people.devices, people.customer_buckets)
            state.waiting.put(people.events["slot"], *columns)
        state.links.put(item.links)
        state.notices.put(item.known_slots, item.known_slots, item.known_customers)

    def _sort(self, due: _Due, links: list[Link], outflow: Outflow, decisions: Decisions, target: int) -> Additions:
        """Decide the links, send events to their owners, and return the events of devices without an owner."""
        owned, at = self._state.owned, np.full(len(due.events), -1, np.int64)
        tied = np.flatnonzero(due.devices != "")
        if len(tied):
            at[tied] = owned.locate_devices(due.devices[tied].tolist())
        self._decide(due, links, decisions, target)
        if not len(at):
            return NO_ADDITIONS
        events, direct = self._with_sessions(due, at), due.customer_buckets >= 0
        if direct.all():
            outflow.put_events(events, due.customers, due.customer_buckets)
            return NO_ADDITIONS
        theirs, owners, routes = owned.owners_of(at, events["slot"])
        owners[direct], routes[direct] = due.customers[direct], due.customer_buckets[direct]
        going = theirs | direct
        if going.all():
            outflow.put_events(events, owners, routes)
            return NO_ADDITIONS
        if not going.any():
            return Additions(at, events)
        outflow.put_events(compress(events, going), owners[going], routes[going])
        return Additions(at[~going], compress(events, ~going))

    def _decide(self, due: _Due, links: list[Link], decisions: Decisions, target: int) -> None:
        """Decide the links of devices, slot by slot. Customer ids of this bucket become known in their slot.

        Ids of other buckets are no device's id here.
        """
        state, known = self._state, self._state.known_customers
        own, slots, done = due.customer_buckets == state.bucket, due.events["slot"], 0
        since, noticed = state.notices.due(target) or (np.empty(0, np.int64), no_texts())
        for slot, group in groupby(links, attrgetter("slot")):
            until = int(np.searchsorted(slots, slot, "right"))
            known.add(due.customers[done:until][own[done:until]].tolist())
            known.add(noticed[since <= slot].tolist())
            done = until
            for link in group:
                person = link.person
                if person and not person.startswith(EMAIL) and self._policy.bucket_of(person) == state.bucket:
                    known.add((person,))
                if link.identity.startswith(ANONYMOUS):
                    decisions.decide(link)
        if own.any():
            known.add(due.customers[done:][own[done:]].tolist())
        known.add(noticed.tolist())

    def _without_duplicates(self, due: _Due, first: int, slot: int) -> _Due:
        """Drop duplicates among events without a customer id. The customers step drops the other duplicates."""
        anonymous = np.flatnonzero(due.customer_buckets < 0)
        known = self._state.known_ids
        if not len(anonymous):
            if slot > first:
                known.forget()
            return due
        events = take(due.events, anonymous)
        new, old = _admitted(known, events, due.devices[anonymous], first, slot)
        kept = new & ~old
        if kept.all():
            return due
        DUPLICATES.inc(len(events) - int(new.sum()))
        TOO_LATE.inc(int((new & old).sum()))
        chosen = np.ones(len(due.events), np.bool_)
        chosen[anonymous[~kept]] = False
        return due.pick(np.flatnonzero(chosen))

    def _with_sessions(self, due: _Due, at: NDArray[np.int64]) -> EventArray:
        """Return the events, with a mark on each that starts a session."""
        web = web_events(due.events)
        if not len(web):
            return due.events
        state, found = self._state, np.zeros(len(due.events), np.bool_)
        events = take(due.events, np.arange(len(found)))
        tied, untied = web[at[web] >= 0], web[at[web] < 0]
        if len(tied):
            found[tied] = state.owned.sessions(at[tied], visits_of(events, tied), self._policy)
        if len(untied):
            found[untied] = state.visits.starts(due.customers[untied].tolist(), visits_of(events, untied), self._policy)
        events["session"] = found
        return events

    def _forwarded(self, outflow: Outflow, claims: list[Link]) -> list[Forwarded]:
        """Return the batches for the buckets of addresses: for all of them when the progress of this bucket changed."""
        state, buckets = self._state, self._policy.buckets
        if state.progress is None:
            return []
        progress = state.progress._replace(source=state.bucket)
        turned, state.reported = progress != state.reported, progress
        forwarded = []
        for bucket in range(buckets):
            customers, addresses = outflow.parcel(bucket), outflow.parcel(buckets + bucket)
            mine = tuple(link for link in claims if self._policy.bucket_of(link.identity) == bucket) if claims else ()
            if turned or customers or addresses or mine:
                forwarded.append(Forwarded(bucket, progress, customers or _NOTHING, addresses or _NOTHING, mine))
        return forwarded


def _due(state: DevicesState, slot: int, least: int) -> _Due:
    """Remove and return the waiting events up to a slot. Earlier slots than ``least`` count as ``least``."""
    columns = state.waiting.due(slot)
    if columns is None:
        return _Due(no_events(), *(np.empty(0, object),) * 2, np.empty(0, np.int64))
    due = _Due(*columns)
    slots = due.events["slot"]
    if len(slots) > 1 and (slots[1:] < slots[:-1]).any():
        due = due.pick(np.argsort(slots, kind="stable"))
    if due.events["slot"][0] < least:
        due = _Due(due.events.copy(), due.customers, due.devices, due.customer_buckets)
        np.maximum(due.events["slot"], least, out=due.events["slot"])
    return due


def _admitted(
    known: KnownIds, events: EventArray, devices: Texts, first: int, slot: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which ids are new, and which events are too old to decide. Crosses the boundaries after slot ``first``.

    Ids may be forgotten at each boundary, so events are admitted slot by slot if the window may get full.
    """
    times = events["occurred"]
    if slot == first or known.room() >= ids_in(events):
        new, old = admit(known, events, devices), known.too_old(times)
    else:
        new, old = np.empty(len(events), np.bool_), np.empty(len(events), np.bool_)
        slots, start = events["slot"], 0
        for stop in [*(np.flatnonzero(slots[1:] != slots[:-1]) + 1).tolist(), len(events)]:
            if slots[start] > first:
                known.forget()
            new[start:stop] = admit(known, events[start:stop], devices[start:stop])
            old[start:stop] = known.too_old(times[start:stop])
            start = stop
        if slots[-1] == slot:
            return new, old
    if slot > first:
        known.forget()
    return new, old
