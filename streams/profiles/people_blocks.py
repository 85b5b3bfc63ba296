"""Blocks of people with their features: what scoring gets of a table of profiles. Pure."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import PeopleBlock, ProfileBlock, RowArray
from streams.profiles.features import compute_features, rhythm_of
from streams.profiles.raw import take
from streams.profiles.rows import versions_of
from streams.profiles.segments import lifecycle_of, segment_of
from streams.profiles.table import ProfileTable


@dataclass(frozen=True)
class Chosen:
    """Some people: positions in their table, copies of their rows, and as of which slots and moments they are seen."""

    at: NDArray[np.int64]
    rows: RowArray
    boundaries: NDArray[np.int32]
    now: NDArray[np.int64]


@dataclass(frozen=True)
class Maker:
    """Makes the blocks of one bucket. Times in microseconds."""

    bucket: int
    kept_in: Literal["customers", "devices", "addresses"]
    interval: int
    dormant_after: int
    guarded: bool

    def sweep(
        self, table: ProfileTable, at: NDArray[np.int64], rows: RowArray, boundaries: NDArray[np.int32]
    ) -> PeopleBlock:
        """Return people as of boundaries, one per row; ``rows`` are copies made there. It is not for readers yet."""
        chosen = Chosen(at, rows, boundaries, boundaries.astype(np.int64) * self.interval)
        return self._block(table, "sweep", chosen)

    def live(self, table: ProfileTable, at: NDArray[np.int64], slot: int) -> PeopleBlock:
        """Return people as of the current slot, each at the time of its newest event or at the slot's start."""
        block = self.current(table, at, slot, "live")
        return replace(block, entered=table.entered[at])

    def current(
        self, table: ProfileTable, at: NDArray[np.int64], slot: int, kind: Literal["live", "restated"]
    ) -> PeopleBlock:
        """Return people as of the current slot with their rows, without the time of a record behind them."""
        rows = take(table.rows, at)
        now = np.maximum(rows["last_seen"], slot * self.interval)
        block = self._block(table, kind, Chosen(at, rows, np.full(len(at), slot, np.int32), now))
        return replace(block, rows=rows, publish=True)

    def profiles(self, table: ProfileTable, at: NDArray[np.int64]) -> ProfileBlock:
        """Return copies of rows."""
        rows = take(table.rows, at)
        return ProfileBlock(self.bucket, table.names.take(at), versions_of(rows["slot"], rows), rows)

    def _block(
        self, table: ProfileTable, kind: Literal["sweep", "live", "restated"], chosen: Chosen
    ) -> PeopleBlock:
        at, rows, now = chosen.at, chosen.rows, chosen.now
        slots = chosen.boundaries.astype(np.int64)
        rhythm = rhythm_of(rows)
        lifecycle = lifecycle_of(rows, now, rhythm)
        return PeopleBlock(
            bucket=self.bucket,
            kind=kind,
            table=self.kept_in,
            ids=table.names.take(at),
            versions=versions_of(slots, rows),
            as_of=now,
            boundaries=chosen.boundaries,
            features=compute_features(rows, now, self.interval, rhythm),
            buyers=rows["orders"] > 0,
            lifecycle=lifecycle,
            segment=segment_of(rows, lifecycle),
            leaving=rows["last_seen"] < (slots + 1) * self.interval - self.dormant_after,
            positions=at.astype(np.int32),
            entered=np.zeros(len(at), np.int64),
            publish=False,
            guarded=self.guarded,
        )


def some_of(block: PeopleBlock, chosen: NDArray[np.bool_]) -> PeopleBlock:
    """Return a block of the chosen people."""
    columns = {each.name: getattr(block, each.name) for each in fields(block)}
    picked: dict[str, Any] = {name: each[chosen] for name, each in columns.items() if isinstance(each, np.ndarray)}
    return replace(block, **picked)
