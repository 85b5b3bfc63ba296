"""The quick verdict on event bodies: what is plainly an event needs no judge. Pure.

It accepts nothing that :func:`contracts.wire.judge` refuses; where it doubts, the judge has the last word.
"""

from datetime import datetime
from typing import Final

import msgspec

from contracts.events import EARLIEST, EVENT_TYPES, FUTURE_TOLERANCE, MAX_EVENT_BYTES, UNLINK, Kind
from contracts.identity import is_no_customer
from contracts.wire import Envelope, PropertiesStruct, read

_MOST_BRACKETS: Final = 150
"""Fewer opening brackets than levels at which the judge's parser gives up."""


def read_plain(kind: Kind, body: bytes) -> tuple[Envelope, PropertiesStruct] | None:
    """Read a body fast; None where the judge must have a look."""
    size = len(body)
    if size > MAX_EVENT_BYTES:
        return None
    if size > 2 * _MOST_BRACKETS and body.count(b"{") + body.count(b"[") > _MOST_BRACKETS:
        return None
    try:
        event, properties = read(kind, body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    customer, visitor = event.customer_id, event.anonymous_id
    if customer is None and visitor is None:
        return None
    if (customer is not None and is_no_customer(customer)) or (visitor is not None and is_no_customer(visitor)):
        return None
    return event, properties


def fits_together(kind: Kind, event: Envelope, properties: PropertiesStruct) -> bool:
    """Tell that the fields of a body that was read keep the contract's rules across fields.

    ``kind`` is that of the body's topic and of its envelope.
    """
    if event.occurred_at < EARLIEST or event.occurred_at - event.received_at > FUTURE_TOLERANCE:
        return False
    expected, required = EVENT_TYPES.get(event.name, (kind, ()))
    if expected != kind or event.name == UNLINK:  # the judge knows its rules
        return False
    for field in required:
        if getattr(properties, field) is None:
            return False
    if kind != "transaction":
        return True
    return (getattr(properties, "total", None) is None) == (getattr(properties, "currency", None) is None)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return round(moment.timestamp() * 1e6)
