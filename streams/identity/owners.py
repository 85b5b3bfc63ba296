"""The owners of devices or addresses, and the times of devices' newest web events: columns by position.

A part: its changes are the rows that got another owner or a web event since the state was stored last.
"""

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import Texts
from contracts.state import Columns
from streams.profiles.texts import packed, unpacked
from streams.profiles.touched import Touched

NO_OWNER: Final = ""
NO_ROUTE: Final = -1
FREE: Final = 2**31 - 1
"""The slot from which a free device's events go to an owner."""
LONG_AGO: Final = -(2**40)
"""Stands for the time of the last web event if there was none."""
_SMALLEST: Final = 64
Positions = NDArray[np.int64]


class Owners:
    """Columns with one entry per row; a row without an owner is free.

    ``since`` is the slot from which events go to the owner, ``routes`` where they go, ``web_seconds`` the second of the
    newest web event.
    """

    def __init__(self) -> None:
        self.names: Texts = np.empty(0, object)
        self.routes = np.empty(0, np.int32)
        self.since = np.empty(0, np.int32)
        self.web_seconds = np.empty(0, np.int64)
        self._merges: dict[str, int] | None = {}
        """The number of rows of each owner; None if they were not counted yet."""
        self._assigned: dict[int, None] = {}
        self._seen = Touched()
        self._size = self._stored_size = 0

    def reach(self, size: int) -> None:
        """Make room for ``size`` rows. Capacity doubles, so growth costs a constant per row."""
        if size <= self._size:
            return
        self._size = size
        if size > len(self.since):
            more = max(_SMALLEST, 2 * size) - len(self.since)
            self.names = np.concatenate((self.names, np.full(more, NO_OWNER, object)))
            self.routes = np.concatenate((self.routes, np.full(more, NO_ROUTE, np.int32)))
            self.since = np.concatenate((self.since, np.full(more, FREE, np.int32)))
            self.web_seconds = np.concatenate((self.web_seconds, np.full(more, LONG_AGO, np.int64)))

    def free(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which positions from ``start`` to ``stop`` have no owner."""
        free: NDArray[np.bool_] = self.since[start:stop] == FREE
        return free

    def merges(self, person: str) -> int:
        """Return how many rows a person owns."""
        return self._counted().get(person, 0)

    def assign(self, position: int, owner: str, route: int, since: int) -> None:
        """Set the owner of a row ('' removes it)."""
        merges, before = self._counted(), self.names[position]
        for person, step in ((before, -1), (owner, 1)):
            if person:
                merges[person] = merges.get(person, 0) + step
        if before and not merges[before]:
            del merges[before]
        self.names[position], self.routes[position] = owner, route
        self.since[position] = since if owner else FREE
        self._assigned[position] = None

    def see(self, at: Positions) -> None:
        """Note that ``web_seconds`` of rows were changed."""
        self._seen.note(at)

    def forget(self, at: Positions) -> None:
        """Forget the web events of rows."""
        self.web_seconds[at] = LONG_AGO
        self.see(at)

    def changes(self) -> Columns:
        """Return the owners of rows assigned since the last call, and the seconds of rows seen since."""
        seen = self._seen.positions()
        if not self._assigned and not len(seen) and self._size == self._stored_size:
            return {}
        return self._columns(np.fromiter(self._assigned, np.int64, len(self._assigned)), seen)

    def whole(self) -> Columns:
        """Return the owners of all rows that have one, and the seconds of all rows with a web event."""
        assigned = np.flatnonzero(self.since[: self._size] != FREE)
        return self._columns(assigned, np.flatnonzero(self.web_seconds[: self._size] != LONG_AGO))

    def apply(self, columns: Columns) -> None:
        """Set rows."""
        found: dict[str, Any] = dict(columns)
        self.reach(int(found["size"][0]))
        if "at" in found:
            at = found["at"]
            self.names[at] = unpacked(found["owners"], len(at))
            self.routes[at], self.since[at] = found["routes"], found["since"]
            self._merges = None
        if "seen" in found:
            self.web_seconds[found["seen"]] = found["web_seconds"]
        self._stored_size = self._size

    def _columns(self, assigned: Positions, seen: Positions) -> Columns:
        self._assigned, self._stored_size = {}, self._size
        self._seen.clear()
        columns: dict[str, NDArray[Any] | bytes] = {"size": np.array([self._size], np.int64)}
        if len(assigned):
            columns["at"], columns["owners"] = assigned.astype(np.int32), packed(self.names[assigned])
            columns["routes"], columns["since"] = self.routes[assigned], self.since[assigned]
        if len(seen):
            columns["seen"], columns["web_seconds"] = seen.astype(np.int32), self.web_seconds[seen]
        return columns

    def _counted(self) -> dict[str, int]:
        if self._merges is None:
            self._merges = dict(Counter(filter(None, self.names.tolist())))
        return self._merges
