"""The columns of few rows as plain values: the same functions as in :mod:`streams.publish.columns`, and equal tables.

Arrow makes all columns of plain values in one call. For few rows this costs a sixth as much as making an array for each
column.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.ids import Texts
from contracts.outputs import Plain, RowKind
from contracts.times import SECOND
from streams.profiles.rows import NEVER, NOT_YET

FEW: Final = 12
"""Up to this many rows plain values are cheaper."""
_MONEY_DIGITS: Final = 4


def text_column(texts: Texts) -> list[str]:
    """Texts."""
    plain: list[str] = texts.tolist()
    return plain


def time_column(times: NDArray[np.int64]) -> list[int | None]:
    """Times in microseconds; None for events that never happened."""
    return [None if time in (NEVER, NOT_YET) else time for time in times.tolist()]


def boundary_column(boundaries: NDArray[Any], interval: int) -> list[int]:
    """The times of boundaries in whole seconds; ``interval`` is the sweep's in microseconds."""
    return [boundary * interval // SECOND for boundary in boundaries.tolist()]


def money_column(scaled: NDArray[np.int64]) -> list[Decimal]:
    """Amounts in 1/10,000 as exact decimals."""
    return [Decimal(amount).scaleb(-_MONEY_DIGITS) for amount in scaled.tolist()]


def count_column(counts: NDArray[Any]) -> list[int]:
    """Whole numbers that are not negative."""
    plain: list[int] = counts.astype(np.uint64).tolist()
    return plain


def number_column(values: NDArray[np.floating]) -> list[float]:
    """Numbers."""
    plain: list[float] = values.tolist()
    return plain


def mean_column(sums: NDArray[np.float64], counts: NDArray[Any]) -> list[float | None]:
    """Means; None where the count is 0."""
    pairs = zip(sums.tolist(), counts.tolist(), strict=True)
    return [None if count <= 0 else total / count for total, count in pairs]


def coded_column(codes: NDArray[Any], texts: Sequence[str]) -> list[str]:
    """Texts of a small vocabulary."""
    return [texts[code] for code in codes.tolist()]


class Maps:
    """Makes a map per row, from name to value, with the entries that ``asked`` (rows, names) marks."""

    def __init__(self, names: Sequence[str], asked: NDArray[np.bool_]):
        self._names, self._asked = names, asked.tolist()

    def column(self, values: Sequence[Any]) -> list[list[tuple[str, Any]]]:
        """Return the maps of these values, one list of all rows for each name."""
        rows = zip(self._asked, zip(*values, strict=True), strict=True)
        return [
            [(name, value) for name, is_asked, value in zip(self._names, asked, each, strict=True) if is_asked]
            for asked, each in rows
        ]


def table(columns: Plain, kind: RowKind) -> pa.Table:
    """Return the columns as a table of a kind."""
    return kind.arrow(columns)
