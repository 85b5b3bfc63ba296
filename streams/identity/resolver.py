"""Who is whom: links between ids, decided boundary by boundary.

One place sees all links, so what it decides at a boundary is a function of the log alone: the links of the slot that
ends there are taken in the order of their time, however the lanes interleaved. Rules, in the order of their rank:

- Within a slot a sign-in counts before an address that a visitor gave.
- Two customers are never merged. What is linked to one customer stays with it: a second one is refused.
- An id by which a customer was identified is a customer itself and is nobody's second id.
- A customer takes over at most ``most_merges`` ids.
- An e-mail address belongs to the customer who is first identified with it; visitors who gave the same address are
  that customer too, also if they gave it before.

Between boundaries the earliest links are only *hints*, for live scores. Pure: no engine, no client, no clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.crossings import NOBODY, LaneNews, Links, Verdict
from contracts.identity import ANONYMOUS, EMAIL
from streams.identity.hints import Hints, Link

LINKED: Final = "linked"
TAKEN: Final = "belongs_to_another"
KNOWN: Final = "is_a_customer"
FULL: Final = "merge_limit"
FORGET_EVERY: Final = 16
"""Slots between two looks at what may be forgotten."""
Judgement = tuple[str, str, str]
"""An identity, a person, and whether the one is :data:`LINKED` to the other or why not."""


@dataclass(frozen=True)
class IdentityPolicy:
    """``lanes`` is how many must be heard before anything is decided; ``most_merges`` the limit of each customer.

    ``visitor_slots`` is how many slots a visitor is remembered without an event.
    """

    lanes: int
    most_merges: int
    visitor_slots: int = 90


@dataclass
class Decided:
    """Everything that is decided for good. It changes only when a slot ends."""

    person_of: dict[str, str] = field(default_factory=dict)
    """The customer of each linked visitor and e-mail address."""
    mailed: dict[str, dict[str, int]] = field(default_factory=dict)
    """By address by which nobody is known yet: the visitors who gave it, with the slot in which they last did."""
    merges: dict[str, int] = field(default_factory=dict)
    customers: set[str] = field(default_factory=set)
    """Customers who were identified."""


@dataclass
class IdentityState:
    """What is decided, and the links that wait for their slot to end; ``boundary`` is None until all lanes ran."""

    slots: dict[int, int] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    boundary: int | None = None
    waiting: dict[int, set[Link]] = field(default_factory=dict)
    hints: Hints = field(default_factory=Hints)
    decided: Decided = field(default_factory=Decided)


@dataclass(frozen=True)
class Resolution:
    """What news of a lane decides: final links by boundary and visitor, all decisions, and the hints that changed."""

    final: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    hints: Mapping[str, str | None] = field(default_factory=dict)


def resolve(state: IdentityState, news: LaneNews, policy: IdentityPolicy) -> Resolution:
    """Take in news of a lane, and move on to the slot of the slowest lane."""
    if news.start is not None and news.slot is not None:
        state.starts[news.partition], state.slots[news.partition] = news.start, news.slot
    for slot, link in _each(news.links):
        state.waiting.setdefault(slot, set()).add(link)
    if len(state.slots) < policy.lanes:
        return Resolution()
    before, state.boundary = state.boundary, min(state.slots.values())
    verdicts = [verdict for slot in _ended(state) for verdict in _decide(state, slot, policy)]
    final: dict[int, dict[str, str]] = {}
    for verdict in verdicts:
        if verdict.outcome == LINKED and verdict.identity.startswith(ANONYMOUS):
            final.setdefault(verdict.boundary, {})[verdict.identity] = verdict.person
    if before != state.boundary:
        begun = state.hints.restart(state.waiting.get(state.boundary, ()), state.decided.person_of)
    else:
        begun = state.hints.add(link for slot, link in _each(news.links) if slot == state.boundary)
    return Resolution(final, tuple(verdicts), _told(state, begun, policy))


def _told(state: IdentityState, visitors: Iterable[str], policy: IdentityPolicy) -> dict[str, str | None]:
    """The hints of some visitors, as far as they changed."""

    def likely(visitor: str) -> str | None:
        customer = state.hints.of(visitor, state.decided.person_of)
        return None if customer is None or why_not(state, visitor, customer, policy) else customer

    decided = state.decided.person_of
    return state.hints.tell({visitor: likely(visitor) for visitor in visitors if visitor not in decided})


def _each(links: Links) -> Iterator[tuple[int, Link]]:
    columns = links.slots.tolist(), links.occurred.tolist(), links.sources.tolist(), links.targets.tolist()
    for slot, occurred, source, target in zip(*columns, strict=True):
        yield slot, Link(occurred, source, target)


def _ended(state: IdentityState) -> list[int]:
    return sorted(slot for slot in state.waiting if state.boundary is not None and slot < state.boundary)


def _decide(state: IdentityState, slot: int, policy: IdentityPolicy) -> Iterator[Verdict]:
    """Decide the links of a slot for good: sign-ins before typed addresses, the earliest first.

    What was decided before, and what comes twice, is not told again.
    """
    told: set[tuple[str, str]] = set()
    for link in sorted(state.waiting.pop(slot), key=lambda link: (link.target.startswith(EMAIL), link)):
        for identity, person, outcome in _judge(state, link, slot, policy):
            if (identity, person) not in told:
                yield Verdict(identity, person, outcome, link.occurred, slot + 1)
            told.add((identity, person))
    if slot % FORGET_EVERY == 0:
        _forget(state, slot - policy.visitor_slots)


def _forget(state: IdentityState, before: int) -> None:
    """Forget visitors who wait for the owner of an address and are forgotten themselves by now."""
    for email, waiting in list(state.decided.mailed.items()):
        state.decided.mailed[email] = {visitor: slot for visitor, slot in waiting.items() if slot >= before}
        if not state.decided.mailed[email]:
            del state.decided.mailed[email]


def _judge(state: IdentityState, link: Link, slot: int, policy: IdentityPolicy) -> Iterator[Judgement]:
    """Yield what a link newly says."""
    source, target = link.source, link.target
    if source == NOBODY:
        state.decided.customers.add(target)
    elif target.startswith(EMAIL):
        yield from _give_email(state, link, slot, policy)
    elif source.startswith(EMAIL):
        yield from _own_email(state, source, target, policy)
    else:
        yield from _link(state, source, target, policy)


def _give_email(state: IdentityState, link: Link, slot: int, policy: IdentityPolicy) -> Iterator[Judgement]:
    """A visitor gave an address: if nobody is known by it yet, that waits."""
    visitor, email = link.source, link.target
    owner = state.decided.person_of.get(email)
    if owner is not None:
        yield from _link(state, visitor, owner, policy)
    elif visitor not in state.decided.person_of:
        waiting = state.decided.mailed.setdefault(email, {})
        if visitor in waiting or len(waiting) < policy.most_merges:
            waiting[visitor] = slot


def _own_email(state: IdentityState, email: str, customer: str, policy: IdentityPolicy) -> Iterator[Judgement]:
    """A customer was identified with an address."""
    owner = state.decided.person_of.get(email)
    if owner is None:
        state.decided.person_of[email] = customer
        yield email, customer, LINKED
        for visitor in state.decided.mailed.pop(email, ()):
            yield from _link(state, visitor, customer, policy)
    elif owner != customer:
        yield email, customer, TAKEN


def _link(state: IdentityState, visitor: str, customer: str, policy: IdentityPolicy) -> Iterator[Judgement]:
    if state.decided.person_of.get(visitor) == customer:
        return
    reason = why_not(state, visitor, customer, policy)
    if reason is None:
        state.decided.person_of[visitor] = customer
        state.decided.merges[customer] = state.decided.merges.get(customer, 0) + 1
    yield visitor, customer, reason or LINKED


def why_not(state: IdentityState, visitor: str, customer: str, policy: IdentityPolicy) -> str | None:
    """Why a visitor may not become a customer's; None if nothing stands against it."""
    if state.decided.person_of.get(visitor, customer) != customer:
        return TAKEN
    if visitor.removeprefix(ANONYMOUS) in state.decided.customers:
        return KNOWN
    return FULL if state.decided.merges.get(customer, 0) >= policy.most_merges else None
