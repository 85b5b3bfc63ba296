"""Derives links from decoded identity events.

- Identify with a customer and an anonymous id: the device belongs to the customer.
- Identify with a customer and ``traits.email``: the address belongs to the customer.
- Identify with an anonymous id and ``traits.email`` only: the device belongs to the address, and so to its customer.
- Alias with a customer: ``previous_id``, as an anonymous id, belongs to the customer.
- Unlink with an anonymous id: the device loses the owner named by ``previous_id``. With ``traits.email`` instead: the
  address does.

Pure.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import wire
from contracts.blocks import NOBODY, Link
from contracts.events import ALIAS, IDENTIFY, UNLINK
from contracts.identity import ANONYMOUS, email_key, is_no_customer, is_second_key, visitor_id
from streams.read.columns import Columns
from streams.read.places import Buckets

SAYING: frozenset[str] = frozenset((IDENTIFY, ALIAS, UNLINK))
"""The names of events that may hold links."""


def links_of(columns: Columns, slots: NDArray[np.int64], buckets: Buckets) -> tuple[list[Link], list[int]]:
    """The links of decoded identity events, in their order, each with the bucket of the devices step that handles it.

    A device's link goes to the device's bucket, an address's link to the bucket of its record.
    """
    links, places = [], []
    for at, name in enumerate(columns.name):
        if name in SAYING:
            occurred, entered = int(columns.occurred[at]), int(columns.entered[at])
            for identity, person, undoes in _said(name, columns.envelopes[at], columns.properties[at]):
                links.append(Link(int(slots[at]), occurred, entered, identity, person, undoes))
                device = identity.removeprefix(ANONYMOUS)
                places.append(int(columns.home[at]) if device == identity else buckets[device])
    return links, places


def _said(name: str, envelope: wire.Envelope, properties: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (identity, person, the person whose link is undone) of one event."""
    previous = properties.previous_id
    if name != UNLINK:
        for identity, person in _pairs(name, envelope, properties):
            yield identity, person, ""
    elif previous and (unlinked := _unlinked(envelope, properties)):
        yield unlinked, NOBODY, previous


def _unlinked(envelope: wire.Envelope, properties: Any) -> str | None:
    """Return the profile id of the device, else of the address, that an Unlink names."""
    return visitor_id(envelope.anonymous_id) if envelope.anonymous_id else email_of(properties)


def _pairs(name: str, envelope: wire.Envelope, properties: Any) -> Iterator[tuple[str, str]]:
    """Yield (identity, person) of an event that links."""
    customer, visitor = envelope.customer_id, envelope.anonymous_id
    email, previous = email_of(properties), properties.previous_id
    if name == ALIAS:
        if customer and previous and previous != customer and not is_no_customer(previous):
            yield visitor_id(previous), customer
        return
    if visitor and customer:
        yield visitor_id(visitor), customer
    if email and customer:
        yield email, customer
    elif email and visitor:
        yield visitor_id(visitor), email


def email_of(properties: Any) -> str | None:
    """Return the profile id of the e-mail address in the traits; None without a valid one."""
    email = (properties.traits or {}).get("email")
    return email_key(email) if isinstance(email, str) and is_second_key(email) else None
