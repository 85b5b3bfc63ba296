"""A set of 64-bit hashes as one numpy array (:mod:`contracts.open_addressing`)."""

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import room
from contracts.open_addressing import FREE, SMALLEST, first_of_equal, fit, no_zeros, places_for, probe, settle
from contracts.state import Columns


class HashSet:
    """A growing set of hashes: 12 to 16 bytes each in memory, 8 in the stored state. A part."""

    def __init__(self) -> None:
        self._places: NDArray[np.uint64] = room(SMALLEST, np.uint64)
        self._size = 0
        self._fresh: list[NDArray[np.uint64]] = []
        """The hashes added since the state was stored last."""

    def __len__(self) -> int:
        return self._size

    def changes(self) -> Columns:
        """Return the hashes added since the last call."""
        if not self._fresh:
            return {}
        fresh, self._fresh = self._fresh, []
        return {"hashes": np.concatenate(fresh)}

    def whole(self) -> Columns:
        """Return all hashes, in no order."""
        self._fresh = []
        return {"hashes": self._places[self._places != FREE]}

    def apply(self, columns: Columns) -> None:
        """Add stored hashes."""
        hashes = np.asarray(columns["hashes"])
        self._reserve(len(hashes))
        self._settle(hashes, probe(self._places, hashes))

    def holds(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which hashes are in the set."""
        found: NDArray[np.bool_] = self._places[probe(self._places, no_zeros(hashes))] != FREE
        return found

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add hashes; return which are new. Among equal ones only the first is."""
        hashes = no_zeros(hashes)
        self._reserve(len(hashes))
        at = probe(self._places, hashes)
        new: NDArray[np.bool_] = self._places[at] == FREE
        if not new.any():
            return new
        new = first_of_equal(hashes, new)
        found = hashes[new]
        self._fresh.append(found)
        self._settle(found, at[new])
        return new

    def _settle(self, hashes: NDArray[np.uint64], at: NDArray[np.int64]) -> None:
        self._size += len(hashes)
        settle(self._places, hashes, at)

    def _reserve(self, more: int) -> None:
        """Make room for more hashes. The array grows by a third, so growth costs a constant per hash."""
        if fit(self._size + more, len(self._places)):
            return
        hashes = self._places[self._places != FREE]
        self._places = room(places_for(self._size + more), np.uint64)
        settle(self._places, hashes, probe(self._places, hashes))
