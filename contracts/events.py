"""The event: one envelope for all kinds of events, and the properties of each event name.

These pydantic models are the only definition. The JSON Schema under ``docs/schemas/`` is generated from them and
``contracts/examples/`` holds a golden example of every name in :data:`EVENT_TYPES`. The names are those of the
public tracking specifications ("Order Completed", "Ticket Opened"); a name that is not listed is accepted in its
kind, with free properties.

Delivery: an event is known by ``event_id``. The same id twice is one event.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Protocol, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from contracts.identity import is_no_customer, placing_id
from contracts.unlinks import problem_of

Kind = Literal["web", "transaction", "service", "identity"]
KINDS: Final[tuple[Kind, ...]] = ("web", "transaction", "service", "identity")

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE: Final = timedelta(hours=24)
"""How far ``occurred_at`` may lie after ``received_at``: the clocks of devices are often hours ahead."""
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far an event may move the clock of its partition beyond ``received_at``: a device with a fast clock must not move
all customers ahead in time. No event counts on a later day than that of this clock."""
MAX_AMOUNT: Final = 100_000_000_000
"""The largest amount of money in one event, in units of its currency."""
MAX_COUNT: Final = 1_000_000
"""The largest number of items in one event."""
MAX_EVENT_BYTES: Final = 32_768
"""The largest body of one event."""

