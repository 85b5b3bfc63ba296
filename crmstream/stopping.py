"""Ends a process on SIGTERM and Ctrl-C, also one that waits for something that does not answer.

A process that is asked to stop finishes its epoch first. One that waits for a dead store cannot: it ends without its
last snapshot, which is what a crash does. The next start resumes from the snapshot before and repeats the rest.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from contracts.outages import calls_under_way, stores_waited_for

LOOK_SECONDS: Final = 0.1
HUNG_SECONDS: Final = 3.0
"""A call to a store that was under way when the process was asked to stop, and for so long after, hangs."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger(__name__)


class StopFlag:
    """True once the process was asked to stop. Make it in the main thread.

    From then on a thread ends the process when it waits for a store, or after ``most_seconds``. It learns of signals
    by itself, for Python runs handlers in the main thread only, and not while that waits in a library. ``outcome`` is
    logged then: what ending at once means. ``asked`` is the event that is set; by default a new one.
    """

    def __init__(
        self,
        most_seconds: float,
        outcome: str,
        asked: threading.Event | None = None,
        leave: Callable[[int], object] = os._exit,
    ):
        self.asked = asked or threading.Event()
        self._end = partial(end_when_stuck, most_seconds, outcome, leave)
        self._signals, awake = socket.socketpair()
        awake.setblocking(False)
        self._awake = awake  # kept open
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: self.asked.set())
        signal.set_wakeup_fd(awake.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stopping", daemon=True).start()

    def __call__(self) -> bool:
        """Whether the process was asked to stop."""
        return self.asked.is_set()

    def _watch(self) -> None:
        while not self.asked.is_set():
            if set(self._signals.recv(64)) & set(SIGNALS):
                self.asked.set()
        self._end()


def end_when_stuck(most_seconds: float, outcome: str, leave: Callable[[int], object]) -> None:
    """Return only by leaving: when this process waits for a store, or after ``most_seconds``."""
    began, calls = time.monotonic(), calls_under_way()
    while not (stores := _stuck_at(calls, time.monotonic() - began)) and time.monotonic() - began < most_seconds:
        time.sleep(LOOK_SECONDS)
    why = f"{' and '.join(stores)} not answering" if stores else f"not done after {most_seconds:g} s"
    log.warning("stopping at once (%s): %s", why, outcome)
    leave(0)


def _stuck_at(first_calls: dict[int, str], seconds: float) -> list[str]:
    """The stores that this process waits for: those that are away, and those in whose calls it hangs all the while."""
    hung = first_calls.items() & calls_under_way().items() if seconds >= HUNG_SECONDS else set()
    return sorted({*stores_waited_for(), *(store for _, store in hung)})
