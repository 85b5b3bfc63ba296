"""Devices and addresses in plain Python: one event and one slot at a time, histories as lists of events."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from support.columns import DAY

from contracts.blocks import NOBODY, DeviceBatch, Forwarded, Link
from contracts.identity import ANONYMOUS, EMAIL, visitor_id
from streams import codes

SECOND = 1_000_000


@dataclass(frozen=True)
class Did:
    """One event: whose it is does not matter any more."""

    id: int
    occurred: int
    code: int
    slot: int
    session: bool
    order: int = 0
    """The number of an order, 0 for none."""

    @property
    def counted(self) -> int:
        """When it counts: at the end of its slot at the latest, though its device may be ahead."""
        return min(self.occurred, (self.slot + 1) * DAY - 1)


@dataclass
class Sent:
    """What goes to one bucket of the next step: (owner, slot, event)."""

    events: list[tuple[str, int, Did]] = field(default_factory=list)
    claims: list[Link] = field(default_factory=list)


@dataclass
class Oracle:
    """One bucket of devices or addresses."""

    of_devices: bool
    most_merges: int
    forgotten_after: int
    gap: int = 1_800
    slot: int | None = None
    start: int | None = None
    owner: dict[str, str] = field(default_factory=dict)
    in_slot: dict[str, str] = field(default_factory=dict)
    """Who gets the events of this slot, where the owner changed in it."""
    history: dict[str, list[Did]] = field(default_factory=lambda: defaultdict(list))
    events: list[tuple[int, Any]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    customers: set[str] = field(default_factory=set)
    notices: list[tuple[int, str]] = field(default_factory=list)
    """From which slot on an id is known as a customer's."""
    seen: set[int] = field(default_factory=set)
    orders: set[tuple[str, int]] = field(default_factory=set)
    last_web: dict[str, int] = field(default_factory=dict)
    verdicts: list[tuple[str, str, str]] = field(default_factory=list)
    sent: dict[bool, list[tuple[str, int, Did]]] = field(default_factory=dict)
    """By whether the owner is an address."""
    claims: list[Link] = field(default_factory=list)
    read: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By identity: the times of all its links and unlinks that were read."""
    undone: dict[str, int] = field(default_factory=dict)
    """By identity: links up to this time do not count any more."""
    full: set[str] = field(default_factory=set)
    """Persons to whom a link was refused because they had too many."""

    def work(self, target: int) -> None:
        """Go on to a slot, one slot after the other."""
        self.sent, self.claims = {True: [], False: []}, []
        self.slot = self.start if self.slot is None else self.slot
        while True:
            self.one_slot()
            if self.slot == target:
                return
            self.slot += 1
            self.in_slot = {}
            self.forget()

    def one_slot(self) -> None:
        now = self.slot
        events = [event for slot, event in self.events if max(slot, now) == now]
        links = [link for link in self.links if max(link.slot, now) == now]
        self.events = [each for each in self.events if each[0] > now]
        self.links = [link for link in self.links if link.slot > now]
        self.customers |= {customer for customer, _, _ in events if customer}
        self.customers |= {customer for slot, customer in self.notices if slot <= now}
        if not self.of_devices:
            links.sort(key=lambda link: link.occurred)
        for link in links:
            if link.person and not link.person.startswith(EMAIL):
                self.customers.add(link.person)
            if self.of_devices and link.identity.startswith(EMAIL):
                self.claims.append(link._replace(slot=now))
            else:
                self.decide(link)
        for customer, identity, did in events:
            self.happen(customer, identity, did)

    def decide(self, link: Link) -> None:
        identity, person, before = link.identity, link.person, self.owner.get(link.identity)
        if identity in self.undone and link.occurred <= self.undone[identity]:
            return
        if person == NOBODY and before in (None, link.undoes):
            self.undone[identity] = max([link.occurred, *self.read[identity]])
            if before is not None:
                self.give(identity, None, before, "unlinked")
            return
        if person == NOBODY:
            self.undone[identity] = link.occurred
            return
        self.read[identity].append(link.occurred)
        typed = person.startswith(EMAIL)
        if before == person or (typed and before is not None and not before.startswith(EMAIL)):
            return
        own = identity.removeprefix(ANONYMOUS)
        outcome = "linked"
        if before is not None and not (before.startswith(EMAIL) and not typed):
            outcome = "belongs_to_another"
        elif self.of_devices and own in self.customers and own != person:
            outcome = "is_a_customer"
        elif self.of_devices and (
            person in self.full or sum(each == person for each in self.owner.values()) >= self.most_merges
        ):
            outcome = "merge_limit"
            self.full.add(person)
        if outcome != "linked":
            self.verdicts.append((identity, person, outcome))
            return
        self.give(identity, person, person, outcome)

    def give(self, identity: str, person: str | None, named: str, outcome: str) -> None:
        before = self.owner.pop(identity, None)
        if person is not None:
            self.owner[identity] = person
        self.verdicts.append((identity, named, outcome))
        if identity in self.in_slot:
            return
        if before is not None:
            self.in_slot[identity] = before
            return
        assert person is not None
        self.in_slot[identity] = person
        for did in self.history.pop(identity, []):
            self.send(person, did)

    def happen(self, customer: str, identity: str, did: Did) -> None:
        if self.of_devices and not customer:
            if did.id in self.seen:
                return
            self.seen.add(did.id)
            if did.order and (identity, did.order) in self.orders:
                return
            self.orders.add((identity, did.order))
        if self.of_devices and codes.PAGE_VIEW <= did.code < codes.TICKET_OPENED:
            key, second = identity or customer, did.occurred // SECOND
            before = self.last_web.get(key)
            too_old = (self.slot * DAY - self.forgotten_after) // SECOND
            session = before is None or before < too_old or second - before > self.gap
            self.last_web[key] = second if before is None else max(before, second)
            did = Did(did.id, did.occurred, did.code, did.slot, session)
        if customer:
            self.send(customer, did)
            return
        owner = self.in_slot.get(identity, self.owner.get(identity))
        if owner is not None:
            self.send(owner, did)
        else:
            self.history[identity].append(did)

    def send(self, owner: str, did: Did) -> None:
        self.sent[owner.startswith(EMAIL)].append((owner, self.slot, did))

    def forget(self) -> None:
        cut = self.slot * DAY - self.forgotten_after
        for identity, dids in list(self.history.items()):
            if max(did.counted for did in dids) < cut:
                del self.history[identity]
        for key, second in list(self.last_web.items()):
            if second < cut // SECOND:
                del self.last_web[key]


class OracleDevices:
    """Takes what a bucket of devices takes."""

    def __init__(self, most_merges: int, forgotten_after: int):
        self.core = Oracle(True, most_merges, forgotten_after)
        self.progress: Any = None

    def take(self, items: list[DeviceBatch], homes: Any) -> dict[int, tuple[Sent, Sent]]:
        """Return for each bucket what goes to customers and to addresses there."""
        core = self.core
        for item in items:
            self.progress = item.progress or self.progress
            people = item.people
            for row, customer, device in zip(people.events, people.customers, people.devices, strict=True):
                order = int(row["score"]) if row["code"] == codes.ORDER else 0
                did = Did(int(row["id_hash"]), int(row["occurred"]), int(row["code"]), int(row["slot"]), False, order)
                core.events.append((did.slot, (customer, visitor_id(device) if device else "", did)))
            core.links += item.links
            core.notices += zip(item.known_slots.tolist(), item.known_customers.tolist(), strict=True)
        if self.progress is None or self.progress.slot is None:
            return {}
        core.start = self.progress.start
        core.work(self.progress.slot)
        sent: dict[int, tuple[Sent, Sent]] = defaultdict(lambda: (Sent(), Sent()))
        for to_address in (False, True):
            for owner, slot, did in core.sent[to_address]:
                sent[homes(owner)][to_address].events.append((owner, slot, did))
        for link in core.claims:
            sent[homes(link.identity)][1].claims.append(link)
        return sent


class OracleAddresses:
    """Takes what a bucket of addresses takes."""

    def __init__(self, forgotten_after: int, buckets: int):
        self.core = Oracle(False, 0, forgotten_after)
        self.buckets = buckets
        self.latest: dict[int, Any] = {}

    def take(self, items: list[Forwarded], sent: list[tuple[Sent, Sent]]) -> list[tuple[str, int, Did]]:
        """Return (customer, slot, event) of all that goes on."""
        core, passed = self.core, []
        for item, (customers, addresses) in zip(items, sent, strict=True):
            self.latest[item.progress.source] = item.progress
            passed += customers.events
            core.events += [(slot, ("", name, did)) for name, slot, did in addresses.events]
            core.links += addresses.claims
        if len(self.latest) == self.buckets and all(each.slot is not None for each in self.latest.values()):
            core.start = min(each.start for each in self.latest.values())
            core.work(min(each.slot for each in self.latest.values()))
            passed += core.sent[False]
        return passed
