"""Hashes that change nothing but the time at which they expire: the pointers of identified visitors who are seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.ids import Texts
from contracts.outputs import Commands, HashBlock, HashWrites, Order
from contracts.stored import PROFILE_PREFIX, SCORE_PREFIX
from streams.publish import resp

PREFIXES: Final = (SCORE_PREFIX, PROFILE_PREFIX)


@dataclass(frozen=True)
class ProlongedHashes:
    """Hashes that expire ``expires_seconds`` from now. A hash that is not there is not made."""

    prefix: str
    ids: Texts
    versions: NDArray[np.int64]
    expires_seconds: int
    live: bool = False
    guarded: bool = False
    oldest: int = 0
    order: Order = "any"

    def take(self, at: NDArray[np.int64]) -> Self:
        """The rows at some positions."""
        return replace(self, ids=self.ids[at], versions=self.versions[at])

    def fits(self, other: HashBlock) -> bool:
        """Whether the other are hashes of the same kind."""
        return isinstance(other, ProlongedHashes) and self.prefix == other.prefix

    def join(self, others: Sequence[Self]) -> Self:
        """The rows of all."""
        every = (self, *others)
        ids, versions = (np.concatenate([getattr(each, name) for each in every]) for name in ("ids", "versions"))
        return replace(self, ids=ids, versions=versions)

    def texts(self) -> HashWrites:
        """The rows as text."""
        count = len(self.ids)
        return HashWrites(
            self.prefix, self.ids.tolist(), self.versions, {}, [False] * count, [self.expires_seconds] * count,
            prolongs=True,
        )  # fmt: skip

    def commands(self) -> Commands:
        """The rows as commands of Redis."""
        key = resp.framed_column(pa.array(self.ids, pa.string()), f"{self.prefix}:{{", "}")
        whole = resp.join(resp.head(3, "EXPIRE"), key, resp.framed(str(self.expires_seconds)))
        return Commands([resp.bytes_of(whole)], len(key))
