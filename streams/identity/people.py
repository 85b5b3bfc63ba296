"""The ids of people who own something: each is kept once and has a number while anything refers to it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import longer
from contracts.ids import Texts
from streams.profiles.names import Names

_UNKNOWN: Final = -1
_MOST_NEW: Final = 1 << 10
Numbers = NDArray[np.integer]


class People:
    """Ids by number, with the count of references to each. The numbers of ids that went are given out again."""

    def __init__(self) -> None:
        self._names = Names()
        self._counts = np.empty(0, np.int32)
        self._size = 0
        self._unused: list[int] = []
        self._new: dict[str, int] = {}
        self._new_ids: dict[int, str] = {}
        """Ids that the buffer does not have yet: it takes many as fast as one."""

    def id(self, number: int) -> str:
        """Return the id of a number."""
        return self._new_ids.get(number) or self._names.one(number)

    def ids(self, numbers: Numbers) -> Texts:
        """Return the ids of numbers."""
        self._settle()
        return self._names.take(numbers.astype(np.int64))

    def count(self, person: str) -> int:
        """Return the number of references to an id."""
        number = self._find(person)
        return 0 if number == _UNKNOWN else int(self._counts[number])

    def number(self, person: str) -> int | None:
        """Return the number of an id; None if nothing refers to it."""
        number = self._find(person)
        return None if number == _UNKNOWN else number

    def add(self, person: str) -> int:
        """Add a reference to an id; return its number."""
        number = self._find(person)
        if number == _UNKNOWN:
            number = self._new_number()
            self._new[person], self._new_ids[number] = number, person
            if len(self._new) > _MOST_NEW:
                self._settle()
        self._counts[number] += 1
        return number

    def remove(self, number: int) -> None:
        """Remove a reference to a number."""
        self._counts[number] -= 1
        if not self._counts[number]:
            self._settle()
            self._names.release(np.array([number], np.int64))
            self._unused.append(number)

    def _find(self, person: str) -> int:
        number = self._new.get(person, _UNKNOWN)
        return self._names.find_one(person) if number == _UNKNOWN else number

    def _settle(self) -> None:
        if self._new:
            self._names.put(list(self._new), np.fromiter(self._new_ids, np.int64, len(self._new)))
            self._new, self._new_ids = {}, {}

    def _new_number(self) -> int:
        if self._unused:
            return self._unused.pop()
        number, self._size = self._size, self._size + 1
        self._counts = longer(self._counts, self._size)
        self._counts[number] = 0
        return number
