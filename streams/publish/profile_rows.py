"""Profiles as rows of the table ``customers``, one per id and insert: the newest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.blocks import VERSION_SHIFT, Departures, PeopleBlock, ProfileBlock, RowArray, Texts
from contracts.outputs import TableBlock
from contracts.times import DAY, SECOND
from streams.profiles.raw import join, take
from streams.profiles.rows import (
    COUNTS,
    DECAYED,
    FIRST_TIMES,
    LAST_TIMES,
    MONEY,
    RATING,
    UNITS,
    blank_rows,
    stamps_of,
    times_of,
    versions_of,
)
from streams.publish.columns import boundary_column, count_column, mean_column, money_column, time_column

_TIMES: Final = (*FIRST_TIMES, *LAST_TIMES)


@dataclass(frozen=True)
class ProfileRows:
    """Profiles of n customers or visitors. ``persons`` are the new owners of departed visitors, else None.

    ``interval`` is the sweep's in microseconds, ``currency`` the base currency (None: undecided).
    """

    ids: Texts
    versions: NDArray[np.int64]
    rows: RowArray
    persons: Texts | None
    interval: int
    currency: str | None
    table: ClassVar[str] = "customers"

    def __len__(self) -> int:
        return len(self.ids)

    def fits(self, other: TableBlock) -> bool:
        """All profiles can be in one insert."""
        return isinstance(other, ProfileRows)

    def render(self, others: Sequence[TableBlock]) -> pa.Table:
        """The newest row of each id."""
        every = [self, *(each for each in others if isinstance(each, ProfileRows))]
        ids = np.concatenate([each.ids for each in every])
        versions = np.concatenate([each.versions for each in every])
        rows, persons = join([each.rows for each in every]), np.concatenate([_persons(each) for each in every])
        if len(every) > 1:
            kept = newest(ids, versions)
            ids, versions, rows, persons = ids[kept], versions[kept], take(rows, kept), persons[kept]
        return self._table(ids, versions, rows, persons)

    def _table(self, ids: Texts, versions: NDArray[np.int64], rows: RowArray, persons: Texts) -> pa.Table:
        orders, ratings = rows["orders"], rows["satisfaction_count"]
        columns = {
            "customer_id": pa.array(ids, pa.string()),
            "version": count_column(versions),
            "merged_into": pa.array(persons, pa.string()),
            "currency": pa.DictionaryArray.from_arrays(np.zeros(len(ids), np.int32), [self.currency or ""]),
            "satisfaction": mean_column(rows["satisfaction_sum"] / RATING, ratings),
            "mean_gap_days": mean_column(_span_days(rows), orders.astype(np.int64) - 1),
            "decayed_at": boundary_column(np.maximum(rows["slot"].astype(np.int64) + 1, 0), self.interval),
        }
        columns |= {name: time_column(times_of(rows[name])) for name in _TIMES}
        columns |= {name: money_column(rows[name]) for name in MONEY}
        columns |= {name: count_column(rows[name]) for name in COUNTS}
        columns |= {name: pa.array(rows[name] / UNITS[name]) for name in DECAYED}
        return pa.table(columns)


def newest(ids: Texts, versions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of the newest row of each id, ascending; of equal versions the last."""
    best: dict[str, int] = {}
    known = versions.tolist()
    for at, customer in enumerate(ids.tolist()):
        before = best.get(customer)
        if before is None or known[before] <= known[at]:
            best[customer] = at
    return np.sort(np.fromiter(best.values(), np.int64, len(best)))


def profile_rows(block: ProfileBlock | PeopleBlock, interval: int, currency: str | None) -> ProfileRows:
    """The profiles of a block that has rows."""
    if block.rows is None:
        raise ValueError("a block of swept people has no profile rows")
    return ProfileRows(block.ids, versions_of(block.rows["slot"], block.rows), block.rows, None, interval, currency)


def departed_rows(departures: Departures, interval: int, currency: str | None) -> ProfileRows:
    """Return the rows of departed and of unlinked visitors, which hold only the owner."""
    rows = blank_rows(len(departures.ids))
    rows["first_seen"] = rows["last_seen"] = stamps_of(np.zeros(1, np.int64))
    rows["slot"] = (departures.versions >> VERSION_SHIFT).astype(np.int32)
    return ProfileRows(departures.ids, departures.versions, rows, departures.persons, interval, currency)


def _persons(block: ProfileRows) -> Texts:
    return np.full(len(block), "", object) if block.persons is None else block.persons


def _span_days(rows: RowArray) -> NDArray[np.float64]:
    """Days between the first and the last order; 0 for people with one order at most."""
    several = rows["orders"] > 1
    span: NDArray[np.float64] = np.where(several, rows["last_order"] - rows["first_order"], 0) / (DAY // SECOND)
    return span
