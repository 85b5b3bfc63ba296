"""Profiles as rows of the table ``customers``, one per id and insert: the newest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.arrays import join, take
from contracts.blocks import VERSION_SHIFT, Departures, PeopleBlock, ProfileBlock, RowArray
from contracts.ids import Texts, as_texts
from contracts.outputs import RowKind, TableBlock
from contracts.times import DAY, SECOND
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
from streams.publish.columns import MICROSECONDS, SECONDS, maker_of
from streams.publish.columns import MONEY as MONEY_TYPE

_TIMES: Final = (*FIRST_TIMES, *LAST_TIMES)
COLUMNS: Final = RowKind([
    ("customer_id", pa.string()), ("version", pa.uint64()), ("merged_into", pa.string()), ("currency", pa.string()),
    ("satisfaction", pa.float64()), ("mean_gap_days", pa.float64()), ("decayed_at", SECONDS),
    *((name, MICROSECONDS) for name in _TIMES), *((name, MONEY_TYPE) for name in MONEY),
    *((name, pa.uint64()) for name in COUNTS), *((name, pa.float64()) for name in DECAYED),
])  # fmt: skip
"""The columns of the table ``customers``."""


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
        make = maker_of(len(ids))
        columns = {
            "customer_id": make.text_column(ids),
            "version": make.count_column(versions),
            "merged_into": make.text_column(persons),
            "currency": make.coded_column(np.zeros(len(ids), np.int32), [self.currency or ""]),
            "satisfaction": make.mean_column(rows["satisfaction_sum"] / RATING, ratings),
            "mean_gap_days": make.mean_column(_span_days(rows), orders.astype(np.int64) - 1),
            "decayed_at": make.boundary_column(np.maximum(rows["slot"].astype(np.int64) + 1, 0), self.interval),
        }
        columns |= {name: make.time_column(times_of(rows[name])) for name in _TIMES}
        columns |= {name: make.money_column(rows[name]) for name in MONEY}
        columns |= {name: make.count_column(rows[name]) for name in COUNTS}
        columns |= {name: make.number_column(rows[name] / UNITS[name]) for name in DECAYED}
        return make.table(columns, COLUMNS)


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
    ids = as_texts(block.ids)
    return ProfileRows(ids, versions_of(block.rows["slot"], block.rows), block.rows, None, interval, currency)


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
