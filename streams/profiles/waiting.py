"""Holds columns of items until their slot, in the order of arrival."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.profiles.raw import compress, join

Columns = tuple[NDArray[Any], ...]


class Waiting:
    """Parallel columns with one entry per waiting item, such as an event or a moved row. Can be pickled."""

    def __init__(self) -> None:
        self._slots: list[NDArray[np.int64]] = []
        self._parts: list[Columns] = []
        self._first: int | None = None

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    @property
    def first(self) -> int | None:
        """The earliest slot for which something waits; None if nothing does."""
        return self._first

    def put(self, slots: NDArray[np.integer], *columns: NDArray[Any]) -> None:
        """Add items. Item i is ``column[i]`` of every column and waits for slot ``slots[i]``."""
        if not len(slots):
            return
        self._slots.append(np.asarray(slots, np.int64))
        self._parts.append(columns)
        first = int(slots.min())
        self._first = first if self._first is None else min(self._first, first)

    def due(self, slot: int) -> Columns | None:
        """Remove and return the items up to a slot, in the order of arrival; None if there are none."""
        if self._first is None or self._first > slot:
            return None
        slots, columns = join(self._slots), tuple(join(parts) for parts in zip(*self._parts, strict=True))
        self._slots, self._parts, self._first = [], [], None
        later = slots > slot
        if not later.any():
            return columns
        self.put(slots[later], *(compress(column, later) for column in columns))
        return tuple(compress(column, ~later) for column in columns)
