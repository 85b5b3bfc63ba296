"""The shop itself: one endless world, lived day by day, told in the order in which its events are received.

Delivery: the same settings give the same records, however they are read: in one go or in parts, fast or slow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.protocol import Record
from connectors.simulator import service, sessions
from connectors.simulator.catalogue import Catalogue
from connectors.simulator.config import DAY_US, ShopConfig
from connectors.simulator.customers import Day, Population, Visits
from connectors.simulator.drafts import Draft, encode, envelope
from connectors.simulator.feedback import FeedbackWriter
from connectors.simulator.noise import KINDS, broken_body
from connectors.simulator.sessions import Visitor
from connectors.simulator.truth import CustomerTruth, NoiseCounts, ShopTruth, customer_id, to_datetime
from contracts.events import Kind
from contracts.topics import TOPIC_OF_KIND

_TOPICS: Final[dict[Kind, str]] = {kind: topic.name for kind, topic in TOPIC_OF_KIND.items()}
_SECOND_US: Final = 1_000_000
_MARKS: Final = ("plain", "duplicate", "late", "broken")


class Sent(NamedTuple):
    """A record, when the shop receives it (microseconds since 1970 UTC), and what is odd about it."""

    received_at: int
    sequence: int
    mark: str
    record: Record


class ShopStream(Protocol):
    """A shop that can be read in parts: a second reading goes on where the first ended."""

    @property
    def now_us(self) -> int:
        """How far it has been read, microseconds since 1970 UTC."""
        ...

    def records(self, until_us: int | None = None) -> Iterator[Record]:
        """Yield the records received before ``until_us`` (None: endlessly), in the order of their receipt."""
        ...


class Shop:
    """A simulated shop, a connector. It is one stream: a second reading goes on where the first ended."""

    def __init__(self, config: ShopConfig):
        self.config = config
        self._rng = np.random.default_rng(config.seed)
        self._population = Population(config, self._rng)
        self._sessions = sessions.SessionWriter(Catalogue(self._rng), config.currency)
        self._tickets = service.TicketWriter()
        self._feedback = FeedbackWriter(config.seed, config.currency)
        self._prefix = config.fingerprint
        self._next_day = config.start_us
        self._told_until = config.start_us
        self._pending: list[Sent] = []
        self._sequence = 0
        self._broken = 0
        self._opinions = 0
        self._visitors = 0
        self._counts = dict.fromkeys(_MARKS, 0)

    @property
    def now_us(self) -> int:
        """How far the stream has been read: the shop's own present, microseconds since 1970 UTC."""
        return self._told_until

    def records(self, until_us: int | None = None) -> Iterator[Record]:
        """Yield the records received before ``until_us`` (None: endlessly), in the order of their receipt."""
        for sent in self.sent(until_us):
            yield sent.record

    def sent(self, until_us: int | None = None) -> Iterator[Sent]:
        """Like :meth:`records`, with the time of receipt and the mark of each."""
        while until_us is None or self._told_until < until_us:
            if self._next_day <= self._told_until:
                self._live_a_day()
            stop = self._next_day if until_us is None else min(self._next_day, until_us)
            while self._pending and self._pending[0].received_at < stop:
                sent = heappop(self._pending)
                self._told_until = sent.received_at
                self._counts[sent.mark] += 1
                yield sent
            self._told_until = stop

    def truth(self) -> ShopTruth:
        """Return what the shop knows and its stream does not say, as of :attr:`now_us`."""
        now = self._told_until
        customers = tuple(
            CustomerTruth.of(number, row, now)
            for number, row in enumerate(self._population.people)
            if row["joined_at"] < now
        )
        counts = NoiseCounts(
            records=sum(self._counts.values()),
            duplicates=self._counts["duplicate"],
            late=self._counts["late"],
            broken=self._counts["broken"],
        )
        return ShopTruth(until=to_datetime(now), customers=customers, counts=counts)

    def _live_a_day(self) -> None:
        """Simulate the next day; what it causes waits in ``_pending`` until it is received."""
        day = self._population.advance(self._next_day)
        drafts = list(chain(self._visits(day), self._complaints(day.complaining)))
        self._send(drafts)
        self._send_broken(len(drafts))
        self._send_feedback(drafts)
        self._next_day += DAY_US

    def _visits(self, day: Day) -> Iterator[Draft]:
        yield from self._customers(day.joining, orders=True, signs_in=True)
        yield from self._customers(day.ordering, orders=True, signs_in=False)
        yield from self._customers(day.browsing, orders=False, signs_in=False)
        draws = self._rng.random((len(day.passers_by), sessions.DRAWS)).tolist()
        for begins, row in zip(day.passers_by.tolist(), draws, strict=True):
            yield from self._sessions.write(Visitor(None, self._visitor_id()), begins, row)

    def _customers(self, visits: Visits, *, orders: bool, signs_in: bool) -> Iterator[Draft]:
        draws = self._rng.random((len(visits.who), sessions.DRAWS)).tolist()
        columns = (column.tolist() for column in visits)
        for number, begins, fade, spend, row in zip(*columns, draws, strict=True):
            visitor = Visitor(customer_id(number), self._visitor_id(), orders, signs_in, fade, spend)
            yield from self._sessions.write(visitor, begins, row)

    def _complaints(self, tickets: Visits) -> Iterator[Draft]:
        draws = self._rng.random((len(tickets.who), service.DRAWS)).tolist()
        columns = (column.tolist() for column in tickets)
        for number, begins, fade, _, row in zip(*columns, draws, strict=True):
            yield from self._tickets.write(customer_id(number), begins, fade, row)

    def _visitor_id(self) -> str:
        self._visitors += 1
        return f"a-{self._visitors:06d}"

    def _send(self, drafts: list[Draft]) -> None:
        """Give each draft its time of receipt, and send some of them late, some twice."""
        config, rng, count = self.config, self._rng, len(drafts)
        delays = (50_000 + rng.exponential(1.5 * _SECOND_US, count)).astype(np.int64)
        late = rng.random(count) < config.late_share
        delays[late] += (np.clip(rng.exponential(1.0, int(late.sum())), 0.05, 7) * DAY_US).astype(np.int64)
        twice = rng.random(count) < config.duplicate_share
        again = _resend_delays(rng, count)
        columns = zip(drafts, delays.tolist(), late.tolist(), twice.tolist(), again.tolist(), strict=True)
        for draft, delay, is_late, is_twice, wait in columns:
            event_id = f"{self._prefix}-{self._sequence:x}"
            received = draft.occurred_at + delay
            self._push(draft, event_id, received, "late" if is_late else "plain")
            if is_twice:
                self._push(draft, event_id, received + wait, "duplicate")

    def _push(self, draft: Draft, event_id: str, received_at: int, mark: str) -> None:
        heappush(self._pending, Sent(received_at, self._sequence, mark, _record(draft, event_id, received_at)))
        self._sequence += 1

    def _send_feedback(self, drafts: list[Draft]) -> None:
        """Send what follows from the day, with numbers of its own."""
        for draft in self._feedback.write(self._next_day, drafts):
            self._opinions += 1
            received = draft.occurred_at + _SECOND_US
            record = _record(draft, f"{self._prefix}-x{self._opinions:x}", received)
            heappush(self._pending, Sent(received, -self._opinions, "plain", record))

    def _send_broken(self, events: int) -> None:
        """Add the day's records that are no events, spread over all topics."""
        count = self._rng.binomial(events, self.config.broken_share)
        for offset in self._rng.integers(0, DAY_US, count).tolist():
            received_at = self._next_day + offset
            kind = KINDS[self._broken % len(KINDS)]
            key = f"broken-{self._broken % 50}"
            event_id = f"{self._prefix}-{self._sequence:x}"
            body = broken_body(self._broken // len(KINDS), kind, key, event_id, received_at)
            record = Record(_TOPICS[kind], key.encode(), body, None)
            heappush(self._pending, Sent(received_at, self._sequence, "broken", record))
            self._sequence += 1
            self._broken += 1


def _record(draft: Draft, event_id: str, received_at: int) -> Record:
    return Record(_TOPICS[draft.kind], draft.key, encode(envelope(draft, event_id, received_at)), draft.occurred_at)


@dataclass(frozen=True)
class Period:
    """What a shop receives before ``until_us`` (microseconds since 1970 UTC): a connector that ends."""

    shop: ShopStream
    until_us: int

    def records(self) -> Iterator[Record]:
        """Yield the records of the period."""
        return self.shop.records(self.until_us)


def _resend_delays(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw how much later duplicates come, mostly seconds, seldom days. Microseconds, shape (count,)."""
    scale = rng.choice([20.0, 7_200.0, 86_400.0], size=count, p=[0.7, 0.2, 0.1])
    return np.asarray((1 + scale * rng.random(count) * 2) * _SECOND_US).astype(np.int64)
