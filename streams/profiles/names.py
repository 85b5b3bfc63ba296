"""The ids of a table by position: their bytes in one buffer, and an index that finds the position of an id.

The index is open addressing with linear probing, whole arrays at a time. A place holds the upper half of an id's hash
and its position. Ids are compared as texts before a position is given out, so two ids of one hash stay two. The hash is
Python's own of a ``str``: it is keyed by a secret of the process, so nobody can choose ids that all collide. Places say
nothing about the contents and are never stored.
"""

from collections.abc import Sequence
from itertools import compress
from operator import ne
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.arrays import longer, room
from contracts.ids import Texts, as_texts
from contracts.open_addressing import first_places, fit, next_places, places_for
from streams.profiles.texts import JOINT, packed

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]
_SMALLEST: Final = 64
_FREE: Final = np.uint64(0)
_LOW: Final = np.uint64(2**32 - 1)
_HIGH: Final = np.uint64(2**64 - 2**32)
_GONE: Final = np.uint64(2**32 - 1)
"""Marks the place of a released id. A position takes 32 bits, from 1."""
_NOWHERE: Final = 2**32 - 2
"""The position that :data:`_GONE` stands for."""
_MOST_BYTES: Final = 2**31 - 1
_MANY: Final = 64
"""So many ids are joined by Arrow: fewer take Python less time."""
_FEW: Final = 32
"""So few ids are taken one by one: a call of Arrow costs more."""
_SINGLY: Final = 8
"""So few ids are looked up one by one: calls of numpy cost more."""


