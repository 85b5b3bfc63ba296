"""Two profiles of one person made one: what a visitor did is added to what the customer did.

Sums, counts, decayed sums, first and last times merge exactly. Two columns compare neighbours in time, sessions and the
gaps between orders: they merge exactly where the one history ends before the other begins, and there the seam counts
too; where histories overlap each keeps its own neighbours, and one gap is counted between them. Both rows must be as of
the same boundary. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.profiles.money import MOST_MONEY
from streams.profiles.table import (
    COUNTS,
    DECAYED,
    FIRST_TIMES,
    LAST_TIMES,
    MONEY,
    ROW_DTYPE,
    SECOND,
    SESSION_GAP_SECONDS,
    SUMS,
)

_HOUR_SECONDS = 3_600


def _span(names: Sequence[str], dtype: type[np.signedinteger[Any]]) -> tuple[type[np.signedinteger[Any]], slice]:
    """Where columns that lie side by side are, counted in numbers of their type."""
    size = np.dtype(dtype).itemsize
    offsets = [ROW_DTYPE.fields[name][1] for name in names] if ROW_DTYPE.fields else []
    start = min(offsets)
    if sorted(offsets) != list(range(start, start + size * len(names), size)) or ROW_DTYPE.itemsize % size:
        raise RuntimeError(f"{names} do not lie side by side")
    return dtype, slice(start // size, start // size + len(names))


_SUMMED: Final = (_span((*SUMS, *DECAYED), np.int64), _span(COUNTS, np.int32))
_FIRSTS: Final = _span(FIRST_TIMES, np.int64)
_LASTS: Final = _span(LAST_TIMES, np.int64)


def _block(rows: NDArray[np.void], span: tuple[type[np.signedinteger[Any]], slice]) -> NDArray[np.signedinteger[Any]]:
    """A view of columns that lie side by side as one matrix: one operation on it costs as much as on a column."""
    dtype, columns = span
    wide = ROW_DTYPE.itemsize // np.dtype(dtype).itemsize
    block: NDArray[np.signedinteger[Any]] = rows.view(dtype).reshape(len(rows), wide)[:, columns]
    return block


def stack_rows(parts: Iterable[NDArray[np.void]]) -> NDArray[np.void]:
    """Make one array of many small ones (numpy's own way compares their types one by one)."""
    return np.frombuffer(bytearray(b"".join([part.tobytes() for part in parts])), ROW_DTYPE)


def in_turns(at: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut positions into runs in which no row of ``at`` comes twice: the first of each, then the second, and so on."""
    left = np.arange(len(at))
    while len(left):
        _, first = np.unique(at[left], return_index=True)
        yield left[first]
        left = np.delete(left, first)


def absorb_rows(into: NDArray[np.void], rows: NDArray[np.void]) -> NDArray[np.void]:
    """Profiles of which the i-th is ``into[i]`` and ``rows[i]`` together; ``key`` stays that of ``into``."""
    into, rows = np.ascontiguousarray(into), np.ascontiguousarray(rows)
    merged = into.copy()
    _merge_gaps(merged, into, rows)
    for span in _SUMMED:
        _block(merged, span)[:] += _block(rows, span)
    merged["sessions"] -= _joined_sessions(into, rows)
    for name in (*MONEY, "revenue_90d"):
        merged[name] = np.minimum(merged[name], MOST_MONEY)
    _block(merged, _FIRSTS)[:] = np.minimum(_block(into, _FIRSTS), _block(rows, _FIRSTS))
    _block(merged, _LASTS)[:] = np.maximum(_block(into, _LASTS), _block(rows, _LASTS))
    merged["slot_end"] = np.maximum(into["slot_end"], rows["slot_end"])
    merged["unpublished"] = True
    return merged


def _merge_gaps(merged: NDArray[np.void], one: NDArray[np.void], other: NDArray[np.void]) -> None:
    """Add the gap between two histories of orders; shorter than an hour it is none."""
    both = (one["orders"] > 0) & (other["orders"] > 0)
    seam, disjoint = _seam(one, other, "first_order", "last_order")
    hours = seam // _HOUR_SECONDS
    counts = both & (~disjoint | (seam >= _HOUR_SECONDS))
    merged["gap_count"] += counts
    merged["gap_sum_squares"] += np.where(counts & disjoint, hours, 0) ** 2


def _joined_sessions(one: NDArray[np.void], other: NDArray[np.void]) -> NDArray[np.bool_]:
    """Where the last session of the one and the first of the other are one session."""
    both = (one["web_events"] > 0) & (other["web_events"] > 0)
    seam, disjoint = _seam(one, other, "first_web", "last_web")
    joined: NDArray[np.bool_] = both & disjoint & (seam <= SESSION_GAP_SECONDS)
    return joined


def _seam(
    one: NDArray[np.void], other: NDArray[np.void], first: str, last: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Seconds between the end of the earlier history and the start of the later, and whether they do not overlap."""
    begins, ends = [one[first] // SECOND, other[first] // SECOND], [one[last] // SECOND, other[last] // SECOND]
    disjoint: NDArray[np.bool_] = (ends[0] <= begins[1]) | (ends[1] <= begins[0])
    return np.maximum(*begins) - np.minimum(*ends), disjoint
