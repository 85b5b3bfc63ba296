"""Arrays that last: their room, and moves of structured rows as plain bytes.

numpy copies structured rows field by field, twenty times slower.
"""

import mmap
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_SMALLEST: Final = 64
_MAPPED: Final = 1 << 18
"""From so many bytes on an array has a mapping of its own."""
_HUGE: Final = 1 << 24
"""From so many bytes on an array asks for huge pages. A smaller one does not: much of its last page would be empty."""


def room(size: int, dtype: Any) -> Array:
    """Return zeros for an array that lasts.

    A large one has a mapping of its own: what is not written of it takes no memory, and it leaves no hole between the
    short-lived arrays of the heap when it goes.
    """
    kind = np.dtype(dtype)
    length = size * kind.itemsize
    if length < _MAPPED:
        return np.zeros(size, kind)
    mapping = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if length >= _HUGE:
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapping, kind)


def take(array: Array, at: NDArray[np.int64]) -> Array:
    """Return the elements at positions."""
    taken: Array = _bytes(array).take(at).view(array.dtype)
    return taken


def compress(array: Array, chosen: NDArray[np.bool_]) -> Array:
    """Return the chosen elements."""
    compressed: Array = _bytes(array).compress(chosen).view(array.dtype)
    return compressed


def put(array: Array, at: NDArray[np.int64], values: Array) -> None:
    """Set the elements at positions."""
    _bytes(array)[at] = _bytes(values)


def join(parts: Sequence[Array]) -> Array:
    """Return the elements of several arrays of one type, in their order."""
    if len(parts) == 1:
        return parts[0]
    joined: Array = np.concatenate([_bytes(part) for part in parts]).view(parts[0].dtype)
    return joined


def longer(array: Array, size: int) -> Array:
    """Return an array with room for ``size`` elements; the new ones are zero.

    Capacity doubles, so growth costs a constant per element.
    """
    if size <= len(array):
        return array
    new = room(max(_SMALLEST, 2 * size), array.dtype)
    _bytes(new)[: len(array)] = _bytes(array)
    return new


@cache
def _plain(size: int) -> np.dtype[Any]:
    return np.dtype(f"V{size}")


def _bytes(array: Array) -> Array:
    kind = array.dtype
    return array if kind.fields is None else array.getfield(_plain(kind.itemsize))
