"""The ids of people who own something: each is kept once and has a number while anything refers to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import Texts
from streams.profiles.names import Names
from streams.profiles.raw import longer

Numbers = NDArray[np.integer]


class People:
    """Ids by number, with the count of references to each. The numbers of ids that went are given out again."""

    def __init__(self) -> None:
        self._names = Names()
        self._counts = np.empty(0, np.int32)
        self._size = 0
        self._unused: list[int] = []

    def ids(self, numbers: Numbers) -> Texts:
        """Return the ids of numbers."""
        return self._names.take(numbers.astype(np.int64))

    def count(self, person: str) -> int:
        """Return the number of references to an id."""
        number = self._names.find((person,)).item()
        return 0 if number < 0 else int(self._counts[number])

    def add(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Add a reference for each of the ids, which may repeat; return their numbers."""
        distinct = {person: place for place, person in enumerate(dict.fromkeys(ids))}
        names = list(distinct)
        numbers = self._names.find(names)
        new = np.flatnonzero(numbers < 0)
        if len(new):
            numbers[new] = self._new_numbers(len(new))
            self._names.put([names[each] for each in new.tolist()], numbers[new])
        if len(names) < len(ids):
            numbers = numbers[np.fromiter(map(distinct.__getitem__, ids), np.int64, len(ids))]
        np.add.at(self._counts, numbers, 1)
        return numbers

    def remove(self, numbers: Numbers) -> None:
        """Remove a reference to each of the numbers, which may repeat."""
        np.subtract.at(self._counts, numbers, 1)
        gone = np.unique(numbers[self._counts[numbers] == 0]).astype(np.int64)
        if len(gone):
            self._names.release(gone)
            self._unused.extend(gone.tolist())

    def _new_numbers(self, count: int) -> list[int]:
        numbers = [self._unused.pop() for _ in range(min(count, len(self._unused)))]
        size = self._size + count - len(numbers)
        self._counts = longer(self._counts, size)
        self._counts[self._size : size] = 0
        numbers.extend(range(self._size, size))
        self._size = size
        return numbers
