"""Makes blocks of people with their features from a table of profiles, for scoring. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import PeopleBlock, ProfileBlock, RowArray
from streams.profiles.features import compute_features, rhythm_of
from streams.profiles.rows import times_of, versions_of
from streams.profiles.segments import lifecycle_of, segment_of
from streams.profiles.table import ProfileTable

PORTION: Final = 8_000
Kind = Literal["sweep", "live", "restated"]
Looks = tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int8]]


class Chosen(NamedTuple):
    """Selected people: positions in their table, copies of their rows, and the slots and moments of their features."""

    kind: Kind
    at: NDArray[np.int64]
    rows: RowArray
    slots: NDArray[np.int32]
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
        """Return people as of boundaries, one per row; ``rows`` are copies made there. The block is not published."""
        return self._block(table, Chosen("sweep", at, rows, boundaries, boundaries.astype(np.int64) * self.interval))

    def current(
        self, table: ProfileTable, at: NDArray[np.int64], slot: int, kind: Literal["live", "restated"]
    ) -> PeopleBlock:
        """Return people with their rows as of the current slot: at the time of the newest event or the slot's start."""
        rows = table.take(at)
        now = np.maximum(times_of(rows["last_seen"]), slot * self.interval)
        return self._block(table, Chosen(kind, at, rows, np.full(len(at), slot, np.int32), now))

    def profiles(self, table: ProfileTable, at: NDArray[np.int64]) -> ProfileBlock:
        """Return copies of rows."""
        rows = table.take(at)
        return ProfileBlock(self.bucket, table.names.take(at), versions_of(rows["slot"], rows), rows)

    def _block(self, table: ProfileTable, chosen: Chosen) -> PeopleBlock:
        kind, at, rows, slots, now = chosen
        sweep = kind == "sweep"
        features, lifecycle, segment = _looks(rows, now, self.interval)
        return PeopleBlock(
            bucket=self.bucket,
            kind=kind,
            table=self.kept_in,
            ids=table.names.column(at) if sweep else table.names.take(at),
            versions=versions_of(slots, rows),
            as_of=now,
            boundaries=slots,
            features=features,
            buyers=rows["orders"] > 0,
            lifecycle=lifecycle,
            segment=segment,
            leaving=times_of(rows["last_seen"]) < (slots + np.int64(1)) * self.interval - self.dormant_after,
            positions=at.astype(np.int32),
            entered=np.zeros(len(at), np.int64) if sweep else table.entered[at],
            publish=not sweep,
            guarded=self.guarded,
            rows=None if sweep else rows,
            keys=None if sweep else table.keys[at],
        )


def _looks(rows: RowArray, now: NDArray[np.int64], interval: int) -> Looks:
    """Return features, lifecycle and segment of rows, in portions that stay in the processor's cache."""
    if len(rows) <= PORTION:
        return _look(rows, now, interval)
    portions = [slice(start, start + PORTION) for start in range(0, len(rows), PORTION)]
    looks = [_look(rows[portion], now[portion], interval) for portion in portions]
    features, lifecycle, segment = (np.concatenate(parts) for parts in zip(*looks, strict=True))
    return features, lifecycle, segment


def _look(rows: RowArray, now: NDArray[np.int64], interval: int) -> Looks:
    rhythm = rhythm_of(rows)
    lifecycle = lifecycle_of(rows, now, rhythm)
    return compute_features(rows, now, interval, rhythm), lifecycle, segment_of(rows, lifecycle)
