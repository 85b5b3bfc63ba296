"""The table of devices or addresses: each has a profile row of its own, or an owner who gets its events.

Ownership is decided per slot, so it does not depend on how batches are cut. A free device's events of the slot of its
first link go to the owner: some may already be in the device's row, but the row moves to the owner in the same slot. A
device that has an owner at the start of a slot keeps it for the whole slot, because events forwarded before an unlink
or an upgrade cannot be taken back.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import Texts
from contracts.identity import ANONYMOUS, EMAIL
from streams.profiles.table import ProfileTable
from streams.profiles.texts import one_text, texts_of

NO_OWNER: Final = ""
NO_ROUTE: Final = -1
FREE: Final = 2**31 - 1
"""The slot from which a free device's events go to an owner."""
LONG_AGO: Final = -(2**40)
"""Stands for the time of the last web event if there was none."""
_ALWAYS: Final = -(2**31)
_SMALLEST: Final = 64
_REMEMBERED: Final = 1 << 16


class Span(NamedTuple):
    """From slot ``start`` on, the events of one device go to ``owner``."""

    start: int
    owner: str
    route: int


class Owned:
    """Profiles and owners of one bucket. A *route* is the owner's bucket; addresses' routes follow all customers'.

    ``web_seconds`` is the time of each device's newest web event in seconds, also of events that counted for an owner.
    """

    def __init__(self) -> None:
        self.table = ProfileTable()
        self._owners: Texts = np.empty(0, object)
        self._routes = np.empty(0, np.int32)
        self._since = np.empty(0, np.int32)
        self._web_seconds = np.empty(0, np.int64)
        self._timelines: dict[int, list[Span]] = {}
        self._merges: dict[str, int] = {}
        self.visitors = 0
        """The number of rows with a history of their own."""
        self._places: dict[str, int] = {}
        """Cached positions of recent devices by anonymous id, because most ids repeat."""

    def __getstate__(self) -> dict[str, Any]:
        size = len(self.table.names)
        state = {name: getattr(self, name)[:size] for name in _COLUMNS}
        state |= {name: getattr(self, name) for name in ("table", "_timelines", "visitors")}
        return state | {"_owners": one_text(state["_owners"])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        owners = texts_of(state["_owners"], len(state["_since"]))
        self.__dict__.update(state)
        self.__dict__.update({name: state[name].copy() for name in _COLUMNS[1:]})
        self._owners = np.array(owners, object)
        self._merges = dict(Counter(filter(None, owners)))
        self._places = {}

    @property
    def web_seconds(self) -> NDArray[np.int64]:
        """The second of the newest web event, by position; :data:`LONG_AGO` where there was none."""
        return self._web_seconds

    def locate(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return the position of each profile id; unknown ids get blank rows."""
        at = self.table.locate(names)
        size = len(self.table.names)
        if size > len(self._since):
            self._grow(max(_SMALLEST, 2 * size))
        return at

    def locate_devices(self, devices: list[str]) -> NDArray[np.int64]:
        """Return the positions of devices by their anonymous ids."""
        places = self._places
        at = np.fromiter(map(places.get, devices, repeat(-1)), np.int64, len(devices))
        unknown = np.flatnonzero(at < 0)
        if len(unknown):
            new = [devices[each] for each in unknown.tolist()]
            at[unknown] = self.locate(ANONYMOUS + device for device in new)
            if len(places) > _REMEMBERED:
                places.clear()
            places.update(zip(new, at[unknown].tolist(), strict=True))
        return at

    def owner(self, position: int) -> str:
        """Return the owner according to the newest link; '' without one."""
        owner: str = self._owners[position]
        return owner

    def merges(self, person: str) -> int:
        """Return how many rows of this table the person owns."""
        return self._merges.get(person, 0)

    def free(self) -> NDArray[np.int64]:
        """Return the positions without an owner; only these have histories."""
        return np.flatnonzero(self._since[: len(self.table.names)] == FREE)

    def idle(self, at: NDArray[np.int64], before: int) -> NDArray[np.int64]:
        """Return the positions among ``at`` that can be freed: in use, no web event since ``before`` (seconds)."""
        kept: NDArray[np.bool_] = (self._web_seconds[at] < before) & self.table.names.used(at)
        if self._timelines:
            kept &= ~np.isin(at, list(self._timelines))
        return at[kept]

    def count_visitors(self, at: NDArray[np.int64]) -> None:
        """Count rows that get their first event."""
        new = at[self.table.rows["events"][at] == 0]
        if len(new):
            self.visitors += len(set(new.tolist()))

    def assign(self, position: int, owner: str, route: int, slot: int) -> bool:
        """Set the owner of a row ('' removes it), by a link of a slot. Return whether the row moves to the owner."""
        before = self._owners[position]
        for person, step in ((before, -1), (owner, 1)):
            if person:
                self._merges[person] = self._merges.get(person, 0) + step
        if before and not self._merges[before]:
            del self._merges[before]
        timeline = self._timelines.get(position)
        if before or timeline:
            moves = self._add_span(position, Span(slot, owner, route))
            start = self._timelines[position][-1].start
        else:
            moves, start = True, slot
        self._owners[position], self._routes[position] = owner, route
        self._since[position] = start if owner else FREE
        return moves

    def _add_span(self, position: int, new: Span) -> bool:
        """Add a change to a device that had an owner before. Return whether its row moves."""
        timeline = self._timelines.setdefault(position, self._spans(position))
        free = not _in_slot(timeline, new.start).owner
        start = new.start if free else new.start + 1
        while timeline[-1].start >= start:
            timeline.pop()
        timeline.append(new._replace(start=start))
        return free

    def _spans(self, position: int) -> list[Span]:
        own, since = Span(_ALWAYS, NO_OWNER, NO_ROUTE), int(self._since[position])
        return [own, Span(since, self._owners[position], int(self._routes[position]))]

    def owners_of(
        self, at: NDArray[np.int64], slots: NDArray[np.integer]
    ) -> tuple[NDArray[np.bool_], Texts, NDArray[np.int32]]:
        """Return, for events of rows in slots, which go to an owner, the owners, and the routes."""
        theirs: NDArray[np.bool_] = slots >= self._since[at]
        owners, routes = self._owners[at], self._routes[at]
        if self._timelines:
            changing = np.fromiter(self._timelines, np.int64, len(self._timelines))
            for each in np.flatnonzero(np.isin(at, changing)).tolist():
                span = _in_slot(self._timelines[int(at[each])], int(slots[each]))
                theirs[each], owners[each], routes[each] = bool(span.owner), span.owner, span.route
        return theirs, owners, routes

    def end_slots(self, slot: int) -> None:
        """Forget ownership before a slot: no more events of earlier slots will come."""
        done = [position for position, spans in self._timelines.items() if spans[-1].start <= slot]
        for position in done:
            del self._timelines[position]

    def release(self, positions: NDArray[np.int64]) -> None:
        """Forget rows without an owner; other ids may reuse their positions."""
        for name in self.table.names.take(positions).tolist():
            self._places.pop(name.removeprefix(ANONYMOUS), None)
        self.table.release(positions)
        self._web_seconds[positions] = LONG_AGO

    def _grow(self, size: int) -> None:
        blank: tuple[NDArray[Any], ...] = (
            np.full(size, NO_OWNER, object),
            np.full(size, NO_ROUTE, np.int32),
            np.full(size, FREE, np.int32),
            np.full(size, LONG_AGO, np.int64),
        )
        for name, column in zip(_COLUMNS, blank, strict=True):
            old = getattr(self, name)
            column[: len(old)] = old
            setattr(self, name, column)


_COLUMNS: Final = ("_owners", "_routes", "_since", "_web_seconds")


def _in_slot(timeline: list[Span], slot: int) -> Span:
    return next(span for span in reversed(timeline) if span.start <= slot)


def route_of(person: str, bucket: int, buckets: int) -> int:
    """Return the route to a person: a customer's bucket, or an address's bucket plus ``buckets``."""
    return bucket + buckets if person.startswith(EMAIL) else bucket
