"""Coalesces writes: of several writes of one hash only the newest is sent."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import room
from contracts.open_addressing import FREE, SMALLEST, fit, no_zeros, places_for, probe, settle
from contracts.outputs import HashBlock

REMEMBERED: Final = 50_000
"""So many ids, per kind of hash, may be remembered for longer than :data:`REMEMBERED_SECONDS`."""
REMEMBERED_SECONDS: Final = 60.0
_NONE: Final = -1
Hashes = NDArray[np.uint64]
Versions = NDArray[np.int64]
Arrivals = NDArray[np.int64]


class Newest:
    """Remembers the newest write of each recently written id, by version and then by arrival.

    Blocks of one person may come from two steps, or wait while newer ones are written, so an older write may arrive
    after a newer one: it is dropped here. Two generations bound the memory. The older one is forgotten only when all
    blocks that were handed over before the younger one began have been written. The remaining rows must be written in
    their order.
    """

    def __init__(self, remembered: int = REMEMBERED, seconds: float = REMEMBERED_SECONDS):
        self._remembered = remembered
        self._seconds = seconds
        self._young, self._old = _Writes(), _Writes()
        self._arrivals = 0
        self._began, self._began_at = 0, 0.0

    def __len__(self) -> int:
        """Return the number of writes that are remembered."""
        return len(self._young) + len(self._old)

    def reduce(self, blocks: Sequence[HashBlock]) -> list[HashBlock]:
        """Return the blocks without superseded rows. All blocks are of one kind of hash."""
        hashed = [_hashes(block) for block in blocks]
        first = self._arrivals + 1
        self._arrivals += len(blocks)
        before = [
            self._note(block, hashes, arrival)
            for arrival, (block, hashes) in enumerate(zip(blocks, hashed, strict=True), first)
        ]
        if len(blocks) == 1:
            kept = [_chosen(blocks[0], blocks[0].versions >= before[0])]
        else:
            kept = [
                _chosen(block, self._newest(block, hashes, arrival))
                for arrival, (block, hashes) in enumerate(zip(blocks, hashed, strict=True), first)
            ]
        return [block for block in kept if len(block.ids)]

    def age(self, handed_over: int, oldest: int, now: float) -> None:
        """Forget the older generation if the younger one is large or old, and no waiting block may need it.

        ``handed_over`` is the number of blocks handed over so far, ``oldest`` the number of the oldest that waits,
        ``now`` the time in seconds.
        """
        due = len(self._young) > self._remembered or now - self._began_at > self._seconds
        if due and oldest > self._began:
            self._old, self._young = self._young, _Writes()
            self._began, self._began_at = handed_over, now

    def _note(self, block: HashBlock, hashes: Hashes, arrival: int) -> Versions:
        """Note a block, unless its rows drop no others; return the newest versions before it."""
        versions, arrivals = self._known(hashes)
        if block.order == "newest":
            newer = block.versions >= versions
            self._young.put(
                hashes, np.where(newer, block.versions, versions), np.where(newer, np.int64(arrival), arrivals)
            )
        return versions

    def _newest(self, block: HashBlock, hashes: Hashes, arrival: int) -> NDArray[np.bool_]:
        """Return which rows are not superseded by a block that was noted."""
        versions, arrivals = self._known(hashes)
        found: NDArray[np.bool_] = (block.versions > versions) | ((block.versions == versions) & (arrival >= arrivals))
        return found

    def _known(self, hashes: Hashes) -> tuple[Versions, Arrivals]:
        """Return version and arrival of the newest write of each id; the version is -1 where none is remembered."""
        versions, arrivals = self._young.get(hashes)
        if len(self._old):
            unknown = versions == _NONE
            if unknown.any():
                versions[unknown], arrivals[unknown] = self._old.get(hashes[unknown])
        return versions, arrivals


class _Writes:
    """Version and arrival by the 64-bit hash of an id: some 40 bytes each."""

    def __init__(self) -> None:
        self._clear(SMALLEST)

    def __len__(self) -> int:
        return self._size

    def get(self, hashes: Hashes) -> tuple[Versions, Arrivals]:
        """Return versions and arrivals, as copies; the version is -1 where a hash is unknown."""
        at = probe(self._places, hashes)
        versions = self._versions[at]
        versions[self._places[at] == FREE] = _NONE
        return versions, self._arrivals[at]

    def put(self, hashes: Hashes, versions: Versions, arrivals: Arrivals) -> None:
        """Set distinct hashes."""
        if not fit(self._size + len(hashes), len(self._places)):
            taken = self._places != FREE
            kept = self._places[taken], self._versions[taken], self._arrivals[taken]
            self._clear(places_for(self._size + len(hashes)))
            self._put(*kept)
        self._put(hashes, versions, arrivals)

    def _put(self, hashes: Hashes, versions: Versions, arrivals: Arrivals) -> None:
        at = probe(self._places, hashes)
        new = self._places[at] == FREE
        if new.any():
            self._size += int(np.count_nonzero(new))
            at[new] = settle(self._places, hashes[new], at[new])
        self._versions[at], self._arrivals[at] = versions, arrivals

    def _clear(self, places: int) -> None:
        self._places: Hashes = room(places, np.uint64)
        self._versions: Versions = room(places, np.int64)
        self._arrivals: Arrivals = room(places, np.int64)
        self._size = 0


def _hashes(block: HashBlock) -> Hashes:
    """Return the hashes of a block's ids. Python's are keyed by a secret of the process."""
    ids: list[Any] = block.ids.tolist()
    return no_zeros(np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64))


def _chosen(block: HashBlock, rows: NDArray[np.bool_]) -> HashBlock:
    return block if rows.all() else block.take(np.flatnonzero(rows))
