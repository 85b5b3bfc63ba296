"""The blocks of Redis writes that wait, with what a later sweep makes superfluous left out.

A pure structure: no client, no clock.
"""

from collections.abc import Sequence

import numpy as np

from contracts.outputs import HashWrites


class HeldBlocks:
    """Blocks as they came; one takes the place of earlier ones of its prefix and ``replaces``."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str | None], list[HashWrites]] = {}
        self._since: float | None = None

    @property
    def customers(self) -> int:
        """Customers in all blocks held."""
        return sum(len(block.ids) for block in self.blocks())

    def age(self, now: float) -> float:
        """Seconds for which the oldest block has waited; 0 if there is none."""
        return 0.0 if self._since is None else now - self._since

    def blocks(self) -> list[HashWrites]:
        """All that is held."""
        return [block for blocks in self._blocks.values() for block in blocks]

    def add(self, block: HashWrites, now: float) -> None:
        """Hold a block from ``now`` (seconds) on, in the place of what it replaces."""
        if self._since is None:
            self._since = now
        held = self._blocks.setdefault((block.prefix, block.replaces), [])
        if block.replaces is not None:
            held[:] = [rest for older in held if (rest := without_replaced(older, block)) is not None]
        held.append(block)

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
        self._since = None


def without_replaced(older: HashWrites, newer: HashWrites) -> HashWrites | None:
    """Return what of ``older`` is still to be written if ``newer`` will be; None if nothing is.

    That is the customers that ``newer`` lacks or has an older version of; all, if it lacks some fields.
    """
    if not (older.columns.keys() <= newer.columns.keys() and older.ranks.keys() <= newer.ranks.keys()):
        return older
    left = np.flatnonzero(_versions_of(older.ids, newer) < older.versions)
    return _rows(older, left) if left.size else None


def _versions_of(ids: Sequence[str], block: HashWrites) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Look up the version that a block gives each id, -1 where it has none."""
    count = len(ids)
    # Sweeps list customers as they were first seen: mostly the one is the beginning of the other.
    if list(block.ids[:count]) == list(ids):
        return block.versions[:count]
    version = dict(zip(block.ids, block.versions.tolist(), strict=True))
    return np.fromiter((version.get(customer, -1) for customer in ids), np.int64, count)


def _rows(block: HashWrites, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> HashWrites:
    """Pick some rows of a block."""
    picked = rows.tolist()
    return HashWrites(
        prefix=block.prefix,
        ids=[block.ids[i] for i in picked],
        versions=block.versions[rows],
        columns={name: [values[i] for i in picked] for name, values in block.columns.items()},
        ranks={name: scores[rows] for name, scores in block.ranks.items()},
        oldest_record_at=block.oldest_record_at,
        replaces=block.replaces,
    )
