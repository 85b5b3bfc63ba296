"""Holds columns of items until their slot, in the order of arrival."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts import state
from contracts.arrays import compress, join
from contracts.entries import Queue

Columns = tuple[NDArray[Any], ...]


class Batch(NamedTuple):
    """Items that came together: the first of their slots, the slot of each, and their columns."""

    first: int
    slots: NDArray[np.int64]
    columns: Columns


class Waiting:
    """Parallel columns with one entry per waiting item, such as an event. A part: each batch is stored once."""

    def __init__(self) -> None:
        self._batches: Queue[Batch] = Queue(Batch)
        self._first: int | None = None

    def __len__(self) -> int:
        return sum(len(batch.slots) for batch in self._batches.data.values())

    @property
    def first(self) -> int | None:
        """The earliest slot for which something waits; None if nothing does."""
        return self._first

    def column(self, number: int) -> Iterator[NDArray[Any]]:
        """Yield the parts of a column."""
        return (batch.columns[number] for batch in self._batches.data.values())

    def put(self, slots: NDArray[np.integer], *columns: NDArray[Any]) -> None:
        """Add items. Item i is ``column[i]`` of every column and waits for slot ``slots[i]``."""
        if not len(slots):
            return
        batch = _batch(np.asarray(slots, np.int64), columns)
        self._batches.append(batch)
        self._first = batch.first if self._first is None else min(self._first, batch.first)

    def due(self, slot: int) -> Columns | None:
        """Remove and return the items up to a slot, in the order of arrival; None if there are none."""
        if self._first is None or self._first > slot:
            return None
        found = [self._take(number, batch, slot) for number, batch in list(self._batches.data.items())
                 if batch.first <= slot]  # fmt: skip
        self._find_first()
        return tuple(join(columns) for columns in zip(*found, strict=True))

    def remove(self, chosen: Callable[[Columns], NDArray[np.bool_]]) -> None:
        """Remove the items that ``chosen(columns)`` says."""
        for number, batch in list(self._batches.data.items()):
            stays = ~chosen(batch.columns)
            if not stays.any():
                del self._batches[number]
            elif not stays.all():
                self._batches[number] = _batch(batch.slots[stays], [compress(each, stays) for each in batch.columns])
        self._find_first()

    def changes(self) -> state.Columns:
        """Return the batches that came or changed since the last call, and those that went."""
        return self._batches.changes()

    def whole(self) -> state.Columns:
        """Return all batches."""
        return self._batches.whole()

    def apply(self, columns: state.Columns) -> None:
        """Apply stored batches."""
        self._batches.apply(columns)
        self._find_first()

    def _take(self, number: int, batch: Batch, slot: int) -> Columns:
        """Remove and return the items of a batch up to a slot; the others keep its place."""
        later = batch.slots > slot
        if not later.any():
            del self._batches[number]
            return batch.columns
        self._batches[number] = _batch(batch.slots[later], [compress(column, later) for column in batch.columns])
        return tuple(compress(column, ~later) for column in batch.columns)

    def _find_first(self) -> None:
        self._first = min((batch.first for batch in self._batches.data.values()), default=None)


def _batch(slots: NDArray[np.int64], columns: Columns | list[NDArray[Any]]) -> Batch:
    return Batch(int(slots.min()), slots, tuple(columns))
