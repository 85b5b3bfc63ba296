"""Amounts that wait for an exchange rate: kept beside the profiles, one small entry each.

Entries are never merged or rounded, so the time, place and order of their conversion make no difference: each adds the
same integers. An entry moves with its profile to another row, bucket or owner. Pure.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import UNCONVERTED_DTYPE, Entries, no_entries
from contracts.state import Columns


class Unconverted:
    """The waiting amounts of one table of profiles, a part; ``row`` of an entry is a position in the table."""

    def __init__(self) -> None:
        self._parts: list[Entries] = []
        self._stored = 0
        """The number of entries at the beginning that are in the stored state."""
        self._taken: list[NDArray[np.int32]] = []
        """Rows whose stored entries were taken since."""
        self._replaced = False

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def entries(self) -> Entries:
        """All entries as one array."""
        if len(self._parts) != 1:
            self._parts = [join_entries(self._parts)]
        return self._parts[0]

    def add(self, entries: Entries) -> None:
        """Add entries."""
        if len(entries):
            self._parts.append(entries)

    def replace(self, entries: Entries) -> None:
        """Keep these entries only."""
        self._parts, self._replaced = [entries], True

    def take(self, positions: NDArray[np.int64]) -> Entries:
        """Remove and return the entries of some rows; ``row`` of each is then an index into ``positions``."""
        if not len(self) or not len(positions):
            return no_entries()
        entries = self.entries
        order = np.argsort(positions)
        at = np.minimum(np.searchsorted(positions, entries["row"], sorter=order), len(positions) - 1)
        index = order[at]
        mine = positions[index] == entries["row"]
        if not mine.any():
            return no_entries()
        found: Entries = entries[mine]
        stored = int(np.count_nonzero(mine[: self._stored]))
        if stored:
            self._taken.append(found["row"][:stored].copy())
            self._stored -= stored
        found["row"] = index[mine]
        self._parts = [entries[~mine]]
        return found

    def changes(self) -> Columns:
        """Return the rows whose entries were taken since the last call, and the entries added."""
        if self._replaced:
            return self.whole()
        columns: dict[str, NDArray[Any] | bytes] = {}
        if self._taken:
            columns["taken"], self._taken = np.unique(np.concatenate(self._taken)), []
        if len(self) > self._stored:
            columns["entries"] = self.entries[self._stored :]
            self._stored = len(self)
        return columns

    def whole(self) -> Columns:
        """Return all entries."""
        self._stored, self._taken, self._replaced = len(self), [], False
        return {"all": self.entries}

    def apply(self, columns: Columns) -> None:
        """Take entries, then add entries."""
        if "all" in columns:
            self._parts = [np.array(columns["all"], UNCONVERTED_DTYPE)]
        if "taken" in columns:
            self._parts = [self.entries[~np.isin(self.entries["row"], columns["taken"])]]
        if "entries" in columns:
            self.add(np.array(columns["entries"], UNCONVERTED_DTYPE))
        self._stored, self._taken, self._replaced = len(self), [], False


def join_entries(parts: Iterable[Entries]) -> Entries:
    """Make one array of several, in their order."""
    joined: Entries = np.concatenate([np.empty(0, UNCONVERTED_DTYPE), *parts])
    return joined


def entries_of(entries: Entries, kept: NDArray[np.bool_]) -> Entries:
    """Return the entries of the rows that are ``kept``; ``row`` becomes an index into the kept rows."""
    if not len(entries):
        return entries
    found: Entries = entries[kept[entries["row"]]]
    found["row"] = (np.cumsum(kept) - 1)[found["row"]]
    return found
