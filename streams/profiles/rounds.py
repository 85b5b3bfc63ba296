"""A round over all people of a table, in portions, in the order of their positions.

It emits people as they are when their turn comes, so nothing is copied; its progress is one number, a part of the
state.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Chosen = Callable[[int, int], NDArray[np.bool_]]
"""``chosen(start, stop)`` says which of these positions take part."""


def portion(start: int, size: int, most: int, chosen: Chosen) -> tuple[NDArray[np.int64], int | None]:
    """Return about ``most`` positions that take part, from ``start`` on, and where to go on: None at the end."""
    found, count = [np.empty(0, np.int64)], 0
    while start < size and count < most:
        stop = min(start + most, size)
        found.append(np.flatnonzero(chosen(start, stop)) + start)
        start, count = stop, count + len(found[-1])
    return np.concatenate(found), start if start < size else None
