"""The window of known event ids, in which duplicates are recognised exactly.

Two generations of sorted 64-bit hashes: when the younger one is full it becomes the older one, which is forgotten. So
the window holds between ``capacity`` and twice as many ids, for 8 bytes each. What is older than everything that was
ever forgotten can still be told from a duplicate; an event from before that *horizon* whose id is unknown cannot, and
counting it would risk counting it twice.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

_EMPTY: Final = np.empty(0, np.uint64)
_LONG_AGO: Final = -(2**62)


@dataclass
class SeenIds:
    """Known ids of one bucket. ``horizon`` is the newest event time (microseconds) among the forgotten ones."""

    capacity: int
    older: NDArray[np.uint64] = field(default_factory=lambda: _EMPTY)
    younger: NDArray[np.uint64] = field(default_factory=lambda: _EMPTY)
    older_newest: int = _LONG_AGO
    younger_newest: int = _LONG_AGO
    horizon: int = _LONG_AGO

    def admit(self, ids: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which events are new, the first of equal ones; remember the ids of all that are."""
        unique, first = np.unique(ids, return_index=True)
        unknown = ~(_contains(self.older, unique) | _contains(self.younger, unique))
        new = np.zeros(len(ids), np.bool_)
        new[first[unknown]] = True
        if unknown.any():
            fresh = unique[unknown]
            self.younger = np.insert(self.younger, np.searchsorted(self.younger, fresh), fresh)
            self.younger_newest = max(self.younger_newest, int(times[new].max()))
        return new

    def too_old(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which times lie at or before the horizon: there an unknown id proves nothing."""
        old: NDArray[np.bool_] = times <= self.horizon
        return old

    def rotate(self) -> None:
        """Forget the older generation if the younger one is full.

        To be called at sweeps, so that it depends on the data and not on how it was cut into batches.
        """
        if len(self.younger) < self.capacity:
            return
        self.horizon = max(self.horizon, self.older_newest)
        self.older, self.younger = self.younger, _EMPTY
        self.older_newest, self.younger_newest = self.younger_newest, _LONG_AGO


def _contains(known: NDArray[np.uint64], ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Look ids up in a sorted array."""
    if not len(known):
        return np.zeros(len(ids), np.bool_)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == ids
    return found
