"""What decoded identity events say of who is whom, as columns of links.

- Identify with a customer and an anonymous id: the visitor is the customer.
- Identify with a customer and ``traits.email``: the address is the customer's.
- Identify with an anonymous id and ``traits.email`` only: the visitor is whoever the address belongs to.
- Alias with a customer: ``previous_id``, as an anonymous id, is the customer.

Pure.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts import wire
from contracts.crossings import NOBODY, Links, no_links
from contracts.identity import email_key, is_no_customer, is_second_key, visitor_id
from streams.read.facts import Columns

IDENTIFY: Final = "Identify"
ALIAS: Final = "Alias"


def links_of(columns: Columns, slots: NDArray[np.int64]) -> Links:
    """The links of decoded identity events, in their order; ``slots`` are the events' own."""
    found = [(at, *pair) for at in range(len(columns.name)) for pair in _pairs(columns, at)]
    if not found:
        return no_links()
    positions, sources, targets = zip(*found, strict=True)
    at = np.array(positions, np.int64)
    return Links(columns.occurred[at], slots[at], np.array(sources, object), np.array(targets, object))


def _pairs(columns: Columns, at: int) -> Iterator[tuple[str, str]]:
    """Yield (source, target) of one event."""
    envelope, properties = columns.envelopes[at], columns.properties[at]
    if columns.name[at] == IDENTIFY:
        yield from _identified(envelope, email_of(properties))
    elif columns.name[at] == ALIAS and envelope.customer_id and properties.previous_id:
        yield NOBODY, envelope.customer_id
        if properties.previous_id != envelope.customer_id and not is_no_customer(properties.previous_id):
            yield visitor_id(properties.previous_id), envelope.customer_id


def _identified(envelope: wire.Envelope, email: str | None) -> Iterator[tuple[str, str]]:
    customer, visitor = envelope.customer_id, envelope.anonymous_id
    if customer:
        yield NOBODY, customer
    if customer and visitor and visitor != customer:
        yield visitor_id(visitor), customer
    if email and (customer or visitor):
        yield (email, customer) if customer else (visitor_id(visitor or ""), email)


def email_of(properties: Any) -> str | None:
    """The key of the e-mail address in the traits of an identity event; None if there is none that can be one."""
    email = (properties.traits or {}).get("email")
    return email_key(email) if isinstance(email, str) and is_second_key(email) else None
