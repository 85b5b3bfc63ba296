"""The owners of devices or addresses, and when each was seen and linked last: columns by position.

A part: its changes are the rows that got another owner, an event or a link since the state was stored last.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import longer
from contracts.ids import Texts
from contracts.state import Columns
from streams.identity.people import People
from streams.profiles.texts import packed, texts_of
from streams.profiles.touched import Touched

NO_OWNER: Final = ""
NO_ROUTE: Final = -1
FREE: Final = 2**31 - 1
"""The slot from which a free device's events go to an owner."""
LONG_AGO: Final = -(2**40)
"""Stands for the time of the last event or link if there was none."""
_NOBODY: Final = -1
Positions = NDArray[np.int64]


class Owners:
    """Columns with one entry per row; a row without an owner is free.

    ``since`` is the slot from which events go to the owner, ``routes`` where they go, ``web_seconds`` the second of a
    device's newest web event, or of the newest event that an address sent on, ``linked`` the time of the newest event
    that asked for a link, granted or refused (microseconds).
    """

    def __init__(self) -> None:
        self._people = People()
        self._numbers = np.empty(0, np.int32)
        """The number of each row's owner among the people."""
        self.routes = np.empty(0, np.int32)
        self.since = np.empty(0, np.int32)
        self.web_seconds = np.empty(0, np.int64)
        self.linked = np.empty(0, np.int64)
        self._assigned: dict[int, None] = {}
        self._seen, self._asked = Touched(), Touched()
        self._size = self._stored_size = 0

    def reach(self, size: int) -> None:
        """Make room for ``size`` rows. Capacity doubles, so growth costs a constant per row."""
        if size <= self._size:
            return
        self._numbers, self.routes = longer(self._numbers, size), longer(self.routes, size)
        self.since, self.linked = longer(self.since, size), longer(self.linked, size)
        self.web_seconds = longer(self.web_seconds, size)
        new = slice(self._size, size)
        self._numbers[new], self.routes[new], self.since[new] = _NOBODY, NO_ROUTE, FREE
        self.web_seconds[new] = self.linked[new] = LONG_AGO
        self._size = size

    def free(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which positions from ``start`` to ``stop`` have no owner."""
        free: NDArray[np.bool_] = self.since[start:stop] == FREE
        return free

    def is_owned(self, position: int) -> bool:
        """Return whether a row has an owner."""
        return self._numbers.item(position) != _NOBODY

    def owner(self, position: int) -> str:
        """Return the owner of a row; '' without one."""
        number = self._numbers.item(position)
        return NO_OWNER if number == _NOBODY else self._people.id(number)

    def owners(self, at: Positions) -> Texts:
        """Return the owners of rows; '' without one."""
        numbers = self._numbers[at]
        owned = numbers != _NOBODY
        if owned.all():
            return self._people.ids(numbers)
        owners = np.full(len(at), NO_OWNER, object)
        owners[owned] = self._people.ids(numbers[owned])
        return owners

    def merges(self, person: str) -> int:
        """Return how many rows a person owns."""
        return self._people.count(person)

    def owned_by(self, people: Iterable[str]) -> Positions:
        """Return the positions of the rows that people own, ascending."""
        numbers = [number for number in map(self._people.number, people) if number is not None]
        return np.flatnonzero(np.isin(self._numbers[: self._size], np.array(numbers, np.int32)))

    def assign(self, position: int, owner: str, route: int, since: int) -> None:
        """Set the owner of a row ('' removes it)."""
        self._give(position, owner)
        self.routes[position] = route
        self.since[position] = since if owner else FREE
        self._assigned[position] = None

    def see(self, at: Positions) -> None:
        """Note that ``web_seconds`` of rows were changed."""
        self._seen.note(at)

    def ask(self, position: int, occurred: int) -> None:
        """Note that an event asked for a link of a row."""
        if occurred > self.linked[position]:
            self.linked[position] = occurred
            self._asked.note(np.array([position], np.int64))

    def forget(self, at: Positions) -> None:
        """Forget when rows were seen and linked."""
        self.web_seconds[at] = self.linked[at] = LONG_AGO
        self.see(at)
        self._asked.note(at.copy())

    def changes(self) -> Columns:
        """Return the owners of rows assigned since the last call, and the times of rows seen and linked since."""
        seen, asked = self._seen.positions(), self._asked.positions()
        if not self._assigned and not len(seen) and not len(asked) and self._size == self._stored_size:
            return {}
        return self._columns(np.fromiter(self._assigned, np.int64, len(self._assigned)), seen, asked)

    def whole(self) -> Columns:
        """Return the owners of all rows that have one, and the times of all rows seen or linked."""
        owned, seen, asked = (
            np.flatnonzero(column[: self._size] != unset)
            for column, unset in ((self.since, FREE), (self.web_seconds, LONG_AGO), (self.linked, LONG_AGO))
        )
        return self._columns(owned, seen, asked)

    def apply(self, columns: Columns) -> None:
        """Set rows."""
        found: dict[str, Any] = dict(columns)
        self.reach(int(found["size"][0]))
        if "at" in found:
            at = found["at"]
            for position, owner in zip(at.tolist(), texts_of(bytes(found["owners"]).decode(), len(at)), strict=True):
                self._give(position, owner)
            self.routes[at], self.since[at] = found["routes"], found["since"]
        if "seen" in found:
            self.web_seconds[found["seen"]] = found["web_seconds"]
        if "asked" in found:
            self.linked[found["asked"]] = found["linked"]
        self._stored_size = self._size

    def _columns(self, assigned: Positions, seen: Positions, asked: Positions) -> Columns:
        self._assigned, self._stored_size = {}, self._size
        self._seen.clear()
        self._asked.clear()
        columns: dict[str, NDArray[Any] | bytes] = {"size": np.array([self._size], np.int64)}
        if len(assigned):
            columns["at"], columns["owners"] = assigned.astype(np.int32), packed(self.owners(assigned))
            columns["routes"], columns["since"] = self.routes[assigned], self.since[assigned]
        if len(seen):
            columns["seen"], columns["web_seconds"] = seen.astype(np.int32), self.web_seconds[seen]
        if len(asked):
            columns["asked"], columns["linked"] = asked.astype(np.int32), self.linked[asked]
        return columns

    def _give(self, position: int, owner: str) -> None:
        """Give a row to an owner ('' to nobody)."""
        before = self._numbers.item(position)
        self._numbers[position] = self._people.add(owner) if owner else _NOBODY
        if before != _NOBODY:
            self._people.remove(before)
