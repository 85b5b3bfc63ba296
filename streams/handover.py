"""Gathers what all buckets of visitors hand over, and gives it to the buckets of customers boundary by boundary.

A bucket of customers must know that *every* bucket of visitors is through with a boundary before it crosses that
boundary itself; one gatherer in between makes that two messages per bucket instead of one for each pair. Pure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.crossings import Absorb, HandOver
from streams.profiles import ROW_DTYPE


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
    boundaries, sources, persons, rows = _take(state, complete, item)
    homes = np.array([bucket_of(person) for person in persons.tolist()], np.int64)
    for bucket in range(buckets):
        mine = homes == bucket
        yield Absorb(bucket, item.start, complete, boundaries[mine], sources[mine], persons[mine], rows[mine])


def nothing_handed(bucket: int, through: int, start: int = 0) -> Absorb:
    """Word to a bucket of customers that up to a boundary nobody is handed over: where there are no visitors."""
    nobody = np.empty(0, object)
    return Absorb(bucket, start, through, np.empty(0, np.int64), nobody, nobody, np.empty(0, ROW_DTYPE))


_Columns = tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.object_], NDArray[np.void]]


def _take(state: GatherState, complete: int, shape: HandOver) -> _Columns:
    """Everything of boundaries up to ``complete``, in an order that does not depend on that of arrival."""
    parts = state.waiting or [shape]
    boundaries = np.concatenate([part.boundaries for part in parts])
    sources = np.concatenate([part.sources for part in parts])
    persons = np.concatenate([part.persons for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    ready = boundaries <= complete
    rest = ~ready
    left = HandOver(-1, 0, 0, boundaries[rest], sources[rest], persons[rest], rows[rest])
    state.waiting = [left] if rest.any() else []
    at = np.flatnonzero(ready)
    at = at[np.lexsort((rows["key"][at], rows["first_seen"][at], boundaries[at]))]
    return boundaries[at], sources[at], persons[at], rows[at]
