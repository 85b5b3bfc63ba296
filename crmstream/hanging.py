"""Ends a worker whose flow hangs while the rest of the process answers, or whose wall clock is set back.

The supervisor starts it again.

A flow that waits for a store does not hang. One that computes for long must not look like it, so the limit is far above
what a sweep or a snapshot takes. All stacks are written to the log first, for they say where it hung.

The engine keeps the moments at which it asks a source again by the wall clock. If that is set back by an hour, the
engine would ask none for an hour.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from contracts.outages import stores_waited_for

MOST_SILENT_SECONDS: Final = 900.0
LOOK_SECONDS: Final = 5.0
MOST_BACK_SECONDS: Final = 5.0
"""A wall clock that is set back by less is waited for."""
log = logging.getLogger(__name__)


class Silence:
    """Adds up how long a flow has been silent. Pure: it is handed what was seen.

    A look adds at most :data:`LOOK_SECONDS`, however long ago the one before was: a process that was stopped, or a
    machine that slept, must not blame its flow.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._beats = 0

    def look(self, beats: int, *, waits: bool) -> float:
        """Return the seconds of silence: 0 where the flow has not begun, has moved, or waits for a store."""
        moved = beats != self._beats
        self._beats = beats
        self.seconds = 0.0 if moved or waits or not beats else self.seconds + LOOK_SECONDS
        return self.seconds


def end_if_hung(
    beats: Callable[[], int],
    leave: Callable[[int], object] = os._exit,
    rest: Callable[[float], None] = time.sleep,
    ahead: Callable[[], float] = lambda: time.time() - time.monotonic(),
) -> None:
    """Return only by leaving, with exit code 1.

    That is when the flow has not moved for :data:`MOST_SILENT_SECONDS`, or when the wall clock, which is ``ahead`` of
    one that always goes on, has been set back since the last look.
    """
    silence, before = Silence(), ahead()
    while silence.look(beats(), waits=bool(stores_waited_for())) < MOST_SILENT_SECONDS:
        rest(LOOK_SECONDS)
        now = ahead()
        if before - now > MOST_BACK_SECONDS:
            log.critical("the wall clock was set back by %.0f s: ending, to go on at once", before - now)
            leave(1)
            return
        before = now
    faulthandler.dump_traceback(all_threads=True)
    log.critical("the flow has not moved for %g s, though it waits for no store: ending", MOST_SILENT_SECONDS)
    leave(1)


def watch(beats: Callable[[], int]) -> None:
    """Look in the background from now on; ``beats`` counts the moments at which the flow went on."""
    threading.Thread(target=end_if_hung, args=(beats,), name="hanging", daemon=True).start()
