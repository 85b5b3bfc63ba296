"""The set of customer ids in use: an anonymous id in it is not linked to another customer."""

from collections.abc import Iterable

import numpy as np
from xxhash import xxh3_64_intdigest

from streams.profiles.hash_set import HashSet

_REMEMBERED = 1 << 16


class KnownCustomers:
    """A set of customer ids, as 64-bit hashes. Recent ids are cached as text, because most ids repeat."""

    def __init__(self) -> None:
        self._hashes = HashSet()
        self._recent: set[str] = set()

    def __getstate__(self) -> dict[str, HashSet]:
        return {"hashes": self._hashes}

    def __setstate__(self, state: dict[str, HashSet]) -> None:
        self._hashes, self._recent = state["hashes"], set()

    def __contains__(self, customer: str) -> bool:
        return customer in self._recent or bool(self._hashes.holds(_hashed([customer]))[0])

    def add(self, customers: Iterable[str]) -> None:
        """Add customer ids."""
        new = set(customers) - self._recent
        if not new:
            return
        self._hashes.add(_hashed(new))
        if len(self._recent) > _REMEMBERED:
            self._recent = set()
        self._recent |= new


def _hashed(customers: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([xxh3_64_intdigest(customer.encode()) for customer in customers], np.uint64)
