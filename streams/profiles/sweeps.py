"""Sweeps of the customers of one bucket: many boundaries in bulk, or one large one in slices.

In a catch-up the rows are copied when the bucket crosses a boundary. Features and segments are functions of row and
boundary, so the copies of many small boundaries are stacked and computed together. Near the end of the log a large
sweep would stop the flow: there only its labels and samples are made at the boundary, and the rest is made in slices
between batches (:mod:`streams.profiles.pending`). A sweep that is too large for memory is cut in the same way. Labels
are made boundary by boundary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import compress, join, take
from contracts.blocks import PeopleBlock, RowArray
from contracts.metrics import SWEEPS
from contracts.model_blocks import Examples, Population, Released, SweptPeople
from streams.profiles.features import compute_features
from streams.profiles.pending import PendingSweep
from streams.profiles.people_blocks import Maker
from streams.profiles.rows import LAST_OF_COUNTER, blank_rows, reach_of, times_of
from streams.profiles.table import ProfileTable

STACK: Final = 16_000
"""The approximate number of rows per stack: their features fit the processor's cache."""
SLICE: Final = 1_000
"""Customers in a slice by default: some milliseconds of work, until they are scored and written."""
MOST_ROWS: Final = 100_000
"""Rows of sweeps that a bucket makes in an activation by default: some 20 MB."""
MOST_POPULATION: Final = 2_000
"""The maximum size of the sample, per bucket and boundary, for percentiles: the customers with the smallest keys."""
Output = Released | PeopleBlock
Label = Callable[[SweptPeople], Mapping[str, Examples]]


@dataclass(frozen=True)
class SweepPolicy:
    """The settings of sweeps; times in microseconds.

    Customers silent for longer than ``dormant_after`` are not swept. ``training_stride`` is the number of sweeps
    between two training snapshots of the same customer, ``longest_window`` the longest window of an outcome.
    ``slice`` is the approximate number of customers in a slice; smaller sweeps are made at once. ``most`` is the
    approximate number of rows that an activation makes, and of those that may wait for models.
    """

    interval: int
    dormant_after: int
    training_stride: int
    longest_window: int
    slice: int = SLICE
    most: int = MOST_ROWS


@dataclass(frozen=True)
class Copy:
    """The rows of the customers to sweep at a boundary, with their positions, in the order of their keys."""

    boundary: int
    at: NDArray[np.int64]
    rows: RowArray


