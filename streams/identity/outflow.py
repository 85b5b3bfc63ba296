"""Collects events and moved rows for their owners, by bucket."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import join as join_events
from contracts.arrays import take
from contracts.blocks import EventArray, MovedRows, Parcel, no_events, no_texts
from contracts.ids import Texts
from streams.identity.histories import Sent
from streams.profiles.moved import join, pick


@dataclass
class Outflow:
    """Parcels to send, by route."""

    _events: dict[int, list[tuple[EventArray, Texts]]] = field(default_factory=dict)
    _moved: dict[int, list[MovedRows]] = field(default_factory=dict)

    def put_events(self, events: EventArray, owners: Texts, routes: NDArray[np.integer]) -> None:
        """Send events to their owners, in their order."""
        for route, some in _by_route(routes):
            mine = (events, owners) if some is None else (take(events, some), owners[some])
            self._events.setdefault(route, []).append(mine)

    def put_moved(self, sent: Sent) -> None:
        """Send rows to their owners."""
        for routes, moved in sent:
            for route in set(routes.tolist()):
                self._moved.setdefault(route, []).append(pick(moved, routes == route))

    def parcel(self, route: int) -> Parcel | None:
        """Return the parcel of one route; None if it is empty."""
        events, moved = self._events.get(route), self._moved.get(route)
        if events is None and moved is None:
            return None
        rows = join(moved) if moved else None
        if not events:
            return Parcel(no_events(), no_texts(), rows)
        if len(events) == 1:
            return Parcel(*events[0], rows)
        parts, owners = zip(*events, strict=True)
        return Parcel(join_events(parts), np.concatenate(owners), rows)


def _by_route(
    routes: NDArray[np.integer],
) -> Iterator[tuple[int, NDArray[np.int64] | None]]:
    """Yield each route with the positions of its items; None stands for all items."""
    if not len(routes):
        return
    lowest = int(routes.min())
    if lowest == int(routes.max()):
        yield lowest, None
        return
    order = np.argsort(routes.astype(np.int16), kind="stable")
    found = routes[order]
    starts = [0, *(np.flatnonzero(found[1:] != found[:-1]) + 1).tolist(), len(found)]
    for start, stop in pairwise(starts):
        yield int(found[start]), order[start:stop]
