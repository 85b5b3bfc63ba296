"""What the records of a shop say, in plain Python: the answers that views and queries must give."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from connectors.protocol import Record
from contracts.events import Event

CENT4: Final = Decimal("0.0001")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Order:
    """An order in its present state."""

    customer: str
    at: datetime
    total: Decimal
    lines: list[dict[str, Any]]
    payment: str = ""
    cancelled_at: datetime | None = None

    refunds: list[tuple[datetime, Decimal]] = field(default_factory=list)

    @property
    def movements(self) -> list[tuple[datetime, Decimal]]:
        """The money that came in and went back, with its times."""
        back = [(at, -amount) for at, amount in self.refunds]
        cancelled = [] if self.cancelled_at is None else [(self.cancelled_at, -self.rest)]
        return [(self.at, self.total), *back, *cancelled]

    @property
    def refunded(self) -> Decimal:
        """What was paid back."""
        return sum((amount for _, amount in self.refunds), Decimal(0))

    @property
    def rest(self) -> Decimal:
        """What refunds have left of it."""
        return self.total - self.refunded

    @property
    def net(self) -> Decimal:
        """What is left of it in the end."""
        return self.rest if self.cancelled_at is None else Decimal(0)


@dataclass
class Visit:
    """A visit to the site."""

    customer: str
    events: list[Event] = field(default_factory=list)

    @property
    def starts(self) -> datetime:
        return self.events[0].occurred_at

    @property
    def ends(self) -> datetime:
        return self.events[-1].occurred_at

    def count(self, name: str) -> int:
        """How many of its events have a name."""
        return sum(event.name == name for event in self.events)

    @property
    def channel(self) -> str:
        """The rule of the view ``sessions``, for the addresses that the shop sends."""
        first = self.events[0].properties.model_dump()
        medium = parse_qs(urlsplit(first["url"]).query).get("utm_medium", [""])[0]
        origin = urlsplit(first.get("referrer") or "").hostname or ""
        if medium:
            return {"cpc": "paid"}.get(medium, medium)
        return {"": "direct", "www.google.com": "search", "www.instagram.com": "social"}[origin]


class ShopFacts:
    """All valid events of one source, each once, as lists and dictionaries."""

    def __init__(self, records: Iterable[Record]):
        self.events = _once(records)
        self.owners = {
            event.anonymous_id: event.customer_id for event in self.events
            if event.name == "Identify" and event.anonymous_id and event.customer_id
        }  # fmt: skip
        self.orders: dict[str, Order] = {}
        for event in self.events:
            if event.kind == "transaction":
                self._transaction(event)
        self.movements = [moved for order in self.orders.values() for moved in order.movements]
        self.visits = self._visits()

    def owner(self, event: Event) -> str:
        """Whose event it is, now that all visitors have signed in who do."""
        if event.customer_id is not None:
            return event.customer_id
        assert event.anonymous_id is not None
        return self.owners.get(event.anonymous_id, f"anonymous:{event.anonymous_id}")

    def _transaction(self, event: Event) -> None:
        said = event.properties.model_dump()
        if event.name == "Order Cancelled":
            self.orders[said["order_id"]].cancelled_at = event.occurred_at
            return
        amount = Decimal(str(said["total"])).quantize(CENT4)
        if event.name == "Order Completed":
            assert said["order_id"] not in self.orders
            self.orders[said["order_id"]] = Order(
                self.owner(event), event.occurred_at, amount, said["products"], said["payment_method"]
            )
        elif event.name == "Order Refunded":
            self.orders[said["order_id"]].refunds.append((event.occurred_at, amount))

    def _visits(self) -> list[Visit]:
        visits: dict[str, Visit] = {}
        for event in self.events:
            if event.kind == "web" and event.name != "Product Reviewed":
                visits.setdefault(event.properties.model_dump()["session_id"], Visit("")).events.append(event)
        for visit in visits.values():
            known = [event for event in visit.events if event.customer_id is not None]
            visit.customer = self.owner((known or visit.events)[-1])
        return list(visits.values())

    def named(self, name: str) -> list[tuple[Event, dict[str, Any]]]:
        """The events of a name, with their properties."""
        return [(event, event.properties.model_dump()) for event in self.events if event.name == name]

    @property
    def tickets(self) -> dict[str, dict[str, list[Event]]]:
        """The events of each ticket by their names, in the order of their times."""
        found: dict[str, dict[str, list[Event]]] = defaultdict(lambda: defaultdict(list))
        for event in self.events:
            if event.name.startswith("Ticket ") or event.name == "CSAT Submitted":
                found[event.properties.model_dump()["ticket_id"]][event.name].append(event)
        return found

    def last_visit(self, order: Order) -> Visit | None:
        """The customer's visit that began last before an order, at most a day."""
        before = [
            visit for visit in self.visits
            if visit.customer == order.customer and order.at - DAY <= visit.starts <= order.at
        ]  # fmt: skip
        return max(before, key=lambda visit: visit.starts, default=None)

    def has_ordered(self, visit: Visit) -> bool:
        """Whether the customer's next order after the begin of a visit is in it, or within an hour of its end."""
        own = (order.at for order in self.orders.values() if order.customer == visit.customer)
        later = [at for at in own if at >= visit.starts]
        return bool(later) and min(later) <= visit.ends + HOUR

    @property
    def countries(self) -> dict[str, str]:
        """The newest country that each customer told."""
        told: dict[str, str] = {}
        for event in self.events:
            if event.name == "Identify" and event.customer_id:
                told[event.customer_id] = event.properties.model_dump()["traits"]["country"]
        return told

    @property
    def kept(self) -> dict[str, list[Order]]:
        """The orders of each customer that were not cancelled."""
        found: dict[str, list[Order]] = defaultdict(list)
        for order in self.orders.values():
            if order.cancelled_at is None:
                found[order.customer].append(order)
        return found


def month_of(time: datetime) -> date:
    """The first day of a month."""
    return time.astimezone(UTC).date().replace(day=1)


def _once(records: Iterable[Record]) -> list[Event]:
    """The valid events in the order of their times. Of several records of one, the one received last, then first."""
    found: dict[tuple[str, str], Event] = {}
    for record in records:
        try:
            event = Event.model_validate_json(record.value or b"")
        except ValidationError:
            continue
        key = (event.customer_id or f"anonymous:{event.anonymous_id}", event.event_id)
        if key not in found or event.received_at > found[key].received_at:
            found[key] = event
    return sorted(found.values(), key=lambda event: (event.occurred_at, event.event_id))
