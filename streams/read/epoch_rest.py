"""Lets a worker sleep at the end of an epoch while others end theirs.

Until all workers have ended an epoch, Bytewax asks no source for more. But its thread takes a whole core to look again
and again whether they have, if a source is due. So with the last batch of an epoch a lane says that it is not due for
most of the time that such a wait takes. A single worker has nobody to wait for.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

PART: Final = 0.75
"""The part of a wait for which a lane rests. Waits that become shorter make the next rest shorter."""
REMEMBERED: Final = 3
"""The shortest of so many waits counts: one is long after a long epoch, and the next are short."""
LONGEST_SECONDS: Final = 1.0


class EpochRest:
    """The rest of one lane. ``epoch_seconds`` is the shortest length of an epoch; infinity: the lane never rests."""

    def __init__(self, epoch_seconds: float, monotonic: Callable[[], float] = time.monotonic):
        self._epoch_seconds = epoch_seconds
        self._monotonic = monotonic
        self._ended: float | None = None
        """When the epoch ended, until the next one begins."""
        self._due = float("inf")
        """From when on a batch is the last one of its epoch."""
        self._waits: deque[float] = deque([0.0], REMEMBERED)

    def end(self) -> None:
        """Note that the lane has ended its epoch."""
        self._ended = self._monotonic()
        self._due = self._ended + self._epoch_seconds

    def go_on(self) -> None:
        """Note that the lane is asked for a batch: all workers have ended the epoch before."""
        if self._ended is not None:
            self._waits.append(self._monotonic() - self._ended)
            self._ended = None

    def seconds(self) -> float:
        """Return how long to rest after the batch that was read last: 0 unless it is the last one of its epoch."""
        if self._monotonic() < self._due:
            return 0.0
        return min(PART * min(self._waits), LONGEST_SECONDS)
