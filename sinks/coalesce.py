"""Coalesces writes: of several writes of one hash only the newest is sent."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from contracts.outputs import HashBlock

REMEMBERED: Final = 50_000
"""Minimum number of ids, per kind of hash, whose newest writes are remembered."""
_ARRIVAL_BITS: Final = 40


class Newest:
    """Remembers the newest write of each recently written id, by version and then by arrival.

    Blocks of one person may come from two steps, or wait while newer ones are written, so an older write may arrive
    after a newer one: it is dropped here. Two generations bound the memory. The older one is forgotten only when all
    blocks that were handed over before the younger one began have been written. The remaining rows must be written in
    their order.
    """

    def __init__(self, remembered: int = REMEMBERED):
        self._remembered = remembered
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._arrivals = 0
        self._began = 0

    def reduce(self, blocks: Sequence[HashBlock]) -> list[HashBlock]:
        """Return the blocks without superseded rows. All blocks are of one kind of hash."""
        stamped = [(block, self._stamps(block)) for block in blocks]
        for block, stamps in stamped:
            self._note(block, stamps)
        kept = [self._kept(block, stamps) for block, stamps in stamped]
        return [block for block in kept if len(block.ids)]

    def age(self, handed_over: int, oldest: int) -> None:
        """Forget the older generation if the younger one is large and no waiting block may need it.

        ``handed_over`` is the number of blocks handed over so far, ``oldest`` the number of the oldest that waits.
        """
        if len(self._young) > self._remembered and oldest > self._began:
            self._old, self._young, self._began = self._young, {}, handed_over

    def _stamps(self, block: HashBlock) -> list[int]:
        """A number per row that is larger for a newer version, and of equal versions for the later block."""
        self._arrivals += 1
        arrival = self._arrivals
        return [version << _ARRIVAL_BITS | arrival for version in block.versions.tolist()]

    def _note(self, block: HashBlock, stamps: list[int]) -> None:
        young, old = self._young, self._old
        if block.order != "newest":
            return
        for customer, stamp in zip(block.ids.tolist(), stamps, strict=True):
            known = young.get(customer) or old.get(customer, 0)
            young[customer] = stamp if stamp > known else known

    def _kept(self, block: HashBlock, stamps: list[int]) -> HashBlock:
        """Return the block without rows older than the newest write of their id."""
        young, old = self._young, self._old
        known = [young.get(customer) or old.get(customer, 0) for customer in block.ids.tolist()]
        kept = [row for row, (stamp, newest) in enumerate(zip(stamps, known, strict=True)) if stamp >= newest]
        return block if len(kept) == len(stamps) else block.take(np.array(kept, np.int64))
