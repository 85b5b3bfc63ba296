"""Open addressing with linear probing for 64-bit hashes, whole arrays at a time: the basis of sets and tables.

A secret of the process enters the computation of places, so that nobody can choose ids that all collide. What a set
holds does not depend on it.
"""

import secrets
from typing import Final

import numpy as np
from numpy.typing import NDArray

SMALLEST: Final = 1 << 10
"""The smallest number of places."""
FREE: Final = np.uint64(0)
"""Marks a free place."""
_SECRET: Final = np.uint64(secrets.randbits(64) | 1)
_BITS: Final = 2**64 - 1
_STAND_IN: Final = np.uint64(0x9E3779B97F4A7C15)
"""Replaces the hash 0."""


def fit(count: int, places: int) -> bool:
    """Return whether ``count`` hashes leave enough places free, so that probing stays short."""
    return count * 3 <= places * 2


def places_for(count: int, least: int = SMALLEST) -> int:
    """Return the number of places for a set of ``count`` hashes that grows: it may grow by a third."""
    return max(least, 2 * count)


def first_places(high: NDArray[np.uint64], places: int) -> NDArray[np.int64]:
    """Return where to look first for hashes whose upper 32 bits are ``high``."""
    return (high * np.uint64(places) >> np.uint64(32)).view(np.int64)


def next_places(at: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    """Return the places after these; the first one is after the last one."""
    after: NDArray[np.int64] = at + 1
    after[after == places] = 0
    return after


def no_zeros(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes as a contiguous array in which another hash stands for 0."""
    hashes = np.ascontiguousarray(hashes)
    return hashes if hashes.all() else np.where(hashes == FREE, _STAND_IN, hashes)


def probe(places: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the place of each hash: where it is, or the free place where it would be."""
    if len(hashes) == 1:
        return np.array([_place_of(places, hashes.item())], np.int64)
    at = first_places((hashes * _SECRET) >> np.uint64(32), len(places))
    found = places[at]
    left = np.flatnonzero((found != hashes) & (found != FREE))
    while len(left):
        at[left] = again = next_places(at[left], len(places))
        found = places[again]
        left = left[(found != hashes[left]) & (found != FREE)]
    return at


def _place_of(places: NDArray[np.uint64], value: int) -> int:
    """Return the place of one hash, without an array for each step."""
    size = len(places)
    at = ((value * int(_SECRET) & _BITS) >> 32) * size >> 32
    while (found := places.item(at)) and found != value:
        at = at + 1 if at + 1 < size else 0
    return at


def settle(places: NDArray[np.uint64], hashes: NDArray[np.uint64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put distinct hashes at the free places found for them, or after these if several found the same.

    Return where they are.
    """
    places[at] = hashes
    if len(hashes) == 1:
        return at
    left = np.flatnonzero(places[at] != hashes)
    if len(left):
        at = at.copy()
    while len(left):
        lost = hashes[left]
        at[left] = again = probe(places, lost)
        places[again] = lost
        left = left[places[again] != lost]
    return at


def first_of_equal(hashes: NDArray[np.uint64], new: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return ``new`` with only the first of equal hashes marked."""
    if len(new) == 1:
        return new
    found = hashes if new.all() else hashes[new]
    ascending = np.sort(found)
    if (ascending[1:] == ascending[:-1]).any():
        chosen = np.flatnonzero(new)[np.unique(found, return_index=True)[1]]
        new = np.zeros(len(new), np.bool_)
        new[chosen] = True
    return new
