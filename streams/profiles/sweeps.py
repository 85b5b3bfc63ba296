"""Sweeps of the customers of one bucket: copies of their rows at boundaries, stacked into blocks of many boundaries.

A row is copied when its bucket crosses a boundary. Features and segments are functions of row and boundary, so the
copies of many small boundaries are stacked and computed together. Labels are made boundary by boundary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import PeopleBlock, RowArray
from contracts.metrics import SWEEPS
from contracts.model_blocks import Examples, Population, Released, SweptPeople
from streams.profiles.people_blocks import Maker, some_of
from streams.profiles.raw import compress, join, take
from streams.profiles.rows import LAST_OF_COUNTER, blank_rows, times_of
from streams.profiles.table import ProfileTable

STACK: Final = 16_000
"""The approximate number of rows per stack: their features fit the processor's cache."""
MOST_POPULATION: Final = 2_000
"""The maximum size of the sample, per bucket and boundary, for percentiles: the customers with the smallest keys."""
Output = Released | PeopleBlock
Label = Callable[[SweptPeople], Mapping[str, Examples]]


@dataclass(frozen=True)
class SweepPolicy:
    """The settings of sweeps; times in microseconds.

    Customers silent for longer than ``dormant_after`` are not swept. ``training_stride`` is the number of sweeps
    between two training snapshots of the same customer, ``longest_window`` the longest window of an outcome.
    """

    interval: int
    dormant_after: int
    training_stride: int
    longest_window: int
    counters: tuple[str, ...]


@dataclass(frozen=True)
class Copy:
    """The rows of the customers to sweep at a boundary, with their positions, in the order of their keys."""

    boundary: int
    at: NDArray[np.int64]
    rows: RowArray


@dataclass
class Sweeps:
    """Collects copies and returns blocks. ``published`` is the boundary whose sweep goes to Redis, if any."""

    policy: SweepPolicy
    maker: Maker
    table: ProfileTable
    label: Label
    published: int | None
    out: list[Output] = field(default_factory=list)
    _stack: list[Copy] = field(default_factory=list)
    _stacked: int = 0

    def cross(self, boundary: int) -> int:
        """Copy the customers to sweep at a boundary; return how many there are."""
        at = self._swept_at(boundary)
        if len(at):
            self._put(Copy(boundary, at, take(self.table.rows, at)))
        return len(at)

    def put_nobody(self, boundary: int) -> None:
        """Deliver a boundary without customers, so that the learn step knows that the bucket has passed it."""
        self._put(Copy(boundary, np.empty(0, np.int64), blank_rows(0)))

    def finish(self) -> list[Output]:
        """Return all blocks, in order."""
        self._flush()
        return self.out

    def _swept_at(self, boundary: int) -> NDArray[np.int64]:
        """Return the customers to sweep: they are not dormant, or their row changed in the slot that ends.

        Profiles without events are left out: their first events are in a later slot of the current batch.
        """
        rows = self.table.rows
        chosen = times_of(rows["last_seen"]) >= boundary * self.policy.interval - self.policy.dormant_after
        chosen |= rows["slot"] == boundary - 1
        chosen &= rows["events"] > 0
        order = self.table.in_order()
        return order if len(chosen) == len(order) and chosen.all() else order[chosen[order]]

    def _put(self, copy: Copy) -> None:
        if copy.boundary == self.published:
            self._flush()
        self._stack.append(copy)
        self._stacked += len(copy.at)
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
        trainable = self._trainable(block, keys, rows)
        last = {name: times_of(rows[LAST_OF_COUNTER[name]]) for name in self.policy.counters}
        examples, populations = [], []
        ends = np.cumsum([len(copy.at) for copy in copies]).tolist()
        for copy, (start, end) in zip(copies, pairwise([0, *ends]), strict=True):
            mine, sample = slice(start, end), slice(start, min(end, start + MOST_POPULATION))
            swept = SweptPeople(
                bucket=block.bucket,
                boundary=copy.boundary,
                keys=keys[mine],
                features=block.features[mine],
                buyers=block.buyers[mine],
                trainable=trainable[mine],
                last={name: times[mine] for name, times in last.items()},
            )
            examples.append(self.label(swept))
            populations.append(Population(block.features[sample], block.buyers[sample]))
        return Released(block.bucket, [copy.boundary for copy in copies], examples, populations)

    def _trainable(self, block: PeopleBlock, keys: NDArray[np.uint64], rows: RowArray) -> NDArray[np.bool_]:
        """Return the customers to snapshot: it is their turn, and they stay active until the longest window closes."""
        policy, stride = self.policy, self.policy.training_stride
        steady = times_of(rows["last_seen"]) >= block.as_of - policy.dormant_after + policy.longest_window
        turn: NDArray[np.bool_] = (keys % stride).astype(np.int64) == block.boundaries % stride
        return steady & turn


def _with_leavers_apart(block: PeopleBlock, rows: RowArray) -> list[PeopleBlock]:
    """Split a sweep: customers who become dormant get a block with their rows that is published, their last score."""
    if not block.leaving.any():
        return [block]
    leaving = block.leaving
    leavers = replace(some_of(block, leaving), publish=True, rows=compress(rows, leaving))
    return [leavers] if leaving.all() else [some_of(block, ~leaving), leavers]
