"""Arrow columns of tables made of numpy arrays, and the choice of plain values for few rows."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.ids import Ids, column_of
from contracts.outputs import RowKind
from contracts.times import SECOND
from streams.profiles.rows import NEVER, NOT_YET
from streams.publish import few_columns

MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
SECONDS: Final = pa.timestamp("s", tz="UTC")
MONEY: Final = pa.decimal128(18, 4)


class _Maps(Protocol):
    def column(self, values: Sequence[Any]) -> Any: ...


class ColumnMaker(Protocol):
    """A module that makes columns: this one, or :mod:`streams.publish.few_columns`."""

    def text_column(self, texts: Ids) -> Any: ...  # noqa: D102 - as the functions below
    def time_column(self, times: NDArray[np.int64]) -> Any: ...  # noqa: D102
    def boundary_column(self, boundaries: NDArray[Any], interval: int) -> Any: ...  # noqa: D102
    def money_column(self, scaled: NDArray[np.int64]) -> Any: ...  # noqa: D102
    def count_column(self, counts: NDArray[Any]) -> Any: ...  # noqa: D102
    def number_column(self, values: NDArray[np.floating]) -> Any: ...  # noqa: D102
    def mean_column(self, sums: NDArray[np.float64], counts: NDArray[Any]) -> Any: ...  # noqa: D102
    def coded_column(self, codes: NDArray[Any], texts: Sequence[str]) -> Any: ...  # noqa: D102
    def Maps(self, names: Sequence[str], asked: NDArray[np.bool_]) -> _Maps: ...  # noqa: D102, N802
    def table(self, columns: Mapping[str, Any], kind: RowKind) -> pa.Table: ...  # noqa: D102


def maker_of(count: int) -> ColumnMaker:
    """Return the module that makes the columns of this number of rows."""
    return few_columns if count <= few_columns.FEW else sys.modules[__name__]


def text_column(texts: Ids) -> pa.Array:
    """Texts."""
    return column_of(texts)


def time_column(times: NDArray[np.int64]) -> pa.Array:
    """Times in microseconds; null for events that never happened."""
    missing = (times == NEVER) | (times == NOT_YET)
    if not missing.any():
        return pa.array(np.ascontiguousarray(times)).view(MICROSECONDS)
    return pa.array(np.where(missing, 0, times), pa.int64(), mask=missing).view(MICROSECONDS)


def boundary_column(boundaries: NDArray[Any], interval: int) -> pa.Array:
    """The times of boundaries in whole seconds; ``interval`` is the sweep's in microseconds."""
    return pa.array(boundaries.astype(np.int64) * interval // SECOND).view(SECONDS)


def money_column(scaled: NDArray[np.int64]) -> pa.Array:
    """Amounts in 1/10,000 as exact decimals."""
    words = np.empty((len(scaled), 2), np.int64)
    words[:, 0], words[:, 1] = scaled, scaled >> 63
    return pa.Array.from_buffers(MONEY, len(scaled), [None, pa.py_buffer(words)])


def count_column(counts: NDArray[Any]) -> pa.Array:
    """Whole numbers that are not negative."""
    return pa.array(counts.astype(np.uint64))


def number_column(values: NDArray[np.floating]) -> pa.Array:
    """Numbers."""
    return pa.array(values)


def mean_column(sums: NDArray[np.float64], counts: NDArray[Any]) -> pa.Array:
    """Means; null where the count is 0."""
    none = counts <= 0
    return pa.array(sums / np.maximum(counts, 1), mask=none if none.any() else None)


def coded_column(codes: NDArray[Any], texts: Sequence[str]) -> pa.Array:
    """Texts of a small vocabulary: ClickHouse gets each of them once, and the codes."""
    return pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.string()))


def offsets_of(chosen: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return where the chosen entries of each row begin, and the end of the last. Sums along short rows cost more."""
    offsets = np.zeros(len(chosen) + 1, np.int32)
    counts = offsets[1:]
    for column in chosen.T:
        counts += column
    np.cumsum(counts, out=counts)
    return offsets


class Maps:
    """Makes a map per row, from name to value, with the entries that ``asked`` (rows, names) marks."""

    def __init__(self, names: Sequence[str], asked: NDArray[np.bool_]):
        count, width = asked.shape
        row, name = np.divmod(np.flatnonzero(asked.ravel()), width)
        self._offsets = pa.array(offsets_of(asked))
        self._keys = coded_column(name.astype(np.min_scalar_type(-width)), names)
        self._entries = pa.array(name * count + row)

    def column(self, values: Sequence[pa.Array]) -> pa.Array:
        """Return the maps of these values, one array of all rows for each name."""
        return pa.MapArray.from_arrays(self._offsets, self._keys, pa.concat_arrays(values).take(self._entries))


def table(columns: Mapping[str, pa.Array], kind: RowKind) -> pa.Table:  # noqa: ARG001
    """Return the columns as a table. Columns of codes keep their vocabulary, which the kind does not have."""
    return pa.table(dict(columns))
