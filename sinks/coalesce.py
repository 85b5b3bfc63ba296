"""Coalesces writes: of several writes of one hash only the newest is sent."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import room
from contracts.open_addressing import FREE, SMALLEST, fit, no_zeros, places_for, probe, settle
from contracts.outputs import HashBlock

REMEMBERED: Final = 50_000
"""Ids of a generation: the next one begins when there are more, or after :data:`REMEMBERED_SECONDS`."""
REMEMBERED_SECONDS: Final = 60.0
_ARRIVAL_BITS: Final = 40
_ARRIVALS: Final = (1 << _ARRIVAL_BITS) - 1
Hashes = NDArray[np.uint64]
Kinds: TypeAlias = tuple[HashBlock, ...]
"""The blocks of one output, one per kind of hash. They have the same ids in the same order."""


class Newest:
    """Remembers the newest write of each recently written id, by version and then by arrival.

    Outputs of one person may come from two steps, or wait while newer ones are written, so an older write may arrive
    after a newer one: it is dropped here. All kinds of hashes share this memory, which takes its versions from an
    output's first block. Two generations bound the memory. The older one is forgotten only when all outputs that were
    handed over before the younger one began have been written.
    """

    def __init__(self, remembered: int = REMEMBERED, seconds: float = REMEMBERED_SECONDS):
        self._remembered, self._seconds = remembered, seconds
        self._young, self._old = _Generation(), _Generation()
        self._arrivals = 0
        self._began, self._began_at = 0, 0.0

    def __len__(self) -> int:
        """Return the number of writes that are remembered."""
        return len(self._young) + len(self._old)

    def reduce(self, outputs: Sequence[Kinds]) -> list[Kinds]:
        """Return the outputs without superseded rows, those whose order is ``reset`` first.

        Of ``newest`` outputs each id remains at most once. Other rows must be written in their order.
        """
        stamped, resets = [(output, self._stamps(output[0])) for output in outputs], []
        for output, stamps in stamped:
            self._note(output[0], stamps)
            if output[0].order == "reset":
                resets.append(self._kept(output, stamps))
        others = [self._kept(output, stamps) for output, stamps in stamped if output[0].order != "reset"]
        return [output for output in (*resets, *others) if len(output[0].ids)]

    def age(self, handed_over: int, oldest: int, now: float) -> None:
        """Forget the older generation if the younger one is large or old, and no waiting output may need it.

        ``handed_over`` is the number of outputs handed over so far, ``oldest`` the number of the oldest that waits,
        ``now`` the time in seconds.
        """
        due = len(self._young) > self._remembered or now - self._began_at > self._seconds
        if due and oldest > self._began:
            self._old, self._young = self._young, _Generation()
            self._began, self._began_at = handed_over, now

    def _stamps(self, block: HashBlock) -> list[int]:
        """A number per row that is larger for a newer version, and of equal versions for the later block."""
        self._arrivals += 1
        arrival = self._arrivals
        return [version << _ARRIVAL_BITS | arrival for version in block.versions.tolist()]

    def _note(self, block: HashBlock, stamps: list[int]) -> None:
        if block.order in ("swept", "any"):
            return
        ids: list[str] = block.ids.tolist()
        if not block.live:
            self._young.others.put(_hashes(ids), block.versions, stamps[0] & _ARRIVALS)
            return
        young, old = self._young.live, self._old.live
        for customer, stamp in zip(ids, stamps, strict=True):
            known = young.get(customer) or old.get(customer, 0)
            young[customer] = stamp if stamp > known else known

    def _kept(self, output: Kinds, stamps: list[int]) -> Kinds:
        """Return the output without rows older than the newest write of their id."""
        ids: list[str] = output[0].ids.tolist()
        young, old = self._young.live, self._old.live
        known = [young.get(customer) or old.get(customer, 0) for customer in ids]
        for others in (self._young.others, self._old.others):
            if len(others):
                known = list(map(max, known, others.stamps(_hashes(ids))))
        kept = [row for row, (stamp, newest) in enumerate(zip(stamps, known, strict=True)) if stamp >= newest]
        return output if len(kept) == len(stamps) else rows_of(output, np.array(kept, np.int64))


def rows_of(output: Kinds, at: NDArray[np.int64]) -> Kinds:
    """Return the rows of an output at some positions."""
    return tuple(block.take(at) for block in output)


class _Generation:
    """Stamps of the rows of live blocks, and of others.

    These may be of everybody, as after a catch-up: arrays take a fifth of the memory of a dict, which is faster.
    """

    def __init__(self) -> None:
        self.live: dict[str, int] = {}
        self.others = _Writes()

    def __len__(self) -> int:
        return len(self.live) + len(self.others)


class _Writes:
    """Version and arrival of the newest write by the 64-bit hash of an id: some 40 bytes each."""

    def __init__(self) -> None:
        self._size = 0
        self._clear(SMALLEST)

    def __len__(self) -> int:
        return self._size

    def stamps(self, hashes: Hashes) -> list[int]:
        """Return the stamps of hashes, 0 where one is unknown."""
        at = probe(self._places, hashes)
        known = self._places[at] != FREE
        pairs = zip(known.tolist(), self._versions[at].tolist(), self._arrivals[at].tolist(), strict=True)
        return [version << _ARRIVAL_BITS | arrival if found else 0 for found, version, arrival in pairs]

    def put(self, hashes: Hashes, versions: NDArray[np.int64], arrival: int) -> None:
        """Note writes of distinct hashes, which arrive after those that are known."""
        self._reserve(len(hashes))
        at = probe(self._places, hashes)
        newer = (self._places[at] == FREE) | (versions >= self._versions[at])
        self._set(at[newer], hashes[newer], versions[newer], arrival)

    def _set(
        self, at: NDArray[np.int64], hashes: Hashes, versions: NDArray[np.int64], arrivals: NDArray[np.int64] | int
    ) -> None:
        """Set versions and arrivals at the places found for hashes."""
        new = self._places[at] == FREE
        self._size += int(np.count_nonzero(new))
        at[new] = settle(self._places, hashes[new], at[new])
        self._versions[at], self._arrivals[at] = versions, arrivals

    def _reserve(self, more: int) -> None:
        """Make room for more hashes. The arrays grow by a third, so growth costs a constant per hash."""
        if fit(self._size + more, len(self._places)):
            return
        taken = self._places != FREE
        hashes, versions, arrivals = self._places[taken], self._versions[taken], self._arrivals[taken]
        self._clear(places_for(len(hashes) + more))
        self._set(probe(self._places, hashes), hashes, versions, arrivals)

    def _clear(self, places: int) -> None:
        self._places: Hashes = room(places, np.uint64)
        self._versions, self._arrivals = room(places, np.int64), room(places, np.int64)
        self._size = 0


def _hashes(ids: list[str]) -> Hashes:
    """Return the hashes of ids. Python's are keyed by a secret of the process."""
    return no_zeros(np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64))
