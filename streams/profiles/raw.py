"""Moves rows of structured arrays as plain bytes: numpy copies them field by field, twenty times slower."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_SMALLEST: Final = 64


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
    """Return an array with room for ``size`` elements. Capacity doubles, so growth costs a constant per element.

    What is not used of it takes no memory yet.
    """
    if size <= len(array):
        return array
    new = np.empty(max(_SMALLEST, 2 * size), array.dtype)
    _bytes(new)[: len(array)] = _bytes(array)
    return new


@cache
def _plain(size: int) -> np.dtype[Any]:
    return np.dtype(f"V{size}")


def _bytes(array: Array) -> Array:
    kind = array.dtype
    return array if kind.fields is None else array.getfield(_plain(kind.itemsize))
