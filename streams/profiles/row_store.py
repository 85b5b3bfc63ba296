"""Where the rows of a table are: one per position, or only where a profile has a history."""

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import longer, put, take
from contracts.blocks import RowArray
from streams.profiles.rows import blank_rows

Positions = NDArray[np.int64]
_NOWHERE: Final = 0
"""The place of a blank row, which all positions without a history share."""


class RowStore(Protocol):
    """The rows of a table by position. A position without a history has a blank row."""

    def reach(self, size: int) -> None:
        """Make at least so many positions."""
        ...

    def take(self, at: Positions) -> RowArray:
        """Return copies of rows."""
        ...

    def put(self, at: Positions, rows: RowArray) -> None:
        """Set the rows of distinct positions."""
        ...

    def clear(self, at: Positions) -> None:
        """Blank the rows of distinct positions."""
        ...

    def column(self, name: str, at: Positions | slice) -> NDArray[Any]:
        """Return one column of rows, as a copy or a view."""
        ...

    def all(self) -> RowArray:
        """Return all rows: of :class:`DenseRows` as a view, of :class:`SparseRows` as a copy, which costs much."""
        ...

    def held(self) -> Positions:
        """Return the positions whose rows take memory, ascending."""
        ...


class DenseRows:
    """A row per position. Customers use it: nearly all of them have a history."""

    def __init__(self) -> None:
        self._rows, self._size = blank_rows(0), 0

    def reach(self, size: int) -> None:
        """Make at least so many positions."""
        if size > self._size:
            self._rows = longer(self._rows, size)
            self._rows[self._size : size] = blank_rows(size - self._size)
            self._size = size

    def take(self, at: Positions) -> RowArray:
        """Return copies of rows."""
        return take(self._rows, at)

    def put(self, at: Positions, rows: RowArray) -> None:
        """Set rows."""
        put(self._rows, at, rows)

    def clear(self, at: Positions) -> None:
        """Blank rows."""
        self._rows[at] = blank_rows(len(at))

    def column(self, name: str, at: Positions | slice) -> NDArray[Any]:
        """Return one column of rows."""
        found: NDArray[Any] = self._rows[: self._size][name][at]
        return found

    def all(self) -> RowArray:
        """Return all rows, as a view."""
        return self._rows[: self._size]

    def held(self) -> Positions:
        """Return all positions."""
        return np.arange(self._size)


class SparseRows:
    """A row per history, and the *place* of its row per position: for devices and addresses.

    One with an owner has none: its history has moved to the owner. It takes four bytes instead of a row.
    """

    def __init__(self) -> None:
        self._rows = blank_rows(1)
        self._used = 1
        """The number of places that were ever in use."""
        self._free: list[int] = []
        self._places: NDArray[Any] = np.empty(0, np.int32)
        self._size = 0

    def reach(self, size: int) -> None:
        """Make at least so many positions."""
        if size > self._size:
            self._places = longer(self._places, size)
            self._places[self._size : size] = _NOWHERE
            self._size = size

    def take(self, at: Positions) -> RowArray:
        """Return copies of rows."""
        return take(self._rows, self._places[at])

    def put(self, at: Positions, rows: RowArray) -> None:
        """Set the rows of distinct positions. A row without events is blank."""
        places = self._places[at]
        if places.all() and rows["events"].all():
            put(self._rows, places, rows)
            return
        filled = rows["events"] > 0
        self.clear(at[~filled])
        new = at[filled & (places == _NOWHERE)]
        if len(new):
            self._places[new] = self._new_places(len(new))
        put(self._rows, self._places[at[filled]], rows[filled])

    def clear(self, at: Positions) -> None:
        """Blank rows; others may get their places."""
        places = self._places[at]
        self._free.extend(places[places != _NOWHERE].tolist())
        self._places[at] = _NOWHERE

    def column(self, name: str, at: Positions | slice) -> NDArray[Any]:
        """Return one column of rows."""
        found: NDArray[Any] = self._rows[name][self._places[: self._size][at]]
        return found

    def all(self) -> RowArray:
        """Return all rows, as a copy."""
        return take(self._rows, self._places[: self._size])

    def held(self) -> Positions:
        """Return the positions with a history."""
        return np.flatnonzero(self._places[: self._size])

    def _new_places(self, count: int) -> list[int]:
        free = [self._free.pop() for _ in range(min(count, len(self._free)))]
        more = count - len(free)
        self._rows = longer(self._rows, self._used + more)
        free.extend(range(self._used, self._used + more))
        self._used += more
        return free
