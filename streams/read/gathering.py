"""Near the end of the log, messages gather while steps rest: a batch of one event costs them nearly what fifty cost.

Messages gather for as long as the steps worked on the last ones. So the steps of a process take at most half of a core
until messages come faster than that, and then batches grow. The stores share the cores.
"""

from collections.abc import Callable
from typing import Final

GATHER: Final = 1.0
"""Messages gather for this many times as long as the steps worked on the last ones."""
LONGEST_GATHER: Final = 0.05
"""The most seconds for which messages gather."""


class Gathering:
    """When the next messages are fetched. Times are in monotonic seconds."""

    def __init__(self) -> None:
        self._lane = -1
        self._found: float | None = None
        """When the lane found messages; None once the steps have worked on them."""
        self._ends = float("-inf")

    def found(self, lane: int, now: float) -> None:
        """Note that a lane found messages, of whatever lanes. The steps begin to work on them."""
        if self._found is None:
            self._lane, self._found = lane, now

    def seconds(self, lane: int, now: float, is_near_the_end: Callable[[], bool]) -> float:
        """Return for how long messages gather still when a lane would poll.

        The steps have worked on the last ones when the lane that found them would poll again. Only then it is asked
        whether all lanes are near the end of their logs; else nothing gathers.
        """
        if self._found is not None and lane == self._lane:
            worked, self._found = now - self._found, None
            if is_near_the_end():
                self._ends = now + min(LONGEST_GATHER, GATHER * worked)
        return max(0.0, self._ends - now)
