"""What the customers of the compact shop do in an hour: columns of events, and their records. Moves no data.

An hour draws from a random generator of its own, seeded by shop and hour, so it is the same however the shop is read.
No event of an hour is received after its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from connectors.protocol import Record
from connectors.simulator.compact.bodies import TIME_WIDTH, Template, Text, beside, digits, hexadecimal, texts, times
from connectors.simulator.compact.config import CompactConfig
from contracts.topics import IDENTITIES, SERVICE_EVENTS, TRANSACTIONS, WEB_EVENTS, Topic

HOUR_US: Final = 3_600_000_000
SECOND_US: Final = 1_000_000
RECEIVED_AFTER_US: Final = 200_000
"""From an event to its receipt by the shop."""
_LAST_BEGIN_US: Final = HOUR_US - 120 * SECOND_US
_SIGN_INS, _NEW_DEVICES, _ORDERS, _TICKETS = 0.1, 0.1, 0.2, 0.01
"""Shares: of later visits with a sign-in, of sign-ins on a new device, of visits with an order, with a complaint."""
_MOST_DEVICES: Final = 100
_HOUR_WIDTH, _NUMBER_WIDTH = 5, 7
"""Hexadecimal digits of an event id for the hour and for the event's number in it."""
_PERSON: Final = {
    "visitor": '"anonymous_id":"$device"',
    "known": '"customer_id":"$customer","anonymous_id":"$device"',
    "customer": '"customer_id":"$customer"',
}


@dataclass(frozen=True)
class _What:
    """One kind of event: its topic, name, who does it (a key of ``_PERSON``) and its properties as JSON."""

    topic: Topic
    name: str
    who: str
    properties: str

    def template(self, widths: Mapping[str, int]) -> Template:
        """The body of such an event."""
        return Template(
            f'{{"event_id":"$event","kind":"{self.topic.kind}","name":"{self.name}",{_PERSON[self.who]},'
            '"occurred_at":"$occurred","received_at":"$received","source":"simulator",'
            f'"properties":{{{self.properties}}}}}', widths,
        )  # fmt: skip


_PAGE: Final = '"session_id":"s-$visit","url":"https://shop.example/"'
_PRODUCT: Final = '"session_id":"s-$visit","product_id":"p-$product"'
_EVENTS: Final = {
    "looks": _What(WEB_EVENTS, "Page Viewed", "visitor", _PAGE),
    "views": _What(WEB_EVENTS, "Product Viewed", "visitor", _PRODUCT),
    "signs in": _What(IDENTITIES, "Identify", "known", '"traits":{"country":"DE"}'),
    "orders": _What(
        TRANSACTIONS, "Order Completed", "customer",
        '"order_id":"o-$visit","total":$euros.$cents,"currency":"$currency","items":$items',
    ),
    "comes back": _What(WEB_EVENTS, "Page Viewed", "known", _PAGE),
    "views again": _What(WEB_EVENTS, "Product Viewed", "known", _PRODUCT),
    "adds": _What(WEB_EVENTS, "Product Added", "known", _PRODUCT),
    "complains": _What(SERVICE_EVENTS, "Ticket Opened", "customer", '"ticket_id":"t-$visit"'),
}  # fmt: skip
JOINING: Final = (("looks", 0), ("views", 20), ("signs in", 40), ("orders", 60))
"""The events of a first visit, and how many seconds after its begin each happens."""


@dataclass(frozen=True)
class _Visits:
    """Visits: numbers of customers and of their devices, and when they begin (microseconds since 1970 UTC)."""

    who: NDArray[np.int64]
    device: NDArray[np.int64]
    begins: NDArray[np.int64]

    def only(self, chosen: NDArray[np.bool_]) -> "_Visits":
        """Some of the visits."""
        return _Visits(self.who[chosen], self.device[chosen], self.begins[chosen])


