"""The changed positions of a table: added in any order and repeatedly, made distinct when they are read."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
_MOST: Final = 1 << 16
"""After this many more positions they are made distinct, so that they take no more memory than the table."""


class Touched:
    """A set of positions. Adding is nearly free; the cost of reading grows with the positions added."""

    def __init__(self) -> None:
        self._parts: list[Positions] = []
        self._noted = 0
        self._distinct = 0

    def note(self, at: Positions) -> None:
        """Add positions. The array is kept: nobody may change it."""
        self._parts.append(at)
        self._noted += len(at)
        if self._noted > 2 * self._distinct + _MOST or len(self._parts) > _MOST:
            self.positions()

    def positions(self) -> Positions:
        """Return the positions, ascending, each once."""
        if len(self._parts) != 1 or self._noted != self._distinct:
            self._keep(_distinct(np.concatenate(self._parts)) if self._parts else np.empty(0, np.int64))
        return self._parts[0]

    def some(self, kept: NDArray[np.bool_]) -> Positions:
        """Return the positions that the mask of the whole table marks, and forget the others."""
        at = self.positions()
        marked = kept[at]
        if not marked.all():
            self._keep(at[marked])
        return self._parts[0]

    def clear(self) -> None:
        """Forget all."""
        self._keep(np.empty(0, np.int64))

    def _keep(self, at: Positions) -> None:
        self._parts, self._noted, self._distinct = [at], len(at), len(at)


def _distinct(at: Positions) -> Positions:
    """Return positions ascending, each once. ``np.unique`` takes ten times as long: it hashes."""
    at.sort()
    new = np.empty(len(at), np.bool_)
    new[:1] = True
    np.not_equal(at[1:], at[:-1], out=new[1:])
    return at if new.all() else at[new]
