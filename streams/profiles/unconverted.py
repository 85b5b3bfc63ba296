"""Amounts that wait for an exchange rate: kept beside the profiles, one small entry each.

Entries are never merged or rounded, so it does not matter when, where or in which order they are converted: each adds
the same integers. An entry follows its profile: to another row, to another bucket, to another person. Pure.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.crossings import UNCONVERTED_DTYPE, Entries


class Unconverted:
    """The waiting amounts of one table of profiles; ``row`` of an entry is a row of the table."""

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

    def by_row(self, rows: Iterable[int]) -> dict[int, Entries]:
        """Return the entries of some rows, by row."""
        if not self:
            return {}
        found = self.entries[np.isin(self.entries["row"], np.fromiter(rows, np.int64))]
        if not len(found):
            return {}
        found = found[np.argsort(found["row"], kind="stable")]
        at, first = np.unique(found["row"], return_index=True)
        return dict(zip(at.tolist(), np.split(found, first[1:]), strict=True))


def join_entries(parts: Iterable[Entries]) -> Entries:
    """Make one array of several, in their order."""
    joined: Entries = np.concatenate([np.empty(0, UNCONVERTED_DTYPE), *parts])
    return joined


def carried(entries: Entries, positions: NDArray[np.int64], count: int) -> Entries:
    """Return the entries of some of ``count`` rows, after these were taken out in the order of ``positions``."""
    if not len(entries):
        return entries
    moved_to = np.full(count, -1, np.int32)
    moved_to[positions] = np.arange(len(positions), dtype=np.int32)
    found: Entries = entries[moved_to[entries["row"]] >= 0]
    found["row"] = moved_to[found["row"]]
    return found
