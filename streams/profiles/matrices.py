"""Views of neighbouring columns of profile rows as one matrix: one operation on it costs as much as on one column.

Every view needs rows that lie side by side in memory: an array of its own or a slice, not every second row.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import RowArray
from streams.profiles.rows import COUNTS, DECAYED, FIRST_TIMES, LAST_TIMES, RECENT, ROW_DTYPE, SUMS

_LONGS: Final = ROW_DTYPE.itemsize // 8
_INTS: Final = ROW_DTYPE.itemsize // 4


def _span(names: Sequence[str], size: int) -> slice:
    """Return where columns lie that are neighbours, counted in numbers of ``size`` bytes."""
    offsets = [] if ROW_DTYPE.fields is None else [ROW_DTYPE.fields[name][1] for name in names]
    if offsets != list(range(offsets[0], offsets[0] + size * len(names), size)):
        raise RuntimeError(f"{names} are no neighbours")
    return slice(offsets[0] // size, offsets[0] // size + len(names))


_FIRSTS: Final = _span(FIRST_TIMES, 8)
_LASTS: Final = _span(LAST_TIMES, 8)
_RECENT: Final = slice(_LASTS.stop, _LASTS.stop + RECENT)
_SUMS: Final = _span((*SUMS, *DECAYED), 8)
_DECAYED: Final = _span(tuple(DECAYED), 8)
_COUNTS: Final = _span(COUNTS, 4)


def _longs(rows: RowArray, columns: slice) -> NDArray[np.int64]:
    matrix: NDArray[np.int64] = rows.view(np.int64).reshape(-1, _LONGS)[:, columns]
    return matrix


def first_times(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`FIRST_TIMES`, shape (rows, 2)."""
    return _longs(rows, _FIRSTS)


def last_times(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`LAST_TIMES`, shape (rows, 9)."""
    return _longs(rows, _LASTS)


def recent_orders(rows: RowArray) -> NDArray[np.int64]:
    """Return the newest order times, shape (rows, :data:`RECENT`), newest first."""
    return _longs(rows, _RECENT)


def sums(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`SUMS` and then :data:`DECAYED`, shape (rows, 11)."""
    return _longs(rows, _SUMS)


def decayed(rows: RowArray) -> NDArray[np.int64]:
    """Return :data:`DECAYED`, shape (rows, 8)."""
    return _longs(rows, _DECAYED)


def counts(rows: RowArray) -> NDArray[np.int32]:
    """Return :data:`COUNTS`, shape (rows, 15)."""
    matrix: NDArray[np.int32] = rows.view(np.int32).reshape(-1, _INTS)[:, _COUNTS]
    return matrix


def column_of(columns: Sequence[Any], *names: Any) -> list[int]:
    """Return the places of some names among ``columns``."""
    places = {name: place for place, name in enumerate(columns)}
    return [places[name] for name in names]
