"""Computes the bucket of an id, and from it the partition of its records."""

from functools import lru_cache
from typing import Final

import numpy as np
from confluent_kafka import murmur2
from numpy.typing import NDArray

from contracts.caches import Cache
from contracts.identity import home_of, is_no_customer

NO_ID: Final = -1
"""The bucket of the empty text."""
UNFIT: Final = -2
"""Stands for the bucket of placeholders and reserved names, which are not ids."""
REMEMBERED: Final = 100_000


def place_of(identifier: str, places: int) -> int:
    """Return which of the places (partitions or buckets) an id belongs to, as Java's default partitioner does."""
    return int(murmur2(identifier.encode(), places))


def bucket_of(profile_id: str, buckets: int) -> int:
    """Return the bucket of a profile, the same in every step."""
    return place_of(home_of(profile_id), buckets)


class Buckets(Cache[str, int]):
    """The bucket of each id, cached, because most ids repeat."""

    def __init__(self, buckets: int):
        super().__init__(REMEMBERED)
        self._buckets = buckets

    def __missing__(self, identifier: str) -> int:
        """Compute the bucket of an id that is not cached."""
        if not identifier:
            bucket = NO_ID
        elif is_no_customer(identifier):
            bucket = UNFIT
        else:
            bucket = place_of(identifier, self._buckets)
        self[identifier] = bucket
        return bucket

    def of(self, identifiers: list[str]) -> NDArray[np.int64]:
        """The buckets of n ids."""
        if len(self) > REMEMBERED:
            self.clear()
        return np.fromiter(map(self.__getitem__, identifiers), np.int64, len(identifiers))


@lru_cache(4)
def buckets_of(buckets: int) -> Buckets:
    """Return this process's cache for a number of buckets."""
    return Buckets(buckets)
