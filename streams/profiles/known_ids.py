"""The window of known event ids, in which duplicates are recognised exactly.

Two generations of 64-bit hashes: at a boundary, a full younger one becomes the older one, which is forgotten. So the
window holds between ``capacity`` and twice as many ids, and those of the current slot: within a slot nothing is
forgotten, because lanes interleave there and what is forgotten would depend on how. An event with an unknown id is
certainly new if it is newer than every forgotten one. At or before that *horizon* it may be a duplicate of a forgotten
id, so it is not counted.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.state import Columns
from streams.profiles.hash_set import HashSet

_LONG_AGO: Final = -(2**62)
_GENERATIONS: Final = 2


@dataclass
class KnownIds:
    """Known ids of one bucket, a part. ``horizon`` is the newest event time (microseconds) among the forgotten ones."""

    capacity: int
    older: HashSet = field(default_factory=HashSet)
    younger: HashSet = field(default_factory=HashSet)
    older_newest: int = _LONG_AGO
    younger_newest: int = _LONG_AGO
    horizon: int = _LONG_AGO
    _rotated: int = 0
    """Rotations since the state was stored last."""
    _stored: tuple[int, int, int] | None = (_LONG_AGO, _LONG_AGO, _LONG_AGO)
    """The three times, as stored last."""

    def room(self) -> int:
        """Return the number of ids that can be admitted before a rotation may forget any."""
        return max(0, self.capacity - len(self.younger) - 1)

    def admit(self, ids: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which events are new, and remember their ids. Among events of one id only the first is new."""
        new = ~self.older.holds(ids) if len(self.older) else np.ones(len(ids), np.bool_)
        if new.all():
            new = self.younger.add(ids)
        else:
            new[new] = self.younger.add(ids[new])
        if new.any():
            self.younger_newest = max(self.younger_newest, int(times[new].max()))
        return new

    def too_old(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which times lie at or before the horizon, where an unknown id may be a forgotten one."""
        old: NDArray[np.bool_] = times <= self.horizon
        return old

    def rotate(self) -> None:
        """Forget the older generation if the younger one is full.

        Call it at boundaries, so that it depends on the data and not on how batches were cut.
        """
        if len(self.younger) < self.capacity:
            return
        self.horizon = max(self.horizon, self.older_newest)
        self.older, self.younger = self.younger, HashSet()
        self.older_newest, self.younger_newest = self.younger_newest, _LONG_AGO
        self._rotated += 1

    def changes(self) -> Columns:
        """Return the rotations since the last call, and the ids added to each generation."""
        columns: dict[str, NDArray[Any] | bytes] = {}
        if self._rotated:
            columns["rotated"] = np.array([min(self._rotated, _GENERATIONS)], np.int64)
        return columns | self._added(self.older.changes(), self.younger.changes())

    def whole(self) -> Columns:
        """Return all ids of both generations."""
        self._stored = None
        return self._added(self.older.whole(), self.younger.whole())

    def apply(self, columns: Columns) -> None:
        """Rotate, then add ids to both generations."""
        for _ in range(int(columns["rotated"][0]) if "rotated" in columns else 0):
            self.older, self.younger = self.younger, HashSet()
        for generation, name in ((self.older, "older"), (self.younger, "younger")):
            if name in columns:
                generation.apply({"hashes": columns[name]})
        if "times" in columns:
            older_newest, younger_newest, horizon = np.asarray(columns["times"]).tolist()
            self.older_newest, self.younger_newest, self.horizon = older_newest, younger_newest, horizon
            self._stored = (older_newest, younger_newest, horizon)

    def _added(self, older: Columns, younger: Columns) -> dict[str, NDArray[Any] | bytes]:
        """Return the ids of both generations and the times, without what is empty."""
        self._rotated = 0
        columns = {name: part["hashes"] for name, part in (("older", older), ("younger", younger)) if part}
        times = (self.older_newest, self.younger_newest, self.horizon)
        if times != self._stored:
            columns["times"], self._stored = np.array(times, np.int64), times
        return columns
