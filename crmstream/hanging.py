"""Ends a worker whose flow hangs while the rest of the process answers; the supervisor starts it again.

A flow that waits for a store does not hang. One that computes for long must not look like it, so the limit is far above
what a sweep or a snapshot takes. All stacks are written to the log first, for they say where it hung.
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
) -> None:
    """Return only by leaving, with exit code 1: when the flow has not moved for :data:`MOST_SILENT_SECONDS`."""
    silence = Silence()
    while silence.look(beats(), waits=bool(stores_waited_for())) < MOST_SILENT_SECONDS:
        rest(LOOK_SECONDS)
    faulthandler.dump_traceback(all_threads=True)
    log.critical("the flow has not moved for %g s, though it waits for no store: ending", MOST_SILENT_SECONDS)
    leave(1)


def watch(beats: Callable[[], int]) -> None:
    """Look in the background from now on; ``beats`` counts the moments at which the flow went on."""
    threading.Thread(target=end_if_hung, args=(beats,), name="hanging", daemon=True).start()
