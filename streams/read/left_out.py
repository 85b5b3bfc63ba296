"""Leaves out events of people who were forgotten or are suppressed, also when they are read again or sent anew. Pure.

An event belongs to its customer, else to its device. An Identify of a device that names a forgotten e-mail address is
left out too. What was received before the request is left out, also if its own time lies ahead. Left out means: no
fact, no dead letter, no effect on a profile. The clocks of the log still follow it, so that all other events count in
the slots in which they counted before.
"""

import numpy as np
from numpy.typing import NDArray

from contracts.events import Kind
from contracts.forgotten import NEVER, Forgotten
from contracts.identity import visitor_id
from contracts.metrics import LEFT_OUT
from streams.read.columns import Columns, Message
from streams.read.links import email_of


def kept(columns: Columns, kind: Kind, forgotten: Forgotten) -> NDArray[np.bool_] | None:
    """Return which events stay; None if all do, as they nearly always do."""
    if not forgotten or not len(columns):
        return None
    pairs = zip(columns.customer, columns.anonymous, strict=True)
    owners = [customer or visitor_id(anonymous) for customer, anonymous in pairs]
    until = np.fromiter(map(forgotten.until, owners), np.int64, len(owners))
    if kind == "identity":
        for at, customer in enumerate(columns.customer):
            email = None if customer else email_of(columns.properties[at])
            until[at] = max(int(until[at]), NEVER if email is None else forgotten.until(email))
    stays: NDArray[np.bool_] = np.minimum(columns.occurred, columns.received) > until
    left_out = len(stays) - int(np.count_nonzero(stays))
    if not left_out:
        return None
    LEFT_OUT.inc(left_out)
    return stays


def is_left_out(message: Message, forgotten: Forgotten) -> bool:
    """Return whether an invalid record is one of somebody who was forgotten, by its key and its time in Kafka.

    What happened when cannot be read from it.
    """
    key = message.key()
    if not forgotten or not key:
        return False
    name = key.decode(errors="replace")
    until = max(forgotten.until(name), forgotten.until(visitor_id(name)))
    return message.timestamp()[1] * 1_000 <= until