Identifier = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Label = Annotated[str, Field(max_length=500)]
Amount = Annotated[float, Field(ge=0, le=MAX_AMOUNT, allow_inf_nan=False)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code")]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


class Properties(BaseModel):
    """The properties of an event. Fields that are not listed here are kept unchanged."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class WebProperties(Properties):
    """Properties of web events."""

    session_id: Label | None = None
    url: Annotated[str, Field(max_length=4_000)] | None = None
    product_id: Label | None = None


class TransactionProperties(Properties):
    """Properties of transactions. An amount of money requires a currency, and a currency an amount."""

    order_id: Label | None = None
    total: Amount | None = None
    currency: Currency | None = None
    items: Count | None = None

    @model_validator(mode="after")
    def _money_is_whole(self) -> Self:
        if (self.total is None) != (self.currency is None):
            missing, given = ("currency", "total") if self.currency is None else ("total", "currency")
            raise ValueError(f"{missing}: is required where {given} is given")
        return self


class ServiceProperties(Properties):
    """Properties of service events: tickets, chats, satisfaction."""

    ticket_id: Label | None = None
    conversation_id: Label | None = None
    score: Annotated[float, Field(ge=1, le=5, allow_inf_nan=False)] | None = None


class IdentityProperties(Properties):
    """Properties of identity events.

    ``previous_id`` is the anonymous id that an ``Alias`` links, or the owner that an ``Unlink`` takes an id from.
    """

    previous_id: Identifier | None = None
    traits: dict[str, Any] | None = None


PROPERTIES: Final[Mapping[Kind, type[Properties]]] = {
    "web": WebProperties,
    "transaction": TransactionProperties,
    "service": ServiceProperties,
    "identity": IdentityProperties,
}

ORDER_COMPLETED: Final = "Order Completed"
ORDER_REFUNDED: Final = "Order Refunded"
ORDER_CANCELLED: Final = "Order Cancelled"
DELETE_USER: Final = "Delete User"
"""Asks to erase somebody. It does nothing by itself: `crmstream forget --requested-by SOURCE` does."""
CSAT_SUBMITTED: Final = "CSAT Submitted"
NPS_SUBMITTED: Final = "NPS Submitted"
CES_SUBMITTED: Final = "CES Submitted"
IDENTIFY: Final = "Identify"
ALIAS: Final = "Alias"
UNLINK: Final = "Unlink"

EVENT_TYPES: Final[Mapping[str, tuple[Kind, tuple[str, ...]]]] = {
    "Page Viewed": ("web", ()),
    "Product Viewed": ("web", ("product_id",)),
    "Product Added": ("web", ("product_id",)),
    "Cart Viewed": ("web", ()),
    "Checkout Started": ("web", ()),
    "Product Reviewed": ("web", ()),
    ORDER_COMPLETED: ("transaction", ("total", "currency")),
    ORDER_REFUNDED: ("transaction", ("total", "currency")),
    ORDER_CANCELLED: ("transaction", ("order_id",)),
    "Ticket Opened": ("service", ("ticket_id",)),
    "Ticket Updated": ("service", ("ticket_id",)),
    "Ticket Solved": ("service", ("ticket_id",)),
    "Ticket Reopened": ("service", ("ticket_id",)),
    CSAT_SUBMITTED: ("service", ("score",)),
    NPS_SUBMITTED: ("service", ()),
    CES_SUBMITTED: ("service", ()),
    "Complaint Received": ("service", ()),
    "Live Chat Conversation Started": ("service", ("conversation_id",)),
    "Live Chat Conversation Ended": ("service", ("conversation_id",)),
    "Live Chat Message Sent": ("service", ("conversation_id",)),
    "Live Chat Message Received": ("service", ("conversation_id",)),
    "Lead Created": ("service", ()),
    "Deal Created": ("service", ()),
    "Deal Stage Changed": ("service", ()),
    "Deal Won": ("service", ()),
    "Deal Lost": ("service", ()),
    "Quote Sent": ("service", ()),
    "Call Logged": ("service", ()),
    "Meeting Held": ("service", ()),
    "Task Done": ("service", ()),
    IDENTIFY: ("identity", ()),
    ALIAS: ("identity", ("previous_id",)),
    UNLINK: ("identity", ("previous_id",)),
    DELETE_USER: ("identity", ()),
}
"""The event names that crmstream knows: kind and required properties."""


class Event(BaseModel):
    """One action of a customer or visitor, on any channel.

    Times carry a zone and are kept in UTC. ``customer_id`` is set once the customer is known, ``anonymous_id`` before;
    at least one of them is there. ``received_at`` is stamped by the connector that took the event in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    event_id: Identifier
    kind: Kind
    name: Identifier
    customer_id: Identifier | None = None
    anonymous_id: Identifier | None = None
    occurred_at: AwareDatetime
    received_at: AwareDatetime
    source: Identifier
    properties: Properties = Field(default_factory=Properties)
    schema_version: Literal[1] = 1

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.customer_id is None and self.anonymous_id is None:
            raise ValueError("customer_id: one of customer_id and anonymous_id is required")
        for field in ("customer_id", "anonymous_id"):
            identifier = getattr(self, field)
            if identifier is not None and is_no_customer(identifier):
                raise ValueError(f"{field}: is a placeholder or a reserved name, not an id")
        if self.occurred_at < EARLIEST:
            raise ValueError("occurred_at: lies before 1970")
        if self.occurred_at - self.received_at > FUTURE_TOLERANCE:  # a sum could overflow
            raise ValueError("occurred_at: lies more than 24 hours after received_at")
        kind, required = EVENT_TYPES.get(self.name, (self.kind, ()))
        if kind != self.kind:
            raise ValueError(f"kind: is {self.kind!r}, but events of this name are of kind {kind!r}")
        for field in required:
            if getattr(self.properties, field, None) is None:
                raise ValueError(f"properties.{field}: is required for {self.name!r}")
        return self


class WebEvent(Event):
    """Something done on a site or in an app."""

    kind: Literal["web"] = "web"
    properties: WebProperties = Field(default_factory=WebProperties)


class TransactionEvent(Event):
    """An order, a refund, a cancellation."""

    kind: Literal["transaction"] = "transaction"
    properties: TransactionProperties = Field(default_factory=TransactionProperties)


class ServiceEvent(Event):
    """A ticket, a chat, a satisfaction score."""

    kind: Literal["service"] = "service"
    properties: ServiceProperties = Field(default_factory=ServiceProperties)


class IdentityEvent(Event):
    """Traits of a customer, a link between two ids, or an unlink."""

    kind: Literal["identity"] = "identity"
    properties: IdentityProperties = Field(default_factory=IdentityProperties)

    @model_validator(mode="after")
    def _is_a_valid_unlink(self) -> Self:
        if self.name != UNLINK:
            return self
        problem = problem_of(self.source, self.anonymous_id, self.properties.traits)
        if problem:
            raise ValueError(problem)
        return self


class _Envelope(Protocol):
    """The fields of an event that place its record."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def customer_id(self) -> str | None: ...
    @property
    def anonymous_id(self) -> str | None: ...


def key_of(event: _Envelope, properties: object) -> str:
    """Return the key of an event's record (:func:`contracts.identity.placing_id`), for any reader's structs."""
    previous = getattr(properties, "previous_id", None) if event.name == ALIAS else None
    return placing_id(event.kind, event.customer_id, event.anonymous_id, previous)


EVENT_MODELS: Final[Mapping[Kind, type[Event]]] = {
    "web": WebEvent,
    "transaction": TransactionEvent,
    "service": ServiceEvent,
    "identity": IdentityEvent,
}


class Tick(BaseModel):
    """A mark in the log: all records that its writer had before ``occurred_at`` precede it in this partition.

    Ticks carry no customer. They move the event clock of a partition that is otherwise quiet, and are the only way in
    which a wall clock reaches the dataflow (see ``docs/adr/0001``). Their records have the key :data:`TICK_KEY`.

    ``history`` is set by publishers of history: ``open`` means that more records follow, ``finished`` that none do. A
    tick at :data:`EARLIEST` moves no clock and only carries this note.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["tick"] = "tick"
    occurred_at: AwareDatetime
    source: Identifier
    history: Literal["open", "finished"] | None = None


TICK_KEY: Final = b"\x00crm-tick"
"""The record key of ticks. No id can equal it: ids contain no control characters."""
