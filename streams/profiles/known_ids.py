"""The window of known event ids, in which duplicates are recognised exactly.

Two generations of 64-bit hashes: when the younger one is full it becomes the older one, which is forgotten. So the
window holds between ``capacity`` and twice as many ids. An event with an unknown id is certainly new if it is newer
than every forgotten one. At or before that *horizon* it may be a duplicate of a forgotten id, so it is not counted.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.profiles.hash_set import HashSet

_LONG_AGO: Final = -(2**62)


@dataclass
class KnownIds:
    """Known ids of one bucket. ``horizon`` is the newest event time (microseconds) among the forgotten ones."""

    capacity: int
    older: HashSet = field(default_factory=HashSet)
    younger: HashSet = field(default_factory=HashSet)
    older_newest: int = _LONG_AGO
    younger_newest: int = _LONG_AGO
    horizon: int = _LONG_AGO

    def room(self) -> int:
        """Return the number of ids that can be admitted before a rotation may forget any."""
        return max(0, self.capacity - len(self.younger) - 1)

    def admit(self, ids: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which events are new, and remember their ids. Among events of one id only the first is new."""
        new = ~self.older.holds(ids) if len(self.older) else np.ones(len(ids), np.bool_)
        if new.all():
            new = self.younger.add(ids)
        else:
            new[new] = self.younger.add(ids[new])
        if new.any():
            self.younger_newest = max(self.younger_newest, int(times[new].max()))
        return new

    def too_old(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which times lie at or before the horizon, where an unknown id may be a forgotten one."""
        old: NDArray[np.bool_] = times <= self.horizon
        return old

    def rotate(self) -> None:
        """Forget the older generation if the younger one is full.

        Call it at boundaries, so that it depends on the data and not on how batches were cut.
        """
        if len(self.younger) < self.capacity:
            return
        self.horizon = max(self.horizon, self.older_newest)
        self.older, self.younger = self.younger, HashSet()
        self.older_newest, self.younger_newest = self.younger_newest, _LONG_AGO
