"""A set of 64-bit hashes, each with the second of its event, that forgets the oldest ones by time."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import room
from contracts.open_addressing import FREE, SMALLEST, first_of_equal, fit, no_zeros, places_for, probe, settle
from contracts.state import Columns

Hashes = NDArray[np.uint64]
Seconds = NDArray[np.uint32]
"""Seconds since 1970."""
_NEVER: Final = -1


class DatedHashes:
    """A set of hashes with seconds: 18 to 24 bytes each in memory, 12 in the stored state. A part.

    Forgotten hashes are no longer in the set at once, but keep their places until the arrays are made anew, so that
    forgetting costs little.
    """

    def __init__(self) -> None:
        self._places: Hashes = room(SMALLEST, np.uint64)
        self._seconds: Seconds = room(SMALLEST, np.uint32)
        self._taken = 0
        """The number of places that are not free."""
        self._gone = 0
        """How many of them belong to forgotten hashes."""
        self._forgotten = _NEVER
        """Hashes of the seconds up to this one are forgotten."""
        self._fresh: list[tuple[Hashes, Seconds]] = []
        """What was added since the state was stored last, and is not forgotten."""

    def __len__(self) -> int:
        return self._taken - self._gone

    def add(self, hashes: Hashes, seconds: Seconds) -> NDArray[np.bool_]:
        """Add hashes; return which are new. Among equal ones only the first is. A known one keeps its second."""
        hashes = no_zeros(hashes)
        self._reserve(len(hashes))
        at = probe(self._places, hashes)
        new: NDArray[np.bool_] = self._places[at] == FREE
        if self._gone:
            new |= self._seconds[at] <= self._forgotten
        if not new.any():
            return new
        new = first_of_equal(hashes, new)
        if not new.all():
            hashes, seconds, at = hashes[new], seconds[new], at[new]
        self._fresh.append((hashes, seconds))
        self._put(hashes, seconds, at)
        return new

    def cut(self, newest: int) -> int | None:
        """Return the last second to forget so that at least the ``newest`` hashes stay; None if none can go.

        Hashes of one second go or stay together.
        """
        surplus = len(self) - newest
        if surplus <= 0:
            return None
        seconds = self._seconds[self._kept()]
        first = np.partition(seconds, surplus)[surplus]
        gone = seconds[seconds < first]
        return int(gone.max()) if len(gone) else None

    def forget(self, until: int) -> None:
        """Forget the hashes of the seconds up to and including ``until``."""
        self._fresh = [
            (hashes[kept], seconds[kept]) for hashes, seconds in self._fresh if (kept := seconds > until).any()
        ]
        self._forgotten = max(self._forgotten, until)
        self._gone = self._taken - int(np.count_nonzero(self._kept()))

    def changes(self) -> Columns:
        """Return what was added since the last call and is not forgotten."""
        if not self._fresh:
            return {}
        fresh, self._fresh = self._fresh, []
        hashes, seconds = zip(*fresh, strict=True)
        return {"hashes": np.concatenate(hashes), "seconds": np.concatenate(seconds)}

    def whole(self) -> Columns:
        """Return everything, in no order."""
        self._fresh, kept = [], self._kept()
        return {"hashes": self._places[kept], "seconds": self._seconds[kept]}

    def apply(self, columns: Columns) -> None:
        """Add stored hashes."""
        hashes, seconds = np.asarray(columns["hashes"]), np.asarray(columns["seconds"])
        self._reserve(len(hashes))
        self._put(hashes, seconds, probe(self._places, hashes))

    def _kept(self) -> NDArray[np.bool_]:
        """Return which places belong to hashes that are not forgotten."""
        kept: NDArray[np.bool_] = self._places != FREE
        if self._forgotten > _NEVER:
            kept &= self._seconds > self._forgotten
        return kept

    def _put(self, hashes: Hashes, seconds: Seconds, at: NDArray[np.int64]) -> None:
        """Put distinct new hashes at the places found for them: free ones, or their own of before."""
        free = int(np.count_nonzero(self._places[at] == FREE))
        self._taken += free
        self._gone -= len(hashes) - free
        self._seconds[settle(self._places, hashes, at)] = seconds

    def _reserve(self, more: int) -> None:
        """Make room for more hashes. The arrays grow by a third, so growth costs a constant per hash."""
        if fit(self._taken + more, len(self._places)):
            return
        kept = self._kept()
        hashes, seconds = self._places[kept], self._seconds[kept]
        places = places_for(len(hashes) + more)
        self._places, self._seconds = room(places, np.uint64), room(places, np.uint32)
        self._taken = self._gone = 0
        self._put(hashes, seconds, probe(self._places, hashes))
