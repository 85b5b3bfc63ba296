"""The window of known event ids, in which duplicates are recognised exactly.

A set of 64-bit hashes, each with the second of its event's time. When the set is full, all but the newest by *event
time* are forgotten, and the *horizon* moves to the newest forgotten second. An unknown id from after the horizon is
certainly new. An event at or before it may be a copy of a forgotten one, so it is not counted. A copy of an event has
the event's time, so what was counted once never counts again (but see :mod:`streams.profiles.known_orders`).

Ids are forgotten at boundaries, where the set is a function of the log. A slot whose ids do not fit is cut short: see
:meth:`KnownIds.admit` and docs/adr/0016.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.state import Columns
from streams.profiles.dated_hashes import DatedHashes, Seconds

_LONG_AGO: Final = -(2**62)
_SECOND: Final = 1_000_000
_LAST_SECOND: Final = 2**32 - 1


class KnownIds:
    """Known ids of one bucket, a part. ``capacity`` is the minimum number of ids that the window holds when it is full.

    ``horizon`` is the end of the newest forgotten second (microseconds).
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._step = -(-capacity // 2)
        """Half a window: ids are forgotten so many at a time, and so many new ones of a slot fit."""
        self.horizon = _LONG_AGO
        self._ids = DatedHashes()
        self._kept = 0
        """The number of ids that the last attempt to forget some left."""
        self._stored = (_LONG_AGO, 0)

    def __len__(self) -> int:
        return len(self._ids)

    def room(self) -> int:
        """Return the number of ids that can be admitted before a boundary may forget any."""
        return max(0, self._limit(self.capacity) - len(self._ids) - 1)

    def admit(self, ids: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which ids are unknown; remember those from after the horizon. Among equal ids the first is unknown.

        Events that are :meth:`too_old` do not count, whatever this returns for them. If the set holds two windows
        within a slot, the oldest quarter is forgotten first: memory is bounded, and whether an event counts that is
        older than the newest one and a half windows may depend on how lanes interleave.
        """
        within = self.capacity + self._step
        if len(self._ids) >= self._limit(within):
            self._forget(within)
        old = self.too_old(times)
        if not old.any():
            return self._ids.add(ids, _seconds(times))
        new = np.ones(len(ids), np.bool_)
        new[~old] = self._ids.add(ids[~old], _seconds(times[~old]))
        return new

    def too_old(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which times lie at or before the horizon, where an unknown id may be a forgotten one."""
        old: NDArray[np.bool_] = times <= self.horizon
        return old

    def forget(self) -> None:
        """Forget all but the newest ids if the set is full.

        Call it at boundaries, so that it depends on the data and not on how batches were cut.
        """
        if len(self._ids) >= self._limit(self.capacity):
            self._forget(self.capacity)

    def changes(self) -> Columns:
        """Return the ids added since the last call that are not forgotten, and the horizon if it moved."""
        return self._limits() | dict(self._ids.changes())

    def whole(self) -> Columns:
        """Return all ids and the horizon."""
        self._stored = (_LONG_AGO, 0)
        return self._limits() | dict(self._ids.whole())

    def apply(self, columns: Columns) -> None:
        """Forget up to the horizon, then add ids."""
        if "limits" in columns:
            self.horizon, self._kept = np.asarray(columns["limits"]).tolist()
            self._stored = (self.horizon, self._kept)
            if len(self._ids):
                self._ids.forget(self.horizon // _SECOND)
        if "hashes" in columns:
            self._ids.apply(columns)

    def _limit(self, newest: int) -> int:
        """Return the size at which all but the newest ids are forgotten: half a window more than were kept, at least.

        So the cost per id is bounded, also while ids of one second fill the set and none can be forgotten.
        """
        return max(self._kept, newest) + self._step

    def _forget(self, newest: int) -> None:
        last = self._ids.cut(newest)
        if last is not None:
            self._ids.forget(last)
            self.horizon = (last + 1) * _SECOND - 1
        self._kept = len(self._ids)

    def _limits(self) -> dict[str, NDArray[Any] | bytes]:
        """Return the horizon and the number of ids kept, if they changed since they were stored."""
        limits = (self.horizon, self._kept)
        if limits == self._stored:
            return {}
        self._stored = limits
        return {"limits": np.array(limits, np.int64)}


def _seconds(times: NDArray[np.int64]) -> Seconds:
    """Return the seconds of times; those after 2106 are taken together."""
    seconds: Seconds = np.minimum(times // _SECOND, _LAST_SECOND).astype(np.uint32)
    return seconds
