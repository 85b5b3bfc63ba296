"""Small machines with state, for tests of the store."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from contracts.state import Columns, Part, Value


class Cells:
    """A part: numbers by position, stored by the positions that changed."""

    def __init__(self, size: int = 0):
        self.numbers = np.zeros(size, np.int64)
        self._dirty: set[int] = set()

    def put(self, at: int, number: int) -> None:
        if at >= len(self.numbers):
            self.numbers = np.concatenate([self.numbers, np.zeros(at + 1 - len(self.numbers), np.int64)])
        self.numbers[at] = number
        self._dirty.add(at)

    def changes(self) -> Columns:
        if not self._dirty:
            return {}
        at = np.array(sorted(self._dirty), np.int64)
        self._dirty.clear()
        return {"at": at, "numbers": self.numbers[at]}

    def whole(self) -> Columns:
        self._dirty.clear()
        return {"at": np.arange(len(self.numbers)), "numbers": self.numbers}

    def apply(self, columns: Columns) -> None:
        at, numbers = np.asarray(columns["at"]), np.asarray(columns["numbers"])
        if len(at) and at[-1] >= len(self.numbers):
            self.numbers = np.concatenate([self.numbers, np.zeros(at[-1] + 1 - len(self.numbers), np.int64)])
        self.numbers[at] = numbers


class Shop:
    """A machine of two parts: cells, and the number of times that it was changed."""

    def __init__(self, size: int = 0) -> None:
        self.cells, self.count = Cells(size), 0
        self._parts: dict[str, Part] = {"cells": self.cells, "count": Value(int, lambda: self.count, self._set)}

    def put(self, at: int, number: int) -> None:
        self.cells.put(at, number)
        self.count += 1

    def parts(self) -> Mapping[str, Part]:
        return self._parts

    def state(self) -> tuple[Any, ...]:
        return (self.count, self.cells.numbers.tolist())

    def _set(self, count: int) -> None:
        self.count = count
