"""A set of 64-bit hashes as one numpy array: open addressing with linear probing, whole arrays at a time.

A secret of the process enters the computation of places, so that nobody can choose ids that all collide. The contents
of the set do not depend on it.
"""

import secrets
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.state import Columns

_SMALLEST: Final = 1 << 10
_SECRET: Final = np.uint64(secrets.randbits(64) | 1)
_ROOM: Final = 2
"""Minimum number of places per hash, so that probing stays short."""
_BITS: Final = 2**64 - 1
_FREE: Final = np.uint64(0)
_STAND_IN: Final = np.uint64(0x9E3779B97F4A7C15)
"""Replaces the hash 0, which marks a free place."""


class HashSet:
    """A growing set of hashes: 16 to 32 bytes each in memory, 8 in the stored state. A part."""

    def __init__(self) -> None:
        self._places: NDArray[np.uint64] = np.zeros(_SMALLEST, np.uint64)
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
        return {"hashes": self._places[self._places != _FREE]}

    def apply(self, columns: Columns) -> None:
        """Add stored hashes."""
        self._insert(np.asarray(columns["hashes"]))

    def holds(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which hashes are in the set."""
        found: NDArray[np.bool_] = self._places[self._probe(_no_zeros(hashes))] != _FREE
        return found

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add hashes; return which are new. Among equal ones only the first is."""
        hashes = _no_zeros(hashes)
        self._reserve(len(hashes))
        if len(hashes) == 1:
            return np.array([self._add_one(hashes)])
        at = self._probe(hashes)
        new: NDArray[np.bool_] = self._places[at] == _FREE
        if not new.any():
            return new
        found = hashes if new.all() else hashes[new]
        ascending = np.sort(found)
        if (ascending[1:] == ascending[:-1]).any():
            chosen = np.flatnonzero(new)[np.unique(found, return_index=True)[1]]
            new[:] = False
            new[chosen] = True
        found = hashes[new]
        self._fresh.append(found)
        self._settle(found, at[new])
        return new

    def _add_one(self, hashes: NDArray[np.uint64]) -> bool:
        """Add one hash, without arrays of places; return whether it is new."""
        places, value = self._places, hashes.item()
        mask = len(places) - 1
        at = (value * int(_SECRET) & _BITS) >> 64 - mask.bit_length()
        while found := places.item(at):
            if found == value:
                return False
            at = (at + 1) & mask
        places[at] = value
        self._size += 1
        self._fresh.append(hashes.copy())
        return True

    def _insert(self, hashes: NDArray[np.uint64]) -> None:
        """Add distinct hashes that are not there."""
        self._reserve(len(hashes))
        self._settle(hashes, self._probe(hashes))

    def _settle(self, hashes: NDArray[np.uint64], at: NDArray[np.int64]) -> None:
        """Put distinct hashes at the free places found for them, or after these if several found the same."""
        self._size += len(hashes)
        while True:
            self._places[at] = hashes
            lost = self._places[at] != hashes
            if not lost.any():
                return
            hashes = hashes[lost]
            at = self._probe(hashes)

    def _probe(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each hash: where it is, or the free place where it would be."""
        mask = len(self._places) - 1
        at = ((hashes * _SECRET) >> np.uint64(64 - mask.bit_length())).view(np.int64)
        found = self._places[at]
        left = np.flatnonzero((found != hashes) & (found != _FREE))
        while len(left):
            at[left] = (at[left] + 1) & mask
            found = self._places[at[left]]
            left = left[(found != hashes[left]) & (found != _FREE)]
        return at

    def _reserve(self, more: int) -> None:
        """Make room for more hashes. The array grows by doubling, so growth costs a constant per hash."""
        size = len(self._places)
        if (self._size + more) * _ROOM <= size:
            return
        while (self._size + more) * _ROOM > size:
            size *= 2
        hashes = self._places[self._places != _FREE]
        self._places, self._size = np.zeros(size, np.uint64), 0
        self._settle(hashes, self._probe(hashes))


def _no_zeros(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = np.ascontiguousarray(hashes)
    return hashes if hashes.all() else np.where(hashes == _FREE, _STAND_IN, hashes)
