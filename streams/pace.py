"""The pace of work between batches: all steps of a process share it, so that batches come first.

A slice of work costs more than its own time: its rows are scored and written afterwards, on the same processors. So all
steps rest after each slice, and longer while a store is behind: live events would feel it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

REST: Final = 2
"""Steps rest this many times as long as a slice took."""
LEAST_SECONDS: Final = 0.02
"""The shortest rest."""
RECENT_SECONDS: Final = 0.5
FINISH_SECONDS: Final = 3.0
"""How long a process that stops finishes its work; what is left then goes on at the next start."""


class Pace:
    """When the next slice may begin.

    ``behind(makes_rows)`` says whether a store is behind to which the slice writes: all slices write to Redis, and with
    ``makes_rows`` to ClickHouse too.

    ``clock`` is in seconds and never goes back, so a wall clock that is set back makes no rest longer.
    """

    def __init__(self, behind: Callable[[bool], bool] = lambda _: False, clock: Callable[[], float] = time.monotonic):
        self._behind, self._clock = behind, clock
        self._next = clock()
        self._asked_at = self._next - RECENT_SECONDS
        self._stops_at: float | None = None

    @property
    def next(self) -> datetime:
        """The time to ask again, by the wall clock as it is now. Batches that come do not put it off."""
        self._asked_at = self._clock()
        return datetime.now(UTC) + timedelta(seconds=self._next - self._asked_at)

    @property
    def later(self) -> datetime:
        """The time to look again whether work is still held."""
        self._asked_at = self._clock()
        return datetime.now(UTC) + timedelta(seconds=LEAST_SECONDS)

    @property
    def is_asked(self) -> bool:
        """Whether a step had work a moment ago."""
        return self._clock() - self._asked_at < RECENT_SECONDS

    def may_finish(self) -> bool:
        """Whether a step of a process that stops may go on with its work. The first question starts the time."""
        if self._stops_at is None:
            self._stops_at = self._clock() + FINISH_SECONDS
        return self._clock() < self._stops_at

    def begin(self, *, makes_rows: bool = False) -> bool:
        """Return whether a slice may begin now; if not, :attr:`next` is a later time."""
        now = self._clock()
        if now < self._next:
            return False
        if self._behind(makes_rows):
            self._next = now + LEAST_SECONDS
            return False
        self._next = now
        return True

    def end(self) -> None:
        """Note that the slice that began last has ended."""
        now = self._clock()
        self._next = now + max(LEAST_SECONDS, REST * (now - self._next))