@dataclass
class Sweeps:
    """Collects copies and returns blocks. ``published`` is the boundary whose sweep goes to Redis, if any.

    A large sweep of that boundary becomes ``pending``, and any sweep of more than ``most`` customers. ``waiting`` is
    the number of rows that wait for models, ``made`` that of the rows made here.
    """

    policy: SweepPolicy
    maker: Maker
    table: ProfileTable
    label: Label
    pending: PendingSweep
    published: int | None
    waiting: int = 0
    made: int = 0
    out: list[Output] = field(default_factory=list)
    _stack: list[Copy] = field(default_factory=list)
    _stacked: int = 0

    def cross(self, boundary: int) -> int:
        """Sweep the customers at a boundary, or begin to; return how many there are."""
        at = self._swept_at(boundary)
        if len(at) > (self.policy.slice if boundary == self.published else self.policy.most):
            self._begin(boundary, at)
        elif len(at):
            self._put(Copy(boundary, at, take(self.table.rows, at)))
        return len(at)

    @property
    def room(self) -> int:
        """How many more rows may be made now."""
        return self.policy.most - self.waiting - self.made

    def count(self, boundary: int) -> int:
        """Return how many customers would be swept at a boundary if nothing came before it."""
        return int(np.count_nonzero(self._swept(self.table.rows, boundary)))

    def go_on(self) -> None:
        """Make the rest of the pending sweep while there is room. It is not published: the sweeps that follow are."""
        while self.pending and self.room > 0:
            self.out.extend(self._slice(STACK, publish=False))

    def slice(self) -> list[Output]:
        """Return the next slice of the pending sweep."""
        return self._slice(self.policy.slice, publish=self.pending.published)

    def put_nobody(self, boundary: int) -> None:
        """Deliver a boundary without customers, so that the learn step knows that the bucket has passed it."""
        self._put(Copy(boundary, np.empty(0, np.int64), blank_rows(0)))

    def finish(self) -> list[Output]:
        """Return all blocks, in order."""
        self._flush()
        return self.out

    def _swept_at(self, boundary: int) -> NDArray[np.int64]:
        """Return the customers to sweep, in the order of their keys."""
        chosen, order = self._swept(self.table.rows, boundary), self.table.in_order()
        everyone = np.count_nonzero(chosen) == len(order) == len(chosen)
        return order if everyone else order[chosen[order]]

    def _swept(self, rows: RowArray, boundary: int) -> NDArray[np.bool_]:
        """Return which rows to sweep: they are not dormant, or changed in the slot that ends.

        Profiles without events are left out: their first events are in a later slot of the current batch.
        """
        chosen = reach_of(rows["last_seen"], boundary * self.policy.interval - self.policy.dormant_after)
        chosen |= rows["slot"] == boundary - 1
        chosen &= rows["events"] > 0
        return chosen

    def _begin(self, boundary: int, at: NDArray[np.int64]) -> None:
        """Label a boundary and take its sample at once, from the rows in use; the customers are swept in slices."""
        self._flush()
        SWEEPS.inc()
        rows, keys = self.table.rows, self.table.keys[at]
        trainable = self._turn(keys, boundary)
        trainable[trainable] = self._steady(times_of(rows["last_seen"][at[trainable]]), boundary)
        snapshot, sample = at[trainable], take(rows, at[:MOST_POPULATION])
        now = boundary * self.policy.interval
        swept = SweptPeople(
            bucket=self.maker.bucket,
            boundary=boundary,
            keys=keys,
            trainable=trainable,
            features=lambda some: compute_features(take(rows, snapshot[some]), now, self.policy.interval),
            buyers=rows["orders"][snapshot] > 0,
            last=lambda counter, some: times_of(rows[LAST_OF_COUNTER[counter]][at[some]]),
        )
        population = Population(compute_features(sample, now, self.policy.interval), sample["orders"] > 0)
        self.out.append(Released(self.maker.bucket, [boundary], [self.label(swept)], [population]))
        self.pending.begin(boundary, len(rows), published=boundary == self.published)

    def _slice(self, most: int, *, publish: bool) -> list[Output]:
        boundary = self.pending.boundary
        at, rows = self.pending.advance(self.table.rows, most, lambda some: self._swept(some, boundary))
        if not len(at):
            return []
        self.made += len(at)
        block = self.maker.sweep(self.table, at, rows, np.full(len(at), boundary, np.int32))
        return [*_with_leavers_apart(replace(block, publish=publish), rows)]

    def _put(self, copy: Copy) -> None:
        if copy.boundary == self.published:
            self._flush()
        self._stack.append(copy)
        self._stacked += len(copy.at)
        self.made += len(copy.at)
        if self._stacked >= STACK:
            self._flush()

    def _flush(self) -> None:
        copies, self._stack, self._stacked = self._stack, [], 0
        if not copies:
            return
        SWEEPS.inc(len(copies))
        rows = join([copy.rows for copy in copies])
        at = np.concatenate([copy.at for copy in copies])
        crossed = np.array([copy.boundary for copy in copies], np.int32)
        boundaries = np.repeat(crossed, [len(copy.at) for copy in copies])
        block = self.maker.sweep(self.table, at, rows, boundaries)
        if copies[0].boundary == self.published:
            block = replace(block, publish=True)
        self.out.append(self._release(copies, block, rows))
        if len(block):
            self.out.extend(_with_leavers_apart(block, rows))

    def _release(self, copies: Sequence[Copy], block: PeopleBlock, rows: RowArray) -> Released:
        """Label the boundaries of a stack, one after the other, and take samples of their customers."""
        keys = self.table.keys[block.positions]
        trainable = self._turn(keys, block.boundaries) & self._steady(times_of(rows["last_seen"]), block.boundaries)
        examples, populations = [], []
        ends = np.cumsum([len(copy.at) for copy in copies]).tolist()
        for copy, (start, end) in zip(copies, pairwise([0, *ends]), strict=True):
            mine, sample = slice(start, end), slice(start, min(end, start + MOST_POPULATION))
            examples.append(self.label(_swept_people(copy, block, start, keys[mine], trainable[mine])))
            populations.append(Population(block.features[sample], block.buyers[sample]))
        return Released(block.bucket, [copy.boundary for copy in copies], examples, populations)

    def _turn(self, keys: NDArray[np.uint64], boundaries: NDArray[np.int32] | int) -> NDArray[np.bool_]:
        """Return whose turn it is to be snapshotted. ``boundaries`` is one for all, or one per row."""
        stride = self.policy.training_stride
        turn: NDArray[np.bool_] = (keys % stride).astype(np.int64) == boundaries % stride
        return turn

    def _steady(self, last_seen: NDArray[np.int64], boundaries: NDArray[np.int32] | int) -> NDArray[np.bool_]:
        """Return who stays active until the longest window closes. ``boundaries`` is one for all, or one per row."""
        policy = self.policy
        start = np.asarray(boundaries, np.int64) * policy.interval
        steady: NDArray[np.bool_] = last_seen >= start - policy.dormant_after + policy.longest_window
        return steady


def _swept_people(
    copy: Copy, block: PeopleBlock, start: int, keys: NDArray[np.uint64], trainable: NDArray[np.bool_]
) -> SweptPeople:
    """Return what labelling needs of one copy of a stack, whose rows begin at ``start`` of the block."""
    snapshot = start + np.flatnonzero(trainable)
    return SweptPeople(
        bucket=block.bucket,
        boundary=copy.boundary,
        keys=keys,
        trainable=trainable,
        features=lambda some: block.features[snapshot[some]],
        buyers=block.buyers[snapshot],
        last=lambda counter, some: times_of(copy.rows[LAST_OF_COUNTER[counter]][some]),
    )


def _with_leavers_apart(block: PeopleBlock, rows: RowArray) -> list[PeopleBlock]:
    """Split a sweep: customers who become dormant get a block with their rows that is published, their last score."""
    if not block.leaving.any():
        return [block]
    leaving = block.leaving
    leavers = replace(block.pick(leaving), publish=True, rows=compress(rows, leaving))
    return [leavers] if leaving.all() else [block.pick(~leaving), leavers]
