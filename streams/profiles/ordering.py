"""The positions of a table in the order of their keys. A few new ones are merged into the order, not sorted with it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.profiles.names import Names, Positions
from streams.profiles.touched import Touched

_FEW: Final = 8
"""Sort everything if the new positions are more than one of so many."""


class Ordered:
    """The positions in use in the order of their keys, brought up to date when it is asked for.

    Until it is asked for first, nothing is noted: the order of most tables never is.
    """

    def __init__(self) -> None:
        self._order: NDArray[np.int32] | None = None
        self._added, self._removed = Touched(), Touched()

    def add(self, at: Positions) -> None:
        """Note that positions came into use."""
        if self._order is not None:
            self._added.note(at)

    def remove(self, at: Positions) -> None:
        """Note that positions are no longer in use."""
        if self._order is not None:
            self._removed.note(at)

    def positions(self, keys: NDArray[np.uint64], names: Names) -> Positions:
        """Return the positions that have a name, by their ``keys``."""
        if self._order is None:
            used = np.flatnonzero(names.used(np.arange(len(keys))))
            order = used[np.argsort(keys[used], kind="stable")]
            self._order = order.astype(np.int32)
            return order
        order = self._order.astype(np.int64)
        added, removed = self._added.positions(), self._removed.positions()
        if len(removed):
            gone = np.zeros(len(keys), np.bool_)
            gone[removed] = True
            order = order[~gone[order]]
            self._removed.clear()
        if len(added):
            new = added[names.used(added)]
            order = _merged(order, new[np.argsort(keys[new], kind="stable")], keys)
            self._added.clear()
        if len(removed) or len(added):
            self._order = order.astype(np.int32)
        return order


def _merged(order: Positions, new: Positions, keys: NDArray[np.uint64]) -> Positions:
    if len(new) * _FEW > len(order):
        every = np.concatenate((order, new))
        return every[np.argsort(keys[every], kind="stable")]
    return np.insert(order, _places(keys[new], order, keys), new)


def _places(wanted: NDArray[np.uint64], order: Positions, keys: NDArray[np.uint64]) -> Positions:
    """Return where in the order each wanted key belongs. Looks at a few keys only, unlike ``searchsorted``."""
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), len(order))
    while (low < high).any():
        middle = (low + high) >> 1
        above = keys[order[np.minimum(middle, len(order) - 1)]] < wanted
        above &= low < high
        np.copyto(low, middle + 1, where=above)
        np.copyto(high, middle, where=~above & (low < high))
    return low
