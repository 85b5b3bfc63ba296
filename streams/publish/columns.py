"""Arrow columns of tables made of numpy arrays."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.times import SECOND
from streams.profiles.rows import NEVER, NOT_YET

_MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
_SECONDS: Final = pa.timestamp("s", tz="UTC")
_MONEY: Final = pa.decimal128(18, 4)


def time_column(times: NDArray[np.int64]) -> pa.Array:
    """Times in microseconds; null for events that never happened."""
    missing = (times == NEVER) | (times == NOT_YET)
    if not missing.any():
        return pa.array(np.ascontiguousarray(times)).view(_MICROSECONDS)
    return pa.array(np.where(missing, 0, times), pa.int64(), mask=missing).view(_MICROSECONDS)


def boundary_column(boundaries: NDArray[Any], interval: int) -> pa.Array:
    """The times of boundaries in whole seconds; ``interval`` is the sweep's in microseconds."""
    return pa.array(boundaries.astype(np.int64) * interval // SECOND).view(_SECONDS)


def money_column(scaled: NDArray[np.int64]) -> pa.Array:
    """Amounts in 1/10,000 as exact decimals."""
    words = np.empty((len(scaled), 2), np.int64)
    words[:, 0], words[:, 1] = scaled, scaled >> 63
    return pa.Array.from_buffers(_MONEY, len(scaled), [None, pa.py_buffer(words)])


def count_column(counts: NDArray[Any]) -> pa.Array:
    """Whole numbers that are not negative."""
    return pa.array(counts.astype(np.uint64))


def mean_column(sums: NDArray[np.float64], counts: NDArray[Any]) -> pa.Array:
    """Means; null where the count is 0."""
    none = counts <= 0
    return pa.array(sums / np.maximum(counts, 1), mask=none if none.any() else None)


def coded_column(codes: NDArray[Any], texts: Sequence[str]) -> pa.Array:
    """Texts of a small vocabulary."""
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(texts, pa.string()))


class Maps:
    """Makes maps per row from name to value that have the same entries: those marked by ``asked`` (rows, names)."""

    def __init__(self, names: Sequence[str], asked: NDArray[np.bool_]):
        count, width = asked.shape
        row, name = np.divmod(np.flatnonzero(asked.ravel()), width)
        self._offsets = pa.array(np.concatenate(([0], np.cumsum(asked.sum(axis=1)))).astype(np.int32))
        self._keys = pa.array(names, pa.string()).take(pa.array(name))
        self._entries = pa.array(name * count + row)

    def column(self, values: Sequence[pa.Array]) -> pa.Array:
        """Return the maps of these values, one array of all rows for each name."""
        return pa.MapArray.from_arrays(self._offsets, self._keys, pa.concat_arrays(values).take(self._entries))
