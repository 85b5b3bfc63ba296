"""Views of neighbouring columns of profile rows as one matrix: one operation on it costs as much as on one column."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import RowArray
from streams.profiles.rows import FADING, FEW, FIRST_TIMES, MARKED, MONEY, RECENT, ROW_DTYPE

_Field = tuple[np.dtype[Any], int]


def _span(names: Sequence[str], kind: type[np.integer]) -> _Field:
    """Return neighbouring columns as one field: its type and its offset in a row."""
    size = np.dtype(kind).itemsize
    offsets = [] if ROW_DTYPE.fields is None else [ROW_DTYPE.fields[name][1] for name in names]
    if offsets != list(range(offsets[0], offsets[0] + size * len(names), size)):
        raise RuntimeError(f"{names} are not neighbouring columns")
    return np.dtype((kind, (len(names),))), offsets[0]


_FIRSTS: Final = _span(FIRST_TIMES, np.uint32)
_MARKS: Final = _span(MARKED, np.uint32)
_RECENT: Final = np.dtype((np.uint32, (RECENT,))), _span(("last_order", "earlier_orders"), np.uint32)[1]
_MONEY: Final = _span(MONEY, np.int64)
_FADING: Final = _span(tuple(FADING), np.uint16)
_FEW: Final = _span(FEW, np.uint16)
_LONG: Final = _span(("revenue_90d", "events"), np.uint32)
_SHORT: Final = _span((*FADING, *FEW, "satisfaction_sum"), np.uint16)


def first_stamps(rows: RowArray) -> NDArray[np.uint32]:
    """Return :data:`FIRST_TIMES`, shape (rows, 2)."""
    return rows.getfield(*_FIRSTS)


def last_stamps(rows: RowArray) -> NDArray[np.uint32]:
    """Return :data:`MARKED`, shape (rows, 8)."""
    return rows.getfield(*_MARKS)


def recent_orders(rows: RowArray) -> NDArray[np.uint32]:
    """Return the stamps of the newest orders, shape (rows, :data:`RECENT`), newest first."""
    return rows.getfield(*_RECENT)


def money(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`MONEY`, shape (rows, 2)."""
    return rows.getfield(*_MONEY)


def fading(rows: RowArray) -> NDArray[np.uint16]:
    """Return :data:`FADING`, shape (rows, 7)."""
    return rows.getfield(*_FADING)


def few(rows: RowArray) -> NDArray[np.uint16]:
    """Return :data:`FEW`, shape (rows, 14)."""
    return rows.getfield(*_FEW)


def long_sums(rows: RowArray) -> NDArray[np.uint32]:
    """Return the sums of 32 bits, shape (rows, 2)."""
    return rows.getfield(*_LONG)


def short_sums(rows: RowArray) -> NDArray[np.uint16]:
    """Return the sums of 16 bits, shape (rows, 22): :data:`FADING`, :data:`FEW` and the ratings."""
    return rows.getfield(*_SHORT)
