"""Recognises an order that is reported again under another event id, such as by a page that is loaded again.

An order counts once per customer or device that its events name: its number (:mod:`streams.read.order_numbers`) is
remembered beside the id of the event, in the same window. Of several reports the first counts.
Reports of one order differ in their times, so one that comes after the others were forgotten counts again.
"""

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.blocks import EventArray
from contracts.ids import Texts
from streams import codes
from streams.profiles.known_ids import KnownIds


def numbered(events: EventArray) -> NDArray[np.bool_]:
    """Return which events are orders with a number."""
    found: NDArray[np.bool_] = (events["code"] == codes.ORDER) & (events["score"] != 0)
    return found


def ids_in(events: EventArray) -> int:
    """Return how many ids :func:`admit` may remember of events."""
    return len(events) + int(np.count_nonzero(numbered(events)))


def admit(known: KnownIds, events: EventArray, owners: Texts) -> NDArray[np.bool_]:
    """Return which events are unknown, by their id and by the order of their owner; remember both.

    As :meth:`KnownIds.admit` says, events that are too old do not count, whatever this returns for them.
    """
    times = np.ascontiguousarray(events["occurred"])
    new = known.admit(events["id_hash"], times)
    orders = np.flatnonzero(numbered(events) & new)
    if len(orders):
        numbers = events["score"][orders].tolist()
        ids = np.fromiter(
            [xxh3_64_intdigest(f"order\0{owner}\0{number}".encode())
             for owner, number in zip(owners[orders].tolist(), numbers, strict=True)],
            np.uint64, len(orders),
        )  # fmt: skip
        new[orders] = known.admit(ids, times[orders])
    return new
