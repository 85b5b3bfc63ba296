"""Amounts that wait for an exchange rate: kept beside the profiles, one small entry each.

Entries are never merged or rounded, so the time, place and order of their conversion make no difference: each adds the
same integers. An entry moves with its profile to another row, bucket or owner. Pure.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import UNCONVERTED_DTYPE, Entries, no_entries


class Unconverted:
    """The waiting amounts of one table of profiles; ``row`` of an entry is a position in the table."""

    def __init__(self) -> None:
        self._parts: list[Entries] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getstate__(self) -> dict[str, Any]:
        return {"entries": self.entries}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._parts = []
        self.add(state["entries"].copy())

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
        self._parts = []
        self.add(entries)

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
        found["row"] = index[mine]
        self.replace(entries[~mine])
        return found


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
