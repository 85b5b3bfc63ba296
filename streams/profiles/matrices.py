"""Views of neighbouring columns of profile rows as one matrix: one operation on it costs as much as on one column."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import RowArray
from streams.profiles.rows import COUNTS, DECAYED, FIRST_TIMES, LAST_TIMES, RECENT, ROW_DTYPE, SUMS

_Field = tuple[np.dtype[Any], int]


def _span(names: Sequence[str], kind: type[np.integer]) -> _Field:
    """Return neighbouring columns as one field: its type and its offset in a row."""
    size = np.dtype(kind).itemsize
    offsets = [] if ROW_DTYPE.fields is None else [ROW_DTYPE.fields[name][1] for name in names]
    if offsets != list(range(offsets[0], offsets[0] + size * len(names), size)):
        raise RuntimeError(f"{names} are not neighbouring columns")
    return np.dtype((kind, (len(names),))), offsets[0]


_FIRSTS: Final = _span(FIRST_TIMES, np.int64)
_LASTS: Final = _span(LAST_TIMES, np.int64)
_RECENT: Final = np.dtype((np.int64, (RECENT,))), _span(("recent_orders",), np.int64)[1]
_SUMS: Final = _span((*SUMS, *DECAYED), np.int64)
_DECAYED: Final = _span(tuple(DECAYED), np.int64)
_COUNTS: Final = _span(COUNTS, np.int32)


def first_times(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`FIRST_TIMES`, shape (rows, 2)."""
    return rows.getfield(*_FIRSTS)


def last_times(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`LAST_TIMES`, shape (rows, 9)."""
    return rows.getfield(*_LASTS)


def recent_orders(rows: RowArray) -> NDArray[np.int64]:
    """Return the newest order times, shape (rows, :data:`RECENT`), newest first."""
    return rows.getfield(*_RECENT)


def sums(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`SUMS` and then :data:`DECAYED`, shape (rows, 11)."""
    return rows.getfield(*_SUMS)


def decayed(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`DECAYED`, shape (rows, 8)."""
    return rows.getfield(*_DECAYED)


def counts(rows: RowArray) -> NDArray[np.int32]:
    """Return :data:`COUNTS`, shape (rows, 15)."""
    return rows.getfield(*_COUNTS)