class HourWriter:
    """Writes the records of one hour after the other."""

    def __init__(self, config: CompactConfig):
        self._config = config
        self._hours = config.history_days * 24
        self._width = max(6, len(str(config.customers)))
        event = len(config.fingerprint) + 1 + _HOUR_WIDTH + _NUMBER_WIDTH
        self._widths = {
            "event": event, "visit": _HOUR_WIDTH + 1 + self._width,
            "customer": self._width + 2, "device": self._width + 5,
            "occurred": TIME_WIDTH, "received": TIME_WIDTH, "product": 4, "euros": 2, "cents": 2, "items": 1,
            "currency": 3,
        }  # fmt: skip
        self._templates = {name: what.template(self._widths) for name, what in _EVENTS.items()}

    def joined(self, hour: int) -> int:
        """Return how many customers joined before an hour, counted from the start."""
        return self._config.customers * min(hour, self._hours) // self._hours

    def write(self, hour: int) -> list[Record]:
        """Return the records of an hour, in the order of their receipt."""
        rng = np.random.default_rng((self._config.seed, hour))
        written = _Written(self, hour, rng)
        before = self.joined(hour)
        who = np.arange(before, self.joined(hour + 1))
        first = _Visits(who, np.zeros_like(who), self._begins(rng, hour, len(who)))
        for name, seconds in JOINING:
            written.add(name, first, seconds)
        self._later(written, self._later_visits(rng, hour, before), rng)
        return written.records()

    def fill(self, name: str, fields: dict[str, Text]) -> list[bytes]:
        """Return the bodies of events of one kind."""
        return self._templates[name].fill(fields)

    def ids(self, visits: _Visits) -> tuple[Text, Text]:
        """Return the ids of the customers and of the devices."""
        number = digits(visits.who + 1, self._width)
        return beside("c-", number), beside("a-", number, "-", digits(visits.device, 2))

    def visit_ids(self, hour: int, visits: _Visits) -> Text:
        """Return the ids of visits that begin in an hour."""
        hours = np.full(len(visits.who), hour)
        return beside(hexadecimal(hours, _HOUR_WIDTH), "-", digits(visits.who + 1, self._width))

    def event_ids(self, hour: int, numbers: NDArray[np.int64]) -> Text:
        """Return the ids of the events that have these numbers in their hour."""
        whole = (hour << 4 * _NUMBER_WIDTH) + numbers
        return beside(f"{self._config.fingerprint}-", hexadecimal(whole, _HOUR_WIDTH + _NUMBER_WIDTH))

    @property
    def currency(self) -> str:
        """The currency of the orders."""
        return self._config.currency

    def _begins(self, rng: np.random.Generator, hour: int, count: int) -> NDArray[np.int64]:
        return self._config.start_us + hour * HOUR_US + rng.integers(0, _LAST_BEGIN_US, count)

    def _later_visits(self, rng: np.random.Generator, hour: int, known: int) -> _Visits:
        count = int(rng.poisson(known * self._config.visits_per_day / 24))
        who = rng.integers(0, max(1, known), count)
        return _Visits(who, np.zeros_like(who), self._begins(rng, hour, count))

    def _later(self, written: "_Written", visits: _Visits, rng: np.random.Generator) -> None:
        """Visits of customers who joined before: signed in, some of them anew and on another device."""
        draws = rng.random((4, len(visits.who)))
        signs_in, new = draws[0] < _SIGN_INS, draws[1] < _NEW_DEVICES
        devices = rng.integers(1, _MOST_DEVICES, len(visits.who))
        visits = _Visits(visits.who, np.where(signs_in & new, devices, 0), visits.begins)
        written.add("signs in", visits.only(signs_in), 0)
        for name, seconds in (("comes back", 1), ("views again", 20), ("adds", 40)):
            written.add(name, visits, seconds)
        written.add("orders", visits.only(draws[2] < _ORDERS), 60)
        written.add("complains", visits.only(draws[3] < _TICKETS), 80)


class _Written:
    """The records of one hour while they are made."""

    def __init__(self, writer: HourWriter, hour: int, rng: np.random.Generator):
        self._writer = writer
        self._hour = hour
        self._rng = rng
        self._records: list[Record] = []

    def add(self, name: str, visits: _Visits, seconds: int) -> None:
        """Add one event of each visit, so many seconds after its begin."""
        count = len(visits.who)
        if not count:
            return
        what, at = _EVENTS[name], visits.begins + seconds * SECOND_US
        customer, device = self._writer.ids(visits)
        numbers = len(self._records) + np.arange(count)
        bodies = self._writer.fill(name, {
            "event": self._writer.event_ids(self._hour, numbers), "visit": self._writer.visit_ids(self._hour, visits),
            "customer": customer, "device": device, "occurred": times(at), "received": times(at + RECEIVED_AFTER_US),
            **self._details(what, count),
        })  # fmt: skip
        keys = texts(device if "device" in _PERSON[what.who] else customer)
        topic = what.topic.name
        self._records += [Record(topic, *each) for each in zip(keys, bodies, at.tolist(), strict=True)]

    def records(self) -> list[Record]:
        """Return everything that was added, in the order of its time."""
        return sorted(self._records, key=lambda record: record.occurred_at or 0)

    def _details(self, what: _What, count: int) -> dict[str, Text]:
        """The fields that only some kinds of events have."""
        if what.topic is WEB_EVENTS:
            return {"product": digits((300 * self._rng.random(count) ** 2).astype(np.int64) + 1, 4)}
        if what.topic is not TRANSACTIONS:
            return {}
        money = self._rng.integers(1_000, 10_000, count)
        currency = np.tile(np.frombuffer(self._writer.currency.encode(), np.uint8), (count, 1))
        return {
            "euros": digits(money // 100, 2), "cents": digits(money % 100, 2), "currency": currency,
            "items": digits(self._rng.integers(1, 5, count), 1),
        }  # fmt: skip