class Names:
    """Ids by position. Besides its own bytes an id takes 8, and 12 to 16 in the index."""

    def __init__(self) -> None:
        self._bytes = np.empty(_SMALLEST, np.uint8)
        self._ends = np.zeros(1 + _SMALLEST, np.int32)
        """Text i of the buffer is from ``_ends[i]`` to ``_ends[i + 1]``."""
        self._written = 0
        self._text = np.empty(0, np.int32)
        """The text of each position; -1 without one."""
        self._size = 0
        self._places: Words = np.zeros(2 * _SMALLEST, np.uint64)
        self._kept = self._taken = 0
        """The number of ids, and that of places that are not free."""

    def __len__(self) -> int:
        """Return the number of positions."""
        return self._size

    @property
    def count(self) -> int:
        """The number of ids."""
        return self._kept

    def take(self, at: Positions) -> Texts:
        """Return the ids at positions; '' where there is none."""
        if len(at) > _FEW:
            return as_texts(self.column(at))
        texts = np.empty(len(at), object)
        texts[:] = [self._one(text) for text in self._text[at].tolist()]
        return texts

    def column(self, at: Positions) -> pa.StringArray:
        """Return the ids at positions as an Arrow column; '' where there is none."""
        chosen = self._text[at]
        return self._array().take(pa.array(chosen, mask=chosen < 0)).fill_null("")

    def one(self, position: int) -> str:
        """Return the id at a position; '' if there is none."""
        return self._one(self._text.item(position))

    def packed(self, at: Positions) -> bytes:
        """Return the ids at positions as one column of state, without a Python object for each of many."""
        if len(at) < _MANY:
            return packed(self.take(at))
        taken = self.column(at)
        every = pa.LargeListArray.from_arrays(pa.array([0, len(taken)], pa.int64()), taken)
        joined: bytes = pc.binary_join(every, pa.scalar(JOINT, taken.type))[0].as_buffer().to_pybytes()
        return joined

    def used(self, at: Positions) -> NDArray[np.bool_]:
        """Return which positions have an id; those after the last one have none."""
        used: NDArray[np.bool_] = at < self._size
        used[used] = self._text[at[used]] >= 0
        return used

    def reach(self, size: int) -> None:
        """Make at least so many positions."""
        if size > self._size:
            self._text = longer(self._text, size)
            self._text[self._size : size] = -1
            self._size = size

    def find(self, names: Sequence[str]) -> Positions:
        """Return the position of each id; -1 where it is unknown."""
        hashes = _hashes(names)
        if len(names) <= _SINGLY:
            return np.array([self._search(*each) for each in zip(names, hashes.tolist(), strict=True)], np.int64)
        found = self._probe(hashes)
        known = np.flatnonzero(found >= 0)
        if len(known):
            wanted = names if len(known) == len(names) else [names[each] for each in known.tolist()]
            others = map(ne, self.take(found[known]).tolist(), wanted)
            for each in compress(known.tolist(), others):  # another id has the same half of a hash
                found[each] = self._search(names[each], int(hashes[each]))
        return found

    def find_one(self, name: str) -> int:
        """Return the position of an id; -1 if it is unknown."""
        return self._search(name, _hashes((name,)).item())

    def put(self, names: Sequence[str], at: Positions) -> None:
        """Give unknown ids to positions that have none."""
        self._write(names, at)
        self._reserve(len(names))
        words = (_hashes(names) & _HIGH) | (at + 1).astype(np.uint64)
        self._settle(words)
        self._kept += len(names)

    def release(self, at: Positions) -> None:
        """Take the ids from positions that have one."""
        words = (_hashes(self.take(at).tolist()) & _HIGH) | (at + 1).astype(np.uint64)
        self._places[self._place(words, words)] = _GONE
        self._text[at] = -1
        self._kept -= len(at)
        if self._written > 2 * self._kept + _SMALLEST:
            self._rewrite()

    def _one(self, text: int) -> str:
        if text < 0:
            return ""
        return self._bytes[self._ends.item(text) : self._ends.item(text + 1)].tobytes().decode()

    def _array(self) -> Any:
        """Return all texts that were written, without a copy."""
        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._bytes)]
        return pa.Array.from_buffers(pa.string(), self._written, buffers)

    def _write(self, names: Sequence[str], at: Positions) -> None:
        """Append texts to the buffer."""
        data = np.frombuffer("".join(names).encode(), np.uint8)
        lengths = map(len, names) if len(data) == sum(map(len, names)) else (len(name.encode()) for name in names)
        first, size = self._written, int(self._ends[self._written])
        if size + len(data) > _MOST_BYTES:
            raise OverflowError("the ids of one bucket take more than 2 GB: CRM_BUCKETS must be greater")
        self._written += len(names)
        self.reach(int(at.max(initial=-1)) + 1)
        self._bytes = longer(self._bytes, size + len(data))
        self._ends = longer(self._ends, self._written + 1)
        self._bytes[size : size + len(data)] = data
        ends = np.cumsum(np.fromiter(lengths, np.int64, len(names)))
        self._ends[first + 1 : self._written + 1] = ends + size
        self._text[at] = np.arange(first, self._written)

    def _rewrite(self) -> None:
        """Drop the texts of released ids from the buffer."""
        at = np.flatnonzero(self._text[: self._size] >= 0)
        names = self.take(at).tolist()
        self._written, self._bytes, self._ends = 0, self._bytes[:0], np.zeros(1, np.int32)
        self._write(names, at)

    def _probe(self, hashes: Words) -> Positions:
        """Return a position whose hash has the same upper half as each; -1 without one."""
        found = self._places[self._place(hashes & _HIGH, hashes, _HIGH)]
        return (found & _LOW).view(np.int64) - 1

    def _search(self, name: str, hashed: int) -> int:
        """Return the position of one id; -1 if it is unknown."""
        word_at, half, size = self._places.item, hashed >> 32, len(self._places)
        place = half * size >> 32
        while word := word_at(place):
            position = (word & 0xFFFF_FFFF) - 1
            if word >> 32 == half and position != _NOWHERE and self._one(self._text.item(position)) == name:
                return position
            place = place + 1 if place + 1 < size else 0
        return -1

    def _place(self, wanted: Words, hashes: Words, part: np.uint64 = _HIGH | _LOW) -> Positions:
        """Search from each hash's place on: return the first place that is free or whose ``part`` is as wanted."""
        at = first_places(hashes >> np.uint64(32), len(self._places))
        found = self._places[at]
        left = np.flatnonzero((((found & part) != wanted) | (found == _GONE)) & (found != _FREE))
        while len(left):
            at[left] = again = next_places(at[left], len(self._places))
            found = self._places[again]
            left = left[(((found & part) != wanted[left]) | (found == _GONE)) & (found != _FREE)]
        return at

    def _settle(self, words: Words) -> None:
        """Put distinct words at free places."""
        self._taken += len(words)
        while len(words):
            at = self._place(words, words)
            self._places[at] = words
            words = words[self._places[at] != words]

    def _reserve(self, more: int) -> None:
        """Make room for more ids. The index grows by a third, so growth costs a constant per id."""
        if fit(self._taken + more, len(self._places)):
            return
        words = self._places[(self._places != _FREE) & (self._places != _GONE)]
        self._places, self._taken = room(places_for(self._kept + more, 2 * _SMALLEST), np.uint64), 0
        self._settle(words)


def _hashes(names: Sequence[str]) -> Words:
    return np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
