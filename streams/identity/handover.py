"""Gathers what all buckets of visitors hand over, and gives it to the buckets of customers boundary by boundary.

A bucket of customers must know that *every* bucket of visitors is through with a boundary before it crosses that
boundary itself; one gatherer in between makes that two messages per bucket instead of one for each pair. Pure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.crossings import Absorb, Entries, HandOver
from streams.profiles.table import ROW_DTYPE
from streams.profiles.unconverted import carried, join_entries


@dataclass
class GatherState:
    """How far each bucket of visitors is, and what boundaries wait for the others."""

    through: dict[int, int] = field(default_factory=dict)
    told: int | None = None
    waiting: list[HandOver] = field(default_factory=list)


def gather(state: GatherState, item: HandOver, buckets: int, bucket_of: Callable[[str], int]) -> Iterator[Absorb]:
    """Take one bucket's hand-over; yield to every bucket of customers what all visitors' buckets have completed."""
    state.through[item.bucket] = item.through
    if len(item.sources):
        state.waiting.append(item)
    if len(state.through) < buckets:
        return
    complete = min(state.through.values())
    if state.told is not None and complete <= state.told:
        return
    state.told = complete
    ready = _take(state, complete, item)
    homes = np.array([bucket_of(person) for person in ready.persons.tolist()], np.int64)
    for bucket in range(buckets):
        yield Absorb(bucket, item.start, complete, *_chosen(ready, np.flatnonzero(homes == bucket)))


def nothing_handed(bucket: int, through: int, start: int = 0) -> Absorb:
    """Word to a bucket of customers that up to a boundary nobody is handed over: where there are no visitors."""
    nobody = np.empty(0, object)
    return Absorb(bucket, start, through, np.empty(0, np.int64), nobody, nobody, np.empty(0, ROW_DTYPE))


_Columns = tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.object_], NDArray[np.void], Entries]


def _chosen(block: HandOver, at: NDArray[np.int64]) -> _Columns:
    """The columns of a block at some positions, in their order."""
    unconverted = carried(block.unconverted, at, len(block.rows))
    return block.boundaries[at], block.sources[at], block.persons[at], block.rows[at], unconverted


def _joined(parts: Sequence[HandOver]) -> HandOver:
    """All parts as one block of no bucket."""
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    entries = [part.unconverted.copy() for part in parts]
    for start, some in zip(starts.tolist(), entries, strict=False):
        some["row"] += start
    return HandOver(
        -1, 0, 0,
        np.concatenate([part.boundaries for part in parts]),
        np.concatenate([part.sources for part in parts]),
        np.concatenate([part.persons for part in parts]),
        np.concatenate([part.rows for part in parts]),
        join_entries(entries),
    )  # fmt: skip


def _take(state: GatherState, complete: int, shape: HandOver) -> HandOver:
    """Everything of boundaries up to ``complete``, in an order that does not depend on that of arrival."""
    block = _joined(state.waiting or [shape])
    rest = np.flatnonzero(block.boundaries > complete)
    state.waiting = [HandOver(-1, 0, 0, *_chosen(block, rest))] if len(rest) else []
    at = np.flatnonzero(block.boundaries <= complete)
    at = at[np.lexsort((block.rows["key"][at], block.rows["first_seen"][at], block.boundaries[at]))]
    return HandOver(-1, 0, 0, *_chosen(block, at))
