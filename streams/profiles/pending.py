"""The part of a boundary's sweep that is still to be made, in slices, while events come in.

Nothing is copied at the boundary. Before a row changes that is not yet swept, the row as of the boundary is kept here.
All other rows are as they were at the boundary, since decay is lazy. The sweep goes through the table by position:
a position is never reused by another customer, neighbouring rows are copied fastest, and one number says how far it
is. Positions and kept rows are state, so a sweep goes on after a restart with the same rows.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import longer, put, take
from contracts.blocks import RowArray
from contracts.state import Columns
from streams.profiles.rounds import portion
from streams.profiles.rows import blank_rows

_UNCHANGED: Final = -1
Positions = NDArray[np.int64]
Swept = Callable[[RowArray], NDArray[np.bool_]]
"""Says which rows as of the boundary belong to its sweep."""


class PendingSweep:
    """A sweep of the first ``size`` positions of a table as of ``boundary``; those before ``next`` are done.

    It is over when ``next`` reaches ``size``. ``published`` says whether its slices go to Redis. A part of the state:
    the columns are ``head`` (boundary, size, next, the number of kept rows before these, whether it is published) and
    the positions ``at`` and ``rows`` kept since.
    """

    def __init__(self) -> None:
        self.boundary, self._size, self._next, self.published = 0, 0, 0, True
        self._at, self._rows, self._kept = np.empty(0, np.int64), blank_rows(0), 0
        self._places: NDArray[np.int64] | None = None  # by position: the number of its kept row
        self._stored, self._stored_rows = (0, 0, 0), 0

    def __bool__(self) -> bool:
        return self._next < self._size

    def __len__(self) -> int:
        """How many rows are kept."""
        return self._kept

    def begin(self, boundary: int, size: int, *, published: bool) -> None:
        """Start the sweep of a boundary: of ``size`` rows as they are now."""
        self._forget()
        self.boundary, self._size, self._next, self.published = boundary, size, 0, published

    def keep(self, rows: RowArray, at: Positions) -> None:
        """Keep the rows at positions that are about to change and not yet swept. Positions may repeat."""
        if not self:
            return
        at = at[(at >= self._next) & (at < self._size)]
        at = at[self._by_position()[at] == _UNCHANGED]
        if not len(at):
            return
        at = np.unique(at)
        self._append(at, take(rows, at))

    def erase(self, at: Positions) -> None:
        """Blank the kept rows of positions: people without a history are in no sweep. The next base has it."""
        if not self or not len(at):
            return
        places = self._by_position()[at[at < self._size]]
        places = places[places != _UNCHANGED]
        if len(places):
            put(self._rows, places, blank_rows(len(places)))
            self._stored_rows = 0

    def advance(self, rows: RowArray, most: int, swept: Swept) -> tuple[Positions, RowArray]:
        """Return the next positions of the sweep, about ``most`` of them, and their rows as of the boundary."""
        def chosen(start: int, stop: int) -> NDArray[np.bool_]:
            found, places = swept(rows[start:stop]), self._by_position()[start:stop]
            changed = np.flatnonzero(places != _UNCHANGED)
            if len(changed):
                found[changed] = swept(take(self._rows, places[changed]))
            return found

        at, following = portion(self._next, self._size, most, chosen)
        taken = self._as_of_boundary(rows, at)
        self._next = self._size if following is None else following
        if not self:
            self._forget()
        return at, taken

    def changes(self) -> Columns:
        """Return how far the sweep is, and the rows kept since the last call."""
        head = (self.boundary, self._size, self._next)
        if head == self._stored and self._kept == self._stored_rows:
            return {}
        return self._columns(self._stored_rows)

    def whole(self) -> Columns:
        """Return how far the sweep is, and all kept rows."""
        return self._columns(0)

    def apply(self, columns: Columns) -> None:
        """Restore what :meth:`changes` or :meth:`whole` returned."""
        head, at, rows = (np.asarray(columns[name]) for name in ("head", "at", "rows"))
        self.boundary, self._size, self._next, self._kept, *published = head.tolist()
        self.published = bool(published[0]) if published else True
        self._places = None
        self._append(at, rows)
        self._stored, self._stored_rows = (self.boundary, self._size, self._next), self._kept

    def _columns(self, first: int) -> Columns:
        self._stored, self._stored_rows = (self.boundary, self._size, self._next), self._kept
        head = np.array([*self._stored, first, self.published], np.int64)
        return {"head": head, "at": self._at[first : self._kept], "rows": self._rows[first : self._kept]}

    def _as_of_boundary(self, rows: RowArray, at: Positions) -> RowArray:
        taken = take(rows, at)
        places = self._by_position()[at]
        changed = np.flatnonzero(places != _UNCHANGED)
        if len(changed):
            put(taken, changed, take(self._rows, places[changed]))
        return taken

    def _by_position(self) -> NDArray[np.int64]:
        if self._places is None:
            self._places = np.full(self._size, _UNCHANGED, np.int64)
            self._places[self._at[: self._kept]] = np.arange(self._kept)
        return self._places

    def _append(self, at: Positions, rows: RowArray) -> None:
        start, self._kept = self._kept, self._kept + len(at)
        self._at, self._rows = longer(self._at, self._kept), longer(self._rows, self._kept)
        self._at[start : self._kept] = at
        put(self._rows, np.arange(start, self._kept), rows)
        if self._places is not None:
            self._places[at] = np.arange(start, self._kept)

    def _forget(self) -> None:
        """Drop the kept rows, and the memory they took."""
        self._at, self._rows, self._kept = np.empty(0, np.int64), blank_rows(0), 0
        self._places, self._stored_rows = None, 0
