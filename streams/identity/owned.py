"""The table of devices or addresses: each has a profile row of its own, or an owner who gets its events.

Ownership is decided per slot, so it does not depend on how batches are cut. A free device's events of the slot of its
first link go to the owner: some may already be in the device's row, but the row moves to the owner in the same slot. A
device that has an owner at the start of a slot keeps it for the whole slot, because events forwarded before an unlink
or an upgrade cannot be taken back.
"""

from collections.abc import Iterable, Set
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.caches import Cache
from contracts.entries import StoredDict
from contracts.identity import ANONYMOUS, EMAIL
from contracts.ids import Texts
from contracts.state import Part
from contracts.times import SECOND
from streams.identity.owners import FREE, LONG_AGO, NO_OWNER, NO_ROUTE, Owners
from streams.identity.policy import IdentityPolicy
from streams.identity.sessions import Visits, starts
from streams.profiles.row_store import SparseRows
from streams.profiles.table import ProfileTable

_ALWAYS: Final = -(2**31)
_REMEMBERED: Final = 1 << 16


class Span(NamedTuple):
    """From slot ``start`` on, the events of one device go to ``owner``."""

    start: int
    owner: str
    route: int


Timeline = tuple[Span, ...]


class Owned:
    """Profiles and owners of one bucket. A *route* is the owner's bucket; addresses' routes follow all customers'."""

    def __init__(self) -> None:
        self.table = ProfileTable(SparseRows())
        self._owners = Owners()
        self._timelines: StoredDict[int, Timeline] = StoredDict(int, Timeline)
        self._undone: StoredDict[str, int] = StoredDict(str, int)
        """By profile id: links whose events happened up to this time (microseconds) are undone. Kept for ever."""
        self._full: StoredDict[str, int] = StoredDict(str, int)
        """The limit of merges at which a link to a person was refused first."""
        self.visitors = 0
        """The number of rows with a history of their own."""
        self._places: Cache[str, int] = Cache(_REMEMBERED)
        """Cached positions of recent devices by anonymous id, because most ids repeat."""

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name; the number of visitors is in none of them."""
        return {"table": self.table, "owners": self._owners, "timelines": self._timelines, "undone": self._undone,
                "full": self._full}  # fmt: skip

    def locate(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return the position of each profile id; unknown ids get blank rows."""
        at = self.table.locate(names)
        self._owners.reach(len(self.table.names))
        return at

    def locate_devices(self, devices: list[str]) -> NDArray[np.int64]:
        """Return the positions of devices by their anonymous ids."""
        places = self._places
        at = np.fromiter(map(places.get, devices, repeat(-1)), np.int64, len(devices))
        unknown = np.flatnonzero(at < 0)
        if len(unknown):
            new = [devices[each] for each in unknown.tolist()]
            at[unknown] = self.locate(ANONYMOUS + device for device in new)
            places.remember(dict(zip(new, at[unknown].tolist(), strict=True)))
        return at

    def owner(self, position: int) -> str:
        """Return the owner according to the newest link; '' without one."""
        return self._owners.owner(position)

    def is_full(self, person: str, most: int) -> bool:
        """Return whether a person has ``most`` rows of this table, or had when a link to the person was refused.

        So a refused link that is sent again after another one was undone is refused again.
        """
        if self._owners.merges(person) < most:
            return self._full.get(person, 0) >= most
        if self._full.get(person, 0) < most:
            self._full[person] = most
        return True

    def ask(self, position: int, occurred: int) -> None:
        """Note the time of an event that asks for a link of a row."""
        self._owners.ask(position, occurred)

    def undone_until(self, identity: str) -> int:
        """Return up to when links of a profile id are undone (microseconds)."""
        return self._undone.get(identity, LONG_AGO)

    def undo(self, identity: str, position: int, occurred: int) -> int:
        """Undo the links of an id that were read so far or happened up to a time; return up to when they happened."""
        until = max(occurred, int(self._owners.linked[position]))
        self.ignore(identity, until)
        return until

    def ignore(self, identity: str, until: int) -> None:
        """Ignore further links of an id that happened up to a time."""
        self._undone[identity] = until

    def see(self, at: NDArray[np.int64], seconds: NDArray[np.integer]) -> None:
        """Note when rows sent events on."""
        if not len(at):
            return
        np.maximum.at(self._owners.web_seconds, at, seconds)
        self._owners.see(at)

    def pointing(self, rows: slice, boundary: int, crossed: int, week: int, interval: int) -> NDArray[np.bool_]:
        """Return which rows have an owner, had their turn within the last ``crossed`` boundaries, and were seen since.

        Each row has its turn once in ``week`` boundaries.
        """
        owners, start = self._owners, (boundary - week - crossed + 1) * interval
        turns = (boundary - (self.table.keys[rows] % week).astype(np.int64)) % week
        seen = (owners.web_seconds[rows] >= start // SECOND) | (owners.linked[rows] >= start)
        found: NDArray[np.bool_] = ~owners.free(rows.start, rows.stop) & (turns < crossed) & seen
        return found

    def free(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which positions from ``start`` to ``stop`` have no owner; only these have histories."""
        return self._owners.free(start, stop)

    def all_free(self) -> NDArray[np.int64]:
        """Return the positions of all rows without an owner, ascending."""
        return np.flatnonzero(self._owners.free(0, len(self.table.names)))

    def are_free(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows have no owner."""
        free: NDArray[np.bool_] = self._owners.since[at] == FREE
        return free

    def sessions(self, at: NDArray[np.int64], visits: Visits, policy: IdentityPolicy) -> NDArray[np.bool_]:
        """Return which web events of rows start a session, also of rows whose events count for an owner."""
        self._owners.see(at)
        return starts(at, visits, self._owners.web_seconds, policy)

    def idle(self, at: NDArray[np.int64], before: int) -> NDArray[np.int64]:
        """Return the positions among ``at`` that can be freed: in use, no web event since ``before`` (seconds)."""
        kept: NDArray[np.bool_] = (self._owners.web_seconds[at] < before) & self.table.names.used(at)
        if self._timelines:
            kept &= ~np.isin(at, list(self._timelines))
        return at[kept]

    def count_visitors(self, at: NDArray[np.int64]) -> None:
        """Count rows that get their first event."""
        new = at[self.table.column("events", at) == 0]
        if len(new):
            self.visitors += len(set(new.tolist()))

    def assign(self, position: int, owner: str, route: int, slot: int) -> bool:
        """Set the owner of a row ('' removes it), by a link of a slot. Return whether the row moves to the owner."""
        before, timeline = self._owners.is_owned(position), self._timelines.get(position)
        if before or timeline:
            moves, start = self._add_span(position, Span(slot, owner, route))
        else:
            moves, start = True, slot
        self._owners.assign(position, owner, route, start)
        return moves

    def _add_span(self, position: int, new: Span) -> tuple[bool, int]:
        """Add a change to a device that had an owner before. Return whether its row moves, and the change's slot."""
        timeline = self._timelines.get(position) or self._spans(position)
        free = not _in_slot(timeline, new.start).owner
        start = new.start if free else new.start + 1
        earlier = [span for span in timeline if span.start < start]
        self._timelines[position] = (*earlier, new._replace(start=start))
        return free, start

    def _spans(self, position: int) -> Timeline:
        owners = self._owners
        own, since = Span(_ALWAYS, NO_OWNER, NO_ROUTE), int(owners.since[position])
        return own, Span(since, owners.owner(position), int(owners.routes[position]))

    def owners_of(
        self, at: NDArray[np.int64], slots: NDArray[np.integer]
    ) -> tuple[NDArray[np.bool_], Texts, NDArray[np.int32]]:
        """Return, for events of rows in slots, which go to an owner, the owners of these, and the routes.

        The position of an event without a device is negative.
        """
        theirs: NDArray[np.bool_] = (at >= 0) & (slots >= self._owners.since[at])
        owners, routes = np.full(len(at), NO_OWNER, object), self._owners.routes[at]
        if theirs.any():
            owners[theirs] = self._owners.owners(at[theirs])
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

    def forget(self, people: Set[str]) -> None:
        """Forget people and all that is theirs: their rows, the rows they own, and what links to them are undone."""
        at = np.union1d(self.table.find_all(people), self._owners.owned_by(people))
        names = {*people, *self.table.names.take(at).tolist()}
        for position in at.tolist():
            self._timelines.pop(position, None)
            if self._owners.is_owned(position):
                self._owners.assign(position, NO_OWNER, NO_ROUTE, 0)
        for position, spans in list(self._timelines.items()):
            if any(span.owner in people for span in spans):
                del self._timelines[position]
        for name in names:
            self._undone.pop(name, None)
            self._full.pop(name, None)
        self.visitors -= int((self.table.column("events", at) > 0).sum())
        self.release(at)

    def release(self, positions: NDArray[np.int64]) -> None:
        """Forget rows without an owner; other ids may reuse their positions."""
        for name in self.table.names.take(positions).tolist():
            self._places.pop(name.removeprefix(ANONYMOUS), None)
        self.table.release(positions)
        self._owners.forget(positions)


def _in_slot(timeline: Timeline, slot: int) -> Span:
    return next(span for span in reversed(timeline) if span.start <= slot)


def route_of(person: str, bucket: int, buckets: int) -> int:
    """Return the route to a person: a customer's bucket, or an address's bucket plus ``buckets``."""
    return bucket + buckets if person.startswith(EMAIL) else bucket
