"""Profile rows that move from one table to another, with their amounts that wait for an exchange rate."""

from collections.abc import Sequence, Set
from functools import cache

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import compress
from contracts.arrays import join as join_rows
from contracts.blocks import MovedRows, no_texts
from contracts.entries import Queue
from contracts.ids import among
from streams.profiles.rows import blank_rows
from streams.profiles.unconverted import entries_of, join_entries


@cache
def no_moved() -> MovedRows:
    """Return an empty set of moved rows, always the same one."""
    return MovedRows(np.empty(0, np.int64), no_texts(), no_texts(), blank_rows(0), np.empty(0, np.int64))


def pick(moved: MovedRows, kept: NDArray[np.bool_]) -> MovedRows:
    """Return the rows that are ``kept``, with their waiting amounts."""
    if kept.all():
        return moved
    return MovedRows(
        moved.slots[kept],
        moved.sources[kept],
        moved.owners[kept],
        compress(moved.rows, kept),
        moved.entered[kept],
        entries_of(moved.unconverted, kept),
    )


def join(parts: Sequence[MovedRows]) -> MovedRows:
    """Return all rows of several parts, in their order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_moved()
    entries, start = [], 0
    for part in parts:
        shifted = part.unconverted.copy()
        shifted["row"] += start
        entries.append(shifted)
        start += len(part)
    return MovedRows(
        np.concatenate([part.slots for part in parts]),
        np.concatenate([part.sources for part in parts]),
        np.concatenate([part.owners for part in parts]),
        join_rows([part.rows for part in parts]),
        np.concatenate([part.entered for part in parts]),
        join_entries(entries),
    )


class WaitingRows(Queue[MovedRows]):
    """Moved rows that wait for their slots, in the order of arrival. A part: each parcel is stored once."""

    def __init__(self) -> None:
        super().__init__(MovedRows)

    def due(self, slot: int) -> MovedRows:
        """Remove and return the rows up to a slot."""
        found = []
        for number, moved in list(self.data.items()):
            later = moved.slots > slot
            if later.all():
                continue
            found.append(pick(moved, ~later))
            if later.any():
                self[number] = pick(moved, later)
            else:
                del self[number]
        return join(found)

    def forget(self, people: Set[str]) -> None:
        """Remove rows of and for people."""
        for number, moved in list(self.data.items()):
            stays = ~(among(moved.owners, people) | among(moved.sources, people))
            if stays.any():
                if not stays.all():
                    self[number] = pick(moved, stays)
            else:
                del self[number]
