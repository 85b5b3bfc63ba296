"""Records that are no events, one for each way in which senders go wrong. All of them fail the contract."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from connectors.simulator.drafts import Draft, encode, envelope
from contracts.events import MAX_EVENT_BYTES, Kind

_SAMPLES: Final[Mapping[Kind, tuple[str, dict[str, Any]]]] = {
    "web": ("Product Viewed", {"session_id": "s-0", "product_id": "p-0001"}),
    "transaction": ("Order Completed", {"order_id": "o-0", "total": 10.0, "currency": "USD", "items": 1}),
    "service": ("CSAT Submitted", {"ticket_id": "t-0", "score": 4.0}),
    "identity": ("Alias", {"previous_id": "a-0"}),
}
_WRONG_PROPERTY: Final[Mapping[Kind, dict[str, Any]]] = {
    "web": {"product_id": 17},
    "transaction": {"total": "ten", "currency": "USD"},
    "service": {"score": 11},
    "identity": {"previous_id": ""},
}

Fault = Callable[[dict[str, Any]], bytes]


def _changed(**fields: object) -> Fault:
    return lambda event: encode({**event, **fields})


def _without(*names: str) -> Fault:
    return lambda event: encode({name: value for name, value in event.items() if name not in names})


def _cut(event: dict[str, Any]) -> bytes:
    return encode(event)[:-12]


def _not_a_number(event: dict[str, Any]) -> bytes:
    body = encode({**event, "properties": {"total": "NUMBER", "currency": "USD"}})
    return body.replace(b'"NUMBER"', b"NaN")  # orjson itself would write null


def _wrong_property(event: dict[str, Any]) -> bytes:
    return encode({**event, "properties": _WRONG_PROPERTY[event["kind"]]})


FAULTS: Final[Mapping[str, Fault]] = {
    "not JSON": lambda _: b"GET /favicon.ico HTTP/1.1",
    "empty body": lambda _: b"",
    "cut off": _cut,
    "a list": lambda event: orjson.dumps([event["event_id"]]),
    "not UTF-8": lambda event: encode(event).replace(b"simulator", b"\xff\xfe"),
    "no event id": _without("event_id"),
    "no customer": _without("customer_id", "anonymous_id"),
    "no time": _without("occurred_at"),
    "time in words": _changed(occurred_at="yesterday"),
    "time without a zone": _changed(occurred_at="2022-02-28T10:00:00"),
    "from the year 2099": _changed(occurred_at="2099-12-31T23:59:59Z"),
    "customer is a number": _changed(customer_id=12_345),
    "kind is unknown": _changed(kind="telepathy"),
    "unknown field": _changed(colour="blue"),
    "next version": _changed(schema_version=2),
    "NaN money": _not_a_number,
    "wrong property": _wrong_property,
    "too large": _changed(properties={"note": "x" * MAX_EVENT_BYTES}),
}
"""Every way of being broken: its name, and how an event becomes so."""
_FAULTS: Final = tuple(FAULTS.values())
KINDS: Final[tuple[Kind, ...]] = tuple(_SAMPLES)


def broken_body(number: int, kind: Kind, key: str, event_id: str, received_at: int) -> bytes:
    """Write the body of the ``number``-th broken record of a kind: each fault in its turn.

    ``received_at`` is in microseconds since 1970 UTC.
    """
    name, properties = _SAMPLES[kind]
    draft = Draft(received_at, kind, name, key, None, properties)
    return _FAULTS[number % len(_FAULTS)](envelope(draft, event_id, received_at))
