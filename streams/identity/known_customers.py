"""The ids that were used as a customer's own id: none of them is given away as somebody's device."""

from collections.abc import Iterable

import numpy as np
from xxhash import xxh3_64_intdigest

from streams.profiles.hash_set import HashSet

_REMEMBERED = 1 << 16


class KnownCustomers:
    """A set of customer ids, as 64-bit hashes.

    Ids of late are also remembered as they are: they come again, and most come one at a time, so they are hashed later,
    many at once.
    """

    def __init__(self) -> None:
        self._hashes = HashSet()
        self._recent: set[str] = set()
        self._unhashed: set[str] = set()

    def __getstate__(self) -> dict[str, HashSet]:
        self._hash()
        return {"hashes": self._hashes}

    def __setstate__(self, state: dict[str, HashSet]) -> None:
        self._hashes, self._recent, self._unhashed = state["hashes"], set(), set()

    def __contains__(self, customer: str) -> bool:
        return customer in self._recent or bool(self._hashes.holds(_hashed([customer]))[0])

    def add(self, customers: Iterable[str]) -> None:
        """Add customer ids."""
        new = set(customers) - self._recent
        if not new:
            return
        self._unhashed |= new
        self._recent |= new
        if len(self._recent) > _REMEMBERED:
            self._hash()
            self._recent = set()

    def _hash(self) -> None:
        if self._unhashed:
            self._hashes.add(_hashed(self._unhashed))
            self._unhashed = set()


def _hashed(customers: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([xxh3_64_intdigest(customer.encode()) for customer in customers], np.uint64)
