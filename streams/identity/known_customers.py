"""The set of a bucket's customer ids in use: an anonymous id in it is not linked to another customer."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.caches import Cache
from contracts.state import Columns
from streams.profiles.hash_set import HashSet

_REMEMBERED: Final = 1 << 16
_MOST_NEW: Final = 1 << 12


class KnownCustomers:
    """A set of customer ids, as 64-bit hashes: a part. Recent ids are cached as text, because most ids repeat.

    New ids are hashed at the next query, many at a time.
    """

    def __init__(self) -> None:
        self._hashes = HashSet()
        self._recent: Cache[str, None] = Cache(_REMEMBERED)
        self._new: set[str] = set()
        """Ids that are not hashed yet."""

    def changes(self) -> Columns:
        """Return the hashes of the ids added since the last call."""
        self._hash_new()
        return self._hashes.changes()

    def whole(self) -> Columns:
        """Return the hashes of all ids."""
        self._hash_new()
        return self._hashes.whole()

    def apply(self, columns: Columns) -> None:
        """Add stored hashes."""
        self._hashes.apply(columns)

    def add(self, customers: Iterable[str]) -> None:
        """Add customer ids."""
        recent = self._recent
        new = dict.fromkeys(customer for customer in customers if customer not in recent)
        if new:
            recent.remember(new)
            self._new |= new.keys()

    def among(self, ids: list[str]) -> set[str]:
        """Return the ids that are known."""
        if ids or len(self._new) > _MOST_NEW:
            self._hash_new()
        if not ids:
            return set()
        held = self._hashes.holds(_hashed(ids)).tolist()
        return {one for one, known in zip(ids, held, strict=True) if known}

    def is_new(self, customer: str) -> bool:
        """Return whether an id was added since :meth:`among` was asked last."""
        return customer in self._new

    def _hash_new(self) -> None:
        if self._new:
            self._hashes.add(_hashed(self._new))
            self._new = set()


def _hashed(customers: Iterable[str]) -> NDArray[np.uint64]:
    return np.array([xxh3_64_intdigest(customer.encode()) for customer in customers], np.uint64)
